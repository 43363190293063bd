"""The adapter: a simulator behind a datasheet of ports and three methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

from .clock import Clock
from .errors import PortError
from .ports import Input, Output, Port

Placement: TypeAlias = Literal["inline", "thread", "process"]


@dataclass(frozen=True, slots=True)
class Step:
    """One interval of simulated time, ``[start_s, end_s)``, in seconds since the clock's start."""

    start_s: float
    length_s: float

    @property
    def end_s(self) -> float:
        """End of the interval. [s]"""
        return self.start_s + self.length_s


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an element and is kept beside the recorded series."""

    kind: str
    element: str = ""
    text: str = ""


class Adapter:
    """One simulator behind ports.

    A subclass declares its ports as attributes in ``__init__``, which starts nothing and leaves the object
    picklable, and implements three methods: `open` starts the simulator and assigns the ``end`` outputs known at
    the start, `advance` moves it over one step and assigns every output, `close` stops it (also after a failure;
    it may be called twice).
    """

    placement: ClassVar[Placement] = "inline"
    """Where it runs unless the scenario overrides it: ``"process"`` for code that may crash, hang or hold the GIL,
    ``"thread"`` for kernels that release the GIL, ``"inline"`` for fast code."""

    ends_run: ClassVar[bool] = False
    """Whether it may end an open-ended run by setting `finished`."""

    paces: ClassVar[bool] = False
    """Whether no other adapter may end a step before it has finished its own up to then: for one that follows a clock
    or data from outside. It must have no inputs."""

    replays: ClassVar[bool] = False
    """Whether a resumed run may restore it by opening it and advancing it again through its recorded inputs. Only
    for deterministic adapters; an adapter with `save` and `load` needs no replay."""

    step_tolerance: ClassVar[float | None] = None
    """Declares that the step length does not matter: under constant inputs two half steps yield the same means and
    final states as a full step, to this share of each output's largest value. None where the step length matters."""

    folder: Path | None = None
    """Folder for the adapter's own files of the current run; set before `open`."""

    run_clock: Clock | None = None
    """Clock of the current run; set before `open`, None where no scenario runs the adapter."""

    files: Sequence[Path] = ()
    """Input files it reads, hashed into the run's provenance."""

    settings: Mapping[str, str] = {}
    """Values from elsewhere than its arguments and files, such as environment variables, for the run's provenance."""

    finished: bool = False
    """Set in `advance` when an open-ended run has nothing left to simulate."""

    def open(self) -> None:
        """Start the simulator and assign the initial state of ``end`` outputs."""

    def advance(self, step: Step) -> None:
        """Advance by one step: read the inputs, assign every output."""
        raise NotImplementedError(f"{type(self).__name__} has no advance(step): every adapter must implement it")

    def close(self) -> None:
        """Stop the simulator; must be safe to call twice."""

    def interrupt(self) -> None:
        """End a step in progress soon, by an exception; called from another thread when the run is to end."""

    def save(self, folder: Path) -> None:
        """Write everything `load` needs to continue exactly from this state into an empty folder."""
        raise NotImplementedError(f"{type(self).__name__} has no save(folder): implement it together with load(folder)")

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote; called once after `open`, on an adapter built with the same arguments."""
        raise NotImplementedError(f"{type(self).__name__} has no load(folder): implement it together with save(folder)")

    def versions(self) -> dict[str, str]:
        """Return names and versions of the software it runs, for the run's provenance."""
        return {}

    def from_clock(self, clock: Clock) -> dict[str, Any]:
        """Return what the adapter derives from a run's clock, as plain JSON data for the run's provenance."""
        return {}

    def describe(self, port: str) -> Mapping[str, str]:
        """Return what the elements of a port are, by label, as in ``"bus 7, behind T2"``; ``cosim show`` prints it."""
        return {}

    def report(self, kind: str, element: str = "", text: str = "") -> None:
        """Record an event at the end of the current step."""
        self.__dict__.setdefault("_events", []).append(Event(str(kind), str(element), str(text)))

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, Port):
            value.name = name
        elif isinstance(self.__dict__.get(name), Port):
            raise PortError(f"{name} is a port: assign to {name}.value, not to {name}")
        object.__setattr__(self, name, value)


def inputs(adapter: Adapter) -> dict[str, Input]:
    """Return the inputs on an adapter's datasheet by name, in the order of declaration."""
    return {name: port for name, port in vars(adapter).items() if isinstance(port, Input)}


def outputs(adapter: Adapter) -> dict[str, Output]:
    """Return the outputs on an adapter's datasheet by name, in the order of declaration."""
    return {name: port for name, port in vars(adapter).items() if isinstance(port, Output)}


def restored_by(adapter: Adapter) -> Literal["state", "replay"] | None:
    """Return how a resumed run restores an adapter; None if it cannot."""
    kind = type(adapter)
    if kind.save is not Adapter.save and kind.load is not Adapter.load:
        return "state"
    return "replay" if kind.replays else None


def take_events(adapter: Adapter) -> list[Event]:
    """Return and clear the events reported since the last call."""
    events: list[Event] = adapter.__dict__.pop("_events", [])
    return events
