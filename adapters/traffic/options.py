"""SUMO options that win over the configuration's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from cosim.adapters.traffic.files import SumoConfiguration
from cosim.adapters.traffic.ignored import ignored
from cosim.adapters.traffic.measures import EMISSION_DIGITS
from cosim.core.errors import CosimError

Fidelity: TypeAlias = Literal["micro", "meso"]

_TRUE = ("true", "1", "yes", "on", "t", "x")
_DIGITS = 2  # SUMO's own default of precision
_ROUTE_AHEAD_S = 200.0  # SUMO's own default of route-steps

OPEN_PORT = "SUMO listens for TraCI on every network interface and accepts the first client: use it on trusted networks"

NOISE_OF_ELECTRIC_CARS = (
    "SUMO's Harmonoise knows no electric cars: they are as loud as cars with a combustion engine, too loud below some "
    "30 km/h"
)


def check_choices(fidelity: object, connection: object, value_of_time: float) -> None:
    """Refuse impossible choices of how SUMO runs.

    Raises
    ------
    CosimError
        With the choice.
    """
    if fidelity not in (None, "micro", "meso"):
        raise CosimError(f"fidelity is {fidelity!r}: write 'micro', 'meso' or None")
    if connection not in (None, "libsumo", "traci", "gui"):
        raise CosimError(f"connection is {connection!r}: write 'libsumo', 'traci', 'gui' or None")
    if not value_of_time > 0:
        raise CosimError(f"value_of_time is {value_of_time!r} EUR/h: it must be positive")


def winning_options(
    configuration: SumoConfiguration,
    *,
    period_s: float,
    seed: int | None,
    fidelity: Fidelity | None,
    forgives_routes: bool,
    follows: bool = False,
    has_caps: bool = False,
) -> dict[str, str]:
    """Return the options that win over the configuration's.

    Parameters
    ----------
    configuration
        The scenario.
    period_s
        Length of the exchange step. [s]
    seed, fidelity
        See `cosim.adapters.traffic.Traffic`.
    forgives_routes
        Whether vehicles without a way are left out.
    follows
        Whether the adapter reads the trips while they end.
    has_caps
        Whether a charging station limits the power of its vehicles together.
    """
    given = configuration.options
    options = {
        "no-step-log": "true",
        "emission-output.precision": str(max(EMISSION_DIGITS, int(given.get("emission-output.precision", 0)))),
        # Our sums of seconds and metres have no more digits than this.
        "precision": str(max(_DIGITS, int(given.get("precision") or _DIGITS))),
    }
    options |= {name: _MEASURED[name][0] for name in _MEASURED.keys() & given.keys()}
    if follows and any(name.startswith("device.tripinfo.") for name in given):
        options |= {"device.tripinfo.probability": "1", "device.tripinfo.explicit": ""}
    if has_caps and not given.get("chargingstations-output"):
        options["chargingstations-output"] = os.devnull  # SUMO 1.28 ignores totalPower without this output
    if forgives_routes:
        options["ignore-route-errors"] = "true"  # else whoever cannot reach a closed street would end the run
    if 0 < float(given.get("route-steps") or _ROUTE_AHEAD_S) < 2 * period_s:
        options["route-steps"] = str(round(2 * period_s))  # who departs in a step must be known when it begins
    if seed is not None:
        options |= {"seed": str(seed), "random": "false"}
    if fidelity:
        options["mesosim"] = "true" if fidelity == "meso" else "false"
        # SUMO's default is queues without junctions, in which no light is ever red.
        options["meso-junction-control"] = given.get("meso-junction-control", "true")
    return options


_MEASURED = {
    "emissions.volumetric-fuel": ("false", "fuel is measured in kilograms"),
    "no-warnings": ("false", "SUMO's warnings are read during the run"),
    "aggregate-warnings": ("-1", "SUMO's warnings are read during the run"),
    "log.timestamps": ("false", "SUMO's messages are read during the run"),
    "log.processid": ("false", "SUMO's messages are read during the run"),
    "language": ("C", "SUMO's messages are read during the run"),
}
"""Options with which the adapter could not read SUMO, with the value that they must have and why."""


def trips_name(configuration: SumoConfiguration) -> str:
    """Return the name of the file of trips that the adapter writes, always XML."""
    name = Path(configuration.options.get("tripinfo-output") or "tripinfos.xml").name.removesuffix(".gz")
    return Path(name).with_suffix(".xml").name if name.endswith((".csv", ".parquet", ".prq")) else name


def mended_options(configuration: SumoConfiguration, *, follows: bool, seed: int | None) -> list[tuple[str, str]]:
    """Return the options that are not taken as they stand, and why.

    Parameters
    ----------
    configuration
        The scenario.
    follows
        Whether the adapter reads the trips while they end.
    seed
        Seed of the run.
    """
    given, found = configuration.options, list(configuration.mended)
    for name, (value, reason) in _MEASURED.items():
        if given.get(name, value).lower() != value.lower():
            found.append((name, f"{given[name]} is not taken: {reason}"))
    if given.get("random", "").lower() in _TRUE:
        why = (
            "SUMO draws its seed anew in every run, which cannot be repeated" if seed is None else f"{seed} is the seed"
        )
        found.append(("random", why))
    elif seed is not None and given.get("seed", str(seed)) != str(seed):
        found.append(("seed", f"{given['seed']} is not taken: the seed of the run is {seed}"))
    if given.get("error-log"):
        found.append(("error-log", f"{given['error-log']} is not written: errors and warnings are in sumo-errors.txt"))
    if follows and (names := sorted(name for name in given if name.startswith("device.tripinfo."))):
        found.append((names[0], f"{given[names[0]]} is not taken: every trip is followed"))
    digits = given.get("precision")
    if digits and int(digits) < _DIGITS:
        found.append(("precision", f"{digits} digits would round this run's own sums: {_DIGITS} are written"))
    if form := given.get("output.format", "").removeprefix("xml"):
        found.append(("output.format", f"{form} is written to files that end so; the run's own are XML"))
    asked, name = given.get("tripinfo-output", ""), trips_name(configuration)
    if follows and asked and name != Path(asked).name:
        found.append(("tripinfo-output", f"{asked} is read during the run and written as XML to {name}"))
    return found


def announcements(
    configuration: SumoConfiguration,
    *,
    seed: int | None,
    follows: bool,
    charges_nothing: bool,
    opens_port: str,
    silent: Sequence[str],
) -> Iterator[tuple[str, str, str]]:
    """Yield kind, subject and text of the events that are known before the run.

    Parameters
    ----------
    configuration, seed, follows
        See `mended_options`.
    charges_nothing
        Whether there are stations and batteries, but the mesoscopic model.
    opens_port
        The connection, if it opens a port.
    silent
        Emission classes of electric cars, if noise is computed.
    """
    if opens_port:
        yield "open port", opens_port, OPEN_PORT
    for option, text in mended_options(configuration, follows=follows, seed=seed):
        yield "option mended", option, text
    for option, text in ignored(configuration):
        yield "ignored by SUMO", option, text
    if charges_nothing:
        yield "ignored by SUMO", "mesosim", "SUMO's mesoscopic model charges no battery at charging stations"
    if silent:
        yield "noise of electric cars", ", ".join(silent), NOISE_OF_ELECTRIC_CARS
