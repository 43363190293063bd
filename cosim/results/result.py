"""Results: the recorded series, indicators and provenance of one run, read from its folder.

This is the only module that uses DuckDB and xarray.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cosim.core.arguments import require, shown
from cosim.core.errors import CosimError
from cosim.core.units import is_level

from .files import PART_STEPS
from .indicator import Indicator
from .notebook import run_html
from .tables import indicator_table, render

if TYPE_CHECKING:
    import xarray as xr


@contextlib.contextmanager
def _damage_named(parts: Iterable[Path]) -> Iterator[None]:
    """Turn read errors into one line that names the damaged file."""
    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        for part in sorted(parts):
            try:
                pq.read_table(part)
            except (pa.ArrowException, OSError):
                raise CosimError(
                    f"{part} is damaged or truncated: copy the run's folder again, or run the scenario again"
                ) from error
        raise


class Result:
    """Recorded series, indicators and provenance of one run on disk, which may have failed or still be running."""

    def __init__(self, folder: Path, provenance: dict[str, Any]) -> None:
        self.folder = folder
        self.provenance = provenance

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
        where, bound = ["true"], {}
        if wanted is not None:
            where.append("list_contains($labels, label)")
            bound["labels"] = wanted
        for name, moment, sign in (("start", start, ">="), ("end", end, "<=")):
            if moment is not None:
                try:
                    stamp = pd.Timestamp(moment)
                except (ValueError, TypeError) as error:
                    raise CosimError(
                        f"{name} of {port} is {shown(moment)}: write a time, as in '2025-01-15T08:00'"
                    ) from error
                where.append(f"time {sign} ${name}")
                bound[name] = (stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp).to_pydatetime()
        if not self._has_parts(port):
            return pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC", name="time"))
        rows = self._columns(
            f"select label::varchar as label, epoch_ms(time) as time, value from read_parquet($parts) "
            f"where {' and '.join(where)} order by label, time",
            port,
            **bound,
        )
        names, times = np.unique(rows["label"].astype(object)), np.unique(rows["time"])
        table = pd.DataFrame(
            rows["value"].reshape(len(names), -1).T if len(names) else np.empty((0, 0)),
            index=pd.to_datetime(times, unit="ms", utc=True).rename("time"),
            columns=pd.Index(names, name="label"),
        )
        if wanted is not None:
            unknown = [label for label in wanted if label not in table.columns]
            if unknown:
                period = "" if start is None and end is None else " from start to end"
                raise CosimError(f"{port} has no label {unknown[0]!r}{period}")
            table = table[wanted]
        return table

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
        return self._aggregate(port, "time", self._sum(port))

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
        known = "filter (not isnan(value))"
        what = {
            "sum": self._sum(port, known),
            "mean": self._avg(port, known),
            "low": f"min(value) {known}",
            "high": f"max(value) {known}",
        }
        return pd.DataFrame({name: self._aggregate(port, "time", what[name]) for name in columns})

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
        with _damage_named([part]):
            # one small file: pyarrow reads it in a tenth of DuckDB's start-up time
            table = pq.read_table(part)
        times = table["time"].to_numpy().astype("datetime64[ms]").astype(np.int64)
        chosen = table.filter((times > start) & (times <= start + every))
        return pd.Series(chosen["value"].to_numpy(), index=pd.Index(chosen["label"].to_pylist(), name="label"))

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
        if not self._has_parts(port):
            return pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC", name="time"))
        start, every = self._start_ms, round(every_s * 1000)
        rows = self._columns(
            f"select label::varchar as label, (epoch_ms(time) - {start} - 1) // {every} as k, "
            f"coalesce({self._avg(port, 'filter (not isnan(value))')}, 'nan'::double) as value "
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
        if is_level(about["unit"]):
            raise CosimError(f"{port} is a level in {about['unit']}, which has no integral: use means(), by energy")
        every_ms = round(about["every_s"] * 1000)
        # A row covers the time since the previous one: the last row of a run may cover less than the others.
        since = f"((epoch_ms(time) - {self._start_ms} - 1) % {every_ms} + 1) / 1000.0"
        return self._aggregate(port, "label", f"sum(value::double * {since})")

    def _sum(self, port: str, known: str = "") -> str:
        """Return the expression of a sum over values; levels are summed by energy."""
        if not is_level(self._about(port)["unit"]):
            return f"sum(value::double) {known}"
        return f"10 * log10(sum(pow(10, value::double / 10)) {known})"

    def _avg(self, port: str, known: str = "") -> str:
        """Return the expression of a mean over values; levels are averaged by energy."""
        if not is_level(self._about(port)["unit"]):
            return f"avg(value::double) {known}"
        return f"10 * log10(avg(pow(10, value::double / 10)) {known})"

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
            raise CosimError(f"{port!r} was not recorded; available: {', '.join(self.ports) or 'none'}")
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
        return render(indicator_table(self.name, self.indicators)) if self.indicators else repr(self)

    def _repr_html_(self) -> str:
        return run_html(self.name, self.status, self.indicators)
