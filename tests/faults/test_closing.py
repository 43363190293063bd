"""The end of a run that fails, is interrupted or terminated: adapters are closed, and the record says how it ended."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from cosim import Clock, CosimError, Result, Scenario
from tests.support.paths import ROOT
from tests.support.toys import Echo, Fault, Licensed, Source


def ends(condition, timeout_s=120.0):
    deadline = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@pytest.mark.parametrize("licensed_hangs", [False, True])
def test_worker_returns_its_licence_when_another_adapter_fails(licensed_hangs, tmp_path):
    licence = tmp_path / "licence"
    scenario = Scenario(
        Clock("2025-01-15", hours=3),
        licensed=Licensed(licence, hangs=licensed_hangs),
        fault=Fault("raise", at_s=60, slow_s=0.2),
    )
    scenario.place(licensed="process", fault="process")
    with pytest.raises(CosimError, match="division by zero"):
        scenario.run(tmp_path / "run")
    assert (tmp_path / "was held").exists()
    assert not licence.exists()


def test_worker_beyond_its_time_limit_returns_its_licence(tmp_path):
    licence = tmp_path / "licence"
    scenario = Scenario(Clock("2025-01-15", hours=3), licensed=Licensed(licence, hangs=True))
    scenario.place(licensed="process")
    with pytest.raises(CosimError, match="took longer than 1 s"):
        scenario.run(tmp_path / "run", timeout_s=1)
    assert not licence.exists()


def test_worker_whose_opening_fails_is_closed(tmp_path):
    licence = tmp_path / "licence"
    scenario = Scenario(Clock("2025-01-15", hours=3), licensed=Licensed(licence, fails_to_open=True))
    scenario.place(licensed="process")
    with pytest.raises(CosimError, match="no seat is free"):
        scenario.run(tmp_path / "run")
    assert not licence.exists()


def test_workers_that_ignore_the_request_to_end_are_killed_together(tmp_path):
    stubborn = {f"stubborn{k}": Licensed(tmp_path / str(k), hangs=True, stubborn=True) for k in range(3)}
    scenario = Scenario(Clock("2025-01-15", hours=3), fault=Fault("raise", at_s=60, slow_s=0.5), **stubborn)
    scenario.place(**dict.fromkeys([*stubborn, "fault"], "process"))
    with pytest.raises(CosimError, match="division by zero") as raised:
        scenario.run(tmp_path / "run")
    assert raised.value is not None
    about = Result.open(tmp_path / "run").provenance
    assert about["status"] == "failed"
    assert [(tmp_path / str(k)).exists() for k in range(3)] == [True] * 3  # killed in the midst


SCRIPT = """
    import sys
    from cosim import Clock, Indicator, Scenario
    from tests.support.toys import Licensed, Source

    class Slow(Source):
        def advance(self, step):
            import time
            time.sleep(0.01)
            super().advance(step)

    def build(*, seed: int = 0, hours: float = 24):
        scenario = Scenario(
            Clock("2025-01-15", hours=hours), slow=Slow(), licensed=Licensed("licence"),
            indicators=lambda r: {"energy": Indicator(float(r.integral("slow.power").sum()), "J")},
        )
        scenario.place(licensed="process")
        return scenario

    if __name__ == "__main__":
        build().run("out")
    """


def started(folder, *command):
    (folder / "script.py").write_text(textwrap.dedent(SCRIPT))
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def test_terminated_script_records_that_it_was_interrupted_and_ends_by_the_signal(tmp_path):
    process = started(tmp_path, "script.py")
    assert ends((tmp_path / "out" / "series" / "slow.power" / "part-0.parquet").exists)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGTERM, errors
    about = json.loads((tmp_path / "out" / "run.json").read_text())
    assert about["status"] == "interrupted"
    assert not (tmp_path / "licence").exists()


CLI = ("-c", "from cosim.cli.app import main; main()", "run", "script.py", "--out", "out", "--no-report")


@pytest.mark.parametrize(
    ("options", "after", "words"),
    [
        ([], "series/slow.power/part-0.parquet", "without checkpoints it cannot be resumed: run it again"),
        (["--checkpoint-every", "30min"], "checkpoints/30", "cosim resume out continues from its last checkpoint"),
        (["--checkpoint-every", "12h"], "series/slow.power/part-0.parquet", "cosim resume out starts it again"),
    ],
)
def test_interrupted_command_says_what_can_be_done_with_what_is_left(options, after, words, tmp_path):
    process = started(tmp_path, *CLI, *options)
    assert ends((tmp_path / "out" / after).exists)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert words in errors
    assert errors.count("resume") == 1 or not options


def complete_but_interrupted(folder, monkeypatch):
    def pressed(_):
        raise KeyboardInterrupt

    scenario = Scenario(Clock("2025-01-15", hours=1), indicators=pressed, source=Source(), echo=Echo())
    scenario.connect("source.power", "echo.load")
    with pytest.raises(KeyboardInterrupt, match=r"scenario.resume\(.*\) computes its indicators"):
        scenario.run(folder)
    return scenario


def test_run_interrupted_after_its_simulated_end_is_resumed_to_its_indicators(tmp_path, monkeypatch):
    from cosim import Indicator, compare

    scenario = complete_but_interrupted(tmp_path / "run", monkeypatch)
    before = {p.name: p.read_bytes() for p in (tmp_path / "run" / "series").rglob("*.parquet")}
    assert Result.open(tmp_path / "run").status == "finished"
    with pytest.raises(CosimError, match="resume it if it was interrupted while they were computed"):
        compare(Result.open(tmp_path / "run"), Result.open(tmp_path / "run"), names=["a", "b"])
    scenario.indicators = lambda r: {"rows": Indicator(len(r.series("source.power")), "1")}
    result = scenario.resume(tmp_path / "run")
    assert result.indicators["rows"].value == 60
    assert {p.name: p.read_bytes() for p in (tmp_path / "run" / "series").rglob("*.parquet")} == before
    with pytest.raises(CosimError, match="there is nothing to resume"):
        scenario.resume(tmp_path / "run")


def test_ctrl_c_while_the_last_rows_are_written_loses_none_of_them(tmp_path, monkeypatch):
    from cosim.engine.recorder import Recorder

    close = Recorder.close

    def pressed(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        close(self)

    scenario = Scenario(Clock("2025-01-15", hours=1), source=Source())
    monkeypatch.setattr(Recorder, "close", pressed)
    with pytest.raises(KeyboardInterrupt):
        scenario.run(tmp_path / "run")
    result = Result.open(tmp_path / "run")
    assert result.status == "finished"
    assert len(result.series("source.power")) == 60


def test_only_an_unfinished_run_is_overwritten_and_only_when_asked(tmp_path):
    def scenario(fault=""):
        return Scenario(Clock("2025-01-15", hours=1), source=Fault(fault) if fault else Source())

    out = tmp_path / "run"
    with pytest.raises(CosimError, match="division by zero"):
        scenario("raise").run(out)
    with pytest.raises(CosimError, match=r"is not empty: pass another folder, or overwrite=True \(--overwrite\)"):
        scenario().run(out)
    (out / "logs").mkdir(exist_ok=True)
    (out / "logs" / "old.log").touch()
    assert scenario().run(out, overwrite=True).status == "finished"
    assert not (out / "logs" / "old.log").exists()
    with pytest.raises(CosimError, match="holds a finished run, which is not overwritten"):
        scenario().run(out, overwrite=True)
    about = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps(about | {"status": "running"}))
    with pytest.raises(CosimError, match="may still be running"):
        scenario().run(out, overwrite=True)
    for path in (*out.rglob("*"), out):
        os.utime(path, (1e9, 1e9))
    assert scenario().run(out, overwrite=True).status == "finished"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").touch()
    with pytest.raises(CosimError, match="is not empty: pass another folder, or remove its contents"):
        scenario().run(tmp_path / "other", overwrite=True)
