"""Where do the streets of the Eixample run, and where do its buildings stand round the blocks?

The district is drawn as plain nodes and edges on Cerdà's grid and built by SUMO's netconvert. Coordinates ``x, y`` are
those of the network, in metres; its frame is a transverse Mercator projection centred on the district, so that its y
axis points to true north.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pandas as pd
import shapely

from cosim.core import CosimError
from cosim.scenarios.streets import run_sumo_tool, without_dates

PITCH_M = 133.3
"""Cerdà's grid: blocks of 113.3 m and streets of 20 m, axis to axis. [m]"""
MOST_BLOCKS = 2_500
STREET_M = 20.0
CHAMFER_M = 15.0
"""What a chamfer takes off either side of a block's corner; its façade is then 21.2 m long. [m]"""
DEPTH_M = 24.0
"""Built depth round the courtyard. [m] Assumption."""
CYCLE_S = 90
"""Common cycle of the traffic lights. [s] Assumption."""

_CENTRE = (41.3930, 2.1640)  # latitude and longitude of a corner in the Dreta de l'Eixample
_PROJECTION = f"+proj=tmerc +lat_0={_CENTRE[0]} +lon_0={_CENTRE[1]} +k=1 +x_0=0 +y_0=0 +ellps=WGS84 +units=m +no_defs"
_ROTATION = math.radians(45)  # streets run NE-SW and NW-SE


def _plan(u: float, v: float) -> tuple[float, float]:
    """Turn grid coordinates (u to the north-east, v to the north-west) into x (east) and y (north). [m]"""
    s, c = math.sin(_ROTATION), math.cos(_ROTATION)
    return u * s - v * c, u * c + v * s


def _check(n: int, m: int, avenues: Sequence[str]) -> None:
    if n < 2 or m < 2:
        raise CosimError(f"the district has {n} × {m} blocks: it needs at least 2 × 2, or one-way streets cannot turn")
    if n * m > MOST_BLOCKS:
        raise CosimError(f"the district has {n} × {m} blocks: {MOST_BLOCKS} are the most, several times the Eixample's")
    lines = {f"x{i}" for i in range(n + 1)} | {f"y{j}" for j in range(m + 1)}
    if unknown := sorted(set(avenues) - lines):
        raise CosimError(f"the district has no street {unknown[0]!r}: avenues are among x0 to x{n} and y0 to y{m}")


def _segments(n: int, m: int, avenues: Sequence[str]) -> Iterator[tuple[str, tuple[int, int], tuple[int, int], bool]]:
    """Yield street, from-crossing, to-crossing and whether two-way, of every directed street segment.

    Streets alternate their one way; those round the edge and the avenues run both ways, which closes all
    loops.
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
) -> Path:
    """Build the street network of ``n × m`` Eixample blocks.

    Parameters
    ----------
    folder
        Where the network goes; made if absent.
    n, m
        Number of blocks to the north-east and to the north-west.
    lanes
        Lanes of a one-way street. Two-way streets have two lanes each way.
    speed_kmh
        Speed limit. [km/h]
    avenues
        Inner streets that run both ways, e.g. ``("x2", "y3")``; those round the edge always do.
    cycle_s
        Common cycle of the traffic lights. [s]

    Returns
    -------
    The SUMO network, ``eixample.net.xml``. Crossings are named ``x<i>y<j>``, edges ``x<i>y<j>-x<i>y<j>``.

    Raises
    ------
    CosimError
        If there are too few blocks, an avenue does not exist, or netconvert refuses (with its words).
    """
    _check(n, m, avenues)
    if lanes < 1 or not speed_kmh > 0:
        raise CosimError(f"streets have {lanes} lanes and {speed_kmh} km/h: both must be positive")
    folder.mkdir(parents=True, exist_ok=True)
    nodes, edges, net = (folder / f"eixample.{kind}.xml" for kind in ("nod", "edg", "net"))
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
    lines = [
        f'<edge id="{_edge(a, b)}" from="x{a[0]}y{a[1]}" to="x{b[0]}y{b[1]}" name="{street}" '
        f'priority="{2 if both else 1}" numLanes="{2 if both else lanes}" speed="{speed_kmh / 3.6:.4f}" '
        f'spreadType="{"right" if both else "center"}"/>'
        for street, a, b, both in _segments(n, m, avenues)
    ]
    edges.write_text("\n".join(["<edges>", *lines, "</edges>\n"]), encoding="utf-8")
    run_sumo_tool(
        "netconvert", "--node-files", nodes, "--edge-files", edges, "--output-file", net, "--no-turnarounds",
        "--offset.disable-normalization", "--tls.cycle.time", str(cycle_s), "--no-internal-links", "false",
    )  # fmt: skip
    without_dates(net)
    return net


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
    """Return the buildings round every block: four on the chamfers, the rest shoulder to shoulder along the
    sides.

    Parameters
    ----------
    n, m, avenues
        As in `eixample_streets`.
    per_block
        Buildings round a block, a multiple of four from 8 on.

    Returns
    -------
    One row per building, index ``site`` = ``b<i>.<j>.<k>``, columns: ``x``, ``y`` centroid [m];
    ``azimuth_deg`` outward normal of the street façade, clockwise from true north; ``frontage_m`` and
    ``depth_m``; ``area_m2`` of the footprint; ``attached`` number of party walls and ``party_wall_m`` their
    length; ``block``; ``edge`` the nearest street edge; ``footprint`` (shapely polygon). The footprints of a
    block tile its octagon but for the courtyard.

    Raises
    ------
    CosimError
        If there are too few blocks, or ``per_block`` is no multiple of four from 8 on.
    """
    _check(n, m, avenues)
    if per_block < 8 or per_block % 4:
        raise CosimError(f"a block has {per_block} buildings: give a multiple of 4 from 8 on (four stand at chamfers)")
    side, c, d = PITCH_M - STREET_M, CHAMFER_M, DEPTH_M
    along = per_block // 4 - 1
    front = (side - 2 * d) / along
    segments = {_edge(a, b): (a, b) for _, a, b, _ in _segments(n, m, avenues)}
    diagonal = (d - c / 2) * math.sqrt(2)
    # One side of the block, run counter-clockwise from its corner: a chamfer building, then the row.
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
                # Traffic keeps right, so a block that is run round counter-clockwise lies left of a -> b.
                edge = next(name for name in (_edge(*ends[::-1]), _edge(*ends)) if name in segments)
                for k, (ring, tilt, frontage, depth) in enumerate(shapes):
                    points = [_plan(*_in_block(n, m, i, j, *_turned(u, v, side, turn))) for u, v in ring]
                    footprint = shapely.Polygon(points)
                    # The first side faces -v, that is south-east (135°); every turn of the side takes 90°
                    # off.
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
