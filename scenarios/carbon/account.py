"""Greenhouse gas account by sector, including the supply of fuels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cosim import Indicator, Result
from cosim.core.quantities import J_PER_KWH
from cosim.scenarios.intervals import energy, interval_starts

from .intensity import Carbon

GAS_CO2 = 0.202
"""Natural gas burnt, by lower heating value. [kg CO2/kWh] 56,100 kg/TJ, IPCC 2006 Guidelines, vol. 2, table 2.2."""
GAS_SUPPLY = 0.034
"""Natural gas from the well to the meter. [kg CO2e/kWh] An assumption, of the size of national reporting factors."""
FUEL_SUPPLY = {"petrol": 0.73, "diesel": 0.81}
"""Fuel from the well to the tank, per kilogram. [kg CO2e/kg]

17.0 and 18.9 g/MJ at 43.2 and 43.1 MJ/kg: assumptions, of the size of JEC's Well-to-Tank reports. That of 2014 (version
4.a, EUR 26237) has about 15 g/MJ, as quoted by P. Haessig (github.com/pierre-haessig/ev-calc)."""


@dataclass(frozen=True)
class Emission:
    """Greenhouse gas of one source over a run.

    Parameters
    ----------
    kg
        Mass. [kg CO2e]
    about
        One line on how it is computed.
    """

    kg: float
    about: str


@dataclass(frozen=True)
class CarbonAccount:
    """The intensities by which a run's greenhouse gas is counted.

    Electricity counts where it is used, at the intensity of its hour; what buildings feed in is subtracted from what
    they draw. The electric sources sum to the grid's import.

    Parameters
    ----------
    carbon
        Intensity of electricity, and whether fuels count with their supply.
    country, zone
        Of the city.

    Attributes
    ----------
    counted
        The electric ports counted so far.
    """

    carbon: Carbon
    country: str
    zone: str
    counted: set[str] = field(default_factory=set, init=False, compare=False)

    def exhaust(self, result: Result, adapter: str) -> dict[str, Emission]:
        """Return tailpipe emissions of an adapter, and those of its fuels' supply."""
        if f"{adapter}.co2" not in result.ports:
            return {}
        kg = float(result.integral(f"{adapter}.co2").sum())
        found = {f"{adapter}, tailpipe": Emission(kg, "CO2 of exhaust, HBEFA as in SUMO")}
        if self.carbon.with_supply and f"{adapter}.fuel_by_class" in result.ports:
            burnt = result.integral(f"{adapter}.fuel_by_class")
            kg = sum(
                float(kg) * FUEL_SUPPLY[fuel] for name, kg in burnt.items() if (fuel := fuel_of(str(name))) is not None
            )
            about = "from the well to the tank, for classes that say petrol or diesel"
            found[f"{adapter}, fuel supply"] = Emission(kg, about)
        return found

    def gas(self, result: Result, adapter: str) -> dict[str, Emission]:
        """Return the emissions of the gas that an adapter burns, and those of its supply."""
        if f"{adapter}.gas_power" not in result.ports:
            return {}
        gas_kwh = float(result.integral(f"{adapter}.gas_power").sum()) / J_PER_KWH
        found = {f"{adapter}, gas": Emission(gas_kwh * GAS_CO2, f"fuel × {GAS_CO2} kg/kWh (IPCC 2006)")}
        if self.carbon.with_supply:
            about = f"fuel × {GAS_SUPPLY} kg/kWh (assumption)"
            found[f"{adapter}, gas supply"] = Emission(gas_kwh * GAS_SUPPLY, about)
        return found

    def electricity(self, result: Result, source: str, ports: Sequence[str], about: str) -> dict[str, Emission]:
        """Return the emissions of the electricity that ports draw; none if no port was recorded."""
        self.counted.update(ports)
        recorded = [port for port in ports if port in result.ports]
        if not recorded:
            return {}
        kg = 0.0
        for port in recorded:
            used = energy(result, port)
            begun = interval_starts(result, used.index)
            middle = begun + (used.index - begun) / 2
            kg += float((used / J_PER_KWH * self.carbon.intensity(middle, self.country, self.zone)).sum())
        return {source: Emission(kg, about)}


def carbon_indicators(sources: Mapping[str, Emission], left_out: str = "") -> dict[str, Indicator]:
    """Return greenhouse gas by source, and its sum where every sector was recorded; it names the loads left out."""
    found = {f"CO2e: {source}": Indicator(e.kg, "kg", "lower", e.about) for source, e in sources.items()}
    if {"traffic, tailpipe", "buildings, gas", "buildings, electricity", "grid losses"} <= sources.keys():
        about = "sum of all sectors; CH4 and N2O of exhaust are left out"
        about += f", and the electricity of {left_out}" if left_out else ""
        found["total CO2e"] = Indicator(sum(e.kg for e in sources.values()), "kg", "lower", about, role="emissions")
    return found


def fuel_of(emission_class: str) -> str | None:
    """Return the fuel of a SUMO emission class, ``"petrol"`` or ``"diesel"``, or None if its name gives none.

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
