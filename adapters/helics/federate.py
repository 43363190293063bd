"""One federate of HELICS: joining, publishing, reading and asking for time, with limits and errors that name who waits.

HELICS blocks without a limit, so that every call which waits is made asynchronously here and polled: the processes that
belong to the federation are watched meanwhile. Its Python objects free their memory when they are collected; who frees
them before has it freed twice, and a federate that was made at the same address in between is lost.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cosim.core import CosimError, PortError, units
from cosim.core.arguments import shown
from cosim.core.quantities import Vector

from .broker import answers, load_helics
from .description import Receiver, Sender, Source, Subscription, Target, keys_of

_SPINS = 200
"""Polls before the first sleep: an answer of a federate that computes little comes within some 100 µs."""
_SLEEP_S = 0.0005
"""Longest sleep between two polls; the first ones are shorter. [s]"""
_ALONE_S = 1.0
"""Interval at which a federate that waits for time asks who is left. [s]"""
_LEAVE_S = 2.0
"""Time limit for a waiting call to end when the federate leaves. [s]"""
_SETTLED_S = 1e-6
"""So long after a time everything that is published at that time has arrived; more than a double's resolution after a
year, and less than any step. [s]"""


@dataclass
class _Read:
    """An output's values from the federation, and what is known of their source."""

    source: Source
    handles: list[Any]
    values: Vector
    scale: float = 1.0
    heard: bool = False
    held: Vector = field(default_factory=lambda: np.empty(0))
    """The value at the last reading."""
    pieces: list[tuple[float, Vector]] = field(default_factory=list)
    """Moments and values since the last reading. [s]"""


class Federate:
    """A federate with ports' values as publications, subscriptions and endpoints.

    Parameters
    ----------
    name
        Its name in the federation.
    broker
        Address of the broker.
    sends, receives
        What it publishes and sends, and what it subscribes and receives, by port.
    core_type
        Communication layer of HELICS, such as "zmq" or "tcp".
    timeout_s
        Longest wait for the other federates. [s]
    last
        Whether it asks for time a microsecond after each step, so that it has what others publish at the step's end.
        (The flag of HELICS for this, ``wait_for_current_time_update``, blocks federations that have endpoints.)
    watch
        Called while it waits, to raise if a process of the federation has ended.

    Raises
    ------
    CosimError
        If the broker is not there, or refuses the federate.
    """

    def __init__(
        self,
        name: str,
        broker: str,
        sends: Mapping[str, Target],
        receives: Mapping[str, Source],
        *,
        core_type: str,
        timeout_s: float,
        last: bool,
        watch: Callable[[], None] = lambda: None,
    ) -> None:
        self.name, self.timeout_s, self._watch = name, timeout_s, watch
        self.events: list[tuple[str, str, str]] = []
        """What was assumed: kind, element and text."""
        self.now_s, self._after_s = 0.0, _SETTLED_S * last
        self._pending = ""
        self._helics = h = load_helics()
        if not answers(broker):
            raise CosimError(f"no HELICS broker answers at {broker}: start it first, or correct its address")
        with self._named("cannot join the federation"):
            info = h.helicsCreateFederateInfo()
            h.helicsFederateInfoSetCoreTypeFromString(info, core_type)
            options = f"--federates=1 --broker_address={broker} --timeout={timeout_s:g}s --loglevel=no_print"
            h.helicsFederateInfoSetCoreInitString(info, options)
            # of states the last value counts, so that it need not be woken for each
            states = all(source.kind == "end" for source in receives.values())
            h.helicsFederateInfoSetFlagOption(info, h.HELICS_FLAG_UNINTERRUPTIBLE, states)
            self._federate = h.helicsCreateCombinationFederate(name, info)
        self._sends = {port: (target, self._register(target)) for port, target in sends.items()}
        self._others: list[str] = []
        self._owners: list[str] = []
        self._reads = {
            port: _Read(source, self._register(source), _first(source), held=_first(source))
            for port, source in receives.items()
        }

    @contextlib.contextmanager
    def _named(self, what: str) -> Iterator[None]:
        """Turn an error of HELICS into one line."""
        try:
            yield
        except self._helics.HelicsException as error:
            raise CosimError(f"HELICS federate {self.name!r} {what}: {str(error).strip()}") from error

    def _register(self, link: Target | Source) -> list[Any]:
        h, federate = self._helics, self._federate
        with self._named(f"cannot register {link}"):
            if isinstance(link, (Sender, Receiver)):
                return [h.helicsFederateRegisterGlobalEndpoint(federate, link.endpoint, "")]
            if isinstance(link, Subscription):
                return [h.helicsFederateRegisterSubscription(federate, key, "") for key in keys_of(link)]
            kind = h.HELICS_DATA_TYPE_DOUBLE if isinstance(link.labels, Mapping) else h.HELICS_DATA_TYPE_VECTOR
            return [h.helicsFederateRegisterGlobalPublication(federate, key, kind, link.unit) for key in keys_of(link)]

    def initialize(self) -> None:
        """Enter initializing mode, in which publications are the initial values of others, and check the interfaces.

        Raises
        ------
        CosimError
            If a key or endpoint is not in the federation, units differ, or the other federates do not arrive in time.
        """
        h = self._helics
        self._wait("EnterInitializingMode", "the federation to initialize")
        known = {kind: self._names("root", kind) for kind in ("publications", "endpoints")}
        problems = []
        for port, read in self._reads.items():
            if isinstance(read.source, Receiver):
                continue
            for key in keys_of(read.source):
                if key not in known["publications"]:
                    problems.append(
                        f"{port}: no publication {key!r} in the federation; available: {_few(known['publications'])}"
                    )
        for port, (target, _) in self._sends.items():
            if isinstance(target, Sender) and target.to not in known["endpoints"]:
                problems.append(
                    f"{port}: no endpoint {target.to!r} in the federation; available: {_few(known['endpoints'])}"
                )
        for port, read in self._reads.items():
            if isinstance(read.source, Subscription) and not problems:
                told = {h.helicsInputGetInjectionUnits(handle) for handle in read.handles}
                problems += self._convert(port, read, told)
        if problems:
            raise CosimError(f"HELICS federate {self.name!r}: {'; '.join(problems)}")
        wanted = {key for r in self._reads.values() if isinstance(r.source, Subscription) for key in keys_of(r.source)}
        self._others = [name for name in self._names("root", "federates") if name != self.name]
        self._owners = [name for name in self._others if wanted & {*self._names(name, "publications")}]

    def _convert(self, port: str, read: _Read, told: set[str]) -> list[str]:
        if len(told) > 1:
            return [f"{port}: its publications are in the units {', '.join(sorted(told))}: use a port for each unit"]
        [unit] = told
        if not unit or unit == read.source.unit:
            if not unit:
                text = f"its publication has no unit and is taken to be in {read.source.unit}"
                self.events.append(("unit assumed", port, text))
            return []
        try:
            read.scale = units.factor(unit, read.source.unit)
        except CosimError as error:
            return [f"{port}: {error}"]
        return []

    def execute(self) -> None:
        """Enter executing mode at time 0; the initial values are read.

        Raises
        ------
        CosimError
            If the other federates do not arrive in time.
        """
        self._wait("EnterExecutingMode", "the federation to begin")
        self._take(0.0)

    def publish(self, values: Mapping[str, Vector]) -> None:
        """Publish or send values by port, at the present time."""
        h = self._helics
        with self._named(f"cannot publish at {self.now_s:g} s"):
            for port, vector in values.items():
                target, handles = self._sends[port]
                if isinstance(target, Sender):
                    h.helicsEndpointSendBytesTo(handles[0], json.dumps(vector.tolist()).encode(), target.to)
                elif isinstance(target.labels, Mapping):
                    for handle, value in zip(handles, vector.tolist(), strict=True):
                        h.helicsPublicationPublishDouble(handle, value)
                else:
                    buffer = np.ascontiguousarray(vector, np.float64)
                    h.helicsPublicationPublishVector(handles[0], h.capi.ffi.from_buffer("double[]", buffer))

    def advance(self, until_s: float) -> None:
        """Ask for time until it is granted.

        Raises
        ------
        CosimError
            If another federate has failed or left, does not answer in time, or sent values that cannot be used.
        """
        wanted = until_s + self._after_s
        while self.now_s < wanted - 0.1 * _SETTLED_S:
            granted = self._wait("RequestTime", f"time {until_s:g} s after {self.now_s:g} s", wanted)
            if granted > wanted + _SETTLED_S:
                raise CosimError(
                    f"HELICS federate {self.name!r} asked for {until_s:g} s and was granted {granted:g} s: the "
                    "federation has ended or a federate in it has failed"
                )
            self._take(granted)
            self.now_s = granted

    def read(self, port: str, begin_s: float) -> Vector:
        """Return an output's value over the time since ``begin_s``, or at its end, and begin the next."""
        read = self._reads[port]
        pieces, read.pieces, before, read.held = read.pieces, [], read.held, read.values
        if read.source.kind == "end" or not pieces:
            return read.values
        moments = [round(moment, 5) for moment, _ in pieces]  # a value of one time is granted a little later
        values = [vector for _, vector in pieces]
        if read.source.published == "end":
            spans = np.diff([begin_s, *moments])
        else:
            known = before if np.isfinite(before).all() else values[0]
            values, spans = [known, *values], np.diff([begin_s, *moments, round(self.now_s, 5)])
        counted = [(vector, span) for vector, span in zip(values, spans.tolist(), strict=True) if span > 0]
        if len(counted) < 2:
            return counted[0][0] if counted else read.values
        stacked, weights = np.array([vector for vector, _ in counted]), [span for _, span in counted]
        if units.is_level(read.source.unit):
            return units.levels(np.average(units.energies(stacked), axis=0, weights=weights))
        return np.asarray(np.average(stacked, axis=0, weights=weights))

    def heard(self, port: str) -> bool:
        """Return whether anything has ever come for an output."""
        return self._reads[port].heard

    def silent(self, port: str) -> bool:
        """Return whether nothing has come for an output since its last `read`."""
        return not self._reads[port].pieces

    def left(self) -> list[str]:
        """Return which federates that publish what is subscribed have left the federation."""
        return self._gone(self._owners)

    def _gone(self, names: list[str]) -> list[str]:
        return [name for name in names if self._ask(name, "isconnected") is not True]

    def _take(self, granted: float) -> None:
        h = self._helics
        for port, read in self._reads.items():
            if isinstance(read.source, Receiver):
                for _ in range(h.helicsEndpointPendingMessageCount(read.handles[0])):
                    message = h.helicsEndpointGetMessage(read.handles[0])
                    self._keep(port, read, granted, self._parsed(port, h.helicsMessageGetBytes(message), granted))
            elif any(h.helicsInputIsUpdated(handle) for handle in read.handles):
                with self._named(f"cannot read {port} at {granted:g} s"):
                    self._keep(port, read, granted, read.scale * self._vector(port, read, granted))

    def _keep(self, port: str, read: _Read, granted: float, values: Vector) -> None:
        if not np.isfinite(values).all():
            label = [*read.source.labels][int(np.argmin(np.isfinite(values)))]
            raise PortError(
                f"{port}[{label!r}] received {values.min():g} from the federation at {granted:g} s: not finite"
            )
        read.values, read.heard = values, True
        read.pieces.append((granted, values))

    def _vector(self, port: str, read: _Read, granted: float) -> Vector:
        h, size = self._helics, len(read.source.labels)
        assert isinstance(read.source, Subscription)
        if isinstance(read.source.labels, Mapping):
            return np.array([h.helicsInputGetDouble(handle) for handle in read.handles])
        [handle] = read.handles
        length = h.helicsInputGetVectorSize(handle)
        if length != size:
            raise PortError(f"{port} expects {size} values of {read.source.key!r}, got {length} at {granted:g} s")
        values, actual, error = np.empty(size), h.capi.ffi.new("int[1]"), h.capi.helicsErrorInitialize()
        h.capi.lib.helicsInputGetVector(handle.handle, h.capi.ffi.from_buffer("double[]", values), size, actual, error)
        return values

    def _parsed(self, port: str, body: bytes, granted: float) -> Vector:
        size = len(self._reads[port].source.labels)
        try:
            values = np.atleast_1d(np.asarray(json.loads(body), dtype=np.float64))
        except (ValueError, TypeError, RecursionError):
            values = np.empty((0, 0))
        if values.shape != (size,):
            raise PortError(
                f"{port} received the message {shown(body)} at {granted:g} s: it must be a JSON array of {size} numbers"
            )
        return values

    def _wait(self, call: str, what: str, *arguments: float) -> Any:
        """Make a call of the federate that waits for others, and return its answer."""
        h, federate, deadline = self._helics, self._federate, time.monotonic() + self.timeout_s
        ask_at, alone = time.monotonic() + _ALONE_S, False
        with self._named(f"failed while it waited for {what}"):
            getattr(h, f"helicsFederate{call}Async")(federate, *arguments)
            self._pending, polls = call, 0
            while not h.helicsFederateIsAsyncOperationCompleted(federate):
                polls += 1
                if polls <= _SPINS:
                    continue
                time.sleep(min(_SLEEP_S, 1e-5 * (polls - _SPINS)))
                if polls % 64 == 0:
                    self._watch()
                    now = time.monotonic()
                    if self._others and now > ask_at:  # HELICS may wait for itself when the last one leaves
                        before, alone = alone, self._gone(self._others) == self._others
                        if before and alone:  # its program had an interval to say why
                            raise left_error(self._others, *arguments)
                        ask_at = now + _ALONE_S
                    if now > deadline:
                        raise CosimError(
                            f"HELICS federate {self.name!r} waited {self.timeout_s:g} s for {what}: another federate "
                            "has died, hangs or never joined; raise timeout_s if it is only slow"
                        )
            self._pending = ""
            return getattr(h, f"helicsFederate{call}Complete")(federate)

    def _ask(self, target: str, what: str) -> Any:
        h = self._helics
        with self._named(f"cannot ask for {what}"):
            return h.helicsQueryExecute(h.helicsCreateQuery(target, what), self._federate)

    def _names(self, target: str, what: str) -> list[str]:
        answer = self._ask(target, what)
        return [str(one) for one in answer] if isinstance(answer, list) else []

    def fail(self, text: str) -> None:
        """Tell the federation that this federate has failed."""
        with contextlib.suppress(self._helics.HelicsException):
            self._helics.helicsFederateGlobalError(self._federate, 1, text)

    def close(self) -> None:
        """Leave the federation, also while a call waits; safe to call twice."""
        h, pending, self._pending = self._helics, self._pending, ""
        with contextlib.suppress(h.HelicsException):
            if pending:
                h.helicsCoreDisconnect(h.helicsFederateGetCore(self._federate))
                deadline = time.monotonic() + _LEAVE_S
                while not h.helicsFederateIsAsyncOperationCompleted(self._federate) and time.monotonic() < deadline:
                    time.sleep(_SLEEP_S)
                getattr(h, f"helicsFederate{pending}Complete")(self._federate)
        with contextlib.suppress(h.HelicsException):
            h.helicsFederateDisconnect(self._federate)


def left_error(gone: list[str], until_s: float = 0.0) -> CosimError:
    """Return the error for federates that left before a time."""
    names = ", ".join(gone)
    return CosimError(
        f"the federate {names} has left the federation before {until_s:g} s: let it run as long as the scenario"
    )


def _first(source: Source) -> Vector:
    initial = np.nan if source.initial is None else source.initial
    return np.broadcast_to(np.asarray(initial, float), (len(source.labels),))


def _few(names: list[str]) -> str:
    return ", ".join(sorted(names)[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "") or "none"
