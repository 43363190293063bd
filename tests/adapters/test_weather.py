"""Weather files, synthetic years and the weather adapter."""

import datetime as dt
import pickle
from dataclasses import replace

import numpy as np
import pytest

from cosim.adapters.weather import PV_ROOFS, Weather, ground_wave, load
from cosim.core import Clock, CosimError, InputFileError, Step
from cosim.core.adapter import outputs, take_events
from cosim.core.weather.epw import read_epw
from cosim.core.weather.normals import _normals, synthetic_year
from cosim.core.weather.solar import SURFACES
from cosim.core.weather.year import HOURS, MONTH, Course, interpolated, run_hours
from tests.support.epw import edit
from tests.support.epw import write_epw as epw
from tests.support.paths import DATA

WEATHER = DATA / "weather"
DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
MADRID = "Europe/Madrid"


def real(name):
    path = WEATHER / name
    if not path.exists():
        pytest.skip(f"needs the real weather file {name} in ../shared/data/weather")
    return path


@pytest.mark.parametrize(
    ("name", "mean", "place"),
    [
        ("ESP_CT_Barcelona-El.Prat.AP.081810_TMYx.2003-2017.epw", 17.2, "Barcelona El Prat AP"),
        ("ITA_ER_Bologna-Marconi.AP.161400_TMYx.2004-2018.epw", 14.5, "Bologna Marconi AP"),
        ("ESP_Barcelona.081810_SWEC.epw", 15.4, "Barcelona"),
        ("725650TYCST.epw", 10.9, "DENVER INTL AP"),
    ],
)
def test_real_weather_file_has_its_published_mean_temperature(name, mean, place):
    year = read_epw(real(name))
    assert year.dry_bulb.mean() == pytest.approx(mean, abs=0.06)
    assert year.name == place
    assert year.notes == ()
    assert 0.4 < year.relative_humidity.mean() < 0.8
    assert 80_000 < year.pressure.mean() < 102_000


def test_heating_degree_days_of_bologna_are_the_published_ones():
    year = read_epw(real("ITA_ER_Bologna-Marconi.AP.161400_TMYx.2004-2018.epw"))
    daily = year.dry_bulb.reshape(365, 24).mean(axis=1)
    assert np.maximum(18 - daily, 0).sum() == pytest.approx(2065, abs=5)


def test_latin_1_file_is_read(tmp_path):
    assert read_epw(epw(tmp_path, encoding="latin-1")).name == "Niño"


def test_values_are_in_si(tmp_path):
    year = read_epw(epw(tmp_path))
    assert (year.relative_humidity[0], year.pressure[0], year.wind_speed[0]) == (0.6, 101325, 2.5)
    assert (year.ghi[11], year.dni[11], year.dhi[11]) == (500, 500, 100)
    assert not year.dry_bulb.flags.writeable


def test_short_gap_is_interpolated_and_reported(tmp_path):
    year = read_epw(epw(tmp_path, edit(100, 6, "99.9", count=3)))
    assert np.diff(year.dry_bulb[99:104]) == pytest.approx(np.full(4, (year.dry_bulb[103] - year.dry_bulb[99]) / 4))
    assert year.notes == ("dry_bulb: 3 missing hours interpolated",)


def test_gap_over_new_year_is_interpolated_around_the_year(tmp_path):
    def change(rows):
        rows[0][6] = rows[-1][6] = "99.9"

    year = read_epw(epw(tmp_path, change))
    assert min(year.dry_bulb[1], year.dry_bulb[-2]) <= year.dry_bulb[0] <= max(year.dry_bulb[1], year.dry_bulb[-2])


def test_missing_sky_radiation_is_computed_from_cloud_cover(tmp_path):
    year = read_epw(epw(tmp_path, edit(0, 12, "9999", count=HOURS)))
    assert 250 < year.horizontal_infrared.mean() < 400
    assert "8760 missing hours computed" in year.notes[0]


def test_leap_year_loses_its_29_february(tmp_path):
    year = read_epw(epw(tmp_path, edit((31 + 28) * 24, 6, "40", count=24), leap=True))
    assert year.notes == ("29 February left out",)
    assert year.dry_bulb.max() < 13


def test_long_gap_in_a_leap_year_is_named_by_its_row_in_the_file(tmp_path):
    with pytest.raises(InputFileError, match=r"row 8009, pressure is missing for 9 hours"):
        read_epw(epw(tmp_path, edit(8000, 9, "999999", count=9), leap=True))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (edit(50, 6, "75.0"), r"row 59, dry_bulb is '75.0': it must be a number in -90 to 60"),
        (edit(50, 6, "-95"), r"row 59, dry_bulb is '-95'"),
        (edit(50, 6, "nan"), r"row 59, dry_bulb is 'nan'"),
        (edit(50, 8, "wet"), r"row 59, relative_humidity is 'wet'"),
        (
            lambda rows: [row.__setitem__(field, "9999") for row in rows[59:61] for field in (13, 14)],
            r"row 68, ghi and dni are '9999', which means missing, while the sun is up \(3 January, hour 12; 2 such "
            r"hours\): .* solar radiation .* fill it in the file",
        ),
        (edit(50, 13, "-3"), r"row 59, ghi is '-3'"),
        (edit(50, 6, "99.9", count=7), r"row 59, dry_bulb is missing for 7 hours: gaps of up to 6"),
        (edit(0, 6, "99.9", count=HOURS), r"dry_bulb is missing for 8760 hours"),
        (edit(50, 3, "99"), r"row 59 is stamped month, day, hour 1,3,99: expected 1,3,3"),
        (lambda rows: rows.pop(), r"has 8759 hourly rows: a year has 8760"),
        (lambda rows: rows.__setitem__(7, rows[6]), r"row 16 is stamped .* 1,1,7: expected 1,1,8"),
        (lambda rows: rows.__setitem__(7, rows[7][:9]), r"row 16 has 9 fields"),
    ],
)
def test_malformed_record_is_refused_by_file_row_field_and_rule(tmp_path, change, words):
    with pytest.raises(InputFileError, match=rf"own\.epw.*{words}"):
        read_epw(epw(tmp_path, change))


def test_malformed_header_is_refused(tmp_path):
    with pytest.raises(InputFileError, match=r"row 1, latitude is '95'"):
        read_epw(epw(tmp_path, location="LOCATION,x,-,ESP,TEST,0,95,2.1,1.0,5.0"))
    with pytest.raises(InputFileError, match="begins with LOCATION"):
        read_epw(epw(tmp_path, location="<html>"))
    with pytest.raises(InputFileError, match="with 4 records per hour it must be 15"):
        read_epw(epw(tmp_path, per_hour="4"))
    with pytest.raises(InputFileError, match="cannot be read"):
        read_epw(tmp_path / "none.epw")
    empty = tmp_path / "empty.epw"
    empty.touch()
    with pytest.raises(InputFileError, match="row 1"):
        read_epw(empty)


def test_binary_file_is_refused_with_one_clear_error(tmp_path):
    path = tmp_path / "binary.epw"
    path.write_bytes(bytes(range(256)) * 100)
    with pytest.raises(InputFileError, match=r"binary\.epw"):
        read_epw(path)


@pytest.mark.parametrize("place", ["barcelona", "bologna"])
def test_synthetic_year_reproduces_its_normals(place):
    year = synthetic_year(place)
    table = {name: np.array(_normals(place)[name], float) for name in ("tmin_c", "tmax_c", "sunshine_h")}
    days = year.dry_bulb.reshape(365, 24)
    for month in range(12):
        here = days[month == MONTH]
        assert here.min(axis=1).mean() == pytest.approx(table["tmin_c"][month], abs=0.02)
        assert here.max(axis=1).mean() == pytest.approx(table["tmax_c"][month], abs=0.02)


@pytest.mark.parametrize(("place", "low", "high"), [("barcelona", 1450, 1650), ("bologna", 1300, 1560)])
def test_synthetic_year_has_the_sun_of_its_place(place, low, high):
    year = synthetic_year(place)
    assert low < year.ghi.sum() / 1000 < high
    assert 0.3 < year.dhi.sum() / year.ghi.sum() < 0.5
    assert (year.dhi <= year.ghi + 1e-9).all()
    assert year.dni.max() < 1000
    assert year.relative_humidity.max() <= 1


def test_city_without_normals_is_refused_with_the_known_ones():
    with pytest.raises(CosimError, match=r"'atlantis' is neither a city nor a path.*barcelona, bologna"):
        load("atlantis")


def test_course_averages_exactly_at_any_step():
    course = Course(np.arange(0.0, 7201, 3600), np.array([[0.0], [6.0]]), np.array([[6.0], [0.0]]))
    assert course.mean(0, 7200)[0, 0] == pytest.approx(3.0)
    assert course.mean(1800, 5400)[0, 0] == pytest.approx(4.5)
    edges = np.arange(0, 7201, 450.0)
    assert course.mean(edges[:-1], edges[1:]).mean() == pytest.approx(3.0)
    with pytest.raises(CosimError, match="must be longer than 0 s and lie within it"):
        course.mean(0, 8000)


def test_calendar_of_the_clock_chooses_the_records():
    year = synthetic_year("barcelona")
    _, index = run_hours(year, dt.datetime(2024, 2, 28, 23, tzinfo=dt.UTC), 48 * 3600)  # 0 h on the 29th
    assert index[1] == 58 * 24
    assert (index[1:25] == 58 * 24 + np.arange(24)).all()
    assert index[25] == 59 * 24
    _, index = run_hours(year, dt.datetime(2030, 12, 31, 22, tzinfo=dt.UTC), 7200)
    assert index.tolist() == [HOURS - 2, HOURS - 1, 0]
    lead_s, index = run_hours(year, dt.datetime(2030, 6, 1, 10, 20, tzinfo=dt.UTC), 600)
    assert lead_s == 1200
    assert len(index) == 2
    with pytest.raises(CosimError, match="needs a time zone"):
        run_hours(year, dt.datetime(2030, 6, 1), 600)


def test_temperature_at_the_end_of_an_hour_is_its_record():
    year = synthetic_year("bologna")
    start = dt.datetime(2025, 4, 3, 23, tzinfo=dt.UTC)  # 0 h standard time on 4 April
    air = interpolated(year, ["dry_bulb"], start, 86400)
    ends = np.arange(1, 24) * 3600.0
    noon = 93 * 24
    assert air.mean(ends - 1, ends + 1)[:, 0] == pytest.approx(year.dry_bulb[noon : noon + 23], abs=1e-3)


def run(clock, step_s, year, **options):
    weather = Weather(clock, year, **options)
    weather.open()
    rows = []
    for k in range(round(clock.n_steps * clock.step_s / step_s)):
        weather.advance(Step(k * step_s, step_s))
        rows.append(np.concatenate([port.value for port in outputs(weather).values()]))
    weather.close()
    weather.close()
    return np.array(rows)


def test_adapter_has_the_same_mean_at_every_step_length():
    clock = Clock("2025-03-20", hours=48, step_s=60, zone=MADRID)
    year = synthetic_year("barcelona")
    means = [run(clock, step_s, year) for step_s in (60, 900, 3600, 7200)]
    for mine in means[1:]:
        ratio = len(means[0]) // len(mine)
        assert mine == pytest.approx(means[0].reshape(len(mine), ratio, -1).mean(axis=1), abs=1e-6)


def test_open_ended_adapter_equals_one_of_known_length_beyond_its_first_week():
    year = synthetic_year("barcelona")
    long = run(Clock("2025-12-28", hours=24 * 9, step_s=3600, zone=MADRID), 3600, year)
    weather = Weather(Clock("2025-12-28", step_s=3600, zone=MADRID), year)
    weather.open()
    for k in range(9 * 24):
        weather.advance(Step(k * 3600.0, 3600.0))
        assert weather.irradiance.value == pytest.approx(long[k, 1:10], abs=1e-6)
        assert weather.temperature.value[0] == pytest.approx(long[k, 0])


def test_a_run_continues_bit_for_bit_from_a_saved_state_also_if_open_ended(tmp_path):
    year, clock = synthetic_year("barcelona"), Clock("2025-12-28", step_s=3600, zone=MADRID)
    whole, resumed = Weather(clock, year), Weather(clock, year)
    whole.open()
    for k in range(24 * 8):
        whole.advance(Step(3600.0 * k, 3600.0))
    whole.save(tmp_path)
    resumed.open()
    resumed.load(tmp_path)
    for k in range(24 * 8, 24 * 8 + 5):
        for weather in (whole, resumed):
            weather.advance(Step(3600.0 * k, 3600.0))
        for mine, theirs in zip(outputs(whole).values(), outputs(resumed).values(), strict=True):
            assert mine.value.tobytes() == theirs.value.tobytes()
    with pytest.raises(InputFileError, match="cannot read the weather's state"):
        resumed.load(tmp_path / "nowhere")


def test_adapter_stays_picklable_and_opens_nothing_before_open():
    weather = Weather(Clock("2025-01-15", hours=1, zone=MADRID), synthetic_year("bologna"))
    again = pickle.loads(pickle.dumps(weather))
    assert again.irradiance.labels == tuple(SURFACES)
    assert not again.temperature.has_value
    again.open()
    again.advance(Step(0, 60))
    assert all(port.assigned for port in outputs(again).values())
    assert again.placement == "inline"
    assert again.files == []
    assert "pvlib" in again.versions()


def test_adapter_lists_its_file_and_reports_what_was_filled(tmp_path):
    path = epw(tmp_path, edit(100, 21, "999"))
    weather = Weather(Clock("2025-01-15", hours=1), load(path), {"roof": (30, 180)})
    assert weather.files == [path]
    assert weather.irradiance.labels == ("roof",)
    weather.open()
    assert [event.text for event in take_events(weather)] == ["wind_speed: 1 missing hours interpolated"]


def test_ground_wave_follows_kusuda_and_achenbach():
    year = synthetic_year("bologna")
    diffusivity = 6e-7
    damping_depth = np.sqrt(diffusivity * HOURS * 3600 / np.pi)
    mean, surface, phase = ground_wave(year, 0.0, diffusivity)
    deep_mean, deep, deep_phase = ground_wave(year, damping_depth, diffusivity)
    assert mean == deep_mean == pytest.approx(year.dry_bulb.mean())
    assert deep == pytest.approx(surface / np.e)
    assert deep_phase - phase == pytest.approx(1.0)
    months = np.bincount(np.repeat(MONTH, 24), year.dry_bulb) / (np.array(DAYS) * 24)
    assert surface == pytest.approx(np.ptp(months) / 2, rel=0.05)


def test_ground_is_warmest_in_late_summer_and_means_the_air():
    clock = Clock("2025-01-01", end="2026-01-01", step_s=86400)
    ground = run(clock, 86400, synthetic_year("bologna"), ground_depth_m=2.0)[:, -2]
    assert ground.mean() == pytest.approx(13.55, abs=0.05)
    assert 230 < ground.argmax() < 290


def test_impossible_ground_is_refused():
    with pytest.raises(CosimError, match=r"ground at -1 m"):
        Weather(Clock("2025-01-15", hours=1), synthetic_year("bologna"), ground_depth_m=-1)


def july(tmp_path, ground="GROUND TEMPERATURES,0"):
    begin = (31 + 28 + 31 + 30 + 31 + 30) * 24

    def cut(rows):
        rows[:] = rows[begin : begin + 31 * 24]

    path = epw(tmp_path, cut, period="7/ 1,7/31")
    path.write_text(path.read_text().replace("GROUND TEMPERATURES,0", ground))
    return load(path)


MONTHLY = [round(15.0 + 8.0 * np.cos(2 * np.pi * (sum(DAYS[:m]) + DAYS[m] / 2 - 220) / 365), 3) for m in range(12)]
GROUND = f"GROUND TEMPERATURES,1,0.5,,,,{','.join(map(str, MONTHLY))}"


def test_ground_of_a_part_of_a_year_is_that_of_the_file(tmp_path):
    year = july(tmp_path, GROUND)
    mean, amplitude, phase = ground_wave(year, 0.5, 6e-7)
    assert (mean, amplitude, phase) == pytest.approx((15.0, 8.0, 2 * np.pi * 220 / 365 - 2 * np.pi), abs=2e-2)
    damping_depth = np.sqrt(6e-7 * HOURS * 3600 / np.pi)
    assert ground_wave(year, 0.5 + damping_depth, 6e-7)[1] == pytest.approx(8.0 / np.e, rel=1e-3)


def test_part_of_a_year_without_ground_temperatures_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(CosimError, match=r"covers a part of the year and has no GROUND TEMPERATURES: .* add one of"):
        Weather(Clock("2025-07-10", hours=1, zone=MADRID), july(tmp_path))


def test_part_of_a_year_serves_a_run_within_it_and_refuses_another_when_it_is_built(tmp_path):
    year = july(tmp_path, GROUND)
    whole = load(epw(tmp_path))
    clock = Clock("2025-07-10", hours=48, step_s=3600, zone=MADRID)
    mine, theirs = run(clock, 3600, year), run(clock, 3600, whole)
    ground = -1 - len(PV_ROOFS)
    assert np.delete(mine, ground, axis=1) == pytest.approx(np.delete(theirs, ground, axis=1))
    with pytest.raises(CosimError, match="no weather for 1 January, hour 2"):
        Weather(Clock("2025-01-01T01:00", hours=1, zone=MADRID), year)


def test_open_ended_run_goes_to_the_end_of_the_part_that_is_covered(tmp_path):
    weather = Weather(Clock("2025-07-31T00:00", step_s=3600, zone="Etc/GMT-1"), july(tmp_path, GROUND))
    weather.open()
    for k in range(24):
        weather.advance(Step(3600.0 * k, 3600.0))
    with pytest.raises(CosimError, match="no weather for 1 August, hour 1"):
        weather.advance(Step(86400.0, 3600.0))


def test_weather_of_another_zone_and_a_day_by_name_are_reported():
    year = replace(synthetic_year("bologna"), days=("coldest day: 16 January",))
    weather = Weather(Clock("2025-01-16", hours=1, zone="Asia/Tokyo"), year)
    weather.open()
    events = {event.kind: event.text for event in take_events(weather)}
    assert events["weather day"] == "coldest day: 16 January"
    assert "is 8.2 h from the standard time of Asia/Tokyo" in events["weather of another zone"]


def test_weather_ahead_is_the_same_wherever_looking_ahead_began(monkeypatch):
    """Steps of 7.3 s are no sums of whole binary fractions: their ends differ in the last bit from sums of lengths."""
    clock = Clock("2025-01-15", hours=24, step_s=0.1, zone="Europe/Madrid")
    one, other = Weather(clock, load("barcelona")), Weather(clock, load("barcelona"))
    looked = []
    ahead = Weather._look_ahead

    def look_ahead(weather, step):
        looked.append(weather)
        ahead(weather, step)

    monkeypatch.setattr(Weather, "_look_ahead", look_ahead)
    one.open()
    other.open()
    for k in range(2500):
        one.advance(Step(7.3 * k, 7.3))
        if k >= 700:
            other.advance(Step(7.3 * k, 7.3))
            assert one.irradiance.value.tobytes() == other.irradiance.value.tobytes()
            assert one.temperature.value.tobytes() == other.temperature.value.tobytes()
    assert looked.count(one) == 3
