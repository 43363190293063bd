"""Kinds of vehicles beside residents' cars: vans, lorries, motorcycles, taxis and buses, with their shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cosim.core import CosimError
from cosim.core.random import uniform

CAR = "car"
BARCELONA = {"car": 0.570, "van": 0.135, "lorry": 0.060, "motorcycle": 0.115, "taxi": 0.102, "bus": 0.018}
"""Vehicles that drive on Barcelona's urban streets: cars 57, vans 13.5, motorcycles 11.5 and taxis 10.2 % of 176,365
vehicles at 31 sites in spring 2017 [1]_; buses 1.78 % [2]_; lorries are the remainder.

.. [1] AMB, Ajuntament de Barcelona, RACC, FIA Foundation: remote sensing of vehicles in circulation, 2017, as in
   sostenible.cat, "Entre el 20 i el 25 % dels vehicles".
.. [2] Ajuntament de Barcelona, before March 2020, as in contaminacio.barcelona, 13 April 2020.
"""


@dataclass(frozen=True, slots=True)
class SumoType:
    """How SUMO simulates a kind of vehicle: class, emission class, length [m], accelerations [m/s²]."""

    vehicle_class: str
    emission_class: str
    length_m: float
    accel: float
    decel: float
    more: str = ""

    def xml(self, name: str) -> str:
        """Return the vehicle type; class defaults are spelt out, as a measure may change the class."""
        return (
            f'<vType id="{name}" vClass="{self.vehicle_class}" emissionClass="{self.emission_class}" '
            f'length="{self.length_m:g}" accel="{self.accel:g}" decel="{self.decel:g}"{self.more}/>'
        )


SUMO_TYPES = {
    "van": SumoType("delivery", "HBEFA4/LCV_diesel_N1-III_Euro-5", 6.5, 2.6, 4.5, ' width="2.16"'),
    "lorry": SumoType("truck", "HBEFA4/RT_le7.5t_Euro-VI_A-C", 7.1, 1.3, 4.0, ' width="2.4"'),
    "motorcycle": SumoType("motorcycle", "HBEFA4/MC_4S_gt250cc_Euro-3", 2.2, 6.0, 10.0, ' width="0.9"'),
    "taxi": SumoType("taxi", "HBEFA4/PC_petrol_Euro-6d", 5.0, 2.6, 4.5),
    "bus": SumoType("bus", "HBEFA4/UBus_Std_gt15-18t_Euro-VI_A-C", 12.0, 1.2, 4.0, ' width="2.5"'),
}
"""Lengths, widths and accelerations are SUMO's defaults of the vehicle classes; one emission class of the mean age
registered in [1]_ for each kind is an assumption."""


def beside_residents(mix: Mapping[str, float], residents: float) -> dict[str, float]:
    """Return the shares of others' vehicles that, beside a share of residents' cars, give those of all vehicles.

    Examples
    --------
    >>> beside_residents({"car": 0.6, "van": 0.4}, 0.2)
    {'car': 0.5, 'van': 0.5}
    """
    others = {kind: share / (1 - residents) for kind, share in mix.items() if kind != CAR}
    return {CAR: 1 - sum(others.values()), **others}


def draw_kinds(labels: Sequence[str], seed: int, mix: Mapping[str, float]) -> dict[str, str]:
    """Draw the kind of each vehicle, keyed by its label.

    Raises
    ------
    CosimError
        If a kind is unknown, or the shares are negative or all 0.
    """
    if unknown := sorted(set(mix) - {CAR, *SUMO_TYPES}):
        raise CosimError(f"unknown kind of vehicle {unknown[0]!r}: known are {', '.join((CAR, *SUMO_TYPES))}")
    shares = np.array(list(mix.values()), float)
    if not (np.isfinite(shares).all() and (shares >= 0).all() and shares.sum() > 0):
        raise CosimError(f"the shares of the kinds of vehicles are {dict(mix)}: give shares from 0 on, one above 0")
    bounds = np.cumsum(shares / shares.sum())
    names = list(mix)
    drawn = np.searchsorted(bounds, uniform(seed, "vehicle kind", labels), side="right")
    return {label: names[min(int(k), len(names) - 1)] for label, k in zip(labels, drawn, strict=True)}
