"""Mapping matrices built from pairs of labels."""

import pytest

from cosim import CosimError
from cosim.core.mappings import link


def test_pairs_with_unknown_labels_are_refused():
    with pytest.raises(CosimError, match="unknown source 'z'"):
        link(["a"], ["x"], {"z": "x"})
    with pytest.raises(CosimError, match="unknown target 'q'"):
        link(["a"], ["x"], {"a": "q"})


def test_share_that_is_not_finite_is_refused():
    with pytest.raises(CosimError, match="the share is nan"):
        link(["a"], ["x"], {"a": {"x": float("nan")}})
