"""Builds and runs a twin, and measures its base state."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from cosim.core import CosimError
from cosim.registry.builder import load_builder
from cosim.scenarios.model import City
from cosim.scenarios.validation.base import Quantity, beside, published
from cosim.scenarios.validation.base_measures import measure
from cosim.scenarios.validation.grid_distributions import Distribution, distributions


def base_state(
    name: str, settings: Sequence[str] = (), seed: int = 0, folder: Path | None = None
) -> tuple[list[Quantity], list[Distribution]]:
    """Return quantities of a twin beside the published ones, and distributions of its grid beside those of real grids.

    It runs with its defaults but for the settings.

    Parameters
    ----------
    name
        Name of the twin.
    settings
        Parameters that differ from its defaults, as in ``cosim run --set``.
    seed
        Seed of the run.
    folder
        Where the run is kept; by default it is not.

    Raises
    ------
    CosimError
        If there are no published figures of it, or it is not a city's twin.
    """
    published(name)
    scenario = load_builder(name)(list(settings), [], seed=seed)
    if not isinstance(scenario.model, City):
        raise CosimError(f"{name!r} is not the twin of a city: its scenario has no city as its model")
    with tempfile.TemporaryDirectory(prefix="cosim-base-") as place:
        result = scenario.run(folder or Path(place) / "run")
        return beside(name, measure(scenario.model, result)), distributions(scenario.model, result)
