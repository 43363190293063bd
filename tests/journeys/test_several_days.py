"""Runs of several days: a heat wave over a weekend, and a run that begins in its middle."""

import numpy as np
import pytest

from cosim.core.weather.epw import read_epw
from cosim.scenarios import eixample
from tests.support.epw import write_epw

FAST = {
    "blocks": (2, 2),
    "through_traffic": 0.05,
    "ev_share": 0.3,
    "heat_pump_share": 0.5,
    "step_s": 300,
    "grid_step_s": 300,
}


def hot(tmp_path):
    """Write a year of 12 to 22 °C whose days from 17 July are hotter from day to day."""

    def change(rows):
        for k, row in enumerate(rows):
            wave = min(max(k // 24 - 196, 0), 4)
            row[6] = str(17.0 + 3.0 * wave - 5.0 * np.cos(2 * np.pi * (k % 24 - 3) / 24))

    return write_epw(tmp_path, change)


@pytest.mark.slow
def test_heat_wave_of_five_days_cools_more_from_day_to_day_and_its_weekend_drives_less(tmp_path):
    path = str(hot(tmp_path))
    assert read_epw(path).dry_bulb.max() > 30
    whole = eixample.build(**FAST, day="2025-07-16", hours=120, weather=path).run(tmp_path / "whole", double=True)
    cooling = whole.total("buildings.cooling_power").to_numpy().reshape(5, -1).mean(axis=1)
    assert (np.diff(cooling) >= 0).all()
    assert cooling[4] > cooling[3] > cooling[1]
    vehicles = whole.total("traffic.vehicles").to_numpy()
    vehicles = vehicles[-5 * (len(vehicles) // 5) :].reshape(5, -1).mean(axis=1)
    # Wednesday to Sunday
    assert vehicles[3:].max() < 0.9 * vehicles[:3].min()
    begin, end = (whole.series("fleet.energy").iloc[k] for k in (0, -1))
    stored = end["stored"] - begin["stored"]
    assert end["drawn"] - end["losses"] - end["driven"] == pytest.approx(stored, abs=1e-6 * end["drawn"])
    assert abs(stored) < 0.5 * end["driven"]
    late = eixample.build(**FAST, day="2025-07-18", begin_hour=16, hours=4, weather=path)
    late = late.run(tmp_path / "late", double=True)
    there = late.total("buildings.cooling_power")
    same = whole.total("buildings.cooling_power").loc[there.index]
    # The visitors who warm a building depend on the traffic of the days before.
    assert there.to_numpy() == pytest.approx(same.to_numpy(), abs=0.04 * same.max())
