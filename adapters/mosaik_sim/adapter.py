"""Adapter for mosaik 3 simulators.

Entities become labels and attributes become ports; the simulator runs within the adapter's steps, in its own steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from mosaik_api_v3 import MosaikProxy

from cosim.adapters.mosaik_sim.description import Call, Entity, InputAttribute, OutputAttribute
from cosim.adapters.mosaik_sim.links import InProcess, Link, Remote, is_loopback, parse_address
from cosim.adapters.mosaik_sim.meta import attributes, check_methods, checked_models, few, triggers, with_children
from cosim.core import Adapter, Clock, CosimError, Input, Output, ScenarioError, Step, units
from cosim.core.quantities import Vector

_SID = "simulator"
_NEVER = 2**53  # the run's end for a simulator without a known end [ticks]
_STARTS = ("python", "cmd", "connect")


class MosaikSimulator(Adapter):
    """One mosaik 3 simulator, with its entities as labels and its attributes as ports.

    The simulator is stepped at each of its own times within the adapter's step, with the inputs of that step;
    an event-based or hybrid one also at the step's start, if an input triggers it, and values not published again
    are held. With inputs, its own steps must end where the adapter's do: otherwise it could not receive the next
    inputs in time. Same-time loops, outputs dated ahead, and requests for data of other simulators are refused.

    A resumed run replays it: seed its random numbers, and provide a fresh simulator at the address, if it has one.

    Parameters
    ----------
    simulator
        An entry of mosaik's ``sim_config``: ``{"python": "module:Class"}``, ``{"cmd": "%(python)s … %(addr)s"}`` (with
        optional ``cwd`` and ``env``), ``{"connect": "127.0.0.1:5555"}``; or just ``"module:Class"``.
    model
        The model of the created entities.
    entities
        Label to the parameters of the entity.
    inputs, outputs
        Port name to attribute.
    settings
        Arguments of the simulator's ``init``.
    calls
        Calls of the simulator's extra methods before the run, in this order; what they return is reported.
    clock
        The run's clock, for simulators that need the run's end.
    time_resolution_s
        Seconds in one unit of the simulator's time.
    timeout_s
        Longest response time of a simulator in a process of its own. [s]
    allow_remote
        Whether an address may be on another machine. mosaik's protocol has neither password nor encryption.

    Raises
    ------
    ScenarioError
        If the description is inconsistent; the simulator itself is checked in `open`.

    Examples
    --------
    >>> panels = MosaikSimulator(
    ...     "mosaik_components.pv.pvsimulator:PVSimulator", "PV",
    ...     {"roof 1": {"latitude": 53.1, "area": 10.0}, "roof 2": {"latitude": 53.1, "area": 20.0}},
    ...     inputs={"beam": InputAttribute("DNI[W/m2]", "W/m**2")},
    ...     outputs={"power": OutputAttribute("P[MW]", "MW", kind="mean")},
    ...     settings={"start_date": "2025-06-01 12:00:00", "step_size": 900},
    ... )
    >>> panels.power
    Output('MW', 2 labels, kind='mean')
    """

    placement = "process"
    replays = True

    if TYPE_CHECKING:  # ports are attributes under the integrator's names

        def __getattr__(self, name: str) -> Any: ...

    def __init__(
        self,
        simulator: str | Mapping[str, Any],
        model: str,
        entities: Mapping[str, Mapping[str, Any]],
        *,
        inputs: Mapping[str, InputAttribute] | None = None,
        outputs: Mapping[str, OutputAttribute] | None = None,
        settings: Mapping[str, Any] | None = None,
        calls: Sequence[Call] = (),
        clock: Clock | None = None,
        time_resolution_s: float = 1.0,
        timeout_s: float = 300.0,
        allow_remote: bool = False,
    ) -> None:
        self.simulator = {"python": simulator} if isinstance(simulator, str) else dict(simulator)
        self.model = model
        self.entities = {str(label): dict(parameters) for label, parameters in entities.items()}
        self.inputs, self.outputs = dict(inputs or {}), dict(outputs or {})
        self.settings = dict(settings or {})
        self.calls = tuple(calls)
        self.clock, self.time_resolution_s, self.timeout_s = clock, time_resolution_s, timeout_s
        problems = [*self._start_problems(allow_remote), *self._port_problems(), *self._call_problems()]
        if problems:
            raise ScenarioError(problems)
        for name, target in self.inputs.items():
            setattr(self, name, Input(target.unit, labels=self._labels(target), default=target.default))
        for name, source in self.outputs.items():
            port = Output(source.unit, self._labels(source), source.kind, may_be_missing=source.may_be_missing)
            setattr(self, name, port)
        self._link: Link | None = None

    def _start_problems(self, allow_remote: bool) -> Iterator[str]:
        starts = [key for key in _STARTS if key in self.simulator]
        if len(starts) != 1:
            yield f"simulator is {self.simulator}: give one of 'python', 'cmd' and 'connect', as in mosaik's sim_config"
        elif starts == ["connect"]:
            host, _ = parse_address(self.simulator["connect"])
            if not (allow_remote or is_loopback(host)):
                yield (
                    f"simulator at {self.simulator['connect']} is on another machine, and mosaik's protocol has "
                    "neither password nor encryption: tunnel it to 127.0.0.1, or pass allow_remote=True"
                )
        elif starts == ["python"] and ":" not in self.simulator["python"]:
            yield f"simulator is {self.simulator['python']!r}: write 'module:Class', {{'cmd': …}} or {{'connect': …}}"
        if not self.time_resolution_s > 0:
            yield f"time_resolution_s is {self.time_resolution_s:g}: it must be positive"
        if not self.timeout_s > 0:
            yield f"timeout_s is {self.timeout_s:g}: it must be positive"

    def _port_problems(self) -> Iterator[str]:
        if not self.entities:
            yield "entities is empty: name at least one, as in {'roof 1': {}}"
        names = [*self.inputs, *self.outputs]
        if not names:
            yield "inputs and outputs are empty: name a port for each attribute to use"
        for name in names:
            # save and load are available as names: a replayed adapter never has them called
            if names.count(name) > 1 or (hasattr(self, name) and name not in ("save", "load")):
                yield f"port name {name!r} is reserved: choose another one"

    def _call_problems(self) -> Iterator[str]:
        for call in self.calls:
            for entity in (each for each in (*call.arguments, *call.settings.values()) if isinstance(each, Entity)):
                if entity.label not in self.entities:
                    yield f"call of {call.method}: unknown entity {entity.label!r}; available: {few(self.entities)}"
                elif call.before_create:
                    yield f"call of {call.method}: {entity.label!r} is not there before create: leave before_create out"

    def _labels(self, attribute: InputAttribute | OutputAttribute) -> Mapping[str, str]:
        return {label: label for label in self.entities} if attribute.labels is None else attribute.labels

    def open(self) -> None:
        """Start the simulator, create its entities, and check that it provides all attributes of the ports."""
        questions = _Questions(self)
        if "python" in self.simulator:
            self._link = InProcess(self.simulator["python"], questions)
        else:
            log = None
            if self.folder is not None:
                self.folder.mkdir(parents=True, exist_ok=True)
                log = self.folder / "simulator.log"
            self._link = Remote(self.simulator, questions, self.timeout_s, log)
        self._now = 0
        self._until = _NEVER
        if self.clock is not None and self.clock.n_steps is not None:
            self._until = self._ticks(self.clock.n_steps * self.clock.step_s)
        self._types: dict[str, str] = {}
        self._relations: list[tuple[str, str]] = []
        self._routes: dict[str, list[str]] = {}
        meta = self._link.call("init", _SID, time_resolution=self.time_resolution_s, **self.settings)
        models = checked_models(meta, self.model)
        self._type: str = meta.get("type", "time-based")
        check_methods(meta, [call.method for call in self.calls])
        self._ids: dict[str, str] = {}
        self._call(before_create=True)
        self._ids |= {label: self._create(label, parameters) for label, parameters in self.entities.items()}
        self._call(before_create=False)
        self._routes = self._find_routes(models)
        self._wanted: dict[str, dict[str, None]] = {}
        for name, source in self.outputs.items():
            for eid in self._routes[name]:
                self._wanted.setdefault(eid, {})[source.name] = None
        self._triggered = any(
            triggers(self._type, models[self._types[eid]], target.name)
            for name, target in self.inputs.items()
            for eid in self._routes[name]
        )
        self._link.call("setup_done")
        self._agenda = {0}
        self._published = {name: np.full(len(getattr(self, name)), np.nan) for name in self.outputs}

    def _call(self, *, before_create: bool) -> None:
        assert self._link is not None

        def given(value: Any) -> Any:
            return self._ids[value.label] if isinstance(value, Entity) else value

        for call in self.calls:
            if call.before_create == before_create:
                settings = {name: given(value) for name, value in call.settings.items()}
                answer = self._link.call(call.method, *map(given, call.arguments), **settings)
                self.report("called", call.method, f"returned {str(answer)[:200]}")

    def _create(self, label: str, parameters: Mapping[str, Any]) -> str:
        assert self._link is not None
        created = self._link.call("create", 1, self.model, **parameters)
        try:
            (entity,) = created
            for one in with_children([entity]):
                if one["eid"] in self._types:
                    raise ValueError
                self._types[one["eid"]] = one["type"]
                self._relations += [(one["eid"], other) for other in one.get("rel") or ()]
            return str(entity["eid"])
        except (TypeError, KeyError, ValueError) as error:
            raise CosimError(
                f"{self.model} {label!r}: create() returned {created!r}, which is not a list of one new "
                "entity with 'eid' and 'type'"
            ) from error

    def _find_routes(self, models: Mapping[str, Any]) -> dict[str, list[str]]:
        """Return the ids of the entities behind each port's labels."""
        problems: list[str] = []
        routes: dict[str, list[str]] = {}
        for name, attribute in (self.inputs | self.outputs).items():
            routes[name] = []
            for label, entity in self._labels(attribute).items():
                eid = self._ids.get(entity, entity)
                if eid not in self._types:
                    problems.append(f"{name}[{label!r}]: unknown entity {entity!r}; available: {few(self._types)}")
                    continue
                model = models.get(self._types[eid], {})
                anything = name in self.inputs and model.get("any_inputs", False)
                known = attributes(model)
                if attribute.name not in known and not anything:
                    problems.append(
                        f"{name}: {self._types[eid]} has no attribute {attribute.name!r}; available: {few(known)}"
                    )
                    break
                routes[name].append(eid)
        if problems:
            raise ScenarioError(problems)
        return routes

    def _ticks(self, seconds: float) -> int:
        ticks = round(seconds / self.time_resolution_s)
        if abs(ticks * self.time_resolution_s - seconds) > 1e-6:
            raise CosimError(
                f"{seconds:g} s is not a whole number of the simulator's time units of {self.time_resolution_s:g} s: "
                "adjust steps or time_resolution_s"
            )
        return ticks

    def advance(self, step: Step) -> None:
        """Perform every step of the simulator that begins in this step."""
        start, end = self._ticks(step.start_s), self._ticks(step.end_s)
        if self._triggered:
            self._agenda.add(start)
        lasting: list[tuple[int, dict[str, Vector]]] = []
        self._now = start
        while self._agenda and (due := min(self._agenda)) < end:
            if due > self._now:
                lasting.append((due - self._now, self._published))
            self._agenda.remove(due)
            self._now = due
            self._step(due, end)
        lasting.append((end - self._now, self._published))
        for name, source in self.outputs.items():
            values = [published[name] for _, published in lasting]
            averaged = source.kind == "mean" and len(values) > 1
            level = averaged and units.is_level(source.unit)
            parts = units.energies(np.asarray(values)) if level else values
            value = np.average(parts, axis=0, weights=[ticks for ticks, _ in lasting]) if averaged else values[-1]
            value = units.levels(value) if level else value
            getattr(self, name).value = value

    def _step(self, now: int, end: int) -> None:
        assert self._link is not None
        until = end - 1 if self._triggered else self._until
        following = self._link.call("step", now, self._received(), until)
        if following is None and self._type != "time-based":
            pass
        elif type(following) is not int or following <= now:
            raise CosimError(
                f"the simulator's step({now}) returned {following!r}: it must return the time of its next "
                f"step, a whole number above {now}"
            )
        elif following > end and self.inputs and self._type == "time-based":
            raise CosimError(
                f"the simulator steps from {now} to {following} and would miss the inputs at {end}: its steps must end "
                f"where the adapter's do; give the adapter the simulator's step, Scenario(clock, steps={{name: "
                f"{(following - now) * self.time_resolution_s:g}}}), or the simulator a shorter one"
            )
        else:
            self._agenda.add(following)
        self._published = self._read(now)

    def _received(self) -> dict[str, Any]:
        received: dict[str, Any] = {}
        for name, attribute in self.inputs.items():
            port: Input = getattr(self, name)
            for label, eid, value in zip(port.labels, self._routes[name], port.value.tolist(), strict=True):
                received.setdefault(eid, {}).setdefault(attribute.name, {})[f"{name}.{label}"] = value
        return received

    def _read(self, now: int) -> dict[str, Vector]:
        assert self._link is not None
        if not self.outputs:
            return {}
        data = self._link.call("get_data", {eid: list(names) for eid, names in self._wanted.items()})
        if not isinstance(data, Mapping):
            raise CosimError(f"the simulator's get_data() at {now} returned {data!r}: it must return a dictionary")
        dated = data.get("time", now)
        if dated != now:
            raise CosimError(
                f"the simulator's get_data() at {now} is dated {dated}: outputs ahead of time are "
                "refused, let it step at that time instead"
            )
        return {name: self._vector(name, data) for name in self.outputs}

    def _vector(self, name: str, data: Mapping[str, Any]) -> Vector:
        attribute = self.outputs[name]
        values = self._published[name].copy()
        for i, (label, eid) in enumerate(zip(getattr(self, name).labels, self._routes[name], strict=True)):
            value = data.get(eid, {}).get(attribute.name)
            try:
                if value is not None:
                    values[i] = value
                elif self._type == "time-based":
                    values[i] = np.nan
            except (TypeError, ValueError) as error:
                raise CosimError(
                    f"{name}[{label!r}]: the simulator returned {attribute.name} = {value!r}: only numbers "
                    "can pass through a port"
                ) from error
        return values

    def close(self) -> None:
        """Let the simulator finish, and stop it."""
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def versions(self) -> dict[str, str]:
        """Return the version of the simulator API; the API does not provide the simulator's own version."""
        return {"mosaik-api-v3": version("mosaik-api-v3")}


class _Questions(MosaikProxy):  # type: ignore[misc]
    """Answers a simulator's requests to mosaik, as far as one adapter can."""

    def __init__(self, adapter: MosaikSimulator) -> None:
        self._adapter = adapter

    async def get_progress(self) -> float:
        """Return the progress of the run. [%]"""
        if self._adapter._until == _NEVER:
            raise CosimError("the run's end is unknown: pass clock=, with an end, to MosaikSimulator")
        return 100.0 * self._adapter._now / self._adapter._until

    async def get_related_entities(self, entities: str | Sequence[str] | None = None) -> Any:
        """Return the graph of the simulator's entities and the ports' labels, or neighbours in it."""
        adapter = self._adapter
        nodes = {f"{_SID}.{eid}": {"sim": _SID, "type": kind} for eid, kind in adapter._types.items()}
        edges: list[list[Any]] = [[f"{_SID}.{a}", f"{_SID}.{b}", {}] for a, b in adapter._relations]
        for name in adapter.inputs:
            for label, eid in zip(getattr(adapter, name).labels, adapter._routes.get(name, ()), strict=False):
                nodes[f"{name}.{label}"] = {"sim": name, "type": "label"}
                edges.append([f"{name}.{label}", f"{_SID}.{eid}", {}])
        if entities is None:
            return {"nodes": nodes, "edges": edges}

        def around(entity: str) -> dict[str, Any]:
            pairs = [edge[:2] for edge in edges if entity in edge[:2]]
            return {other: nodes[other] for pair in pairs for other in pair if other != entity}

        return around(entities) if isinstance(entities, str) else {entity: around(entity) for entity in entities}

    async def get_data(self, attrs: Any) -> Any:
        """Refuse: data are received through inputs."""
        raise CosimError(f"it requested {attrs} with get_data: declare an input and connect it instead")

    async def set_data(self, data: Any) -> None:
        """Refuse: data are published through outputs."""
        raise CosimError(f"it sent {data} with set_data: declare an output and connect it instead")

    async def set_event(self, event_time: int) -> None:
        """Refuse, as mosaik does: events are only for runs in real time."""
        raise CosimError(f"it set an event at {event_time}: events are only for runs in real time")
