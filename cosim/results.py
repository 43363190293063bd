"""What came out? The recorded series, indicators and provenance of one run, read from its folder.

DuckDB and xarray are met only here.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cosim.core.arguments import require, shown
from cosim.core.errors import CosimError

from .recorder import PART_STEPS

if TYPE_CHECKING:
    import xarray as xr


@contextlib.contextmanager
def _damage_named(parts: Iterable[Path]) -> Iterator[None]:
    """Turn what is said of a file that cannot be read into one line that names it."""
    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        for part in sorted(parts):
            try:
                pq.read_table(part)
            except (pa.ArrowException, OSError):
                raise CosimError(f"{part} is damaged or cut short: copy the run's folder again, or run the scenario "
                                 "anew") from error  # fmt: skip
        raise


@dataclass(frozen=True)
class Indicator:
    """One number that a run is judged by.

    Parameters
    ----------
    value
        The number.
    unit
        Its unit, as shown.
    better
        Whether lower or higher is better; None where neither is.
    about
        Its definition, in a line.

    Raises
    ------
    CosimError
        If the value is no number, or ``better`` another word.
    """

    value: float
    unit: str
    better: Literal["lower", "higher"] | None = None
    about: str = ""

    def __post_init__(self) -> None:
        require(self.value, Real, "the value of an indicator", "it must be a number")
        if self.better not in (None, "lower", "higher"):
            raise CosimError(f"better of an indicator is {shown(self.better)}: write 'lower', 'higher' or None")

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data; a value that is not a number becomes null."""
        return asdict(self) | {"value": float(self.value) if np.isfinite(self.value) else None}

    def __str__(self) -> str:
        return f"{self.value:,.4g} {self.unit}".rstrip() if abs(self.value) < 1e4 else f"{self.value:,.0f} {self.unit}"


class Result:
    """Recorded series, indicators and provenance of one run, on disk; also of one that failed or still runs."""

    def __init__(self, folder: Path, provenance: dict[str, Any]) -> None:
        self.folder = folder
        self.provenance = provenance

    @classmethod
    def open(cls, folder: str | Path) -> Result:
        """Open the folder of a run.

        Raises
        ------
        CosimError
            If there is no run in it.
        """
        require(folder, (str, os.PathLike), "the folder of a run", "pass its path")
        folder = Path(folder)
        try:
            content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
            if not isinstance(content, dict) or not {"name", "status", "clock", "outputs"} <= content.keys():
                raise CosimError(f"{folder / 'run.json'} says not what a run says: the file is damaged")
            return cls(folder, content)
        except (FileNotFoundError, NotADirectoryError):
            raise CosimError(f"{folder} holds no run: there is no run.json in it") from None
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
            return {name: Indicator(**row | {"value": np.nan if row["value"] is None else row["value"]})
                    for name, row in rows.items()}  # fmt: skip
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CosimError(f"{path} holds no indicators ({error}): the file is damaged") from error

    @functools.cached_property
    def ledger(self) -> pd.DataFrame:
        """Per connection of a conserved quantity: sent + initial = received + in flight + dropped."""
        return pd.DataFrame(self.provenance.get("ledger", []))

    @functools.cached_property
    def events(self) -> pd.DataFrame:
        """What happened: time, adapter, kind, element, text."""
        path = self.folder / "events.parquet"
        if not path.is_file():
            return pd.DataFrame(columns=["time", "adapter", "kind", "element", "text"])
        with duckdb.connect() as connection, _damage_named([path]):
            return connection.execute("select * from read_parquet($path) order by time", {"path": str(path)}).df()

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
            As in ``"grid.voltage"``.
        labels
            Elements to read; all by default, in alphabetical order.
        start, end
            First and last time to read.

        Raises
        ------
        CosimError
            If the port was not recorded or has no such label.
        """
        if labels is not None and (isinstance(labels, str) or not isinstance(labels, Iterable)):
            raise CosimError(f"labels of {port} is {shown(labels)}: pass a sequence of labels")
        wanted = None if labels is None else [str(label) for label in labels]
        where, bound = ["true"], {}
        if wanted is not None:
            where.append("list_contains($labels, label)")
            bound["labels"] = wanted
        for name, moment, sign in (("start", start, ">="), ("end", end, "<=")):
            if moment is not None:
                try:
                    stamp = pd.Timestamp(moment)
                except (ValueError, TypeError) as error:
                    raise CosimError(f"{name} of {port} is {shown(moment)}: write a time, as '2025-01-15T08:00'"
                                     ) from error  # fmt: skip
                where.append(f"time {sign} ${name}")
                bound[name] = (stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp).to_pydatetime()
        if not self._has_parts(port):
            return pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC", name="time"))
        rows = self._columns(
            f"select label::varchar as label, epoch_ms(time) as time, value from read_parquet($parts) "
            f"where {' and '.join(where)} order by label, time",
            port, **bound,
        )  # fmt: skip
        names, times = np.unique(rows["label"].astype(object)), np.unique(rows["time"])
        table = pd.DataFrame(
            rows["value"].reshape(len(names), -1).T if len(names) else np.empty((0, 0)),
            index=pd.to_datetime(times, unit="ms", utc=True).rename("time"),
            columns=pd.Index(names, name="label"),
        )
        if wanted is not None:
            unknown = [label for label in wanted if label not in table.columns]
            if unknown:
                where_to = "" if start is None and end is None else " from start to end"
                raise CosimError(f"{port} has no label {unknown[0]!r}{where_to}")
            table = table[wanted]
        return table

    def array(self, port: str) -> xr.DataArray:
        """Return a port's values as xarray, dimensions (time, label), with unit and kind as attributes."""
        import xarray as xr  # takes as long to import as everything else here

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
        """Return the sum over all labels at each time, in double precision."""
        return self._aggregate(port, "time", "sum(value::double)")

    def spread(self, port: str, columns: Iterable[str] = ("sum", "mean", "low", "high")) -> pd.DataFrame:
        """Return sum, mean, lowest and highest over the labels that are not missing at each time.

        Parameters
        ----------
        port
            As in ``"grid.voltage"``.
        columns
            Which of them; each takes a pass over the series.

        Returns
        -------
        The columns, in double precision; shape (n_times, n_columns).
        """
        known = "filter (not isnan(value))"
        what = {"sum": "sum(value::double)", "mean": "avg(value::double)", "low": "min(value)", "high": "max(value)"}
        return pd.DataFrame({name: self._aggregate(port, "time", f"{what[name]} {known}") for name in columns})

    def row(self, port: str, k: int) -> pd.Series[float]:
        """Return the values recorded for one step by label, by reading its part alone.

        Parameters
        ----------
        port
            As in ``"grid.voltage"``.
        k
            Recorded steps before it; the state before the first step does not count.

        Returns
        -------
        Empty if the run did not come so far.
        """
        about = self._about(port)
        every = round(about["every_s"] * 1000)
        start = self._start_ms + k * every
        part = self.folder / "series" / port / f"part-{(k + (about['kind'] == 'end')) // PART_STEPS}.parquet"
        if not part.is_file():
            return pd.Series(dtype=float)
        with _damage_named([part]):
            # one small file: pyarrow reads it in a tenth of the time that DuckDB takes to start
            table = pq.read_table(part)
        times = table["time"].to_numpy().astype("datetime64[ms]").astype(np.int64)
        chosen = table.filter((times > start) & (times <= start + every))
        return pd.Series(chosen["value"].to_numpy(), index=pd.Index(chosen["label"].to_pylist(), name="label"))

    def means(self, port: str, every_s: float) -> pd.DataFrame:
        """Return means over windows of the run, shape (n_windows, n_labels); time is a window's end, in UTC.

        Parameters
        ----------
        port
            As in ``"grid.voltage"``.
        every_s
            Length of a window: a multiple of the time from one recorded row to the next. [s]

        Returns
        -------
        Missing values are left out of the means, and so is the state before the run's first step.

        Raises
        ------
        CosimError
            If the port was not recorded, or the windows do not hold whole rows.
        """
        row_s = self._about(port)["every_s"]
        if every_s < row_s or abs(every_s / row_s - round(every_s / row_s)) > 1e-9:
            raise CosimError(f"windows of {every_s:g} s over {port}, which has a row every {row_s:g} s: ask for a "
                             "whole multiple of that")  # fmt: skip
        if not self._has_parts(port):
            return pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC", name="time"))
        start, every = self._start_ms, round(every_s * 1000)
        rows = self._columns(
            f"select label::varchar as label, (epoch_ms(time) - {start} - 1) // {every} as k, "
            "coalesce(avg(value::double) filter (not isnan(value)), 'nan'::double) as value "
            f"from read_parquet($parts) where epoch_ms(time) > {start} group by 1, 2 order by 1, 2",
            port,
        )
        names, windows = np.unique(rows["label"].astype(object)), np.unique(rows["k"])
        return pd.DataFrame(
            rows["value"].reshape(len(names), -1).T if len(names) else np.empty((0, 0)),
            index=pd.to_datetime(start + (windows + 1) * every, unit="ms", utc=True).rename("time"),
            columns=pd.Index(names, name="label"),
        )

    def integral(self, port: str) -> pd.Series[float]:
        """Return each label's integral over the run, in the port's unit times seconds (W to J)."""
        about = self._about(port)
        every_ms = round(about["every_s"] * 1000)
        # A row stands for the time since the last one: the run's last row may stand for less than the others.
        since = f"((epoch_ms(time) - {self._start_ms} - 1) % {every_ms} + 1) / 1000.0"
        return self._aggregate(port, "label", f"sum(value::double * {since})")

    @property
    def _start_ms(self) -> int:
        start_s: float = pd.Timestamp(self.provenance["clock"]["start"]).timestamp()
        return round(start_s * 1000)

    def _aggregate(self, port: str, key: str, what: str) -> pd.Series[float]:
        if not self._has_parts(port):
            return pd.Series(dtype=float)
        column = "epoch_ms(time)" if key == "time" else "label::varchar"
        rows = self._columns(f"select {column} as k, {what} as v from read_parquet($parts) group by 1 order by 1", port)
        index = pd.to_datetime(rows["k"], unit="ms", utc=True) if key == "time" else pd.Index(rows["k"])
        return pd.Series(rows["v"], index=index.rename(key), name=port)

    def _about(self, port: str) -> dict[str, Any]:
        about = self.provenance["outputs"].get(port)
        if about is None or not about["recorded"]:
            raise CosimError(f"{port!r} was not recorded: there are {', '.join(self.ports) or 'none'}")
        return about  # type: ignore[no-any-return]

    def _has_parts(self, port: str) -> bool:
        self._about(port)
        return any((self.folder / "series" / port).glob("part-*.parquet"))

    def _columns(self, query: str, port: str, **bound: Any) -> dict[str, np.ndarray]:
        folder = self.folder / "series" / port
        with duckdb.connect() as connection, _damage_named(folder.glob("part-*.parquet")):
            return connection.execute(query, {"parts": str(folder / "part-*.parquet"), **bound}).fetchnumpy()

    def __repr__(self) -> str:
        return f"<Result {self.name!r} {self.status} in {self.folder}, {len(self.ports)} series>"

    def __str__(self) -> str:
        from .tables import indicator_table, render

        return render(indicator_table(self)) if self.indicators else repr(self)

    def _repr_html_(self) -> str:
        from .report import indicators_html

        return indicators_html(self)
