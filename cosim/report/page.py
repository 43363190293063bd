"""How is the page put together? From a template, the runs' words and numbers, and scripts that it carries along."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib.util
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeAlias

import jinja2
import numpy as np
from markupsafe import Markup

from cosim.comparison import Change, Comparison
from cosim.core.errors import CosimError
from cosim.results import Result
from cosim.tables import difference_cells, number

from .charts import coupled_quantities, course
from .packing import LEVELS, SIMPLIFIED_M, pack_shapes, pack_values
from .scene import FRAMES, Scene, change_scale_of, make_scene, scale_of, window_s

Shown: TypeAlias = Result | Comparison | Mapping[str, Comparison]

_SCRIPTS = ("data.js", "colours.js", "map_gl.js", "map_canvas.js", "chart.js", "app.js")
_MOST_VALUES = 8_000_000
_LEAST_FRAMES = 12
_MOST_EVENTS = 200


def write_report(
    runs: Shown, path: str | Path | None = None, *, frames: int = FRAMES, links: Mapping[str, str] | None = None
) -> Path:
    """Write a report into one HTML file that opens without a network.

    Parameters
    ----------
    runs
        A run, finished or not; a comparison of plans with a base; or several comparisons by what the report is to call
        their cases, as in ``{"winter": …, "summer": …}``, which stand side by side in it.
    path
        The file; by default ``report.html`` in the run's folder, or ``comparison.html`` in that of the first plan.
    frames
        Moments on the time slider at most; fewer are taken for cities of very many elements.
    links
        Further pages that the report leads to: relative address by title.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    CosimError
        If there is no case, what was recorded cannot be read, or the file cannot be written.
    """
    scenes = scenes_of(runs)
    if path is None:
        first = next(iter(scenes.values())).runs
        path = first[0].folder / "report.html" if isinstance(runs, Result) else first[1].folder / "comparison.html"
    path = Path(path)
    _check_place(path)
    n_values = sum(
        sum(view.present) * len(scene.shapes[view.shapes].labels) for scene in scenes.values() for view in scene.views
    )
    most_frames = max(_LEAST_FRAMES, min(frames, _MOST_VALUES // max(n_values, 1)))
    blocks: dict[str, int] = {}
    cases, notes = [], []
    for name, scene in scenes.items():
        window = window_s(scene, most_frames)
        shapes = [blocks.setdefault(pack_shapes(shape), len(blocks)) for shape in scene.shapes]
        layers = [_layer(scene, k, window, shapes, blocks) for k in range(len(scene.views))]
        cases.append(case_content(scene, name, window, layers, coupled_quantities(scene)))
        notes += _thinning(scene, window)
    page = render_page(runs, {"cases": cases}, list(blocks), notes, links)
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(page, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise CosimError(f"cannot write the report to {path}: {error.strerror}; write it to another place") from error
    return path


def _check_place(path: Path) -> None:
    """Refuse a place for the file before time is spent on what is to stand in it."""
    if path.is_dir():
        raise CosimError(f"{path} is a folder: name the file in it, as {path / 'report.html'}")
    if not path.parent.is_dir():
        raise CosimError(f"cannot write the report to {path}: there is no folder {path.parent}; make it first")
    if not os.access(path.parent, os.W_OK):
        raise CosimError(f"cannot write the report to {path}: {path.parent} is not writable; write it to another place")


def scenes_of(runs: Shown) -> dict[str, Scene]:
    """Return what the map shows, by the names of the cases; of a run or a single comparison the name is empty."""
    cases = runs if isinstance(runs, Mapping) else {"": runs}
    if not cases:
        raise CosimError("a report needs a run or a comparison: got no case")
    return {name: scene_of(case) for name, case in cases.items()}


def scene_of(runs: Result | Comparison) -> Scene:
    """Return what the map shows of a run, or of a comparison: means over the seeds that all its runs have."""
    if isinstance(runs, Comparison):
        return make_scene(runs.runs, runs.names)
    return make_scene([[runs]], [runs.name])


def render_page(
    runs: Shown, content: dict[str, Any], blocks: Sequence[str], notes: Sequence[str],
    links: Mapping[str, str] | None = None,
) -> str:  # fmt: skip
    """Return the page.

    Parameters
    ----------
    runs
        What it is about.
    content
        What its scripts read.
    blocks
        Packed shapes and values, to which ``content`` refers by number; none for a page that asks a server.
    notes
        What was thinned, in words.
    links
        Further pages, by title.
    """
    library, sheet = _maplibre()
    script = Markup("\n").join(Markup(_text(name)) for name in _SCRIPTS)
    scripts = [text for text in (library, script) if text]
    scenes = scenes_of(runs)
    first = next(iter(scenes.values()))
    return _environment().get_template("page.html").render(
        title=f"{', '.join(first.names[1:])} against {first.names[0]}" if len(first.names) > 1 else first.names[0],
        subtitles=[(name, _subtitle(scene)) for name, scene in scenes.items()],
        problem="" if first.runs[0].status == "finished" else f"{first.runs[0].status}: "
        f"{first.runs[0].provenance.get('error', 'it has not ended, or was killed')}",
        style=Markup(_text("style.css")),
        sheet=sheet,
        scripts=scripts,
        policy=_policy(scripts, served="served" in content),
        # "<" could end the script element that holds the data; JSON reads \\u003c as the same character
        content=Markup(json.dumps(content, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")),
        blocks=blocks,
        table=Markup(indicators_html(runs)),
        several=len(content["cases"]) > 1,
        compared=len(first.names) > 1,
        notes=list(dict.fromkeys([*notes, *(note for scene in scenes.values() for note in scene.notes)])),
        documents=[_document(run, f"{case}: {name}" if case else name)
                   for case, scene in scenes.items() for run, name in zip(scene.runs, scene.names)],
        most_events=_MOST_EVENTS,
        links=links or {},
    )  # fmt: skip


def indicators_html(runs: Shown) -> str:
    """Return the indicators of what is shown as HTML tables, for the page and for notebooks."""
    template = _environment().get_template("indicators.html")
    if isinstance(runs, Result):
        return template.render(run=runs, number=number)
    comparisons = runs if isinstance(runs, Mapping) else {"": runs}
    tables = [
        {"case": case, "plan": plan, "base": found.base_name, "unshared": found.unshared[plan],
         "n": most_pairs(changes),
         "rows": [(change, difference_cells(change), _direction(change)) for change in changes]}
        for case, found in comparisons.items()
        for plan, changes in found.changes.items()
    ]  # fmt: skip
    return template.render(tables=tables, overview=_overview(comparisons) if len(tables) > 1 else None, number=number)


def _overview(comparisons: Mapping[str, Comparison]) -> dict[str, Any]:
    """Return a table with a row for each indicator, and for each case its base and what every plan changes."""
    about = {c.indicator: c for found in comparisons.values() for changes in found.changes.values() for c in changes}
    by_plan = [
        [{c.indicator: c for c in changes} for changes in found.changes.values()] for found in comparisons.values()
    ]
    return {
        "heads": [(case, found.names, max(map(most_pairs, found.changes.values()))) for case, found in
                  comparisons.items()],
        "rows": [(one, [[plan.get(name) for plan in plans] for plans in by_plan]) for name, one in about.items()],
        "cells": difference_cells,
        "direction": _direction,
    }  # fmt: skip


def most_pairs(changes: Sequence[Change]) -> int:
    """Return of how many pairs of runs the differences are at most."""
    return max((c.difference.n for c in changes if c.difference is not None), default=0)


def _direction(change: Change) -> str:
    """Return whether a shown effect is for the better or the worse; empty where nothing may be said."""
    if change.better is None or change.verdict not in ("higher", "lower"):
        return ""
    return "better" if change.verdict == change.better else "worse"


def _layer(scene: Scene, k: int, window: float, shapes: Sequence[int], blocks: dict[str, int]) -> dict[str, Any]:
    """Return what the page says of a layer; its packed values are put to the blocks, the same ones only once."""
    view = scene.views[k]
    frames = [scene.means(view, run, window) if there else None for run, there in enumerate(view.present)]
    tables = [found[1] for found in frames if found is not None]
    scale = scale_of(view, tables)
    entry = layer_entry(scene, k, shapes[view.shapes], scale, _change_scale([f and f[1] for f in frames]))
    for found in frames:
        if found is None:
            entry["runs"].append(None)
            continue
        frame_s, values = found
        block = blocks.setdefault(pack_values(values), len(blocks))
        entry["runs"].append({"every": frame_s, "n": len(values), "block": block} | course(view, values))
    return entry


def layer_entry(scene: Scene, k: int, shapes: int | str, scale: tuple[float, float], change: float) -> dict[str, Any]:
    """Return what the page says of a layer, without its runs; ``shapes`` is where the page finds them."""
    view = scene.views[k]
    return {
        "title": view.layer.title,
        "port": view.layer.port,
        "unit": view.layer.unit,
        "kind": scene.shapes[view.shapes].kind,
        "shapes": shapes,
        "sum": view.adds_up,
        "scale": scale,
        "change": change,
        "fixed": view.layer.scale is not None,
        "runs": [],
    }


def case_content(
    scene: Scene, name: str, every_s: float, layers: list[dict[str, Any]], charts: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return what the page's scripts read of a case; the slider's moments are ``every_s`` apart."""
    return {
        "name": name,
        "names": scene.names,
        "zone": scene.runs[0].provenance["clock"]["zone"],
        "start": scene.start.timestamp(),
        "every": every_s,
        "n": max(1, math.ceil(scene.length_s / every_s - 1e-9)),
        "layers": layers,
        "charts": charts,
    }


def _change_scale(frames: Sequence[np.ndarray | None]) -> float:
    """Return the scale for differences to the base, of frames that have the same length."""
    base, *plans = frames
    if base is None:
        return 1.0
    return change_scale_of([plan - base for plan in plans if plan is not None and plan.shape == base.shape])


def _thinning(scene: Scene, window: float) -> list[str]:
    if not scene.views:
        return []
    every = sorted({float(run.provenance["outputs"][v.layer.port]["every_s"])
                    for v in scene.views for run, there in zip(scene.runs, v.present) if there})  # fmt: skip
    recorded = " or ".join(f"{seconds:g} s" for seconds in every)
    n = len(scene.groups[0])
    return [
        f"The map shows means over {window / 60:g} min of what was recorded every {recorded}"
        + (f", and over {n} runs with different seeds; curves do so too." if n > 1 else "."),
        f"A value is drawn in one of {LEVELS + 1} steps from the lowest to the highest of its element, off by "
        f"at most {0.5 / LEVELS:.1%} of that range.",
        f"Shapes are rounded to 0.1 m, and lines simplified by at most {SIMPLIFIED_M:g} m.",
    ]


def _subtitle(scene: Scene) -> str:
    seeds = sorted({int(run.provenance["seed"]) for run in scene.groups[0]})
    start = scene.start
    day = f"{start:%A}, {start.day} {start:%B %Y}, from {start:%H:%M}"
    zone = scene.runs[0].provenance["clock"]["zone"]
    name = f"{scene.runs[0].name}: " if len(scene.runs) > 1 else ""
    listed = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
    return f"{name}{day} ({zone}) for {scene.length_s / 3600:.4g} h, {listed}"


def _document(run: Result, name: str) -> dict[str, Any]:
    """Return what the page says of how a run came about."""
    p = run.provenance
    events = run.events
    return {
        "name": name,
        "rows": [
            ("scenario", p["name"]),
            ("parameters", ", ".join(f"{key} = {value}" for key, value in p["parameters"].items()) or "none recorded"),
            ("seed", str(p["seed"])),
            ("exchange step", f"{p['clock']['step_s']:g} s"),
            ("versions", ", ".join(f"{package} {version}" for package, version in p["versions"].items())),
            *((f"adapter {key}", f"{a['class']}, step {a['step_s']:g} s, {p['placements'][key]}")
              for key, a in p["adapters"].items()),
            *((f"input {Path(file).name}", f"sha256 {digest}") for file, digest in p["inputs"].items()),
        ],
        "ledger": p.get("ledger", []),
        "events": [
            (str(row.time.tz_convert(p["clock"]["zone"]))[:19], row.adapter, row.kind, row.element, row.text)
            for row in events.head(_MOST_EVENTS).itertuples()
        ],
        "n_events": len(events),
    }  # fmt: skip


def _policy(scripts: Sequence[str], *, served: bool) -> str:
    """Return the page's content security policy: its own scripts by their hash, and no address but its own."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode()}'" for text in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; worker-src blob:; img-src data: blob:; "
        f"connect-src '{'self' if served else 'none'}'"
    )


@cache
def _maplibre() -> tuple[Markup, Markup]:
    """Return MapLibre GL's script and style sheet as its Python package ships them; empty if it is not installed."""
    # found, not imported: only its files are wanted
    found = importlib.util.find_spec("maplibre")
    if found is None or found.origin is None:
        return Markup(), Markup()
    folder = Path(found.origin).parent / "srcjs"
    try:
        script, sheet = ((folder / name).read_text(encoding="utf-8") for name in ("maplibre-gl.js", "maplibre-gl.css"))
    except OSError:
        return Markup(), Markup()
    # A source map would be asked for over the network.
    script = re.sub(r"//# sourceMappingURL=\S+\s*$", "", script)
    return Markup(script.replace("</script", "<\\/script")), Markup(sheet.replace("</style", ""))


def _text(name: str) -> str:
    return files("cosim.report").joinpath(name).read_text(encoding="utf-8")


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("cosim.report", "."), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
