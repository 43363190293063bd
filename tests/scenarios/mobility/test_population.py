"""Tests of the residents' days: consistency, and agreement with the published rates."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from cosim import CosimError
from cosim.scenarios.mobility.population import CARS_PER_PERSON, OTHER_BY_HOUR, Habits, activity_chains, persons

SITES = pd.DataFrame(
    {"persons": 40.0, "area_m2": np.repeat([100.0, 300.0], 50)}, index=pd.Index([f"house {i}" for i in range(100)])
)


@pytest.fixture(scope="module")
def day():
    return activity_chains(SITES, seed=3)


def test_every_resident_has_a_home():
    people = persons(SITES.assign(persons=[2.6] + [0.0] * 99))
    assert people["site"].tolist() == ["house 0"] * 3


def test_number_of_trips_equals_the_published_one(day):
    # Less than 1 % is lost with tours that find no time at all; twice the standard error of 4,000 persons is 2 %.
    assert len(day) / 4000 == pytest.approx(4.11, rel=0.025)
    rates = [len(activity_chains(SITES, seed)) / 4000 for seed in range(4)]
    assert np.mean(rates) == pytest.approx(4.11, rel=0.015)
    few = activity_chains(SITES, 3, Habits(trips_per_person=3.1))
    assert len(few) / 4000 == pytest.approx(3.1, rel=0.03)


def test_mobile_share_is_the_given_one(day):
    assert day["person"].nunique() / 4000 == pytest.approx(0.85, abs=0.02)


def test_departures_follow_the_published_daily_profile(day):
    share = np.histogram(day["depart_s"], np.arange(25) * 3600)[0] / len(day)
    published = np.array(OTHER_BY_HOUR) / sum(OTHER_BY_HOUR)
    # The profile is met hour by hour within 2.5 percentage points, and its peaks within half an hour.
    assert np.abs(share - published).max() < 0.025
    assert share[:12].argmax() == published[:12].argmax()
    assert share[12:].argmax() == published[12:].argmax()


def test_workers_leave_home_at_the_hours_of_the_census(day):
    out = day[day["purpose"] == "work"]["depart_s"] / 3600
    assert (out < 6.5).mean() == pytest.approx(0.20, abs=0.03)
    assert ((out >= 6.5) & (out < 8.5)).mean() == pytest.approx(0.53, abs=0.03)


def test_modes_have_their_shares_and_only_car_owners_drive(day):
    share = day.drop_duplicates("tour")["mode"].value_counts(normalize=True)
    assert share["car"] == pytest.approx(0.225, abs=0.02)
    assert share["active"] / share["public"] == pytest.approx(0.51 / 0.165, rel=0.1)
    week = pd.concat([activity_chains(SITES, 3, day=d) for d in range(5)])
    drivers = week.loc[week["mode"] == "car", "person"].nunique() / 4000
    assert 0.8 * CARS_PER_PERSON < drivers < 1.05 * CARS_PER_PERSON


def test_every_chain_is_continuous_and_begins_and_ends_at_home(day):
    home = {person: person.rsplit(".p", 1)[0] for person in day["person"]}
    for person, trips in day.groupby("person"):
        assert trips["origin"].iloc[0] == trips["destination"].iloc[-1] == home[person]
        assert (trips["origin"].iloc[1:].to_numpy() == trips["destination"].iloc[:-1].to_numpy()).all()
        assert (np.diff(trips["depart_s"]) > 0).all()
        assert trips["depart_s"].between(0, 86_400).all()
    assert (day.groupby("tour")["mode"].nunique() == 1).all()


def test_larger_buildings_attract_more_trips(day):
    inside = day[(day["purpose"] != "home") & (day["destination"] != "")]["destination"].str.split().str[1].astype(int)
    assert (inside >= 50).mean() == pytest.approx(0.75, abs=0.03)


def test_workplaces_stay_the_same_and_other_places_change_from_day_to_day(day):
    next_day = activity_chains(SITES, 3, day=1)
    today, tomorrow = (d[d["purpose"] == "work"].set_index("person") for d in (day, next_day))
    both = today.index.intersection(tomorrow.index)
    assert len(both) > 1000
    assert (today.loc[both, "destination"] == tomorrow.loc[both, "destination"]).all()
    assert (today.loc[both, "depart_s"] != tomorrow.loc[both, "depart_s"]).mean() > 0.9


def test_another_share_of_cars_leaves_times_and_places_unchanged(day):
    more = activity_chains(SITES, 3, Habits(modes={"car": 0.3, "public": 0.165, "active": 0.535}))
    columns = ["person", "depart_s", "origin", "destination"]
    pd.testing.assert_frame_equal(day[columns], more[columns])
    drives = day["mode"] == "car"
    assert (more.loc[drives, "mode"] == "car").all()


def test_additional_building_leaves_all_other_residents_unchanged():
    one = activity_chains(SITES.assign(persons=np.where(SITES.index == "house 99", 0.0, 5.0)), 3)
    all_ = activity_chains(SITES.assign(persons=5.0), 3)
    pd.testing.assert_frame_equal(one, all_.loc[one.index])


def test_city_without_residents_has_no_trips():
    empty = activity_chains(SITES.assign(persons=0.0))
    assert len(empty) == 0
    assert "depart_s" in empty


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mobile_share": 1.5}, "mobile_share is 1.5"),
        ({"modes": {"car": 0.5, "bus": 0.4}}, "must sum to 1"),
        ({"modes": {"car": 0.5, "bus": 0.5}}, "only 36% of the persons"),
        ({"modes": {"bus": 1.0}}, "give another one"),
        ({"trips_per_person": 1.0}, "change one"),
        ({"mobile_share": 0.0}, "change one"),
        ({"outside_km": (-1.0, 0.5)}, "must not be negative"),
    ],
)
def test_impossible_habits_are_refused(settings, words):
    with pytest.raises(CosimError, match=words):
        Habits(**settings)


def test_sites_with_missing_or_invalid_residents_are_refused():
    with pytest.raises(CosimError, match="no column 'persons'"):
        persons(SITES.drop(columns="persons"))
    with pytest.raises(CosimError, match="negative or not finite"):
        persons(SITES.assign(persons=np.nan))


def test_each_date_has_its_own_trips_and_weekends_have_fewer_and_later_ones_with_little_work():
    friday, saturday, sunday = (activity_chains(SITES, 3, day=dt.date(2025, 1, k)) for k in (17, 18, 19))
    numbers = np.array([len(friday), len(saturday), len(sunday)]) / len(friday)
    assert numbers == pytest.approx([1, 0.80, 0.68], abs=0.03)
    works = np.array([(trips["purpose"] == "work").sum() for trips in (friday, saturday, sunday)])
    assert works / works[0] == pytest.approx([1, 0.31, 0.22], abs=0.04)
    morning = [trips["depart_s"].between(6 * 3600, 9 * 3600).mean() for trips in (friday, saturday, sunday)]
    assert morning[0] > 2 * max(morning[1:])
    assert not set(friday.index) & set(saturday.index)
    assert friday.index[0].endswith(".2025-01-17")


def test_trips_of_some_persons_are_those_that_they_make_among_all():
    everybody = activity_chains(SITES, 3, day=dt.date(2025, 1, 18))
    some = set(everybody["person"].unique()[::7])
    alone = activity_chains(SITES, 3, day=dt.date(2025, 1, 18), among=some)
    pd.testing.assert_frame_equal(alone, everybody[everybody["person"].isin(some)])


@pytest.mark.parametrize("modes", [("car",), ("car", "public"), ("active",)])
def test_trips_by_some_modes_are_those_among_all(modes):
    everything = activity_chains(SITES, 3, day=1)
    alone = activity_chains(SITES, 3, day=1, modes=modes)
    pd.testing.assert_frame_equal(alone, everything[everything["mode"].isin(modes)])
    assert len(alone) > 100
