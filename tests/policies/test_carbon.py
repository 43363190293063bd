"""Does the account of greenhouse gas add up, sector by sector and hour by hour?"""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from cosim import CosimError
from cosim.core import InputFileError
from cosim.scenarios import eixample
from cosim.scenarios.carbon import account
from cosim.scenarios.carbon_intensity import (
    Carbon,
    annual_intensity,
    mix_intensity,
    read_intensity,
    typical_intensity,
)
from cosim.scenarios.policies import GridCarbon, TailpipeOnly
from tests.policy_runs import district, kwh


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    hours = {"blocks": (2, 2), "begin_hour": 8, "hours": 1, "step_s": 300, "grid_step_s": 300}
    return eixample.build(**hours).run(tmp_path_factory.mktemp("runs") / "run", double=True)


def electric(sectors):
    return sum(sectors[name] for name in ("buildings, electricity", "grid losses", "traffic, charging"))


def test_electric_sectors_sum_to_the_import(run):
    sectors = account(run, Carbon((0.2,) * 24), "ES", "Europe/Madrid")
    assert electric(sectors) == pytest.approx(kwh(run, "grid.grid_import") * 0.2, rel=1e-6)


def test_mean_of_a_year_is_the_published_one():
    year = pd.date_range("2024-01-01", "2025-01-01", freq="h", tz="UTC", inclusive="left") + pd.Timedelta("30min")
    for country in ("ES", "IT"):
        assert typical_intensity(country, year).mean() == pytest.approx(annual_intensity(country), rel=1e-3)


def test_sun_lowers_the_intensity_at_noon_and_most_in_summer():
    noon, night = (pd.DatetimeIndex([f"2025-{day}T{hour}:10Z" for day in ("01-15", "07-15")]) for hour in ("12", "00"))
    by_day, by_night = typical_intensity("ES", noon), typical_intensity("ES", night)
    assert by_night[0] == by_night[1] > annual_intensity("ES") > by_day[0] > by_day[1]


def test_electricity_counts_at_the_typical_intensity_of_its_hour(run):
    low, high = (typical_intensity("ES", pd.DatetimeIndex([f"2025-01-15T0{hour}Z"]))[0] for hour in (8, 7))
    mean = electric(account(run, Carbon(), "ES", "Europe/Madrid")) / kwh(run, "grid.grid_import")
    assert low < mean < high


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


def test_own_intensity_is_used_by_the_policy():
    assert GridCarbon(0.05).change_city(district()).carbon.by_hour == (0.05,) * 24


def test_own_hours_are_read_from_a_file(tmp_path):
    path = tmp_path / "hours.csv"
    path.write_text("hour,kg_per_kwh\n" + "".join(f"{h},{h / 100}\n" for h in range(24)))
    assert GridCarbon(file=path).change_city(district()).carbon.by_hour == pytest.approx([h / 100 for h in range(24)])


def series(path, first, hours):
    times = pd.date_range(first, periods=hours, freq="h")
    path.write_text("time,kg_per_kwh\n" + "".join(f"{t.isoformat()},{k / 100}\n" for k, t in enumerate(times)))
    return path


def test_own_series_counts_hour_by_hour_whatever_its_offset(tmp_path, run):
    carbon = read_intensity(series(tmp_path / "series.csv", "2025-01-15T07:00+01:00", 3))
    moments = pd.DatetimeIndex(["2025-01-15T06:59Z", "2025-01-15T07:00Z", "2025-01-15T08:30Z"])
    np.testing.assert_allclose(carbon.intensity(moments, "ES", "Europe/Madrid"), [0.0, 0.01, 0.02])
    emitted = electric(account(run, carbon, "ES", "Europe/Madrid"))
    assert emitted == pytest.approx(kwh(run, "grid.grid_import") * 0.01, rel=1e-6)


def test_own_series_that_does_not_cover_the_run_is_refused_when_it_is_built(tmp_path):
    path = series(tmp_path / "series.csv", "2025-01-15T07:00+01:00", 3)
    with pytest.raises(CosimError, match=r"no hour from 2025-01-15 09:00 UTC on.*covers the run"):
        eixample.build(blocks=(2, 2), begin_hour=8, hours=3, policies=[GridCarbon(file=path)])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hour,kg_per_kwh\n0,0.1\n", "hours 0 to 23"),
        ("time,value\n", "hours 0 to 23"),
        ("hour,kg_per_kwh\nx,1\n", "cannot"),
        ("hour,kg_per_kwh\n" + "".join(f"{h},174\n" for h in range(24)), "1000 times too much"),
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


def test_intensity_by_number_and_by_file_is_refused(tmp_path):
    with pytest.raises(CosimError, match="either kg_per_kwh or file"):
        GridCarbon(0.1, tmp_path).change_city(district())
    with pytest.raises(CosimError, match="either kg_per_kwh or file"):
        GridCarbon().change_city(district())


def test_published_means_of_countries():
    assert annual_intensity("ES") == 0.174
    assert annual_intensity("IT") == 0.331
    with pytest.raises(CosimError, match="no country 'XX'"):
        annual_intensity("XX")


def test_mix_emits_by_its_technologies():
    hours = mix_intensity({"coal": [1.0, 0.0], "wind": [0.0, 1.0]})
    np.testing.assert_allclose(hours, [1.051, 0.0126])


@pytest.mark.parametrize("mix", [{"peat": 1.0}, {"wind": 0.0}, {"wind": -1.0, "coal": 2.0}, {}])
def test_impossible_mix_is_refused(mix):
    with pytest.raises(CosimError, match=r"technology|negative|nothing"):
        mix_intensity(mix)


def test_hours_follow_summer_time():
    carbon = Carbon(tuple(float(h) for h in range(24)))
    times = pd.DatetimeIndex(["2025-07-01T12:30Z"])
    assert dataclasses.replace(carbon).intensity(times, "ES", "Europe/Madrid")[0] == 14.0
