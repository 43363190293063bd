"""A Barcelona-Eixample-like district: n × m of Cerdà's blocks with traffic, buildings, chargers and their grid.

Streets are drawn at the real pitch and built by netconvert, cars drive synthetic days in SUMO, every block has 24
buildings, and a low- and medium-voltage grid runs along the streets. Everything follows from one seed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from cosim import Clock, Scenario
from cosim.core.quantities import HOUR_S
from cosim.scenarios.carbon.account import fuel_of
from cosim.scenarios.fleet.plan import fleet_plan
from cosim.scenarios.fleet.wiring import transformers
from cosim.scenarios.mobility.cars import FLEET
from cosim.scenarios.mobility.chargers import place_chargers
from cosim.scenarios.mobility.costs import TravelChanges
from cosim.scenarios.mobility.drives import BOLOGNA_BY_HOUR
from cosim.scenarios.mobility.gravity import Gravity
from cosim.scenarios.mobility.kinds import BARCELONA, SUMO_TYPES, beside_residents
from cosim.scenarios.mobility.population import Habits
from cosim.scenarios.mobility.resident_cars import city_demand
from cosim.scenarios.mobility.through import Others, through_flows
from cosim.scenarios.policies.policy import Policies, Policy, takes_policies
from cosim.scenarios.sectors.premises import NAME
from cosim.scenarios.sectors.traffic import AREA_M2, EMISSION_GROUPS, RESIDENTS
from cosim.scenarios.streets.classes import street_classes
from cosim.scenarios.streets.eixample import PITCH_M, building_sites, check_blocks, eixample_streets
from cosim.scenarios.streets.network import read_net

from .coupling import couple
from .forecast import charging_strategy
from .measures import Measures
from .model import City, Workspace
from .parts import (
    MESOSCOPIC,
    PERSONS_PER_DWELLING,
    SERVICES,
    check_place,
    days_of,
    electrify,
    ground_floors,
    settle,
    shares_by_year,
    weather_and_day,
    write_configuration,
)
from .warm_up import FINE_S, WarmUp

ZONE = "Europe/Madrid"

BUILT = {1890: 0.35, 1920: 0.30, 1950: 0.10, 1970: 0.20, 1990: 0.05}
"""Share of the buildings by construction class, each named by one of its years. An assumption; the Eixample was mostly
built up between 1860 and 1936."""

STOREYS = (6, 8)
"""Ground floor and five to seven storeys above. An assumption."""

DWELLING_M2 = 82.0
"""Useful floor area of a dwelling: mean of Barcelona's 684,078 main dwellings by classes of area, census of 2011
(Idescat, censph 7061). [m²]"""

LIVED_IN = 0.36
"""Share of the gross floor area that is dwellings: without shops, offices, stairs, walls and what stands empty. An
assumption that gives some 36,000 inhabitants a km², the density that Barcelona's statistics office publishes for the
Eixample."""

COOLED = 0.434
"""Share of the dwellings with cooling, Barcelona 2015 (AGIC, as in Interempresas)."""

UNHEATED, RESISTANCE = 0.3, 0.1
"""Shares of the buildings without heating and with resistance heaters, unless a heat pump replaces them. 70.3 % of
Spain's dwellings had heating (INE, 2008); 24 % (INE, EPF 2022) to 30.4 % (INE, 2008) of those with heating have it from
electricity: resistance heaters are what the heat pumps of `heat_pump_share` lack of it."""

DESIGN_OUTDOOR = 2.0
"""Winter design temperature of Barcelona. [°C] An assumption."""

HABITS = Habits(modes={"car": 0.13, "motorcycle and passenger": 0.082, "public": 0.388, "active": 0.4})
"""Modes of the city's residents: private vehicles make 21.2 % of the trips in the county of Barcelona (2017, Diputació
de Barcelona), where 100 private trips meet 181 by public transport (2023, as in monterrassa.cat), here 183; the rest
is on foot or by bicycle. That drivers of cars make 13 of the 21.2 % is an assumption."""

VISITOR_TRIPS = 0.3
"""Trips a day of others' vehicles to and from the district, per resident. Of 1.5 million private trips of Barcelona
0.65 million stay inside the city (2016, Ara): the others are 0.53 per resident; that visitors make somewhat more than
half of these is an assumption."""

SURROUNDINGS = 0.5
"""Density of destinations around the district over that inside. An assumption, as half of what lies around Barcelona is
sea and hills: with it, 63 % of the destinations are inside on the city's 101 km² (75 × 75 blocks), and about as many of
the residents' private trips are: 0.65 of some 1.02 million (see `VISITOR_TRIPS`)."""

OTHERS = beside_residents(BARCELONA, 0.06)
"""Kinds of others' vehicles, so that all together have Barcelona's shares; residents drive some 6 % of the distance
here, all by car."""

EMITTING = (*FLEET, *(kind.emission_class for kind in SUMO_TYPES.values()))

Share = Annotated[float, Field(ge=0, le=1)]


def habits_in(n: int, m: int) -> Habits:
    """Return the habits of the residents: in districts of some 30 × 30 blocks or more, near places attract more.

    In smaller ones distances differ little, and the share of the destinations inside is the assumed one.

    Examples
    --------
    >>> habits_in(16, 16).surroundings, habits_in(64, 64).surroundings
    (None, 0.5)
    """
    corners = np.array([(i * PITCH_M, j * PITCH_M) for i in (0, n) for j in (0, m)])
    large = Gravity(corners).inside_share(SURROUNDINGS).mean() > HABITS.inside_share
    return replace(HABITS, surroundings=SURROUNDINGS) if large else HABITS


@takes_policies
def build(
    *,
    seed: int = 0,
    policies: Sequence[Policy] = (),
    blocks: tuple[int, int] = (4, 4),
    day: dt.date | str = "2025-01-15",
    hours: Annotated[float, Field(gt=0, le=8784)] = 24.0,
    begin_hour: Annotated[float, Field(ge=0, lt=24)] = 0.0,
    ev_share: Share = 0.2,
    heat_pump_share: Share = 0.15,
    refurbishment: Annotated[int, Field(ge=1, le=3)] = 1,
    building_physics: Literal["constant", "varying"] = "constant",
    street_chargers_per_block: Annotated[float, Field(ge=0)] = 1.5,
    sited_chargers_per_block: Annotated[float, Field(ge=0)] = 0.0,
    building_charger_share: Share = 0.1,
    services: Annotated[float, Field(ge=0, le=0.45)] = 0.2,
    through_traffic: Annotated[float, Field(ge=0, le=3)] = 1.0,
    charging: Literal["plain", "delayed", "valley", "pv", "grid-limited"] = "plain",
    answers: Literal["nothing", "routes", "modes"] = "routes",
    fidelity: Literal["micro", "meso"] = "micro",
    weather: str = "barcelona",
    weather_year: Literal["given", "seeded"] = "given",
    zone: str = ZONE,
    country: Literal["ES", "IT"] = "ES",
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
        The day, in the zone's time; or "coldest", "hottest" or "typical" of the weather.
    hours
        Length of the run, of one day or several, at most a year. [h]
    begin_hour
        Hour of the day at which the run begins. [h]
    ev_share
        Share of the cars that are electric, exact to one, drawn by key.
    heat_pump_share
        Share of the buildings heated by heat pumps, exact to one, drawn by key; of the others some are unheated,
        some have resistance heaters, and most burn gas.
    refurbishment
        TABULA refurbishment level of all buildings: 1 existing, 2 usual, 3 advanced.
    building_physics
        "constant" films and infiltration of buildings, or "varying" ones that follow temperatures and wind.
    street_chargers_per_block
        Public charging stations at the kerb, per block, at randomly drawn positions.
    sited_chargers_per_block
        Further ones, each where demand is least served.
    building_charger_share
        Share of the buildings with a charging station.
    services
        Share of the gross floor area that is shops, offices, hotels, schools and the like; 0.36 is dwellings.
    through_traffic
        Through traffic over what was counted on streets of the same class.
    charging
        The strategy by which residents' electric cars charge what they have driven.
    answers
        What travellers change under policies: "nothing" but the detours around closed streets, "routes" (prices too) or
        "modes" (also whether and by what mode they travel).
    fidelity
        "micro": every vehicle second by second; "meso": SUMO's queue model, many times faster, in which cars short of
        charge make no detour to a charger.
    weather
        "barcelona" (a mean year), "bologna", or the path of an EPW file.
    weather_year
        The year of a city with normals: "given", its mean year, or "seeded", one drawn around them by the seed, in
        which days differ as they did (cold spells, heat waves, clear and dull days).
    zone
        Time zone of the city, in which the place of the weather must lie.
    country
        Country of building types, grid design and carbon intensity.
    step_s
        Exchange step. [s]
    grid_step_s
        Step of the grid, which receives means over it. [s]
    """
    n, m = blocks
    check_blocks(n, m)
    year, date = weather_and_day(weather, day, seed if weather_year == "seeded" else None)
    moment = dt.datetime.combine(date, dt.time()) + dt.timedelta(hours=begin_hour)
    clock = Clock(moment, hours=hours, step_s=step_s, zone=zone)
    check_place(year, clock)
    dates, begin_s = days_of(clock)
    workspace = Workspace("eixample")
    place = workspace.path
    classes = street_classes(n, m)
    net_file = eixample_streets(place, n, m, classes=classes)
    net = read_net(net_file)
    sites = building_sites(n, m)
    stock = settle(
        sites,
        shares_by_year(country, "AB", BUILT),
        STOREYS,
        level=refurbishment,
        lived_in=LIVED_IN,
        heat_pump_share=heat_pump_share,
        design_outdoor=DESIGN_OUTDOOR,
        seed=seed,
        cooling_share=COOLED,
        dwelling_m2=DWELLING_M2,
        unheated=UNHEATED,
        resistance=RESISTANCE,
    )
    own = Policies.of(policies)
    built, stock = stock, own.change_stock(stock, sites, seed).with_neighbours(list(sites["footprint"]))
    sites = sites.assign(persons=stock.dwellings * PERSONS_PER_DWELLING)
    n_street, n_building = round(street_chargers_per_block * n * m), round(building_charger_share * len(sites))
    n_fast = max(n * m // 8, 1)
    n_sited = round(sited_chargers_per_block * n * m)
    chargers = place_chargers(net, sites, n_street, n_building, seed, n_fast=n_fast, n_sited=n_sited)
    habits = habits_in(n, m)
    changes = own.change_travel(TravelChanges(), net_file) if answers == "modes" else None
    demand = city_demand(
        net_file,
        sites,
        place,
        seed,
        habits=habits,
        ev_share=ev_share,
        visitor_trips_per_person=VISITOR_TRIPS,
        days=dates,
        zone=zone,
        others=Others(
            through_flows(n, m, classes, through_traffic),
            OTHERS,
            BOLOGNA_BY_HOUR,
            (begin_s, begin_s + hours * HOUR_S),
            dates[0],
        ),
        changes=changes,
    )
    config = write_configuration(place / "eixample.sumocfg", net_file, demand.routes, demand.additional, begin_s)
    table, premises = ground_floors(sites, built, SERVICES, services, LIVED_IN, seed)
    grid = electrify(net, sites, built, chargers, country, table)
    plan, strategy = None, None
    if demand.vehicles["electric"].any():
        behind, ratings = transformers(grid.net, grid.bus_of, chargers.index)
        ahead = WarmUp(stock, year, replace(clock, hours=24.0, step_s=FINE_S), seed)
        strategy, expected = charging_strategy(charging, ahead, grid, list(ratings), premises)
        plan = fleet_plan(
            demand,
            sites,
            chargers,
            seed,
            begin_s=begin_s,
            transformer_of=behind,
            ratings=ratings,
            strategy=strategy,
            base_load=expected,
        )
        if fidelity == "meso":
            plan = replace(plan, vehicles={**plan.vehicles, "detours": 0 * plan.vehicles["detours"]})
    city = City(
        "eixample",
        country,
        zone,
        config,
        sites,
        stock,
        chargers,
        grid,
        year,
        workspace,
        seed,
        traffic_options=MESOSCOPIC if fidelity == "meso" else (),
        fleet=plan,
        strategy=strategy,
        measures=Measures(varying_buildings=building_physics == "varying"),
        sectors={
            NAME: premises,
            RESIDENTS: habits,
            AREA_M2: n * m * PITCH_M**2,
            EMISSION_GROUPS: {name: fuel for name in EMITTING if (fuel := fuel_of(name))},
            **({"travel": demand.answer} if demand.answer else {}),
        },
        answers=answers,
    )
    return couple(city, clock, policies=policies, grid_step_s=grid_step_s)
