"""Seeded years beside the statistics that they are drawn from and beside what was observed."""

import numpy as np
import pytest
from scipy.linalg import solve_discrete_lyapunov

from cosim.adapters.weather import load
from cosim.core import CosimError
from cosim.core.weather.normals import climate_of, synthetic_year
from cosim.core.weather.seeded import RANGE_WITH_SUN, SUN_LAG1, _spread, seeded_year, waves
from cosim.core.weather.year import MONTH

N_YEARS = 150
SEASON = np.array(["winter", "winter", "spring", "spring", "spring", "summer", "summer", "summer"] + ["autumn"] * 3)
SEASON = np.append(SEASON, "winter")[MONTH]


class Many:
    """Days of many seeded years, every array of shape (n_years, 365)."""

    def __init__(self, place):
        years = [seeded_year(place, seed) for seed in range(N_YEARS)]
        temp = np.stack([year.dry_bulb.reshape(365, 24) for year in years])
        self.hours = temp
        self.low, self.high = temp.min(axis=2), temp.max(axis=2)
        self.climate, self.spread = climate_of(place), _spread(place)
        self.anomaly = (self.low + self.high) / 2 - (self.climate.low + self.climate.high) / 2
        self.sun = np.stack([year.ghi.reshape(365, 24).sum(axis=1) for year in years])
        self.mean_sun = synthetic_year(place).ghi.reshape(365, 24).sum(axis=1)


@pytest.fixture(scope="module", params=["barcelona", "bologna"])
def many(request):
    return Many(request.param)


def lagged(values, days):
    """Correlation of days with the day before, over all years."""
    before = np.roll(values, 1, axis=1)
    return np.corrcoef(values[:, days].ravel(), before[:, days].ravel())[0, 1]


def test_means_over_seeds_are_the_normals(many):
    # A year's mean anomaly spreads by about sd * sqrt((1 + rho) / (1 - rho) / 365).
    error = 4 * 3.0 * np.sqrt(12 / 365 / N_YEARS)
    assert abs(many.anomaly.mean()) < error
    for month in range(12):
        here = many.anomaly[:, month == MONTH].mean()
        assert abs(here) < 4 * 3.4 * np.sqrt(12 / 30 / N_YEARS)
        assert many.sun[:, month == MONTH].mean() == pytest.approx(many.mean_sun[month == MONTH].mean(), rel=0.03)


def test_spread_and_persistence_of_each_season_are_those_of_the_table(many):
    for season in np.unique(SEASON):
        days = season == SEASON
        sd, lag1 = (many.spread[name][days][0] for name in ("mean_sd_k", "mean_lag1"))
        # The evening falls to the next day's low, which may be the lowest of both days.
        assert many.anomaly[:, days].std() == pytest.approx(sd, rel=0.06)
        assert lagged(many.anomaly, days) == pytest.approx(lag1, abs=0.035)


def test_clear_days_persist_and_have_wide_ranges_as_published(many):
    sun, span = many.sun / many.mean_sun, (many.high - many.low) / (many.climate.high - many.climate.low)
    assert lagged(sun, slice(None)) == pytest.approx(SUN_LAG1, abs=0.03)
    assert np.corrcoef(sun.ravel(), span.ravel())[0, 1] == pytest.approx(RANGE_WITH_SUN, abs=0.08)
    assert abs(np.corrcoef(sun.ravel(), many.anomaly.ravel())[0, 1]) < 0.02
    assert 0.2 < sun.std() < 0.6


def test_correlation_of_range_and_sun_follows_from_richardson():
    # Highest and lowest temperature and radiation x of a day: x = a y + b noise with y of the day before, the matrices
    # as in github.com/swat-model/swatplus, src/cli_weatgn.f90.
    a = np.array([[0.567, 0.086, -0.002], [0.253, 0.504, -0.050], [-0.006, -0.039, 0.244]])
    b = np.array([[0.781, 0, 0], [0.328, 0.637, 0], [0.238, -0.341, 0.873]])
    covariance = solve_discrete_lyapunov(a, b @ b.T)
    scale = np.sqrt(np.diag(covariance))
    found = covariance / np.outer(scale, scale)
    assert found[np.triu_indices(3, 1)] == pytest.approx([0.633, 0.186, -0.193], abs=5e-4)
    both, high, low = found[0, 1], found[0, 2], found[1, 2]
    assert (high - low) / np.sqrt(2 - 2 * both) == pytest.approx(RANGE_WITH_SUN, abs=0.005)
    assert (high + low) / np.sqrt(2 + 2 * both) == pytest.approx(0.0, abs=0.005)


@pytest.mark.parametrize(
    ("place", "heating", "cooling"),
    [("barcelona", (1.6, 2.9), (28.7, 29.6, 30.8)), ("bologna", (-4.2, -2.9), (32.2, 33.2, 34.4))],
)
def test_design_temperatures_are_those_of_ashrae(place, heating, cooling):
    """ASHRAE Handbook 2017: exceeded in 99.6 and 99 % of the hours, and in 2, 1 and 0.4 %, as in both TMYx files."""
    hours = np.stack([seeded_year(place, seed).dry_bulb for seed in range(30)])
    found = np.quantile(hours, [0.004, 0.01, 0.98, 0.99, 0.996])
    mean_year = np.quantile(synthetic_year(place).dry_bulb, [0.004, 0.01, 0.98, 0.99, 0.996])
    assert found == pytest.approx([*heating, *cooling], abs=1.2)
    assert (np.abs(mean_year - [*heating, *cooling]) > 0.6).all()


def test_heat_and_cold_waves_are_as_many_as_barcelona_had():
    """AEMET's daily values of Barcelona Aeropuerto, January 2010 to June 2020: 4 heat waves and 7 cold waves."""
    many = Many("barcelona")
    hot, cold = np.isin(MONTH, (6, 7)), np.isin(MONTH, (0, 1))
    for values, sign, days, seen in ((many.high, 1, hot, 4), (many.low, -1, cold, 7)):
        beyond = sign * values > np.quantile(sign * values[:, days], 0.95)
        a_year = np.array([waves(year) for year in beyond])
        expected, spread = 10.5 * a_year.mean(), np.sqrt(10.5) * a_year.std()
        assert abs(seen - expected) < 2 * spread
        assert expected > 2


def test_one_seed_gives_one_year_and_another_seed_another():
    first, again, other = seeded_year("barcelona", 3), seeded_year("barcelona", 3), seeded_year("barcelona", 4)
    for name in ("dry_bulb", "ghi", "dni", "dhi", "relative_humidity", "horizontal_infrared"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes()
        assert (getattr(first, name) != getattr(other, name)).any()
    assert (first.dhi <= first.ghi + 1e-9).all()
    assert first.relative_humidity.max() <= 1
    assert "seed 3" in first.source


def test_december_leads_to_january(many):
    turn = many.anomaly[:, 0] - many.anomaly[:, -1]
    inside = np.diff(many.anomaly[:, SEASON == "winter"][:, :50], axis=1)
    assert turn.std() == pytest.approx(inside.std(), rel=0.25)


def test_waves_are_runs_of_three_days_also_at_the_ends():
    assert waves(np.array([1, 1, 1, 0, 1, 1, 0, 1, 1, 1, 1], bool)) == 2
    assert waves(np.zeros(5, bool)) == 0


def test_seed_of_a_file_is_refused_with_the_remedy():
    with pytest.raises(CosimError, match=r"'x\.epw' is the year of a file.*weather='barcelona' or 'bologna'"):
        load("x.epw", 1)
    with pytest.raises(CosimError, match=r"'atlantis' is neither a city"):
        load("atlantis", 1)
