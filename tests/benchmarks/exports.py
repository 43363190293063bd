"""How large are the exports of the main run, and how long do they take? Beside the run's own folder.

The main run is that of `make run`: 24 hours of the twin ``eixample``. Sizes are shares of the run's recorded files,
seconds are shares of the time that reading all of its series takes (`Result.series`), the least an export must do. Give
the folder of a finished run to measure another one. The last line is JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from cosim import Result
from cosim.exports.export import export
from cosim.exports.formats import FORMATS
from cosim.scenarios import eixample


def main(given: str = "") -> None:
    with tempfile.TemporaryDirectory() as scratch:
        run = Result.open(given) if given else eixample.build().run(Path(scratch) / "run")
        parts = (*run.folder.glob("series/*/*"), *run.folder.glob("*.json"), *run.folder.glob("*.parquet"))
        recorded = sum(path.stat().st_size for path in parts)
        begun = time.perf_counter()
        values = sum(run.series(port).size for port in run.ports)
        reading_s = time.perf_counter() - begun
        print(f"{len(run.ports)} series, {values:,} values, {recorded / 1e6:.1f} MB; read in {reading_s:.1f} s")
        rows = {}
        for to in FORMATS:
            done = export(run.folder, to, Path(scratch) / to)
            rows[to] = {
                "files": done.files,
                "size_mb": round(done.size / 1e6, 2),
                "size_share": round(done.size / recorded, 2),
                "seconds": round(done.seconds, 1),
                "seconds_share": round(done.seconds / reading_s, 2),
            }
            print(f"{to}: {rows[to]}")
        about = {"series": len(run.ports), "values": values, "recorded_mb": round(recorded / 1e6, 1)}
        print(json.dumps(about | {"reading_s": round(reading_s, 1), "exports": rows}))


if __name__ == "__main__":
    main(*sys.argv[1:])
