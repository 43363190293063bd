"""Indicators of air quality at façades."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cosim import Indicator, Result
from cosim.core import units
from cosim.core.environment.air import POLLUTANTS
from cosim.core.environment.exposure import SHORT_LIMITS
from cosim.core.environment.streets import Streets
from cosim.core.quantities import Array
from cosim.core.weather.year import WeatherYear
from cosim.scenarios.environment.annual import TRAFFIC, annual_means, hours_of_day, screening
from cosim.scenarios.environment.background import Background
from cosim.scenarios.environment.model import Environment
from cosim.scenarios.intervals import interval_starts

NAME = "environment"
_UG = 1e9
_EMISSIONS = dict(zip(TRAFFIC, ("nox_emission", "pm10_emission", "pm25_emission", "turbulence", "primary_no2_share")))
_PORTS = {name: f"{NAME}.{port}" for name, port in (("NO2", "no2"), ("PM10", "pm10"), ("PM2.5", "pm25"))}
ANNUAL = ("NO2", "PM2.5")


def air_indicators(
    result: Result, made: Environment, weather: WeatherYear
) -> tuple[dict[str, Indicator], dict[str, pd.Series[float]]]:
    """Return concentrations within the run, annual means and particles of wear.

    Annual means need a run that covers all hours of a day; its traffic is taken as that of every day.

    Returns
    -------
    indicators
        By name.
    annual
        Annual means of NO2 and PM2.5 by façade [µg/m³]; empty without them.
    """
    if f"{NAME}.no2" not in result.ports or made.background is None:
        return {}, {}
    found = {}
    for port, name in (("no2", "NO2"), ("pm25", "PM2.5")):
        mean = result.spread(f"{NAME}.{port}", ["mean", "high"])
        above = f"mean over all façades and the run, background included; highest hour {_UG * mean['high'].max():.0f}"
        found[f"{name} at façades"] = Indicator(_UG * float(mean["mean"].mean()), "µg/m³", "lower", above)
    found |= exceedances(result)
    grams = {port: 1000 * float(result.integral(f"{NAME}.{port}").sum()) for port in ("wear", "pm10_emission")}
    exhaust = 1000 * float(result.integral("traffic.pmx").sum()) if "traffic.pmx" in result.ports else 0.0
    found["PM10 of wear"] = Indicator(
        grams["wear"],
        "g",
        "lower",
        "tyres, brakes and road on streets, by kind and speed (EMEP/EEA 2019); with exhaust alone "
        f"{grams['pm10_emission'] - grams['wear']:.0f} g more; SUMO's own PMx is {exhaust:.0f} g",
    )
    traffic = typical_traffic(result, made, weather)
    if traffic is None:
        return found, {}
    means = _UG * annual_means(made.streets, traffic, weather, made.background)
    annual = {
        name: pd.Series(means[POLLUTANTS.index(name)].ravel(), index=list(made.streets.facades)) for name in ANNUAL
    }
    return found | _annual(made.streets, made.background, weather, traffic, means), annual


def exceedances(result: Result) -> dict[str, Indicator]:
    """Return the hours and days above limits of hourly and daily means, at the façade with most of them.

    Daily means are those of civil days of which the run covers 23 hours or more; without one, there are none.
    """
    found = {}
    zone = result.provenance["clock"]["zone"]
    for limit in SHORT_LIMITS:
        port = _PORTS[limit.quantity]
        if port not in result.ports:
            continue
        values = result.series(port) * units.factor(result.provenance["outputs"][port]["unit"], "µg/m^3")
        starts = interval_starts(result, values.index)
        hours = pd.Series((values.index - starts).total_seconds() / 3600)
        if hours.max() > limit.hours:
            continue
        local = starts.tz_convert(zone).tz_localize(None).floor("D" if limit.hours == 24 else "h")
        covered = hours.set_axis(local).groupby(level=0).sum()
        means = values.set_axis(local).groupby(level=0).mean()[covered >= min(limit.hours, 23)]
        if means.empty:
            continue
        above = (means > limit.value).sum()
        what = "days" if limit.hours == 24 else "hours"
        about = (
            f"at the façade with most, of {len(means)} {what}; {int((above > 0).sum())} of {len(above)} façades have "
            f"one; a year may have {limit.permitted}: {limit.source}"
        )
        found[f"{what} above {limit.value:g} µg {limit.quantity}"] = Indicator(
            float(above.max()), what[0], "lower", about
        )
    return found


def typical_traffic(result: Result, made: Environment, weather: WeatherYear) -> dict[str, Array] | None:
    """Return a run's traffic by hour of the day, as `annual_means` takes it; None if hours of the day are missing."""
    traffic: dict[str, Array] = {}
    for name, port in _EMISSIONS.items():
        series = result.series(f"{NAME}.{port}")
        if len(series) < 2:
            return None
        begins = series.index - (series.index[1] - series.index[0]) + pd.Timedelta(hours=weather.utc_offset_h)
        labels = ["network"] if name == "primary" else list(made.streets.labels)
        by_hour = hours_of_day(series[labels].to_numpy(float), np.asarray(begins.hour))
        if by_hour is None:
            return None
        traffic[name] = by_hour[:, 0] if name == "primary" else by_hour
    return traffic


def _annual(
    streets: Streets, air: Background, weather: WeatherYear, traffic: dict[str, Array], means: Array
) -> dict[str, Indicator]:
    check = _UG * screening(streets, traffic, weather, air)
    found = {}
    about = "typical hours of the weather year with this run's traffic every day"
    for name in ANNUAL:
        values = means[POLLUTANTS.index(name)]
        background = _UG * float(air.monthly[:, POLLUTANTS.index(name)].mean())
        found[f"{name}, annual mean"] = Indicator(
            float(values.mean()),
            "µg/m³",
            "lower",
            f"over façades, {about}; highest {values.max():.1f}, background {background:.1f}",
        )
    found["NO2 by SRM1"] = Indicator(
        float(check[0].mean()),
        "µg/m³",
        None,
        f"annual mean over façades by the Dutch screening method, an independent check; highest {check[0].max():.1f}",
    )
    return found
