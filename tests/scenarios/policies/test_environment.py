"""Policies on air and noise: each has its documented effect, in levels that are published."""

import datetime as dt

import numpy as np
import pytest

from cosim import Clock, CosimError
from cosim.adapters.traffic.demand import Variant
from cosim.core.environment.noise_emission import sound_power
from cosim.core.environment.noise_levels import a_weighted, decibels
from cosim.scenarios.coupling import couple
from cosim.scenarios.indicators.environment import HEALTH
from cosim.scenarios.measures import ROAD_SURFACES, value_at
from cosim.scenarios.policies import (
    BackgroundAir,
    HealthEffects,
    NightSpeedLimit,
    NightTruckBan,
    QuietSurfaces,
    SpeedLimit,
    Superblocks,
    Trees,
)
from cosim.scenarios.policies.policy import Policies
from cosim.scenarios.policies.trips import retype
from tests.support.policy_runs import district, quarter, run_traffic


def level(flow, speed, **options):
    return float(decibels(a_weighted(sound_power(flow, dict.fromkeys(("1", "2", "3"), speed), **options))))


def adapter(*policies):
    city = district()
    return couple(city, Clock("2025-01-15", hours=1, zone=city.zone), policies=policies).adapters["environment"]


def test_trees_raise_what_traffic_adds_along_their_streets():
    sites = district().sites
    x, y = sites["x"].mean(), sites["y"].mean()
    area = ((x - 90, y - 90), (x + 90, y - 90), (x + 90, y + 90), (x - 90, y + 90))
    within, everywhere = adapter(Trees(polygon=area)).streets, adapter(Trees("roof")).streets
    assert set(within.tree_factor) == {1.0, 1.25}
    assert set(everywhere.tree_factor) == {1.5}  # test_environment of the adapter has what the factor does
    with pytest.raises(CosimError, match="the outline crosses itself or has no area"):
        Trees(polygon=((0, 0), (1, 1), (2, 2)))


def test_background_air_is_what_comes_in(tmp_path):
    assert adapter(BackgroundAir("bologna")).background.default[0] == pytest.approx(26e-9)
    path = tmp_path / "air.csv"
    path.write_text("time,no2,nox,o3,pm10,pm25\n2025-01-15T00:00+01:00,41,60,30,25,15\n", encoding="utf-8")
    assert adapter(BackgroundAir(str(path))).background.default[:2] == pytest.approx([41e-9, 60e-9])
    with pytest.raises(CosimError, match="no background air is published for 'atlantis'"):
        adapter(BackgroundAir("atlantis"))


def test_electric_cars_change_noise_by_the_published_difference():
    # Pallas et al. 2016: 0.7 dB(A) at 50 km/h, 1.9 dB(A) at 30 km/h if all cars are electric; a part gains less
    for speed, gain in ((50.0, 0.7), (30.0, 1.9)):
        engine = level({"1": 1000.0}, speed)
        assert engine - level({"1": 0.0}, speed, electric={"1": 1000.0}) == pytest.approx(gain, abs=0.05)
        half = engine - level({"1": 500.0}, speed, electric={"1": 500.0})
        assert 0 < half < gain / 2 + 0.05


def test_limit_at_night_lowers_speeds_only_then(tmp_path):
    city = NightSpeedLimit(30, from_hour=8.25, to_hour=9).change_city(quarter())
    day = next(iter(city.measures.inputs["traffic.speed_limit"].values()))
    assert value_at(day, dt.datetime(2025, 1, 15, 8, 10)) == pytest.approx(50 / 3.6, abs=0.06)
    assert value_at(day, dt.datetime(2025, 1, 15, 8, 20)) == pytest.approx(30 / 3.6)
    speed = run_traffic(city, tmp_path / "run").series("traffic.speed").max(axis=1) * 3.6
    assert speed.iloc[:15].max() > 45
    assert speed.iloc[20:].max() < 30 * 1.4  # the fastest driver's factor


def test_default_night_is_that_of_the_directive_and_gains_what_cnossos_has():
    city = NightSpeedLimit().change_city(district())
    for day in city.measures.inputs["traffic.speed_limit"].values():
        at = [value_at(day, dt.datetime(2025, 1, 15, hour)) * 3.6 for hour in (0, 6, 7, 22, 23)]
        np.testing.assert_allclose(at, [30, 30, 50, 50, 30], atol=0.2)
    assert level({"1": 1000.0}, 50.0) - level({"1": 1000.0}, 30.0) == pytest.approx(3.76, abs=0.01)


def test_night_limit_keeps_slower_streets_and_refuses_a_limit_by_day_beside_it():
    inside = Superblocks(interior_kmh=20).change_city(quarter())
    slow = set(inside.measures.inputs["traffic.speed_limit"])
    found = NightSpeedLimit().change_city(inside).measures.inputs["traffic.speed_limit"]
    assert all(found[edge] == inside.measures.inputs["traffic.speed_limit"][edge] for edge in slow)
    assert len(found) > len(slow)
    with pytest.raises(CosimError, match="SpeedLimit decide the same"):
        Policies([SpeedLimit(30), NightSpeedLimit()])
    with pytest.raises(CosimError, match="changes no street"):
        NightSpeedLimit(50).change_city(district())


def test_quiet_surfaces_lower_the_noise_of_streets_as_published():
    city = QuietSurfaces().change_city(district())
    assert set(city.sectors[ROAD_SURFACES].values()) == {"NL13"}
    assert set(city.sectors[ROAD_SURFACES]) <= set(district().network.labels)
    gains = [level({"1": 1000.0}, v) - level({"1": 1000.0}, v, surface="NL13") for v in (50.0, 30.0)]
    np.testing.assert_allclose(gains, [2.88, 2.37], atol=0.01)


def test_quiet_surfaces_within_an_outline_add_to_those_before():
    west = QuietSurfaces(surface="NL05", polygon=((-10, -10), (150, -10), (150, 300), (-10, 300))).change_city(
        district()
    )
    both = QuietSurfaces(surface="NL14").change_city(west)
    assert 0 < len(west.sectors[ROAD_SURFACES]) < len(both.sectors[ROAD_SURFACES])
    assert set(both.sectors[ROAD_SURFACES].values()) == {"NL14"}


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (QuietSurfaces(surface="velvet"), r"unknown road surface 'velvet'; there are NL01 \(1-layer ZOAB\)"),
        (QuietSurfaces(surface="reference"), "unknown road surface 'reference'"),
        (QuietSurfaces(least_kmh=120), "changes no street: none within has a limit of 120 km/h"),
        (QuietSurfaces(polygon=((-900, -900), (-800, -900), (-800, -800))), "no street for cars lies in the area"),
    ],
)
def test_policy_that_changes_nothing_or_names_no_surface_is_refused(policy, words):
    with pytest.raises(CosimError, match=words):
        policy.change_city(district())


def test_a_ban_of_trucks_needs_trucks():
    variants = {"van": Variant({"vClass": "delivery"})}
    city, _ = retype(district(), lambda trip: "van" if trip.vehicle_class in ("truck", "trailer") else None, variants)
    with pytest.raises(CosimError, match="has no trips of the classes truck, trailer"):
        NightTruckBan().change_city(city)


def test_banned_trucks_do_not_drive_at_night(tmp_path):
    ids = iter(range(10**6))
    variants = {"truck": Variant({"vClass": "truck", "emissionClass": "HBEFA4/RT_le7.5t_Euro-VI_A-C"})}
    city, counts = retype(quarter(), lambda trip: "truck" if next(ids) % 4 == 0 else None, variants)
    assert counts["truck"] > 0
    base = run_traffic(city, tmp_path / "base", hours=0.25)
    banned = run_traffic(NightTruckBan(from_hour=7, to_hour=12).change_city(city), tmp_path / "banned", hours=0.25)
    by_day = run_traffic(NightTruckBan().change_city(city), tmp_path / "day", hours=0.25)
    trucks = "HBEFA4/RT_le7.5t_Euro-VI_A-C"

    def emitted(result):
        return float(result.series("traffic.co2_by_class").get(trucks, 0.0).sum())

    assert emitted(base) > 0
    assert emitted(banned) < 0.2 * emitted(base)
    assert emitted(by_day) == pytest.approx(emitted(base))
    assert float(banned.total("traffic.cancelled").iloc[-1]) > 0


def test_health_effects_are_counted_for_those_whom_the_functions_cover():
    chosen = HealthEffects(deaths_per_1000=12.0, adults=0.5).change_city(district()).sectors[HEALTH]
    assert set(chosen) == {"deaths by PM2.5", "deaths by NO2"}
    assert {(one.incidence, one.covered) for one in chosen.values()} == {(0.012, 0.5)}
    both = HealthEffects(12.0, 4.0).change_city(district()).sectors[HEALTH]
    assert both["heart disease by noise"].function.above == 53.0
