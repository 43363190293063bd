"""Every format is opened again by a reader that is not ours."""

import csv
import json
import os
import subprocess
from pathlib import Path

import cf_xarray  # noqa: F401
import duckdb
import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pyproj
import pytest
import rocrate
import shapely
import xarray as xr
from compliance_checker.runner import CheckSuite, ComplianceChecker

from cosim.exports.netcdf import udunits
from cosim.exports.ngsi import key_values
from cosim.scenarios.vocabulary import VOCABULARY
from tests.support.paths import ROOT
from tests.support.town import CRS, HOUSES, NAMES, STREETS


def degrees(points):
    turn = pyproj.Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform
    return np.column_stack(turn(*np.array(points).T))


def test_netcdf_opens_in_xarray_with_what_cf_xarray_looks_for(run, exported):
    with xr.open_dataset(exported["cf-netcdf"].folder / "traffic.flow.nc") as file:
        flow = file["traffic_flow"]
        assert file.cf["timeseries_id"].values.tolist() == ["s1", "s2"]
        assert flow.attrs["units"] == "s-1"
        assert flow.attrs["cosim_unit"] == "vehicle/s"
        assert flow.attrs["cell_methods"] == "time: mean"
        assert (run.series("traffic.flow").to_numpy() == flow.values.T).all()
        assert file.cf["time"].values[0] == np.datetime64("2025-01-14T23:01")
        assert file["time_bounds"].values[0].tolist() == [1736895600000000000, 1736895660000000000]
        middle = shapely.LineString(degrees(STREETS["s1"])).interpolate(0.5, normalized=True)
        assert file.cf["longitude"].values[0] == pytest.approx(middle.x, abs=1e-3)
        assert file.cf.grid_mapping_names == {"latitude_longitude": ["crs"]}
        assert shapely.from_wkt(file["outline"].values[1]).equals_exact(
            shapely.LineString(degrees(STREETS["s2"])), 1e-6
        )
        assert "ODbL" in file.attrs["license"]
        assert file.attrs["comment"] == "© OSM, ODbL"


def test_netcdf_passes_the_compliance_checker(exported, tmp_path):
    CheckSuite.load_all_available_checkers()
    ports = (
        "traffic.flow", "traffic.running", "buildings.indoor_temperature", "buildings.stored", "environment.noise",
        "environment.no2", "weather.temperature", "fleet.charging_power",
    )  # fmt: skip
    for port in ports:
        report = tmp_path / f"{port}.txt"
        file = str(exported["cf-netcdf"].folder / f"{port}.nc")
        passed, failed = ComplianceChecker.run_checker(file, ["cf:1.8"], 0, "strict", output_filename=str(report))
        assert passed, report.read_text()
        assert not failed


def test_netcdf_uses_standard_names_where_cf_has_them(exported):
    names = {}
    for path in exported["cf-netcdf"].folder.iterdir():
        with xr.open_dataset(path) as file:
            names |= {
                name: v.attrs["standard_name"] for name, v in file.data_vars.items() if "standard_name" in v.attrs
            }
    assert names == {
        "weather_temperature": "air_temperature",
        "weather_humidity": "relative_humidity",
        "environment_no2": "mass_concentration_of_nitrogen_dioxide_in_air",
    }


def test_units_without_a_symbol_of_udunits_are_written_by_base_units():
    assert udunits("EUR/J") == ("J-1", ["EUR"])
    assert udunits("vehicle*m/s") == ("m s-1", ["vehicle"])
    assert udunits("pu") == ("1", ["pu"])
    assert udunits("km/h") == ("0.277777777778 m s-1", [])


def test_geojson_is_right_handed_and_in_degrees(exported):
    content = json.loads((exported["geojson"].folder / "buildings-2-polygons.geojson").read_text())
    assert content["type"] == "FeatureCollection"
    one, two = (shapely.geometry.shape(feature["geometry"]) for feature in content["features"])
    assert one.equals(shapely.Polygon(degrees(HOUSES["h1"]).round(7)))
    assert one.exterior.is_ccw
    assert two.exterior.is_ccw
    properties = content["features"][0]["properties"]
    assert properties["label"] == "h1"
    assert properties["electric_power_mean"] == pytest.approx(102.5)
    assert properties["indoor_temperature_highest"] == 25.0
    assert content["units"]["electric_power_mean"] == "W"
    assert content["attribution"] == ["© OSM, ODbL"]
    streets = json.loads((exported["geojson"].folder / "traffic-2-lines.geojson").read_text())["features"]
    assert [street["properties"]["name"] for street in streets] == [NAMES["s1"], "s2"]
    assert streets[0]["properties"]["speed_mean"] == pytest.approx(np.mean([10, 12, 13, 14, 15]))


def test_duckdb_joins_places_and_series_of_geoparquet(exported):
    folder = exported["geoparquet"].folder
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"select label, geometry, max(value) from '{folder}/fleet-1-points.parquet' "
            f"join '{folder}/series/fleet.charging_power.parquet' using (label) group by all"
        ).fetchall()
    [(label, wkb, highest)] = rows
    assert (label, highest) == ("c1", 7005.0)
    assert shapely.from_wkb(bytes(wkb)).equals_exact(shapely.Point(degrees([(50.0, 5.0)])[0]), 1e-6)
    geo = json.loads(pq.read_schema(folder / "buildings-2-polygons.parquet").metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    assert geo["columns"]["geometry"] | {"bbox": 0} == {
        "encoding": "WKB", "geometry_types": ["Polygon"], "bbox": 0, "orientation": "counterclockwise",
    }  # fmt: skip
    table = pq.read_table(folder / "fleet-1-points.parquet")
    assert table["points"].to_pylist() == [2.0]
    assert table.schema.field("charging_power_mean").metadata == {b"unit": b"W"}


def test_csv_agrees_with_its_metadata(run, exported):
    folder = exported["csv"].folder
    content = json.loads((folder / "csv-metadata.json").read_text())
    assert content["@context"] == "http://www.w3.org/ns/csvw"
    assert {table["url"] for table in content["tables"]} == {path.name for path in folder.glob("*.csv")}
    for table in content["tables"]:
        with (folder / table["url"]).open(newline="") as file:
            header, *rows = csv.reader(file)
        columns = table["tableSchema"]["columns"]
        assert header == [column["titles"] for column in columns]
        if key := table["tableSchema"].get("primaryKey"):
            keys = [tuple(row[header.index(name)] for name in key) for row in rows]
            assert len(set(keys)) == len(keys)
    with (folder / "traffic.speed.csv").open(newline="") as file:
        speeds = list(csv.DictReader(file))
    assert speeds[0] == {"label": "s1", "time": "2025-01-14T23:01:00Z", "value": "10"}
    assert speeds[1]["value"] == ""  # missing
    with (folder / "indicators.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["value"] == "2.5"
    with duckdb.connect() as connection:
        total = connection.execute(f"select sum(value) from '{folder}/buildings.electric_power.csv'").fetchall()[0][0]
    assert total == pytest.approx(run.total("buildings.electric_power").sum())


CRATE_PYTHON = os.environ.get("COSIM_CRATE_PYTHON", "")


@pytest.mark.skipif(not CRATE_PYTHON, reason="COSIM_CRATE_PYTHON is not set: run nox -s foreign")
def test_crate_meets_the_shapes_of_its_profile(exported, tmp_path):
    context = Path(rocrate.__file__).parent / "data" / "ro-crate.jsonld"
    command = [CRATE_PYTHON, str(ROOT / "tests/support/crate_check.py"), str(context)]
    good = subprocess.run([*command, str(exported["ro-crate"].folder)], capture_output=True, text=True, check=False)
    assert good.returncode == 0, good.stdout + good.stderr
    [line] = [line for line in good.stdout.splitlines() if line.startswith("[")]
    messages = {message for _, _, message in json.loads(line)}
    # nothing recommended is missing but who made it, which no run records, and home pages of programs without one
    unknown = ("agent", "author", "publisher", "url", "URI")
    assert not {m for m in messages if not any(word in m for word in unknown)}, messages
    broken = tmp_path / "crate"
    broken.mkdir()
    text = (exported["ro-crate"].folder / "ro-crate-metadata.json").read_text()
    (broken / "ro-crate-metadata.json").write_text(text.replace("process/0.5", "process/9"))
    bad = subprocess.run([*command, str(broken)], capture_output=True, text=True, check=False)
    assert bad.returncode == 1, bad.stdout + bad.stderr


def test_crate_says_what_made_which_files_from_what(run, exported):
    from rocrate.rocrate import ROCrate

    crate = ROCrate(exported["ro-crate"].folder)
    [action] = crate.get_by_type("CreateAction")
    assert action["instrument"]["name"] == "cosim"
    assert {"run.json", "series/traffic.flow/"} <= {one.id for one in action["result"]}
    inputs = {one["name"]: one for one in action["object"]}
    assert inputs["blocks"]["value"] == "[1, 2]"
    assert inputs["map.osm"]["creditText"] == "© OSM, ODbL"
    assert crate.license["name"].startswith("Open Data Commons")
    copied = exported["ro-crate"].folder / "series/traffic.flow/part-0.parquet"
    assert copied.read_bytes() == (run.folder / "series/traffic.flow/part-0.parquet").read_bytes()


DCAT, DCT = "http://www.w3.org/ns/dcat#", "http://purl.org/dc/terms/"
FOAF = "http://xmlns.com/foaf/0.1/"
# Bounds of the SHACL shapes of DCAT-AP 3.0.0 (github.com/SEMICeu/DCAT-AP, releases/3.0.0): at least one, at most one.
MANDATORY = {
    f"{DCAT}Catalog": {f"{DCT}title", f"{DCT}description", f"{DCT}publisher"},
    f"{DCAT}Dataset": {f"{DCT}title", f"{DCT}description"},
    f"{DCAT}Distribution": {f"{DCAT}accessURL"},
    f"{FOAF}Agent": {f"{FOAF}name"},
}
SINGLE = {
    "dcat:Catalog": {"dct:publisher", "dct:license", "dct:rights", "dct:issued", "dct:modified"},
    "dcat:Dataset": {"dct:publisher", "dct:issued", "dct:modified", "dct:accessRights"},
    "dcat:Distribution": {"dct:rights", "dct:license", "dct:format", "dcat:mediaType", "dct:issued", "dct:modified"},
    "dct:Location": {"dcat:bbox", "dcat:centroid"},
    "dct:PeriodOfTime": {"dcat:startDate", "dcat:endDate"},
}


@pytest.mark.skipif(not CRATE_PYTHON, reason="COSIM_CRATE_PYTHON is not set: run nox -s foreign")
def test_catalogue_entry_has_what_dcat_ap_demands(exported):
    command = [
        CRATE_PYTHON,
        str(ROOT / "tests/support/crate_check.py"),
        "rdf",
        str(exported["dcat"].folder / "dcat.jsonld"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    triples = json.loads(done.stdout)
    kind = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
    seen = set()
    for subject, predicate, thing in triples:
        if predicate == kind and thing in MANDATORY:
            assert MANDATORY[thing] <= {p for s, p, _ in triples if s == subject}, subject
            seen.add(thing)
    assert seen == MANDATORY.keys()
    assert any(p == f"{DCT}rights" for _, p, _ in triples)


def test_catalogue_entry_keeps_the_bounds_of_dcat_ap(exported):
    content = json.loads((exported["dcat"].folder / "dcat.jsonld").read_text())
    nodes, seen = list(content["@graph"]), set()
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            kind = node.get("@type", "")
            prefix, _, name = kind.partition(":")
            needed = MANDATORY.get(content["@context"].get(prefix, "") + name, ())
            assert {content["@context"][k.split(":")[0]] + k.split(":")[1] for k in node if ":" in k} >= set(needed), (
                node
            )
            assert not [key for key in SINGLE.get(kind, ()) if isinstance(node.get(key), list)], node
            seen.add(kind)
            nodes += node.values()
        elif isinstance(node, list):
            nodes += node
    assert seen >= {*SINGLE, "foaf:Agent"}


def test_catalogue_entry_states_licence_place_and_period(exported):
    content = json.loads((exported["dcat"].folder / "dcat.jsonld").read_text())
    dataset = next(node for node in content["@graph"] if node["@type"] == "dcat:Dataset")
    assert dataset["dct:license"]["@id"] == "https://opendatacommons.org/licenses/odbl/1-0/"
    assert dataset["dct:rights"]["rdfs:label"] == ["© OSM, ODbL"]
    box = shapely.from_wkt(dataset["dct:spatial"]["dcat:bbox"]["@value"])
    assert box.contains(shapely.Point(degrees([(50.0, 5.0)])[0]))
    assert dataset["dct:temporal"]["dcat:endDate"]["@value"] == "2025-01-14T23:06:00+00:00"
    assert {"traffic.flow [vehicle/s]", "indicators"} <= {
        d["dct:title"]["@value"] for d in dataset["dcat:distribution"]
    }


@pytest.fixture(scope="session")
def schemas():
    """JSON Schemas of the Smart Data Models' types, from the attributes that pysmartdatamodels packages.

    The package has every attribute with its type, format and enumeration, and what is required, but not the schema
    files themselves, which it fetches.
    """
    from pysmartdatamodels import pysmartdatamodels as models

    found = {}
    subjects = {name: (kind.subject, kind) for name, kind in VOCABULARY.types.items()}
    geometry = {"type": "object", "required": ["type", "coordinates"]}
    required = {(row["subject"], row["dataModel"]): row.get("required", []) for row in models._load_metadata_db()}
    for row in models.load_all_attributes():
        name = row["dataModel"]
        if name not in subjects or row["repoName"] != subjects[name][0] or "parentId" in row:
            continue
        schema = found.setdefault(
            name,
            {
                "type": "object",
                "properties": {},
                "required": required[row["repoName"], name],
                "additionalProperties": False,
            },
        )
        rule = {key: row[key] for key in ("type", "format", "enum") if key in row}
        if row["property"] == "location":
            rule = geometry
        schema["properties"].setdefault(row["property"], rule)
        if row["property"] == "type" and name in row.get("enum", ()):
            schema["properties"]["type"] = rule
    return found


def test_entities_meet_the_schemas_of_the_smart_data_models(exported, schemas):
    files = sorted(exported["ngsi-ld"].folder.iterdir())
    assert [file.name for file in files] == ["2025-01-14T23-03-00Z.jsonld", "2025-01-14T23-06-00Z.jsonld"]
    kinds = set()
    checker = jsonschema.FormatChecker()
    for file in files:
        for entity in json.loads(file.read_text()):
            plain = key_values(entity)
            kinds.add(plain["type"])
            own = {"indoorTemperature", "heatPumpPower", "gasPower"} if plain["type"] == "BuildingOperation" else set()
            told = {key: value for key, value in plain.items() if key not in {"@context", *own}}
            jsonschema.validate(told, schemas[plain["type"]], format_checker=checker)
            assert all(isinstance(plain[key], float) for key in own & plain.keys())
    assert kinds == VOCABULARY.types.keys()


def test_every_attribute_of_the_vocabulary_is_one_of_its_model(schemas):
    for port, term in VOCABULARY.terms.items():
        if term.entity and term.entity != "BuildingOperation":
            assert term.attribute in schemas[term.entity]["properties"], port
        if term.entity:
            assert term.entity in VOCABULARY.types


def test_entities_carry_values_in_the_units_of_their_models(exported):
    entities = json.loads((exported["ngsi-ld"].folder / "2025-01-14T23-03-00Z.jsonld").read_text())
    of = {(entity["type"], entity["name"]["value"]): key_values(entity) for entity in entities}
    street = of["TrafficFlowObserved", NAMES["s1"]]
    assert street["intensity"] == pytest.approx((0.5 + 1.5 + 2.5) * 60)  # vehicles in three minutes
    assert street["averageVehicleSpeed"] == pytest.approx(np.mean([10, 12]) * 3.6)
    assert street["dateObserved"] == "2025-01-14T23:00:00Z/2025-01-14T23:03:00Z"
    assert of["AirQualityObserved", "s1|left"]["no2"] == pytest.approx(40 + 1e9, rel=1e-6)
    assert of["EVChargingStation", "c1"]["capacity"] == 2
    assert of["BuildingOperation", "h1"]["indoorTemperature"] == 22.0
    assert of["BuildingOperation", "h1"]["refBuilding"] == of["Building", "h1"]["id"]
    weather = next(entity for key, entity in of.items() if key[0] == "WeatherObserved")
    assert (weather["temperature"], weather["solarRadiation"]) == (9.0, 201.0)
    assert len(of) == len(entities)


def test_exports_say_what_they_do_not_carry(exported):
    told = {to: "\n".join(done.left_out) for to, done in exported.items()}
    for to in ("cf-netcdf", "geojson", "geoparquet", "ngsi-ld"):
        assert "empty.nothing" in told[to], to
        assert "traffic.running" in told[to], to
        assert "indicators" in told[to], to
    assert "vehicle" in told["cf-netcdf"]
    assert "series over time" in told["geojson"]
    assert "agent" in told["ro-crate"]
    assert "relative" in told["dcat"]


def test_a_port_of_the_town_is_in_every_format(exported):
    assert {path.stem for path in exported["cf-netcdf"].folder.iterdir()} >= {"traffic.running", "buildings.stored"}
    assert (exported["geoparquet"].folder / "series/traffic.running.parquet").is_file()
    assert (exported["csv"].folder / "traffic.running.csv").is_file()
    assert all(done.files and done.size and done.seconds > 0 for done in exported.values())
