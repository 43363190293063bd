"""Sun on oriented surfaces: conservation, symmetry, and the incident radiation of Standard 140."""

import csv
import datetime as dt
from dataclasses import replace

import numpy as np
import pytest

from cosim.core import CosimError
from cosim.core.weather.epw import read_epw
from cosim.core.weather.normals import _normals, synthetic_year
from cosim.core.weather.solar import CLEAR_DOUBLE, SURFACES, irradiance, radiation_from_sunshine, surface_irradiance
from cosim.core.weather.year import HOURS, MONTH
from tests.support.paths import DATA

NEW_YEAR = dt.datetime(2001, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1)))
ROOF = {"roof": (0.0, 0.0)}
BARCELONA = synthetic_year("barcelona")


@pytest.fixture(scope="module")
def denver():
    path = DATA / "weather" / "725650TYCST.epw"
    if not path.exists():
        pytest.skip("needs the Standard 140 weather file in ../shared/data/weather")
    year = read_epw(path)
    start = dt.datetime(2001, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=year.utc_offset_h)))
    return year, surface_irradiance(year, SURFACES, start, 3600, HOURS)


@pytest.mark.parametrize("orientation", ["Horizontal", "North", "East", "South", "West"])
def test_annual_incident_solar_lies_within_the_reference_programs(denver, orientation):
    with (DATA / "bestest" / "solar.csv").open() as file:
        row = next(r for r in csv.DictReader(file) if "B8-13" in r["table"] and r["surface"] == orientation)
    annual_kwh = denver[1][:, list(SURFACES).index(orientation.lower())].sum() / 1000
    assert float(row["min"]) <= annual_kwh <= float(row["max"])


def test_components_add_up_to_the_global_radiation_of_the_file(denver):
    year, sun = denver
    assert np.abs(sun[:, 0] - year.ghi).max() < 10
    assert sun[:, 0].sum() == pytest.approx(year.ghi.sum(), rel=5e-4)


def test_hours_keep_their_diffuse_energy_whatever_the_step():
    overcast = replace(BARCELONA, dni=np.zeros(HOURS))
    for step_s in (300, 600, 3600):
        sun = surface_irradiance(overcast, ROOF, NEW_YEAR, step_s, 10 * 86400 // step_s)
        hourly = sun[:, 0].reshape(240, -1).mean(axis=1)
        assert hourly == pytest.approx(overcast.dhi[:240], abs=1e-6)


def test_hours_keep_their_beam_energy():
    # A surface that faces the noon sun of the equinox, against the mean cosine of that hour, by closed form.
    beam = np.zeros(HOURS)
    k = (31 + 28 + 19) * 24 + 12
    beam[k] = 800.0
    year = replace(BARCELONA, dni=beam, dhi=np.zeros(HOURS), latitude=0.0, longitude=15.0)
    start = NEW_YEAR + dt.timedelta(hours=k)
    sun = surface_irradiance(year, ROOF, start, 3600, 1)[0, 0]
    # The equation of time puts solar noon 7.5 min after 12 h: hour angles from -1.9 to 13.1 degrees.
    low, high = np.radians([-1.9, 13.1])
    assert sun == pytest.approx(800 * (np.sin(high) - np.sin(low)) / (high - low), rel=2e-3)


def test_synthetic_radiation_is_the_sum_of_its_parts_in_every_hour():
    sun = surface_irradiance(BARCELONA, ROOF, NEW_YEAR, 3600, HOURS)
    assert sun[:, 0] == pytest.approx(BARCELONA.ghi, abs=1e-6)


def test_monthly_radiation_follows_angstrom_prescott():
    # FAO-56 example 10, Rio de Janeiro in May: 220 h of sunshine, N = 10.9 h, Ra = 25.1, Rs = 14.5 MJ/m2 a day.
    (ghi, _, _), relative = radiation_from_sunshine(np.full(12, 220.0), -22.9, -43.2, 0.0, -3.0)
    may = ghi[np.repeat(MONTH, 24) == 4].sum() * 3600 / 31 * 1e-6
    assert may == pytest.approx(14.5, rel=0.02)
    assert relative[4] == pytest.approx(7.1 / 10.9, rel=0.02)


def test_sunshine_beyond_daylight_is_refused():
    with pytest.raises(CosimError, match="it must not exceed the daylight"):
        radiation_from_sunshine(np.full(12, 400.0), 41.3, 2.1, 0.0, 1.0)


def test_monthly_radiation_is_that_of_the_monthly_sunshine():
    sunshine = np.array(_normals("bologna")["sunshine_h"], float)
    year = synthetic_year("bologna")
    (ghi, dni, dhi), _ = radiation_from_sunshine(sunshine, year.latitude, year.longitude, year.elevation, 1.0)
    assert np.array_equal(year.ghi, ghi)
    assert np.array_equal(year.dni, dni)
    assert np.array_equal(year.dhi, dhi)


def test_east_in_the_morning_mirrors_west_in_the_afternoon():
    even = replace(BARCELONA, longitude=15.0, dni=np.full(HOURS, 600.0), dhi=np.full(HOURS, 100.0))
    day = NEW_YEAR + dt.timedelta(days=104)  # 15 April: solar noon at 12 h, the equation of time is zero
    sun = surface_irradiance(even, {"east": (90, 90), "west": (90, 270)}, day, 3600, 24)
    assert sun[8:16, 0] == pytest.approx(sun[8:16, 1][::-1], rel=0.02)
    assert sun[:, 0].sum() > 3000


def test_irradiance_stays_bounded_at_the_horizon():
    # The largest credible beam in every hour of the year, also around sunrise and sunset.
    year = replace(BARCELONA, dni=np.full(HOURS, 900.0), dhi=np.maximum(BARCELONA.dhi, 3.0))
    sun = surface_irradiance(year, SURFACES, NEW_YEAR, 300, HOURS * 12)
    assert np.isfinite(sun).all()
    assert sun.min() >= 0
    assert sun.max() < 1700
    assert sun[:12].max() < 6.1


def test_surface_facing_down_sees_only_the_ground():
    noon = NEW_YEAR + dt.timedelta(days=171, hours=12)
    sun = surface_irradiance(BARCELONA, {"roof": (0, 0), "ceiling": (180, 0)}, noon, 3600, 1, albedo=0.3)[0]
    assert sun[1] == pytest.approx(0.3 * sun[0], rel=1e-6)


def test_clear_sky_is_brighter_on_the_side_of_the_sun_than_on_the_other():
    noon = NEW_YEAR + dt.timedelta(days=14, hours=12)
    clear = replace(BARCELONA, dni=np.full(HOURS, 600.0), dhi=np.full(HOURS, 100.0))
    dark = replace(clear, dhi=np.full(HOURS, 1e-6))
    both = {"north": (90, 0), "south": (90, 180)}
    north, south = (
        surface_irradiance(clear, both, noon, 3600, 1, albedo=0)
        - surface_irradiance(dark, both, noon, 3600, 1, albedo=0)
    )[0]
    assert north < 50 < south  # an isotropic sky would give 50 on both


def test_impossible_surface_is_refused_by_name():
    with pytest.raises(CosimError, match=r"surface 'roof' has tilt 200 and azimuth 0"):
        surface_irradiance(BARCELONA, {"roof": (200, 0)}, NEW_YEAR, 3600, 1)
    with pytest.raises(CosimError, match="0 surfaces"):
        surface_irradiance(BARCELONA, {}, NEW_YEAR, 3600, 1)


def test_window_irradiance_times_normal_transmittance_lies_within_the_reference_programs(denver):
    year, start, span = denver[0], dt.datetime(2001, 1, 1, 7, tzinfo=dt.UTC), 8760 * 3600.0
    surfaces = {"south": (90.0, 180.0), "west": (90.0, 270.0)}
    passed = irradiance(year, surfaces, start, span, glazing=CLEAR_DOUBLE).mean(0.0, span)[0]
    annual = passed * CLEAR_DOUBLE.optics(1.0)[0] * 8.76
    # Standard 140-2020, table B8-14, kWh/m2 of 600 South and 620 West.
    assert 804.0 <= annual[0] <= 825.6
    assert 569.3 <= annual[1] <= 623.8
