"""SUMO's files: untrusted scenarios are refused, and a run stays in its own folder."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from cosim.adapters.traffic import Traffic
from cosim.adapters.traffic import files as sumo_files
from cosim.adapters.traffic.files import parse_options, read_configuration
from cosim.adapters.traffic.installation import run_sumo_tool
from cosim.adapters.traffic.network import charging_stations, network_edges
from cosim.adapters.traffic.staging import input_files, stage
from cosim.core import CosimError, InputFileError
from tests.support.paths import BOLOGNA
from tests.support.traffic_runs import NET, Run, make_town

SUMO_HOME = Path(pytest.importorskip("sumo").SUMO_HOME)
BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi"))
    + "]>"
)
EXTERNAL = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


def sumo(program: str, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SUMO_HOME / "bin" / program), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=True,
        env=os.environ | {"SUMO_HOME": str(SUMO_HOME), "PROJ_DATA": str(SUMO_HOME / "data" / "proj")},
    )


@pytest.fixture
def town(tmp_path: Path) -> Path:
    folder = tmp_path / "town"
    folder.mkdir()
    sumo("netgenerate", "--grid", "--grid.number", 2, "--grid.length", 100, "-L", 2, "-o", folder / "t.net.xml")
    (folder / "t.rou.xml").write_text('<routes><trip id="v" depart="0" from="A0A1" to="B1B0"/></routes>')
    configure(folder)
    return folder


def configure(folder: Path, prologue: str = "", **options: str) -> Path:
    named = {"net-file": "t.net.xml", "route-files": "t.rou.xml"}
    named |= {name.replace("__", ".").replace("_", "-"): value for name, value in options.items()}
    path = folder / "run.sumocfg"
    inner = "".join(f'<{name} value="{value}"/>' for name, value in named.items() if value)
    path.write_text(f"{prologue}<configuration><input>{inner}</input></configuration>")
    return path


def options_of(staged: Path) -> dict[str, str]:
    return {element.tag: element.attrib["value"] for element in ET.parse(staged).getroot()}


def test_a_configuration_is_read_with_full_names_and_absolute_inputs(town):
    path = configure(town, net_file="", n="t.net.xml", begin="1:00:00", e="7200", step_length="0.5")
    configuration = read_configuration(path)
    assert configuration.net == town / "t.net.xml"
    assert configuration.routes == (town / "t.rou.xml",)
    assert (configuration.begin_s, configuration.end_s, configuration.step_length_s) == (3600.0, 7200.0, 0.5)
    assert read_configuration(path, ("--end", "4000")).end_s == 4000.0
    assert read_configuration(configure(town)).end_s is None
    assert read_configuration(configure(town, end="-1")).end_s is None


def test_an_option_without_a_name_is_refused():
    with pytest.raises(InputFileError, match="'3600' has no name"):
        parse_options(["3600"])


@pytest.mark.parametrize("prologue", [BOMB, EXTERNAL])
def test_entities_are_refused_in_every_file(town, prologue):
    with pytest.raises(InputFileError, match=r"run\.sumocfg declares a document type or entities"):
        read_configuration(configure(town, prologue))
    configuration = read_configuration(configure(town))
    for name in ("t.net.xml", "t.rou.xml"):
        text = (town / name).read_text()
        (town / name).write_text(prologue + re.sub(r"<\?xml.*?\?>", "", text))
        with pytest.raises(InputFileError, match=f"{name} declares a document type"):
            stage(configuration, town)
        (town / name).write_text(text)
    (town / "x.add.xml").write_text(prologue + "<additional>&a;</additional>")
    with pytest.raises(InputFileError, match=r"x\.add\.xml declares a document type"):
        charging_stations([town / "x.add.xml"])


def test_missing_and_malformed_files_are_named(town):
    with pytest.raises(InputFileError, match=r"nowhere\.sumocfg cannot be read: No such file"):
        read_configuration(town / "nowhere.sumocfg")
    with pytest.raises(InputFileError, match=r"lost\.net\.xml does not exist: .*run\.sumocfg names it"):
        read_configuration(configure(town, net_file="lost.net.xml"))
    with pytest.raises(InputFileError, match="names no net-file"):
        read_configuration(configure(town, net_file=""))
    with pytest.raises(InputFileError, match="sets begin to 'soon'"):
        read_configuration(configure(town, begin="soon"))
    (town / "run.sumocfg").write_text("<configuration><input>")
    with pytest.raises(InputFileError, match=r"run\.sumocfg is not well-formed XML"):
        read_configuration(town / "run.sumocfg")
    (town / "t.net.xml").write_text("<net></net>")
    with pytest.raises(InputFileError, match=r"t\.net\.xml has no edges"):
        network_edges(town / "t.net.xml")
    (town / "t.net.xml").write_text('<net><edge id="a" from="x" to="y"/></net>')
    with pytest.raises(InputFileError, match=r"t\.net\.xml is not a SUMO network"):
        network_edges(town / "t.net.xml")


def test_absurd_sizes_are_refused_also_when_compressed(town, monkeypatch):
    path = configure(town)
    path.write_text(path.read_text() + " " * (sumo_files.CONFIGURATION_LIMIT_BYTES + 1))
    with pytest.raises(InputFileError, match="has more than 1,048,576 bytes"):
        read_configuration(path)
    monkeypatch.setattr(sumo_files, "INPUT_LIMIT_BYTES", 1 << 20)
    (town / "t.rou.xml").write_bytes(gzip.compress(b"<routes>" + b" " * (1 << 22) + b"</routes>"))
    with pytest.raises(InputFileError, match=r"t\.rou\.xml has more than"):
        stage(read_configuration(configure(town)), town)


def test_another_encoding_cannot_hide_what_a_file_names(town):
    (town / "t.rou.xml").write_bytes('<?xml version="1.0" encoding="UTF-16"?><routes/>'.encode("utf-16"))
    with pytest.raises(InputFileError, match="neither UTF-8 nor Latin-1"):
        stage(read_configuration(configure(town)), town)


@pytest.mark.parametrize("name", ["remote-port", "python-script"])
def test_options_that_open_the_run_to_others_are_refused(town, name):
    with pytest.raises(InputFileError, match=f"sets {name}"):
        read_configuration(configure(town), (f"--{name}", "8813"))


def test_every_file_option_of_sumo_is_classified_as_input_output_or_unused(tmp_path):
    sumo("sumo", "--save-template", tmp_path / "t.xml")
    known = {e.tag: e.get("synonymes", "").split() for e in ET.parse(tmp_path / "t.xml").iter() if e.get("type")}
    of_files = {e.tag for e in ET.parse(tmp_path / "t.xml").iter() if e.get("type") == "FILE"}
    assert len(of_files) > 50
    sorted_out = sumo_files.INPUT_OPTIONS | sumo_files.OUTPUT_OPTIONS | sumo_files.DROPPED_OPTIONS
    assert {name for name in of_files - sorted_out if not name.endswith("-output")} == set()
    for name in of_files:
        for synonym in known[name]:
            assert sumo_files._SYNONYMS[synonym] == name


def test_outputs_of_a_hostile_scenario_stay_in_the_folder(town, tmp_path):
    beside = tmp_path / "elsewhere"
    beside.mkdir()
    (town / "deeper.add.xml").write_text(
        f'<additional><laneData id="l" file="{beside}/lanes.xml"/>'
        f'<param key="x"/><tlLogic id="none"/></additional>'.replace('<tlLogic id="none"/>', "")
    )
    (town / "d.add.xml").write_text(
        '<additional><e1Detector id="d1" lane="A0A1_0" pos="5" period="10" file="../../e1.xml"/>'
        '<e1Detector id="d2" lane="A0A1_1" pos="5" period="10" file="../../e1.xml"/>'
        f'<e2Detector id="e" lane="A0A1_0" pos="5" length="9" period="10" file="{beside}/e1.xml"/>'
        '<edgeData id="n" file="/dev/null"/><edgeData id="h" f&#105;le="x"/></additional>'.replace(
            '<edgeData id="h" f&#105;le="x"/>', '<edgeData id="h" file="..&#47;hidden.xml"/>'
        ).replace(
            "</additional>",
            '<vTypeProbe id="p" period="10" file="127.0.0.1:9"/>'
            '<edgeData id="up" file=".."/><include href="deeper.add.xml"/></additional>',
        )
    )
    (town / "t.rou.xml").write_text(
        '<routes><vType id="c"><param key="has.ssm.device" value="true"/>'
        f'<param key="device.ssm.file" value="{beside}/ssm.xml"/></vType>'
        '<trip id="v" type="c" depart="0" from="A0A1" to="B1B0"/></routes>'
    )
    path = configure(
        town,
        additional_files="d.add.xml",
        tripinfo_output="../trips.xml",
        summary=f"{beside}/s.xml.gz",
        fcd_output="stdout",
        log="../log.txt",
        save_state__times="5",
        output_prefix="../../p_",
        end="60",
    )
    folder, before = tmp_path / "run", sorted(tmp_path.rglob("*"))
    folder.mkdir()
    done = sumo("sumo", "-c", stage(read_configuration(path), folder), cwd=tmp_path)
    assert "<fcd-export" not in done.stdout
    after = [item for item in sorted(tmp_path.rglob("*")) if folder not in (item, *item.parents)]
    assert after == before
    written = {item.name for item in folder.iterdir()}
    assert all(item.parent == folder for item in folder.rglob("*"))
    expected = {"trips.xml", "s.xml.gz", "e1.xml", "e1_2.xml", "hidden.xml", "lanes.xml", "ssm_2.xml", "log.txt"}
    assert written >= {f"p_{name}" for name in expected}


def test_dev_null_stays_and_one_file_of_two_detectors_stays_one(town):
    (town / "d.add.xml").write_text(
        '<additional><e1Detector id="a" lane="A0A1_0" pos="5" file="out/x.xml"/>'
        '<e1Detector id="b" lane="A0A1_1" pos="5" file="./out/x.xml"/>'
        '<e1Detector id="c" lane="A0A1_1" pos="9" file="x.xml"/><edgeData id="n" file="/dev/null"/></additional>'
    )
    folder = town / "run"
    folder.mkdir()
    options = options_of(stage(read_configuration(configure(town, additional_files="d.add.xml")), folder))
    files = [element.get("file") for element in ET.parse(options["additional-files"]).getroot()]
    assert files == [str(folder / "x.xml"), str(folder / "x.xml"), str(folder / "x_2.xml"), "/dev/null"]


def test_inputs_that_name_no_file_are_read_in_place(town):
    folder = town / "run"
    folder.mkdir()
    options = options_of(stage(read_configuration(configure(town)), folder))
    assert options["route-files"] == str(town / "t.rou.xml")
    assert options["net-file"] == str(town / "t.net.xml")
    assert [item.name for item in folder.iterdir()] == ["run.sumocfg"]


def test_a_file_that_includes_itself_is_refused(town):
    (town / "d.add.xml").write_text('<additional><include href="d.add.xml"/></additional>')
    configuration = read_configuration(configure(town, additional_files="d.add.xml"))
    with pytest.raises(InputFileError, match="includes itself"):
        stage(configuration, town)
    with pytest.raises(InputFileError, match="includes itself"):
        charging_stations(configuration.additionals)


def test_a_folder_whose_name_is_special_to_sumo_is_refused(town):
    folder = town / "a:1"
    folder.mkdir()
    with pytest.raises(InputFileError, match="has ':' in its path"):
        stage(read_configuration(configure(town)), folder)


@pytest.mark.parametrize("packed", [False, True])
def test_a_network_gives_its_edges_in_order_with_geometry(town, packed):
    path = town / "t.net.xml"
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))  # not visible in the name
    network = network_edges(path)
    assert set(network.labels) == {"A0A1", "A1A0", "A0B0", "B0A0", "A1B1", "B1A1", "B0B1", "B1B0"}
    assert network.lanes.tolist() == [2] * 8
    np.testing.assert_allclose(network.speed_limit, 13.89)
    first = network.labels.index("A0A1")
    assert (network.from_node[first], network.to_node[first]) == ("A0", "A1")
    assert network.node_xy["A1"] == (0.0, 100.0)
    assert network.shapes[first].shape[1] == 2
    along = np.hypot(*np.diff(network.shapes[first], axis=0).T).sum()
    assert along == pytest.approx(network.length_m[first], rel=0.2)


def test_every_junction_edge_that_carries_vehicles_leaves_a_street(town):
    network = network_edges(town / "t.net.xml")
    inner = [e.attrib["id"] for e in ET.parse(town / "t.net.xml").iter("edge") if e.attrib["id"].startswith(":")]
    assert set(network.leaves) == set(inner)
    assert set(network.leaves.values()) <= set(network.labels)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"begin": "nan"}, "sets begin to 'nan': write seconds"),
        ({"end": "inf"}, "sets end to 'inf': write seconds"),
        ({"begin": "-5"}, "runs from -5 s to the last vehicle"),
        ({"begin": "100", "end": "50"}, "runs from 100 s to 50 s .*before its end"),
        ({"step_length": "0"}, "in steps of 0 s: it must .* with steps of 0.001 s or more"),
    ],
)
def test_impossible_times_are_refused(town, options, words):
    with pytest.raises(InputFileError, match=words):
        read_configuration(configure(town, **options))


@pytest.mark.parametrize("connection", ["traci", "libsumo"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"nosuch": "3"}, "No option with the name 'nosuch' exists."),
        ({"scale": "many"}, "While processing option 'scale': 'many' is not a valid float."),
    ],
)
def test_an_option_that_sumo_cannot_read_is_refused_with_its_message(town, tmp_path, connection, options, words):
    run = Run(Traffic(configure(town, **options), connection=connection), tmp_path / "run", [60.0])
    assert run.error is not None
    assert run.error.startswith("InputFileError: SUMO cannot load ")
    assert words in run.error


def test_a_path_that_is_not_a_regular_file_is_refused_at_once(town):
    os.mkfifo(town / "pipe.sumocfg")
    for name in ("pipe.sumocfg", "."):
        with pytest.raises(InputFileError, match="is not a regular file: name a file"):
            read_configuration(town / name)


def test_an_incomplete_network_is_refused_with_the_missing_element(town):
    (town / "t.net.xml").write_text('<net version="1.20"><edge id="a" from="x" to="y"/></net>')
    with pytest.raises(InputFileError, match="is not a SUMO network: edge 'a' has no lane"):
        network_edges(town / "t.net.xml")


def test_every_file_that_affects_a_run_is_listed(town):
    (town / "outer.add.xml").write_text('<additional><include href="in/inner.add.xml"/></additional>')
    (town / "in").mkdir()
    (town / "in" / "inner.add.xml").write_text(
        '<additional><rerouter id="r" edges="A0A1" file="r.xml"/><edgeData id="d" file="written.xml"/></additional>'
    )
    (town / "in" / "r.xml").write_text("<rerouter/>")
    (town / "w.xml").write_text("<meandata/>")
    configuration = read_configuration(configure(town, additional_files="outer.add.xml", weight_files="w.xml"))
    names = [path.relative_to(town).as_posix() for path in input_files(configuration)]
    assert names == [
        "run.sumocfg",
        "t.net.xml",
        "t.rou.xml",
        "outer.add.xml",
        "in/inner.add.xml",
        "in/r.xml",
        "w.xml",
    ]


def test_charging_stations_in_included_files_are_found(tmp_path):
    (tmp_path / "inner.xml").write_text('<additional><chargingStation id="b" lane="x_y_1"/></additional>')
    (tmp_path / "outer.xml").write_text(
        '<additional><chargingStation id="a" lane="x_0" power="50000" efficiency="0.9"/>'
        '<include href="inner.xml"/></additional>'
    )
    a, b = charging_stations([tmp_path / "outer.xml"])
    assert (a.id, a.edge, a.power_w, a.efficiency) == ("a", "x", 50000.0, 0.9)
    assert (b.id, b.edge, b.power_w, b.efficiency) == ("b", "x_y", 22000.0, 0.95)
    (tmp_path / "inner.xml").write_text('<additional><chargingStation id="b"/></additional>')
    with pytest.raises(InputFileError, match="chargingStation 'b' lacks 'lane'"):
        charging_stations([tmp_path / "inner.xml"])


def test_a_program_with_many_errors_is_reported_by_the_first_ones(tmp_path):
    trips = "".join(f'<trip id="t{k}" depart="0" from="nowhere{k}" to="else"/>' for k in range(50))
    (tmp_path / "trips.xml").write_text(f"<routes>{trips}</routes>")
    net = BOLOGNA / "acosta" / "acosta_buslanes.net.xml"
    with pytest.raises(CosimError, match=r"duarouter failed: Error.*\(and \d+ more\)$") as caught:
        run_sumo_tool("duarouter", "-n", net, "-r", tmp_path / "trips.xml", "-o", tmp_path / "o.xml")
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("other", ["route-files", "r"])
def test_an_option_that_is_set_twice_is_refused_as_by_sumo(other, tmp_path):
    make_town(tmp_path)
    path = tmp_path / "twice.sumocfg"
    routes = f'<route-files value="trips.rou.xml"/><{other} value="other.rou.xml"/>'
    path.write_text(f'<configuration><input><net-file value="{NET}"/>{routes}</input></configuration>')
    with pytest.raises(InputFileError, match="sets route-files twice: SUMO refuses that"):
        read_configuration(path)


def test_an_option_without_a_value_is_said_to_be_not_set(tmp_path):
    make_town(tmp_path)
    path = tmp_path / "empty.sumocfg"
    path.write_text(f'<configuration><time/><net-file value="{NET}"/><ignore-route-errors/></configuration>')
    ((name, text),) = read_configuration(path).mended
    assert (name, text) == ("ignore-route-errors", 'it has no value and is not set, as in SUMO: write value="…"')


def test_a_filling_station_is_no_charging_station(tmp_path):
    path = tmp_path / "stations.add.xml"
    stations = '<chargingStation id="pump" lane="a_0" chargeType="fuel"/><chargingStation id="plug" lane="a_0"/>'
    path.write_text(f"<additional>{stations}</additional>")
    assert [station.id for station in charging_stations([path])] == ["plug"]


def test_attributes_of_elements_are_streamed_as_the_whole_parser_reads_them(town):
    path = town / "t.rou.xml"
    whole = [(e.tag, dict(e.attrib)) for e in sumo_files.root_of(path).iter() if e.tag in ("trip", "vType")]
    assert sorted(sumo_files.attributes(path, ("trip", "vType")), key=str) == sorted(whole, key=str)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('<!DOCTYPE a [<!ENTITY b "c">]><routes><trip id="&b;"/></routes>', "declares a document type or entities"),
        ("<routes><trip id='a'/>", "is not well-formed XML"),
        ("", "is not well-formed XML"),
    ],
)
def test_attributes_of_files_that_cannot_be_trusted_are_refused(tmp_path, text, words):
    path = tmp_path / "bad.rou.xml"
    path.write_text(text)
    with pytest.raises(InputFileError, match=words):
        list(sumo_files.attributes(path, ("trip",)))
