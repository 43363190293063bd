"""A small town from its map to a run: the folder, its stages, its commands, and what goes wrong."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from typer.testing import CliRunner

from cosim.adapters.traffic.files import read_configuration, root_of
from cosim.core import CosimError, InputFileError
from cosim.exports.export import export
from cosim.scenarios.places import app
from cosim.scenarios.places.countries import figures
from cosim.scenarios.places.folder import CityFolder, read_drives, read_grid, schema_problem
from cosim.scenarios.places.make import make_city
from cosim.scenarios.places.sources.options import Options
from cosim.scenarios.places.twin import build
from cosim.scenarios.policies import DistancePrice
from tests.support.maps import Map, town
from tests.support.paths import BOLOGNA
from tests.support.traffic_runs import needs_bologna


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("city")
    drawn = town()
    drawn.node(60.0, 5.0, amenity="charging_station", socket__type2__output="11 kW", capacity="2")
    drawn.node(130.0, 130.0, power="substation")
    osm = drawn.write(folder / "town.osm")
    return make_city(Options(osm=osm), folder / "town"), osm


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_city_is_a_folder_that_any_tool_reads(made):
    city = made[0].city
    assert {
        "city.json",
        "import.json",
        "import.html",
        "streets.net.xml",
        "buildings.parquet",
        "chargers.parquet",
        "grid.json",
    } <= set(contents(city.path))
    about = json.loads((city.path / "city.json").read_text())
    assert (about["country"], about["zone"], about["left_hand"]) == ("DE", "Europe/Berlin", False)
    assert about["sources"][0]["licence"].startswith("Open Data Commons")
    assert city.attribution == ["© OpenStreetMap contributors, ODbL 1.0"]
    table = pq.read_table(city.path / "buildings.parquet")
    geo = json.loads(table.schema.metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    outlines = shapely.from_wkb(table["geometry"].to_numpy(zero_copy_only=False))
    assert np.allclose(shapely.total_bounds(outlines), [13.53, 52.43, 13.536, 52.433], atol=2e-3)
    assert len(read_grid(city.path).net.trafo) >= 1
    assert city.problems() == []
    shown = (city.path / "import.html").read_text(encoding="utf-8")
    assert "Europe/Berlin" in shown
    assert "for 1 h, seed" not in shown  # a map has no course of time


def test_city_made_again_has_the_same_bytes(made, tmp_path):
    again = make_city(Options(osm=made[1]), tmp_path / "town")
    assert contents(again.city.path) == contents(made[0].city.path)
    assert not any(timing.kept for timing in again.timings)


def test_changed_weather_builds_no_streets(made, tmp_path):
    shutil.copytree(made[0].city.path, tmp_path / "town")
    again = make_city(Options(osm=made[1], weather="barcelona"), tmp_path / "town")
    assert {t.stage for t in again.timings if not t.kept} == {"weather", "page"}
    assert again.city.about["weather"] == "barcelona"
    same = make_city(Options(osm=made[1], weather="barcelona"), tmp_path / "town")
    assert all(timing.kept for timing in same.timings)
    assert same.findings.as_json() == again.findings.as_json()


def test_damaged_file_of_a_stage_is_made_again(made, tmp_path):
    shutil.copytree(made[0].city.path, tmp_path / "town")
    (tmp_path / "town" / "chargers.parquet").write_bytes(b"")
    again = make_city(Options(osm=made[1]), tmp_path / "town")
    assert "chargers" in {t.stage for t in again.timings if not t.kept}
    assert contents(again.city.path) == contents(made[0].city.path)


def test_nothing_is_half_written(made, tmp_path):
    out = tmp_path / "town"
    with pytest.raises(CosimError, match="there is no file"):
        make_city(Options(osm=tmp_path / "absent.osm"), out)
    bad = town(houses=False).write(tmp_path / "bare.osm")
    with pytest.raises(CosimError, match="there are no buildings"):
        make_city(Options(osm=bad), out)
    assert [path.name for path in tmp_path.iterdir()] == ["bare.osm"]
    shutil.copytree(made[0].city.path, out)
    with pytest.raises(CosimError, match="there are no buildings"):
        make_city(Options(osm=bad), out)
    assert contents(out) == contents(made[0].city.path)


def test_other_folders_are_not_replaced(made, tmp_path):
    (tmp_path / "thesis.txt").write_text("")
    with pytest.raises(CosimError, match="exists and is no city"):
        make_city(Options(osm=made[1]), tmp_path)


def test_folder_that_cannot_be_written_is_refused_by_name(made, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CosimError, match=r"cannot write to .*file .*give another folder with --out"):
        make_city(Options(osm=made[1]), tmp_path / "file" / "town")


def test_street_without_a_way_round_is_refused(tmp_path):
    drawn = Map()
    drawn.way((0.0, 0.0), (200.0, 0.0), highway="residential")
    with pytest.raises(CosimError, match="no network that cars can go round in"):
        make_city(Options(osm=drawn.write(tmp_path / "street.osm"), sites=1), tmp_path / "town")
    assert not (tmp_path / "town").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"car_share": 2.0}, "car_share is 2:"), ({"through": -1.0}, "through is -1.0"),
     ({"storeys": 0.0}, "storeys is 0"), ({"cars_per_person": float("nan")}, "cars_per_person is nan"),
     ({"cars_per_drive": 0.0}, "cars_per_drive is 0: give a number above 0"),
     ({"surroundings": -1.0}, "surroundings is -1: give a density"),
     ({"surroundings": float("nan")}, "surroundings is nan: give a density"),
     ({"surroundings": 1.0, "inside_share": 0.3}, "follows from surroundings: leave out --inside-share"),
     ({"zone": "Asia/Tokyo"}, "is that of JP, not of DE"),
     ({"country": "ES"}, "lies in DE"), ({"weather": "atlantis"}, "neither a city nor a path")],
)  # fmt: skip
def test_wrong_options_are_refused_in_one_line(made, tmp_path, options, message):
    with pytest.raises(CosimError, match=message):
        make_city(Options(osm=made[1], **options), tmp_path / "town")


def test_residents_of_a_city_go_to_near_places_when_told(made, tmp_path):
    # A small town, most of whose surroundings are near too: few of the destinations are inside.
    shutil.copytree(made[0].city.path, tmp_path / "town")
    done = CliRunner().invoke(app, ["make", str(made[1]), "--out", str(tmp_path / "town"), "--surroundings", "1"])
    assert done.exit_code == 0, done.output
    plain, near = (read_drives(path).legs for path in (made[0].city.path, tmp_path / "town"))
    share = [(d["destination"][d["purpose"] == "home"] == "outside").mean() for d in (plain, near)]
    assert share[1] > share[0] > 0


def test_buildings_are_drawn_along_streets_when_told(tmp_path):
    bare = town(houses=False).write(tmp_path / "bare.osm")
    city = make_city(Options(osm=bare, sites=20), tmp_path / "town").city
    assert city.about["counts"]["residential buildings"] == 20


def test_drawn_district_is_the_same_kind_of_folder_and_runs(tmp_path):
    out = tmp_path / "district"
    arguments = ["make", "--generate", "eixample", "--blocks", "2,2", "--out", str(out), "--home-chargers", "0"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    city = CityFolder.open(out)
    assert (city.about["country"], city.problems(), city.attribution) == ("ES", [], [])
    assert city.about["counts"]["buildings"] == 2 * 2 * 24
    assert city.about["counts"]["storeys: measured"] == 1.0
    storeys = pq.read_table(out / "buildings.parquet")["storeys"].to_pylist()
    assert set(storeys) == {6.0, 7.0, 8.0}
    run = build(city=str(out), begin_hour=8, hours=0.05, ev_share=0.0).run(tmp_path / "run")
    assert run.indicators["trips begun"].value > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [({}, "give either an OpenStreetMap file or the name"), ({"generate": "atlantis"}, "unknown district 'atlantis'"),
     ({"generate": "eixample", "blocks": (1, 3)}, "at least 2 × 2"),
     ({"generate": "eixample", "clip": "1,2,3,4"}, "leave out --clip")],
)  # fmt: skip
def test_districts_that_cannot_be_drawn_are_refused(tmp_path, options, message):
    with pytest.raises(CosimError, match=message):
        make_city(Options(**options), tmp_path / "town")


def test_stations_of_the_map_are_taken_when_told(made, tmp_path):
    city = make_city(Options(osm=made[1], stations=True), tmp_path / "town").city
    assert city.about["stations"]["mapped"] == 1
    to_mapped = "mapped to the nearest synthesized, median [m]"
    assert city.about["stations"][to_mapped] <= made[0].city.about["stations"][to_mapped]
    assert city.about["stations"][to_mapped] < 60  # half a block from the node at which it stands


def test_commands_make_list_show_and_check(made, tmp_path):
    run = CliRunner()
    out = tmp_path / "cities" / "town"
    shutil.copytree(made[0].city.path, out)
    done = run.invoke(app, ["make", str(made[1]), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "taken over" in done.output
    assert "town" in run.invoke(app, ["list", str(tmp_path / "cities")]).output
    assert "residents" in run.invoke(app, ["show", str(out)]).output
    assert "is sound" in run.invoke(app, ["check", str(out)]).output
    (out / "drives.parquet").write_bytes(b"")
    assert run.invoke(app, ["check", str(out)]).exit_code == 1
    assert run.invoke(app, ["show", str(tmp_path)]).exit_code == 1


def test_schema_names_what_is_wrong(made):
    about = dict(made[0].city.about)
    assert schema_problem(about) == ""
    assert schema_problem(about | {"bounds": ["west"]}) == "bounds[0] is 'west': it must be a number"
    assert schema_problem({k: v for k, v in about.items() if k != "zone"}) == "zone is missing"


def test_changed_city_is_refused(made, tmp_path):
    shutil.copytree(made[0].city.path, tmp_path / "town")
    (tmp_path / "town" / "buildings.parquet").write_bytes(b"")
    with pytest.raises(CosimError, match="was changed after the city was made"):
        build(city=str(tmp_path / "town"))
    with pytest.raises(InputFileError, match="is no city"):
        CityFolder.open(tmp_path)


def test_place_runs_with_policies_and_says_whose_map_it_is(made, tmp_path):
    from cosim.scenarios.policies.mobility import EvShare, SpeedLimit

    path = str(made[0].city.path)
    plain = build(city=path, begin_hour=8, hours=0.25).run(tmp_path / "plain")
    plan = build(city=path, begin_hour=8, hours=0.25, policies=[EvShare(1.0), SpeedLimit(30)]).run(tmp_path / "plan")
    assert plain.provenance["parameters"]["attribution"] == ["© OpenStreetMap contributors, ODbL 1.0"]
    assert export(plain.folder, "dcat").files == 1
    catalogue = (tmp_path / "plain-dcat/dcat.jsonld").read_text()
    assert "© OpenStreetMap contributors, ODbL 1.0" in catalogue
    assert "https://opendatacommons.org/licenses/odbl/1-0/" in catalogue
    assert plain.indicators["trips begun"].value > 0
    assert plain.indicators["tailpipe CO2"].value > plan.indicators["tailpipe CO2"].value == 0
    assert plain.indicators["electricity of premises"].value > 0
    assert plain.indicators["grid import"].value > plain.indicators["electricity of premises"].value


def test_running_a_city_needs_no_libraries_of_maps():
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('osmium', 'tzfpy')));"
        "import cosim.scenarios.places.twin, cosim.scenarios.places.commands"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def vehicles(scenario):
    """Return departures and routes of the cars that SUMO inserts."""
    [file] = [path for path in read_configuration(scenario.model.sumocfg).routes if path.name == "cars.rou.xml"]
    return {v.get("id"): (float(v.get("depart")), v.get("type")) for v in root_of(file).iter("vehicle")}


def test_drivers_of_a_city_answer_by_mode_and_the_others_stay_as_they_were(made):
    city, hours = str(made[0].city.path), {"begin_hour": 8, "hours": 0.5, "ev_share": 0.3}
    base, same, charged = (
        vehicles(scenario := build(city=city, answers=answers, policies=policies, **hours))
        for answers, policies in (
            ("routes", ()),
            ("modes", ()),
            ("modes", [DistancePrice(5.0, from_hour=7, to_hour=20)]),
        )
    )
    assert same == base
    answer = scenario.model.sectors["travel"]
    assert scenario.model.answers == "modes"
    gone = base.keys() - charged.keys()
    assert charged.keys() < base.keys()
    assert len(base) - len(charged) == pytest.approx(answer.trips("before")["car"] - answer.trips()["car"])
    # a car that is left makes none of its drives
    car = {label: row.car for label, row in read_drives(made[0].city.path).legs.iterrows()}
    assert {car[label] for label in gone}.isdisjoint({car[label] for label in charged})
    for label, (depart, kind) in charged.items():
        assert depart - base[label][0] == pytest.approx(answer.moved.get(label, 0.0), abs=0.6)
        assert kind == base[label][1]


def test_modes_and_empty_dwellings_are_the_countrys_unless_given(made, tmp_path):
    spain, germany = figures("ES"), figures("DE")
    assert spain.modes()["car"] < germany.modes()["car"]
    assert all(
        sum(country.modes(car).values()) == pytest.approx(1) for country in (spain, germany) for car in (None, 0.1)
    )
    told = made[0].findings.found["guessed"]["modes of the country, for want of --car-share"]
    assert list(told) == ["DE"]
    city = made[0].city.about["counts"]
    assert city["residents"] == pytest.approx(city["dwellings"] * 0.955 * 2.0)
    fewer = make_city(Options(osm=made[1], car_share=0.05), tmp_path / "town")
    assert fewer.city.about["counts"]["drives"] < 0.8 * city["drives"]
    assert "modes of the country" not in str(fewer.findings.as_json())


@needs_bologna
def test_bologna_is_the_same_kind_of_folder_and_keeps_its_traffic(tmp_path):
    config = BOLOGNA / "acosta" / "run.sumocfg"
    out, again = tmp_path / "acosta", tmp_path / "again" / "acosta"
    options = ["--sites", "100", "--home-chargers", "0.2"]
    done = CliRunner().invoke(
        app, ["make", "--generate", "bologna", "--sumocfg", str(config), "--out", str(out), *options]
    )
    assert done.exit_code == 0, done.output
    city = CityFolder.open(out)
    assert (city.about["country"], city.about["zone"], city.problems()) == ("IT", "Europe/Rome", [])
    counts = city.about["counts"]
    assert counts["drives"] + counts["timetabled vehicles"] == 8779  # as the scenario has them
    assert (counts["residential buildings"], counts["share routed"]) == (100, 1.0)
    assert set(pq.read_table(out / "buildings.parquet")["storeys"].to_pylist()) == {3.0, 4.0, 5.0}
    make_city(Options(generate="bologna", sumocfg=config, sites=100, home_chargers=0.2), again)
    assert contents(again) == contents(out)
    result = build(city=str(out), begin_hour=8, hours=0.1, ev_share=1.0).run(tmp_path / "run")
    begun = sum(
        28800 <= depart < 28800 + 360 for depart in pq.read_table(out / "drives.parquet")["depart_s"].to_pylist()
    )
    assert result.indicators["trips begun"].value > 0.7 * begun > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [({"generate": "bologna"}, "give --generate bologna with --sumocfg"),
     ({"generate": "eixample", "sumocfg": "run.sumocfg"}, "neither without the other"),
     ({"generate": "bologna", "sumocfg": "nowhere.sumocfg"}, "there is no file .*nowhere"),
     ({"generate": "bologna", "sumocfg": "run.sumocfg", "surroundings": 1.0}, "leave out --surroundings$"),
     ({"generate": "bologna", "sumocfg": "bad.sumocfg"}, "bad.sumocfg")],
)  # fmt: skip
def test_bologna_without_a_sound_configuration_is_refused(tmp_path, options, message):
    (tmp_path / "run.sumocfg").write_text("<configuration/>")
    (tmp_path / "bad.sumocfg").write_text("<configuration><input>")
    given = {k: tmp_path / v if k == "sumocfg" else v for k, v in options.items()}
    with pytest.raises(CosimError, match=message):
        make_city(Options(**given), tmp_path / "town")
    assert not (tmp_path / "town").exists()
