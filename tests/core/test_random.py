"""Keyed draws against the digests of Python's own library."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.core.random import uniform

texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=400)


def drawn_by_hashlib(seed, purpose, labels):
    """Return the numbers in [0, 1) from digests one by one."""
    keys = [f"{seed}\x1f{purpose}\x1f{label}".encode() for label in labels]
    digests = [int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little") for key in keys]
    return np.array([(digest >> 11) * 2.0**-53 for digest in digests])


@given(st.integers(0, 2**63), texts, st.lists(texts | st.integers() | st.none(), max_size=20))
def test_draws_are_blake2b_of_seed_purpose_and_label(seed, purpose, labels):
    assert np.array_equal(uniform(seed, purpose, labels), drawn_by_hashlib(seed, purpose, labels))


@pytest.mark.parametrize("length", [0, 1, 121, 122, 123, 124, 125, 126, 127, 128, 129, 255, 256, 257, 1000])
def test_keys_of_any_number_of_blocks(length):
    """A block of BLAKE2b has 128 bytes; a key of exactly one is the last block, not followed by an empty one."""
    label = "x" * length
    assert np.array_equal(uniform(7, "p", [label, "é" * length]), drawn_by_hashlib(7, "p", [label, "é" * length]))


def test_a_label_that_is_no_unicode_is_refused():
    with pytest.raises(UnicodeEncodeError):
        uniform(0, "p", ["fine", "\ud800"])


def test_draws_are_uniform_and_independent_between_labels_and_purposes():
    """Bounds of four standard deviations: a chance of 6e-5 each, and the draws never change."""
    n = 200_000
    labels = [f"b{k}" for k in range(n)]
    one, other = uniform(1, "one", labels), uniform(1, "other", labels)
    counts = np.histogram(one, np.linspace(0, 1, 101))[0]
    chi2 = ((counts - n / 100) ** 2 / (n / 100)).sum()
    assert abs(chi2 - 99) < 4 * np.sqrt(2 * 99)
    for a, b in ((one[:-1], one[1:]), (one, other)):
        assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(n)
