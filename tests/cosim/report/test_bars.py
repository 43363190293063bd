"""Indicators that are bars: drawn in the report, base beside plans, and left out of tables."""

import pytest

from cosim import Clock, Indicator, Scenario, compare
from cosim.report import write_report
from cosim.results.tables import comparison_tables, indicator_table, render
from cosim.results.verdict import lines
from tests.cosim.report.test_costs import Still


def run(folder, loud, seed=0):
    def indicators(result):
        return {
            "noise": Indicator(loud, "persons", "lower"),
            "residents by <Lden>: below 55 dB": Indicator(100.0 - loud, "persons", None, "note", role="bar"),
            "residents by <Lden>: 55 dB and more": Indicator(loud, "persons", None, "note", role="bar"),
        }

    scenario = Scenario(Clock("2025-06-15", hours=2, step_s=3600), indicators=indicators, still=Still())
    scenario.seed = seed
    return scenario.run(folder)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bars")
    base = [run(folder / f"base{seed}", 60.0 + seed, seed) for seed in (0, 1, 2)]
    plan = [run(folder / f"plan{seed}", 30.0 + seed, seed) for seed in (0, 1, 2)]
    return compare(base, plan, names=["base", "quiet"])


def test_report_draws_the_mean_over_seeds_of_base_and_plan(compared, tmp_path):
    page = write_report(compared, tmp_path / "page.html").read_text("utf-8")
    section = page[page.index('id="bars"') : page.index('id="exchange"')]
    assert "residents by &lt;Lden&gt;" in section
    assert "<Lden>" not in section
    assert '<i style="width:88.4%;background:#0072b2"></i><span>61</span>' in section  # of 69, the highest
    assert '<i style="width:44.9%;background:#d55e00"></i><span>31</span>' in section
    assert "55 dB" not in page[page.index('id="indicators"') : page.index('id="bars"')]


def test_tables_and_verdict_leave_bars_out(compared):
    printed = "\n".join(render(table, width=150) for table in comparison_tables(compared))
    printed += render(indicator_table("run", compared.base[0].indicators))
    assert "noise" in printed
    assert "Lden" not in printed
    assert compared.base[0].indicators["residents by <Lden>: below 55 dB"].role == "bar"
    assert not any("Lden" in line.text for line in lines(compared, "quiet"))


def test_report_without_bars_has_no_section(tmp_path):
    result = Scenario(Clock("2025-06-15", hours=1, step_s=3600), still=Still()).run(tmp_path / "run")
    assert 'id="bars"' not in write_report(result).read_text("utf-8")
