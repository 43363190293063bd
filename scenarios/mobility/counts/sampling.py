"""Vehicles on known routes that match counts, by SUMO's routeSampler, and where detectors stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError
from xml.sax.saxutils import quoteattr

import defusedxml.ElementTree
import numpy as np
import pandas as pd
from defusedxml import DefusedXmlException

from cosim.adapters.traffic.installation import run_sumo_script
from cosim.core import CosimError, InputFileError
from cosim.core.random import generator
from cosim.scenarios.mobility.routing import write_xml


def detector_edges(path: Path) -> dict[str, str]:
    """Return the edge of every induction loop (E1) in an additional file of SUMO, by detector.

    Raises
    ------
    InputFileError
        If the file is missing, malformed or unsafe.
    """
    try:
        elements = list(defusedxml.ElementTree.parse(path).iter())
    except (OSError, ParseError, DefusedXmlException) as error:
        raise InputFileError(f"{path} cannot be read as detectors: {error!r}") from error
    loops = [e for e in elements if e.tag in ("e1Detector", "inductionLoop")]
    return {str(e.get("id")): str(e.get("lane")).rsplit("_", 1)[0] for e in loops}


def calibrate(
    routes: Path, counts: pd.DataFrame, output: Path, seed: int = 0, *, vehicle_type: str | None = None
) -> pd.DataFrame:
    """Write vehicles on known routes that match counts, by SUMO's routeSampler.

    Parameters
    ----------
    routes
        Route file with the routes to choose from, e.g. that of an existing scenario.
    counts
        Columns ``begin_s``, ``end_s``, ``edge`` and ``count``: vehicles that entered the edge in the interval.
    output
        The route file to write.
    vehicle_type
        Type of the vehicles; SUMO's default type if None.

    Returns
    -------
    ``counts`` with the column ``sampled``, and ``geh``, the GEH statistic of each count as an hourly flow; below 5 is
    the usual acceptance for 85 % of the counts (UK TAG M3.1).

    Raises
    ------
    CosimError
        If a count is negative or not finite, or routeSampler fails (with its message).
    """
    for column in ("begin_s", "end_s", "edge", "count"):
        if column not in counts:
            raise CosimError(f"counts has no column {column!r}: give begin_s, end_s, edge and count")
    number = counts["count"].to_numpy(float)
    if not (np.isfinite(number).all() and (number >= 0).all()):
        raise CosimError("counts has a number that is negative or not finite: give vehicles per interval")
    output.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for (begin, end), group in counts.groupby(["begin_s", "end_s"]):
        lines.append(f'<interval id="counts" begin="{begin:g}" end="{end:g}">')
        lines += [f'<edge id={quoteattr(str(r.edge))} entered="{r.count:.0f}"/>' for r in group.itertuples()]
        lines.append("</interval>")
    given = write_xml(output.with_suffix(".counts.xml"), "data", lines)
    extra = ["-a", f'type="{vehicle_type}"'] if vehicle_type else []
    run_sumo_script(
        "routeSampler.py",
        "-r",
        routes.resolve(),
        "-d",
        given.resolve(),
        "-o",
        output.resolve(),
        "--optimize",
        "full",
        "-s",
        str(generator(seed, "routeSampler").integers(2**31)),
        *extra,
        cwd=output.parent,
    )
    given.unlink()
    sampled = _passed(output, counts)
    hours = (counts["end_s"] - counts["begin_s"]).to_numpy(float) / 3600
    a, b = sampled / hours, number / hours
    geh = np.sqrt(2 * (a - b) ** 2 / np.maximum(a + b, 1e-12))
    return counts.assign(sampled=sampled, geh=geh)


def _passed(routes: Path, counts: pd.DataFrame) -> Any:
    """Count the vehicles of a route file over each counted edge, by the interval of their departure."""
    vehicles = []
    for _, element in defusedxml.ElementTree.iterparse(routes):
        if element.tag == "vehicle":
            vehicles.append((float(element.get("depart")), element.find("route").get("edges", "").split()))
    begins = sorted(set(counts["begin_s"]))
    table: dict[tuple[float, str], int] = {}
    for depart, edges in vehicles:
        begin = begins[max(int(np.searchsorted(begins, depart, side="right")) - 1, 0)]
        for edge in set(edges):
            table[begin, edge] = table.get((begin, edge), 0) + 1
    return np.array([table.get((b, str(e)), 0) for b, e in zip(counts["begin_s"], counts["edge"])], dtype=float)
