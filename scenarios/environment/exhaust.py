"""What SUMO's emissions of an emission class consist of: exhaust and wear, NO and NO2.

SUMO's PMx is exhaust alone with HBEFA 2, HBEFA 3 and PHEMlight, but with HBEFA 4 it includes the wear of tyres, brakes
and road: its electric classes emit 27.6 mg/km (car, van), 11 mg/km (motorcycle) and 119 to 131 mg/km (lorry, bus) at a
steady 50 km/h, and each of the 813 classes that SUMO 1.28 has of HBEFA 4 emits at least as much as the electric class
of its kind. `exhaust_shares.csv` holds, class by class, the share of exhaust over a cycle of town driving, and SUMO's
PMx and NOx at a steady 50 km/h.
"""

from __future__ import annotations

import csv
import functools
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cosim.adapters.traffic.census import census
from cosim.adapters.traffic.demand import DEFAULT_TYPE, VehicleType, is_electric
from cosim.adapters.traffic.installation import run_sumo_tool
from cosim.core.environment.vehicles import KINDS

PRIMARY_NO2 = {"petrol": 0.05, "diesel": 0.30, "heavy": 0.10, "unknown": 0.15}
"""Share of NO2 in the NOx of the exhaust. Petrol: that of the Dutch calculation rules (Regeling beoordeling
luchtkwaliteit 2007, annex 4); light diesel vehicles: some 30 % (Carslaw et al., Atmospheric Environment X 1 (2019)
100002, summary); lorries and buses, and classes whose name
says no fuel, such as HBEFA 2's: assumptions."""

_HBEFA4 = "HBEFA4/"
_PMX = 7  # column: time, speed, acceleration, slope, CO, CO2, HC, PMx, NOx, fuel, electricity
_HEAVY = re.compile(r"HDV|Bus|Coach|RT_|TT_|RigidTruck|LSZ|SZ_|RB|LB", re.I)
_DIESEL = re.compile(r"diesel|_D_", re.I)
_PETROL = re.compile(r"petrol|_G_|/MC_|/Moped", re.I)
_ELECTRIC_TWIN = {
    "car": "PC_BEV",
    "van": "LCV_BEV_M+N1-I",
    "two-wheeler": "MC_BEV",
    "bus": "UBus_Electric_Std_gt15-18t",
    "coach": "Coach_BEV_Std_le18t",
    "lorry": "RigidTruck_BEV_gt7.5-12t",
    "articulated": "TT_AT_BEV",
}
_TWINS = (("MC_|Moped", "two-wheeler"), ("LCV", "van"), ("UBus", "bus"), ("Coach", "coach"), ("TT_AT", "articulated"))
CRUISE_S, STOP_S, TOP_MPS, GAIN, BRAKE = 25, 10, 50 / 3.6, 1.2, 1.5
"""The cycle: accelerate to 50 km/h, cruise, brake, wait. [s], [s], [m/s], [m/s²], [m/s²] An assumption: about 500 m
between stops."""


class _Emission(NamedTuple):
    exhaust_share: float
    pmx_mg_per_km: float
    nox_mg_per_km: float


_TYPICAL = _Emission(1.0, 5.0, 300.0)
"""Stands in the weights of a group for classes of other families than HBEFA 4. Assumption."""


@functools.cache
def _published() -> dict[str, _Emission]:
    text = resources.files("cosim.scenarios.environment").joinpath("exhaust_shares.csv").read_text("utf-8")
    rows = csv.DictReader(text.splitlines())
    return {row["emission_class"]: _Emission(*(float(row[name]) for name in _Emission._fields)) for row in rows}


@functools.cache
def exhaust_share(emission_class: str) -> float:
    """Return the share of exhaust in SUMO's PMx of an emission class; the rest is wear.

    >>> exhaust_share("HBEFA3/PC_G_EU4"), exhaust_share("HBEFA4/PC_BEV")
    (1.0, 0.0)
    """
    if is_electric(emission_class):
        return 0.0
    if not emission_class.startswith(_HBEFA4):
        return 1.0
    name = emission_class.removeprefix(_HBEFA4)
    known = _published()
    return known[name].exhaust_share if name in known else measured_share(name)


def measured_share(name: str) -> float:
    """Return the share of exhaust in the PMx of a class of HBEFA 4, by SUMO's own program over the cycle.

    Wear is what the electric class of the same kind emits at the same speed. SUMO sets all emissions of a coasting
    combustion engine to 0, so that such seconds count for neither.
    """
    if is_electric(_HBEFA4 + name):
        return 0.0
    twin = next((kind for pattern, kind in _TWINS if re.match(pattern, name)), "car" if name[:2] == "PC" else "lorry")
    mine, wear = _over_cycle(name), _over_cycle(_ELECTRIC_TWIN[twin])
    total = sum(mine)
    exhaust = sum(max(a - b, 0.0) for a, b in zip(mine, wear, strict=True) if a > 0)
    return exhaust / total if total else 1.0


@functools.cache
def _over_cycle(name: str) -> tuple[float, ...]:
    """Return the PMx of each second of the cycle. [mg/s]"""
    rise, fall = round(TOP_MPS / GAIN), round(TOP_MPS / BRAKE)
    seconds = [(GAIN * k, GAIN) for k in range(rise)] + [(TOP_MPS, 0.0)] * CRUISE_S
    seconds += [(TOP_MPS - BRAKE * k, -BRAKE) for k in range(fall)] + [(0.0, 0.0)] * STOP_S
    with tempfile.TemporaryDirectory(prefix="cosim-cycle-") as place:
        cycle, out = Path(place, "cycle.csv"), Path(place, "out.csv")
        cycle.write_text("".join(f"{t};{v:.4f};{a};0\n" for t, (v, a) in enumerate(seconds)), encoding="utf-8")
        run_sumo_tool("emissionsDrivingCycle", "-t", cycle, "-e", _HBEFA4 + name, "-o", out)
        rows = list(csv.reader(out.read_text(encoding="utf-8").splitlines(), delimiter=";"))
    return tuple(float(row[_PMX]) for row in rows)


def primary_no2_share(emission_class: str) -> float:
    """Return the share of NO2 in the NOx that an emission class emits, see `PRIMARY_NO2`.

    >>> primary_no2_share("HBEFA4/PC_diesel_Euro-6d"), primary_no2_share("HBEFA4/UBus_Std_gt15-18t_Euro-VI_A-C")
    (0.3, 0.1)
    """
    kinds = (("heavy", _HEAVY), ("diesel", _DIESEL), ("petrol", _PETROL))
    return PRIMARY_NO2[next((fuel for fuel, pattern in kinds if pattern.search(emission_class)), "unknown")]


def group_shares(
    groups: Mapping[str, Sequence[str]], vehicles: Sequence[VehicleType], counts: Mapping[str, float]
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the shares of exhaust in PMx and of NO2 in NOx by group of emission classes.

    A group has the mean of its classes, weighted by their vehicles and what each emits at 50 km/h.

    Parameters
    ----------
    groups
        The vehicle types of every group.
    vehicles
        All vehicle types.
    counts
        Number of vehicles by type; types without any count as one.
    """
    class_of = {vehicle.name: vehicle.emission_class for vehicle in vehicles}
    exhaust, primary = {}, {}
    for group, types in groups.items():
        rows = []
        for kind in types:
            name = class_of[kind]
            known = _published().get(name.removeprefix(_HBEFA4), _TYPICAL)
            rows.append((max(counts.get(kind, 0.0), 1.0), exhaust_share(name), primary_no2_share(name), *known[1:]))
        number, of_pm, of_nox, pmx, nox = np.array(rows).T
        exhaust[group] = float(of_pm @ (number * pmx) / max((number * pmx).sum(), 1e-12))
        primary[group] = float(of_nox @ (number * nox) / max((number * nox).sum(), 1e-12))
    return exhaust, primary


def vehicle_counts(files: Iterable[Path]) -> dict[str, float]:
    """Return the number of vehicles of every type in SUMO's files; a flow counts by its number."""
    found: dict[str, float] = {}
    for path in files:
        of = census(path)
        one = Counter(of.vehicles)
        one.subtract(kind for kind, _ in of.flows)
        for kind, number in [*one.items(), *((kind, float(number)) for kind, number in of.flows)]:
            name = DEFAULT_TYPE if kind is None else kind
            found[name] = found.get(name, 0.0) + number
    return found


_BY_NAME = (
    (re.compile(r"/(?:Moped|KKR)", re.I), "moped"),
    (re.compile(r"/(?:MC|MR)_?", re.I), "motorcycle"),
    (re.compile(r"/(?:TT_|L?SZ|Coach.*3-Axes)", re.I), "heavy truck"),
    (re.compile(r"/(?:HDV|U?Bus|Coach|RT_|RigidTruck|[RL]B|LKW)", re.I), "truck or bus"),
    (re.compile(r"/(?:LCV|LDV|L?NF)", re.I), "van"),
    (re.compile(r"/PC", re.I), "car"),
)
_BY_CLASS = {
    "moped": "moped",
    "motorcycle": "motorcycle",
    "trailer": "heavy truck",
    "truck": "truck or bus",
    "bus": "truck or bus",
    "coach": "truck or bus",
    "delivery": "van",
    "emergency": "van",
    **dict.fromkeys(
        ("bicycle", "pedestrian", "scooter", "wheelchair", "tram", "subway", "ship", "cable_car", "container", "drone"),
        "other",
    ),
    **dict.fromkeys(("rail", "rail_urban", "rail_electric", "rail_fast", "aircraft"), "other"),
}


def kind_of(vehicle: VehicleType) -> str:
    """Return the kind of a vehicle type, a key of `KINDS`: by its emission class, else by its vehicle class.

    >>> kind_of(VehicleType("a", "passenger", "HBEFA4/PC_BEV")), kind_of(VehicleType("b", "bus", "HBEFA3/Bus"))
    ('electric car', 'truck or bus')
    """
    by_class = _BY_CLASS.get(vehicle.vehicle_class, "car")
    if by_class == "other":
        return by_class
    name = "/" + vehicle.emission_class.rpartition("/")[2]
    named = next((kind for pattern, kind in _BY_NAME if pattern.search(name)), by_class)
    if not is_electric(vehicle.emission_class):
        return named
    return "electric two-wheeler" if KINDS[named].wear == "two-wheeler" else f"electric {named}"


def kinds_of(vehicles: list[VehicleType]) -> dict[str, tuple[str, ...]]:
    """Return the vehicle types of every kind that a scenario has, in the order of `KINDS`."""
    found: dict[str, list[str]] = {}
    for vehicle in vehicles:
        found.setdefault(kind_of(vehicle), []).append(vehicle.name)
    return {kind: tuple(dict.fromkeys(found[kind])) for kind in KINDS if kind in found}
