"""EPW files as people have them: other years, parts of a year, several records an hour, gaps, other places."""

import datetime as dt

import numpy as np
import pytest

from cosim.core import CosimError, InputFileError
from cosim.core.weather.epw import read_epw
from cosim.core.weather.solar import surface_irradiance
from cosim.core.weather.year import HOURS, covered_s, filled, interpolated, run_hours, saturation_pressure
from tests.support.epw import edit, write_epw
from tests.support.paths import DATA

CET = dt.timezone(dt.timedelta(hours=1))
DENVER = DATA / "weather" / "725650TYCST.epw"
JULY = (31 + 28 + 31 + 30 + 31 + 30) * 24


def denver(tmp_path, change, name="denver.epw"):
    """Write the real file of Denver with changed records, each a list of fields."""
    if not DENVER.exists():
        pytest.skip("needs the Standard 140 weather file in ../shared/data/weather")
    lines = DENVER.read_text("latin-1").splitlines()
    rows = [line.split(",") for line in lines[8:]]
    change(rows)
    (tmp_path / name).write_text("\n".join([*lines[:8], *(",".join(row) for row in rows)]), "latin-1")
    return tmp_path / name


# Radiation


@pytest.mark.parametrize(("field", "name"), [(13, "ghi"), (15, "dhi"), (14, "dni")])
def test_one_part_of_the_radiation_follows_from_the_two_others(tmp_path, field, name):
    real, derived = (
        read_epw(denver(tmp_path, lambda rows: None)),
        read_epw(denver(tmp_path, edit(0, field, "9999", 8760))),
    )
    found, there = getattr(derived, name), getattr(real, name)
    assert any(note.startswith(f"{name}: 8760 missing hours derived from") for note in derived.notes)
    # The file's own parts add up to its global radiation within rounding and the sun's path within an hour.
    high = real.ghi > 100
    assert np.corrcoef(found[high], there[high])[0, 1] > 0.999
    assert found.sum() == pytest.approx(there.sum(), rel=0.02)  # without the beam below 3.7 degrees


def test_derived_global_radiation_is_what_a_horizontal_surface_receives(tmp_path):
    year = read_epw(denver(tmp_path, edit(0, 13, "9999", 8760)))
    start = dt.datetime(2001, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=-7)))
    sun = surface_irradiance(year, {"roof": (0.0, 0.0)}, start, 3600, HOURS)[:, 0]
    assert np.abs(sun - year.ghi).max() < 15  # the beam is capped at the extraterrestrial
    assert sun.sum() == pytest.approx(year.ghi.sum(), rel=1e-3)


def test_derived_beam_at_the_equator_is_that_of_the_closed_form(tmp_path):
    # 20 March at the equator on the zone's meridian: in hour 13 the hour angle runs from -1.9 to 13.1 degrees.
    def change(rows):
        rows[78 * 24 + 12][13:16] = ["900", "9999", "100"]

    path = write_epw(tmp_path, change, location="LOCATION,Gulf,-,GAB,TEST,0,0.0,15.0,1.0,0.0")
    low, high = np.radians([-1.9, 13.1])
    mean_cosine = (np.sin(high) - np.sin(low)) / (high - low)
    assert read_epw(path).dni[78 * 24 + 12] == pytest.approx(800 / mean_cosine, rel=3e-3)


def test_missing_radiation_at_night_is_none(tmp_path):
    def change(rows):
        for row in rows[:4]:
            row[13:16] = ["9999", "9999", "9999"]

    year = read_epw(write_epw(tmp_path, change))
    assert year.ghi[:4].tolist() == year.dni[:4].tolist() == year.dhi[:4].tolist() == [0.0] * 4


# Pressure, humidity, wind, sky


def test_pressure_that_is_missing_throughout_is_that_of_the_standard_atmosphere(tmp_path):
    location = "LOCATION,High,-,ESP,TEST,0,41.3,2.1,1.0,1000.0"
    year = read_epw(write_epw(tmp_path, edit(0, 9, "999999", HOURS), location=location))
    assert year.pressure == pytest.approx(np.full(HOURS, 89875.0), abs=10.0)  # ISA at 1,000 m: 89,874.6 Pa
    assert year.notes == ("pressure: missing throughout, that of the standard atmosphere at 1000 m",)


def test_empty_field_is_missing(tmp_path):
    year = read_epw(write_epw(tmp_path, edit(100, 21, " ", 2)))
    assert year.notes == ("wind_speed: 2 missing hours interpolated",)


def test_missing_humidity_follows_from_the_dew_point(tmp_path):
    year = read_epw(write_epw(tmp_path, edit(0, 8, "999", HOURS)))
    assert year.relative_humidity[9] == pytest.approx(saturation_pressure(5.0) / saturation_pressure(11.0))
    assert "relative_humidity: 8760 missing hours from the dew point" in year.notes


def test_long_gaps_of_all_fields_are_refused_together_with_their_hours(tmp_path):
    def change(rows):
        edit(100, 6, "99.9", count=7)(rows)
        edit(200, 21, "999", count=8)(rows)

    with pytest.raises(InputFileError) as raised:
        read_epw(write_epw(tmp_path, change))
    assert "row 109, dry_bulb is missing for 7 hours" in str(raised.value)
    assert "(5 January, hour 5 to 5 January, hour 11)" in str(raised.value)
    assert "row 209, wind_speed is missing for 8 hours" in str(raised.value)


def test_sky_without_any_cover_is_reported_as_taken_clear(tmp_path):
    def change(rows):
        for row in rows:
            row[12] = "9999"
            row[22:24] = ["99", "99"]

    clear = read_epw(write_epw(tmp_path, change))
    assert "sky cover: 8760 missing hours taken as clear for the sky's long-wave radiation" in clear.notes

    def total_only(rows):
        change(rows)
        edit(0, 22, "10", HOURS)(rows)

    overcast = read_epw(write_epw(tmp_path, total_only))
    assert not any("clear" in note for note in overcast.notes)
    assert (overcast.horizontal_infrared > clear.horizontal_infrared + 20).all()


# Time stamps


def test_file_that_begins_in_july_is_the_same_year(tmp_path):
    plain = read_epw(
        write_epw(tmp_path, lambda rows: [row.__setitem__(6, str(k % 300 / 10)) for k, row in enumerate(rows)])
    )

    def change(rows):
        for k, row in enumerate(rows):
            row[6] = str(k % 300 / 10)
        rows[:] = rows[JULY:] + rows[:JULY]

    for period in ("7/ 1,6/30", "1/ 1,12/31"):
        july = read_epw(write_epw(tmp_path, change, period=period))
        assert np.array_equal(july.dry_bulb, plain.dry_bulb)
        assert july.notes == ()


def test_leap_year_that_begins_in_july_is_read_by_its_stamps(tmp_path):
    def change(rows):
        for k, row in enumerate(rows):
            row[6] = str(k % 300 / 10)
        rows[:] = rows[JULY + 24 :] + rows[: JULY + 24]

    year = read_epw(write_epw(tmp_path, change, leap=True, period="7/ 1,6/30"))
    assert year.notes == ("29 February left out",)
    assert year.dry_bulb[59 * 24] == pytest.approx((60 * 24) % 300 / 10)  # 1 March is the 61st day of the file's year


def summer(tmp_path, change=None, **options):
    def cut(rows):
        rows[:] = rows[JULY : JULY + 31 * 24]
        if change:
            change(rows)

    return write_epw(tmp_path, cut, period="7/ 1,7/31", **options)


def test_part_of_a_year_serves_a_run_within_it(tmp_path):
    year = read_epw(summer(tmp_path))
    assert year.is_partial
    assert year.covered.sum() == 31 * 24
    assert year.notes == ("744 of 8760 hours of the year are covered",)
    start = dt.datetime(2025, 7, 1, tzinfo=CET)
    means = interpolated(year, ["dry_bulb"], start, 86400.0).mean(np.arange(24) * 3600.0, np.arange(1, 25) * 3600.0)
    assert means[1, 0] == pytest.approx(10.15)  # from 10.1 to 10.2 °C
    assert means[0, 0] == pytest.approx(10.1)  # nothing is known before the first hour: held


def test_run_beyond_the_part_that_a_file_covers_is_refused_with_that_part(tmp_path):
    year = read_epw(summer(tmp_path))
    words = r"no weather for 1 August, hour 1, .* it covers 1 July, hour 1 to 31 July, hour 24; choose a run within"
    with pytest.raises(CosimError, match=words):
        run_hours(year, dt.datetime(2025, 7, 31, tzinfo=CET), 2 * 86400.0)
    assert covered_s(year, dt.datetime(2025, 7, 31, tzinfo=CET), 2 * 86400.0) == 86400.0


def test_part_of_a_year_that_its_header_does_not_announce_is_refused(tmp_path):
    def cut(rows):
        rows[:] = rows[JULY : JULY + 31 * 24]

    with pytest.raises(InputFileError, match=r"744 hourly rows: a year has 8760, .* name the days .* in DATA PERIODS"):
        read_epw(write_epw(tmp_path, cut))
    with pytest.raises(InputFileError, match=r"743 hourly rows: DATA PERIODS announces 744, 7/1 to 7/31"):
        read_epw(summer(tmp_path, lambda rows: rows.pop()))


def test_two_parts_of_a_year_are_kept_apart(tmp_path):
    def cut(rows):
        rows[:] = rows[:48] + rows[JULY : JULY + 48]
        for row in rows[48:]:
            row[6] = "30.0"
        rows[47][6] = "99.9"  # the last hour before July: its neighbour is the hour before, not July

    path = write_epw(tmp_path, cut, period="1/ 1, 1/ 2,Summer,Sunday,7/ 1,7/ 2")
    path.write_text(path.read_text().replace("DATA PERIODS,1,", "DATA PERIODS,2,"))
    year = read_epw(path)
    assert np.flatnonzero(year.covered).tolist() == [*range(48), *range(JULY, JULY + 48)]
    assert year.dry_bulb[47] == pytest.approx(year.dry_bulb[46], abs=0.01)


def quarters(rows):
    """Turn hourly records into four, the radiation of which differs and averages to the hour's."""
    fine = []
    for row in rows:
        for k, weight in enumerate((0.4, 0.8, 1.2, 1.6)):
            part = list(row)
            part[4] = str(15 * (k + 1))
            part[6] = str(float(row[6]) + k)
            part[13:16] = [str(float(x) * weight) for x in row[13:16]]
            fine.append(part)
    rows[:] = fine


def test_several_records_an_hour_keep_the_energy_of_each_hour_and_the_state_at_its_end(tmp_path):
    hourly = read_epw(write_epw(tmp_path))
    fine = read_epw(write_epw(tmp_path, quarters, per_hour="4"))
    assert fine.ghi == pytest.approx(hourly.ghi)
    assert fine.dni == pytest.approx(hourly.dni)
    assert fine.dry_bulb == pytest.approx(hourly.dry_bulb + 3.0)
    assert fine.notes == ("4 records an hour: radiation [W/m²] averaged over the hour, the others read at its end",)


def test_energy_per_interval_instead_of_power_is_refused(tmp_path):
    def change(rows):
        quarters(rows)
        for row in rows:
            row[13:16] = [str(float(x) / 4) for x in row[13:16]]

    with pytest.raises(InputFileError, match=r"ghi is at most 2\d% of that above .* in W/m².* multiply it by 4"):
        read_epw(write_epw(tmp_path, change, per_hour="4", noon=400))


@pytest.mark.parametrize("head", ["0", "7", "many"])
def test_number_of_records_an_hour_must_divide_it(tmp_path, head):
    with pytest.raises(InputFileError, match="records per hour, which divides 60"):
        read_epw(write_epw(tmp_path, per_hour=head))


def test_records_beyond_a_year_are_refused(tmp_path):
    with pytest.raises(InputFileError, match=r"has 8784 hourly rows|twice: give one year at most"):
        read_epw(write_epw(tmp_path, lambda rows: rows.extend(list(row) for row in rows[:24])))


# Place


@pytest.mark.parametrize("location", ["41.3,-102.1,1.0", "41.3,2.1,-7.0", "41.3,177.9,1.0"])
def test_file_whose_radiation_does_not_fit_its_place_is_refused(tmp_path, location):
    with pytest.raises(InputFileError, match=r"radiation is centred at 12:\d\d: correct longitude or time zone"):
        read_epw(write_epw(tmp_path, location=f"LOCATION,x,-,ESP,TEST,0,{location},5.0"))


def test_file_in_universal_time_of_a_far_place_is_read(tmp_path):
    # New Zealand in UTC, as some services write it: its sun is highest near 0 h, by the stamps of the file.
    def change(rows):
        radiation = [row[13:16] for row in rows]
        for k, row in enumerate(rows):
            row[13:16] = radiation[(k + 12) % HOURS]

    year = read_epw(write_epw(tmp_path, change, location="LOCATION,Auckland,-,NZL,TEST,0,-36.9,174.8,0.0,5.0"))
    assert year.ghi[:24].argmax() in (0, 20, 21, 22, 23)


def test_hours_beyond_a_file_repeat_its_first_and_its_last_day(tmp_path):
    year = read_epw(summer(tmp_path))
    before, lacking = filled(year, dt.datetime(2025, 6, 28, tzinfo=CET), 5 * 86_400.0)
    assert lacking == 72
    np.testing.assert_array_equal(before.dry_bulb[JULY - 72 : JULY], np.tile(year.dry_bulb[JULY : JULY + 24], 3))
    after, lacking = filled(year, dt.datetime(2025, 7, 31, tzinfo=CET), 2 * 86_400.0)
    end = JULY + 31 * 24
    assert lacking == 24
    np.testing.assert_array_equal(after.ghi[end : end + 24], year.ghi[end - 24 : end])
    assert filled(after, dt.datetime(2025, 7, 31, tzinfo=CET), 2 * 86_400.0) == (after, 0)


def test_humidity_as_a_fraction_is_refused_and_supersaturation_is_noted(tmp_path):
    with pytest.raises(InputFileError, match=r"relative_humidity is at most 0\.6 %.* multiply fractions by 100"):
        read_epw(write_epw(tmp_path, edit(0, 8, "0.6", 8760)))
    year = read_epw(write_epw(tmp_path, edit(5, 8, "104", 3)))
    assert "relative_humidity: 3 hours above 100 % taken as 100 %" in year.notes


def test_a_sky_that_radiates_nothing_is_missing(tmp_path):
    whole, zero = (read_epw(write_epw(tmp_path, edit(0, 12, text, 8760))) for text in ("9999", "0"))
    np.testing.assert_array_equal(zero.horizontal_infrared, whole.horizontal_infrared)
    assert zero.horizontal_infrared.min() > 100
