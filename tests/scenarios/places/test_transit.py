"""Public transport: timetables with all their dirt, and lines of the map."""

import dataclasses
import zipfile

import defusedxml.ElementTree
import pytest
import shapely

from cosim.adapters.traffic.installation import run_sumo_tool
from cosim.core import InputFileError
from cosim.scenarios.places.countries import locate
from cosim.scenarios.places.findings import Findings
from cosim.scenarios.places.sources.gtfs import read_gtfs
from cosim.scenarios.places.sources.osm import read_osm
from cosim.scenarios.places.streets import build_streets
from cosim.scenarios.places.transit import map_lines, timetable_lines, write_transit
from cosim.scenarios.streets.network import read_net
from tests.support.maps import degrees, town
from tests.support.paths import DATA

AREA = shapely.box(*degrees(-50, -50), *degrees(410, 410))
PLACES = {"west": (20, 115), "middle": (200, 115), "east": (340, 115), "far": (2000, 115), "other side": (200, 126)}


def feed(path, *, times=None, stops=PLACES, calendar="calendar_dates", without=(), route_type=3):
    """Write a feed of one bus, or what the type is, that goes from the west to the far east."""
    times = times or [("west", "08:00:00"), ("middle", " 8:02:00"), ("east", ""), ("far", "08:20:00")]
    places = {name: degrees(*xy) for name, xy in stops.items()}
    tables = {
        "routes": f"route_id,route_short_name,route_type\nr,7,{route_type}\n",
        "trips": "route_id,service_id,trip_id\nr,workday,t\n",
        "stops": "stop_id,stop_name,stop_lat,stop_lon\n"
        + "".join(f"{name},{name}, {lat:.7f} ,{lon:.7f}\n" for name, (lon, lat) in places.items()),
        "stop_times": "trip_id,arrival_time,departure_time,stop_id,stop_sequence\n"
        + "".join(f"t,{time},{time},{name}, {k}\n" for k, (name, time) in enumerate(times)),
        "calendar_dates": "service_id,date,exception_type\nworkday,20250118,1\nworkday,20250120,1\n",
        "calendar": "service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,end_date\n"
        "workday,0,1,0,0,0,0,0,20250101,20250131\n",
    }
    drop = {"calendar", "calendar_dates"} - {calendar}
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in tables.items():
            if name not in drop | set(without):
                archive.writestr(f"{name}.txt", "\ufeff" + text)
    return path


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    folder = tmp_path_factory.mktemp("net")
    drawn = town(houses=False)
    row = next(number for number, _, tags in drawn.ways if tags.get("name") == "Row 1")
    stops = []
    for k, (number, nodes, tags) in enumerate(drawn.ways):
        if number == row:
            for x in (60.0, 300.0):
                stops.append(
                    drawn.node(
                        x, 120.0, highway="bus_stop", public_transport="stop_position", bus="yes", name=f"at {x:g}"
                    )
                )
            drawn.ways[k] = (number, sorted({*nodes, *stops}, key=lambda n: drawn.nodes[n][0]), tags)
    members = [("node", stop, "stop") for stop in stops] + [("way", row, "")]
    drawn.relation(members, type="route", route="bus", ref="9", name="Bus 9", interval="00:30")
    extract = read_osm(drawn.write(folder / "map.osm"), folder, Findings())
    build_streets(extract.streets, locate(extract.bounds), folder / "streets.net.xml", Findings())
    return folder, read_net(folder / "streets.net.xml"), extract


def test_trip_across_the_border_keeps_its_part_inside_with_its_times(tmp_path):
    findings = Findings()
    [trip] = read_gtfs(feed(tmp_path / "f.zip"), AREA, findings).trips
    assert (trip.line, trip.mode, trip.stops) == ("7", "bus", ("west", "middle", "east"))
    assert trip.depart_s == (28800.0, 28920.0, (28920 + 30000) / 2)
    assert findings.found["mended"]["trip crosses the border: its part inside is kept"] == {"trip/t": "3 of 4 stops"}


def test_the_working_day_is_chosen_from_either_calendar(tmp_path):
    by_dates = read_gtfs(feed(tmp_path / "a.zip"), AREA, Findings())
    by_week = read_gtfs(feed(tmp_path / "b.zip", calendar="calendar"), AREA, Findings())
    assert str(by_dates.day) == "2025-01-20"  # the 18th is a Saturday
    assert by_week.day.weekday() == 1


@pytest.mark.skipif(not (DATA / "gtfs").is_dir(), reason="../shared/data/gtfs is absent")
def test_feed_of_a_whole_city_is_cut_to_its_centre():
    findings = Findings()
    found = read_gtfs(DATA / "gtfs" / "prato.zip", shapely.box(11.07, 43.86, 11.12, 43.90), findings)
    assert (str(found.day), len(found.trips), len(found.stops)) == ("2016-04-11", 2013, 368)
    cut = findings.found["mended"]["trip crosses the border: its part inside is kept"]
    assert 0 < len(cut) < len(found.trips)
    assert all(a <= b for trip in found.trips for a, b in zip(trip.depart_s, trip.depart_s[1:]))


def test_times_beyond_midnight_are_those_of_the_night(tmp_path):
    late = feed(tmp_path / "f.zip", times=[("west", "24:10:00"), ("middle", "24:12:00")])
    [trip] = read_gtfs(late, AREA, Findings()).trips
    assert trip.depart_s == (600.0, 720.0)


def test_foreign_and_damaged_feeds_are_refused(tmp_path):
    with pytest.raises(InputFileError, match="no stop in the area: its stops reach from"):
        read_gtfs(feed(tmp_path / "a.zip"), shapely.box(2.1, 41.3, 2.2, 41.4), Findings())
    with pytest.raises(InputFileError, match=r"has no table trips\.txt"):
        read_gtfs(feed(tmp_path / "b.zip", without=["trips"]), AREA, Findings())
    with pytest.raises(InputFileError, match=r"has the time .8 o"):
        read_gtfs(feed(tmp_path / "c.zip", times=[("west", "8 o'clock"), ("middle", "")]), AREA, Findings())
    (tmp_path / "d.zip").write_bytes((tmp_path / "a.zip").read_bytes()[:200])
    with pytest.raises(InputFileError, match="damaged or no zip"):
        read_gtfs(tmp_path / "d.zip", AREA, Findings())


def test_stops_stand_on_the_side_of_the_street_on_which_they_are(city, tmp_path):
    _, net, _ = city
    times = [("west", "08:00:00"), ("other side", "08:02:00")]
    timetable = read_gtfs(feed(tmp_path / "f.zip", times=times), AREA, Findings())
    [line] = timetable_lines(net, timetable, False, Findings())
    going = {stop.name: net.getEdge(stop.edge) for stop in line.stops}
    heading = {name: edge.getToNode().getCoord()[0] - edge.getFromNode().getCoord()[0] for name, edge in going.items()}
    assert heading["west"] > 0 > heading["other side"]  # south of the street eastwards, north of it westwards


def test_timetabled_buses_run_on_the_streets_at_their_times(city, tmp_path):
    folder, net, _ = city
    lines = timetable_lines(net, read_gtfs(feed(tmp_path / "f.zip"), AREA, Findings()), False, Findings())
    counts = write_transit(folder / "streets.net.xml", lines, tmp_path, Findings())
    assert counts == {"stops": 3, "lines": 1, "timetabled vehicles": 1}
    [vehicle] = defusedxml.ElementTree.parse(tmp_path / "transit.rou.xml").iter("vehicle")
    assert [stop.get("until") for stop in vehicle.iter("stop")] == ["28800", "28920", "29460"]
    assert float(vehicle.get("depart")) < 28800


def test_stop_without_a_name_is_written_without_one(city, tmp_path):
    folder, net, _ = city
    unnamed = {"west": PLACES["west"], "middle": PLACES["middle"]}
    path = feed(tmp_path / "f.zip", stops=unnamed, times=[("west", "08:00:00"), ("middle", "08:02:00")])
    [line] = timetable_lines(net, read_gtfs(path, AREA, Findings()), False, Findings())
    stops = tuple(dataclasses.replace(stop, name="") for stop in line.stops)
    write_transit(folder / "streets.net.xml", [dataclasses.replace(line, stops=stops)], tmp_path, Findings())
    found = list(defusedxml.ElementTree.parse(tmp_path / "transit.add.xml").iter("busStop"))
    assert [stop.get("name") for stop in found] == [None, None]


def test_lines_of_the_map_run_at_their_interval(city, tmp_path):
    folder, net, extract = city
    intervals = {str(route["id"]): route["interval"] for route in extract.routes}
    found = map_lines(net, folder / "streets.net.stops.xml", folder / "streets.net.lines.xml", intervals, Findings())
    [line] = found
    assert {stop.name for stop in line.stops} == {"at 60", "at 300"}
    assert len(line.runs) == (24 - 5) * 2
    assert write_transit(folder / "streets.net.xml", found, tmp_path, Findings())["lines"] == 1


def dirty(path, source, **tables):
    """Copy a feed with tables replaced, as text or as bytes."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for member in old.namelist():
            if member.removesuffix(".txt") not in tables:
                new.writestr(member, old.read(member))
        for name, text in tables.items():
            new.writestr(f"{name}.txt", text)
    return path


def test_dirt_in_a_timetable_is_mended_and_told(tmp_path):
    clean = feed(tmp_path / "clean.zip")
    findings = Findings()
    times = (
        "trip_id,arrival_time,departure_time,stop_id,stop_sequence\n"
        "t,8:00,8:00,west,0\nt,08:02:00,08:02:00,middle,1\nt,08:02:00,08:02:00,middle,1\nt,08:03:00,08:03:00,nowhere,2\n"
        "t,08:05:00,08:05:00,east,3\nlost,08:00:00,08:00:00,west,0\nlost,08:05:00,08:05:00,east,1\n"
        "timeless,,,west,0\ntimeless,,,east,1\n"
    )
    trips = "route_id,service_id,trip_id\nr,workday,t\nr,workday,t\nnone,workday,lost\nr,workday,timeless\n"
    routes = "route_id,route_short_name,route_type\nr,Círculo,3.0\nr,Círculo,3.0\n".encode("cp1252")
    frequencies = "trip_id,start_time,end_time,headway_secs\nt,06:00:00,22:00:00,600\n"
    changed = {"stop_times": times, "trips": trips, "routes": routes, "frequencies": frequencies}
    [trip] = read_gtfs(dirty(tmp_path / "dirty.zip", clean, **changed), AREA, findings).trips
    assert (trip.name, trip.line, trip.mode) == ("t", "Círculo", "bus")
    assert trip.stops == ("west", "middle", "east")
    assert trip.arrive_s[:2] == (8 * 3600.0, 8 * 3600.0 + 120)
    assert {why for _, why, _ in findings.counts()} == {
        "call at a stop that the timetable does not have",
        "trip without a route",
        "trip without times",
        "repeats of a trip in frequencies.txt",
    }


@pytest.mark.parametrize(
    ("table", "text", "message"),
    [
        ("stops", "stop_id,stop_name\nwest,w\n", "stops.txt has no column stop_lat"),
        (
            "calendar_dates",
            "service_id,date,exception_type\nworkday,31/01/2025,1\n",
            "calendar has the date '31/01/2025'",
        ),
        (
            "stop_times",
            "trip_id,arrival_time,departure_time,stop_id,stop_sequence\nt,08:00:00,08:00:00,west,first\n",
            "stop_times.txt has the stop_sequence 'first': it must be a number",
        ),
        ("trips", "", "cannot be read as GTFS"),
    ],
)
def test_a_timetable_that_cannot_be_mended_is_refused_in_one_line(tmp_path, table, text, message):
    path = dirty(tmp_path / "bad.zip", feed(tmp_path / "clean.zip"), **{table: text})
    with pytest.raises(InputFileError) as error:
        read_gtfs(path, AREA, Findings())
    assert message in str(error.value)


@pytest.mark.parametrize(("kind", "number"), [("subway", 1), ("tram", 0)])
def test_metros_and_trams_run_on_their_rails(tmp_path, kind, number):
    drawn = town(houses=False)
    at = (60.0, 300.0)
    stops = [drawn.node(x, 65.0, public_transport="stop_position", name=f"at {x:g}", **{kind: "yes"}) for x in at]
    ways = [
        drawn.way(*((x, 65.0) for x in xs), railway=kind, layer="-2", maxspeed=limit)
        for xs, limit in (((-150.0, *at, 350.0), "70"), ((350.0, 600.0), "50"))
    ]
    members = [("node", stop, "stop") for stop in stops] + [("way", way, "") for way in ways]
    drawn.relation(members, type="route", route=kind, ref="M1", name="M1", interval="00:10")
    findings = Findings()
    extract = read_osm(drawn.write(tmp_path / "map.osm"), tmp_path, findings)
    net_file = tmp_path / "streets.net.xml"
    build_streets(extract.streets, locate(extract.bounds), net_file, findings)
    net = read_net(net_file)
    intervals = {str(route["id"]): route["interval"] for route in extract.routes}
    drawn_lines = map_lines(
        net, net_file.with_suffix(".stops.xml"), net_file.with_suffix(".lines.xml"), intervals, findings
    )
    places = {name: (x, 66.0) for name, x in zip(("west", "middle"), at)}
    path = feed(
        tmp_path / "f.zip", stops=places, times=[("west", "08:00:00"), ("middle", "08:02:00")], route_type=number
    )
    timetabled = timetable_lines(net, read_gtfs(path, AREA, findings), False, findings)
    for lines, runs in ((drawn_lines, 6 * (24 - 5)), (timetabled, 1)):
        [line] = lines
        assert (line.kind, len(line.runs), len(line.stops)) == (kind, runs, 2)
        assert all(
            net.getEdge(stop.edge).allows(kind) and not net.getEdge(stop.edge).allows("bus") for stop in line.stops
        )
        counts = write_transit(net_file, lines, tmp_path, findings)
        assert (counts["lines"], counts["timetabled vehicles"]) == (1, runs)
        run_sumo_tool(
            "sumo", "--net-file", net_file, "--route-files", tmp_path / "transit.rou.xml", "--additional-files",
            tmp_path / "transit.add.xml", "--begin", "28000", "--end", "29600", "--no-step-log",
            "--tripinfo-output", tmp_path / "trips.xml",
        )  # fmt: skip
        arrived = list(defusedxml.ElementTree.parse(tmp_path / "trips.xml").iter("tripinfo"))
        assert arrived
        assert {trip.get("vType") for trip in arrived} == {f"transit_{kind}"}
