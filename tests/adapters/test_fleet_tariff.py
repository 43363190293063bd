"""The tariff adapter publishes the mean price of each step in the city's own time."""

import numpy as np
import pytest

from cosim import Clock, CosimError, Scenario
from cosim.adapters.fleet import Fleet
from cosim.adapters.tariff import Tariff
from cosim.core import Step
from cosim.core.fleet.plan import FleetPlan
from cosim.core.fleet.strategies import PriceFollowing
from tests.support.fleet_tables import one_car

PRICES = [0.10, 0.20, 0.30, 0.40]


def price(tariff, start_s, length_s):
    tariff.advance(Step(start_s, length_s))
    return tariff.price.value[0] * 3.6e6


def test_prices_are_means_over_the_step():
    tariff = Tariff(Clock("2025-01-15", hours=24), PRICES)
    assert price(tariff, 0, 3600) == pytest.approx(0.10)
    assert price(tariff, 5 * 3600, 2 * 3600) == pytest.approx(0.15)
    assert price(tariff, 0, 86_400) == pytest.approx(0.25)
    assert price(tariff, 23 * 3600, 2 * 3600) == pytest.approx(0.25)


def test_prices_follow_the_civil_clock():
    tariff = Tariff(Clock("2025-01-15T05:30", hours=1, zone="Europe/Madrid"), PRICES)
    assert price(tariff, 0, 3600) == pytest.approx(0.15)


def test_a_fleet_follows_the_tariff(tmp_path):
    clock = Clock("2025-01-15", hours=8, step_s=300)
    plan = FleetPlan.from_tables(**one_car(trips=((8, "home", "work"),), soc=0.85))
    per_hour = np.array([3.0, 3.0, 2.0, 1.0, 3.0, 3.0, *[4.0] * 18])
    scenario = Scenario(
        clock, tariff=Tariff(clock, per_hour), fleet=Fleet(plan, clock, PriceFollowing(per_hour / 3.6e6))
    )
    scenario.connect("tariff.price", "fleet.price")
    hours = scenario.run(tmp_path / "run").total("fleet.charging_power").to_numpy().reshape(8, 12).mean(axis=1)
    assert np.flatnonzero(hours > 1).tolist() == [2, 3]
    # 1.13 hours of charging: the cheapest hour and the remainder before it, to the step.
    assert hours[2] < 7_400 * 0.25
    assert hours[3] > 7_400 * 0.9


@pytest.mark.parametrize("prices", [[], [np.nan], [[1.0]]])
def test_prices_that_are_not_finite_are_refused(prices):
    with pytest.raises(CosimError, match="give finite prices"):
        Tariff(Clock("2025-01-15", hours=1), prices)
