"""Payloads to values: JSON objects, NGSI-LD entities and rows of CSV, as the description of a stream says."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

from cosim.core import CosimError, UnitError
from cosim.core.arguments import did_you_mean, shown
from cosim.core.clock import Clock
from cosim.core.units import conversion

from .specification import Level, Member, Stream, Value

UNIT_CODES = {
    "CEL": "degC",
    "KEL": "K",
    "FAH": "degF",
    "P1": "percent",
    "C62": "1",
    "WTT": "W",
    "KWT": "kW",
    "MAW": "MW",
    "D54": "W/m**2",
    "KWH": "kWh",
    "VLT": "V",
    "AMP": "A",
    "MTS": "m/s",
    "KMH": "km/h",
    "PAL": "Pa",
    "2N": "dB",
}
"""Common codes of UN/CEFACT Recommendation 20, as NGSI-LD's ``unitCode`` has them, and our units.

Revision 17, as in github.com/datasets/unece-units-of-measure."""
_MILLISECONDS = 1e11
"""Numbers from here on are milliseconds since 1970, those below are seconds (until the year 5138)."""


class Kind(StrEnum):
    """What became of a value."""

    USED = "used"
    LATE = "late"
    DOUBLED = "doubled"
    OUT_OF_ORDER = "out of order"
    ABSURD = "absurd"
    MALFORMED = "malformed"
    NO_VALUE = "no value"
    UNKNOWN_LABEL = "unknown label"
    WRONG_TYPE = "wrong type"
    WRONG_UNIT = "wrong unit"
    TOO_LARGE = "too large"


@dataclass(frozen=True, slots=True)
class Sample:
    """A value with its time, in the port's unit."""

    port: str
    element: int
    time_s: float
    value: float


@dataclass(frozen=True, slots=True)
class Fault:
    """A payload or value that is not used, and why."""

    kind: Kind
    text: str


class _FaultError(Exception):
    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.fault = Fault(kind, text)


@dataclass(frozen=True)
class FedPort:
    """A port that is fed: the unit and labels that values are converted and matched to."""

    unit: str
    labels: tuple[str, ...]


class Decoder:
    """Reads the payloads of one stream.

    Parameters
    ----------
    stream
        Its description.
    ports
        The ports that it feeds, by ``adapter.port``.
    clock
        Clock of the run.
    origin
        Time of the data that is the start of the run.

    Raises
    ------
    CosimError
        If the unit of a value is another quantity than the port's, or a named element is not in the port.
    """

    def __init__(
        self, stream: Stream, ports: Mapping[str, FedPort], clock: Clock, origin: dt.datetime | None = None
    ) -> None:
        self.stream = stream
        self._zone = ZoneInfo(stream.zone or clock.zone)
        origin = clock.start_utc if origin is None else origin
        self._origin_s = (origin if origin.tzinfo else origin.replace(tzinfo=ZoneInfo(clock.zone))).timestamp()
        self._values = []
        for value in stream.values:
            port = ports[value.port]
            try:
                factor, offset = conversion(value.unit, port.unit)
            except UnitError as error:
                raise CosimError(
                    f"stream {stream.name} gives {value.path} in {value.unit}, but {value.port} is in {port.unit}: "
                    f"{error}; state the unit of the payload"
                ) from error
            rows = {label: i for i, label in enumerate(port.labels)}
            fixed = [value.label] if isinstance(value.label, str) else []
            for label in (*fixed, *value.labels.values()):
                if label not in rows:
                    raise CosimError(
                        f"stream {stream.name} names the element {label!r}, which {value.port} does not have"
                        f"{did_you_mean(label, rows)}"
                    )
            names = {name: rows[label] for name, label in value.labels.items()} or rows
            self._values.append((value, names, factor, offset))

    def decode(self, topic: str, payload: bytes | bytearray, now_s: float) -> list[Sample | Fault]:
        """Return the values of a payload; ``now_s`` is the time of arrival, in seconds since the run's start."""
        try:
            content = json.loads(payload, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            return [Fault(Kind.MALFORMED, f"not JSON: {str(error)[:80]}")]
        try:
            return [found for one in self._objects(content) for found in self._read(topic, one, now_s)]
        except _FaultError as error:
            return [error.fault]

    def row(self, row: Mapping[str, Any], now_s: float) -> list[Sample | Fault]:
        """Return the values of a row of CSV."""
        return list(self._read("", row, now_s))

    def _objects(self, content: Any) -> Iterator[Mapping[str, Any]]:
        if self.stream.payload == "ngsi-ld" and isinstance(content, dict) and content.get("type") == "Notification":
            content = content.get("data")
        for one in content if isinstance(content, list) else [content]:
            if not isinstance(one, dict):
                raise _FaultError(Kind.MALFORMED, f"holds {shown(one)} in place of an object")
            yield one

    def _read(self, topic: str, content: Mapping[str, Any], now_s: float) -> Iterator[Sample | Fault]:
        try:
            if self.stream.type is not None:
                given = content.get("type", content.get("@type"))
                types = [str(one).rpartition("/")[2] for one in (given if isinstance(given, list) else [given])]
                if self.stream.type not in types:
                    raise _FaultError(Kind.WRONG_TYPE, f"an entity of type {shown(given)}, not {self.stream.type}")
            shared = None if "{}" in self.stream.time else self._time_s(content, self.stream.time, now_s)
        except _FaultError as error:
            yield error.fault
            return
        for value, names, factor, offset in self._values:
            try:
                at = shared if shared is not None else self._time_s(content, self.stream.time, now_s, value.path)
                yield self._sample(topic, content, value, names, factor, offset, at)
            except _FaultError as error:
                yield error.fault

    def _sample(
        self,
        topic: str,
        content: Mapping[str, Any],
        value: Value,
        names: Mapping[str, int],
        factor: float,
        offset: float,
        at: float,
    ) -> Sample:
        label = self._label(topic, content, value)
        if label not in names:
            raise _FaultError(Kind.UNKNOWN_LABEL, f"element {shown(label)} is not in {value.port}")
        self._check_unit(content, value)
        found = self._at(content, value.path)
        if found is None or found == "":
            raise _FaultError(Kind.NO_VALUE, f"{value.path} of {label!r} holds nothing")
        if isinstance(found, bool) or not isinstance(
            found, int | float | (str if self.stream.payload == "csv" else int)
        ):
            raise _FaultError(Kind.MALFORMED, f"{value.path} of {label!r} is {shown(found)}, not a number")
        try:
            number = float(found)
        except (ValueError, OverflowError):
            raise _FaultError(Kind.MALFORMED, f"{value.path} of {label!r} is {shown(found)}, not a number") from None
        low, high = value.range or (-math.inf, math.inf)
        if not (math.isfinite(number) and low <= number <= high):
            raise _FaultError(
                Kind.ABSURD, f"{value.path} of {label!r} is {number:g} {value.unit}, credible is {low:g} to {high:g}"
            )
        return Sample(value.port, names[label], at, number * factor + offset)

    def _label(self, topic: str, content: Mapping[str, Any], value: Value) -> str:
        match value.label:
            case Level(topic=level):
                levels = topic.split("/")
                if level >= len(levels):
                    raise _FaultError(Kind.UNKNOWN_LABEL, f"topic {topic} has no level {level}")
                return levels[level]
            case Member(path=path):
                return str(self._at(content, path))
            case fixed:
                return str(fixed)

    def _check_unit(self, content: Mapping[str, Any], value: Value) -> None:
        """Refuse a value whose payload states another unit than its description."""
        stated = self._at(content, value.unit_path) if value.unit_path else None
        if stated is None and self.stream.payload == "ngsi-ld":
            about = content.get(value.path.partition(".")[0])
            stated = about.get("unitCode") if isinstance(about, dict) else None
        if stated is None:
            return
        unit = UNIT_CODES.get(str(stated), str(stated))
        try:
            same = conversion(unit, value.unit) == (1.0, 0.0)
        except UnitError:
            same = False
        if not same:
            raise _FaultError(Kind.WRONG_UNIT, f"{value.path} is in {shown(stated)}, described as {value.unit}")

    def _time_s(self, content: Mapping[str, Any], path: str, now_s: float, value: str = "") -> float:
        """Return a time stamp in seconds since the start of the run."""
        if path == "arrival":
            return now_s
        found = self._at(content, path.replace("{}", value))
        try:
            if isinstance(found, str) and not _is_number(found):
                moment = dt.datetime.fromisoformat(found)
                stamp = (moment if moment.tzinfo else moment.replace(tzinfo=self._zone)).timestamp()
            elif isinstance(found, bool) or found is None:
                raise ValueError
            else:
                stamp = float(found)
                stamp = stamp / 1000 if abs(stamp) >= _MILLISECONDS else stamp
            if not math.isfinite(stamp):
                raise ValueError
        except (ValueError, TypeError, OverflowError):
            raise _FaultError(Kind.MALFORMED, f"{path} is {shown(found)}, not a time") from None
        return stamp - self._origin_s + self.stream.shift

    def _at(self, content: Any, path: str) -> Any:
        """Return a member by its path; of an NGSI-LD attribute its value."""
        if path in content:  # a name may hold dots, as columns and expanded names do
            found = content[path]
        else:
            found = content
            for part in path.split("."):
                if isinstance(found, dict) and part not in found and isinstance(found.get("value"), dict):
                    found = found["value"]
                found = found.get(part) if isinstance(found, dict) else None
        if self.stream.payload == "ngsi-ld" and isinstance(found, dict):
            found = found.get("value", found.get("object"))
            if isinstance(found, dict):
                found = found.get("@value", found)
        return found


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
