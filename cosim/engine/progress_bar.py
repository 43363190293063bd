"""The progress bar of a run: simulated time, speed relative to real time, time remaining."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn


def _clock_text(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest:02d}"


@contextmanager
def bar(name: str) -> Iterator[Callable[[float, float | None], None]]:
    """Show a progress bar; yield the function that updates it, called with simulated and total seconds."""
    began = time.perf_counter()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[simulated]} simulated, {task.fields[speed]} × real time, ETA"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns) as shown:
        task = shown.add_task(name, total=None, simulated="00:00:00", speed="–")

        def report(done_s: float, total_s: float | None) -> None:
            elapsed = max(time.perf_counter() - began, 1e-9)
            shown.update(
                task, completed=done_s, total=total_s, simulated=_clock_text(done_s), speed=f"{done_s / elapsed:,.0f}"
            )

        yield report
