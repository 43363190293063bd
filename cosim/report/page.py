"""The report page, rendered from a template, the data of the runs, and embedded scripts."""

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

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from cosim.core.errors import CosimError
from cosim.results.comparison import Comparison
from cosim.results.layers import Layer
from cosim.results.notebook import comparison_html, environment, run_html
from cosim.results.result import Result

from .bars import bars_html
from .charts import coupled_quantities, course
from .costs import costs_html
from .packing import LEVELS, SIMPLIFIED_M, pack_shapes, pack_values
from .scene import FRAMES, Frame, Scene, change_scale_of, is_still, make_scene, plan_scene, scale_of, window_s
from .verdict import verdicts_html

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
        A run, finished or not; a comparison of plans with a base; or several comparisons by the names of their cases,
        as in ``{"winter": …, "summer": …}``, which the report shows side by side.
    path
        The file; by default ``report.html`` in the run's folder, or ``comparison.html`` in that of the first plan.
    frames
        Largest number of moments on the time slider; fewer are used for cities with very many elements.
    links
        Further pages to link to: relative address by title.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    CosimError
        If there is no case, recorded data cannot be read, or the file cannot be written.
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
    page = render_page(runs, {"cases": cases}, list(blocks), notes, links, scenes)
    _write(path, page)
    return path


def _write(path: Path, page: str) -> None:
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(page, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise CosimError(f"cannot write the report to {path}: {error.strerror}; choose another path") from error


def write_map(
    name: str,
    layers: Sequence[Layer],
    path: str | Path,
    *,
    facts: Mapping[str, str] | None = None,
    meanings: Mapping[str, Mapping[str, str]] | None = None,
) -> Path:
    """Write a map page of a scenario that has not run: where its elements are, and what they are.

    Parameters
    ----------
    name
        Name of the scenario.
    layers
        Its layers.
    path
        The file.
    facts
        What the scenario contains, in words, by subject.
    meanings
        What the elements are, by port and label.

    Raises
    ------
    CosimError
        If there is no layer, or the file cannot be written.
    """
    path = Path(path)
    _check_place(path)
    drawn, outlines, frame = plan_scene(layers)
    if not drawn:
        raise CosimError(f"{name} has no map layer: append Layer(…) to scenario.layers")
    blocks: dict[str, int] = {}
    entries = []
    for layer, shapes in drawn:
        about = (meanings or {}).get(layer.port, {})
        entry = _entry(layer, shapes.kind, blocks.setdefault(pack_shapes(shapes), len(blocks)))
        if shapes.cells is not None:
            entry["title"] += f", cells of {shapes.cells.side_m:g} m"
        entries.append(entry | {"runs": [None], "meanings": [about.get(label, "") for label in shapes.labels]})
    case = {"name": "", "names": [name], "zone": "UTC", "start": 0, "every": 1, "n": 1, "layers": entries, "charts": []}
    content = {"cases": [case | _place(outlines, frame)]}
    answers = [{"name": name, "lines": [], "facts": facts}] if facts else []
    _write(path, _rendered(name, content, list(blocks), answers=answers))
    return path


def _check_place(path: Path) -> None:
    """Check that the file can be written, before its content is computed."""
    if path.is_dir():
        raise CosimError(f"{path} is a folder: pass a file name, such as {path / 'report.html'}")
    if not path.parent.is_dir():
        raise CosimError(f"cannot write the report to {path}: the folder {path.parent} does not exist; create it first")
    if not os.access(path.parent, os.W_OK):
        raise CosimError(f"cannot write the report to {path}: {path.parent} is not writable; choose another path")


def scenes_of(runs: Shown) -> dict[str, Scene]:
    """Return the scenes of the map by case name; the name is empty for a run or a single comparison."""
    cases = runs if isinstance(runs, Mapping) else {"": runs}
    if not cases:
        raise CosimError("a report needs a run or a comparison: got no case")
    return {name: scene_of(case) for name, case in cases.items()}


def scene_of(runs: Result | Comparison, *, cells: bool = True) -> Scene:
    """Return the scene of a run, or of a comparison with its common seeds, large layers as cells if wanted."""
    if isinstance(runs, Comparison):
        return make_scene(runs.runs, runs.names, cells=cells)
    return make_scene([[runs]], [runs.name], cells=cells)


def render_page(
    runs: Shown,
    content: dict[str, Any],
    blocks: Sequence[str],
    notes: Sequence[str],
    links: Mapping[str, str] | None = None,
    scenes: Mapping[str, Scene] | None = None,
) -> str:
    """Return the page.

    Parameters
    ----------
    runs
        The runs on the page.
    content
        The data that its scripts read.
    blocks
        Packed shapes and values, to which ``content`` refers by number; empty for a page with a server.
    notes
        Descriptions of how the data were reduced.
    links
        Further pages by title.
    scenes
        The scenes of the runs by case, unless those of `scenes_of`.
    """
    scenes = scenes or scenes_of(runs)
    compared: Mapping[str, Comparison] = (
        {} if isinstance(runs, Result) else runs if isinstance(runs, Mapping) else {"": runs}
    )
    first = next(iter(scenes.values()))
    shown = [
        (run, f"{case}: {name}" if case else name, f", seed {run.provenance['seed']}" if len(group) > 1 else "")
        for case, scene in scenes.items()
        for run, name, group in zip(scene.runs, scene.names, scene.groups)
    ]
    return _rendered(
        f"{', '.join(first.names[1:])} against {first.names[0]}" if len(first.names) > 1 else first.names[0],
        content,
        blocks,
        subtitles=[(name, _subtitle(scene)) for name, scene in scenes.items()],
        problem=""
        if first.runs[0].status == "finished"
        else f"{first.runs[0].status}: {first.runs[0].provenance.get('error', 'it has not ended, or was killed')}",
        answers=[answer for run, name, seed in shown if (answer := _answer(run, name + seed))],
        table=Markup(indicators_html(runs)),
        bars=bars_html(scenes),
        costs=costs_html(compared),
        verdicts=verdicts_html(compared, scenes),
        several=len(content["cases"]) > 1,
        compared=len(first.names) > 1,
        notes=list(dict.fromkeys([*notes, *(note for scene in scenes.values() for note in scene.notes)])),
        documents=[_document(run, name) for run, name, _ in shown],
        links=links or {},
    )


def _rendered(title: str, content: dict[str, Any], blocks: Sequence[str], **parts: Any) -> str:
    """Return the page with its style, scripts and data; parts that are not given stay empty."""
    library, sheet = _maplibre()
    script = Markup("\n").join(Markup(_text(name)) for name in _SCRIPTS)
    scripts = [text for text in (library, script) if text]
    empty: dict[str, Any] = {"subtitles": [], "problem": "", "answers": [], "table": "", "bars": "", "costs": ""}
    empty |= {"several": False, "compared": False, "notes": [], "documents": [], "links": {}, "verdicts": ""}
    return (
        environment("cosim.report")
        .get_template("page.html")
        .render(
            title=title,
            style=Markup(_text("style.css")),
            sheet=sheet,
            scripts=scripts,
            policy=_policy(scripts, served="served" in content),
            # "<" could end the script element that holds the data; \\u003c is the same character in JSON
            content=Markup(json.dumps(content, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")),
            blocks=blocks,
            most_events=_MOST_EVENTS,
            **empty | parts,
        )
    )


def indicators_html(runs: Shown) -> str:
    """Return the indicators of runs as HTML tables."""
    if isinstance(runs, Result):
        return run_html(runs.name, runs.status, runs.indicators)
    return comparison_html(runs if isinstance(runs, Mapping) else {"": runs})


def _layer(scene: Scene, k: int, window: float, shapes: Sequence[int], blocks: dict[str, int]) -> dict[str, Any]:
    """Return the data of a layer; add its packed values to the blocks, equal values only once."""
    view = scene.views[k]
    frames = [scene.means(view, run, window) if there else None for run, there in enumerate(view.present)]
    values_by_run = [None if found is None else scene.drawn(view, found[1]) for found in frames]
    scale = scale_of(view, [values for values in values_by_run if values is not None])
    entry = layer_entry(
        scene, k, shapes[view.shapes], scale, _change_scale(values_by_run), still=is_still(values_by_run)
    )
    for found, drawn in zip(frames, values_by_run):
        if found is None or drawn is None:
            entry["runs"].append(None)
            continue
        frame_s, values = found
        block = blocks.setdefault(pack_values(drawn), len(blocks))
        entry["runs"].append({"every": frame_s, "n": len(values), "block": block} | course(view, values))
    return entry


def layer_entry(
    scene: Scene, k: int, shapes: int | str, scale: tuple[float, float], change: float, *, still: bool
) -> dict[str, Any]:
    """Return the data of a layer without its runs; ``shapes`` is the key by which the page finds its shapes.

    ``still`` marks a layer that shows nothing.
    """
    view = scene.views[k]
    entry = _entry(view.layer, scene.shapes[view.shapes].kind, shapes)
    entry["title"] = scene.title(view)
    return entry | {"sum": view.adds_up, "level": view.level, "scale": scale, "change": change, "still": still}


def _entry(layer: Layer, kind: str, shapes: int | str) -> dict[str, Any]:
    """Return the data of a layer that has no values."""
    return {
        "title": layer.title,
        "port": layer.port,
        "unit": layer.unit,
        "kind": kind,
        "shapes": shapes,
        "sum": False,
        "level": False,
        "scale": layer.scale or (0.0, 1.0),
        "change": 1.0,
        "fixed": layer.scale is not None,
        "still": False,
        "lowest": layer.worst == "lowest",
        "runs": [],
    }


def case_content(
    scene: Scene, name: str, every_s: float, layers: list[dict[str, Any]], charts: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the data of a case for the page's scripts; moments on the slider are ``every_s`` apart."""
    return {
        "name": name,
        "names": scene.names,
        "zone": scene.runs[0].provenance["clock"]["zone"],
        "start": scene.start.timestamp(),
        "every": every_s,
        "n": max(1, math.ceil(scene.length_s / every_s - 1e-9)),
        "layers": layers,
        "charts": charts,
        "peak": max(every_s, window_s(scene)),
        **_place(scene.outlines, scene.frame),
    }


def _place(outlines: Mapping[str, Sequence[NDArray[np.float64]]], frame: Frame) -> dict[str, Any]:
    """Return the outlines on a map and the frame of its coordinates, for the page's scripts."""
    rounded = {title: [np.round(path, 1).tolist() for path in paths] for title, paths in outlines.items()}
    return {"outlines": rounded, "frame": [frame.x, frame.y, frame.latitude]}


def _change_scale(frames: Sequence[np.ndarray | None]) -> float:
    """Return the colour scale of differences to the base, from frames with the same shape."""
    base, *plans = frames
    if base is None:
        return 1.0
    return change_scale_of([plan - base for plan in plans if plan is not None and plan.shape == base.shape])


def _thinning(scene: Scene, window: float) -> list[str]:
    if not scene.views:
        return []
    every = sorted(
        {
            float(run.provenance["outputs"][v.layer.port]["every_s"])
            for v in scene.views
            for run, there in zip(scene.runs, v.present)
            if there
        }
    )
    recorded = " or ".join(f"{seconds:g} s" for seconds in every)
    n = len(scene.groups[0])
    return [
        f"The map shows means over {window / 60:g} min of values recorded every {recorded}"
        + (f", and over {n} runs with different seeds, as do the curves." if n > 1 else "."),
        f"Values are stored in {LEVELS + 1} levels between the lowest and the highest value of each element, with an "
        f"error of at most {0.5 / LEVELS:.1%} of this range.",
        f"Shapes are rounded to 0.1 m, and lines are simplified by at most {SIMPLIFIED_M:g} m.",
    ]


def _subtitle(scene: Scene) -> str:
    seeds = sorted({int(run.provenance["seed"]) for run in scene.groups[0]})
    start = scene.start
    day = f"{start:%A}, {start.day} {start:%B %Y}, from {start:%H:%M}"
    clock = scene.runs[0].provenance["clock"]
    zone = clock["zone"]
    name = f"{scene.runs[0].name}: " if len(scene.runs) > 1 else ""
    if scene.length_s <= clock["step_s"]:  # a map of what does not change, and no course of time
        return f"{name}{zone}"
    listed = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
    return f"{name}{day} ({zone}) for {scene.length_s / 3600:.4g} h, {listed}"


def _answer(run: Result, name: str) -> dict[str, Any] | None:
    """Return what a run answers and what it contains, in words; None if its scenario says neither."""
    indicators = run.indicators
    answers = sorted(indicators.values(), key=lambda indicator: indicator.better is None)  # what is judged comes first
    lines = [indicator.headline for indicator in answers if indicator.headline]
    facts = run.provenance.get("facts", {})
    return {"name": name, "lines": lines, "facts": facts} if lines or facts else None


def _document(run: Result, name: str) -> dict[str, Any]:
    """Return the provenance, ledger and events of a run for the page."""
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
            *(
                (f"adapter {key}", f"{a['class']}, step {a['step_s']:g} s, {p['placements'][key]}")
                for key, a in p["adapters"].items()
            ),
            *((f"input {Path(file).name}", f"sha256 {digest}") for file, digest in p["inputs"].items()),
        ],
        "ledger": p.get("ledger", []),
        "events": [
            (str(row.time.tz_convert(p["clock"]["zone"]))[:19], row.adapter, row.kind, row.element, row.text)
            for row in events.head(_MOST_EVENTS).itertuples()
        ],
        "n_events": len(events),
    }


def _policy(scripts: Sequence[str], *, served: bool) -> str:
    """Return the page's content security policy: only its own scripts, by hash, and no other address."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode()}'" for text in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; worker-src blob:; img-src data: blob:; "
        f"connect-src '{'self' if served else 'none'}'"
    )


@cache
def _maplibre() -> tuple[Markup, Markup]:
    """Return MapLibre GL's script and style sheet from its Python package; empty if it is not installed."""
    # located, not imported: only its files are needed
    found = importlib.util.find_spec("maplibre")
    if found is None or found.origin is None:
        return Markup(), Markup()
    folder = Path(found.origin).parent / "srcjs"
    try:
        script, sheet = ((folder / name).read_text(encoding="utf-8") for name in ("maplibre-gl.js", "maplibre-gl.css"))
    except OSError:
        return Markup(), Markup()
    # Browsers would request the source map over the network.
    script = re.sub(r"//# sourceMappingURL=\S+\s*$", "", script)
    return Markup(script.replace("</script", "<\\/script")), Markup(sheet.replace("</style", ""))


def _text(name: str) -> str:
    return files("cosim.report").joinpath(name).read_text(encoding="utf-8")
