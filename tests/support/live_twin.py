"""A small twin that needs no simulator: weather, and houses of constant loss."""

from __future__ import annotations

from cosim import Clock, Indicator, Scenario
from cosim.adapters.weather import Weather, load
from cosim.core import Adapter, Input, Output

LOSS_W_K = 100.0


class Houses(Adapter):
    """Houses that are heated against their loss; heat is positive."""

    def __init__(self, labels=("a", "b", "c")):
        self.outdoor_temperature = Input("degC", ["outdoor"])
        self.setpoint = Input("degC", labels, default=20.0)
        self.heat = Output("W", labels, "mean")

    def advance(self, step):
        self.heat.value = LOSS_W_K * (self.setpoint.value - self.outdoor_temperature.value)

    def save(self, folder):
        pass

    def load(self, folder):
        pass


class Street(Adapter):
    """Draws power, positive as consumed."""

    def __init__(self, labels=("a", "b", "c")):
        self.power = Input("W", labels)
        self.total = Output("W", ["street"], "mean")

    def advance(self, step):
        self.total.value = self.power.value.sum()

    def save(self, folder):
        pass

    def load(self, folder):
        pass


class Meter(Adapter):
    """Adds up what a street draws, positive as consumed; restored by replay."""

    replays = True

    def __init__(self):
        self.power = Input("W", ["street"])
        self.energy = Output("J", ["street"], "end")

    def open(self):
        self.energy.value = 0.0

    def advance(self, step):
        self.energy.value = self.energy.value + self.power.value * step.length_s


def build(*, hours: float = 2.0, seed: int = 0) -> Scenario:
    clock = Clock("2025-01-15", hours=hours, step_s=60, zone="Europe/Madrid")

    def indicators(result):
        return {"heat": Indicator(float(result.integral("houses.heat").sum()) / 3.6e6, "kWh", "lower")}

    scenario = Scenario(
        clock,
        indicators=indicators,
        weather=Weather(clock, load("barcelona")),
        houses=Houses(),
        street=Street(),
        meter=Meter(),
    )
    scenario.connect("weather.temperature", "houses.outdoor_temperature")
    scenario.connect("houses.heat", "street.power")
    scenario.connect("street.total", "meter.power")
    return scenario
