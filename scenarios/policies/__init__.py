"""Named, typed changes to a city or a scenario; each is applied while the scenario is built."""

from cosim.scenarios.policy import Policy

from .buses import BusElectrification
from .carbon import GridCarbon, TailpipeOnly
from .energy import (
    Charging,
    ChargingCaps,
    CommunityBatteries,
    DemandResponse,
    DynamicTariff,
    GridCaps,
    HeatPumps,
    HomeBatteries,
    Retrofit,
    RooftopPv,
    VehicleToGrid,
)
from .mobility import (
    CarFleet,
    CordonPrice,
    DistancePrice,
    EvShare,
    LowEmissionZone,
    ModeShift,
    Parking,
    SignalRetiming,
    SpeedLimit,
    Superblocks,
)
from .planning import Densification, GreenRoofs, GridReinforcement, PublicChargers, Shading, next_charger

LIBRARY: dict[str, tuple[type[Policy], ...]] = {
    "Mobility": (
        Superblocks, SpeedLimit, LowEmissionZone, CordonPrice, DistancePrice, Parking, ModeShift, SignalRetiming,
        EvShare, BusElectrification, CarFleet,
    ),
    "Energy": (
        HeatPumps, Retrofit, RooftopPv, HomeBatteries, CommunityBatteries, DynamicTariff, DemandResponse, Charging,
        VehicleToGrid, ChargingCaps, GridCaps,
    ),
    "Planning": (Densification, Shading, GreenRoofs, PublicChargers, GridReinforcement),
    "Greenhouse gas": (GridCarbon, TailpipeOnly),
}  # fmt: skip
"""The policies by sector."""

__all__ = [
    "LIBRARY", "BusElectrification", "CarFleet", "Charging", "ChargingCaps", "CommunityBatteries", "CordonPrice",
    "DemandResponse", "Densification", "DistancePrice", "DynamicTariff", "EvShare", "GreenRoofs", "GridCaps",
    "GridCarbon", "GridReinforcement", "HeatPumps", "HomeBatteries", "LowEmissionZone", "ModeShift",
    "Parking", "Policy", "PublicChargers", "Retrofit", "RooftopPv", "Shading", "SignalRetiming",
    "SpeedLimit", "Superblocks", "TailpipeOnly", "VehicleToGrid", "next_charger",
]  # fmt: skip
