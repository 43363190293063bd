"""What can a city build? More storeys, shade and green roofs, and a stronger grid."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field

from cosim import CosimError, Result
from cosim.core.random import uniform
from cosim.scenarios.chargers import WALK_M, unserved
from cosim.scenarios.city import City
from cosim.scenarios.policy import Policy, Positive, Share
from cosim.scenarios.reinforcement import reinforced, upgrades
from cosim.scenarios.stock import Stock, make_stock


class Densification(Policy):
    """Adds storeys to a share of the buildings, with the U-values of the envelope that stands there.

    Dwellings, their households, heat, hot water and electricity grow; the grid stays as it was built, so that its
    reserve is seen to shrink. The new residents drive and are visited as the others are, each new trip with a key of
    its own, so that nobody else's day changes; through traffic stays what it was. A scenario whose traffic comes from
    route files of its own (bologna) keeps that traffic.

    Parameters
    ----------
    storeys
        Storeys that are added.
    share
        Share of the buildings, chosen by chance keyed to the building.
    block
        Only those of this block, as in the buildings' table; every block if empty.
    """

    storeys: Annotated[int, Field(ge=1, le=10)] = 1
    share: Share = 0.5
    block: str = ""

    def change_stock(self, stock: Stock, sites: pd.DataFrame, seed: int) -> Stock:
        """Let the buildings grow."""
        old = stock
        chosen = uniform(seed, "densification", old.ids) < self.share
        if self.block:
            if self.block not in set(sites["block"]):
                raise CosimError(f"{self}: there is no block {self.block!r}")
            chosen &= (sites["block"] == self.block).to_numpy(bool)
        if not chosen.any():
            raise CosimError(f"{self} chooses no building: raise its share")
        if not _is_existing(old, sites)[chosen].all():
            raise CosimError(f"{self} adds to existing envelopes: build on refurbishment level 1, and add Retrofit")
        floors = old.storeys + np.where(chosen, self.storeys, 0)
        grown = make_stock(
            old.ids, old.types, old.floor_area * floors / old.storeys, floors, sites["attached"].to_numpy(float),
            sites["azimuth_deg"].to_numpy(float),
        )  # fmt: skip
        growth = grown.floor_area / old.floor_area
        outdoor = 20.0 - old.design_load / (_loss(old) * old.floor_area)
        loss = grown.zones.loss_coefficient[grown.archetype]
        load = loss * grown.floor_area * (20.0 - outdoor)
        return dataclasses.replace(
            grown, heating=old.heating, heat_pump_source=old.heat_pump_source, design_load=load,
            heating_capacity=old.heating_capacity * load / old.design_load,
            heat_pump_capacity=old.heat_pump_capacity * load / old.design_load,
            cooling_capacity=old.cooling_capacity * growth, pv_capacity=old.pv_capacity,
            battery_capacity=old.battery_capacity,
        )  # fmt: skip


class Shading(Policy):
    """Shades the windows of a share of the buildings from outside, at any time of the year.

    Parameters
    ----------
    share
        Share of the buildings, chosen by chance keyed to the building.
    transmittance
        Share of the sun that still comes in. 0.4 is an assumption for awnings and half-open blinds.
    """

    share: Share = 0.5
    transmittance: Share = 0.4

    def change_city(self, city: City) -> City:
        """Lower what the windows let in."""
        chosen = uniform(city.seed, "shading", city.stock.ids) < self.share
        let_in = city.stock.solar_transmittance * np.where(chosen, self.transmittance, 1.0)
        return replace(city, stock=dataclasses.replace(city.stock, solar_transmittance=let_in))


class GreenRoofs(Policy):
    """Plants a share of the roofs: the sun heats them less, as the plants' leaves evaporate a part of it.

    Only the sun's heat on the roof is lowered; its insulation, and the air of the city, stay as they are.

    Parameters
    ----------
    share
        Share of the buildings, chosen by chance keyed to the building.
    sun_kept_off
        Share of the sun's heat on the roof that is kept off. 0.6 is an assumption.
    """

    share: Share = 0.5
    sun_kept_off: Share = 0.6

    def change_city(self, city: City) -> City:
        """Lower what the sun does to the roofs."""
        chosen = uniform(city.seed, "green roof", city.stock.ids) < self.share
        sun = city.stock.sun_on_exterior.copy()
        sun[:, 0] *= np.where(chosen, 1 - self.sun_kept_off, 1.0)
        return replace(city, stock=dataclasses.replace(city.stock, sun_on_exterior=sun))


class PublicChargers(Policy):
    """Puts up further public charging stations at the kerb, one after the other where it is missed most.

    A station is missed by the residents within 300 m of it, each the less the more points they can walk to already; see
    `cosim.scenarios.chargers.unserved`. The stations that stand stay, a larger number keeps those of a smaller one, and
    nothing is left to chance.

    Parameters
    ----------
    per_block
        Further stations per block.
    """

    per_block: Annotated[float, Field(gt=0, le=20)] = 1.5

    def change_parameters(self) -> dict[str, Any]:
        """Set ``sited_chargers_per_block``."""
        return {"sited_chargers_per_block": self.per_block}


class GridReinforcement(Policy):
    """Builds further transformers and cables beside those that were overloaded in an earlier run.

    Run the plan without it, then again with it: what is built, and its cost, follow from the first run's loadings; see
    `cosim.scenarios.reinforcement`.

    Parameters
    ----------
    run
        Folder of the earlier run, of the same grid.
    limit
        Loading that is allowed. [1]
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
    """Return where the next public charging station would be missed most, by `chargers.unserved`.

    Parameters
    ----------
    city
        The city; the place before every building is a candidate.
    within_m
        Walking distance. [m]

    Returns
    -------
    One row per candidate, the best first, index ``site``: ``edge``, ``x``, ``y`` [m], ``unserved`` (dwellings within
    reach, each divided by one more than the points that it can walk to).

    Raises
    ------
    CosimError
        If the distance is not positive.
    """
    if not within_m > 0:
        raise CosimError(f"a walking distance of {within_m} m: it must be positive")
    public = city.chargers[city.chargers["kind"] != "building"]
    missed = unserved(city.sites, public, city.sites, city.stock.dwellings, within_m)
    table = city.sites[["edge", "x", "y"]].assign(unserved=missed)
    return table.sort_values("unserved", ascending=False, kind="stable")


def _loss(stock: Stock) -> Any:
    return stock.zones.loss_coefficient[stock.archetype]


def _is_existing(old: Stock, sites: pd.DataFrame) -> Any:
    """Tell which envelopes are those of level 1, by their heat loss."""
    plain = make_stock(
        old.ids, old.types, old.floor_area, old.storeys, sites["attached"].to_numpy(float),
        sites["azimuth_deg"].to_numpy(float),
    )  # fmt: skip
    return np.isclose(_loss(old), _loss(plain))
