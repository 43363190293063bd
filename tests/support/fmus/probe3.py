"""FMI 3: shows its time, its first input and a tunable gain."""

from pythonfmu3 import Float64, Fmi3Causality, Fmi3Slave, Fmi3Status, Fmi3StepResult, Fmi3Variability, Int32


class Probe3(Fmi3Slave):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.time, self.signal, self.gain, self.level = 0.0, 1.0, 2.0, 0
        self.first = self.product = self.clock = -1.0
        self.register_variable(
            Float64("time", causality=Fmi3Causality.independent, variability=Fmi3Variability.continuous)
        )
        self.register_variable(Float64("signal", causality=Fmi3Causality.input))
        self.register_variable(Int32("level", causality=Fmi3Causality.input, variability=Fmi3Variability.discrete))
        self.register_variable(Float64("gain", causality=Fmi3Causality.parameter, variability=Fmi3Variability.tunable))
        for name in ("first", "product", "clock"):
            self.register_variable(Float64(name, causality=Fmi3Causality.output))

    def exit_initialization_mode(self):
        self.first = self.product = self.signal * self.gain

    def do_step(self, current_time, step_size):
        self.product = self.signal * self.gain
        self.clock = current_time + step_size
        return Fmi3StepResult(status=Fmi3Status.ok)
