"""Environment adapter: air quality and noise at the façades of streets, from traffic, weather and background air."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from cosim.core import Adapter, CosimError, Input, Output, Step
from cosim.core.environment.air import POLLUTANTS, direction_and_spread, facade_air
from cosim.core.environment.chemistry import check_background
from cosim.core.environment.noise_emission import REFERENCE, sound_power
from cosim.core.environment.noise_levels import decibels
from cosim.core.environment.noise_paths import NoisePaths
from cosim.core.environment.ospm import traffic_turbulence
from cosim.core.environment.streets import Streets
from cosim.core.environment.vehicles import KINDS
from cosim.core.environment.wear import WEAR_CLASSES, wear_factors
from cosim.core.quantities import HOUR_S, Array, Vector

LOWEST_LEVEL = 0.0
"""Level that stands for silence, which has no level in dB. [dB(A)]"""
_KMH = 3.6
_KG_PER_G_KM = 1e-6  # g/km -> kg/m


class Environment(Adapter):
    """Air quality by OSPM with its chemistry of nitrogen oxides, and noise by CNOSSOS-EU, at both façades of streets.

    Traffic's particles are the exhaust's share of `pmx` and the wear of tyres, brakes and road by kind of vehicle and
    mean speed; emissions into the air are positive. Concentrations include the background. `noise` is the equivalent
    level of the step, A-weighted, of the sound that comes to the façade; silence has 0 dB. The models are made for
    steps of an hour.

    Parameters
    ----------
    streets
        Geometry of the streets.
    kinds
        Kinds of vehicles whose travel is received, keys of `vehicles.KINDS`.
    exhaust_shares
        Share of exhaust in the PM of every emission class; the rest is wear, which is left out. [1]
    primary_no2_shares
        Share of NO2 in the NOx of every emission class, in the same order. [1]
    background
        Background air that `background` has unless it is connected or scheduled, as in `air.POLLUTANTS`; None for
        emissions and noise without concentrations. [kg/m³]
    balanced
        Whether the background's NOx is that in balance with its NO2 and ozone, see `chemistry.photostationary_nox`.
    paths
        Attenuation of sound from streets to façades; without it there is no `noise`.
    surface
        Road surface of all streets or of each, see `noise_emission.surfaces`.
    yearly_temperature
        Mean air temperature of the year, for the sound of tyres. [°C]

    Raises
    ------
    CosimError
        If a kind is unknown, or a share is not one from 0 to 1.
    """

    replays: ClassVar[bool] = True

    def __init__(
        self,
        streets: Streets,
        kinds: Sequence[str],
        *,
        exhaust_shares: Mapping[str, float],
        primary_no2_shares: Mapping[str, float],
        background: Vector | None,
        balanced: bool = False,
        paths: NoisePaths | None = None,
        surface: Sequence[str] | str = REFERENCE,
        yearly_temperature: float = 20.0,
    ) -> None:
        if unknown := [kind for kind in kinds if kind not in KINDS]:
            raise CosimError(f"unknown kind of vehicle {unknown[0]!r}: the environment knows {', '.join(KINDS)}")
        if list(exhaust_shares) != list(primary_no2_shares):
            raise CosimError(
                "exhaust_shares and primary_no2_shares must have the same emission classes in the same order"
            )
        for what, shares in (("exhaust", exhaust_shares), ("NO2", primary_no2_shares)):
            if odd := [(name, share) for name, share in shares.items() if not 0 <= share <= 1]:
                raise CosimError(
                    f"the share of {what} of emission class {odd[0][0]!r} is {odd[0][1]}: give one from 0 to 1"
                )
        if background is not None:
            check_background(np.asarray(background, float))
        self.streets, self.kinds = streets, tuple(kinds)
        self._exhaust, self._primary = (np.array(list(x.values())) for x in (exhaust_shares, primary_no2_shares))
        self._wear_row = np.array([WEAR_CLASSES.index(KINDS[kind].wear) for kind in kinds], dtype=np.int64)
        self._is_heavy = np.array([KINDS[kind].is_heavy for kind in kinds], dtype=bool)
        labels, facades = streets.labels, streets.facades
        self.nox, self.pmx = Input("kg/s", labels), Input("kg/s", labels)
        self.vehicles = Input("vehicle", labels)
        self.travel_by_kind = Input("vehicle*m/s", [f"{label}|{kind}" for label in labels for kind in kinds])
        self.nox_by_class, self.pmx_by_class = (Input("kg/s", exhaust_shares) for _ in range(2))
        self.wind_speed = Input("m/s", ["outdoor"])
        self.wind_velocity = Input("m/s", ["east", "north"], default=0.0)
        self.outdoor_temperature = Input("degC", ["outdoor"])
        self.global_radiation = Input("W/m**2", ["horizontal"])
        self._has_air, self._balanced = background is not None, balanced
        if background is not None:
            self.background = Input("kg/m**3", POLLUTANTS, default=background)
            self.no2, self.total_nox, self.o3, self.pm10, self.pm25 = (
                Output("kg/m**3", facades, "mean") for _ in POLLUTANTS
            )
        self.nox_emission, self.pm10_emission, self.pm25_emission, self.wear = (
            Output("kg/s", labels, "mean") for _ in range(4)
        )
        self.turbulence = Output("m/s", labels, "mean")
        self._paths, self._surface, self._yearly_temperature = paths, surface, yearly_temperature
        if paths is not None:
            self.noise = Output("dB", facades, "mean")
        self.primary_no2_share = Output("1", ["network"], "mean")

    def advance(self, step: Step) -> None:
        """Publish the mean concentrations of the step."""
        length = self.streets.length
        flow = self.travel_by_kind.value.reshape(len(length), -1) / length[:, None]  # vehicle/s
        speed = _over(self.travel_by_kind.value.reshape(flow.shape).sum(axis=1), self.vehicles.value)
        factors = wear_factors(speed * _KMH)[:, self._wear_row]  # (size, kind, street)
        wear10, wear25 = np.einsum("zks,sk->zs", factors, flow) * length * _KG_PER_G_KM
        exhaust = self.pmx.value * self._share(self._exhaust, self.pmx_by_class.value, 1.0)
        primary = self._share(self._primary, self.nox_by_class.value, 0.0)
        heavy = flow[:, self._is_heavy].sum(axis=1)
        turbulence = traffic_turbulence((flow.sum(axis=1) - heavy) * speed, heavy * speed, self.streets.width)
        if self._has_air:
            self._publish_air((exhaust + wear10) / length, (exhaust + wear25) / length, turbulence, primary)
        self.nox_emission.value = self.nox.value
        self.pm10_emission.value, self.pm25_emission.value = exhaust + wear10, exhaust + wear25
        self.wear.value, self.turbulence.value, self.primary_no2_share.value = wear10, turbulence, primary
        if self._paths is not None:
            self.noise.value = self._levels(self._paths, flow, speed)

    def _publish_air(self, pm10: Vector, pm25: Vector, turbulence: Vector, primary: float) -> None:
        """Publish the concentrations, from emissions for each metre of street. [kg/(m s)]"""
        direction, spread = direction_and_spread(float(self.wind_speed.value[0]), *self.wind_velocity.value.tolist())
        check_background(self.background.value)
        found = facade_air(
            self.streets,
            nox=self.nox.value / self.streets.length,
            pm10=pm10,
            pm25=pm25,
            turbulence=turbulence,
            primary_share=primary,
            wind=float(self.wind_speed.value[0]),
            direction=direction,
            spread=spread,
            temperature=float(self.outdoor_temperature.value[0]),
            radiation=float(self.global_radiation.value[0]),
            background=self.background.value,
            balanced=self._balanced,
        )
        for port, values in zip((self.no2, self.total_nox, self.o3, self.pm10, self.pm25), found, strict=True):
            port.value = values.ravel()

    def _levels(self, paths: NoisePaths, flow: Array, speed: Vector) -> Array:
        """Return the equivalent levels at façades. [dB(A)]"""
        burning: dict[str, Array] = {}
        electric: dict[str, Array] = {}
        for kind, vehicles in zip(self.kinds, flow.T * HOUR_S, strict=True):
            if category := KINDS[kind].noise:
                into = electric if KINDS[kind].is_electric else burning
                into[category] = into.get(category, np.zeros(len(speed))) + vehicles
        if not burning and not electric:
            return np.full(len(self.noise), LOWEST_LEVEL)
        power = sound_power(
            burning,
            dict.fromkeys((*burning, *electric), speed * _KMH),
            electric=electric,
            surface=self._surface,
            temperature=self._yearly_temperature,
        )
        return np.maximum(decibels(paths.received(power)), LOWEST_LEVEL)

    @staticmethod
    def _share(shares: Vector, emitted: Vector, without: float) -> float:
        """Return the mean share of the emission classes, weighted by what they emit."""
        total = float(emitted.sum())
        return float(shares @ emitted) / total if total > 0 else without


def _over(metres: Vector, seconds: Vector) -> Vector:
    """Return mean speeds, 0 where nothing drives. [m/s]"""
    return np.divide(metres, seconds, out=np.zeros_like(metres), where=seconds > 0)
