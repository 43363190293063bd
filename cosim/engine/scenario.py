"""Scenarios: adapters, their connections, a clock, and what to record. Nothing runs until `Scenario.run`."""

from __future__ import annotations

import datetime as dt
import fnmatch
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

from cosim.core import units
from cosim.core.adapter import Adapter, Placement, inputs, outputs
from cosim.core.arguments import did_you_mean, require, shown
from cosim.core.clock import Clock, duration_s
from cosim.core.errors import CosimError, ScenarioError
from cosim.core.ports import Input, Output, Port
from cosim.engine.timetable import Timetable
from cosim.results.layers import Layer
from cosim.results.result import Result

from .connections import make_connection
from .exchange import Connection, Substitute
from .recorder import Reduction, Rule, thinned
from .remote import Remote
from .run import OnProgress, add_indicators, checked_options, execute, lacks_indicators, new_folder, options_of
from .setup import PLACE, PLACEMENTS, Indicators, Setup, problems_of, ticks_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_EVERYTHING: list[tuple[str, float | None, Reduction | None]] = [("*", None, None)]


class Scenario:
    """Adapters, connections, a clock, indicators, and what to record.

    Parameters
    ----------
    clock
        Civil start, exchange step and end.
    indicators
        Called with the result of a finished run; returns its indicators by name.
    steps
        Steps of the adapters whose step differs from the exchange step, in seconds or as in ``"5min"``.
    adapters
        The adapters by name.

    Attributes
    ----------
    name : str
        Name of the scenario, used for the run's folder.
    seed : int
        The seed that the builder was given.
    parameters : dict
        The builder's arguments.
    builder : dict or None
        How to find and call the builder again, for ``cosim resume``.
    model
        The object that the scenario was built from, for the caller's use; the engine ignores it.
    facts : dict
        What the scenario contains, in words, by subject; ``cosim show`` and the report show it.
    layers : list of Layer
        Map layers of the report.
    crs : str
        Coordinate reference system of the layers in metres, as WKT or PROJ text; empty if there is none.
    sources : list of dict
        Data that the scenario is made from, each with ``file``, ``licence`` and ``attribution``; exports repeat them.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        indicators: Indicators | None = None,
        steps: Mapping[str, float | str] | None = None,
        **adapters: Adapter,
    ) -> None:
        require(clock, Clock, "clock of the scenario", "write Clock('2025-01-15', hours=24)")
        require(steps, (Mapping, NoneType), "steps of the scenario", "write seconds by adapter, as in {'grid': 300}")
        if not (indicators is None or callable(indicators)):
            raise CosimError(f"indicators of the scenario is {shown(indicators)}: pass a function of a Result")
        self.clock, self.indicators = clock, indicators
        self.name, self.seed = "scenario", 0
        self.parameters: dict[str, Any] = {}
        self.builder: dict[str, Any] | None = None
        self.facts: dict[str, str] = {}
        self.layers: list[Layer] = []
        self.crs = ""
        self.sources: list[dict[str, str]] = []
        self.model: Any = None
        self.connections: list[Connection] = []
        self._problems: list[str] = []
        self._recorded: list[tuple[str, float | None, Reduction | None]] = _EVERYTHING
        self._placements: dict[str, Placement | Remote] = {}
        self.adapters: dict[str, Adapter] = {}
        self.steps: dict[str, int] = {}
        self.add(steps=steps, **adapters)
        if not self.adapters:
            self._problems.append("the scenario has no adapters: pass them by name, Scenario(clock, grid=Grid(...))")

    def add(self, *, steps: Mapping[str, float | str] | None = None, **adapters: Adapter) -> None:
        """Add adapters, such as a simulator of your own to a ready-made scenario.

        Problems are collected and raised together by `check`.

        Parameters
        ----------
        steps
            Steps of the adapters that differ from the exchange step, in seconds or as in ``"5min"``.
        adapters
            The adapters by name.

        Examples
        --------
        ``scenario.add(electrolyser=Electrolyser("north"), steps={"electrolyser": "15min"})``
        """
        names = {id(adapter): name for name, adapter in (adapters | self.adapters).items()}
        for name, adapter in adapters.items():
            if not name.isidentifier():
                self._problems.append(f"an adapter is named {name!r}: use only letters, digits and _")
            elif name in self.adapters:
                self._problems.append(f"the scenario already has an adapter {name!r}: choose another name")
            elif names[id(adapter)] != name:
                self._problems.append(f"{name} and {names[id(adapter)]} are the same object: build an adapter for each")
            elif isinstance(adapter, Adapter):
                self._register(name, adapter, ticks_of(name, (steps or {}).get(name), self.clock, self._problems))
        others = {name: type(a).__name__ for name, a in adapters.items() if not isinstance(a, Adapter)}
        self._problems += [f"{name} is a {kind}: it must be a cosim Adapter" for name, kind in others.items()]
        for name in set(steps or {}) - set(adapters):
            self._problems.append(f"steps names {name!r}: unknown adapter")

    def connect(
        self,
        output: str | Output,
        input: str | Input,  # noqa: A002
        *,
        via: Any = None,
        delay: int = 0,
        initial: ArrayLike | None = None,
        if_missing: Substitute = "stop",
        partial: bool = False,
        because: str = "",
    ) -> None:
        """Connect an output to an input; several outputs connected to one input add up.

        Problems are collected and raised together by `check`.

        Parameters
        ----------
        output, input
            Ports, or their names as in ``"grid.voltage"``.
        via
            Sparse matrix, shape (n_input, n_output). Without it, both ports must have the same labels. ``"labels"``
            matches elements by name if the input has more than the output.
        delay
            Number of exchange steps by which the input lags behind.
        initial
            Value that an input receives until the first value of a step arrives: one number, or one per source element,
            in the output's unit. Needed for a delayed mean; a state's is by default the one that its adapter assigns in
            `open`, unless the delay is longer than the input's step.
        if_missing
            Substitute for a missing element: ``"stop"`` ends the run, ``"hold"`` repeats the last known value, and a
            number is used as it is, in the output's unit.
        partial
            Allow columns of ``via`` that do not sum to 1 for a conserved quantity; the ledger reports what is dropped.
        because
            Reason for the delay, shown by ``cosim show``.
        """
        source, target = self._find(output, Output), self._find(input, Input)
        if source is None or target is None:
            return
        try:
            connection = make_connection(
                source,  # type: ignore[arg-type]
                target,  # type: ignore[arg-type]
                steps=self.steps,
                via=via,
                delay=delay,
                initial=initial,
                if_missing=if_missing,
                partial=partial,
                because=because,
            )
        except CosimError as error:
            self._problems.append(str(error))
        else:
            if self.clock.n_steps is not None and delay >= self.clock.n_steps:
                self._problems.append(
                    f"{connection.name}: delay={delay} is at least as long as the run, so no value would arrive"
                )
                return
            self.connections.append(connection)

    def schedule(
        self,
        input: str | Input,  # noqa: A002
        changes: Mapping[str | dt.datetime, float | Mapping[str, float]],
    ) -> None:
        """Change an input at given moments: a closure at 08:00, an hourly tariff.

        Until the first change the input receives its default.

        Parameters
        ----------
        input
            An unconnected input with a default.
        changes
            For each moment, the new value of all elements, or of those that are named. A moment is a time of day such
            as ``"08:00"``, which recurs every day at that time of the city's clock, or a date with a time. It must
            fall on the end of an exchange step and of a step of the input's adapter.

        Examples
        --------
        ``scenario.schedule("traffic.closed", {"08:00": {"edge 12": 1.0}, "10:00": {"edge 12": 0.0}})``
        """
        target = self._find(input, Input)
        if target is None:
            return
        name, port_name, port = target
        assert isinstance(port, Input)
        if port.default is None:
            self._problems.append(f"{port.name} is scheduled but has no default: connect an output to it instead")
            return
        try:
            timetable = Timetable(port, self.clock, changes, step_s=self.steps[name] * self.clock.step_s)
        except CosimError as error:
            self._problems.append(f"the schedule of {port.name}: {error}")
            return
        source = f"{name}_{port_name}_schedule"
        if source in self.adapters:
            self._problems.append(f"{port.name} is scheduled twice: pass all its changes in one call")
            return
        self._register(source, timetable, self.steps[name])
        self.connect(timetable.value, port)

    def _register(self, name: str, adapter: Adapter, ticks: int) -> None:
        self.adapters[name], self.steps[name] = adapter, ticks
        for port_name, port in (inputs(adapter) | outputs(adapter)).items():
            port.name = f"{name}.{port_name}"

    def record(self, *patterns: str | Output, every: float | str | None = None, keep: Reduction | None = None) -> None:
        """Choose outputs to record, by port or by pattern as in ``"grid.*"``; without arguments, record nothing.

        By default every output is recorded at every step, or less often where that would be very many values; see
        `cosim.engine.recorder.thinned`. Calls accumulate; if several name the same output, the last one applies.

        Parameters
        ----------
        patterns
            Outputs, their names or patterns.
        every
            Interval between rows, as in ``"10min"`` or in seconds: a multiple of the adapter's step, which is the
            default.
        keep
            How a row summarizes the steps since the previous row: their ``"mean"`` (default for means), the
            ``"last"`` value (default for states), the ``"min"`` or the ``"max"``.
        """
        if self._recorded is _EVERYTHING or not patterns:
            self._recorded = []
        if keep not in (None, "mean", "last", "min", "max"):
            self._problems.append(f"record: keep is {keep!r}: write 'mean', 'last', 'min' or 'max'")
            return
        try:
            every_s = None if every is None else duration_s(every)
        except CosimError as error:
            self._problems.append(f"record: {error}")
            return
        known = self.outputs()
        length_s = math.inf if self.clock.n_steps is None else self.clock.n_steps * self.clock.step_s
        if every_s is not None and every_s > length_s:
            self._problems.append(f"record: every is {every_s:g} s, longer than the run: write at most {length_s:g} s")
        for pattern in (p.name if isinstance(p, Output) else p for p in patterns):
            matching = [name for name in known if isinstance(pattern, str) and fnmatch.fnmatchcase(name, pattern)]
            if not matching:
                self._problems.append(f"record: no output matches {shown(pattern)}{_near(pattern, known)}")
            for name in matching if every_s is not None else ():
                step_s = self.steps[name.partition(".")[0]] * self.clock.step_s
                count = round(every_s / step_s)  # type: ignore[operator]
                if count < 1 or abs(count * step_s - every_s) > 1e-6:  # type: ignore[operator]
                    self._problems.append(
                        f"{name} is recorded every {every_s:g} s: the interval must be a whole multiple of its step, "
                        f"{step_s:g} s"
                    )
            if isinstance(pattern, str):
                self._recorded.append((pattern, every_s, keep))

    def place(self, **placements: Placement | Remote) -> None:
        """Set where adapters run: ``"inline"``, ``"thread"``, ``"process"``, or a `Remote` worker."""
        for name, placement in placements.items():
            if name not in self.adapters:
                self._problems.append(f"place names {name!r}: unknown adapter")
            elif placement not in PLACEMENTS and not isinstance(placement, Remote):
                self._problems.append(f"{name} is placed {placement!r}: {PLACE}")
            else:
                self._placements[name] = placement

    def placement(self, name: str) -> Placement | Remote:
        """Return where an adapter runs."""
        return self._placements.get(name, self.adapters[name].placement)

    def check(self) -> None:
        """Check the scenario and raise all its problems together.

        Raises
        ------
        ScenarioError
            If there are unknown ports, different units, wrong shapes, unconnected inputs, loops, …
        """
        problems = self._problems + problems_of(self.setup(), complete=not self._problems)
        if problems:
            raise ScenarioError(problems)

    def setup(self) -> Setup:
        """Return the frozen description that a run works from; the scenario is not checked."""
        rules, how = {name: rule for name in self.outputs() if (rule := self.rule(name)) is not None}, ""
        if self._recorded is _EVERYTHING:
            rules, how = thinned(rules, self.outputs(), self.clock)
        return Setup(
            name=self.name,
            seed=self.seed,
            parameters=self.parameters,
            builder=self.builder,
            clock=self.clock,
            adapters=dict(self.adapters),
            placements={name: self.placement(name) for name in self.adapters},
            steps=dict(self.steps),
            connections=tuple(self.connections),
            rules=rules,
            thinned=how,
            facts=self.facts | ({"recording": how} if how else {}),
            layers=tuple(self.layers),
            crs=self.crs,
            sources=tuple(self.sources),
            indicators=self.indicators,
        )

    def __str__(self) -> str:
        return str(self.setup())

    def run(
        self,
        out: str | Path | None = None,
        *,
        progress: OnProgress = False,
        timeout_s: float | Mapping[str, float] | None = None,
        double: bool = False,
        checkpoint_every: float | str | None = None,
        on_checkpoint: Callable[[Path], None] | None = None,
        overwrite: bool = False,
    ) -> Result:
        """Run the scenario and return its result.

        Parameters
        ----------
        out
            Folder of the result; by default ``runs/<name>-<time>``.
        progress
            True for a progress bar, or a callable that receives simulated and total seconds (None if open-ended).
        timeout_s
            Time limit of one step of an adapter in a worker process, for all or by adapter name. [s]
        double
            Record float64 instead of float32.
        checkpoint_every, on_checkpoint
            Simulated time between checkpoints, as in ``"6h"`` or in seconds; without it, a failed run cannot be
            resumed. What to call with the folder of each.
        overwrite
            Replace a run in the folder that failed, was interrupted or killed; a finished one is never replaced.

        Raises
        ------
        ScenarioError
            If the scenario is invalid; nothing has run.
        RunError
            If an adapter failed; everything recorded so far can be read with ``Result.open(out)``.
        """
        self.check()
        setup = self.setup()
        options = checked_options(
            setup, timeout_s, double=double, checkpoint_every=checkpoint_every, on_checkpoint=on_checkpoint
        )
        return execute(setup, new_folder(out, self.name, overwrite=overwrite), options, progress)

    def resume(
        self,
        folder: str | Path,
        *,
        progress: OnProgress = False,
        timeout_s: float | Mapping[str, float] | None = None,
    ) -> Result:
        """Resume an unfinished run of this scenario from its newest checkpoint.

        The result equals that of an uninterrupted run, to the last byte of every series. A run that failed before its
        first checkpoint starts again from the beginning. Of a run that was interrupted after its simulated end, with or
        without checkpoints, only the indicators are computed.

        Parameters
        ----------
        folder
            Folder of the run.
        progress, timeout_s
            As in `run`.

        Raises
        ------
        ScenarioError
            If the scenario is invalid, or differs from the one that was run.
        CosimError
            If the folder holds no run, a run without checkpoints, or a finished run.
        """
        self.check()
        setup = self.setup()
        if lacks_indicators(setup, folder):
            return add_indicators(setup, folder)
        options = options_of(setup, folder, timeout_s)
        return execute(setup, Path(folder).resolve(), options, progress, resume=True)

    def outputs(self) -> dict[str, Output]:
        """Return all outputs by ``adapter.port``."""
        return {f"{name}.{p}": port for name, a in self.adapters.items() for p, port in outputs(a).items()}

    def rule(self, name: str) -> Rule | None:
        """Return how an output is recorded, before thinning; None if it is not recorded."""
        port, ticks = self.outputs()[name], self.steps[name.partition(".")[0]]
        for pattern, every_s, keep in reversed(self._recorded):
            if fnmatch.fnmatchcase(name, pattern):
                every = ticks if every_s is None else round(every_s / self.clock.step_s)
                keep = keep or ("mean" if port.kind == "mean" else "last")
                return Rule(every, keep, units.is_level(port.unit))
        return None

    def _find(self, wanted: str | Port, kind: type[Port]) -> tuple[str, str, Port] | None:
        side = "output" if kind is Output else "input"
        known: dict[str, tuple[str, str, Port]] = {
            f"{name}.{port_name}": (name, port_name, port)
            for name, adapter in self.adapters.items()
            for port_name, port in (outputs(adapter) if kind is Output else inputs(adapter)).items()
        }
        found = (
            known.get(wanted)
            if isinstance(wanted, str)
            else next((entry for entry in known.values() if entry[2] is wanted), None)
        )
        if found is None:
            name = f"{wanted.name!r} ({wanted!r})" if isinstance(wanted, Port) else shown(wanted)
            self._problems.append(f"unknown {side} {name}{_near(wanted, known)}")
        return found


def _near(wanted: object, known: Iterable[str]) -> str:
    known = list(known)
    meant = did_you_mean(wanted, known) if isinstance(wanted, str) else ""
    return f"{meant}; available: {', '.join(known) or 'none'}"
