"""The environment adapter: conformance, particles counted once, background, weather, and noise."""

import numpy as np
import pytest

from cosim.adapters.environment import Environment
from cosim.core import CosimError, Step
from cosim.core.environment.air import POLLUTANTS, direction_and_spread, facade_air
from cosim.core.environment.noise_emission import sound_power
from cosim.core.environment.noise_levels import a_weighted, decibels
from cosim.core.environment.ospm import facade_concentrations, roof_wind, traffic_turbulence
from cosim.core.environment.streets import Streets
from cosim.core.environment.wear import wear_factors
from cosim.scenarios.environment.sound import paths_of
from cosim.testing import check_adapter

BACKGROUND = np.array([20.0, 28.0, 50.0, 22.0, 13.0]) * 1e-9
CLASSES = {"HBEFA3/PC_G_EU4": 1.0, "HBEFA4/PC_petrol_Euro-4": 0.06}
PRIMARY = {"HBEFA3/PC_G_EU4": 0.05, "HBEFA4/PC_petrol_Euro-4": 0.2}
KINDS = ("car", "electric car", "truck or bus")


def two_streets():
    axis = np.array([[0.0, 0.0], [0.0, 100.0]])
    return Streets(
        ("a", "b"),
        np.array([100.0, 100.0]),
        np.zeros(2),
        np.full((2, 2), 10.0),
        np.array([[20.0, 20.0], [0.0, 0.0]]),
        (axis, axis + np.array([300.0, 0.0])),
    )


def adapter(kinds=KINDS, **changes):
    streets = two_streets()
    given = {
        "exhaust_shares": CLASSES,
        "primary_no2_shares": PRIMARY,
        "background": BACKGROUND,
        "paths": paths_of(streets, []),
    }
    return Environment(streets, kinds, **given | changes)


def hour(made, *, flow=1000.0, speed=50 / 3.6, wind=3.0, velocity=(0.0, 0.0), pmx=1e-8, electric=0.0, trucks=0.0):
    """Advance one hour with the same traffic on both streets; flows in vehicles an hour."""
    flows = np.array([flow, electric, trucks]) / 3600
    travel = np.tile(flows * 100.0, 2)
    made.travel_by_kind.deliver(travel)
    made.vehicles.deliver(np.full(2, flows.sum() * 100.0 / speed))
    made.nox.deliver(np.full(2, 1e-6 * (flow > 0)))
    made.pmx.deliver(np.full(2, pmx))
    made.nox_by_class.deliver([0.0, 1e-6])
    made.pmx_by_class.deliver([pmx, pmx])
    made.wind_speed.deliver([wind])
    made.wind_velocity.deliver(velocity)
    made.outdoor_temperature.deliver([15.0])
    made.global_radiation.deliver([300.0])
    made.advance(Step(0.0, 3600.0))
    return made


def test_adapter_keeps_the_contract():
    def received(step):
        return {"background": BACKGROUND, "travel_by_kind": np.full(6, 5.0), "vehicles": np.ones(2)}

    check_adapter(adapter, step_s=3600.0, inputs=received)


def test_without_traffic_there_is_the_background_and_silence():
    made = hour(adapter(), flow=0.0, pmx=0.0)
    for port, value in zip((made.total_nox, made.pm10, made.pm25), BACKGROUND[[1, 3, 4]], strict=True):
        assert port.value == pytest.approx(np.full(4, value))
    assert made.no2.value + made.o3.value * (46 / 48) == pytest.approx(np.full(4, 20e-9 + 50e-9 * 46 / 48), rel=5e-3)
    assert made.noise.value.tolist() == [0.0] * 4
    assert made.wear.value.tolist() == [0.0, 0.0]


def test_concentrations_are_those_of_ospm():
    made = hour(adapter(), velocity=(0.0, -3.0))
    streets = two_streets()
    turbulence = np.full(2, traffic_turbulence(1000 / 3600 * 50 / 3.6, 0.0, 20.0))
    unit = facade_concentrations(
        float(roof_wind(3.0)),
        0.0,
        turbulence,
        bearing=np.zeros(2),
        width=streets.width,
        height=streets.height,
        reach=50.0,
    )
    assert made.total_nox.value == pytest.approx((unit * 1e-6 / 100 + BACKGROUND[1]).ravel())
    assert made.turbulence.value == pytest.approx(turbulence)
    assert (made.no2.value < made.total_nox.value).all()


def test_wear_is_counted_once_whatever_sumos_pm_holds():
    made = hour(adapter(), pmx=1e-8)
    wear10 = float(wear_factors(50.0)[0, 1]) * 1000 / 3600 * 100 * 1e-6
    assert made.wear.value == pytest.approx(np.full(2, wear10))
    # half of the PM comes from the class whose PM is exhaust alone, half from one of which 6 % are
    assert made.pm10_emission.value == pytest.approx(np.full(2, wear10 + 1e-8 * (1.0 + 0.06) / 2))


def test_electric_cars_wear_as_others_do():
    burning, electric = hour(adapter(), pmx=0.0), hour(adapter(), flow=0.0, electric=1000.0, pmx=0.0)
    assert electric.wear.value == pytest.approx(burning.wear.value)
    assert electric.pm25.value == pytest.approx(burning.pm25.value)
    assert (electric.no2.value < burning.no2.value).all()


def test_primary_no2_is_that_of_the_classes_that_emit():
    made = hour(adapter())
    assert made.primary_no2_share.value.tolist() == [0.2]
    more = hour(adapter(primary_no2_shares=dict.fromkeys(PRIMARY, 0.5)))
    assert (more.no2.value > made.no2.value).all()


def test_trees_raise_what_traffic_adds_by_their_factor():
    plain = hour(adapter())
    planted = Environment(
        two_streets().with_trees(1.5, {"a"}),
        KINDS,
        exhaust_shares=CLASSES,
        primary_no2_shares=PRIMARY,
        background=BACKGROUND,
    )
    hour(planted)
    added, more = plain.total_nox.value - BACKGROUND[1], planted.total_nox.value - BACKGROUND[1]
    assert more / added == pytest.approx([1.5, 1.5, 1.0, 1.0])
    assert not hasattr(planted, "noise")


def test_an_unknown_direction_treats_both_facades_alike():
    made = hour(adapter())
    left, right = made.total_nox.value[:2]
    assert left == pytest.approx(right)
    west = hour(adapter(), velocity=(3.0, 0.0))
    assert west.total_nox.value[0] > 1.5 * west.total_nox.value[1] - BACKGROUND[1] / 2


def test_a_wind_that_turns_has_its_sector():
    mean = 4.0 * np.sin(1.0) / 1.0  # over a sector of 1 rad to either side of the direction of 1 rad
    direction, spread = direction_and_spread(4.0, -mean * np.sin(1.0), -mean * np.cos(1.0))
    assert (direction, spread) == pytest.approx((1.0, 1.0), abs=1e-4)
    assert direction_and_spread(0.0, 0.0, 0.0)[1] == pytest.approx(np.pi)


def test_noise_is_that_of_cnossos_with_the_street_in_front():
    made = hour(adapter())
    power = decibels(a_weighted(sound_power({"1": [1000.0]}, {"1": [50.0]}, temperature=20.0)))[0]
    away = np.hypot(10.0, 3.95)  # receivers are 4 m high, tyres 0.05 m
    seen = 2 * np.arctan(50.0 / away)
    assert made.noise.value[2] == pytest.approx(power + 10 * np.log10(seen / (4 * np.pi * away)) + 3.0, abs=0.4)
    # and the first street has reflections between its walls
    assert made.noise.value[0] == pytest.approx(made.noise.value[2] + 1.6, abs=0.2)
    quiet = hour(adapter(), flow=0.0, electric=1000.0, speed=30 / 3.6)
    loud = hour(adapter(), speed=30 / 3.6)
    assert loud.noise.value[0] - quiet.noise.value[0] == pytest.approx(1.9, abs=0.1)


def test_calm_air_is_bad_but_finite_and_missing_wind_is_refused():
    calm = hour(adapter(), wind=0.0)
    assert (calm.no2.value > hour(adapter()).no2.value).all()
    with pytest.raises(CosimError, match=r"the wind is -1\.0 m/s: air quality in streets needs a wind speed"):
        hour(adapter(), wind=-1.0)


def test_a_negative_background_is_refused_before_and_during_a_run():
    with pytest.raises(CosimError, match="the background of O3 is -5 µg/m³: it must be from 0 to 5000"):
        adapter(background=BACKGROUND - [0, 0, 55e-9, 0, 0])
    made = adapter()
    made.background.deliver(BACKGROUND * [1, 1, 1, -1, 1])
    with pytest.raises(CosimError, match="the background of PM10 is -22 µg/m³"):
        hour(made)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"exhaust_shares": {"x": 1.2}, "primary_no2_shares": {"x": 0.1}},
            "share of exhaust of emission class 'x' is 1.2",
        ),
        (
            {"exhaust_shares": {"x": 1.0}, "primary_no2_shares": {"x": -0.1}},
            "share of NO2 of emission class 'x' is -0.1",
        ),
        ({"exhaust_shares": {"x": 1.0}}, "must have the same emission classes in the same order"),
    ],
)
def test_impossible_shares_are_refused(changes, message):
    with pytest.raises(CosimError, match=message):
        adapter(**changes)


def test_without_background_there_are_emissions_and_noise():
    made = hour(adapter(background=None))
    assert not hasattr(made, "no2")
    assert made.noise.value == pytest.approx(hour(adapter()).noise.value)
    assert (made.wear.value > 0).all()


def test_an_unknown_kind_is_refused():
    with pytest.raises(CosimError, match="unknown kind of vehicle 'sledge': the environment knows car, electric car"):
        adapter(kinds=("sledge",))


def test_pollutants_of_an_hour_have_their_order():
    given = dict.fromkeys(("nox", "pm10", "pm25"), np.zeros(2))
    found = facade_air(
        two_streets(),
        **given,
        turbulence=np.zeros(2),
        primary_share=0.1,
        wind=2.0,
        direction=0.0,
        temperature=10.0,
        radiation=0.0,
        background=BACKGROUND,
    )
    assert found.shape == (len(POLLUTANTS), 2, 2)
    assert found[3:, 0, 0] == pytest.approx(BACKGROUND[3:])
