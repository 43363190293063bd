"""Tests of the base state beside published figures."""

import json
import math
import types

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from cosim import CosimError
from cosim.core import InputFileError
from cosim.core.quantities import J_PER_KWH
from cosim.core.weather.normals import synthetic_year
from cosim.scenarios import eixample
from cosim.scenarios.mobility.counts.loops import Counts
from cosim.scenarios.sectors.premises import NAME
from cosim.scenarios.sectors.traffic import COUNTS
from cosim.scenarios.validation import app, base, base_measures, base_run
from cosim.scenarios.validation.base import Quantity, beside, count, published, table
from cosim.scenarios.validation.base_measures import (
    charging_figures,
    count_figures,
    grid_figures,
    mobility_figures,
    traffic_figures,
)
from cosim.scenarios.validation.base_year import building_year
from cosim.scenarios.validation.document import with_base
from cosim.scenarios.validation.grid_distributions import beside_real, distributions
from cosim.scenarios.validation.grid_distributions import table as grid_table
from tests.support.policy_runs import run_buildings

PLACES = ("eixample", "bologna")
HOURS = {"blocks": (2, 2), "hours": 2, "begin_hour": 4, "step_s": 300, "grid_step_s": 300, "through_traffic": 0.2}


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    scenario = eixample.build(**HOURS)
    return scenario.model, scenario.run(tmp_path_factory.mktemp("base") / "run")


@pytest.mark.parametrize("place", PLACES)
def test_published_figures_have_a_range_and_a_source(place):
    figures = published(place)
    assert len({figure.key for figure in figures}) == len({figure.name for figure in figures}) == len(figures)
    for figure in figures:
        assert 0 <= figure.low < figure.high, figure.name
        assert len(figure.source) > 5, figure.name
    assert len(figures) >= 30


def test_verdicts_tell_inside_outside_and_not_measured():
    [figure, *_] = published("eixample")
    inside, outside, missing = (Quantity(figure, x) for x in (figure.low, figure.high + 1, math.nan))
    assert (inside.verdict, outside.verdict, missing.verdict) == ("inside", "outside", "not measured")
    assert count([inside, outside, missing]) == "1 of 3"
    assert missing.row()["value"] is None
    lines = table([inside, outside, missing]).splitlines()
    assert len(lines) == 5
    assert "**outside**" in lines[3]
    assert "**not measured**" in lines[4]


def test_place_without_published_figures_is_refused():
    with pytest.raises(CosimError, match="no published figures of 'atlantis': there are those of eixample, bologna"):
        beside("atlantis", {})


def test_volumes_are_those_of_the_ports_by_street(twin):
    city, result = twin
    found = traffic_figures(city, result)
    passed = result.integral("traffic.flow")
    # x0 has two sections of both directions
    both = [passed[["x0y0-x0y1", "x0y1-x0y0"]].sum(), passed[["x0y1-x0y2", "x0y2-x0y1"]].sum()]
    other = [passed[["x0y0-x1y0", "x1y0-x0y0"]].sum(), passed[["x1y0-x2y0", "x2y0-x1y0"]].sum()]
    assert found["volume main"] == pytest.approx(12 * np.mean([*both, *other]), rel=1e-6)
    assert found["volume busiest"] == pytest.approx(12 * max(np.mean(both), np.mean(other)), rel=1e-6)
    assert not any(key.startswith(("volume hour", "volume day", "share morning")) for key in found)  # 4 to 6 h
    assert found["share car"] + found["share goods"] + found["share motorcycle"] + found["share taxi"] + found[
        "share bus"
    ] == pytest.approx(100)
    assert {"congestion", "speed sea", "speed mountain", "CO2e traffic"} <= found.keys()


class Day:
    """A result of one day on two edges, in steps of half an hour from midnight in Rome."""

    ports = ("traffic.flow", "traffic.travel", "traffic.vehicles")

    def __init__(self, flow, kmh):
        begin = pd.Timestamp("2025-01-15", tz="Europe/Rome").tz_convert("UTC")
        index = begin + pd.to_timedelta(np.arange(1, 49) * 30, "min")
        hourly = np.repeat(np.asarray(flow, float), 2, axis=0) / 3600
        self._series = {"traffic.flow": pd.DataFrame(hourly, index, ["wide", "narrow"])}
        self._series["traffic.travel"] = self._series["traffic.flow"] * 100.0
        self._series["traffic.vehicles"] = self._series["traffic.travel"].div(np.repeat(kmh, 2) / 3.6, axis=0)

        self.provenance = {"clock": {"start": begin.isoformat()}}

    def series(self, port):
        return self._series[port]


def test_a_counted_day_stands_beside_its_counts():
    count = np.tile(np.arange(24.0), (2, 1)) * [[100.0], [10.0]]
    city = types.SimpleNamespace(
        zone="Europe/Rome",
        sectors={COUNTS: Counts(("wide", "narrow"), count, np.array([2.0, 1.0]), {})},
    )
    kmh = np.full(24, 40.0)
    kmh[[8, 18]] = 20.0
    same = Day(count.T, kmh)
    found = count_figures(city, same)
    assert found["volume wide"] == pytest.approx(27_600)
    assert found["volume narrow"] == pytest.approx(2_760)
    assert found["counts R2"] == pytest.approx(1)
    assert found["counts GEH"] == 100
    half = count_figures(city, Day(count.T / 2, kmh))
    assert half["counts R2"] < 0.5
    assert half["counts GEH"] < 50
    hours = base_measures._by_hour(city, same)
    assert hours["volume hour wide"] == pytest.approx(800)
    assert hours["volume day narrow"] == pytest.approx(2_760)
    assert hours["share morning"] == pytest.approx(100 * 8 / 276)
    assert hours["share evening"] == pytest.approx(100 * 35 / 276)
    assert hours["share night"] == pytest.approx(100 * (22 + 23 + 15) / 276)
    assert hours["speed rush"] == pytest.approx(20)
    city.sectors = {}
    assert count_figures(city, same) == {}


def test_degree_days_are_those_below_twenty_degrees_in_the_season():
    weather = types.SimpleNamespace(dry_bulb=np.full(8760, 15.0))
    assert base_measures.degree_days(types.SimpleNamespace(weather=weather)) == pytest.approx(5 * 183)
    assert base_measures.degree_days(types.SimpleNamespace(weather=synthetic_year("bologna"))) > 2101


def test_volume_by_class_is_an_indicator(twin):
    city, result = twin
    net = city.network
    mine = [label for label, kind in zip(net.labels, net.street_classes, strict=True) if kind == "main"]
    length = dict(zip(net.labels, net.length_m, strict=True))
    passed = result.integral("traffic.flow")
    mean = sum(passed[label] * length[label] for label in mine) / sum(length[label] for label in mine) / 2
    assert result.indicators["volume, main"].value == pytest.approx(mean)
    assert {"volume, main", "volume, ordinary"} <= result.indicators.keys()


def test_residents_have_the_habits_of_the_city(twin):
    found = mobility_figures(twin[0])
    assert found["share private"] + found["share public"] + found["share active"] == pytest.approx(100)
    assert found["share private"] == pytest.approx(21.2, abs=2.5)
    assert found["trips per person"] == pytest.approx(4.11, abs=0.25)


def test_grid_and_charging_are_measured(twin):
    found = grid_figures(*twin) | charging_figures(*twin)
    assert 0 < found["losses"] < 20
    assert 0 < found["utilisation"] < 100
    assert found["customers per station"] * len(twin[0].grid.stations) == pytest.approx(
        twin[0].stock.dwellings.sum() + len(twin[0].grid.bus_of) - len(twin[0].stock)
    )
    assert found["charging per car"] >= 0


@pytest.mark.slow
def test_year_of_the_buildings_has_the_energy_of_a_run(twin, tmp_path):
    city = twin[0]
    year = building_year(city)
    figures = year.figures(city)
    parts = sum(figures[f"energy {use}"] for use in ("heating", "water", "appliances", "cooling"))
    assert parts == pytest.approx(figures["energy dwelling"], rel=1e-6)
    area = city.sectors[NAME].floor_area
    services = sum(year.services.values())
    assert 60 < services / area.sum() < 300  # kWh/m² of the benchmarks of TM46
    assert year.intensity == pytest.approx(0.139, abs=0.001)
    january = run_buildings(city, tmp_path / "run", day="2025-01-15", step_s=3600)
    day = float(january.integral("buildings.gas_power").sum()) / J_PER_KWH
    assert 2 < day * 365 / year.dwellings["gas_power"] < 6  # a winter's day


def test_command_writes_every_figure(twin, tmp_path, monkeypatch):
    found = [Quantity(figure, figure.low) for figure in published("eixample")]
    found[0] = Quantity(found[0].published, math.nan)
    monkeypatch.setattr(base_run, "base_state", lambda *_: (found, beside_real({"transformer rating": [630.0]})))
    done = CliRunner().invoke(app, ["base", "eixample", "--json", str(tmp_path / "base.json")])
    assert done.exit_code == 0, done.output
    assert "NOT MEASURED" in done.output
    written = json.loads((tmp_path / "base.json").read_text())
    assert written["inside"] == f"{len(found) - 1} of {len(found)}"
    assert written["quantities"][0]["value"] is None
    assert [row["source"] for row in written["grid"]] == ["Spain", "Netherlands"]
    assert "Netherlands" in done.output


def test_distributions_of_the_grid_stand_beside_those_of_real_grids(twin):
    city, result = twin
    found = {(d.quantity, d.source): d for d in distributions(city, result)}
    assert len(found) == 9
    for d in found.values():
        assert list(d.found) == sorted(d.found), d.quantity
        assert list(d.real) == sorted(d.real), d.quantity
    [station] = [d for (name, _), d in found.items() if name == "customers per station"]
    assert station.n == len(city.grid.stations)
    lengths = found["length of a feeder", "Spain"]
    assert lengths.n > station.n
    loading = result.series("grid.transformer_loading").iloc[1:].max()
    assert found["peak utilisation of a transformer", "Kerber"].found[2] == pytest.approx(100 * np.median(loading))
    lines = grid_table([d.row() for d in found.values()]).splitlines()
    assert len(lines) == 2 + 2 * 9


def test_values_as_the_real_ones_lie_within_and_others_do_not():
    [d] = beside_real({"length of a feeder": [47.0, 100.0, 191.0, 300.0, 600.0]})
    assert d.within == pytest.approx(0.6)
    assert (d.found[2], d.real[2], d.n_real) == (191.0, 191.0, 160)
    assert beside_real({"length of a feeder": []}) == []


def test_page_takes_base_states_from_the_command_s_files(tmp_path):
    found = [Quantity(figure, figure.low) for figure in published("bologna")]
    rows = [d.row() for d in beside_real({"length of a feeder": [100.0, 200.0]})]
    path = tmp_path / "bologna.json"
    path.write_text(json.dumps({"place": "bologna", "quantities": [q.row() for q in found], "grid": rows}))
    page = with_base("@BASE_BOLOGNA_INSIDE@: @BASE_BOLOGNA@ @GRID_BOLOGNA@ @BASE_EIXAMPLE@", [path])
    assert "| Spain (160) | 47.9 |" in page
    assert page.startswith(f"{len(found)} of {len(found)}: | quantity")
    assert page.endswith("@BASE_EIXAMPLE@")
    path.write_text("{}")
    with pytest.raises(InputFileError, match="holds no base state"):
        with_base("", [path])


def test_command_refuses_a_place_without_figures():
    done = CliRunner().invoke(app, ["base", "place"])
    assert done.exit_code != 0
    assert "no published figures" in done.output


def test_numbers_have_three_digits():
    assert [base.figure(x) for x in (21943.2, 0.3612, 7.0, 99.5)] == ["21,943", "0.361", "7", "99.5"]
