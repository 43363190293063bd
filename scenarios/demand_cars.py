"""Which cars drive: their types, batteries and manner of driving?"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from xml.etree.ElementTree import ParseError
from xml.sax.saxutils import quoteattr

import defusedxml.ElementTree
import numpy as np
import pandas as pd
from defusedxml import DefusedXmlException

from cosim.core import InputFileError
from cosim.core.random import generator, uniform
from cosim.scenarios.chargers import EFFICIENCY
from cosim.scenarios.streets import sumo_home

FLEET = {
    "HBEFA4/PC_petrol_Euro-4": 0.15,
    "HBEFA4/PC_petrol_Euro-6d": 0.35,
    "HBEFA4/PC_diesel_Euro-5": 0.25,
    "HBEFA4/PC_diesel_Euro-6ab": 0.25,
}
"""Emission classes of the cars with combustion engines. The shares are an assumption."""

ELECTRIC = ("Peugeot_e-208", "VW_ID3", "Hyundai_Ioniq_5")
"""Electric models of RWTH Aachen's MMPEVEM [2]_ in SUMO's wheel, small to large; equal shares are an
assumption.

.. [2] L. Koch et al.: Accurate physics-based modeling of electric vehicle energy consumption in the SUMO
   traffic microsimulator. IEEE ITSC 2021, doi:10.1109/ITSC48978.2021.9564463.
"""

# One set for all cars: an electric type with parameters of its own would change the traffic too.
_FOLLOWING = 'vClass="passenger" accel="2.6" decel="4.5" sigma="0.5" tau="1.0" length="5.0" minGap="2.5"'
# On-board charger of 11 kW from the grid (three-phase 16 A; assumption for all models), as SUMO takes it: what the
# battery receives, behind the station's efficiency.
ONBOARD_W = 11_000.0 * EFFICIENCY


@dataclass(frozen=True, slots=True)
class Car:
    """A car as SUMO takes it."""

    electric: bool
    type: str
    capacity_wh: float
    charge_wh: float
    speed_factor: float


def vehicle_types() -> pd.DataFrame:
    """Return the vehicle types: index is the name, columns ``capacity_wh`` (0 with a combustion engine),
    ``xml``."""
    rows = [
        (name.split("/")[1], 0.0, f'<vType id="{name.split("/")[1]}" emissionClass="{name}" {_FOLLOWING}/>')
        for name in FLEET
    ]
    for model in ELECTRIC:
        folder = sumo_home() / "data" / "emissions" / "MMPEVEM"
        path = next((p for p in (folder / f"{model}.xml", folder / f"{model}.rou.xml") if p.is_file()), None)
        if path is None:
            raise InputFileError(f"SUMO's wheel has no electric model {model!r} in {folder}: install eclipse-sumo 1.28")
        try:
            vtype = next(defusedxml.ElementTree.parse(path).iter("vType"))
        except (ParseError, DefusedXmlException) as error:
            raise InputFileError(f"{path} cannot be read: {error!r}") from error
        keys = {p.get("key", ""): p.get("value", "") for p in vtype.iter("param")}
        keys["device.battery.maximumChargeRate"] = f"{ONBOARD_W:g}"
        # SUMO 1.20 renamed it, and warns of the old name.
        if "internalMomentOfInertia" in keys:
            keys["rotatingMass"] = keys.pop("internalMomentOfInertia")
        xml = [f'<vType id="{model}" emissionClass="MMPEVEM" mass="{vtype.get("mass")}" {_FOLLOWING}>']
        xml += [f"<param key={quoteattr(k)} value={quoteattr(v)}/>" for k, v in sorted(keys.items())]
        rows.append((model, float(keys["device.battery.capacity"]), "\n".join([*xml, "</vType>"])))
    return pd.DataFrame(rows, columns=["type", "capacity_wh", "xml"]).set_index("type")


def make_cars(labels: Iterable[str], seed: int, ev_share: float, types: pd.DataFrame) -> dict[str, Car]:
    """Give every car its type, battery, charge and manner of driving, keyed by its label."""
    labels = list(labels)
    bounds = np.cumsum(list(FLEET.values()))
    burners = [name.split("/")[1] for name in FLEET]
    engine = np.searchsorted(bounds, uniform(seed, "combustion engine", labels) * bounds[-1], side="right")
    model = (uniform(seed, "electric model", labels) * len(ELECTRIC)).astype(int)
    electric = uniform(seed, "electric car", labels) < ev_share
    level = 0.3 + 0.65 * uniform(seed, "charge", labels)
    capacity_wh = types["capacity_wh"].to_dict()
    cars = {}
    for k, label in enumerate(labels):
        kind = ELECTRIC[model[k]] if electric[k] else burners[engine[k]]
        # SUMO's default for cars is normc(1, 0.1, 0.2, 2), but drawn in the order of loading.
        speed = float(np.clip(generator(seed, "speed factor", label).normal(1.0, 0.1), 0.2, 2.0))
        charge_wh = capacity_wh[kind] * level[k] if electric[k] else math.nan
        cars[label] = Car(bool(electric[k]), kind, capacity_wh[kind], charge_wh, speed)
    return cars
