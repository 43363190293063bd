"""Conventions that the writers and readers of a run's folder share."""

from __future__ import annotations

import json
from pathlib import Path

PART_STEPS = 60
"""Recorded steps in one Parquet part."""


def write_json(path: Path, content: object) -> None:
    """Write a JSON file atomically, so that a reader sees either the old or the new content."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(path)
