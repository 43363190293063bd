"""Grid files: networks are read correctly, and untrusted content is refused."""

from __future__ import annotations

import json
import sys
import zipfile

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pytest
import scipy.io

from cosim.adapters.grid import Grid, read_cgmes, read_matpower, read_net, read_simbench
from cosim.core import InputFileError
from cosim.core.adapter import take_events
from tests.support.grids import opened, two_buses


def test_a_net_survives_a_round_trip_through_json(tmp_path):
    net = pn.create_cigre_network_mv()
    path = tmp_path / "net.json"
    pp.to_json(net, str(path))
    grid = Grid.from_json(path)
    grid.open()
    same = opened(net)
    np.testing.assert_allclose(grid.voltage.value, same.voltage.value, atol=1e-12)
    assert grid.files == (path,)
    assert grid.versions()["pandapower"] == pp.__version__


def hostile(tmp_path, change):
    text = pp.to_json(two_buses())
    path = tmp_path / "net.json"
    path.write_text(change(text))
    return path


MARK = "this_module_must_not_be_imported"
FOREIGN = {"_module": MARK, "_class": "Thing", "_object": "{}"}


@pytest.mark.parametrize(
    "payload",
    [
        json.dumps(FOREIGN),
        json.dumps(FOREIGN).replace("_module", "\\u005fmodule"),
        json.dumps([json.dumps(FOREIGN)]),
        json.dumps({"_module": "pandapower.auxiliary", "_class": "pandapowerNet", "_object": json.dumps([FOREIGN])}),
        json.dumps({"_module": "pandas", "_class": "DataFrame", "_object": json.dumps({"data": [[FOREIGN]]})}),
        f'{{"_module": "{MARK}", "_module": "pandas", "_class": "DataFrame", "_object": "{{}}"}}',
        json.dumps({"_module": "pandas", "_class": "DataFrame", "_object": "/etc/other.json"}),
        json.dumps({"_module": "pandapower.file_io", "_class": "function", "_object": "from_pickle"}),
        json.dumps({"_module": "builtins", "_class": "eval", "_object": "1"}),
        json.dumps({"_module": "pandapowerx", "_class": "Thing", "_object": "1"}),
    ],
)
def test_a_file_that_names_foreign_classes_is_refused_before_loading(tmp_path, payload):
    path = hostile(tmp_path, lambda text: text.replace('"_object": {', '"_object": {"evil": ' + payload + ",", 1))
    with pytest.raises(InputFileError, match=r"may only name classes of pandapower.*nothing was loaded"):
        read_net(path)
    assert MARK not in sys.modules


def test_a_file_that_is_not_a_net_is_refused(tmp_path):
    with pytest.raises(InputFileError, match="cannot read"):
        read_net(tmp_path / "none.json")
    with pytest.raises(InputFileError, match="is not JSON"):
        read_net(hostile(tmp_path, lambda text: text[: len(text) // 2]))
    with pytest.raises(InputFileError, match="is not a pandapower net"):
        read_net(hostile(tmp_path, lambda text: "{}"))


CASE = """function mpc = two
mpc.version = '2';
mpc.baseMVA = 100;
mpc.bus = [
  1 3 0 0 0 0 1 1 0 20 1 1.1 0.9;
  2 1 10 4 0 0 1 1 0 20 1 1.1 0.9;
];
mpc.gen = [1 0 0 300 -300 1 100 1 250 10 0 0 0 0 0 0 0 0 0 0 0];
mpc.branch = [1 2 0.02 0.06 0 50 50 50 0 0 1 -360 360];
"""


def two_bus_voltage(r=0.02, x=0.06, p=0.1, q=0.04):
    b = 2 * (r * p + x * q) - 1
    return np.sqrt((-b + np.sqrt(b * b - 4 * (r * r + x * x) * (p * p + q * q))) / 2)


def test_a_matpower_case_matches_its_closed_form(tmp_path):
    path = tmp_path / "two.mat"
    line = [1, 2, 0.04, 0.12, 0, 50, 50, 50, 0, 0, 1, -360, 360]
    gen, branch = np.zeros((1, 21)), np.array([line, line], float)  # two of twice the impedance
    gen[0, [0, 3, 4, 5, 6, 7, 8, 9]] = [1, 300, -300, 1, 100, 1, 250, 10]
    bus = np.array([[1, 3, 0, 0, 0, 0, 1, 1, 0, 20, 1, 1.1, 0.9], [2, 1, 10, 4, 0, 0, 1, 1, 0, 20, 1, 1.1, 0.9]])
    scipy.io.savemat(path, {"mpc": {"version": "2", "baseMVA": 100.0, "bus": bus, "gen": gen, "branch": branch}})
    grid = opened(read_matpower(path))
    assert grid.voltage.value[1] == pytest.approx(two_bus_voltage(), abs=1e-10)


def test_a_matpower_case_with_dc_lines_is_refused_since_its_converter_drops_them(tmp_path):
    path = tmp_path / "two.mat"
    gen, branch, bus = np.zeros((1, 21)), np.zeros((2, 13)), np.zeros((2, 13))
    gen[0, [0, 3, 4, 5, 6, 7, 8, 9]] = [1, 300, -300, 1, 100, 1, 250, 10]
    branch[:] = [1, 2, 0.04, 0.12, 0, 50, 50, 50, 0, 0, 1, -360, 360]
    bus[:] = [[1, 3, 0, 0, 0, 0, 1, 1, 0, 20, 1, 1.1, 0.9], [2, 1, 10, 4, 0, 0, 1, 1, 0, 20, 1, 1.1, 0.9]]
    case = {"version": "2", "baseMVA": 100.0, "bus": bus, "gen": gen, "branch": branch}
    scipy.io.savemat(path, {"mpc": case | {"dcline": np.array([[1, 2, 1, 5.0], [1, 2, 0, 5.0]])}})
    with pytest.raises(InputFileError, match=r"has 1 DC lines in service \(mpc.dcline\), which pandapower's converter"):
        read_matpower(path)
    scipy.io.savemat(path, {"mpc": case | {"dcline": np.array([[1, 2, 0, 5.0]])}})
    assert len(read_matpower(path).bus) == 2


def test_a_matpower_text_case_with_dc_lines_is_refused(tmp_path):
    pytest.importorskip("matpowercaseframes", reason="the extra grids is not installed")
    path = tmp_path / "two.m"
    path.write_text(CASE + "mpc.dcline = [ % between both\n  1 2 1 5 4.9 0 0 1 1 0 10 0 0 0 0 0 0;\n];\n")
    with pytest.raises(InputFileError, match=r"has 1 DC lines in service"):
        read_matpower(path)


def test_a_matpower_text_case_matches_its_closed_form(tmp_path):
    pytest.importorskip("matpowercaseframes", reason="the extra grids is not installed")
    path = tmp_path / "two.m"
    path.write_text(CASE)
    assert opened(read_matpower(path)).voltage.value[1] == pytest.approx(two_bus_voltage(), abs=1e-10)


def test_a_file_that_is_not_a_matpower_case_is_refused(tmp_path):
    with pytest.raises(InputFileError, match="the file does not exist"):
        read_matpower(tmp_path / "none.m")
    with pytest.raises(InputFileError, match=r"does not end in \.m or \.mat"):
        read_matpower(tmp_path / "case.json")
    path = tmp_path / "bad.mat"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(InputFileError, match="cannot convert"):
        read_matpower(path)


@pytest.mark.parametrize("code", ["1-LV-rural1--0-sw", "1-MV-urban--0-sw", "1-HV-mixed--0-no_sw"])
def test_a_simbench_grid_has_its_taps_repaired_and_reported(code):
    pytest.importorskip("simbench", reason="the extra simbench is not installed")
    net = read_simbench(code)
    grid = opened(net)
    assert {event.kind for event in take_events(grid)} >= {"repaired", "engine"}
    net.trafo["tap_changer_type"] = "Ratio"
    pp.runpp(net, numba=False, tolerance_mva=1e-10)
    np.testing.assert_allclose(grid.voltage.value, net.res_bus.vm_pu.dropna(), atol=1e-9)


def test_an_unknown_simbench_code_is_refused_with_its_neighbours():
    pytest.importorskip("simbench", reason="the extra simbench is not installed")
    with pytest.raises(InputFileError, match="the nearest codes are 1-LV-rural"):
        read_simbench("1-LV-rural9--0-sw")


def test_cgmes_with_a_document_type_is_refused_before_it_is_parsed(tmp_path):
    bomb = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'
    path = tmp_path / "EQ.xml"
    path.write_text(bomb)
    with pytest.raises(InputFileError, match="cannot read the CGMES profile"):
        read_cgmes(path)
    archive = tmp_path / "model.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("EQ.xml", bomb)
    with pytest.raises(InputFileError, match="DTDForbidden"):
        read_cgmes(archive)
    with pytest.raises(InputFileError, match="got no file"):
        read_cgmes()


NAMESPACES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "cim": "http://iec.ch/TC57/2013/CIM-schema-cim16#",
    "md": "http://iec.ch/TC57/61970-552/ModelDescription/1#",
}
PROFILES = {
    "EQ": "http://entsoe.eu/CIM/EquipmentCore/3/1",
    "SSH": "http://entsoe.eu/CIM/SteadyStateHypothesis/1/1",
    "TP": "http://entsoe.eu/CIM/Topology/4/1",
    "SV": "http://entsoe.eu/CIM/StateVariables/4/1",
}
# One 20 kV cable from an external network at 1.02 pu to a load; "@" refers to another object.
MODEL = {
    "EQ": """
        BaseVoltage bv nominalVoltage=20
        GeographicalRegion region
        SubGeographicalRegion district Region=@region
        Substation yard Region=@district
        VoltageLevel level Substation=@yard BaseVoltage=@bv
        ExternalNetworkInjection up Equipment.EquipmentContainer=@level RegulatingCondEq.RegulatingControl=@control
        RegulatingControl control Terminal=@t1 mode=@RegulatingControlModeKind.voltage
        ACLineSegment cable Conductor.length=2 ConductingEquipment.BaseVoltage=@bv r=0.8 x=0.6 bch=0 gch=0
        EnergyConsumer town Equipment.EquipmentContainer=@level
        Terminal t1 ConductingEquipment=@up ACDCTerminal.sequenceNumber=1
        Terminal t2 ConductingEquipment=@cable ACDCTerminal.sequenceNumber=1
        Terminal t3 ConductingEquipment=@cable ACDCTerminal.sequenceNumber=2
        Terminal t4 ConductingEquipment=@town ACDCTerminal.sequenceNumber=1""",
    "SSH": """
        ExternalNetworkInjection up p=0 q=0 referencePriority=1 RegulatingCondEq.controlEnabled=true
        RegulatingControl control targetValue=20.4 enabled=true discrete=false
        EnergyConsumer town p=4 q=1
        Terminal t1 ACDCTerminal.connected=true
        Terminal t2 ACDCTerminal.connected=true
        Terminal t3 ACDCTerminal.connected=true
        Terminal t4 ACDCTerminal.connected=true""",
    "TP": """
        TopologicalNode a BaseVoltage=@bv ConnectivityNodeContainer=@level
        TopologicalNode b BaseVoltage=@bv ConnectivityNodeContainer=@level
        Terminal t1 TopologicalNode=@a
        Terminal t2 TopologicalNode=@a
        Terminal t3 TopologicalNode=@b
        Terminal t4 TopologicalNode=@b""",
    "SV": """
        SvVoltage va v=20.4 angle=0 TopologicalNode=@a
        SvVoltage vb v=20.3 angle=0 TopologicalNode=@b""",
}


def write_profile(folder, name):
    """Write one profile of the model as CIM XML."""
    lines = ["<rdf:RDF " + " ".join(f'xmlns:{short}="{uri}"' for short, uri in NAMESPACES.items()) + ">"]
    lines.append(f'<md:FullModel rdf:about="urn:uuid:{name}"><md:Model.profile>{PROFILES[name]}</md:Model.profile>')
    lines.append("</md:FullModel>")
    for line in MODEL[name].split("\n")[1:]:
        kind, key, *values = line.split()
        new = name in ("EQ", "SV") or kind == "TopologicalNode"
        lines.append(f'<cim:{kind} rdf:ID="_{key}">' if new else f'<cim:{kind} rdf:about="#_{key}">')
        if new:
            lines.append(f"<cim:IdentifiedObject.name>{key}</cim:IdentifiedObject.name>")
        for value in values:
            attribute, text = value.split("=")
            attribute = attribute if "." in attribute else f"{kind}.{attribute}"
            uri = NAMESPACES["cim"] + text[1:] if "Kind." in text else f"#_{text[1:]}"
            full = f"<cim:{attribute}>{text}</cim:{attribute}>"
            lines.append(f'<cim:{attribute} rdf:resource="{uri}"/>' if text[0] == "@" else full)
        lines.append(f"</cim:{kind}>")
    path = folder / f"{name}.xml"
    path.write_text("\n".join([*lines, "</rdf:RDF>"]))
    return path


def test_a_cgmes_model_matches_its_closed_form(tmp_path):
    pytest.importorskip("lxml", reason="the extra grids is not installed")
    grid = opened(read_cgmes(*(write_profile(tmp_path, name) for name in MODEL)))
    volts = dict(zip(grid.voltage.labels, grid.voltage.value))
    per_ohm = 1 / 400 / 1.02**2  # per unit of 1 MVA at the voltage of the external network
    assert volts["a"] == pytest.approx(1.02)
    assert volts["b"] == pytest.approx(1.02 * two_bus_voltage(0.8 * per_ohm, 0.6 * per_ohm, 4, 1), abs=1e-9)


def test_what_the_converter_of_cgmes_leaves_out_is_refused_or_named(tmp_path, monkeypatch):
    pytest.importorskip("lxml", reason="the extra grids is not installed")
    curve = "\n        LoadResponseCharacteristic curve exponentModel=true pVoltageExponent=1"
    monkeypatch.setitem(MODEL, "EQ", MODEL["EQ"] + curve)
    grid = opened(read_cgmes(*(write_profile(tmp_path, name) for name in MODEL)))
    (event,) = [event for event in take_events(grid) if event.kind == "left out"]
    assert event.element == "LoadResponseCharacteristic"
    assert event.text == "1 of the model: loads draw constant power, whatever their voltage"
    monkeypatch.setitem(MODEL, "EQ", MODEL["EQ"] + "\n        Fuse fuse Equipment.EquipmentContainer=@level")
    with pytest.raises(InputFileError, match="has 1 Fuse, which pandapower's converter drops: write them as another"):
        read_cgmes(*(write_profile(tmp_path, name) for name in MODEL))


def test_plain_values_in_tables_of_one_s_own_are_trusted(tmp_path):
    net = two_buses()
    net["mine"] = {"pair": (1, 2), "names": {"a"}, "number": np.float32(2.5), "rows": np.arange(3), "i": np.int64(4)}
    pp.to_json(net, str(tmp_path / "net.json"))
    again = read_net(tmp_path / "net.json").mine
    assert (again["pair"], again["names"], again["number"], again["i"]) == ((1, 2), {"a"}, 2.5, 4)
    assert again["rows"].tolist() == [0, 1, 2]
