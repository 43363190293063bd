"""Buildings, grid and chargers around any SUMO configuration, whose traffic stays as it is or follows counts.

Made for scenarios of Bologna: Italian building types, a 15 kV grid and Bologna's weather. With hourly counts the
configuration's own traffic is replaced by that of the counted day, on its routes. A configuration without an
end runs until its last vehicle has left, and on to the full hour: plans in which traffic takes longer or shorter then
cover the same time.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from cosim import Clock, CosimError, Scenario
from cosim.adapters.traffic.files import read_configuration
from cosim.adapters.weather import load
from cosim.core.quantities import DAY_S, HOUR_S
from cosim.core.weather.days import DAY_NAMES
from cosim.core.weather.year import WeatherYear
from cosim.scenarios.fleet.route_files import with_electric_cars
from cosim.scenarios.mobility.chargers import place_chargers, write_chargers
from cosim.scenarios.mobility.costs import TravelChanges
from cosim.scenarios.mobility.counts.assimilation import UsualDay
from cosim.scenarios.mobility.counts.day import counted_day
from cosim.scenarios.mobility.counts.loops import locate, read_counts
from cosim.scenarios.policies.drivers import answered
from cosim.scenarios.policies.policy import Policies, Policy, takes_policies
from cosim.scenarios.sectors.premises import NAME
from cosim.scenarios.sectors.traffic import COUNTS, ZONES
from cosim.scenarios.streets.network import read_net, sites_along

from .coupling import couple
from .forecast import charging_strategy
from .measures import Measures
from .model import City, Workspace
from .parts import SERVICES, check_place, electrify, ground_floors, settle, shares_by_year, weather_and_day
from .warm_up import FINE_S, WarmUp

ZONE = "Europe/Rome"

START = "2025-01-15T08:00"
"""Start if none is given; its day, at midnight, with counts."""

START_TIME = "08:00"
"""Time of day at the start, where only a day is named."""

BUILT = {1890: 0.25, 1930: 0.25, 1955: 0.25, 1970: 0.25}
"""Share of the buildings by construction class, each named by one of its years. An assumption."""

STOREYS = (3, 5)
"""An assumption for streets outside the old town."""

LIVED_IN = 0.8
"""Share of the gross floor area that is dwellings. An assumption."""

DWELLING_M2, PERSONS = 88.9, 2.01
"""Floor area of a dwelling [m²] and its residents: 193,388 households of 1.90 persons live in 182,677 dwellings, 44.2
m² each of them (census of 2011, Comune di Bologna: "Famiglie" and "Condizione abitativa", Città a confronto)."""

HOUSEHOLDS = (0.42, 0.31, 0.145, 0.09, 0.035)
"""Shares of the dwellings with 1, 2, 3 … residents: 42 % have one, 27 % three or more (census of 2011, Comune di
Bologna, as in Sistan, "La condizione abitativa a Bologna"); how the others divide follows their mean, `PERSONS`."""

GAS_HOBS = 0.9
"""Share of the dwellings that cook on gas. An assumption."""

HEATED_HOURS = ((6.0, 9.0), (16.0, 22.6))
"""When homes are heated. [h] 9.6 h a day in Italy's north: 8 h in the whole country, a third of it before noon, with
2 h less in the centre and 3.5 h less in the south (Istat, survey of 2013, as in consumerismo.it), at 46, 20 and 34 % of
the households; these shares and the times of the day are assumptions."""

DESIGN_OUTDOOR = -5.0
"""Winter design temperature of Bologna. [°C] UNI EN 12831, national annex."""

COOLED = 0.603
"""Share of the dwellings with cooling, Emilia-Romagna 2021 (Istat, as in Rai News, June 2022)."""

Share = Annotated[float, Field(ge=0, le=1)]


@takes_policies
def build(
    *,
    sumocfg: Path,
    seed: int = 0,
    policies: Sequence[Policy] = (),
    counts: Path | None = None,
    start: dt.datetime | str | None = None,
    hours: Annotated[float, Field(gt=0, le=8784)] | None = None,
    buildings: Annotated[int, Field(ge=1)] = 300,
    services: Annotated[float, Field(ge=0, le=0.2)] = 0.1,
    chargers: Annotated[int, Field(ge=0)] = 20,
    ev_share: Share = 0.0,
    charging: Literal["plain", "delayed", "valley", "pv", "grid-limited"] = "plain",
    answers: Literal["nothing", "routes", "modes"] = "routes",
    heat_pump_share: Share = 0.085,
    refurbishment: Annotated[int, Field(ge=1, le=3)] = 1,
    building_physics: Literal["constant", "varying"] = "constant",
    weather: str = "bologna",
    weather_year: Literal["given", "seeded"] = "given",
    zone: str = ZONE,
    country: Literal["ES", "IT"] = "IT",
    live_counts: bool = False,
    step_s: Annotated[float, Field(gt=0)] = 60.0,
    grid_step_s: Annotated[float, Field(gt=0)] = 60.0,
) -> Scenario:
    """Build the scenario.

    Parameters
    ----------
    sumocfg
        The SUMO configuration.
    seed
        Seed of every draw, also SUMO's.
    policies
        Changes to the city, applied in order.
    counts
        CSV file of hourly traffic counts by loop; they make the traffic of the whole day on the configuration's routes.
        ``cosim validate counts`` says how well.
    start
        Civil time at which the run begins; the date may be "coldest", "hottest" or "typical" of the weather, as in
        "coldestT18:00". By default 15 January 2025 at 8:00, the configuration's begin, or at 0:00 with counts.
    hours
        Length of the run; by default until the configuration's end, or its last vehicle and the full hour; with counts
        until midnight. [h]
    buildings
        Number of buildings along the streets.
    services
        Share of the gross floor area that is shops, offices, hotels, schools and the like; 0.8 is dwellings. The
        default, two fifths of the ground floors, is an assumption.
    chargers
        Number of public charging stations at the kerb.
    ev_share
        Share of the cars that become electric, exact to one, drawn by key; they drive as before and charge where they
        park.
    charging
        Their charging strategy.
    answers
        What drivers change under policies: "nothing" but the detours around closed streets, "routes" (prices too) or
        "modes" (also whether they leave the car; nobody comes to it, as the files hold vehicles only).
    heat_pump_share
        Share of the buildings heated by heat pumps, exact to one, drawn by key; the others burn gas. 8.5 % of Italy's
        dwellings are heated by electricity (Istat, 2021).
    refurbishment
        TABULA refurbishment level of all buildings: 1 existing, 2 usual, 3 advanced.
    building_physics
        "constant" films and infiltration of buildings, or "varying" ones that follow temperatures and wind.
    weather
        "bologna" (a mean year), "barcelona", or the path of an EPW file.
    weather_year
        The year of a city with normals: "given", its mean year, or "seeded", one drawn around them by the seed, in
        which days differ as they did (cold spells, heat waves, clear and dull days).
    zone
        Time zone of the city, in which the place of the weather must lie.
    country
        Country of building types, grid design and carbon intensity.
    live_counts
        Let the demand of every street on which trips begin follow hourly counts that are fed into ``demand.counts``
        while it runs (see docs/live.md). Needs ``counts``, which are the usual day.
    step_s
        Exchange step. [s]
    grid_step_s
        Step of the grid, which receives means over it. [s]
    """
    workspace = Workspace("bologna")
    place = workspace.path
    if live_counts and counts is None:
        raise CosimError("live_counts follows loops, and counts names none: pass the counts of a usual day as counts")
    start = start or (START if counts is None else START.replace("08:00", "00:00"))
    usual = None
    year, moment = _weather_and_start(weather, start, seed if weather_year == "seeded" else None)
    if counts is not None:
        begin_s = _since_midnight_s(Clock(moment, hours=1.0, zone=zone))
        hours = hours or (DAY_S - begin_s) / HOUR_S
        if begin_s + hours * HOUR_S > DAY_S:
            raise CosimError(f"hours is {hours:g} from {moment}: counts are of one day, end by midnight")
        end_s = begin_s + hours * HOUR_S
        usual = UsualDay.of(sumocfg, counts, place / "usual", seed, zone) if live_counts else None
        sumocfg = counted_day(sumocfg, counts, place / "counted", seed=seed, begin_s=begin_s, end_s=end_s, zone=zone)
    sumo = read_configuration(sumocfg)
    if hours is None and sumo.end_s is not None:
        hours = (sumo.end_s - sumo.begin_s) / 3600
    try:
        clock = Clock(moment, hours=hours, step_s=step_s, zone=zone, horizon_s=HOUR_S)
    except CosimError as error:
        raise CosimError(f"{sumocfg}: {error}") from error
    check_place(year, clock)
    net = read_net(sumo.net)
    counted = {} if counts is None else {COUNTS: locate(read_counts(counts, zone), net, sumo.additionals, counts)}
    sites = sites_along(net, buildings, seed)
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
    )
    stock = replace(stock, household_sizes=HOUSEHOLDS, gas_hobs=GAS_HOBS, heated_hours=HEATED_HOURS)
    stations = place_chargers(net, sites, chargers, 0, seed)
    table, premises = ground_floors(sites, stock, SERVICES, services, LIVED_IN, seed)
    grid = electrify(net, sites, stock, stations, country, table)
    sites = sites.assign(persons=stock.dwellings * PERSONS)
    stock = Policies.of(policies).change_stock(stock, sites, seed).with_neighbours(list(sites["footprint"]))
    plan, strategy, answer = None, None, None
    if answers == "modes":
        changes = Policies.of(policies).change_travel(TravelChanges(), sumo.net)
        sumocfg, answer = answered(
            sumocfg, changes, place / "answers", seed, midnight_s=sumo.begin_s - _since_midnight_s(clock)
        )
        sumo = read_configuration(sumocfg)
    if ev_share:
        sumocfg, plan, ratings = with_electric_cars(sumocfg, net, sites, stations, grid, place, seed, ev_share)
        sumo = read_configuration(sumocfg)
        ahead = WarmUp(stock, year, replace(clock, hours=24.0, step_s=FINE_S), seed)
        strategy, _ = charging_strategy(charging, ahead, grid, list(ratings), premises)
    options: tuple[str, ...] = ()
    if chargers and not plan:
        added = write_chargers(stations, place / "chargers.add.xml")
        options = ("--additional-files", ",".join(str(path) for path in (*sumo.additionals, added)))
    city = City(
        "bologna",
        country,
        zone,
        sumocfg,
        sites,
        stock,
        stations,
        grid,
        year,
        workspace,
        seed,
        options,
        plan,
        strategy,
        measures=Measures(varying_buildings=building_physics == "varying"),
        sectors={
            NAME: premises,
            **({"travel": answer} if answer else {}),
            **counted,
            **({ZONES: usual.zones} if usual else {}),
        },
        answers=answers,
    )
    scenario = couple(city, clock, policies=policies, grid_step_s=grid_step_s)
    if usual:
        usual.follow_counts(scenario)
    return scenario


def _since_midnight_s(clock: Clock) -> float:
    now = clock.civil(0)
    return (now - now.replace(hour=0, minute=0, second=0)).total_seconds()


def _weather_and_start(
    weather: str, start: dt.datetime | str, seed: int | None = None
) -> tuple[WeatherYear, dt.datetime | str]:
    """Return the weather and the start, whose date may be a day of that weather by name."""
    name, _, time = start.partition("T") if isinstance(start, str) else ("", "", "")
    if name not in DAY_NAMES:
        return load(weather, seed), start
    year, date = weather_and_day(weather, name, seed)
    return year, f"{date}T{time or START_TIME}"
