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


class Fixed(IntEnum):
    """What stays as it is in the systems of buildings, as ``systems.h`` counts it too; so are the rows below."""

    PUMP_CAPACITY = 0
    HEATING_CAPACITY = 1
    COOLING_CAPACITY = 2
    ELECTRIC = 3
    PUMPS_WATER = 4
    TANK_STORE = 5
    TANK_LOSS = 6
    TANK_CAPACITY = 7
    PV_CAPACITY = 8
    BATTERY_CAPACITY = 9
    BATTERY_POWER = 10
    GROUND_SHARE = 11
    SKY_DEPRESSION = 12
    EXTERIOR_SHARE = 13
    BLINDS = 14


class Given(IntEnum):
    """What systems are given in a step; the first four by households."""

    PERSONS = 0
    APPLIANCES = 1
    HOT_WATER = 2
    COOKING = 3
    COP = 4
    WATER_COP = 5
    COMFORT = 6
    ENTERED = 7
    ON_EXTERIOR = 8
    ON_WALLS = 9
    THROUGH_WALLS = 10


class ToZones(IntEnum):
    """What zones are given: the rows of `Drive` for one step, and those of `Control` behind them."""

    OUTDOOR = 0
    EQUIVALENT = 1
    WINDOW = 2
    GAIN_AIR = 3
    GAIN_EXTERIOR = 4
    GAIN_INTERIOR = 5
    HEAT_TO = 6
    COOL_TO = 7
    HEAT_MOST = 8
    COOL_MOST = 9


class Kept(IntEnum):
    """What systems keep from before the zones' step until after it."""

    CHARGE = 0
    WARMTH = 1
    BY_PUMP = 2
    WATER = 3
    BOUNDARY = 4
    AT_HOME = 5


class Balance(IntEnum):
    """What systems publish."""

    HEAT = 0
    ELECTRIC_HEAT = 1
    COOLING = 2
    PV = 3
    BATTERY = 4
    POWER = 5
    REACTIVE = 6
    GAS = 7
    UNMET = 8
