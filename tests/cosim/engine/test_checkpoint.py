"""Resumed runs, which must leave the same bytes as uninterrupted ones."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from cosim import Adapter, Clock, CosimError, Output, Result, Scenario, ScenarioError
from cosim.engine.member import RunError
from cosim.engine.recorder import Recorder, RecordingError
from tests.support.paths import ROOT
from tests.support.toys import Echo, Ender, Fault, Patchy, Source, Tank


def bytes_of(folder):
    """Return every recorded byte of a run."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}


def coupled(fault="", at_s=0.0, hours=8, placement="inline", **options):
    """Return a scenario with different steps, delays, a feedback, missing values, and both ways of restoring."""
    scenario = Scenario(
        Clock("2025-01-15", hours=hours),
        steps={"tank": 180, "echo": 120},
        source=Fault(fault, at_s=at_s),
        echo=Echo(),
        tank=Tank(**options),
        patchy=Patchy([(k, k % 2) for k in range(90)]),
    )
    scenario.connect("source.power", "echo.load", delay=3, initial=5.0)
    scenario.connect("source.count", "echo.state", delay=2, initial=-3.0)
    scenario.connect("source.power", "tank.inflow", delay=1, initial=0.0)
    scenario.connect("echo.received", "source.feedback", delay=4, initial=0.0)
    scenario.connect("patchy.power", "tank.inflow", if_missing="hold", delay=2, initial=1.0)
    scenario.record("*")
    scenario.record("source.power", every="30min", keep="max")
    scenario.place(source=placement, tank=placement)
    return scenario


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    coupled().run(folder)
    return folder


@pytest.mark.parametrize("placement", ["inline", "thread", "process"])
@pytest.mark.parametrize("at_s", [60, 6 * 360, 6 * 360 - 60, 6 * 360 + 60, 17000, 8 * 3600 - 60])
def test_resumed_run_leaves_the_bytes_of_the_uninterrupted_one(at_s, placement, uninterrupted, tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(CosimError, match="division by zero in the model"):
        coupled("raise", at_s, placement=placement).run(folder, checkpoint_every=6 * 360)
    result = coupled(placement=placement).resume(folder)
    assert result.status == "finished"
    assert bytes_of(folder) == bytes_of(uninterrupted)
    whole = Result.open(uninterrupted)
    assert result.provenance["ledger"] == whole.provenance["ledger"]
    if at_s > 6 * 360:
        assert result.provenance["resumed_at_s"] == at_s // 2160 * 2160


def test_checkpoints_do_not_change_the_results_of_a_run(uninterrupted, tmp_path):
    coupled().run(tmp_path / "run", checkpoint_every="18min")
    assert bytes_of(tmp_path / "run") == bytes_of(uninterrupted)


def test_run_can_be_resumed_more_than_once(uninterrupted, tmp_path):
    for attempt, at_s in enumerate((4000, 4500, 15000, 24000)):
        scenario = coupled("raise", at_s)
        with pytest.raises(CosimError, match="division by zero"):
            scenario.run(tmp_path / "run", checkpoint_every=1080) if attempt == 0 else scenario.resume(tmp_path / "run")
    coupled().resume(tmp_path / "run")
    assert bytes_of(tmp_path / "run") == bytes_of(uninterrupted)


def test_only_the_newest_checkpoint_is_kept(tmp_path):
    coupled(hours=2).run(tmp_path / "run", checkpoint_every="18min")
    assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir() if p.name != "inputs"] == ["108"]


def test_incomplete_checkpoint_is_ignored(uninterrupted, tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(CosimError, match="division by zero"):
        coupled("raise", 17000).run(folder, checkpoint_every=2160)
    (folder / "checkpoints" / "999.tmp").mkdir()
    (folder / "checkpoints" / "9999").mkdir()
    coupled().resume(folder)
    assert bytes_of(folder) == bytes_of(uninterrupted)


def open_ended(after, fault="", at_s=0.0):
    scenario = Scenario(
        Clock("2025-01-15"), steps={"tank": 180}, ender=Ender(after), source=Fault(fault, at_s=at_s), tank=Tank()
    )
    scenario.connect("source.power", "tank.inflow")
    return scenario


@pytest.mark.parametrize("at_s", [4000, 30 * 60, 5640])
def test_open_ended_run_resumes_to_the_same_end(at_s, tmp_path):
    whole = open_ended(95).run(tmp_path / "whole")
    with pytest.raises(CosimError, match="division by zero"):
        open_ended(95, "raise", at_s).run(tmp_path / "run", checkpoint_every=1800)
    result = open_ended(95).resume(tmp_path / "run")
    assert result.provenance["simulated_s"] == whole.provenance["simulated_s"] == 95 * 60
    assert bytes_of(tmp_path / "run") == bytes_of(tmp_path / "whole")


class Forgetful(Adapter):
    def __init__(self):
        self.level = Output("1", ["x"], "mean")

    def advance(self, step):
        self.level.value = 1.0


def test_adapter_that_cannot_be_restored_is_named_before_anything_runs(tmp_path):
    scenario = Scenario(Clock("2025-01-15", hours=1), forgetful=Forgetful(), source=Source())
    with pytest.raises(ScenarioError) as raised:
        scenario.run(tmp_path / "run", checkpoint_every="10min")
    assert raised.value.problems == [
        "forgetful cannot be restored, neither by save() and load() nor by replay: implement both, or set "
        "replays = True on Forgetful if the same inputs always give the same outputs; or run without checkpoints"
    ]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("every", "words"),
    [
        ("7min", "whole multiple of 360 s, the common multiple of the steps of all adapters"),
        ("0h", "it must be positive"),
        ("soon", "not a duration"),
        ("3 km", "not a duration"),
        (-60, "must be positive"),
    ],
)
def test_checkpoints_at_impossible_times_are_refused(every, words, tmp_path):
    with pytest.raises(CosimError, match=words):
        coupled().run(tmp_path / "run", checkpoint_every=every)


def test_replay_with_different_outputs_is_refused(tmp_path):
    with pytest.raises(CosimError, match="division by zero"):
        coupled("raise", 7000, wanders=True).run(tmp_path / "run", checkpoint_every=2160)
    with pytest.raises(CosimError, match=r"tank failed while restoring from the checkpoint: its outputs changed"):
        coupled(wanders=True).resume(tmp_path / "run")


def test_run_that_cannot_be_resumed_is_refused_with_the_reason(tmp_path):
    coupled(hours=2).run(tmp_path / "done", checkpoint_every=2160)
    with pytest.raises(CosimError, match="is finished: there is nothing to resume"):
        coupled(hours=2).resume(tmp_path / "done")
    with pytest.raises(CosimError, match="division by zero"):
        coupled("raise", 7000).run(tmp_path / "without")
    with pytest.raises(CosimError, match="was run without checkpoints"):
        coupled().resume(tmp_path / "without")
    with pytest.raises(CosimError, match="holds no run"):
        coupled().resume(tmp_path / "nowhere")


def test_run_of_another_scenario_is_not_resumed(tmp_path):
    with pytest.raises(CosimError, match="division by zero"):
        coupled("raise", 7000).run(tmp_path / "run", checkpoint_every=2160)
    other = coupled(hours=9)
    other.seed = 3
    with pytest.raises(ScenarioError) as raised:
        other.resume(tmp_path / "run")
    assert raised.value.problems == [
        f"{tmp_path / 'run'} cannot be resumed: seed was 0, is now 3",
        f"{tmp_path / 'run'} cannot be resumed: clock 'n_steps' was 480, is now 540",
    ]


SCRIPT = '''
"""A run slow enough to be killed."""
import time
from cosim import Clock, Indicator, Scenario
from tests.support.toys import Source, Tank


class Slow(Source):
    def advance(self, step):
        time.sleep(0.004)
        super().advance(step)


def build(*, seed: int = 0) -> Scenario:
    scenario = Scenario(
        Clock("2025-01-15", hours=20), slow=Slow(seed=seed), tank=Tank(),
        indicators=lambda r: {"energy": Indicator(float(r.integral("slow.power").sum()), "J")},
    )
    scenario.connect("slow.power", "tank.inflow")
    scenario.place(tank="process")
    return scenario
'''


def command(folder, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", "from cosim.cli.app import main; main()", *arguments],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    (folder / "slow.py").write_text(textwrap.dedent(SCRIPT))
    run = command(folder, "run", "slow.py", "--seed", "4", "--out", "run", "--no-report")
    text, _ = run.communicate(timeout=300)
    assert run.returncode == 0, text
    return folder / "run"


@pytest.mark.parametrize("ending", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_killed_command_resumes_to_the_same_bytes(ending, whole, tmp_path):
    (tmp_path / "slow.py").write_text(textwrap.dedent(SCRIPT))
    run = command(tmp_path, "run", "slow.py", "--seed", "4", "--out", "run", "--no-report", "--checkpoint-every", "1h")
    deadline = time.monotonic() + 300
    while not (tmp_path / "run" / "checkpoints" / "300").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    run.send_signal(getattr(signal, ending))
    run.communicate(timeout=180)
    assert run.returncode == {"SIGKILL": -9, "SIGTERM": 130, "SIGINT": 130}[ending]
    again = command(tmp_path, "resume", "run", "--no-report")
    text, _ = again.communicate(timeout=120)
    assert again.returncode == 0, text
    assert "energy" in text
    assert bytes_of(tmp_path / "run") == bytes_of(whole)
    assert (tmp_path / "run" / "indicators.json").read_bytes() == (whole / "indicators.json").read_bytes()


def test_events_are_written_during_the_run(tmp_path):
    with pytest.raises(CosimError, match="division by zero"):
        coupled("raise", 17000).run(tmp_path / "run")
    # as after kill -9: only what the recorder wrote before it was closed
    events = Result.open(tmp_path / "run").events
    assert {"seventh", "missing", "present"} <= set(events["kind"])
    assert events["time"].is_monotonic_increasing


def test_a_disk_that_is_found_full_at_a_checkpoint_ends_the_run_with_the_time(tmp_path, monkeypatch):
    def save(*_):
        raise RecordingError("cannot record into here: No space left on device")

    monkeypatch.setattr(Recorder, "save", save)
    with pytest.raises(RunError, match=r"recording failed at 2025-01-15 01:00.*No space left"):
        coupled().run(tmp_path / "run", checkpoint_every="1h")


def test_provenance_of_a_resumed_run_states_where_it_resumed(tmp_path):
    with pytest.raises(CosimError, match="division by zero"):
        coupled("raise", 7000).run(tmp_path / "run", checkpoint_every=2160, double=True)
    coupled().resume(tmp_path / "run")
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["resumed_at_s"] == 6480
    assert about["recording"] == {"double": True, "checkpoint_every": 36}
    assert Result.open(tmp_path / "run").series("source.count").dtypes.unique() == [np.float64]
