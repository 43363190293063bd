"""Writes Italy's rows of scenarios/carbon/carbon_hourly.csv from published means by month and by hour.

python docs/carbon_italy.py

No hourly file of Italy is at hand, but means of Electricity Maps' are published: direct intensities by month, and by
hour of the day (UTC) of 2021 to 2024 (M. Basili and A. Trani, SABD Progetto 1, Università di Roma Tor Vergata 2025,
github.com/MatteoBasili/sabd-progetto1-2024_25, Results/csv/q2_all_result.csv and q3_hourly_result.csv), and life-cycle
means of years (thegreenwebfoundation/co2.js, data/output/electricity-maps/yearly_2023.js and yearly_2024.json).

The hourly profile is split into a part in proportion to the sun's height, which differs by month, and the rest, which
does not; both are scaled by the month's mean. Life-cycle intensities are `SLOPE` times the direct ones and a constant
by which the published mean of the year is met. Where all hours are known the method can be measured: it gives Spain's
table to 8 g/kWh root mean square, months without hours to 28 and the mean of the year to 37, from
`python docs/carbon_italy.py ES_2023_hourly.csv.gz ES_2024_hourly.csv.gz`.
"""

import csv
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pvlib

HOURLY = runpy.run_path(str(Path(__file__).with_name("carbon_hourly.py")))
BY_MONTH = {
    2023: [325.1, 326.4, 300.3, 219.7, 203.5, 238.4, 248.7, 230.3, 250.6, 234.7, 210.0, 238.6],
    2024: [232.0, 225.7, 192.9, 170.7, 158.2, 172.0, 200.6, 224.4, 218.1, 206.3, 250.0, 237.3],
}
"""Mean direct intensity. [g CO2e/kWh]"""
BY_HOUR = [
    *(280.4, 279.4, 279.0, 281.5, 285.0, 280.4, 265.7, 248.5, 235.1, 226.0, 220.8, 219.0),
    *(221.7, 229.3, 243.0, 260.6, 276.2, 285.2, 289.7, 293.7, 296.7, 296.3, 288.8, 282.0),
]
"""Mean direct intensity of 2021 to 2024 by hour. [UTC, g CO2e/kWh]"""
LIFE_CYCLE = {2023: 316.0, 2024: 267.0}
"""Mean life-cycle intensity. [g CO2e/kWh]"""
SLOPE = 1.18
"""Life-cycle over direct intensity between hours: 1.17 within 1 to 10 January and 1.20 within 27 to 31 December of 2023
(data/raw/IT_2023_hourly.csv of the same place), 1.19 to 1.22 in Spain."""
PLACE = (41.9, 12.5)
"""Rome, latitude and longitude, where the sun is taken. [°]"""


def hours_of(year):
    """Return the hours of a year in UTC."""
    return pd.date_range(f"{year}-01-01", f"{year + 1}-01-01", freq="h", tz="UTC", inclusive="left")


def shaped(year, by_month, by_hour, place):
    """Return the hours of a year from means by month, shape (12,), and by hour of UTC, shape (24,)."""
    hours = hours_of(year)
    sun = pvlib.solarposition.get_solarposition(hours + pd.Timedelta("30min"), *place)["elevation"].to_numpy()
    height = pd.Series(np.maximum(np.sin(np.radians(sun)), 0.0))
    by_day = height.groupby(hours.hour).mean().to_numpy()
    of_month = height.groupby([hours.month, hours.hour]).mean().unstack().to_numpy()
    profile = np.asarray(by_hour) / np.mean(by_hour)
    slope = np.polyfit(by_day, profile, 1)[0]
    rest = profile - slope * by_day
    shape = rest - rest.mean() + slope * (of_month - of_month.mean(axis=1, keepdims=True))
    means = np.asarray(by_month)[:, None] * (1 + shape)
    return pd.Series(means[hours.month - 1, hours.hour], hours)


def civil_means(series, zone):
    """Return means by month and civil hour, shape (12, 24)."""
    civil = series.index.tz_convert(zone)
    return series.groupby([civil.month, civil.hour]).mean().unstack()


def error_in_spain(path):
    """Return what the method, months alone and the mean miss in a year of Spain, root mean square. [g/kWh]"""
    table = pd.read_csv(path)
    begun = pd.DatetimeIndex(pd.to_datetime(table["Datetime (UTC)"], utc=True))
    known = pd.Series(table[HOURLY["COLUMN"]].to_numpy(), begun)
    by_month, by_hour = (known.groupby(part).mean() for part in (begun.month, begun.hour))
    found = shaped(begun.year[100], by_month, by_hour, (40.42, -3.70))
    true, zone = civil_means(known, "Europe/Madrid").to_numpy(), "Europe/Madrid"
    others = (civil_means(found, zone).to_numpy(), by_month.to_numpy()[:, None], known.mean())
    return [float(np.sqrt(((other - true) ** 2).mean()).round(1)) for other in others]


def main():
    """Write the rows, other countries' stay; files of Spain are only compared with."""
    for path in sys.argv[1:]:
        print(path, error_in_spain(path))
    if sys.argv[1:]:
        return
    target, head = HOURLY["TARGET"], HOURLY["HEAD"]
    kept = target.read_text(encoding="utf-8").splitlines()[head.count("\n") :]
    with target.open("w", encoding="utf-8", newline="") as file:
        file.write(head)
        file.writelines(f"{line}\n" for line in kept if not line.startswith("IT,"))
        writer = csv.writer(file, lineterminator="\n")
        for year, by_month in BY_MONTH.items():
            direct = shaped(year, by_month, BY_HOUR, PLACE)
            means = civil_means(SLOPE * direct + LIFE_CYCLE[year] - SLOPE * direct.mean(), "Europe/Rome")
            for month, row in means.iterrows():
                writer.writerow(["IT", "Europe/Rome", year, month, *(f"{value:.1f}" for value in row)])


if __name__ == "__main__":
    main()
