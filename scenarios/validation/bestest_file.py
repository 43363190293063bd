"""Readers of Standard 140 files: windows, schedules, fans, and ranges of the reference programs."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from cosim.core import InputFileError
from cosim.core.buildings.convection import SEA_LEVEL_DENSITY
from cosim.core.quantities import Array, Flags
from cosim.core.weather.year import MONTH_START
from cosim.scenarios.validation.cases import Entry
from cosim.scenarios.validation.shading import Window

AIR_CONSTANT = 287.05  # J/(kg K)
FAN = 1700 / 3600
"""Night ventilation of Standard 140-2020, Case 650; 1,409 m³/h of air at sea level have its mass. [m³/s]"""
METRICS = {
    "annual_heating_MWh": "annual heating [MWh]",
    "annual_cooling_MWh": "annual cooling [MWh]",
    "peak_heating_kW": "peak heating [kW]",
    "peak_cooling_kW": "peak cooling [kW]",
    "Tmax_C": "highest temperature [°C]",
    "Tmin_C": "lowest temperature [°C]",
    "Tavg_C": "mean temperature [°C]",
}


@dataclass(frozen=True)
class Moment:
    """A month's load [kWh] or an hour's mean temperature [°C] of a case, and the range of the reference programs."""

    case: str
    quantity: str
    month: int
    day: int
    hour: int
    value: float
    low: float
    high: float

    @property
    def inside(self) -> bool:
        """Whether the value is within the range, to the decimals that the range has."""
        rounding = 0.05 if self.quantity != "temperature" else 0.005
        return self.low - rounding <= self.value <= self.high + rounding

    def __str__(self) -> str:
        when = f"month {self.month}" if not self.hour else f"hour {self.hour} of day {self.day} of month {self.month}"
        unit = "°C" if self.quantity == "temperature" else "kWh"
        span = f"({self.low:.1f} to {self.high:.1f})"
        return f"{self.quantity} of case {self.case} in {when}: {self.value:.1f} {unit} {span}"


def _published(name: str) -> list[dict[str, str]]:
    text = resources.files("cosim.scenarios.validation").joinpath(name).read_text("utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


def course(monthly: Mapping[tuple[str, str], Array], hourly: Mapping[str, Array]) -> list[Moment]:
    """Return months and hours that have published ranges.

    Parameters
    ----------
    monthly
        Loads by case and ``"heating"`` or ``"cooling"``, shape (12,). [kWh]
    hourly
        Mean air temperatures of the year by case, shape (8760,). [°C]
    """
    found = []
    for row in _published("bestest_months.csv"):
        key, month = (row["case"], row["load"]), int(row["month"])
        if key in monthly:
            value = float(monthly[key][month - 1])
            found.append(Moment(*key, month, 0, 0, value, float(row["low"]), float(row["high"])))
    for row in _published("bestest_hours.csv"):
        if row["case"] in hourly:
            month, day, hour = (int(row[name]) for name in ("month", "day", "hour"))
            at = 24 * (int(MONTH_START[month - 1]) + day - 1) + hour - 1
            programs = [float(row[name]) for name in list(row)[4:]]
            value = float(hourly[row["case"]][at])
            found.append(Moment(row["case"], "temperature", month, day, hour, value, min(programs), max(programs)))
    return found


@dataclass(frozen=True)
class Figure:
    """One figure of a case, and the range of the reference programs; ``None`` if the file gives none."""

    case: str
    metric: str
    value: float
    low: float | None
    high: float | None

    @property
    def inside(self) -> bool | None:
        """Whether the value is within the range, ends included."""
        if self.low is None or self.high is None:
            return None
        return self.low <= self.value <= self.high


def read_window(entry: Entry, wall: Mapping[str, float], height: float) -> Window:
    """Read windows of a wall, given the walls' widths by orientation and their height. [m]"""
    orientation = entry["orientation"].one_of(wall)
    count = entry["count"].number(1, 100) if "count" in entry else 1.0
    overhang, fins = entry.get("overhang"), entry.get("fins")
    window = Window(
        orientation,
        entry["width_m"].number(0.01, 1000),
        entry["height_m"].number(0.01, height),
        int(count),
        None if overhang is None else (overhang["depth_m"].number(0, 100), overhang["above_m"].number(0, 100)),
        None if fins is None else fins["depth_m"].number(0, 100),
    )
    if window.width * window.count > wall[orientation]:
        entry.refuse(f"{count:g} windows {window.width:g} m wide do not fit into a wall {wall[orientation]:g} m wide")
    return window


def read_fan(entry: Entry | None, hour: Array, volume: float, density: float) -> tuple[float, Array]:
    """Return the air flow of the fan [m³/s] and whether it runs, shape (steps,)."""
    if entry is None:
        return 0.0, np.zeros(len(hour), bool)
    parts = entry.items() if entry.is_list else [entry]
    flows, blows = set(), np.zeros(len(hour), bool)
    for part in parts:
        spans = part["intervals"].items() if "intervals" in part else [part]
        for span in spans:
            blows |= _between(hour, span["from_h"].number(0, 24), span["to_h"].number(0, 24))
        flows.add(_flow(part, volume, density))
    if len(flows) != 1:
        entry.refuse("give one air flow for all its intervals")
    return flows.pop(), blows


def _flow(part: Entry, volume: float, density: float) -> float:
    """Return the air flow at local density; a flow adjusted for altitude, at sea level, is used only if it is alone.

    A flow that does not say is the one of both that comes closer to the standard's fan.
    """
    found: dict[bool, float] = {}
    for name in part:
        words = set(re.split(r"[^a-z0-9]+|(?<=m3)(?=[hs])", name.lower()))
        unit = None
        if "ach" in words:
            unit = volume / 3600
        elif "m3" in words and words & {"h", "s", "hour", "second"}:
            unit = 1.0 if words & {"s", "second"} else 1 / 3600
        if unit is not None and part.get(name) is not None:
            adjusted = bool(words & {"adjusted", "altitude"})
            if adjusted in found:
                part.refuse("give its air flow once, as …_m3_h, …_m3_s or …_ach")
            found[adjusted] = part[name].number(0, 1e6) * unit
    if not found:
        part.refuse("give its air flow as …_m3_h, …_m3_s or …_ach")
    adjusted_flow = found.get(True, found.get(False, 0.0)) * SEA_LEVEL_DENSITY / density
    if False not in found:
        return adjusted_flow
    if True in found or any("altitude" in name for name in part):
        return found[False]
    return min(found[False], adjusted_flow, key=lambda flow: abs(flow - FAN))


def _between(hour: Array, start: float, end: float) -> Flags:
    """Return whether hours of the day lie in an interval, which may span midnight."""
    after, before = hour >= start, hour < end
    return np.asarray(after & before if start < end else after | before)


def read_points(entry: Entry | None, hour: Array, step_s: float) -> Array:
    """Return the means over steps of a piecewise linear day given by [hour, value] points."""
    if entry is None:
        return np.full(len(hour), -np.inf)
    rows = [row.items(2) for row in entry.items()]
    times, values = [r[0].number(0, 24) for r in rows], [r[1].number(-100, 100) for r in rows]
    if not rows or times[0] != 0 or times[-1] != 24 or (np.diff(times) < 0).any():
        entry.refuse("its points must run from hour 0 to hour 24 in order")
    result: Array = np.interp(hour + step_s / 7200, times, values)
    return result


def read_intervals(entry: Entry | None, hour: Array) -> Array:
    """Return the values of a day's intervals at hours of the day, ``inf`` outside them."""
    result = np.full(len(hour), np.inf)
    for part in entry.items() if entry is not None else []:
        inside = _between(hour, part["from_h"].number(0, 24), part["to_h"].number(0, 24))
        result[inside] = part["C"].number(-100, 100)
    return result


def read_reference(path: Path) -> dict[tuple[str, str], tuple[float, float]]:
    """Read the lowest and highest figures of the reference programs by case and metric."""
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except OSError as error:
        raise InputFileError(f"{path} cannot be read ({error.strerror}): give the folder of the cases") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputFileError(f"{path} is not a table of comma-separated values: {error}") from error
    found = {}
    for k, row in enumerate(rows, start=2):
        case, metric = row.get("case"), row.get("metric")
        if not case or metric not in METRICS:
            raise InputFileError(f"{path}, row {k}: metric is {metric!r}, known are {', '.join(METRICS)}")
        try:
            low, high = float(row["ref_min"]), float(row["ref_max"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputFileError(f"{path}, row {k}: ref_min and ref_max must be numbers") from error
        if not low <= high:
            raise InputFileError(f"{path}, row {k} has the range {low} to {high}: ref_min must not be above ref_max")
        found[case, metric] = low, high
    return found
