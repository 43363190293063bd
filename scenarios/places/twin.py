"""Any city that was made by ``cosim city make``, with traffic, buildings, premises, chargers and their grid."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from cosim import Clock, CosimError, Scenario
from cosim.core.quantities import HOUR_S
from cosim.scenarios.carbon.intensity import Carbon
from cosim.scenarios.coupling import couple
from cosim.scenarios.fleet.plan import STRATEGIES, fleet_plan
from cosim.scenarios.fleet.route_files import with_electric_cars
from cosim.scenarios.fleet.wiring import transformers
from cosim.scenarios.measures import Measures
from cosim.scenarios.mobility.costs import TravelChanges
from cosim.scenarios.mobility.counts.day import counted_day
from cosim.scenarios.mobility.counts.greens import OPTIONS
from cosim.scenarios.mobility.counts.loops import locate, read_counts
from cosim.scenarios.model import City, Workspace
from cosim.scenarios.parts import MESOSCOPIC, check_place, weather_and_day, write_configuration
from cosim.scenarios.policies import drivers
from cosim.scenarios.policies.policy import Policies, Policy, takes_policies
from cosim.scenarios.sectors.premises import NAME, OUTLINES
from cosim.scenarios.sectors.traffic import COUNTS
from cosim.scenarios.streets.network import read_net

from .countries import figures
from .folder import (
    CHARGERS,
    NET,
    STOPS,
    TRAFFIC,
    TRANSIT,
    WEATHER,
    CityFolder,
    read_buildings,
    read_drives,
    read_grid,
    read_table,
)
from .homes import premises_of, settle_homes
from .people import answered, destinations

_PUBLISHED_SHAPE = ("ES", "IT")
"""Countries whose carbon intensity has a daily shape; all others have their published mean at every hour."""

Share = Annotated[float, Field(ge=0, le=1)]


@takes_policies
def build(
    *,
    city: str,
    seed: int = 0,
    policies: Sequence[Policy] = (),
    day: dt.date | str = "2025-01-15",
    hours: Annotated[float, Field(gt=0, le=24)] = 24.0,
    begin_hour: Annotated[float, Field(ge=0, lt=24)] = 0.0,
    ev_share: Share = 0.1,
    heat_pump_share: Share = 0.1,
    refurbishment: Annotated[int, Field(ge=1, le=3)] = 1,
    building_physics: Literal["constant", "varying"] = "constant",
    counts: Path | None = None,
    fidelity: Literal["micro", "meso"] = "micro",
    charging: Literal["plain", "delayed", "pv", "grid-limited"] = "plain",
    answers: Literal["nothing", "routes", "modes"] = "routes",
    weather_year: Literal["given", "seeded"] = "given",
    step_s: Annotated[float, Field(gt=0)] = 60.0,
    grid_step_s: Annotated[float, Field(gt=0)] = 60.0,
) -> Scenario:
    """Build the scenario of a city.

    Parameters
    ----------
    city
        Folder of the city.
    seed
        Seed of every draw of the run; the city itself stays as it was made.
    policies
        Changes to the city, applied in order.
    day
        The day, in the zone's time; or "coldest", "hottest" or "typical" of the weather.
    hours
        Length of the run. [h]
    begin_hour
        Hour of the day at which the run begins. [h]
    ev_share
        Chance of each car to be electric, drawn by its key.
    heat_pump_share
        Chance of each residential building to be heated by heat pumps, drawn by its key, the others by gas.
    refurbishment
        TABULA refurbishment level of all residential buildings: 1 existing, 2 usual, 3 advanced.
    building_physics
        "constant" films and infiltration of buildings, or "varying" ones that follow temperatures and wind.
    counts
        Hourly traffic counts by loop; the traffic is that of the counted day on the routes of the city's drives.
        ``cosim validate counts`` says how well. Its cars are others than the residents': each makes one drive.
    fidelity
        "micro": every vehicle second by second; "meso": SUMO's queue model, many times faster, in which cars short of
        charge make no detours.
    charging
        The strategy by which residents' electric cars charge what they have driven.
    answers
        What drivers change under policies: "nothing" but the detours around closed streets, "routes" (prices too) or
        "modes" (also whether they leave the car and when they depart; nobody comes to it, as the folder holds drives).
    weather_year
        The year of the city's weather: "given", the file or mean year it was made with, or "seeded", one drawn around
        the city's normals by the seed, if it has any.
    step_s
        Exchange step. [s]
    grid_step_s
        Step of the grid, which receives means over it. [s]
    """
    if begin_hour + hours > 24:
        raise CosimError(f"{hours:g} hours from {begin_hour:g} h go beyond the day: its traffic ends at 24 h")
    folder = CityFolder.open(Path(city))
    about = folder.about
    if problems := folder.problems():
        raise CosimError(f"{city}: {problems[0]} (and {len(problems) - 1} more): make it again with 'cosim city make'")
    named = str(about["weather"])
    drawn = seed if weather_year == "seeded" else None
    year, date = weather_and_day(str(folder.path / WEATHER) if named == WEATHER else named, day, drawn)
    moment = dt.datetime.combine(date, dt.time()) + dt.timedelta(hours=begin_hour)
    clock = Clock(moment, hours=hours, step_s=step_s, zone=about["zone"])
    check_place(year, clock)
    net = read_net(folder.path / NET)
    buildings, country = read_buildings(folder.path, net), figures(about["country"])
    sites, stock = settle_homes(
        buildings,
        country,
        level=refurbishment,
        heat_pump_share=heat_pump_share,
        design_outdoor=float(year.dry_bulb.min()),
        seed=seed,
    )
    stock = Policies.of(policies).change_stock(stock, sites, seed).with_neighbours(list(sites["footprint"]))
    table, premises = premises_of(buildings)
    chargers, _ = read_table(folder.path / CHARGERS, "charger")
    workspace = Workspace(str(about["name"]))
    grid = read_grid(folder.path)
    places = destinations(sites, table, buildings)
    changes = Policies.of(policies).change_travel(TravelChanges(), folder.path / NET) if answers == "modes" else None
    plan, answer, counted = None, None, {}
    strategy = STRATEGIES[charging]()
    if counts is None:
        drives = read_drives(folder.path)
        if changes is not None:
            drives = answered(drives, folder.path / NET, changes, workspace.path / "answers", seed)
            answer = drives.answer
        demand = drives.demand(workspace.path, folder.path / NET, int(about["seed"]), ev_share)
        config = write_configuration(
            workspace.path / "city.sumocfg",
            (folder.path / NET).resolve(),
            [path.resolve() for path in (*demand.routes, folder.path / TRANSIT) if path.is_file()],
            [path.resolve() for path in (*demand.additional, folder.path / STOPS) if path.is_file()],
            begin_hour * HOUR_S,
        )
        if demand.vehicles["electric"].any():
            behind, ratings = transformers(grid.net, grid.bus_of, chargers.index)
            plan = fleet_plan(
                demand,
                places,
                chargers,
                seed,
                begin_s=begin_hour * HOUR_S,
                transformer_of=behind,
                ratings=ratings,
                strategy=strategy,
            )
    else:
        begin_s, end_s = begin_hour * HOUR_S, (begin_hour + hours) * HOUR_S
        config = counted_day(
            folder.path / TRAFFIC,
            counts,
            workspace.path / "counted",
            seed=seed,
            begin_s=begin_s,
            end_s=end_s,
            zone=about["zone"],
            greens=fidelity == "meso",
        )
        counted = {COUNTS: locate(read_counts(counts, about["zone"]), net, source=counts)}
        if changes is not None:
            config, answer = drivers.answered(config, changes, workspace.path / "answers", seed)
        if ev_share:
            config, plan, _ = with_electric_cars(config, net, places, chargers, grid, workspace.path, seed, ev_share)
    if plan and fidelity == "meso":
        plan = replace(plan, vehicles={**plan.vehicles, "detours": 0 * plan.vehicles["detours"]})
    outlines = {
        str(label): list(shape.exterior.coords)[:-1] for label, shape in table["footprint"].items() if shape is not None
    }
    model = City(
        str(about["name"]),
        str(about["country"]),
        str(about["zone"]),
        config,
        sites,
        stock,
        chargers,
        grid,
        year,
        workspace,
        seed,
        traffic_options=(*MESOSCOPIC, *(OPTIONS if counted else ())) if fidelity == "meso" else (),
        fleet=plan,
        strategy=strategy if plan else None,
        measures=Measures(varying_buildings=building_physics == "varying"),
        carbon=Carbon() if about["country"] in _PUBLISHED_SHAPE else Carbon(by_hour=(country.kg_per_kwh,) * 24),
        sectors={NAME: premises, OUTLINES: outlines, **({"travel": answer} if answer else {}), **counted},
        answers=answers,
    )
    scenario = couple(model, clock, policies=policies, grid_step_s=grid_step_s)
    residents = round(float(sites["persons"].sum()))
    scenario.parameters = scenario.parameters | {"attribution": folder.attribution, "residents": residents}
    scenario.sources = [
        {key: str(source[key]) for key in ("file", "licence", "attribution")} for source in about["sources"]
    ]
    return scenario
