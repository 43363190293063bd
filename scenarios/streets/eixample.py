"""Streets of the Eixample, and the buildings around its blocks.

The district is drawn as plain nodes and edges on Cerdà's grid and built by SUMO's netconvert. Coordinates ``x, y`` are
those of the network, in metres; its frame is a transverse Mercator projection centred on the district, so that its y
axis points to true north.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pandas as pd
import shapely

from cosim.adapters.traffic.installation import run_sumo_tool
from cosim.core import CosimError
from cosim.scenarios.streets.classes import StreetClass
from cosim.scenarios.streets.network import without_dates

PITCH_M = 133.3
"""Cerdà's grid: blocks of 113.3 m and streets of 20 m, axis to axis. [m]"""
MOST_BLOCKS = 4_096
STREET_M = 20.0
CHAMFER_M = 15.0
"""Length that a chamfer cuts off each side of a block's corner; its façade is then 21.2 m long. [m]"""
DEPTH_M = 24.0
"""Built depth around the courtyard. [m] Assumption."""
CYCLE_S = 90
"""Common cycle of the traffic lights. [s] Assumption."""

YELLOW_S = 3
PROGRESSION_KMH = 45.0
"""Speed at which the green of the streets to the north-east and south-west advances. [km/h] Assumption."""

_ON_BUS_LANES = "bus taxi coach emergency bicycle"
_CENTRE = (41.3930, 2.1640)  # latitude and longitude of a corner in the Dreta de l'Eixample
_PROJECTION = f"+proj=tmerc +lat_0={_CENTRE[0]} +lon_0={_CENTRE[1]} +k=1 +x_0=0 +y_0=0 +ellps=WGS84 +units=m +no_defs"
_ROTATION = math.radians(45)  # streets run NE-SW and NW-SE


def _plan(u: float, v: float) -> tuple[float, float]:
    """Turn grid coordinates (u to the north-east, v to the north-west) into x (east) and y (north). [m]"""
    s, c = math.sin(_ROTATION), math.cos(_ROTATION)
    return u * s - v * c, u * c + v * s


def check_blocks(n: int, m: int) -> None:
    """Check the size of a district.

    Raises
    ------
    CosimError
        If it is too small or too large.
    """
    if n < 2 or m < 2:
        raise CosimError(f"the district has {n} × {m} blocks: it needs at least 2 × 2, or one-way streets cannot turn")
    if n * m > MOST_BLOCKS:
        raise CosimError(
            f"the district has {n} × {m} blocks: at most {MOST_BLOCKS}, several times the Eixample, are allowed"
        )


def _check(n: int, m: int, avenues: Sequence[str]) -> None:
    check_blocks(n, m)
    lines = {f"x{i}" for i in range(n + 1)} | {f"y{j}" for j in range(m + 1)}
    if unknown := sorted(set(avenues) - lines):
        raise CosimError(f"the district has no street {unknown[0]!r}: choose avenues among x0 to x{n} and y0 to y{m}")


def _segments(n: int, m: int, avenues: Sequence[str]) -> Iterator[tuple[str, tuple[int, int], tuple[int, int], bool]]:
    """Yield street, start crossing, end crossing and whether two-way, for every directed street segment.

    One-way streets alternate in direction; those along the edge and the avenues are two-way, which closes all loops.
    """
    for street, index, last, count in (
        *((f"y{j}", j, m, n) for j in range(m + 1)),
        *((f"x{i}", i, n, m) for i in range(n + 1)),
    ):
        both = index in (0, last) or street in avenues
        for k in range(count):
            ends = ((k, index), (k + 1, index)) if street[0] == "y" else ((index, k), (index, k + 1))
            if both or index % 2:
                yield street, *ends, both
            if both or not index % 2:
                yield street, *ends[::-1], both


def _edge(a: tuple[int, int], b: tuple[int, int]) -> str:
    return f"x{a[0]}y{a[1]}-x{b[0]}y{b[1]}"


def eixample_streets(
    folder: Path,
    n: int,
    m: int,
    *,
    lanes: int = 3,
    speed_kmh: float = 50.0,
    avenues: Sequence[str] = (),
    cycle_s: int = CYCLE_S,
    classes: Mapping[str, StreetClass] | None = None,
) -> Path:
    """Build the street network of ``n × m`` Eixample blocks.

    Parameters
    ----------
    folder
        Folder of the network; created if absent.
    n, m
        Number of blocks to the north-east and to the north-west.
    lanes
        Lanes of a one-way street. Two-way streets have two lanes each way.
    speed_kmh
        Speed limit. [km/h]
    avenues
        Inner two-way streets, e.g. ``("x2", "y3")``; those along the edge always are.
    cycle_s
        Common cycle of the traffic lights. [s]
    classes
        The class of every street instead of ``lanes`` and ``speed_kmh``, see `street_classes`. Edges then have it as
        their type, and the lights of the streets ``y<j>`` form green waves in the streets' direction, on two-way ones
        in that of growing ``x``.

    Returns
    -------
    The SUMO network, ``eixample.net.xml``. Crossings are named ``x<i>y<j>``, edges ``x<i>y<j>-x<i>y<j>``.

    Raises
    ------
    CosimError
        If there are too few blocks, an avenue does not exist, or netconvert fails (with its message).
    """
    _check(n, m, avenues)
    if lanes < 1 or not speed_kmh > 0:
        raise CosimError(f"streets have {lanes} lanes and {speed_kmh} km/h: both must be positive")
    folder.mkdir(parents=True, exist_ok=True)
    nodes, edges, types, net = (folder / f"eixample.{kind}.xml" for kind in ("nod", "edg", "typ", "net"))
    half_u, half_v = n * PITCH_M / 2, m * PITCH_M / 2
    corners = {(0, 0), (n, 0), (0, m), (n, m)}
    lines = []
    for i in range(n + 1):
        for j in range(m + 1):
            x, y = _plan(i * PITCH_M - half_u, j * PITCH_M - half_v)
            kind = "priority" if (i, j) in corners else "traffic_light"
            lines.append(f'<node id="x{i}y{j}" x="{x:.3f}" y="{y:.3f}" type="{kind}"/>')
    reach = half_u + half_v
    boundary = f"{-reach:.2f},{-reach:.2f},{reach:.2f},{reach:.2f}"
    location = (
        f'<location netOffset="0.00,0.00" convBoundary="{boundary}" origBoundary="{boundary}" '
        f"projParameter={quoteattr(_PROJECTION)}/>"
    )
    nodes.write_text("\n".join(["<nodes>", location, *lines, "</nodes>\n"]), encoding="utf-8")
    lines = []
    for street, a, b, both in _segments(n, m, avenues):
        of = classes[street] if classes else None
        general = (of.lanes_each_way if both else of.lanes) if of else 2 if both else lanes
        bus = bool(of and of.bus_lane)
        limit = of.kmh if of else speed_kmh
        typed = f'type="{of.name}" ' if of else ""
        bus_lane = f'<lane index="0" allow="{_ON_BUS_LANES}"/>' if bus else ""
        lines.append(
            f'<edge id="{_edge(a, b)}" from="x{a[0]}y{a[1]}" to="x{b[0]}y{b[1]}" name="street {street}" {typed}'
            f'priority="{2 if both else 1}" numLanes="{general + bus}" speed="{limit / 3.6:.4f}" '
            f'spreadType="{"right" if both else "center"}">{bus_lane}</edge>'
        )
    edges.write_text("\n".join(["<edges>", *lines, "</edges>\n"]), encoding="utf-8")
    names = sorted({of.name for of in classes.values()}) if classes else []
    types.write_text(
        "\n".join(["<types>", *(f'<type id="{name}"/>' for name in names), "</types>\n"]), encoding="utf-8"
    )
    run_sumo_tool(
        "netconvert",
        "--node-files",
        nodes,
        "--edge-files",
        edges,
        "--type-files",
        types,
        "--output-file",
        net,
        "--output.street-names",
        "--no-turnarounds",
        "--offset.disable-normalization",
        "--tls.cycle.time",
        str(cycle_s),
        "--no-internal-links",
        "false",
    )
    without_dates(net)
    if classes:
        _coordinate(net, n, m, cycle_s)
    return net


def street_ways(n: int, m: int) -> list[tuple[str, tuple[str, ...]]]:
    """Return the street and the edges of every way straight through the district, one for each direction.

    Examples
    --------
    >>> street_ways(2, 2)[1]
    ('y0', ('x2y0-x1y0', 'x1y0-x0y0'))
    """
    found: dict[tuple[str, bool], list[str]] = {}
    for street, a, b, _ in _segments(n, m, ()):
        found.setdefault((street, a < b), []).append(_edge(a, b))
    return [(street, tuple(edges if ahead else edges[::-1])) for (street, ahead), edges in found.items()]


def _coordinate(net: Path, n: int, m: int, cycle_s: int) -> None:
    """Give all lights the same two phases, first the streets ``y<j>``, along which green advances.

    Where streets leave the district, netconvert sees no cross traffic; persons cross there all the same.
    """
    text = net.read_text(encoding="utf-8")
    links: dict[str, dict[int, bool]] = {}
    for tag in re.findall(r"<connection [^>]*>", text):
        at = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if "tl" in at:
            start, end = at["from"].split("-")
            links.setdefault(at["tl"], {})[int(at["linkIndex"])] = start.split("y")[1] == end.split("y")[1]
    ride_s = PITCH_M / (PROGRESSION_KMH / 3.6)

    def program(found: re.Match[str]) -> str:
        light, body = found[1], found[2]
        states = re.findall(r'state="([^"]*)"', body)
        greens = ["".join(s[k] for s in states if s[k] in "Gg")[0] for k in range(len(states[0]))]
        i, j = map(int, light.removeprefix("x").split("y"))
        ahead = i if j % 2 or j in (0, m) else n - i
        phases = []
        for first in (True, False):
            mine = [links[light][k] is first for k in range(len(greens))]
            for length_s, letters in ((cycle_s / 2 - YELLOW_S, greens), (YELLOW_S, ["y"] * len(greens))):
                state = "".join(letter if own else "r" for letter, own in zip(letters, mine, strict=True))
                phases.append(f'        <phase duration="{length_s:g}" state="{state}"/>\n')
        offset = round(ahead * ride_s) % cycle_s
        opening = f'<tlLogic id="{light}" type="static" programID="0" offset="{offset}">'
        return f"{opening}\n{''.join(phases)}    </tlLogic>"

    net.write_text(re.sub(r'<tlLogic id="([^"]*)"[^>]*>(.*?)</tlLogic>', program, text, flags=re.DOTALL), "utf-8")


def block_polygons(n: int, m: int) -> dict[str, shapely.Polygon]:
    """Return the chamfered blocks by label ``b<i>.<j>``, in the network's coordinates.

    Examples
    --------
    >>> round(block_polygons(2, 2)["b0.0"].area)  # 113.3² less four chamfers of 15 × 15 / 2
    12387
    """
    side, c = PITCH_M - STREET_M, CHAMFER_M
    ring = [
        (c, 0),
        (side - c, 0),
        (side, c),
        (side, side - c),
        (side - c, side),
        (c, side),
        (0, side - c),
        (0, c),
    ]
    return {
        f"b{i}.{j}": shapely.Polygon([_plan(*_in_block(n, m, i, j, u, v)) for u, v in ring])
        for i in range(n)
        for j in range(m)
    }


def _in_block(n: int, m: int, i: int, j: int, u: float, v: float) -> tuple[float, float]:
    """Shift a point from a block's south corner to grid coordinates."""
    return (i - n / 2) * PITCH_M + STREET_M / 2 + u, (j - m / 2) * PITCH_M + STREET_M / 2 + v


def building_sites(n: int, m: int, per_block: int = 24, *, avenues: Sequence[str] = ()) -> pd.DataFrame:
    """Return the buildings around every block: four on the chamfers, the rest wall to wall along the sides.

    Parameters
    ----------
    n, m, avenues
        As in `eixample_streets`.
    per_block
        Buildings around a block, a multiple of four from 8 on.

    Returns
    -------
    One row per building, index ``site`` = ``b<i>.<j>.<k>``, columns: ``x``, ``y`` centroid [m];
    ``azimuth_deg`` outward normal of the street façade, clockwise from true north; ``frontage_m`` and
    ``depth_m``; ``area_m2`` of the footprint; ``attached`` number of party walls and ``party_wall_m`` their
    length; ``block``; ``edge`` the nearest street edge; ``footprint`` (shapely polygon). The footprints of a
    block fill its octagon except for the courtyard.

    Raises
    ------
    CosimError
        If there are too few blocks, or ``per_block`` is not a multiple of four from 8 on.
    """
    _check(n, m, avenues)
    if per_block < 8 or per_block % 4:
        raise CosimError(f"a block has {per_block} buildings: give a multiple of 4 from 8 on (four are at chamfers)")
    side, c, d = PITCH_M - STREET_M, CHAMFER_M, DEPTH_M
    along = per_block // 4 - 1
    front = (side - 2 * d) / along
    segments = {_edge(a, b): (a, b) for _, a, b, _ in _segments(n, m, avenues)}
    diagonal = (d - c / 2) * math.sqrt(2)
    # One side of the block, counter-clockwise from its corner: a chamfer building, then the row.
    shapes: list[tuple[list[tuple[float, float]], float, float, float]] = [
        ([(c, 0), (d, 0), (d, d), (0, d), (0, c)], -45.0, math.hypot(c, c) + 2 * (d - c), diagonal)
    ]
    for k in range(along):
        a, b = d + k * front, d + (k + 1) * front
        shapes.append(([(a, 0), (b, 0), (b, d), (a, d)], 0.0, front, d))
    rows = []
    for i in range(n):
        for j in range(m):
            around = [(i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1)]
            for turn in range(4):
                ends = around[turn], around[(turn + 1) % 4]
                # Traffic keeps right, so a block traversed counter-clockwise lies left of a -> b.
                edge = next(name for name in (_edge(*ends[::-1]), _edge(*ends)) if name in segments)
                for k, (ring, tilt, frontage, depth) in enumerate(shapes):
                    points = [_plan(*_in_block(n, m, i, j, *_turned(u, v, side, turn))) for u, v in ring]
                    footprint = shapely.Polygon(points)
                    # The first side faces -v, that is south-east (135°); every turn of the side takes 90° off.
                    azimuth = (180 - math.degrees(_ROTATION) - 90 * turn - tilt) % 360
                    rows.append(
                        {
                            "site": f"b{i}.{j}.{turn * len(shapes) + k}",
                            "x": footprint.centroid.x,
                            "y": footprint.centroid.y,
                            "azimuth_deg": azimuth,
                            "frontage_m": frontage,
                            "depth_m": depth,
                            "area_m2": footprint.area,
                            "attached": 2,
                            "party_wall_m": 2 * d,
                            "block": f"b{i}.{j}",
                            "edge": edge,
                            "footprint": footprint,
                        }
                    )
    return pd.DataFrame(rows).set_index("site")


def _turned(u: float, v: float, side: float, quarters: int) -> tuple[float, float]:
    """Turn a point of a block counter-clockwise about its centre by quarters."""
    for _ in range(quarters):
        u, v = side - v, u
    return u, v
