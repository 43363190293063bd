"""Is an adapter of ours an ordinary simulator in a plain mosaik scenario, with its elements as children?"""

import copy

import mosaik
import mosaik_api_v3
import numpy as np
import pytest
from mosaik.starters import PythonStarter

from cosim import CosimError, as_mosaik
from tests.toys import Echo, Source


class Scalar(mosaik_api_v3.Simulator):
    """Sends one number and keeps what it gets, as mosaik's own tutorials do."""

    seen: list

    def __init__(self):
        super().__init__({"api_version": "3.0", "type": "time-based",
                          "models": {"M": {"public": True, "params": [], "attrs": ["out", "in_"]}}})  # fmt: skip

    def init(self, sid, time_resolution=1.0):
        self.seen = Scalar.log = []
        return self.meta

    def create(self, num, model):
        return [{"eid": f"m{i}", "type": model} for i in range(num)]

    def step(self, time, inputs, max_advance):
        self.seen.append((time, copy.deepcopy(inputs)))  # mosaik changes its own buffer later
        return time + 60

    def get_data(self, outputs):
        return {entity: dict.fromkeys(names, 3.0) for entity, names in outputs.items()}


def test_elements_are_children_with_scalar_attributes():
    with mosaik.World({}, cache=False) as world:
        echo = world.start(PythonStarter(as_mosaik(Echo())), sim_id="echo", step_s=60)
        scalar = world.start(PythonStarter(Scalar), sim_id="scalar")
        whole, (one, two) = echo.Vector(), scalar.M.create(2)
        children = {child.eid: child for child in whole.children}
        assert children.keys() == {"a", "b"}
        world.connect(one, children["a"], ("out", "load"))
        world.connect(one, children["b"], ("out", "load"))
        world.connect(two, children["b"], ("out", "load"))
        world.connect(children["b"], one, ("heard", "in_"), time_shifted=60, initial_data={"heard": -1.0})
        world.run(until=180, print_progress=False)
    heard = [inputs["m0"]["in_"]["echo.b"] for _, inputs in Scalar.log]
    assert heard == [-1.0, 6.0, 6.0]


def test_whole_vectors_connect_as_well():
    with mosaik.World({}, cache=False) as world:
        source = world.start(PythonStarter(as_mosaik(Source())), sim_id="source", step_s=60)
        echo = world.start(PythonStarter(as_mosaik(Echo())), sim_id="echo", step_s=60)
        scalar = world.start(PythonStarter(Scalar), sim_id="scalar")
        a, b, end = source.Vector(), echo.Vector(), scalar.M()
        world.connect(a, b, ("power", "load"))
        world.connect(b, end, ("heard", "in_"))
        world.run(until=120, print_progress=False)
    last = Scalar.log[-1][1]["m0"]["in_"]["echo.vector"]
    assert last.tolist() == (np.random.default_rng([1, 60, 60]).normal(size=2) * 1000).tolist()


def test_element_that_is_sent_nothing_is_named():
    simulator = as_mosaik(Echo())()
    simulator.init("echo")
    simulator.create(1, "Vector")
    with pytest.raises(CosimError, match=r"load\['b'\] was sent nothing at 0: connect it, it has no default"):
        simulator.step(0, {"a": {"load": {"x": 1.0}}}, 60)
    simulator.finalize()


def test_step_that_is_no_multiple_of_the_resolution_is_refused():
    with pytest.raises(CosimError, match="whole multiple of the time resolution"):
        as_mosaik(Echo())().init("echo", time_resolution=60.0, step_s=90)
