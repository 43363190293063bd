"""The documented example: OpenDSS as the grid, beside the same cable in pandapower."""

import itertools
import re
import sys

import numpy as np
import pandapower as pp
import pytest

from cosim import Adapter, Clock, Output, Scenario
from cosim.adapters.grid import Grid
from tests.support.paths import ROOT

HOUSES = ["house 1", "house 2"]


class Houses(Adapter):
    """Two houses whose power grows through the day."""

    def __init__(self):
        self.power = Output("W", HOUSES, "mean")

    def advance(self, step):
        self.power.value = [1000.0 + step.end_s, 3 * step.end_s]


@pytest.mark.slow
def test_opendss_is_the_grid_of_a_scenario(tmp_path):
    page = (ROOT / "docs" / "standards.md").read_text(encoding="utf-8")
    block = re.findall(r"```python\n(.*?)```", page, re.S)[0]
    federate = str(ROOT / "tests" / "support" / "opendss_federate.py")
    for printed, here in (
        ('"python"', repr(sys.executable)),
        ('"opendss_federate.py"', repr(federate)),
        ('"24"', '"2"'),
    ):
        assert printed in block
        block = block.replace(printed, here)
    names: dict = {"__name__": "page"}
    exec(compile(block, "standards.md", "exec"), names)
    grid = names["grid"]
    scenario = Scenario(Clock("2025-01-15", hours=2, step_s=900), houses=Houses(), grid=grid)
    scenario.connect("houses.power", "grid.power")
    scenario.place(grid="inline")
    voltage = scenario.run(tmp_path / "run", double=True).series("grid.voltage").to_numpy()

    net = pp.create_empty_network()
    buses = [pp.create_bus(net, 0.4, name=name) for name in ("up", *HOUSES)]
    pp.create_ext_grid(net, buses[0])
    for a, b in itertools.pairwise(buses):
        pp.create_line_from_parameters(net, a, b, 0.2, 0.2067, 0.0804, 0.0, 0.3)
    ours = Scenario(
        Clock("2025-01-15", hours=2, step_s=900),
        houses=Houses(),
        grid=Grid(net, connection_points={h: h for h in HOUSES}),
    )
    ours.connect("houses.power", "grid.power")
    beside = ours.run(tmp_path / "ours", double=True).series("grid.voltage")[HOUSES].to_numpy() * 400.0
    assert voltage.shape == (9, 2)
    assert np.ptp(voltage[:, 1]) > 1.0
    np.testing.assert_allclose(voltage[1:], beside[1:], rtol=0, atol=0.01)
