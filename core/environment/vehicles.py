"""Kinds of vehicles, as far as noise, wear and the turbulence behind them tell them apart."""

from __future__ import annotations

from typing import Literal, NamedTuple

from .wear import WearClass


class VehicleKind(NamedTuple):
    """What the environment needs to know of a kind of vehicle."""

    noise: Literal["1", "2", "3", "4a", "4b", ""]
    """Category of CNOSSOS-EU: light, medium, heavy, mopeds, motorcycles; empty for vehicles that it does not cover."""
    wear: WearClass
    is_electric: bool = False
    is_heavy: bool = False
    """Whether it stirs the air of a street as lorries and buses do."""


KINDS: dict[str, VehicleKind] = {
    "car": VehicleKind("1", "car"),
    "electric car": VehicleKind("1", "car", is_electric=True),
    "van": VehicleKind("1", "van"),
    "electric van": VehicleKind("1", "van", is_electric=True),
    "truck or bus": VehicleKind("2", "heavy", is_heavy=True),
    "electric truck or bus": VehicleKind("2", "heavy", is_electric=True, is_heavy=True),
    "heavy truck": VehicleKind("3", "heavy", is_heavy=True),
    "electric heavy truck": VehicleKind("3", "heavy", is_electric=True, is_heavy=True),
    "moped": VehicleKind("4a", "two-wheeler"),
    "motorcycle": VehicleKind("4b", "two-wheeler"),
    "electric two-wheeler": VehicleKind("", "two-wheeler", is_electric=True),
    "other": VehicleKind("", "none"),
}
"""Trucks and buses have two axles, heavy trucks more; others are bicycles, trams and ships, of which neither noise nor
wear is counted."""
