"""Speed of the zone kernel against the bandwidth of the memory.

The lock-step call (`Zones.step`'s compiled part) is limited by memory, so its bytes a second stand beside a STREAM
triad compiled and measured in the same run: once with arrays far larger than the caches, as STREAM demands, once with
as many bytes as the kernel touches. `Zones.run` keeps blocks of zones in the cache for many steps and is limited by
arithmetic. Bytes count what the code reads and writes, without what the processor fetches in order to overwrite it.
Medians of alternating rounds; the last line is JSON.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from cosim.core.buildings import _zones, zones_reference
from cosim.core.buildings.varying import VaryingZones
from cosim.core.buildings.zone_network import coefficients
from cosim.core.buildings.zones import TARGETS, ZoneParameters, Zones

TRIAD = """
void triad(double *restrict a, const double *restrict b, const double *restrict c, double s, long n)
{ for (long i = 0; i < n; i++) a[i] = b[i] + s * c[i]; }
"""
BYTES = 14 * 8 + 4 + 8 * 8
"""Of a zone-step in lock-step. Read: 6 drives, 4 controls, 3 states, scale, archetype. Written: 3 states, 3 means,
2 flows."""
ARCHETYPES = 40
FEATURES = (
    "two masses and air, exact step and exact mean",
    "windows with a surface of their own",
    "heating and cooling with capacity limits",
    "radiant and convective gains",
    "equivalent outdoor temperatures",
    "power, loss and mean temperatures put out",
    "float64",
)


def compile_triad(folder: Path) -> Callable[..., object]:
    """Compile the triad for this processor."""
    source, library = folder / "triad.c", folder / "triad.so"
    source.write_text(TRIAD)
    subprocess.run(["cc", "-O3", "-march=native", "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    triad = ctypes.CDLL(str(library)).triad
    pointer = ctypes.c_void_p
    triad.argtypes = [pointer, pointer, pointer, ctypes.c_double, ctypes.c_long]
    return lambda *given: triad(*given)


def zones(n: int, threads: int = 1, target: str = TARGETS[-1]) -> Zones:
    """Make n zones of 40 archetypes, neighbours alike, as a city's stock sorted by type."""
    rng = np.random.default_rng(1)
    flat = {
        "air_capacity": 1e4, "exterior_capacity": 8e4, "interior_capacity": 2e5, "r_exterior": 0.1, "r_interior": 0.04,
        "r_rest": 1.5, "exterior_area": 0.9, "interior_area": 3.0, "outdoor_conductance": 0.8, "window_area": 0.15,
        "window_conductance": 0.5,
    }  # fmt: skip
    shut = ZoneParameters(**{name: value * rng.uniform(0.5, 2, ARCHETYPES) for name, value in flat.items()})
    aired = ZoneParameters(
        **{name: getattr(shut, name) for name in flat if name != "outdoor_conductance"},
        outdoor_conductance=shut.outdoor_conductance + 3.4,
    )
    return Zones(
        shut + aired,
        np.sort(rng.integers(0, ARCHETYPES, n)),
        rng.uniform(50, 2000, n),
        20.0,
        threads=threads,
        target=target,
    )


def arrays(n: int) -> tuple[np.ndarray, ...]:
    """Drives and controls of a winter's day, different in every zone; and room for means and flows."""
    rng = np.random.default_rng(2)
    drive, control = rng.uniform(0, 2000, (6, n)), np.empty((4, n))
    drive[:3] = rng.uniform(-5, 12, (3, n))
    control[0], control[1], control[2], control[3] = 20.0, 26.0, 5e4, 5e4
    return drive, control, np.empty((3, n)), np.empty((2, n))


def rate(work: float, seconds: list[float]) -> float:
    return work / statistics.median(seconds)


def timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def varying_films(n: int) -> float:
    """Return the rate of zones whose films and infiltration vary over that of `Zones.step`, in one run."""
    z, plain = zones(n), zones(n)
    model = VaryingZones(z, np.full(n, 5.0), np.full(n, 4), np.full(n, 0.3))
    edge, none, hold = np.full(n, 5.0), np.zeros(n), {"heating_setpoint": 20.0, "cooling_setpoint": 26.0}
    pairs = [
        (
            timed(lambda: plain.step(3600.0, 5.0, equivalent=edge, gain_air=none, **hold)),
            timed(lambda: model.step(3600.0, 5.0, 3.0, edge, edge, none, **hold)),
        )
        for _ in range(7)
    ]
    return statistics.median(a / b for a, b in pairs)


def year_profiles(steps: int, n_profiles: int) -> np.ndarray:
    """Profiles with days and seasons: cold nights, sun, setback."""
    hour = np.arange(steps)[:, None]
    profiles = np.empty((steps, n_profiles, 8))
    outdoor = 12 - 8 * np.cos(2 * np.pi * hour / 8760) - 5 * np.cos(2 * np.pi * hour / 24)
    profiles[:, :, 0] = profiles[:, :, 2] = outdoor
    profiles[:, :, 1] = outdoor + 2
    profiles[:, :, 3] = 3 + np.arange(n_profiles) / n_profiles
    profiles[:, :, 4:6] = 5 * np.maximum(-np.cos(2 * np.pi * hour / 24), 0)[:, :, None]
    profiles[:, :, 6], profiles[:, :, 7] = np.where(hour % 24 < 7, 17.0, 20.0), 26.0
    return profiles


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zones", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=168, help="steps of a run in blocks")
    parser.add_argument("--year", action="store_true", help="also run 8,760 hours, one thread")
    given = parser.parse_args()
    n, rounds = given.zones, given.rounds
    with tempfile.TemporaryDirectory() as folder:
        triad = compile_triad(Path(folder))

        large = [np.ones(20_000_000) for _ in range(3)]  # 480 MB
        small = [np.ones(n * BYTES // 24) for _ in range(3)]
        drive, control, mean, flow = arrays(n)
        every = {target: zones(n, target=target) for target in TARGETS}
        aired = zones(n)
        rng = np.random.default_rng(3)
        variants = [(aired.archetype + ARCHETYPES * (rng.random(n) < 0.3)).astype(np.int32) for _ in range(4)]
        rows = coefficients(aired.parameters, 3600.0)
        radiant = replace(aired.parameters, heating_exterior=0.1, heating_interior=0.2, cooling_interior=0.3)
        rows_on = coefficients(radiant, 3600.0)
        at_random = rng.permutation(aired.archetype)

        def lockstep(z: Zones, archetype: np.ndarray, target: int, rows: np.ndarray = rows) -> float:
            return timed(
                lambda: _zones.step(rows, archetype, z._scale, drive, control, z.state, mean, flow, 0, n, target)
            )

        def stream(vectors: list[np.ndarray]) -> float:
            return timed(lambda: triad(*(v.ctypes.data for v in vectors), 3.0, len(vectors[0])))

        times: dict[str, list[float]] = {}
        for k in range(rounds + 2):  # the first two warm up
            for name, action in (
                ("triad", lambda: stream(large)),
                ("triad_small", lambda: stream(small)),
                *((f"step_{t}", lambda t=t: lockstep(every[t], every[t].archetype, TARGETS.index(t))) for t in TARGETS),
                ("varying", lambda k=k: lockstep(aired, variants[k % 4], len(TARGETS) - 1)),
                ("at random", lambda: lockstep(aired, at_random, len(TARGETS) - 1)),
                ("emission", lambda: lockstep(aired, aired.archetype, len(TARGETS) - 1, rows_on)),
                ("emission at random", lambda: lockstep(aired, at_random, len(TARGETS) - 1, rows_on)),
            ):
                elapsed = action()
                if k >= 2:
                    times.setdefault(name, []).append(elapsed)

        two = zones(n, threads=2)
        python = {
            threads: [
                timed(
                    lambda z=z: z.step(
                        3600.0,
                        drive[0],
                        equivalent=drive[1],
                        window=drive[2],
                        gain_air=drive[3],
                        heating_setpoint=20.0,
                        cooling_setpoint=26.0,
                    )
                )
                for _ in range(5)
            ]
            for threads, z in ((1, every[TARGETS[-1]]), (2, two))
        }

        profiles = year_profiles(given.steps, 4)
        window = (profiles[:, :, 3] > 3.4) & (np.arange(given.steps)[:, None] % 24 > 18)
        follows = np.sort(np.arange(n) % 4)
        order = np.lexsort((follows, every[TARGETS[-1]].archetype))
        blocks = {}
        for label, threads, variant in (
            ("fixed_1", 1, 0),
            ("fixed_2", 2, 0),
            ("varying_1", 1, ARCHETYPES * window),
            ("varying_2", 2, ARCHETYPES * window),
        ):
            z = zones(n, threads=threads)
            blocks[label] = [
                timed(lambda z=z, v=variant: z.run(3600.0, profiles, follows[order], variant=v)) for _ in range(3)
            ]
        year_s = None
        if given.year:
            z, long = zones(n), year_profiles(8760, 4)
            year_s = timed(lambda: z.run(3600.0, long, follows[order]))

        few = min(n, 20_000)
        films = varying_films(few)
        z = zones(few)
        inputs, controls, means, flows = arrays(few)
        reference = [
            timed(lambda: zones_reference.step(rows, z.archetype, z._scale, inputs, controls, z.state, means, flows))
            for _ in range(3)
        ]

    best = rate(n, times[f"step_{TARGETS[-1]}"])
    triad_rate = rate(24 * len(large[0]), times["triad"])
    small_rate = rate(24 * len(small[0]), times["triad_small"])
    result = {
        "zones": n,
        "zone_steps_per_s": best,
        "bytes_per_zone_step": BYTES,
        "bytes_per_s": best * BYTES,
        "triad_bytes_per_s": triad_rate,
        "triad_share": best * BYTES / triad_rate,
        "triad_same_size_bytes_per_s": small_rate,
        "triad_same_size_share": best * BYTES / small_rate,
        "by_instruction_set": {t: rate(n, times[f"step_{t}"]) for t in TARGETS},
        "varying_ventilation_per_zone": rate(n, times["varying"]),
        "over_uniform": {
            name: min(times[f"step_{TARGETS[-1]}"])
            / min(times[name])  # the machine may be shared: fastest of all rounds
            for name in ("varying", "at random", "emission", "emission at random")
        },
        "varying_films_over_constant": films,
        "through_python_1_thread": rate(n, python[1]),
        "through_python_2_threads": rate(n, python[2]),
        "blocks": {label: rate(n * given.steps, seconds) for label, seconds in blocks.items()},
        "year_of_hours_s": year_s,
        "numpy_reference": rate(few, reference),
        "features": FEATURES,
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
    }
    for name, value in result.items():
        print(f"{name}: {value}")
    json.dump(result, sys.stdout)
    print()


if __name__ == "__main__":
    main()
