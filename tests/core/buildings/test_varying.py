"""Films and infiltration of the moment, party walls and split units: conservation, published figures, refused input."""

import numpy as np
import pytest

from cosim.core import CosimError
from cosim.core.buildings.convection import Facing
from cosim.core.buildings.cooling import LEAST_INVERTER, CoolingUnits
from cosim.core.buildings.infiltration import STACK, WIND, infiltration_factor
from cosim.core.buildings.party_walls import PartyWalls
from cosim.core.buildings.varying import VaryingZones, facing_shares
from cosim.core.buildings.zones import ZoneParameters, Zones

STOREYS = np.array([1.0, 4.0])
TYPES = ZoneParameters(
    air_capacity=np.array([1e4, 1e4]),
    exterior_capacity=np.array([1.2e5, 6e4]),
    interior_capacity=np.array([1.5e5, 2.5e5]),
    r_exterior=np.array([0.05, 0.11]),
    r_interior=np.array([0.05, 0.035]),
    r_rest=np.array([0.25, 0.7]),
    exterior_area=np.array([2.8, 1.1]),
    interior_area=np.array([2.0, 3.3]),
    outdoor_conductance=np.array([1.5, 0.9]),
    window_area=np.array([0.2, 0.1]),
    window_conductance=np.array([0.5, 0.3]),
    heating_exterior=np.array([0.2, 0.25]),
    heating_interior=np.array([0.1, 0.75]),
    cooling_interior=0.4,
)


def varying(n, seed=1, start=20.0):
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, n)
    zones = Zones(TYPES, kind, rng.uniform(50, 2000, n), start)
    return VaryingZones(zones, STOREYS[kind], rng.integers(1, 6, n), rng.uniform(0.0, 0.5, n)), rng


def drive(rng, n):
    return {
        "boundary": rng.uniform(-5, 15, n),
        "equivalent": rng.uniform(-12, 50, n),
        **{name: rng.uniform(0, 20000, n) for name in ("gain_air", "gain_exterior", "gain_interior")},
        "heating_setpoint": 20.0,
        "cooling_setpoint": 26.0,
        "heating_capacity": rng.choice([0, 2e4, np.inf], n),
    }


def test_energy_is_conserved_with_every_feature_on():
    n = 60
    model, rng = varying(n)
    zones = model.zones
    walls = PartyWalls(np.stack([np.arange(n - 1), np.arange(1, n), rng.uniform(0, 2000, n - 1)], axis=1), n)
    for k in range(20):
        given = drive(rng, n)
        exchanged = walls.gains(zones.state[2])
        assert abs(exchanged.sum()) <= 1e-12 * abs(exchanged).sum()
        given["gain_interior"] = given["gain_interior"] + exchanged
        before = zones.stored_heat
        step = model.step(900, rng.uniform(-10, 38), rng.uniform(0, 12), iterations=1 + k % 3, **given)
        gains = given["gain_air"] + given["gain_exterior"] + given["gain_interior"]
        residual = zones.stored_heat - before - 900 * (step.power + gains - step.loss)
        assert (abs(residual) / (900 * (abs(step.power) + abs(gains) + abs(step.loss)))).max() < 1e-9


def test_films_of_the_step_before_differ_little_from_fully_iterated_ones():
    mean = {}
    for iterations in (1, 12, 13):
        model, _ = varying(2)
        powers = []
        for k in range(24 * 6):
            hour = k / 6
            out = 4 - 6 * np.cos(2 * np.pi * hour / 24)
            sun = 15 * max(-np.cos(2 * np.pi * hour / 24), 0.0)
            boundary = np.full(2, out)
            step = model.step(
                600,
                out,
                4 + 3 * np.sin(hour),
                boundary,
                boundary + sun,
                np.zeros(2),
                iterations=iterations,
                heating_setpoint=20.0 if hour % 24 > 7 else 17.0,
            )
            powers.append(step.power)
        mean[iterations] = np.mean(powers, axis=0)
    np.testing.assert_allclose(mean[12], mean[13], rtol=1e-9)
    np.testing.assert_allclose(mean[1], mean[12], rtol=5e-3)
    assert (mean[1] != mean[12]).all()


def test_wind_raises_the_heat_that_holds_a_room():
    def power(wind, **changes):
        model, _ = varying(2)
        for name, value in changes.items():
            setattr(model, name, value)
        edge = np.zeros(2)
        for _ in range(300):
            step = model.step(3600, 0.0, wind, edge, edge, np.zeros(2), heating_setpoint=20.0)
        return step.power

    assert (power(8.0) > power(1.0)).all()
    tight = {"_infiltration": np.zeros(2)}
    assert (power(8.0, **tight) > power(1.0, **tight)).all()  # the film outside alone
    assert (power(8.0) - power(1.0) > power(8.0, **tight) - power(1.0, **tight)).all()  # and infiltration


def test_a_remembered_step_continues_bit_for_bit():
    (first, rng), (second, _) = varying(5), varying(5)
    steps = [(rng.uniform(-5, 20), rng.uniform(0, 9), drive(rng, 5)) for _ in range(6)]
    for outdoor, wind, given in steps[:3]:
        first.step(900, outdoor, wind, **given)
    second.zones.state[:] = first.zones.state
    second.memory = first.memory
    for outdoor, wind, given in steps[3:]:
        a, b = first.step(900, outdoor, wind, **given), second.step(900, outdoor, wind, **given)
        np.testing.assert_array_equal(a.power, b.power)
        np.testing.assert_array_equal(a.loss, b.loss)


def test_surfaces_face_by_the_areas_of_roofs_and_storeys():
    exterior, interior = facing_shares(TYPES, STOREYS)
    np.testing.assert_allclose(exterior.sum(axis=1), 1)
    np.testing.assert_allclose(exterior[1, Facing.DOWN], 0.25 / 1.1)
    np.testing.assert_allclose(interior[0], [1, 0, 0])
    np.testing.assert_allclose(interior[1, Facing.UP], 0.75 / 3.3)


def test_infiltration_follows_sherman_and_grimsruds_law():
    # Stack alone grows with the root of the difference, wind alone with the speed.
    for storeys in (1, 2, 3, 9):
        a, b = (infiltration_factor(rise, 0.0, storeys, 3) for rise in (5.0, 20.0))
        assert b / a == pytest.approx(2.0)
        c, d = (infiltration_factor(0.0, wind, storeys, 3) for wind in (2.0, 6.0))
        assert d / c == pytest.approx(3.0)
        row = min(storeys, 3) - 1
        assert (c / a) ** 2 == pytest.approx(WIND[3][row] * 4 / (STACK[row] * 5))
    with pytest.raises(CosimError, match=r"shelter classes are \[6\]: they must be from 1 to 5"):
        infiltration_factor(5.0, 3.0, 2, 6)


@pytest.mark.parametrize(
    ("wall", "problem"),
    [
        ([0, 0, 5.0], r"party wall 0 is \[0\.0, 0\.0, 5\.0\]: it must lie between two of the 3 zones"),
        ([0, 3, 5.0], "between two of the 3 zones"),
        ([0, 1, -5.0], "conductance must be finite and not negative"),
        ([0, 1, np.nan], "conductance must be finite"),
    ],
)
def test_impossible_party_walls_are_refused(wall, problem):
    with pytest.raises(CosimError, match=problem):
        PartyWalls(np.array([wall]), 3)
    with pytest.raises(CosimError, match=r"party walls have shape \(3,\)"):
        PartyWalls(np.array(wall), 3)


def test_a_party_wall_carries_u_times_area_to_the_colder_zone():
    gains = PartyWalls(np.array([[0, 2, 100.0]]), 3).gains(np.array([20.0, 5.0, 12.0]))
    assert gains.tolist() == [-800.0, 0.0, 800.0]


def test_split_units_lose_by_cycling_and_inverters_gain_at_part_load():
    fixed, inverter = CoolingUnits(np.array([3e3]), 3.2), CoolingUnits(np.array([3e3]), 3.2, LEAST_INVERTER)
    full, part, little = np.array([3e3]), np.array([1.5e3]), np.array([1.0])
    for units in (fixed, inverter):
        assert units.ratio(full, 35.0) == pytest.approx(3.2)
        assert units.ratio(full, 25.0) > 3.2
    assert fixed.ratio(part, 35.0) == pytest.approx(3.2 * 0.875)  # EN 14825: 1 - 0.25 (1 - 1/2)
    assert inverter.ratio(part, 35.0) > 1.5 * fixed.ratio(part, 35.0)
    assert inverter.ratio(little, 35.0) == pytest.approx(0.75 * inverter.ratio(full * LEAST_INVERTER, 35.0), rel=1e-3)


def test_a_cap_on_the_power_of_split_units_holds_at_every_load():
    for share in (1.0, LEAST_INVERTER):
        units = CoolingUnits(np.full(50, 3e3), 3.2, share)
        cap = np.linspace(0.0, 1500.0, 50)
        for outdoor in (18.0, 30.0, 44.0):
            most = units.cooling(cap, outdoor)
            for part in (0.01, 0.3, 1.0):
                assert (units.power(part * most, outdoor) <= cap * (1 + 1e-12)).all()
    with pytest.raises(CosimError, match=r"rated ratio of -1 and run down to 1\.0"):
        CoolingUnits(np.ones(1), -1)
