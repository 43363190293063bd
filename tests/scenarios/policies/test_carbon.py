"""Tests of the greenhouse gas account by sector and hour."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from cosim import CosimError
from cosim.core import InputFileError
from cosim.scenarios import eixample
from cosim.scenarios.carbon.account import CarbonAccount
from cosim.scenarios.carbon.intensity import (
    Carbon,
    mix_intensity,
    read_intensity,
    typical_intensity,
)
from cosim.scenarios.policies import GridCarbon, TailpipeOnly
from cosim.scenarios.sectors import load_sectors, part_of
from tests.support.policy_runs import district, kwh


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    hours = {
        "blocks": (2, 2),
        "through_traffic": 0.05,
        "begin_hour": 8,
        "hours": 1,
        "step_s": 300,
        "grid_step_s": 300,
        "services": 0.0,
    }
    return eixample.build(**hours).run(tmp_path_factory.mktemp("runs") / "run", double=True)


def account(result, carbon, country, zone):
    """Return the emissions of all sectors by source. [kg]"""
    own = CarbonAccount(carbon, country, zone)
    found = [compute(result, own) for s in load_sectors().values() if (compute := part_of(s, "emissions"))]
    return {source: emission.kg for part in found for source, emission in part.items()}


def electric(sectors):
    return sum(sectors[name] for name in ("buildings, electricity", "grid losses", "traffic, charging"))


def test_electric_sectors_sum_to_the_grid_import(run):
    sectors = account(run, Carbon((0.2,) * 24), "ES", "Europe/Madrid")
    assert electric(sectors) == pytest.approx(kwh(run, "grid.grid_import") * 0.2, rel=1e-6)


def test_electricity_counts_at_the_typical_intensity_of_its_hour(run):
    of_hour = typical_intensity("ES", pd.DatetimeIndex(["2025-01-15T07Z"]))[0]
    mean = electric(account(run, Carbon(), "ES", "Europe/Madrid")) / kwh(run, "grid.grid_import")
    assert mean == pytest.approx(of_hour, rel=1e-6)


def test_electricity_counts_at_the_intensity_of_its_civil_hour(run):
    by_hour = tuple(1.0 if hour == 8 else 0.0 for hour in range(24))
    assert electric(account(run, Carbon(by_hour), "ES", "Europe/Madrid")) == pytest.approx(
        kwh(run, "grid.grid_import"), rel=1e-6
    )
    assert electric(account(run, Carbon(by_hour), "ES", "UTC")) == 0


def test_total_is_the_sum_of_all_sectors(run):
    parts = sum(indicator.value for name, indicator in run.indicators.items() if name.startswith("CO2e: "))
    assert run.indicators["total CO2e"].value == pytest.approx(parts)


def test_supply_of_fuels_can_be_left_out(run):
    with_supply = account(run, Carbon(), "ES", "Europe/Madrid")
    without = account(run, TailpipeOnly().change_city(district()).carbon, "ES", "Europe/Madrid")
    assert with_supply.keys() - without.keys() == {"traffic, fuel supply", "buildings, gas supply"}
    # A fuel's supply is a fifth to a fourth of its combustion.
    assert 0.15 < with_supply["traffic, fuel supply"] / with_supply["traffic, tailpipe"] < 0.3


def test_policy_uses_the_given_intensity():
    assert GridCarbon(0.05).change_city(district()).carbon.by_hour == (0.05,) * 24


def test_hourly_intensities_are_read_from_a_file(tmp_path):
    path = tmp_path / "hours.csv"
    path.write_text("hour,kg_per_kwh\n" + "".join(f"{h},{h / 100}\n" for h in range(24)))
    assert GridCarbon(file=path).change_city(district()).carbon.by_hour == pytest.approx([h / 100 for h in range(24)])


def series(path, first, hours):
    times = pd.date_range(first, periods=hours, freq="h")
    path.write_text("time,kg_per_kwh\n" + "".join(f"{t.isoformat()},{k / 100}\n" for k, t in enumerate(times)))
    return path


def test_intensity_series_applies_hour_by_hour_whatever_its_offset(tmp_path, run):
    carbon = read_intensity(series(tmp_path / "series.csv", "2025-01-15T07:00+01:00", 3))
    moments = pd.DatetimeIndex(["2025-01-15T06:59Z", "2025-01-15T07:00Z", "2025-01-15T08:30Z"])
    np.testing.assert_allclose(carbon.intensity(moments, "ES", "Europe/Madrid"), [0.0, 0.01, 0.02])
    emitted = electric(account(run, carbon, "ES", "Europe/Madrid"))
    assert emitted == pytest.approx(kwh(run, "grid.grid_import") * 0.01, rel=1e-6)


def test_intensity_series_that_does_not_cover_the_run_is_refused_when_it_is_built(tmp_path):
    path = series(tmp_path / "series.csv", "2025-01-15T07:00+01:00", 3)
    with pytest.raises(CosimError, match=r"no hour 2025-01-15 09:00 UTC.*covers the run"):
        eixample.build(blocks=(2, 2), begin_hour=8, hours=3, policies=[GridCarbon(file=path)])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hour,kg_per_kwh\n0,0.1\n", "hours 0 to 23"),
        ("time,value\n", "hours 0 to 23"),
        ("hour,kg_per_kwh\nx,1\n", "cannot"),
        ("hour,kg_per_kwh\n" + "".join(f"{h},174\n" for h in range(24)), "1000 times too large"),
        ("hour,kg_per_kwh\n" + "".join(f"{h},nan\n" for h in range(24)), "out of range"),
        ("time,kg_per_kwh\n2025-01-15T07:00,0.1\n", "without an offset"),
        ("time,kg_per_kwh\n2025-01-15T07:00Z,0.1\n2025-01-15T09:00Z,0.1\n", "has a gap"),
        ("time,kg_per_kwh\n2025-01-15T07:30Z,0.1\n", "not on the hour"),
        ("time,kg_per_kwh\nnoon,0.1\n", "cannot read"),
    ],
)
def test_incomplete_file_of_hours_is_refused(tmp_path, text, reason):
    path = tmp_path / "hours.csv"
    path.write_text(text)
    with pytest.raises(InputFileError, match=reason):
        read_intensity(path)


def test_intensity_given_both_by_number_and_by_file_is_refused(tmp_path):
    with pytest.raises(CosimError, match="either kg_per_kwh or file"):
        GridCarbon(0.1, tmp_path).change_city(district())
    with pytest.raises(CosimError, match="either kg_per_kwh or file"):
        GridCarbon().change_city(district())


def test_intensity_of_a_mix_is_the_mean_over_its_technologies():
    hours = mix_intensity({"coal": [1.0, 0.0], "wind": [0.0, 1.0]})
    np.testing.assert_allclose(hours, [1.051, 0.0126])


@pytest.mark.parametrize("mix", [{"peat": 1.0}, {"wind": 0.0}, {"wind": -1.0, "coal": 2.0}, {}])
def test_impossible_mix_is_refused(mix):
    with pytest.raises(CosimError, match=r"technology|negative|nothing"):
        mix_intensity(mix)


def test_hourly_intensities_follow_summer_time():
    carbon = Carbon(tuple(float(h) for h in range(24)))
    times = pd.DatetimeIndex(["2025-07-01T12:30Z"])
    assert dataclasses.replace(carbon).intensity(times, "ES", "Europe/Madrid")[0] == 14.0
