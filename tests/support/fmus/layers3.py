"""FMI 3: a tank in three layers with units, an array in and an array out; it can be told to end or to fail."""

import functools

import numpy as np
from pythonfmu3 import (
    Dimension,
    Float64,
    Fmi3Causality,
    Fmi3Slave,
    Fmi3Status,
    Fmi3StepResult,
    Fmi3Variability,
    Int32,
    Unit,
)


class Layers3(Fmi3Slave):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        fahrenheit = Unit("F", K=1, factor=5 / 9, offset=459.67 * 5 / 9)
        self.register_units([Unit("kW", kg=1, m=2, s=-3, factor=1000.0), fahrenheit])
        self.time = 0.0
        self.power = np.zeros(3)
        self.temperature = np.full(3, 68.0)
        self.total = 0.0
        self.capacity = 1e5
        self.fail_at, self.how = 1e9, 0
        three = [Dimension(start="3")]
        fixed = {"causality": Fmi3Causality.parameter, "variability": Fmi3Variability.tunable}
        self.register_variable(
            Float64("time", causality=Fmi3Causality.independent, variability=Fmi3Variability.continuous)
        )
        for name, causality, unit in (("power", Fmi3Causality.input, "kW"), ("temperature", Fmi3Causality.output, "F")):
            # A setter of its own: that of pythonfmu3 0.3.4 does not work with numpy 2.4 (reshape without newshape).
            setter = functools.partial(self.set_array, name)
            self.register_variable(Float64(name, causality=causality, dimensions=three, unit=unit, setter=setter))
        self.register_variable(Float64("total", causality=Fmi3Causality.output, unit="kW"))
        self.register_variable(Float64("capacity", **fixed))
        self.register_variable(Float64("fail_at", **fixed))
        self.register_variable(Int32("how", **fixed))

    def set_array(self, name, values):
        setattr(self, name, np.array(values))

    def do_step(self, current_time, step_size):
        if current_time >= self.fail_at:
            if self.how == 0:
                raise ValueError("a layer has frozen")
            return Fmi3StepResult(status=Fmi3Status.ok, terminateSimulation=True)
        self.temperature = self.temperature + 1.8 * np.asarray(self.power) * 1000.0 * step_size / self.capacity
        self.total = float(np.sum(self.power))
        return Fmi3StepResult(status=Fmi3Status.ok)
