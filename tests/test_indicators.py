"""Do indicators of households, cells and the grid say what their definitions say?"""

import numpy as np
import pandas as pd
import pytest

from cosim import CosimError
from cosim.scenarios import eixample
from cosim.scenarios.indicators_cells import cell_indicators
from cosim.scenarios.indicators_households import (
    PRICES,
    cost_per_dwelling,
    gini,
    hourly_prices,
    share_of_worst,
    who_bears,
)
from cosim.scenarios.policies import DynamicTariff, RooftopPv
from tests.policy_runs import district, kwh

HOURS = {"blocks": (2, 2), "begin_hour": 11, "hours": 1, "step_s": 300, "grid_step_s": 300, "day": "2025-06-15"}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return eixample.build(**HOURS).run(tmp_path_factory.mktemp("runs") / "base")


@pytest.fixture(scope="module")
def sunny(tmp_path_factory):
    return eixample.build(**HOURS, policies=[RooftopPv(0.5)]).run(tmp_path_factory.mktemp("runs") / "sunny")


def test_bills_sum_to_what_was_bought(base):
    dwellings = pd.Series(district().stock.dwellings, index=district().stock.ids)
    paid = float((cost_per_dwelling(base, district()) * dwellings).sum())
    prices = PRICES["ES"]
    bought = kwh(base, "buildings.electric_power") * prices.electricity + kwh(base, "buildings.gas_power") * prices.gas
    assert paid == pytest.approx(bought, rel=1e-6)


def test_hours_of_a_tariff_are_paid_at_their_price():
    city = DynamicTariff(tuple(float(h) for h in range(24))).change_city(district())
    times = pd.DatetimeIndex(["2025-01-15T00:00Z", "2025-01-15T22:59Z"])
    np.testing.assert_allclose(hourly_prices(city, times), [1.0, 23.0])


def test_panels_make_who_has_them_pay_less(base, sunny):
    change = cost_per_dwelling(sunny, district()) - cost_per_dwelling(base, district())
    has = RooftopPv(0.5).change_city(district()).stock.pv_capacity > 0
    change = change[list(district().stock.ids)].to_numpy()
    assert (change[has] < 0).all()
    np.testing.assert_allclose(change[~has], 0, atol=1e-9)
    borne = who_bears(base, sunny, district())
    assert borne["buildings that pay more"].value == 0
    assert borne["change of cost, 10 % quantile"].value < 0


def test_self_sufficiency_is_the_share_of_use_that_is_generated_here(base, sunny):
    assert base.indicators["self-sufficiency"].value == 0
    generated, imported = kwh(sunny, "buildings.pv_power"), sunny.total("grid.grid_import")
    drawn = float(imported.clip(lower=0).sum()) * 300 / 3.6e6
    fed = -float(imported.clip(upper=0).sum()) * 300 / 3.6e6
    expected = 100 * (generated - fed) / (generated - fed + drawn)
    assert sunny.indicators["self-sufficiency"].value == pytest.approx(expected, rel=1e-6)
    assert 0 < expected <= 100


def test_travel_time_of_a_trip_is_the_time_of_all_over_those_begun(base):
    told = base.indicators
    expected = told["vehicle-hours"].value * 60 / told["trips begun"].value
    assert told["travel time per trip"].value == pytest.approx(expected)
    kilometres = told["vehicle-kilometres"].value / told["trips begun"].value
    assert told["travel time per kilometre"].value == pytest.approx(expected / kilometres)


def test_use_of_the_sun_behind_the_meter_is_less_than_in_the_city(sunny):
    taken = sunny.series("buildings.electric_power").to_numpy()
    fed, drawn = -taken.clip(max=0).sum(), taken.clip(min=0).sum()
    generated = float(sunny.total("buildings.pv_power").sum())
    told = {
        name: sunny.indicators[f"– behind the meter, {name}"].value for name in ("self-consumption", "self-sufficiency")
    }
    assert told["self-consumption"] == pytest.approx(100 * (1 - fed / generated), rel=1e-5)
    assert told["self-sufficiency"] == pytest.approx(100 * (generated - fed) / (generated - fed + drawn), rel=1e-5)
    assert told["self-consumption"] < sunny.indicators["self-consumption"].value  # neighbours use the rest


def test_cells_sum_to_the_city(base):
    cells = cell_indicators(base, district(), side_m=100.0)
    assert len(cells) > 4
    assert cells["vehicle-kilometres [km]"].sum() == pytest.approx(base.indicators["vehicle-kilometres"].value)
    assert cells["electricity of buildings [kWh]"].sum() == pytest.approx(kwh(base, "buildings.electric_power"))
    assert cells["tailpipe NOx [g]"].sum() == pytest.approx(base.indicators["tailpipe NOx"].value)


def test_cells_without_a_side_are_refused(base):
    with pytest.raises(CosimError, match="must be positive"):
        cell_indicators(base, district(), side_m=0)


def test_inequality_is_none_where_all_bear_the_same():
    assert gini(np.full(20, 3.0)) == pytest.approx(0.0, abs=1e-12)
    assert share_of_worst(np.full(20, 3.0)) == pytest.approx(0.1)


def test_gini_of_an_even_spread_is_a_third():
    assert gini(np.arange(1, 10_001)) == pytest.approx(1 / 3, abs=1e-3)


def test_every_indicator_is_defined_or_plain(base):
    unsaid = {name for name, indicator in base.indicators.items() if not indicator.about and not name.startswith("– ")}
    assert unsaid <= {"highest transformer loading", "highest line loading"}
