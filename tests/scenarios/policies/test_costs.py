"""The policy that counts costs, in a scenario with another policy."""

from types import SimpleNamespace

import pytest

from cosim.registry.parameters import load_policy
from cosim.scenarios import eixample
from cosim.scenarios.costs.unit_costs import unit_costs
from cosim.scenarios.indicators.costs import cost_indicators, inventory
from cosim.scenarios.policies import RooftopPv, UnitCosts
from tests.support.policy_runs import district

UNRUN = SimpleNamespace(ports=[])


def test_policy_counts_what_another_policy_installs():
    scenario = eixample.build(
        blocks=(2, 2), hours=1, through_traffic=0.05, policies=[UnitCosts(rate=0.05), RooftopPv(0.5)]
    )
    assert "annuities at 5 %" in scenario.facts["costs"]
    base = cost_indicators(UNRUN, UnitCosts(rate=0.05).change_city(district()))
    plan = cost_indicators(UNRUN, scenario.model)
    kw = inventory(scenario.model)["solar panels"]
    assert kw > 0
    owners = plan["yearly cost: owners"].value - base["yearly cost: owners"].value
    assert owners == pytest.approx(kw * unit_costs()["solar panels"].yearly(0.05))
    assert plan["yearly cost: city"].value == base["yearly cost: city"].value


def test_prices_on_the_command_line_are_those_in_python():
    text = 'UnitCosts:position=-1,prices=[["public charger",5000,2024]]'
    assert load_policy(text) == UnitCosts(position=-1, prices=[("public charger", 5000, 2024)])
    assert load_policy(str(UnitCosts(rate=0.0))) == UnitCosts(rate=0.0)
