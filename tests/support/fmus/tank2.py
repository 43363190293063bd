"""FMI 2: a well-mixed tank that is heated and loses heat, solved exactly over each step; it can be told to fail."""

import math
import os
import signal

from pythonfmu import Boolean, Fmi2Causality, Fmi2Slave, Fmi2Variability, Integer, Real
from pythonfmu.enums import Fmi2Status


class Tank2(Fmi2Slave):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.heat, self.ambient = 0.0, 293.15
        self.capacity, self.conductance = 1e6, 100.0
        self.temperature = 293.15
        self.fail_at, self.how = 1e9, 0
        self.steps, self.enabled = 0, True
        fixed = {"causality": Fmi2Causality.parameter, "variability": Fmi2Variability.tunable}
        self.register_variable(Real("heat", causality=Fmi2Causality.input))
        self.register_variable(Real("ambient", causality=Fmi2Causality.input))
        switch = Boolean("enabled", causality=Fmi2Causality.input, variability=Fmi2Variability.discrete)
        self.register_variable(switch)
        self.register_variable(Real("temperature", causality=Fmi2Causality.output))
        count = Integer("steps", causality=Fmi2Causality.output, variability=Fmi2Variability.discrete)
        self.register_variable(count)
        for name in ("capacity", "conductance", "fail_at"):
            self.register_variable(Real(name, **fixed))
        self.register_variable(Integer("how", **fixed))

    def do_step(self, current_time, step_size):
        if current_time >= self.fail_at:
            if self.how == 0:
                raise ValueError("the tank has boiled over")
            if self.how == 2:
                os.kill(os.getpid(), signal.SIGSEGV)
            self.log("no more steps", Fmi2Status.discard)
            return False
        final = self.ambient + (self.heat if self.enabled else 0.0) / self.conductance
        decay = math.exp(-step_size * self.conductance / self.capacity)
        self.temperature = final + (self.temperature - final) * decay
        self.steps += 1
        return True
