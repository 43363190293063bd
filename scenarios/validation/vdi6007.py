"""Does the zone kernel reproduce the test cases of VDI 6007 Part 1, at any step?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cosim.core import InputFileError
from cosim.core.weather import Course
from cosim.core.zones import Array, ZoneParameters, Zones
from cosim.scenarios.validation.cases import Entry, read_json

STEPS_S = (60.0, 900.0, 3600.0)
DAY_S = 86400.0
_AIR = 1.0  # J/K: the cases have no air volume
_SUNBLIND = 100.0  # W/m², above which the blind of case 5 closes


@dataclass(frozen=True)
class Outcome:
    """The largest distance of one case from its hourly reference at one step length."""

    case: str
    step_s: float
    largest_error: float
    unit: str
    threshold: float

    @property
    def inside(self) -> bool:
        """Whether the error is accepted."""
        return self.largest_error <= self.threshold


@dataclass(frozen=True)
class _Case:
    name: str
    zone: ZoneParameters
    gains: Course
    """Convective, exterior and interior gains of a day. [W]"""
    outdoor: Course
    setpoint: tuple[Array, Array] | None
    start: float
    """Initial temperature. [°C]"""
    reference: dict[int, float]
    """Value by the hour that it closes."""
    threshold: float


def _day(table: Entry) -> tuple[Array, Array]:
    rows = table["rows"].items()
    width = len(rows[0].items()) if rows else 0
    values = np.array([[number.number() for number in row.items(width)] for row in rows])
    if width < 2 or values[0, 0] != 0 or values[-1, 0] != DAY_S or (np.diff(values[:, 0]) < 0).any():
        table.refuse(f"its rows must run from 0 to {DAY_S:g} s in order, with a value each")
    return values[:, 0], values[:, 1:]


def _course(times: Array, values: Array) -> Course:
    long = np.diff(times) > 0  # equal times are jumps
    return Course(np.append(times[:-1][long], times[-1]), values[:-1][long], values[1:][long])


def _text(entry: Entry, pattern: str) -> tuple[str, ...] | None:
    found = re.search(pattern, entry.text())
    return None if found is None else found.groups()


def _read(path: Path) -> _Case:
    file = read_json(path)
    zone, tables = file["zone"], file["tables"]

    def number(name: str) -> float:
        entry = zone[name]
        return (entry.items(1)[0] if entry.is_list else entry).number(1e-12, 1e12)

    film = _text(file["constants"]["hConWall"].items()[0], r"^\s*([0-9.]+)\s*\*\s*([0-9.]+)\s*$")
    if film is None:
        file["constants"]["hConWall"].refuse("its first item must be a coefficient times an area, e.g. 25*10.5")
    parameters = ZoneParameters(
        air_capacity=np.array([_AIR]),
        exterior_capacity=np.array([number("CExt")]), interior_capacity=np.array([number("CInt")]),
        r_exterior=np.array([number("RExt")]), r_interior=np.array([number("RInt")]),
        r_rest=np.array([number("RExtRem") + 1 / (float(film[0]) * float(film[1]))]),
        exterior_area=np.array([number("AExt")]), interior_area=np.array([number("AInt")]),
        outdoor_conductance=np.zeros(1),
        h_exterior=number("hConExt"), h_interior=number("hConInt"), h_radiation=number("hRad"),
    )  # fmt: skip
    share = parameters.exterior_share[0]
    times, columns = _day(tables["intGai"])
    source = file["doc"].text().lower()
    kinds = [kind in source for kind in ("convective heat source", "radiative and convective", "radiative heat source")]
    if not any(kinds):
        file["doc"].refuse("it must say whether the heat source is convective, radiative, or radiative and convective")
    # With both, the first column is radiative and the others are convective.
    radiant = columns[:, :1] if kinds[1] or kinds[2] else np.zeros((len(times), 1))
    convective = columns[:, 1:].sum(axis=1, keepdims=True) if kinds[1] else columns[:, :1] * (not kinds[2])
    parts = [_course(times, np.hstack([convective, share * radiant, (1 - share) * radiant]))]
    if "tableSolRadWindow" in tables:
        constants, when = file["constants"], _day(tables["tableSolRadWindow"])
        blind = _text(constants["g_sunblind"].items()[0], r"^\s*([0-9.]+)\s*$")
        if blind is None:
            constants["g_sunblind"].refuse("its first item must be a number")
        sun = when[1] * np.where(when[1] > _SUNBLIND, float(blind[0]), 1.0) * number("ATransparent")
        to_air = zone["ratioWinConRad"].number(0, 1)
        # Sun through the only window cannot fall on its own façade.
        parts.append(_course(when[0], np.hstack([to_air * sun, 0 * sun, (1 - to_air) * sun])))
    edges = np.unique(np.concatenate([part.times for part in parts]))
    mean = sum(part.mean(edges[:-1], edges[1:]) for part in parts)
    start = zone["T_start"].number(200, 400) - 273.15
    outdoor = (np.array([0.0, DAY_S]), np.full((2, 1), start + 273.15))
    if "outdoorTemp" in tables:
        outdoor = _day(tables["outdoorTemp"])
    setpoint = None
    if "setTemp" in tables:
        at, to = _day(tables["setTemp"])
        setpoint = at, to[:, 0]
    rows = [[n.number() for n in row.items(2)] for row in tables["reference"]["rows"].items()]
    reference = {round(t / 3600): value for t, value in rows if t > 0}
    if not reference or any(abs(t / 3600 - round(t / 3600)) > 1e-6 for t, _ in rows):
        tables["reference"].refuse("it must hold values at whole hours after 0")
    name = f"{file['case'].number(1, 1000):g}"
    return _Case(
        name, parameters, Course(edges, np.asarray(mean), np.asarray(mean)),
        _course(outdoor[0], outdoor[1] - 273.15), setpoint, start, reference, file["threshold"].number(0, 1e6),
    )  # fmt: skip


def read_cases(folder: Path) -> list[_Case]:
    """Read all ``case*.json`` of a folder, by number.

    Raises
    ------
    InputFileError
        If there is none, one stands twice, or one is malformed.
    """
    cases = sorted((_read(path) for path in sorted(folder.glob("case*.json"))), key=lambda case: float(case.name))
    if not cases:
        raise InputFileError(f"{folder} has no case*.json: give the folder of the VDI 6007 cases")
    if len({case.name for case in cases}) != len(cases):
        raise InputFileError(f"{folder} has a case twice: {', '.join(case.name for case in cases)}")
    return cases


def outcomes(folder: Path, steps_s: tuple[float, ...] = STEPS_S) -> list[Outcome]:
    """Run all cases of a folder at every step length.

    The references are hourly means; a case with a setpoint is compared by its load, cooling counted positive.
    """
    cases = read_cases(folder)
    return [outcome for step_s in steps_s for outcome in _run(cases, step_s)]


def _run(cases: list[_Case], step_s: float) -> list[Outcome]:
    n, per_day, per_hour = len(cases), round(DAY_S / step_s), round(3600 / step_s)
    starts = np.arange(per_day) * step_s
    gains = np.stack([case.gains.mean(starts, starts + step_s) for case in cases])
    outdoor = np.stack([case.outdoor.mean(starts, starts + step_s)[:, 0] for case in cases])
    setpoint = np.full((n, per_day), 20.0)
    for i, case in enumerate(cases):
        if case.setpoint is not None:
            setpoint[i] = np.interp(starts + step_s / 2, *case.setpoint)
    capacity = np.array([np.inf if case.setpoint is not None else 0.0 for case in cases])
    parameters = cases[0].zone
    for case in cases[1:]:
        parameters = parameters + case.zone
    zones = Zones(parameters, np.arange(n), 1.0, [case.start for case in cases])
    hours = max(max(case.reference) for case in cases)
    values = np.empty((hours * per_hour, 2, n))
    for k in range(hours * per_hour):
        j = k % per_day
        step = zones.step(
            step_s, outdoor[:, j], gain_air=gains[:, j, 0], gain_exterior=gains[:, j, 1],
            gain_interior=gains[:, j, 2], heating_setpoint=setpoint[:, j], cooling_setpoint=setpoint[:, j],
            heating_capacity=capacity, cooling_capacity=capacity,
        )  # fmt: skip
        values[k] = step.air, -step.power
    hourly = values.reshape(hours, per_hour, 2, n).mean(axis=1)
    found = []
    for i, case in enumerate(cases):
        loads = case.setpoint is not None
        errors = [abs(hourly[hour - 1, int(loads), i] - value) for hour, value in case.reference.items()]
        found.append(Outcome(case.name, step_s, float(max(errors)), "W" if loads else "K", case.threshold))
    return found
