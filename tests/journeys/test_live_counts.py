"""Bologna's traffic follows counts that are fed while it runs."""

import csv

import numpy as np
import pytest

from cosim.adapters.feed.specification import Feeds
from cosim.core import CosimError
from cosim.live.wiring import attach
from cosim.scenarios import bologna
from tests.support.paths import BOLOGNA, DATA

LOOPS = DATA / "counts" / "bologna_loops_2024-02-01.csv"
pytestmark = pytest.mark.skipif(not LOOPS.is_file(), reason=f"{LOOPS} is not there")
HOURS = 2


def feeds(path):
    value = {"port": "demand.counts", "path": "vehicles", "unit": "vehicle/hour", "label": {"path": "edge"}}
    stream = {"file": str(path), "grows": False, "payload": "csv", "time": "begin", "shift": "1h", "values": [value]}
    rule = {"hold": 0, "default": -1, "statistic": "last"}
    return Feeds.model_validate({"streams": [stream], "ports": {"demand.counts": rule}})


@pytest.mark.slow
def test_more_traffic_on_the_loops_is_more_demand_in_the_twin_by_the_hour(tmp_path):
    options = {"sumocfg": BOLOGNA / "joined" / "run.sumocfg", "counts": LOOPS, "live_counts": True}
    scenario = bologna.build(**options, hours=HOURS, buildings=1, chargers=0)
    demand = scenario.adapters["demand"]
    usual = demand._shares.sum(axis=1) / demand._usual / 24
    path = tmp_path / "counts.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["begin", "edge", "vehicles"])
        for hour in range(HOURS):
            for edge, vehicles in zip(demand.counts.labels, usual):
                rows.writerow([f"2025-01-15T{hour:02d}:00", edge, round(vehicles * 2, 1)])
    attach(scenario, feeds(path))
    result = scenario.run(tmp_path / "run")
    factor = result.series("demand.factor")
    assert len(factor) == HOURS + 1
    assert (factor.iloc[0] == 1).all()
    assert (factor.iloc[1:].mean(axis=1) > 1.3).all()  # at night the loops count less than in the mean of the day
    counts = result.series("feed.counts").iloc[-1]
    assert counts["counts.csv|used"] == HOURS * len(demand.counts.labels)
    base = bologna.build(**options, hours=HOURS, buildings=1, chargers=0).run(tmp_path / "base")
    more = result.series("traffic.inserted").diff().resample("h").sum().iloc[:, 0].to_numpy()
    same = base.series("traffic.inserted").diff().resample("h").sum().iloc[:, 0].to_numpy()
    assert more[0] == pytest.approx(same[0], rel=0.01)
    assert (more[1:HOURS] > 1.2 * same[1:HOURS]).all()
    assert (np.diff(result.series("demand.deviation").mean(axis=1))[:1] < 0).all()


def test_live_counts_need_the_counts_of_a_usual_day():
    with pytest.raises(CosimError, match="live_counts follows loops, and counts names none"):
        bologna.build(sumocfg=BOLOGNA / "joined" / "run.sumocfg", live_counts=True)
