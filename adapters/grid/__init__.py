"""Electric grid: the adapter, its controls, input nets and power-flow solvers."""

from .adapter import Grid
from .controls import Fuse, Inverter, PowerCap, Shedding, TapControl
from .files import read_cgmes, read_matpower, read_net, read_simbench

__all__ = [
    "Fuse",
    "Grid",
    "Inverter",
    "PowerCap",
    "Shedding",
    "TapControl",
    "read_cgmes",
    "read_matpower",
    "read_net",
    "read_simbench",
]
