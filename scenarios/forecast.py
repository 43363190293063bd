"""Charging strategies by name, and the forecast of each transformer's load without electric cars that one needs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cosim.adapters.buildings import Buildings
from cosim.core.fleet.strategies import Strategy, ValleyFilling
from cosim.core.quantities import DAY_S, HOUR_S, Array
from cosim.scenarios.buildings.premises import Premises
from cosim.scenarios.fleet.plan import STRATEGIES
from cosim.scenarios.fleet.wiring import transformers
from cosim.scenarios.grid.synthesis import SynthesizedGrid
from cosim.scenarios.sectors.premises import adapter_of
from cosim.scenarios.warm_up import WarmUp

SLOT_S = 1800.0


def charging_strategy(
    name: str, warm_up: WarmUp, grid: SynthesizedGrid, stations: Sequence[str], premises: Premises | None = None
) -> tuple[Strategy, Array | None]:
    """Return a charging strategy, and the forecast that it was given, if it needs one; see `expected_load`."""
    if STRATEGIES[name] is not ValleyFilling:
        return STRATEGIES[name](), None
    expected = expected_load(warm_up, grid, stations, premises)
    return ValleyFilling(expected), expected


def expected_load(
    warm_up: WarmUp, grid: SynthesizedGrid, stations: Sequence[str], premises: Premises | None = None
) -> Array:
    """Return the expected load of each transformer over a day without cars, shape (n_stations, n_slots). [VA]

    The buildings' and premises' load in the 24 hours from the start of the run on, by time of day in slots of half an
    hour, and the transformers' no-load power: the forecast of an operator who knows the weather and the households'
    habits. Cable losses, and policies that change the city later, are left out; the charging strategy learns from
    the loads that it receives.

    Parameters
    ----------
    warm_up
        The buildings' days before the run, which the forecast continues.
    grid
        Of the city.
    stations
        Transformers, in the order of the rows.
    premises
        Of the city.
    """
    stock = warm_up.stock
    others = adapter_of(premises, warm_up.clock) if premises is not None and premises.labels else None
    labels = (*stock.ids, *(others.electric_power.labels if others else ()))
    behind, _ = transformers(grid.net, grid.bus_of, labels)
    row = {station: i for i, station in enumerate(stations)}
    at = np.array([row.get(behind[label], len(stations)) for label in labels])
    units = grid.net.trafo.set_index("name").loc[list(stations)]
    idle = np.array([units["pfe_kw"] * 1e3, units["i0_percent"] / 100 * units["sn_mva"] * units["parallel"] * 1e6])
    buildings = Buildings(stock, warm_up.clock, seed=warm_up.seed)
    energy, length = np.zeros((2, len(stations) + 1, round(DAY_S / SLOT_S))), np.zeros(round(DAY_S / SLOT_S))
    for step in warm_up.steps(buildings, DAY_S):
        if step.start_s < -1e-6:
            continue
        middle = warm_up.clock.civil(step.start_s + step.length_s / 2)
        slot = int((middle.hour * HOUR_S + middle.minute * 60 + middle.second) // SLOT_S)
        length[slot] += step.length_s
        power = [buildings.electric_power.value, buildings.reactive_power.value]
        if others:
            others.outdoor_temperature.deliver(buildings.outdoor_temperature.value[:1])
            others.advance(step)
            more = (others.electric_power.value, others.reactive_power.value)
            power = [np.concatenate(both) for both in zip(power, more, strict=True)]
        for total, load in zip(energy, power, strict=True):
            total[:, slot] += step.length_s * np.bincount(at, load, len(stations) + 1)
    # summer time skips an hour: its slots repeat those before
    last = np.maximum.accumulate(np.where(length > 0, np.arange(len(length)), 0))
    mean = (energy / np.maximum(length, 1e-9))[:, :-1, last] + idle[:, :, None]
    carried: Array = np.hypot(*mean)
    return carried
