"""State of buildings: temperatures of zones and tanks, energy of batteries, and the mean price."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from cosim.core.errors import InputFileError
from cosim.core.quantities import Array, Flags


@dataclass(frozen=True)
class BuildingsState:
    """All that a step of buildings changes; households have no state.

    Attributes
    ----------
    zones : shape (3, n_buildings)
        Temperatures of air, exterior and interior mass. [°C]
    tank : shape (n_buildings,)
        Temperature of the hot-water tank. [°C]
    charging : shape (n_buildings,)
        Whether the tank is being charged.
    battery : shape (n_buildings,)
        Energy in the battery. [J]
    films : shape (5, n_buildings)
        What varying films remember, see `cosim.core.buildings.varying`; zeros with constant ones. [°C, W/m²]
    price : shape ()
        Mean price over the last day, NaN before the first price. [EUR/kWh]
    """

    zones: Array
    tank: Array
    charging: Flags
    battery: Array
    films: Array
    price: Array

    def save(self, path: Path) -> None:
        """Write the state into one file."""
        np.savez(path, **{item.name: getattr(self, item.name) for item in fields(self)})

    @classmethod
    def load(cls, path: Path, n: int) -> BuildingsState:
        """Read the state of ``n`` buildings from a file that `save` wrote.

        Raises
        ------
        InputFileError
            If it cannot be read or belongs to other buildings.
        """
        shapes = {"zones": (3, n), "tank": (n,), "charging": (n,), "battery": (n,), "films": (5, n), "price": ()}
        try:
            with np.load(path, allow_pickle=False) as saved:
                found = {item.name: saved[item.name] for item in fields(cls)}
        except (OSError, KeyError, ValueError) as error:
            raise InputFileError(f"cannot read the buildings' state in {path.parent}: {error}") from error
        for name, shape in shapes.items():
            if found[name].shape != shape:
                raise InputFileError(f"{path}: {name} has shape {found[name].shape}, these buildings {shape}")
        return cls(**found)
