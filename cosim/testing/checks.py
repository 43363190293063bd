"""What must hold for any adapter? Each check is a sentence of the contract, and its failure says how to mend it."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cosim.core.adapter import Adapter, Placement, inputs, outputs, restored_by
from cosim.core.clock import Clock
from cosim.core.conformance import datasheet, datasheet_findings
from cosim.core.errors import CosimError, PortError
from cosim.core.ports import Input, Output, Vector
from cosim.hosts import check_picklable, perform_load, perform_save

from .leftovers import left_since, open_now
from .rig import ConformanceError, Rig, violation


class DoesNotApply(Exception):
    """Why a check has nothing to say about an adapter."""


@dataclass(frozen=True, slots=True)
class Check:
    """One sentence of the contract.

    ``after`` names the checks without which this one has no meaning: one cause, one failure.
    """

    name: str
    demand: str
    function: Callable[[Rig], None]
    after: tuple[str, ...] = ()


CHECKS: dict[str, Check] = {}
"""Every check by name, in the order in which they are run."""


def _check(*after: str) -> Callable[[Callable[[Rig], None]], Callable[[Rig], None]]:
    def register(function: Callable[[Rig], None]) -> Callable[[Rig], None]:
        name = function.__name__.replace("_", " ")
        CHECKS[name] = Check(name, (function.__doc__ or "").partition("\n")[0].rstrip("."), function, after)
        return function

    return register


@_check()
def is_built(rig: Rig) -> None:
    """The factory builds an adapter, a fresh one each time, with the same datasheet."""
    first, second = rig.build(), rig.build()
    if first is second:
        raise violation(
            f"{rig.name} returns the same adapter twice", "build it inside the factory: every run has one of its own"
        )
    if datasheet(first) != datasheet(second):
        raise violation(
            f"{rig.name} builds adapters with different datasheets: {_unlike(first, second)} differ",
            "let ports follow from the arguments and input files alone; label order must not come from a set",
        )


@_check("is built")
def datasheet_is_complete(rig: Rig) -> None:
    """The datasheet has ports in SI units, input files that exist, and a docstring with the sign convention."""
    findings = list(datasheet_findings(rig.build()))
    if findings:
        raise ConformanceError(findings)


@_check("is built")
def constructor_starts_nothing(rig: Rig) -> None:
    """The constructor leaves no thread, child process, file or socket behind."""
    before = open_now()
    adapter = rig.build()
    left = left_since(before)
    adapter.close()
    if left:
        raise violation(
            f"the constructor leaves open: {', '.join(left)}",
            "start simulators and open files and sockets in open(); read label files in the constructor and close them",
        )


@_check("is built")
def is_picklable(rig: Rig) -> None:
    """Before open() it can be pickled, as a worker process needs, and comes back with the same datasheet."""
    adapter = rig.build()
    problem = check_picklable(rig.name, adapter)
    if problem:
        raise violation(problem, "move the class into a module")
    try:
        again = pickle.loads(pickle.dumps(adapter, protocol=5))
    except Exception as error:
        raise violation(
            f"it cannot be pickled: {type(error).__name__}: {error}",
            "make locks, lambdas, handles and generators in open(), and define the class at the top of a module",
        ) from error
    if datasheet(again) != datasheet(adapter):
        raise violation(
            f"it comes back from pickling with another datasheet: {_unlike(adapter, again)} differ",
            "do not leave ports out of __getstate__ or __reduce__",
        )


@_check("is built")
def wrong_inputs_are_refused(rig: Rig) -> None:
    """NaN and wrong shapes are refused by every input before the simulator sees them."""
    for name, port in inputs(rig.build()).items():
        for what, value in {"NaN": np.full(max(len(port), 1), np.nan), "a wrong shape": np.zeros(len(port) + 2)}.items():
            try:
                port.deliver(value)
            except CosimError:
                continue
            raise violation(f"{name} takes {what}", f"declare {name} as a cosim.Input and leave its deliver() alone")


@_check("is built")
def opens(rig: Rig) -> None:
    """open() starts it."""
    with rig.opened(rig.build()):
        pass


@_check("opens")
def close_is_safe(rig: Rig) -> None:
    """close() may be called without open(), after a run, and twice."""
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
            "forget the simulator when it is closed: simulator, self._simulator = self._simulator, None",
        ) from error


@_check("close is safe")
def outputs_are_told(rig: Rig) -> None:
    """In every step every output is assigned, one finite number per label."""
    assert rig.reference


@_check("outputs are told")
def states_are_known_at_the_start(rig: Rig) -> None:
    """open() assigns every 'end' output, the state at the start, and no 'mean', for no step has passed."""
    adapter = rig.build()
    ports = outputs(adapter)
    told = rig.reference[0].outputs
    for name, port in ports.items():
        if port.kind == "end" and name not in told:
            raise violation(
                f"{name} is a state (kind='end'), but open() does not assign it",
                f"assign self.{name}.value in open(); if it is a mean over the step, declare kind='mean'",
            )
    with rig.opened(adapter):
        early = [name for name, port in ports.items() if port.kind == "mean" and port.has_value]
    if early:
        raise violation(
            f"{early[0]} is a mean over a step, but is assigned before the first one, where nobody hears it",
            f"assign self.{early[0]}.value in advance() only; if it is a state, declare kind='end'",
        )


@_check("outputs are told")
def datasheet_stays(rig: Rig) -> None:
    """Ports neither appear nor change once the adapter is built."""
    adapter = rig.build()
    before = datasheet(adapter)
    rig.run(adapter)
    after = datasheet(adapter)
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if changed:
        raise violation(
            f"{', '.join(changed)} changed while it ran",
            "declare every port in __init__: scenarios are connected and checked before anything is opened",
        )


@_check("outputs are told")
def inputs_are_left_alone(rig: Rig) -> None:
    """What an input hears is not changed, neither in the step nor later."""
    adapter = rig.build()
    heard: list[tuple[str, int, Vector, Vector]] = []
    with rig.opened(adapter):
        for index in range(rig.n_steps):
            delivered = rig.heard(adapter, index)
            rig.advance(adapter, index)
            for name, port in inputs(adapter).items():
                heard.append((name, index, port.value, np.broadcast_to(np.array(delivered[name], float), len(port))))
    for name, index, now, then in heard:
        if not np.array_equal(now, then):
            raise violation(
                f"{name} was changed after it was delivered for the step from {rig.step(index).start_s:g} s: from "
                f"{then} to {now}",
                f"work on a copy, value = self.{name}.value.copy(), and never make a port's vector writeable",
            )


@_check("outputs are told")
def same_inputs_give_same_outputs(rig: Rig) -> None:
    """Two fresh adapters tell the same bytes under the same inputs."""
    rig.expect_same(
        rig.run(rig.build()),
        "a second adapter tells something else under the same inputs",
        "draw by seed, purpose and label (cosim.core.random) with the seed as an argument; take nothing from the wall "
        "clock, global generators, the order of sets, or class attributes that a run changes",
    )


@_check("same inputs give same outputs")
def opens_again(rig: Rig) -> None:
    """Opened again after close(), the same adapter tells the same from the start."""
    adapter = rig.build()
    rig.run(adapter)
    rig.expect_same(
        rig.run(adapter),
        "opened again, it does not start afresh",
        "set in open() everything that advance() changes: states, counters, generators",
    )


@_check("outputs are told", "constructor starts nothing")
def close_leaves_nothing(rig: Rig) -> None:
    """After close() no thread, child process, file or socket is left."""
    _ = rig.reference  # what a library opens once for all is open now
    before = open_now()
    adapter = rig.build()
    rig.run(adapter)
    left = left_since(before)
    if left:
        raise violation(
            f"close() leaves open: {', '.join(left)}",
            "end and join threads, end and wait for child processes, close files and sockets in close()",
        )


@_check("same inputs give same outputs")
def failure_leaves_nothing(rig: Rig) -> None:
    """After a step that fails midway, close() works, and the next adapter is not affected."""
    adapter = rig.build()
    before = open_now()
    try:
        with rig.opened(adapter):
            rig.advance(adapter, 0)
            for port in (outputs(adapter) or inputs(adapter)).values():
                port._checked = _refuse  # type: ignore[method-assign]  # as if a value were NaN
            rig.advance(adapter, 1)
    except ConformanceError:
        pass
    else:
        raise violation(
            "advance() goes on although a port refused its value",
            "let errors out of advance(): the run must end and say what happened, not go on with old values",
        )
    try:
        adapter.close()
    except Exception as error:
        raise violation(
            f"after a failed step close() raises {type(error).__name__}: {error}",
            "let close() stop whatever is there, in whatever state a failed step has left it",
        ) from error
    left = left_since(before)
    if left:
        raise violation(
            f"after a failed step close() leaves open: {', '.join(left)}",
            "stop in close() also what a step had started and not finished",
        )
    rig.expect_same(
        rig.run(rig.build()),
        "after one adapter failed, the next tells something else",
        "keep state in the instance, not in the class, the module or a simulator that outlives close()",
    )


@_check("same inputs give same outputs")
def comes_back(rig: Rig) -> None:
    """After save() and load(), or replayed, it goes on bit for bit."""
    kind = type(rig.build())
    if (kind.save is Adapter.save) != (kind.load is Adapter.load):
        has, lacks = ("load", "save") if kind.save is Adapter.save else ("save", "load")
        raise violation(f"it has {has}() without {lacks}()", f"write {lacks}(folder) too: they only work together")
    way = restored_by(rig.build())
    if way is None:
        raise DoesNotApply(
            "a run with it cannot be resumed: write save(folder) and load(folder), or set replays = True if it is "
            "deterministic"
        )
    half = rig.n_steps // 2
    with tempfile.TemporaryDirectory(prefix="cosim-check-") as folder:
        run, state = Path(folder, "run"), Path(folder, "state")
        run.mkdir()
        state.mkdir()
        first, second = rig.build(), rig.build()
        with rig.opened(first, run):
            for index in range(half):
                rig.advance(first, index)
            finished = first.finished
            if way == "state":
                _called("save", perform_save, first, state)
                rig.expect_same(
                    [rig.advance(first, half)],
                    "save() changes the adapter that it saves",
                    "write copies in save() and leave the simulator as it is",
                    first=half + 1,
                )
        with rig.opened(second, run):
            if way == "state":
                _called("load", perform_load, second, state, finished)
            else:
                for index in range(half):
                    rig.advance(second, index)
            rig.expect_same(
                [rig.advance(second, index) for index in range(half, rig.n_steps)],
                "after load() it does not go on as it was" if way == "state" else "replayed, it does not go on as it was",
                "save everything that advance() reads and changes, at full precision (numpy.savez, not text)"
                if way == "state"
                else "remove what makes it differ, or set replays = False and write save(folder) and load(folder)",
                first=half + 1,
            )


def _called(verb: str, function: Callable[..., None], *arguments: object) -> None:
    try:
        function(*arguments)
    except CosimError as error:
        raise violation(
            f"{verb}() fails: {error}", "save() finds an empty folder, load() what save() wrote, after open()"
        ) from error


@_check("outputs are told")
def step_length_does_not_matter(rig: Rig) -> None:
    """Two half steps tell the same means and final states as the whole, if it declares a step_tolerance."""
    adapter = rig.build()
    tolerance = adapter.step_tolerance
    if tolerance is None:
        raise DoesNotApply("it declares no step_tolerance: its results may depend on the step, which the user chooses")
    with rig.opened(adapter):
        halves = [[rig.advance(adapter, k, half=h).outputs for h in (0, 1)] for k in range(rig.n_steps)]
    for name, port in outputs(adapter).items():
        whole = np.array([reply.outputs[name] for reply in rig.reference[1:]])
        parts = np.array([[half[name] for half in pair] for pair in halves])
        split = parts.mean(axis=1) if port.kind == "mean" else parts[:, 1]
        scale = np.nanmax(np.abs(whole), initial=0.0)
        off = np.where(np.isnan(whole) & np.isnan(split), 0.0, np.abs(split - whole))
        if not (off <= tolerance * scale).all():
            index, element = np.unravel_index(int(np.argmax(np.nan_to_num(off, nan=np.inf))), off.shape)
            raise violation(
                f"{name}[{port.labels[element]!r}] is {whole[index, element]:g} after one step from "
                f"{rig.step(int(index)).start_s:g} s of {rig.step_s:g} s, but {split[index, element]:g} after two of "
                f"{rig.step_s / 2:g} s: they differ by {off[index, element] / (scale or 1.0):.2g} of its largest value, "
                f"and step_tolerance promises {tolerance:g}",
                "integrate exactly over the step or in smaller steps inside advance(), take the mean over the whole "
                "step, or declare the tolerance that the method keeps (None: the step matters)",
            )


class Signals(Adapter):
    """Says what a rig's inputs hear, as means over the step, whatever is positive there."""

    def __init__(self, ports: dict[str, Input], series: list[dict[str, Vector]]) -> None:
        for name, port in ports.items():
            setattr(self, name, Output(port.unit, port.labels, "mean"))
        self._series = series

    def open(self) -> None:
        self._index = 0

    def advance(self, step: object) -> None:
        for name, port in outputs(self).items():
            port.value = self._series[self._index][name]
        self._index += 1


@_check("same inputs give same outputs", "is picklable")
def placement_does_not_matter(rig: Rig) -> None:
    """Run by the engine inline, in a thread and in a worker process, it gives the same bytes."""
    if not outputs(rig.build()):
        raise DoesNotApply("it has no outputs")
    results = {placement: _placed(rig, placement) for placement in ("inline", "thread", "process")}
    for name, inline in results["inline"].items():
        for placement in ("thread", "process"):
            other = results[placement][name]
            if inline.tobytes() != other.tobytes():
                unlike = "has another length" if inline.shape != other.shape else (
                    f"differs by up to {np.nanmax(np.abs(inline - other)):.3g}")  # fmt: skip
                raise violation(
                    f"{name} {unlike} when it runs in a {placement} instead of inline",
                    "take nothing from the environment, the working directory, hash order, or module state that a "
                    "worker process does not share",
                )


def _placed(rig: Rig, placement: Placement) -> dict[str, Vector]:
    """Run the adapter by the engine and return its recorded outputs."""
    from cosim.scenario import Scenario  # only this check needs the engine

    adapter = rig.build()
    ports = inputs(adapter)
    series = [
        {name: np.array(value, float) for name, value in rig.heard(adapter, k).items()} for k in range(rig.n_steps)
    ]
    clock = Clock("2025-01-15", hours=rig.n_steps * rig.step_s / 3600, step_s=rig.step_s)
    signals = {"signals": Signals(ports, series)} if ports else {}
    scenario = Scenario(clock, adapter=adapter, **signals)
    for name in ports:
        scenario.connect(f"signals.{name}", f"adapter.{name}")
    scenario.place(adapter=placement)
    scenario.record("adapter.*")
    with tempfile.TemporaryDirectory(prefix="cosim-check-") as folder:
        try:
            result = scenario.run(Path(folder, "run"), double=True)
        except CosimError as error:
            raise violation(
                f"placed {placement}, it fails: {error}",
                "what it needs must come from the module's imports and the constructor's arguments, and open() must "
                "work in any thread",
            ) from error
        return {name: result.series(f"adapter.{name}").to_numpy(float) for name in outputs(adapter)}


def _unlike(one: Adapter, other: Adapter) -> str:
    a, b = datasheet(one), datasheet(other)
    return ", ".join(sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name)))


def _refuse(*_: object, **__: object) -> Vector:
    raise PortError("a value was refused")
