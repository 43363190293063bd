"""How much faster than ``pandapower.runpp`` is the grid's engine, and how far from it, by number of buses?

Both set every load and compute voltages, loadings, losses and imports for the same random demands. pandapower runs in
a process of its own, with numba if that interpreter has it (``--rival``); medians over both orders. ``engine_ms`` is
the engine alone, ``step_ms`` a whole step of the adapter. Grids with generators, which need Newton's method, stand
apart. With mosaik-pandapower-2 beside the rival, a step of that simulator is timed too, all loads set and all voltages
and loadings read, without mosaik's own cost on its side. The last line is JSON.
"""

from __future__ import annotations

import argparse
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

warnings.simplefilter("ignore")
logging.disable(logging.WARNING)


def serve() -> None:
    """Time pandapower on the nets named on standard input; imports nothing of ours."""
    try:
        import numba

        print(json.dumps({"numba": numba.__version__, "pandapower": pp.__version__}), flush=True)
    except ImportError:
        print(json.dumps({"numba": None, "pandapower": pp.__version__}), flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        net = pp.from_json(task["net"])
        demand = np.load(task["demand"])
        answer = mosaik_steps(net, demand) if task["what"] == "mosaik" else runpp_steps(net, demand, task["exact"])
        print(json.dumps(answer), flush=True)


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
    """Return the seconds of each step of mosaik-pandapower-2; empty if it is not installed."""
    try:
        from mosaik_components.pandapower import Simulator
    except ImportError:
        return {"seconds": []}
    net.load["p_mw"], net.load["q_mvar"] = 0.0, 0.0  # its inputs come on top
    sim = Simulator()
    sim.init("grid", time_resolution=1.0, step_size=60)
    (root,) = sim.create(1, "Grid", net=net)
    sim.setup_done()
    children = {kind: [c["eid"] for c in root["children"] if c["type"] == kind] for kind in ("Bus", "Line", "Trafo")}
    ask = {eid: ["Vm[pu]"] for eid in children["Bus"]}
    ask |= {eid: ["loading[%]"] for kind in ("Line", "Trafo") for eid in children[kind]}
    seconds = []
    for k, (power, reactive) in enumerate(demand):
        inputs = {
            f"Bus-{bus}": {"P_load[MW]": {"source": p * 1e-6}, "Q_load[MVar]": {"source": q * 1e-6}}
            for bus, p, q in zip(net.load.bus.tolist(), power.tolist(), reactive.tolist())
        }
        start = time.perf_counter()
        sim.step(60 * k, inputs, 60)
        sim.get_data(ask)
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds}


def city(side: int) -> Any:
    """Return the net of a square city with 24 buildings of 8 dwellings around each block."""
    import networkx as nx

    from cosim.scenarios.grid_synthesis import ServicePoint, synthesize_grid

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

    plain = {"cigre_mv": pn.create_cigre_network_mv(), "cigre_lv": pn.create_cigre_network_lv(),
             "mv_oberrhein": pn.mv_oberrhein(), **{f"city_{n}": city(n) for n in (6, 10, 14, 32)}}  # fmt: skip
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
    solver: Any = grid._solver
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
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve()
        return
    rival = Rival(args.rival)
    table: dict[str, dict[str, Any]] = {"plain": {}, "meshed": {}, "held": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name, (net, kind) in nets().items():
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
            mosaik = rival.ask(what="mosaik", **files)["seconds"] if kind != "held" else []
            exact = np.load(files["exact"])
            live = ~np.isnan(exact[0])
            engine = statistics.median(first["engine"] + second["engine"])
            step = statistics.median(first["step"] + second["step"])
            row = {
                "name": name, "buses": len(net.bus), "method": first["method"],
                "runpp_ms": 1e3 * statistics.median(theirs), "engine_ms": 1e3 * engine, "step_ms": 1e3 * step,
                "speedup": statistics.median(theirs) / engine, "speedup_step": statistics.median(theirs) / step,
                "max_dv_pu": float(np.abs(exact[:, live] - first["voltages"]).max()),
                "mosaik_ms": 1e3 * statistics.median(mosaik) if mosaik else None,
                "speedup_mosaik": statistics.median(mosaik) / step if mosaik else None,
            }  # fmt: skip
            table[kind][str(len(net.bus))] = row
            print(json.dumps(row), flush=True)
    rival.close()
    plain, generators, meshed = table["plain"], table["held"], table["meshed"]
    print(json.dumps({
        "rival": rival.versions,
        "speedup_over_runpp": {n: round(row["speedup"], 1) for n, row in plain.items()},
        "speedup_over_runpp_whole_step": {n: round(row["speedup_step"], 1) for n, row in plain.items()},
        "speedup_over_runpp_meshed": {n: round(row["speedup"], 1) for n, row in meshed.items()},
        "speedup_over_runpp_with_generators": {n: round(row["speedup"], 1) for n, row in generators.items()},
        "speedup_over_mosaik_pandapower": {
            n: round(row["speedup_mosaik"], 1) for n, row in plain.items() if row["speedup_mosaik"]
        },
        "max_dv_pu": {n: row["max_dv_pu"] for n, row in (plain | generators).items()},
        "detail": [*plain.values(), *meshed.values(), *generators.values()],
    }))  # fmt: skip


if __name__ == "__main__":
    main()
