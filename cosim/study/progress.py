"""The progress bar of a study, with its failures."""

from __future__ import annotations

from collections.abc import Generator

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cosim.study.jobs.records import RunOutcome

from .plan import StudyPlan, failure_text


def shown(outcomes: Generator[RunOutcome], n: int, study: StudyPlan) -> Generator[RunOutcome]:
    """Yield outcomes unchanged; show a progress bar and a line for each failure as it occurs."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failed]} failed, ETA"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    failed = 0
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(escape(study.name), total=n, failed=0)
        try:
            for outcome in outcomes:
                if outcome.kind is not None:
                    failed += 1
                    console.print(
                        f"failed: {failure_text(outcome, study.given(outcome.key))}",
                        markup=False,
                        highlight=False,
                        soft_wrap=True,
                    )
                bar.update(task, advance=1, failed=failed)
                yield outcome
        finally:
            outcomes.close()
