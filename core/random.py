"""How is chance drawn, so that a policy leaves everything that it does not touch exactly as it was?

Every draw is keyed by (seed, purpose, element label) instead of by its place in a sequence: adding a household
or a policy changes nobody else's numbers, and paired seeds stay paired.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt


def _digest(seed: int, purpose: str, label: object, size: int) -> bytes:
    key = f"{int(seed)}\x1f{purpose}\x1f{label}".encode()
    return hashlib.blake2b(key, digest_size=size).digest()


def generator(seed: int, purpose: str, label: object = "") -> np.random.Generator:
    """Return a generator of its own for one element and purpose.

    Examples
    --------
    >>> a = generator(0, "occupancy", "dwelling 7").random()
    >>> a == generator(0, "occupancy", "dwelling 7").random()
    True
    """
    return np.random.Generator(np.random.Philox(key=int.from_bytes(_digest(seed, purpose, label, 16), "little")))


def uniform(seed: int, purpose: str, labels: Iterable[object]) -> npt.NDArray[np.float64]:
    """Return one number in [0, 1) per label, shape (n_labels,).

    Examples
    --------
    >>> both, one = uniform(0, "has heat pump", ["a", "b"]), uniform(0, "has heat pump", ["b"])
    >>> bool(both[1] == one[0])
    True
    """
    raw = b"".join(_digest(seed, purpose, label, 8) for label in labels)
    return np.asarray((np.frombuffer(raw, dtype="<u8") >> np.uint64(11)) * 2.0**-53, dtype=np.float64)
