"""A winter and a summer day in the Eixample with superblocks, more electric cars and heat pumps combined.

``cosim study docs/superblocks_heat_pumps.py --report policies --workers 2`` runs it and writes its report: today beside
the plan with cars that charge plainly and with cars that charge into the valleys of their transformer's load. The
chargers are the same in all three, so that no difference is theirs.
"""

from cosim import Study
from cosim.scenarios import eixample
from cosim.scenarios.policies import Charging, EvShare, HeatPumps, Superblocks

plan = (Superblocks(), EvShare(0.4), HeatPumps(0.3))

study = Study(
    eixample.build,
    policies={
        "today": (Charging("plain"),),
        "plan with plain charging": (*plan, Charging("plain")),
        "plan with valley charging": (*plan, Charging("valley")),
    },
    day={"winter": "2025-01-15", "summer": "2025-07-16"},
    blocks=(6, 6),
    street_chargers_per_block=4,
    building_charger_share=0.3,
    seeds=5,
    name="superblocks_heat_pumps",
)
