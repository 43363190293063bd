"""The conformance checks: each is one rule of the contract, and its failure states the fix."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cosim.core.adapter import Adapter, inputs, outputs
from cosim.core.conformance import datasheet, datasheet_findings
from cosim.core.errors import CosimError, PortError
from cosim.core.quantities import Vector
from cosim.engine.hosts import check_picklable

from .leftovers import left_since, open_now
from .rig import ConformanceError, Rig, violation


class DoesNotApply(Exception):
    """A check that does not apply to an adapter, with the reason."""


@dataclass(frozen=True, slots=True)
class Check:
    """One rule of the contract.

    ``after`` names the checks that must pass before this one makes sense: one cause, one failure.
    """

    name: str
    demand: str
    function: Callable[[Rig], None]
    after: tuple[str, ...] = ()


CHECKS: dict[str, Check] = {}
"""Every check by name, in the order of execution."""


def check(*after: str) -> Callable[[Callable[[Rig], None]], Callable[[Rig], None]]:
    """Register a function as a check; ``after`` names the checks that must pass first."""

    def register(function: Callable[[Rig], None]) -> Callable[[Rig], None]:
        name = function.__name__.replace("_", " ")
        CHECKS[name] = Check(name, (function.__doc__ or "").partition("\n")[0].rstrip("."), function, after)
        return function

    return register


@check()
def is_built(rig: Rig) -> None:
    """The factory builds a new adapter each time, always with the same datasheet."""
    first, second = rig.build(), rig.build()
    if first is second:
        raise violation(
            f"{rig.name} returns the same adapter twice", "build it inside the factory: every run needs its own"
        )
    if datasheet(first) != datasheet(second):
        raise violation(
            f"{rig.name} builds adapters with different datasheets: {_unlike(first, second)} differ",
            "derive ports only from the arguments and input files; label order must not come from a set",
        )


@check("is built")
def datasheet_is_complete(rig: Rig) -> None:
    """The datasheet has ports in SI units, input files that exist, and a docstring with the sign convention."""
    findings = list(datasheet_findings(rig.build()))
    if findings:
        raise ConformanceError(findings)


@check("is built")
def constructor_starts_nothing(rig: Rig) -> None:
    """The constructor leaves no thread, child process, file or socket behind."""
    before = open_now()
    adapter = rig.build()
    left = left_since(before)
    adapter.close()
    if left:
        raise violation(
            f"the constructor leaves {', '.join(left)} open",
            "start simulators and open files and sockets in open(); read label files in the constructor and close them",
        )


@check("is built")
def is_picklable(rig: Rig) -> None:
    """Before open() it can be pickled, as worker processes require, and keeps its datasheet when unpickled."""
    adapter = rig.build()
    problem = check_picklable(rig.name, adapter)
    if problem:
        raise violation(problem, "move the class into a module")
    try:
        again = pickle.loads(pickle.dumps(adapter, protocol=5))
    except Exception as error:
        raise violation(
            f"it cannot be pickled: {type(error).__name__}: {error}",
            "create locks, lambdas, handles and generators in open(), and define the class at the top of a module",
        ) from error
    if datasheet(again) != datasheet(adapter):
        raise violation(
            f"pickling changes its datasheet: {_unlike(adapter, again)} differ",
            "do not omit ports in __getstate__ or __reduce__",
        )


@check("is built")
def wrong_inputs_are_refused(rig: Rig) -> None:
    """Every input refuses NaN and wrong shapes before they reach the simulator."""
    for name, port in inputs(rig.build()).items():
        wrong = {"NaN": np.full(max(len(port), 1), np.nan), "a wrong shape": np.zeros(len(port) + 2)}
        for what, value in wrong.items():
            try:
                port.deliver(value)
            except CosimError:
                continue
            raise violation(f"{name} accepts {what}", f"declare {name} as a cosim.Input and do not override deliver()")


@check("is built")
def opens(rig: Rig) -> None:
    """open() starts the simulator without an error."""
    with rig.opened(rig.build()):
        pass


@check("opens")
def close_is_safe(rig: Rig) -> None:
    """close() can be called without open(), after a run, and twice."""
    adapter = rig.build()
    for when in ("without open()", "twice without open()"):
        try:
            adapter.close()
        except Exception as error:
            raise violation(
                f"close() {when} raises {type(error).__name__}: {error}",
                "stop only what was started: set the simulator to None in __init__ and in close()",
            ) from error
    with rig.opened(adapter):
        pass
    try:
        adapter.close()
    except Exception as error:
        raise violation(
            f"close() raises {type(error).__name__} when called a second time: {error}",
            "drop the reference when the simulator is closed: simulator, self._simulator = self._simulator, None",
        ) from error


@check("close is safe")
def outputs_are_assigned(rig: Rig) -> None:
    """Every output is assigned in every step, one finite number per label."""
    assert rig.reference


@check("outputs are assigned")
def defaults_suffice(rig: Rig) -> None:
    """It runs when only the inputs without a default are connected."""
    adapter = rig.build()
    needed = [name for name, port in inputs(adapter).items() if port.default is None]
    with rig.opened(adapter):
        for index in range(rig.n_steps):
            rig.advance(adapter, index, only=needed)


@check("outputs are assigned")
def states_are_known_at_the_start(rig: Rig) -> None:
    """open() assigns the initial state of every 'end' output, and no 'mean' output."""
    adapter = rig.build()
    ports = outputs(adapter)
    initial = rig.reference[0].outputs
    for name, port in ports.items():
        if port.kind == "end" and name not in initial:
            raise violation(
                f"{name} is a state (kind='end'), but open() does not assign it",
                f"assign self.{name}.value in open(); if it is a mean over the step, declare kind='mean'",
            )
    with rig.opened(adapter):
        early = [name for name, port in ports.items() if port.kind == "mean" and port.has_value]
    if early:
        raise violation(
            f"{early[0]} is a mean over a step, but is assigned before the first step, where it is never received",
            f"assign self.{early[0]}.value only in advance(); if it is a state, declare kind='end'",
        )


@check("outputs are assigned")
def datasheet_is_constant(rig: Rig) -> None:
    """Ports neither appear nor change after the adapter is built."""
    adapter = rig.build()
    before = datasheet(adapter)
    rig.run(adapter)
    after = datasheet(adapter)
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if changed:
        raise violation(
            f"{', '.join(changed)} changed during the run",
            "declare every port in __init__: scenarios are connected and checked before adapters are opened",
        )


@check("outputs are assigned")
def inputs_are_not_modified(rig: Rig) -> None:
    """Received values are not modified, neither during the step nor later."""
    adapter = rig.build()
    received: list[tuple[str, int, Vector, Vector]] = []
    with rig.opened(adapter):
        for index in range(rig.n_steps):
            expected = rig.received(adapter, index)
            rig.advance(adapter, index)
            received += [(name, index, port.value, expected[name]) for name, port in inputs(adapter).items()]
    for name, index, now, then in received:
        if not (now == then).all():
            raise violation(
                f"{name} was modified after it was delivered for the step from {rig.step(index).start_s:g} s: from "
                f"{then} to {now}",
                f"work on a copy, value = self.{name}.value.copy(), and never make a port's vector writeable",
            )


@check("outputs are assigned")
def same_inputs_give_same_outputs(rig: Rig) -> None:
    """Two new adapters publish the same bytes for the same inputs."""
    rig.expect_same(
        rig.run(rig.build()),
        "a second adapter publishes different values for the same inputs",
        "draw by seed, purpose and label (cosim.core.random) with the seed as an argument; use neither the wall clock "
        "nor global generators, the order of sets, or class attributes that a run changes",
    )


@check("same inputs give same outputs")
def reopens(rig: Rig) -> None:
    """Reopened after close(), the same adapter publishes the same values from the start."""
    adapter = rig.build()
    rig.run(adapter)
    rig.expect_same(
        rig.run(adapter),
        "when reopened, it does not start from its initial state",
        "reset in open() everything that advance() changes: states, counters, generators",
    )


@check("outputs are assigned", "constructor starts nothing")
def close_leaves_nothing(rig: Rig) -> None:
    """After close() no thread, child process, file or socket remains."""
    _ = rig.reference  # so that resources that a library opens once per process are already open
    before = open_now()
    adapter = rig.build()
    rig.run(adapter)
    left = left_since(before)
    if left:
        raise violation(
            f"close() leaves {', '.join(left)} open",
            "in close(), end and join threads, end and wait for child processes, close files and sockets",
        )


@check("same inputs give same outputs")
def failure_leaves_nothing(rig: Rig) -> None:
    """After a step that fails halfway, close() works, and the next adapter is not affected."""
    adapter = rig.build()
    if not outputs(adapter):
        raise DoesNotApply("it has no outputs through which a step could be made to fail")
    before = open_now()
    try:
        with rig.opened(adapter):
            rig.advance(adapter, 0)
            for port in outputs(adapter).values():
                port._checked = _refuse  # type: ignore[method-assign]  # as if a value were NaN
            rig.advance(adapter, 1)
    except ConformanceError:
        pass
    else:
        raise violation(
            "advance() continues although a port refused its value",
            "let errors propagate out of advance(): the run must end with the error, not continue with old values",
        )
    try:
        adapter.close()
    except Exception as error:
        raise violation(
            f"after a failed step close() raises {type(error).__name__}: {error}",
            "make close() stop everything that is running, in whatever state a failed step left it",
        ) from error
    left = left_since(before)
    if left:
        raise violation(
            f"after a failed step close() leaves {', '.join(left)} open",
            "in close(), also stop what a step had started and not finished",
        )
    rig.expect_same(
        rig.run(rig.build()),
        "after one adapter failed, the next publishes different values",
        "keep state in the instance, not in the class, the module or a simulator that outlives close()",
    )


def _unlike(one: Adapter, other: Adapter) -> str:
    a, b = datasheet(one), datasheet(other)
    return ", ".join(sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name)))


def _refuse(*_: object, **__: object) -> Vector:
    raise PortError("a value was refused")
