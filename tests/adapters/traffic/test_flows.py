"""Flows become the trips that SUMO makes of them, and the traffic stays as it is, with and without other trips."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cosim.adapters.traffic import Traffic
from cosim.adapters.traffic.demand import electric_variant
from cosim.adapters.traffic.files import read_configuration, root_of
from cosim.adapters.traffic.flows import flows_as_trips
from cosim.core import CosimError
from tests.support.traffic_runs import Run, bare, make_town, rows, write_configuration

FLOWS = (
    '<vType id="car"/><vType id="van" length="6"/><route id="r" edges="A0A1 A1B1 B1C1"/>'
    '<flow id="number" type="car" begin="3" end="103" number="21" from="A0A1" to="C1C2" departLane="best"/>'
    '<flow id="hour" type="van" begin="7" end="0:01:40" vehsPerHour="700" route="r"/>'
    '<flow id="period" begin="10" end="70" period="6" from="A2B2" to="C1C0"/>'
    '<flow id="count" begin="12.5" number="5" period="3.5" from="C2B2" to="A1A0"><param key="k" value="v"/></flow>'
)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_town(tmp_path_factory.mktemp("town"))


def with_flows(town: Path, text: str, name: str = "flows") -> Path:
    (town / f"{name}.rou.xml").write_text(f"<routes>{text}</routes>")
    return write_configuration(town / f"{name}.sumocfg", routes=f"{name}.rou.xml")


def test_trips_of_flows_are_row_by_row_those_that_sumo_makes(town, tmp_path):
    usual = with_flows(town, FLOWS)
    expanded = flows_as_trips(usual, tmp_path / "expanded")
    before, after = (rows(bare(c, tmp_path / k) / "tripinfos.xml") for k, c in (("a", usual), ("b", expanded)))
    for trip in (*before, *after):
        assert 0 <= float(trip.pop("departDelay")) < 6  # counted from SUMO's next step
    assert len(before) == 21 + 19 + 10 + 5
    assert after == before


def test_vehicles_of_flows_become_electric_and_drive_as_before(town, tmp_path):
    usual = with_flows(town, FLOWS)
    expanded = flows_as_trips(usual, tmp_path / "expanded")
    chosen = ["number.3", "hour.2", "period.0"]
    variant = electric_variant(expanded, chosen, tmp_path / "variant")
    one = Run(Traffic(usual), tmp_path / "one", [60.0] * 5)
    two = Run(Traffic(variant, electric=chosen), tmp_path / "two", [60.0] * 5)
    assert two.error is None
    assert [(t["id"], t["arrival"]) for t in rows(two.trips)] == [(t["id"], t["arrival"]) for t in rows(one.trips)]
    assert (two["trip_state"][-1] == 2).all()


def test_a_scenario_without_flows_stays_as_it_is(town, tmp_path):
    assert flows_as_trips(town / "run.sumocfg", tmp_path / "none") == town / "run.sumocfg"
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '<flow id="f" begin="0" end="9" period="2" departPos="random" from="A0A1" to="C1C2"/>',
            "the flow 'f' with a departPos that SUMO draws",
        ),
        (
            '<trip id="t" depart="0" from="A0A1" to="C1C2" departLane="random"/>'
            '<flow id="f" end="9" number="3" from="A0A1" to="C1C2"/>',
            "the trip 't' with a departLane that SUMO draws among the vehicles of flows",
        ),
        ('<flow id="f" begin="0" period="2" from="A0A1" to="C1C2"/>', "the flow 'f' has no end"),
        (
            '<trip id="t" depart="9" from="A0A1" to="C1C2"/><flow id="f" end="9" number="3" from="A0A1" to="C1C2"/>',
            "SUMO leaves out the flow 'f': Route file should be sorted by departure time",
        ),
        ('<flow id="f" begin="0" end="x" period="2" from="A0A1" to="C1C2"/>', "times of the flow 'f' cannot be read"),
        ('<flow id="f" begin="x" end="9" period="2" from="A0A1" to="C1C2"/>', "SUMO cannot load"),
        (
            '<vType id="v" scale="2"/><flow id="f" type="v" end="9" period="2" from="A0A1" to="C1C2"/>',
            "the vType 'v' with a scale",
        ),
        (
            '<flow id="f" end="9" period="2" from="A0A1" to="C1C2"/>'
            '<person id="p" depart="5"><walk from="A0A1" to="A1B1"/></person>',
            "has persons or containers, for whom SUMO draws among the vehicles",
        ),
        (
            '<flow id="f" end="9" period="2" from="A0A1" to="C1C2"/><calibrator id="k" edge="A0A1" pos="0"/>',
            "the calibrator 'k', for which SUMO draws",
        ),
    ],
)
def test_flows_whose_trips_would_change_the_traffic_are_refused_with_the_remedy(town, tmp_path, text, words):
    with pytest.raises(CosimError, match=re.escape(words)):
        flows_as_trips(with_flows(town, text, "bad"), tmp_path / "bad")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"scale": 0.5}, "sets scale to 0.5, by which SUMO changes the departures again"),
        ({"random-depart-offset": 3}, "sets random-depart-offset to 3"),
        ({"device.rerouting.probability": 0.5}, "SUMO draws which vehicles have this device"),
    ],
)
def test_options_by_which_expanded_flows_would_change_are_refused(town, tmp_path, option, words):
    (town / "o.rou.xml").write_text(f"<routes>{FLOWS}</routes>")
    usual = write_configuration(town / "o.sumocfg", routes="o.rou.xml", **option)
    with pytest.raises(CosimError, match=re.escape(words)):
        flows_as_trips(usual, tmp_path / "bad")


MIXED = (
    '<vTypeDistribution id="any"><vType id="a" probability="1"/><vType id="b" length="7" vClass="truck"/>'
    '</vTypeDistribution><vType id="car"/><route id="r" edges="A0A1 A1B1 B1C1"/>'
    '<routeDistribution id="rd"><route edges="A0A1 A1B1 B1C1" probability="1"/>'
    '<route edges="A0A1 A1A2 A2B2" probability="2"/></routeDistribution>'
    '<flow id="prob" type="{any}" begin="0" end="400" probability="0.3" from="A0A1" to="C1C2"/>'
    '<flow id="exp" type="car" begin="0" number="50" period="exp(0.2)" from="A2B2" to="C1C0" departSpeed="max"/>'
    '<flow id="rd" type="{any}" begin="0" end="300" period="9.3" route="{rd}"/>'
    '<flow id="fixed" begin="0" period="7" from="C1B1" to="A0A1" speedFactor="0.9"/>'
)


def trips_between(kind: str, route: str) -> str:
    return "".join(
        f'<trip id="t{k}" type="{kind}" depart="{k * 7.5}" from="C2B2" to="A1A0"/>'
        f'<vehicle id="v{k}" type="car" depart="{k * 7.5 + 2}" route="{route}"/>'
        for k in range(60)
    )


@pytest.mark.parametrize(
    "text",
    [
        MIXED.format(any="any", rd="rd") + trips_between("any", "rd"),
        MIXED.format(any="any", rd="r") + trips_between("car", "r"),
        MIXED.format(any="car", rd="r") + trips_between("any", "rd"),
        MIXED.format(any="car", rd="r") + trips_between("car", "r"),
    ],
    ids=["all drawn", "flows drawn", "trips drawn", "times drawn"],
)
@pytest.mark.parametrize("seed", [None, 7])
def test_flows_drawn_and_beside_trips_become_the_vehicles_that_sumo_makes(town, tmp_path, text, seed):
    (town / "mixed.rou.xml").write_text(f"<routes>{text}</routes>")
    usual = write_configuration(town / "mixed.sumocfg", routes="mixed.rou.xml", end=600)
    expanded = flows_as_trips(usual, tmp_path / "expanded", seed=seed)
    options = [] if seed is None else ["--seed", seed]
    before, after = (
        {trip["id"]: trip for trip in rows(bare(c, tmp_path / k, *options) / "tripinfos.xml")}
        for k, c in (("a", usual), ("b", expanded))
    )
    for trip in (*before.values(), *after.values()):
        del trip["departDelay"]  # counted from SUMO's next step
    assert len(before) > 250
    assert after == before


def test_flows_in_an_included_file_are_expanded(town, tmp_path):
    with_flows(town, FLOWS, "inner")
    outer = with_flows(town, '<include href="inner.rou.xml"/>', "outer")
    expanded = read_configuration(flows_as_trips(outer, tmp_path / "expanded"))
    assert not any(list(root_of(path).iter("flow")) for path in expanded.demand)
    assert (
        sum(len(root_of(path).findall("trip")) + len(root_of(path).findall("vehicle")) for path in expanded.demand)
        == 55
    )


def test_types_drawn_among_cars_and_others_are_written_where_there_are_no_flows(town, tmp_path):
    kinds = MIXED.partition('<vType id="car"/>')[0]
    usual = with_flows(
        town, kinds + '<vType id="car"/><route id="r" edges="A0A1 A1B1"/>' + trips_between("any", "r"), "k"
    )
    expanded = flows_as_trips(usual, tmp_path / "expanded")
    trips = [trip for path in read_configuration(expanded).demand for trip in root_of(path).iter("trip")]
    before, after = (rows(bare(c, tmp_path / k) / "tripinfos.xml") for k, c in (("a", usual), ("b", expanded)))
    assert {trip.get("id"): trip.get("type") for trip in trips} == {
        trip["id"]: trip["vType"] for trip in before if trip["id"][0] == "t"
    }
    assert {trip.get("type") for trip in trips} == {"a", "b"}
    assert after == before
