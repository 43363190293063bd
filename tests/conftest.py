"""What must hold for every test process."""

import signal
from collections import Counter

# A shell starts a job in the background with SIGINT ignored, and whoever is started from there ignores it too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Begin with the files that may take longest, then with those of most tests, so that none is left alone at last."""
    longest, tests = Counter(), Counter(item.path for item in items)
    for item in items:
        limit = item.get_closest_marker("timeout")
        longest[item.path] = max(longest[item.path], limit.args[0] if limit else 0)
    items.sort(key=lambda item: (-longest[item.path], -tests[item.path]))
