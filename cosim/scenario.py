"""What is simulated: adapters, what connects them, a clock, what is kept. Nothing runs until `Scenario.run`."""

from __future__ import annotations

import datetime as dt
import fnmatch
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, get_args

from cosim.core.adapter import Adapter, Placement, inputs, outputs
from cosim.core.arguments import require, shown
from cosim.core.clock import Clock, duration_s
from cosim.core.errors import CosimError, ScenarioError
from cosim.core.ports import Input, Output, Port
from cosim.core.timetable import Timetable

from .connecting import find_loop, make_connection
from .exchange import Connection, Substitute
from .hosts import check_picklable
from .layers import Layer
from .recorder import Keep, Rule
from .results import Result
from .running import Indicators, Progress, checked_options, execute, new_folder, options_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .coupling import CouplingError

_PLACEMENTS = get_args(Placement)
_PLACE = "write 'inline', 'thread' or 'process'"
_EVERYTHING: list[tuple[str, float | None, Keep | None]] = [("*", None, None)]


class Scenario:
    """Adapters, connections, a clock, indicators, and what to record.

    Parameters
    ----------
    clock
        Civil start, exchange step and end.
    indicators
        Called with the result of a finished run; returns its indicators by name.
    steps
        Steps of adapters that differ from the exchange step, in seconds or as in ``"5min"``.
    adapters
        The adapters by name.

    Attributes
    ----------
    name : str
        Names the run's folder.
    seed : int
        The seed from which the builder drew.
    parameters : dict
        What the builder was called with.
    builder : dict or None
        How the builder is found and called again, for ``cosim resume``.
    model
        What the scenario was built from, kept alive with it; the engine does not look at it.
    layers : list of Layer
        What a report draws.
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
        require(steps, (Mapping, NoneType), "steps of the scenario", "write seconds by adapter, as {'grid': 300}")
        if not (indicators is None or callable(indicators)):
            raise CosimError(f"indicators of the scenario is {shown(indicators)}: pass a function of a Result")
        self.clock, self.indicators = clock, indicators
        self.name, self.seed = "scenario", 0
        self.parameters: dict[str, Any] = {}
        self.builder: dict[str, Any] | None = None
        self.layers: list[Layer] = []
        self.model: Any = None
        self.connections: list[Connection] = []
        self._problems: list[str] = []
        self._recorded: list[tuple[str, float | None, Keep | None]] = _EVERYTHING
        self._placements: dict[str, Placement] = {}
        self.adapters: dict[str, Adapter] = {}
        strangers = {name: type(a).__name__ for name, a in adapters.items() if not isinstance(a, Adapter)}
        names = {id(adapter): name for name, adapter in adapters.items()}
        for name, adapter in adapters.items():
            if not name.isidentifier():
                self._problems.append(f"an adapter is called {name!r}: write a name of letters, digits and _")
            elif names[id(adapter)] != name:
                self._problems.append(f"{name} and {names[id(adapter)]} are the same adapter: build one for each")
            elif name not in strangers:
                self._add(name, adapter)
        self._problems += [f"{name} is a {kind}: it must be a cosim Adapter" for name, kind in strangers.items()]
        if not self.adapters:
            self._problems.append("the scenario has no adapters: pass them by name, Scenario(clock, grid=Grid(...))")
        self.steps = {name: self._ticks(name, (steps or {}).get(name)) for name in self.adapters}
        for name in set(steps or {}) - set(adapters):
            self._problems.append(f"steps names {name!r}: there is no such adapter")

    def _ticks(self, name: str, step: float | str | None) -> int:
        if step is None:
            return 1
        try:
            step_s = duration_s(step)
        except CosimError as error:
            self._problems.append(f"the step of {name}: {error}")
            return 1
        ticks = round(step_s / self.clock.step_s)
        if self.clock.n_steps is not None and ticks > self.clock.n_steps:
            self._problems.append(f"the step of {name} is {step_s:g} s: the run ends before it, nothing would happen")
        if ticks < 1 or abs(ticks * self.clock.step_s - step_s) > 1e-9:
            self._problems.append(
                f"the step of {name} is {step_s:g} s: it must be a whole multiple of the exchange step, "
                f"{self.clock.step_s:g} s"
            )
            return 1
        return ticks

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
        """Let an output feed an input; several outputs into one input add up.

        Problems are collected and raised together by `check`.

        Parameters
        ----------
        output, input
            Ports, or their names as in ``"grid.voltage"``.
        via
            Sparse matrix, shape (n_input, n_output). Without it both must have the same labels.
        delay
            By how many exchange steps the input lags behind.
        initial
            What a delayed input hears before anything was said: one number or one per source element, in the
            output's unit.
        if_missing
            What is heard instead of a missing element: ``"stop"`` ends the run, ``"hold"`` repeats the last value
            that was there, a number stands for itself, in the output's unit.
        partial
            Allow columns of ``via`` that do not sum to 1 for a quantity that must be conserved; the ledger says what
            was dropped.
        because
            Why it is delayed, for those who read ``cosim show``.
        """
        source, target = self._find(output, Output), self._find(input, Input)
        if source is None or target is None:
            return
        try:
            connection = make_connection(
                source, target,  # type: ignore[arg-type]
                steps=self.steps, via=via, delay=delay, initial=initial, if_missing=if_missing, partial=partial,
                because=because,
            )  # fmt: skip
        except CosimError as error:
            self._problems.append(str(error))
        else:
            if self.clock.n_steps is not None and delay >= self.clock.n_steps:
                self._problems.append(
                    f"{connection.name}: delay={delay} lasts as long as the run, nothing would arrive"
                )
                return
            self.connections.append(connection)

    def schedule(
        self, input: str | Input, changes: Mapping[str | dt.datetime, float | Mapping[str, float]]  # noqa: A002
    ) -> None:
        """Let an input change at given moments: a closure at 08:00, a tariff by the hour.

        Until the first change the input hears its default.

        Parameters
        ----------
        input
            An input with a default that nothing is connected to.
        changes
            By moment, the new value of all elements, or of those that are named. A moment is ``"08:00"``, which
            is every day at that time of the city's clock, or a date with a time. It must fall on the end of an
            exchange step and of a step of the input's adapter.

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
            self._problems.append(f"{port.name} is scheduled twice: give all its changes in one call")
            return
        self._add(source, timetable)
        self.steps[source] = self.steps[name]
        self.connect(timetable.value, port)

    def _add(self, name: str, adapter: Adapter) -> None:
        self.adapters[name] = adapter
        for port_name, port in (inputs(adapter) | outputs(adapter)).items():
            port.name = f"{name}.{port_name}"

    def record(self, *patterns: str | Output, every: float | str | None = None, keep: Keep | None = None) -> None:
        """Choose outputs to record, by port or by pattern as in ``"grid.*"``; with none, record nothing.

        Without a call every output is recorded at every step. Calls add up; of several that name an output, the last
        decides.

        Parameters
        ----------
        patterns
            Outputs, their names or patterns.
        every
            Time from one row to the next, as in ``"10min"`` or in seconds: a multiple of the adapter's step, which is
            the default.
        keep
            What a row says of the steps since the last one: their ``"mean"`` (default for means), the ``"last"``
            (default for states: thinning), the ``"min"`` or the ``"max"``.
        """
        if self._recorded is _EVERYTHING or not patterns:
            self._recorded = []
        if keep not in (None, "mean", "last", "min", "max"):
            self._problems.append(f"record keeps {keep!r}: write 'mean', 'last', 'min' or 'max'")
            return
        try:
            every_s = None if every is None else duration_s(every)
        except CosimError as error:
            self._problems.append(f"record: {error}")
            return
        known = self.outputs()
        length_s = math.inf if self.clock.n_steps is None else self.clock.n_steps * self.clock.step_s
        if every_s is not None and every_s > length_s:
            self._problems.append(f"record: every {every_s:g} s is longer than the run: write at most {length_s:g} s")
        for pattern in (p.name if isinstance(p, Output) else p for p in patterns):
            matching = [name for name in known if isinstance(pattern, str) and fnmatch.fnmatchcase(name, pattern)]
            if not matching:
                self._problems.append(f"nothing to record is called {shown(pattern)}: there are {', '.join(known)}")
            for name in matching if every_s is not None else ():
                step_s = self.steps[name.partition(".")[0]] * self.clock.step_s
                count = round(every_s / step_s)  # type: ignore[operator]
                if count < 1 or abs(count * step_s - every_s) > 1e-6:  # type: ignore[operator]
                    self._problems.append(f"{name} is to be recorded every {every_s:g} s: that must be a whole "
                                          f"multiple of its step, {step_s:g} s")  # fmt: skip
            self._recorded.append((pattern, every_s, keep))

    def place(self, **placements: Placement) -> None:
        """Choose where adapters run: ``"inline"``, ``"thread"`` or ``"process"``."""
        for name, placement in placements.items():
            if name not in self.adapters:
                self._problems.append(f"place names {name!r}: there is no such adapter")
            elif placement not in _PLACEMENTS:
                self._problems.append(f"{name} is placed {placement!r}: {_PLACE}")
            else:
                self._placements[name] = placement

    def placement(self, name: str) -> Placement:
        """Return where an adapter runs."""
        return self._placements.get(name, self.adapters[name].placement)

    def check(self) -> None:
        """Raise everything that is wrong with the scenario.

        Raises
        ------
        ScenarioError
            Unknown ports, units that differ, shapes that do not fit, inputs without a source, loops, …
        """
        problems = list(self._problems)
        fed = {(c.target, c.input) for c in self.connections}
        if not problems:
            problems += [
                f"{name}.{port_name} is not connected: connect an output to it, or give the input a default"
                for name, adapter in self.adapters.items()
                for port_name, port in inputs(adapter).items()
                if port.default is None and (name, port_name) not in fed
            ]
        sources = [(c.target, c.input) for c in self.connections]
        problems += [
            f"{c.target}.{c.input} is scheduled and connected: do one of the two"
            for c in self.connections
            if isinstance(self.adapters[c.source], Timetable) and sources.count((c.target, c.input)) > 1
        ]
        plain = Counter(c.name for c in self.connections if c.mapping.matrix is None)
        problems += [
            f"{name} is connected {count} times and would count as often: connect it once, or scale it with via="
            for name, count in plain.items()
            if count > 1
        ]
        loop = find_loop(self.connections, self.steps)
        if loop:
            problems.append(loop)
        if self.clock.n_steps is None and not any(a.ends_run for a in self.adapters.values()):
            problems.append("the clock has no end and no adapter may end the run: give the clock hours= or end=")
        for name, adapter in self.adapters.items():
            if self.placement(name) == "process":
                problem = check_picklable(name, adapter)
                problems += [problem] if problem else []
            elif self.placement(name) not in _PLACEMENTS:
                problems.append(f"placement of {type(adapter).__name__} is {shown(self.placement(name))}: {_PLACE}")
            lost = [path for path in adapter.files if not Path(path).is_file()]
            problems += [f"{name} reads {path}: there is no such file" for path in lost]
        if problems:
            raise ScenarioError(problems)

    def run(
        self,
        out: str | Path | None = None,
        *,
        progress: Progress = False,
        timeout_s: float | Mapping[str, float] | None = None,
        double: bool = False,
        checkpoint_every: float | str | None = None,
    ) -> Result:
        """Run the scenario and return its result.

        Parameters
        ----------
        out
            Folder of the result; by default ``runs/<name>-<time>``.
        progress
            True for a progress bar, or a callable that is told simulated and total seconds (None if open).
        timeout_s
            The longest that one step of an adapter in a worker process may take, for all or by adapter's name. [s]
        double
            Record float64 instead of float32.
        checkpoint_every
            Simulated time from one checkpoint to the next, as in ``"6h"`` or in seconds; without it a run that
            dies cannot be resumed.

        Raises
        ------
        ScenarioError
            If the scenario is not sound; nothing has run.
        RunError
            If an adapter failed; everything recorded until then can be read with ``Result.open(out)``.
        """
        self.check()
        options = checked_options(self, timeout_s, double=double, checkpoint_every=checkpoint_every)
        return execute(self, new_folder(out, self.name), options, progress)

    def resume(
        self,
        folder: str | Path,
        *,
        progress: Progress = False,
        timeout_s: float | Mapping[str, float] | None = None,
    ) -> Result:
        """Go on with a run of this scenario that did not finish, from its newest checkpoint.

        The result is what the uninterrupted run would have left, to the last byte of every series. A run that died
        before its first checkpoint begins anew.

        Parameters
        ----------
        folder
            Folder of the run.
        progress, timeout_s
            As in `run`.

        Raises
        ------
        ScenarioError
            If the scenario is not sound, or not the one that was run.
        CosimError
            If the folder holds no run, one without checkpoints, or one that has finished.
        """
        self.check()
        options = options_of(self, folder, timeout_s)
        return execute(self, Path(folder).resolve(), options, progress, resume=True)

    def coupling_error(
        self,
        out: str | Path | None = None,
        *,
        hours: float | None = None,
        others: Sequence[Scenario] = (),
        progress: Progress = False,
    ) -> CouplingError:
        """Repeat a window at the exchange step, its half and its quarter, and compare the indicators.

        Parameters
        ----------
        out
            Folder for the runs; by default ``runs/<name>-coupling-<time>``.
        hours
            Length of the window, from the start; the whole run by default. [h]
        others
            The same scenario built with other seeds, run at the exchange step: their spread stands beside the
            differences, for what is chaotic.
        progress
            As in `run`.

        Raises
        ------
        ScenarioError
            If the scenario has no indicators, or is not sound; or the window is longer than the run.
        """
        from .coupling import coupling_error

        return coupling_error(self, out, hours, others, progress)

    def outputs(self) -> dict[str, Output]:
        """Return all outputs by ``adapter.port``."""
        return {f"{name}.{p}": port for name, a in self.adapters.items() for p, port in outputs(a).items()}

    def rule(self, name: str) -> Rule | None:
        """Return how an output is recorded; None if it is not."""
        port, ticks = self.outputs()[name], self.steps[name.partition(".")[0]]
        for pattern, every_s, keep in reversed(self._recorded):
            if fnmatch.fnmatchcase(name, pattern):
                every = ticks if every_s is None else round(every_s / self.clock.step_s)
                return Rule(every, keep or ("mean" if port.kind == "mean" else "last"))
        return None

    def _find(self, wanted: str | Port, kind: type[Port]) -> tuple[str, str, Port] | None:
        side = "output" if kind is Output else "input"
        known: dict[str, tuple[str, str, Port]] = {
            f"{name}.{port_name}": (name, port_name, port)
            for name, adapter in self.adapters.items()
            for port_name, port in (outputs(adapter) if kind is Output else inputs(adapter)).items()
        }
        found = known.get(wanted) if isinstance(wanted, str) else next(
            (entry for entry in known.values() if entry[2] is wanted), None)  # fmt: skip
        if found is None:
            name = f"{wanted.name!r} ({wanted!r})" if isinstance(wanted, Port) else shown(wanted)
            self._problems.append(f"there is no {side} {name}: there are {', '.join(known) or 'none'}")
        return found

