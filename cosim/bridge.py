"""How does mosaik run our adapters? The one module of the engine that knows mosaik.

Every adapter is one mosaik simulator with one entity; every connection is one attribute of its own, because mosaik
keys inputs by source entity and would silently drop the second of two. What mosaik carries is the connection's
`Channel`, by reference: the source's bridge has put its values in, the target's bridge takes out what its step
covers, so no rate or shift can lose a value. mosaik decides who may step when; its time is the end of a step's
interval in exchange steps, and every adapter is stepped once at 0 to publish its initial state.

``cache=False``: the cache of mosaik 3.6 silently loses data in multi-rate and shifted couplings.
``lazy_stepping=False``: mosaik's own brake makes a source wait until its targets have finished the same step, which
would undo the concurrency of a pipeline; `Bridge._wait_for_targets` keeps every source at most one step of the
target ahead instead, so that no memory piles up either.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from mosaik import AsyncWorld
from mosaik.proxies import BaseProxy
from mosaik.starters import Starter

from cosim.core.adapter import Event, Step, outputs, restored_by
from cosim.core.clock import Clock
from cosim.core.errors import CosimError
from cosim.core.ports import Output, Vector

from .checkpoint import Checkpoint, Checkpoints
from .exchange import Channel, mosaik_shift
from .hosts import AdapterError, Host, OutputDigest, Reply
from .recorder import Recorder, RecordingError

_ENTITY, _MODEL = "vector", "Vector"
_NEVER = 2**53  # until of a run of open length [ticks]


class RunError(CosimError):
    """Why a run ended early: the adapter, the simulated time and the cause."""

    def __init__(self, adapter: str, when: str, cause: str, details: str = "") -> None:
        self.adapter, self.when, self.cause, self.details = adapter, when, cause, details
        super().__init__(f"{adapter} failed at {when}: {cause}")


class Progress:
    """Up to where each adapter has come [ticks], for those who wait for it."""

    def __init__(self, names: Iterable[str], begin: int) -> None:
        self.done = dict.fromkeys(names, begin - 1)
        self._changed = asyncio.Condition()

    async def advance(self, name: str, tick: int) -> None:
        """Note that an adapter has finished its step that ends at ``tick``."""
        async with self._changed:
            self.done[name] = tick
            self._changed.notify_all()

    async def wait(self, ready: Callable[[], bool]) -> None:
        """Wait until something holds that depends on the progress."""
        if not ready():
            async with self._changed:
                await self._changed.wait_for(ready)


class Bridge:
    """One adapter, as mosaik sees it.

    Parameters
    ----------
    host
        Where the adapter runs.
    step
        The adapter's step. [ticks]
    incoming, outgoing
        The channels into and out of the adapter by attribute name, those into in the order of connection.
    outputs
        The adapter's outputs by name.
    run
        The run it belongs to.
    """

    def __init__(
        self,
        host: Host,
        step: int,
        incoming: dict[str, Channel],
        outgoing: dict[str, Channel],
        outputs: dict[str, Output],
        run: Run,
    ) -> None:
        self.host, self.step_ticks = host, step
        self.incoming, self.outgoing, self.outputs, self.run = incoming, outgoing, outputs, run
        self.wall_s = 0.0
        self.finished_at: int | None = None
        self.missing: dict[str, np.ndarray] = {}
        self.heard: list[tuple[Step, dict[str, Vector]]] = []
        """The inputs since the last checkpoint, kept for an adapter that is restored by replay."""
        self.said = OutputDigest()
        self._keeps_inputs = run.checkpoints is not None and restored_by(host.adapter) == "replay"
        self._initial = Reply({})

    @property
    def name(self) -> str:
        """The adapter's name in the scenario."""
        return self.host.name

    async def open(self) -> None:
        """Open the adapter, before mosaik's time begins; in a resumed run, bring it to where it was."""
        try:
            self._initial = await self.host.call("open")
        except CosimError as error:
            raise self.error("its opening", error) from error
        if self.run.restored is not None:
            try:
                await self.run.restored.bring_back(self)
            except CosimError as error:
                raise self.error("its return to the checkpoint", error) from error

    async def step(self, time: int, inputs: Mapping[str, Any]) -> int:
        """Advance the adapter over the interval that ends at ``time``; return the end of the next one. [ticks]"""
        if time == self.run.begin:
            if time == 0:
                await self._publish(0, self._initial)
            await self.run.progress.advance(self.name, time)
            return time + self.step_ticks
        await self._wait_for_targets(time)
        await self.run.wait_for_end(time)
        if self.run.is_over(time):
            await self.run.progress.advance(self.name, time)
            return self.run.until
        await self.run.pass_checkpoint(time - self.step_ticks)
        received = inputs.get(_ENTITY, {})
        try:
            values: dict[str, Vector] = {}
            for attribute, channel in self.incoming.items():
                (carried,) = received[attribute].values()
                assert carried is channel
                arrived = channel.receive(time)
                port = channel.connection.input
                values[port] = values[port] + arrived if port in values else arrived
            interval = Step((time - self.step_ticks) * self.run.tick_s, self.step_ticks * self.run.tick_s)
            reply = await self.host.call("advance", interval, values)
            if self._keeps_inputs:
                self.heard.append((interval, values))
                self.said.add(reply.outputs)
            if reply.finished and self.finished_at is None:
                self.finished_at = time
            await self._publish(time, reply)
            await self.run.progress.advance(self.name, time)
        except RunError:
            raise
        except CosimError as error:
            if isinstance(error, AdapterError) and error.events:
                self.run.record(self, time, {}, error.events)
            raise self.error(self.run.when(time - self.step_ticks), error) from error
        return time + self.step_ticks

    async def _publish(self, time: int, reply: Reply) -> None:
        self.wall_s += reply.wall_s
        events = list(reply.events)
        for name, value in reply.outputs.items():
            if self.outputs[name].may_be_missing:
                events += self._gaps(name, value)
        self.run.record(self, time, reply.outputs, events)
        for channel in self.outgoing.values():
            output = channel.connection.output
            if output in reply.outputs:
                channel.send(time, reply.outputs[output])

    def _gaps(self, name: str, value: Vector) -> list[Event]:
        missing = np.isnan(value)
        before = self.missing.get(name, np.zeros_like(missing))
        self.missing[name] = missing
        labels = self.outputs[name].labels
        return [Event("missing", labels[i], f"{name} is missing") for i in np.flatnonzero(missing & ~before)] + [
            Event("present", labels[i], f"{name} is there again") for i in np.flatnonzero(before & ~missing)
        ]

    async def _wait_for_targets(self, time: int) -> None:
        # One step of the target may be under way while this one runs. Whoever is waited for needs nothing of time
        # ``time`` or later, so the adapter that is furthest behind can always go on.
        done = self.run.progress.done
        limits = {
            channel.connection.target: time - self.step_ticks - self.run.bridges[channel.connection.target].step_ticks
            for channel in self.outgoing.values()
            if channel.connection.target != self.name
        }
        await self.run.progress.wait(lambda: all(done[target] >= limit for target, limit in limits.items()))

    def error(self, when: str, error: CosimError) -> RunError:
        """Return what went wrong, with the adapter's name and the time."""
        return RunError(self.name, when, str(error), error.details if isinstance(error, AdapterError) else "")


class _Proxy(BaseProxy):  # type: ignore[misc]
    """Answers mosaik's calls from a bridge, in this event loop."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge

    async def init(self, sid: str, *, time_resolution: float = 1.0, **parameters: Any) -> list[int]:
        return [3, 0]

    @property
    def meta(self) -> dict[str, Any]:
        attributes = [*self._bridge.incoming, *self._bridge.outgoing]
        return {
            "api_version": "3.0",
            "type": "time-based",
            "models": {_MODEL: {"public": True, "params": [], "attrs": sorted(set(attributes))}},
        }

    async def send(self, request: Any) -> Any:
        name, arguments, _ = request
        if name == "create":
            return [{"eid": _ENTITY, "type": _MODEL}]
        if name == "step":
            begin = self._bridge.run.begin  # mosaik counts from where this run begins
            return await self._bridge.step(arguments[0] + begin, arguments[1]) - begin
        if name == "get_data":
            return {_ENTITY: dict(self._bridge.outgoing)}
        return None

    async def stop(self) -> None:
        """Nothing: hosts are closed by the run, also where mosaik has not come to start them."""


class _Starter(Starter):  # type: ignore[misc]
    """Hands mosaik the proxy of a bridge."""

    api_version = None

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    async def start(self, sim_id: str, mosaik_remote: Any, mosaik_config: Any) -> BaseProxy:
        return _Proxy(self._bridge)

    @classmethod
    def from_starter_config(cls, starter_config: Any) -> Starter | None:
        return None


class Run:
    """One pass of mosaik over the bridges of a scenario.

    Parameters
    ----------
    clock
        Start, step and end.
    hosts
        The adapters' hosts by name.
    steps
        The adapters' steps by name. [ticks]
    channels
        The connections.
    recorder
        Takes outputs and events after every step.
    checkpoints
        Where and how often the run's state is saved; None for never.
    restored
        The checkpoint from which the run goes on; None to begin at the start.
    on_progress
        Called with the simulated seconds that all adapters have passed.
    """

    def __init__(
        self,
        clock: Clock,
        hosts: dict[str, Host],
        steps: dict[str, int],
        channels: list[Channel],
        recorder: Recorder,
        *,
        checkpoints: Checkpoints | None = None,
        restored: Checkpoint | None = None,
        on_progress: Callable[[float], None] | None = None,
    ) -> None:
        self.clock, self.tick_s = clock, clock.step_s
        self.begin = restored.tick if restored is not None else 0
        self.checkpoints, self.restored = checkpoints, restored
        self.until = _NEVER if clock.n_steps is None else clock.n_steps + 1
        self.recorder, self._on_progress = recorder, on_progress
        self.channels = channels
        named = {f"c{i}": channel for i, channel in enumerate(channels)}
        self.bridges = {
            name: Bridge(
                host,
                steps[name],
                {a: c for a, c in named.items() if c.connection.target == name},
                {a: c for a, c in named.items() if c.connection.source == name},
                outputs(host.adapter),
                self,
            )
            for name, host in hosts.items()
        }
        self._named = named
        self.progress = Progress(self.bridges, self.begin)
        self._saving = asyncio.Lock()
        self._enders = [b for b in self.bridges.values() if b.host.adapter.ends_run] if clock.n_steps is None else []

    def when(self, tick: int) -> str:
        """Return the civil time at a tick, for messages."""
        return self.clock.civil(tick * self.tick_s).strftime("%Y-%m-%d %H:%M:%S")

    async def wait_for_end(self, time: int) -> None:
        """In a run of open length, wait until those who may end it have passed all but the last tick."""
        for bridge in self._enders:
            await self.progress.wait(functools.partial(self._knows, bridge, time))

    def _knows(self, ender: Bridge, time: int) -> bool:
        return ender.finished_at is not None or self.progress.done[ender.name] + ender.step_ticks >= time

    def is_over(self, time: int) -> bool:
        """Tell whether the step that ends at ``time`` lies beyond the run's end."""
        if not self._enders:
            return time >= self.until
        ends = [bridge.finished_at for bridge in self._enders]
        return all(end is not None for end in ends) and time > max(end for end in ends if end is not None)

    @property
    def end(self) -> int:
        """The last tick of the run; known once it is over."""
        if self._enders:
            return max(bridge.finished_at or 0 for bridge in self._enders)
        return self.until - 1

    def record(self, bridge: Bridge, time: int, values: dict[str, Vector], events: list[Event]) -> None:
        """Pass on what an adapter said, and how far all have come."""
        try:
            self.recorder.add(bridge.name, time, values, events)
        except RecordingError as error:
            raise RunError("recording", self.when(time), str(error)) from error
        if self._on_progress is not None:
            done = min(b.step_ticks + self.progress.done[name] - 1 for name, b in self.bridges.items())
            self._on_progress(min(max(done, self.begin), self.until - 1) * self.tick_s)

    async def pass_checkpoint(self, begin: int) -> None:
        """Before a step that begins at or after the next checkpoint: wait for everybody there, and save it."""
        while self.checkpoints is not None and begin >= self.checkpoints.next:
            due = self.checkpoints.next
            # Nobody who is waited for needs anything of a later step, so they all arrive.
            await self.progress.wait(lambda due=due: min(self.progress.done.values()) >= due)  # type: ignore[misc]
            async with self._saving:
                if self.checkpoints.next == due:
                    try:
                        await self.checkpoints.save(self)
                    except OSError as error:
                        raise RunError("checkpoint", self.when(due), f"cannot be written: {error.strerror}") from error

    async def execute(self) -> None:
        """Open every adapter, run to the end and close them all, whatever happens.

        Raises
        ------
        RunError
            What an adapter did wrong and when.
        """
        failed = True
        try:
            await asyncio.gather(*(bridge.open() for bridge in self.bridges.values()))
            await self._pass_time()
            failed = False
        finally:
            await self._abandon()
            self._close(failed=failed)

    async def _pass_time(self) -> None:
        async with AsyncWorld({}, cache=False) as world:
            entities = {}
            for name, bridge in self.bridges.items():
                factory = await world.start(_Starter(bridge), sim_id=name)
                entities[name] = (await getattr(factory, _MODEL).create(1))[0]
            for attribute, channel in self._named.items():
                c = channel.connection
                source, target = self.bridges[c.source], self.bridges[c.target]
                shift = mosaik_shift(c.kind, c.delay, source.step_ticks, target.step_ticks)
                shifted = {"time_shifted": shift, "initial_data": channel} if shift else {}
                world.connect_one(entities[c.source], entities[c.target], attribute, **shifted)
            await world.run(until=self.until - self.begin, lazy_stepping=False)
        if self._on_progress is not None:
            self._on_progress(self.end * self.tick_s)
        for bridge in self.bridges.values():  # mosaik lets a run end early without a word
            reached = self.progress.done[bridge.name]
            if reached < self.end // bridge.step_ticks * bridge.step_ticks:
                raise RunError(bridge.name, self.when(reached), "it stopped before the run's end; please report this")

    async def _abandon(self) -> None:
        # After a failure mosaik leaves the other simulators' tasks waiting.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _close(self, *, failed: bool) -> None:
        problem: RunError | None = None
        for name, bridge in self.bridges.items():
            try:
                bridge.host.close(failed=failed)
            except AdapterError as error:
                problem = problem or RunError(name, "its closing", str(error), error.details)
        if problem is not None:
            raise problem

