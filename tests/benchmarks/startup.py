"""How long a fresh process takes to import ``cosim`` and to print ``cosim --help``, beside what the command line needs.

Every round starts each command once, in turn forwards and backwards; each figure is the median of its rounds, each
ratio that to ``import typer, rich``. The last line is JSON. Run it from the project's root:
``python -m tests.benchmarks.startup``.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

from tests.support.paths import ROOT

N_ROUNDS = 20  # even: as many forwards as backwards
COMMANDS = {
    "python": ["pass"],
    "typer_rich": ["import typer, rich"],
    "import_cosim": ["import cosim"],
    "import_contract": ["from cosim import Adapter, Clock, Input, Output"],
    "first_unit": ["from cosim import Output; Output('W', ['roof'], 'mean')"],
    "cosim_help": ["from cosim.cli.app import main; main()", "--help"],
}


def wall_ms(arguments):
    """Run Python with these arguments after ``-c``. [ms]"""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return 1e3 * (time.perf_counter() - began)


def main() -> None:
    """Measure and print."""
    walls = {name: [] for name in COMMANDS}
    for arguments in COMMANDS.values():
        wall_ms(arguments)  # compiled files are written and the disk's cache is filled
    for k in range(N_ROUNDS):
        for name in list(COMMANDS)[:: 1 if k % 2 else -1]:
            walls[name].append(wall_ms(COMMANDS[name]))
    medians = {name: statistics.median(wall) for name, wall in walls.items()}
    print(
        json.dumps(
            {
                "median_ms": {name: round(wall) for name, wall in medians.items()},
                "ratio_to_typer_rich": {name: round(wall / medians["typer_rich"], 2) for name, wall in medians.items()},
            }
        )
    )


if __name__ == "__main__":
    main()
