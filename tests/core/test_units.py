"""Units resolved by several threads come from one registry."""

from __future__ import annotations

import subprocess
import sys

from tests.support.paths import ROOT

RACE = """
import threading
from cosim.core import units

together = threading.Barrier(4)
found = []

def resolve(text):
    together.wait()
    found.append(units.parse(text))

threads = [threading.Thread(target=resolve, args=(text,)) for text in ("W", "kW", "MW", "J/s")]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(found) == 4
print(len({id(unit._REGISTRY) for unit in found}))
"""


def test_threads_that_resolve_the_first_units_share_one_registry():
    done = subprocess.run(
        [sys.executable, "-c", RACE], cwd=ROOT, capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout.strip() == "1"
