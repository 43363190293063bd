"""An evening in the Eixample: the effect of more electric cars on the grid, and the relief by charging at night.

``cosim study docs/ev_study.py --workers 2`` runs it and writes its table, effects, figure and page.
"""

from cosim import Study
from cosim.scenarios import eixample

study = Study(
    eixample.build,
    ev_share=[0.2, 0.6],
    charging=["plain", "valley"],
    building_charger_share=0.5,
    blocks=(2, 2),
    begin_hour=16,
    hours=8,
    seeds=10,
    name="ev_study",
)
