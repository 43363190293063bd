"""Results: series, indicators and provenance read from the folder of a run."""

import json

import numpy as np
import pytest

from cosim import Clock, CosimError, Indicator, Result, Scenario, compare
from tests.support.toys import Echo, Fault, Source

DAY = Clock("2025-06-01", hours=3, zone="Europe/Madrid")


def toy(**options):
    scenario = Scenario(DAY, source=Source(("b", "a")), echo=Echo(("b", "a")), **options)
    scenario.connect("source.power", "echo.load", delay=1, initial=0.0)
    return scenario


def energy(result):
    return {"energy": Indicator(float(result.integral("source.power").sum()) / 3.6e6, "kWh", "lower", "of the source")}


def test_series_are_read_as_pandas_and_xarray(tmp_path):
    result = toy().run(tmp_path / "run")
    table = result.series("source.power")
    assert table.shape == (180, 2)
    assert list(table.columns) == ["a", "b"]
    assert str(table.index[0]) == "2025-05-31 22:01:00+00:00"
    array = result.array("source.power")
    assert array.dims == ("time", "label")
    assert array.attrs == {"unit": "W", "kind": "mean"}
    assert table.dtypes.unique() == [np.float32]


def test_window_and_labels_can_be_chosen(tmp_path):
    result = toy().run(tmp_path / "run")
    table = result.series("source.power", labels=["b"], start="2025-05-31T23:00", end="2025-05-31T23:04")
    assert table.shape == (5, 1)
    with pytest.raises(CosimError, match="has no label 'z'"):
        result.series("source.power", labels=["z"])
    with pytest.raises(CosimError, match=r"'source.nope' was not recorded; available: source.power"):
        result.series("source.nope")


def test_end_outputs_record_their_state_at_the_start(tmp_path):
    counts = toy().run(tmp_path / "run").series("source.count")["a"]
    assert counts.iloc[0] == 0
    assert str(counts.index[0]) == "2025-05-31 22:00:00+00:00"
    assert counts.iloc[-1] == 180


def test_totals_and_integrals_match_the_series(tmp_path):
    result = toy().run(tmp_path / "run", double=True)
    table = result.series("source.power")
    np.testing.assert_allclose(result.total("source.power"), table.sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(result.integral("source.power")[["a", "b"]], table.sum() * 60, rtol=1e-12)


def test_folder_has_the_documented_layout(tmp_path):
    folder = toy(indicators=energy).run(tmp_path / "run").folder
    names = {path.name for path in folder.iterdir()}
    assert {"run.json", "indicators.json", "events.parquet", "series"} <= names
    parts = sorted((folder / "series" / "source.power").iterdir())
    assert [part.name for part in parts] == ["part-0.parquet", "part-1.parquet", "part-2.parquet"]
    about = json.loads((folder / "run.json").read_text())
    assert about["status"] == "finished"
    assert {"seed", "parameters", "versions", "inputs", "ledger", "wall_s"} <= about.keys()
    assert about["wall_s"].keys() == {"source", "echo"}


@pytest.mark.parametrize(
    ("window", "words"),
    [
        ({"labels": "ab"}, "labels of source.power is 'ab': pass a sequence of labels"),
        ({"labels": ["z"]}, "source.power has no label 'z'"),
        ({"labels": ["b"], "end": "2000-01-01"}, "source.power has no label 'b' from start to end"),
        ({"start": "noon"}, "start of source.power is 'noon': write a time, as"),
    ],
)
def test_window_that_cannot_be_read_is_refused(window, words, tmp_path):
    with pytest.raises(CosimError, match=words):
        toy().run(tmp_path / "run").series("source.power", **window)


@pytest.mark.parametrize("folder", [None, 3])
def test_folder_that_is_not_a_path_is_refused(folder):
    with pytest.raises(CosimError, match=f"the folder of a run is {folder}: pass its path"):
        Result.open(folder)


def test_rows_of_a_part_are_sorted_by_label_then_time(tmp_path):
    import pyarrow.parquet as pq

    folder = toy().run(tmp_path / "run").folder
    rows = pq.read_table(folder / "series" / "source.power" / "part-1.parquet").to_pandas()
    assert list(rows.columns) == ["label", "time", "value"]
    assert rows[["label", "time"]].astype(str).apply(tuple, axis=1).is_monotonic_increasing


def test_same_run_writes_the_same_bytes(tmp_path):
    one, two = toy().run(tmp_path / "one").folder, toy().run(tmp_path / "two").folder
    parts = sorted(path.relative_to(one) for path in one.rglob("part-*.parquet"))
    assert parts
    for part in parts:
        assert (one / part).read_bytes() == (two / part).read_bytes()


def test_indicators_are_kept_and_read_back(tmp_path):
    toy(indicators=energy).run(tmp_path / "run")
    again = Result.open(tmp_path / "run").indicators["energy"]
    assert again.unit == "kWh"
    assert again.better == "lower"


@pytest.mark.parametrize(
    ("indicators", "words"),
    [
        (lambda r: 1 / 0, "but its indicators fail: ZeroDivisionError: division by zero; fix the function"),
        (lambda r: None, "but its indicators are None: return {name: Indicator"),
        (lambda r: {"peak": 3.0}, "but its indicators are {'peak': 3.0}: return"),
        (lambda r: {"peak": Indicator("3", "W")}, "the value of an indicator is '3': it must be a number"),
        (lambda r: {"peak": Indicator(3.0, "W", "up")}, "better of an indicator is 'up': write 'lower', 'higher' or"),
    ],
)
def test_failing_indicators_keep_the_finished_run_and_name_its_folder(indicators, words, tmp_path):
    with pytest.raises(CosimError) as raised:
        toy(indicators=indicators).run(tmp_path / "run")
    assert words in str(raised.value)
    assert f"{tmp_path / 'run'} holds the finished run" in str(raised.value)
    assert Result.open(tmp_path / "run").status == "finished"


def test_unfinished_run_is_readable(tmp_path):
    scenario = Scenario(DAY, fault=Fault("raise", at_s=5400))
    with pytest.raises(CosimError):
        scenario.run(tmp_path / "run")
    result = Result.open(tmp_path / "run")
    assert result.status == "failed"
    assert result.provenance["simulated_s"] == 5400
    assert len(result.array("fault.power")["time"]) == 90
    assert result.indicators == {}


def test_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(CosimError, match=r"holds no run: it has no run\.json"):
        Result.open(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(CosimError, match="is not JSON"):
        Result.open(tmp_path)


def test_full_disk_ends_the_run_with_one_clear_error(tmp_path, monkeypatch):
    import cosim.engine.recorder as recorder

    write = recorder._write_table

    def full(path, table):
        if path.name == "part-1.parquet":
            raise OSError(28, "No space left on device")
        write(path, table)

    monkeypatch.setattr(recorder, "_write_table", full)
    with pytest.raises(CosimError, match=r"cannot record into .*: No space left on device; what was recorded before"):
        toy().run(tmp_path / "run")
    result = Result.open(tmp_path / "run")
    assert result.status == "failed"
    assert len(result.series("source.power")) >= 60


def test_comparison_shows_both_runs_and_the_difference(tmp_path):
    base = toy(indicators=energy).run(tmp_path / "base")
    plan = toy(indicators=energy).run(tmp_path / "plan")
    text = str(compare(base, plan))
    assert "base" in text
    assert "plan" in text
    assert "energy" in text


def spaced(folder, **how):
    scenario = Scenario(DAY, steps={"echo": 300}, source=Source(("b", "a")), echo=Echo(("b", "a")))
    scenario.connect("source.power", "echo.load")
    scenario.record("source.power", **how)
    return scenario.run(folder, double=True)


def test_recorded_means_preserve_the_integral(tmp_path):
    result = spaced(tmp_path / "run", every="10min")
    whole = toy().run(tmp_path / "whole", double=True)
    table = result.series("source.power")
    assert table.shape == (18, 2)
    np.testing.assert_allclose(table, whole.series("source.power").to_numpy().reshape(18, 10, 2).mean(axis=1))
    np.testing.assert_allclose(result.integral("source.power"), whole.integral("source.power"), rtol=1e-12)
    assert result.provenance["outputs"]["source.power"]["every_s"] == 600


@pytest.mark.parametrize(("keep", "of"), [("min", np.min), ("max", np.max), ("last", lambda v, axis: v[:, -1])])
def test_rows_hold_the_chosen_statistic(keep, of, tmp_path):
    result = spaced(tmp_path / "run", every=600, keep=keep)
    whole = toy().run(tmp_path / "whole", double=True).series("source.power").to_numpy()
    np.testing.assert_array_equal(result.series("source.power"), of(whole.reshape(18, 10, 2), axis=1))


def test_incomplete_last_window_is_recorded(tmp_path):
    result = spaced(tmp_path / "run", every="50min")
    whole = toy().run(tmp_path / "whole", double=True)
    assert len(result.series("source.power")) == 4
    np.testing.assert_allclose(result.integral("source.power"), whole.integral("source.power"), rtol=1e-12)


def test_states_are_thinned_from_the_start_on(tmp_path):
    scenario = toy()
    scenario.record("source.count", every="1h")
    assert scenario.run(tmp_path / "run").series("source.count")["a"].tolist() == [0.0, 60.0, 120.0, 180.0]


def test_calls_of_record_accumulate_and_the_last_one_applies(tmp_path):
    scenario = toy()
    scenario.record("*", every="1h")
    scenario.record("echo.*")
    result = scenario.run(tmp_path / "run")
    assert len(result.series("source.power")) == 3
    assert len(result.series("echo.received")) == 180


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"every": "90 s"}, "is recorded every 90 s: the interval must be a whole multiple of its step, 60 s"),
        ({"every": "6h"}, "record: every is 21600 s, longer than the run: write at most"),
        ({"every": "soon"}, "not a duration"),
        ({"keep": "median"}, "write 'mean', 'last', 'min' or 'max'"),
    ],
)
def test_impossible_recording_is_refused(how, words):
    scenario = toy()
    scenario.record("source.power", **how)
    with pytest.raises(CosimError, match=words):
        scenario.check()


@pytest.mark.parametrize("content", ["{}", "[]", "not json"])
def test_damaged_run_is_reported_as_damaged(content, tmp_path):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(CosimError, match=r"run\.json .*the file is damaged"):
        Result.open(tmp_path)


def test_damaged_indicators_are_named(tmp_path):
    toy(indicators=energy).run(tmp_path / "run")
    (tmp_path / "run" / "indicators.json").write_text("[1")
    with pytest.raises(CosimError, match=r"indicators\.json does not hold indicators .*the file is damaged"):
        _ = Result.open(tmp_path / "run").indicators
