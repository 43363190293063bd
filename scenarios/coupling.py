"""From a city to a scenario: the adapters, connections, layers and indicators of its sectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from cosim import Adapter, Clock, Indicator, Layer, Result, Scenario
from cosim.core.quantities import J_PER_KWH

from .carbon.account import CarbonAccount, carbon_indicators
from .model import City
from .policies.policy import Policies, Policy
from .sectors import connect_roles, fitting_step, load_sectors, part_of


def couple(
    city: City,
    clock: Clock,
    *,
    policies: Iterable[Policy] = (),
    grid_step_s: float | None = None,
) -> Scenario:
    """Couple a city's sectors: weather → buildings → grid ← charging ← traffic.

    Connections in this direction carry the values of the same step and need no delay. What the fleet receives from the
    grid, and traffic from the fleet, is one exchange step old.

    Parameters
    ----------
    city
        The city.
    clock
        Start, exchange step and end.
    policies
        Applied in order.
    grid_step_s
        Step of the grid; the exchange step by default. [s]

    Raises
    ------
    CosimError
        If a part of the city does not fit the others.
    """
    applied = Policies.of(policies)
    city = applied.change_city(city)
    if city.answers == "nothing":
        city = replace(city, measures=city.measures.without("traffic.toll"))
    sectors = load_sectors()
    for sector in sectors.values():
        if prepare := part_of(sector, "prepare"):
            city = prepare(city)
    steps = {"grid": grid_step_s} if grid_step_s else {}
    members: dict[str, Mapping[str, Adapter]] = {
        name: build(city, clock, steps) if (build := part_of(sector, "adapters")) else {}
        for name, sector in sectors.items()
    }
    for name, sector in sectors.items():
        if longest_s := part_of(sector, "LONGEST_STEP_S"):
            steps |= dict.fromkeys(members[name], fitting_step(longest_s, clock))
    adapters = {name: adapter for found in members.values() for name, adapter in found.items()}
    scenario = Scenario(clock, indicators=city_indicators(city), steps=steps, **adapters)
    for name, sector in reversed(sectors.items()):
        for adapter in members[name]:
            connect_roles(scenario, adapter)
        if connect := part_of(sector, "connect"):
            connect(scenario, city)
    city.measures.apply(scenario)
    scenario.name, scenario.seed = city.name, city.seed
    scenario.model, scenario.crs = city, city.network.crs
    drawn = [layer for sector in sectors.values() if (found := part_of(sector, "layers")) for layer in found(city)]
    scenario.layers = [layer for layer in drawn if layer.port in scenario.outputs()]
    scenario.layers += [Layer.outline(title, shapes) for title, shapes in city.outlines.items()]
    scenario.facts = {
        subject: text
        for sector in sectors.values()
        if (told := part_of(sector, "facts"))
        for subject, text in told(city).items()
    }
    applied.change_scenario(scenario, city)
    return scenario


def city_indicators(city: City) -> Callable[[Result], dict[str, Indicator]]:
    """Return the function that computes the indicators of a city's run."""

    def indicators(result: Result) -> dict[str, Indicator]:
        sectors = load_sectors().values()
        ranked = sorted(sectors, key=lambda sector: getattr(sector, "INDICATOR_ORDER", sector.ORDER))
        found: dict[str, Indicator] = {}
        for sector in ranked:
            if compute := part_of(sector, "indicators"):
                found |= compute(result, city)
        account = CarbonAccount(city.carbon, city.country, city.zone)
        emitted = [compute(result, account) for s in sectors if (compute := part_of(s, "emissions"))]
        others = _uncounted(result, account)
        left_out = ", ".join(others)
        found |= carbon_indicators({source: e for part in emitted for source, e in part.items()}, left_out)
        if others:
            about = f"{left_out}: in the grid's import, but in no total of households or CO2e, as no sector counts it"
            kwh = sum(float(result.integral(port).sum()) for port in others if port in result.ports) / J_PER_KWH
            found["other loads"] = Indicator(kwh, "kWh", None, about, headline=about[0].upper() + about[1:] + ".")
        return found

    return indicators


def _uncounted(result: Result, account: CarbonAccount) -> list[str]:
    """Return the outputs connected to the grid's power that no sector has counted, such as a user's own adapter."""
    pairs = (row["connection"].split(" → ") for row in result.provenance["connections"])
    return sorted({source for source, target in pairs if target == "grid.power"} - account.counted)
