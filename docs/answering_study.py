"""Superblocks, more electric cars and heat pumps: demand that answers beside demand that is fixed.

``cosim study docs/answering_study.py`` runs it: half an hour of an evening in 4 × 4 blocks, with drivers who change
their routes alone, and with travellers who also change their mode or stay at home. Its effects are the differences
that this makes to the plan.
"""

from cosim import Study
from cosim.scenarios import eixample
from cosim.scenarios.policies import EvShare, HeatPumps, Superblocks

study = Study(
    eixample.build,
    answers=["routes", "modes"],
    policies=(Superblocks(), EvShare(0.4), HeatPumps(0.3)),
    blocks=(4, 4),
    begin_hour=18,
    hours=0.5,
    step_s=300,
    grid_step_s=300,
    seeds=5,
    name="answering_study",
)
