"""Street geometry, what exhaust consists of, background air, annual means, and the sector in a run."""

import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely

from cosim import Clock, CosimError, Scenario
from cosim.adapters.traffic import Traffic
from cosim.adapters.traffic.demand import VehicleType, is_electric, vehicle_types
from cosim.adapters.weather import Weather, load
from cosim.core import InputFileError
from cosim.core.environment.streets import Streets
from cosim.core.environment.vehicles import KINDS
from cosim.scenarios import eixample
from cosim.scenarios.coupling import couple
from cosim.scenarios.environment import exhaust
from cosim.scenarios.environment.annual import annual_means, hours_of_day, screening, typical_days
from cosim.scenarios.environment.background import read_background
from cosim.scenarios.environment.canyons import make_streets, street_edges
from cosim.scenarios.environment.model import Air, Environment
from cosim.scenarios.environment.receivers import receivers
from cosim.scenarios.environment.sound import built_over
from cosim.scenarios.policies import BackgroundAir, EvShare, LowEmissionZone, QuietSurfaces, Trees
from tests.support.policy_runs import district

CET = dt.timezone(dt.timedelta(hours=1))


# Streets


def test_streets_of_the_eixample_are_canyons_of_their_width_and_height():
    city = district()
    made = city.sectors["environment"]
    streets = made.streets
    assert len(streets) < len(city.network.labels)  # both directions of a street are one
    between = (streets.height > 0).all(axis=1)
    assert 0 < between.sum() < len(streets)  # outside the district there are no buildings
    assert streets.width[between] == pytest.approx(20.0, abs=0.5)
    assert ((streets.height[between] > 15) & (streets.height[between] < 28)).all()
    turned = streets.bearing % 180.0
    assert (np.isclose(turned, 45.0, atol=0.1) | np.isclose(turned, 135.0, atol=0.1)).all()


def test_every_edge_of_a_street_belongs_to_one_street():
    city = district()
    membership = city.sectors["environment"].membership
    assert set(np.asarray(membership.sum(axis=0)).ravel()) == {1.0}
    both = [edges for edges in street_edges(city.network).values() if len(edges) == 2]
    row = {label: k for k, label in enumerate(city.network.labels)}
    for there, back in both:
        assert city.network.from_node[row[there]] == city.network.to_node[row[back]]


def test_a_street_without_buildings_is_open_and_as_wide_as_its_lanes():
    city = district()
    streets, _ = make_streets(city.network, [], [])
    assert (streets.height == 0).all()
    assert ((streets.width > 8) & (streets.width < 30)).all()


def test_a_wall_on_one_side_counts_for_that_side():
    city = district()
    network = city.network
    (start, *_, end) = network.shapes[0]
    along = (end - start) / np.hypot(*(end - start))
    right = np.array([along[1], -along[0]])
    wall = shapely.LineString([start + 12 * right, end + 12 * right]).buffer(1.0, cap_style="flat")
    streets, _ = make_streets(network, [wall], [15.0])
    row = streets.labels.index(network.labels[0])
    assert streets.height[row].tolist() == [0.0, 15.0]
    assert streets.distance[row, 1] == pytest.approx(11.0, abs=0.1 + 3 * 3.2)  # of the axis between both directions


def test_the_raster_of_buildings_has_their_area():
    houses = [shapely.box(0, 0, 20, 10), shapely.box(40, 40, 60, 60)]
    built = built_over(houses)
    assert built.cells.sum() * built.side_m**2 == pytest.approx(600.0, rel=0.05)
    assert built_over([]) is None


# Exhaust and vehicles


def test_pm_of_hbefa_4_holds_wear_and_that_of_others_does_not():
    assert exhaust.exhaust_share("HBEFA4/PC_BEV") == 0.0
    assert exhaust.exhaust_share("HBEFA3/PC_G_EU4") == exhaust.exhaust_share("HBEFA2/P_7_7") == 1.0
    assert 0.01 < exhaust.exhaust_share("HBEFA4/PC_diesel_Euro-6d") < 0.05
    assert exhaust.exhaust_share("HBEFA4/PC_diesel_Euro-4") > 0.6


def test_every_class_of_hbefa_4_holds_wear():
    shares = {name: found.exhaust_share for name, found in exhaust._published().items()}
    assert len(shares) == 813
    assert all(share == 0.0 for name, share in shares.items() if is_electric("HBEFA4/" + name))
    assert 0 <= min(shares.values()) <= max(shares.values()) < 1  # none is exhaust alone


@pytest.mark.parametrize("name", ["PC_petrol_Euro-4", "PC_diesel_Euro-5", "UBus_Std_gt15-18t_Euro-VI_A-C"])
def test_the_table_of_exhaust_shares_is_what_sumo_emits(name):
    assert exhaust.measured_share(name) == pytest.approx(exhaust._published()[name].exhaust_share, abs=5e-5)


def test_sumos_electric_car_emits_particles_at_every_speed():
    wear = exhaust._over_cycle("PC_BEV")
    assert max(wear) == pytest.approx(0.3835, abs=5e-4)  # mg/s at 50 km/h, 27.6 mg/km
    assert sum(value > 0 for value in wear) > 40


@pytest.mark.parametrize(
    ("vehicle_class", "emission_class", "kind"),
    [
        ("passenger", "HBEFA4/PC_diesel_Euro-6d", "car"),
        ("custom1", "HBEFA3/PC_G_EU4", "car"),
        ("passenger", "HBEFA4/PC_BEV", "electric car"),
        ("evehicle", "MMPEVEM", "electric car"),
        ("delivery", "HBEFA4/LCV_diesel_N1-III_Euro-6ab", "van"),
        ("passenger", "HBEFA3/LDV_D_EU6", "van"),
        ("bus", "HBEFA4/UBus_Electric_Std_gt15-18t", "electric truck or bus"),
        ("bus", "HBEFA3/Bus", "truck or bus"),
        ("truck", "HBEFA4/RT_le7.5t_Euro-VI_A-C", "truck or bus"),
        ("trailer", "HBEFA4/TT_AT_gt34-40t_Euro-VI_A-C", "heavy truck"),
        ("motorcycle", "HBEFA4/MC_4S_gt250cc_preEuro", "motorcycle"),
        ("moped", "HBEFA4/Moped_le50cc_Euro-2", "moped"),
        ("motorcycle", "HBEFA4/MC_BEV", "electric two-wheeler"),
        ("bicycle", "Zero/default", "other"),
        ("tram", "Zero/default", "other"),
    ],
)
def test_vehicle_types_have_their_kind(vehicle_class, emission_class, kind):
    assert exhaust.kind_of(VehicleType("x", vehicle_class, emission_class)) == kind
    assert kind in KINDS


def test_primary_no2_depends_on_fuel_and_size():
    shares = {name: exhaust.primary_no2_share(f"HBEFA4/{name}") for name in ("PC_petrol_Euro-4", "PC_diesel_Euro-5")}
    assert list(shares.values()) == [0.05, 0.30]
    assert exhaust.primary_no2_share("HBEFA3/HDV_D_EU6") == 0.10
    assert exhaust.primary_no2_share("HBEFA2/P_7_7") == 0.15  # names no fuel


def test_a_group_of_classes_has_their_mean_by_vehicles_and_emission():
    types = [
        VehicleType("old", "passenger", "HBEFA4/PC_diesel_Euro-4"),
        VehicleType("new", "passenger", "HBEFA4/PC_diesel_Euro-6d"),
        VehicleType("bus", "bus", "HBEFA4/UBus_Std_gt15-18t_Euro-VI_A-C"),
    ]
    groups = {"diesel": ("old", "new", "bus")}
    found, primary = exhaust.group_shares(groups, types, {"old": 1.0, "new": 9.0, "bus": 1.0})
    rows = [exhaust._published()[kind.emission_class.removeprefix("HBEFA4/")] for kind in types]
    weights = [n * row.pmx_mg_per_km for n, row in zip((1, 9, 1), rows)]
    assert found["diesel"] == pytest.approx(np.average([row.exhaust_share for row in rows], weights=weights))
    assert 0.10 < primary["diesel"] < 0.30
    single, _ = exhaust.group_shares({"HBEFA3/Bus": ("b",)}, [VehicleType("b", "bus", "HBEFA3/Bus")], {})
    assert single == {"HBEFA3/Bus": 1.0}


def test_vehicles_are_counted_by_type(tmp_path):
    routes = tmp_path / "a.rou.xml"
    routes.write_text(
        '<routes><trip id="1" type="car" depart="0"/><flow id="f" type="car" number="5" begin="0"/>'
        '<vehicle id="2" depart="1"/></routes>'
    )
    assert exhaust.vehicle_counts([routes]) == {"car": 6.0, "DEFAULT_VEHTYPE": 1.0}


def test_travel_by_kind_adds_up_to_travel(tmp_path):
    city = district()
    traffic = Traffic(city.sumocfg, seed=1, extra_options=city.traffic_options, kinds=city.measures.vehicle_kinds)
    result = Scenario(Clock("2025-01-15T07:00", hours=0.25, zone=city.zone), traffic=traffic).run(tmp_path / "run")
    by_kind = result.series("traffic.travel_by_kind")
    total = result.series("traffic.travel")
    found = by_kind.T.groupby(lambda label: label.rpartition("|")[0]).sum().T[total.columns]
    assert found.to_numpy() == pytest.approx(total.to_numpy(), abs=1e-2)
    assert {"car", "electric car"} <= {label.rpartition("|")[2] for label in by_kind}
    assert total.to_numpy().sum() > 0


def test_kinds_must_list_every_type_once():
    city = district()
    kinds = dict(city.measures.vehicle_kinds)
    lost = kinds["car"][0]
    with pytest.raises(
        CosimError, match=f"kinds must list every vehicle type of the scenario once: '{lost}' is missing"
    ):
        Traffic(city.sumocfg, extra_options=city.traffic_options, kinds=kinds | {"car": kinds["car"][1:]})


# Background


def write(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_published_background_has_its_months_and_source():
    found = read_background("Bologna")
    assert found.monthly.shape == (12, 5)
    assert found.monthly[:, 0].mean() == pytest.approx(17e-9, rel=0.01)
    assert found.monthly[3, 2] == pytest.approx(56e-9)
    assert found.balanced
    assert "2023" in found.source


def test_a_series_is_used_in_its_hours_and_its_means_elsewhere(tmp_path):
    path = write(
        tmp_path / "air.csv",
        "time,no2,nox,o3,pm10,pm25",
        "2025-01-15T08:00+01:00,30,60,20,25,15",
        "2025-01-15T09:00+01:00,40,90,10,25,15",
    )
    found = read_background(path)
    assert found.at(dt.datetime(2025, 1, 15, 9, 30, tzinfo=CET))[:2] == pytest.approx([40e-9, 90e-9])
    assert found.at(dt.datetime(2025, 1, 15, 10, 0, tzinfo=CET))[0] == pytest.approx(35e-9)
    assert not found.balanced


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (("month,no2,o3,pm10", "1,1,1,1"), "lacks the column 'pm25'"),
        (("month,no2,o3,pm10,pm25", "1,20,50,20,10"), r"has the months \[1\]: give each of 1 to 12 once"),
        (("time,no2,o3,pm10,pm25", "2025-01-15T08:00,20,50,20,10"), "times must ascend and have their offset"),
        (("time,no2,o3,pm10,pm25", "2025-01-15T08:00+01:00,much,50,20,10"), "malformed .*write numbers"),
        (("time,no2,o3,pm10,pm25", "2025-01-15T08:00+01:00,-3,50,20,10"), "the background of NO2 is -3 µg/m³"),
    ],
)
def test_a_bad_file_gets_one_clear_error(tmp_path, rows, message):
    with pytest.raises((InputFileError, CosimError), match=message):
        read_background(write(tmp_path / "air.csv", *rows))


def test_an_unknown_place_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(
        CosimError, match=r"no background air is published for 'atlantis' \(known: barcelona, bologna\)"
    ):
        read_background("atlantis")
    with pytest.raises(InputFileError, match="cannot be read"):
        read_background(tmp_path / "none.csv")


# Annual means


def one_street():
    axis = np.array([[0.0, 0.0], [0.0, 100.0]])
    return Streets(("a",), np.array([100.0]), np.zeros(1), np.full((1, 2), 10.0), np.full((1, 2), 20.0), (axis,))


def traffic_of(vehicles_a_day: float, grams_a_km: float = 0.4):
    """Return an even day of cars at 30 km/h."""
    per_s = vehicles_a_day / 86_400
    emitted = per_s * grams_a_km * 1e-6 * 100.0
    return {
        "nox": np.full((24, 1), emitted),
        "pm10": np.full((24, 1), emitted / 10),
        "pm25": np.full((24, 1), emitted / 20),
        "turbulence": np.full((24, 1), 0.3 * np.sqrt(per_s * 30 / 3.6 * 2.0 / 20)),
        "primary": np.full(24, 0.15),
    }


def test_without_traffic_the_annual_mean_is_the_background():
    year, background = load("barcelona"), read_background("barcelona")
    found = annual_means(one_street(), traffic_of(0.0), year, background)
    monthly = background.monthly[:, 0] @ np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) / 365
    assert found[0] == pytest.approx(np.full((1, 2), monthly))
    assert screening(one_street(), traffic_of(0.0), year, background)[0].max() == pytest.approx(
        background.monthly[:, 0].mean()
    )


def test_ospm_and_srm1_agree_on_a_street_of_the_eixample_at_its_counted_traffic():
    """20,000 vehicles a day with 0.4 g of NOx a kilometre: the level of the station Eixample, 42 µg/m³ in 2022."""
    year, background = load("barcelona"), read_background("barcelona")
    ospm = 1e9 * annual_means(one_street(), traffic_of(20_000), year, background)[0].mean()
    srm1 = 1e9 * screening(one_street(), traffic_of(20_000), year, background)[0].mean()
    assert ospm - 20 == pytest.approx(srm1 - 20, rel=0.4)
    assert 30 < ospm < 50


def test_a_few_typical_days_stand_for_the_year(monkeypatch):
    year, background = load("barcelona"), read_background("barcelona")
    rng = np.random.default_rng(0)
    turning = replace(year, wind_speed=rng.weibull(2.0, 8760) * 3.0, wind_direction=rng.uniform(0, 360, 8760))
    few = annual_means(one_street(), traffic_of(20_000), turning, background)
    assert len(typical_days(1)) == 48
    monkeypatch.setattr("cosim.scenarios.environment.annual.MOST_DAYS", 16)
    many = annual_means(one_street(), traffic_of(20_000), turning, background)
    assert few == pytest.approx(many, rel=0.03)


def test_an_average_day_needs_all_its_hours():
    assert hours_of_day(np.arange(48.0), np.arange(48) % 24).tolist() == [float(k + 12) for k in range(24)]
    assert hours_of_day(np.arange(20.0), np.arange(20)) is None


# The sector


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    scenario = eixample.build(blocks=(2, 2), hours=2, begin_hour=7)
    return scenario.run(tmp_path_factory.mktemp("air") / "run")


def test_a_run_has_air_and_noise_at_both_facades_of_every_street(result):
    facades = list(result.series("environment.no2"))
    assert len(facades) % 2 == 0
    assert {label.rpartition("|")[2] for label in facades} == {"left", "right"}
    no2, nox = result.series("environment.no2") * 1e9, result.series("environment.total_nox") * 1e9
    assert len(no2) == 2  # hours
    assert ((no2 >= 25.9) & (no2 < 400)).to_numpy().all()
    assert (nox >= no2 - 1e-6).to_numpy().all()
    assert result.series("environment.noise").to_numpy().max() > 55
    assert result.indicators["NO2 at façades"].value == pytest.approx(float(no2.to_numpy().mean()), rel=1e-4)
    assert "NO2, annual mean" not in result.indicators  # of two hours


def test_what_traffic_emits_on_streets_reaches_the_environment(result):
    sent = float(result.integral("traffic.nox").sum())
    assert float(result.integral("environment.nox_emission").sum()) == pytest.approx(sent, rel=1e-5)


def test_the_report_has_layers_of_air_and_noise(result):
    text = (result.folder / "layers.json").read_text(encoding="utf-8")
    assert all(title in text for title in ("NO2 at façades", "PM2.5 at façades", "Noise at façades"))


def test_policies_apply_to_a_city_that_is_already_prepared():
    city = district()
    clock = Clock("2025-01-15", hours=1, zone=city.zone)
    scenario = couple(city, clock, policies=[LowEmissionZone(petrol_from_euro=6), Trees("roof")])
    made = scenario.model.sectors["environment"]
    assert isinstance(made, Environment)
    assert (made.streets.tree_factor == 1.5).all()
    types = {kind for types in made.kinds.values() for kind in types}
    assert types == {kind.name for kind in vehicle_types(scenario.adapters["traffic"].configuration.demand)}
    assert (city.sectors["environment"].streets.tree_factor == 1.0).all()


def test_a_place_without_background_air_has_noise_but_no_air():
    city = district()
    clock = Clock("2025-01-15", hours=1, zone=city.zone)
    far = replace(city, weather=replace(city.weather, latitude=48.2, longitude=5.0))
    scenario = couple(far, clock)
    assert "environment.noise" in scenario.outputs()
    assert "environment.no2" not in scenario.outputs()
    assert "give one with the policy BackgroundAir" in scenario.facts["environment"]
    scenario.check()


def test_quiet_surfaces_lie_on_their_streets():
    city = QuietSurfaces().change_city(district())
    made = couple(city, Clock("2025-01-15", hours=1, zone=city.zone)).adapters["environment"]
    assert set(made._surface) == {"NL13"}


def test_a_primary_share_can_be_given():
    city = district()
    changed = replace(city, sectors={"environment": Air(primary_no2=0.4)})
    clock = Clock("2025-01-15", hours=1, zone=city.zone)
    made = couple(changed, clock).model.sectors["environment"]
    assert set(made.primary_no2_shares.values()) == {0.4}


def test_wind_of_a_weather_year_reaches_the_street(tmp_path):
    year = load("barcelona")
    steady = replace(year, wind_direction=np.full(8760, 90.0))
    clock = Clock("2025-01-15", hours=2, step_s=3600, zone="Europe/Madrid")
    for given, expected in ((year, [0.0, 0.0]), (steady, [-2.0, 0.0])):
        weather = Weather(clock, given)
        weather.open()
        weather.advance(type("Step", (), {"start_s": 0.0, "length_s": 3600.0, "end_s": 3600.0})())
        assert weather.wind_velocity.value == pytest.approx(expected, abs=1e-9)


@pytest.mark.slow
def test_electric_cars_lower_no2_but_not_wear(tmp_path):
    runs = [
        eixample.build(blocks=(2, 2), hours=1, begin_hour=8, policies=[EvShare(share)]).run(tmp_path / str(share))
        for share in (0.0, 1.0)
    ]
    no2 = [run.indicators["NO2 at façades"].value for run in runs]
    wear = [run.indicators["PM10 of wear"].value for run in runs]
    assert no2[1] < no2[0]
    assert wear[1] == pytest.approx(wear[0], rel=0.1)


def test_receivers_look_onto_streets_or_courtyards_and_party_walls_have_none():
    axis = np.array([[0.0, 0.0], [60.0, 0.0]])
    streets = Streets(
        ("street",), np.array([60.0]), np.array([90.0]), np.full((1, 2), 10.0), np.full((1, 2), 20.0), (axis,)
    )
    houses = [shapely.box(0, 10, 15, 22), shapely.box(15, 10, 30, 22), shapely.box(5, 30, 25, 42)]
    found = receivers(["a", "b", "behind"], houses, streets)
    counts = found.groupby(["site", "facade"]).size()
    assert counts["a"].to_dict() == {"street|left": 6, "": 3}
    assert counts["b"].to_dict() == {"street|left": 6, "": 3}
    assert set(found[found["site"] == "behind"]["facade"]) == {""}  # two houses stand in its view
    assert len(receivers([], [], streets)) == 0


SERIES = "time,no2,nox,o3,pm10,pm25\n2024-01-15T00:00Z,20,30,50,20,10\n2024-01-15T01:00Z,20,30,50,20,10\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SERIES.replace("20,30", "20000,30000"), "is 20000 µg/m³: it must be from 0 to 5000"),
        ("time,no2,nox,o3,pm10,pm25\n", "has no rows: give a line of column names, and values below"),
        (SERIES.replace(",", ";"), "it needs month, no2, o3, pm10, pm25, separated by commas"),
    ],
)
def test_background_files_that_mean_something_else_are_refused(tmp_path, text, words):
    (tmp_path / "air.csv").write_text(text, "utf-8")
    with pytest.raises(CosimError, match=words):
        read_background(tmp_path / "air.csv")


def test_a_background_series_of_another_year_is_refused(tmp_path):
    (tmp_path / "air.csv").write_text(SERIES, "utf-8")
    clock = Clock("2025-01-15", hours=1, zone="Europe/Madrid")
    with pytest.raises(CosimError, match=r"air\.csv has no hour of the run, which begins at 2025-01-14 23:00 UTC"):
        couple(district(), clock, policies=[BackgroundAir(str(tmp_path / "air.csv"))])


def test_impossible_street_geometry_is_refused():
    axis = np.array([[0.0, 0.0], [50.0, 0.0]])
    given = {"labels": ("s",), "length": np.array([50.0]), "height": np.full((1, 2), 9.0), "axis": (axis,)}
    with pytest.raises(CosimError, match=r"street 's' has the bearing nan° and façades at \[5.0, 5.0\] m"):
        Streets(**given, bearing=np.array([np.nan]), distance=np.full((1, 2), 5.0))
    with pytest.raises(CosimError, match=r"façades at \[-5.0, 20.0\] m: give a direction, and distances of 0 or more"):
        Streets(**given, bearing=np.array([90.0]), distance=np.array([[-5.0, 20.0]]))


def test_trees_outside_the_city_are_refused():
    far = ((9e5, 9e5), (9.1e5, 9e5), (9e5, 9.1e5))
    with pytest.raises(CosimError, match="no street lies in the area of the trees: draw it in the city"):
        couple(district(), Clock("2025-01-15", hours=1, zone="Europe/Madrid"), policies=[Trees(polygon=far)])
