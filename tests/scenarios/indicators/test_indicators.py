"""Tests of the indicators of households, traffic, storage and cells against their definitions."""

import numpy as np
import pandas as pd
import pytest

from cosim import Clock, CosimError, Scenario
from cosim.adapters.traffic import Traffic
from cosim.scenarios import eixample
from cosim.scenarios.indicators.cells import cell_indicators
from cosim.scenarios.indicators.households import (
    PRICES,
    cost_per_dwelling,
    gini,
    hourly_prices,
    share_of_worst,
    who_bears,
)
from cosim.scenarios.indicators.traffic import traffic_indicators
from cosim.scenarios.policies import DynamicTariff, RooftopPv
from tests.support.policy_runs import district, kwh
from tests.support.traffic_runs import make_town, write_configuration

HOURS = {
    "blocks": (2, 2),
    "through_traffic": 0.2,
    "begin_hour": 11,
    "hours": 1,
    "step_s": 300,
    "grid_step_s": 300,
    "day": "2025-06-15",
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return eixample.build(**HOURS).run(tmp_path_factory.mktemp("runs") / "base")


@pytest.fixture(scope="module")
def sunny(tmp_path_factory):
    return eixample.build(**HOURS, policies=[RooftopPv(0.5)]).run(tmp_path_factory.mktemp("runs") / "sunny")


def test_household_bills_sum_to_the_energy_bought(base):
    dwellings = pd.Series(district().stock.dwellings, index=district().stock.ids)
    paid = float((cost_per_dwelling(base, district()) * dwellings).sum())
    prices = PRICES["ES"]
    bought = kwh(base, "buildings.electric_power") * prices.electricity + kwh(base, "buildings.gas_power") * prices.gas
    assert paid == pytest.approx(bought, rel=1e-6)


def test_each_hour_of_a_tariff_is_charged_at_its_price():
    city = DynamicTariff(tuple(float(h) for h in range(24))).change_city(district())
    times = pd.DatetimeIndex(["2025-01-15T00:00Z", "2025-01-15T22:59Z"])
    np.testing.assert_allclose(hourly_prices(city, times), [1.0, 23.0])


def test_households_with_panels_pay_less(base, sunny):
    change = cost_per_dwelling(sunny, district()) - cost_per_dwelling(base, district())
    has = RooftopPv(0.5).change_city(district()).stock.pv_capacity > 0
    change = change[list(district().stock.ids)].to_numpy()
    assert (change[has] < 0).all()
    np.testing.assert_allclose(change[~has], 0, atol=1e-9)
    borne = who_bears(base, sunny, district())
    assert borne["buildings that pay more"].value == 0
    assert borne["change of cost, 10 % quantile"].value < 0


def test_self_sufficiency_is_the_share_of_use_that_is_generated_in_the_city(base, sunny):
    assert base.indicators["self-sufficiency"].value == 0
    generated, imported = kwh(sunny, "buildings.pv_power"), sunny.total("grid.grid_import")
    drawn = float(imported.clip(lower=0).sum()) * 300 / 3.6e6
    fed = -float(imported.clip(upper=0).sum()) * 300 / 3.6e6
    expected = 100 * (generated - fed) / (generated - fed + drawn)
    assert sunny.indicators["self-sufficiency"].value == pytest.approx(expected, rel=1e-6)
    assert 0 < expected <= 100


def test_travel_time_per_trip_is_total_time_over_trips_begun(base):
    found = base.indicators
    expected = found["vehicle-hours"].value * 60 / found["trips begun"].value
    assert found["travel time per trip"].value == pytest.approx(expected)
    kilometres = found["vehicle-kilometres"].value / found["trips begun"].value
    assert found["travel time per kilometre"].value == pytest.approx(expected / kilometres)


def test_self_consumption_behind_the_meter_is_less_than_in_the_city(sunny):
    taken = sunny.series("buildings.electric_power").to_numpy()
    fed, drawn = -taken.clip(max=0).sum(), taken.clip(min=0).sum()
    generated = float(sunny.total("buildings.pv_power").sum())
    found = {
        name: sunny.indicators[f"– behind the meter, {name}"].value for name in ("self-consumption", "self-sufficiency")
    }
    assert found["self-consumption"] == pytest.approx(100 * (1 - fed / generated), rel=1e-5)
    assert found["self-sufficiency"] == pytest.approx(100 * (generated - fed) / (generated - fed + drawn), rel=1e-5)
    assert found["self-consumption"] < sunny.indicators["self-consumption"].value  # neighbours use the rest


def test_indicators_of_cells_sum_to_those_of_the_city(base):
    cells = cell_indicators(base, district(), side_m=100.0)
    assert len(cells) > 4
    assert cells["vehicle-kilometres [km]"].sum() == pytest.approx(base.indicators["vehicle-kilometres"].value)
    assert cells["electricity of buildings [kWh]"].sum() == pytest.approx(kwh(base, "buildings.electric_power"))
    assert cells["tailpipe NOx [g]"].sum() == pytest.approx(base.indicators["tailpipe NOx"].value)


def test_cells_without_a_positive_side_are_refused(base):
    with pytest.raises(CosimError, match="must be positive"):
        cell_indicators(base, district(), side_m=0)


def test_gini_of_equal_values_is_zero():
    assert gini(np.full(20, 3.0)) == pytest.approx(0.0, abs=1e-12)
    assert share_of_worst(np.full(20, 3.0)) == pytest.approx(0.1)


def test_gini_of_a_uniform_distribution_is_one_third():
    assert gini(np.arange(1, 10_001)) == pytest.approx(1 / 3, abs=1e-3)


def test_every_indicator_has_a_definition_or_a_plain_name(base):
    undefined = {
        name for name, indicator in base.indicators.items() if not indicator.about and not name.startswith("– ")
    }
    assert undefined <= {"highest transformer loading", "highest line loading"}


def test_an_indicator_without_a_basis_is_missing_and_says_why(tmp_path):
    make_town(tmp_path)
    (tmp_path / "walk.rou.xml").write_text(
        '<routes><person id="p" depart="0"><walk edges="A0A1 A1B1"/></person></routes>'
    )
    adapter = Traffic(write_configuration(tmp_path / "walk.sumocfg", routes="walk.rou.xml"))
    scenario = Scenario(Clock("2025-01-15", hours=0.1), traffic=adapter, indicators=traffic_indicators)
    result = scenario.run(tmp_path / "run")
    for name in ("mean speed", "travel time per trip", "travel time per kilometre"):
        assert np.isnan(result.indicators[name].value)
        assert "missing, as no vehicle drove" in str(result.indicators[name])
        assert "nan" not in str(result.indicators[name])
    assert "missing, as no vehicle drove" in " ".join(str(result).split())
    assert result.indicators["vehicle-kilometres"].value == 0


def test_a_run_says_first_whether_a_transformer_is_overloaded_and_how_low_the_voltage_falls(base):
    loading = base.series("grid.transformer_loading").iloc[1:]
    worst = loading.max().idxmax()
    said = base.indicators["transformer overload"].headline
    when = loading[worst].idxmax().tz_convert("Europe/Madrid")
    assert said == (
        f"Overload: no. The transformer loaded most is {worst} with {100 * loading[worst].max():.0f} % of its rating, "
        f"{when:%H:%M}."
    )
    grid = district().grid
    buses = {grid.net.bus["name"][bus] for bus in grid.bus_of.values()}
    voltage = base.series("grid.voltage").iloc[1:]
    assert not buses.issuperset(voltage.columns)
    low = base.indicators["lowest voltage"]
    assert low.value == pytest.approx(voltage[sorted(buses)].min().min())
    assert f"{100 * low.value:.1f} % of nominal at b" in base.indicators["buses outside EN 50160"].headline


def test_sums_of_a_run_that_cuts_off_trips_say_so(tmp_path):
    make_town(tmp_path)
    for depart in (0, 355):  # the second is on the road when the run ends
        (tmp_path / f"{depart}.rou.xml").write_text(
            f'<routes><trip id="a" depart="0" from="A0A1" to="A1B1"/><trip id="b" depart="{depart}" from="A0A1" '
            'to="A1B1"/></routes>'
        )
        adapter = Traffic(write_configuration(tmp_path / f"{depart}.sumocfg", routes=f"{depart}.rou.xml"))
        scenario = Scenario(Clock("2025-01-15", hours=0.1), traffic=adapter, indicators=traffic_indicators)
        found = scenario.run(tmp_path / f"run-{depart}").indicators
        for name in ("vehicle-kilometres", "vehicle-hours", "time loss", "tailpipe CO2"):
            assert ("cut off, trips not completed at the end: 1" in found[name].about) == bool(depart)
        assert found["on the road at the end"].headline.startswith("Cut off: 1 not completed of 2 trips") == bool(
            depart
        )


def test_a_run_records_what_the_city_has(base):
    facts = base.provenance["facts"]
    assert f"{len(district().stock)} with" in facts["buildings"]
    assert "kVA" in facts["grid"]
    assert "0.24 EUR/kWh" in facts["prices"]
    assert "charging stations" in facts["electric cars"]
