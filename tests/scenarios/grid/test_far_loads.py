"""Grids whose first design has no power flow: large loads far from any corner."""

import networkx as nx
import pytest

from cosim.scenarios.grid.rules import ServicePoint, mv_kv
from cosim.scenarios.grid.synthesis import synthesize_grid


def long_street(metres=1500.0):
    streets = nx.Graph()
    streets.add_node("a", x=0.0, y=0.0)
    streets.add_node("b", x=metres, y=0.0)
    streets.add_edge("a", "b", length=metres)
    return streets


def test_grid_without_a_solution_at_design_load_is_reinforced_until_it_has_one():
    works = [ServicePoint(f"works {k}", 750.0, 5.0 + k, design_load_w=240e3) for k in range(6)]
    grid = synthesize_grid(long_street(), works, country="DE")
    assert grid.report.lowest_voltage >= 0.95
    assert grid.report.worst_line_loading <= 1.0
    assert grid.report.reinforcements


def test_existing_stations_supply_what_is_nearest():
    homes = [ServicePoint(f"home {k}", 30.0 + 60 * k, 5.0, dwellings=2) for k in range(24)]
    one = synthesize_grid(long_street(), homes, country="DE", sites=[(1490.0, 20.0)])
    both = synthesize_grid(long_street(), homes, country="DE", sites=[(5.0, 20.0), (1490.0, 20.0)])
    assert {station.x for station in one.stations} >= {1500.0}
    assert {station.x for station in both.stations} == {0.0, 1500.0}
    names = both.net.bus["name"].to_dict()
    assert names[both.bus_of["home 0"]].split(" ")[0] != names[both.bus_of["home 23"]].split(" ")[0]


@pytest.mark.parametrize(("country", "kv"), [("ES", 25.0), ("IT", 15.0), ("GB", 11.0), ("DE", 20.0), ("FI", 20.0)])
def test_medium_voltage_is_the_country_s(country, kv):
    grid = synthesize_grid(long_street(200.0), [ServicePoint("a", 50.0, 5.0, dwellings=4)], country=country)
    assert mv_kv(country) == kv
    assert kv in set(grid.net.bus["vn_kv"])
