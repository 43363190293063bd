"""Heating, cooling, panels and batteries of many buildings, a compiled pass before the zones' step and one after it.

The passes do what `HeatPumpUnits`, `CoolingUnits`, `Tanks` and `Batteries` do one quantity at a time, for a share of
the buildings per thread; results are the same for any number of threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cosim.core.buildings import _systems
from cosim.core.quantities import Array, Flags, Indices32, Vector

from .cooling import APPROACH, LEAST_LIFT, RATED_OUTDOOR, ROOM, CoolingUnits
from .cooling import CYCLING as COOLING_CYCLING
from .heat_pump import CYCLING, CopCurve, HeatPumpUnits, LiftCurve
from .rows import Balance, Fixed, Given, HeatFlow, Kept, Node
from .storage import Batteries, Tanks
from .zones import Zones, divide

_KINDS = 4  # of air and ground as sources, each with radiators and with floor heating


@dataclass(frozen=True)
class Weather:
    """Temperatures of a step [°C], and the sun on surfaces and behind windows, shape (n_surfaces,) [W/m²]."""

    outdoor: float
    ground: float
    irradiance: Vector
    window_irradiance: Vector


@dataclass(frozen=True)
class Controls:
    """What a step asks of buildings, shape (n_buildings,): setpoint shifts [K], caps [W], shares curtailed, guests."""

    heating_shift: Vector
    cooling_shift: Vector
    power_cap: Vector
    pv_curtailment: Vector
    occupancy: Vector


class Systems:
    """The systems of a stock and what they and the sun give to its zones.

    Parameters
    ----------
    fixed
        Rows of what stays as it is, by name of `Fixed`, apart from those of tanks, batteries and coolers. [SI]
    on_ground, on_floor, resists : shape (n_buildings,)
        Whether heat pumps draw from the ground, give their heat to floors, and water is heated by resistance.
    solar_area, sun_to_exterior, sun_on_exterior : shape (n_buildings, n_surfaces)
        Sun that enters per irradiance behind windows [m²], the share of it that falls on the exterior surface, and the
        rise of the equivalent outdoor temperature per irradiance [K m²/W].
    heated_hours
        Hours with the comfort setpoint, and in ``shift_h`` how much later each building reads the clock. [h]
    constants
        What the kernel's constants are that no other module of this package has.
    bright
        Irradiance beyond which blinds are closed in warm rooms. [W/m²]
    """

    def __init__(
        self,
        fixed: Mapping[Fixed, Vector],
        *,
        tanks: Tanks,
        batteries: Batteries,
        coolers: CoolingUnits,
        curve: CopCurve | None,
        on_ground: Flags,
        on_floor: Flags,
        resists: Flags,
        solar_area: Array,
        sun_to_exterior: Array,
        sun_on_exterior: Array,
        heated_hours: Sequence[tuple[float, float]],
        shift_h: Vector,
        constants: Mapping[str, float],
        bright: float,
        threads: int,
    ) -> None:
        n = len(on_ground)
        self._n, self._threads, self._bright, self._coolers = n, threads, bright, coolers
        self.tanks, self.batteries = tanks, batteries
        rows = dict(fixed) | {
            Fixed.COOLING_CAPACITY: coolers.capacity,
            Fixed.TANK_STORE: tanks.store,
            Fixed.TANK_LOSS: tanks.loss,
            Fixed.TANK_CAPACITY: tanks.capacity,
            Fixed.BATTERY_CAPACITY: batteries.capacity,
            Fixed.BATTERY_POWER: batteries.power,
            Fixed.PUMPS_WATER: ~resists,
        }
        self._fixed = np.stack([np.asarray(rows[row], float) for row in Fixed])
        ground = np.arange(_KINDS) >= _KINDS // 2
        self._pumps = HeatPumpUnits(np.zeros(_KINDS), curve or LiftCurve(ground), ground)
        self._kind = (on_floor + 2 * on_ground + _KINDS * resists).astype(np.intp)
        self._surfaces = np.ascontiguousarray([m.T for m in (solar_area, sun_to_exterior, sun_on_exterior)])
        self._spans, self.shift_h = np.array(heated_hours, float), shift_h
        self._constants = dict(constants) | {
            "pump_cycling": CYCLING,
            "pump_least": self._pumps.least_share,
            "tank_setpoint": tanks.setpoint,
            "tank_band": tanks.band,
            "tank_cold": tanks.cold,
            "tank_room": tanks.room,
            "cool_least": coolers.least_share,
            "cool_cycling": COOLING_CYCLING,
            "cool_approach": APPROACH,
            "cool_least_lift": LEAST_LIFT,
            "cool_rated_lift": RATED_OUTDOOR - ROOM + APPROACH,
            "cool_rated": coolers.rated,
            "cool_room": ROOM,
            "battery_one_way": batteries.one_way,
        }
        self._given = np.zeros((len(Given), n))
        self._mean, self._flow = np.empty((len(Node), n)), np.empty((len(HeatFlow), n))
        self._kept, self._out = np.empty((len(Kept), n)), np.empty((len(Balance), n))
        self._idle: tuple[float, Vector] = 0.0, np.zeros(n)
        self._moment: dict[str, float] = {}

    def before(
        self,
        step_s: float,
        zones: Zones,
        shut: Indices32,
        weather: Weather,
        controls: Controls,
        through_walls: npt.ArrayLike,
        *,
        flow: Sequence[float],
        clock_h: float,
        price_shift: float,
        pv_yield: float,
    ) -> None:
        """Charge the tanks, and set what the zones are given.

        Parameters
        ----------
        zones, shut
            The zones, whose archetypes become ``shut`` or, with open windows, the same in the second half.
        through_walls : shape (n_buildings,) or scalar
            Heat through party walls. [W]
        flow
            Temperature of the water in radiators and floors. [°C]
        """
        given, outdoor = self._given, weather.outdoor
        given[Given.THROUGH_WALLS] = through_walls
        sources = np.repeat([outdoor, weather.ground], _KINDS // 2)
        cop = self._pumps.cop(np.tile(flow, 2), sources, outdoor)
        water = self._pumps.cop(self.tanks.setpoint, sources, outdoor)
        for row, table in ((Given.COP, np.tile(cop, 2)), (Given.WATER_COP, np.append(water, np.ones(_KINDS)))):
            np.take(table, self._kind, out=given[row], mode="clip")
        if self._idle[0] != step_s:
            self._idle = step_s, -np.expm1(-self.tanks.loss * step_s / self.tanks.store)
        self._moment = {
            "step_s": step_s,
            "outdoor": outdoor,
            "ground": weather.ground,
            "price_shift": price_shift,
            "pv_yield": pv_yield,
            "clock_h": clock_h,
            "middle_h": step_s / 7200 % 24,
            "cool_full": float(self._coolers.ratio_at(1.0, outdoor)),
            "cool_idle": float(self._coolers.ratio_at(0.0, outdoor)),
        }
        light = np.stack([weather.irradiance, weather.window_irradiance, weather.irradiance > self._bright])
        if not light.any():
            light, given[Given.ENTERED : Given.ON_WALLS + 1] = light[:0], 0.0
        divide(
            self._threads,
            self._n,
            lambda first, last: _systems.before(
                self._constants,
                self._moment,
                first,
                last,
                fixed=self._fixed,
                shift_h=self.shift_h,
                spans=self._spans,
                surfaces=self._surfaces,
                light=light,
                power_cap=controls.power_cap,
                heating_shift=controls.heating_shift,
                cooling_shift=controls.cooling_shift,
                occupancy=controls.occupancy,
                state=zones.state,
                shut=shut,
                n_archetypes=len(zones.parameters) // 2,
                archetype=zones.archetype,
                idle_change=self._idle[1],
                temperature=self.tanks.temperature,
                charging=self.tanks.charging.view(np.uint8),
                given=given,
                kept=self._kept,
                drive=zones.given,
            ),
        )

    @property
    def homes(self) -> Array:
        """What households give, to be set before a step: persons, appliances, hot water and hobs. [1, W, W, W]"""
        return self._given[: Given.COOKING + 1]

    @property
    def persons(self) -> Vector:
        """Persons at home in the step."""
        return np.asarray(self._kept[Kept.AT_HOME])

    @property
    def water(self) -> Vector:
        """Electricity that charges the tanks. [W]"""
        return np.asarray(self._kept[Kept.WATER])

    @property
    def boundary(self) -> Vector:
        """Temperature beyond the exterior mass, ground and air by their weights, without sun and sky. [°C]"""
        return np.asarray(self._kept[Kept.BOUNDARY])

    def advance(self, zones: Zones, controls: Controls) -> Array:
        """Advance the zones by what `before` gave them, and return the `balance`."""

        def advance(first: int, last: int) -> None:
            zones.advance(self._moment["step_s"], first, last, self._mean, self._flow)
            self._balance(first, last, self._flow[HeatFlow.POWER], self._mean[Node.AIR], controls)

        divide(self._threads, self._n, advance)
        return self._out

    def balance(self, power: Vector, air: Vector, controls: Controls) -> Array:
        """Convert the zones' heat into electricity and gas, and balance it with panels and batteries.

        Parameters
        ----------
        power, air : shape (n_buildings,)
            Mean heat, cooling negative [W], and mean temperature of the air [°C].

        Returns
        -------
        shape (9, n_buildings)
            Rows `Balance`, valid until the next step. [W], [K]
        """
        divide(self._threads, self._n, lambda first, last: self._balance(first, last, power, air, controls))
        return self._out

    def _balance(self, first: int, last: int, power: Vector, air: Vector, controls: Controls) -> None:
        _systems.after(
            self._constants,
            self._moment,
            first,
            last,
            self._fixed,
            self._given,
            self._kept,
            controls.pv_curtailment,
            power,
            air,
            self.batteries.energy,
            self._out,
        )
