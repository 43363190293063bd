"""Unit costs, annuities, what is installed in a city, and cost against effect of compared runs."""

import importlib
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from cosim import Adapter, Clock, CosimError, Indicator, Output, Scenario, compare
from cosim.results.cost_effect import cost_effects
from cosim.scenarios.buildings.tabula import tabula_types
from cosim.scenarios.costs.unit_costs import PAYERS, PRICES_OF, CostAssumptions, annuity, price_factor, unit_costs
from cosim.scenarios.indicators.costs import COSTS, YEARLY, cost_indicators, inventory
from cosim.scenarios.measures import ROAD_SURFACES
from cosim.scenarios.policies import CommunityBatteries, HomeBatteries, Retrofit, RooftopPv, SpeedLimit, Superblocks
from cosim.scenarios.policies.costs import UnitCosts
from tests.support.paths import ROOT
from tests.support.policy_runs import district, quarter


def test_every_published_unit_cost_has_source_year_range_and_lifetime():
    table = unit_costs()
    for name, cost in table.items():
        assert cost.payer in PAYERS, name
        assert cost.source, name
        assert cost.low <= cost.investment <= cost.high, name
        assert 2010 <= cost.price_year <= PRICES_OF, name
        assert cost.lifetime >= 8, name
        assert 0 <= cost.running_share < 0.1, name


def test_costs_are_in_prices_of_one_year():
    boiler = unit_costs()["gas boiler"]
    assert boiler.investment == pytest.approx(322 * 128.75 / 105.06)
    assert boiler.price_year == 2020
    given = CostAssumptions(prices={"gas boiler": (400.0, 2015)}).unit_cost("gas boiler")
    assert given.at(1.0) == pytest.approx(400.0 * 1.2875)


def test_annuity_pays_the_investment_back_with_interest():
    for rate, years in ((0.03, 20), (0.05, 40), (0.0, 10)):
        debt = 1000.0
        for _ in range(years):
            debt = debt * (1 + rate) - 1000.0 * annuity(rate, years)
        assert debt == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(CosimError, match="interest rate is 3"):
        annuity(3, 20)
    with pytest.raises(CosimError, match="lifetime is 0 years"):
        annuity(0.03, 0)


def test_position_moves_a_unit_cost_through_its_range():
    cost = unit_costs()["solar panels"]
    assert [cost.at(position) for position in (-1, 0, 1)] == [cost.low, cost.investment, cost.high]
    assert cost.low < cost.at(-0.5) < cost.investment < cost.at(0.5) < cost.high
    expected = annuity(0.03, cost.lifetime) * cost.investment + cost.running_share * cost.investment
    assert cost.yearly(0.03) == pytest.approx(expected)


def test_a_price_of_the_users_own_replaces_the_published_one():
    given = CostAssumptions(prices={"public charger": (5000.0, 2024)}).unit_cost("public charger")
    assert given.investment == given.low == given.high == pytest.approx(5000.0 * price_factor(2024))
    assert (given.price_year, given.source) == (2024, "given by the user")
    assert CostAssumptions(prices={"heat pump": (2000.0, 2025)}).unit_cost("heat pump").lifetime == 18


@pytest.mark.parametrize(
    ("prices", "words"),
    [
        ([["heat pump", 2000]], "the price of 'heat pump' has no year: write [\"heat pump\", 2000.0, YEAR]"),
        ([["heatpump", 2000, 2024]], "unknown measure 'heatpump', did you mean heat pump?"),
        ([["heat pump", -1, 2024]], "must not be negative"),
        ([["heat pump", 2000, 24]], "is of 24: give a year from 1996 to 2025"),
        ([["heat pump", 2000, 2024], ["heat pump", 1, 2024]], "given twice"),
        ([["heat pump", "cheap", 2024]], "it must be a finite number"),
        ([["heat pump"]], "EUR per unit, year"),
    ],
)
def test_bad_prices_get_one_clear_error(prices, words):
    with pytest.raises(CosimError) as error:
        UnitCosts(prices=prices).change_city(district())
    assert words in str(error.value)


def test_inventory_counts_what_policies_install():
    base = inventory(district())
    stock = district().stock
    assert base["heat pump"] == pytest.approx(stock.heat_pump_capacity.sum() / 1e3)
    assert base["solar panels"] == base["usual retrofit"] == base["superblock street"] == base["30 km/h signs"] == 0
    assert base["charger of a building"] + base["public charger"] + base["fast charger"] == pytest.approx(
        district().chargers["points"].sum()
    )
    assert base["cable"] > base["transformer"] > 0
    pv = HomeBatteries(2.0).change_city(RooftopPv(0.5).change_city(district()))
    found = inventory(pv)
    assert found["solar panels"] == pytest.approx(pv.stock.pv_capacity.sum() / 1e3)
    assert found["home battery"] == pytest.approx(2 * found["solar panels"])
    stored = inventory(CommunityBatteries(capacity_kwh=200).change_city(district()))["community battery"]
    assert stored == pytest.approx(200 * len(district().grid.stations))
    usual, advanced = (inventory(Retrofit(level, 1.0).change_city(district())) for level in (2, 3))
    assert usual["usual retrofit"] == pytest.approx(stock.floor_area.sum())
    assert usual["advanced retrofit"] == 0
    # types without a third level keep the second
    only = np.array([(kind, 3) not in tabula_types() for kind in stock.types])
    assert advanced["usual retrofit"] == pytest.approx(stock.floor_area[only].sum())
    assert advanced["advanced retrofit"] == pytest.approx(stock.floor_area[~only].sum())
    assert inventory(SpeedLimit(30).change_city(district()))["30 km/h signs"] == 1


def test_interior_streets_of_superblocks_count_once_for_both_directions():
    city = Superblocks(cells=1).change_city(quarter())
    network = city.network
    closed = {label.removesuffix("|passenger") for label, day in city.measures.inputs["traffic.permission"].items()
              if label.endswith("|passenger") and day == (("00:00", 0.0),)}  # fmt: skip
    metres = {frozenset((a, b)): m for e, a, b, m in
              zip(network.labels, network.from_node, network.to_node, network.length_m) if e in closed}  # fmt: skip
    found = inventory(city)
    assert found["superblock street"] == pytest.approx(sum(metres.values()) / 1e3)
    assert found["superblock street"] > 0
    assert found["30 km/h signs"] == 0


def test_quiet_surfaces_count_by_their_area():
    edge = district().network.labels[0]
    city = replace(district(), sectors={ROAD_SURFACES: {edge: "NL05"}})
    network = district().network
    assert inventory(city)["quiet road surface"] == pytest.approx(network.length_m[0] * network.lanes[0] * 3.2)


class Clocked(Adapter):
    """Does nothing."""

    replays = True

    def __init__(self):
        self.power = Output("W", ["a"], kind="mean")

    def advance(self, step):
        self.power.value = 1.0


def run(city, folder, *, kg, bill, seed=0, hours=24):
    """Run a day whose only indicators are costs, and emissions, bills and exposure as given."""

    def indicators(result):
        return cost_indicators(result, city) | {
            "total CO2e": Indicator(kg, "kg", "lower", role="emissions"),
            "household cost": Indicator(bill, "EUR", "lower", role="energy bill"),
            "residents above 65 dB Lden": Indicator(20.0 - seed - (kg < 1000) * 5.0, "%", "lower", role="exposed"),
        }

    scenario = Scenario(Clock("2025-06-15", hours=hours, step_s=3600), indicators=indicators, clocked=Clocked())
    scenario.name, scenario.seed = "day", seed
    return scenario.run(folder)


def priced(city, **assumptions):
    return replace(city, sectors={**city.sectors, COSTS: CostAssumptions(**assumptions)})


@pytest.fixture
def compared(tmp_path):
    panels = RooftopPv(0.5).change_city(district())
    base = [run(priced(district()), tmp_path / f"base{k}", kg=1000.0, bill=2.0, seed=k) for k in (0, 1)]
    plan = [run(priced(panels), tmp_path / f"pv{k}", kg=900.0, bill=1.5, seed=k) for k in (0, 1)]
    return compare(base, plan, names=["base", "panels"])


def test_cost_of_a_plan_is_the_difference_of_what_is_installed(compared):
    panels = unit_costs()["solar panels"]
    kw = inventory(RooftopPv(0.5).change_city(district()))["solar panels"]
    [effect] = cost_effects(compared)
    assert effect.plan == "panels"
    assert effect.yearly == pytest.approx(kw * panels.yearly(0.03), rel=1e-6)
    assert effect.low == pytest.approx(kw * panels.yearly(0.03, -1), rel=1e-6)
    assert effect.high == pytest.approx(kw * panels.yearly(0.03, 1), rel=1e-6)
    assert effect.avoided == pytest.approx(0.1 * 365.25)
    assert effect.per_tonne == pytest.approx(effect.yearly / effect.avoided)
    assert effect.borne["owners"] == pytest.approx(effect.yearly)
    saved = 0.5 * district().stock.dwellings.sum() * 365.25
    assert effect.borne["residents, energy bills"] == pytest.approx(-saved)
    assert effect.payback == pytest.approx(kw * panels.investment / saved)
    people = district().stock.dwellings.sum() * 2.5
    [(meaning, eur)] = effect.per_person.items()
    assert "65 dB Lden" in meaning
    assert eur == pytest.approx(effect.yearly / (0.05 * people))


def test_position_is_a_factor_of_the_indicators(tmp_path):
    costs = {}
    for position in (-1.0, 0.0, 1.0):
        result = run(priced(district(), position=position), tmp_path / f"at{position}", kg=1.0, bill=1.0)
        costs[position] = result.indicators
    assert costs[-1.0][YEARLY].value == pytest.approx(costs[0.0][f"{YEARLY}, low"].value)
    assert costs[1.0][YEARLY].value == pytest.approx(costs[0.0][f"{YEARLY}, high"].value)
    assert costs[-1.0][YEARLY].value < costs[0.0][YEARLY].value < costs[1.0][YEARLY].value


def test_chargers_cost_what_the_user_says_and_avoid_nothing(tmp_path):
    more = district().chargers.copy()
    more.loc[more["kind"] == "street", "points"] += 1
    plan = replace(district(), chargers=more)
    given = {"prices": {"public charger": (5000.0, 2024)}}
    runs = [
        run(priced(city, **given), tmp_path / name, kg=1.0, bill=1.0) for name, city in (("c", district()), ("d", plan))
    ]
    [effect] = cost_effects(compare(*runs))
    points = (district().chargers["kind"] == "street").sum()
    assert effect.yearly == pytest.approx(points * 5000 * price_factor(2024) * annuity(0.03, 15), rel=1e-6)
    assert math.isnan(effect.per_tonne)


def test_replaced_boilers_are_saved_and_ranges_enclose_the_central_cost(tmp_path):
    pumps = replace(district(), stock=district().stock.with_heat_pumps(0.9))
    runs = [run(priced(city), tmp_path / name, kg=1.0, bill=1.0) for name, city in (("a", district()), ("b", pumps))]
    [effect] = cost_effects(compare(*runs))
    before, after = inventory(district()), inventory(pumps)
    assert after["gas boiler"] < before["gas boiler"]
    parts = [(after[name] - before[name]) * unit_costs()[name].yearly(0.03) for name in ("heat pump", "gas boiler")]
    assert effect.yearly == pytest.approx(sum(parts), rel=1e-6)
    assert "residents, energy bills" not in effect.borne  # they stay
    assert effect.low < effect.yearly < effect.high


def test_part_of_a_day_is_not_extrapolated_to_a_year(tmp_path):
    panels = RooftopPv(0.5).change_city(district())
    runs = [
        run(priced(city), tmp_path / name, kg=kg, bill=1.0, hours=2)
        for name, city, kg in (("a", district(), 2.0), ("b", panels, 1.0))
    ]
    [effect] = cost_effects(compare(*runs))
    assert effect.yearly > 0
    assert math.isnan(effect.avoided)
    assert math.isnan(effect.per_tonne)
    assert math.isnan(effect.payback)
    assert "residents, energy bills" not in effect.borne


def test_runs_without_assumptions_have_no_costs(tmp_path):
    result = run(district(), tmp_path / "free", kg=1.0, bill=1.0)
    assert YEARLY not in result.indicators
    assert cost_effects(compare(result, run(district(), tmp_path / "too", kg=1.0, bill=1.0))) == []


def test_policy_gives_the_city_its_assumptions():
    policy = UnitCosts(rate=0.05, position=1, prices=[["fast charger", 40000, 2023]])
    found = policy.change_city(district()).sectors[COSTS]
    assert (found.rate, found.position, found.prices) == (0.05, 1.0, {"fast charger": (40000.0, 2023)})
    assert np.isfinite(found.unit_cost("fast charger").yearly(found.rate))


def test_study_in_the_document_varies_what_it_says(tmp_path, monkeypatch):
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "costs.md").read_text("utf-8"), re.DOTALL)
    (tmp_path / "costs_example.py").write_text(code, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    example = importlib.import_module("costs_example")
    assert set(example.study.points.factors) == {"position", "pv_share"}
    assert len(example.study.points.points) == 20
    city = example.build(position=0.5, pv_share=0.5, seed=0).model
    assert city.sectors[COSTS].position == 0.5
    assert inventory(city)["solar panels"] > 0
