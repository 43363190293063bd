"""How does a person see a run? One self-contained HTML file: indicators, a map with a time slider, a chart, the method.

Knows no sector: it draws the layers that the scenario named. Opens from disk without a network.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cosim.core import units

from .results import Result
from .tables import number

FRAMES = 96
"""Time frames on the slider: a day in quarters of an hour."""


def write_report(result: Result, path: Path | None = None) -> Path:
    """Write the report of a run.

    Parameters
    ----------
    result
        The run, finished or not.
    path
        The file; by default ``report.html`` in the run's folder.

    Returns
    -------
    Path
        The file written.
    """
    path = path or result.folder / "report.html"
    layers_file = result.folder / "layers.json"
    layers = json.loads(layers_file.read_text(encoding="utf-8")) if layers_file.is_file() else []
    drawn = [drawing for layer in layers if layer["port"] in result.ports for drawing in _drawing(result, layer)]
    page = files("cosim").joinpath("report.html").read_text(encoding="utf-8")
    fields = {
        "title": html.escape(result.name),
        "subtitle": html.escape(_subtitle(result)),
        "indicators": _indicator_rows(result),
        "ledger": _ledger_rows(result),
        "method": _method_rows(result),
        # "</" inside a script element would end it
        "data": json.dumps({"layers": drawn}, separators=(",", ":")).replace("</", "<\\/"),
    }
    for name, value in fields.items():
        page = page.replace(f"<!--{name}-->", value)
    path.write_text(page, encoding="utf-8")
    return path


def _subtitle(result: Result) -> str:
    clock = result.provenance["clock"]
    hours = result.provenance.get("simulated_s", 0) / 3600
    failed = "" if result.status == "finished" else f"; {result.status}: {result.provenance.get('error', '')}"
    return f"{clock['start']} ({clock['zone']}), {hours:.4g} h, seed {result.provenance['seed']}{failed}"


def _drawing(result: Result, layer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a layer with its values over time, quantised to a byte on its scale; nothing if nothing was recorded."""
    table = result.series(layer["port"])
    labels = [label for label in table.columns if label in layer["geometry"]]
    if table.empty or not labels:
        return []
    about = result.provenance["outputs"][layer["port"]]
    step_s = about["every_s"]
    per_frame = max(1, int(np.ceil(len(table) / FRAMES)))
    values = table[labels].to_numpy(dtype=float) * layer["factor"]
    n_frames = -(-len(values) // per_frame)
    frames = np.stack([np.nanmean(values[k * per_frame : (k + 1) * per_frame], axis=0) for k in range(n_frames)])
    low, high = layer["scale"] or (float(np.nanmin(frames)), float(np.nanquantile(frames, 0.99)))
    if not high > low:
        high = low + 1.0
    span = high - low
    quantised = np.where(np.isnan(frames), 255, np.clip(np.round((frames - low) / span * 254), 0, 254)).astype(np.uint8)
    additive = units.is_extensive(about["unit"])
    zone = result.provenance["clock"]["zone"]
    ends = table.index[np.minimum(np.arange(1, n_frames + 1) * per_frame - 1, len(table) - 1)].tz_convert(zone)
    what = "mean" if about["kind"] == "mean" or per_frame > 1 else "state"
    city = np.nansum(frames, axis=1) if additive else np.nanmean(frames, axis=1)
    return [
        {
            "title": layer["title"],
            "unit": layer["unit"],
            "shape": layer["shape"],
            "low": low,
            "high": high,
            "labels": labels,
            "geometry": [layer["geometry"][label] for label in labels],
            "values": base64.b64encode(quantised.tobytes()).decode(),
            "times": [pd.Timestamp(end).strftime("%d.%m. %H:%M") for end in ends],
            "window": f"{what} of {per_frame * step_s / 60:g} min",
            "city": [round(float(v), 6) for v in city],
            "city_name": "sum of all elements" if additive else "mean of all elements",
        }
    ]


def _rows(rows: Sequence[tuple[str, ...]]) -> str:
    return "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)


def _indicator_rows(result: Result) -> str:
    return "".join(
        f'<tr title="{html.escape(i.about)}"><td>{html.escape(name)}</td><td class="n">{number(i.value)}</td>'
        f"<td>{html.escape(i.unit)}</td></tr>"
        for name, i in result.indicators.items()
    )


def _ledger_rows(result: Result) -> str:
    return _rows(
        [
            (
                str(row["connection"]), str(row["unit"]), number(row["sent"]), number(row["initial"]),
                number(row["received"]), number(row["in_flight"]), number(row["dropped"]), f"{row['residual']:.1e}",
            )
            for row in result.provenance.get("ledger", [])
        ]
    )


def _method_rows(result: Result) -> str:
    p = result.provenance
    software = ", ".join(f"{name} {version}" for name, version in p["versions"].items())
    rows = [("parameters", json.dumps(p["parameters"], ensure_ascii=False)), ("versions", software)]
    for name, a in p["adapters"].items():
        rows.append((f"adapter {name}", f"{a['class']}, step {a['step_s']:g} s, {p['placements'][name]}"))
    rows += [(f"input {Path(name).name}", f"sha256 {digest}") for name, digest in p["inputs"].items()]
    return _rows(rows)
