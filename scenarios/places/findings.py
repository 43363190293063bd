"""What an import mended, guessed and dropped, by the names of the things concerned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

Fate: TypeAlias = Literal["mended", "guessed", "dropped", "listed"]
FATES: tuple[Fate, ...] = get_args(Fate)
"""``listed``: imported as it is, but worth a look, such as a street that is closed at certain hours."""


@dataclass
class Findings:
    """A collection of findings: fate → reason → name → detail."""

    found: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)

    def add(self, fate: Fate, reason: str, name: str, detail: str = "") -> None:
        """Add one thing, such as ``way/4711``, under a reason that all of its kind share."""
        self.found.setdefault(fate, {}).setdefault(reason, {})[name] = detail

    def counts(self) -> list[tuple[str, str, int]]:
        """Return fate, reason and number of things, in the order of `FATES` and then by number."""
        rows = [(fate, why, len(names)) for fate in FATES for why, names in self.found.get(fate, {}).items()]
        return sorted(rows, key=lambda row: (FATES.index(row[0]), -row[2], row[1]))

    def merged(self, other: Findings) -> Findings:
        """Return both together."""
        whole = Findings()
        for part in (self, other):
            for fate, reasons in part.found.items():
                for why, names in reasons.items():
                    whole.found.setdefault(fate, {}).setdefault(why, {}).update(names)
        return whole

    def as_json(self) -> dict[str, Any]:
        """Return the findings in a fixed order."""
        return {
            fate: {why: dict(sorted(names.items())) for why, names in sorted(self.found.get(fate, {}).items())}
            for fate in FATES
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Findings:
        """Return the findings of a record of `as_json`."""
        return cls({fate: {why: dict(names) for why, names in reasons.items()} for fate, reasons in record.items()})
