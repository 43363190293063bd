"""Cost against effect on the page: numbers, ranges, who bears it, and plans that have no cost."""

import math

import pytest

from cosim import Adapter, Clock, Indicator, Output, Scenario, compare
from cosim.report import write_report
from cosim.report.costs import chart
from cosim.results.cost_effect import CostEffect


class Still(Adapter):
    """Does nothing."""

    replays = True

    def __init__(self):
        self.power = Output("W", ["a"], kind="mean")

    def advance(self, step):
        self.power.value = 1.0


def run(folder, yearly, *, kg=1000.0, bill=2.0):
    def indicators(result):
        return {
            "measures": Indicator(yearly, "EUR/year", "lower", role="yearly cost"),
            "measures, low": Indicator(0.5 * yearly, "EUR/year", "lower", role="yearly cost, low"),
            "measures, high": Indicator(2.0 * yearly, "EUR/year", "lower", role="yearly cost, high"),
            "yearly: owners": Indicator(yearly, "EUR/year", "lower", role="cost of a payer"),
            "invested": Indicator(10 * yearly, "EUR", role="saving investment"),
            "gas": Indicator(kg, "kg", "lower", role="emissions"),
            "bill": Indicator(bill, "EUR", "lower", role="energy bill"),
            "homes": Indicator(100.0, "1", role="households"),
        }

    return Scenario(Clock("2025-06-15", hours=24, step_s=3600), indicators=indicators, still=Still()).run(folder)


def test_page_shows_cost_effect_and_who_bears_it(tmp_path):
    base = run(tmp_path / "base", 0.0)
    plan = run(tmp_path / "plan", 10_000.0, kg=900.0, bill=1.9)
    page = write_report(compare(base, plan, names=["base", "solar <roofs>"]), tmp_path / "page.html").read_text("utf-8")
    section = page[page.index('id="costs"') : page.index('id="exchange"')]
    assert "solar &lt;roofs&gt;" in section
    assert "<roofs>" not in section
    # 100 kg a day are 36.525 t a year, 0.10 EUR a day in 100 dwellings 3,652.5 EUR a year
    for shown in ("10,000", "5,000", "20,000", "36.5", "273.8", "27.4 years", "owners: pay 10,000", "gain 3,65"):
        assert shown in section, shown
    assert "<svg" in section
    assert "<circle" in section


def test_page_of_runs_without_costs_has_no_section(tmp_path):
    runs = [
        Scenario(
            Clock("2025-06-15", hours=1, step_s=3600),
            indicators=lambda result: {"hours": Indicator(1.0, "h")},
            still=Still(),
        ).run(tmp_path / name)
        for name in ("a", "b")
    ]
    assert 'id="costs"' not in write_report(compare(*runs), tmp_path / "page.html").read_text("utf-8")
    assert 'id="costs"' not in write_report(runs[0], tmp_path / "run.html").read_text("utf-8")


def test_chart_places_plans_by_effect_and_cost():
    effects = [
        CostEffect("a", 100.0, 50.0, 200.0, 10.0, 10.0, 5.0, 20.0),
        CostEffect("b", -20.0, -30.0, -10.0, 5.0, -4.0, -6.0, -2.0),
        CostEffect("c", math.nan, math.nan, math.nan, 5.0, math.nan, math.nan, math.nan),
    ]
    found = chart(effects)
    assert found is not None
    a, b = found["marks"]
    assert a["x"] > b["x"]
    assert a["high"] < a["y"] < a["low"]  # upwards on the page
    assert b["y"] > a["low"]
    for mark in (a, b):
        assert found["left"] <= mark["x"] <= found["right"]
        assert found["top"] <= mark["high"] <= mark["low"] <= found["bottom"]
    assert chart([effects[2]]) is None


def test_single_plan_without_effect_still_has_a_chart():
    found = chart([CostEffect("a", 0.0, 0.0, 0.0, 0.0, math.nan, math.nan, math.nan)])
    assert found is not None
    assert found["marks"][0]["x"] == pytest.approx(found["left"])
