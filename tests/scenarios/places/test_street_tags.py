"""Street tags that netconvert takes wrongly, each with its right answer."""

import pytest

from cosim.scenarios.places.findings import Findings
from cosim.scenarios.places.sources.street_tags import PRIVATE_KMH, corrected, fill_lanes


def of(**tags):
    findings = Findings()
    read = {key.replace("__", ":"): value for key, value in tags.items()}
    return corrected("way/1", {"highway": "residential", **read}, findings), findings


def reasons(findings, fate):
    return list(findings.found.get(fate, {}))


def test_reversible_street_is_closed_and_named():
    kept, findings = of(oneway="reversible")
    assert kept is None
    assert reasons(findings, "dropped") == ["reversible street: closed"]


def test_alternating_street_has_a_lane_each_way_and_is_told():
    kept, findings = of(oneway="alternating")
    assert (kept["oneway"], kept["lanes"]) == ("no", "2")
    assert "twice its capacity" in reasons(findings, "mended")[0]


@pytest.mark.parametrize("value", ["-1", "1", "true", "yes"])
def test_plain_one_way_streets_stay_as_they_are(value):
    kept, findings = of(oneway=value, lanes="1")
    assert kept["oneway"] == value
    assert not findings.found


def test_single_lane_of_a_two_way_street_is_listed():
    kept, findings = of(lanes="1")
    assert kept["lanes"] == "1"
    assert "lanes=1" in reasons(findings, "listed")[0]


@pytest.mark.parametrize(("text", "lanes"), [("2;3", "2"), ("1.5", "1"), ("0", None), ("many", None), ("2", "2")])
def test_the_least_number_of_lanes_counts_and_none_leaves_it_to_the_type(text, lanes):
    assert of(lanes=text, oneway="yes")[0].get("lanes") == lanes


def test_lanes_are_at_least_the_sum_of_their_directions():
    kept, findings = of(lanes="2", lanes__forward="2", lanes__backward="1")
    assert kept["lanes"] == "3"
    assert findings.found["mended"]["lanes below the sum of its directions"] == {"way/1": "2 < 3"}


@pytest.mark.parametrize(
    ("text", "speed"),
    [("50;30", "30"), ("30 mph;20 mph", "20 mph"), ("signals", None), ("variable", None), ("none", "none"),
     ("walk", "walk"), ("30 mph", "30 mph"), ("ES:urban", "ES:urban"), ("50", "50")],
)  # fmt: skip
def test_the_lowest_speed_counts_and_what_is_no_speed_leaves_it_to_the_type(text, speed):
    assert of(maxspeed=text)[0].get("maxspeed") == speed


@pytest.mark.parametrize("key", ["motor_vehicle", "vehicle", "motorcar"])
def test_cars_are_barred_where_motor_vehicles_are(key):
    kept, findings = of(**{key: "no"})
    assert kept["highway"] == "residential.nocar"
    assert reasons(findings, "mended") == ["closed to cars"]


def test_the_most_specific_access_decides():
    assert of(access="no", motor_vehicle="yes")[0]["highway"] == "residential"
    assert of(motor_vehicle="no", motorcar="yes")[0]["highway"] == "residential"


def test_street_closed_to_all_but_buses_is_theirs():
    assert of(access="no", bus="yes")[0]["highway"] == "residential.busonly"
    assert of(access="no", psv="designated")[0]["highway"] == "residential.busonly"
    kept, findings = of(access="no")
    assert kept is None
    assert reasons(findings, "dropped") == ["street closed to everybody"]


def test_private_street_is_for_its_residents():
    assert of(access="private", maxspeed="50")[0]["maxspeed"] == PRIVATE_KMH


def test_permits_and_hours_leave_a_street_open_and_listed():
    assert reasons(of(access="permit")[1], "listed") == ["open by permit: candidate of a zone"]
    kept, findings = of(motor_vehicle__conditional="no @ (20:00-06:00)")
    assert kept["highway"] == "residential"
    assert reasons(findings, "listed") == ["restricted at certain times: candidate of a zone"]


def test_other_kinds_of_ways():
    assert of(highway="service")[0] is None
    assert of(highway="footway")[0] is None
    assert of(highway="service", bus="yes")[0]["highway"] == "unclassified.busonly"
    assert of(highway="road")[0]["highway"] == "unclassified"
    assert of(highway="busway")[0]["maxspeed"] == "50"
    assert of(highway="construction")[0] is None
    assert of(area="yes")[0] is None


def test_bus_lanes_are_translated():
    assert of(lanes__psv="1", oneway="yes", lanes="3")[0]["busway:right"] == "lane"
    assert of(lanes__bus="2", lanes="4")[0]["busway:both"] == "lane"
    assert of(lanes__psv__backward="1", lanes="3")[0]["busway:left"] == "lane"
    assert "busway:right" not in of(lanes__psv="1", busway="lane")[0]


def test_one_way_streets_without_lanes_have_those_of_their_class():
    def street(lanes, **tags):
        return {"highway": "residential", "oneway": "yes", **({"lanes": str(lanes)} if lanes else {}), **tags}

    streets = [street(3), street(2), street(2), street(0), street(0, oneway="no"), street(0, highway="tertiary")]
    streets += [street(0, junction="roundabout"), street(4, highway="tertiary")]
    findings = Findings()
    fill_lanes([(f"way/{k}", tags) for k, tags in enumerate(streets)], findings)
    assert [tags.get("lanes") for tags in streets] == ["3", "2", "2", "2", None, None, None, "4"]
    assert list(findings.found["guessed"]["lanes of a one-way street: as most of its class"]) == ["way/3"]
