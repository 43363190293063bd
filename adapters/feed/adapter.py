"""Feed adapter: values from MQTT topics and growing files, step by step, at the pace of the data or of a clock."""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TextIO

from cosim.core import Adapter, Clock, CosimError, InputFileError, Output, Placement, Step

from .files import GrowingFile
from .mqtt import MqttConnection
from .payload import Decoder, Fault, FedPort, Kind, Sample
from .specification import Feeds
from .values import Arrivals

STATE_FILE, JOURNAL = "feed.json", "journal.jsonl"
REPEATED, MISSING = "repeated", "missing"
_LOOK_S = 0.05
"""How often growing files are looked at. [s]"""
_QUEUE = 20_000
"""Most values that wait for their step, without a broker that sets it."""


def attribute(port: str) -> str:
    """Return the name of the feed's output for a port.

    >>> attribute("weather.temperature")
    'weather_temperature'
    """
    return port.replace(".", "_")


class Feed(Adapter):
    """Values that arrive from outside, and the pace of the run.

    Every port has an output of its name, as in ``weather_temperature``, with its unit and sign (positive as there), NaN
    where there is no value; and ``…_known``, 1 where there is one and 0 elsewhere. `counts` says what has become of the
    values so far, by ``stream|kind``; ``port|repeated`` and ``port|missing`` count elements times steps. A step ends
    when `Pace` says so, and all other adapters of the run wait for it.

    Parameters
    ----------
    clock
        Clock of the run.
    feeds
        Description of streams and ports.
    ports
        Units and labels of the ports, by ``adapter.port``.

    Raises
    ------
    CosimError
        If a stream does not fit the ports; in `open`, if the broker or a file cannot be used.
    """

    placement: ClassVar[Placement] = "thread"
    forecasts: bool = False
    """Whether nothing arrives any more, so that the rules alone decide: from a restored state into the future."""
    paces: ClassVar[bool] = True

    def __init__(self, clock: Clock, feeds: Feeds, ports: Mapping[str, FedPort]) -> None:
        self.clock, self.feeds, self.ports = clock, feeds, dict(ports)
        streams = feeds.streams
        self.files = [stream.file for stream in streams if stream.file is not None and not stream.grows]
        if feeds.pace.by == "data" and all(stream.time == "arrival" for stream in streams):
            raise CosimError(
                "the pace is that of the data, but every stream is timed by arrival: name a time stamp, or write pace: "
                "{by: elapsed}"
            )
        self.names = [
            s.name if [t.name for t in streams].count(s.name) == 1 else f"{s.name}#{i}" for i, s in enumerate(streams)
        ]
        self._decoders = [Decoder(stream, ports, clock, feeds.pace.origin) for stream in streams]
        self._outputs, self._known = {}, {}
        for port, about in self.ports.items():
            name = attribute(port)
            self._outputs[port] = Output(about.unit, about.labels, "mean", may_be_missing=True)
            self._known[port] = Output("1", about.labels, "mean")
            setattr(self, name, self._outputs[port])
            setattr(self, f"{name}_known", self._known[port])
        kinds = [f"{name}|{kind}" for name in self.names for kind in Kind]
        self.counts = Output(
            "1", [*kinds, *(f"{port}|{what}" for port in self.ports for what in (REPEATED, MISSING))], "end"
        )
        self._begin()

    def _begin(self) -> None:
        self._counted: Counter[str] = Counter()
        self._arrivals = {
            port: Arrivals(len(about.labels), self.feeds.ports[port]) for port, about in self.ports.items()
        }
        self._watermarks = [float("-inf")] * len(self._decoders)
        self._quiet: set[int] = set()
        self._told: set[str] = set()
        self._now_s = 0.0

    def open(self) -> None:
        """Connect to the broker and look at the files."""
        self._begin()
        self._inbox: deque[tuple[int, list[Sample | Fault]]] = deque()
        self._queued = 0
        self._changed = threading.Condition()
        self._interrupted = False
        broker = self.feeds.broker
        self._limit = broker.max_queue if broker else _QUEUE
        self._files: dict[int, GrowingFile] = {}
        topics = []
        for i, decoder in enumerate(self._decoders):
            if decoder.stream.file is not None:
                longest = broker.max_payload if broker else 262_144
                self._files[i] = GrowingFile(decoder.stream.file, decoder, longest)
            elif decoder.stream.topic is not None and decoder.stream.topic not in topics:
                topics.append(decoder.stream.topic)
        self._ended: set[int] = set()
        self._mqtt: MqttConnection | None = None
        self._journal: TextIO | None = None
        if broker is not None and topics and not self.forecasts:
            if self.folder is not None:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._journal = (self.folder / JOURNAL).open("a", encoding="utf-8")
            self._mqtt = MqttConnection(broker, "feed", topics, self._received)
            self._mqtt.open()
        self._opened_s = time.monotonic()
        self._began_s: float | None = None
        self._spoke_s = [self._opened_s] * len(self._decoders)
        self._publish_counts()

    def interrupt(self) -> None:
        """End the wait for a step's end."""
        if "_changed" in self.__dict__:  # open() may have failed
            with self._changed:
                self._interrupted = True
                self._changed.notify_all()

    def advance(self, step: Step) -> None:
        """Wait for the end of the step, and publish its values.

        Raises
        ------
        CosimError
            If the run is interrupted meanwhile.
        """
        if self._began_s is None:
            self._began_s = step.start_s
        self._now_s = step.end_s
        waiting_since = time.monotonic()
        while not self._is_over(step.end_s, waiting_since):
            with self._changed:
                if self._interrupted:
                    raise CosimError("the wait for the end of the step was interrupted")
                if not self._inbox or self._is_full() or self.feeds.pace.by != "data":
                    self._changed.wait(self._longest_wait(step.end_s))
        for port, arrivals in self._arrivals.items():
            values, held = arrivals.take(step.start_s, step.end_s)
            known = values == values
            self._counted[f"{port}|{REPEATED}"] += int(held.sum())
            self._counted[f"{port}|{MISSING}"] += int((~known).sum())
            self._outputs[port].value, self._known[port].value = values, known.astype(float)
        self._publish_counts()
        while self._mqtt is not None and self._mqtt.notes:
            kind, text = self._mqtt.notes.popleft()
            self.report(kind, "", text)

    def _is_over(self, end_s: float, since: float) -> bool:
        """Take in what has arrived; return whether a step may end."""
        if self.forecasts:
            return True
        self._take_in()
        if self.feeds.pace.by != "data":
            return self._civil_s(end_s) <= 0.0
        patience, now = self.feeds.pace.patience, time.monotonic()
        for i in self._behind():
            if now - max(self._spoke_s[i], since) >= patience:
                self._quiet.add(i)
                self.report("feed silent", self.names[i], f"no value for {patience:g} s: the run goes on without it")
        return not self._behind()

    def _behind(self) -> list[int]:
        """Return the streams that the present step waits for."""
        until_s = self._now_s + self.feeds.pace.settle
        return [
            i
            for i, decoder in enumerate(self._decoders)
            if self._watermarks[i] < until_s
            and decoder.stream.time != "arrival"
            and i not in self._ended
            and i not in self._quiet
        ]

    def _civil_s(self, end_s: float) -> float:
        """Return how long to wait until a step may end, by the computer's clock. [s]"""
        pace = self.feeds.pace
        if pace.by == "civil":
            return (self.clock.utc(end_s + pace.settle) - dt.datetime.now(dt.UTC)).total_seconds()
        return (end_s + pace.settle - (self._began_s or 0.0)) / pace.speed - (time.monotonic() - self._opened_s)

    def _longest_wait(self, end_s: float) -> float:
        soon = _LOOK_S if self.feeds.pace.by == "data" or self._files else 1.0
        return soon if self.feeds.pace.by == "data" else max(min(self._civil_s(end_s), soon), 0.0)

    def _is_full(self) -> bool:
        return sum(arrivals.pending for arrivals in self._arrivals.values()) >= self._limit

    def _take_in(self) -> None:
        """Sort what has arrived into ports and elements.

        At the pace of the data no more than the step needs: what becomes of a value then depends on the order of
        arrival alone, not on how fast the run is.
        """
        by_data = self.feeds.pace.by == "data"
        for i, file in self._files.items():
            while (
                i not in self._ended
                and self._watermarks[i] < self._now_s + self.feeds.pace.settle
                and not self._is_full()
            ):
                found, at_end = file.read(self._now_s, 1)
                if file.shrunk:
                    file.shrunk = False
                    self.report("feed restarted", self.names[i], "the file became shorter: read from its beginning")
                for outcomes in found:
                    self._sort(i, outcomes)
                if at_end:
                    if not file.grows:
                        self._ended.add(i)
                    break
        while not self._is_full() and (not by_data or self._behind()):
            with self._changed:
                if not self._inbox:
                    break
                i, outcomes = self._inbox.popleft()
                self._queued -= max(len(outcomes), 1)
            self._sort(i, outcomes)
        if self._mqtt is not None:
            self._mqtt.offer()

    def _sort(self, i: int, outcomes: Sequence[Sample | Fault]) -> None:
        name, pace = self.names[i], self.feeds.pace
        self._spoke_s[i] = time.monotonic()
        if i in self._quiet:
            self._quiet.discard(i)
            self.report("feed back", name, "values arrive again")
        for one in outcomes:
            if isinstance(one, Sample) and one.time_s > self._now_s + pace.ahead:
                when = self.clock.utc(one.time_s).isoformat() if abs(one.time_s) < 1e10 else f"{one.time_s:g} s"
                one = Fault(Kind.ABSURD, f"{when} is more than {pace.ahead:g} s ahead")
            if isinstance(one, Fault):
                self._counted[f"{name}|{one.kind}"] += 1
                if (key := f"{name}|{one.kind}") not in self._told:
                    self._told.add(key)
                    self.report(f"feed {one.kind}", name, one.text)
                continue
            self._watermarks[i] = max(self._watermarks[i], one.time_s)
            kind = self._arrivals[one.port].add(one.element, one.time_s, one.value)
            self._counted[f"{name}|{kind}"] += 1

    def _received(self, topic: str, payload: bytes | bytearray) -> bool:
        """Take a message in, in the client's thread; return False if too much waits already."""
        with self._changed:
            if self._queued >= self._limit:
                return False
        for i, decoder in enumerate(self._decoders):
            if decoder.stream.topic is None or not _matches(decoder.stream.topic, topic):
                continue
            limit = self.feeds.broker.max_payload if self.feeds.broker else 0
            outcomes: list[Sample | Fault] = [
                Fault(Kind.TOO_LARGE, f"{len(payload)} bytes, at most {limit} are accepted")
            ]
            if len(payload) <= limit:
                outcomes = decoder.decode(topic, payload, self._arrival_s())
            with self._changed:
                if self._journal is not None:
                    self._journal.write(json.dumps([i, *map(_row, outcomes)]) + "\n")
                    self._journal.flush()
                self._inbox.append((i, outcomes))
                self._queued += max(len(outcomes), 1)
                self._changed.notify_all()
        return True

    def _arrival_s(self) -> float:
        """Return the simulated time at this moment."""
        pace = self.feeds.pace
        if pace.by == "data" or self._began_s is None:
            return self._now_s
        if pace.by == "civil":
            return (dt.datetime.now(dt.UTC) - self.clock.start_utc).total_seconds()
        return self._began_s + (time.monotonic() - self._opened_s) * pace.speed

    def _publish_counts(self) -> None:
        self.counts.value = [self._counted[label] for label in self.counts.labels]

    def close(self) -> None:
        """Disconnect from the broker, which keeps what it has for this session."""
        connection, self._mqtt = self.__dict__.get("_mqtt"), None
        if connection is not None:
            connection.close()
        journal, self._journal = self.__dict__.get("_journal"), None
        if journal is not None:
            journal.close()

    def save(self, folder: Path) -> None:
        """Write values that wait, counts and places reached in files and in the journal."""
        with self._changed:
            waiting = [[i, *map(_row, outcomes)] for i, outcomes in self._inbox]
            journal = self._journal.tell() if self._journal is not None else 0
        state = {
            "counted": dict(self._counted),
            "arrivals": {port: arrivals.save() for port, arrivals in self._arrivals.items()},
            "watermarks": [None if mark == float("-inf") else mark for mark in self._watermarks],
            "quiet": sorted(self._quiet),
            "ended": sorted(self._ended),
            "told": sorted(self._told),
            "now_s": self._now_s,
            "files": {i: file.save() for i, file in self._files.items()},
            "waiting": waiting,
            "journal": journal,
        }
        (folder / STATE_FILE).write_text(json.dumps(state), encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Continue from what `save` wrote; messages in the journal since then arrive again.

        Raises
        ------
        InputFileError
            If the folder holds no saved state.
        """
        try:
            kept = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
            self._counted = Counter(kept["counted"])
            for port, arrivals in self._arrivals.items():
                arrivals.load(kept["arrivals"][port])
            self._watermarks = [float("-inf") if mark is None else mark for mark in kept["watermarks"]]
            self._quiet, self._ended, self._told = set(kept["quiet"]), set(kept["ended"]), set(kept["told"])
            self._now_s = kept["now_s"]
            for i, place in kept["files"].items():
                self._files[int(i)].load(place)
            rows = [] if self.forecasts else [*kept["waiting"], *self._since(kept["journal"])]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputFileError(f"cannot read the feed's state in {folder}: {error}") from error
        with self._changed:
            new = list(self._inbox)
            self._inbox = deque([*((row[0], [_outcome(one) for one in row[1:]]) for row in rows), *new])
            self._queued = sum(max(len(outcomes), 1) for _, outcomes in self._inbox)
        self._publish_counts()

    def _since(self, position: int) -> list[list[Any]]:
        path = None if self.folder is None else self.folder / JOURNAL
        if self._journal is None or path is None:
            return []
        with path.open(encoding="utf-8") as file:
            file.seek(position)
            # what came in since the connection was opened, a moment ago, waits in the inbox already
            rows = [json.loads(line) for line in file if line.endswith("\n")]
        return rows[: max(len(rows) - len(self._inbox), 0)]

    def versions(self) -> dict[str, str]:
        """Return the version of the MQTT client, where there are topics."""
        if not any(stream.topic for stream in self.feeds.streams):
            return {}
        import importlib.metadata  # as in the other adapters

        try:
            return {"paho-mqtt": importlib.metadata.version("paho-mqtt")}
        except importlib.metadata.PackageNotFoundError:
            return {}


def _matches(pattern: str, topic: str) -> bool:
    """Return whether a topic is one of those that a filter names.

    >>> _matches("city/+/flow", "city/a/flow"), _matches("city/#", "city"), _matches("city/+", "city/a/b")
    (True, True, False)
    """
    asked, given = pattern.split("/"), topic.split("/")
    for i, level in enumerate(asked):
        if level == "#":
            return True
        if i >= len(given) or level not in ("+", given[i]):
            return False
    return len(asked) == len(given)


def _row(outcome: Sample | Fault) -> list[Any]:
    if isinstance(outcome, Fault):
        return [outcome.kind.value, outcome.text]
    return [outcome.port, outcome.element, outcome.time_s, outcome.value]


def _outcome(row: Sequence[Any]) -> Sample | Fault:
    return Fault(Kind(row[0]), row[1]) if len(row) == 2 else Sample(row[0], row[1], row[2], row[3])
