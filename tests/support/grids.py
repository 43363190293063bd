"""Nets and steps that the tests of the grid share."""

from __future__ import annotations

import warnings

import networkx as nx
import pandapower as pp
import pandapower.networks as pn

from cosim.adapters.grid import Grid
from cosim.core import Step
from cosim.scenarios.grid.synthesis import ServicePoint, synthesize_grid

STEP = Step(0, 60)


def oberrhein():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the file lacks tap_dependency_table
        net = pn.mv_oberrhein()
    net.trafo["tap_dependency_table"] = False
    return net


def synthetic():
    streets = nx.grid_2d_graph(3, 3)
    for (i, j), d in streets.nodes(data=True):
        d.update(x=133.3 * i, y=133.3 * j)
    nx.set_edge_attributes(streets, 133.3, "length")
    services = [ServicePoint(f"b{k}", 20 + 37.0 * (k % 7), 15 + 33.0 * (k // 7), 8) for k in range(49)]
    return synthesize_grid(streets, services, country="ES").net


def two_buses(r_ohm=0.5, x_ohm=0.3):
    net = pp.create_empty_network()
    a, b = pp.create_bus(net, 0.4, name="a"), pp.create_bus(net, 0.4, name="b")
    pp.create_ext_grid(net, a, name="up")
    pp.create_line_from_parameters(net, a, b, 1.0, r_ohm, x_ohm, 0.0, 0.2, name="cable")
    return net


def drive(grid, power=0.0, reactive=0.0):
    grid.power.deliver(power)
    grid.reactive_power.deliver(reactive)
    grid.advance(STEP)


def opened(net, **options):
    grid = Grid(net, **options)
    grid.open()
    return grid


def closed_rings():
    net = oberrhein()
    net.switch["closed"] = True
    return net


def two_grids():
    net = pn.create_cigre_network_mv()
    for _ in range(2):
        pp.create_ext_grid(net, 14, vm_pu=1.01, va_degree=-1.0)
    return net


def tapped():
    net = pn.create_cigre_network_mv()
    columns = ["tap_side", "tap_neutral", "tap_step_percent", "tap_pos", "tap_changer_type"]
    net.trafo[columns] = ["hv", 0, 1.5, -3, "Ratio"]
    return net


def case118():
    return with_tables(pn.case118())


def case1354():
    return with_tables(pn.case1354pegase())


def multivoltage():
    return with_tables(pn.example_multivoltage())


def with_tables(net):
    net.trafo["tap_dependency_table"] = False  # older files lack it, and pandapower warns
    net.trafo3w["tap_dependency_table"] = False
    return net


def on_load():
    net = pp.create_empty_network()
    a, b = pp.create_bus(net, 110.0, name="a"), pp.create_bus(net, 20.0, name="b")
    pp.create_ext_grid(net, a, name="up")
    pp.create_transformer(net, a, b, "25 MVA 110/20 kV", name="main", tap_pos=0)
    return net
