"""Adapter for a federation of HELICS, which this run joins as one federate."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

from cosim.core import Adapter, CosimError, Input, Output, ScenarioError, Step
from cosim.core.arguments import is_finite, shown
from cosim.core.processes import exit_reason

from .broker import check_address, load_helics, start_broker
from .description import Publication, Receiver, Sender, Source, Subscription, Target
from .federate import Federate, left_error

_STOP_S = 5.0
"""Time limit for a program to end by itself when the run is over, before it is killed. [s]"""
_REASON_S = 1.0
"""Time limit for programs to end after a federate has left. [s]"""


class HelicsFederation(Adapter):
    """A federation of HELICS 3, joined as one federate whose values are ports.

    An input publishes its value, or sends it as a message, at the beginning of each step; an output takes the values
    that arrive until the step's end. The federate asks for the end of each step and waits until all others have passed
    it, so that a federate which is granted the step's end, reads, computes and publishes answers within the same step.
    Nothing is iterated. HELICS' time is seconds since the run's start.

    **How a live federation changes time.** A run does not go faster than the slowest federate. A federate that steps
    more coarsely holds its values; one that steps more finely is averaged if the output is a ``"mean"``. One that ends
    before the run does ends it with an error. A federation cannot be rewound: a run that was interrupted is not
    resumed.

    Its placement is a worker process: HELICS keeps threads and sockets of its own.

    Parameters
    ----------
    inputs, outputs
        Publications and senders, and subscriptions and receivers, by port.
    broker
        Address of a broker that runs, as in ``"tcp://127.0.0.1:23404"``. Without it the adapter runs a broker of its
        own on the loopback interface, for the programs.
    programs
        Commands of federates that are started with the run and stopped with it, each as a list of arguments or one
        text; ``{broker}`` in an argument becomes the broker's address. **They are programs with all rights of their
        user.**
    name
        Name of the federate.
    federates
        With a broker of its own: number of federates besides this one, by default that of the programs.
    core_type
        Communication layer of HELICS.
    timeout_s
        Longest wait for the other federates. [s]
    allow_remote
        Whether the broker may be on another machine.

    Raises
    ------
    ScenarioError
        With all problems of names, ports and addresses.

    Examples
    --------
    A grid that a federate in another program computes::

        grid = HelicsFederation(
            inputs={"power": Publication("cosim/power", "W", loads)},
            outputs={"voltage": Subscription("grid/voltage", "V", buses, "end", initial=230.0)},
            programs=[["python", "grid.py", "{broker}"]],
        )
    """

    placement = "process"

    if TYPE_CHECKING:  # ports are attributes under the integrator's names

        def __getattr__(self, name: str) -> Any: ...

    def __init__(
        self,
        *,
        inputs: Mapping[str, Target] | None = None,
        outputs: Mapping[str, Source] | None = None,
        broker: str = "",
        programs: Sequence[Sequence[str] | str] = (),
        name: str = "cosim",
        federates: int | None = None,
        core_type: str = "zmq",
        timeout_s: float = 60.0,
        allow_remote: bool = False,
    ) -> None:
        self.inputs, self.outputs = dict(inputs or {}), dict(outputs or {})
        self.broker, self.name = broker, name
        self.programs = [shlex.split(one) if isinstance(one, str) else [str(part) for part in one] for one in programs]
        self.federates = len(self.programs) if federates is None else federates
        self.core_type, self.timeout_s = core_type, timeout_s
        problems = [*self._problems(allow_remote), *self._port_problems()]
        if problems:
            raise ScenarioError(problems)
        for port, target in self.inputs.items():
            setattr(self, port, Input(target.unit, [*target.labels], target.default))
        for port, source in self.outputs.items():
            setattr(self, port, Output(source.unit, [*source.labels], source.kind))
        self._federate: Federate | None = None
        self._broker: Any = None
        self._running: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = []

    def _problems(self, allow_remote: bool) -> Iterator[str]:
        if self.broker:
            try:
                check_address(self.broker, allow_remote)
            except CosimError as error:
                yield str(error)
        elif self.federates < 1:
            yield "broker and programs are empty: give the address of a broker, or the federates to start"
        if any(not command for command in self.programs):
            yield "programs has an empty command: write ['python', 'grid.py', '{broker}']"
        if not (is_finite(self.timeout_s) and self.timeout_s > 0):
            yield f"timeout_s is {shown(self.timeout_s)}: it must be a positive number of seconds"

    def _port_problems(self) -> Iterator[str]:
        names = [*self.inputs, *self.outputs]
        if not names:
            yield "inputs and outputs are empty: name a port for each value to exchange"
        for name in names:
            # save and load are available as names: a federation that cannot be rewound never has them called
            if names.count(name) > 1 or (hasattr(self, name) and name not in ("save", "load")):
                yield f"port name {name!r} is reserved: choose another one"
        for kinds, links, rule in (
            ((Publication, Sender), self.inputs, "a Publication or a Sender"),
            ((Subscription, Receiver), self.outputs, "a Subscription or a Receiver"),
        ):
            for name, link in links.items():
                if not isinstance(link, kinds):
                    yield f"{name} is {shown(link)}: pass {rule}"

    def open(self) -> None:
        """Start the broker and the programs, join the federation, and exchange the initial values."""
        address = self.broker or self._start_broker()
        for command in self.programs:
            self._start([part.replace("{broker}", address) for part in command])
        self._federate = federate = Federate(
            self.name,
            address,
            self.inputs,
            self.outputs,
            core_type=self.core_type,
            timeout_s=self.timeout_s,
            last=True,
            watch=self._watch,
        )
        federate.initialize()
        known = {name: port.default for name in self.inputs if (port := getattr(self, name)).default is not None}
        federate.publish(known)
        federate.execute()
        for kind, element, text in federate.events:
            self.report(kind, element, text)
        for name, source in self.outputs.items():
            initial = federate.read(name, 0.0)
            if source.kind != "end":
                continue
            if source.initial is None and not federate.heard(name):
                raise CosimError(
                    f"{name}: nothing was published for it while the federation initialized: pass initial= to its "
                    f"{type(source).__name__}"
                )
            getattr(self, name).value = initial

    def _start_broker(self) -> str:
        self._broker, address = start_broker(self.core_type, self.federates + 1)
        return address

    def _start(self, command: list[str]) -> None:
        log: IO[bytes]
        if self.folder is None:
            log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the program
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            log = (self.folder / f"federate-{len(self._running) + 1}.log").open("w+b")
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )
        except OSError as error:
            log.close()
            raise CosimError(f"cannot start {shlex.join(command)}: {error.strerror or error}") from error
        self._running.append((process, log))

    def _watch(self) -> None:
        """Raise if a program has ended while the federation waits for it."""
        for command, (process, log) in zip(self.programs, self._running, strict=False):
            if process.poll() is not None and process.returncode != 0:
                log.seek(0)
                text = log.read()[-20_000:].decode(errors="replace")
                raise CosimError(exit_reason(f"the federate {shlex.join(command)}", process.returncode, text))

    def advance(self, step: Step) -> None:
        """Publish the inputs, ask for the step's end, take the outputs."""
        federate = self._federate
        assert federate is not None
        federate.publish({name: getattr(self, name).value for name in self.inputs})
        federate.advance(step.end_s)
        silent = [name for name in self.outputs if federate.silent(name)]
        if silent:
            self._watch()
            if gone := federate.left():
                for process, _ in self._running:  # it may be about to say why
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(_REASON_S)
                self._watch()
                raise left_error(gone, step.end_s)
        for name, source in self.outputs.items():
            if not federate.heard(name) and source.initial is None:
                raise CosimError(
                    f"{name}: nothing was published for it until {step.end_s:g} s: pass initial= to its "
                    f"{type(source).__name__}"
                )
            getattr(self, name).value = federate.read(name, step.start_s)

    def close(self) -> None:
        """Leave the federation, and stop the programs and the broker."""
        federate, self._federate = self._federate, None
        if federate is not None:
            federate.close()
        running, self._running = self._running, []
        deadline = time.monotonic() + _STOP_S
        for process, log in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(deadline - time.monotonic(), 0.0))
            if process.poll() is None:
                process.kill()
                process.wait()
            log.close()
        broker, self._broker = self._broker, None
        if broker is not None:
            load_helics().helicsBrokerDisconnect(broker)

    def versions(self) -> dict[str, str]:
        """Return the version of HELICS."""
        return {"helics": str(load_helics().helicsGetVersion()).partition(" ")[0]}
