"""The sector of travel: what a run tells about travellers of all modes."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from cosim.scenarios import eixample
from cosim.scenarios.coupling import couple
from cosim.scenarios.indicators.travel import FULL, travel_indicators
from cosim.scenarios.mobility.choice import CAR, PUBLIC, STAYS, Answer
from cosim.scenarios.policies import DistancePrice, FuelPrice
from cosim.scenarios.sectors.travel import facts


def answer(modes, before, **more):
    n = len(modes)
    tours = pd.DataFrame(
        {
            "mode": modes,
            "before": before,
            "trips": 2,
            "distance_km": 10.0,
            "depart_s": 8 * 3600.0,
            "car_min": np.full(n, 3.0),
        }
    )
    return Answer(tours, (0.1, 0.001), **more)


def test_indicators_count_trips_kilometres_and_times_by_mode():
    found = travel_indicators(answer([CAR, PUBLIC, PUBLIC, STAYS], [CAR, CAR, PUBLIC, CAR]))
    value = {name: indicator.value for name, indicator in found.items()}
    assert value["trips, car"] == 2
    assert value["trips, public"] == 4
    assert value["trips not made"] == 2
    assert value["passenger-kilometres, public"] == 40
    assert value["travel time, car"] == pytest.approx(15 + 3)
    assert np.isnan(value["travel time, walk"])
    assert value["crowding"] == pytest.approx(2 * FULL)
    assert value["convergence gap"] == 0.001
    assert "+2 against the base case" in found["trips, public"].about


def test_more_frequent_service_has_more_places():
    crowded = travel_indicators(answer([PUBLIC], [PUBLIC], headway=0.5))["crowding"].value
    assert crowded == pytest.approx(FULL / 2)


def test_without_answers_there_is_nothing_to_tell():
    assert travel_indicators(None) == {}


def test_city_tells_its_answer_and_nothing_means_that_tolls_are_ignored(tmp_path):
    answered = eixample.build(blocks=(2, 2), hours=0.1, through_traffic=0.1, answers="modes", policies=[FuelPrice(1.0)])
    text = facts(answered.model)["Travel"]
    assert "car -" in text
    assert "relative gap" in text
    assert answered.parameters["answers"] == "modes"
    for answers, tolled in (("nothing", False), ("routes", True)):
        city = dataclasses.replace(answered.model, answers=answers, sectors={})
        fixed = couple(city, answered.clock, policies=[DistancePrice(1.0)]).model
        assert ("traffic.toll" in fixed.measures.inputs) is tolled
        assert facts(fixed) == {}
