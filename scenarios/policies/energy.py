"""Policies on heat, power and charging: heat pumps, envelopes, solar panels, batteries, tariffs, flexibility."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from cosim import CosimError, Scenario
from cosim.adapters.grid.controls import PowerCap
from cosim.core.fleet.strategies import V2G, GridLimited, PriceFollowing
from cosim.core.mappings import link
from cosim.core.quantities import J_PER_KWH, Flags, Vector
from cosim.core.random import quota
from cosim.scenarios.buildings.stock import Stock, make_stock
from cosim.scenarios.buildings.tabula import tabula_types
from cosim.scenarios.grid.customers import Customer, add_customers
from cosim.scenarios.measures import Day, between, hourly
from cosim.scenarios.model import City
from cosim.scenarios.policies.policy import Hour, Policy, Positive, Share

__all__ = [
    "Charging",
    "ChargingCaps",
    "CommunityBatteries",
    "DemandResponse",
    "DynamicTariff",
    "GridCaps",
    "HeatPumps",
    "HomeBatteries",
    "Retrofit",
    "RooftopPv",
    "VehicleToGrid",
]

SECTOR = "Energy"


class HeatPumps(Policy):
    """Heats a share of the buildings with heat pumps, whatever they had; a larger share keeps those of a smaller one.

    Evidence: the diversified peak of 700 British heat pumps is 1.7 kW a site, in the morning.

    Parameters
    ----------
    share
        Share of the buildings, exact to one, drawn by key.
    floor_heating
        Share of the heated buildings that get floor heating instead of radiators, exact to one, drawn by key. Heat
        pumps feed it at a lower temperature.
    """

    share: Share = 0.3
    floor_heating: Share = 0.0

    def change_parameters(self) -> dict[str, Any]:
        """Set ``heat_pump_share``."""
        return {"heat_pump_share": self.share}

    def change_city(self, city: City) -> City:
        """Lay the floor heating."""
        if not self.floor_heating:
            return city
        return replace(city, stock=city.stock.with_underfloor(self.floor_heating, city.seed))


class Retrofit(Policy):
    """Insulates a share of the buildings to a refurbishment level of their TABULA type; no envelope gets worse.

    U-values, windows and air change become those of the level, or of the highest lower one that is published for the
    type. Boilers and heat pumps are resized for the lower load, an assumption.

    Evidence: the levels are those that the national partners of TABULA and EPISCOPE published for each building type;
    households that take back part of the saving as warmer rooms are not modelled.

    Parameters
    ----------
    level
        2 usual, 3 advanced.
    share
        Share of the buildings, exact to one, drawn by key.
    """

    level: Annotated[int, Field(ge=2, le=3)] = 2
    share: Share = 1.0

    def change_city(self, city: City) -> City:
        """Replace the envelopes."""
        chosen = quota(city.seed, "retrofit", city.stock.ids, self.share)
        stock, better = refurbished(city, chosen, self.level)
        if not better.any():
            raise CosimError(f"{self} changes no building: those it selects already lose no more heat; raise its level")
        return replace(city, stock=stock)


class RooftopPv(Policy):
    """Installs solar panels on half the roof of a share of the buildings, 200 W of peak per m².

    Surplus generation is fed into the grid.

    Parameters
    ----------
    share
        Share of the buildings, exact to one, drawn by key.
    """

    share: Share = 0.3

    def change_city(self, city: City) -> City:
        """Install the panels; batteries stay as they are."""
        stock = city.stock.with_photovoltaics(self.share, city.seed)
        return replace(city, stock=dataclasses.replace(stock, battery_capacity=city.stock.battery_capacity))


class HomeBatteries(Policy):
    """Installs a battery behind the meter of every building with solar panels, which stores their surplus.

    Put it after `RooftopPv`.

    Parameters
    ----------
    hours
        Usable energy relative to the peak power of the panels. [h]
    """

    hours: Annotated[float, Field(gt=0, le=24)] = 2.0

    def change_city(self, city: City) -> City:
        """Install the batteries."""
        if not city.stock.pv_capacity.any():
            raise CosimError(f"{self} finds no building with panels: put RooftopPv before it")
        capacity = self.hours * 3600 * city.stock.pv_capacity
        return replace(city, stock=dataclasses.replace(city.stock, battery_capacity=capacity))


class CommunityBatteries(Policy):
    """Installs a battery at every transformer station, charged and discharged at fixed hours.

    Parameters
    ----------
    capacity_kwh
        Usable energy of each, half full at the start. [kWh]
    power_kw
        Maximum power of each. [kW]
    charge_from, charge_to
        Hours between which it charges, at the power that fills it in that time, at most its maximum. [h]
    discharge_from, discharge_to
        Hours between which it discharges. [h]
    """

    capacity_kwh: Positive = 200.0
    power_kw: Positive = 100.0
    charge_from: Hour = 12.0
    charge_to: Hour = 16.0
    discharge_from: Hour = 19.0
    discharge_to: Hour = 22.0

    def change_city(self, city: City) -> City:
        """Add storages to the net, and their setpoints."""
        day = self._day()
        batteries = [
            Customer(
                f"battery of {station.label}",
                self.power_kw * 1000,
                station=station,
                storage_j=self.capacity_kwh * J_PER_KWH,
            )
            for station in city.grid.stations
        ]
        measures = city.measures.with_input("grid.storage_setpoint", {battery.label: day for battery in batteries})
        return replace(city, grid=add_customers(city.grid, batteries), measures=measures)

    def _day(self) -> Day:
        windows = ((self.charge_from, self.charge_to, 1.0), (self.discharge_from, self.discharge_to, -1.0))
        values = np.zeros(24 * 60)
        for start, end, sign in windows:
            if not start < end:
                raise CosimError(f"{self} has a window from {start:g} to {end:g} h: it must end later than it begins")
            minutes = slice(round(start * 60), round(end * 60))
            if values[minutes].any():
                raise CosimError(f"{self} charges and discharges at the same time: keep its windows apart")
            values[minutes] = sign * min(self.power_kw, self.capacity_kwh / (end - start)) * 1000
        change = np.flatnonzero(np.diff(values, prepend=np.nan))
        return tuple((f"{minute // 60:02d}:{minute % 60:02d}", float(values[minute])) for minute in change)


class DynamicTariff(Policy):
    """Sets an hourly price of electricity, to which households' setpoints and price-following charging respond.

    Setpoints are lowered by `response_k` for every EUR/kWh that the price is above its mean of the last day, by 2 K at
    most, and raised when it is below.

    Parameters
    ----------
    eur_per_kwh
        Price in each hour of the day, 24 values. [EUR/kWh] The default, high in the morning and evening and low at
        night and noon, is an assumption.
    response_k
        Response of setpoints. [K/(EUR/kWh)] Assumption.
    """

    eur_per_kwh: Annotated[tuple[float, ...], Field(min_length=24, max_length=24)] = (
        0.14,
        0.13,
        0.12,
        0.12,
        0.12,
        0.14,
        0.18,
        0.26,
        0.30,
        0.26,
        0.20,
        0.18,
        0.16,
        0.15,
        0.15,
        0.17,
        0.22,
        0.28,
        0.34,
        0.38,
        0.38,
        0.34,
        0.24,
        0.18,
    )
    response_k: Annotated[float, Field(ge=0, le=50)] = 5.0

    def change_city(self, city: City) -> City:
        """Give the price to every adapter with an input ``price``."""
        prices = hourly(np.array(self.eur_per_kwh) / J_PER_KWH)
        measures = replace(city.measures, price_response=self.response_k)
        return replace(city, measures=measures.with_input("*.price", {"*": prices}))


class DemandResponse(Policy):
    """Lowers the heating setpoint of a share of the buildings during peak hours.

    The rooms cool down and are heated up again afterwards: the peak moves, and part of it comes back.

    Parameters
    ----------
    shift_k
        Reduction of the setpoint. [K]
    share
        Share of the buildings, exact to one, drawn by key.
    from_hour, to_hour
        Peak hours, every day. [h]
    """

    shift_k: Annotated[float, Field(gt=0, le=5)] = 1.5
    share: Share = 0.5
    from_hour: Hour = 18.0
    to_hour: Hour = 21.0

    def change_city(self, city: City) -> City:
        """Schedule the setpoint shift of the buildings."""
        ids = city.stock.ids
        chosen = quota(city.seed, "demand response", ids, self.share)
        day = between(self.from_hour, self.to_hour, -self.shift_k, 0.0)
        days = {site: day for site, takes_part in zip(ids, chosen) if takes_part}
        if not days:
            raise CosimError(f"{self} reaches no building: raise its share")
        return replace(city, measures=city.measures.with_input("buildings.heating_shift", days))


class Charging(Policy):
    """Sets the charging strategy of electric cars; every car reaches its target before it leaves.

    ``"plain"``: at once; ``"delayed"``: between 23:00 and 7:00; ``"valley"``: into the valleys of its transformer's
    load; ``"pv"``: with solar surplus; ``"grid-limited"``: at once within the transformers' headroom; ``"price"``: in
    the cheapest hours of `DynamicTariff`, which must come before it.

    Evidence: plain evening charging peaks at 1.0 to 1.2 kW a car.

    Parameters
    ----------
    strategy
        One of the above.
    """

    excludes: ClassVar[frozenset[str]] = frozenset({"VehicleToGrid"})

    strategy: Literal["plain", "delayed", "valley", "pv", "grid-limited", "price"] = "valley"

    def change_parameters(self) -> dict[str, Any]:
        """Set ``charging``."""
        return {"charging": "plain" if self.strategy == "price" else self.strategy}

    def change_city(self, city: City) -> City:
        """Make the fleet follow the price, with the strategy ``"price"``."""
        if self.strategy != "price":
            return city
        return replace(_with_fleet(city, self), strategy=PriceFollowing(_prices(city, self)))


class VehicleToGrid(Policy):
    """Lets a share of the electric cars discharge at high prices; they are charged again before they leave.

    They follow the hours of `DynamicTariff`, which must come before it.

    Parameters
    ----------
    share
        Share of the electric cars that can discharge to the grid, exact to one, drawn by key.
    power_kw
        Maximum discharge power. [kW]
    """

    excludes: ClassVar[frozenset[str]] = frozenset({"Charging"})

    share: Share = 0.5
    power_kw: Positive = 7.4

    def change_parameters(self) -> dict[str, Any]:
        """Set ``charging`` to plain; the price decides when."""
        return {"charging": "plain"}

    def change_city(self, city: City) -> City:
        """Set the cars' discharge power and strategy."""
        city = _with_fleet(city, self)
        assert city.fleet is not None
        able = quota(city.seed, "vehicle to grid", city.fleet.vehicle_ids, self.share)
        vehicles = {**city.fleet.vehicles, "discharge_w": np.where(able, self.power_kw * 1000, 0.0)}
        return replace(city, fleet=replace(city.fleet, vehicles=vehicles), strategy=V2G(_prices(city, self)))


class GridCaps(Policy):
    """Caps the power of buildings whose transformer would be overloaded, appliances last.

    The cap is the one that the grid published one exchange step before. Heat pumps, their heaters and coolers are
    curtailed first; rooms may get cold, which the unmet degree-hours show.

    Parameters
    ----------
    loading
        Maximum loading of the transformer. [1]
    connection_kw
        Maximum power of a dwelling. [kW] 5.75 is Spain's basic supply (ITC-BT-10).
    """

    loading: Annotated[float, Field(gt=0, le=2)] = 1.0
    connection_kw: Positive = 5.75

    def change_city(self, city: City) -> City:
        """Add a power cap for every building."""
        ratings = city.stock.dwellings * self.connection_kw * 1000
        caps = tuple(PowerCap(site, float(w), self.loading) for site, w in zip(city.stock.ids, ratings))
        measures = replace(city.measures, grid_controls=(*city.measures.grid_controls, *caps))
        return replace(city, measures=measures)

    def change_scenario(self, scenario: Scenario, city: City) -> None:
        """Connect the caps to the buildings, one exchange step later."""
        ids = city.stock.ids
        via = link(ids, ids, {site: site for site in ids})
        scenario.connect(
            "grid.power_cap",
            "buildings.power_cap",
            via=via,
            delay=1,
            partial=True,
            because="the grid caps what it measured last",
        )


class ChargingCaps(Policy):
    """Keeps charging within the transformers' headroom, whatever the strategy; cars short of charge are reported.

    Put it after `Charging` or `VehicleToGrid`.
    """

    def change_city(self, city: City) -> City:
        """Wrap the strategy in the limit."""
        city = _with_fleet(city, self)
        return replace(city, strategy=GridLimited(city.strategy))


_ENVELOPE = (
    "window_area",
    "solar_transmittance",
    "sun_on_exterior",
    "sun_to_exterior",
    "sky_depression",
    "ground_share",
    "infiltration",
)
"""What a stock tells of its envelopes besides their zones."""


def refurbished(city: City, chosen: Flags, level: int) -> tuple[Stock, Flags]:
    """Return a city's stock with some buildings at a refurbishment level, and which of them improved.

    Parameters
    ----------
    city
        The city.
    chosen : shape (n_buildings,)
        Buildings that may be refurbished.
    level
        2 or 3.
    """
    old = city.stock
    outdoor = 20.0 - old.design_load / (old.zones.loss_coefficient[old.archetype] * old.floor_area)
    published = tabula_types()
    levels = [max(k for k in range(1, level + 1) if (kind, k) in published) for kind in old.types]
    new = make_stock(
        old.ids,
        old.types,
        old.floor_area,
        old.storeys,
        city.sites["attached"].to_numpy(float),
        city.sites["azimuth_deg"].to_numpy(float),
        levels,
        emission=old.emission,
    )
    loss = [stock.zones.loss_coefficient[stock.archetype] for stock in (old, new)]
    better = chosen & (loss[1] < loss[0] * (1 - 1e-9))
    design_load = np.where(better, loss[1] * old.floor_area * (20.0 - outdoor), old.design_load)
    smaller = design_load / old.design_load

    def pick(name: str) -> Any:
        before, after = getattr(old, name), getattr(new, name)
        return np.where(better[:, None] if before.ndim == 2 else better, after, before)

    archetype = np.where(better, new.archetype + len(old.zones), old.archetype).astype(np.int32)
    return dataclasses.replace(
        old,
        zones=old.zones + new.zones,
        archetype=archetype,
        design_load=design_load,
        heating_capacity=old.heating_capacity * smaller,
        heat_pump_capacity=old.heat_pump_capacity * smaller,
        **{name: pick(name) for name in _ENVELOPE},
    ), better


def _with_fleet(city: City, policy: Policy) -> City:
    if city.fleet is None:
        raise CosimError(f"{policy} finds no electric cars with batteries: put EvShare before it")
    return city


def _prices(city: City, policy: Policy) -> Vector:
    days = city.measures.inputs.get("*.price")
    if not days:
        raise CosimError(f"{policy} has no price to follow: put DynamicTariff before it")
    return np.array([price for _, price in days["*"]])
