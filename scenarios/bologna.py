"""Buildings, grid and chargers around any SUMO configuration, whose traffic stays exactly as it is.

Made for the scenarios of Bologna, hence its name, Italian building types, 15 kV and Bologna's weather. A
configuration without an end runs until its last vehicle has left, rounded up to the exchange step.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from cosim import Clock, CosimError, Scenario
from cosim.adapters.sumo_demand import electric_variant
from cosim.adapters.sumo_files import read_configuration
from cosim.adapters.weather import load

from .chargers import place_chargers, write_chargers
from .city import City, Workspace, couple, electrify, settle, shares_by_year
from .mobility import STRATEGIES, transformers
from .mobility_routes import routes_fleet
from .policy import Policy, takes_policies, with_policies_built
from .streets import read_net, sites_along

ZONE = "Europe/Rome"

BUILT = {1890: 0.25, 1930: 0.25, 1955: 0.25, 1970: 0.25}
"""Share of the buildings by a year of their construction class. An assumption."""

STOREYS = (3, 5)
"""An assumption for streets outside the old town."""

LIVED_IN = 0.8
"""Share of the gross floor area that is dwellings. An assumption."""

DESIGN_OUTDOOR = -5.0
"""Winter design temperature of Bologna. [°C] UNI EN 12831, national annex."""

Share = Annotated[float, Field(ge=0, le=1)]


@takes_policies
def build(
    *,
    sumocfg: Path,
    seed: int = 0,
    policies: Sequence[Policy] = (),
    start: dt.datetime | str = "2025-01-15T08:00",
    hours: Annotated[float, Field(gt=0)] | None = None,
    buildings: Annotated[int, Field(ge=1)] = 300,
    chargers: Annotated[int, Field(ge=0)] = 20,
    ev_share: Share = 0.0,
    charging: Literal["plain", "delayed", "valley", "pv", "grid-limited"] = "plain",
    heat_pump_share: Share = 0.15,
    refurbishment: Annotated[int, Field(ge=1, le=3)] = 1,
    weather: str = "bologna",
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
    start
        Civil time at the configuration's beginning.
    hours
        Length of the run; by default until the configuration's end or its last vehicle. [h]
    buildings
        Number of buildings along the streets.
    chargers
        Number of public charging stations at the kerb.
    ev_share
        Share of the cars that become electric, with the same driving, and charge where they park.
    charging
        The strategy by which they charge.
    heat_pump_share
        Share of the buildings heated by heat pumps, the others by gas.
    refurbishment
        TABULA's level of all buildings: 1 existing, 2 usual, 3 advanced.
    weather
        "bologna" (a mean year), "barcelona", or the path of an EPW file.
    step_s
        Exchange step. [s]
    grid_step_s
        Step of the grid, fed with means. [s]
    """
    sumo = read_configuration(sumocfg)
    if hours is None and sumo.end_s is not None:
        hours = (sumo.end_s - sumo.begin_s) / 3600
    try:
        clock = Clock(start, hours=hours, step_s=step_s, zone=ZONE)
    except CosimError as error:
        raise CosimError(f"{sumocfg}: {error}") from error
    workspace = Workspace("bologna")
    place = workspace.path
    net = read_net(sumo.net)
    sites = sites_along(net, buildings, seed)
    stock = settle(
        sites, shares_by_year("IT", "AB", BUILT), STOREYS, level=refurbishment,
        lived_in=LIVED_IN, heat_pump_share=heat_pump_share, design_outdoor=DESIGN_OUTDOOR, seed=seed,
    )  # fmt: skip
    stations = place_chargers(net, sites, chargers, 0, seed)
    grid = electrify(net, sites, stock, stations, "IT")
    stock = with_policies_built(policies, stock, sites, seed)
    plan = None
    if ev_share:
        behind, ratings = transformers(grid.net, grid.bus_of, stations.index)
        plan = routes_fleet(
            sumo.routes, net, sites, stations, seed, ev_share=ev_share, begin_s=sumo.begin_s, transformer_of=behind,
            ratings=ratings or None,
        )  # fmt: skip
    options: tuple[str, ...] = ()
    if plan:
        sumocfg = electric_variant(sumocfg, plan.trip_ids, place / "electric")
    elif chargers:
        added = write_chargers(stations, place / "chargers.add.xml")
        options = ("--additional-files", ",".join(str(path) for path in (*sumo.additionals, added)))
    city = City(
        "bologna", "IT", ZONE, sumocfg, sites, stock, stations, grid, load(weather), workspace, seed, options, plan,
        STRATEGIES[charging](),
    )  # fmt: skip
    return couple(city, clock, policies=policies, grid_step_s=grid_step_s)
