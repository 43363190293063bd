"""Junctions of a whole city in SUMO's mesoscopic model: programs of lights by the hour, and roundabouts."""

from __future__ import annotations

import gzip
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from scipy.optimize import linprog

from cosim.core.quantities import HOUR_S, Array, Vector
from cosim.scenarios.mobility.routing import SATURATION_PER_HOUR
from cosim.scenarios.streets.network import Net

PERMITTED = 0.5
"""What a second of green without priority (``g``) counts of one with it. An assumption, as in the assignment."""
SHORTEST_S = 5.0
"""Shortest green, netconvert's. [s]"""
LONGEST_CYCLE_S = 120.0
"""Cycle where the greens of the light's own do not suffice. [s]"""

OPTIONS = ("--meso-junction-control.limited", "true", "--meso-recheck", "1")
"""SUMO's options beside `cosim.scenarios.parts.MESOSCOPIC` for a whole city: who gives way, and who waits for green, is
checked where traffic is dense, else four cars at a junction without signs wait for each other until they are
teleported, at night too. A car that found no room asks again after 1 s: by SUMO's default it may ask every millisecond,
and with 5 s an edge of 8 m at 5 m/s lets 846 cars an hour through instead of 1,143."""

Turns = Mapping[tuple[str, str], Array]
"""Vehicles by hour from an edge to the next, shape (24,)."""


def turns_of(routes: Sequence[Sequence[str]], flows: Array) -> Turns:
    """Return the turning volumes of routes with flows of shape (n_routes, 24)."""
    found: dict[tuple[str, str], Array] = defaultdict(lambda: np.zeros(flows.shape[1]))
    for route, flow in zip(routes, flows):
        if flow.any():
            for pair, times in Counter(pairwise(route)).items():
                found[pair] = found[pair] + times * flow
    return found


def write_programs(net: Net, turns: Turns, target: Path, hours: range = range(24)) -> int:
    """Write a program for every hour and actuated light, and when they begin, and return the number of lights.

    SUMO's mesoscopic model runs actuated lights at the durations that their phases begin with (eclipse-sumo/sumo#8735),
    which know nothing of the traffic. Here the greens of each hour make the highest degree of saturation of a light's
    lanes as low as it can be, by linear programming; phases and their order, yellow and all-red stay.

    Parameters
    ----------
    net
        The network, read with its programs.
    turns
        The volumes of all 24 hours.
    target
        The additional file.
    hours
        Hours that get programs.
    """
    rows = ["<additional>"]
    lights = 0
    for light in net.getTrafficLights():
        program = next(iter(light.getPrograms().values()), None)
        if program is None or program.getType() != "actuated":
            continue
        phases, (need, worth) = program.getPhases(), _lanes(light, program, turns)
        greens = [k for k, phase in enumerate(phases) if set(phase.state) & set("Gg") and "y" not in phase.state]
        if len(greens) < 2 or not need.any():
            continue
        lights += 1
        name, own = quoteattr(light.getID()), [float(phase.duration) for phase in phases]
        for hour in hours:
            rows.append(f'<tlLogic id={name} type="static" programID="h{hour:02d}" offset="0">')
            lengths = best_greens(need[:, hour], worth[:, greens], own, greens)
            rows += [f'<phase duration="{s:.0f}" state="{phase.state}"/>' for phase, s in zip(phases, lengths)]
            rows.append("</tlLogic>")
        waut = quoteattr(f"hours of {light.getID()}")
        rows.append(f'<WAUT refTime="0" id={waut} startProg="h{hours[0]:02d}">')
        rows += [f'<wautSwitch time="{HOUR_S * hour:.0f}" to="h{hour:02d}"/>' for hour in hours[1:]]
        rows += ["</WAUT>", f"<wautJunction wautID={waut} junctionID={name}/>"]
    target.write_text("\n".join([*rows, "</additional>\n"]), encoding="utf-8")
    return lights


_ROUNDABOUT = re.compile(r"[ \t]*<roundabout\b[^>]*?/>\r?\n?")


def without_roundabouts(net: Path, target: Path) -> Path:
    """Write a network whose roundabouts are junctions like others, if it has any, and return the one to simulate.

    SUMO's mesoscopic model treats them apart: at their entries who gives way is always checked, whatever `OPTIONS` say,
    and nobody becomes impatient (eclipse-sumo/sumo#16081). Rings fill up and close the streets behind.
    """
    content = net.read_bytes()
    text = (gzip.decompress(content) if net.suffix == ".gz" else content).decode("utf-8")
    other, number = _ROUNDABOUT.subn("", text)
    if not number:
        return net
    target.write_text(other, encoding="utf-8")
    return target


def best_greens(need: Vector, worth: Array, own: Sequence[float], greens: Sequence[int]) -> list[float]:
    """Return the lengths of all phases with which the busiest lane is the least saturated. [s]

    Parameters
    ----------
    need
        Vehicles of every lane, shape (n_lanes,). [1/h]
    worth
        What a second of each green phase counts for a lane, shape (n_lanes, n_greens). [1]
    own
        Length of every phase so far; the cycle is the same, or `LONGEST_CYCLE_S` if that does not suffice. [s]
    greens
        Which of the phases are green ones.
    """
    busy = (need > 0) & (worth > 0).any(axis=1)
    fixed, found = sum(own) - sum(own[k] for k in greens), np.array([own[k] for k in greens])
    for cycle in (sum(own), max(sum(own), LONGEST_CYCLE_S)) if busy.any() else ():
        solved = linprog(
            np.r_[np.zeros(len(greens)), -1.0],
            A_ub=np.c_[-worth[busy], need[busy] / SATURATION_PER_HOUR * cycle],
            b_ub=np.zeros(busy.sum()),
            A_eq=[np.r_[np.ones(len(greens)), 0.0]],
            b_eq=[cycle - fixed],
            bounds=[(SHORTEST_S, None)] * len(greens) + [(0.0, None)],
        )
        if solved.x is None:  # the shortest greens do not fit into the cycle
            continue
        found = solved.x[:-1]
        if solved.x[-1] >= 1:
            break
    lengths = list(own)
    for k, seconds in zip(greens, np.rint(found)):
        lengths[k] = float(seconds)
    return lengths


def _lanes(light: Any, program: Any, turns: Turns) -> tuple[Array, Array]:
    """Return the vehicles of a light's lanes, shape (n_lanes, 24), and what a second of each phase counts for them."""
    links = list(_links(light))
    lanes_of = Counter(pair for _, _, pair in links)
    by_lane: dict[str, list[tuple[int, Vector]]] = defaultdict(list)
    for lane, index, pair in links:
        by_lane[lane].append((index, turns.get(pair, np.zeros(24)) / lanes_of[pair]))
    need, worth = [], []
    for mine in by_lane.values():
        weight = np.array([flow.sum() for _, flow in mine])
        green = np.array([[_WORTH.get(phase.state[k], 0.0) for phase in program.getPhases()] for k, _ in mine])
        need.append(sum(flow for _, flow in mine))
        worth.append(weight @ green / max(weight.sum(), 1e-9))
    return np.array(need), np.array(worth)


_WORTH = {"G": 1.0, "g": PERMITTED}


def _links(light: Any) -> Iterator[tuple[str, int, tuple[str, str]]]:
    for start, end, index in light.getConnections():
        yield str(start.getID()), index, (str(start.getEdge().getID()), str(end.getEdge().getID()))
