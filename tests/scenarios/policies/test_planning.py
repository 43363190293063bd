"""Tests of policies on buildings, shading, chargers and the grid: their effects, and their refusals."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from cosim import CosimError, Result
from cosim.scenarios import eixample
from cosim.scenarios.grid.reinforcement import Upgrade, cost_eur, reinforced, upgrades
from cosim.scenarios.mobility.chargers import place_chargers, unserved
from cosim.scenarios.policies import (
    Densification,
    GreenRoofs,
    GridReinforcement,
    HeatPumps,
    PublicChargers,
    Retrofit,
    Shading,
    next_charger,
)
from cosim.scenarios.policies.trips import trips_of
from cosim.scenarios.streets.network import read_net
from tests.support.policy_runs import district, kwh, quarter, run_buildings


def grown(policy):
    """Return the small district with a policy that changes its buildings before it gets residents."""
    return eixample.build(blocks=(2, 2), hours=1, through_traffic=0.05, policies=[policy]).model


MORNING = {"blocks": (2, 2), "through_traffic": 0.1, "begin_hour": 7, "hours": 1, "step_s": 300, "grid_step_s": 300}


def test_storeys_add_dwellings_and_their_electricity(tmp_path):
    before = district()
    after = grown(Densification(2, share=1.0))
    np.testing.assert_array_equal(after.stock.storeys, before.stock.storeys + 2)
    growth = after.stock.dwellings.sum() / before.stock.dwellings.sum()
    assert growth == pytest.approx((after.stock.floor_area.sum() / before.stock.floor_area.sum()), rel=0.02)
    power = [
        kwh(run_buildings(city, tmp_path / str(k)), "buildings.appliance_power")
        for k, city in enumerate((before, after))
    ]
    assert power[1] / power[0] == pytest.approx(growth, rel=0.05)


def test_storeys_share_one_roof():
    before, after = district().stock, grown(Densification(2, share=1.0)).stock
    loss = [stock.zones.loss_coefficient[stock.archetype] for stock in (before, after)]
    assert (loss[1] < loss[0]).all()


def test_storeys_on_one_block_leave_other_blocks_unchanged():
    city = district()
    after = grown(Densification(1, share=1.0, block="b0.0"))
    np.testing.assert_array_equal(after.stock.storeys > city.stock.storeys, (city.sites["block"] == "b0.0").to_numpy())


def test_storeys_on_an_unknown_block_are_refused():
    with pytest.raises(CosimError, match=r"unknown block 'b9\.9'"):
        grown(Densification(block="b9.9"))


def test_storeys_on_refurbished_envelopes_are_refused():
    with pytest.raises(CosimError, match="build on refurbishment level 1"):
        eixample.build(
            blocks=(2, 2), hours=1, through_traffic=0.05, refurbishment=2, policies=[Densification(share=1.0)]
        )


def test_storeys_and_retrofit_combine_in_any_order():
    one, other = (
        eixample.build(blocks=(2, 2), hours=1, through_traffic=0.05, policies=order).model.stock
        for order in ([Densification(1), Retrofit(3)], [Retrofit(3), Densification(1)])
    )
    np.testing.assert_array_equal(one.design_load, other.design_load)


def test_new_residents_drive_and_leave_all_other_trips_unchanged():
    day = {"blocks": (2, 2), "through_traffic": 0.05, "hours": 1, "ev_share": 0.0}
    before = eixample.build(**day).model
    after = eixample.build(**day, policies=[Densification(2, share=1.0)]).model
    old, new = ({trip.id: trip.way for trip in trips_of(city)} for city in (before, after))
    assert old.items() <= new.items()
    through = [sum(trip.startswith("through") for trip in trips) for trips in (old, new)]
    assert through[0] > 0
    assert abs(through[1] - through[0]) <= 1  # a rounding
    growth = after.stock.dwellings.sum() / before.stock.dwellings.sum()
    assert (len(new) - through[1]) / (len(old) - through[0]) == pytest.approx(growth, rel=0.05)


def test_grid_is_not_designed_for_the_new_residents():
    before, after = district(), grown(Densification(2, share=1.0))
    assert after.stock.dwellings.sum() > before.stock.dwellings.sum()
    np.testing.assert_array_equal(after.grid.net.trafo["sn_mva"], before.grid.net.trafo["sn_mva"])


def test_shading_lowers_cooling(tmp_path):
    shaded = Shading(1.0, transmittance=0.3).change_city(district())
    cooling = [
        kwh(run_buildings(city, tmp_path / str(k), day="2025-07-15", hours=48), "buildings.cooling_power")
        for k, city in enumerate((district(), shaded))
    ]
    assert cooling[1] < 0.8 * cooling[0]


def test_shading_by_rule_lowers_cooling_and_leaves_the_winter_as_it_is(tmp_path):
    ruled = Shading(1.0, transmittance=0.3, by_rule=True).change_city(district())
    assert (ruled.stock.blinds == 0.3).all()
    runs = {
        (k, day): run_buildings(city, tmp_path / f"{k}{day}", day=day)
        for k, city in enumerate((district(), ruled))
        for day in ("2025-01-15", "2025-07-15")
    }
    cooling, heat = "buildings.cooling_power", "buildings.heating_heat"
    assert kwh(runs[1, "2025-07-15"], cooling) < 0.95 * kwh(runs[0, "2025-07-15"], cooling)
    assert kwh(runs[1, "2025-01-15"], heat) == kwh(runs[0, "2025-01-15"], heat)


def test_green_roofs_lower_solar_heat_on_roofs_only(tmp_path):
    before, after = district(), GreenRoofs(1.0, sun_kept_off=0.5).change_city(district())
    np.testing.assert_allclose(after.stock.sun_on_exterior[:, 0], before.stock.sun_on_exterior[:, 0] / 2)
    np.testing.assert_array_equal(after.stock.sun_on_exterior[:, 1:], before.stock.sun_on_exterior[:, 1:])
    runs = [run_buildings(city, tmp_path / str(k), day="2025-07-15") for k, city in enumerate((before, after))]
    warm = [run.series("buildings.indoor_temperature").mean().mean() for run in runs]
    assert warm[1] < warm[0]


def test_public_chargers_keep_existing_ones():
    few, some, more = (
        eixample.build(blocks=(2, 2), hours=1, through_traffic=0.05, policies=policies).model.chargers
        for policies in ([], [PublicChargers(1)], [PublicChargers(2)])
    )
    assert [(table["kind"] == "street").sum() for table in (few, some, more)] == [6, 10, 14]
    assert set(few.index) <= set(some.index) <= set(more.index)
    pd.testing.assert_frame_equal(more.loc[few.index], few)


def streets_and_sites():
    city = quarter()
    return read_net(city.sumocfg.parent / "eixample.net.xml"), city.sites


def test_stations_are_sited_one_by_one_where_demand_is_least_served():
    net, sites = streets_and_sites()
    every = place_chargers(net, sites, 140, 0, points=2)  # every stretch that there is
    table = place_chargers(net, sites, 2, 0, n_sited=4)
    for number in range(2, 6):
        standing, chosen = table.iloc[:number], table.index[number]
        free = every.drop([label for label in standing.index if label in every.index])
        demand = unserved(free, standing, sites, sites["persons"])
        assert demand[free.index.get_loc(chosen)] == demand.max()


def test_siting_does_not_depend_on_the_seed():
    net, sites = streets_and_sites()
    one, other = (place_chargers(net, sites, 0, 0, seed, n_sited=5) for seed in (1, 2))
    assert one.index.tolist() == other.index.tolist()


def test_sited_stations_reach_more_residents_than_randomly_placed_ones():
    net, sites = streets_and_sites()

    def reached(stations):
        away = np.hypot(*(sites[["x", "y"]].to_numpy()[:, None] - stations[["x", "y"]].to_numpy()[None]).T)
        return float(sites["persons"][(away <= 300).any(axis=0)].sum())

    by_chance = [reached(place_chargers(net, sites, 3, 0, seed)) for seed in range(20)]
    assert reached(place_chargers(net, sites, 0, 0, n_sited=3)) > np.quantile(by_chance, 0.75)


def test_negative_number_of_sited_stations_is_refused():
    with pytest.raises(CosimError, match="-1 sited stations"):
        place_chargers(*streets_and_sites(), 0, 0, n_sited=-1)


def test_next_charger_is_placed_where_there_is_none():
    city = district()
    corner = city.chargers.iloc[:1].assign(kind="street", x=city.sites["x"].min(), y=city.sites["y"].min())
    best = next_charger(dataclasses.replace(city, chargers=corner), within_m=60).iloc[0]
    assert np.hypot(best["x"] - corner["x"].iloc[0], best["y"] - corner["y"].iloc[0]) > 60


def test_next_charger_without_a_positive_distance_is_refused():
    with pytest.raises(CosimError, match="must be positive"):
        next_charger(district(), within_m=0)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return eixample.build(**MORNING, policies=[HeatPumps(1.0)]).run(tmp_path_factory.mktemp("runs") / "loaded")


def test_reinforcement_brings_every_element_within_its_limit(loaded, tmp_path):
    limit = 0.5 * float(loaded.series("grid.transformer_loading").max().max())
    built = eixample.build(**MORNING, policies=[HeatPumps(1.0), GridReinforcement(loaded.folder, limit)])
    result = built.run(tmp_path / "built")
    for port in ("grid.transformer_loading", "grid.line_loading"):
        assert float(loaded.series(port).iloc[1:].max().max()) > limit
        # Parallel cables share current by impedance, others carry a little more for the lower voltage drop.
        assert float(result.series(port).iloc[1:].max().max()) <= 1.02 * limit
    # Of the losses only those of cables must fall: a further transformer's iron is lost at no load too.
    assert kwh(result, "grid.line_losses") < kwh(loaded, "grid.line_losses")


def test_reinforcement_costs_what_is_built(loaded):
    net = district().grid.net
    limit = 0.5 * float(loaded.series("grid.transformer_loading").max().max())
    needed = upgrades(loaded, net, limit=limit)
    added = reinforced(net, needed)
    units = (added.trafo.parallel - net.trafo.parallel).sum()
    metres = ((added.line.parallel - net.line.parallel) * net.line.length_km).sum() * 1000
    assert cost_eur(needed) == pytest.approx(30_000 * units + 150 * metres)
    assert units == sum(u.units for u in needed if isinstance(u, Upgrade) and u.kind == "transformer")


def test_reinforcement_of_a_grid_within_its_limits_is_refused(loaded):
    with pytest.raises(CosimError, match="builds nothing"):
        GridReinforcement(loaded.folder, limit=50).change_city(district())


def test_reinforcement_without_a_run_is_refused(tmp_path):
    with pytest.raises(CosimError, match="holds no run"):
        GridReinforcement(tmp_path).change_city(district())


def test_upgrades_for_another_net_are_refused(loaded):
    net = reinforced(district().grid.net, [])
    net.trafo["name"] = [f"other {k}" for k in range(len(net.trafo))]
    with pytest.raises(CosimError, match="which the net does not have"):
        upgrades(Result.open(loaded.folder), net)


def test_candidates_for_chargers_are_ranked():
    table = next_charger(district())
    assert isinstance(table, pd.DataFrame)
    assert table["unserved"].is_monotonic_decreasing
