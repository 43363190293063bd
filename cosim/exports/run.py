"""A finished run as every format needs it: its ports, places, terms and licences, and what a format left out."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cosim.core.errors import CosimError
from cosim.core.units import energies, is_level, levels
from cosim.results.layers import Layer, read_layers
from cosim.results.result import Result

from .places import Places, Shapes
from .vocabulary import Term, Vocabulary, vocabulary


@dataclass(frozen=True)
class Port:
    """A recorded output with its elements' places."""

    name: str
    unit: str
    kind: str
    every_s: float
    values: pd.DataFrame
    """Shape (n_times, n_labels); time is the end of the step, in UTC."""
    term: Term
    layer: Layer | None
    shapes: Shapes
    """Geometry by label, in degrees; empty if the elements have no place."""

    @property
    def title(self) -> str:
        """Its name in words."""
        return self.name.replace(".", ": ", 1).replace("_", " ")

    def summary(self, start: pd.Timestamp) -> pd.DataFrame:
        """Return mean, lowest and highest by label over the run, without the initial state; levels by energy."""
        rows = self.values[self.values.index > start]
        numbers = rows.to_numpy(float)
        weights = np.diff(np.r_[start.value, rows.index.as_unit("ns").asi8])[:, None] * ~np.isnan(numbers)
        if is_level(self.unit):
            numbers = energies(numbers)
        with np.errstate(invalid="ignore"):
            mean = np.nansum(numbers * weights, axis=0) / weights.sum(axis=0)
        low, high = rows.min(), rows.max()
        columns = {"mean": levels(mean) if is_level(self.unit) else mean, "lowest": low, "highest": high}
        return pd.DataFrame(columns, index=rows.columns)


class Run:
    """A finished run, opened for an export.

    Parameters
    ----------
    folder
        Folder of the run.
    licence
        Address of the licence under which it is passed on; that of its sources where they demand one.

    Raises
    ------
    CosimError
        If the folder holds no run, or one that did not finish, or its sources demand another licence.
    """

    def __init__(self, folder: str | Path, licence: str = "") -> None:
        self.result = Result.open(folder)
        self.folder = Path(folder)
        if self.result.status != "finished":
            raise CosimError(
                f"the run in {folder} is {self.result.status}, not finished: finish it with 'cosim resume {folder}'"
            )
        self.about: dict[str, Any] = self.result.provenance
        self.places = Places(read_layers(self.folder), self.about.get("crs", ""))
        self.left_out: list[str] = []
        self.licence = self._licence(licence)
        """Address and name of the licence; the address is empty if none is stated."""

    @functools.cached_property
    def vocabulary(self) -> Vocabulary:
        """What standards call its quantities."""
        return vocabulary()

    @property
    def start(self) -> pd.Timestamp:
        """Its start in UTC."""
        return pd.Timestamp(self.about["clock"]["start"]).tz_convert("UTC")

    @property
    def end(self) -> pd.Timestamp:
        """Its end in UTC."""
        return self.start + pd.Timedelta(self.about["simulated_s"], "s")

    @property
    def title(self) -> str:
        """One line that tells it from others."""
        return f"Co-simulation {self.result.name}, {self.start.isoformat()} to {self.end.isoformat()}"

    @property
    def attribution(self) -> list[str]:
        """What must be said wherever the run is shown."""
        told = [source["attribution"] for source in self.about.get("sources", ()) if source["attribution"]]
        return list(dict.fromkeys(told))

    def _licence(self, asked: str) -> tuple[str, str]:
        # a database derived from one under the ODbL is under it too (ODbL 1.0, clause 4.4)
        odbl = any("ODbL" in source["licence"] for source in self.about.get("sources", ()))
        if odbl and asked not in ("", ODBL[0], "ODbL-1.0"):
            raise CosimError(
                f"the licence is {asked!r}, but the run is made from data under the {ODBL[1]}, which a database made "
                "from them keeps: omit --licence"
            )
        if odbl:
            return ODBL
        if not asked:
            self.tell(
                "no licence is stated: pass --licence with its address, as in https://spdx.org/licenses/CC-BY-4.0"
            )
        return asked, asked.rstrip("/").rpartition("/")[2] or "none stated: all rights remain with its makers"

    def tell(self, text: str) -> None:
        """Keep a line about something that the format could not carry."""
        if text not in self.left_out:
            self.left_out.append(text)

    def port(self, name: str) -> Port:
        """Return a recorded output with its values."""
        about, values = self.about["outputs"][name], self.result.series(name)
        layer = self.places.layer_of(name, list(values.columns))
        term = self.vocabulary.terms.get(name, Term())
        shapes = self.places.shapes(layer) if layer else {}
        if term.whole and not layer and (centre := self.places.centre()) is not None:
            shapes = dict.fromkeys(values.columns, centre)
        return Port(name, about["unit"], about["kind"], about["every_s"], values, term, layer, shapes)

    def ports(self) -> list[str]:
        """Return the recorded outputs that have elements, and tell those that have none."""
        full = [name for name in self.result.ports if self.about["outputs"][name]["n_labels"]]
        if empty := [name for name in self.result.ports if name not in full]:
            self.tell(f"{', '.join(empty)}: no elements, nothing to write")
        return full


ODBL = ("https://opendatacommons.org/licenses/odbl/1-0/", "Open Data Commons Open Database License (ODbL) 1.0")
