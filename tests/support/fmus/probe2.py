"""FMI 2: shows what it was told before its first step: times, inputs in initialization mode, parameters, a mode."""

from pythonfmu import Boolean, Fmi2Causality, Fmi2Slave, Fmi2Variability, Integer, Real, String
from pythonfmu.enums import Fmi2Status


class Probe2(Fmi2Slave):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.signal, self.gain, self.mode, self.door = 1.0, 2.0, 1, False
        self.note, self.offset = "none", 0.0
        self.started = self.stopped = -1.0
        self.first = self.product = self.clock = self.chosen = 0.0
        discrete = {"causality": Fmi2Causality.input, "variability": Fmi2Variability.discrete}
        self.register_variable(Real("signal", causality=Fmi2Causality.input))
        self.register_variable(Integer("mode", **discrete))
        self.register_variable(Boolean("door", **discrete))
        self.register_variable(String("note", **discrete))
        self.register_variable(Real("gain", causality=Fmi2Causality.parameter, variability=Fmi2Variability.tunable))
        self.register_variable(Real("offset", causality=Fmi2Causality.parameter, variability=Fmi2Variability.fixed))
        for name in ("started", "stopped", "first", "product", "clock", "chosen"):
            self.register_variable(Real(name, causality=Fmi2Causality.output))

    def setup_experiment(self, start_time, stop_time, tolerance):
        self.started, self.stopped = start_time, -1.0 if stop_time is None else stop_time

    def exit_initialization_mode(self):
        self.first = self.product = self.signal * self.gain + self.offset
        self.chosen = float(self.mode)

    def do_step(self, current_time, step_size):
        self.product = float("nan") if self.signal < -1e6 else self.signal * self.gain + self.offset
        self.clock = current_time + step_size
        if self.door:
            self.log("the door is open", Fmi2Status.warning)
        return True
