"""What does the mesoscopic model of SUMO say differently? Both twins, micro and meso, the same trips and seed.

Bologna's acosta to its last vehicle with a third of the cars electric, and the Eixample's day with its own electric
cars. Prints a table; the last line is JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from cosim.adapters.traffic import Fidelity, Traffic
from cosim.adapters.traffic.demand import electric_variant
from cosim.adapters.traffic.files import elements, read_configuration
from cosim.core import Step
from cosim.core.trips import TripState
from cosim.scenarios import eixample
from tests.support.paths import BOLOGNA

ACOSTA = BOLOGNA / "acosta" / "run.sumocfg"
STEP_S = 60.0


def measured(
    sumocfg: Path, fidelity: Fidelity, electric: list[str], folder: Path, end_s: float | None
) -> dict[str, float]:
    """Run a scenario; return its totals."""
    options = ("--end", str(end_s)) if end_s else ()
    traffic = Traffic(sumocfg, seed=1, fidelity=fidelity, electric=electric, extra_options=options)
    traffic.folder = folder
    driven = spent = co2 = lost = 0.0
    began, now = time.perf_counter(), 0.0
    traffic.open()
    while not traffic.finished:
        traffic.advance(Step(now, STEP_S))
        now += STEP_S
        driven += traffic.travel.value.sum() * STEP_S
        spent += traffic.vehicles.value.sum() * STEP_S
        lost += traffic.time_loss.value.sum() * STEP_S
        co2 += traffic.co2.value.sum() * STEP_S
    traffic.close()
    arrived = traffic.trip_state.value == TripState.ARRIVED
    return {
        "trips": float(traffic.arrived.value[0]),
        "vehicle_km": driven / 1000,
        "speed_kmh": driven / spent * 3.6,
        "time_loss_h": lost / 3600,
        "co2_kg": co2,
        "electric_trips": float(arrived.sum()),
        "electric_kwh": float(traffic.trip_energy.value[arrived].sum() / 3.6e6),
        "teleports": float(traffic.teleports.value[0]),
        "wall_s": time.perf_counter() - began,
    }


def vehicles(sumocfg: Path, no_types: str = "-") -> list[str]:
    """Return the vehicles of the cars' route file but those whose type begins with some text."""
    found = (e for _, e in elements(read_configuration(sumocfg).routes[0], ("end",)) if e.tag in ("vehicle", "trip"))
    return [e.attrib["id"] for e in found if not e.get("type", "").startswith(no_types)]


def main() -> None:
    """Measure and print."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases: dict[str, tuple[Path, list[str], float | None]] = {}
        if ACOSTA.is_file():
            chosen = vehicles(ACOSTA)[::3]
            cases["bologna acosta"] = (electric_variant(ACOSTA, chosen, folder / "variant"), chosen, None)
        else:
            print(f"{ACOSTA} is absent", file=sys.stderr)
        scenario = eixample.build()
        cases["eixample 4 × 4"] = (scenario.model.sumocfg, vehicles(scenario.model.sumocfg, "PC_"), 86400.0)
        for case, (sumocfg, electric, end_s) in cases.items():
            table[case] = {
                fidelity: measured(sumocfg, fidelity, electric, folder / case / fidelity, end_s)
                for fidelity in ("micro", "meso")
            }
            for what, micro in table[case]["micro"].items():
                meso = table[case]["meso"][what]
                change = f"{(meso / micro - 1) * 100:+.1f} %" if micro else ""
                print(f"{case:16} {what:16} {micro:12.2f} {meso:12.2f} {change:>10}", flush=True)
    print(
        json.dumps(
            {
                case: {f: {k: round(v, 3) for k, v in row.items()} for f, row in rows.items()}
                for case, rows in table.items()
            }
        )
    )


if __name__ == "__main__":
    main()
