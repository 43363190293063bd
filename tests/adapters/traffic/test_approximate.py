"""Approximate resumption from SUMO's own saved state."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from cosim.adapters.traffic import Traffic
from cosim.adapters.traffic.approximate import ApproximateTraffic
from cosim.core import CosimError
from cosim.core.adapter import restored_by
from tests.support.traffic_runs import Run, make_town


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_town(tmp_path_factory.mktemp("town"))


def test_traffic_replays_and_its_approximation_restores_state(town):
    assert restored_by(Traffic(town / "run.sumocfg")) == "replay"
    assert restored_by(ApproximateTraffic(town / "run.sumocfg")) == "state"


def test_a_run_continues_approximately_from_a_saved_state(town, tmp_path):
    whole = Run(Traffic(town / "run.sumocfg", seed=2), tmp_path / "whole", [60.0] * 8)
    code = textwrap.dedent(f"""
        from pathlib import Path
        from cosim.adapters.traffic.approximate import ApproximateTraffic
        from cosim.core import Step
        state = Path({str(tmp_path / "state")!r})
        state.mkdir()
        def adapter(name):
            found = ApproximateTraffic({str(town / "run.sumocfg")!r}, seed=2)
            found.folder = Path({str(tmp_path)!r}) / name
            return found
        first, second = adapter("first"), adapter("second")
        first.open()
        for k in range(2):
            first.advance(Step(60.0 * k, 60.0))
        first.save(state)
        first.close()
        second.open()
        second.load(state)
        for k in range(2, 8):
            second.advance(Step(60.0 * k, 60.0))
            print(second.running.value[0], second.travel.value.sum())
        second.close()
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    resumed = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
    # The state is saved while all cars are under way: within two vehicles at any time, a tenth of the distance driven.
    assert [running for running, _ in resumed] == pytest.approx(whole["running"][2:, 0], abs=2)
    driven = sum(travel for _, travel in resumed)
    assert driven == pytest.approx(whole["travel"][2:].sum(), rel=0.1)
    assert resumed[-1][0] == 0


def test_a_missing_state_is_one_clear_error(town, tmp_path):
    adapter = ApproximateTraffic(town / "run.sumocfg")
    with pytest.raises(CosimError, match="has no state of traffic"):
        adapter.load(tmp_path)
    with pytest.raises(CosimError, match="has no state to save"):
        adapter.save(tmp_path)
