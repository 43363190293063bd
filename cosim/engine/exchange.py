"""The exchange of values between outputs and inputs with different steps and delays.

All times here are whole exchange steps ("ticks"). A source's step is the interval ``[end - h, end)``. For a
``mean`` output the target's step ``[t, t + h)`` receives the overlap-weighted average over ``[t - d, t + h - d)``,
for an ``end`` output the last state at or before ``t + h - d``, where ``d`` is the connection's delay.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, TypeAlias

import numpy as np
import scipy.sparse as sp

from cosim.core.errors import CosimError
from cosim.core.ports import Kind, frozen
from cosim.core.quantities import Vector
from cosim.core.units import energies, levels

Substitute: TypeAlias = Literal["stop", "hold"] | float


def mosaik_shift(kind: Kind, delay: int, source_step: int, target_step: int) -> int:
    """Return by how many ticks the source may lag behind the target; 0 means that it must run first.

    A mean over an interval needs every source step that overlaps it, and the last of these may end later than the
    interval, by as much as the common grid of both steps and the delay allows.

    >>> mosaik_shift("mean", 3, 3, 1), mosaik_shift("mean", 1, 3, 3), mosaik_shift("end", 1, 3, 1)
    (1, 0, 1)
    """
    if kind == "end" or delay == 0:
        return delay
    return max(0, delay - source_step + math.gcd(source_step, target_step, delay))


@dataclass(frozen=True)
class LabelMapping:
    """A map from source vector to target vector: a matrix or an order of elements, with the unit factor folded in."""

    matrix: sp.csr_array | None
    order: np.ndarray | None
    factor: float
    weights: Vector | None
    """Column sums of the matrix before the factor: the share of each source element that arrives; None if all of it."""

    @property
    def digest(self) -> str:
        """A hash of the mapping."""
        parts = [self.order] if self.matrix is None else [self.matrix.indptr, self.matrix.indices, self.matrix.data]
        digest = hashlib.sha256(repr(self.factor).encode())
        for part in parts:
            if part is not None:
                digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()[:16]

    def apply(self, values: Vector) -> Vector:
        """Map a source vector, shape (n_source,), to a target vector, shape (n_target,)."""
        if self.matrix is not None:
            return self.matrix @ values
        if self.order is not None:
            values = values[self.order]
        return values if self.factor == 1.0 else values * self.factor

    def total(self, values: Vector) -> tuple[float, float]:
        """Return the source's total in the target's unit, and the part of it that is dropped."""
        sent = float(values.sum()) * self.factor
        if self.weights is None:
            return sent, 0.0
        return sent, float(values @ (1.0 - self.weights)) * self.factor


@dataclass(frozen=True, kw_only=True)
class Connection:
    """A connection from an output to an input."""

    source: str
    output: str
    target: str
    input: str
    kind: Kind
    unit: str
    """The target's unit."""
    labels: tuple[str, ...]
    """Labels of the source's elements."""
    mapping: LabelMapping
    delay: int
    initial: Vector | None
    if_missing: Substitute
    may_be_missing: bool
    extensive: bool
    partial: bool
    level: bool
    """Whether the values are levels, which are averaged and summed by energy."""
    because: str = ""
    """Reason for the delay."""

    @property
    def name(self) -> str:
        """``source.output → target.input``."""
        return f"{self.source}.{self.output} → {self.target}.{self.input}"


@dataclass
class Account:
    """The ledger of one connection: totals over elements and time, in the target's unit times seconds.

    ``sent`` is integrated where values leave, ``received`` where they arrive, independently of each other.
    """

    sent: float = 0.0
    initial: float = 0.0
    received: float = 0.0
    in_flight: float = 0.0
    dropped: float = 0.0
    scale: float = 0.0

    @property
    def residual(self) -> float:
        """The imbalance, relative to the sum of magnitudes."""
        gap = self.sent + self.initial - self.received - self.in_flight - self.dropped
        return abs(gap) / self.scale if self.scale else abs(gap)


class Channel:
    """One connection during a run: values go in at the source's steps and come out at the target's.

    Parameters
    ----------
    connection
        The connection.
    source_step, target_step
        Steps of the two adapters. [ticks]
    tick_s
        Length of a tick. [s]
    """

    def __init__(self, connection: Connection, source_step: int, target_step: int, tick_s: float) -> None:
        self.connection = connection
        self.account = Account()
        self._source_step, self._target_step, self._tick_s = source_step, target_step, tick_s
        self._held: Vector | None = connection.initial
        self._next_end = target_step
        # By number of the target's step: values that cover it entirely, and partial sums with their number of ticks.
        self._whole: dict[int, Vector] = {}
        self._sums: dict[int, tuple[Vector, int]] = {}
        self._states: deque[tuple[int, Vector]] = deque()
        if connection.initial is not None:
            if connection.kind == "end":
                self._states.append((-connection.delay - target_step, connection.initial))
            elif connection.delay:
                self.account.initial += self._count(connection.initial, connection.delay)
                self._add(-connection.delay, 0, connection.initial)

    def send(self, end: int, values: Vector) -> None:
        """Accept the source's values of the step that ends at ``end`` (0: the state before the first step)."""
        if end == 0 and self.connection.initial is not None:
            return  # the initial value was given instead
        values = self._substituted(values)
        if self.connection.kind == "end":
            self._states.append((end, values))
            self._drop_old_states()
        elif end > 0:
            self.account.sent += self._count(values, self._source_step)
            self._add(end - self._source_step, end, values)

    def receive(self, end: int) -> Vector:
        """Return what the target receives in its step that ends at ``end``, shape (n_target,)."""
        if self.connection.kind == "end":
            self._next_end = end
            self._drop_old_states()
            if not self._states or self._states[0][0] > end - self.connection.delay:
                raise CosimError(
                    f"{self.connection.name}: {self.connection.output} has no initial state: assign it in open(), or "
                    "pass initial= to the connection"
                )
            values = self._states[0][1]
            self._next_end = end + self._target_step
        else:
            values = self._mean(end)
        mapping = self.connection.mapping
        if self.connection.level and mapping.matrix is not None:
            arrived = levels(mapping.apply(energies(values)))
        else:
            arrived = mapping.apply(values)
        if self.connection.extensive and self.connection.kind == "mean":
            self.account.received += float(arrived.sum()) * self._target_step * self._tick_s
        return arrived

    def added(self, others: Vector, arrived: Vector) -> Vector:
        """Return what an input receives from several connections; levels add up by energy."""
        if self.connection.level:
            return levels(energies(others) + energies(arrived))
        return others + arrived

    def settle(self) -> Account:
        """Return the account at the end of the run, including what is in flight."""
        if self.connection.kind == "mean" and self.connection.extensive:
            whole = [values * self._target_step for values in self._whole.values()]
            for part in whole + [total for total, _ in self._sums.values()]:
                sent, dropped = self.connection.mapping.total(part)
                self.account.in_flight += (sent - dropped) * self._tick_s
        return self.account

    def save(self) -> dict[str, Vector]:
        """Return everything that `load` needs to continue exactly from here, as arrays."""
        kept: dict[str, Vector] = {
            "account": np.array([getattr(self.account, field.name) for field in fields(self.account)]),
            "next_end": np.array([self._next_end], dtype=np.float64),
        }
        if self._held is not None:
            kept["held"] = self._held
        kept |= {f"whole.{k}": values for k, values in self._whole.items()}
        kept |= {f"sum.{k}.{ticks}": total for k, (total, ticks) in self._sums.items()}
        return kept | {f"state.{end}": values for end, values in self._states}

    def load(self, kept: Mapping[str, Vector]) -> None:
        """Continue from what `save` returned."""
        self.account = Account(*map(float, kept["account"]))
        self._next_end = int(kept["next_end"][0])
        self._held = kept.get("held")
        self._whole, self._sums, self._states = {}, {}, deque()
        for name, values in kept.items():
            match name.split("."):
                case ["whole", k]:
                    self._whole[int(k)] = frozen(values)
                case ["sum", k, ticks]:
                    self._sums[int(k)] = (values, int(ticks))
                case ["state", end]:
                    self._states.append((int(end), frozen(values)))

    def _mean(self, end: int) -> Vector:
        step = end // self._target_step
        if step in self._whole:
            return self._whole.pop(step)
        total, ticks = self._sums.pop(step, (None, 0))
        if total is None or ticks != self._target_step:
            raise CosimError(
                f"{self.connection.name}: only {ticks} of {self._target_step} exchange steps have arrived by step "
                f"{end}; this is an error in the engine, please report it"
            )
        mean = total / self._target_step
        return levels(mean) if self.connection.level else mean

    def _count(self, values: Vector, ticks: int) -> float:
        if not self.connection.extensive:
            return 0.0
        seconds = ticks * self._tick_s
        sent, dropped = self.connection.mapping.total(values)
        self.account.dropped += dropped * seconds
        self.account.scale += float(np.abs(values).sum()) * abs(self.connection.mapping.factor) * seconds
        return sent * seconds

    def _add(self, begin: int, end: int, values: Vector) -> None:
        h, d = self._target_step, self.connection.delay
        part = energies(values) if self.connection.level else values
        for k in range((begin + d) // h + 1, -(-(end + d) // h) + 1):
            overlap = min(end + d, k * h) - max(begin + d, (k - 1) * h)
            if overlap == h:
                self._whole[k] = values
            elif k in self._sums:
                total, ticks = self._sums[k]
                total += part * overlap
                self._sums[k] = (total, ticks + overlap)
            else:
                self._sums[k] = (part * overlap, overlap)

    def _drop_old_states(self) -> None:
        while len(self._states) > 1 and self._states[1][0] <= self._next_end - self.connection.delay:
            self._states.popleft()

    def _substituted(self, values: Vector) -> Vector:
        if not self.connection.may_be_missing:
            return values
        missing = np.isnan(values)
        if not missing.any():
            self._held = values
            return values
        rule = self.connection.if_missing
        if rule == "stop" or (rule == "hold" and self._held is None):
            first = int(np.argmax(missing))
            raise MissingValueError(self.connection, first)
        values = values.copy()
        values[missing] = self._held[missing] if rule == "hold" and self._held is not None else float(rule)
        self._held = frozen(values)
        return self._held


class MissingValueError(CosimError):
    """A missing element whose connection has ``if_missing="stop"``, or no earlier value to hold."""

    def __init__(self, connection: Connection, element: int) -> None:
        super().__init__(
            f"{connection.source}.{connection.output}[{connection.labels[element]!r}] is missing and "
            f"{connection.name} has if_missing={connection.if_missing!r}"
            + (", but there is no earlier value to hold" if connection.if_missing == "hold" else "")
            + ": pass if_missing='hold' or a number to continue without it"
        )
