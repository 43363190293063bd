"""The gravity law: shares against a simulated plane, choices against their probabilities, a published share."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cosim import CosimError
from cosim.scenarios.eixample import HABITS, SURROUNDINGS, habits_in
from cosim.scenarios.mobility.drives import CarDay
from cosim.scenarios.mobility.gravity import Gravity
from cosim.scenarios.mobility.population import Habits, activity_chains
from cosim.scenarios.mobility.resident_cars import OUTSIDE, _resident_drives
from cosim.scenarios.streets.eixample import PITCH_M, building_sites, eixample_streets


def square(blocks, turned=0.0):
    places = np.mgrid[: 2 * blocks, : 2 * blocks].reshape(2, -1).T * PITCH_M * blocks / (2 * blocks - 1)
    turn = np.array([[np.cos(turned), np.sin(turned)], [-np.sin(turned), np.cos(turned)]])
    return Gravity(places @ turn)


@pytest.mark.parametrize(("blocks", "turned"), [(16, 0.0), (40, 0.0), (64, 0.0), (64, np.pi / 4), (40, 1.0)])
def test_share_inside_is_that_of_trips_drawn_in_the_plane(blocks, turned):
    gravity, side_km = square(blocks, turned), blocks * PITCH_M / 1e3
    share = gravity.inside_share()[gravity.cell].mean()  # of the places
    rng = np.random.default_rng(0)
    n = 400_000
    # Destinations of density exp(-rate d) in the plane have distances of a gamma distribution of shape 2.
    km, angle = rng.gamma(2, 1 / gravity.rate, n), rng.uniform(0, 2 * np.pi, n)
    ends = rng.uniform(0, side_km, (n, 2)) + (km * np.array([np.cos(angle), np.sin(angle)])).T
    drawn = ((ends > 0) & (ends < side_km)).all(axis=1).mean()
    # Cells of half a kilometre stand for their middles: within 3 % of the share.
    assert share == pytest.approx(drawn, rel=0.03)


def test_share_inside_follows_the_surroundings():
    gravity = square(64)
    assert (gravity.inside_share(0.0) == 1).all()
    by_density = [gravity.inside_share(density) for density in (0.25, 0.5, 1.0)]
    assert (np.diff(by_density, axis=0) < 0).all()
    middle, corner = by_density[-1].reshape(16, 16)[8, 8], by_density[-1][0]
    assert corner < 0.6 * middle


def test_as_many_destinations_are_inside_as_of_barcelonas_private_trips():
    # 0.65 of 1.5 million private trips stay inside; of the others, visitors make 0.3 for each of 1.6 million residents.
    published = 0.65 / (1.5 - 0.3 * 1.6)
    blocks = (101e6 / PITCH_M**2) ** 0.5
    assert square(round(blocks)).inside_share(SURROUNDINGS).mean() == pytest.approx(published, abs=0.02)


def test_places_are_chosen_by_weight_and_nearness():
    rng = np.random.default_rng(1)
    places = rng.uniform(0, 4000, (2000, 2))
    weight = rng.uniform(0, 3, 2000) * (rng.random(2000) < 0.8)
    gravity, n = Gravity(places), 400_000
    chosen = gravity.choose_places(np.full(n, 77), rng.random(n), weight)
    cells, cell = gravity.cell.max() + 1, gravity.cell[77]
    # from cell to cell by exp(-rate d), and by 0.5214 of the side within one
    side = np.ptp(places, axis=0) / round(np.sqrt(cells))
    column, row = np.divmod(np.arange(cells), round(np.sqrt(cells)))
    metres = np.hypot((column - column[cell]) * side[0], (row - row[cell]) * side[1])
    metres[cell] = 0.5214 * np.sqrt(side.prod())
    expected = np.bincount(gravity.cell, weight) * np.exp(-gravity.rate * metres / 1e3)
    counted = np.bincount(gravity.cell[chosen], minlength=cells)
    assert counted / n == pytest.approx(expected / expected.sum(), abs=5 * np.sqrt(expected.max() / expected.sum() / n))
    # within a cell by weight alone
    here = np.flatnonzero(gravity.cell == counted.argmax())
    share = np.bincount(chosen, minlength=2000)[here] / counted.max()
    assert share == pytest.approx(weight[here] / weight[here].sum(), abs=5 * np.sqrt(0.1 / counted.max()))
    assert (share[weight[here] == 0] == 0).all()


def test_places_of_one_cell_are_chosen_by_weight():
    gravity = Gravity(np.array([(0.0, 0.0), (50.0, 0.0), (100.0, 50.0)]))
    drawn = (np.arange(1000) + 0.5) / 1000
    chosen = gravity.choose_places(np.zeros(1000, int), drawn, np.array([1.0, 0.0, 3.0]))
    assert np.bincount(chosen, minlength=3) == pytest.approx([250, 0, 750], abs=1)


def test_gates_are_chosen_by_traffic_and_nearness():
    gravity = square(32)
    gates, weight = np.array([(0.0, 2000.0), (4265.0, 2000.0)]), np.array([1.0, 2.0])
    chosen = gravity.choose_gates(np.zeros(10_000, int), (np.arange(10_000) + 0.5) / 1e4, gates, weight)
    km = np.hypot(*(gates - gravity._middle[gravity.cell[0]]).T) / 1e3
    expected = weight * np.exp(-gravity.rate * km)
    assert np.bincount(chosen) / 1e4 == pytest.approx(expected / expected.sum(), abs=1e-3)


@pytest.fixture(scope="module")
def sites():
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(40) * 200.0, np.arange(40) * 200.0))
    labels = pd.Index([f"house {i}" for i in range(len(x))])
    return pd.DataFrame({"persons": 5.0, "area_m2": 100.0, "x": x, "y": y}, index=labels)


def test_residents_of_a_large_city_go_to_near_places(sites):
    anywhere, near = (activity_chains(sites, 3, Habits(surroundings=density)) for density in (None, 0.5))
    columns = ["person", "mode"]
    first = [trips.drop_duplicates("tour").set_index("tour") for trips in (anywhere, near)]
    both = first[0].index.intersection(first[1].index)
    assert len(both) > 0.99 * len(first[0])  # a few find time for one and not for the other
    pd.testing.assert_frame_equal(first[0].loc[both, columns], first[1].loc[both, columns])

    def km(trips):
        inside = trips[(trips["purpose"] == "work") & (trips["destination"] != "")]
        ends = [sites.loc[inside[name], ["x", "y"]].to_numpy() for name in ("origin", "destination")]
        return np.hypot(*(ends[1] - ends[0]).T).mean() / 1e3

    gravity = Gravity(sites[["x", "y"]].to_numpy())
    assert km(anywhere) == pytest.approx(0.5214 * 7.9, rel=0.05)  # mean of two points in a square
    assert km(near) < 0.8 * km(anywhere)
    work = near[near["purpose"] == "work"]
    expected = gravity.inside_share(0.5).mean()
    assert (work["destination"] != "").mean() == pytest.approx(expected, abs=3 * np.sqrt(0.25 / len(work)))


def test_district_takes_the_law_where_it_puts_more_inside_than_assumed():
    assert habits_in(4, 4) is habits_in(29, 29) is HABITS
    assert habits_in(30, 30) == habits_in(64, 64) == replace(HABITS, surroundings=SURROUNDINGS)


@pytest.mark.parametrize("density", [-1.0, np.inf, np.nan])
def test_invalid_surroundings_are_named(density):
    with pytest.raises(CosimError, match=r"surroundings is .*: it must be finite and not negative"):
        Habits(surroundings=density)


def test_cars_cross_the_border_near_their_place_inside(tmp_path):
    blocks = 24
    net = eixample_streets(tmp_path, blocks, blocks)
    sites = building_sites(blocks, blocks).assign(persons=2.0)
    metres = {}
    for near in (False, True):
        day = CarDay(net, sites, 5, near=near)
        habits = Habits(surroundings=0.5 if near else None)
        drives, places = _resident_drives(day, activity_chains(sites, 5, habits, modes=("car",)))
        leaves = (places["origin"] != OUTSIDE) & (places["destination"] == OUTSIDE)
        visits = day.visits(0.3)
        visits = visits[visits.index.str.endswith(".in")]
        visited = visits["car"].str.extract(r"visit\.(.*)\.\d+")[0]
        for name, at, gates in (
            ("leave", places["origin"][leaves], drives["end"][leaves].map(day.exits)),
            ("visit", visited, visits["start"].map(day.entries)),
        ):
            assert len(at) > 1000
            ends = np.array(gates.tolist()) - sites.loc[at, ["x", "y"]].to_numpy()
            metres[name, near] = np.hypot(*ends.T).mean()
    for name in ("leave", "visit"):
        assert metres[name, True] < 0.9 * metres[name, False]
