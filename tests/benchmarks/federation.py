"""What does an exchange with a federate of HELICS cost, beside our own exchange between two adapters?

A vector of 1,000 and 100,000 values goes to an adapter and comes back, each step: the adapter in this process, in a
worker process of ours, and as a federate of HELICS in a process of its own (ZMQ on loopback). Microseconds from step to
step, the median of three runs of 200 steps without the first ten, and as a multiple of the worker process. The last
line is JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from cosim import Adapter, Clock, Scenario, as_helics
from cosim.adapters.helics import HelicsFederation, Publication, Subscription
from tests.support.mirror import Mirror, Pump

SIZES = (1_000, 100_000)
STEPS, REPEATS = 200, 3


def scenario(kind: str, n: int, steps: int) -> Scenario:
    labels = [str(k) for k in range(n)]
    mirror: Adapter = Mirror(n)
    if kind == "helics":
        command = [sys.executable, __file__, "{broker}", str(n), str(steps)]
        mirror = HelicsFederation(
            inputs={"load": Publication("cosim/load", "W", labels)},
            outputs={"received": Subscription("mirror/received", "W", labels, "mean")},
            programs=[command],
        )
    made = Scenario(Clock("2025-01-15", hours=steps / 60), pump=Pump(n), mirror=mirror)
    made.connect("pump.out", "mirror.load")
    made.connect("mirror.received", "pump.back", delay=1, initial=0.0)
    made.place(mirror="process" if kind == "worker" else "inline")
    made.record("pump.out", every=60 * steps)
    return made


def step_us(kind: str, n: int) -> float:
    """Return the median over runs of the mean time between two steps, without the first ten."""
    found = []
    for _ in range(REPEATS):
        Pump.stamps.clear()
        with tempfile.TemporaryDirectory() as folder:
            scenario(kind, n, STEPS).run(Path(folder) / "run")
        found.append((Pump.stamps[-1] - Pump.stamps[10]) / (len(Pump.stamps) - 11))
    return 1e6 * statistics.median(found)


def main() -> None:
    begun, rows = time.perf_counter(), {}
    for n in SIZES:
        cost = {kind: step_us(kind, n) for kind in ("inline", "worker", "helics")}
        rows[str(n)] = {kind: round(us) for kind, us in cost.items()} | {
            "of worker": round(cost["helics"] / cost["worker"], 2)
        }
        print(f"{n:,} values: " + ", ".join(f"{kind} {us:,.0f} µs a step" for kind, us in cost.items()))
    print(json.dumps({"us_a_step": rows, "seconds": round(time.perf_counter() - begun, 1)}))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        broker, n, steps = sys.argv[1:]
        federate = as_helics(Mirror(int(n)), "mirror", subscribe={"load": "cosim/load"})
        federate.run(broker, step_s=60, until_s=60.0 * int(steps))
    else:
        main()
