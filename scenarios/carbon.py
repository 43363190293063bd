"""How much greenhouse gas does a city's day emit, by sector, from the well to the wheel and the radiator?"""

from __future__ import annotations

from cosim import Result

from .carbon_intensity import Carbon
from .intervals import J_PER_KWH, begins, energy

GAS_CO2 = 0.202
"""Natural gas burnt, by lower heating value. [kg CO2/kWh] 56,100 kg/TJ, IPCC 2006 Guidelines, vol. 2, table 2.2."""
GAS_SUPPLY = 0.034
"""Natural gas from the well to the meter. [kg CO2e/kWh] An assumption, of the size of national reporting factors."""
FUEL_SUPPLY = {"petrol": 0.73, "diesel": 0.81}
"""Fuel from the well to the tank, per kilogram. [kg CO2e/kg] 17.0 and 18.9 g/MJ at 43.2 and 43.1 MJ/kg, JEC
Well-to-Tank report v5 (2020); quoted from memory."""


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
    begun = begins(result, used.index)
    middle = begun + (used.index - begun) / 2
    return float((used / J_PER_KWH * carbon.intensity(middle, country, zone)).sum())
