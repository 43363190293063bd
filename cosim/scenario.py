"""What is simulated: adapters, what connects them, a clock, what is kept. Nothing runs until `Scenario.run`."""

from __future__ import annotations

import asyncio
import datetime as dt
import fnmatch
import hashlib
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosim.core.adapter import Adapter, Placement, inputs, outputs
from cosim.core.clock import Clock
from cosim.core.errors import CosimError, ScenarioError
from cosim.core.ports import Input, Output, Port

from .connecting import find_loop, make_connection
from .exchange import Channel, Connection, Substitute
from .hosts import Host, ProcessHost, ThreadHost, check_picklable
from .layers import Layer
from .recorder import Recorder, versions, write_json
from .results import Indicator, Result

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .bridge import Run

Indicators = Callable[[Result], Mapping[str, Indicator]]


class Scenario:
    """Adapters, connections, a clock, indicators, and what to record.

    Parameters
    ----------
    clock
        Civil start, exchange step and end.
    indicators
        Called with the result of a finished run; returns its indicators by name.
    steps
        Steps of adapters that differ from the exchange step. [s]
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
        steps: Mapping[str, float] | None = None,
        **adapters: Adapter,
    ) -> None:
        self.clock, self.indicators = clock, indicators
        self.name, self.seed = "scenario", 0
        self.parameters: dict[str, Any] = {}
        self.layers: list[Layer] = []
        self.model: Any = None
        self.connections: list[Connection] = []
        self._problems: list[str] = []
        self._recorded: list[str] = ["*"]
        self._placements: dict[str, Placement] = {}
        self.adapters = {name: adapter for name, adapter in adapters.items() if isinstance(adapter, Adapter)}
        for name in adapters.keys() - self.adapters.keys():
            self._problems.append(f"{name} is a {type(adapters[name]).__name__}: it must be a cosim Adapter")
        if not self.adapters:
            self._problems.append("the scenario has no adapters: pass them by name, Scenario(clock, grid=Grid(...))")
        for name, adapter in self.adapters.items():
            for port_name, port in (inputs(adapter) | outputs(adapter)).items():
                port.name = f"{name}.{port_name}"
        self.steps = {name: self._ticks(name, (steps or {}).get(name)) for name in self.adapters}
        for name in set(steps or {}) - set(adapters):
            self._problems.append(f"steps names {name!r}: there is no such adapter")

    def _ticks(self, name: str, step_s: float | None) -> int:
        if step_s is None:
            return 1
        ticks = round(step_s / self.clock.step_s)
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
        """
        source, target = self._find(output, Output), self._find(input, Input)
        if source is None or target is None:
            return
        try:
            connection = make_connection(
                source, target,  # type: ignore[arg-type]
                steps=self.steps, via=via, delay=delay, initial=initial, if_missing=if_missing, partial=partial,
            )  # fmt: skip
        except (CosimError, ValueError, TypeError) as error:
            self._problems.append(str(error))
        else:
            self.connections.append(connection)

    def record(self, *patterns: str | Output) -> None:
        """Choose the outputs to record, by port or by pattern as in ``"grid.*"``; with none, record nothing.

        Without a call every output is recorded.
        """
        self._recorded = [p if isinstance(p, str) else p.name for p in patterns]
        for pattern in self._recorded:
            if not any(fnmatch.fnmatchcase(name, pattern) for name in self._outputs()):
                known = ", ".join(self._outputs())
                self._problems.append(f"nothing to record is called {pattern!r}: there are {known}")

    def place(self, **placements: Placement) -> None:
        """Choose where adapters run: ``"inline"``, ``"thread"`` or ``"process"``."""
        for name, placement in placements.items():
            if name not in self.adapters:
                self._problems.append(f"place names {name!r}: there is no such adapter")
            elif placement not in ("inline", "thread", "process"):
                self._problems.append(f"{name} is placed {placement!r}: write 'inline', 'thread' or 'process'")
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
        loop = find_loop(self.connections, self.steps)
        if loop:
            problems.append(loop)
        if self.clock.n_steps is None and not any(a.ends_run for a in self.adapters.values()):
            problems.append("the clock has no end and no adapter may end the run: give the clock hours= or end=")
        for name, adapter in self.adapters.items():
            if self.placement(name) == "process":
                problem = check_picklable(name, adapter)
                problems += [problem] if problem else []
        if problems:
            raise ScenarioError(problems)

    def run(
        self,
        out: str | Path | None = None,
        *,
        progress: Callable[[float, float | None], None] | bool = False,
        timeout_s: float | None = None,
        double: bool = False,
    ) -> Result:
        """Run the scenario and return its result.

        Parameters
        ----------
        out
            Folder of the result; by default ``runs/<name>-<time>``.
        progress
            True for a progress bar, or a callable that is told simulated and total seconds (None if open).
        timeout_s
            The longest that one step of an adapter in a worker process may take. [s]
        double
            Record float64 instead of float32.

        Raises
        ------
        ScenarioError
            If the scenario is not sound; nothing has run.
        RunError
            If an adapter failed; everything recorded until then can be read with ``Result.open(out)``.
        """
        self.check()
        if progress is True:
            from .progress import bar

            with bar(self.name) as report:
                return self.run(out, progress=report, timeout_s=timeout_s, double=double)
        folder = self._new_folder(out)
        hosts = self._hosts(folder, timeout_s)
        recorder = Recorder(folder, self.clock, {n: p.labels for n, p in self._outputs().items() if self._keeps(n)},
                            double=double)  # fmt: skip
        record = self._provenance()
        write_json(folder / "run.json", record)
        if self.layers:
            write_json(folder / "layers.json", [layer.to_json() for layer in self.layers])
        channels = [
            Channel(c, self.steps[c.source], self.steps[c.target], self.clock.step_s) for c in self.connections
        ]
        from .bridge import Run

        total = None if self.clock.n_steps is None else self.clock.n_steps * self.clock.step_s
        run = Run(
            self.clock, hosts, self.steps, channels, recorder.add,
            (lambda done: progress(done, total)) if callable(progress) else None,
        )  # fmt: skip
        status, problem = "failed", "it was ended from outside"
        try:
            _execute(run)
            status, problem = "finished", ""
        except KeyboardInterrupt:
            status, problem = "interrupted", "interrupted by the user"
            raise
        except CosimError as error:
            problem = str(error)
            raise
        finally:
            record |= self._outcome(run, channels, status, problem)
            try:
                recorder.close()
            except CosimError as error:
                if status == "finished":
                    record |= {"status": "failed", "error": str(error)}
                    raise
            finally:
                _try_write(folder / "run.json", record)
        return self._judge(folder)

    def _judge(self, folder: Path) -> Result:
        result = Result.open(folder)
        broken = [row for row in result.provenance["ledger"] if row["residual"] > 1e-9]
        if broken:
            raise CosimError(f"the ledger of {broken[0]['connection']} does not close: {broken[0]}; please report this")
        if self.indicators is not None:
            found = self.indicators(result)
            write_json(folder / "indicators.json", {name: value.to_json() for name, value in found.items()})
        return result

    def _hosts(self, folder: Path, timeout_s: float | None) -> dict[str, Host]:
        hosts: dict[str, Host] = {}
        for name, adapter in self.adapters.items():
            adapter.folder = folder / "adapters" / name
            adapter.finished = False
            placement = self.placement(name)
            if placement == "process":
                hosts[name] = ProcessHost(name, adapter, folder / "logs" / f"{name}.log", timeout_s)
            else:
                hosts[name] = (ThreadHost if placement == "thread" else Host)(name, adapter)
        return hosts

    def _new_folder(self, out: str | Path | None) -> Path:
        first = folder = Path(out or Path("runs") / f"{self.name}-{dt.datetime.now():%Y%m%d-%H%M%S}")
        n = 1
        while out is None and folder.exists():
            n += 1
            folder = first.with_name(f"{first.name}-{n}")
        try:
            if folder.exists() and any(folder.iterdir()):
                raise CosimError(f"{folder} is not empty: pass another folder, or remove what is in it")
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CosimError(f"cannot write into {folder}: {error.strerror}; pass another folder with out=") from error
        return folder.resolve()

    def _provenance(self) -> dict[str, Any]:
        files = {str(path): _sha256(Path(path)) for adapter in self.adapters.values() for path in adapter.files}
        software = versions()
        for adapter in self.adapters.values():
            software |= adapter.versions()
        return {
            "name": self.name,
            "status": "running",
            "seed": self.seed,
            "parameters": self.parameters,
            "clock": {
                "start": self.clock.civil(0).isoformat(),
                "zone": self.clock.zone,
                "step_s": self.clock.step_s,
                "n_steps": self.clock.n_steps,
            },
            "adapters": {
                name: {
                    "class": f"{type(adapter).__module__}:{type(adapter).__qualname__}",
                    "step_s": self.steps[name] * self.clock.step_s,
                    "placement": self.placement(name),
                }
                for name, adapter in self.adapters.items()
            },
            "outputs": {
                name: {
                    "unit": port.unit,
                    "kind": port.kind,
                    "n_labels": len(port),
                    "step_s": self.steps[name.partition(".")[0]] * self.clock.step_s,
                    "recorded": self._keeps(name),
                }
                for name, port in self._outputs().items()
            },
            "connections": [
                {"connection": c.name, "delay": c.delay, "extensive": c.extensive, "partial": c.partial}
                for c in self.connections
            ],
            "versions": software,
            "inputs": files,
            "started": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        }

    def _outcome(self, run: Run, channels: list[Channel], status: str, problem: str) -> dict[str, Any]:
        ended = dt.datetime.now(dt.UTC)
        accounts = {c.connection.name: (c.settle(), c.connection) for c in channels}
        return {
            "status": status,
            **({"error": problem} if problem else {}),
            "ended": ended.isoformat(timespec="seconds"),
            "simulated_s": max(0, min(run.progress.done.values(), default=0)) * self.clock.step_s
            if status != "finished"
            else run.end * self.clock.step_s,
            "wall_s": {name: round(bridge.wall_s, 4) for name, bridge in run.bridges.items()},
            "ledger": [
                {
                    "connection": name,
                    "unit": f"{c.unit}·s",
                    "sent": a.sent,
                    "initial": a.initial,
                    "received": a.received,
                    "in_flight": a.in_flight,
                    "dropped": a.dropped,
                    "residual": a.residual,
                }
                for name, (a, c) in accounts.items()
                if c.extensive and c.kind == "mean"
            ],
        }

    def _outputs(self) -> dict[str, Output]:
        return {f"{name}.{p}": port for name, a in self.adapters.items() for p, port in outputs(a).items()}

    def _keeps(self, name: str) -> bool:
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self._recorded)

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
            name = repr(wanted) if isinstance(wanted, str) else f"{wanted.name!r} ({wanted!r})"
            self._problems.append(f"there is no {side} {name}: there are {', '.join(known) or 'none'}")
        return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _try_write(path: Path, content: dict[str, Any]) -> None:
    try:
        write_json(path, content)
    except OSError:  # the disk is full: run.json still says "running", which is what a killed run says
        return


def _execute(run: Run) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(run.execute())
        return
    # In a notebook this thread already has an event loop, and asyncio does not nest.
    failures: list[BaseException] = []

    def work() -> None:
        try:
            asyncio.run(run.execute())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work, name="cosim")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
