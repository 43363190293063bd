"""Large customers on a synthesized grid: supplied, with a transformer that carries them, the rest untouched."""

import copy

import numpy as np
import pandapower as pp
import pandapower.toolbox
import pytest

from cosim.scenarios.grid.customers import FILL, Customer, add_customers
from cosim.scenarios.grid.synthesis import synthesize_grid
from tests.scenarios.grid.test_synthesis import blocks


@pytest.fixture(scope="module")
def grid():
    return synthesize_grid(*blocks(2), country="ES")


@pytest.mark.parametrize("power_w", [2e5, 3e6])
def test_a_customer_is_supplied_by_a_transformer_that_carries_it(grid, power_w):
    found = add_customers(grid, [Customer("plant", power_w, 100.0, 150.0)])
    station = found.stations[-1]
    assert station.rated_va * FILL >= power_w
    assert found.bus_of["plant"] == station.lv_bus
    net = found.net
    pp.create_load(net, station.lv_bus, power_w / 1e6)
    pp.runpp(net)
    row = net.trafo.index[net.trafo["name"] == station.label][0]
    losses_w = 1e6 * float(net.res_trafo.loc[row, "pl_mw"])
    assert 1e6 * float(net.res_trafo.loc[row, "p_hv_mw"]) == pytest.approx(power_w + losses_w, rel=1e-6)
    assert float(net.res_trafo.loc[row, "loading_percent"]) < 100


def test_other_customers_keep_their_supply(grid):
    before = copy.deepcopy(grid.net)
    found = add_customers(grid, [Customer("plant", 1e6, 0.0, 0.0)])
    assert pandapower.toolbox.nets_equal(grid.net, before)
    assert found.net.bus.index[: len(before.bus)].equals(before.bus.index)
    assert {label: found.bus_of[label] for label in grid.bus_of} == grid.bus_of


def test_a_battery_stands_at_its_station_and_is_no_connection_point(grid):
    station = grid.stations[0]
    found = add_customers(grid, [Customer("battery", 1e5, station=station, storage_j=3.6e9)])
    [row] = found.net.storage.itertuples()
    assert (row.name, row.bus, row.max_e_mwh, row.soc_percent) == ("battery", station.lv_bus, 1.0, 50.0)
    assert found.bus_of == grid.bus_of
    assert len(found.stations) == len(grid.stations)
    assert np.isfinite(station.x)
