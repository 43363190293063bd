"""Writes core/weather/climate_spread.csv from a record of daily temperatures, or from a weather file's real months.

python docs/weather_spread.py barcelona=RECORD.csv bologna=FILE.epw
python docs/weather_spread.py FILE.epw...

A record is a CSV file of columns date, tmax, tmin [°C] (Barcelona: AEMET's daily values of station 0076); its spread
is about its own yearly course (three harmonics). A weather file of typical years holds real months of different years:
their spread is that within a month, from which the spread of all days follows for a first-order autoregression. Prints
the heat and cold waves of a record by AEMET's definition. Of weather files without a place, the persistence of the
sky's clearness is printed and nothing is written.
"""

import csv
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import norm, rankdata

from cosim.core.weather.epw import read_epw
from cosim.core.weather.normals import climate_of
from cosim.core.weather.seeded import waves
from cosim.core.weather.solar import radiation_of_days
from cosim.core.weather.year import MONTH

HEAD = """\
# Day-to-day spread of the weather by season, made by docs/weather_spread.py. mean_sd_k, mean_lag1: standard deviation
# and correlation from day to day of daily mean temperature's anomalies; range_cv, range_lag1: the same of the daily
# range over its mean. Barcelona: daily values of AEMET (Agencia Estatal de Meteorología), station 0076 Barcelona
# Aeropuerto, January 2010 to June 2020, as in github.com/vulturno/data. Bologna: the twelve real months of 2004 to 2016
# in the TMYx year of Bologna Marconi (climate.onebuilding.org), corrected for their shortness.
"""
SEASONS = {"winter": (12, 1, 2), "spring": (3, 4, 5), "summer": (6, 7, 8), "autumn": (9, 10, 11)}
TARGET = Path(__file__).parent.parent / "core" / "weather" / "climate_spread.csv"


def of_record(path):
    """Return rows of season, spread and persistence of a record, and print its waves."""
    days = pd.read_csv(path, index_col="date", parse_dates=True)
    mean, span, month = (days.tmax + days.tmin) / 2, days.tmax - days.tmin, days.index.month
    angle = 2 * np.pi * (days.index.dayofyear.to_numpy() - 0.5) / 365.25
    waves_ = [wave(k * angle) for k in (1, 2, 3) for wave in (np.cos, np.sin)]
    course, known = np.stack([np.ones(len(days)), *waves_], axis=1), mean.notna().to_numpy()
    mean = mean - course @ np.linalg.lstsq(course[known], mean[known], rcond=None)[0]
    span = span / span.groupby(month).transform("mean") - 1
    for season, months in SEASONS.items():
        mine = month.isin(months)
        yield season, mean[mine].std(), mean[mine].corr(mean.shift(1)[mine]), span[mine].std(), span.autocorr()
    years = len(days) / 365.25
    hot, cold = (waves(*pair) for pair in aemet(days.tmax.to_numpy(), days.tmin.to_numpy(), month.to_numpy()))
    print(f"{path}: {hot / years:.2f} heat waves and {cold / years:.2f} cold waves a year ({hot}, {cold})")


def aemet(high, low, month):
    """Return whether days are hot, and cold: beyond the 95th percentile of midsummer, the 5th of midwinter."""
    hot, cold = np.isin(month, (7, 8)), np.isin(month, (1, 2))
    return (high > np.nanquantile(high[hot], 0.95),), (low < np.nanquantile(low[cold], 0.05),)


def of_months(path, place):
    """Return rows of season, spread and persistence from a file of real months; persistence is that of all of them."""
    days = read_epw(Path(path)).dry_bulb.reshape(365, 24)
    climate = climate_of(place)
    mean, span = days.mean(axis=1) - (climate.low + climate.high) / 2, np.ptp(days, axis=1)
    months = [mean[m == MONTH] - mean[m == MONTH].mean() for m in range(12)]
    shares = [span[m == MONTH] / span[m == MONTH].mean() - 1 for m in range(12)]
    lag1, share_lag1 = persistence(months), persistence(shares)
    for season, mine in SEASONS.items():
        sd, cv = (spread([pieces[m - 1] for m in mine], r) for pieces, r in ((months, lag1), (shares, share_lag1)))
        yield season, sd, lag1, cv, share_lag1


def of_sky(path):
    """Return the persistence of a file's clearness within its months, as a normal variable."""
    year = read_epw(Path(path))
    place = year.latitude, year.longitude, year.elevation, year.utc_offset_h
    outside = radiation_of_days(np.ones(365), np.zeros(365), *place)[0].reshape(365, 24).sum(axis=1)
    clearness = year.ghi.reshape(365, 24).sum(axis=1) / outside
    ranks = (rankdata(clearness[m == MONTH]) for m in range(12))
    return persistence([norm.ppf((rank - 0.5) / len(rank)) for rank in ranks])


def expected(rho, n):
    """Return the expected squares and products of neighbours, about their mean, of n days of an autoregression."""
    centre = np.eye(n) - 1 / n
    cov = centre @ rho ** np.abs(np.subtract.outer(np.arange(n), np.arange(n))) @ centre
    return np.trace(cov), np.trace(cov, 1)


def persistence(months):
    """Return the lag-1 correlation of which the ratio of products of neighbours to squares is the expected one."""
    found = sum(m[1:] @ m[:-1] for m in months) / sum(m @ m for m in months)
    return brentq(lambda rho: expected(rho, 30)[1] / expected(rho, 30)[0] - found, 0.0, 0.97)


def spread(months, rho):
    """Return the standard deviation of all days from squares about the means of months."""
    return np.sqrt(sum(m @ m for m in months) / sum(expected(rho, len(m))[0] for m in months))


def main():
    """Write the table; arguments are places with their files, or weather files alone."""
    if not any("=" in argument for argument in sys.argv[1:]):
        for path in sys.argv[1:]:
            print(f"{path}: clearness {of_sky(path):.2f}")
        return
    with TARGET.open("w", encoding="utf-8", newline="") as file:
        file.write(HEAD)
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["place", "season", "mean_sd_k", "mean_lag1", "range_cv", "range_lag1"])
        for place, path in (argument.split("=", 1) for argument in sys.argv[1:]):
            for season, *figures in of_months(path, place) if path.endswith(".epw") else of_record(path):
                writer.writerow([place, season, *(f"{figure:.2f}" for figure in figures)])


if __name__ == "__main__":
    main()
