"""The pages, tables and figures of a study; pages open without a network."""

from __future__ import annotations

import html
import io
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from cosim.report import write_report
from cosim.results.comparison import Comparison, compare
from cosim.results.result import Result
from cosim.results.tables import number

from .analysis import effects, sensitivity, table
from .factors import StudyError
from .figures import plot, split
from .identity import source_digest, versions
from .plan import StudyPlan

MOST_LEVELS = 12
"""Number of levels of a factor beyond which the page omits its effects; ``study.effects()`` has them."""

PAGE, REPORT = "study.html", "report.html"

_ABOUT = {
    "effects": "Differences to the first level, paired by seed and averaged over the other factors within each seed. "
    "Two 95 % intervals: Student's t, and the BCa bootstrap, which is too narrow below about ten seeds. A direction is "
    "given only if neither includes zero. Intervals are not adjusted for multiple comparisons.",
    "sensitivity": "Indices of the mean over seeds, with 95 % intervals by resampling.",
}


def write_page(study: StudyPlan, indicators: Sequence[str] | None = None) -> Path:
    """Write ``table.csv``, ``effects.csv`` or ``sensitivity.csv``, ``figures/`` and ``study.html``.

    Parts that the study's design or the installation does not support are omitted.

    Parameters
    ----------
    study
        The study.
    indicators
        The indicators of the effects, indices and figures; all by default.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    StudyError
        If an indicator is unknown.
    """
    frame = table(study)
    unknown = [name for name in indicators or () if name not in frame.attrs["indicators"]]
    if unknown:
        raise StudyError(f"unknown indicator {unknown[0]!r}; available: {', '.join(frame.attrs['indicators'])}")
    frame.to_csv(study.folder / "table.csv", index=False)
    results = ""
    for name, found in _analyses(study, indicators):
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
        "figures": _figures(study, indicators),
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


def _has_report(study: StudyPlan) -> bool:
    return (study.folder / REPORT).is_file()


def write_comparison(study: StudyPlan, factor: str) -> Path:
    """Write ``report.html``, which compares the levels of a factor with its first for each combination of the others.

    Returns
    -------
    Path
        The report; it and the study's page link to each other.

    Raises
    ------
    StudyError
        If the factor is not varied, a run is not done, or no run has kept its series.
    """
    cases = comparisons(study, factor)
    if not any(run.ports for found in cases.values() for runs in found.runs for run in runs):
        raise StudyError(
            "the study's runs have kept no series to draw: remove its folder runs/ and run it again with "
            "record='everything', or by cosim study --report"
        )
    path = write_report(cases, study.folder / REPORT, links={"All runs and effects of the study": PAGE})
    write_page(study)
    return path


def check_compared(study: StudyPlan, factor: str) -> None:
    """Check that the levels of a factor can be compared with its first.

    Raises
    ------
    StudyError
        If the factor is not varied, or the design is not a grid.
    """
    if study.points.design != "grid":
        raise StudyError(f"the design is {study.points.design}: a report needs a grid, to compare levels of a factor")
    if factor not in study.points.varied:
        raise StudyError(
            f"{factor!r} is not varied, so a report cannot compare its levels; varied factors: "
            f"{', '.join(study.points.varied) or 'none'}"
        )


def comparisons(study: StudyPlan, factor: str) -> dict[str, Comparison]:
    """Return comparisons of the levels of a factor with its first, by the levels of the other factors.

    Raises
    ------
    StudyError
        If the factor's levels cannot be compared, or a run is not done.
    """
    check_compared(study, factor)
    states = study.states()
    if missing := sum(state != "done" for state in states.values()):
        raise StudyError(
            f"{missing} of {len(states)} runs are not done, so pairs would be missing: see the status of the study, "
            "and run it again"
        )
    others = [name for name in study.points.varied if name != factor]
    groups: dict[str, dict[str, list[Result]]] = {}
    for (k, _), key in study.runs.items():
        given = {name: str(level.label) for name, level in study.points.points[k].items()}
        case = groups.setdefault(_case_name({name: given[name] for name in others}), {})
        case.setdefault(given[factor], []).append(Result.open(study.run_folder(key).result))
    return {case: compare(*runs.values(), names=list(runs)) for case, runs in groups.items()}


def _case_name(given: Mapping[str, str]) -> str:
    """Return the name of a combination of levels; labels that are words need no factor name."""
    return ", ".join(label if not label[:1].isdigit() else f"{name} {label}" for name, label in given.items())


def _analyses(study: StudyPlan, indicators: Sequence[str] | None) -> Iterable[tuple[str, pd.DataFrame]]:
    if not study.points.varied:
        return
    try:
        if study.points.design in ("grid", "list"):
            few = [name for name in study.points.varied if len(study.points.factors[name].levels) <= MOST_LEVELS]
            found = pd.concat([pd.DataFrame(), *(effects(study, name, (), 0.95) for name in few)])
            if indicators and len(found):
                found = found[found["indicator"].isin(indicators)]
            if len(found):
                yield "effects", found
        elif study.points.design != "lhs":
            yield "sensitivity", sensitivity(study, indicators, 0.95)
    except StudyError:  # an incomplete design: the page lists the missing runs
        return


def _figures(study: StudyPlan, indicators: Sequence[str] | None) -> str:
    """Write the figures ``indicators.svg``, ``indicators-2.svg``, … and return them as HTML."""
    try:
        groups, left_out = split(study, indicators)
        figures = [plot(study, group, None) for group in groups]
    except StudyError:
        return ""
    import matplotlib as mpl

    folder = study.folder / "figures"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("indicators*"):
        old.unlink()
    shown = ""
    for k, figure in enumerate(figures, 1):
        path = folder / (f"indicators-{k}" if k > 1 else "indicators")
        figure.savefig(path.with_suffix(".png"), dpi=200)
        drawn = io.StringIO()
        # reproducible files, with text kept as text
        with mpl.rc_context({"svg.hashsalt": study.name, "svg.fonttype": "none"}):
            figure.savefig(drawn, format="svg", metadata={"Date": None})
        path.with_suffix(".svg").write_text(drawn.getvalue(), encoding="utf-8")
        shown += f"<figure>{drawn.getvalue()[drawn.getvalue().index('<svg') :]}</figure>"
    return shown + (f"<p class='quiet'>{html.escape(left_out)}</p>" if left_out else "")


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
