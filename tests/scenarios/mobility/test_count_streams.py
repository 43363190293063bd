"""Counts from messages and from tables in dirty forms. The samples of DATEX II are like operators' feeds."""

import json

import numpy as np
import pytest

from cosim.core import InputFileError
from cosim.scenarios.mobility.counts.loops import HOURS, read_counts

FLOW = 100.0 + np.arange(HOURS)


def entity(hour, vehicles, name="urn:ngsi-ld:TrafficFlowObserved:a", **more):
    return {
        "id": name,
        "type": "TrafficFlowObserved",
        "dateObserved": f"2024-02-01T{hour:02d}:00:00Z/2024-02-01T{hour:02d}:30:00Z",
        "intensity": vehicles,
        "location": {"type": "Point", "coordinates": [11.3, 44.5]},
    } | more


def normalized(plain):
    kinds = {"location": "GeoProperty", "refRoadSegment": "Relationship"}
    return {
        key: value if key in ("id", "type") else
        {"type": kinds.get(key, "Property"), "object" if kinds.get(key) == "Relationship" else "value": value}
        for key, value in plain.items()
    }  # fmt: skip


@pytest.mark.parametrize("form", ["list", "lines", "notification", "folder"])
def test_entities_are_read_in_every_form_and_hours_are_those_of_the_zone(tmp_path, form):
    plain = [entity(hour, FLOW[hour] / 2) for hour in range(HOURS)]
    entities = plain if form == "list" else [normalized(one) for one in plain]
    path = tmp_path / "counts.json"
    if form == "lines":
        path = tmp_path / "counts.jsonl"
        path.write_text("\n".join(map(json.dumps, entities)))
    elif form == "folder":
        path = tmp_path
        for hour, one in enumerate(entities):
            (path / f"{hour}.jsonld").write_text(json.dumps([one, one, {"id": "x", "type": "Building"}]))
    else:
        path.write_text(json.dumps({"data": entities} if form == "notification" else entities))
    [loop] = read_counts(path, "Europe/Rome")
    assert loop.flow.tolist() == np.roll(FLOW, 1).tolist()  # 23 h of UTC is midnight in Rome
    assert loop.point == (11.3, 44.5)


def test_lanes_of_a_segment_add_up(tmp_path):
    lanes = [
        entity(hour, 10.0 * lane, f"urn:{hour}:{lane}", laneId=lane, refRoadSegment="urn:segment")
        for hour in range(HOURS)
        for lane in (1, 2)
    ]
    (tmp_path / "c.json").write_text(json.dumps(lanes))
    [loop] = read_counts(tmp_path / "c.json")
    assert (loop.name, set(loop.flow)) == ("urn:segment", {60.0})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"intensity": -1}, "counts -1 vehicles: a count cannot be negative"),
        ({"intensity": "many"}, "could not convert"),
        ({"intensity": None}, "has the intensity None: it must be a number of vehicles"),
        ({"dateObserved": "2024-02-01T00:00:00Z"}, "does not say from when to when it counts"),
        ({"dateObserved": "2024-02-01T01:00:00Z/2024-02-01T00:00:00Z"}, "the end must be later"),
        ({"dateObserved": "2024-02-01T02:00:00Z/2024-02-01T02:30:00Z"}, "has no count at hour 0"),
        ({"location": {"type": "Point"}}, "urn:ngsi-ld:TrafficFlowObserved:a "),
    ],
)
def test_messages_that_cannot_be_used_are_named(tmp_path, change, text):
    entities = [entity(hour, 5.0) for hour in range(HOURS)]
    entities[0] |= change
    (tmp_path / "c.json").write_text(json.dumps(entities))
    with pytest.raises(InputFileError) as error:
        read_counts(tmp_path / "c.json")
    assert text in str(error.value)


def test_files_without_messages_are_refused(tmp_path):
    (tmp_path / "c.json").write_text("[{")
    with pytest.raises(InputFileError, match="cannot be read as JSON"):
        read_counts(tmp_path / "c.json")
    (tmp_path / "c.json").write_text('{"id": "x", "type": "Building"}')
    with pytest.raises(InputFileError, match="has no flow: give entities TrafficFlowObserved"):
        read_counts(tmp_path / "c.json")


TABLE = """<{0}><{1} xsi:type="MeasurementSiteTablePublication"><measurementSiteTable id="t">
<{2} id="s1"><measurementSpecificCharacteristics index="1"><measurementSpecificCharacteristics>
<specificLane>lane1</specificLane><specificVehicleCharacteristics><vehicleType>anyVehicle</vehicleType>
</specificVehicleCharacteristics></measurementSpecificCharacteristics></measurementSpecificCharacteristics>
<measurementSpecificCharacteristics index="2"><measurementSpecificCharacteristics><specificLane>lane2</specificLane>
</measurementSpecificCharacteristics></measurementSpecificCharacteristics>
<measurementSpecificCharacteristics index="3"><measurementSpecificCharacteristics><specificLane>lane1</specificLane>
<specificVehicleCharacteristics><vehicleType>lorry</vehicleType></specificVehicleCharacteristics>
</measurementSpecificCharacteristics></measurementSpecificCharacteristics>
<measurementSiteLocation><directionBoundAtPoint>southBound</directionBoundAtPoint><pointCoordinates><latitude>44.5</latitude>
<longitude>11.3</longitude></pointCoordinates></measurementSiteLocation></{2}></measurementSiteTable></{1}></{0}>"""
V2, V3 = "http://datex2.eu/schema/2/2_0", "http://datex2.eu/schema/3/messageContainer"
ROOTS = {
    2: (f'd2LogicalModel xmlns="{V2}" modelBaseVersion="2"', "payloadPublication", "measurementSiteRecord"),
    3: (f'messageContainer xmlns="{V3}" modelBaseVersion="3"', "payload", "measurementSite"),
}


def datex(version, body=None, table=False):
    root, payload, record = ROOTS[version]
    text = TABLE if table else f"<{{0}}><{{1}} xsi:type='MeasuredDataPublication'>{body}</{{1}}></{{0}}>"
    opened = text.replace("<{0}>", f'<{root} xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">')
    return opened.replace("{0}", root.partition(" ")[0]).replace("{1}", payload).replace("{2}", record)


def measured(version, hour, values, error=False):
    when = f"2024-02-01T{hour:02d}:00:00+01:00"
    moment = when if version == 2 else f"<timeValue>{when}</timeValue>"
    wrapper = "measuredValue" if version == 2 else "physicalQuantity"
    rows = "".join(
        f'<{wrapper} index="{k}"><{wrapper}><basicData xsi:type="TrafficFlow"><vehicleFlow>'
        f"<dataError>{'true' if error else 'false'}</dataError>"
        f"<vehicleFlowRate>{value}</vehicleFlowRate></vehicleFlow></basicData></{wrapper}></{wrapper}>"
        for k, value in values.items()
    )
    return (
        f'<siteMeasurements><measurementSiteReference id="s1" version="1"/><measurementTimeDefault>{moment}'
        f"</measurementTimeDefault>{rows}</siteMeasurements>"
    )


@pytest.mark.parametrize("version", [2, 3])
def test_measured_data_of_datex_are_read_with_their_table_of_sites(tmp_path, version):
    (tmp_path / "sites.xml").write_text(datex(version, table=True))
    for hour in range(HOURS):
        body = measured(version, hour, {1: FLOW[hour], 2: 40, 3: 7}) + measured(version, hour, {1: 9999}, error=True)
        (tmp_path / f"data-{hour}.xml").write_text(datex(version, body))
    [loop] = read_counts(tmp_path, "Europe/Rome")
    assert loop.flow.tolist() == (FLOW + 40).tolist()  # both lanes, lorries not twice
    assert (loop.name, loop.point, loop.direction_deg) == ("s1", (11.3, 44.5), 180.0)


def test_classes_of_vehicles_add_up_where_none_stands_for_all_and_gaps_are_no_vehicles(tmp_path):
    length = "<lengthCharacteristic><comparisonOperator>{}</comparisonOperator><vehicleLength>5.6</vehicleLength>"
    length += "</lengthCharacteristic>"
    text = datex(2, table=True).replace("<vehicleType>lorry</vehicleType>", length.format("greaterThan"))
    text = text.replace("<vehicleType>anyVehicle</vehicleType>", length.format("lessThan"))
    text = text.replace("directionBoundAtPoint>", "measurementSide>")
    (tmp_path / "sites.xml").write_text(text)
    bodies = [measured(2, hour, {1: FLOW[hour], 2: 40, 3: 7}) for hour in range(HOURS)]
    other_day = measured(2, 8, {1: -1, 2: 40, 3: 7}) + measured(2, 9, {1: 5, 2: 40, 3: 7}, error=True)
    bodies.append(other_day.replace("2024-02-01", "2024-02-02"))
    (tmp_path / "data.xml").write_text(datex(2, "".join(bodies)))
    [loop] = read_counts(tmp_path, "Europe/Rome")
    assert loop.flow.tolist() == (FLOW + 47).tolist()
    assert loop.direction_deg == 180.0


def test_whole_carriageway_stands_for_its_lanes_and_a_faulty_sensor_for_nothing(tmp_path):
    text = datex(3, table=True).replace("lane2<", "allLanesCompleteCarriageway<")
    (tmp_path / "sites.xml").write_text(text)
    bodies = [measured(3, hour, {1: 3, 2: FLOW[hour]}) for hour in range(HOURS)]
    broken = '<physicalQuantity index="2"><physicalQuantityFault>sensorFault</physicalQuantityFault>'
    fault = measured(3, 8, {1: 3, 2: 0}).replace('<physicalQuantity index="2">', broken)
    bodies.append(fault.replace("2024-02-01", "2024-02-02"))
    (tmp_path / "data.xml").write_text(datex(3, "".join(bodies)))
    [loop] = read_counts(tmp_path, "Europe/Rome")
    assert loop.flow.tolist() == FLOW.tolist()


def test_datex_that_is_unsafe_or_wrong_is_refused(tmp_path):
    path = tmp_path / "d.xml"
    path.write_text('<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>')
    with pytest.raises(InputFileError, match="cannot be read as DATEX II"):
        read_counts(path)
    path.write_text(datex(2, measured(2, 3, {1: "many"})))
    with pytest.raises(InputFileError, match="s1 has the vehicleFlowRate 'many' at 2024-02-01 03:00:00"):
        read_counts(path)
    path.write_text(datex(2, measured(2, 3, {1: 5, 2: 6})))
    with pytest.raises(InputFileError, match="s1 has 2 flows and no table says of which lanes and vehicles: put the"):
        read_counts(path)
    path.write_text(datex(2, "".join(measured(2, hour, {1: 5}) for hour in range(HOURS))))
    with pytest.raises(InputFileError, match="s1 has no place: give its location, or the table of measurement sites"):
        read_counts(path, "Europe/Rome")


def table(cells, delimiter=";"):
    header = delimiter.join(["loop", "edge", *(f"h{h:02d}" for h in range(HOURS))])
    return "\n".join([header, delimiter.join(["città", "e1", *cells]), delimiter.join(["città", "e1", *cells])])


def test_dirty_numbers_encodings_and_doubled_rows_of_tables(tmp_path):
    path = tmp_path / "counts.csv"
    cells = ["1 234,5", "1'000", "2\u00a0000", *["7"] * (HOURS - 3)]
    path.write_bytes(table(cells).encode("cp1252"))
    [loop] = read_counts(path)
    assert loop.name == "città"
    assert loop.flow[:4].tolist() == [1234.5, 1000.0, 2000.0, 7.0]


def test_coordinates_without_their_decimal_point_are_named(tmp_path):
    path = tmp_path / "counts.csv"
    header = ";".join(["loop", "longitudine", "latitudine", *(f"h{h:02d}" for h in range(HOURS))])
    path.write_text(f"{header}\nx;113.160.312.523.868;444.974.672.343.601;{';'.join(['5'] * HOURS)}\n")
    with pytest.raises(
        InputFileError, match="has lost its decimal point to thousands separators: give the place as geo"
    ):
        read_counts(path)
