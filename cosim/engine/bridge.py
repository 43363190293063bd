"""The bridge to mosaik: the only module of the engine that uses mosaik.

Every adapter is one mosaik simulator with one entity; every connection is an attribute of its own, because mosaik keys
inputs by source entity and would silently drop the second of two. mosaik carries the connection's `Channel` by
reference: the bridge of the source puts values in, the bridge of the target takes out what its step covers, so that no
combination of rates and shifts can lose a value. mosaik schedules the steps; its time is the end of a step's interval
in exchange steps, and every adapter is stepped once at 0 to publish its initial state.

``cache=False``: the cache of mosaik 3.6 silently loses data in multi-rate and shifted couplings.
``lazy_stepping=False``: lazy stepping makes a source wait until its targets have finished the same step, which would
prevent pipelines from running concurrently; `Bridge._wait_for_targets` instead keeps every source at most one step of
the target ahead, which also bounds memory.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mosaik import AsyncWorld
from mosaik.proxies import BaseProxy
from mosaik.starters import Starter

from cosim.core.adapter import Event, Step, restored_by
from cosim.core.clock import Clock
from cosim.core.errors import CosimError
from cosim.core.quantities import Vector

from .checkpoint import Checkpoint, Checkpoints
from .exchange import Channel, mosaik_shift
from .hosts import AdapterError, Host, Reply
from .member import Member, RunError
from .recorder import Recorder, RecordingError

_ENTITY, _MODEL = "vector", "Vector"
_NEVER = 2**53  # `until` of an open-ended run [ticks]


class Position:
    """The tick that each adapter has reached; others can wait for it."""

    def __init__(self, names: Iterable[str], begin: int) -> None:
        self.done = dict.fromkeys(names, begin - 1)
        self._changed = asyncio.Condition()

    async def advance(self, name: str, tick: int) -> None:
        """Record that an adapter has finished the step that ends at ``tick``."""
        async with self._changed:
            self.done[name] = tick
            self._changed.notify_all()

    async def wait(self, ready: Callable[[], bool]) -> None:
        """Wait until a condition on the positions holds."""
        if not ready():
            async with self._changed:
                await self._changed.wait_for(ready)


class Bridge:
    """One adapter as a mosaik simulator.

    Parameters
    ----------
    member
        The adapter and its state.
    incoming, outgoing
        The channels into and out of the adapter by attribute name, in the order of connection.
    run
        The run that it belongs to.
    """

    def __init__(
        self, member: Member, incoming: dict[str, Channel], outgoing: dict[str, Channel], run: MosaikRun
    ) -> None:
        self.member, self.step_ticks = member, member.step_ticks
        self.incoming, self.outgoing, self.run = incoming, outgoing, run
        self._keeps_inputs = run.checkpoints is not None and restored_by(member.host.adapter) == "replay"
        self._initial = Reply({})

    @property
    def name(self) -> str:
        """The adapter's name in the scenario."""
        return self.member.name

    async def open(self) -> None:
        """Open the adapter before mosaik starts; in a resumed run, restore its state."""
        try:
            self._initial = await self.member.host.call("open")
        except CosimError as error:
            raise self.member.error("while opening", error) from error
        if self.run.restored is not None:
            try:
                await self.run.restored.restore(self.member)
            except CosimError as error:
                raise self.member.error("while restoring from the checkpoint", error) from error

    async def step(self, time: int, inputs: Mapping[str, Any]) -> int:
        """Advance the adapter over the interval that ends at ``time``; return the end of the next one. [ticks]"""
        if time == self.run.begin:
            if time == 0:
                await self._publish(0, self._initial)
            await self.run.position.advance(self.name, time)
            return time + self.step_ticks
        await self._wait_for_targets(time)
        await self.run.wait_for_end(time)
        if self.run.is_over(time):
            await self.run.position.advance(self.name, time)
            return self.run.until
        await self.run.wait_for_checkpoint(time - self.step_ticks)
        await self.run.wait_for_pace(self, time)
        received = inputs.get(_ENTITY, {})
        try:
            values: dict[str, Vector] = {}
            for attribute, channel in self.incoming.items():
                (carried,) = received[attribute].values()
                assert carried is channel
                arrived = channel.receive(time)
                port = channel.connection.input
                values[port] = channel.added(values[port], arrived) if port in values else arrived
            interval = Step((time - self.step_ticks) * self.run.tick_s, self.step_ticks * self.run.tick_s)
            reply = await self.member.host.call("advance", interval, values)
            if self._keeps_inputs:
                self.member.received.append((interval, values))
                self.member.digest.add(reply.outputs)
            if reply.finished and self.member.finished_at is None:
                self.member.finished_at = time
            await self._publish(time, reply)
            await self.run.position.advance(self.name, time)
        except RunError:
            raise
        except CosimError as error:
            if isinstance(error, AdapterError) and error.events:
                self.run.record(self, time, {}, error.events)
            raise self.member.error(f"at {self.run.when(time - self.step_ticks)}", error) from error
        return time + self.step_ticks

    async def _publish(self, time: int, reply: Reply) -> None:
        self.member.wall_s += reply.wall_s
        events = list(reply.events)
        for name, value in reply.outputs.items():
            if self.member.outputs[name].may_be_missing:
                events += self.member.gaps(name, value)
        self.run.record(self, time, reply.outputs, events)
        for channel in self.outgoing.values():
            output = channel.connection.output
            if output in reply.outputs:
                channel.send(time, reply.outputs[output])

    async def _wait_for_targets(self, time: int) -> None:
        # One step of the target may be in progress while this one runs. An adapter that is waited for needs nothing of
        # time ``time`` or later, so the adapter that is furthest behind can always proceed.
        done = self.run.position.done
        limits = {
            channel.connection.target: time - self.step_ticks - self.run.bridges[channel.connection.target].step_ticks
            for channel in self.outgoing.values()
            if channel.connection.target != self.name
        }
        await self.run.position.wait(lambda: all(done[target] >= limit for target, limit in limits.items()))


class _Proxy(BaseProxy):  # type: ignore[misc]
    """Forwards mosaik's calls to a bridge, in this event loop."""

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
        """Do nothing: the run closes all hosts, including those that mosaik never started."""


class _Starter(Starter):  # type: ignore[misc]
    """Gives mosaik the proxy of a bridge."""

    api_version = None

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    async def start(self, sim_id: str, mosaik_remote: Any, mosaik_config: Any) -> BaseProxy:
        return _Proxy(self._bridge)

    @classmethod
    def from_starter_config(cls, starter_config: Any) -> Starter | None:
        return None


class MosaikRun:
    """One mosaik run over the bridges of a scenario.

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
        Receives outputs and events after every step.
    checkpoints
        Saves the run's state at regular intervals; None for no checkpoints.
    restored
        The checkpoint from which the run resumes; None to begin at the start.
    on_progress
        Called with the simulated seconds that all adapters have completed.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        hosts: dict[str, Host],
        steps: Mapping[str, int],
        channels: list[Channel],
        recorder: Recorder,
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
        self.members = {name: Member(host, steps[name]) for name, host in hosts.items()}
        self.bridges = {
            name: Bridge(
                member,
                {a: c for a, c in named.items() if c.connection.target == name},
                {a: c for a, c in named.items() if c.connection.source == name},
                self,
            )
            for name, member in self.members.items()
        }
        self._named = named
        self.position = Position(self.bridges, self.begin)
        self.complete = False
        """Whether every adapter has reached the end."""
        self._saving = asyncio.Lock()
        self._enders = (
            [b for b in self.bridges.values() if b.member.host.adapter.ends_run] if clock.n_steps is None else []
        )

    def when(self, tick: int) -> str:
        """Return the civil time of a tick, for messages."""
        return self.clock.civil(tick * self.tick_s).strftime("%Y-%m-%d %H:%M:%S")

    async def wait_for_end(self, time: int) -> None:
        """In an open-ended run, wait until the adapters that can end it have decided about all earlier ticks."""
        for bridge in self._enders:
            await self.position.wait(functools.partial(self._has_decided, bridge, time))

    async def wait_for_pace(self, bridge: Bridge, time: int) -> None:
        """Before a step that ends at ``time``, wait until the adapters that pace the run have finished theirs."""
        for pacer in (b for b in self.bridges.values() if b.member.host.adapter.paces and b is not bridge):
            reached = time // pacer.step_ticks * pacer.step_ticks
            await self.position.wait(lambda: self.position.done[pacer.name] >= reached)  # noqa: B023

    def _has_decided(self, ender: Bridge, time: int) -> bool:
        return ender.member.finished_at is not None or self.position.done[ender.name] + ender.step_ticks >= time

    def is_over(self, time: int) -> bool:
        """Return whether the step that ends at ``time`` lies beyond the run's end."""
        if not self._enders:
            return time >= self.until
        ends = [bridge.member.finished_at for bridge in self._enders]
        if not all(end is not None for end in ends):
            return False
        return time > self.clock.at_horizon(max(end for end in ends if end is not None))

    @property
    def end(self) -> int:
        """The last tick of the run; known once it is over."""
        if self._enders:
            return self.clock.at_horizon(max(bridge.member.finished_at or 0 for bridge in self._enders))
        return self.until - 1

    def simulated_s(self, finished: bool) -> float:
        """Return the simulated time that all adapters have completed. [s]"""
        done = self.end if finished else max(0, min(self.position.done.values(), default=0))
        return done * self.tick_s

    def record(self, bridge: Bridge, time: int, values: dict[str, Vector], events: list[Event]) -> None:
        """Record an adapter's outputs and events, and report progress."""
        try:
            self.recorder.add(bridge.name, time, values, events)
        except RecordingError as error:
            raise RunError("recording", f"at {self.when(time)}", str(error)) from error
        if self._on_progress is not None:
            done = min(b.step_ticks + self.position.done[name] - 1 for name, b in self.bridges.items())
            self._on_progress(min(max(done, self.begin), self.until - 1) * self.tick_s)

    async def wait_for_checkpoint(self, begin: int) -> None:
        """Before a step that begins at or after the next checkpoint, wait until all adapters reach it, and save it."""
        while self.checkpoints is not None and begin >= self.checkpoints.next:
            due = self.checkpoints.next
            # No adapter that is waited for needs anything of a later step, so all of them reach the checkpoint.
            await self.position.wait(lambda due=due: min(self.position.done.values()) >= due)  # type: ignore[misc]
            async with self._saving:
                if self.checkpoints.next == due:
                    try:
                        await self.checkpoints.save(self.members, self.channels, self.recorder, self.when)
                    except RecordingError as error:  # of a part that was being written in the background
                        raise RunError("recording", f"at {self.when(due)}", str(error)) from error
                    except OSError as error:
                        cause = f"cannot be written: {error.strerror}"
                        raise RunError("checkpoint", f"at {self.when(due)}", cause) from error

    async def execute(self) -> None:
        """Open every adapter, run to the end, and close all adapters in every case.

        Raises
        ------
        RunError
            If an adapter fails.
        """
        failed = True
        try:
            await asyncio.gather(*(bridge.open() for bridge in self.bridges.values()))
            await self._run_world()
            self.complete, failed = True, False
        finally:
            await self._cancel_tasks()
            self._close(failed=failed)

    async def _run_world(self) -> None:
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
        for bridge in self.bridges.values():  # mosaik may end a run early without an error
            reached = self.position.done[bridge.name]
            if reached < self.end // bridge.step_ticks * bridge.step_ticks:
                cause = "it stopped before the end of the run; please report this"
                raise RunError(bridge.name, f"at {self.when(reached)}", cause)

    async def _cancel_tasks(self) -> None:
        # After a failure, mosaik leaves the other simulators' tasks waiting.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _close(self, *, failed: bool) -> None:
        problem: RunError | None = None
        if failed:
            for bridge in self.bridges.values():  # all at once, since each may take its time
                bridge.member.host.ask_to_end()
        for name, bridge in self.bridges.items():
            try:
                bridge.member.host.close(failed=failed)
            except AdapterError as error:
                problem = problem or RunError(name, "while closing", str(error), error.details)
        if problem is not None:
            raise problem
