"""Runs of zones equal single steps, on any number of threads and any instruction set."""

import numpy as np
import pytest

from cosim.core import CosimError
from cosim.core.buildings import zones
from cosim.core.buildings.zones import PROFILE, TARGETS, ZoneParameters, Zones
from tests.core.buildings.test_zones import FLAT, WINDOWS, emission, random_drive

N, KINDS, PROFILES, STEPS = 3000, 5, 3, 48


def parameters():
    rng = np.random.default_rng(4)
    shut = {name: value * rng.uniform(0.5, 2, KINDS) for name, value in {**FLAT, **WINDOWS}.items()}
    shut |= emission(rng, KINDS)
    aired = {**shut, "outdoor_conductance": 5 * shut["outdoor_conductance"]}
    return ZoneParameters(**shut) + ZoneParameters(**aired)


def make(**changes):
    rng = np.random.default_rng(5)
    return Zones(parameters(), np.sort(rng.integers(0, KINDS, N)), rng.uniform(0.5, 20, N), 21.0, **changes)


def profiles():
    rng = np.random.default_rng(6)
    values = np.empty((STEPS, PROFILES, len(PROFILE)))
    for k, drive in enumerate(list(random_drive(rng, STEPS * PROFILES).values())[: len(PROFILE)]):
        values[:, :, k] = drive.reshape(STEPS, PROFILES)
    values[:, :, 7] = np.maximum(values[:, :, 6], values[:, :, 7])
    return values


def test_a_run_equals_its_single_steps():
    rng = np.random.default_rng(7)
    which, variant = rng.integers(0, PROFILES, N), KINDS * rng.integers(0, 2, (STEPS, PROFILES))
    capacity = rng.choice([0.0, 2e3, np.inf], N)
    whole, single, values = make(), make(), profiles()
    own, scale = single.archetype.copy(), single._scale
    powers, air, cold = [], [], []
    for k in range(STEPS):
        single.archetype = own + variant[k, which]
        drive = dict(zip(PROFILE, values[k][which].T, strict=True))
        for name in ("gain_air", "gain_exterior", "gain_interior"):
            drive[name] = drive[name] * scale
        step = single.step(900, drive.pop("outdoor"), **drive, heating_capacity=capacity, cooling_capacity=capacity)
        powers.append(step.power)
        air.append(step.air)
        cold.append(np.maximum(drive["heating_setpoint"] - step.air, 0))
    run = whole.run(900, values, which, variant=variant, heating_capacity=capacity, cooling_capacity=capacity)
    np.testing.assert_allclose(whole.state, single.state, rtol=1e-12)
    np.testing.assert_allclose(run.heating, np.maximum(powers, 0).mean(axis=0), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(run.cooling, np.maximum(-np.array(powers), 0).mean(axis=0), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(run.air, np.mean(air, axis=0), rtol=1e-12)
    np.testing.assert_allclose(run.too_cold, np.mean(cold, axis=0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(run.peak_heating, np.max(powers, axis=0).clip(0), rtol=1e-9, atol=1e-9)
    assert run.heating.max() > 0
    assert run.cooling.max() > 0


def everything(monkeypatch, **changes):
    """State and results after a run and a few steps, as bytes."""
    monkeypatch.setattr(zones, "_LEAST_PER_THREAD", 100)
    made, rng = make(**changes), np.random.default_rng(8)
    run = made.run(900, profiles(), np.arange(N) % PROFILES, heating_capacity=3e3)
    found = [made.state.copy(), run.heating, run.peak_cooling]
    for _ in range(5):
        step = made.step(60, **random_drive(rng, N))
        found += [step.power, step.loss, step.exterior]
    return b"".join(array.tobytes() for array in (*found, made.state))


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_results_are_bit_identical_on_any_number_of_threads(monkeypatch, threads):
    assert everything(monkeypatch, threads=threads) == everything(monkeypatch)


@pytest.mark.parametrize("target", TARGETS)
def test_results_are_bit_identical_on_any_instruction_set(monkeypatch, target):
    assert everything(monkeypatch, target=target) == everything(monkeypatch, target=TARGETS[0])


@pytest.mark.parametrize("target", TARGETS)
def test_zones_among_others_of_their_archetype_or_not_give_the_same_bits(target):
    shuffled = np.random.default_rng(9).permutation(N)
    together, apart = make(target=target), make(target=target)
    order = together.archetype[shuffled]
    apart.archetype, apart._scale = order, together._scale[shuffled].copy()
    drive = random_drive(np.random.default_rng(10), N)
    for _ in range(3):
        one = together.step(900, **drive)
        other = apart.step(900, **{name: value[shuffled] for name, value in drive.items()})
        assert other.power.tobytes() == one.power[shuffled].tobytes()
        assert other.loss.tobytes() == one.loss[shuffled].tobytes()
        assert apart.state.tobytes() == together.state[:, shuffled].tobytes()


def test_runs_of_equal_neighbours_of_any_length_give_the_bits_of_single_zones():
    rng = np.random.default_rng(11)
    lengths = np.concatenate([np.arange(1, 75), rng.integers(1, 5, 40), [300, 31, 32, 33, 64]])
    index = np.repeat(np.arange(len(lengths)) % KINDS, lengths)
    n, drive = len(index), random_drive(rng, len(index))
    together = Zones(parameters(), index, 1.0, 21.0)
    step = together.step(900, **drive)
    for k in rng.integers(0, n, 60):
        alone = Zones(parameters(), index[k : k + 1], 1.0, 21.0)
        own = alone.step(900, **{name: np.asarray(value)[k : k + 1] for name, value in drive.items()})
        assert (own.power[0], own.loss[0]) == (step.power[k], step.loss[k])
        assert (alone.state[:, 0] == together.state[:, k]).all()


def test_a_malformed_run_is_refused_by_name():
    made, good = make(labels=[f"house {k}" for k in range(N)]), profiles()
    with pytest.raises(CosimError, match=r"must be \(n_steps, n_profiles, 8\)"):
        made.run(900, good[:, :, :5])
    crossed = good.copy()
    crossed[3, 1, 6] = 40.0
    with pytest.raises(CosimError, match=r"profile 1 in step 3 .* heating setpoint not above"):
        made.run(900, crossed)
    with pytest.raises(CosimError, match="an unknown profile: there are 3"):
        made.run(900, good, 3)
    with pytest.raises(CosimError, match="variant with unknown archetype 10"):
        made.run(900, good, variant=6)
    with pytest.raises(CosimError, match="capacity of zone house 0"):
        made.run(900, good, heating_capacity=-1.0)
    with pytest.raises(CosimError, match="step is 0"):
        made.run(0, good)
    with pytest.raises(CosimError, match="gain_air of zone house 2 is nan"):
        made.step(60, 5.0, gain_air=np.where(np.arange(N) == 2, np.nan, 0.0))
    with pytest.raises(CosimError, match="3000 zones got 1 labels"):
        make(labels=["one"])
    with pytest.raises(CosimError, match="target is 'sse9'"):
        make(target="sse9")
