"""What must hold for every test process."""

import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa  # noqa: F401 - before helics: pyarrow crashes at its first time zone in the other order

# A shell starts a job in the background with SIGINT ignored, and whoever is started from there ignores it too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Of the thousands of processes that tests start, only the first compiles a module.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Cities are built once for all tests, and nothing is left in the user's cache; who compares two builds switches it off.
os.environ["XDG_CACHE_HOME"] = str(Path(sys.prefix, "cache"))


def pytest_collection_modifyitems(items):
    """Begin with the files that may take longest, then with those of most tests, so that none is left alone at last."""
    longest, tests = Counter(), Counter(item.path for item in items)
    for item in items:
        limit = item.get_closest_marker("timeout")
        longest[item.path] = max(longest[item.path], limit.args[0] if limit else 0)
    items.sort(key=lambda item: (-longest[item.path], -tests[item.path]))
