"""How is the page put together? From a template, the runs' words and numbers, and scripts that it carries along."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import math
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from cosim.comparison import Comparison
from cosim.results import Result
from cosim.tables import difference_cells, number

from .charts import coupled_quantities, course
from .packing import LEVELS, SIMPLIFIED_M, pack_shapes, pack_values
from .scene import FRAMES, Scene, change_scale_of, make_scene, scale_of, window_s

_SCRIPTS = ("data.js", "colours.js", "map_gl.js", "map_canvas.js", "chart.js", "app.js")
_MOST_VALUES = 8_000_000
_LEAST_FRAMES = 12
_MOST_EVENTS = 200


def write_report(runs: Result | Comparison, path: Path | None = None, *, frames: int = FRAMES) -> Path:
    """Write a report into one HTML file that opens without a network.

    Parameters
    ----------
    runs
        A run, finished or not, or a comparison of plans with a base.
    path
        The file; by default ``report.html`` in the run's folder, or ``comparison.html`` in that of the first plan.
    frames
        Moments on the time slider at most; fewer are taken for cities of very many elements.

    Returns
    -------
    Path
        The file written.
    """
    scene = scene_of(runs)
    if path is None:
        path = scene.runs[1].folder / "comparison.html" if isinstance(runs, Comparison) else runs.folder / "report.html"
    values = sum(sum(view.present) * len(scene.shapes[view.shapes].labels) for view in scene.views)
    window = window_s(scene, max(_LEAST_FRAMES, min(frames, _MOST_VALUES // max(values, 1))))
    blocks = [pack_shapes(shapes) for shapes in scene.shapes]
    layers = [_layer(scene, k, window, blocks) for k in range(len(scene.views))]
    page = render_page(runs, scene, _content(scene, window, layers), blocks, _thinning(scene, window))
    path.write_text(page, encoding="utf-8")
    return path


def scene_of(runs: Result | Comparison) -> Scene:
    """Return what the map shows of a run, or of a comparison: means over the seeds that all its runs have."""
    if isinstance(runs, Comparison):
        return make_scene(runs.runs, runs.names)
    return make_scene([[runs]], [runs.name])


def render_page(
    runs: Result | Comparison, scene: Scene, content: dict[str, Any], blocks: Sequence[str], notes: Sequence[str]
) -> str:
    """Return the page.

    Parameters
    ----------
    runs, scene
        What it is about.
    content
        What its scripts read.
    blocks
        Packed shapes and values, to which ``content`` refers by number; none for a page that asks a server.
    notes
        What was thinned, in words.
    """
    library, sheet = _maplibre()
    script = Markup("\n").join(Markup(_text(name)) for name in _SCRIPTS)
    scripts = [text for text in (library, script) if text]
    return _environment().get_template("page.html").render(
        title=f"{', '.join(runs.plans)} against {runs.base_name}" if isinstance(runs, Comparison) else runs.name,
        subtitle=_subtitle(scene),
        problem="" if scene.runs[0].status == "finished" else f"{scene.runs[0].status}: "
        f"{scene.runs[0].provenance.get('error', 'it has not ended, or was killed')}",
        style=Markup(_text("style.css")),
        sheet=sheet,
        scripts=scripts,
        policy=_policy(scripts, served="served" in content),
        # "<" could end the script element that holds the data; JSON reads \\u003c as the same character
        content=Markup(json.dumps(content, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")),
        blocks=blocks,
        table=Markup(indicators_html(runs)),
        compared=isinstance(runs, Comparison),
        notes=[*notes, *scene.notes],
        documents=[_document(run, name) for run, name in zip(scene.runs, scene.names)],
        most_events=_MOST_EVENTS,
    )  # fmt: skip


def indicators_html(runs: Result | Comparison) -> str:
    """Return the indicators of a run or of a comparison as an HTML table, for the page and for notebooks."""
    template = _environment().get_template("indicators.html")
    if isinstance(runs, Comparison):
        plans = [
            {"name": plan, "rows": [(c, list(difference_cells(c)), _direction(c)) for c in changes],
             "unshared": runs.unshared[plan], "n": max((c.difference.n for c in changes if c.difference), default=0)}
            for plan, changes in runs.changes.items()
        ]  # fmt: skip
        return template.render(base=runs.base_name, plans=plans, number=number)
    return template.render(run=runs, number=number)


def _direction(change: Any) -> str:
    """Return whether a shown effect is for the better or the worse; empty where nothing may be said."""
    if change.better is None or change.verdict not in ("higher", "lower"):
        return ""
    return "better" if change.verdict == change.better else "worse"


def _layer(scene: Scene, k: int, window: float, blocks: list[str]) -> dict[str, Any]:
    """Return what the page says of a layer; its packed values are appended to the blocks."""
    view = scene.views[k]
    frames = [scene.means(view, run, window) if there else None for run, there in enumerate(view.present)]
    tables = [found[1] for found in frames if found is not None]
    entry = layer_entry(scene, k, scale_of(view, tables), _change_scale([f and f[1] for f in frames]))
    for found in frames:
        if found is None:
            entry["runs"].append(None)
            continue
        frame_s, values = found
        entry["runs"].append({"every": frame_s, "n": len(values), "block": len(blocks)} | course(view, values))
        blocks.append(pack_values(values))
    return entry


def layer_entry(scene: Scene, k: int, scale: tuple[float, float], change: float) -> dict[str, Any]:
    """Return what the page says of a layer, without its runs."""
    view = scene.views[k]
    return {
        "title": view.layer.title,
        "port": view.layer.port,
        "unit": view.layer.unit,
        "shapes": view.shapes,
        "sum": view.adds_up,
        "scale": scale,
        "change": change,
        "fixed": view.layer.scale is not None,
        "runs": [],
    }


def _content(scene: Scene, window: float, layers: list[dict[str, Any]]) -> dict[str, Any]:
    clock = scene.runs[0].provenance["clock"]
    return {
        "names": scene.names,
        "zone": clock["zone"],
        "start": scene.start.timestamp(),
        "every": window,
        "n": max(1, math.ceil(scene.length_s / window - 1e-9)),
        "shapes": [{"kind": shapes.kind, "block": k} for k, shapes in enumerate(scene.shapes)],
        "layers": layers,
        "charts": coupled_quantities(scene),
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
