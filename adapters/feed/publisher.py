"""Publisher adapter: outputs of a run on MQTT topics, each step."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np

from cosim.core import Adapter, Clock, Input, Output, Placement, Step
from cosim.core.quantities import Vector

from .adapter import attribute
from .mqtt import MqttConnection
from .payload import FedPort
from .specification import Broker

MISSING = -1e150
"""Stands for a missing value on the way to the publisher, as inputs are finite; published as null."""


@dataclass(frozen=True)
class Topic:
    """Where an output goes."""

    name: str
    retain: bool
    port: FedPort


MakeEntities: TypeAlias = Callable[[Mapping[str, Vector], dt.datetime, dt.datetime], list[dict[str, Any]]]


class Publisher(Adapter):
    """Publishes the outputs of an adapter, each step, as JSON objects with time, unit and value by element.

    Signs are those of the outputs (positive as there). While the broker is gone messages wait, up to its ``max_queue``;
    what does not fit is counted in `dropped` and not published.

    Parameters
    ----------
    clock
        Clock of the run.
    broker
        The broker.
    topics
        Topics of the outputs, by ``adapter.port``.
    role
        Name of this connection at the broker, unique in the session.
    entities
        Makes NGSI-LD entities of the values by ``adapter.port``, start and end of a step: they are published in one
        array, on the topic of the first output, in place of an object for each.
    """

    placement: ClassVar[Placement] = "thread"
    silent: bool = False
    """Whether nothing is published, as in a forecast."""

    def __init__(
        self,
        clock: Clock,
        broker: Broker,
        topics: Mapping[str, Topic],
        role: str = "publish",
        entities: MakeEntities | None = None,
    ) -> None:
        self._entities = entities
        self.clock, self.broker, self.topics, self.role = clock, broker, dict(topics), role
        self._inputs = {}
        for port, topic in topics.items():
            self._inputs[port] = Input(topic.port.unit, topic.port.labels)
            setattr(self, attribute(port), self._inputs[port])
        self.published, self.dropped = (Output("1", ["messages"], "end") for _ in range(2))

    def open(self) -> None:
        """Connect to the broker."""
        self._n_published = self._n_dropped = 0
        self.published.value = self.dropped.value = 0.0
        self._mqtt: MqttConnection | None = None
        if not self.silent:
            self._mqtt = MqttConnection(self.broker, self.role)
            self._mqtt.open()

    def advance(self, step: Step) -> None:
        """Publish the step's values."""
        self.published.value, self.dropped.value = self._n_published, self._n_dropped
        if self._mqtt is None:
            return
        for port, topic, text in self._messages(step):
            if self._mqtt.publish(topic.name, text, retain=topic.retain):
                self._n_published += 1
            else:
                self._n_dropped += 1
                if self._n_dropped == 1:
                    self.report("not published", port, f"{self.broker.max_queue} messages wait for the broker already")
        while self._mqtt.notes:
            kind, note = self._mqtt.notes.popleft()
            self.report(kind, self.role, note)
        self.published.value, self.dropped.value = self._n_published, self._n_dropped

    def _messages(self, step: Step) -> Iterator[tuple[str, Topic, str]]:
        """Yield port, topic and text of the step's messages."""
        if self._entities is not None:
            values = {
                port: np.where(given.value == MISSING, np.nan, given.value) for port, given in self._inputs.items()
            }
            found = self._entities(values, self.clock.utc(step.start_s), self.clock.utc(step.end_s))
            port, topic = next(iter(self.topics.items()))
            yield port, topic, json.dumps(found, allow_nan=False)
            return
        moment = self.clock.civil(step.end_s).isoformat()
        for port, topic in self.topics.items():
            shown = {
                label: None if value == MISSING else value
                for label, value in zip(topic.port.labels, self._inputs[port].value.tolist())
            }
            message = {"port": port, "time": moment, "step_s": step.length_s, "unit": topic.port.unit, "values": shown}
            yield port, topic, json.dumps(message)

    def close(self) -> None:
        """Wait a moment for the broker to acknowledge what was published, and disconnect."""
        connection, self._mqtt = self.__dict__.get("_mqtt"), None
        if connection is not None:
            connection.close()

    def save(self, folder: Path) -> None:
        """Write the numbers of messages."""
        (folder / "publisher.json").write_text(json.dumps([self._n_published, self._n_dropped]), encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Continue the numbers of messages."""
        text = (folder / "publisher.json").read_text(encoding="utf-8")
        self._n_published, self._n_dropped = json.loads(text)
        self.published.value, self.dropped.value = float(self._n_published), float(self._n_dropped)
