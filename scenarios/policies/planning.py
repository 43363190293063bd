"""Policies on what a city builds: storeys, shading, green roofs, public chargers and a stronger grid."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field

from cosim import CosimError, Result
from cosim.core.random import quota
from cosim.scenarios.buildings.stock import Stock, make_stock
from cosim.scenarios.grid.reinforcement import reinforced, upgrades
from cosim.scenarios.mobility.chargers import WALK_M, unserved
from cosim.scenarios.model import City
from cosim.scenarios.policies.policy import Policy, Positive, Share

__all__ = ["Densification", "GreenRoofs", "GridReinforcement", "PublicChargers", "Shading", "next_charger"]

SECTOR = "Planning"


class Densification(Policy):
    """Adds storeys to a share of the buildings, with the U-values of the existing envelope.

    Dwellings, their households, heat, hot water and electricity grow; the grid stays as it was built, so that its
    reserve shrinks. New residents drive and are visited as the others are. Each new trip has a key of its own, so that
    nobody else's day changes; through traffic stays the same. A few cars may become electric or lose it, as the share
    of electric cars holds for all of them. A scenario with its own route files (bologna) keeps its
    traffic.

    Parameters
    ----------
    storeys
        Number of added storeys.
    share
        Share of the buildings, or of those of the block, exact to one, drawn by key.
    block
        Restrict the policy to this block of the buildings' table; all blocks if empty.
    """

    storeys: Annotated[int, Field(ge=1, le=10)] = 1
    share: Share = 0.5
    block: str = ""

    def change_stock(self, stock: Stock, sites: pd.DataFrame, seed: int) -> Stock:
        """Add the storeys."""
        old = stock
        if self.block and self.block not in set(sites["block"]):
            raise CosimError(f"{self}: unknown block {self.block!r}; give one of the buildings' table")
        chosen = (sites["block"] == self.block).to_numpy(bool) if self.block else np.ones(len(old), bool)
        chosen[chosen] = quota(seed, "densification", np.array(old.ids)[chosen], self.share)
        if not chosen.any():
            raise CosimError(f"{self} selects no building: raise its share")
        if not _is_existing(old, sites)[chosen].all():
            raise CosimError(f"{self} adds to existing envelopes: build on refurbishment level 1, and add Retrofit")
        floors = old.storeys + np.where(chosen, self.storeys, 0)
        grown = make_stock(
            old.ids,
            old.types,
            old.floor_area * floors / old.storeys,
            floors,
            sites["attached"].to_numpy(float),
            sites["azimuth_deg"].to_numpy(float),
            emission=old.emission,
        )
        growth = grown.floor_area / old.floor_area
        outdoor = 20.0 - old.design_load / (_loss(old) * old.floor_area)
        loss = grown.zones.loss_coefficient[grown.archetype]
        load = loss * grown.floor_area * (20.0 - outdoor)
        dwellings = np.maximum(1.0, np.round(old.dwellings * growth))
        return dataclasses.replace(
            grown,
            dwellings=dwellings,
            tank_volume=old.tank_volume * dwellings / old.dwellings,
            hot_water_need=old.hot_water_need * growth,
            heating=old.heating,
            party_walls=old.party_walls,
            blinds=old.blinds,
            heat_pump_source=old.heat_pump_source,
            design_load=load,
            heating_capacity=old.heating_capacity * load / old.design_load,
            heat_pump_capacity=old.heat_pump_capacity * load / old.design_load,
            cooling_capacity=old.cooling_capacity * growth,
            pv_capacity=old.pv_capacity,
            battery_capacity=old.battery_capacity,
        )


class Shading(Policy):
    """Shades the windows of a share of the buildings from outside, all year round or while it is wanted.

    Parameters
    ----------
    share
        Share of the buildings, exact to one, drawn by key.
    transmittance
        Share of solar radiation that still enters. 0.4 is an assumption for awnings and half-open blinds.
    by_rule
        Whether it shades only façades that receive more than 300 W/m², of rooms above 24 °C.
    """

    share: Share = 0.5
    transmittance: Share = 0.4
    by_rule: bool = False

    def change_city(self, city: City) -> City:
        """Lower the windows' solar transmittance, or give them blinds."""
        chosen = quota(city.seed, "shading", city.stock.ids, self.share)
        if self.by_rule:
            blinds = city.stock.blinds * np.where(chosen, self.transmittance, 1.0)
            return replace(city, stock=dataclasses.replace(city.stock, blinds=blinds))
        let_in = city.stock.solar_transmittance * np.where(chosen, self.transmittance, 1.0)
        return replace(city, stock=dataclasses.replace(city.stock, solar_transmittance=let_in))


class GreenRoofs(Policy):
    """Plants a share of the roofs: the sun heats them less, as evaporation from the leaves takes up part of the heat.

    Only solar heat on the roof is lowered; the roof's insulation and the city's air stay as they are.

    Parameters
    ----------
    share
        Share of the buildings, exact to one, drawn by key.
    sun_kept_off
        Share of the solar heat on the roof that is kept off. 0.6 is an assumption.
    """

    share: Share = 0.5
    sun_kept_off: Share = 0.6

    def change_city(self, city: City) -> City:
        """Lower the solar heat on the roofs."""
        chosen = quota(city.seed, "green roof", city.stock.ids, self.share)
        sun = city.stock.sun_on_exterior.copy()
        sun[:, 0] *= np.where(chosen, 1 - self.sun_kept_off, 1.0)
        return replace(city, stock=dataclasses.replace(city.stock, sun_on_exterior=sun))


class PublicChargers(Policy):
    """Adds public charging stations at the kerb, one after the other where demand is least served.

    Demand comes from the residents within 300 m, each weighted less the more points they can already walk to; see
    `cosim.scenarios.mobility.chargers.unserved`. Existing stations stay, a larger number keeps those of a smaller one,
    and no choice is random.

    Parameters
    ----------
    per_block
        Number of further stations per block.
    """

    per_block: Annotated[float, Field(gt=0, le=20)] = 1.5

    def change_parameters(self) -> dict[str, Any]:
        """Set ``sited_chargers_per_block``."""
        return {"sited_chargers_per_block": self.per_block}


class GridReinforcement(Policy):
    """Adds parallel transformers and cables to those that were overloaded in an earlier run.

    Run the plan without it, then again with it: what is built, and its cost, follow from the loadings of the first run;
    see `cosim.scenarios.grid.reinforcement`.

    Parameters
    ----------
    run
        Folder of the earlier run, with the same grid.
    limit
        Permitted loading. [1]
    """

    run: Path
    limit: Positive = 1.0

    def change_city(self, city: City) -> City:
        """Add the parallel units."""
        needed = upgrades(Result.open(self.run), city.grid.net, limit=self.limit)
        if not needed:
            raise CosimError(f"{self} builds nothing: no transformer or cable of that run is above its limit")
        return replace(city, grid=replace(city.grid, net=reinforced(city.grid.net, needed)))


def next_charger(city: City, *, within_m: float = WALK_M) -> pd.DataFrame:
    """Return positions for the next public charging station, ranked by unserved demand (`chargers.unserved`).

    Parameters
    ----------
    city
        The city; the street in front of every building is a candidate.
    within_m
        Walking distance. [m]

    Returns
    -------
    One row per candidate, the best first, index ``site``: ``edge``, ``x``, ``y`` [m], ``unserved`` (dwellings within
    reach, each divided by one more than its points within walking distance).

    Raises
    ------
    CosimError
        If the distance is not positive.
    """
    if not within_m > 0:
        raise CosimError(f"within_m is {within_m} m: it must be positive")
    public = city.chargers[city.chargers["kind"] != "building"]
    demand = unserved(city.sites, public, city.sites, city.stock.dwellings, within_m)
    table = city.sites[["edge", "x", "y"]].assign(unserved=demand)
    return table.sort_values("unserved", ascending=False, kind="stable")


def _loss(stock: Stock) -> Any:
    return stock.zones.loss_coefficient[stock.archetype]


def _is_existing(old: Stock, sites: pd.DataFrame) -> Any:
    """Return which envelopes are at level 1, by their heat loss."""
    plain = make_stock(
        old.ids,
        old.types,
        old.floor_area,
        old.storeys,
        sites["attached"].to_numpy(float),
        sites["azimuth_deg"].to_numpy(float),
        emission=old.emission,
    )
    return np.isclose(_loss(old), _loss(plain))
