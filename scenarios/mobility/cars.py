"""Cars: vehicle types, batteries and driving behaviour, and a country's registered cars by fuel and Euro standard."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from xml.etree.ElementTree import ParseError
from xml.sax.saxutils import quoteattr

import defusedxml.ElementTree
import numpy as np
import pandas as pd
from defusedxml import DefusedXmlException
from scipy.special import ndtri

from cosim.adapters.traffic.installation import sumo_home
from cosim.core import CosimError, InputFileError
from cosim.core.quantities import Vector
from cosim.core.random import normal, uniform
from cosim.scenarios.mobility.chargers import EFFICIENCY
from cosim.scenarios.mobility.kinds import CAR, SUMO_TYPES

FLEET = {
    "HBEFA4/PC_petrol_Euro-4": 0.15,
    "HBEFA4/PC_petrol_Euro-6d": 0.35,
    "HBEFA4/PC_diesel_Euro-5": 0.25,
    "HBEFA4/PC_diesel_Euro-6ab": 0.25,
}
"""Emission classes of the cars with combustion engines. The shares are an assumption."""

ELECTRIC = ("Peugeot_e-208", "VW_ID3", "Hyundai_Ioniq_5")
"""Electric models of RWTH Aachen's MMPEVEM [2]_ in SUMO's wheel, small to large; equal shares are an assumption.

.. [2] L. Koch et al.: Accurate physics-based modeling of electric vehicle energy consumption in the SUMO
   traffic microsimulator. IEEE ITSC 2021, doi:10.1109/ITSC48978.2021.9564463.
"""

ACCEL = 2.6
"""SUMO's default for passenger cars. [m/s²]"""

TOP_SPEED = 150 / 3.6
"""Of all cars, below the 170 km/h at which the motor's map of the smallest electric model ends. [m/s] Assumption."""

# One set for all cars: an electric type with its own parameters would change the traffic too.
_FOLLOWING = f'vClass="passenger" accel="{ACCEL}" decel="4.5" sigma="0.5" tau="1.0" length="5.0" minGap="2.5"'
_SPEEDS = tuple(np.arange(0.0, 62.5, 2.5).tolist())
_AIR, _GRAVITY = 1.2041, 9.81  # kg/m³ and m/s², as in SUMO's model
_LEAST_ACCEL = 0.05
# On-board charger of 11 kW from the grid (three-phase 16 A; assumption for all models), in SUMO's terms: the power into
# the battery, after the station's losses.
ONBOARD_W = 11_000.0 * EFFICIENCY


def vehicle_types(kinds: Iterable[str] = ()) -> pd.DataFrame:
    """Return the types of cars and of other kinds of vehicles.

    Index name, columns ``capacity_wh`` (0 with a combustion engine) and ``xml``.
    """
    electric = {model: _model(model) for model in ELECTRIC}
    power = np.min([accel_by_power(_SPEEDS, mass, keys) for mass, keys in electric.values()], axis=0)
    following = (
        f'{_FOLLOWING} maxSpeed="{TOP_SPEED:.2f}" speedTable="{" ".join(f"{v:g}" for v in _SPEEDS)}" '
        f'maxAccelProfile="{" ".join(f"{a:.2f}" for a in power)}"'
    )
    rows = [
        (name.split("/")[1], 0.0, f'<vType id="{name.split("/")[1]}" emissionClass="{name}" {following}/>')
        for name in FLEET
    ]
    rows += [(kind, 0.0, SUMO_TYPES[kind].xml(kind)) for kind in kinds if kind != CAR]
    for model, (mass, keys) in electric.items():
        keys["device.battery.maximumChargeRate"] = f"{ONBOARD_W:g}"
        xml = [f'<vType id="{model}" emissionClass="MMPEVEM" mass="{mass:g}" {following}>']
        xml += [f"<param key={quoteattr(k)} value={quoteattr(v)}/>" for k, v in sorted(keys.items())]
        rows.append((model, float(keys["device.battery.capacity"]), "\n".join([*xml, "</vType>"])))
    return pd.DataFrame(rows, columns=["type", "capacity_wh", "xml"]).set_index("type")


def _model(name: str) -> tuple[float, dict[str, str]]:
    """Return mass [kg] and parameters of an electric model of SUMO's wheel, by the names that SUMO reads now."""
    folder = sumo_home() / "data" / "emissions" / "MMPEVEM"
    path = next((p for p in (folder / f"{name}.xml", folder / f"{name}.rou.xml") if p.is_file()), None)
    if path is None:
        raise InputFileError(f"SUMO's wheel has no electric model {name!r} in {folder}: install eclipse-sumo 1.28")
    try:
        vtype = next(defusedxml.ElementTree.parse(path).iter("vType"))
    except (ParseError, DefusedXmlException) as error:
        raise InputFileError(f"{path} cannot be read: {error!r}") from error
    keys = {p.get("key", ""): p.get("value", "") for p in vtype.iter("param")}
    # SUMO 1.20 renamed them; it warns about the first old name and passes over the second, for 100 kW.
    for old, new in (("internalMomentOfInertia", "rotatingMass"), ("device.battery.maxPower", "maximumPower")):
        if old in keys:
            keys[new] = keys.pop(old)
    mass = vtype.get("mass")
    if mass is None:
        raise InputFileError(f"{path} gives no mass, which the acceleration needs: install eclipse-sumo 1.28")
    return float(mass), keys


def accel_by_power(speeds: Sequence[float], mass: float, keys: Mapping[str, str]) -> Vector:
    """Return the acceleration that the motor of an electric model delivers, at most `ACCEL`. [m/s²]

    SUMO's energy model answers nan for a car that accelerates beyond its motor's power. The power is that needed at
    the end of a step of one second, in which the car may have gained `ACCEL`.

    Parameters
    ----------
    speeds : shape (n,)
        Speeds at the beginning of the step. [m/s]
    mass
        Mass of the car. [kg]
    keys
        Parameters of SUMO's MMPEVEM model.

    Returns
    -------
    shape (n,)
    """
    value = {key: float(text) for key, text in keys.items() if key != "powerLossMap" and text != "true"}
    after = np.asarray(speeds, float) + ACCEL
    rolling = value["rollDragCoefficient"] * mass * _GRAVITY
    drag = 0.5 * _AIR * value["airDragCoefficient"] * value["frontSurfaceArea"] * after**2
    inertia = mass + value["rotatingMass"] / value["wheelRadius"] ** 2
    accel = (value["gearEfficiency"] * value["maximumPower"] / after - rolling - drag) / inertia
    limited: Vector = np.clip(accel, _LEAST_ACCEL, ACCEL)
    return limited


def make_cars(
    labels: Iterable[str],
    seed: int,
    electric: Container[str],
    types: pd.DataFrame,
    kinds: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Return every car's type, battery, charge and driving behaviour, keyed by its label.

    Parameters
    ----------
    labels, seed
        Names of the cars, and seed of the draws.
    electric
        The electric ones.
    types
        As returned by `vehicle_types`.
    kinds
        Kind of those that are not cars.

    Returns
    -------
    Index car; columns ``type``, ``electric``, ``charge_wh`` (NaN with a combustion engine) and ``speed_factor``.
    """
    labels = list(labels)
    given = [kinds.get(label) for label in labels] if kinds else [None] * len(labels)
    own = np.array([kind is None for kind in given], bool)
    kind = np.where(own, CAR, np.array(given, object))
    is_electric = np.fromiter((label in electric for label in labels), bool, len(labels)) & (kind == CAR)
    bounds = np.cumsum(list(FLEET.values()))
    burners = np.array([name.split("/")[1] for name in FLEET], object)
    engine = np.searchsorted(bounds, uniform(seed, "combustion engine", labels) * bounds[-1], side="right")
    model = (uniform(seed, "electric model", labels) * len(ELECTRIC)).astype(int)
    level = 0.3 + 0.65 * uniform(seed, "charge", labels)
    capacity_wh = types["capacity_wh"].reindex(ELECTRIC).to_numpy()[model]
    # SUMO's default for cars is normc(1, 0.1, 0.2, 2), but drawn in the order of loading.
    factor = ndtri(uniform(seed, "speed factor of kinds", labels)) * 0.1 + 1.0
    factor[own] = 1.0 + 0.1 * normal(seed, "speed factor", itertools.compress(labels, own.tolist()))
    return pd.DataFrame(
        {
            "type": np.where(
                kind == CAR, np.where(is_electric, np.array(ELECTRIC, object)[model], burners[engine]), kind
            ),
            "electric": is_electric,
            "charge_wh": np.where(is_electric, capacity_wh * level, np.nan),
            "speed_factor": np.clip(factor, 0.2, 2.0),
        },
        index=pd.Index(labels, name="car", dtype=object),
    )


CLASSES = {
    ("petrol", 0): "PC_petrol_ECE-15_04", ("diesel", 0): "PC_diesel_conv",
    ("petrol", 6): "PC_petrol_Euro-6ab", ("diesel", 6): "PC_diesel_Euro-6ab",
}  # fmt: skip
"""SUMO's HBEFA 4 classes whose name is not just fuel and standard."""

_BEFORE_EURO_1 = r"ECE|AGV|conv|cat|PreEuro|_19\d\d-"


@cache
def car_fleet(country: str) -> dict[str, float]:
    """Return the shares of a country's cars by SUMO's emission class; they sum to 1.

    Raises
    ------
    CosimError
        If the table does not have the country.
    """
    text = resources.files("cosim.scenarios.mobility").joinpath("registrations.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    countries = {row["country"] for row in rows}
    if country not in countries:
        known = ", ".join(sorted(countries))
        raise CosimError(f"the table of car fleets has no country {country!r}: it has {known}")
    kinds = {
        kind: {row["name"]: float(row["cars"]) for row in rows if (row["country"], row["kind"]) == (country, kind)}
        for kind in ("fuel", "euro")
    }
    total = {kind: sum(cars.values()) for kind, cars in kinds.items()}
    return {
        "HBEFA4/" + CLASSES.get((fuel, int(euro)), f"PC_{fuel}_Euro-{euro}"): a / total["fuel"] * b / total["euro"]
        for fuel, a in kinds["fuel"].items()
        for euro, b in kinds["euro"].items()
    }


def draw_classes(country: str, seed: int, labels: Sequence[str]) -> list[str]:
    """Return an emission class for every car, drawn from the country's fleet, keyed by its label."""
    fleet = car_fleet(country)
    bounds = np.cumsum(list(fleet.values()))
    at = np.searchsorted(bounds / bounds[-1], uniform(seed, "car fleet", labels), side="right")
    return [list(fleet)[k] for k in at]


def euro_standard(emission_class: str) -> tuple[str, int] | None:
    """Return the fuel and Euro standard in the name of an emission class, 0 before Euro 1; None if it has none.

    Examples
    --------
    >>> euro_standard("HBEFA4/PC_diesel_Euro-6ab"), euro_standard("HBEFA3/PC_G_EU4"), euro_standard("HBEFA2/P_7_7")
    (('diesel', 6), ('petrol', 4), None)
    >>> euro_standard("HBEFA4/PC_petrol_ECE-15_04")
    ('petrol', 0)
    """
    found = re.search(r"(petrol|diesel|_G_|_D_)", emission_class)
    if found is None:
        return None
    standard = re.search(r"(?<!Pre)(?:Euro-|EU)(\d)", emission_class)
    if standard is None and not re.search(_BEFORE_EURO_1, emission_class):
        return None
    return ("petrol" if found[1] in ("petrol", "_G_") else "diesel"), int(standard[1]) if standard else 0
