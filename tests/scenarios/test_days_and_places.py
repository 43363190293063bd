"""Twins on a day by name, and in the zone of their weather."""

import dataclasses
import datetime as dt
import re

import numpy as np
import pytest

from cosim import Clock, CosimError
from cosim.core.weather.days import named_day
from cosim.core.weather.epw import read_epw
from cosim.scenarios import bologna, eixample
from cosim.scenarios.mobility.drives import drives_table
from cosim.scenarios.mobility.resident_cars import _counted_from
from cosim.scenarios.parts import check_place, days_of, weather_and_day
from tests.support.epw import write_epw
from tests.support.paths import DATA

BOLOGNA = DATA / "weather" / "ITA_ER_Bologna-Marconi.AP.161400_TMYx.2004-2018.epw"
DENVER = DATA / "weather" / "725650TYCST.epw"


def needed(path):
    if not path.exists():
        pytest.skip(f"needs the real weather file {path.name} in ../shared/data/weather")
    return path


def spell(tmp_path):
    """Write a year with its coldest day on 3 February and its hottest on 5 August."""

    def change(rows):
        for k, row in enumerate(rows):
            day = k // 24
            row[6] = str({31 + 2: -9.5, 212 + 4: 39.0}.get(day, 15.0 + k % 24 / 10))

    return write_epw(tmp_path, change)


def test_coldest_and_hottest_days_are_those_of_the_lowest_and_highest_daily_mean(tmp_path):
    year = read_epw(spell(tmp_path))
    coldest, hottest = named_day(year, "coldest"), named_day(year, "hottest")
    assert (coldest.month, coldest.day, coldest.mean) == (2, 3, -9.5)
    assert (hottest.month, hottest.day, hottest.high) == (8, 5, 39.0)
    assert str(coldest) == "coldest day: 3 February, mean -9.5 °C, -9.5 to -9.5 °C, 4.0 kWh/m² of sun"


def test_days_of_a_real_file_are_those_that_its_records_give():
    path = needed(BOLOGNA)
    text = [line.split(",") for line in path.read_text("latin-1").splitlines()[8:]]
    means = {}
    for row in text:
        means.setdefault((int(row[1]), int(row[2])), []).append(float(row[6]))
    daily = {date: np.mean(values) for date, values in means.items()}
    year = read_epw(path)
    for name, choose in (("coldest", min), ("hottest", max)):
        day = named_day(year, name)
        assert (day.month, day.day) == choose(daily, key=daily.get)
    typical = named_day(year, "typical")
    assert typical.mean == pytest.approx(np.mean(list(daily.values())), abs=2.0)


def test_part_of_a_year_has_its_own_coldest_day(tmp_path):
    def change(rows):
        rows[:] = rows[:240]
        for row in rows[48:72]:
            row[6] = "-4.0"

    year = read_epw(write_epw(tmp_path, change, period="1/ 1,1/10"))
    assert (named_day(year, "coldest").month, named_day(year, "coldest").day) == (1, 3)


def test_day_by_name_becomes_a_date_and_its_figures_go_with_the_weather(tmp_path):
    year, day = weather_and_day(str(spell(tmp_path)), "coldest")
    assert day == dt.date(2025, 2, 3)
    assert year.days == ("coldest day: 3 February, mean -9.5 °C, -9.5 to -9.5 °C, 4.0 kWh/m² of sun",)
    assert weather_and_day("bologna", "2025-03-01")[1] == weather_and_day("bologna", dt.date(2025, 3, 1))[1]


@pytest.mark.parametrize("day", ["mildest", "2025-13-01"])
def test_day_that_is_neither_a_date_nor_a_name_is_refused(day):
    words = re.escape(f"day is {day!r}: write it as '2025-01-15', or coldest, hottest, typical")
    with pytest.raises(CosimError, match=words):
        eixample.build(day=day)


def test_weather_of_another_zone_is_refused_before_anything_is_built(tmp_path):
    path = str(needed(DENVER))
    words = r"725650TYCST\.epw: DENVER INTL AP at longitude -104\.7 is 8\.0 h from the standard time of Europe/Madrid"
    with pytest.raises(CosimError, match=rf"{words}: pass the zone of that place"):
        eixample.build(weather=path)
    check_place(read_epw(path), Clock("2025-01-15", hours=1, zone="America/Denver"))


def test_bologna_starts_on_the_coldest_day_at_the_time_that_is_asked(tmp_path):
    path = str(spell(tmp_path))
    assert bologna._weather_and_start(path, "coldest")[1] == "2025-02-03T08:00"
    assert bologna._weather_and_start(path, "hottestT18:00")[1] == "2025-08-05T18:00"
    assert bologna._weather_and_start(path, "2025-01-15T07:00")[1] == "2025-01-15T07:00"


@pytest.mark.parametrize("place", ["barcelona", "seeded", "file"])
def test_weather_opened_again_is_that_which_was_built(place, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    given = (str(spell(tmp_path)), "coldest") if place == "file" else ("barcelona", "2025-01-15")
    seed = 3 if place == "seeded" else None
    built = weather_and_day(*given, seed)[0]
    monkeypatch.setattr("cosim.scenarios.parts.load", None)
    opened = weather_and_day(*given, seed)[0]
    for field in dataclasses.fields(built):
        np.testing.assert_array_equal(getattr(built, field.name), getattr(opened, field.name))


def test_run_of_several_days_knows_its_dates_and_the_time_since_its_first_midnight():
    def clock(start, hours):
        return Clock(start, hours=hours, zone="Europe/Madrid")

    assert days_of(clock("2025-01-15T20:00", 4)) == ([dt.date(2025, 1, 15)], 72_000.0)
    assert days_of(clock("2025-01-15T20:00", 4.1))[0] == [dt.date(2025, 1, 15), dt.date(2025, 1, 16)]
    # 29 March to 1 April are 95 hours: summer time begins on the 30th.
    assert days_of(clock("2025-03-29", 95))[0][-1] == dt.date(2025, 4, 1)
    assert days_of(clock("2025-03-29", 71))[0][-1] == dt.date(2025, 3, 31)


@pytest.mark.parametrize(("day", "hours"), [((3, 30), 24 + 7), ((10, 26), 24 + 9), ((10, 27), 24 + 25 + 8)])
def test_trip_at_eight_leaves_at_eight_by_the_citys_clock_also_after_the_change_of_time(day, hours):
    drives = drives_table(["trip"], ["car"], "home", [8 * 3600.0], (["a"], 0.0), (["b"], 0.0))
    first = dt.date(2025, day[0], {3: 29, 10: 25}[day[0]])
    counted = _counted_from(first, dt.date(2025, *day), drives, "Europe/Madrid")
    assert counted["depart_s"].tolist() == [hours * 3600]


@pytest.mark.slow
def test_twin_in_another_zone_and_country_has_the_sun_of_the_place_at_its_noon(tmp_path):
    path = str(needed(DENVER))
    scenario = eixample.build(
        blocks=(2, 2), weather=path, zone="America/Denver", country="IT", day="coldest", begin_hour=9.0, hours=6.0
    )
    assert (scenario.model.zone, scenario.model.country) == ("America/Denver", "IT")
    assert scenario.clock.civil(0).isoformat() == "2025-12-31T09:00:00-07:00"
    weather = scenario.adapters["weather"]
    weather.open()
    sun = [weather._sun.mean(3600.0 * k, 3600.0 * (k + 1))[0, 0] for k in range(6)]
    assert np.argmax(sun) in (2, 3)


def test_seeds_vary_the_weather_and_its_coldest_day_only_when_asked():
    given = [weather_and_day("barcelona", "coldest") for _ in range(2)]
    assert (given[0][0].dry_bulb == given[1][0].dry_bulb).all()
    seeded = [weather_and_day("barcelona", "coldest", seed)[0] for seed in range(4)]
    lowest = [year.dry_bulb.reshape(365, 24).mean(axis=1).min() for year in seeded]
    assert len(set(lowest)) == 4
    assert max(lowest) < given[0][0].dry_bulb.reshape(365, 24).mean(axis=1).min()
    assert all("coldest day" in year.days[0] for year in seeded)
