"""Feeds wired into a scenario: measured values in place of modelled ones, inputs fed, outputs published."""

from __future__ import annotations

import datetime as dt
import fnmatch
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from cosim.adapters.feed import Feed, Measured, Publisher
from cosim.adapters.feed.adapter import attribute
from cosim.adapters.feed.measured import StandIn
from cosim.adapters.feed.payload import FedPort
from cosim.adapters.feed.publisher import MISSING, MakeEntities, Topic
from cosim.adapters.feed.specification import Feeds, Publication, Rule
from cosim.core.adapter import inputs
from cosim.core.arguments import did_you_mean
from cosim.core.errors import CosimError, ScenarioError
from cosim.core.ports import Input, Output
from cosim.core.quantities import Vector
from cosim.core.units import is_extensive
from cosim.engine.scenario import Scenario
from cosim.exports.ngsi import Entities, Entity, Values
from cosim.registry.yaml_files import read_checked

FEED, MEASURED = "feed", "measured"


def read_feeds(path: Path) -> Feeds:
    """Return the feeds that a YAML file describes, paths relative to it.

    Raises
    ------
    InputFileError
        If the file is missing or not YAML.
    ScenarioError
        If its content is invalid.
    """
    form = "feeds are a mapping with streams and ports, see docs/live.md"
    return read_checked(path, Feeds, form, "live").resolved(path.parent.resolve())


def attach(scenario: Scenario, feeds: Feeds) -> None:
    """Wire feeds into a scenario that is otherwise complete.

    A fed input receives what arrives, and the rule's default while nothing does. A fed output, with all its
    connections, is replaced by one of the adapter `Measured`, which receives it beside what arrives.

    Raises
    ------
    ScenarioError
        If a port is unknown, or cannot be fed or published as described.
    """
    problems: list[str] = []
    stand_ins, fed_inputs = dict[str, StandIn](), dict[str, Input]()
    ports: dict[str, FedPort] = {}
    known_outputs = scenario.outputs()
    known_inputs = {f"{n}.{p}": port for n, a in scenario.adapters.items() for p, port in inputs(a).items()}
    connected = {f"{c.target}.{c.input}": f"{c.source}.{c.output}" for c in scenario.connections}
    for name, rule in feeds.ports.items():
        try:
            if name in known_outputs:
                stand_ins[name] = _stand_in(name, known_outputs[name], rule)
                ports[name] = FedPort(known_outputs[name].unit, stand_ins[name].labels)
            elif name in known_inputs:
                fed_inputs[name] = _fed_input(name, known_inputs[name], rule, connected)
                ports[name] = FedPort(known_inputs[name].unit, known_inputs[name].labels)
            else:
                known = [*known_outputs, *known_inputs]
                problems.append(
                    f"ports names {name}: unknown port{did_you_mean(name, known)}; cosim show lists those of a scenario"
                )
        except CosimError as error:
            problems.append(str(error))
    for name, about in list(stand_ins.items()):
        for other in about.rule.also:
            if other not in known_outputs or known_outputs[other].kind != "mean" or other in stand_ins:
                problems.append(
                    f"ports.{name}.also names {other}: it must be an output, a mean, that nothing else feeds"
                )
            else:
                follower = known_outputs[other]
                stand_ins[other] = StandIn(FedPort(follower.unit, follower.labels), (), about.rule)
    steps = {scenario.steps[name.partition(".")[0]] for name in (*stand_ins, *fed_inputs)}
    step_s = feeds.pace.step or min(steps, default=1) * scenario.clock.step_s
    if stand_ins and len({*(scenario.steps[name.partition(".")[0]] for name in stand_ins)}) > 1:
        problems.append("the fed outputs have different steps: set equal ones, or feed them in inputs")
    if problems:
        raise ScenarioError(problems)
    scenario.add(steps={FEED: step_s}, **{FEED: Feed(scenario.clock, feeds, ports)})
    for name in fed_inputs:
        scenario.connect(f"{FEED}.{attribute(name)}", name, if_missing=float(feeds.ports[name].default))
    if stand_ins:
        _replace_outputs(scenario, stand_ins, step_s)
    for publication in feeds.publish:
        _publish(scenario, feeds, publication)
    if scenario.rule(f"{FEED}.counts") is None:
        scenario.record(f"{FEED}.*")
    scenario.facts["live"] = f"{len(ports)} ports fed by {len(feeds.streams)} streams"


def _stand_in(name: str, port: Output, rule: Rule) -> StandIn:
    if port.kind != "mean":
        raise CosimError(f"ports names {name}, a state of its model: only means can be replaced, or inputs fed")
    labels = tuple(rule.groups) if rule.apply == "total" else port.labels
    return StandIn(FedPort(port.unit, port.labels), labels, rule)


def _fed_input(name: str, port: Input, rule: Rule, connected: Mapping[str, str]) -> Input:
    if name in connected:
        raise CosimError(f"ports names {name}, which receives {connected[name]}: name that output in its place")
    if rule.default == "model" or rule.apply != "replace":
        raise CosimError(f"ports.{name}: default: model and apply are for outputs; an input needs a number as default")
    return port


def _replace_outputs(scenario: Scenario, stand_ins: Mapping[str, StandIn], step_s: float) -> None:
    """Let the connections of outputs begin at the adapter that corrects them."""
    measured = Measured(stand_ins)
    old = list(scenario.connections)
    scenario.add(steps={MEASURED: step_s}, **{MEASURED: measured})
    for i, c in enumerate(old):
        if f"{c.source}.{c.output}" in stand_ins:
            name = attribute(f"{c.source}.{c.output}")
            scenario.connections[i] = replace(c, source=MEASURED, output=name)
    for name, about in stand_ins.items():
        port, rule = attribute(name), about.rule
        scenario.connect(name, f"{MEASURED}.{port}_model")
        if not inputs(measured)[f"{port}_measured"].labels:
            continue
        scenario.connect(f"{FEED}.{port}", f"{MEASURED}.{port}_measured", if_missing=_number(rule))
        scenario.connect(f"{FEED}.{port}_known", f"{MEASURED}.{port}_known")


def _number(rule: Rule) -> float:
    return 0.0 if rule.default == "model" else float(rule.default)


def _publish(scenario: Scenario, feeds: Feeds, publication: Publication) -> None:
    """Add a publisher for each adapter some of whose outputs are published."""
    assert feeds.broker is not None
    known = scenario.outputs()
    found: dict[str, list[str]] = {}
    problems = []
    for pattern in publication.ports:
        matching = [name for name in known if fnmatch.fnmatchcase(name, pattern)]
        if not matching:
            problems.append(f"publish names {pattern!r}, which no output matches{did_you_mean(pattern, known)}")
        for name in matching:
            if known[name].may_be_missing and is_extensive(known[name].unit):
                problems.append(f"publish names {name}, which may be missing and is a total: publish another output")
            owner = name.partition(".")[0]
            if name not in found.setdefault(owner, []):
                found[owner].append(name)
    if problems:
        raise ScenarioError(problems)
    for owner, names in found.items():
        topics = {
            name: Topic(
                publication.topic.replace("{adapter}", owner).replace(
                    "{port}", "entities" if publication.form == "ngsi-ld" else name.partition(".")[2]
                ),
                publication.retain,
                FedPort(known[name].unit, known[name].labels),
            )
            for name in names
        }
        role = publisher = f"publish_{owner}"
        n = 1
        while publisher in scenario.adapters:
            n += 1
            publisher = f"{role}_{n}"
        step_s = scenario.steps[owner] * scenario.clock.step_s
        make = _entities(scenario, topics) if publication.form == "ngsi-ld" else None
        adapter = Publisher(scenario.clock, feeds.broker, topics, publisher, make)
        scenario.add(steps={publisher: step_s}, **{publisher: adapter})
        for name in names:
            missing = MISSING if known[name].may_be_missing else "stop"
            scenario.connect(name, f"{publisher}.{attribute(name)}", if_missing=missing)  # type: ignore[arg-type]


def _entities(scenario: Scenario, topics: Mapping[str, Topic]) -> MakeEntities:
    """Return what makes entities of the values of outputs.

    Raises
    ------
    ScenarioError
        If no Smart Data Model carries one of them, or its elements have no place.
    """
    builder, ports = Entities.of(scenario), {name: topic.port for name, topic in topics.items()}

    def make(values: Mapping[str, Vector], start: dt.datetime, end: dt.datetime) -> list[Entity]:
        given = {name: Values(ports[name].unit, ports[name].labels, numbers) for name, numbers in values.items()}
        return builder.at(given, start, end)

    start = scenario.clock.start_utc
    make({name: np.zeros(len(port.labels)) for name, port in ports.items()}, start, start + dt.timedelta(hours=1))
    if builder.left_out:
        raise ScenarioError([f"publish names {name} as ngsi-ld: {why}" for name, why in builder.left_out.items()])
    return make
