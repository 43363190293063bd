"""Buildings without dwellings against their published annual intensities."""

import numpy as np
import pytest

from cosim.adapters.premises import Premises
from cosim.core import Clock, CosimError, Step
from cosim.core.quantities import J_PER_KWH
from cosim.scenarios.buildings import premises as stock
from cosim.scenarios.buildings.premises import known_uses


def adapter(uses, area=100.0, start="2025-01-13", **changes):
    found = stock.Premises(tuple(uses), tuple(uses), np.full(len(uses), area))
    options = {
        "schedules": found.schedules,
        "use_index": found.use_index,
        "floor_area": found.floor_area,
        "fuel_base": found.fuel_base,
        "fuel_per_kelvin": found.fuel_per_kelvin,
        "base_temperature": stock.BASE_TEMPERATURE,
    }
    return Premises(found.labels, Clock(start, hours=24, zone="Europe/Berlin"), **options | changes)


def energy_kwh(made, temperature, step_s, steps, port="electric_power"):
    total = 0.0
    for k in range(steps):
        made.outdoor_temperature.deliver([temperature])
        made.advance(Step(k * step_s, step_s))
        total = total + getattr(made, port).value * step_s
    return total / J_PER_KWH


@pytest.mark.parametrize("step_s", [3600.0, 900.0, 7 * 3600.0])
def test_a_week_uses_a_week_of_the_published_year_whatever_the_step(step_s):
    uses = known_uses()
    week = energy_kwh(adapter(uses), 10.0, step_s, round(168 * 3600 / step_s))
    published = np.array([float(stock._table()[use]["electricity"]) for use in uses])
    assert week == pytest.approx(published * 100.0 * 168 / 8760, rel=1e-9)


def test_a_year_of_standard_degree_days_burns_the_published_fuel():
    made = adapter(["office"])
    mean_gap = stock.DEGREE_DAYS / 365
    year = energy_kwh(made, stock.BASE_TEMPERATURE - mean_gap, 86_400.0, 365, "gas_power")
    assert year[0] == pytest.approx(120 * 100.0, rel=1e-9)


def test_office_is_open_on_workdays_and_closed_on_sundays():
    made = adapter(["office", "retail"])
    made.outdoor_temperature.deliver([20.0])
    powers = []
    for day in (0, 6):
        made.advance(Step(day * 86_400.0 + 12 * 3600.0, 900.0))
        powers.append(made.electric_power.value)
    assert powers[0][0] == pytest.approx(4 * powers[1][0])  # standby is a quarter
    assert (made.gas_power.value == made._fuel_base).all()


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(CosimError, match=r"floor_area has shape \(2,\): 1 premises"):
        adapter(["office"], floor_area=[1.0, 2.0])
    with pytest.raises(CosimError, match="schedules has shape"):
        adapter(["office"], schedules=[[1.0]])
    with pytest.raises(CosimError, match="use_index must name a row"):
        adapter(["office"], use_index=[99])
    with pytest.raises(CosimError, match="unknown use 'castle'"):
        stock.Premises(("a",), ("castle",), np.array([1.0]))
