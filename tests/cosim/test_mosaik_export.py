"""Adapters as ordinary simulators in plain mosaik scenarios, with their elements as children."""

import copy
import csv
import itertools

import mosaik
import mosaik_api_v3
import mosaik_csv
import mosaik_csv_writer
import numpy as np
import pandapower as pp
import pytest
from mosaik.starters import CmdStarter, PythonStarter
from mosaik_components.pv.pvsimulator import PVSimulator

from cosim import Adapter, CosimError, Input, Output, Step, as_mosaik
from cosim.adapters.grid import Grid
from tests.support.paths import ROOT
from tests.support.toys import Echo, Source


class Scalar(mosaik_api_v3.Simulator):
    """Publishes one number and keeps what it receives, as in mosaik's own tutorials."""

    seen: list

    def __init__(self):
        super().__init__(
            {
                "api_version": "3.0",
                "type": "time-based",
                "models": {"M": {"public": True, "params": [], "attrs": ["out", "in_"]}},
            }
        )

    def init(self, sid, time_resolution=1.0):
        self.seen = Scalar.log = []
        return self.meta

    def create(self, num, model):
        return [{"eid": f"m{i}", "type": model} for i in range(num)]

    def step(self, time, inputs, max_advance):
        self.seen.append((time, copy.deepcopy(inputs)))  # mosaik changes its own buffer later
        return time + 60

    def get_data(self, outputs):
        return {entity: dict.fromkeys(names, 3.0) for entity, names in outputs.items()}


def test_elements_are_children_with_scalar_attributes():
    with mosaik.World({}, cache=False) as world:
        echo = world.start(PythonStarter(as_mosaik(Echo())), sim_id="echo", step_s=60)
        scalar = world.start(PythonStarter(Scalar), sim_id="scalar")
        whole, (one, two) = echo.Vector(), scalar.M.create(2)
        children = {child.eid: child for child in whole.children}
        assert children.keys() == {"a", "b"}
        world.connect(one, children["a"], ("out", "load"))
        world.connect(one, children["b"], ("out", "load"))
        world.connect(two, children["b"], ("out", "load"))
        world.connect(children["b"], one, ("received", "in_"), time_shifted=60, initial_data={"received": -1.0})
        world.run(until=180, print_progress=False)
    received = [inputs["m0"]["in_"]["echo.b"] for _, inputs in Scalar.log]
    assert received == [-1.0, 6.0, 6.0]


def test_whole_vectors_connect_as_well():
    with mosaik.World({}, cache=False) as world:
        source = world.start(PythonStarter(as_mosaik(Source())), sim_id="source", step_s=60)
        echo = world.start(PythonStarter(as_mosaik(Echo())), sim_id="echo", step_s=60)
        scalar = world.start(PythonStarter(Scalar), sim_id="scalar")
        a, b, end = source.Vector(), echo.Vector(), scalar.M()
        world.connect(a, b, ("power", "load"))
        world.connect(b, end, ("received", "in_"))
        world.run(until=120, print_progress=False)
    last = Scalar.log[-1][1]["m0"]["in_"]["echo.vector"]
    assert last.tolist() == (np.random.default_rng([1, 60, 60]).normal(size=2) * 1000).tolist()


def feeder():
    """Return a grid with two houses on one cable."""
    net = pp.create_empty_network()
    buses = [pp.create_bus(net, 0.4, name=name) for name in ("station", "house 1", "house 2")]
    pp.create_ext_grid(net, buses[0], name="up")
    for a, b in itertools.pairwise(buses):
        pp.create_line_from_parameters(net, a, b, 0.3, 0.3, 0.08, 0.0, 0.2, name=f"cable {b}")
    return Grid(net, connection_points={"house 1": "house 1", "house 2": "house 2"})


def test_grid_couples_with_simulators_of_the_mosaik_ecosystem(tmp_path):
    sun, out = tmp_path / "sun.csv", tmp_path / "voltage.csv"
    beams = [0.0, 300.0, 800.0, 500.0]
    sun.write_text("Time,DNI\n" + "".join(f"2025-06-01 {10 + k}:00:00,{dni}\n" for k, dni in enumerate(beams)))
    start, load_w = "2025-06-01 10:00:00", 2000.0
    areas = {"house 1": 20.0, "house 2": 40.0}

    def demand(panel_mw):
        return load_w - 1e6 * panel_mw

    with mosaik.World({}, cache=False) as world:
        data = world.start(PythonStarter(mosaik_csv.CSV), sim_id="sun", sim_start=start, datafile=str(sun)).Data()
        pv = world.start(PythonStarter(PVSimulator), sim_id="pv", start_date=start, step_size=3600)
        grid = world.start(PythonStarter(as_mosaik(feeder())), sim_id="grid", step_s=3600).Vector()
        writer = world.start(
            PythonStarter(mosaik_csv_writer.CSVWriter), sim_id="out", start_date=start, output_file=str(out)
        ).CSVWriter(buff_size=3600)
        buses = {child.eid: child for child in grid.children}
        for house, area in areas.items():
            roof = pv.PV(latitude=53.1, area=area, el_tilt=30.0)
            world.connect(data, roof, ("DNI", "DNI[W/m2]"))
            world.connect(roof, buses[house], ("P[MW]", "power"), transform=demand)
            world.connect(buses[house], writer, "voltage")
        world.run(until=4 * 3600, print_progress=False)
    with out.open() as file:
        rows = [[float(row[f"grid.{house}-voltage"]) for house in areas] for row in csv.DictReader(file)]

    panels = PVSimulator()
    panels.init("pv", start_date=start, step_size=3600)
    eids = [panels.create(1, "PV", latitude=53.1, area=area, el_tilt=30.0)[0]["eid"] for area in areas.values()]
    alone = feeder()
    alone.open()
    for k, beam in enumerate(beams):
        panels.step(3600 * k, {eid: {"DNI[W/m2]": {"sun": beam}} for eid in eids})
        produced = panels.get_data({eid: ["P[MW]"] for eid in eids})
        alone.power.deliver([demand(produced[eid]["P[MW]"]) for eid in eids])
        alone.advance(Step(3600.0 * k, 3600.0))
        voltage = dict(zip(alone.voltage.labels, alone.voltage.value, strict=True))
        np.testing.assert_array_equal(rows[k], [voltage[house] for house in areas])
    assert rows[2][1] > 1.0 > rows[0][1]


class Two(Adapter):
    """Two populations with different ports; one label is the default id of the whole."""

    def __init__(self):
        self.power = Input("W", ["vector", "bus"], default=[1.0, 2.0])
        self.voltage = Output("pu", ["bus"], "end")
        self.loading = Output("1", ["line.1"], "mean")

    def advance(self, step):
        self.voltage.value = self.power.value[1]
        self.loading.value = self.power.value.sum()


def test_elements_have_only_the_attributes_of_their_ports_and_their_units():
    with mosaik.World({}, cache=False) as world:
        whole = world.start(PythonStarter(as_mosaik(Two())), sim_id="two", step_s=60).Vector()
        scalar = world.start(PythonStarter(Scalar), sim_id="scalar").M()
        children = {child.eid: child for child in whole.children}
        assert whole.eid not in children
        assert {eid: child.type for eid, child in children.items()} == {
            "vector": "Element of power",
            "bus": "Element of power, voltage",
            "line.1": "Element of loading",
        }
        assert children["bus"].extra_info == {"units": {"power": "W", "voltage": "pu"}, "kinds": {"voltage": "end"}}
        assert whole.extra_info["units"] == {"power": "W", "voltage": "pu", "loading": "1"}
        with pytest.raises(mosaik.exceptions.ScenarioError, match="voltage"):
            world.connect(children["line.1"], scalar, ("voltage", "in_"))
        world.connect(children["line.1"], scalar, ("loading", "in_"))
        world.run(until=60, print_progress=False)
    assert Scalar.log == [(0, {"m0": {"in_": {"two.line.1": 3.0}}})]


def simulator():
    made = as_mosaik(Two())()
    made.init("two")
    (whole,) = made.create(1, "Vector")
    return made, whole["eid"]


@pytest.mark.parametrize("order", [1, -1])
def test_values_for_the_whole_and_for_an_element_add_up_in_any_order(order):
    made, whole = simulator()
    sent = [(whole, {"power": {"a": [10.0, 20.0], "b": np.ones(2)}}), ("bus", {"power": {"c": 5.0, "d": 0.5}})]
    made.step(0, dict(sent[::order]), 60)
    assert made.get_data({whole: ["loading"]}) == {whole: {"loading": [37.5]}}
    assert made.get_data({"bus": ["voltage"]}) == {"bus": {"voltage": 26.5}}
    made.step(60, {"bus": {"power": {"c": 5.0}}}, 120)  # the other element receives its default
    assert made.get_data({whole: ["loading"]}) == {whole: {"loading": [6.0]}}
    made.finalize()
    made.finalize()


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"bus": {"power": {"x.y": "much"}}}, r"bus\.power received 'much' from x\.y at 0: it must be a number"),
        ({"bus": {"power": {"x.y": [1.0, 2.0]}}}, r"bus\.power received \[1\.0, 2\.0\] from x\.y at 0: it must be a"),
        ({"vector_": {"power": {"x.y": 1.0}}}, r"received 1\.0 from x\.y at 0: it must be an array of 2 numbers"),
        ({"bus": {"power": {"x.y": None}}}, r"power\['bus'\] is nan: every element must be a finite number"),
        ({"line.1": {"power": {"x.y": 1.0}}}, r"power: unknown element 'line\.1'"),
        ({"bus": {"voltage": {"x.y": 1.0}}}, r"bus\.voltage is not an input; available: power"),
    ],
)
def test_value_that_does_not_fit_is_refused_with_its_source(sent, words):
    made, _ = simulator()
    with pytest.raises(CosimError, match=words):
        made.step(0, sent, 60)
    made.finalize()


def test_second_entity_is_refused():
    made, _ = simulator()
    with pytest.raises(CosimError, match="the adapter is one Vector, created once"):
        made.create(1, "Vector")
    made.finalize()


def test_simulator_that_was_never_started_finalizes():
    as_mosaik(Two())().finalize()


def test_argument_that_is_not_an_adapter_is_refused():
    with pytest.raises(CosimError, match=r"as_mosaik got 3: pass an adapter, as in as_mosaik\(Grid\(\.\.\.\)\)"):
        as_mosaik(3)


def test_failing_adapter_ends_the_plain_scenario_with_its_message():
    class Failing(Two):
        def advance(self, step):
            raise ValueError("no more transformers")

    with mosaik.World({}, cache=False) as world:
        world.start(PythonStarter(as_mosaik(Failing())), sim_id="failing", step_s=60).Vector()
        with pytest.raises(CosimError, match="ValueError: no more transformers"):
            world.run(until=60, print_progress=False)


SCRIPT = """
import mosaik_api_v3
from cosim import as_mosaik
from tests.support.toys import Source
mosaik_api_v3.start_simulation(as_mosaik(Source())(), configure_logging=False)
"""


def test_adapter_started_as_a_command_publishes_the_same_values(tmp_path):
    (tmp_path / "source.py").write_text(SCRIPT)
    command = CmdStarter(f"%(python)s {tmp_path / 'source.py'} %(addr)s", env={"PYTHONPATH": str(ROOT)})
    received = {}
    for start in (PythonStarter(as_mosaik(Source())), command):
        with mosaik.World({}, cache=False) as world:
            whole = world.start(start, sim_id="source", step_s=60).Vector()
            ends = world.start(PythonStarter(Scalar), sim_id="scalar").M.create(2)
            world.connect(whole, ends[0], ("power", "in_"))
            world.connect(whole.children[1], ends[1], ("power", "in_"))
            world.run(until=180, print_progress=False)
        received[type(start)] = [
            [value for entity in ("m0", "m1") for value in inputs[entity]["in_"].values()] for _, inputs in Scalar.log
        ]
    for (here, one), (there, other) in zip(received[PythonStarter], received[CmdStarter], strict=True):
        assert isinstance(there, list)
        assert (here.tolist(), one) == (there, other)
    assert len(received[CmdStarter]) == 3


def test_element_that_receives_nothing_is_named():
    simulator = as_mosaik(Echo())()
    simulator.init("echo")
    simulator.create(1, "Vector")
    with pytest.raises(CosimError, match=r"load\['b'\] received no value at 0: connect it, it has no default"):
        simulator.step(0, {"a": {"load": {"x": 1.0}}}, 60)
    simulator.finalize()


def test_step_that_is_not_a_multiple_of_the_resolution_is_refused():
    with pytest.raises(CosimError, match="whole multiple of the time resolution"):
        as_mosaik(Echo())().init("echo", time_resolution=60.0, step_s=90)
