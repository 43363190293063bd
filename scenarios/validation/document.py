"""The page ``docs/validation.md``, written by ``python -m cosim.scenarios.validation.document``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from cosim.core import CosimError
from cosim.core.weather.epw import read_epw
from cosim.scenarios.validation import base, bestest, grid_distributions, vdi6007
from cosim.scenarios.validation.bestest_file import METRICS, Moment
from cosim.scenarios.validation.response import Reaction, reactions


def document(vdi_folders: Sequence[Path], bestest_folders: Sequence[Path], weather: Path) -> str:
    """Run all cases and return the page."""
    text = resources.files("cosim.scenarios.validation").joinpath("validation.md.in").read_text("utf-8")
    errors = [outcome for folder in vdi_folders for outcome in vdi6007.outcomes(folder)]
    lines = ["| case | 60 s | 15 min | 1 h | threshold |", "|---|---|---|---|---|"]
    for case in dict.fromkeys(o.case for o in errors):
        mine = {o.step_s: o for o in errors if o.case == case}
        cells = [f"{mine[s].largest_error:.3f}{'' if mine[s].inside else ' **outside**'}" for s in vdi6007.STEPS_S]
        last = mine[vdi6007.STEPS_S[-1]]
        lines.append(f"| {case} | {' | '.join(cells)} | {last.threshold:g} {last.unit} |")
    year = read_epw(weather)
    suites = [bestest.Suite(folder, year) for folder in bestest_folders]
    figures = [figure for suite in suites for figure in suite.figures()]
    course = [moment for suite in suites for moment in suite.course()]
    rows = ["| case | figure | cosim | lowest | highest | |", "|---|---|---|---|---|---|"]
    for f in figures:
        span = " | ".join("" if x is None else f"{x:.3f}" for x in (f.low, f.high))
        verdict = {True: "inside", False: "**outside**", None: ""}[f.inside]
        rows.append(f"| {f.case} | {METRICS[f.metric]} | {f.value:.3f} | {span} | {verdict} |")
    inside = sum(bool(f.inside) for f in figures)
    for mark, hourly in (("MONTHS", False), ("HOURS", True)):
        moments = [m for m in course if (m.hour > 0) == hourly]
        text = text.replace(f"@{mark}@", course_table(moments))
        text = text.replace(f"@{mark}_INSIDE@", f"{sum(m.inside for m in moments)} of {len(moments)}")
    text = text.replace("@VDI@", "\n".join(lines)).replace("@BESTEST@", "\n".join(rows))
    return text.replace("@METHOD@", str(bestest.__doc__).split("\n\n", 1)[1].strip()).replace(
        "@INSIDE@", f"{inside} of {len(figures)}"
    )


def course_table(course: Sequence[Moment]) -> str:
    """Return a table of months, or of hours, by case and quantity."""
    columns = list(dict.fromkeys((m.case, m.quantity, m.day) for m in course))
    rows = [
        f"| {'hour' if any(m.hour for m in course) else 'month'} | {' | '.join(f'{c} {q}' for c, q, _ in columns)} |"
    ]
    rows.append("|---|" + "---|" * len(columns))
    for number in dict.fromkeys(m.hour or m.month for m in course):
        cells = []
        for column in columns:
            m = next(m for m in course if (m.case, m.quantity, m.day) == column and (m.hour or m.month) == number)
            digits = 1 if m.hour else 0
            span = f"{m.low:.{digits}f} to {m.high:.{digits}f}"
            cells.append(f"{m.value:.{digits}f} ({span}){'' if m.inside else ' **outside**'}")
        rows.append(f"| {number} | {' | '.join(cells)} |")
    return "\n".join(rows)


def with_reactions(text: str, found: Sequence[Reaction]) -> str:
    """Return the page with the table of reactions in place of its mark."""
    rows = ["| reaction | cosim | published | | source |", "|---|---|---|---|---|"]
    for r in found:
        verdict = "inside" if r.inside else "**outside**"
        about = f"{r.source}. {r.remark}".strip()
        rows.append(f"| {r.name} | {r.shown} | {r.span} | {verdict} | {about} |")
    text = text.replace("@RESPONSE@", "\n".join(rows))
    return text.replace("@RESPONSES_INSIDE@", f"{sum(r.inside for r in found)} of {len(found)}")


def with_base(text: str, places: Sequence[Path]) -> str:
    """Return the page with the tables of base states in place of their marks.

    Parameters
    ----------
    text
        The page.
    places
        Files of ``cosim validate base NAME --json FILE``; their runs take too long to be repeated for a page.
    """
    for path in places:
        found = base.read_quantities(path)
        place = found[0].published.place.upper()
        text = text.replace(f"@BASE_{place}@", base.table(found)).replace(f"@BASE_{place}_INSIDE@", base.count(found))
        grid = json.loads(path.read_text(encoding="utf-8")).get("grid", [])
        text = text.replace(f"@GRID_{place}@", grid_distributions.table(grid))
    return text


def main() -> None:
    """Write the page; arguments are folders of cases of both kinds, base states, the weather file and the page."""
    if len(sys.argv) < 5:
        raise CosimError("give folders of VDI 6007 and Standard 140 cases, the latter's EPW file and the page to write")
    *given, weather, page = map(Path, sys.argv[1:])
    folders, states = [p for p in given if p.is_dir()], [p for p in given if not p.is_dir()]
    standard_140 = [folder for folder in folders if (folder / "case_definitions.json").exists()]
    vdi = [folder for folder in folders if folder not in standard_140]
    text = with_base(document(vdi, standard_140, weather), states)
    page.write_text(with_reactions(text, reactions()), encoding="utf-8")


if __name__ == "__main__":
    main()
