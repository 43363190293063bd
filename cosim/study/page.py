"""How does a person see a study? Pages that open without a network, and files for a paper: tables, figures."""

from __future__ import annotations

import html
import io
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from cosim.comparison import Comparison, compare
from cosim.results import Result
from cosim.tables import number

from .analysis import effects, sensitivity, table
from .factors import StudyError
from .figures import plot
from .identity import source_digest, versions

if TYPE_CHECKING:
    from .campaign import Study

MOST_LEVELS = 12
"""Of a factor with more levels the page does not tell each against the first; ``study.effects()`` does."""

PAGE, REPORT = "study.html", "report.html"

_ABOUT = {
    "effects": "Differences to the first level, paired by seed and averaged over the other factors within each seed. "
    "Two 95 % intervals: Student's t, and the BCa bootstrap, which is too narrow below about ten seeds. A direction is "
    "told only if neither holds zero. Intervals are for one comparison each.",
    "sensitivity": "Indices of the mean over seeds, with 95 % intervals by resampling.",
}


def write_page(study: Study) -> Path:
    """Write ``table.csv``, ``effects.csv`` or ``sensitivity.csv``, ``figures/indicators.svg`` and ``study.html``.

    What the study's design or the installation does not offer is left out.

    Returns
    -------
    Path
        The page.
    """
    frame = table(study)
    frame.to_csv(study.folder / "table.csv", index=False)
    results = ""
    for name, found in _analyses(study):
        found.to_csv(study.folder / f"{name}.csv", index=False)
        results += f"<h2>{name.capitalize()}</h2><p>{_ABOUT[name]}</p><div class='wide'>{_table(found)}</div>"
    status = study.status()
    failures = pd.DataFrame(
        [{"run": o.key, **given, "failed by": o.kind, "reason": o.reason} for o, given in status.failures]
    )
    states = ", ".join(f"{n} {state}" for state, n in status.states.items())
    fields = {
        "title": html.escape(study.name),
        "subtitle": html.escape(f"{len(study.points.points)} points × {len(study.seeds)} seeds; runs: {states}"),
        "links": f'<p><a href="{REPORT}">Report: map, curves, differences</a></p>' if _has_report(study) else "",
        "design": _rows(
            [("design", study.points.design), ("seeds", ", ".join(map(str, study.seeds)))]
            + [(name, one.describe()) for name, one in study.points.factors.items()]
        ),
        "figure": _figure(study),
        "results": results,
        "failures": _table(failures) if len(failures) else f"<p>{html.escape(states)}; none failed.</p>",
        "method": _rows(
            [
                ("builder", f"{study.place.file.name}: {study.place.function}()"),
                ("source of cosim", f"sha256 {source_digest()}"),
                ("versions", ", ".join(f"{name} {version}" for name, version in versions().items())),
            ]
        ),
    }
    page = files("cosim.study").joinpath("page.html").read_text(encoding="utf-8")
    for name, value in fields.items():
        page = page.replace(f"<!--{name}-->", value)
    path = study.folder / PAGE
    path.write_text(page, encoding="utf-8")
    return path


def _has_report(study: Study) -> bool:
    return (study.folder / REPORT).is_file()


def write_comparison(study: Study, factor: str) -> Path:
    """Write ``report.html``: the levels of a factor beside its first, once for every combination of the other factors.

    Returns
    -------
    Path
        The report; the study's own page and it lead to each other.

    Raises
    ------
    StudyError
        If the factor is not varied, a run is not done, or none has kept its series.
    """
    from cosim.report import write_report

    cases = comparisons(study, factor)
    if not any(run.ports for found in cases.values() for runs in found.runs for run in runs):
        raise StudyError("the study's runs have kept no series to draw: remove its folder runs/ and run it again with "
                         "record='everything', as cosim study --report does")  # fmt: skip
    path = write_report(cases, study.folder / REPORT, links={"All runs and effects of the study": PAGE})
    write_page(study)
    return path


def check_compared(study: Study, factor: str) -> None:
    """Refuse a factor whose levels cannot be compared with its first.

    Raises
    ------
    StudyError
        If it is not varied, or the design is no grid.
    """
    if study.points.design != "grid":
        raise StudyError(f"a report compares the levels of a factor on a grid; the design is {study.points.design}")
    if factor not in study.points.varied:
        raise StudyError(f"a report compares the levels of a factor; {factor!r} has none: there are "
                         f"{', '.join(study.points.varied) or 'none'}")  # fmt: skip


def comparisons(study: Study, factor: str) -> dict[str, Comparison]:
    """Return the levels of a factor compared with its first, by what the other factors are.

    Raises
    ------
    StudyError
        If the factor's levels cannot be compared, or a run is not done.
    """
    check_compared(study, factor)
    states = study.states()
    if missing := sum(state != "done" for state in states.values()):
        raise StudyError(f"{missing} of {len(states)} runs are not done, so that pairs would be missing: see the "
                         "study's status, and run it again")  # fmt: skip
    others = [name for name in study.points.varied if name != factor]
    groups: dict[str, dict[str, list[Result]]] = {}
    for (k, _), key in study.runs.items():
        given = {name: str(level.label) for name, level in study.points.points[k].items()}
        case = groups.setdefault(_case_name({name: given[name] for name in others}), {})
        case.setdefault(given[factor], []).append(Result.open(study.run_folder(key).result))
    return {case: compare(*runs.values(), names=list(runs)) for case, runs in groups.items()}


def _case_name(given: Mapping[str, str]) -> str:
    """Return what a combination of levels is called: a label that is a word stands for itself."""
    return ", ".join(label if not label[:1].isdigit() else f"{name} {label}" for name, label in given.items())


def _analyses(study: Study) -> Iterable[tuple[str, pd.DataFrame]]:
    if not study.points.varied:
        return
    try:
        if study.points.design in ("grid", "list"):
            few = [name for name in study.points.varied if len(study.points.factors[name].levels) <= MOST_LEVELS]
            found = pd.concat([pd.DataFrame(), *(effects(study, name, (), 0.95) for name in few)])
            if len(found):
                yield "effects", found
        elif study.points.design != "lhs":
            yield "sensitivity", sensitivity(study, None, 0.95)
    except StudyError:  # an incomplete design: the page says which runs are missing
        return


def _figure(study: Study) -> str:
    try:
        figure = plot(study, None, None)
    except StudyError:
        return ""
    import matplotlib as mpl

    (study.folder / "figures").mkdir(exist_ok=True)
    figure.savefig(study.folder / "figures" / "indicators.png", dpi=200)
    drawn = io.StringIO()
    # the same data give the same file, and words stay words
    with mpl.rc_context({"svg.hashsalt": study.name, "svg.fonttype": "none"}):
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    (study.folder / "figures" / "indicators.svg").write_text(drawn.getvalue(), encoding="utf-8")
    return drawn.getvalue()[drawn.getvalue().index("<svg") :]


def _table(frame: pd.DataFrame) -> str:
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in frame.columns)
    body = ""
    for row in frame.itertuples(index=False):
        shown = " class='shown'" if {"higher", "lower"} & {v for v in row if isinstance(v, str)} else ""
        body += f"<tr{shown}>" + "".join(_cell(value) for value in row) + "</tr>"
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f'<td class="n">{number(float(value))}</td>'
    return f"<td>{html.escape(str(value))}</td>"


def _rows(rows: Iterable[tuple[str, str]]) -> str:
    return "".join(f"<tr><td>{html.escape(a)}</td><td>{html.escape(b)}</td></tr>" for a, b in rows)
