"""How much greenhouse gas does a city's day emit, by sector, from the well to the wheel and the radiator?"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from cosim import CosimError, Result
from cosim.core import InputFileError

GAS_CO2 = 0.202
"""Natural gas burnt, by lower heating value. [kg CO2/kWh] 56,100 kg/TJ, IPCC 2006 Guidelines, vol. 2, table 2.2."""
GAS_SUPPLY = 0.034
"""Natural gas from the well to the meter. [kg CO2e/kWh] An assumption, of the size of national reporting factors."""
FUEL_SUPPLY = {"petrol": 0.73, "diesel": 0.81}
"""Fuel from the well to the tank, per kilogram. [kg CO2e/kg] 17.0 and 18.9 g/MJ at 43.2 and 43.1 MJ/kg, JEC
Well-to-Tank report v5 (2020); quoted from memory."""
J_PER_KWH = 3.6e6


@dataclass(frozen=True)
class Carbon:
    """What a kilowatt-hour from the grid emits, and what the supply of fuels does.

    Parameters
    ----------
    by_hour
        Intensity of electricity in each hour of the civil day, 24 values; the country's mean of 2023 if None.
        [kg CO2e/kWh]
    with_supply
        Whether gas and motor fuels count from the well; the intensities of electricity always do.
    """

    by_hour: tuple[float, ...] | None = None
    with_supply: bool = True

    def intensity(self, times: pd.DatetimeIndex, country: str, zone: str) -> npt.NDArray[np.float64]:
        """Return the intensity at moments in UTC, shape (n_times,). [kg CO2e/kWh]"""
        if self.by_hour is None:
            return np.full(len(times), annual_intensity(country))
        hours = times.tz_convert(ZoneInfo(zone)).hour.to_numpy()
        found: npt.NDArray[np.float64] = np.asarray(self.by_hour, float)[hours]
        return found


def annual_intensity(country: str) -> float:
    """Return the mean intensity of a country's electricity in 2023. [kg CO2e/kWh]

    Raises
    ------
    CosimError
        If the table has no such country.
    """
    known = {row["country"]: float(row["kg_per_kwh"]) for row in _table("carbon_intensity.csv")}
    if country not in known:
        raise CosimError(f"the table of carbon intensities has no country {country!r}: there are {', '.join(known)}")
    return known[country]


def mix_intensity(generation: Mapping[str, npt.ArrayLike]) -> npt.NDArray[np.float64]:
    """Return the life-cycle intensity of a generation mix. [kg CO2e/kWh]

    Parameters
    ----------
    generation
        Technology → energy generated, a number or one for each hour, in any one unit.

    Raises
    ------
    CosimError
        If a technology is unknown, or nothing is generated.

    Examples
    --------
    >>> float(mix_intensity({"gas": 1.0, "wind": 1.0}).round(4))
    0.2653
    """
    factors = {row["technology"]: float(row["kg_per_kwh"]) for row in _table("carbon_technologies.csv")}
    if unknown := sorted(generation.keys() - factors.keys()):
        raise CosimError(f"there is no technology {unknown[0]!r}: there are {', '.join(factors)}")
    parts = {name: np.asarray(values, float) for name, values in generation.items()}
    total = np.sum(list(parts.values()), axis=0)
    if not parts or not (total > 0).all() or any((part < 0).any() for part in parts.values()):
        raise CosimError("a generation mix has a negative part or generates nothing somewhere: give energies above 0")
    emitted = np.sum([factors[name] * part for name, part in parts.items()], axis=0)
    return np.asarray(emitted / total)


def read_hours(path: Path) -> tuple[float, ...]:
    """Read the intensity of 24 hours from a file with the columns ``hour`` and ``kg_per_kwh``.

    Raises
    ------
    InputFileError
        If it is missing, an hour is missing or stands twice, or a figure is no number or out of range.
    """
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
        hours = {int(row["hour"]): float(row["kg_per_kwh"]) for row in rows}
    except (OSError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise InputFileError(f"cannot read hours and kg_per_kwh from {path}: {error!r}") from error
    if len(rows) != 24 or set(hours) != set(range(24)) or not all(0 <= value <= 2 for value in hours.values()):
        raise InputFileError(f"{path} must have the hours 0 to 23 once each, with 0 to 2 kg CO2e/kWh")
    return tuple(hours[hour] for hour in range(24))


def account(result: Result, carbon: Carbon, country: str, zone: str) -> dict[str, float]:
    """Return the greenhouse gas of a run by sector. [kg CO2e]

    Electricity counts where it is used, at the intensity of its hour; what buildings feed in counts against what they
    draw. The electric sectors sum to the grid's import.
    """
    found: dict[str, float] = {}
    ports = set(result.ports)
    if "traffic.co2" in ports:
        found["traffic, tailpipe"] = float(result.integral("traffic.co2").sum())
        if carbon.with_supply and "traffic.fuel_by_class" in ports:
            burnt = result.integral("traffic.fuel_by_class")
            found["traffic, fuel supply"] = sum(
                float(kg) * FUEL_SUPPLY[fuel] for name, kg in burnt.items() if (fuel := fuel_of(str(name))) is not None
            )
    if "buildings.gas_power" in ports:
        gas_kwh = float(result.integral("buildings.gas_power").sum()) / J_PER_KWH
        found["buildings, gas"] = gas_kwh * GAS_CO2
        if carbon.with_supply:
            found["buildings, gas supply"] = gas_kwh * GAS_SUPPLY
    sectors = {"buildings, electricity": ["buildings.electric_power"], "grid losses": ["grid.losses"],
               "traffic, charging": ["traffic.charging_power", "fleet.charging_power"]}  # fmt: skip
    for sector, names in sectors.items():
        for name in names:
            if name in ports:
                found[sector] = found.get(sector, 0.0) + _emitted(result, name, carbon, country, zone)
    return found


def energy(result: Result, port: str) -> pd.Series[float]:
    """Return the energy of a port of power in every recorded interval, by the interval's end. [J]"""
    power = result.total(port)
    start = pd.Timestamp(result.provenance["clock"]["start"])
    ends = power.index
    begins = ends[:-1].insert(0, start if start.tzinfo else start.tz_localize("UTC")) if len(ends) else ends
    return power * (ends - begins).total_seconds()


def fuel_of(emission_class: str) -> str | None:
    """Return what an emission class of SUMO burns, ``"petrol"`` or ``"diesel"``; None where its name does not say.

    Examples
    --------
    >>> fuel_of("HBEFA4/PC_diesel_Euro-5"), fuel_of("HBEFA3/PC_G_EU4"), fuel_of("HBEFA4/PC_BEV")
    ('diesel', 'petrol', None)
    >>> fuel_of("HBEFA4/UBus_Std_gt15-18t_Euro-VI_A-C"), fuel_of("HBEFA2/P_7_7")
    ('diesel', 'petrol')
    """
    name = emission_class.rpartition("/")[2]
    if "diesel" in name or "_D_" in name or name.startswith(("UBus", "Coach", "RT_", "TT_", "RT", "HDV")):
        return "diesel"
    if "petrol" in name or "_G_" in name or name.startswith(("P_", "MC_", "Moped")):
        return "petrol"
    return None


def _emitted(result: Result, port: str, carbon: Carbon, country: str, zone: str) -> float:
    used = energy(result, port)
    middle = used.index - pd.Timedelta(seconds=1)
    return float((used / J_PER_KWH * carbon.intensity(middle, country, zone)).sum())


@cache
def _table(name: str) -> list[dict[str, str]]:
    text = Path(__file__).with_name(name).read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
