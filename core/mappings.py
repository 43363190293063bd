"""Sparse matrices between two sets of labels, for ``connect(…, via=…)``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import scipy.sparse as sp

from .errors import CosimError


def link(
    sources: Iterable[str], targets: Iterable[str], pairs: Mapping[str, str | Mapping[str, float]]
) -> sp.csr_array:
    """Return the matrix that maps each source to its target, or to several targets by share.

    Parameters
    ----------
    sources, targets
        Labels of the two ports.
    pairs
        Source to target, or to ``{target: share}``. Sources not listed are mapped to no target.

    Returns
    -------
    shape (n_targets, n_sources)

    Raises
    ------
    CosimError
        If a pair has an unknown label or a share that is not finite.

    Examples
    --------
    >>> link(["a", "b"], ["x", "y"], {"a": "y", "b": {"x": 0.25, "y": 0.75}}).toarray()
    array([[0.  , 0.25],
           [1.  , 0.75]])
    """
    column = {label: j for j, label in enumerate(sources)}
    row = {label: i for i, label in enumerate(targets)}
    rows, columns, shares = [], [], []
    for source, aims in pairs.items():
        for target, share in ({aims: 1.0} if isinstance(aims, str) else aims).items():
            if source not in column or target not in row:
                unknown, side = (source, "source") if source not in column else (target, "target")
                raise CosimError(f"{source!r} → {target!r}: unknown {side} {unknown!r}")
            if not np.isfinite(share):
                raise CosimError(f"{source!r} → {target!r}: the share is {share}, it must be finite")
            rows.append(row[target])
            columns.append(column[source])
            shares.append(float(share))
    return sp.csr_array((shares, (rows, columns)), shape=(len(row), len(column)), dtype=np.float64)
