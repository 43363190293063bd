"""Thermal zones: temperatures and ideal heating and cooling demand.

`Zones.step` advances all zones by one step, each with its own weather and setpoints; `Zones.run` advances them through
many steps of shared profiles, block by block in the processor's cache. Both divide the zones among threads; results
are bit-identical for any number of threads and on any processor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cosim.core.buildings import _zones
from cosim.core.errors import CosimError
from cosim.core.processes import threads as pool
from cosim.core.quantities import Array, Indices32

from .rows import Control, Drive, HeatFlow, Node, ToZones
from .zone_network import ZoneParameters, coefficients

__all__ = ["PROFILE", "TARGETS", "ZoneParameters", "ZoneRun", "ZoneStep", "Zones", "coefficients"]

PROFILE = tuple(row.name.lower() for row in Drive)
"""Quantities in a profile of `Zones.run`, in this order."""
_DRIVES = PROFILE[: Drive.HEATING_SETPOINT]
TARGETS: tuple[str, ...] = _zones.TARGETS
"""Instruction sets that this processor supports, the best one last."""
_LEAST_PER_THREAD = 4096  # number of zones below which a thread costs more than it saves


def divide(threads: int, n: int, advance: Callable[[int, int], None]) -> None:
    """Call ``advance(first, last)`` for shares of n zones, on several threads if worthwhile."""
    shares = max(1, min(threads, n // _LEAST_PER_THREAD))
    edges = [n * k // shares for k in range(shares + 1)]
    if shares == 1:
        advance(0, n)
    else:
        list(pool(shares).map(advance, edges[:-1], edges[1:]))


@dataclass(frozen=True, slots=True)
class ZoneStep:
    """Results of zones over one step, shape (n_zones,) each.

    Attributes
    ----------
    air, exterior, interior
        Mean temperatures of air and masses. [°C]
    power
        Mean heat delivered to air and surfaces, heating positive, cooling negative. [W]
    loss
        Mean heat flow to outdoors. Stored heat changes by ``power + gains − loss``. [W]
    """

    air: Array
    exterior: Array
    interior: Array
    power: Array
    loss: Array


@dataclass(frozen=True, slots=True)
class ZoneRun:
    """Results of zones over a run, shape (n_zones,) each.

    Attributes
    ----------
    heating, cooling
        Mean powers, both positive. [W]
    air
        Mean air temperature. [°C]
    too_cold, too_warm
        Mean deviation of the air temperature below the heating and above the cooling setpoint. [K]
    peak_heating, peak_cooling
        Highest mean power over a step. [W]
    """

    heating: Array
    cooling: Array
    air: Array
    too_cold: Array
    too_warm: Array
    peak_heating: Array
    peak_cooling: Array


class Zones:
    """Many zones, advanced together by the compiled kernel.

    Heating and cooling are ideal with a capacity limit: where the free-floating air would end the step outside the
    setpoints, the air is held at the setpoint during the step if the capacity covers the mean power that this requires;
    otherwise constant power, at most the capacity, acts throughout. The archetype's shares of the power act on
    surfaces, at its mean over the step; the rest acts on the air. Heating is positive, cooling negative.

    Parameters
    ----------
    parameters
        The archetypes.
    archetype : shape (n_zones,)
        Archetype of each zone. May be reassigned between steps, e.g. for a variant with open windows.
    scale : shape (n_zones,) or scalar
        Factor on the archetype's parameters, e.g. floor area.
    temperature : shape (n_zones,) or scalar
        Initial temperature of all nodes. [°C]
    labels
        Names of the zones in errors; numbers by default. Adjacent zones of one archetype are fastest.
    threads
        Maximum number of threads; results do not depend on it.
    target
        Instruction set, one of `TARGETS`; by default the best one. Results do not depend on it.

    Raises
    ------
    CosimError
        If an archetype is unknown or a scale is not positive.
    """

    def __init__(
        self,
        parameters: ZoneParameters,
        archetype: npt.ArrayLike,
        scale: npt.ArrayLike = 1.0,
        temperature: npt.ArrayLike = 20.0,
        *,
        labels: Sequence[object] | None = None,
        threads: int = 1,
        target: str = TARGETS[-1],
    ) -> None:
        self.parameters = parameters
        n = len(np.atleast_1d(archetype))
        self._labels = range(n) if labels is None else labels
        if len(self._labels) != n:
            raise CosimError(f"{n} zones got {len(self._labels)} labels: give one per zone")
        if target not in TARGETS or threads < 1:
            raise CosimError(
                f"target is {target!r} and threads is {threads}: this processor supports {', '.join(TARGETS)}, and "
                "threads must be at least 1"
            )
        self._threads, self._target = threads, TARGETS.index(target)
        self._archetype = np.zeros(n, np.int32)
        self.archetype = archetype
        self._scale = np.array(np.broadcast_to(np.asarray(scale, float), (n,)))
        if not np.all(np.isfinite(self._scale) & (self._scale > 0)):
            first = int(np.argmin(np.isfinite(self._scale) & (self._scale > 0)))
            raise CosimError(f"scale of zone {self._labels[first]} is {self._scale[first]}: it must be positive")
        self.state = np.empty((3, n))
        """Air, exterior and interior mass temperature after the last step, shape (3, n_zones). [°C]"""
        self.state[:] = temperature
        self.given = np.zeros((len(ToZones), n))
        """What `advance` gives the zones, rows `ToZones`."""
        self._drive, self._control = self.given[: len(_DRIVES)], self.given[len(_DRIVES) :]
        self._coefficients: dict[float, Array] = {}

    @property
    def archetype(self) -> Indices32:
        """Archetype of each zone, shape (n_zones,)."""
        return self._archetype

    @archetype.setter
    def archetype(self, value: npt.ArrayLike) -> None:
        index = np.atleast_1d(value)
        n, last = len(self._archetype), len(self.parameters) - 1
        fits = index.shape == (n,) and index.dtype.kind in "iu"
        if not (fits and (index >= 0).all() and (index <= last).all()):
            raise CosimError(f"archetype must be {n} whole numbers from 0 to {last}, got {index}")
        self._archetype = np.array(index, dtype=np.int32)

    @property
    def scale(self) -> Array:
        """Factor on the archetype's parameters, shape (n_zones,)."""
        return self._scale

    @property
    def stored_heat(self) -> Array:
        """Heat stored above 0 °C, shape (n_zones,). [J]"""
        p = self.parameters
        capacity = np.stack([p.air_capacity, p.exterior_capacity, p.interior_capacity])
        result: Array = self._scale * np.einsum("kn,kn->n", capacity[:, self._archetype], self.state)
        return result

    def step(
        self,
        step_s: float,
        outdoor: npt.ArrayLike,
        *,
        equivalent: npt.ArrayLike | None = None,
        window: npt.ArrayLike | None = None,
        gain_air: npt.ArrayLike = 0.0,
        gain_exterior: npt.ArrayLike = 0.0,
        gain_interior: npt.ArrayLike = 0.0,
        heating_setpoint: npt.ArrayLike = -np.inf,
        cooling_setpoint: npt.ArrayLike = np.inf,
        heating_capacity: npt.ArrayLike = np.inf,
        cooling_capacity: npt.ArrayLike = np.inf,
    ) -> ZoneStep:
        """Advance all zones by one exact step.

        Parameters
        ----------
        step_s
            Step length. [s]
        outdoor, equivalent, window : shape (n_zones,) or scalar
            Mean outdoor temperature, and equivalent outdoor temperatures of the exterior mass and of the windows,
            which include absorbed solar and sky radiation (default: the outdoor temperature). [°C]
        gain_air, gain_exterior, gain_interior : shape (n_zones,) or scalar
            Mean convective gains, and radiant gains at the two surfaces. [W]
        heating_setpoint, cooling_setpoint : shape (n_zones,) or scalar
            The air floats freely between them. [°C]
        heating_capacity, cooling_capacity : shape (n_zones,) or scalar
            Maximum heat delivered or extracted, 0 for none, ``inf`` for no limit. [W]

        Raises
        ------
        CosimError
            If an input is not finite, a capacity is negative, or a heating setpoint is above the cooling one.
        """
        drive, control = self._drive, self._control
        drive[Drive.OUTDOOR] = outdoor
        drive[Drive.EQUIVALENT] = outdoor if equivalent is None else equivalent
        drive[Drive.WINDOW] = outdoor if window is None else window
        drive[Drive.GAIN_AIR] = gain_air
        drive[Drive.GAIN_EXTERIOR], drive[Drive.GAIN_INTERIOR] = gain_exterior, gain_interior
        control[Control.HEATING_SETPOINT], control[Control.COOLING_SETPOINT] = heating_setpoint, cooling_setpoint
        control[Control.HEATING_CAPACITY], control[Control.COOLING_CAPACITY] = heating_capacity, cooling_capacity
        if not np.isfinite(drive).all():
            row, zone = np.argwhere(~np.isfinite(drive))[0]
            raise CosimError(
                f"{_DRIVES[row]} of zone {self._labels[zone]} is {drive[row, zone]}: it must be a finite number"
            )
        heat_to, cool_to = control[Control.HEATING_SETPOINT], control[Control.COOLING_SETPOINT]
        if not (heat_to <= cool_to).all():
            zone = int(np.argmin(heat_to <= cool_to))
            raise CosimError(
                f"zone {self._labels[zone]} has heating setpoint {heat_to[zone]} °C and cooling setpoint "
                f"{cool_to[zone]} °C: the heating setpoint must not be above the cooling setpoint"
            )
        capacity = control[Control.HEATING_CAPACITY :]
        if not (capacity >= 0).all():
            row, zone = np.argwhere(~(capacity >= 0))[0]
            raise CosimError(
                f"{('heating', 'cooling')[row]}_capacity of zone {self._labels[zone]} is {capacity[row, zone]}: "
                "it must not be negative; write 0 for none"
            )
        mean, flow = np.empty_like(self.state), np.empty((len(HeatFlow), self.state.shape[1]))
        divide(self._threads, len(self._scale), lambda first, last: self.advance(step_s, first, last, mean, flow))
        return ZoneStep(
            air=mean[Node.AIR],
            exterior=mean[Node.EXTERIOR],
            interior=mean[Node.INTERIOR],
            power=flow[HeatFlow.POWER],
            loss=flow[HeatFlow.LOSS],
        )

    def advance(self, step_s: float, first: int, last: int, mean: Array, flow: Array) -> None:
        """Advance zones ``first`` to ``last`` by what `given` holds, which is not checked, as `step` does.

        Parameters
        ----------
        mean, flow : shape (3, n_zones), (2, n_zones)
            Receive mean temperatures [°C] and heat flows [W], rows `Node` and `HeatFlow`.
        """
        _zones.step(
            coefficients=self._rows(step_s),
            archetype=self._archetype,
            scale=self._scale,
            drive=self._drive,
            control=self._control,
            state=self.state,
            mean=mean,
            flow=flow,
            first=first,
            last=last,
            target=self._target,
        )

    def run(
        self,
        step_s: float,
        profiles: npt.ArrayLike,
        profile: npt.ArrayLike = 0,
        *,
        variant: npt.ArrayLike = 0,
        heating_capacity: npt.ArrayLike = np.inf,
        cooling_capacity: npt.ArrayLike = np.inf,
    ) -> ZoneRun:
        """Advance all zones through many exact steps of shared profiles.

        Parameters
        ----------
        step_s
            Step length. [s]
        profiles : shape (n_steps, n_profiles, 8)
            Means over each step of the quantities in `PROFILE`: temperatures and setpoints [°C], gains per scale [W].
        profile : shape (n_zones,) or scalar
            Profile of each zone.
        variant : shape (n_steps, n_profiles) or scalar
            Offset added to the zones' archetypes in a step, e.g. 1 where the next archetype is the one with open
            windows.
        heating_capacity, cooling_capacity : shape (n_zones,) or scalar
            As for `step`. [W]

        Raises
        ------
        CosimError
            If a value is not finite, setpoints cross, a capacity is negative, or a profile or variant is unknown.
        """
        n, drives = len(self._scale), np.ascontiguousarray(profiles, dtype=float)
        if drives.ndim != 3 or drives.shape[2] != len(PROFILE) or not drives.size:
            raise CosimError(
                f"profiles have shape {drives.shape}: it must be (n_steps, n_profiles, {len(PROFILE)}), one value for "
                f"each of {', '.join(PROFILE)}"
            )
        in_order = drives[:, :, Drive.HEATING_SETPOINT] <= drives[:, :, Drive.COOLING_SETPOINT]
        bad = ~np.isfinite(drives[:, :, : len(_DRIVES)]).all(axis=2) | ~in_order
        if bad.any():
            step, which = np.argwhere(bad)[0]
            raise CosimError(
                f"profile {which} in step {step} is {drives[step, which].tolist()}: temperatures and gains must be "
                "finite, and the heating setpoint not above the cooling setpoint"
            )
        index = np.ascontiguousarray(np.broadcast_to(profile, n), dtype=np.int32)
        change = np.ascontiguousarray(np.broadcast_to(variant, drives.shape[:2]), dtype=np.int32)
        if index.min() < 0 or index.max() >= drives.shape[1]:
            raise CosimError(f"a zone follows an unknown profile: there are {drives.shape[1]}, counted from 0")
        most = self._archetype.max() + change.max()
        if change.min() < 0 or most >= len(self.parameters):
            raise CosimError(f"variant with unknown archetype {most}: there are {len(self.parameters)}, counted from 0")
        capacity = np.empty((2, n))
        capacity[0], capacity[1] = heating_capacity, cooling_capacity
        if not (capacity >= 0).all():
            zone = self._labels[int(np.argwhere(~(capacity >= 0))[0, 1])]
            raise CosimError(f"a capacity of zone {zone} is negative or NaN: write 0 for none")
        capacity /= self._scale
        rows, totals = self._rows(step_s), np.zeros((7, n))
        divide(
            self._threads,
            n,
            lambda first, last: _zones.run(
                coefficients=rows,
                archetype=self._archetype,
                profile=index,
                drives=drives,
                variant=change,
                capacity=capacity,
                state=self.state,
                totals=totals,
                first=first,
                last=last,
                target=self._target,
            ),
        )
        totals[:5] /= len(drives)
        totals[[0, 1, 5, 6]] *= self._scale
        return ZoneRun(*totals)

    def _rows(self, step_s: float) -> Array:
        if step_s not in self._coefficients:
            self._coefficients[step_s] = coefficients(self.parameters, step_s)
        return self._coefficients[step_s]
