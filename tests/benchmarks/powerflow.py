"""Speed and accuracy of the grid's engine against ``pandapower.runpp``, by number of buses.

Both set every load and compute voltages, loadings, losses and imports for the same random demands. pandapower runs in
a process of its own, with numba if that interpreter has it (``--rival``); medians over both orders. ``engine_ms`` is
the engine alone, ``step_ms`` a whole step of the adapter. Grids with generators, which need Newton's method, stand
apart. With mosaik-pandapower-2 beside the rival, two whole scenarios are timed as well: loads that change at every
step, the grid, and somebody who reads all voltages and loadings; there as mosaik simulators with one entity an element,
here as a `Scenario` that records what it reads. A step's cost is the difference of a long and a short run over the
difference of their steps, which leaves building and opening out. The last line is JSON.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp

COUPLED = ("mv_oberrhein", "city_10")
"""Grids on which two whole scenarios are compared."""

warnings.simplefilter("ignore")
logging.disable(logging.WARNING)


def serve() -> None:
    """Time pandapower on the nets named on standard input; imports nothing of ours."""
    answers, sys.stdout = sys.stdout, sys.stderr  # mosaik prints
    try:
        import numba

        version = numba.__version__
    except ImportError:
        version = None
    print(json.dumps({"numba": version, "pandapower": pp.__version__}), flush=True, file=answers)
    for line in sys.stdin:
        task = json.loads(line)
        net = pp.from_json(task["net"])
        demand = np.load(task["demand"])
        answer = mosaik_steps(net, demand) if task["what"] == "mosaik" else runpp_steps(net, demand, task["exact"])
        print(json.dumps(answer), flush=True, file=answers)


def runpp_steps(net: Any, demand: np.ndarray, exact: str) -> dict[str, Any]:
    """Return the seconds of each step, and save its voltages to full precision."""
    seconds, voltages = [], []
    pp.runpp(net)  # compiles
    for power, reactive in demand:
        start = time.perf_counter()
        net.load["p_mw"], net.load["q_mvar"] = power * 1e-6, reactive * 1e-6
        pp.runpp(net)
        seconds.append(time.perf_counter() - start)
        try:
            pp.runpp(net, tolerance_mva=1e-10)
        except pp.LoadflowNotConverged:  # rounding keeps some nets from it
            pp.runpp(net, tolerance_mva=1e-9)
        voltages.append(net.res_bus.vm_pu.to_numpy())
    np.save(exact, np.array(voltages))
    return {"seconds": seconds}


def mosaik_steps(net: Any, demand: np.ndarray) -> dict[str, Any]:
    """Return the seconds of a step in a mosaik scenario around mosaik-pandapower-2; none if it is not installed."""
    try:
        import mosaik
        import mosaik_api_v3
        from mosaik_components.pandapower import Simulator
    except ImportError:
        return {"seconds": None}

    class Loads(mosaik_api_v3.Simulator):
        """One entity a load, following the demand."""

        def __init__(self) -> None:
            attributes = ["P[MW]", "Q[MVar]"]
            model = {"public": True, "params": [], "attrs": attributes}
            super().__init__({"api_version": "3.0", "type": "time-based", "models": {"Load": model}})

        def create(self, num: int, model: str) -> list[dict[str, str]]:
            return [{"eid": str(k), "type": model} for k in range(num)]

        def step(self, time: int, inputs: Any, max_advance: int) -> int:
            self.now = (demand[time // 60 % len(demand)] * 1e-6).tolist()
            return time + 60

        def get_data(self, asked: Any) -> Any:
            p, q = self.now
            return {eid: {"P[MW]": p[int(eid)], "Q[MVar]": q[int(eid)]} for eid in asked}

    class Reader(mosaik_api_v3.Simulator):
        """Reads everything that it is connected to."""

        def __init__(self) -> None:
            model = {"public": True, "params": [], "attrs": ["voltage", "loading"]}
            super().__init__({"api_version": "3.0", "type": "time-based", "models": {"Reader": model}})

        def create(self, num: int, model: str) -> list[dict[str, str]]:
            return [{"eid": "reader", "type": model}]

        def step(self, time: int, inputs: Any, max_advance: int) -> int:
            self.read = [list(sources.values()) for sources in inputs.get("reader", {}).values()]
            return time + 60

        def get_data(self, asked: Any) -> Any:
            return {}

    net.load["p_mw"], net.load["q_mvar"] = 0.0, 0.0  # its inputs come on top

    def run(steps: int) -> float:
        here = {name: {"python": f"rival_here:{name}"} for name in ("Loads", "Grid", "Reader")}
        module = type(sys)("rival_here")
        module.Loads, module.Grid, module.Reader = Loads, Simulator, Reader
        sys.modules["rival_here"] = module
        world = mosaik.World(here)
        loads = world.start("Loads").Load.create(len(net.load))
        grid = world.start("Grid", step_size=60).Grid(net=copy.deepcopy(net))
        reader = world.start("Reader").Reader()
        child = {entity.eid: entity for entity in grid.children}
        for load, bus in zip(loads, net.load.bus):
            world.connect(load, child[f"Bus-{bus}"], ("P[MW]", "P_load[MW]"), ("Q[MVar]", "Q_load[MVar]"))
        for eid, entity in child.items():
            if eid.startswith("Bus-"):
                world.connect(entity, reader, ("Vm[pu]", "voltage"))
            elif eid.startswith(("Line-", "Trafo-")):
                world.connect(entity, reader, ("loading[%]", "loading"))
        start = time.perf_counter()
        world.run(until=60 * steps, print_progress=False)
        return time.perf_counter() - start

    few, many = 2, 2 + len(demand)
    return {"seconds": (run(many) - run(few)) / (many - few)}


def scenario_step(net: Any, demand: np.ndarray) -> float:
    """Return the seconds of a step in a scenario of ours around the same loads."""
    from cosim import Clock, Scenario
    from cosim.adapters.grid import Grid
    from cosim.core import Adapter, Output, Step

    labels = [f"load {k}" for k in net.load.index]

    class Loads(Adapter):
        def __init__(self) -> None:
            self.power = Output("W", labels, kind="mean")
            self.reactive_power = Output("var", labels, kind="mean")

        def advance(self, step: Step) -> None:
            self.power.value, self.reactive_power.value = demand[int(step.start_s) // 60 % len(demand)]

    net = pp.from_json_string(pp.to_json(net))
    net.load["p_mw"], net.load["q_mvar"] = 0.0, 0.0

    def run(steps: int) -> float:
        grid = Grid(net, connection_points=dict(zip(labels, net.load.bus)), voltage_band_pu=(0.01, 10.0))
        scenario = Scenario(Clock("2025-01-01", hours=steps / 60, step_s=60), loads=Loads(), grid=grid)
        for name in ("power", "reactive_power"):
            scenario.connect(f"loads.{name}", f"grid.{name}")
        scenario.record("grid.voltage", "grid.line_loading", "grid.transformer_loading")
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            scenario.run(Path(folder, "run"))
            return time.perf_counter() - start

    few, many = 60, 660
    return (run(many) - run(few)) / (many - few)


def city(side: int) -> Any:
    """Return the net of a square city with 24 buildings of 8 dwellings around each block."""
    import networkx as nx

    from cosim.scenarios.grid.synthesis import ServicePoint, synthesize_grid

    pitch = 133.3
    streets = nx.grid_2d_graph(side, side)
    for (i, j), data in streets.nodes(data=True):
        data.update(x=pitch * i, y=pitch * j)
    nx.set_edge_attributes(streets, pitch, "length")
    around = [(a, b) for o in range(22, 112, 15) for a, b in ((o, 12), (o, 121), (12, o), (121, o))]
    services = [
        ServicePoint(f"{i}.{j}.{k}", pitch * i + x, pitch * j + y, 8)
        for i in range(side - 1)
        for j in range(side - 1)
        for k, (x, y) in enumerate(around)
    ]
    return loaded(synthesize_grid(streets, services, country="ES"))


def loaded(grid: Any) -> Any:
    """Return a synthesised net with one load per connection point."""
    net = grid.net
    net.load = net.load.iloc[:0]
    pp.create_loads(net, list(grid.bus_of.values()), p_mw=0.0, name=list(grid.bus_of))
    return net


def nets() -> dict[str, tuple[Any, str]]:
    """Return the nets by name and their kinds: ``held`` where generators hold voltages."""
    import pandapower.networks as pn

    plain = {
        "cigre_mv": pn.create_cigre_network_mv(),
        "cigre_lv": pn.create_cigre_network_lv(),
        "mv_oberrhein": pn.mv_oberrhein(),
        **{f"city_{n}": city(n) for n in (6, 10, 14, 32)},
    }
    ties = city(14)  # rings alone are radial once the slack bus is left out
    ends = ties.trafo.hv_bus.drop_duplicates().to_numpy()
    for a, b in zip(ends[:-2:5], ends[2::5]):
        pp.create_line_from_parameters(ties, a, b, 0.5, 0.122, 0.112, 300.0, 0.421)
    held = {"case118": pn.case118(), "case1354pegase": pn.case1354pegase()}
    kinds = {"plain": plain, "meshed": {"city_14_tied": ties}, "held": held}
    return {name: (net, kind) for kind, some in kinds.items() for name, net in some.items()}


class Rival:
    """pandapower in another process."""

    def __init__(self, python: str) -> None:
        command = [python, __file__, "--serve"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.versions = self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())  # type: ignore[no-any-return]

    def ask(self, **task: str) -> dict[str, Any]:
        """Send one task and wait for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """Let it end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def ours(net: Any, demand: np.ndarray) -> dict[str, Any]:
    """Return the seconds of engine and adapter steps, the voltages, and what the engine reported."""
    from cosim.adapters.grid import Grid
    from cosim.core import Step
    from cosim.core.adapter import take_events

    net = pp.from_json_string(pp.to_json(net))
    net.load["p_mw"], net.load["q_mvar"] = 0.0, 0.0
    grid = Grid(net, connection_points={f"load {k}": bus for k, bus in zip(net.load.index, net.load.bus)})
    grid.open()
    engine, step, voltages = [], [], []
    solver = grid._states.solver
    for power, reactive in demand:
        start = time.perf_counter()
        solver.solve(power, reactive)
        engine.append(time.perf_counter() - start)
        start = time.perf_counter()
        grid.power.deliver(power)
        grid.reactive_power.deliver(reactive)
        grid.advance(Step(0, 60))
        step.append(time.perf_counter() - start)
        voltages.append(grid.voltage.value)
    method = next(event.element for event in take_events(grid) if event.kind == "engine")
    return {"engine": engine, "step": step, "voltages": np.array(voltages), "method": method}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rival", default=sys.executable, help="interpreter that runs pandapower, best with numba")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--only", nargs="*", help="names of some of the grids")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve()
        return
    rival = Rival(args.rival)
    table: dict[str, dict[str, Any]] = {"plain": {}, "meshed": {}, "held": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name, (net, kind) in nets().items():
            if args.only and name not in args.only:
                continue
            if "tap_dependency_table" not in net.trafo:
                net.trafo["tap_dependency_table"] = False
            net.load["scaling"] = 1.0
            rng = np.random.default_rng(0)
            n = len(net.load)
            own = net.load[["p_mw", "q_mvar"]].to_numpy().T * 1e6
            if kind == "held":  # its generators fit no other demand
                demand = own * rng.uniform(0.95, 1.05, (args.steps, 2, n))
            else:
                share = [rng.uniform(0.5, 1.05, (args.steps, n)), rng.uniform(0.1, 0.3, (args.steps, n))]
                demand = np.stack(share, 1) * np.maximum(own[0], 24e3 if name[:4] == "city" else 0)
            files = {key: str(Path(folder, f"{name}.{key}")) for key in ("net", "demand", "exact")}
            pp.to_json(net, files["net"])
            with Path(files["demand"]).open("wb") as file:
                np.save(file, demand)
            files["exact"] += ".npy"
            first = ours(net, demand)
            theirs = rival.ask(what="runpp", **files)["seconds"]
            theirs += rival.ask(what="runpp", **files)["seconds"]
            second = ours(net, demand)
            coupled, theirs_coupled = [], []
            if name in COUPLED:
                for _ in range(2):
                    coupled.append(scenario_step(net, demand))
                    theirs_coupled.append(rival.ask(what="mosaik", **files)["seconds"])
                    theirs_coupled.append(rival.ask(what="mosaik", **files)["seconds"])
                    coupled.append(scenario_step(net, demand))
            compared = coupled and theirs_coupled[0] is not None
            exact = np.load(files["exact"])
            live = ~np.isnan(exact[0])
            engine = statistics.median(first["engine"] + second["engine"])
            step = statistics.median(first["step"] + second["step"])
            row = {
                "name": name,
                "buses": len(net.bus),
                "method": first["method"],
                "runpp_ms": 1e3 * statistics.median(theirs),
                "engine_ms": 1e3 * engine,
                "step_ms": 1e3 * step,
                "speedup": statistics.median(theirs) / engine,
                "speedup_step": statistics.median(theirs) / step,
                "max_dv_pu": float(np.abs(exact[:, live] - first["voltages"]).max()),
                "mosaik_ms": 1e3 * statistics.median(theirs_coupled) if compared else None,
                "scenario_ms": 1e3 * statistics.median(coupled) if coupled else None,
                "speedup_mosaik": statistics.median(theirs_coupled) / statistics.median(coupled) if compared else None,
            }
            table[kind][str(len(net.bus))] = row
            print(json.dumps(row), flush=True)
    rival.close()
    plain, generators, meshed = table["plain"], table["held"], table["meshed"]
    print(
        json.dumps(
            {
                "rival": rival.versions,
                "speedup_over_runpp": {n: round(row["speedup"], 1) for n, row in plain.items()},
                "speedup_over_runpp_whole_step": {n: round(row["speedup_step"], 1) for n, row in plain.items()},
                "speedup_over_runpp_meshed": {n: round(row["speedup"], 1) for n, row in meshed.items()},
                "speedup_over_runpp_with_generators": {n: round(row["speedup"], 1) for n, row in generators.items()},
                "speedup_over_mosaik_pandapower": {
                    n: round(row["speedup_mosaik"], 1) for n, row in plain.items() if row["speedup_mosaik"] is not None
                },
                "max_dv_pu": {n: row["max_dv_pu"] for n, row in (plain | generators).items()},
                "detail": [*plain.values(), *meshed.values(), *generators.values()],
            }
        )
    )


if __name__ == "__main__":
    main()
