"""What is built once: opened by what it was built from, by any number of processes."""

import datetime as dt
import functools
import subprocess
import sys

import numpy as np
import pandapower as pp
import pandas as pd
import pytest
from typer.testing import CliRunner

from cosim.scenarios import built, eixample
from cosim.scenarios.mobility.population import Habits
from cosim.scenarios.mobility.routing import write_xml
from cosim.scenarios.places.commands import app


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("COSIM_BUILT", raising=False)
    return tmp_path / "cache" / "cosim"


class Builder:
    def __init__(self):
        self.times = 0

    def __call__(self):
        self.times += 1
        columns = {"edges": ["a b", ""], "depart_s": [1.5, np.nan], "electric": [True, False]}
        return pd.DataFrame(columns, index=pd.Index(["x", "y"], name="vehicle"))


def test_second_build_opens_the_same_table(cache):
    build = Builder()
    first, second = (built.built_once("drives", {"seed": 0}, build) for _ in range(2))
    assert build.times == 1
    pd.testing.assert_frame_equal(first, second)


def test_everything_that_is_given_counts(cache, tmp_path):
    net, sites = tmp_path / "net.xml", pd.DataFrame({"x": [1.0], "edge": ["a"]}, index=["s"])
    net.write_text("one")
    given = {"net": net, "sites": sites, "habits": Habits(), "days": [dt.date(2025, 1, 15)], "flows": np.arange(3)}
    build = Builder()
    built.built_once("drives", given, build)
    others = {
        "sites": sites.assign(x=2.0),
        "habits": Habits(stop_share=0.3),
        "days": [dt.date(2025, 1, 16)],
        "flows": np.arange(3.0),
    }
    for name, value in others.items():
        built.built_once("drives", given | {name: value}, build)
    built.built_once("drives", given | {"sites": sites.rename(index={"s": "t"})}, build)
    built.built_once("other drives", given, build)
    net.write_text("two")
    built.built_once("drives", given, build)
    assert build.times == len(built.entries()) == 8
    net.write_text("one")
    built.built_once("drives", given, build)
    assert build.times == 8


def test_code_and_versions_count(cache, monkeypatch):
    build = Builder()
    built.built_once("drives", {}, build)
    monkeypatch.setattr(built, "versions", lambda: {"python": "2.7"})
    built.built_once("drives", {}, build)
    monkeypatch.setattr(built, "source_digest", lambda: "another")
    built.built_once("drives", {}, build)
    assert build.times == 3


def test_nothing_is_kept_when_switched_off(cache, monkeypatch):
    monkeypatch.setenv("COSIM_BUILT", "off")
    build = Builder()
    for _ in range(2):
        built.built_once("drives", {}, build)
    assert build.times == 2
    assert not cache.exists()
    assert built.entries() == []


def test_damaged_entry_is_built_again(cache):
    build = Builder()
    expected = built.built_once("drives", {}, build)
    (entry,) = built.entries()
    entry.write_bytes(entry.read_bytes()[:100])
    pd.testing.assert_frame_equal(built.built_once("drives", {}, build), expected)
    pd.testing.assert_frame_equal(built.built_once("drives", {}, build), expected)
    assert build.times == 2


def test_cache_that_cannot_be_written_costs_time_alone(cache):
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")
    build = Builder()
    assert len(built.built_once("drives", {}, build)) == len(built.built_once("drives", {}, build)) == 2
    assert build.times == 2


def test_entries_opened_longest_ago_are_removed_first(cache, monkeypatch):
    for seed in range(3):
        built.built_once("drives", {"seed": seed}, Builder())
    monkeypatch.setattr(built, "MOST_BYTES", sum(entry.stat().st_size for entry in built.entries()))
    again, build = Builder(), Builder()
    built.built_once("drives", {"seed": 0}, again)
    built.built_once("drives", {"seed": 3}, build)
    assert len(built.entries()) == 3
    for seed in (0, 2, 3):
        built.built_once("drives", {"seed": seed}, again)
    assert again.times == 0


def test_processes_side_by_side_keep_one_entry(cache):
    code = (
        "import pandas as pd; from cosim.scenarios.built import built_once\n"
        "for k in range(5): built_once('drives', {'k': k}, lambda: pd.DataFrame({'x': range(1000)}))"
    )
    workers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [worker.wait() for worker in workers] == [0, 0]
    assert len(built.entries()) == len(list(cache.iterdir())) == 5


def test_files_are_copied_and_changed_without_changing_the_entry(cache, tmp_path):
    times = []

    def build(place):
        times.append(place)
        write_xml(place / "a.rou.xml", "routes", [])

    first, second = tmp_path / "one", tmp_path / "two"
    for place in (first, second):
        place.mkdir()
        (path,) = built.files_built_once("files", {"seed": 0}, place, ["a.rou.xml"], functools.partial(build, place))
        assert path == place / "a.rou.xml"
    assert times == [first]
    text = (first / "a.rou.xml").read_text()
    with (second / "a.rou.xml").open("a") as file:
        file.write("<!-- edited -->")
    assert (first / "a.rou.xml").read_text() == built.entries()[0].read_text() == text


def test_tables_of_one_build_are_opened_together(cache):
    made = {"a": pd.DataFrame({"x": [1, 2]}), "b": pd.DataFrame({"t": ["u", "u", "v"]})}
    opened = [built.tables_built_once("both", {}, ["a", "b"], lambda: made) for _ in range(2)][1]
    for name, table in made.items():
        pd.testing.assert_frame_equal(opened[name], table, check_index_type=False)
    built.entries()[0].unlink()
    assert built.tables_built_once("both", {}, ["a", "b"], lambda: made) is made


def test_opened_grid_is_the_one_that_was_built(cache):
    def build():
        return eixample.build(blocks=(2, 2), hours=1).model.grid

    grid, again = build(), build()
    assert pp.to_json(grid.net) == pp.to_json(again.net)
    assert (grid.bus_of, grid.design_load_w, grid.stations) == (again.bus_of, again.design_load_w, again.stations)
    assert grid.report == again.report
    assert list(grid.lines) == list(again.lines)
    for name, route in grid.lines.items():
        np.testing.assert_array_equal(route, again.lines[name])


def test_command_removes_all_entries(cache):
    built.built_once("drives", {}, Builder())
    assert "1 entry" in CliRunner().invoke(app, ["forget"]).output
    assert built.entries() == []
    assert "0 entries" in CliRunner().invoke(app, ["forget"]).output


def test_district_opened_again_has_the_same_traffic_and_fleet(cache):
    def build():
        city = eixample.build(blocks=(2, 2), begin_hour=17, hours=1, ev_share=0.5).model
        return {path.name: path.read_bytes() for path in city.workspace.path.iterdir()}, city.fleet

    (files, fleet), (again, fleet_again) = build(), build()
    kept = built.entries()
    assert sum(path.name.endswith(".rou.xml") for path in kept) == 2
    assert files == again
    assert fleet.trip_ids == fleet_again.trip_ids
    for name, values in fleet.vehicles.items():
        np.testing.assert_array_equal(values, fleet_again.vehicles[name])
