"""Mosaik 3 simulators as adapters: results, time, resuming and errors."""

import ast
import csv
import gc
import os
import pickle
import shlex
import signal
import socket
import subprocess
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path

import mosaik
import numpy as np
import pandapower.networks
import pytest
from mosaik.basic_simulators import OutputSimulator
from mosaik.starters import PythonStarter

from cosim import Clock, CosimError, Scenario, ScenarioError, Step
from cosim.adapters.mosaik_sim import Call, Entity, InputAttribute, MosaikSimulator, OutputAttribute
from cosim.adapters.mosaik_sim import links as mosaik_links
from cosim.core.adapter import restored_by, take_events
from tests.support.paths import ROOT
from tests.support.toys import Source

CELLS = "tests.support.mosaik_toys:Cells"
COMMAND = {"cmd": "%(python)s -m tests.support.mosaik_toys %(addr)s", "cwd": str(ROOT)}
FOREIGN = os.environ.get("COSIM_FOREIGN_PYTHON")
foreign = pytest.mark.skipif(
    FOREIGN is None,
    reason="needs COSIM_FOREIGN_PYTHON, a Python with mosaik-heatpump and mosaik-hdf5: nox -s foreign makes one",
)
Y = {"y": OutputAttribute("y", "1", "end")}


def cells(start=CELLS, inputs=True, outputs=None, settings=None, **more):
    return MosaikSimulator(
        start,
        "Cell",
        {"a": {}, "b": {}},
        inputs={"x": InputAttribute("x", "1")} if inputs else {},
        outputs=Y if outputs is None else outputs,
        settings=settings,
        **more,
    )


@pytest.fixture
def run(caplog):
    """Open adapters, advance them, and close them in any case; asyncio must not report anything left over."""
    opened = []

    def go(adapter, n=1, length_s=60.0, x=(1.0, 2.0)):
        opened.append(adapter)
        adapter.open()
        values = []
        for k in range(n):
            if "x" in adapter.inputs:
                adapter.x.deliver(np.add(x, k))
            adapter.advance(Step(k * length_s, length_s))
            values.append({name: getattr(adapter, name).value.copy() for name in adapter.outputs})
        return values

    yield go
    for adapter in opened:
        adapter.close()
        adapter.close()
    opened.clear()
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


# Real simulators from the package index


@pytest.fixture
def sun(tmp_path):
    """Hourly beam irradiance of a June day in mosaik-csv's format."""
    path = tmp_path / "sun.csv"
    rows = [f"2025-06-01 {hour:02d}:00:00,{max(0, 800 - 8 * (hour - 12) ** 2)}" for hour in range(24)]
    path.write_text("Time,DNI\n" + "\n".join(rows) + "\n")
    return path


def player(path, start="mosaik_csv:CSV", **more):
    return MosaikSimulator(
        start,
        "Data",
        {"site": {}},
        outputs={"beam": OutputAttribute("DNI", "W/m**2", "mean")},
        settings={"sim_start": "2025-06-01 00:00:00", "datafile": str(path)} | more,
        clock=Clock("2025-06-01", hours=24),
    )


def panels():
    return MosaikSimulator(
        "mosaik_components.pv.pvsimulator:PVSimulator",
        "PV",
        {f"roof {i}": {"latitude": 53.1, "area": 10.0 * i, "el_tilt": 30.0} for i in (1, 2)},
        inputs={"beam": InputAttribute("DNI[W/m2]", "W/m**2")},
        outputs={"power": OutputAttribute("P[MW]", "MW", "mean")},
        settings={"start_date": "2025-06-01 00:00:00", "step_size": 3600},
    )


def rows_of(path):
    with path.open() as file:
        return np.array([float(row["DNI"]) for row in csv.DictReader(file)])


@pytest.mark.parametrize("start", ["mosaik_csv:CSV", {"cmd": "%(python)s -m mosaik_csv %(addr)s"}])
@pytest.mark.parametrize(("length_s", "n"), [(900.0, 96), (3600.0, 24), (10800.0, 8)])
def test_csv_player_means_over_steps_of_any_length_are_those_of_the_file(sun, run, start, length_s, n):
    published = np.ravel([values["beam"] for values in run(player(sun, start), n, length_s)])
    rows = np.repeat(rows_of(sun), 4).reshape(n, -1).mean(axis=1)
    np.testing.assert_allclose(published, rows, rtol=1e-14)


def test_step_across_rows_of_a_player_is_weighted_by_time(sun, run):
    published = np.ravel([values["beam"] for values in run(player(sun), 32, 2700.0)])
    rows = np.repeat(rows_of(sun), 4).reshape(32, 3).mean(axis=1)
    np.testing.assert_allclose(published, rows, rtol=1e-14)


def test_coupled_real_simulators_give_the_same_results_as_in_plain_mosaik(sun, tmp_path):
    scenario = Scenario(Clock("2025-06-01", hours=24, step_s=3600), sun=player(sun), pv=panels())
    share = np.ones((2, 1))
    scenario.connect("sun.beam", "pv.beam", via=share)
    ours = scenario.run(tmp_path / "run", double=True).series("pv.power").to_numpy()

    import mosaik_csv
    from mosaik_components.pv.pvsimulator import PVSimulator

    with mosaik.World({}, cache=False) as world:
        data = world.start(
            PythonStarter(mosaik_csv.CSV), sim_id="csv", sim_start="2025-06-01 00:00:00", datafile=str(sun)
        ).Data()
        pv = world.start(PythonStarter(PVSimulator), sim_id="pv", start_date="2025-06-01 00:00:00", step_size=3600)
        roofs = [pv.PV(latitude=53.1, area=10.0 * i, el_tilt=30.0) for i in (1, 2)]
        output = world.start(PythonStarter(OutputSimulator), sim_id="out")
        kept = output.Dict.create(2)
        for roof, keeper in zip(roofs, kept, strict=True):
            world.connect(data, roof, ("DNI", "DNI[W/m2]"))
            world.connect(roof, keeper, "P[MW]")
        world.run(until=86400, print_progress=False)
        theirs = [output.get_dict(keeper.eid) for keeper in kept]
    plain = np.array(
        [
            [one[t]["P[MW]"][roof.full_id] for one, roof in zip(theirs, roofs, strict=True)]
            for t in range(0, 86400, 3600)
        ]
    )
    assert plain.max() > 1e-3
    np.testing.assert_array_equal(ours, plain)


def test_grid_of_children_gives_the_power_flow_of_pandapower(tmp_path):
    net = pandapower.networks.create_cigre_network_mv()
    buses = {f"bus {i}": f"Bus-{i}" for i in net.bus.index}
    grid = MosaikSimulator(
        "mosaik_components.pandapower:Simulator",
        "Grid",
        {"grid": {"network_function": "create_cigre_network_mv"}},
        inputs={"load": InputAttribute("P_load[MW]", "MW", labels=buses)},
        outputs={"voltage": OutputAttribute("Vm[pu]", "pu", "end", labels=buses)},
        settings={"step_size": 900},
    )
    scenario = Scenario(Clock("2025-06-01", hours=1, step_s=900), grid=grid, source=Source(list(buses), unit="kW"))
    scenario.connect("source.power", "grid.load")
    scenario.place(grid="inline")
    result = scenario.run(tmp_path / "run", double=True)
    loads = result.series("source.power")[list(buses)].to_numpy()[-1] * 1e-3
    pandapower.create_loads(net, net.bus.index, loads)
    pandapower.runpp(net, numba=False)
    np.testing.assert_allclose(result.series("grid.voltage")[list(buses)].to_numpy()[-1], net.res_bus.vm_pu, rtol=1e-9)


def test_collector_that_accepts_any_attribute_receives_each_label_as_a_source(tmp_path, run):
    out = tmp_path / "out.csv"
    writer = MosaikSimulator(
        "mosaik_csv_writer:CSVWriter",
        "CSVWriter",
        {"file": {"buff_size": 60}},
        inputs={"power": InputAttribute("P", "W", labels={"bus 1": "file", "bus 2": "file"})},
        settings={"start_date": "2025-06-01 00:00:00", "output_file": str(out)},
    )
    writer.open()
    for k in range(3):
        writer.power.deliver([k, 10.0 * k])
        writer.advance(Step(60.0 * k, 60.0))
    writer.close()
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["date"][-8:], float(row["power.bus 1-P"]), float(row["power.bus 2-P"])) for row in rows] == [
        ("00:00:00", 0.0, 0.0),
        ("00:01:00", 1.0, 10.0),
        ("00:02:00", 2.0, 20.0),
    ]


PUMPS = [
    {"params": {"heat_source": "air"} | pump}
    for pump in (
        {"calc_mode": "hplib", "hp_model": "LW 300(L)", "equivalent_hp_model": "Air_30kW"},
        {"calc_mode": "fixed", "COP": 3.5, "heating capacity": 15e3, "cond_m": 0.5, "hp_model": ""},
    )
]
WEATHER = {"Q_Demand": 2.0e4, "heat_source_T": 5.0, "T_amb": 5.0, "cond_in_T": 30.0}
BY_HAND = f"""
from mosaik_components.heatpump.Heat_Pump_mosaik import HeatPumpSimulator
simulator = HeatPumpSimulator()
simulator.init("hp", time_resolution=1.0, step_size=900)
eids = [simulator.create(1, "HeatPump", **pump)[0]["eid"] for pump in {PUMPS}]
for time in (0, 900):
    simulator.step(time, {{eid: {{name: {{"a": value}} for name, value in {WEATHER}.items()}} for eid in eids}}, 1800)
data = simulator.get_data({{eid: ["P_Required", "COP"] for eid in eids}})
print([[data[eid][name] for eid in eids] for name in ("P_Required", "COP")])
"""


@foreign
def test_simulator_in_its_own_python_may_use_incompatible_dependencies():
    start = "from mosaik_components.heatpump.Heat_Pump_mosaik import main; main()"
    pumps = MosaikSimulator(
        {"cmd": f"{FOREIGN} -c {shlex.quote(start)} %(addr)s"},
        "HeatPump",
        dict(zip("ab", PUMPS, strict=True)),
        inputs={
            name: InputAttribute(name, "W" if name == "Q_Demand" else "degC", default=value)
            for name, value in WEATHER.items()
        },
        outputs={"power": OutputAttribute("P_Required", "W", "mean"), "cop": OutputAttribute("COP", "1", "mean")},
        settings={"step_size": 900},
    )
    pumps.open()
    try:
        for k in range(2):
            pumps.advance(Step(900.0 * k, 900.0))
        ours = [pumps.power.value.tolist(), pumps.cop.value.tolist()]
    finally:
        pumps.close()
    by_hand = subprocess.run([str(FOREIGN), "-c", BY_HAND], capture_output=True, text=True, check=True).stdout
    assert ours == ast.literal_eval(by_hand.splitlines()[-1])
    assert min(ours[0]) > 2e3


STORE = shlex.quote("from mosaik_hdf5 import main; main()")
newer = pytest.mark.skipif(sys.version_info < (3, 12), reason="mosaik-hdf5 runs beside ours from Python 3.12 on")
DATABASES = [
    pytest.param({"cmd": f"{FOREIGN} -W ignore -c {STORE} %(addr)s"}, marks=foreign, id="command"),
    pytest.param("mosaik_hdf5:MosaikHdf5", marks=newer, id="in process"),
]


@pytest.mark.parametrize("start", DATABASES)
def test_database_gets_series_and_relations_of_every_label(start, tmp_path):
    out = tmp_path / "out.h5"
    database = MosaikSimulator(
        start,
        "Database",
        {"db": {"filename": str(out)}},
        inputs={"power": InputAttribute("P", "W", labels={"bus 1": "db", "bus 2": "db"})},
        settings={"step_size": 900, "duration": 3600},
    )
    database.open()
    for k in range(4):
        database.power.deliver([k, 2.0 * k])
        database.advance(Step(900.0 * k, 900.0))
    database.close()
    import h5py

    with h5py.File(out) as file:
        assert file["Series/power.bus 2/P"][:].tolist() == [0.0, 2.0, 4.0, 6.0]
        assert sorted(file["Relations"]) == ["power.bus 1", "power.bus 2"]


# Time


@pytest.mark.parametrize("start", [CELLS, COMMAND])
def test_inputs_reach_their_entities_and_outputs_come_back_in_the_order_of_labels(start, run):
    published = run(cells(start), 3)
    assert [values["y"].tolist() for values in published] == [[2.0, 4.0], [64.0, 66.0], [126.0, 128.0]]


def test_shorter_steps_of_the_simulator_are_averaged_or_the_last_is_taken(run):
    outputs = {"mean": OutputAttribute("y", "1", "mean"), "last": OutputAttribute("y", "1", "end")}
    published = run(cells(outputs=outputs, settings={"step_size": 20}), 2, x=(0.0, 0.0))
    assert [values["mean"][0] for values in published] == [20.0, 82.0]
    assert [values["last"][0] for values in published] == [40.0, 102.0]


@pytest.mark.parametrize("step_size", [40, 90, 120])
def test_step_that_would_miss_inputs_is_refused_with_both_remedies(step_size, run):
    with pytest.raises(CosimError, match=rf"would miss the inputs at 60: .*steps=\{{name: {step_size}\}}.*shorter"):
        run(cells(settings={"step_size": step_size}))


def test_longer_step_runs_with_the_suggested_remedy(tmp_path):
    slow = cells(settings={"step_size": 180, "at": 10**6})
    scenario = Scenario(Clock("2025-06-01", hours=0.2), steps={"cells": 180}, source=Source(unit="1"), cells=slow)
    scenario.connect("source.power", "cells.x")
    scenario.place(cells="inline")
    result = scenario.run(tmp_path / "run", double=True)
    received = result.series("source.power").to_numpy().reshape(4, 3, 2).mean(axis=1)
    times = 180.0 * np.arange(4)[:, None]
    np.testing.assert_allclose(result.series("cells.y").to_numpy(), 2 * received + times, rtol=1e-12)


def test_simulator_without_inputs_may_step_across_the_adapters_steps(run):
    steps = run(cells(inputs=False, outputs={"mean": OutputAttribute("y", "1", "mean")}, settings={"step_size": 90}), 3)
    assert [values["mean"][0] for values in steps] == [0.0, 45.0, 90.0]


def test_event_based_simulator_is_stepped_at_every_exchange(run):
    adapter = cells(settings={"kind": "event-based", "step_size": None})
    assert [values["y"].tolist() for values in run(adapter, 2)] == [[2.0, 4.0], [64.0, 66.0]]
    assert [(t, until) for t, _, until in adapter._link._simulator.calls] == [(0, 59), (60, 119)]


def test_hybrid_simulator_is_stepped_by_its_triggers_and_by_its_own_schedule(run):
    triggered = cells(settings={"kind": "hybrid", "step_size": 45, "trigger": ["x"]})
    run(triggered, 2)
    assert [t for t, *_ in triggered._link._simulator.calls] == [0, 45, 60, 90, 105]
    for others in ({}, {"trigger": ["seen"]}, {"non-trigger": ["x"]}):
        alone = cells(settings={"kind": "hybrid", "step_size": 90} | others)
        run(alone, 3)
        assert [t for t, *_ in alone._link._simulator.calls] == [0, 90]
    most = cells(settings={"kind": "hybrid", "step_size": 90, "non-trigger": ["seen"]})
    run(most, 3)
    assert [t for t, *_ in most._link._simulator.calls] == [0, 60, 90, 120, 150]


def test_attributes_may_be_listed_only_by_trigger_and_persistence(run):
    settings = {"kind": "hybrid", "step_size": 60, "attrs": [], "trigger": ["x"], "persistent": ["y"]}
    assert run(cells(settings=settings))[0]["y"].tolist() == [2.0, 4.0]


def test_event_based_output_that_is_not_published_again_is_held(run):
    published = run(cells(settings={"kind": "event-based", "step_size": None, "fault": "silent", "at": 60}), 2)
    assert published[1]["y"].tolist() == published[0]["y"].tolist()


def test_omitted_time_based_output_is_missing(run):
    with pytest.raises(CosimError, match=r"y\['a'\] is nan.*may_be_missing=True"):
        run(cells(settings={"fault": "silent", "at": 60}), 2)
    outputs = {"y": OutputAttribute("y", "1", "end", may_be_missing=True)}
    assert np.isnan(run(cells(outputs=outputs, settings={"fault": "silent", "at": 60}), 2)[1]["y"]).all()


def test_time_in_other_units_than_seconds_is_converted(run):
    adapter = cells(settings={"step_size": 1}, time_resolution_s=60.0)
    assert run(adapter, 2, x=(0.0, 0.0))[1]["y"].tolist() == [3.0, 3.0]
    with pytest.raises(CosimError, match="90 s is not a whole number of the simulator's time units of 60 s"):
        run(cells(settings={"step_size": 1}, time_resolution_s=60.0), 2, 90.0)


def test_simulator_that_requests_progress_receives_the_end_of_the_run(run):
    adapter = cells(settings={"fault": "ask"}, clock=Clock("2025-06-01", hours=0.1))
    run(adapter, 3)
    simulator = adapter._link._simulator
    assert simulator.answer == pytest.approx(100 / 3)
    assert ["x.b", "simulator.cell-1", {}] in simulator.graph["edges"]
    assert ["simulator.cell-1-child", "simulator.cell-1", {}] in simulator.graph["edges"]
    assert {until for *_, until in simulator.calls} == {360}


def test_result_is_the_same_wherever_it_runs(tmp_path):
    series = {}
    for name, start, placement in [
        ("in process", CELLS, "inline"),
        ("thread", CELLS, "thread"),
        ("worker", CELLS, "process"),
        ("command", COMMAND, "inline"),
        ("command in worker", COMMAND, "process"),
    ]:
        scenario = Scenario(Clock("2025-06-01", hours=0.1), source=Source(unit="1"), cells=cells(start))
        scenario.connect("source.power", "cells.x")
        scenario.place(cells=placement)
        series[name] = scenario.run(tmp_path / name, double=True).series("cells.y").to_numpy()
    for other in series.values():
        np.testing.assert_array_equal(other, series["in process"])


def test_it_is_registered_as_an_adapter():
    assert entry_points(group="cosim.adapters")["mosaik_sim"].load() is MosaikSimulator


def test_adapter_is_pickled_before_it_is_opened_replayed_and_a_worker_by_default():
    adapter = pickle.loads(pickle.dumps(cells(COMMAND)))
    assert adapter.placement == "process"
    assert restored_by(adapter) == "replay"
    assert adapter.x.labels == adapter.y.labels == ("a", "b")


# Refused when it is built


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"start": {"command": "x"}}, "give one of 'python', 'cmd' and 'connect'"),
        ({"start": "module"}, "write 'module:Class'"),
        ({"start": {"connect": "localhost"}}, "write host:port"),
        ({"start": {"connect": "10.1.2.3:5555"}}, "on another machine.*allow_remote=True"),
        ({"outputs": {"x": Y["y"]}}, "port name 'x' is reserved"),
        ({"outputs": {"open": Y["y"]}}, "port name 'open' is reserved"),
        ({"outputs": {}, "inputs": False}, "inputs and outputs are empty"),
        ({"outputs": {"y": OutputAttribute("y", "furlong/W/x", "end")}}, "unknown unit"),
        ({"time_resolution_s": 0.0}, "time_resolution_s is 0: it must be positive"),
        ({"timeout_s": -1.0}, "timeout_s is -1: it must be positive"),
    ],
)
def test_inconsistent_description_is_refused_when_it_is_built(more, words):
    with pytest.raises(CosimError, match=words):
        cells(**more)


def test_address_on_another_machine_needs_to_be_allowed():
    assert cells({"connect": "10.1.2.3:5555"}, allow_remote=True).simulator["connect"] == "10.1.2.3:5555"


def test_no_entity_is_refused():
    with pytest.raises(ScenarioError, match="entities is empty"):
        MosaikSimulator(CELLS, "Cell", {}, outputs=Y)


# Checked against the simulator when it is opened


@pytest.mark.parametrize("start", [CELLS, COMMAND])
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"api_version": "2.2"}, r"uses version 2\.2 of mosaik's API: only version 3"),
        ({"api_version": "4.0"}, r"uses version 4\.0 of mosaik's API: only version 3"),
        ({"fault": "no meta"}, r"init\(\) returned None"),
        ({"fault": "no entity"}, r"Cell 'a': create\(\) returned .*'eid' and 'type'"),
        ({"fault": "same entity"}, r"Cell 'b': create\(\) returned .*not a list of one new entity"),
        ({"kind": "sometimes"}, "of type 'sometimes': it must be time-based, hybrid or event-based"),
        ({"models": {}}, "no model 'Cell' to create; available: none"),
    ],
)
def test_invalid_simulator_is_refused_when_it_is_opened(start, settings, words, run):
    with pytest.raises(CosimError, match=words):
        run(cells(start, settings=settings))


def test_unknown_model_attribute_and_entity_are_named_with_the_available_ones(run):
    with pytest.raises(CosimError, match="no model 'Hidden' to create; available: Cell"):
        run(MosaikSimulator(CELLS, "Hidden", {"a": {}}, outputs=Y))
    outputs = {"z": OutputAttribute("z", "1", "end"), "y": OutputAttribute("y", "1", "end", labels={"a": "cell-9"})}
    with pytest.raises(ScenarioError) as raised:
        run(cells(outputs=outputs))
    assert raised.value.problems == [
        "z: Cell has no attribute 'z'; available: x, y, seen",
        "y['a']: unknown entity 'cell-9'; available: cell-0, cell-0-child, cell-1, cell-1-child",
    ]


def test_unknown_setting_is_reported_with_the_simulators_own_message(sun, run):
    with pytest.raises(CosimError, match=r"mosaik_csv:CSV failed in init\(\): TypeError.*'colour'"):
        run(player(sun, colour="red"))
    with pytest.raises(CosimError, match=r"failed in init\(\): it ended with exit code 1; .*TypeError.*'colour'"):
        run(player(sun, {"cmd": "%(python)s -m mosaik_csv %(addr)s"}, colour="red"))


def test_unknown_parameter_is_reported_with_the_simulators_own_message(run):
    with pytest.raises(CosimError, match=r"failed in create\(\): TypeError.*'colour'"):
        run(MosaikSimulator(CELLS, "Cell", {"a": {"colour": 1}}, outputs=Y))


@pytest.mark.parametrize("target", ["no_such_module:Class", "tests.support.mosaik_toys:NoSuch"])
def test_unknown_class_is_named(target, run):
    with pytest.raises(CosimError, match=f"unknown simulator '{target}'"):
        run(cells(target))


# Failures during the run


@pytest.mark.parametrize("start", [CELLS, COMMAND])
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("raise", r"failed in step\(\): ZeroDivisionError: division by zero in a cell"),
        ("text", r"step\(0\) returned 'later': it must return the time of its next step"),
        ("float", r"step\(0\) returned 0\.5"),
        ("backwards", r"step\(0\) returned 0: .* above 0"),
        ("dated", r"get_data\(\) at 0 is dated 30: outputs ahead of time are refused"),
        ("no data", r"get_data\(\) at 0 returned None: it must return a dictionary"),
        ("word", r"y\['a'\]: the simulator returned y = 'much': only numbers"),
        ("ask", r"the run's end is unknown: pass clock="),
        ("ask data", r"requested .*other\.bus.* with get_data: declare an input"),
        ("send data", r"with set_data: declare an output"),
    ],
)
def test_failing_simulator_is_reported_in_one_line(start, fault, words, run):
    with pytest.raises(CosimError, match=words) as raised:
        run(cells(start, settings={"fault": fault}), 3)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("exit", r"failed in step\(\): it ended with exit code 7; its last output: cells: no licence left"),
        ("kill", r"failed in step\(\): it was killed by SIGKILL"),
        ("hang", r"failed in step\(\): no answer in 5 s, it was stopped"),
    ],
)
def test_command_that_dies_or_hangs_is_one_error_and_leaves_no_process(fault, words, run):
    adapter = cells(COMMAND, settings={"fault": fault}, timeout_s=5.0 if fault == "hang" else 60.0)
    with pytest.raises(CosimError, match=words):
        run(adapter, 3)
    process = adapter._link._process
    adapter.close()
    assert process.returncode is not None


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("no-such-command %(addr)s", "unknown command 'no-such-command'"),
        (
            "%(python)s -c 'print(\"no licence\"); raise SystemExit(3)' %(addr)s",
            "ended before it connected: it ended with exit code 3; its last output: no licence",
        ),
        ("%(python)s -c 'import time; time.sleep(60)' %(addr)s", r"did not connect in 1 s: .*%\(addr\)s"),
        ("%(python)s %(port)s", "cannot be started: KeyError: 'port'"),
        ("", "cannot be started: IndexError"),
    ],
)
def test_command_that_does_not_connect_is_reported_with_the_reason(command, words, run, monkeypatch):
    monkeypatch.setattr(mosaik_links, "_CONNECT_S", 1.0 if "sleep" in command else 60.0)
    with pytest.raises(CosimError, match=words):
        run(cells({"cmd": command}))


def test_missing_folder_of_a_command_is_named(run):
    with pytest.raises(CosimError, match=r"cannot be started: FileNotFoundError.*/no/such/folder"):
        run(cells(COMMAND | {"cwd": "/no/such/folder"}))


def test_value_that_json_cannot_carry_is_refused(run):
    with pytest.raises(CosimError, match=r"failed in create\(\): .*only JSON can be sent"):
        run(MosaikSimulator(COMMAND, "Cell", {"a": {"scale": {1, 2}}}, outputs=Y))


@pytest.mark.parametrize("start", [CELLS, COMMAND])
def test_simulator_may_finish_when_it_is_closed(start, tmp_path, run, monkeypatch):
    monkeypatch.setenv("CELLS_FAREWELL", str(tmp_path / "farewell"))
    adapter = cells(start, settings={"fault": "farewell"})
    run(adapter)
    adapter.close()
    assert (tmp_path / "farewell").read_text() == "done"


def test_output_of_a_command_is_kept_in_the_runs_folder(tmp_path, run):
    adapter = cells(COMMAND, settings={"fault": "exit"})
    adapter.folder = tmp_path / "adapters" / "cells"
    with pytest.raises(CosimError):
        run(adapter, 3)
    assert "no licence left" in (adapter.folder / "simulator.log").read_text()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_simulator_that_waits_at_an_address_is_run_there(run):
    address = f"127.0.0.1:{free_port()}"
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.support.mosaik_toys", address, "--remote"], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 180
        while True:
            adapter = cells({"connect": address})
            try:
                published = run(adapter, 2)
                break
            except CosimError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        assert published[1]["y"].tolist() == [64.0, 66.0]
        adapter.close()
        assert server.wait(120) == 0
    finally:
        server.kill()
        server.wait()


def test_address_without_a_simulator_is_named(run):
    with pytest.raises(CosimError, match=r"no simulator answers at 127\.0\.0\.1:\d+ \(ConnectionRefused.*--remote"):
        run(cells({"connect": f"127.0.0.1:{free_port()}"}))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends the simulator of a killed parent on Linux only")
def test_command_does_not_outlive_a_parent_that_is_killed():
    script = (
        "from tests.adapters.mosaik_sim.test_adapter import *\n"
        "a = cells(COMMAND, settings={'fault': 'hang'}); a.open(); a.x.deliver([0.0, 0.0])\n"
        "print(a._link._process.pid, flush=True)\n"
        "for k in range(3): a.advance(Step(60 * k, 60))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.communicate(timeout=120)
    deadline = time.monotonic() + 120
    while Path(f"/proc/{child}/stat").exists() and Path(f"/proc/{child}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline, "it is still there"
        time.sleep(0.05)


EXTRA = {"extra_methods": ["prepare", "add"]}


@pytest.mark.parametrize("start", [CELLS, COMMAND])
def test_extra_methods_are_called_before_the_run_in_order(run, start):
    calls = [
        Call("add", [Entity("b"), 5.0]),
        Call("prepare", [3.0], before_create=True),
        Call("add", [Entity("b")], {"value": 2.0}),
    ]
    adapter = cells(start, settings=EXTRA, calls=calls)
    [values] = run(adapter)
    assert values["y"].tolist() == [3.0, 3.0 * 2 + 7]
    told = [(event.element, event.text) for event in take_events(adapter) if event.kind == "called"]
    assert told == [
        ("prepare", "returned None"),
        ("add", "returned cell-1 has 5"),
        ("add", "returned cell-1 has 7"),
    ]


def test_calls_that_cannot_be_made_are_refused(run):
    with pytest.raises(ScenarioError, match="call of add: unknown entity 'c'; available: a, b"):
        cells(calls=[Call("add", [Entity("c")])])
    with pytest.raises(ScenarioError, match="'a' is not there before create"):
        cells(calls=[Call("add", [Entity("a")], before_create=True)])
    with pytest.raises(CosimError, match="offers no extra method 'step'; available: prepare, add"):
        run(cells(settings=EXTRA, calls=[Call("step", [0, {}, 1])]))
    with pytest.raises(CosimError, match="there are cells already"):
        run(cells(settings=EXTRA, calls=[Call("prepare", [1.0])]))
