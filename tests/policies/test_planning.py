"""Do buildings, shade and stronger grids change what they should, and are they refused where they cannot?"""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from cosim import CosimError, Result
from cosim.scenarios import eixample
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
from cosim.scenarios.reinforcement import Upgrade, cost_eur, reinforced, upgrades
from tests.policy_runs import district, kwh, run_buildings

MORNING = {"blocks": (2, 2), "begin_hour": 7, "hours": 1, "step_s": 300, "grid_step_s": 300}


def test_storeys_bring_dwellings_and_their_electricity(tmp_path):
    before, after = district(), Densification(2, share=1.0).change_city(district())
    np.testing.assert_array_equal(after.stock.storeys, before.stock.storeys + 2)
    grown = after.stock.dwellings.sum() / before.stock.dwellings.sum()
    assert grown == pytest.approx((after.stock.floor_area.sum() / before.stock.floor_area.sum()), rel=0.02)
    power = [kwh(run_buildings(city, tmp_path / str(k)), "buildings.appliance_power")
             for k, city in enumerate((before, after))]  # fmt: skip
    assert power[1] / power[0] == pytest.approx(grown, rel=0.05)


def test_storeys_share_one_roof():
    before, after = district().stock, Densification(2, share=1.0).change_city(district()).stock
    loss = [stock.zones.loss_coefficient[stock.archetype] for stock in (before, after)]
    assert (loss[1] < loss[0]).all()


def test_storeys_on_one_block_leave_the_others():
    city = district()
    after = Densification(1, share=1.0, block="b0.0").change_city(city)
    grown = after.stock.storeys > city.stock.storeys
    np.testing.assert_array_equal(grown, (city.sites["block"] == "b0.0").to_numpy())


def test_storeys_on_an_unknown_block_are_refused():
    with pytest.raises(CosimError, match=r"there is no block 'b9\.9'"):
        Densification(block="b9.9").change_city(district())


def test_storeys_after_a_retrofit_are_refused():
    with pytest.raises(CosimError, match="must come before Retrofit"):
        Densification(share=1.0).change_city(Retrofit(3).change_city(district()))


def test_shading_lowers_cooling(tmp_path):
    shaded = Shading(1.0, transmittance=0.3).change_city(district())
    cooling = [kwh(run_buildings(city, tmp_path / str(k), day="2025-07-15", hours=48), "buildings.cooling_power")
               for k, city in enumerate((district(), shaded))]  # fmt: skip
    assert cooling[1] < 0.8 * cooling[0]


def test_green_roofs_lower_what_the_sun_does_to_roofs_only(tmp_path):
    before, after = district(), GreenRoofs(1.0, sun_kept_off=0.5).change_city(district())
    np.testing.assert_allclose(after.stock.sun_on_exterior[:, 0], before.stock.sun_on_exterior[:, 0] / 2)
    np.testing.assert_array_equal(after.stock.sun_on_exterior[:, 1:], before.stock.sun_on_exterior[:, 1:])
    runs = [run_buildings(city, tmp_path / str(k), day="2025-07-15") for k, city in enumerate((before, after))]
    warm = [run.series("buildings.indoor_temperature").mean().mean() for run in runs]
    assert warm[1] < warm[0]


def test_public_chargers_keep_those_that_stand():
    more = eixample.build(blocks=(2, 2), hours=1, policies=[PublicChargers(3)]).model.chargers
    few = district().chargers
    assert (more["kind"] == "street").sum() == 12
    assert set(few.index) <= set(more.index)


def test_next_charger_goes_where_nobody_has_one():
    city = district()
    corner = city.chargers.iloc[:1].assign(kind="street", x=city.sites["x"].min(), y=city.sites["y"].min())
    best = next_charger(dataclasses.replace(city, chargers=corner), within_m=60).iloc[0]
    assert np.hypot(best["x"] - corner["x"].iloc[0], best["y"] - corner["y"].iloc[0]) > 60


def test_next_charger_within_no_distance_is_refused():
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


def test_reinforcement_by_no_run_is_refused(tmp_path):
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
