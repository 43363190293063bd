"""What changes between two runs?"""

from __future__ import annotations

from .results import Result
from .tables import comparison_table, render


class Comparison:
    """Indicators of several runs side by side; printing it gives the table."""

    def __init__(self, results: list[Result]) -> None:
        self.results = results

    def __str__(self) -> str:
        return render(comparison_table(self.results, [result.folder.name for result in self.results]), width=120)


def compare(base: Result, *plans: Result) -> Comparison:
    """Compare runs with a first one; one run each shows a difference, not how sure it is."""
    return Comparison([base, *plans])
