"""What passes between ports and a federation of HELICS: values by publications, messages by endpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from numpy.typing import ArrayLike

from cosim.core.ports import Kind

Labels: TypeAlias = Sequence[str] | Mapping[str, str]


@dataclass(frozen=True)
class Publication:
    """A value that an input port publishes to the federation, at the beginning of each step.

    Parameters
    ----------
    key
        Its global key, as in ``"cosim/load"``. With ``labels`` as a mapping a prefix, which may be empty.
    unit
        Unit of the port and, as text, of the publication.
    labels
        Elements: a sequence for one publication of a vector in this order, or label → key of its own publication of a
        number.
    default
        As for `Input`.
    """

    key: str
    unit: str
    labels: Labels
    default: ArrayLike | None = None


@dataclass(frozen=True)
class Subscription:
    """A value of the federation that an output port takes over.

    Parameters
    ----------
    key, labels
        As for `Publication`; the keys are those of another federate's publications.
    unit
        Unit of the port. A value published in another unit of the same quantity is converted; one published without a
        unit is taken to be in this one, which is reported as an event.
    kind
        ``"end"``: the value at the end of the step. ``"mean"``: the mean of all values of the step over time.
    published
        For a mean, the time for which a value counts: ``"end"`` for that since the value before, as of a federate
        that answers for the interval which it has computed; ``"begin"`` for that until the next value.
    initial
        Values until the first one arrives, one number or one per element. Without them a value has to be published
        while the federation initializes, if its kind is ``"end"``.
    """

    key: str
    unit: str
    labels: Labels
    kind: Kind
    initial: ArrayLike | None = None
    published: Literal["begin", "end"] = "end"


@dataclass(frozen=True)
class Sender:
    """A message that an input port sends to an endpoint, at the beginning of each step: its values as a JSON array.

    Parameters
    ----------
    endpoint
        Global name of the endpoint that sends.
    to
        Name of the endpoint that receives.
    unit, labels, default
        As for `Publication`; labels are a sequence.
    """

    endpoint: str
    to: str
    unit: str
    labels: Sequence[str]
    default: ArrayLike | None = None


@dataclass(frozen=True)
class Receiver:
    """Messages that an endpoint receives for an output port: JSON arrays of its values, or a number for one element.

    Parameters
    ----------
    endpoint
        Global name of the endpoint.
    unit, labels, kind, initial, published
        As for `Subscription`; labels are a sequence. Messages have no unit: their values are in this one.
    """

    endpoint: str
    unit: str
    labels: Sequence[str]
    kind: Kind
    initial: ArrayLike | None = None
    published: Literal["begin", "end"] = "end"


Source: TypeAlias = Subscription | Receiver
Target: TypeAlias = Publication | Sender


def keys_of(link: Publication | Subscription) -> list[str]:
    """Return the keys behind a link: one of a vector, or one per label."""
    if not isinstance(link.labels, Mapping):
        return [link.key]
    prefix = f"{link.key}/" if link.key else ""
    return [prefix + key for key in link.labels.values()]
