"""The description of feeds, which messages and files carry which values, checked field by field.

It is data: it names topics, files, fields, units and rules, and nothing in it is executed.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import math
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, field_validator, model_validator

from cosim.core import units
from cosim.core.clock import duration_s
from cosim.core.errors import CosimError, UnitError

SCHEMA = resources.files("cosim.adapters.feed").joinpath("feeds.schema.json")
"""The JSON Schema of a file of feeds, for editors."""


def _seconds(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    if value == 0:
        return 0.0
    try:
        return duration_s(value)
    except CosimError as error:
        raise ValueError(str(error)) from None


def _unit(value: str) -> str:
    try:
        units.parse(value)
    except UnitError as error:
        raise ValueError(str(error)) from None
    return value


def _topic(value: str) -> str:
    levels = value.split("/")
    wild = any(("#" in level or "+" in level) and len(level) > 1 for level in levels) or "#" in levels[:-1]
    if not value or wild or "\0" in value or len(value.encode()) > 65535:
        raise ValueError("not a topic filter: '+' stands for one whole level and '#' for all remaining ones")
    return value


_DURATION = {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}]}
Duration: TypeAlias = Annotated[float, BeforeValidator(_seconds), Field(ge=0), WithJsonSchema(_DURATION)]
Unit: TypeAlias = Annotated[str, BeforeValidator(_unit)]
Topic: TypeAlias = Annotated[str, BeforeValidator(_topic)]
Port: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*\.[A-Za-z_]\w*$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Tls(_Strict):
    """Encryption; the broker's certificate and host name are always verified."""

    ca: Annotated[Path, Field(description="Certificates of the authorities that are trusted, PEM.")]
    certificate: Annotated[Path | None, Field(description="Own certificate, where the broker asks for one, PEM.")] = (
        None
    )
    key: Annotated[Path | None, Field(description="Key of the own certificate, PEM.")] = None


class Broker(_Strict):
    """An MQTT 5 broker."""

    host: Annotated[str, Field(description="Its name or address; loopback unless another is named here.")] = "127.0.0.1"
    port: Annotated[int | None, Field(ge=1, le=65535, description="By default 1883, or 8883 with tls.")] = None
    session: Annotated[
        str, Field(min_length=1, max_length=200, description="Name under which the broker keeps messages meanwhile.")
    ] = "cosim"
    username: str | None = None
    password_env: Annotated[str | None, Field(description="Environment variable that holds the password.")] = None
    password_file: Annotated[Path | None, Field(description="File whose first line is the password.")] = None
    tls: Tls | None = None
    max_payload: Annotated[int, Field(ge=64, le=16_777_216, description="Longest accepted payload. [byte]")] = 262_144
    max_queue: Annotated[int, Field(ge=100, le=1_000_000, description="Most values that wait for their step.")] = 20_000

    @model_validator(mode="after")
    def _credentials(self) -> Broker:
        if self.password_env is not None and self.password_file is not None:
            raise ValueError("password_env and password_file exclude each other: give one of them")
        if self.username is None and (self.password_env is not None or self.password_file is not None):
            raise ValueError("a password needs a username")
        if not self.is_local and self.username is not None and self.tls is None:
            raise ValueError(f"a password for {self.host} would be sent unencrypted: add tls")
        return self

    @property
    def is_local(self) -> bool:
        """Whether the broker is on this machine."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class Pace(_Strict):
    """When a step of the run may end."""

    by: Annotated[
        Literal["data", "elapsed", "civil"],
        Field(
            description="data: once the time stamps have passed its end; elapsed: with the time since the start of the "
            "run, times speed; civil: when the run's civil time is that of the computer's clock."
        ),
    ] = "data"
    speed: Annotated[float, Field(gt=0, description="Simulated seconds a second, with elapsed.")] = 1.0
    step: Annotated[Duration | None, Field(description="Step of the feeds; by default that of what they feed.")] = None
    patience: Annotated[
        Duration, Field(description="With data: time without a value after which a stream is not waited for. [s]")
    ] = 10.0
    settle: Annotated[Duration, Field(description="Further time given to values of a step that has ended. [s]")] = 0.0
    origin: Annotated[
        dt.datetime | None,
        Field(description="Time of the data that is the start of the run; by default the same time."),
    ] = None
    ahead: Annotated[Duration, Field(gt=0, description="Values farther in the future are absurd. [s]")] = 86400.0

    @model_validator(mode="after")
    def _one_speed(self) -> Pace:
        if self.by != "elapsed" and "speed" in self.model_fields_set:
            raise ValueError(f"speed goes with by: elapsed, not with by: {self.by}")
        return self


class Level(_Strict):
    """A level of the topic, counted from 0."""

    topic: Annotated[int, Field(ge=0)]


class Member(_Strict):
    """A member of the payload, by its path as in ``location.name``; or a column."""

    path: Annotated[str, Field(min_length=1)]


class Value(_Strict):
    """One quantity in a payload."""

    port: Annotated[Port, Field(description="Output that it stands in for, or input that it feeds.")]
    path: Annotated[str, Field(min_length=1, description="Member of the payload as in air.temperature, or column.")]
    unit: Annotated[Unit, Field(description="Unit of the payload; converted into the port's.")]
    unit_path: Annotated[
        str | None, Field(description="Member that states the unit, refused where it is another than unit.")
    ] = None
    label: Annotated[
        str | Level | Member, Field(description="Element: its name, a member of the payload, or a topic level.")
    ]
    labels: Annotated[dict[str, str], Field(description="Elements by the names that the data use.")] = Field(
        default_factory=dict
    )
    range: Annotated[tuple[float, float] | None, Field(description="Least and largest credible value, in unit.")] = None

    @field_validator("range")
    @classmethod
    def _ordered(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not value[0] < value[1]:
            raise ValueError("the first must be below the second")
        return value


class Stream(_Strict):
    """Where messages come from, and what they carry."""

    topic: Annotated[Topic | None, Field(description="MQTT topic, with wildcards.")] = None
    file: Annotated[Path | None, Field(description="File of JSON lines, or CSV with a header, that is read on.")] = None
    grows: Annotated[bool, Field(description="Whether the file may grow; if not, its end is the end of it.")] = True
    payload: Annotated[
        Literal["json", "ngsi-ld", "csv"],
        Field(description="ngsi-ld: an entity, normalized or as key values, a list of them, or a notification."),
    ] = "json"
    type: Annotated[str | None, Field(description="NGSI-LD type of the entities; others are refused.")] = None
    time: Annotated[
        str, Field(description="Member with the time stamp, ISO 8601 or Unix seconds; arrival: when it arrives.")
    ]
    shift: Annotated[
        Duration, Field(description="Added to time stamps, such as the length of an interval that they begin. [s]")
    ] = 0.0
    zone: Annotated[str | None, Field(description="Zone of time stamps without one; by default the run's.")] = None
    values: Annotated[list[Value], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Stream:
        if (self.topic is None) == (self.file is None):
            raise ValueError("a stream has a topic or a file: give one of them")
        if self.payload == "csv" and self.file is None:
            raise ValueError("csv goes with a file, whose first line names the columns")
        if self.type is not None and self.payload != "ngsi-ld":
            raise ValueError("type goes with payload: ngsi-ld")
        if self.topic is None and any(isinstance(value.label, Level) for value in self.values):
            raise ValueError("a level of the topic goes with a topic")
        return self

    @property
    def name(self) -> str:
        """The topic or the file's name."""
        return self.topic if self.topic is not None else Path(str(self.file)).name


class Rule(_Strict):
    """What a port receives while values are missing, and how those of a step become one."""

    hold: Annotated[Duration, Field(description="Age up to which the last value is repeated. [s]")]
    default: Annotated[
        float | Literal["model"],
        Field(description="Value after that, in the port's unit; model: what the model computes, of an output."),
    ]
    statistic: Annotated[
        Literal["mean", "last"], Field(description="mean: over the step, each value holding until the next.")
    ] = "mean"
    out_of_order: Annotated[
        Literal["sort", "drop"], Field(description="Values of the present step that arrive after later ones.")
    ] = "sort"
    late: Annotated[
        Literal["hold", "drop"],
        Field(description="Values of past steps; hold: the newest becomes the last value, which is repeated."),
    ] = "hold"
    apply: Annotated[
        Literal["replace", "ratio", "total"],
        Field(
            description="For an output. replace: element by element; ratio: all elements times measured over modelled "
            "of the one that is fed; total: elements of a group scaled so that its sum is as measured."
        ),
    ] = "replace"
    also: Annotated[list[Port], Field(description="With ratio: further outputs to scale by it.")] = Field(
        default_factory=list
    )
    ratio: Annotated[tuple[float, float], Field(description="Least and largest factor of ratio and total.")] = (
        0.0,
        5.0,
    )
    groups: Annotated[
        dict[str, list[str]], Field(description="With total: elements of each group, by name or pattern.")
    ] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Rule:
        if (self.apply == "total") != bool(self.groups):
            raise ValueError("groups go with apply: total")
        if self.also and self.apply != "ratio":
            raise ValueError("also goes with apply: ratio")
        if not 0 <= self.ratio[0] < self.ratio[1]:
            raise ValueError("ratio: the first must be 0 or more and below the second")
        if self.default != "model" and not math.isfinite(self.default):
            raise ValueError("default must be finite")
        return self


class Publication(_Strict):
    """Outputs that are published each step."""

    ports: Annotated[list[str], Field(min_length=1, description="Outputs, or patterns as in grid.*")]
    topic: Annotated[
        str, Field(description="Topic, in which {adapter} and {port} are replaced.", pattern=r"^[^+#]+$")
    ] = "cosim/{adapter}/{port}"
    retain: bool = False
    form: Annotated[
        Literal["json", "ngsi-ld"],
        Field(description="ngsi-ld: entities of the Smart Data Models, all of an adapter in one array."),
    ] = "json"


class Feeds(_Strict):
    """Feeds of a live run."""

    broker: Broker | None = None
    pace: Pace = Field(default_factory=Pace)
    streams: Annotated[list[Stream], Field(min_length=1)]
    ports: Annotated[dict[Port, Rule], Field(description="Rules of the ports that streams feed.")]
    publish: list[Publication] = Field(default_factory=list)

    @model_validator(mode="after")
    def _complete(self) -> Feeds:
        fed = {value.port for stream in self.streams for value in stream.values}
        if without := sorted(fed - self.ports.keys()):
            raise ValueError(f"{without[0]} is fed but has no rule under ports")
        if idle := sorted(self.ports.keys() - fed):
            raise ValueError(f"ports names {idle[0]}, which no stream feeds")
        if self.broker is None and (self.publish or any(stream.topic for stream in self.streams)):
            raise ValueError("topics need a broker: add one, as in broker: {host: 127.0.0.1}")
        return self

    def resolved(self, folder: Path) -> Feeds:
        """Return the feeds with relative paths taken from a folder."""
        copy = self.model_copy(deep=True)
        for stream in copy.streams:
            stream.file = None if stream.file is None else folder / stream.file
        if copy.broker is not None:
            places: list[tuple[BaseModel, str]] = [(copy.broker, "password_file")]
            if copy.broker.tls is not None:
                places += [(copy.broker.tls, name) for name in ("ca", "certificate", "key")]
            for owner, name in places:
                if (path := getattr(owner, name)) is not None:
                    setattr(owner, name, folder / path)
        return copy


def schema() -> str:
    """Return the JSON Schema of a file of feeds as text."""
    return json.dumps(Feeds.model_json_schema(), indent=2) + "\n"
