"""Heat pumps, tanks, batteries, households and panels against closed forms, balances and published figures."""

import datetime as dt

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from cosim.core import CosimError, InputFileError
from cosim.core.buildings.heat_pump import FittedCurve, HeatPumpUnits, LiftCurve, frost_loss, read_hplib
from cosim.core.buildings.households import (
    APPLIANCES,
    BASE_POWER,
    GAS_HOB,
    SIZE_EXPONENT,
    SIZES,
    Households,
    mean_size,
)
from cosim.core.buildings.storage import WATER, Batteries, Tanks
from cosim.core.buildings.zones import ZoneParameters, Zones
from cosim.core.weather.normals import synthetic_year
from cosim.core.weather.photovoltaics import pv_yield
from tests.support.paths import DATA
from tests.support.thermostat import Thermostats

HPLIB = DATA / "heatpump/hplib_database.csv"
MONDAY = dt.datetime(2025, 1, 13)


def pumps(capacity=8000.0, n=1):
    return HeatPumpUnits(np.full(n, capacity), LiftCurve(False), np.zeros(n, dtype=bool))


def test_cop_follows_staffell_and_stays_in_the_fitted_range():
    air, ground = LiftCurve(False), LiftCurve(True)
    assert air(35, 5) == pytest.approx(6.81 - 0.121 * 30 + 0.00063 * 900)
    assert ground(35, 5) == pytest.approx(8.77 - 0.150 * 30 + 0.000734 * 900)
    assert air(20, 20) == air(35, 20)
    assert air(90, -20) == air(60, 0)


def test_cycling_losses_follow_the_standard_and_a_cap_converts_into_the_same_heat():
    units = pumps()
    cop = np.array([3.0])
    x = 0.5  # half the least load
    heat = np.array([x * units.least_share * 8000.0])
    assert heat / units.power(heat, cop) == pytest.approx(3.0 * x / (0.9 * x + 0.1))
    for load in (100.0, 1000.0, 2399.0, 2401.0, 8000.0):
        heat = np.array([load])
        assert units.heat(units.power(heat, cop), cop) == pytest.approx(heat)
    assert units.power(np.zeros(1), cop) == 0
    assert units.heat(np.array([1e9]), cop) == 8000.0
    assert units.heat(np.array([1.0]), cop) == 0


def test_frost_costs_air_source_units_most_near_two_degrees_and_the_ground_nothing():
    assert frost_loss([-15, -10, 2, 7, 15]).tolist() == [0, 0, 0.1, 0, 0]
    ground = HeatPumpUnits(np.ones(1), LiftCurve(True), np.ones(1, dtype=bool))
    assert ground.cop(35, 5, 2) == LiftCurve(True)(35, 5)
    assert pumps().cop(35, 2, 2) == pytest.approx(0.9 * LiftCurve(False)(35, 2))


def test_a_measured_model_has_its_published_reference_cop():
    if not HPLIB.exists():
        pytest.skip(f"hplib's table is not at {HPLIB}")
    curve, heat = read_hplib(HPLIB, "i-SHWAK V4 06")
    assert heat == 4500
    assert isinstance(curve, FittedCurve)
    assert curve(35, 7) > curve(55, 7) > curve(55, -7) >= 1
    with pytest.raises(InputFileError, match="unknown model 'none'"):
        read_hplib(HPLIB, "none")
    with pytest.raises(InputFileError, match="cannot read heat pumps"):
        read_hplib(HPLIB / "nowhere", "none")


def test_a_tank_keeps_the_balance_of_heat_in_every_step():
    rng = np.random.default_rng(1)
    tanks = Tanks(rng.uniform(0.05, 3, 50), np.full(50, 6000.0))
    for _ in range(300):
        before = tanks.stored_heat
        charge, delivered, loss = tanks.step(900.0, rng.choice([0.0, 500.0, 9000.0], 50), 42.0)
        np.testing.assert_allclose(tanks.stored_heat - before, 900 * (charge - delivered - loss), atol=1e-3)
        assert (charge >= 0).all()
        assert (charge <= 6000.0).all()
        assert (tanks.temperature < 55.0 + 1e-6).all()


def test_a_drawn_tank_cools_according_to_its_differential_equation():
    tanks = Tanks(np.array([0.2]), np.zeros(1))
    start = tanks.temperature[0]
    flow = 3000.0 / (start - 12)

    def rate(_, t):
        return [(-flow * (t[0] - 12) - 9.5 * 0.2 * (t[0] - 20)) / (WATER * 0.2)]

    tanks.step(3600.0, np.array([3000.0]), 42.0)
    expected = solve_ivp(rate, (0, 3600), [start], rtol=1e-10).y[0, -1]
    assert tanks.temperature[0] == pytest.approx(expected, rel=1e-8)


def test_a_tank_charges_from_its_band_up_to_its_setpoint_and_then_rests():
    tanks = Tanks(np.array([0.2]), np.array([3000.0]))
    tanks.temperature[:] = 47.9
    powers = [tanks.step(600.0, np.zeros(1), 42.0)[0][0] for _ in range(12)]
    assert powers[0] == 3000.0
    assert tanks.temperature[0] == pytest.approx(55.0, abs=0.5)
    assert powers[-1] == 0.0


def test_a_building_without_a_tank_stores_no_heat():
    tanks = Tanks(np.zeros(2), np.zeros(2))
    charge, delivered, loss = tanks.step(600.0, np.full(2, 500.0), 42.0)
    assert (charge == 0).all()
    assert (delivered == 0).all()
    assert (loss == 0).all()


def test_a_battery_loses_energy_by_its_efficiency_and_stays_within_its_bounds():
    battery = Batteries(np.array([3.6e7]), np.array([5000.0]), efficiency=0.81)
    battery.energy[:] = 0
    put = sum(battery.step(900.0, np.array([4000.0]))[0] * 900 for _ in range(100))
    assert battery.energy == pytest.approx(3.6e7)
    got = sum(battery.step(900.0, np.array([-9000.0]))[0] * 900 for _ in range(100))
    assert battery.energy == pytest.approx(0.0, abs=1e-3)
    assert -got / put == pytest.approx(0.81)
    assert battery.step(900.0, np.array([-9000.0]))[0] == pytest.approx(0.0, abs=1e-9)


def test_impossible_systems_are_refused():
    with pytest.raises(CosimError, match=r"battery capacity of building 1 is -1\.0"):
        Batteries(np.array([1.0, -1.0]), np.ones(2))
    with pytest.raises(CosimError, match="tank volume of building 0 is nan"):
        Tanks(np.array([np.nan]), np.ones(1))
    with pytest.raises(CosimError, match="must rise in this order"):
        Tanks(np.ones(1), np.ones(1), setpoint=10.0)
    with pytest.raises(CosimError, match="heat pump 0 has a capacity"):
        pumps(-1.0)
    with pytest.raises(CosimError, match="efficiency of batteries is 0"):
        Batteries(np.ones(1), np.ones(1), 0.0)


def week(households, step_s=900.0):
    begins = [MONDAY + dt.timedelta(seconds=step_s * k) for k in range(round(7 * 86400 / step_s))]
    steps = [households.mean(begin, step_s) for begin in begins]
    return {name: np.array([getattr(s, name) for s in steps]) for name in ("persons", "appliances", "hot_water")}


@pytest.fixture(scope="module")
def thousand():
    n = 1000
    households = Households([f"d{i}" for i in range(n)], np.ones(n), np.full(n, 200.0), seed=1)
    return households, week(households)


def test_groups_of_dwellings_have_published_coincidence(thousand):
    """London's 2,639 metered households draw 0.54 to 1.78 kW each at a large group's peak [1]; groups between one and
    many follow g + (1 − g) n^−0.75 [2].

    [1] Konstantelos, Sun, Strbac: Quantifying demand diversity of households. Low Carbon London, 2014.
    [2] The form of pylovo, synthetic low-voltage grids; g is this model's own, from the thousand.
    """
    power = thousand[1]["appliances"]
    alone = power.max(axis=0)
    peak, factor = {}, {}
    for size in (1, 10, 100, 1000):
        group = power.reshape(len(power), -1, size).sum(axis=2).max(axis=0)
        peak[size] = group.mean() / size
        factor[size] = (group / alone.reshape(-1, size).sum(axis=1)).mean()
    assert factor[1] == 1
    assert 540 <= peak[100] <= 1780
    assert 540 <= peak[1000] <= 1780
    g = (factor[1000] - 1000**-0.75) / (1 - 1000**-0.75)
    for size in (10, 100):
        assert factor[size] == pytest.approx(g + (1 - g) * size**-0.75, abs=0.05)


def test_mean_presence_matches_the_standard(thousand):
    households, found = thousand
    share = (found["persons"][:96].mean(axis=1) / households.residents.mean()).reshape(24, 4).mean(axis=1)
    standard = np.array([1] * 6 + [0.5] * 3 + [0.1] * 3 + [0.2] * 4 + [0.5] * 3 + [0.8] * 3 + [1] * 2)
    # Persons leave and return within an hour of the standard's, so its jumps are ramps here.
    assert abs(share - standard).mean() < 0.09
    assert share.mean() == pytest.approx(standard.mean(), abs=0.03)


def test_energy_is_that_of_the_table(thousand):
    daily = 24 * BASE_POWER + sum(a.uses * a.power * a.duration / 3600 for a in APPLIANCES)
    assert thousand[1]["appliances"].mean() * 24 == pytest.approx(daily, rel=0.03)
    assert thousand[1]["hot_water"].mean() == pytest.approx(200.0, rel=0.03)


def test_smaller_households_use_less_and_gas_hobs_burn_what_electric_ones_drew():
    labels, ones, need = [f"d{i}" for i in range(300)], np.ones(300), np.full(300, 200.0)
    usual, singles, gas = (
        Households(labels, ones, need, seed=1, **more) for more in ({}, {"sizes": (1.0,)}, {"gas_hobs": 1.0})
    )
    assert (singles.residents == 1).all()
    power = {name: week(h)["appliances"].mean() for name, h in {"usual": usual, "singles": singles, "gas": gas}.items()}
    assert power["singles"] / power["usual"] == pytest.approx(mean_size(SIZES) ** -SIZE_EXPONENT, abs=0.02)
    noon = MONDAY + dt.timedelta(hours=13)
    electric, burnt = usual.mean(noon, 3600), gas.mean(noon, 3600)
    assert (electric.cooking == 0).all()
    np.testing.assert_allclose(burnt.cooking, GAS_HOB * (electric.appliances - burnt.appliances), atol=1e-9)
    assert burnt.cooking.mean() > 20
    half = Households(labels, ones, need, seed=1, gas_hobs=0.5).mean(noon, 3600).cooking
    assert set(np.flatnonzero(half)) < set(np.flatnonzero(burnt.cooking))
    with pytest.raises(CosimError, match=r"the share of gas hobs is 1\.5"):
        Households(["a"], np.ones(1), np.zeros(1), gas_hobs=1.5)
    with pytest.raises(CosimError, match=r"shares of households by size are \(0.5, 0.2\)"):
        Households(["a"], np.ones(1), np.zeros(1), sizes=(0.5, 0.2))


def test_means_of_households_do_not_depend_on_the_step():
    few = [Households(["a", "b"], np.array([3.0, 8.0]), np.full(2, 300.0), seed=2) for _ in range(2)]
    fine, coarse = week(few[0], 300.0), week(few[1], 7200.0)
    for name in fine:
        np.testing.assert_allclose(fine[name].reshape(-1, 24, 2).mean(axis=1), coarse[name], rtol=1e-9, atol=1e-9)


def test_households_are_a_function_of_seed_day_and_label_alone():
    later = Households(["b", "c"], np.array([8.0, 1.0]), np.full(2, 300.0), seed=2)
    early = Households(["a", "b"], np.array([3.0, 8.0]), np.full(2, 300.0), seed=2)
    week(early)
    noon = MONDAY + dt.timedelta(days=3, hours=12)
    assert early.mean(noon, 900).appliances[1] == later.mean(noon, 900).appliances[0]
    with pytest.raises(CosimError, match="building 'a' has 0 dwellings"):
        Households(["a"], np.zeros(1), np.zeros(1))
    with pytest.raises(CosimError, match=r"building 'a' has 20000 dwellings and needs 0 W of hot water: at most 10000"):
        Households(["a"], np.full(1, 2e4), np.zeros(1))


def test_a_household_asked_anew_by_any_number_of_threads_gives_the_same_bytes():
    n, need = 5000, np.full(5000, 200.0)
    labels = [f"d{i}" for i in range(n)]
    steady, threaded = (Households(labels, np.ones(n), need, seed=4, threads=k) for k in (1, 2))
    times = [MONDAY + dt.timedelta(hours=22, minutes=7 * k) for k in range(30)]  # over midnight
    found = [steady.mean(begin, 420.0) for begin in times]
    for k in (29, 3, 4, 17):  # back in time, on, and on by a leap
        again = threaded.mean(times[k], 420.0)
        for name in ("persons", "appliances", "hot_water", "cooking"):
            assert getattr(found[k], name).tobytes() == getattr(again, name).tobytes()
    nobody_cooks_on_gas = steady.mean(times[0], 420.0).cooking
    assert (nobody_cooks_on_gas == 0).all()


def test_steps_longer_than_a_day_have_the_mean_of_their_hours():
    some = Households(["a", "b"], np.array([3.0, 8.0]), np.full(2, 300.0), seed=2)
    long = some.mean(MONDAY, 60 * 3600.0)
    hours = [some.mean(MONDAY + dt.timedelta(hours=k), 3600.0) for k in range(60)]
    for name in ("persons", "appliances", "hot_water"):
        mean = np.mean([getattr(hour, name) for hour in hours], axis=0)
        np.testing.assert_allclose(getattr(long, name), mean, rtol=1e-9)


def test_panels_yield_what_is_published_for_barcelona():
    year = synthetic_year("barcelona")
    start = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    course = pv_yield(year, {"south": (35, 180), "north": (35, 0)}, start, 8760 * 3600.0)
    hours = 8760 * course.mean(0.0, 8760 * 3600.0)[0]
    # Assumption: optimally tilted roofs of Barcelona give 1,300 to 1,600 kWh per kW of peak.
    assert 1250 < hours[0] < 1650
    assert hours[1] < 0.7 * hours[0]


def test_a_switching_thermostat_keeps_its_band_and_needs_as_much_as_ideal_heating():
    flat = ZoneParameters(
        air_capacity=1e6,
        exterior_capacity=8e6,
        interior_capacity=2e7,
        r_exterior=1e-3,
        r_interior=4e-4,
        r_rest=1.5e-2,
        exterior_area=90.0,
        interior_area=300.0,
        outdoor_conductance=80.0,
    )
    switched, ideal, thermostat = Zones(flat, [0]), Zones(flat, [0]), Thermostats(1, band=1.0)
    heat, energy, air = 0.0, 0.0, []
    for _ in range(3 * 1440):
        step, given = thermostat.step(switched, 60.0, 0.0, 20.0, 6000.0)
        heat += given[0]
        air.append(switched.state[0, 0])
        assert given[0] in (0.0, 6000.0)
        energy += ideal.step(60.0, 0.0, heating_setpoint=20.0, heating_capacity=6000.0).power[0]
    assert step.power[0] == 0
    late = np.array(air[600:])
    assert 19.2 < late.min() < 19.6
    assert 20.4 < late.max() < 20.8
    assert heat == pytest.approx(energy, rel=0.02)
    with pytest.raises(CosimError, match="a step of 900 s: at most 60 s"):
        thermostat.step(switched, 900.0, 0.0, 20.0, 6000.0)
    with pytest.raises(CosimError, match="dead band is 0"):
        Thermostats(1, band=0.0)
