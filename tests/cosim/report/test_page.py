"""The report page: its data, its notes on what was left out, and its protection against injected content."""

import base64
import builtins
import dataclasses
import errno
import json
import os
import re
import struct
import zlib

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from cosim import Clock, CosimError, Indicator, Layer, Result, Scenario, compare
from cosim.cli.app import app
from cosim.report import cells, write_figures, write_map, write_report
from cosim.report import page as page_module
from cosim.report import scene as scene_module
from cosim.report.charts import coupled_quantities
from cosim.report.packing import pack_shapes, pack_values
from cosim.report.scene import Shapes, make_scene, scale_of, window_s
from cosim.report.server import Viewer
from cosim.results.layers import read_layers, write_layers
from tests.support.districts import LABELS, district
from tests.support.toys import Fault, Source


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return district().run(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return district(draw=9).run(tmp_path_factory.mktemp("plan") / "plan")


def content(page, case=0):
    return json.loads(page.partition('id="content">')[2].partition("</script>")[0])["cases"][case]


def block(page, k):
    return zlib.decompress(base64.b64decode(page.partition(f'id="block-{k}">')[2].partition("</script>")[0]))


def values(page, layer, run, case=0):
    """Unpack a layer's values as the page's script does, independently of the packing code."""
    about = content(page, case)["layers"][layer]["runs"][run]
    raw, n = block(page, about["block"]), about["n"]
    count = len(raw) // (8 + n)
    ends = struct.unpack(f"<{2 * count}f", raw[: 8 * count])
    found = np.full((n, count), np.nan)
    for i in range(count):
        code = 0
        for k in range(n):
            code = (code + raw[8 * count + i * n + k]) % 256
            if code != 255:
                found[k, i] = ends[i] + (ends[count + i] - ends[i]) * code / 254
    return found


def test_page_holds_means_of_recorded_values(base, tmp_path):
    page = write_report(base, tmp_path / "page.html").read_text()
    assert content(page)["every"] == 120  # three hours in at most 96 frames
    true = base.series("source.power").to_numpy(dtype=float).reshape(90, 2, 6).mean(axis=1) / 1000
    error = np.abs(values(page, 0, 0) - true)
    assert (error <= np.ptp(true, axis=0) / 508 * 1.001 + 1e-6).all()


def test_curve_of_a_layer_is_its_sum_or_its_mean_and_extremes(base, tmp_path):
    layers = content(write_report(base, tmp_path / "page.html").read_text())["layers"]
    total = base.total("source.power").to_numpy().reshape(90, 2).mean(axis=1) / 1000
    np.testing.assert_allclose(layers[0]["runs"][0]["sum"], total, rtol=1e-3, atol=1e-3)
    assert {"mean", "low", "high"} <= layers[2]["runs"][0].keys()


def test_missing_values_stay_missing():
    packed = pack_values(np.array([[1.0, np.nan], [np.nan, np.nan], [3.0, np.nan]]))
    raw = zlib.decompress(base64.b64decode(packed))
    assert np.cumsum(np.frombuffer(raw[16:19], np.uint8), dtype=np.uint8).tolist() == [0, 255, 254]
    assert np.cumsum(np.frombuffer(raw[19:], np.uint8), dtype=np.uint8).tolist() == [255] * 3
    assert struct.unpack("<4f", raw[:16]) == (1.0, 0.0, 3.0, 0.0)


def test_shapes_are_unpacked_within_a_decimetre(base):
    scene = make_scene([[base]], ["base"])
    found = json.loads(zlib.decompress(base64.b64decode(pack_shapes(scene.shapes[0]))))
    assert tuple(found["labels"]) == LABELS
    points = np.cumsum(np.array(found["paths"][1]).reshape(-1, 2), axis=0) / 10
    np.testing.assert_allclose(points, scene.shapes[0].points[1], atol=0.051)


def test_lines_lose_invisible_points():
    line = np.array([[0.0, 0.0], [50.0, 0.3], [100.0, 0.0], [100.0, 40.0]])
    found = json.loads(zlib.decompress(base64.b64decode(pack_shapes(Shapes("line", ("a",), (line,))))))
    assert len(found["paths"][0]) == 6


def test_layers_that_share_a_geometry_share_it_in_page_and_folder(tmp_path):
    scenario = district()
    facts = {"lanes": {"e0": 2.0}}
    again = Layer("Again", "echo.received", "line", scenario.layers[0].geometry, "W", properties=facts)
    scenario.layers.append(again)
    result = scenario.run(tmp_path / "run")
    assert len(json.loads((result.folder / "layers.json").read_text())["geometries"]) == 3
    assert len(make_scene([[result]], ["a"]).shapes) == 3
    assert [layer.title for layer in read_layers(result.folder)] == [layer.title for layer in scenario.layers]
    assert read_layers(result.folder)[-1].properties == facts


def test_degrees_are_drawn_in_true_metres(tmp_path):
    scenario = district()
    places = {"e0": [(2.17, 41.38)], "e1": [(2.18, 41.38)], "e2": [(2.17, 41.39)]}
    scenario.layers = [Layer("Places", "source.count", "point", places, "1", coordinates="degrees")]
    points = make_scene([[scenario.run(tmp_path / "run")]], ["a"]).shapes[0].points
    east, north = points[1][0] - points[0][0], points[2][0] - points[0][0]
    # a hundredth of a degree on a sphere of 6,371 km
    np.testing.assert_allclose(east, [1111.95 * np.cos(np.radians(41.38)), 0], atol=0.2)
    np.testing.assert_allclose(north, [0, 1111.95], atol=0.1)


def test_user_text_is_escaped_and_only_embedded_scripts_may_run(base, tmp_path):
    page = write_report(base, tmp_path / "page.html").read_text()
    assert "Power </script>" not in page
    assert "<source>" not in page
    assert "of the &lt;source&gt;" in page
    policy = page.partition('Content-Security-Policy" content="')[2].partition('">')[0]
    assert "default-src &#39;none&#39;" in policy
    assert "connect-src &#39;none&#39;" in policy
    assert "unsafe-eval" not in policy
    assert "script-src &#39;sha256-" in policy


def test_labels_and_parameters_from_files_cannot_break_the_page(tmp_path):
    evil = '"><img src=x onerror=alert(1)></script><script>alert(2)</script>'
    scenario = Scenario(Clock("2025-01-15", hours=1), source=Source((evil, "b")))
    scenario.name = scenario.parameters["<i>"] = evil
    scenario.layers = [Layer(evil, "source.power", "point", {evil: [(0, 0)], "b": [(9, 9)]}, evil)]
    page = write_report(scenario.run(tmp_path / "run")).read_text()
    assert "<img" not in page.partition("<body>")[2].partition("maplibre")[0]
    assert "<script>alert" not in page
    assert content(page)["layers"][0]["title"] == evil


def test_difference_has_its_own_colour_scale(base, plan, tmp_path):
    page = write_report(compare(base, plan), tmp_path / "page.html").read_text()
    layer = content(page)["layers"][0]
    assert content(page)["names"] == ["base", "plan"]
    differences = np.abs(values(page, 0, 1) - values(page, 0, 0))
    assert layer["change"] == pytest.approx(np.quantile(differences, 0.95), rel=0.02)
    assert "plan against base" in page


def test_map_and_curves_of_several_seeds_are_their_means(base, plan, tmp_path):
    bases = [base, district(1).run(tmp_path / "base-1")]
    plans = [plan, district(1, draw=10).run(tmp_path / "plan-1")]
    page = write_report(compare(bases, plans), tmp_path / "page.html").read_text()
    true = sum(run.series("source.power").to_numpy(dtype=float) for run in bases).reshape(90, 2, 6).mean(axis=1) / 2000
    np.testing.assert_allclose(values(page, 0, 0), true, atol=np.ptp(true, axis=0).max() / 500)
    total = sum(run.total("source.power") for run in plans) / 2000
    np.testing.assert_allclose(content(page)["charts"][0]["runs"][1]["values"], total, rtol=1e-4, atol=1e-4)
    assert "and over 2 runs with different seeds" in page
    assert "seeds 0, 1" in page


def test_elements_that_differ_between_seeds_are_noted(base, plan, tmp_path):
    other = district(1, labels=LABELS[:5]).run(tmp_path / "other")
    found = compare([base, other], [plan, district(1).run(tmp_path / "same")])
    page = write_report(found, tmp_path / "page.html").read_text()
    assert "Elements of “Received” differ between seeds: those of the first seed are drawn" in page
    power = base.series("source.power")["e5"].to_numpy(dtype=float).reshape(90, 2).mean(axis=1) / 1000
    np.testing.assert_allclose(values(page, 0, 0)[:, 5], power, atol=np.ptp(power) / 500)


def test_elements_of_only_one_run_are_drawn_and_noted(base, tmp_path):
    more = district(labels=(*LABELS, "new")).run(tmp_path / "more")
    page = write_report(compare(base, more)).read_text()
    assert "1 elements of “Received” are missing in the base." in page
    assert np.isnan(values(page, 1, 0)[:, 6]).all()
    assert np.isfinite(values(page, 1, 1)[:, 6]).all()


@pytest.fixture(scope="module")
def seasons(tmp_path_factory):
    """Two comparisons of two plans with a base, three pairs each, on different days."""
    folder = tmp_path_factory.mktemp("seasons")

    def runs(day, what, draw):
        return [district(seed, draw=draw + seed, day=day).run(folder / f"{day}-{what}-{seed}") for seed in range(3)]

    return {
        name: compare(
            *(runs(day, what, draw) for what, draw in (("base", 0), ("one", 10), ("two", 20))),
            names=["today", "one", "two"],
        )
        for name, day in (("winter", "2025-01-15"), ("summer", "2025-07-15"))
    }


def test_cases_are_shown_side_by_side_each_with_its_own_period(seasons, tmp_path):
    page = write_report(seasons, tmp_path / "page.html").read_text()
    for k, (name, found) in enumerate(seasons.items()):
        case = content(page, k)
        assert case["name"] == name
        assert case["start"] == pd.Timestamp(found.base[0].provenance["clock"]["start"]).timestamp()
        true = np.mean([run.series("source.power").to_numpy(dtype=float) for run in found.plans["one"]], axis=0)
        true = true.reshape(90, 2, 6).mean(axis=1) / 1000
        np.testing.assert_allclose(values(page, 0, 1, case=k), true, atol=np.ptp(true, axis=0).max() / 500)
    shapes = [[layer["shapes"] for layer in content(page, k)["layers"]] for k in (0, 1)]
    assert shapes[0] == shapes[1], "the same shapes are in the page once"
    assert "Wednesday, 15 January 2025" in page
    assert "Tuesday, 15 July 2025" in page


def test_overview_shows_the_base_and_the_changes_by_every_plan_for_each_case(seasons, tmp_path):
    page = write_report(seasons, tmp_path / "page.html").read_text()
    overview = page.partition('class="indicators compared overview"')[2].partition("</table>")[0]
    rows = overview.split("<tr>")[1:]
    assert re.findall(r"(winter|summer), n = (\d)", rows[0]) == [("winter", "3"), ("summer", "3")]
    assert re.findall(r'right">([^<]+)</th>', rows[1]) == ["today", "one", "two"] * 2
    energy = next(row for row in rows if "energy [kWh]" in row)
    cells = re.findall(r'data-column="([^"]+)">([^<]*)', energy)
    assert [name for name, _ in cells] == [f"{s}: {p}" for s in seasons for p in ("today", "one", "two")]
    for season, found in seasons.items():
        base = dict(cells)[f"{season}: today"]
        assert float(base) == pytest.approx(found.changes["one"][0].base, rel=1e-3)
    assert energy.count("no effect shown") == sum(
        changes[0].verdict == "no effect shown" for found in seasons.values() for changes in found.changes.values()
    )
    assert overview.count("the same") == 4  # the number of steps, which is not random


def test_report_of_no_case_is_refused():
    with pytest.raises(CosimError, match="got no case"):
        write_report({})


def test_further_pages_are_linked(base, tmp_path):
    page = write_report(base, tmp_path / "page.html", links={"The <study>": "study.html"}).read_text()
    assert '<a href="study.html">The &lt;study&gt;</a>' in page


def test_path_that_cannot_be_written_is_one_clear_error(base, tmp_path):
    (tmp_path / "file").write_text("")
    for place, words in (
        (tmp_path / "none" / "page.html", r"the folder .*none does not exist; create it first"),
        (tmp_path, r"is a folder: pass a file name, such as .*report\.html"),
        (tmp_path / "file" / "page.html", r"the folder .*file does not exist"),
    ):
        with pytest.raises(CosimError, match=words):
            write_report(base, place)
        done = CliRunner().invoke(app, ["report", str(base.folder), "--out", str(place)])
        assert done.exit_code == 1
        assert len(done.stderr.splitlines()) == 1, done.stderr


def test_report_that_cannot_be_written_keeps_the_previous_one(base, tmp_path, monkeypatch):
    path = write_report(base, tmp_path / "page.html")
    before = path.read_bytes()

    def full(self, text, encoding):
        self.write_bytes(text.encode()[:1000])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(page_module.Path, "write_text", full)
    with pytest.raises(CosimError, match="No space left on device; choose another path"):
        write_report(base, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]


def test_truncated_file_is_named(tmp_path):
    result = district().run(tmp_path / "run")
    part = tmp_path / "run" / "series" / "source.power" / "part-1.parquet"
    part.write_bytes(part.read_bytes()[:-50])
    done = CliRunner().invoke(app, ["report", str(result.folder)])
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert f"{part} is damaged or truncated: copy the run's folder again, or run the scenario again" in line


def test_reduction_is_noted(base, tmp_path):
    page = write_report(base, tmp_path / "page.html").read_text()
    assert "The map shows means over 2 min of values recorded every 60 s." in page
    assert "with an error of at most 0.2% of this range" in page


@pytest.fixture
def many(tmp_path, monkeypatch):
    """Eight elements along a line, of which a report may draw six one by one, and four cells."""
    monkeypatch.setattr(scene_module, "MOST_ELEMENTS", 6)
    monkeypatch.setattr(cells, "MOST_CELLS", 4)
    labels = [str(k) for k in range(8)]
    scenario = Scenario(Clock("2025-01-15", hours=0.1), source=Source(labels), noise=Source(labels, 2, "dB(A)"))
    path = {x: [(12.0 * int(x) + dx, -3.0) for dx in (-4, 0, 4)] for x in labels}
    scenario.layers = [
        Layer("Power", "source.power", "line", path, "kW", 1e-3, scale=(0, 1)),
        Layer("Count", "source.count", "polygon", path, "", scale=(0, 9)),
        Layer("Noise", "noise.power", "point", path, "dB(A)"),
    ]
    return scenario.run(tmp_path / "run")


def test_layer_with_too_many_elements_is_drawn_as_cells_and_noted(many, tmp_path):
    page = write_report(many, tmp_path / "page.html").read_text()
    power, count, noise = content(page)["layers"]
    assert [power["title"], count["title"]] == ["Power, sums of 25 m cells", "Count, means of 25 m cells"]
    assert noise["title"] == "Noise, means by energy of 25 m cells"
    assert (power["kind"], power["fixed"], count["fixed"]) == ("polygon", False, True)
    shapes = json.loads(block(page, power["shapes"]))
    assert shapes["labels"] == ["cell 0, -1", "cell 1, -1", "cell 2, -1", "cell 3, -1"]
    assert shapes["names"] == ["3 elements", "2 elements", "2 elements", "1 element"]  # of 0 to 24, 36 and 48, …
    assert shapes["paths"][0][2:] == [250, 0, 0, 250, -250, 0]  # decimetres around the square
    for text in (
        "The 8 elements of “Power” are drawn as 4 square cells of 25 m, with the sums of the elements in each; cosim "
        "view shows every element.",
        "with the means by energy of the elements in each",
    ):
        assert text in page


def test_cells_have_sums_or_means_of_their_elements_and_curves_those_of_all(many, tmp_path):
    page = write_report(many, tmp_path / "page.html").read_text()
    of = np.array([0, 0, 0, 1, 1, 2, 2, 3])
    power = many.series("source.power").to_numpy(dtype=float) / 1000
    level = 10 ** (many.series("noise.power").to_numpy(dtype=float) / 10)
    for k in range(4):
        sums = power[:, of == k].sum(axis=1)
        np.testing.assert_allclose(values(page, 0, 0)[:, k], sums, atol=np.ptp(sums) / 508 * 1.01)
        means = 10 * np.log10(level[:, of == k].mean(axis=1))
        np.testing.assert_allclose(values(page, 2, 0)[:, k], means, atol=np.ptp(means) / 508 * 1.01)
    np.testing.assert_allclose(values(page, 1, 0)[:, 0], [1, 2, 3, 4, 5, 6], atol=0.01)
    curves = [layer["runs"][0] for layer in content(page)["layers"]]
    np.testing.assert_allclose(curves[0]["sum"], power.sum(axis=1), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(curves[2]["mean"], 10 * np.log10(level.mean(axis=1)), rtol=1e-3)


def test_line_counts_for_the_cell_of_its_middle_and_an_outline_for_that_of_its_corners():
    path = {"a": np.array([(0.0, 0.0), (10.0, 0.0), (10.0, 100.0)])}
    assert cells.make_cells(path, lines=True).labels == ("cell 1, 4",)  # 55 m along it: (10, 45)
    assert cells.make_cells(path, lines=False).labels == ("cell 0, 3",)  # (6.7, 33.3)


def test_cell_without_any_value_is_missing():
    found = cells.make_cells({str(k): np.array([[1e9 * k, 0.0]]) for k in range(2)}, lines=False)
    rows = found.summarized(np.array([[np.nan, 2.0], [1.0, np.nan]]), adds_up=True, level=False)
    np.testing.assert_array_equal(rows, [[np.nan, 2.0], [1.0, np.nan]])


def test_viewer_and_not_the_report_shows_every_element_of_a_large_layer(many, tmp_path):
    viewer = Viewer(many)
    assert json.loads(viewer.answer("/shapes/0/0")[1])["labels"] == [str(k) for k in range(8)]
    shown = np.frombuffer(viewer.answer("/frame/0/0/0/3")[1], "<f4")
    np.testing.assert_allclose(shown, many.series("source.power").iloc[3] / 1000, rtol=1e-6)
    assert "square cells" not in viewer.page.decode()


def test_map_before_a_run_and_figures_draw_cells_too(many, tmp_path):
    layers = read_layers(many.folder)
    page = write_map("twin", layers[:1], tmp_path / "map.html").read_text()
    assert content(page)["layers"][0]["title"] == "Power, cells of 25 m"
    assert write_figures(many, tmp_path / "figures")


@pytest.mark.parametrize(("hours", "window"), [(24, 900), (1, 60), (168, 7200), (8760, 604_800)])
def test_window_has_a_round_length_with_few_frames(base, hours, window):
    scene = make_scene([[base]], ["base"])
    scene = dataclasses.replace(scene, length_s=hours * 3600.0, notes=())
    assert window_s(scene) == window


def test_page_with_very_many_values_has_fewer_frames(base, tmp_path, monkeypatch):
    monkeypatch.setattr(page_module, "_MOST_VALUES", 18 * 20)  # three layers of six elements
    page = write_report(base, tmp_path / "page.html").read_text()
    assert content(page)["every"] == 600
    assert "The map shows means over 10 min" in page


def test_layer_recorded_less_often_has_longer_frames(tmp_path):
    scenario = district()
    scenario.record("source.power")
    scenario.record("source.count", every="30min")
    result = scenario.run(tmp_path / "run")
    page = write_report(result).read_text()
    assert [layer["runs"][0]["every"] for layer in content(page)["layers"]] == [120, 1800]
    np.testing.assert_allclose(values(page, 1, 0)[:, 0], [30, 60, 90, 120, 150, 180], atol=150 / 508)


def test_scale_is_that_of_the_scenario_or_covers_all_but_one_per_cent(base):
    scene = make_scene([[base]], ["base"])
    assert scale_of(scene.views[2], [np.array([[1e9]])]) == (0, 200)
    low, high = scale_of(scene.views[0], [np.arange(1001.0)[None]])
    assert (low, high) == (0.0, 990.0)
    assert scale_of(scene.views[0], [np.full((2, 2), np.nan)]) == (0.0, 1.0)


def test_curves_show_quantities_exchanged_between_simulators(base):
    (chart,) = coupled_quantities(make_scene([[base]], ["base"]))
    assert chart["about"] == "sum of source.power → echo.load"
    assert chart["unit"] == "kW"
    np.testing.assert_allclose(chart["runs"][0]["values"], base.total("source.power") / 1000, rtol=1e-4, atol=1e-6)


def test_failed_run_is_shown_up_to_its_failure(tmp_path):
    scenario = Scenario(Clock("2025-01-15", hours=2), source=Fault("raise", at_s=3600))
    scenario.layers = [Layer("Power", "source.power", "point", {"a": [(0, 0)], "b": [(9, 0)]}, "W")]
    with pytest.raises(CosimError):
        scenario.run(tmp_path / "run")
    page = write_report(Result.open(tmp_path / "run")).read_text()
    assert "This run is failed: source failed at 2025-01-15 01:00:00" in page
    assert content(page)["layers"][0]["runs"][0]["n"] == 60


def test_killed_run_is_shown_up_to_its_last_part(base, tmp_path):
    about = json.loads((base.folder / "run.json").read_text())
    for key in ("simulated_s", "ledger", "ended", "wall_s"):
        about.pop(key)
    killed = Result(base.folder, about | {"status": "running"})
    page = write_report(killed, tmp_path / "page.html").read_text()
    assert "This run is running: it has not ended, or was killed" in page
    assert content(page)["n"] == 90


def test_run_without_layers_has_a_report_without_map(tmp_path):
    page = write_report(Scenario(Clock("2025-01-15", hours=1), source=Source()).run(tmp_path / "run")).read_text()
    assert content(page)["layers"] == []
    assert "no indicators" in page


def test_page_without_the_map_library_is_written_for_the_canvas(base, tmp_path, monkeypatch):
    monkeypatch.setattr(page_module.importlib.util, "find_spec", lambda name: None)
    page_module._maplibre.cache_clear()
    try:
        page = write_report(base, tmp_path / "page.html").read_text()
    finally:
        page_module._maplibre.cache_clear()
    assert "maplibregl.Map" in page  # in our own script, which tests whether it exists
    assert len(page) < 200_000


def test_layers_that_cannot_be_drawn_are_refused():
    for changed, words in (
        ({"shape": "blob"}, "write 'line', 'polygon' or 'point'"),
        ({"coordinates": "feet"}, "write 'metres' or 'degrees'"),
        ({"scale": (1, 1)}, "its first value must be below its second"),
    ):
        with pytest.raises(CosimError, match=words):
            Layer(**{"title": "a", "port": "b.c", "shape": "line", "geometry": {}, "unit": "W"} | changed)


@pytest.mark.parametrize("text", ["{", "[]", '{"layers": [{}], "geometries": []}', '{"layers": 3, "geometries": [7]}'])
def test_damaged_layers_file_is_named(tmp_path, text):
    (tmp_path / "layers.json").write_text(text)
    with pytest.raises(CosimError, match=r"layers\.json is not a layers file"):
        read_layers(tmp_path)


def test_elements_without_finite_coordinates_are_omitted_and_noted(tmp_path):
    scenario = district()
    broken = dict(scenario.layers[0].geometry) | {"e0": [(float("nan"), 0.0), (1.0, 1.0)]}
    scenario.layers = []
    result = scenario.run(tmp_path / "run")
    write_layers(result.folder, [Layer("Power", "source.power", "line", broken, "W")])
    scene = make_scene([[result]], ["run"])
    assert "e0" not in scene.shapes[0].labels
    assert scene.notes == ("1 elements of “Power” have no finite coordinates.",)


def test_figures_are_reproducible_png_and_svg_files(base, plan, tmp_path):
    pytest.importorskip("matplotlib")
    first = write_figures(compare(base, plan), tmp_path / "one")
    assert {path.name for path in first} == {
        f"{name}.{kind}"
        for name in ("map-power-script-b", "map-received", "map-count", "exchange", "differences-plan")
        for kind in ("png", "svg")
    }
    second = write_figures(compare(base, plan), tmp_path / "two")
    for one, two in zip(first, second):
        assert one.read_bytes() == two.read_bytes(), one.name


def test_figures_without_matplotlib_name_the_extra_to_install(base, tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(CosimError, match=r"pip install 'cosim-city\[figures\]'"):
        write_figures(base, tmp_path / "figures")


def test_command_writes_to_the_given_path(base, plan, tmp_path):
    done = CliRunner().invoke(app, ["report", str(base.folder), str(plan.folder), "--out", str(tmp_path / "x.html")])
    assert done.exit_code == 0, done.output
    assert "plan against base" in (tmp_path / "x.html").read_text()


def test_windows_that_split_rows_are_refused(base):
    with pytest.raises(CosimError, match="has a row every 60 s, but the window is 90 s: pass a whole multiple of 60 s"):
        base.means("source.power", 90)


def test_row_equals_the_series_at_its_time(base):
    power, count = base.series("source.power"), base.series("source.count")
    for k in (0, 59, 60, 179):
        assert base.row("source.power", k).tolist() == power.iloc[k].tolist()
        assert base.row("source.count", k).tolist() == count.iloc[k + 1].tolist()
    assert base.row("source.power", 180).empty


def test_spread_ignores_missing_values(tmp_path):
    from tests.support.toys import Patchy

    scenario = Scenario(Clock("2025-01-15", hours=0.1), patchy=Patchy({(2, 0)}))
    result = scenario.run(tmp_path / "run")
    spread = result.spread("patchy.power")
    assert spread["mean"].tolist() == [60, 120, 180, 240, 300, 360]
    assert spread["sum"].tolist() == [120, 240, 180, 480, 600, 720]
    assert result.means("patchy.power", 180)["a"].tolist() == [90.0, 300.0]


def test_the_report_begins_with_answers_and_what_there_is(tmp_path):
    scenario = district()
    scenario.facts = {"grid": "two <transformers>"}
    scenario.indicators = lambda result: {
        "left": Indicator(3.0, "1", None, headline="Cut off: 3 trips."),
        "load": Indicator(120.0, "%", "lower", headline="Overload: yes."),
    }
    page = write_report(scenario.run(tmp_path / "run")).read_text()
    first = page.partition('id="answers"')[2].partition("</section>")[0]
    assert re.findall("<li>(.*?)</li>", first) == ["Overload: yes.", "Cut off: 3 trips."]
    assert "<dt>grid</dt><dd>two &lt;transformers&gt;</dd>" in first
    assert page.index('id="answers"') < page.index('id="stage"')


def test_answers_of_several_seeds_are_those_of_the_first_and_say_so(tmp_path):
    groups = []
    for draw in (0, 9):
        groups.append([])
        for seed in (3, 4):
            scenario = district(seed, draw=draw + seed)
            scenario.facts = {"grid": f"of seed {seed}"}
            groups[-1].append(scenario.run(tmp_path / f"{draw}-{seed}"))
    page = write_report(compare(*groups, names=["today", "plan"]), tmp_path / "page.html").read_text()
    first = page.partition('id="answers"')[2].partition("</section>")[0]
    assert re.findall("<h2>(.*?)</h2>", first) == ["today, seed 3", "plan, seed 3"]
    assert "of seed 4" not in first


def test_points_at_the_same_place_stand_apart(tmp_path):
    scenario = district()
    places = {label: [(0.0, 0.0) if label != "e5" else (200.0, 0.0)] for label in LABELS}
    scenario.layers = [Layer("Stations", "source.count", "point", places, "1")]
    [shapes] = make_scene([[scenario.run(tmp_path / "run")]], ["run"]).shapes
    at = np.array([path[0] for path in shapes.points])
    apart = np.hypot(*(at[:, None] - at[None]).T)[~np.eye(6, dtype=bool)]
    assert apart.min() > 8
    np.testing.assert_allclose(at[:5].mean(axis=0) - at[5], [-200, 0], atol=1e-9)


def test_outlines_names_and_places_are_in_the_frame_of_the_layers(tmp_path):
    scenario = district()
    streets = dataclasses.replace(scenario.layers[0], names={"e1": "Main Street"})
    zone = Layer.outline("zone", {"zone": [(0, 0), (200, 0), (200, 200)]})
    scenario.layers = [streets, zone]
    page = write_report(scenario.run(tmp_path / "run")).read_text()
    x, y, latitude = content(page)["frame"]
    assert latitude is None
    corners = np.add(content(page)["outlines"]["zone"][0], (x, y))
    np.testing.assert_allclose(corners, [(0, 0), (200, 0), (200, 200)], atol=0.11)
    shapes = json.loads(block(page, content(page)["layers"][0]["shapes"]))
    assert shapes["names"] == ["", "Main Street", "", "", "", ""]
    assert len(content(page)["layers"]) == 1


def test_layers_that_show_nothing_are_marked(base, plan, tmp_path):
    still = [layer["still"] for layer in content(write_report(base, tmp_path / "one.html").read_text())["layers"]]
    assert still == [False, False, False]
    page = write_report(compare(base, plan), tmp_path / "two.html").read_text()
    assert [layer["still"] for layer in content(page)["layers"]] == [False, False, True]  # both count the same steps


def test_a_layer_with_unknown_worst_values_is_refused():
    with pytest.raises(CosimError, match="layer 'Voltage' has worst = 'low': write 'highest' or 'lowest'"):
        Layer("Voltage", "grid.voltage", "point", {}, "%", worst="low")
