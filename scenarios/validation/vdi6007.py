"""The test cases of VDI 6007 Part 1, run by the zone kernel at several step lengths."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cosim.core.buildings.zones import Zones
from cosim.core.quantities import DAY_S
from cosim.scenarios.validation.vdi6007_file import Case, read_cases

STEPS_S = (60.0, 900.0, 3600.0)


@dataclass(frozen=True)
class CaseOutcome:
    """Largest deviation of one case from its hourly reference at one step length."""

    case: str
    step_s: float
    largest_error: float
    unit: str
    threshold: float

    @property
    def inside(self) -> bool:
        """Whether the error is within the threshold."""
        return self.largest_error <= self.threshold


def outcomes(folder: Path, steps_s: tuple[float, ...] = STEPS_S) -> list[CaseOutcome]:
    """Run all cases of a folder at every step length.

    The references are hourly means; cases with a setpoint are compared by their load.
    """
    cases = read_cases(folder)
    return [outcome for step_s in steps_s for outcome in _run(cases, step_s)]


def _run(cases: list[Case], step_s: float) -> list[CaseOutcome]:
    n, per_day, per_hour = len(cases), round(DAY_S / step_s), round(3600 / step_s)
    starts = np.arange(per_day) * step_s
    gains = np.stack([case.gains.mean(starts, starts + step_s) for case in cases])
    air, equivalent = (
        np.stack([course.mean(starts, starts + step_s)[:, 0] for course in courses])
        for courses in ([case.outdoor for case in cases], [case.equivalent for case in cases])
    )
    flow = np.stack([case.ventilation.mean(starts, starts + step_s)[:, 0] for case in cases])
    setpoint = np.full((n, per_day), 20.0)
    for i, case in enumerate(cases):
        if case.setpoint is not None:
            setpoint[i] = np.interp(starts + step_s / 2, *case.setpoint)
    capacity = np.array([case.limit if case.setpoint is not None else 0.0 for case in cases])
    # One archetype for each case and ventilation that it has.
    parameters, archetype = None, np.zeros((n, per_day), np.int32)
    for i, case in enumerate(cases):
        rates, which = np.unique(flow[i], return_inverse=True)
        for rate in rates:
            zone = dataclasses.replace(case.zone, outdoor_conductance=np.array([rate]))
            parameters = zone if parameters is None else parameters + zone
        assert parameters is not None
        archetype[i] = len(parameters) - len(rates) + which
    assert parameters is not None
    zones = Zones(parameters, archetype[:, 0], 1.0, [case.start for case in cases])
    hours = max(max(case.reference) for case in cases)
    values = np.empty((hours * per_hour, 2, n))
    for k in range(hours * per_hour):
        j = k % per_day
        zones.archetype = archetype[:, j]
        step = zones.step(
            step_s,
            air[:, j],
            equivalent=equivalent[:, j],
            gain_air=gains[:, j, 0],
            gain_exterior=gains[:, j, 1],
            gain_interior=gains[:, j, 2],
            heating_setpoint=setpoint[:, j],
            cooling_setpoint=setpoint[:, j],
            heating_capacity=capacity,
            cooling_capacity=capacity,
        )
        values[k] = step.air, step.power
    hourly = values.reshape(hours, per_hour, 2, n).mean(axis=1)
    found = []
    for i, case in enumerate(cases):
        loads = case.setpoint is not None
        errors = [abs(hourly[hour - 1, int(loads), i] - value) for hour, value in case.reference.items()]
        found.append(CaseOutcome(case.name, step_s, float(max(errors)), "W" if loads else "K", case.threshold))
    return found
