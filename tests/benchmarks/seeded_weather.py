"""Seeded years beside observations: hours at ASHRAE's design percentiles, heat and cold waves. Prints one JSON line."""

import json

import numpy as np

from cosim.core.weather.normals import synthetic_year
from cosim.core.weather.seeded import seeded_year, waves
from cosim.core.weather.year import MONTH

N_YEARS = 200
SHARES = [0.004, 0.01, 0.98, 0.99, 0.996]


def measured(place):
    """Return quantiles of the hours [°C], waves a year and degree days, of the mean year and of seeded ones."""
    hours = np.stack([seeded_year(place, seed).dry_bulb for seed in range(N_YEARS)])
    days, mean_year = hours.reshape(N_YEARS, 365, 24), synthetic_year(place).dry_bulb
    low, high = days.min(axis=2), days.max(axis=2)
    hot, cold = (np.isin(MONTH, months) for months in ((6, 7), (0, 1)))
    heat = np.array([waves(year > np.quantile(high[:, hot], 0.95)) for year in high])
    chill = np.array([waves(year < np.quantile(low[:, cold], 0.05)) for year in low])
    degree_days = [np.maximum(18 - d.mean(axis=-1), 0).sum(axis=-1) for d in (mean_year.reshape(365, 24), days)]
    return {
        "quantiles_seeded": np.quantile(hours, SHARES).round(1).tolist(),
        "quantiles_mean_year": np.quantile(mean_year, SHARES).round(1).tolist(),
        "heat_waves_in_10.5_years": [round(10.5 * heat.mean(), 1), round(np.sqrt(10.5) * heat.std(), 1)],
        "cold_waves_in_10.5_years": [round(10.5 * chill.mean(), 1), round(np.sqrt(10.5) * chill.std(), 1)],
        "heating_degree_days": [
            round(float(degree_days[0])),
            round(degree_days[1].mean()),
            round(degree_days[1].std()),
        ],
        "coldest_hour": np.quantile(hours.min(axis=1), [0.1, 0.5, 0.9]).round(1).tolist(),
    }


if __name__ == "__main__":
    print(json.dumps({"years": N_YEARS, "shares": SHARES} | {p: measured(p) for p in ("barcelona", "bologna")}))
