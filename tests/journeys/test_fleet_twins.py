"""Do the twins hold together when residents' cars drive in SUMO with their own batteries and charge from the grid?"""

from pathlib import Path

import numpy as np
import pytest

from cosim.core.fleet import LEDGER
from cosim.scenarios import bologna, eixample

ACOSTA = Path(__file__).parents[3] / "shared" / "data" / "bologna" / "acosta" / "run.sumocfg"
KWH = 3.6e6


@pytest.fixture(scope="module")
def morning(tmp_path_factory):
    scenario = eixample.build(
        blocks=(2, 2), hours=4, begin_hour=6, ev_share=0.5, charging="grid-limited", grid_step_s=300
    )
    return scenario.run(tmp_path_factory.mktemp("twin") / "run", double=True)


def ledger(result):
    return dict(result.series("fleet.energy").iloc[-1][list(LEDGER)])


def test_what_the_fleet_drives_is_what_sumo_says_and_the_ways_beyond_the_border(morning):
    plan_driven = morning.series("traffic.trip_energy").iloc[-1].sum()
    assert plan_driven > 5 * KWH
    assert ledger(morning)["driven"] > plan_driven
    assert ledger(morning)["without charge"] == 0


def test_charging_energy_arrives_in_the_grid(morning):
    sold = morning.integral("fleet.charging_power").sum()
    assert sold > 50 * KWH
    assert ledger(morning)["drawn"] == pytest.approx(sold, rel=1e-9)
    loads = morning.total("buildings.electric_power") + morning.total("fleet.charging_power")
    means = loads.resample("5min", closed="right", label="right").mean()
    imported, losses = morning.total("grid.grid_import"), morning.total("grid.losses")
    assert np.abs(imported - losses - means).max() <= 1e-6 * means.max()
    assert (morning.ledger["residual"] < 1e-9).all()


def test_every_trip_that_was_allowed_was_made(morning):
    state = morning.series("traffic.trip_state").iloc[-1]
    allowed = morning.series("fleet.may_depart").iloc[-1]
    assert (state == 2).sum() > 100
    assert (allowed[state == 2] == 1).all()
    assert (state[allowed < 0] == 3).all()


@pytest.mark.slow
@pytest.mark.skipif(not ACOSTA.is_file(), reason="the scenario of Bologna is not at ../shared/data")
def test_cars_of_bologna_become_electric_and_charge_where_they_park(tmp_path):
    scenario = bologna.build(sumocfg=ACOSTA, hours=0.5, ev_share=0.1, buildings=100, chargers=30, seed=1)
    result = scenario.run(tmp_path / "run", double=True)
    assert ledger(result)["driven"] == pytest.approx(result.series("traffic.trip_energy").iloc[-1].sum(), rel=1e-6)
    assert result.integral("fleet.charging_power").sum() > 0
