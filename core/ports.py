"""Input and output ports: named vectors of float64 with a unit and one value per labelled element."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from . import units
from .arguments import shown
from .errors import PortError
from .quantities import Vector

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Kind: TypeAlias = Literal["mean", "end"]


def frozen(values: Vector) -> Vector:
    """Return the array itself, made read-only."""
    values.flags.writeable = False
    return values


class Port:
    """A vector of float64 with a unit and one label per element.

    Parameters
    ----------
    unit
        Unit of every element, e.g. ``"W"``; ``"1"`` for a ratio.
    labels
        Names of the elements, each once.

    Raises
    ------
    PortError
        If the unit is unknown, a label is duplicated, or the labels are not a sequence.
    """

    def __init__(self, unit: str, labels: Iterable[object]) -> None:
        units.check(unit)
        self.unit = unit
        if isinstance(labels, str) or not isinstance(labels, Iterable):
            raise PortError(f"labels is {shown(labels)}: pass a sequence of labels, one per element")
        self.labels: tuple[str, ...] = tuple(str(label) for label in labels)
        self.name = "port"
        """``adapter.port`` inside a scenario, else the attribute's name."""
        self._value: Vector | None = None
        if len(set(self.labels)) != len(self.labels):
            seen: set[str] = set()
            twice = next(label for label in self.labels if label in seen or seen.add(label))  # type: ignore[func-returns-value]
            raise PortError(f"duplicate label {twice!r}: every element needs a label of its own")

    def __len__(self) -> int:
        return len(self.labels)

    def _checked(self, value: ArrayLike, *, may_be_missing: bool) -> Vector:
        shape = (len(self.labels),)
        try:
            array = np.array(value, dtype=np.float64)  # a copy: the caller may reuse its own array
        except (TypeError, ValueError) as error:
            raise PortError(f"{self.name} expects numbers, shape {shape}, got {shown(value)}") from error
        if array.shape == ():
            array = np.full(shape, array)
        if array.shape != shape:
            raise PortError(f"{self.name} expects shape {shape}, got {array.shape}")
        bad = np.isinf(array) if may_be_missing else ~np.isfinite(array)
        if bad.any():
            first = int(np.argmax(bad))
            also = f" (and {bad.sum() - 1} more)" if bad.sum() > 1 else ""
            remedy = (
                "only NaN may stand for a missing value"
                if may_be_missing
                else "every element must be a finite number; declare the output may_be_missing=True if NaN is meant"
            )
            raise PortError(f"{self.name}[{self.labels[first]!r}] is {array[first]}{also}: {remedy}")
        return frozen(array)


class Input(Port):
    """A vector that an adapter receives.

    Parameters
    ----------
    unit, labels
        See `Port`.
    default
        The value while nothing is connected, one number or one per element; without it the input must be connected.

    Examples
    --------
    >>> Input("W", labels=["bus 1", "bus 2"], default=0.0).value
    array([0., 0.])
    """

    def __init__(self, unit: str, labels: Iterable[object], default: ArrayLike | None = None) -> None:
        super().__init__(unit, labels)
        self.default = None if default is None else self._checked(default, may_be_missing=False)
        self._value = self.default

    @property
    def value(self) -> Vector:
        """The read-only vector delivered for the present step, shape (n_labels,).

        Raises
        ------
        PortError
            If nothing has been delivered.
        """
        if self._value is None:
            raise PortError(f"{self.name} has no value yet: inputs are delivered with the first step, not in open()")
        return self._value

    def deliver(self, value: ArrayLike) -> None:
        """Set the port's value, as the engine does before a step."""
        self._value = self._checked(value, may_be_missing=False)

    def reset(self) -> None:
        """Discard the delivered value and return to the default."""
        self._value = self.default

    def __repr__(self) -> str:
        return f"Input({self.unit!r}, {len(self)} labels)"


class Output(Port):
    """A vector that an adapter publishes.

    Parameters
    ----------
    unit, labels
        See `Port`.
    kind
        ``"mean"``: the mean over the step (powers, flows, prices). ``"end"``: the state at the step's end
        (temperature, voltage, state of charge).
    may_be_missing
        Whether an element may be NaN, which is then recorded with an event.

    Examples
    --------
    >>> power = Output("W", labels=["roof"], kind="mean")
    >>> power.value = [250.0]
    >>> power.value = [1.0, 2.0]
    Traceback (most recent call last):
        ...
    cosim.core.errors.PortError: port expects shape (1,), got (2,)
    """

    def __init__(self, unit: str, labels: Iterable[object], kind: Kind, may_be_missing: bool = False) -> None:
        super().__init__(unit, labels)
        if kind not in ("mean", "end"):
            raise PortError(f"kind is {kind!r}: write 'mean' (over the step) or 'end' (state at its end)")
        self.kind: Kind = kind
        self.may_be_missing = may_be_missing
        self.assigned = False
        """Whether the adapter has assigned a value since the engine last read it."""

    @property
    def value(self) -> Vector:
        """The read-only vector last assigned, shape (n_labels,). Assigning copies and checks.

        Raises
        ------
        PortError
            On a wrong shape, an infinite value, or NaN in a port without ``may_be_missing``.
        """
        if self._value is None:
            raise PortError(f"{self.name} has no value yet: assign {self.name}.value first")
        return self._value

    @value.setter
    def value(self, value: ArrayLike) -> None:
        self._value = self._checked(value, may_be_missing=self.may_be_missing)
        self.assigned = True

    @property
    def has_value(self) -> bool:
        """Whether anything has been assigned yet."""
        return self._value is not None

    def __repr__(self) -> str:
        return f"Output({self.unit!r}, {len(self)} labels, kind={self.kind!r})"
