"""Do cars that charge into the valleys know them, and begin as such charging leaves them?"""

from dataclasses import replace

import numpy as np
import pytest

from cosim.core.fleet import FleetModel
from cosim.core.fleet_state import LEDGER, Signals
from cosim.scenarios import eixample

DAY = {"blocks": (2, 2), "ev_share": 0.6, "street_chargers_per_block": 4, "building_charger_share": 0.3}


@pytest.fixture(scope="module")
def city():
    return eixample.build(**DAY, charging="valley").model


def test_forecast_is_what_each_transformer_carries_without_cars(tmp_path):
    scenario = eixample.build(**DAY | {"ev_share": 0.01}, charging="valley", step_s=300, grid_step_s=300)
    city = scenario.model
    result = scenario.run(tmp_path / "run")
    stations = list(city.fleet.transformer_ids)
    loading = result.series("grid.transformer_loading", stations).to_numpy().T
    carried = (loading * city.fleet.rating_w[:, None]).reshape(len(stations), 48, 6).mean(axis=2)
    found = city.strategy.base_load
    assert found.shape == carried.shape
    # Losses of cables are left out; another step draws other chances of appliances.
    np.testing.assert_allclose(found.mean(axis=1), carried.mean(axis=1), rtol=0.05)
    assert np.corrcoef(found.sum(axis=0), carried.sum(axis=0))[0, 1] > 0.95


def test_as_much_is_charged_over_a_day_as_driven_though_evenings_are_put_off_until_after_midnight(city):
    model = FleetModel(city.fleet, city.strategy, notice_s=300.0)
    calm, power = Signals.calm(city.fleet), []
    for k in range(288):
        model.advance(k * 300.0, 300.0, replace(calm, base_w=city.strategy.base_load[:, k // 6]))
        power.append(model.station_w.sum())
    ledger = dict(zip(LEDGER, model.state.ledger))
    assert ledger["drawn"] - ledger["losses"] == pytest.approx(ledger["driven"], rel=0.25)
    night, evening = np.mean(power[:72]), np.mean(power[216:264])
    assert night > 3 * evening


def test_nothing_is_charged_at_once_before_the_grid_has_told_its_load(tmp_path):
    result = eixample.build(**DAY, charging="valley", hours=0.1).run(tmp_path / "run")
    power = result.total("fleet.charging_power")
    most = result.series("fleet.plugged").iloc[0].sum() * 3700
    assert 0 < power.iloc[0] < 0.5 * most
