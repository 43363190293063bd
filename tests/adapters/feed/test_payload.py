import json

import pytest

from cosim.adapters.feed.payload import Decoder, FedPort, Kind, Sample
from cosim.adapters.feed.specification import Stream
from cosim.core import Clock, CosimError

CLOCK = Clock("2025-01-15", hours=2, zone="Europe/Madrid")
PORTS = {
    "weather.temperature": FedPort("degC", ("outdoor",)),
    "filter.counts": FedPort("vehicle/s", ("e1", "e2")),
}
PLAIN = {"port": "weather.temperature", "path": "air.t", "unit": "K", "label": "outdoor", "range": (200, 330)}
FLOW = {
    "port": "filter.counts",
    "path": "intensity",
    "unit": "vehicle/hour",
    "label": {"path": "id"},
    "labels": {"urn:ngsi-ld:TrafficFlowObserved:28": "e2"},
}


def decoder(value=PLAIN, **stream):
    described = {"topic": "t/+", "time": "at", "values": [value], **stream}
    return Decoder(Stream.model_validate(described), PORTS, CLOCK)


def flow(**stream):
    given = {"payload": "ngsi-ld", "type": "TrafficFlowObserved", "time": "dateObserved", **stream}
    return decoder(FLOW, **given)


def one(found):
    (result,) = found
    return result


def read(described, content, topic="t/x"):
    payload = content if isinstance(content, bytes) else json.dumps(content).encode()
    return one(described.decode(topic, payload, 7.0))


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("2025-01-15T00:01:00+01:00", 60.0),
        ("2025-01-14T23:01:00Z", 60.0),
        ("2025-01-15T00:01:00", 60.0),  # in the city's zone
        (CLOCK.start_utc.timestamp() + 60, 60.0),
        ((CLOCK.start_utc.timestamp() + 60) * 1000, 60.0),
    ],
)
def test_time_stamps_of_all_forms_are_read(stamp, expected):
    assert read(decoder(), {"at": stamp, "air": {"t": 280.0}}) == Sample(
        "weather.temperature", 0, expected, pytest.approx(6.85)
    )


def test_time_of_arrival_is_that_of_the_run():
    assert read(decoder(time="arrival"), {"air": {"t": 280.0}}).time_s == 7.0


NORMALIZED = {
    "id": "urn:ngsi-ld:TrafficFlowObserved:28",
    "type": "TrafficFlowObserved",
    "dateObserved": {"type": "Property", "value": {"@type": "DateTime", "@value": "2025-01-15T00:30:00+01:00"}},
    "intensity": {"type": "Property", "value": 720, "observedAt": "2025-01-15T00:20:00+01:00"},
}
KEY_VALUES = {
    "id": "urn:ngsi-ld:TrafficFlowObserved:28",
    "type": "https://smartdatamodels.org/dataModel.Transportation/TrafficFlowObserved",
    "dateObserved": "2025-01-15T00:30:00+01:00",
    "intensity": 720,
}


@pytest.mark.parametrize(
    "entity", [NORMALIZED, KEY_VALUES, [NORMALIZED], {"type": "Notification", "data": [KEY_VALUES]}]
)
def test_entities_are_read_normalized_and_as_key_values_alone_listed_and_notified(entity):
    assert read(flow(), entity) == Sample("filter.counts", 1, 1800.0, pytest.approx(0.2))


def test_a_time_may_be_that_of_the_observed_property():
    assert read(flow(time="intensity.observedAt"), NORMALIZED).time_s == 1200.0
    assert read(flow(time="{}.observedAt"), NORMALIZED).time_s == 1200.0


@pytest.mark.parametrize(
    ("content", "kind", "text"),
    [
        (b'{"at": 0, "air": {"t": 28', Kind.MALFORMED, "not JSON"),
        (b"\xff\xfe", Kind.MALFORMED, "not JSON"),
        (b"[" * 100_000, Kind.MALFORMED, "not JSON"),
        (b'{"at": 0, "air": {"t": NaN}}', Kind.MALFORMED, "not JSON: NaN is no JSON number"),
        ("28.0", Kind.MALFORMED, "holds '28.0' in place of an object"),
        ({"at": "yesterday", "air": {"t": 280}}, Kind.MALFORMED, "at is 'yesterday', not a time"),
        ({"air": {"t": 280}}, Kind.MALFORMED, "at is None, not a time"),
        ({"at": 1e400, "air": {"t": 280}}, Kind.MALFORMED, "not JSON"),
        ({"at": 0, "air": {"t": "warm"}}, Kind.MALFORMED, "air.t of 'outdoor' is 'warm', not a number"),
        ({"at": 0, "air": {"t": True}}, Kind.MALFORMED, "air.t of 'outdoor' is True, not a number"),
        ({"at": 0, "air": {"t": None}}, Kind.NO_VALUE, "air.t of 'outdoor' holds nothing"),
        ({"at": 0, "air": 3}, Kind.NO_VALUE, "air.t of 'outdoor' holds nothing"),
        ({"at": 0, "air": {"t": 5000}}, Kind.ABSURD, "air.t of 'outdoor' is 5000 K, credible is 200 to 330"),
        ({"at": 0, "air": {"t": 10**400}}, Kind.MALFORMED, "not a number"),
    ],
)
def test_bad_payloads_are_told_by_kind(content, kind, text):
    fault = read(decoder(), content)
    assert fault.kind == kind
    assert text in fault.text


def test_entities_of_another_type_are_refused():
    fault = read(flow(), NORMALIZED | {"type": "WeatherObserved"})
    assert (fault.kind, fault.text) == (Kind.WRONG_TYPE, "an entity of type 'WeatherObserved', not TrafficFlowObserved")


def test_unknown_elements_are_refused():
    assert read(flow(), NORMALIZED | {"id": "urn:x"}).kind == Kind.UNKNOWN_LABEL


def test_a_stated_unit_must_be_the_described_one():
    wrong = {"type": "Property", "value": 280, "unitCode": "CEL"}
    described = decoder(PLAIN | {"path": "t"}, payload="ngsi-ld")
    fault = read(described, {"at": 0, "t": wrong})
    assert (fault.kind, fault.text) == (Kind.WRONG_UNIT, "t is in 'CEL', described as K")
    assert isinstance(read(described, {"at": 0, "t": wrong | {"unitCode": "KEL"}}), Sample)
    by_path = decoder(PLAIN | {"unit_path": "unit"})
    assert read(by_path, {"at": 0, "air": {"t": 280}, "unit": "furlong"}).kind == Kind.WRONG_UNIT


def test_the_element_may_be_a_level_of_the_topic():
    described = decoder(FLOW | {"label": {"topic": 1}, "labels": {}})
    assert read(described, {"at": 0, "intensity": 1}, "t/e2").element == 1
    assert read(described, {"at": 0, "intensity": 1}, "t").kind == Kind.UNKNOWN_LABEL


def test_a_unit_of_another_quantity_is_refused_at_once():
    with pytest.raises(CosimError, match=r"stream t/\+ gives air.t in W, but weather.temperature is in degC: "):
        decoder(PLAIN | {"unit": "W"})


def test_an_element_that_the_port_lacks_is_refused_at_once():
    with pytest.raises(CosimError, match=r"names the element 'outdoors', .* did you mean outdoor\?"):
        decoder(PLAIN | {"label": "outdoors"})
