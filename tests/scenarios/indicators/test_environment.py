"""Exposure of residents at façades, with levels that a toy publishes."""

import math
from dataclasses import replace

import numpy as np
import pytest

from cosim import Adapter, Clock, CosimError, Output, Scenario
from cosim.core.environment.exposure import HEALTH_FUNCTIONS, highly_annoyed, highly_sleep_disturbed
from cosim.scenarios.indicators.air import exceedances
from cosim.scenarios.indicators.environment import Health, environment_indicators
from cosim.scenarios.indicators.exposure import (
    exposure_by_cell,
    exposure_of_residents,
    facade_of,
    residents,
)
from cosim.scenarios.policies import HealthEffects
from tests.support.policy_runs import district


class Environment(Adapter):
    """Publishes levels: by night 10 dB less; the first street is loud and dirty, the others not."""

    replays = True

    def __init__(self, facades, loud):
        self.noise = Output("dB", facades, kind="mean")
        self.no2 = Output("µg/m^3", facades, kind="mean")
        self.pm25 = Output("µg/m^3", facades, kind="mean")
        self.is_loud = np.array([facade in loud for facade in facades])

    def advance(self, step):
        hour = int(step.start_s // 3600)
        night = hour >= 23 or hour < 7
        self.noise.value = np.where(self.is_loud, 70.0, 50.0) - 10.0 * night
        self.no2.value = np.where(self.is_loud, 30.0, 15.0) + 10.0 * night
        self.pm25.value = np.where(self.is_loud, 12.0, 8.0)


@pytest.fixture(scope="module")
def city():
    """A city whose buildings have no outlines, so that each has the façade in front of it alone."""
    drawn = district()
    return replace(drawn, sites=drawn.sites.drop(columns="footprint"))


@pytest.fixture(scope="module")
def facades(city):
    network = city.network
    taken, found = set(), []
    for edge, start, end in zip(network.labels, network.from_node, network.to_node):
        if frozenset((start, end)) not in taken:
            taken.add(frozenset((start, end)))
            found += [f"{edge}|left", f"{edge}|right"]
    return found


@pytest.fixture(scope="module")
def loud(city, facades):
    return set(facade_of(city, facades).iloc[:4])


def run(city, facades, loud, folder, hours):
    scenario = Scenario(
        Clock("2025-06-15", hours=hours, step_s=3600, zone=city.zone), environment=Environment(facades, loud)
    )
    return scenario.run(folder)


@pytest.fixture(scope="module")
def day(city, facades, loud, tmp_path_factory):
    return run(city, facades, loud, tmp_path_factory.mktemp("environment") / "day", 24)


def test_buildings_face_the_side_of_the_street_on_which_they_stand(city, facades):
    found = facade_of(city, facades)
    assert len(found) == len(city.sites)
    network = city.network
    shapes = dict(zip(network.labels, network.shapes))
    for site, facade in found.items():
        edge, _, side = facade.rpartition("|")
        start, end = shapes[edge][0], shapes[edge][-1]
        x, y = city.sites.loc[site, ["x", "y"]]
        cross = (end[0] - start[0]) * (y - start[1]) - (end[1] - start[1]) * (x - start[0])
        assert (cross > 0) == (side == "left")


def test_indicators_count_residents_above_limits(city, facades, loud, day):
    found = environment_indicators(day, city)
    people = residents(city)
    exposed = people[facade_of(city, facades).isin(loud).reindex(people.index)].sum()
    share = 100 * exposed / people.sum()
    assert 0 < share < 100
    assert found["residents above 55 dB Lden"].value == pytest.approx(share)
    assert found["residents above 65 dB Lden"].value == pytest.approx(share)
    assert found["residents above 55 dB Lnight"].value == pytest.approx(share)
    assert found["residents above 20 µg NO2"].value == pytest.approx(share)  # 33.3 and 18.3 over the day
    assert found["residents above 40 µg NO2"].value == 0
    assert found["residents above 10 µg PM2.5"].value == pytest.approx(share)
    assert found["residents above 25 µg PM2.5"].value == 0
    assert "annex I" in found["residents above 20 µg NO2"].about
    lden = exposure_of_residents(day, city)["Lden"]
    # 16 h at 70 dB, of them 4 h with 5 dB, and 8 h at 60 dB with 10 dB
    assert lden.max() == pytest.approx(70 + 10 * math.log10((12 + 4 * 10**0.5 + 8) / 24), abs=1e-4)
    annoyed = exposed * highly_annoyed(lden.max()) + (people.sum() - exposed) * highly_annoyed(lden.min())
    assert found["highly annoyed by noise"].value == pytest.approx(annoyed)
    disturbed = exposed * highly_sleep_disturbed(60.0) + (people.sum() - exposed) * highly_sleep_disturbed(40.0)
    assert found["sleep highly disturbed by noise"].value == pytest.approx(disturbed)


def test_cells_sum_to_the_city(city, day):
    cells = exposure_by_cell(day, city, side_m=100.0)
    whole = environment_indicators(day, city)
    assert len(cells) > 1
    assert cells["residents"].sum() == pytest.approx(residents(city).sum())
    for name in ("highly annoyed by noise", "sleep highly disturbed by noise"):
        assert cells[name].sum() == pytest.approx(whole[name].value)
    share = 100 * cells["residents above 55 dB Lden"].sum() / cells["residents"].sum()
    assert share == pytest.approx(whole["residents above 55 dB Lden"].value)
    with pytest.raises(CosimError, match="the side of a cell is 0 m"):
        exposure_by_cell(day, city, side_m=0)


def test_noise_of_a_run_that_lacks_hours_is_missing_and_says_so(city, facades, loud, tmp_path):
    found = environment_indicators(run(city, facades, loud, tmp_path / "short", 3), city)
    assert math.isnan(found["residents above 55 dB Lden"].value)
    assert "the run lacks hours of the day" in found["residents above 55 dB Lden"].about
    assert found["residents above 20 µg NO2"].value == 100
    assert "highly annoyed by noise" not in found


def test_buildings_on_streets_without_facades_are_left_out_and_named(city, facades, loud, tmp_path):
    some = facades[:20]
    result = run(city, some, loud & set(some), tmp_path / "some", 24)
    table = exposure_of_residents(result, city)
    missing = int(table["Lden"].isna().sum())
    assert 0 < missing < len(table)
    assert f"without {missing} buildings" in environment_indicators(result, city)["residents above 55 dB Lden"].about


def test_health_functions_are_applied_only_when_asked_for(city, day):
    assert not [name for name in environment_indicators(day, city) if "deaths" in name]
    health = {"deaths by PM2.5": Health(HEALTH_FUNCTIONS["PM2.5, WHO 2021"], 0.012)}
    found = environment_indicators(day, city, health)["deaths by PM2.5"]
    assert found.value > 0
    assert "95 % interval" in found.about
    own = {"x": Health(replace(HEALTH_FUNCTIONS["PM2.5, WHO 2021"], quantity="PM10"), 0.012)}
    with pytest.raises(CosimError, match="x needs PM10"):
        environment_indicators(day, city, own)


def test_health_functions_of_the_city_apply_to_the_people_that_they_cover(city, day, facades, loud, tmp_path):
    chosen = HealthEffects(deaths_per_1000=12.0, heart_disease_per_1000=4.0, adults=0.5).change_city(city)
    found = environment_indicators(day, chosen)
    whole = {"all": Health(HEALTH_FUNCTIONS["PM2.5, WHO 2021"], 0.012)}
    assert found["deaths by PM2.5"].value == pytest.approx(environment_indicators(day, city, whole)["all"].value / 2)
    assert found["heart disease by noise"].value > 0
    assert found["deaths by NO2"].value > 0
    short = environment_indicators(run(city, facades, loud, tmp_path / "short", 2), chosen)
    assert math.isnan(short["heart disease by noise"].value)
    with pytest.raises(CosimError, match="applies no function: give deaths_per_1000 or heart_disease_per_1000"):
        HealthEffects().change_city(city)


def test_runs_without_an_environment_have_no_exposure(city, tmp_path):
    class Quiet(Adapter):
        replays = True

        def __init__(self):
            self.value = Output("W", ["a"], kind="mean")

        def advance(self, step):
            self.value.value = 1.0

    result = Scenario(Clock("2025-06-15", hours=1, zone=city.zone), quiet=Quiet()).run(tmp_path / "quiet")
    assert environment_indicators(result, city) == {}
    assert exposure_by_cell(result, city).empty


def test_facades_of_unknown_streets_are_refused(city):
    with pytest.raises(CosimError, match=r"façade of street 'nowhere': the network has no such edge"):
        facade_of(city, ["nowhere|left"])


def test_residents_live_at_the_louder_half_of_the_receiver_points(city, day, loud):
    drawn = district()
    rows = exposure_of_residents(day, drawn)
    people = residents(drawn)
    for column in ("persons", "one_sided"):
        np.testing.assert_allclose(rows.groupby(level=0)[column].sum().reindex(people.index), people)
    middle = rows.loc["b0.0.1"]  # between two neighbours: a street and a courtyard
    assert middle["persons"].tolist() == pytest.approx([people["b0.0.1"], 0.0])
    assert middle["one_sided"].tolist() == pytest.approx([people["b0.0.1"] / 2] * 2)
    assert middle["Lden"].iloc[0] - middle["Lden"].iloc[1] == pytest.approx(20.0)
    corner = rows.loc["b0.0.0"]  # two streets of nine points, of which the louder four count
    assert (corner["persons"] > 0).sum() <= 2
    assert corner["one_sided"].min() > 0
    found = environment_indicators(day, drawn)
    one_sided = found["– above 65 dB Lden if dwellings have one side"].value
    assert 0 < one_sided < found["residents above 65 dB Lden"].value
    assert 0 < one_sided < 100
    # air is that of the street in front, whatever the noise
    assert found["residents above 20 µg NO2"].value == pytest.approx(
        environment_indicators(day, city)["residents above 20 µg NO2"].value
    )


def test_bars_hold_every_resident_once(city, day):
    found = environment_indicators(day, city)
    for quantity in ("NO2", "PM2.5", "Lden", "Lnight"):
        bars = {name: one for name, one in found.items() if name.startswith(f"residents by {quantity}: ")}
        assert all(one.role == "bar" for one in bars.values())
        assert sum(one.value for one in bars.values()) == pytest.approx(residents(city).sum())
    assert found["residents by NO2: 30 to 40 µg/m³"].value > 0  # the loud street's 33.3


def test_hours_and_days_above_short_limits_are_counted_at_the_worst_facade(tmp_path):
    class Dirty(Environment):
        def advance(self, step):
            super().advance(step)
            hour = step.start_s // 3600
            self.no2.value = np.where(self.is_loud, 250.0 if hour % 24 in (8, 9) else 45.0, 10.0)

    facades = ["a|left", "a|right"]
    clock = Clock("2025-06-15T12:00", hours=60, step_s=1800, zone="Europe/Madrid")
    scenario = Scenario(clock, environment=Dirty(facades, {"a|left"}))
    found = exceedances(scenario.run(tmp_path / "days"))
    assert found["hours above 200 µg NO2"].value == 6  # of 60 hours from noon on
    assert found["hours above 200 µg NO2"].unit == "h"
    assert "1 of 2 façades have one; a year may have 3" in found["hours above 200 µg NO2"].about
    assert found["days above 50 µg NO2"].value == 2  # two whole days with means of 62 µg/m³, half a day with none
    assert "of 2 days" in found["days above 50 µg NO2"].about
    assert found["days above 25 µg PM2.5"].value == 0
    short = Scenario(Clock("2025-06-15", hours=3, step_s=3600), environment=Dirty(facades, {"a|left"}))
    assert "days above 50 µg NO2" not in exceedances(short.run(tmp_path / "short"))
