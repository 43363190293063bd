"""Tests of the typical carbon intensity of countries."""

import runpy

import numpy as np
import pandas as pd
import pytest

from cosim import CosimError
from cosim.scenarios.carbon import intensity
from cosim.scenarios.carbon.intensity import typical_intensity
from tests.support.paths import DATA, ROOT


def hours_of(year):
    return pd.date_range(f"{year}-01-01", f"{year + 1}-01-01", freq="h", tz="UTC", inclusive="left")


def spain(year):
    """Return the shipped means of a year by month and hour, shape (12, 24). [g/kWh]"""
    rows = [row for row in intensity._table("carbon_hourly.csv") if (row["country"], row["year"]) == ("ES", str(year))]
    return np.array([[float(row[str(hour)]) for hour in range(24)] for row in rows])


@pytest.mark.skipif(not (DATA / "carbon").is_dir(), reason="../shared/data/carbon is absent")
@pytest.mark.parametrize("year", [2023, 2024])
def test_shipped_means_are_those_of_the_hourly_file(year):
    script = runpy.run_path(str(ROOT / "docs" / "carbon_hourly.py"))
    found, means = script["monthly_means"](DATA / "carbon" / f"ES_{year}_hourly.csv.gz", "Europe/Madrid")
    assert found == year
    np.testing.assert_allclose(spain(year), means.to_numpy(), atol=0.05001)


@pytest.mark.parametrize(
    ("year", "mean", "months"),
    [
        (2023, 154.1, [112, 182, 140, 138, 151, 188, 169, 175, 191, 168, 118, 120]),
        (2024, 124.1, [133, 104, 101, 98, 105, 108, 123, 130, 128, 123, 163, 173]),
    ],
)
def test_spain_has_the_means_of_its_hourly_data(year, mean, months):
    # Electricity Maps' hourly files of 2023 and 2024, life cycle
    days = [pd.Period(f"{year}-{month}").days_in_month for month in range(1, 13)]
    assert np.average(spain(year).mean(axis=1), weights=days) == pytest.approx(mean, abs=0.1)
    np.testing.assert_allclose(spain(year).mean(axis=1), months, atol=0.8)


def test_spain_falls_at_noon_and_peaks_in_winters_evening():
    winter = np.average(spain(2023)[[11, 0, 1]], axis=0, weights=[31, 31, 28])
    published = [138, 134, 134, 135, 135, 137, 142, 147, 149, 142, 126, 118, 114, 112, 113, 115, 124, 143, 158, 160]
    np.testing.assert_allclose(winter, [*published, 157, 155, 151, 145], atol=0.7)
    assert int(winter.argmax()) == 19
    year = spain(2023).mean(axis=0)
    assert year.min() / year.mean() == pytest.approx(0.74, abs=0.01)
    assert year[:12].max() / year.mean() == pytest.approx(1.20, abs=0.01)


def test_typical_hour_is_the_mean_of_both_years_in_civil_time():
    summer = pd.DatetimeIndex(["2025-07-15T10:59Z", "2025-07-15T11:00Z"])  # 12:59 and 13:00 in Madrid
    expected = (spain(2023)[6, [12, 13]] + spain(2024)[6, [12, 13]]) / 2000
    np.testing.assert_allclose(typical_intensity("ES", summer), expected)


def test_italy_has_its_published_means_of_months_and_falls_at_noon():
    script = runpy.run_path(str(ROOT / "docs" / "carbon_italy.py"))
    year = hours_of(2023)  # both years of the table by the calendar of one
    found = 1000 * pd.Series(typical_intensity("IT", year), year)
    assert found.mean() == pytest.approx((316 + 267) / 2, abs=1.0)
    direct = (np.array(script["BY_MONTH"][2023]) + script["BY_MONTH"][2024]) / 2
    by_month = found.groupby(year.tz_convert("Europe/Rome").month).mean().to_numpy()
    np.testing.assert_allclose(by_month - by_month.mean(), 1.18 * (direct - direct.mean()), atol=1.5)
    by_hour = found.groupby(year.hour).mean()
    assert (by_hour.idxmin(), by_hour.idxmax()) == (11, 20)
    july, january = (found[(year.month == m) & (year.hour == 11)].mean() / by_month[m - 1] for m in (7, 1))
    assert july < january < 0.9


@pytest.mark.skipif(not (DATA / "carbon").is_dir(), reason="../shared/data/carbon is absent")
def test_the_method_of_italy_meets_spain_where_its_hours_are_known():
    script = runpy.run_path(str(ROOT / "docs" / "carbon_italy.py"))
    shaped, months, mean = script["error_in_spain"](DATA / "carbon" / "ES_2024_hourly.csv.gz")
    assert shaped < 8 < 25 < months < mean


def test_country_without_a_table_is_refused():
    with pytest.raises(CosimError, match="no country 'XX': it has ES, IT"):
        typical_intensity("XX", hours_of(2023))
