"""How long do keyed draws take? 300,000 labels by the compiled BLAKE2b and, one by one, by Python's own library.

Medians of processor time in alternating orders. The last line is JSON. ``python -m tests.benchmarks.draws``
"""

from __future__ import annotations

import hashlib
import json
import statistics
import time

from cosim.core.random import uniform

N_LABELS, N_ROUNDS = 300_000, 10


def by_hashlib(seed: int, purpose: str, labels: list[str]) -> list[bytes]:
    """Return the digests, one by one."""
    return [hashlib.blake2b(f"{seed}\x1f{purpose}\x1f{x}".encode(), digest_size=8).digest() for x in labels]


def main() -> None:
    """Measure and print."""
    labels = [f"b{k}.p{k % 7}|2025-01-15|{k % 3}" for k in range(N_LABELS)]
    ways = {"hashlib": by_hashlib, "compiled": uniform}
    took: dict[str, list[float]] = {name: [] for name in ways}
    for k in range(N_ROUNDS):
        for name in list(ways)[:: 1 if k % 2 else -1]:
            began = time.process_time()
            ways[name](1, "leaves 3", labels)
            took[name].append(time.process_time() - began)
    found = {f"{name}_s": round(statistics.median(times), 4) for name, times in took.items()}
    print(json.dumps(found | {"compiled_over_hashlib": round(found["compiled_s"] / found["hashlib_s"], 3)}))


if __name__ == "__main__":
    main()
