"""Description of a mosaik simulator: attributes behind ports, and calls of its extra methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import ArrayLike

from cosim.core.ports import Kind


@dataclass(frozen=True)
class InputAttribute:
    """An attribute written by a port.

    Parameters
    ----------
    name
        The attribute's name in the simulator.
    unit
        The unit of the attribute in the simulator.
    default
        As for `Input`.
    labels
        Label to entity: the label of a created entity, or the id of a child. Several labels may write to one
        entity, each as a separate source. By default every created entity, under its label.
    """

    name: str
    unit: str
    default: ArrayLike | None = None
    labels: Mapping[str, str] | None = None


@dataclass(frozen=True)
class OutputAttribute:
    """An attribute read by a port.

    Parameters
    ----------
    name, unit, labels
        As for `InputAttribute`.
    kind, may_be_missing
        As for `Output`. A ``"mean"`` is the mean of the simulator's values over its steps, each value lasting until
        the next; an ``"end"`` is the last value.
    """

    name: str
    unit: str
    kind: Kind
    may_be_missing: bool = False
    labels: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Entity:
    """A created entity as an argument of a `Call`: its id in the simulator takes its place.

    Parameters
    ----------
    label
        Label of the entity.
    """

    label: str


@dataclass(frozen=True)
class Call:
    """A call of a method that the simulator offers beside ``create`` (``extra_methods`` in its meta data).

    Parameters
    ----------
    method
        Name of the method.
    arguments, settings
        Its arguments by position and by name; an `Entity` stands for its id.
    before_create
        Whether it is called before the entities are created, instead of after.
    """

    method: str
    arguments: Sequence[Any] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    before_create: bool = False
