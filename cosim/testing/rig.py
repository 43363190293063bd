"""The test rig, which builds an adapter, opens it, advances it with plausible inputs and closes it."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from cosim.core.adapter import Adapter, Step, inputs, outputs
from cosim.core.conformance import Finding
from cosim.core.errors import CosimError
from cosim.core.quantities import Vector
from cosim.engine.hosts import Host, Reply, perform_advance, perform_open

from .plausible import plausible

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Factory: TypeAlias = Callable[[], Adapter]
Inputs: TypeAlias = Callable[[Step], Mapping[str, "ArrayLike"]]


class ConformanceError(CosimError):
    """An adapter's violations of the contract, each with its fix."""

    def __init__(self, findings: Sequence[Finding], heading: str = "") -> None:
        self.findings = list(findings)
        super().__init__("\n".join([*([heading] if heading else []), *map(str, self.findings)]))


def violation(problem: str, fix: str) -> ConformanceError:
    """Return the error of a single finding."""
    return ConformanceError([Finding(problem, fix)])


class Rig:
    """Builds an adapter and drives it; only one instance is open at a time, because some simulators allow no more.

    Parameters
    ----------
    factory
        Builds equal adapters: a class or function without required arguments.
    name
        Name of the adapter in test ids; by default the factory's name.
    step_s
        Length of a step. [s]
    n_steps
        Number of steps of a run, at least 2.
    inputs
        Called with a step; returns the values of some or all inputs by name. The others receive their default in the
        first step, if they have one, and plausible values for their unit in all other steps.
    seed
        Seed of the plausible values.
    expected_failures
        Names of checks that are known to fail, with the reason.

    Raises
    ------
    CosimError
        If the factory is not callable, or the steps are not positive or too few.
    """

    def __init__(
        self,
        factory: Factory,
        *,
        name: str | None = None,
        step_s: float = 60.0,
        n_steps: int = 6,
        inputs: Inputs | None = None,
        seed: int = 0,
        expected_failures: Mapping[str, str] | None = None,
    ) -> None:
        if isinstance(factory, Adapter) or not callable(factory):
            raise CosimError(
                f"the factory is {factory!r}: the checks build several adapters, so pass a class or function that "
                "builds one, as in lambda: MyAdapter(arguments)"
            )
        if not (0 < step_s < float("inf") and n_steps >= 2):
            raise CosimError(f"{n_steps} steps of {step_s} s: a check needs at least 2 steps of positive length")
        self.factory, self.step_s, self.n_steps, self.seed = factory, step_s, n_steps, seed
        self.name = name or getattr(factory, "__name__", None) or _partial_name(factory)
        self.expected_failures = dict(expected_failures or {})
        self._inputs = inputs

    def build(self) -> Adapter:
        """Return a new adapter.

        Raises
        ------
        ConformanceError
            If the factory fails or does not return an adapter.
        """
        try:
            adapter: object = self.factory()
        except Exception as error:
            missing = isinstance(error, TypeError) and "argument" in str(error)
            raise violation(
                f"{self.name} cannot be built: {type(error).__name__}: {error}",
                "pass the arguments: a factory for check_adapter (lambda: MyAdapter(...)), --set NAME=VALUE for "
                "cosim check"
                if missing
                else "the constructor must accept these arguments; otherwise pass others",
            ) from error
        if not isinstance(adapter, Adapter):
            raise violation(
                f"{self.name} built a {type(adapter).__name__}, not an adapter", "subclass cosim.Adapter and return it"
            )
        return adapter

    def step(self, index: int) -> Step:
        """Return a step of the run by its number from 0."""
        return Step(index * self.step_s, self.step_s)

    def received(self, adapter: Adapter, index: int) -> dict[str, Vector]:
        """Return the values that the inputs receive in a step, by name."""
        ports = inputs(adapter)
        given = {} if self._inputs is None else self._inputs(self.step(index))
        if unknown := given.keys() - ports.keys():
            raise CosimError(
                f"inputs= names unknown inputs of {self.name}: {', '.join(sorted(unknown))}; available: "
                f"{', '.join(ports) or 'none'}"
            )
        return {
            name: np.array(given[name] if name in given else plausible(port, index, self.seed), float)
            for name, port in ports.items()
        }

    @contextlib.contextmanager
    def opened(self, adapter: Adapter, folder: Path | None = None) -> Iterator[Reply]:
        """Open an adapter, yield its initial states, and close it in every case."""
        with tempfile.TemporaryDirectory(prefix="cosim-check-") as own:
            adapter.folder, adapter.finished = folder or Path(own), False
            for port in inputs(adapter).values():
                port.reset()
            failed = True
            try:
                yield self._open(adapter)
                failed = False
            finally:
                try:
                    Host(self.name, adapter).close(failed=failed)
                except CosimError as error:
                    raise violation(
                        f"close() fails after a run: {error}", "make close() stop the simulator without raising"
                    ) from error

    def _open(self, adapter: Adapter) -> Reply:
        try:
            return perform_open(adapter)
        except CosimError as error:
            raise violation(f"open() fails: {error}", _fix(error, "open()")) from error

    def advance(
        self, adapter: Adapter, index: int, *, half: int | None = None, only: Collection[str] | None = None
    ) -> Reply:
        """Advance an open adapter by a step.

        Parameters
        ----------
        adapter, index
            The adapter, and the number of the step.
        half
            Advance by the first (0) or second (1) half of the step, with the inputs of the whole step.
        only
            The inputs that are connected; all if None.

        Raises
        ------
        ConformanceError
            If advance() fails.
        """
        step = self.step(index)
        if half is not None:
            step = Step(step.start_s + half * step.length_s / 2, step.length_s / 2)
        values = {name: v for name, v in self.received(adapter, index).items() if only is None or name in only}
        try:
            return perform_advance(adapter, step, values)
        except CosimError as error:
            when = f"in the step from {step.start_s:g} to {step.end_s:g} s"
            raise violation(f"advance() fails {when}: {error}", _fix(error, "advance()")) from error

    def run(self, adapter: Adapter, folder: Path | None = None) -> list[Reply]:
        """Drive an adapter through a run; return its replies at the start and after every step."""
        with self.opened(adapter, folder) as opening:
            return [opening, *(self.advance(adapter, k) for k in range(self.n_steps))]

    @functools.cached_property
    def reference(self) -> list[Reply]:
        """The replies of a new adapter over a run."""
        return self.run(self.build())

    def expect_same(self, replies: Sequence[Reply], problem: str, fix: str, *, first: int = 0) -> None:
        """Compare replies with the reference, bit for bit.

        Parameters
        ----------
        replies
            Replies that correspond to the reference from number ``first`` on; number 0 is the reply to open().
        problem, fix
            Meaning of a difference, and how to fix it.

        Raises
        ------
        ConformanceError
            If a value, an event or the end of the run differs.
        """
        for index, (before, now) in enumerate(zip(self.reference[first:], replies), first):
            difference = self._difference(before, now)
            if difference:
                when = f"in the step to {index * self.step_s:g} s" if index else "after open()"
                raise violation(f"{problem}: {when} {difference}", fix)

    def _difference(self, before: Reply, now: Reply) -> str | None:
        if before.outputs.keys() != now.outputs.keys():
            return f"it published {', '.join(before.outputs) or 'nothing'}, then {', '.join(now.outputs) or 'nothing'}"
        for name, value in before.outputs.items():
            other = now.outputs[name]
            if value.tobytes() != other.tobytes():
                unlike = value.view(np.int64) != other.view(np.int64)
                first = int(np.argmax(unlike))
                label = outputs(self.build())[name].labels[first]
                return f"{name}[{label!r}] was {float(value[first])!r}, then {float(other[first])!r}"
        if before.events != now.events:
            return f"it reported {before.events or 'nothing'}, then {now.events or 'nothing'}"
        if before.finished != now.finished:
            return f"finished was {before.finished}, then {now.finished}"
        return None


def _fix(error: CosimError, verb: str) -> str:
    text = str(error)
    if "read-only" in text:
        return "the vectors of ports are read-only: work on a copy, as in value = self.port.value.copy()"
    if "was not assigned" in text:
        return "assign every output in every step, including steps that return early"
    if "expects shape" in text or "every element must be" in text or "only NaN may stand" in text:
        return "assign one finite number per label; only an output with may_be_missing=True may hold NaN"
    if "no value yet" in text:
        return "assign a port before reading it: states in open(); inputs arrive with the first step"
    return (
        f"{verb} must accept everything that the datasheet allows; if it is right to refuse the generated inputs or "
        "the step, pass others: inputs= and step_s= of check_adapter, or a Rig for cosim check"
    )


def _partial_name(factory: object) -> str:
    function = getattr(factory, "func", factory)
    return str(getattr(function, "__name__", type(function).__name__))
