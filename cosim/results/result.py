"""Results: the recorded series, indicators and provenance of one run, read from its folder."""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from cosim.core.arguments import require, shown
from cosim.core.errors import CosimError
from cosim.core.quantities import Array
from cosim.core.units import energies, is_level, levels

from .files import PART_STEPS
from .indicator import Indicator
from .notebook import run_html
from .parts import KeptParts, Part, PartReader, read_part, read_table
from .tables import indicator_table, render

if TYPE_CHECKING:
    import xarray as xr


Times: TypeAlias = npt.NDArray[np.int64]


class Result:
    """Recorded series, indicators and provenance of one run on disk, which may have failed or still be running."""

    def __init__(self, folder: Path, provenance: dict[str, Any], kept: KeptParts | None = None) -> None:
        self.folder = folder
        self.provenance = provenance
        if kept is None and self.status == "finished":
            kept = KeptParts()
        self._parts = PartReader(folder / "series", kept)

    @classmethod
    def open(cls, folder: str | Path) -> Result:
        """Open the folder of a run.

        Raises
        ------
        CosimError
            If the folder holds no run.
        """
        require(folder, (str, os.PathLike), "the folder of a run", "pass its path")
        folder = Path(folder)
        try:
            content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
            if not isinstance(content, dict) or not {"name", "status", "clock", "outputs"} <= content.keys():
                raise CosimError(f"{folder / 'run.json'} does not describe a run: the file is damaged")
            return cls(folder, content)
        except (FileNotFoundError, NotADirectoryError):
            raise CosimError(f"{folder} holds no run: it has no run.json") from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise CosimError(f"{folder / 'run.json'} is not JSON ({error}): the file is damaged") from error

    @property
    def name(self) -> str:
        """Name of the scenario."""
        return str(self.provenance["name"])

    @property
    def status(self) -> str:
        """``running`` (or killed), ``finished``, ``failed`` or ``interrupted``."""
        return str(self.provenance["status"])

    @property
    def ports(self) -> list[str]:
        """The recorded outputs."""
        return [name for name, about in self.provenance["outputs"].items() if about["recorded"]]

    @functools.cached_property
    def indicators(self) -> dict[str, Indicator]:
        """The indicators by name; empty for a run that did not finish."""
        path = self.folder / "indicators.json"
        if not path.is_file():
            return {}
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
            return {
                name: Indicator(**row | {"value": np.nan if row["value"] is None else row["value"]})
                for name, row in rows.items()
            }
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CosimError(f"{path} does not hold indicators ({error}): the file is damaged") from error

    @functools.cached_property
    def ledger(self) -> pd.DataFrame:
        """The ledger, one row per connection of a conserved quantity.

        For each row, sent + initial = received + in flight + dropped.
        """
        return pd.DataFrame(self.provenance.get("ledger", []))

    @functools.cached_property
    def events(self) -> pd.DataFrame:
        """The events: time, adapter, kind, element, text."""
        path = self.folder / "events.parquet"
        if not path.is_file():
            return pd.DataFrame(columns=["time", "adapter", "kind", "element", "text"])
        return read_table(path).to_pandas()

    def series(
        self,
        port: str,
        labels: Iterable[str] | None = None,
        start: str | pd.Timestamp | None = None,
        end: str | pd.Timestamp | None = None,
    ) -> pd.DataFrame:
        """Return a port's values, shape (n_times, n_labels); time is the end of the step, in UTC.

        Parameters
        ----------
        port
            The port, as in ``"grid.voltage"``.
        labels
            Elements to read; all by default, in alphabetical order.
        start, end
            First and last time to read.

        Raises
        ------
        CosimError
            If the port was not recorded or a label is unknown.
        """
        if labels is not None and (isinstance(labels, str) or not isinstance(labels, Iterable)):
            raise CosimError(f"labels of {port} is {shown(labels)}: pass a sequence of labels")
        wanted = None if labels is None else [str(label) for label in labels]
        first = None if start is None else self._moment_ms(port, "start", start)
        last = None if end is None else self._moment_ms(port, "end", end)
        times, columns = [], []
        names: npt.NDArray[np.object_] = np.empty(0, object)
        for part in self._read(port):
            chosen = slice(
                0 if first is None else int(np.searchsorted(part.times, first)),
                None if last is None else int(np.searchsorted(part.times, last, side="right")),
            )
            if len(part.times[chosen]):
                names = part.labels
                times.append(part.times[chosen])
                columns.append(part.values[:, chosen])
        table = pd.DataFrame(
            np.concatenate(columns, axis=1).T if columns else np.empty((0, 0)),
            index=_index(np.concatenate(times) if times else []),
            columns=pd.Index(names, name="label"),
        )
        if wanted is not None:
            unknown = [label for label in wanted if label not in table.columns]
            if unknown:
                period = "" if start is None and end is None else " from start to end"
                raise CosimError(f"{port} has no label {unknown[0]!r}{period}")
            table = table[wanted]
        return table

    @staticmethod
    def _moment_ms(port: str, name: str, moment: str | pd.Timestamp) -> int:
        try:
            stamp = pd.Timestamp(moment)
        except (ValueError, TypeError) as error:
            raise CosimError(f"{name} of {port} is {shown(moment)}: write a time, as in '2025-01-15T08:00'") from error
        stamp = stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp
        ms: float = stamp.timestamp() * 1000
        return math.ceil(ms) if name == "start" else math.floor(ms)

    def array(self, port: str) -> xr.DataArray:
        """Return a port's values as xarray, dimensions (time, label), with unit and kind as attributes."""
        import xarray as xr  # takes as long to import as the rest of this module

        table = self.series(port)
        about = self.provenance["outputs"][port]
        array = xr.DataArray(
            table.to_numpy(),
            dims=("time", "label"),
            coords={"time": table.index.tz_convert(None), "label": table.columns.to_numpy(dtype=str)},
            name=port,
            attrs={"unit": about["unit"], "kind": about["kind"]},
        )
        array["time"].attrs["note"] = "end of the step, UTC"
        return array

    def total(self, port: str) -> pd.Series[float]:
        """Return the sum over all labels at each time, in double precision; of levels that of their energies, in dB."""
        found = [(part.times, self._level(port, self._energy(port, part).sum(axis=0))) for part in self._read(port)]
        return _series(found, port)

    def spread(self, port: str, columns: Iterable[str] = ("sum", "mean", "low", "high")) -> pd.DataFrame:
        """Return the sum, mean, lowest and highest of the values that are not missing, at each time.

        Parameters
        ----------
        port
            The port, as in ``"grid.voltage"``.
        columns
            The statistics to compute; each takes one pass over the series.

        Returns
        -------
        The columns, in double precision; shape (n_times, n_columns).
        """
        found: dict[str, list[tuple[Times, Array]]] = {name: [] for name in columns}
        for part in self._read(port):
            known = ~np.isnan(part.values)
            n = np.where(known.any(axis=0), known.sum(axis=0), np.nan)
            for name, rows in found.items():
                if name in ("sum", "mean"):
                    summed = np.where(known, self._energy(port, part), 0.0).sum(axis=0)
                    value = self._level(port, summed / (n if name == "mean" else np.sign(n)))
                elif name == "low":
                    value = np.where(known, part.values, np.inf).min(axis=0, initial=np.inf) * np.sign(n)
                else:
                    value = np.where(known, part.values, -np.inf).max(axis=0, initial=-np.inf) * np.sign(n)
                rows.append((part.times, value))
        return pd.DataFrame({name: _series(rows, name) for name, rows in found.items()})

    def row(self, port: str, k: int) -> pd.Series[float]:
        """Return the values recorded for one step by label, reading only the part that holds it.

        Parameters
        ----------
        port
            The port, as in ``"grid.voltage"``.
        k
            Number of recorded steps before this one; the state before the first step does not count.

        Returns
        -------
        Empty if the run did not reach this step.
        """
        about = self._about(port)
        every = round(about["every_s"] * 1000)
        start = self._start_ms + k * every
        part = self.folder / "series" / port / f"part-{(k + (about['kind'] == 'end')) // PART_STEPS}.parquet"
        if not part.is_file():
            return pd.Series(dtype=float)
        rows = read_part(part)
        chosen = (rows.times > start) & (rows.times <= start + every)
        values = rows.values[:, chosen]
        names = np.repeat(rows.labels, values.shape[1])
        return pd.Series(values.ravel(), index=pd.Index(names, name="label"))

    def means(self, port: str, every_s: float) -> pd.DataFrame:
        """Return means over windows of the run, shape (n_windows, n_labels); time is a window's end, in UTC.

        Parameters
        ----------
        port
            The port, as in ``"grid.voltage"``.
        every_s
            Length of a window: a multiple of the interval between recorded rows. [s]

        Returns
        -------
        The means, without missing values and the state before the run's first step.

        Raises
        ------
        CosimError
            If the port was not recorded, or the windows do not consist of whole rows.
        """
        row_s = self._about(port)["every_s"]
        if every_s < row_s or abs(every_s / row_s - round(every_s / row_s)) > 1e-9:
            raise CosimError(
                f"{port} has a row every {row_s:g} s, but the window is {every_s:g} s: pass a whole multiple of "
                f"{row_s:g} s"
            )
        start, every = self._start_ms, round(every_s * 1000)
        names: npt.NDArray[np.object_] = np.empty(0, object)
        sums: dict[int, tuple[Array, Array]] = {}
        for part in self._read(port):
            names = part.labels
            known = ~np.isnan(part.values)
            summand = np.where(known, self._energy(port, part), 0.0)
            windows = np.where(part.times > start, (part.times - start - 1) // every, -1)
            for k in np.unique(windows[windows >= 0]):
                total, n = sums.get(int(k), (0.0, 0))
                sums[int(k)] = (
                    total + summand[:, windows == k].sum(axis=1),
                    n + known[:, windows == k].sum(axis=1),
                )
        means = [self._level(port, total / np.where(n > 0, n, np.nan)) for total, n in sums.values()]
        return pd.DataFrame(
            np.array(means) if means else np.empty((0, 0)),
            index=_index(start + (np.array(list(sums), np.int64) + 1) * every),
            columns=pd.Index(names if means else names[:0], name="label"),
        )

    def integral(self, port: str) -> pd.Series[float]:
        """Return each label's integral over the run, in the port's unit times seconds (W to J)."""
        about = self._about(port)
        if is_level(about["unit"]):
            raise CosimError(f"{port} is a level in {about['unit']}, which has no integral: use means(), by energy")
        every_ms = round(about["every_s"] * 1000)
        names: npt.NDArray[np.object_] = np.empty(0, object)
        sums: Array | float = 0.0
        for part in self._read(port):
            # A row covers the time since the previous one: the last row of a run may cover less than the others, and
            # the state before the first step covers none.
            since_s = (np.fmod(part.times - self._start_ms - 1, every_ms) + 1) / 1000.0
            names, sums = part.labels, sums + (part.values * since_s).sum(axis=1)
        return pd.Series(sums if len(names) else [], index=pd.Index(names, name="label"), name=port, dtype=float)

    def _energy(self, port: str, part: Part) -> Array:
        """Return a part's values in double precision, levels as energies: those are summed and averaged."""
        values = part.values.astype(np.float64)
        return energies(values) if is_level(self._about(port)["unit"]) else values

    def _level(self, port: str, sums: Array) -> Array:
        """Return sums or means of `_energy` in the port's unit."""
        return levels(sums) if is_level(self._about(port)["unit"]) else sums

    @property
    def _start_ms(self) -> int:
        start_s: float = pd.Timestamp(self.provenance["clock"]["start"]).timestamp()
        return round(start_s * 1000)

    def _about(self, port: str) -> dict[str, Any]:
        about = self.provenance["outputs"].get(port)
        if about is None or not about["recorded"]:
            raise CosimError(f"{port!r} was not recorded; available: {', '.join(self.ports) or 'none'}")
        return about  # type: ignore[no-any-return]

    def _read(self, port: str) -> Iterator[Part]:
        self._about(port)
        return self._parts(port)

    def __repr__(self) -> str:
        return f"<Result {self.name!r} {self.status} in {self.folder}, {len(self.ports)} series>"

    def __str__(self) -> str:
        return render(indicator_table(self.name, self.indicators)) if self.indicators else repr(self)

    def _repr_html_(self) -> str:
        return run_html(self.name, self.status, self.indicators)


def _index(times: Times | Sequence[int]) -> pd.DatetimeIndex:
    return pd.to_datetime(np.asarray(times, np.int64), unit="ms", utc=True).rename("time")


def _series(parts: list[tuple[Times, Array]], name: str) -> pd.Series[float]:
    """Return the values of consecutive parts by time."""
    if not parts:
        return pd.Series(dtype=float)
    times, values = (np.concatenate(column) for column in zip(*parts, strict=True))
    return pd.Series(values, index=_index(times), name=name)
