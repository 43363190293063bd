"""A Barcelona-Eixample-like district: n × m of Cerdà's blocks with traffic, buildings, chargers and their grid.

Streets are drawn at the real pitch and built by netconvert, cars drive a synthetic working day in SUMO, 24 buildings
stand round every block, and a low- and medium-voltage grid runs along the streets. Everything follows from one seed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from cosim import Clock, CosimError, Scenario
from cosim.adapters.weather import load
from cosim.core.fleet_strategies import ValleyFilling

from .chargers import place_chargers
from .city import (
    PERSONS_PER_DWELLING,
    City,
    Workspace,
    couple,
    electrify,
    settle,
    shares_by_year,
    write_configuration,
)
from .demand import eixample_demand
from .demand_city import city_demand
from .forecast import expected_load
from .mobility import STRATEGIES, fleet_plan, transformers
from .policy import Policy, takes_policies, with_policies_built
from .population import Habits
from .streets import read_net
from .streets_eixample import building_sites, eixample_streets

ZONE = "Europe/Madrid"

BUILT = {1890: 0.35, 1920: 0.30, 1950: 0.10, 1970: 0.20, 1990: 0.05}
"""Share of the buildings by a year of their construction class. An assumption; the Eixample was mostly built up
between 1860 and 1936."""

STOREYS = (6, 8)
"""Ground floor and five to seven above. An assumption."""

LIVED_IN = 0.55
"""Share of the gross floor area that is dwellings: without shops, offices, stairs and walls. An assumption that gives
some 36,000 inhabitants a km², the density that Barcelona's statistics office publishes for the Eixample."""

DESIGN_OUTDOOR = 2.0
"""Winter design temperature of Barcelona. [°C] An assumption."""

HABITS = Habits(modes={"car": 0.15, "motorcycle and passenger": 0.10, "public": 0.22, "active": 0.53})
"""In the city itself the car makes less than 20 % of the trips (El Periódico, 20 May 2025, on the city's figures); the
split is an assumption."""

THROUGH_SHARE = 0.4
"""Share of all trips that only cross the district, before new residents come. An assumption."""

Share = Annotated[float, Field(ge=0, le=1)]


@takes_policies
def build(
    *,
    seed: int = 0,
    policies: Sequence[Policy] = (),
    blocks: tuple[int, int] = (4, 4),
    day: dt.date | str = "2025-01-15",
    hours: Annotated[float, Field(gt=0, le=24)] = 24.0,
    begin_hour: Annotated[float, Field(ge=0, lt=24)] = 0.0,
    ev_share: Share = 0.2,
    heat_pump_share: Share = 0.15,
    refurbishment: Annotated[int, Field(ge=1, le=3)] = 1,
    street_chargers_per_block: Annotated[float, Field(ge=0)] = 1.5,
    sited_chargers_per_block: Annotated[float, Field(ge=0)] = 0.0,
    building_charger_share: Share = 0.1,
    charging: Literal["stops", "plain", "delayed", "valley", "pv", "grid-limited"] = "stops",
    weather: str = "barcelona",
    step_s: Annotated[float, Field(gt=0)] = 60.0,
    grid_step_s: Annotated[float, Field(gt=0)] = 60.0,
) -> Scenario:
    """Build the scenario.

    Parameters
    ----------
    seed
        Seed of every draw.
    policies
        Changes to the city, applied in order.
    blocks
        Blocks along the two directions of the streets, at least 2,2.
    day
        The day, in Barcelona's time.
    hours
        Length of the run. [h]
    begin_hour
        Hour of the day at which it begins. [h]
    ev_share
        Share of the cars that are electric.
    heat_pump_share
        Share of the buildings heated by heat pumps, the others by gas.
    refurbishment
        TABULA's level of all buildings: 1 existing, 2 usual, 3 advanced.
    street_chargers_per_block
        Public charging stations at the kerb, per block, at places drawn by chance.
    sited_chargers_per_block
        Further ones, each where it is missed most.
    building_charger_share
        Share of the buildings with a charging station.
    charging
        "stops": cars plug in at stops that SUMO simulates; otherwise residents' cars go through their day with their
        own battery and charge by the strategy of this name.
    weather
        "barcelona" (a mean year), "bologna", or the path of an EPW file.
    step_s
        Exchange step. [s]
    grid_step_s
        Step of the grid, fed with means. [s]
    """
    n, m = blocks
    if begin_hour + hours > 24:
        raise CosimError(f"{hours:g} hours from {begin_hour:g} o'clock go beyond the day: its traffic ends at 24")
    moment = dt.datetime.combine(_date(day), dt.time()) + dt.timedelta(hours=begin_hour)
    clock = Clock(moment, hours=hours, step_s=step_s, zone=ZONE)
    workspace = Workspace("eixample")
    place = workspace.path
    net_file = eixample_streets(place, n, m)
    net = read_net(net_file)
    sites = building_sites(n, m)
    stock = settle(
        sites, shares_by_year("ES", "AB", BUILT), STOREYS, level=refurbishment,
        lived_in=LIVED_IN, heat_pump_share=heat_pump_share, design_outdoor=DESIGN_OUTDOOR, seed=seed,
    )  # fmt: skip
    built, stock = stock, with_policies_built(policies, stock, sites, seed)
    growth = float(stock.dwellings.sum() / built.dwellings.sum())
    sites = sites.assign(persons=stock.dwellings * PERSONS_PER_DWELLING)
    n_street, n_building = round(street_chargers_per_block * n * m), round(building_charger_share * len(sites))
    n_fast = 0 if charging == "stops" else max(n * m // 8, 1)
    n_sited = round(sited_chargers_per_block * n * m)
    chargers = place_chargers(net, sites, n_street, n_building, seed, n_fast=n_fast, n_sited=n_sited)
    if charging == "stops":
        through = THROUGH_SHARE / (THROUGH_SHARE + (1 - THROUGH_SHARE) * growth)
        demand = eixample_demand(
            net_file, sites, place, seed, chargers=chargers, ev_share=ev_share, through_share=through
        )
    else:
        demand = city_demand(
            net_file, sites, place, seed, habits=HABITS, ev_share=ev_share,
            visitor_trips_per_person=0.1, through_trips_per_person=0.2 / growth,
        )  # fmt: skip
    config = write_configuration(
        place / "eixample.sumocfg", net_file, demand.routes, demand.additional, begin_hour * 3600
    )
    grid = electrify(net, sites, built, chargers, "ES")
    year = load(weather)
    plan, strategy = None, None
    if charging != "stops" and demand.vehicles["electric"].any():
        behind, ratings = transformers(grid.net, grid.bus_of, chargers.index)
        strategy, expected = STRATEGIES[charging](), None
        if isinstance(strategy, ValleyFilling):
            expected = expected_load(stock, year, str(moment.date()), ZONE, seed, grid, list(ratings))
            strategy = ValleyFilling(expected)
        plan = fleet_plan(
            demand, net, sites, chargers, seed, begin_s=begin_hour * 3600, transformer_of=behind, ratings=ratings,
            strategy=strategy, base_load=expected,
        )  # fmt: skip
    city = City(
        "eixample", "ES", ZONE, config, sites, stock, chargers, grid, year, workspace, seed, fleet=plan,
        strategy=strategy,
    )  # fmt: skip
    return couple(city, clock, policies=policies, grid_step_s=grid_step_s)


def _date(day: dt.date | str) -> dt.date:
    try:
        return day if isinstance(day, dt.date) else dt.date.fromisoformat(day)
    except ValueError as error:
        raise CosimError(f"day is {day!r}: write it as '2025-01-15'") from error
