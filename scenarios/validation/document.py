"""What does ``docs/validation.md`` say? Written by ``python -m cosim.scenarios.validation.document``."""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path

from cosim.core import CosimError
from cosim.core.weather_file import read_epw
from cosim.scenarios.validation import bestest, vdi6007
from cosim.scenarios.validation.bestest_file import METRICS


def document(vdi_folder: Path, bestest_folder: Path, weather: Path) -> str:
    """Run all cases and return the page."""
    text = resources.files("cosim.scenarios").joinpath("validation/validation.md.in").read_text("utf-8")
    errors = vdi6007.outcomes(vdi_folder)
    lines = ["| case | 60 s | 15 min | 1 h | threshold |", "|---|---|---|---|---|"]
    for case in dict.fromkeys(o.case for o in errors):
        mine = {o.step_s: o for o in errors if o.case == case}
        cells = [f"{mine[s].largest_error:.3f}{'' if mine[s].inside else ' **outside**'}" for s in vdi6007.STEPS_S]
        last = mine[vdi6007.STEPS_S[-1]]
        lines.append(f"| {case} | {' | '.join(cells)} | {last.threshold:g} {last.unit} |")
    figures = bestest.Suite(bestest_folder, read_epw(weather)).figures()
    rows = ["| case | figure | cosim | lowest | highest | |", "|---|---|---|---|---|---|"]
    for f in figures:
        span = " | ".join("" if x is None else f"{x:.3f}" for x in (f.low, f.high))
        verdict = {True: "inside", False: "**outside**", None: ""}[f.inside]
        rows.append(f"| {f.case} | {METRICS[f.metric]} | {f.value:.3f} | {span} | {verdict} |")
    inside = sum(bool(f.inside) for f in figures)
    text = text.replace("@VDI@", "\n".join(lines)).replace("@BESTEST@", "\n".join(rows))
    return text.replace("@METHOD@", str(bestest.__doc__).split("\n\n", 1)[1].strip()).replace(
        "@INSIDE@", f"{inside} of {len(figures)}"
    )


def main() -> None:
    """Take the two folders of cases, the weather file and the page to write from the command line."""
    if len(sys.argv) != 5:
        raise CosimError("give the VDI 6007 folder, the Standard 140 folder, its EPW file and the page to write")
    vdi_folder, bestest_folder, weather, page = map(Path, sys.argv[1:])
    page.write_text(document(vdi_folder, bestest_folder, weather), encoding="utf-8")


if __name__ == "__main__":
    main()
