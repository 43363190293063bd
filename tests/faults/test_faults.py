"""Failing runs, which must end at once, name the cause and keep what was recorded."""

import os
import subprocess
import sys
import textwrap
import time

import pytest

from cosim import Clock, CosimError, Result, Scenario, ScenarioError
from tests.support.toys import Echo, Fault, Source


def failing(fault, placement):
    scenario = Scenario(Clock("2025-01-15", hours=3), fault=Fault(fault, at_s=3600 + 120), other=Source(), echo=Echo())
    scenario.connect("fault.power", "echo.load")
    scenario.place(fault=placement, other=placement)
    return scenario


CAUSES = {
    "raise": "fault failed at 2025-01-15 01:02:00: ZeroDivisionError: division by zero in the model (toys.py, line",
    "leave": "fault failed at 2025-01-15 01:02:00: SystemExit: 0 (toys.py, line",
    "nan": "fault failed at 2025-01-15 01:02:00: fault.power['b'] is nan: every element must be a finite number",
    "shape": "fault failed at 2025-01-15 01:02:00: fault.power expects shape (2,), got (3,)",
    "forget": "fault failed at 2025-01-15 01:02:00: fault.power was not assigned in advance()",
    "in place": "assignment destination is read-only",
    "input": "assignment destination is read-only",
}


@pytest.mark.parametrize("placement", ["inline", "thread", "process"])
@pytest.mark.parametrize("fault", CAUSES)
def test_adapter_that_fails_is_named_with_time_and_cause(fault, placement, tmp_path):
    with pytest.raises(CosimError) as raised:
        failing(fault, placement).run(tmp_path / "run")
    assert CAUSES[fault] in str(raised.value)
    assert "\n" not in str(raised.value)
    result = Result.open(tmp_path / "run")
    assert result.status == "failed"
    assert result.provenance["error"] == str(raised.value)
    assert len(result.series("fault.power")) == 62
    assert len(result.series("echo.received")) >= 61


@pytest.mark.parametrize(("fault", "words"), [("kill", "was killed by SIGKILL"), ("exit", "ended with exit code 7")])
def test_worker_that_dies_ends_the_run(fault, words, tmp_path):
    with pytest.raises(CosimError, match=f"fault failed at 2025-01-15 01:02:00: its worker process {words}"):
        failing(fault, "process").run(tmp_path / "run")
    assert len(Result.open(tmp_path / "run").series("fault.power")) == 62


def test_worker_that_hangs_is_ended_after_its_timeout(tmp_path):
    with pytest.raises(CosimError, match=r"fault failed at .* took longer than 1 s: its worker was ended"):
        failing("hang", "process").run(tmp_path / "run", timeout_s=1)


@pytest.mark.parametrize("placement", ["inline", "process"])
def test_events_of_the_step_that_failed_are_kept(placement, tmp_path):
    with pytest.raises(CosimError, match="division by zero"):
        failing("report and raise", placement).run(tmp_path / "run")
    (event,) = Result.open(tmp_path / "run").events.to_dict("records")
    assert (event["adapter"], event["kind"], event["element"]) == ("fault", "weak", "a")


def test_timeout_can_be_given_by_adapter(tmp_path):
    scenario = failing("hang", "process")
    with pytest.raises(CosimError, match=r"fault failed at .* took longer than 1 s: its worker was ended"):
        scenario.run(tmp_path / "run", timeout_s={"fault": 1.0})
    assert len(Result.open(tmp_path / "run").series("fault.power")) == 62


def test_timeouts_that_cannot_be_enforced_are_refused(tmp_path):
    scenario = failing("hang", "thread")
    with pytest.raises(ScenarioError) as raised:
        scenario.run(tmp_path / "run", timeout_s={"fault": 1.0, "ghost": 1.0})
    assert raised.value.problems == [
        "timeout_s names 'ghost': unknown adapter",
        "timeout_s of fault: its placement is 'thread', and only a worker process can be ended; call "
        "scenario.place(fault='process')",
    ]
    with pytest.raises(ScenarioError, match="timeout_s is 0: it must be a positive number"):
        failing("hang", "process").run(tmp_path / "run", timeout_s=0)


def test_processes_started_by_a_worker_end_with_it(tmp_path):
    scenario = failing("spawn and hang", "process")
    with pytest.raises(CosimError, match="took longer than 2 s"):
        scenario.run(tmp_path / "run", timeout_s=2)
    child = int((tmp_path / "run" / "adapters" / "fault" / "child").read_text())
    deadline = time.monotonic() + 60
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(child)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_class_of_the_script_itself_is_refused_in_a_worker_with_the_remedy():
    class Local(Source):
        pass

    Local.__module__ = "__main__"
    scenario = Scenario(Clock("2025-01-15", hours=1), local=Local())
    scenario.place(local="process")
    with pytest.raises(ScenarioError, match=r"Local is defined in the script itself.*scenario.place\(local='inline'\)"):
        scenario.check()


def test_adapter_that_cannot_be_pickled_is_refused_with_the_reason(tmp_path):
    source = Source()
    source.door = lambda: None
    scenario = Scenario(Clock("2025-01-15", hours=1), source=source)
    scenario.place(source="process")
    with pytest.raises(CosimError, match="must be picklable until open"):
        scenario.run(tmp_path / "run")


SCRIPT = """
from cosim import Adapter, Clock, Output, Scenario
from tests.support.toys import Source

class Mine(Adapter):
    def __init__(self):
        self.level = Output("1", ["a"], "mean")
    def advance(self, step):
        self.level.value = step.end_s

scenario = Scenario(Clock("2025-01-15", hours=1), mine=Mine(), source=Source())
scenario.place(source="process")
result = scenario.run("out")
print(len(result.series("source.power")), len(result.series("mine.level")))
"""


def run_script(text, folder, **options):
    (folder / "script.py").write_text(textwrap.dedent(text))
    root = os.getcwd()
    return subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": root},
        **options,
    )


def test_worker_ignores_a_file_named_like_a_standard_module(tmp_path):
    (tmp_path / "selectors.py").write_text("raise SystemExit('not the real one')")
    (tmp_path / "run.py").write_text(
        "import sys; sys.path.pop(0)\n"
        "from cosim import Clock, Scenario\nfrom tests.support.toys import Source\n"
        "scenario = Scenario(Clock('2025-01-15', hours=1), source=Source())\n"
        "scenario.place(source='process')\nprint(len(scenario.run('out').series('source.power')))\n"
    )
    done = subprocess.run(
        [sys.executable, "run.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    )
    assert done.stdout.split() == ["60"], done.stderr


def test_script_without_main_guard_runs_with_workers(tmp_path):
    done = run_script(SCRIPT, tmp_path)
    assert done.stdout.split() == ["60", "60"], done.stderr


def children_of(marker):
    found = []
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                command = file.read()
            with open(f"/proc/{entry}/environ", "rb") as file:
                environment = file.read()
        except (OSError, ValueError):
            continue
        if b"cosim._worker" in command and marker.encode() in environment:
            found.append(int(entry))
    return found


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks for processes in /proc")
@pytest.mark.parametrize("signal_name", ["SIGINT", "SIGKILL"])
def test_interrupted_run_leaves_no_worker_and_keeps_what_was_recorded(signal_name, tmp_path):
    import signal

    marker = f"COSIM_TEST_{tmp_path.name}_{os.getpid()}"
    (tmp_path / "script.py").write_text(
        textwrap.dedent("""
        from cosim import Clock, Scenario
        from tests.support.toys import Source
        class Slow(Source):
            def advance(self, step):
                import time
                time.sleep(0.01)
                super().advance(step)
        scenario = Scenario(Clock("2025-01-15", hours=24), slow=Slow(), worker=Source())
        scenario.connect("slow.power", "worker.feedback")
        scenario.place(worker="process")
        scenario.run("out")
        """)
    )
    process = subprocess.Popen(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.getcwd(), marker: "1"},
    )
    first = tmp_path / "out" / "series" / "slow.power" / "part-1.parquet"
    deadline = time.monotonic() + 60
    while not first.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(getattr(signal, signal_name))
    _, errors = process.communicate(timeout=120)
    assert process.returncode != 0
    deadline = time.monotonic() + 60
    while children_of(marker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert children_of(marker) == []
    result = Result.open(tmp_path / "out")
    assert len(result.series("slow.power")) >= 120
    assert result.status == ("interrupted" if signal_name == "SIGINT" else "running"), errors
