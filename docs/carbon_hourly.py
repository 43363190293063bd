"""Writes scenarios/carbon/carbon_hourly.csv from Electricity Maps' hourly files.

python docs/carbon_hourly.py ES Europe/Madrid ES_2023_hourly.csv.gz ES_2024_hourly.csv.gz
"""

import csv
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd

HEAD = """\
# Life-cycle carbon intensity of the electricity used, mean by month and civil hour [g CO2e/kWh], made by
# docs/carbon_hourly.py. Contains information of Electricity Maps, "Carbon Intensity Data" (hourly, flow-traced, life
# cycle; generation from ENTSO-E), www.electricitymaps.com, which is made available under the Open Database License
# (ODbL) v1.0, as is this table: https://opendatacommons.org/licenses/odbl/1-0/. Italy is shaped from published means of
# that data by month and by hour, docs/carbon_italy.py.
"""
COLUMN = "Carbon Intensity gCO₂eq/kWh (LCA)"
TARGET = Path(__file__).parent.parent / "scenarios" / "carbon" / "carbon_hourly.csv"


def monthly_means(path, zone):
    """Return the year and the mean by month and civil hour, shape (12, 24), from a file of hours in UTC."""
    hours = pd.read_csv(path)
    begun = pd.to_datetime(hours["Datetime (UTC)"], utc=True)
    civil = begun.dt.tz_convert(ZoneInfo(zone)).dt
    means = hours[COLUMN].groupby([civil.month.rename("month"), civil.hour.rename("hour")]).mean().unstack()
    return int(begun.dt.year.mode()[0]), means


def main():
    """Write the country's rows, other countries' stay; arguments are the country, its time zone and a file a year."""
    country, zone, *paths = sys.argv[1:]
    kept = TARGET.read_text(encoding="utf-8").splitlines()[HEAD.count("\n") + 1 :]
    with TARGET.open("w", encoding="utf-8", newline="") as file:
        file.write(HEAD)
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["country", "zone", "year", "month", *range(24)])
        file.writelines(f"{line}\n" for line in kept if not line.startswith(f"{country},"))
        for path in paths:
            year, means = monthly_means(path, zone)
            for month, row in means.iterrows():
                writer.writerow([country, zone, year, month, *(f"{value:.1f}" for value in row)])


if __name__ == "__main__":
    main()
