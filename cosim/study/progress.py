"""How far is a study, when will it be done, and what has failed?"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .campaign import failure_text
from .records import Outcome

if TYPE_CHECKING:
    from .campaign import Study


def shown(outcomes: Generator[Outcome], n: int, study: Study) -> Generator[Outcome]:
    """Pass outcomes on, with a bar on the terminal and a line for each failure as it comes."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[failed]} failed, "
        "ETA"), TimeRemainingColumn(elapsed_when_finished=True),
    )  # fmt: skip
    failed = 0
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(escape(study.name), total=n, failed=0)
        try:
            for outcome in outcomes:
                if outcome.kind is not None:
                    failed += 1
                    console.print(f"failed: {failure_text(outcome, study.given(outcome.key))}", markup=False,
                                  highlight=False, soft_wrap=True)  # fmt: skip
                bar.update(task, advance=1, failed=failed)
                yield outcome
        finally:
            outcomes.close()
