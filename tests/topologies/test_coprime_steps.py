"""Coprime steps: 2, 3 and 5 exchange steps in a ring, so that steps rarely end together.

two ── delay 2 ──▶ three ── delay 3 ──▶ five
 ▲                                       │
 └──────────────── delay 7 ──────────────┘
"""

import numpy as np

from cosim import Clock, Scenario
from tests.support.toys import Echo, Source
from tests.topologies.closing import PLACEMENTS, check

STEPS = {"two": 120, "three": 180, "five": 300}


def build():
    scenario = Scenario(Clock("2025-01-15", hours=5), steps=STEPS, two=Source(), three=Echo(), five=Echo())
    scenario.connect("two.power", "three.load", delay=2, initial=10.0)
    scenario.connect("three.received", "five.load", delay=3, initial=20.0)
    scenario.connect("five.received", "two.feedback", delay=7, initial=30.0)
    return scenario


def later(values, delay, initial, step, next_step):
    """The definition: the mean of the delayed signal over each step of the target, tick by tick."""
    ticks = np.vstack([np.full((delay, 2), initial), np.repeat(values, step, axis=0)])
    n = 300 // next_step
    return ticks[: n * next_step].reshape(n, next_step, 2).mean(axis=1)


@PLACEMENTS
def test_coprime_steps_receive_exact_means(placement, tmp_path):
    result = check(build, placement, tmp_path)
    three = later(result.series("two.power").to_numpy(), 2, 10.0, 2, 3)
    np.testing.assert_allclose(result.series("three.received"), three, rtol=1e-12)
    np.testing.assert_allclose(result.series("five.received"), later(three, 3, 20.0, 3, 5), rtol=1e-12)
    assert (result.ledger["in_flight"] != 0).all()
