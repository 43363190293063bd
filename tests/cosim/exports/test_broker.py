"""Entities sent to a context broker: batches, retries with back-off, refusals; the broker is a server on loopback."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from cosim import Clock, CosimError, Scenario
from cosim.exports.broker import PATH, ContextBroker
from cosim.exports.export import send
from cosim.exports.ngsi import Entities, Values, key_values
from tests.support.town import town


@pytest.fixture
def broker():
    """A server that answers with the queued statuses, then 204, and keeps what it accepts."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, answer = server.answers.pop(0) if server.answers else (204, b"")
            server.requests.append((self.path, dict(self.headers), body, status))
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.answers, server.requests = [], []
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def accepted(server):
    return [json.loads(body) for _, _, body, status in server.requests if status in (201, 204)]


ENTITIES = [{"id": f"urn:ngsi-ld:Building:x:{k}", "type": "Building"} for k in range(5)]


def test_batches_are_upserted_in_order_with_their_headers(broker):
    target = ContextBroker(broker.url, {"NGSILD-Tenant": "town"}, batch=2)
    target.upsert(ENTITIES)
    assert [len(batch) for batch in accepted(broker)] == [2, 2, 1]
    assert [entity for batch in accepted(broker) for entity in batch] == ENTITIES
    path, headers, _, _ = broker.requests[0]
    assert path == PATH
    assert headers["Content-Type"] == "application/ld+json"
    assert {key.lower(): value for key, value in headers.items()}["ngsild-tenant"] == "town"
    assert target.sent == 5


def test_a_broker_that_is_busy_is_tried_again_after_doubling_waits(broker):
    waits = []
    broker.answers += [(503, b""), (429, b""), (500, b"")]
    target = ContextBroker(broker.url, wait_s=1.0, sleep=waits.append)
    target.upsert(ENTITIES)
    assert accepted(broker) == [ENTITIES]
    assert target.retries == 3
    assert all(2**k <= wait <= 1.5 * 2**k for k, wait in enumerate(waits))


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ((400, b'{"title": "bad context"}'), 'refused a batch: it answered 400 Bad Request: {"title": "bad context"}'),
        ((401, b""), "refused a batch: it answered 401 Unauthorized"),
        ((307, b""), "refused a batch: it answered 307 Temporary Redirect"),
        (
            (207, b'{"success": [], "errors": [{"entityId": "urn:x", "error": {"title": "no such type"}}]}'),
            "refused entities: urn:x (no such type)",
        ),
        ((207, b"<html>"), "refused entities: <html>"),
    ],
)
def test_a_refusal_is_told_and_not_tried_again(broker, answer, text):
    broker.answers.append(answer)
    with pytest.raises(CosimError, match="refused") as error:
        ContextBroker(broker.url, sleep=pytest.fail).upsert(ENTITIES)
    assert text in str(error.value)
    assert len(broker.requests) == 1


def test_a_broker_that_is_not_there_is_told_with_what_was_sent(broker):
    broker.answers += [(204, b""), *[(503, b"overloaded")] * 2]
    with pytest.raises(CosimError) as error:
        ContextBroker(broker.url, batch=2, attempts=2, sleep=lambda s: None).upsert(ENTITIES)
    assert "after 2 attempts: it answered 503 Service Unavailable: overloaded; 2 entities were sent" in str(error.value)
    gone = ContextBroker("http://127.0.0.1:9", attempts=2, sleep=lambda s: None)
    with pytest.raises(CosimError, match=r"cannot be reached after 2 attempts.*refused"):
        gone.upsert(ENTITIES)


@pytest.mark.parametrize("url", ["localhost:1026", "file:///etc/passwd", "ftp://x", "http://", ""])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(CosimError, match="give its address, as in http://localhost:1026"):
        ContextBroker(url)


def test_a_run_is_sent_window_by_window(run, broker):
    sent, left_out = send(run.folder, ContextBroker(broker.url), every_s=180.0)
    batches = accepted(broker)
    assert sent == sum(map(len, batches))
    first, second = ({e["id"]: e for e in batch} for batch in batches)
    assert first.keys() == second.keys()
    street = next(name for name in first if "TrafficFlow" in name)
    assert first[street]["intensity"]["value"] < second[street]["intensity"]["value"]
    assert any("empty.nothing" in line for line in left_out)


def test_a_step_of_a_live_scenario_makes_the_same_entities_as_its_run(run):
    scenario = town()
    builder, clock = Entities.of(scenario), scenario.clock
    step = {}
    for port, output in scenario.outputs().items():
        if port.startswith(("traffic", "weather", "environment")):
            row = run.series(port).iloc[2 if output.kind == "mean" else 3][list(output.labels)]
            step[port] = Values(output.unit, output.labels, row.to_numpy(float))
    made = {e["id"]: key_values(e) for e in builder.at(step, clock.utc(120), clock.utc(180))}
    street = made["urn:ngsi-ld:TrafficFlowObserved:town:traffic:s2"]
    assert street["intensity"] == pytest.approx((0.5 + 2 + 1) * 60)
    assert street["averageVehicleSpeed"] == pytest.approx(13 * 3.6)
    assert street["dateObservedTo"] == "2025-01-14T23:03:00Z"
    assert street["location"]["type"] == "LineString"
    assert "urn:ngsi-ld:WeatherObserved:town:weather" in made
    assert builder.left_out["traffic.running"] == "no Smart Data Model carries it"


def test_a_unit_that_does_not_fit_the_attribute_is_refused():
    builder = Entities.of(town())
    with pytest.raises(CosimError, match="W and km/h are different quantities"):
        builder.at(
            {"traffic.speed": Values("W", ("s1", "s2"), np.ones(2))},
            Clock("2025-01-15", hours=1).utc(0),
            Clock("2025-01-15", hours=1).utc(60),
        )


def test_missing_values_and_elements_without_a_place_make_no_entity():
    scenario: Scenario = town(crs="")
    builder, clock = Entities.of(scenario), scenario.clock
    speed = {"traffic.speed": Values("m/s", ("s1", "s2"), np.array([np.nan, 3.0]))}
    assert builder.at(speed, clock.utc(0), clock.utc(60)) == []
    assert builder.left_out == {"traffic.speed": "its elements have no place"}
    [entity] = Entities.of(town()).at(speed, clock.utc(0), clock.utc(60))
    assert entity["id"].endswith(":s2")
