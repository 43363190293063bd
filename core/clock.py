"""Simulated time of a run: civil start and end, time zone and exchange step."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from . import units
from .arguments import finite, require
from .errors import CosimError, UnitError
from .quantities import HOUR_S

_SHORTEST_S = 0.001
"""Shortest exchange step: times are recorded in whole milliseconds. [s]"""
_YEARS = range(1678, 2262)
"""Whole years within the range of 64-bit nanoseconds around 1970, in which results are read."""


def duration_s(length: float | str) -> float:
    """Return a duration in seconds.

    Parameters
    ----------
    length
        A number of seconds, or text with a unit, as in ``"6h"``, ``"10 min"``, ``"1 day"``.

    Raises
    ------
    CosimError
        If it is not a duration, or not positive and finite.

    Examples
    --------
    >>> duration_s("6h"), duration_s(90)
    (21600.0, 90.0)
    """
    try:
        seconds = units.seconds(length) if isinstance(length, str) else float(length)
    except (UnitError, TypeError, ValueError) as error:
        raise CosimError(f"{length!r} is not a duration: write it as '6h', '10min' or in seconds") from error
    if not (seconds > 0 and math.isfinite(seconds)):
        raise CosimError(f"{length!r} is not a duration: it must be positive")
    return seconds


def _moment(value: str | dt.datetime | dt.date, zone: dt.tzinfo, what: str) -> dt.datetime:
    form = "write a date such as '2025-01-15' or '2025-01-15T08:00'"
    require(value, (str, dt.date), f"{what} of the clock", form)
    try:
        if isinstance(value, str):
            value = dt.datetime.fromisoformat(value)
        elif not isinstance(value, dt.datetime):
            value = dt.datetime.combine(value, dt.time())
    except ValueError as error:
        raise CosimError(f"{what} of the clock is {value!r}: {form}") from error
    if value.year not in _YEARS:
        raise CosimError(f"{what} of the clock is {value.isoformat()}: the year must be {_YEARS[0]} to {_YEARS[-1]}")
    if value.tzinfo is not None:
        return value.astimezone(zone)
    there = value.replace(tzinfo=zone)
    if there.astimezone(dt.UTC).astimezone(zone).replace(tzinfo=None) != value:
        raise CosimError(f"{what} of the clock is {value.isoformat()}, which {zone} skips when summer time begins")
    return there


@dataclass(frozen=True)
class Clock:
    """Civil start with time zone, exchange step and end.

    Parameters
    ----------
    start
        Civil start, e.g. ``"2025-01-15"`` or ``"2025-01-15T06:00"``.
    hours
        Length of the run. [h] Give this or ``end``; with neither the run is open-ended and stops
        when an adapter with ``ends_run`` is finished.
    end
        Civil end.
    step_s
        The exchange step. [s]
    zone
        IANA time zone of the city.
    horizon_s
        Time of which an open-ended run lasts a whole multiple, counted from the start: runs that end at different
        moments, such as a plan and its base, then cover the same time. By default the exchange step. [s]

    Raises
    ------
    CosimError
        If a date or the zone is unknown, a year lies outside 1678 to 2261, the step is shorter than 1 ms, or the run is
        not a positive whole number of steps.

    Examples
    --------
    >>> Clock("2025-01-15", hours=24, step_s=60, zone="Europe/Madrid").n_steps
    1440
    >>> Clock("2025-03-30", end="2025-03-31", zone="Europe/Madrid").n_steps  # summer time begins: 23 hours
    1380
    """

    start: str | dt.datetime | dt.date
    hours: float | None = None
    end: str | dt.datetime | dt.date | None = None
    step_s: float = 60
    zone: str = "UTC"
    horizon_s: float | None = None

    def __post_init__(self) -> None:
        try:
            zone = ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, TypeError, OSError) as error:
            raise CosimError(f"time zone {self.zone!r} is unknown: write one as 'Europe/Madrid'") from error
        if finite(self.step_s, "the exchange step") < _SHORTEST_S:
            raise CosimError(f"the exchange step is {self.step_s:g} s: it must be positive, {_SHORTEST_S} s or longer")
        if self.horizon_s is not None and not finite(self.horizon_s, "the horizon of the clock") > 0:
            raise CosimError(f"the horizon of the clock is {self.horizon_s:g} s: it must be positive")
        if self.hours is not None and self.end is not None:
            raise CosimError("the clock has both hours and end: give one of them")
        start = _moment(self.start, zone, "start").astimezone(dt.UTC)
        length_s: float | None = None
        if self.end is not None:
            length_s = (_moment(self.end, zone, "end").astimezone(dt.UTC) - start).total_seconds()
        elif self.hours is not None:
            length_s = finite(self.hours, "hours of the clock") * HOUR_S
        n_steps = None
        if length_s is not None:
            if length_s > (dt.datetime(_YEARS.stop, 1, 1, tzinfo=dt.UTC) - start).total_seconds():
                raise CosimError(f"the run lasts {length_s:g} s: it must end by the year {_YEARS[-1]}")
            n_steps = round(length_s / self.step_s)
            if n_steps < 1 or abs(n_steps * self.step_s - length_s) > 1e-6:
                raise CosimError(
                    f"the run lasts {length_s:g} s: it must be a positive whole number of exchange steps "
                    f"of {self.step_s:g} s"
                )
        object.__setattr__(self, "_start_utc", start)
        object.__setattr__(self, "_n_steps", n_steps)

    @property
    def start_utc(self) -> dt.datetime:
        """The start in UTC."""
        return self.__dict__["_start_utc"]  # type: ignore[no-any-return]

    @property
    def n_steps(self) -> int | None:
        """The number of exchange steps; None for an open-ended run."""
        return self.__dict__["_n_steps"]  # type: ignore[no-any-return]

    @property
    def utc_offset_h(self) -> float:
        """Offset of the zone's standard time, without summer time, in the year of the start. [h]

        >>> Clock("2025-07-01", zone="Europe/Madrid").utc_offset_h
        1.0
        """
        year, zone = self.start_utc.year, ZoneInfo(self.zone)
        offsets = (zone.utcoffset(dt.datetime(year, month, 1)) for month in (1, 7))
        return min(offset for offset in offsets if offset is not None).total_seconds() / 3600.0

    @property
    def year_s(self) -> float:
        """Time from the beginning of the year to the start, both in standard time without summer time. [s]

        >>> Clock("2025-07-01", zone="Europe/Madrid").year_s / 3600  # 181 days, less the hour of summer time
        4343.0
        """
        start = (self.start_utc + dt.timedelta(hours=self.utc_offset_h)).replace(tzinfo=None)
        return (start - dt.datetime(start.year, 1, 1)).total_seconds()

    def at_horizon(self, tick: int) -> int:
        """Return the first tick at or after one at which an open-ended run may end.

        >>> Clock("2025-01-15", horizon_s=3600).at_horizon(61)
        120
        """
        every = 1 if self.horizon_s is None else max(math.ceil(self.horizon_s / self.step_s - 1e-9), 1)
        return -(-tick // every) * every

    def seconds(self, moment: str | dt.datetime) -> float:
        """Return the time from the start to a moment. [s]

        Raises
        ------
        CosimError
            If it is not a date and time, or one that the time zone skips.

        >>> Clock("2025-03-30", hours=4, zone="Europe/Madrid").seconds("2025-03-30T04:00")
        10800.0
        """
        return (_moment(moment, ZoneInfo(self.zone), "a moment") - self.start_utc).total_seconds()

    def utc(self, seconds: float) -> dt.datetime:
        """Return the moment a number of seconds after the start, in UTC."""
        return self.start_utc + dt.timedelta(seconds=seconds)

    def civil(self, seconds: float) -> dt.datetime:
        """Return the moment a number of seconds after the start, in the city's time.

        >>> Clock("2025-03-30", hours=4, zone="Europe/Madrid").civil(3 * 3600).isoformat()
        '2025-03-30T04:00:00+02:00'
        """
        return self.utc(seconds).astimezone(ZoneInfo(self.zone))
