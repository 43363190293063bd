"""Fast to slow: a slow target receives the mean over its step, and the state at its end.

source (60 s) ──▶ echo (300 s)
"""

import numpy as np
import pytest

from cosim import Clock, Scenario
from tests.support.toys import Echo, Source
from tests.topologies.closing import PLACEMENTS, check, energy


def build():
    scenario = Scenario(Clock("2025-01-15", hours=2), steps={"echo": 300}, source=Source(), echo=Echo())
    scenario.connect("source.power", "echo.load")
    scenario.connect("source.count", "echo.state")
    return scenario


@PLACEMENTS
def test_slow_target_receives_the_mean_and_the_last_state(placement, tmp_path):
    result = check(build, placement, tmp_path)
    means = result.series("source.power").to_numpy().reshape(24, 5, 2).mean(axis=1)
    np.testing.assert_allclose(result.series("echo.received"), means, rtol=1e-12)
    assert result.series("echo.seen")["a"].tolist()[1:] == [5.0 * k for k in range(1, 25)]
    assert energy(result, "echo.received") == pytest.approx(energy(result, "source.power"), rel=1e-12)
