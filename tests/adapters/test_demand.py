import numpy as np
import pytest

from cosim.adapters.demand import DemandFilter
from cosim.core import CosimError, Step
from cosim.core.kalman import FactorFilter
from cosim.testing import Rig, parametrize_with_checks

EDGES, ZONES = ("x", "y"), ("north", "south")
SHARES = np.array([[300.0, 0.0], [100.0, 400.0]])


def demand():
    return DemandFilter(EDGES, ZONES, SHARES)


def test_factors_of_a_true_demand_are_recovered():
    truth, found = np.array([1.6, 0.7]), FactorFilter(SHARES)
    draw = np.random.default_rng(1)
    for _ in range(24):
        factors = found.correct(draw.poisson(SHARES @ truth), SHARES @ found.factors, 3600.0)
    assert np.abs(factors - truth).max() < 0.5 * np.abs(truth - 1).max()
    assert factors[0] > 1.3
    assert factors[1] < 0.9


def test_nothing_changes_without_counts_and_deviations_fade():
    found = FactorFilter(SHARES)
    found.correct(2 * SHARES.sum(axis=1), SHARES.sum(axis=1), 3600.0)
    before = found.factors.copy()
    assert (before > 1.1).all()
    ahead = found.ahead(6 * 3600.0)
    for _ in range(6):
        after = found.correct(np.array([-1.0, np.nan]), SHARES.sum(axis=1), 3600.0)
    assert after == pytest.approx(1 + (before - 1) * np.exp(-1))
    assert ahead == pytest.approx(after)
    assert np.diag(found.covariance) == pytest.approx(np.diag(FactorFilter(SHARES).covariance), rel=0.2)


def test_a_lasting_disagreement_is_no_demand():
    found = FactorFilter(SHARES, usual=np.array([0.5, 2.0]))
    usual = SHARES.sum(axis=1)
    assert found.correct(usual / [0.5, 2.0], usual, 3600.0) == pytest.approx(1.0)


def test_a_loop_informs_zones_that_it_does_not_see():
    found = FactorFilter(SHARES)
    factors = found.correct(np.array([600.0, -1.0]), SHARES.sum(axis=1), 3600.0)
    assert 1.0 < factors[1] < factors[0]


def test_negative_shares_and_wrong_shapes_are_refused():
    with pytest.raises(CosimError, match="finite flows of 0 or more"):
        FactorFilter(-SHARES)
    with pytest.raises(CosimError, match=r"shares has shape \(2, 2\): expected \(n_edges, n_zones\), \(1, 2\)"):
        DemandFilter(("x",), ZONES, SHARES)


def test_the_adapter_publishes_the_factors_of_its_filter():
    adapter, found = demand(), FactorFilter(SHARES)
    adapter.open()
    assert adapter.factor.value.tolist() == [1.0, 1.0]
    adapter.flow.deliver(SHARES.sum(axis=1) / 3600)
    adapter.counts.deliver([0.2, -1.0])
    adapter.advance(Step(0, 3600))
    assert adapter.factor.value == pytest.approx(found.correct(np.array([720.0, -1.0]), SHARES.sum(axis=1), 3600.0))
    assert (adapter.deviation.value < 0.37).all()


@parametrize_with_checks([Rig(demand, step_s=3600.0)])
def test_the_contract(check):
    check()
