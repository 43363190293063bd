"""Reader of the VDI 6007-1 test cases.

The files hold what AixLib's models of the cases hold in tables and parameters; what stands in the models' equations
(weights of the boundaries, power limits, the heat capacity of the ventilation air) is written here, with its source.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cosim.core import InputFileError
from cosim.core.buildings.zones import ZoneParameters
from cosim.core.quantities import DAY_S, Array
from cosim.core.weather.year import Course
from cosim.scenarios.validation.cases import Entry, read_json

_AIR = 1.0  # J/K, where the case has no air volume
_AIR_VOLUME_HEAT = 1.2 * 1005.45  # J/(m³ K)
_VENTILATION = 0.000330375898 * 1005.45  # W/K per m³/h, case 12 in AixLib
_SUNBLIND = 100.0  # W/m², above which blinds close
_TABLES = {
    "intGai": "internal gains",
    "reference": "the hourly reference",
    "setTemp": "the setpoint",
    "outdoorTemp": "the outdoor temperature",
    "outdoorTemp1": "the outdoor temperature",
    "tableSolRadWindow": "sun on the windows",
    "tableSolRadWall": "sun on the walls",
    "HSky": "long-wave radiation of the sky",
    "ventRate": "ventilation",
}
# Equivalent air temperature: absorptance, outer film and its radiative part, and the sky's temperature from its
# radiation at emissivity 0.93; the models of cases 8 and 9 in AixLib.
_ABSORPTANCE, _FILM, _RADIATIVE, _SKY = 0.7, 20.0, 5.0, 65.99081593


@dataclass(frozen=True)
class _Boundary:
    """Weights of what the exterior element borders on; they sum to 1."""

    walls: tuple[float, ...]
    windows: tuple[float, ...]
    adjacent: float = 0.0
    adjacent_temperature: float = 0.0
    """Of the ground or an adjacent room. [°C]"""


_TWO_WALLS = _Boundary((0.05796831135677373, 0.13249899738691134), (0.4047663456281575, 0.4047663456281575))
_BOUNDARIES = {
    "8": _TWO_WALLS,
    "9": _TWO_WALLS,
    "10": _Boundary((0.04646093176283288,), (0.32441554918476245,), 0.6291235190524047, 15.0),
}
"""By case, from AixLib's models (`eqAirTemp`); all others border on outdoor air only."""
_LIMITS = {"7": 500.0, "11": 500.0}
"""Power limits by case, from AixLib's models (`gainHea`, `gainCoo`). [W]"""


@dataclass(frozen=True)
class Case:
    """One case, ready to run.

    Attributes
    ----------
    gains
        Convective, exterior and interior gains of a day. [W]
    outdoor, equivalent
        Temperature of the air outdoors, and the one behind the exterior element. [°C]
    ventilation
        Conductance from the air to outdoors. [W/K]
    setpoint
        Times [s] and temperatures [°C] of a day, or None in free float.
    limit
        Of heating and cooling power. [W]
    start
        Initial temperature. [°C]
    reference
        Value by the hour at whose end it applies.
    threshold
        Accepted error.
    """

    name: str
    zone: ZoneParameters
    gains: Course
    outdoor: Course
    equivalent: Course
    ventilation: Course
    setpoint: tuple[Array, Array] | None
    limit: float
    start: float
    reference: dict[int, float]
    threshold: float


def _day(table: Entry) -> tuple[Array, Array]:
    rows = table["rows"].items()
    width = len(rows[0].items()) if rows else 0
    values = np.array([[number.number() for number in row.items(width)] for row in rows])
    if width < 2 or values[0, 0] != 0 or values[-1, 0] != DAY_S or (np.diff(values[:, 0]) < 0).any():
        table.refuse(f"its rows must run from 0 to {DAY_S:g} s in order, each with a value")
    return values[:, 0], values[:, 1:]


def _course(times: Array, values: Array) -> Course:
    long = np.diff(times) > 0  # equal times are jumps
    return Course(np.append(times[:-1][long], times[-1]), values[:-1][long], values[1:][long])


def _constant(value: float) -> tuple[Array, Array]:
    return np.array([0.0, DAY_S]), np.full((2, 1), value)


def _text(entry: Entry, pattern: str) -> tuple[str, ...] | None:
    found = re.search(pattern, entry.text())
    return None if found is None else found.groups()


def _numbers(entry: Entry) -> list[float]:
    return [e.number(0, 1e12) for e in entry.items()] if entry.is_list else [entry.number(0, 1e12)]


class _File:
    """One file, and the parts of a case that are read from it."""

    def __init__(self, path: Path) -> None:
        self.file = read_json(path)
        self.zone, self.tables = self.file["zone"], self.file["tables"]
        self.name = f"{self.file['case'].number(1, 1000):g}"
        unknown = [name for name in self.tables if name not in _TABLES]
        if unknown:
            self.tables.refuse(
                f"the case asks for {', '.join(unknown)}, which cannot be simulated; known are "
                + ", ".join(f"{name} ({what})" for name, what in _TABLES.items())
            )
        if "zone_model" in self.file and self.file["zone_model"].text() != "TwoElements":
            self.file["zone_model"].refuse("only zones of two elements can be simulated (TwoElements)")
        self.walls, self.glass = _numbers(self.zone["AExt"]), _numbers(self.zone["ATransparent"])
        if len(self.glass) != len(self.walls):
            self.zone["ATransparent"].refuse(f"it needs {len(self.walls)} areas, one per exterior wall in AExt")
        if any(area > 0 for area in _numbers(self.zone["AWin"])):
            self.zone["AWin"].refuse("windows with a surface of their own cannot be simulated: AWin must be 0")
        walls = tuple(area / sum(self.walls) for area in self.walls)
        self.boundary = _BOUNDARIES.get(self.name, _Boundary(walls, (0.0,) * len(walls)))
        if len(self.boundary.walls) != len(self.walls):
            self.zone["AExt"].refuse(f"case {self.name} has {len(self.boundary.walls)} exterior walls")

    def number(self, name: str) -> float:
        entry = self.zone[name]
        return (entry.items(1)[0] if entry.is_list else entry).number(1e-12, 1e12)

    def constant(self, name: str) -> float:
        entry = self.file["constants"][name].items()[0]
        found = _text(entry, r"^\s*([0-9.]+)\s*$")
        if found is None:
            entry.refuse("it must be a number")
        return float(found[0])

    def table(self, name: str, width: int | None = None) -> tuple[Array, Array]:
        times, values = _day(self.tables[name])
        if width is not None and values.shape[1] != width:
            self.tables[name].refuse(f"it has {values.shape[1]} columns of values: it needs {width}")
        return times, values

    def parameters(self) -> ZoneParameters:
        film = _text(self.file["constants"]["hConWall"].items()[0], r"^\s*([0-9.]+)\s*\*\s*([0-9.]+)\s*$")
        if film is None:
            self.file["constants"]["hConWall"].refuse(
                "its first item must be a coefficient times an area, e.g. 25*10.5"
            )
        volume = self.zone["VAir"].number(0, 1e9)
        number, by_ceiling = self.number, self.cools_by_ceiling
        return ZoneParameters(
            air_capacity=np.array([_AIR_VOLUME_HEAT * volume if volume > 0 else _AIR]),
            exterior_capacity=np.array([number("CExt")]),
            interior_capacity=np.array([number("CInt")]),
            r_exterior=np.array([number("RExt")]),
            r_interior=np.array([number("RInt")]),
            r_rest=np.array([number("RExtRem") + 1 / (float(film[0]) * float(film[1]))]),
            exterior_area=np.array([sum(self.walls)]),
            interior_area=np.array([number("AInt")]),
            outdoor_conductance=np.zeros(1),
            h_exterior=number("hConExt"),
            h_interior=number("hConInt"),
            h_radiation=number("hRad"),
            cooling_interior=float(by_ceiling),
        )

    @property
    def cools_by_ceiling(self) -> bool:
        """Whether cooling acts on the surface of the interior element instead of the air (case 11)."""
        return "cooling ceiling" in self.file["doc"].text().lower()

    def gains(self) -> Course:
        """Return convective, exterior and interior gains of persons, machines and sun."""
        interior = self.number("AInt")
        share = sum(self.walls) / (sum(self.walls) + interior)
        times, columns = _day(self.tables["intGai"])
        source = self.file["doc"].text().lower()
        kinds = [
            kind in source for kind in ("convective heat source", "radiative and convective", "radiative heat source")
        ]
        if not any(kinds):
            self.file["doc"].refuse(
                "it must state whether the heat source is convective, radiative, or radiative and convective"
            )
        # With both, the first column is radiative and the others are convective.
        radiant = columns[:, :1] if kinds[1] or kinds[2] else np.zeros((len(times), 1))
        convective = columns[:, 1:].sum(axis=1, keepdims=True) if kinds[1] else columns[:, :1] * (not kinds[2])
        parts = [_course(times, np.hstack([convective, share * radiant, (1 - share) * radiant]))]
        if "tableSolRadWindow" in self.tables:
            when, sun = self.table("tableSolRadWindow", len(self.walls))
            to_air = self.zone["ratioWinConRad"].number(0, 1)
            entered = sun * self.blinds(sun) * self.glass
            # Sun through a window does not reach the wall around it; it spreads over all other surfaces by area.
            others = sum(self.walls) - np.array(self.walls)
            on_walls = entered @ (others / (others + interior))
            on_inner = entered @ (interior / (others + interior))
            columns = np.stack([to_air * entered.sum(axis=1), (1 - to_air) * on_walls, (1 - to_air) * on_inner], axis=1)
            parts.append(_course(when, columns))
        return _sum(parts)

    def blinds(self, sun: Array) -> Array:
        """Return what the blinds let pass of the sun on each window."""
        return np.where(sun > _SUNBLIND, self.constant("g_sunblind"), 1.0)

    def outdoor(self) -> tuple[Array, Array]:
        for name in ("outdoorTemp", "outdoorTemp1"):
            if name in self.tables:
                return self.table(name, 1)
        return _constant(self.zone["T_start"].number(200, 400))

    def equivalent(self) -> Course:
        """Return the equivalent air temperature of VDI 6007-1: walls, windows and what else the element borders on."""
        to, edge = self.boundary, _course(*self.outdoor())
        parts = [
            Course(edge.times, (1 - to.adjacent) * (edge.first - 273.15), (1 - to.adjacent) * (edge.last - 273.15)),
            _course(*_constant(to.adjacent * to.adjacent_temperature)),
        ]
        if "tableSolRadWall" in self.tables:
            times, sun = self.table("tableSolRadWall", len(self.walls))
            rise = _ABSORPTANCE / (_FILM + _RADIATIVE) * sun @ np.array(to.walls)
            parts.append(_course(times, rise[:, None]))
        if "HSky" in self.tables:
            sky, (when, sun) = _course(*self.table("HSky", 1)), self.table("tableSolRadWindow", len(self.walls))
            open_to = _course(when, self.blinds(sun))
            times = np.unique(np.concatenate([sky.times, edge.times, open_to.times]))
            radiation, outdoor, passes = (c.mean(times[:-1], times[1:]) for c in (sky, edge, open_to))
            exchange = (_SKY * radiation**0.25 - outdoor) * _RADIATIVE / (_RADIATIVE + _FILM)
            lost = exchange * (sum(to.walls) + passes @ np.array(to.windows)[:, None])
            parts.append(Course(times, lost, lost))
        return _sum(parts)

    def ventilation(self) -> Course:
        times, rate = self.table("ventRate", 1) if "ventRate" in self.tables else _constant(0.0)
        return _course(times, _VENTILATION * rate)

    def reference(self) -> dict[int, float]:
        rows = self.tables["reference"]["rows"].items()
        # With a panel (case 11) the columns are temperature, load, and the load of the next hour.
        column = 1 if not rows or len(rows[0].items()) == 2 else 2
        values = [[n.number() for n in row.items(len(rows[0].items()))] for row in rows]
        reference = {round(row[0] / 3600): row[column] for row in values if row[0] > 0}
        if not reference or any(abs(row[0] / 3600 - round(row[0] / 3600)) > 1e-6 for row in values):
            self.tables["reference"].refuse("it must hold values at whole hours after 0")
        return reference if "setTemp" not in self.tables else self._heating_positive(reference)

    def _heating_positive(self, loads: dict[int, float]) -> dict[int, float]:
        """Return loads with heating positive; the files differ in the sign (6 and 7)."""
        times, setpoint = self.table("setTemp", 1)
        rises = times[1:][np.diff(setpoint[:, 0]) > 0]
        after = [load for hour, load in sorted(loads.items()) if rises.size and hour * 3600 > rises[0] and load != 0]
        if not after:
            self.tables["reference"].refuse("it must hold the load of the hour in which the setpoint first rises")
        return {hour: load * np.sign(after[0]) for hour, load in loads.items()}


def _sum(parts: list[Course]) -> Course:
    edges = np.unique(np.concatenate([part.times for part in parts]))
    mean: Array = np.asarray(sum(part.mean(edges[:-1], edges[1:]) for part in parts))
    return Course(edges, mean, mean)


def read_case(path: Path) -> Case:
    """Read one case.

    Raises
    ------
    InputFileError
        If it is malformed, or asks for what cannot be simulated.
    """
    file = _File(path)
    setpoint = None
    if "setTemp" in file.tables:
        at, to = file.table("setTemp", 1)
        setpoint = at, to[:, 0]
    outdoor = _course(*file.outdoor())
    return Case(
        file.name,
        file.parameters(),
        file.gains(),
        Course(outdoor.times, outdoor.first - 273.15, outdoor.last - 273.15),
        file.equivalent(),
        file.ventilation(),
        setpoint,
        _LIMITS.get(file.name, np.inf),
        file.zone["T_start"].number(200, 400) - 273.15,
        file.reference(),
        file.file["threshold"].number(0, 1e6),
    )


def read_cases(folder: Path) -> list[Case]:
    """Read all ``case*.json`` of a folder, sorted by number.

    Raises
    ------
    InputFileError
        If there is none, or one is duplicated or malformed.
    """
    cases = sorted((read_case(path) for path in sorted(folder.glob("case*.json"))), key=lambda case: float(case.name))
    if not cases:
        raise InputFileError(f"{folder} has no case*.json: give the folder of the VDI 6007 cases")
    if len({case.name for case in cases}) != len(cases):
        raise InputFileError(f"{folder} has a case twice: {', '.join(case.name for case in cases)}")
    return cases
