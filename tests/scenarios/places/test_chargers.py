"""Charging stations of the map."""

import pytest
import shapely

from cosim.scenarios.places.chargers import mapped_chargers, points_of, power_w
from cosim.scenarios.places.findings import Findings
from cosim.scenarios.places.sources.osm import Place
from tests.scenarios.places.test_buildings import net  # noqa: F401
from tests.support.maps import degrees


def station(number, x, y, **tags):
    named = {key.replace("__", ":"): value for key, value in tags.items()}
    return Place(f"node/{number}", shapely.Point(degrees(x, y)), {"amenity": "charging_station", **named})


@pytest.mark.parametrize(
    ("text", "watts"), [("11 kW", 11e3), ("22+11+3,7 kW", 22e3), ("3,7kW", 3.7e3), ("50000 W", 5e4), ("", None)]
)
def test_the_first_power_counts(text, watts):
    assert power_w(text) == watts


def test_points_follow_from_capacity_or_sockets():
    assert points_of({"capacity": "4", "socket:type2": "2"}) == 4
    assert points_of({"socket:type2": "2", "socket:schuko": "1", "socket:type2:output": "11 kW"}) == 3
    assert points_of({}) is None


def test_public_stations_stand_at_streets_and_private_ones_are_not_public(net):  # noqa: F811
    findings = Findings()
    made = mapped_chargers(
        [
            station(1, 60, 5, socket__type2__output="11 kW", capacity="2"),
            station(2, 62, 5, socket__ccs__output="50 kW", capacity="1"),
            station(3, 60, 125, access="private"),
            station(4, 60, 245),
            station(5, 2000, 2000),
        ],
        net,
        findings,
    )
    assert made.index.to_list() == ["street.node/1", "fast.node/2", "street.node/4"]
    assert made["power_w"].to_list() == [11e3, 50e3, 22e3]
    assert list(findings.found["dropped"]["charging station that is not public"]) == ["node/3"]
    assert list(findings.found["guessed"]["charging station without power: 22 kW"]) == ["node/4", "node/5"]
    assert "node/5" in findings.found["dropped"]["charging station without room at a street within 100 m"]
    first, second = made.iloc[0], made.iloc[1]
    assert first["edge"] != second["edge"] or first["end_m"] <= second["start_m"] or second["end_m"] <= first["start_m"]
