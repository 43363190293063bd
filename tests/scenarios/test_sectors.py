"""Sectors: found by their modules, connected by roles, in an order that results depend on."""

import types

import numpy as np
import pytest

from cosim import Adapter, Clock, Input, Output, Scenario
from cosim.adapters.weather import Weather, load
from cosim.scenarios import sectors
from cosim.scenarios.carbon.intensity import Carbon
from cosim.scenarios.measures import Measures, hourly
from cosim.scenarios.sectors import carbon, connect_roles, load_sectors, part_of


class Consumer(Adapter):
    """Publishes the weather, price and carbon intensity that it receives."""

    replays = True

    def __init__(self):
        self.outdoor_temperature = Input("degC", ["here"], default=-99.0)
        self.price = Input("EUR/J", ["here"], default=-1.0)
        self.carbon_intensity = Input("kg/J", ["here"], default=-1.0)
        self.temperature = Output("degC", ["here"], "mean")
        self.paid = Output("EUR/J", ["here"], "mean")
        self.emitted = Output("kg/J", ["here"], "mean")

    def advance(self, step):
        self.temperature.value = self.outdoor_temperature.value
        self.paid.value = self.price.value
        self.emitted.value = self.carbon_intensity.value


@pytest.fixture
def scenario():
    clock = Clock("2025-01-15", hours=3, step_s=600, zone="Europe/Madrid")
    return Scenario(clock, weather=Weather(clock, load("barcelona")), consumer=Consumer())


def test_modules_of_the_folder_are_the_sectors_in_their_order():
    assert list(load_sectors())[:6] == ["weather", "traffic", "buildings", "premises", "grid", "fleet"]
    ranks = [sector.ORDER for sector in load_sectors().values()]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == len(ranks)


def test_sector_of_a_plugin_takes_its_place(monkeypatch):
    own = types.SimpleNamespace(ORDER=36)
    point = types.SimpleNamespace(name="hydrogen", load=lambda: own)
    monkeypatch.setattr(sectors, "entry_points", lambda group: [point])
    load_sectors.cache_clear()
    try:
        assert list(load_sectors())[2:6] == ["buildings", "premises", "hydrogen", "grid"]
        assert part_of(own, "adapters") is None
    finally:
        load_sectors.cache_clear()


def test_an_input_is_fed_by_its_role(scenario, tmp_path):
    connect_roles(scenario, "consumer")
    connect_roles(scenario, "consumer")  # what is connected stays
    result = scenario.run(tmp_path / "run", double=True)
    received = result.series("consumer.temperature").to_numpy()
    assert received == pytest.approx(result.series("weather.temperature").to_numpy())


def test_a_price_reaches_every_adapter_with_an_input_of_that_name(scenario, tmp_path):
    scenario.connect("weather.temperature", "consumer.outdoor_temperature", via=np.eye(1))
    Measures().with_input("*.price", {"*": hourly(np.arange(24.0))}).apply(scenario)
    result = scenario.run(tmp_path / "run", double=True)
    assert result.series("consumer.paid").to_numpy().ravel() == pytest.approx(np.repeat([0.0, 1.0, 2.0], 6))


def test_carbon_intensity_is_that_of_the_hour(scenario, tmp_path):
    city = types.SimpleNamespace(carbon=Carbon(tuple(np.arange(24.0) / 24)), country="ES", zone="Europe/Madrid")
    carbon.connect(scenario, city)
    result = scenario.run(tmp_path / "run", double=True)
    expected = np.repeat([0.0, 1.0, 2.0], 6) / 24 / 3.6e6
    assert result.series("consumer.emitted").to_numpy().ravel() == pytest.approx(expected)
