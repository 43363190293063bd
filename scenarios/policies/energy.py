"""What can a city do about heat, power and charging? Heat pumps, envelopes, panels, batteries, tariffs, flexibility."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandapower as pp
from pydantic import Field

from cosim import CosimError, Scenario
from cosim.adapters.buildings import NO_CAP
from cosim.adapters.grid_control import PowerCap
from cosim.core.fleet_strategies import V2G, GridLimited, PriceFollowing
from cosim.core.mappings import link
from cosim.core.random import uniform
from cosim.scenarios.city import City
from cosim.scenarios.measures import Day, between, hourly
from cosim.scenarios.policy import Hour, Policy, Positive, Share
from cosim.scenarios.stock import Stock, make_stock
from cosim.scenarios.tabula import tabula_types

Flags: TypeAlias = npt.NDArray[np.bool_]

J_PER_KWH = 3.6e6


class HeatPumps(Policy):
    """Heats a share of the buildings with heat pumps instead of gas boilers; a larger share keeps a smaller one's.

    Evidence: the diversified peak of 700 British heat pumps is 1.7 kW a site, in the morning.

    Parameters
    ----------
    share
        Share of the buildings.
    """

    share: Share = 0.3

    def change_parameters(self) -> dict[str, Any]:
        """Set ``heat_pump_share``."""
        return {"heat_pump_share": self.share}


class Retrofit(Policy):
    """Insulates a share of the buildings to a refurbishment level of their TABULA type; nobody's envelope gets worse.

    U-values, windows and air change become those of the level, or of the highest one below that is published for the
    type. Boilers and heat pumps are sized anew for the lower
    load, an assumption.

    Evidence: the levels are those that the national partners of TABULA and EPISCOPE published for each building type;
    households that take back a part of the saving by warmer rooms are not modelled.

    Parameters
    ----------
    level
        2 usual, 3 advanced.
    share
        Share of the buildings, chosen by chance keyed to the building.
    """

    level: Annotated[int, Field(ge=2, le=3)] = 2
    share: Share = 1.0

    def change_city(self, city: City) -> City:
        """Exchange the envelopes."""
        chosen = uniform(city.seed, "retrofit", city.stock.ids) < self.share
        stock, better = refurbished(city, chosen, self.level)
        if not better.any():
            raise CosimError(f"{self} changes no building: every one that it chooses loses no more heat already")
        return replace(city, stock=stock)


class RooftopPv(Policy):
    """Puts solar panels on half the roof of a share of the buildings, 200 W of peak per m².

    What a building does not use itself it feeds in.

    Parameters
    ----------
    share
        Share of the buildings.
    """

    share: Share = 0.3

    def change_city(self, city: City) -> City:
        """Mount the panels; batteries stay as they are."""
        stock = city.stock.with_photovoltaics(self.share, city.seed)
        return replace(city, stock=dataclasses.replace(stock, battery_capacity=city.stock.battery_capacity))


class HomeBatteries(Policy):
    """Puts a battery behind the meter of every building with solar panels, which takes their surplus.

    Put it after `RooftopPv`.

    Parameters
    ----------
    hours
        Usable energy over the peak power of the panels. [h]
    """

    hours: Annotated[float, Field(gt=0, le=24)] = 2.0

    def change_city(self, city: City) -> City:
        """Give the batteries."""
        if not city.stock.pv_capacity.any():
            raise CosimError(f"{self} finds no building with panels: put RooftopPv before it")
        capacity = self.hours * 3600 * city.stock.pv_capacity
        return replace(city, stock=dataclasses.replace(city.stock, battery_capacity=capacity))


class CommunityBatteries(Policy):
    """Puts a battery beside every transformer station, charged and discharged by the clock.

    Parameters
    ----------
    capacity_kwh
        Usable energy of each, half full at the beginning. [kWh]
    power_kw
        Most power of each. [kW]
    charge_from, charge_to
        Hours between which it charges, at the power that fills it in that time or its most. [h]
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
        net = copy.deepcopy(city.grid.net)
        names = {}
        for station in city.grid.stations:
            name = f"battery of {station.label}"
            pp.create_storage(
                net, station.lv_bus, p_mw=0.0, max_e_mwh=self.capacity_kwh * 1e-3, min_e_mwh=0.0, soc_percent=50.0,
                name=name,
            )  # fmt: skip
            names[name] = day
        measures = city.measures.tell("grid.storage_setpoint", names)
        return replace(city, grid=replace(city.grid, net=net), measures=measures)

    def _day(self) -> Day:
        windows = ((self.charge_from, self.charge_to, 1.0), (self.discharge_from, self.discharge_to, -1.0))
        values = np.zeros(24 * 60)
        for start, end, sign in windows:
            if not start < end:
                raise CosimError(f"{self} has a window from {start:g} to {end:g} o'clock: its end must be later")
            minutes = slice(round(start * 60), round(end * 60))
            if values[minutes].any():
                raise CosimError(f"{self} charges and discharges at the same time: keep its windows apart")
            values[minutes] = sign * min(self.power_kw, self.capacity_kwh / (end - start)) * 1000
        change = np.flatnonzero(np.diff(values, prepend=np.nan))
        return tuple((f"{minute // 60:02d}:{minute % 60:02d}", float(values[minute])) for minute in change)


class DynamicTariff(Policy):
    """Sets a price of electricity for every hour, to which households' setpoints and charging by price answer.

    Setpoints give way by `response_k` for every EUR/kWh that the price is above its mean of the last day, 2 K at most,
    and make up for it when it is below.

    Parameters
    ----------
    eur_per_kwh
        Price in each hour of the day, 24 values. [EUR/kWh] The default, dear in the morning and evening and cheap at
        night and noon, is an assumption.
    response_k
        How much setpoints answer. [K/(EUR/kWh)] Assumption.
    """

    eur_per_kwh: Annotated[tuple[float, ...], Field(min_length=24, max_length=24)] = (
        0.14, 0.13, 0.12, 0.12, 0.12, 0.14, 0.18, 0.26, 0.30, 0.26, 0.20, 0.18,
        0.16, 0.15, 0.15, 0.17, 0.22, 0.28, 0.34, 0.38, 0.38, 0.34, 0.24, 0.18,
    )  # fmt: skip
    response_k: Annotated[float, Field(ge=0, le=50)] = 5.0

    def change_city(self, city: City) -> City:
        """Tell buildings and fleet the price."""
        prices = hourly(np.array(self.eur_per_kwh) / J_PER_KWH)
        measures = replace(city.measures, price_response=self.response_k)
        measures = measures.tell("buildings.price", {"electricity": prices})
        if city.fleet is not None:
            measures = measures.tell("fleet.price", {"market": prices})
        return replace(city, measures=measures)


class DemandResponse(Policy):
    """Lowers the heating setpoint of a share of the buildings in the hours of the peak.

    The rooms cool down and are heated up again when the hours are over: the peak moves, and a part of it comes back.

    Parameters
    ----------
    shift_k
        By how much the setpoint is lowered. [K]
    share
        Share of the buildings, chosen by chance keyed to the building.
    from_hour, to_hour
        When, every day. [h]
    """

    shift_k: Annotated[float, Field(gt=0, le=5)] = 1.5
    share: Share = 0.5
    from_hour: Hour = 18.0
    to_hour: Hour = 21.0

    def change_city(self, city: City) -> City:
        """Tell the buildings."""
        ids = city.stock.ids
        chosen = uniform(city.seed, "demand response", ids) < self.share
        day = between(self.from_hour, self.to_hour, -self.shift_k, 0.0)
        days = {site: day for site, takes_part in zip(ids, chosen) if takes_part}
        if not days:
            raise CosimError(f"{self} reaches no building: raise its share")
        return replace(city, measures=city.measures.tell("buildings.heating_shift", days))


class Charging(Policy):
    """Lets electric cars charge by a strategy; every car has its target when it leaves.

    ``"plain"``: at once; ``"delayed"``: between 23 and 7 o'clock; ``"valley"``: into the valleys of its transformer's
    load; ``"pv"``: with the sun's surplus; ``"grid-limited"``: at once within what transformers have left; ``"price"``:
    in the cheapest hours of `DynamicTariff`, which must come before it.

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
        """Let the fleet follow the price, if that is asked for."""
        if self.strategy != "price":
            return city
        return replace(_with_fleet(city, self), strategy=PriceFollowing(_prices(city, self)))


class VehicleToGrid(Policy):
    """Lets a share of the electric cars give back energy when it is dear, charged again when they leave.

    They follow the hours of `DynamicTariff`, which must come before it.

    Parameters
    ----------
    share
        Share of the electric cars whose chargers can give back, chosen by chance keyed to the car.
    power_kw
        What they give back at most. [kW]
    """

    excludes: ClassVar[frozenset[str]] = frozenset({"Charging"})

    share: Share = 0.5
    power_kw: Positive = 7.4

    def change_parameters(self) -> dict[str, Any]:
        """Set ``charging``, so that cars keep their own batteries."""
        return {"charging": "plain"}

    def change_city(self, city: City) -> City:
        """Give cars their discharge power and the strategy."""
        city = _with_fleet(city, self)
        assert city.fleet is not None
        able = uniform(city.seed, "vehicle to grid", city.fleet.vehicle_ids) < self.share
        vehicles = {**city.fleet.vehicles, "discharge_w": np.where(able, self.power_kw * 1000, 0.0)}
        return replace(city, fleet=replace(city.fleet, vehicles=vehicles), strategy=V2G(_prices(city, self)))


class GridCaps(Policy):
    """Caps what buildings draw where their transformer would be overloaded, appliances last.

    The cap is what the grid said one exchange before. Heat pumps, their heaters and coolers give way; rooms may get
    cold, which the unmet degree-hours show.

    Parameters
    ----------
    loading
        Loading of the transformer that is not to be exceeded. [1]
    connection_kw
        What a dwelling may ever draw. [kW] 5.75 is Spain's basic supply (ITC-BT-10).
    """

    loading: Annotated[float, Field(gt=0, le=2)] = 1.0
    connection_kw: Positive = 5.75

    def change_city(self, city: City) -> City:
        """Put every building under the grid's control."""
        ratings = city.stock.dwellings * self.connection_kw * 1000
        caps = tuple(PowerCap(site, float(w), self.loading) for site, w in zip(city.stock.ids, ratings))
        measures = replace(city.measures, grid_controls=(*city.measures.grid_controls, *caps))
        return replace(city, measures=measures)

    def change_scenario(self, scenario: Scenario, city: City) -> None:
        """Tell the buildings their caps, one exchange later."""
        ids = city.stock.ids
        via = link(ids, ids, {site: site for site in ids})
        scenario.connect("grid.power_cap", "buildings.power_cap", via=via, delay=1, initial=NO_CAP, partial=True,
                         because="the grid caps what it has seen")  # fmt: skip


class ChargingCaps(Policy):
    """Keeps charging within what transformers have left, whatever the strategy; who leaves with less is reported.

    Put it after `Charging` or `VehicleToGrid`.
    """

    def change_city(self, city: City) -> City:
        """Put the limit around the strategy."""
        city = _with_fleet(city, self)
        return replace(city, strategy=GridLimited(city.strategy))


def refurbished(city: City, chosen: Flags, level: int) -> tuple[Stock, Flags]:
    """Return a city's stock with some buildings at a refurbishment level, and which have become better.

    Parameters
    ----------
    city
        With the places of its buildings.
    chosen : shape (n_buildings,)
        Those that may be refurbished.
    level
        2 or 3.
    """
    old = city.stock
    outdoor = 20.0 - old.design_load / (old.zones.loss_coefficient[old.archetype] * old.floor_area)
    published = tabula_types()
    levels = [max(k for k in range(1, level + 1) if (kind, k) in published) for kind in old.types]
    new = make_stock(
        old.ids, old.types, old.floor_area, old.storeys, city.sites["attached"].to_numpy(float),
        city.sites["azimuth_deg"].to_numpy(float), levels,
    )  # fmt: skip
    loss = [stock.zones.loss_coefficient[stock.archetype] for stock in (old, new)]
    better = chosen & (loss[1] < loss[0] * (1 - 1e-9))
    design_load = np.where(better, loss[1] * old.floor_area * (20.0 - outdoor), old.design_load)
    smaller = design_load / old.design_load

    def pick(name: str) -> Any:
        before, after = getattr(old, name), getattr(new, name)
        return np.where(better[:, None] if before.ndim == 2 else better, after, before)

    archetype = np.where(better, new.archetype + len(old.zones), old.archetype).astype(np.int32)
    return dataclasses.replace(
        old, zones=old.zones + new.zones, archetype=archetype, design_load=design_load,
        heating_capacity=old.heating_capacity * smaller, heat_pump_capacity=old.heat_pump_capacity * smaller,
        **{name: pick(name) for name in ("window_area", "solar_transmittance", "sun_on_exterior", "sky_depression")},
    ), better  # fmt: skip


def _with_fleet(city: City, policy: Policy) -> City:
    if city.fleet is None:
        raise CosimError(f"{policy} finds no electric cars with batteries of their own: put EvShare before it")
    return city


def _prices(city: City, policy: Policy) -> npt.NDArray[np.float64]:
    days = city.measures.inputs.get("fleet.price")
    if not days:
        raise CosimError(f"{policy} has no price to follow: put DynamicTariff before it")
    return np.array([price for _, price in days["market"]])
