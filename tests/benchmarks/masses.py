"""Whether a third mass pays: rooms of two and three masses beside the same room in layers.

The room of Standard 140's case 600 in light, heavy and mixed construction (heavy walls, light roof; light walls, heavy
floor and a heavy partition), with constant films, so that all models are linear and stepped exactly: they differ in the
reduction of the layers alone. Two masses: walls and roof, and what has no outer side; three: walls, roof and those.
Layers are cut into six slices each; twice as many change nothing that is printed. Prints Markdown, and JSON last.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cosim.core.buildings.envelope import Component, MaterialLayer, parallel
from cosim.core.quantities import DAY_S
from cosim.core.weather.epw import read_epw
from cosim.core.weather.solar import irradiance
from cosim.core.weather.year import interpolated

STEP_S = 900.0
WOOD, WOOL, PLASTER = (0.009, 0.14, 530, 900), (0.066, 0.04, 12, 840), (0.012, 0.16, 950, 840)
BLOCK, FOAM, CONCRETE = (0.1, 0.51, 1400, 1000), (0.0615, 0.04, 10, 1400), (0.08, 1.13, 1400, 1000)
ROOF = [(0.01, 0.16, 950, 840), (0.1118, 0.04, 12, 840), (0.019, 0.14, 530, 900)]
LIGHT, HEAVY = [PLASTER, WOOL, WOOD], [BLOCK, FOAM, WOOD]
BOARDS = [(0.025, 0.14, 650, 1200)]
ROOMS = {
    "light": {"walls": LIGHT, "roof": ROOF, "floor": BOARDS},
    "heavy": {"walls": HEAVY, "roof": ROOF, "floor": [CONCRETE]},
    "heavy walls, light floor": {"walls": HEAVY, "roof": ROOF, "floor": BOARDS},
    "light walls, heavy floor and partition": {"walls": LIGHT, "roof": ROOF, "floor": [CONCRETE], "partition": [BLOCK]},
}
"""From the room outwards; a floor and half a partition have no outer side. Layers are those of cases 600 and 900."""
AREAS = {"walls": 63.6, "roof": 48.0, "floor": 48.0, "partition": 21.6}  # m²
INSIDE, RADIATION, OUTSIDE = {"walls": 2.2, "roof": 1.8, "floor": 2.2, "partition": 2.2}, 5.1, 25.0  # W/(m² K)
WINDOW, GLASS, AIRED, AIR = 12.0, 0.6, 30.0 + 16.0, 1.3e5  # m², g, W/K through windows and infiltration, J/K


@dataclass(frozen=True)
class Room:
    """A linear room: capacities, conductances between its nodes and to outdoors by driving column, air first."""

    capacity: np.ndarray
    conductance: np.ndarray
    drive: np.ndarray
    """From outdoor air, walls' and roof's equivalent temperatures, and heat at the surfaces, to the nodes."""


def assemble(kind: dict[str, list], groups: list[list[str]], slices: int) -> Room:
    """Return a room with one mass per group of components, or in slices per layer if there are any."""
    links: list[tuple[int, int, float]] = []  # between nodes [W/K]
    outer: list[tuple[int, int, float]] = []  # from a node to a driving column [W/K]
    surfaces: list[tuple[int, float]] = []
    index = 1 + len([c for g in groups for c in g]) if slices else 1 + len(groups)
    masses: list[float] = []
    for number, group in enumerate(groups):
        parts = [
            Component(AREAS[c], tuple(MaterialLayer(*x) for x in kind[c]), c in ("floor", "partition")) for c in group
        ]
        for name, part in zip(group, parts, strict=True):
            if not slices:
                break
            surface = 1 + len(surfaces)
            surfaces.append((surface, part.area))
            links.append((0, surface, INSIDE[name] * part.area))
            before, half = surface, 0.0
            for layer in part.layers:
                for _ in range(slices):
                    r, c = layer.resistance / slices / part.area, layer.capacity / slices * part.area
                    links.append((before, index + len(masses), 1 / (half + r / 2)))
                    before, half = index + len(masses), r / 2
                    masses.append(c)
            if not part.adiabatic:
                column = 1 if name == "walls" else 2
                outer.append((before, column, 1 / (half + 1 / (OUTSIDE * part.area))))
        if not slices:
            area = sum(p.area for p in parts)
            r, c = parallel(parts, DAY_S)
            surface = 1 + number
            surfaces.append((surface, area))
            links.append((0, surface, sum(INSIDE[n] * p.area for n, p in zip(group, parts, strict=True))))
            links.append((surface, index + len(masses), 1 / r))
            if not parts[0].adiabatic:
                to_out = [1 / (p.resistance + 1 / (OUTSIDE * p.area)) for p in parts]
                rest = 1 / sum(to_out) - r
                for name, share in zip(group, to_out, strict=True):
                    outer.append((index + len(masses), 1 if name == "walls" else 2, share / sum(to_out) / rest))
            masses.append(c)
    n = index + len(masses)
    matrix, drive = np.zeros((n, n)), np.zeros((n, 5))
    total = sum(a for _, a in surfaces)
    links += [(i, j, RADIATION * a * b / total) for k, (i, a) in enumerate(surfaces) for j, b in surfaces[k + 1 :]]
    for i, j, g in links:
        matrix[[i, j], [i, j]] += g
        matrix[[i, j], [j, i]] -= g
    for i, column, g in [*outer, (0, 0, AIRED)]:
        matrix[i, i] += g
        drive[i, column] += g
    for i, a in surfaces:
        drive[i, 3] = a / total
    drive[0, 4] = 1.0
    # Surfaces without capacity are eliminated.
    free, gone = np.r_[0, index:n], np.arange(1, index)
    onto = matrix[np.ix_(free, gone)] @ np.linalg.inv(matrix[np.ix_(gone, gone)])
    return Room(
        np.array([AIR, *masses]),
        matrix[np.ix_(free, free)] - onto @ matrix[np.ix_(gone, free)],
        drive[free] - onto @ drive[gone],
    )


def steps(room: Room, held: bool) -> tuple[np.ndarray, ...]:
    """Return the matrices of one exact step: end and mean from state and heat."""
    first = 1 if held else 0
    root = np.sqrt(room.capacity[first:])
    rate, vectors = np.linalg.eigh(room.conductance[first:, first:] / np.outer(root, root))
    z = -rate * STEP_S
    one = np.expm1(z) / z
    left, right = vectors / root[:, None], (vectors * root[:, None]).T
    return (
        left @ (np.exp(z)[:, None] * right),
        STEP_S * left @ (one[:, None] * left.T),
        left @ (one[:, None] * right),
        STEP_S * left @ (((one - 1) / z)[:, None] * left.T),
    )


def year(room: Room, weather: np.ndarray) -> dict[str, float]:
    """Return annual loads [MWh] and hourly peaks [kW] between 20 and 27 °C."""
    free, held = steps(room, held=False), steps(room, held=True)
    air, into = room.conductance[0, 1:], room.capacity[0] / STEP_S
    state, power = np.full(len(room.capacity), 20.0), np.zeros(len(weather))
    for k, given in enumerate(weather):
        heat = room.drive @ given
        end = free[0] @ state + free[1] @ heat
        target = min(max(end[0], 20.0), 27.0)
        if target != end[0]:
            more = heat[1:] - air * target
            mean = held[2] @ state[1:] + held[3] @ more
            power[k] = into * (target - state[0]) + room.conductance[0, 0] * target + air @ mean - heat[0]
            end[1:], end[0] = held[0] @ state[1:] + held[1] @ more, target
        state = end
    hourly = power.reshape(-1, round(3600 / STEP_S)).mean(axis=1)[30 * 24 :] / 1000
    heating, cooling = np.maximum(hourly, 0), np.maximum(-hourly, 0)
    return {
        "heating": heating.sum() / 1000,
        "cooling": cooling.sum() / 1000,
        "peak heating": heating.max(),
        "peak cooling": cooling.max(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weather", type=Path, help="an EPW file")
    file = read_epw(parser.parse_args().weather)
    start, span = dt.datetime(2000, 12, 2, 7, tzinfo=dt.UTC), 395 * DAY_S
    begins = np.arange(round(span / STEP_S)) * STEP_S
    outdoor = interpolated(file, ["dry_bulb"], start, span).mean(begins, begins + STEP_S)[:, 0]
    faces = {"north": (90, 0), "east": (90, 90), "south": (90, 180), "west": (90, 270), "roof": (0, 180)}
    sun = irradiance(file, faces, start, span).mean(begins, begins + STEP_S)
    weather = np.stack(
        [
            outdoor,
            outdoor + 0.6 / OUTSIDE * sun[:, :4].mean(axis=1),
            outdoor + 0.6 / OUTSIDE * sun[:, 4] - 2.0,
            0.9 * GLASS * WINDOW * sun[:, 2] + 120.0,
            0.1 * GLASS * WINDOW * sun[:, 2] + 80.0,
        ],
        axis=1,
    )
    print("| room | masses | heating | cooling | peak heating | peak cooling |")
    print("|---|---|---|---|---|---|")
    result: dict[str, dict[str, dict[str, float]]] = {}
    for name, kind in ROOMS.items():
        inner = [c for c in kind if c in ("floor", "partition")]
        models = {
            "layers": assemble(kind, [[c] for c in kind], 6),
            "2": assemble(kind, [["walls", "roof"], inner], 0),
            "3": assemble(kind, [["walls"], ["roof"], inner], 0),
        }
        if len(inner) == 2:
            models["3, two inside"] = assemble(kind, [["walls", "roof"], ["floor"], ["partition"]], 0)
        found = {model: year(room, weather) for model, room in models.items()}
        for model, values in found.items():
            if model == "layers":
                cells = [f"{v:.3f} {'kW' if 'peak' in key else 'MWh'}" for key, v in values.items()]
            else:
                cells = [f"{100 * (v / found['layers'][key] - 1):+.1f} %" for key, v in values.items()]
            print(f"| {name} | {model} ({len(models[model].capacity) - 1}) | {' | '.join(cells)} |")
        result[name] = found
    json.dump(result, sys.stdout)
    print()


if __name__ == "__main__":
    main()
