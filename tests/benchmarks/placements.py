"""What does it cost that an adapter runs elsewhere? A step inline, in a thread, a process, and a worker over TLS.

An adapter doubles 1,000 and 100,000 values that another sends; microseconds a step beyond those inline, medians of
rounds in alternating orders. The last line is JSON. ``python -m tests.benchmarks.placements``
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path

from cosim import Clock, Remote, Scenario
from cosim.cli.worker import make_credentials
from cosim.engine.remote import start_worker
from tests.support.remote_adapters import Doubler, Sender

N_STEPS, N_ROUNDS = 500, 4


def step_us(n: int, placement, folder: Path) -> float:
    """Return the time of a step. [µs]"""
    made = Scenario(Clock("2025-01-15", hours=N_STEPS / 60), sender=Sender(n), doubler=Doubler(n=n))
    made.connect("sender.power", "doubler.power")
    made.place(doubler=placement)
    made.record()
    began = time.perf_counter()
    made.run(folder)
    return 1e6 * (time.perf_counter() - began) / N_STEPS


def main() -> None:
    """Measure and print."""
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_credentials(folder)
        there = Remote(start_worker(folder), folder / "worker.pem", folder / "worker.token")
        places = {"inline": "inline", "thread": "thread", "process": "process", "remote": there}
        for n in (1_000, 100_000):
            took = {place: [] for place in places}
            for k in range(N_ROUNDS):
                for place in list(places)[:: 1 if k % 2 else -1]:
                    took[place].append(step_us(n, places[place], folder / f"{n}-{k}-{place}"))
            inline = statistics.median(took["inline"])
            found[f"{n} values"] = {
                "inline_us": round(inline),
                **{f"{p}_more_us": round(statistics.median(took[p]) - inline) for p in places if p != "inline"},
            }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
