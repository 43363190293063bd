"""The check for every topology: for any placement, the ledger balances and the results are bit-identical."""

import numpy as np
import pytest

PLACEMENTS = pytest.mark.parametrize("placement", ["inline", "thread", "process"])


def check(build, placement, folder):
    """Run a topology inline and placed; return the result of the placed run."""
    inline = build().run(folder / "inline", double=True)
    scenario = build()
    scenario.place(**dict.fromkeys(scenario.adapters, placement))
    placed = scenario.run(folder / "placed", double=True)
    for port in inline.ports:
        np.testing.assert_array_equal(inline.series(port).to_numpy(), placed.series(port).to_numpy())
    for result in (inline, placed):
        assert len(result.ledger)
        assert (result.ledger["residual"] < 1e-9).all(), result.ledger
    assert placed.provenance["ledger"] == inline.provenance["ledger"]
    return placed


def energy(result, port):
    """Return the integral over all elements and the run."""
    return float(result.integral(port).sum())
