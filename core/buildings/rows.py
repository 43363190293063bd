"""Rows of the stacked arrays of zones, and columns of their coefficients, as ``zones.h`` counts them too."""

from __future__ import annotations

from enum import IntEnum


class Drive(IntEnum):
    """What drives a zone: of `Zones.step` the first six, of a profile of `Zones.run` all."""

    OUTDOOR = 0
    EQUIVALENT = 1
    WINDOW = 2
    GAIN_AIR = 3
    GAIN_EXTERIOR = 4
    GAIN_INTERIOR = 5
    HEATING_SETPOINT = 6
    COOLING_SETPOINT = 7


class Control(IntEnum):
    """What a zone's heating and cooling are given."""

    HEATING_SETPOINT = 0
    COOLING_SETPOINT = 1
    HEATING_CAPACITY = 2
    COOLING_CAPACITY = 3


class Node(IntEnum):
    """What has a temperature."""

    AIR = 0
    EXTERIOR = 1
    INTERIOR = 2


class HeatFlow(IntEnum):
    """Mean heat flows of a step."""

    POWER = 0
    LOSS = 1


class Column(IntEnum):
    """Where a row of coefficients keeps what; matrices begin there, row by row."""

    H_OUT = 0
    H_REST = 1
    K_EXT = 2
    K_INT = 3
    C_DT = 4
    W_AIR = 5
    W_EXT = 6
    W_INT = 7
    SPLIT = 8
    C_EXT = 16
    C_INT = 17
    E = 18
    G = 27
    H = 33
    HELD_E = 39
    HELD_G = 43
    HELD_H = 46
    PER_G = 49
    EMITS = 50
    BY_HEAT = 51
    BY_COOL = 55
    PER_HELD = 59
    PER_FREE = 61
