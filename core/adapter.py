"""What does a simulator have to be, to take part? A datasheet of ports and three verbs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

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
    picklable, and then obeys three verbs: `open` starts the simulator and assigns the ``end`` outputs it already
    knows, `advance` moves it over one step and assigns every output, `close` stops it (also after a failure, and
    twice if need be).
    """

    placement: ClassVar[Placement] = "inline"
    """Where it runs unless the scenario says otherwise: ``"process"`` for what may crash, hang or hold the GIL,
    ``"thread"`` for kernels that release it, ``"inline"`` for what is quick."""

    ends_run: ClassVar[bool] = False
    """Whether it may end a run of open length, by setting `finished`."""

    replays: ClassVar[bool] = False
    """Whether a resumed run may bring it back by opening it and advancing it again through its recorded inputs. Only
    for what is deterministic; an adapter that writes `save` and `load` needs no replay."""

    step_tolerance: ClassVar[float | None] = None
    """Declares that any step length will do: under constant inputs two halves of a step tell the same means and final
    states as the whole, to this share of each output's largest value. None where the choice of step matters."""

    folder: Path | None = None
    """Where its own files of the present run go; set before `open`."""

    files: Sequence[Path] = ()
    """The input files it reads, hashed into the run's provenance."""

    finished: bool = False
    """Set in `advance` when a run of open length has nothing left to simulate."""

    def open(self) -> None:
        """Start the simulator and assign the initial state of ``end`` outputs."""

    def advance(self, step: Step) -> None:
        """Move over one step: read the inputs, assign every output."""
        raise NotImplementedError(f"{type(self).__name__} has no advance(step): write it, it is the simulator")

    def close(self) -> None:
        """Stop the simulator; must be safe to call twice."""

    def save(self, folder: Path) -> None:
        """Write into an empty folder everything that `load` needs to go on exactly from here."""
        raise NotImplementedError(f"{type(self).__name__} has no save(folder): write it with load(folder)")

    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote: called once after `open`, on an adapter built with the same arguments."""
        raise NotImplementedError(f"{type(self).__name__} has no load(folder): write it with save(folder)")

    def versions(self) -> dict[str, str]:
        """Return name and version of the software it runs, for the run's provenance."""
        return {}

    def report(self, kind: str, element: str = "", text: str = "") -> None:
        """Record an event at the end of the present step."""
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
    """Return how a resumed run brings an adapter back; None if it cannot."""
    kind = type(adapter)
    if kind.save is not Adapter.save and kind.load is not Adapter.load:
        return "state"
    return "replay" if kind.replays else None


def take_events(adapter: Adapter) -> list[Event]:
    """Return and forget the events reported since the last call."""
    events: list[Event] = adapter.__dict__.pop("_events", [])
    return events
