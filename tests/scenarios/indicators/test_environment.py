"""Exposure of residents at façades, with levels that a toy publishes."""

import math
from dataclasses import replace

import numpy as np
import pytest

from cosim import Adapter, Clock, CosimError, Output, Scenario
from cosim.core.environment.exposure import HEALTH_FUNCTIONS, highly_annoyed, highly_sleep_disturbed
from cosim.scenarios.indicators.environment import (
    Health,
    environment_indicators,
    exposure_by_building,
    exposure_by_cell,
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
    return district()


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
    lden = exposure_by_building(day, city)["Lden"]
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
    table = exposure_by_building(result, city)
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
