"""Evening in the Eixample: what do more electric cars, and more chargers in the buildings, do to the grid?

``cosim study docs/ev_study.py --workers 2`` runs it and writes its table, effects, figure and page.
"""

from cosim import Study
from cosim.scenarios import eixample

study = Study(
    eixample.build,
    ev_share=[0.0, 0.2, 0.4],
    building_charger_share=[0.05, 0.2],
    blocks=(2, 2),
    begin_hour=18,
    hours=2,
    seeds=10,
    name="ev_study",
)
