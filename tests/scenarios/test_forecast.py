"""Tests of the load forecast for valley charging, and of the state in which such cars begin."""

from dataclasses import replace

import numpy as np
import pytest

from cosim.core.fleet.model import FleetModel
from cosim.core.fleet.state import LEDGER, FleetSignals
from cosim.scenarios import eixample

DAY = {
    "blocks": (2, 2),
    "through_traffic": 0.05,
    "ev_share": 0.6,
    "street_chargers_per_block": 4,
    "building_charger_share": 0.3,
}


@pytest.fixture(scope="module")
def city():
    return eixample.build(**DAY, charging="valley").model


def test_forecast_equals_the_load_of_each_transformer_without_cars(tmp_path):
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


def test_energy_charged_over_a_day_equals_energy_driven_although_evening_charging_is_deferred(city):
    model = FleetModel(city.fleet, city.strategy, notice_s=300.0)
    calm, power = FleetSignals.calm(city.fleet), []
    for k in range(288):
        model.advance(k * 300.0, 300.0, replace(calm, base_w=city.strategy.base_load[:, k // 6]))
        power.append(model.station_w.sum())
    ledger = dict(zip(LEDGER, model.state.ledger))
    assert ledger["drawn"] - ledger["losses"] == pytest.approx(ledger["driven"], rel=0.25)
    night, evening = np.mean(power[:72]), np.mean(power[216:264])
    assert night > 3 * evening


def test_no_car_charges_at_once_before_the_grid_has_published_its_load(tmp_path):
    result = eixample.build(**DAY, charging="valley", hours=0.1).run(tmp_path / "run")
    power = result.total("fleet.charging_power")
    most = result.series("fleet.plugged").iloc[0].sum() * 3700
    assert 0 < power.iloc[0] < 0.5 * most


@pytest.mark.slow
@pytest.mark.parametrize("day", ["coldest", "hottest"])
def test_valley_charging_raises_neither_the_peak_nor_a_cold_morning(tmp_path, day):
    # dwellings alone: where offices and shops make the peak at noon, nothing of it can be moved by charging
    # and with so many heat pumps that a cold morning stands out, although a third of the dwellings is unheated
    setting = {"blocks": (3, 3), "day": day, "ev_share": 0.6, "services": 0.0}
    setting["heat_pump_share"] = 0.8 if day == "coldest" else 0.5
    setting |= {"through_traffic": 0.05, "fidelity": "meso", "step_s": 300, "grid_step_s": 300}
    peak, morning, highest = [], [], []
    for charging in ("plain", "valley"):
        result = eixample.build(**setting, charging=charging).run(tmp_path / charging)
        power = result.total("fleet.charging_power").tz_convert("Europe/Madrid")
        morning.append(float(power.between_time("07:01", "09:00").mean()))
        peak.append(result.indicators["peak import"].value)
        highest.append(result.indicators["highest transformer loading"].value)
    if day == "coldest":  # when the morning is the peak; in summer the evening is, and the morning a valley
        assert morning[1] <= morning[0]
    assert peak[1] <= peak[0]
    assert highest[1] <= highest[0]
