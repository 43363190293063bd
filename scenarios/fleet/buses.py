"""Electric buses on the lines of a SUMO scenario, with depot and opportunity charging.

The runs of a line become the trips of the fewest buses that can make them one after the other. In a network that is cut
out of a city a run ends at the border: the return to the start of the line, as long as the run, is driven beyond it.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import ParseError

import defusedxml.ElementTree
import pandas as pd
from defusedxml import DefusedXmlException

from cosim.core import CosimError, InputFileError
from cosim.core.quantities import J_PER_KWH
from cosim.scenarios.streets.network import Net

CAPACITY_J = 300 * J_PER_KWH
"""Battery capacity of a 12 m bus. [J] Assumption."""
J_PER_M = 1.4 * 3600
"""1.4 kWh/km, the annual mean of a 12 m bus with heating. [J/m] Assumption."""
MPS = 15 / 3.6
"""Mean speed of a run, stops included. [m/s] Assumption."""
DEPOT_W, OPPORTUNITY_W = 75_000.0, 300_000.0
"""Power of a depot plug and of a terminal's pantograph, on the grid side. [W] Assumptions."""
DEPOT = "bus depot"


def bus_tables(
    routes: Path,
    net: Net,
    *,
    layover_s: float = 600.0,
    opportunity: bool = True,
    begin_s: float = 0.0,
    soc: float = 0.95,
) -> dict[str, pd.DataFrame]:
    """Return the buses of a SUMO route file as tables for `FleetPlan.from_tables`.

    Parameters
    ----------
    routes
        Route file whose vehicles are bus runs named ``<line>_<departure>``.
    net
        Its network.
    layover_s
        Minimum stay at the terminal before the next run, during which an opportunity charger charges. [s]
    opportunity
        Whether every terminal has such a charger; each bus also has a plug in the depot.
    begin_s
        SUMO's time at which the run begins. [s]
    soc
        State of charge at that time, in the depot.

    Raises
    ------
    InputFileError
        If the file is missing, malformed or unsafe.
    CosimError
        If the file has no runs, or one over an unknown edge.
    """
    runs = _runs(routes, net)
    if layover_s < 0:
        raise CosimError(f"layover_s is {layover_s}: it must not be negative")
    ready: dict[str, list[tuple[float, str]]] = {}
    rows: list[dict[str, object]] = []
    last: dict[str, int] = {}
    for run in runs.sort_values(["depart_s", "run"]).itertuples():
        way_s = run.length_m / MPS
        waiting = ready.setdefault(run.line, [])
        free = min(waiting, default=(float("inf"), ""))
        if free[0] <= run.depart_s:
            waiting.remove(free)
            bus = free[1]
        else:
            bus = f"{run.line} bus {sum(b.startswith(f'{run.line} bus ') for b in last)}"
        waiting.append((run.depart_s + 2 * way_s + layover_s, bus))
        rows.append(
            {
                "trip": run.run,
                "vehicle": bus,
                "depart_s": run.depart_s - begin_s,
                "duration_s": 2 * way_s,
                "energy_j": 2 * run.length_m * J_PER_M,
                "outside_j": run.length_m * J_PER_M,
                "origin": f"{run.line} terminal" if bus in last else DEPOT,
                "destination": f"{run.line} terminal",
            }
        )
        last[bus] = len(rows) - 1
    for k in last.values():
        rows[k]["destination"] = DEPOT
    trips = pd.DataFrame(rows).set_index("trip")
    buses, lines = sorted(last), sorted(set(runs["line"]))
    vehicles = pd.DataFrame(
        {
            "capacity_j": CAPACITY_J,
            "soc": soc,
            "home": DEPOT,
            "ac_w": DEPOT_W,
            "dc_w": OPPORTUNITY_W,
            "plug_in_soc": 1.0,
            "drive_j_per_m": J_PER_M,
            "persons": 0.0,
            "detours": 0.0,
        },
        index=buses,
    )
    terminals = [f"{line} terminal" for line in lines]
    chargers = [f"{line} pantograph" for line in lines] if opportunity else []
    offers = [(charger,) for charger in chargers] if opportunity else [()] * len(lines)
    places = pd.DataFrame({"stations": [*offers, ("depot plugs",)]}, index=[*terminals, DEPOT])
    stations = pd.DataFrame(
        {
            "power_w": [*[OPPORTUNITY_W] * len(chargers), DEPOT_W],
            "points": [*[1] * len(chargers), len(buses)],
            "fast": [*[1] * len(chargers), 0],
            "public": 0,
            "efficiency": 0.92,
        },
        index=[*chargers, "depot plugs"],
    )
    return {"vehicles": vehicles, "trips": trips, "places": places, "stations": stations}


def _runs(routes: Path, net: Net) -> pd.DataFrame:
    """Read the runs: columns ``run``, ``line``, ``depart_s``, ``length_m``."""
    length = {edge.getID(): edge.getLength() for edge in net.getEdges(withInternal=False)}
    rows = []
    try:
        for _, element in defusedxml.ElementTree.iterparse(routes):
            if element.tag != "vehicle":
                continue
            name = str(element.get("id"))
            route = element.find("route")
            edges = "" if route is None else str(route.get("edges", ""))
            if unknown := [edge for edge in edges.split() if edge not in length]:
                raise CosimError(f"bus run {name!r} uses edge {unknown[0]!r}, which the network does not have")
            metres = sum(length[edge] for edge in edges.split())
            rows.append((name, name.rsplit("_", 1)[0], float(element.get("depart", "nan")), metres))
    except (OSError, ParseError, DefusedXmlException, ValueError) as error:
        raise InputFileError(f"{routes} cannot be read as bus runs: {error!r}") from error
    if not rows:
        raise CosimError(f"{routes} has no vehicles: give the route file of the buses")
    return pd.DataFrame(rows, columns=["run", "line", "depart_s", "length_m"])
