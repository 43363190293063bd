"""Reactions beside published ones: closed forms, and the table."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from cosim.core import CosimError
from cosim.scenarios.mobility.choice import CAR, PUBLIC, WALK
from cosim.scenarios.mobility.costs import MONEY_SCALE, TASTES, TravelChanges
from cosim.scenarios.mobility.travellers import Travellers
from cosim.scenarios.validation import response
from cosim.scenarios.validation.commands import app
from cosim.scenarios.validation.document import with_reactions
from cosim.scenarios.validation.response import CAPACITY_H, FREE_S_KM, Reaction, corridor, street_s_per_km, to_centre


def test_a_toll_changes_the_odds_of_the_car_by_its_utility(monkeypatch):
    monkeypatch.setattr(response, "SIGMA", 0.0)
    euro = TASTES.money * MONEY_SCALE * (8.0 / 4.4) ** TASTES.money_distance
    odds = 0.25 / 0.75 * np.exp(2.5 * euro)
    assert to_centre({"car": 0.25, "public": 0.75}, 2.5, 1.0) == pytest.approx(odds / (1 + odds) / 0.25 - 1, rel=1e-9)


def test_firm_trips_react_less():
    shares = {"car": 0.3, "public": 0.7}
    assert to_centre(shares, 2.0, 1.0) > to_centre(shares, 2.0, 0.7)


def test_time_on_a_street_follows_akcelik():
    assert street_s_per_km(np.array([0.0]))[0] == FREE_S_KM
    # at capacity only the root is left
    at_capacity = FREE_S_KM + 900 * np.sqrt(8 * 0.4 / CAPACITY_H)
    assert street_s_per_km(np.array([1.0]))[0] == pytest.approx(at_capacity, rel=1e-12)
    # far above capacity the queue grows by half of the excess in the hour
    assert street_s_per_km(np.array([3.0]))[0] == pytest.approx(FREE_S_KM + 3600, rel=0.001)


def test_a_street_that_loses_nothing_changes_nothing_and_traffic_is_conserved(monkeypatch):
    street, beside, _ = corridor(1e-9)
    assert abs(street) < 1e-5
    assert abs(beside) < 1e-5
    street, beside, gone = corridor(0.15)
    assert street < -10
    assert beside > 0
    assert 0 < gone < 100
    monkeypatch.setattr(response, "SATURATION", 1.1)
    assert corridor(0.15)[2] > 10 * gone / 2.5  # full streets make traffic evaporate


def test_table_names_value_range_verdict_and_source():
    found = [Reaction("a", -0.3, -0.35, -0.25, "elasticity", "S"), Reaction("b", 5.0, 1.0, 2.0, "%", "T", "Why.")]
    page = with_reactions("@RESPONSES_INSIDE@\n@RESPONSE@", found)
    assert "1 of 2" in page
    assert "| a | -0.300 | -0.350 to -0.250 | inside | S. |" in page
    assert "| b | 5.0 % | 1.0 to 2.0 % | **outside** | T. Why. |" in page


def test_fuller_streets_make_more_traffic_evaporate():
    gone = [corridor(saturation=full)[2] for full in (0.95, 1.1, 1.2)]
    assert corridor()[2] == gone[0] < gone[1] < gone[2]


def test_the_fewer_go_by_public_transport_the_more_of_them_are_won():
    tours = pd.DataFrame({"distance_km": [4.0, 8.0], "trips": [2, 2], "pays_parking": False, "purpose": "visit"})
    shares = np.array([[0.4, 0.0, 0.5, 0.0, 0.1], [0.5, 0.0, 0.4, 0.0, 0.1]])
    pool = response._Pool(Travellers(tours, shares, {}, pd.DataFrame()))
    few = pool.with_share(PUBLIC, 0.1)
    assert few.shares[:, PUBLIC].mean() == pytest.approx(0.1)
    assert few.shares.sum(axis=1) == pytest.approx(1)
    # the odds of all other modes to each other stay
    assert few.shares[:, CAR] / few.shares[:, WALK] == pytest.approx(shares[:, CAR] / shares[:, WALK])
    more = TravelChanges(headway=1 / 1.1)
    assert few.ratio(few.after(more), PUBLIC) > pool.ratio(pool.after(more), PUBLIC) > 1
    with pytest.raises(CosimError, match="the share of 'public' is 1"):
        pool.with_share(PUBLIC, 1.0)


@pytest.mark.slow
def test_published_reactions_come_out(tmp_path):
    file = tmp_path / "reactions.json"
    done = CliRunner().invoke(app, ["response", "--json", str(file)])
    assert done.exit_code == 0, done.output
    assert "reactions inside the published range" in done.output
    rows = {row["reaction"]: row for row in json.loads(file.read_text())["reactions"]}
    missed = {
        "time by car, car trips",
        "frequency +10 %, trips by public transport",
        "London 2003, 5 GBP a day, cars that enter",
        "green axes, of the lost traffic that is nowhere",
    }
    assert {name for name, row in rows.items() if not row["inside"]} == missed
    assert all(row["inside"] or row["remark"] for row in rows.values())
