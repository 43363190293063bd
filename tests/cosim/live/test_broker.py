"""Live runs with a real broker."""

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import paho.mqtt.client as mqtt
import pytest

from cosim.adapters.feed.specification import Feeds
from cosim.core import CosimError
from cosim.live.wiring import attach
from tests.support.broker import Broker, free_port, needs_broker
from tests.support.live_twin import build
from tests.support.town import town

pytestmark = needs_broker

STEPS = 24 * 60


def feeds(port, **broker):
    stream = {
        "topic": "city/+/temperature",
        "time": "at",
        "values": [
            {"port": "weather.temperature", "path": "t", "unit": "K", "label": "outdoor", "range": [230, 330]},
        ],
    }
    return Feeds.model_validate(
        {
            "broker": {"host": "127.0.0.1", "port": port, **broker},
            "pace": {"by": "data", "patience": 20},
            "streams": [stream],
            "ports": {"weather.temperature": {"hold": "10min", "default": "model"}},
        }
    )


class Sender:
    """Publishes and waits for the broker's acknowledgement."""

    def __init__(self, port):
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="sender", clean_session=False)
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.sent = self.acknowledged = 0
        self.client.on_publish = self._count

    def _count(self, *_):
        self.acknowledged += 1

    def send(self, topic, payload):
        self.client.publish(topic, payload, qos=1)
        self.sent += 1

    def wait(self):
        until = time.monotonic() + 90
        while self.acknowledged < self.sent and time.monotonic() < until:
            time.sleep(0.002)
        assert self.acknowledged == self.sent

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


def resident():
    """Return the memory of this process. [byte]"""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def stamp(minute, second=0):
    return f"2025-01-{15 + minute // 1440:02d}T{minute // 60 % 24:02d}:{minute % 60:02d}:{second:02d}+01:00"


def messages():
    """Return 10,000 payloads of a day, one in twenty of them wrong, and how often each kind is."""
    told = {"used": 0, "late": 0, "doubled": 0, "malformed": 0, "absurd": 0, "out of order": 0}
    rows, missing = [], 0
    times = [(minute, second) for minute in range(STEPS) for second in range(1, 60, 9)]
    for n, (minute, second) in enumerate(times):
        row = json.dumps({"at": stamp(minute, second), "t": 280.0 + minute / 1000})
        match n % 100:
            case 20:
                missing += 1
                continue
            case 40:
                rows += [row, row]
                told["doubled"] += 1
                told["used"] += 1
            case 60 if minute > 5:
                rows += [row, json.dumps({"at": stamp(minute - 5, second + 1), "t": 300.0})]
                told["late"] += 1
                told["used"] += 1
            case 70 if second > 10:
                rows += [row, json.dumps({"at": stamp(minute, second - 1), "t": 280.0 + minute / 1000})]
                told["out of order"] += 1
                told["used"] += 1
            case 80:
                rows.append(row[:-5])
                told["malformed"] += 1
            case 99:
                rows.append(json.dumps({"at": stamp(minute, second), "t": 5000.0}))
                told["absurd"] += 1
            case _:
                rows.append(row)
                told["used"] += 1
    rows.append(json.dumps({"at": stamp(STEPS), "t": 280.0}))
    told["used"] += 1
    return rows, told, missing


def begun(scenario, folder):
    """Run a scenario in a thread once its feed has subscribed; return the thread and the list that gets the result."""
    box = []
    run = threading.Thread(target=lambda: box.append(scenario.run(folder)))
    run.start()
    feed = scenario.adapters["feed"]
    while feed.__dict__.get("_mqtt") is None or not feed._mqtt._ready.is_set():
        time.sleep(0.02)
    return run, box


@pytest.mark.slow
def test_a_day_with_bad_messages_and_a_broker_killed_twice_ends_right(tmp_path):
    rows, told, missing = messages()
    assert len(rows) + missing >= 10_000
    assert 0.05 <= (sum(told.values()) - told["used"] + missing) / len(rows) < 0.06
    scenario = build(hours=24)
    with Broker(tmp_path / "broker") as broker:
        attach(scenario, feeds(broker.port, max_queue=500))
        run, box = begun(scenario, tmp_path / "run")
        sender = Sender(broker.port)
        peak, before = 0, resident()
        for n, row in enumerate(rows):
            sender.send("city/centre/temperature", row)
            if n in (3000, 6000):
                sender.wait()
                time.sleep(0.5)
                broker.kill(signal.SIGKILL if n == 3000 else signal.SIGTERM)
                time.sleep(0.5)
                broker.start()
            if n % 100 == 0:
                sender.wait()
                peak = max(peak, len(scenario.adapters["feed"]._inbox))
        sender.wait()
        run.join(120)
        sender.close()
        assert not run.is_alive()
    (result,) = box
    counts = result.series("feed.counts").iloc[-1]
    found = {kind: counts[f"city/+/temperature|{kind}"] for kind in told}
    again = sum(found.values()) - sum(told.values())
    assert found["used"] == told["used"]  # nothing is lost
    assert all(found[kind] >= told[kind] for kind in told)
    assert again < 1000  # what the killed broker sends again after it has been acknowledged
    lost = result.events.query("kind == 'broker lost'")
    assert len(lost) == len(result.events.query("kind == 'broker back'")) == 2
    temperature = result.series("measured.weather_temperature")["outdoor"].to_numpy()
    expected = 280.0 - 273.15 + np.arange(STEPS) / 1000
    assert np.abs(temperature - expected)[1:].max() < 0.02
    assert peak <= 500
    assert resident() - before < 150e6


def test_outputs_are_published_each_step(tmp_path):
    with Broker(tmp_path / "broker") as broker:
        received = []
        listener = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        listener.on_message = lambda _c, _d, message: received.append((message.topic, json.loads(message.payload)))
        listener.connect("127.0.0.1", broker.port)
        listener.subscribe("cosim/#", 1)
        listener.loop_start()
        asked = feeds(broker.port).model_dump(mode="json", exclude_unset=True)
        asked["pace"] = {"by": "elapsed", "speed": 100000}
        asked["publish"] = [{"ports": ["houses.*"]}]
        scenario = build(hours=0.5)
        attach(scenario, Feeds.model_validate(asked))
        result = scenario.run(tmp_path / "run")
        for _ in range(100):
            if len(received) == 30:
                break
            time.sleep(0.02)
        listener.disconnect()
        listener.loop_stop()
    assert [topic for topic, _ in received] == ["cosim/houses/heat"] * 30
    heat = result.series("houses.heat")
    assert received[0][1]["time"] == "2025-01-15T00:01:00+01:00"
    assert received[0][1]["unit"] == "W"
    assert [row["values"]["a"] for _, row in received] == pytest.approx(heat["a"].tolist(), rel=1e-6)
    assert result.series("publish_houses.published").iloc[-1, 0] == 30


def refusal(tmp_path, described):
    scenario = build(hours=0.1)
    attach(scenario, described)
    with pytest.raises(CosimError) as caught:
        scenario.run(tmp_path / "run")
    return str(caught.value)


def test_a_broker_that_is_not_there_is_named(tmp_path):
    port = free_port()
    text = refusal(tmp_path, feeds(port))
    assert text.startswith(f"feed failed while opening: broker 127.0.0.1:{port} cannot be reached (Connection refused)")


def test_a_wrong_password_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("COSIM_TEST_PASSWORD", "wrong")
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(passwords), "twin", "right"], check=True)
    options = ("allow_anonymous false", f"password_file {passwords}")
    with Broker(tmp_path / "broker", *options) as broker:
        who = {"username": "twin", "password_env": "COSIM_TEST_PASSWORD"}
        text = refusal(tmp_path, feeds(broker.port, **who))
        assert "refuses: " in text
        assert text.endswith("check username and password")
        monkeypatch.delenv("COSIM_TEST_PASSWORD")
        assert "COSIM_TEST_PASSWORD with the broker's password is not set" in refusal(
            tmp_path / "2", feeds(broker.port, **who)
        )


def certificate(folder, name, host):
    """Write a self-signed certificate and its key."""
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={host}"]
    command += ["-addext", f"subjectAltName=IP:{host}", "-out", str(paths[0]), "-keyout", str(paths[1])]
    subprocess.run(command, check=True, capture_output=True)
    return paths


def test_a_certificate_is_verified(tmp_path):
    own, key = certificate(tmp_path, "broker", "127.0.0.1")
    other, _ = certificate(tmp_path, "other", "127.0.0.1")
    elsewhere, elsewhere_key = certificate(tmp_path, "elsewhere", "10.0.0.1")
    with Broker(tmp_path / "broker", "allow_anonymous true", f"certfile {own}", f"keyfile {key}") as broker:
        right = build(hours=0.05)
        described = feeds(broker.port, tls={"ca": str(own)})
        described.pace.patience = 0.2
        attach(right, described)
        assert right.run(tmp_path / "right").status == "finished"
        text = refusal(tmp_path / "wrong", feeds(broker.port, tls={"ca": str(other)}))
        assert "its certificate or encryption is refused (self" in text
        assert "check tls.ca and the host name" in text
        text = refusal(tmp_path / "none", feeds(broker.port, tls={"ca": str(tmp_path / "none.pem")}))
        assert "cannot use the certificates of broker" in text
    with Broker(tmp_path / "2", "allow_anonymous true", f"certfile {elsewhere}", f"keyfile {elsewhere_key}") as broker:
        text = refusal(tmp_path / "host", feeds(broker.port, tls={"ca": str(elsewhere)}))
        assert "IP address mismatch" in text


def test_a_topic_that_is_not_open_to_the_user_is_named(tmp_path):
    rights = tmp_path / "rights"
    rights.write_text("topic readwrite other/#\n")
    with Broker(tmp_path / "broker", "allow_anonymous true", f"acl_file {rights}") as broker:
        described = feeds(broker.port)
        described.pace.patience = 0.2
        scenario = build(hours=0.05)
        attach(scenario, described)
        # mosquitto accepts such a subscription and sends nothing
        events = scenario.run(tmp_path / "run").events
        assert "feed silent" in set(events.kind)


def test_huge_payloads_are_counted_and_not_read(tmp_path):
    with Broker(tmp_path / "broker") as broker:
        described = feeds(broker.port, max_payload=1000)
        described.pace.patience = 1.0
        scenario = build(hours=0.05)
        attach(scenario, described)
        run, box = begun(scenario, tmp_path / "run")
        sender = Sender(broker.port)
        for payload in ("x" * 5000, "y" * 5_000_000, json.dumps({"at": stamp(3), "t": 290})):
            sender.send("city/centre/temperature", payload)
        sender.wait()
        sender.close()
        run.join(120)
    counts = box[0].series("feed.counts").iloc[-1]
    assert counts["city/+/temperature|too large"] == 1  # the broker does not even send the largest
    assert counts["city/+/temperature|used"] == 1


def test_a_run_that_broke_off_finds_every_acknowledged_message_again(tmp_path):
    with Broker(tmp_path / "broker") as broker:
        described = feeds(broker.port)
        described.pace.patience = 5.0
        scenario = build(hours=0.5)
        attach(scenario, described)
        houses = scenario.adapters["houses"]
        advance, houses.advance = houses.advance, lambda step: 1 / 0 if step.start_s > 1000 else advance(step)
        failures = []

        def first():
            try:
                scenario.run(tmp_path / "run", checkpoint_every="10min", double=True)
            except CosimError as error:
                failures.append(error)

        run = threading.Thread(target=first)
        run.start()
        feed = scenario.adapters["feed"]
        while feed.__dict__.get("_mqtt") is None or not feed._mqtt._ready.is_set():
            time.sleep(0.02)
        sender = Sender(broker.port)
        for minute in range(31):
            sender.send("city/centre/temperature", json.dumps({"at": stamp(minute), "t": 273.15 + minute}))
        sender.wait()
        run.join(120)
        sender.close()
        assert "ZeroDivisionError" in str(failures[0])
        again = build(hours=0.5)
        attach(again, described)
        result = again.resume(tmp_path / "run")
    assert result.series("measured.weather_temperature")["outdoor"].tolist() == pytest.approx(list(range(30)))
    assert result.series("feed.counts").iloc[-1]["city/+/temperature|used"] == 31


def test_entities_are_published_each_step(tmp_path):
    scenario = town()
    with Broker(tmp_path / "broker") as broker:
        asked = feeds(broker.port).model_dump(mode="json", exclude_unset=True)
        asked["pace"] = {"by": "elapsed", "speed": 100000}
        asked["streams"][0]["values"] = [{"port": "weather.temperature", "path": "t", "unit": "K", "label": "outdoor"}]
        asked["publish"] = [{"ports": ["traffic.speed"], "form": "ngsi-ld"}]
        attach(scenario, Feeds.model_validate(asked))
        received = []
        listener = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        listener.on_message = lambda _c, _d, message: received.append((message.topic, json.loads(message.payload)))
        listener.connect("127.0.0.1", broker.port)
        listener.subscribe("cosim/#", 1)
        listener.loop_start()
        result = scenario.run(tmp_path / "run")
        until = time.monotonic() + 60
        while len(received) < 6 and time.monotonic() < until:
            time.sleep(0.02)
        listener.disconnect()
        listener.loop_stop()
    assert {topic for topic, _ in received} == {"cosim/traffic/entities"}
    last = {entity["id"]: entity for entity in received[-1][1]}["urn:ngsi-ld:TrafficFlowObserved:town:traffic:s2"]
    speed = result.series("traffic.speed")["s2"].iloc[-1] * 3.6
    assert last["averageVehicleSpeed"]["value"] == pytest.approx(speed, rel=1e-5)
    assert len(received) == len(result.series("traffic.speed"))


def test_an_output_without_a_smart_data_model_is_not_published_as_an_entity(tmp_path):
    asked = feeds(1883).model_dump(mode="json", exclude_unset=True)
    asked["publish"] = [{"ports": ["houses.heat"], "form": "ngsi-ld"}]
    with pytest.raises(CosimError, match=r"publish names houses.heat as ngsi-ld: no Smart Data Model carries it"):
        attach(build(), Feeds.model_validate(asked))


def test_a_run_by_the_clock_goes_on_without_its_broker(tmp_path):
    with Broker(tmp_path / "broker") as broker:
        asked = feeds(broker.port).model_dump(mode="json", exclude_unset=True)
        asked["pace"] = {"by": "elapsed", "speed": 600}
        asked["ports"]["weather.temperature"]["hold"] = "5min"
        scenario = build(hours=0.5)
        attach(scenario, Feeds.model_validate(asked))
        run, box = begun(scenario, tmp_path / "run")
        sender = Sender(broker.port)
        sender.send("city/centre/temperature", json.dumps({"at": stamp(1), "t": 290}))
        sender.wait()
        sender.close()
        time.sleep(0.5)
        broker.kill()
        began = time.monotonic()
        run.join(120)
        assert time.monotonic() - began < 10
    (result,) = box
    assert "broker lost" in set(result.events.kind)
    temperature = result.series("measured.weather_temperature")["outdoor"]
    counts = result.series("feed.counts").iloc[-1]
    assert counts["city/+/temperature|used"] + counts["city/+/temperature|late"] == 1
    assert counts["weather.temperature|missing"] > 15
    assert len(temperature) == 30
