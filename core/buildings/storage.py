"""Hot-water tanks and batteries of buildings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cosim.core.batteries import stored_power
from cosim.core.errors import CosimError
from cosim.core.quantities import Flags, Vector

WATER = 4.18e6  # J/(m³ K)


def _positive(name: str, values: Vector, rule: str, good: Flags) -> None:
    if not good.all():
        first = int(np.argmin(good))
        raise CosimError(f"{name} of building {first} is {values[first]}: it must be {rule}")


class Tanks:
    """Fully mixed hot-water tanks, shape (n,) each; charging is positive.

    A thermostat starts charging below ``setpoint − band`` and stops at the setpoint; it is read at the beginning of a
    step, and the charging power is that which reaches the setpoint at the step's end, up to the capacity. Cold water
    replaces what is drawn; the step is exact for constant charge and draw.

    Parameters
    ----------
    volume
        0 for no tank. [m³]
    capacity
        Maximum charging heat. [W]
    setpoint, band, cold, room
        Temperatures. [°C, K, °C, °C]
    loss_per_volume
        Heat loss to the room. [W/(m³ K)] The default, 1.9 W/K for a tank of 200 l, is an assumption.
    """

    def __init__(
        self,
        volume: Vector,
        capacity: Vector,
        *,
        setpoint: float = 55.0,
        band: float = 7.0,
        cold: float = 12.0,
        room: float = 20.0,
        loss_per_volume: float = 9.5,
    ) -> None:
        _positive("tank volume", volume, "finite and not negative", np.isfinite(volume) & (volume >= 0))
        _positive("tank capacity", capacity, "finite and not negative", np.isfinite(capacity) & (capacity >= 0))
        if not cold < setpoint - band < setpoint <= 95:
            raise CosimError(
                f"tanks are kept from {setpoint - band} to {setpoint} °C with cold water of {cold} °C: cold water, "
                "lower limit and setpoint must rise in this order, to 95 °C at most"
            )
        self.exists = volume > 0
        self.volume, self.capacity = volume, capacity
        self.setpoint, self.band, self.cold, self.room = setpoint, band, cold, room
        self.store = np.where(self.exists, WATER * volume, 1.0)
        self.loss = loss_per_volume * volume
        self.temperature = np.where(self.exists, setpoint - band / 2, cold)
        self.charging = np.zeros(len(volume), dtype=bool)

    @property
    def stored_heat(self) -> Vector:
        """Above cold water. [J]"""
        return np.asarray(np.where(self.exists, self.store * (self.temperature - self.cold), 0.0))

    def step(
        self, step_s: float, draw: Vector, at: float, allowed: npt.ArrayLike = np.inf
    ) -> tuple[Vector, Vector, Vector]:
        """Advance by one step; tanks without a volume do nothing.

        Parameters
        ----------
        step_s
            [s]
        draw
            Mean heat drawn if the water is at ``at`` or warmer; colder water delivers less. [W]
        at
            Temperature to which users mix the water. [°C]
        allowed
            Upper limit on the charging heat in this step, in addition to the capacity. [W]

        Returns
        -------
        charge, delivered, loss : shape (n,) each
            Mean heat charged, delivered to users, and lost to the room. [W]
        """
        begins = self.temperature < self.setpoint - self.band
        self.charging = self.exists & (self.charging | begins)
        # Users mix to a fixed temperature: the hotter the tank, the less water they draw from it.
        flow = np.where(self.exists, draw / np.maximum(self.temperature - self.cold, at - self.cold), 0.0)
        conductance = np.where(self.exists, flow + self.loss, 1.0)
        change = -np.expm1(-conductance * step_s / self.store)
        rest = (flow * self.cold + self.loss * self.room) / conductance
        idle = self.temperature + (rest - self.temperature) * change
        wanted = (self.setpoint - idle) * conductance / change
        most = np.minimum(self.capacity, allowed)
        charge = np.where(self.charging, np.clip(wanted, 0.0, most), 0.0)
        end = idle + charge / conductance * change
        # The mean temperature follows from the heat balance of the step.
        gone = charge - self.store * (end - self.temperature) / step_s
        mean = np.where(self.exists, (gone + flow * self.cold + self.loss * self.room) / conductance, self.cold)
        self.temperature = np.where(self.exists, end, self.temperature)
        self.charging &= self.temperature < self.setpoint - 1e-6
        return charge, np.asarray(flow * (mean - self.cold)), np.asarray(self.loss * (mean - self.room))


class Batteries:
    """Batteries behind the meter, shape (n,) each; charging is positive.

    They absorb a surplus and cover a deficit, within power and energy; losses are split evenly between both directions.

    Parameters
    ----------
    capacity
        Usable energy, 0 for none. [J]
    power
        Maximum charging and discharging power. [W]
    efficiency
        Round-trip efficiency. [1] The default is an assumption.
    """

    def __init__(self, capacity: Vector, power: Vector, efficiency: float = 0.9) -> None:
        _positive("battery capacity", capacity, "finite and not negative", np.isfinite(capacity) & (capacity >= 0))
        _positive("battery power", power, "finite and not negative", np.isfinite(power) & (power >= 0))
        if not 0 < efficiency <= 1:
            raise CosimError(f"the efficiency of batteries is {efficiency}: it must be above 0 and at most 1")
        self.capacity, self.power = capacity, power
        self.one_way = float(np.sqrt(efficiency))
        self.energy = 0.5 * capacity

    def step(self, step_s: float, surplus: Vector) -> Vector:
        """Advance by one step of constant surplus (deficit if negative) and return the charging power. [W]"""
        room = (self.capacity - self.energy) / (self.one_way * step_s)
        held = self.energy * self.one_way / step_s
        power = np.clip(surplus, -np.minimum(self.power, held), np.minimum(self.power, room))
        stored = stored_power(power, self.one_way)
        self.energy = np.clip(self.energy + stored * step_s, 0.0, self.capacity)
        return np.asarray(power)
