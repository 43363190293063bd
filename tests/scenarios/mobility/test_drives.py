"""Departures, visits and crossings of a working day."""

import numpy as np
import pandas as pd
import pytest

from cosim.core import CosimError
from cosim.scenarios.mobility.drives import HOURLY_SHARE, CarDay, by_departure
from cosim.scenarios.streets.eixample import building_sites, eixample_streets


@pytest.fixture(scope="module")
def district(tmp_path_factory):
    net = eixample_streets(tmp_path_factory.mktemp("district"), 3, 3)
    return net, building_sites(3, 3).assign(persons=8.0)


@pytest.fixture(scope="module")
def day(district):
    return CarDay(*district, seed=5)


def test_departures_follow_the_published_profile(day):
    drives = pd.concat([day.visits(0.5), day.crossings(0.33)])
    count = np.histogram(drives["depart_s"], np.arange(25) * 3600)[0]
    expected = len(drives) * np.array(HOURLY_SHARE) / sum(HOURLY_SHARE)
    # Stays of at least half an hour are asked for, which shifts a little from hour to hour.
    assert (np.abs(count - expected) < 4 * np.sqrt(expected) + 0.003 * len(drives)).all()


def test_a_visitor_comes_from_the_border_to_a_door_and_leaves_from_there(day):
    drives = list(day.visits(0.15).itertuples())
    assert len(drives) > 200
    for leaves, comes in zip(drives[::2], drives[1::2], strict=True):
        assert leaves.car == comes.car
        assert leaves.depart_s - comes.depart_s > 1_799
        assert (comes.start in day.entries, leaves.end in day.exits) == (True, True)
        site = day.sites.index(comes.car.removeprefix("visit.").rpartition(".")[0])
        assert (comes.end, comes.end_m) == (leaves.start, leaves.start_m) == (day.edge[site], day.position[site])


def test_through_traffic_crosses_most_of_the_network(day):
    width = max(np.hypot(*np.subtract(a, b)) for a in day.entries.values() for b in day.exits.values())
    for drive in day.crossings(0.1).itertuples():
        assert np.hypot(*np.subtract(day.entries[drive.start], day.exits[drive.end])) > 0.4 * width


def test_sites_at_no_street_for_cars_are_refused(district):
    net, sites = district
    with pytest.raises(CosimError, match="sites stand at edge 'nowhere'"):
        CarDay(net, sites.assign(edge="nowhere"), 0)


def test_drives_are_ordered_by_departure_and_name():
    labels = ["b", "a", "d", "c", "e"]
    legs = pd.DataFrame({"depart_s": [1.0, 1.0, 0.0, 1.0, 2.0]}, index=pd.Index(labels, name="vehicle"))
    assert by_departure(legs).index.tolist() == ["d", "a", "b", "c", "e"]
    pd.testing.assert_frame_equal(by_departure(legs), legs.sort_values(["depart_s", "vehicle"]))
    assert by_departure(legs[:0]).empty
