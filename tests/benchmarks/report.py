"""How large is a report and how quick its slider? Streets and buildings over a day, in a headless Chromium.

For 5,000 + 5,000 and 10,000 + 10,000 elements × 1,440 recorded steps, and for a city of 20,000 streets and 100,000
buildings × 24, whose buildings the report draws as square cells: the time to write the report, its size, the time until
the browser has it ready, and from a move of the slider until it has drawn, by MapLibre GL (WebGL in software, as here
there is no graphics processor) and by the plain canvas; the median of moves over both layers. The same of the viewer,
which draws every element, by canvas. ``--city`` measures the large city alone. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from cosim import Adapter, Clock, Layer, Output, Result, Scenario
from cosim.report import write_report
from cosim.report.server import ReportServer, Viewer
from tests.support.browser import CHROMIUM, Browser

MOVES = 12

STEP = """
(async () => {
  const slider = document.getElementById("slider"), moment = document.getElementById("moment");
  const began = performance.now();
  const shown = new Promise(done => new MutationObserver((_, o) => { o.disconnect(); done(); })
    .observe(moment, {childList: true, characterData: true, subtree: true}));
  slider.value = FRAME; slider.dispatchEvent(new Event("input"));
  await shown;
  for (let k = 0; k < 2; k++) await new Promise(requestAnimationFrame);
  return performance.now() - began;
})()
"""


class Day(Adapter):
    """A daily curve of each element with its own phase, and noise."""

    def __init__(self, n: int, seed: int) -> None:
        self.power = Output("W", [f"element {k}" for k in range(n)], "mean")
        rng = np.random.default_rng(seed)
        self.size, self.phase, self.rng = rng.gamma(2.0, 500.0, n), rng.normal(0.0, 1.0, n), rng

    def advance(self, step) -> None:
        daily = 1 + np.sin(2 * math.pi * step.start_s / 86400 + self.phase)
        self.power.value = self.size * daily * self.rng.uniform(0.8, 1.2, len(self.size))


def city(n_streets: int, n_buildings: int, step_s: float, folder: Path) -> Result:
    """Record a day of streets and buildings, the larger number on a square grid of 100 m and the other over it."""
    side = math.ceil(math.sqrt(max(n_streets, n_buildings)))
    scenario = Scenario(
        Clock("2025-01-15", hours=24, step_s=step_s),
        streets=Day(n_streets, 1),
        buildings=Day(n_buildings, 2),
        indicators=lambda r: {},
    )
    corners = [(100.0 * (k % side), 100.0 * (k // side)) for k in range(max(n_streets, n_buildings))]
    along = corners[:: len(corners) // n_streets]
    streets = {f"element {k}": [(x, y), (x + 50, y + 3), (x + 100, y)] for k, (x, y) in enumerate(along)}
    houses = {
        f"element {k}": [(x + 10, y + 10), (x + 60, y + 10), (x + 60, y + 50), (x + 35, y + 70), (x + 10, y + 50)]
        for k, (x, y) in enumerate(corners[:n_buildings])
    }
    scenario.layers = [
        Layer("Streets", "streets.power", "line", streets, "kW", 1e-3),
        Layer("Buildings", "buildings.power", "polygon", houses, "kW", 1e-3),
    ]
    return scenario.run(folder)


def slider_ms(page: Path | str, part: str) -> dict[str, float]:
    """Return the time until a page is ready [s] and until a move of its slider is drawn [ms], median."""
    found = []
    with Browser(1366, 900) as browser:
        began = time.perf_counter()
        browser.open(page, part=part)
        ready = time.perf_counter() - began
        for layer in (0, 1):
            browser.click(f"#layers label:nth-child({layer + 1})")
            browser.run(STEP.replace("FRAME", "3"))
            found += [browser.run(STEP.replace("FRAME", f"{7 * k} % (1 + +slider.max)")) for k in range(2, 2 + MOVES)]
    return {"ready_s": round(ready, 2), "slider_ms": round(statistics.median(found), 1)}


def measure(n_streets: int, n_buildings: int, step_s: float, folder: Path) -> dict[str, object]:
    """Measure the report and the viewer of one run."""
    base = city(n_streets, n_buildings, step_s, folder / "base")
    began = time.perf_counter()
    page = write_report(base)
    row: dict[str, object] = {"elements": n_streets + n_buildings, "write_s": round(time.perf_counter() - began, 2)}
    row["megabytes"] = round(page.stat().st_size / 1e6, 2)
    if CHROMIUM is not None:
        row["maplibre"] = slider_ms(page, "#gl")
        row["canvas"] = slider_ms(page, "#canvas")
    began = time.perf_counter()
    viewer = Viewer(base)
    size = len(viewer.page)
    row["viewer"] = {"page_s": round(time.perf_counter() - began, 2), "page_megabytes": round(size / 1e6, 2)}
    times = []
    for k in range(MOVES):
        began = time.perf_counter()
        viewer.answer(f"/frame/0/0/0/{round(k * 86400 / step_s / MOVES)}")
        times.append((time.perf_counter() - began) * 1e3)
    row["viewer"]["frame_ms"] = round(statistics.median(times), 1)  # type: ignore[index]
    if CHROMIUM is not None:
        with ReportServer(base) as server:
            threading.Thread(target=server.serve, daemon=True).start()
            row["viewer"] |= slider_ms(server.address, "#canvas")
    return row


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--city", action="store_true", help="the city of 120,000 elements alone")
    cities = [(20_000, 100_000, 3600.0)]
    if not parser.parse_args().city:
        cities = [(5_000, 5_000, 60.0), (10_000, 10_000, 60.0), *cities]
    with tempfile.TemporaryDirectory() as temporary:
        rows = [measure(*sizes, Path(temporary) / str(k)) for k, sizes in enumerate(cities)]
    print(json.dumps({"cities": rows}))
