"""The runs of a study: each is done once, in its own process, despite failures and interruptions."""

import json
import re
import signal

import pytest

from cosim import Result
from cosim.study.specification import read_study

from .conftest import faults_of, wait_for

FAULTS = "raise:1,0;kill:1,1;exit:2,0;segv:2,1"


def test_runs_have_their_own_processes_and_finished_runs_are_not_repeated(place):
    place.study("Study(build, x=[0.0, 1.0], seeds=2)")
    done = place.cosim("study", "study.py", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert "4 done" in done.stdout
    lines = (place.folder / "attempts").read_text().splitlines()
    assert len({line.split()[0] for line in lines}) == len(lines) == 4
    again = place.cosim("study", "study.py", "--resume")
    assert again.returncode == 0, again.stderr
    assert len(place.attempts()) == 4
    table = (place.folder / "studies" / "toy" / "table.csv").read_text().splitlines()
    assert len(table) == 5
    assert table[0] == "run,point,x,seed,energy"


def test_failures_have_reasons_and_crashes_are_retried_while_other_runs_complete(place):
    place.study("Study(build, x=[0.0, 1.0, 2.0, 3.0], seeds=2)")
    done = place.cosim("study", "study.py", faults=FAULTS)
    assert done.returncode == 1
    assert "4 done, 4 failed" in done.stdout
    for words in (
        "x=1.0, seed=0: error: ValueError: the demand of 3 zones is negative (toy.py, line ",
        "x=1.0, seed=1: crash: its process was killed by SIGKILL (in 2 attempts)",
        "x=2.0, seed=0: crash: its process ended with exit code 7 (in 2 attempts)",
        "x=2.0, seed=1: crash: its process was killed by SIGSEGV",
    ):
        assert words in done.stdout
        assert words in done.stderr  # as they occur
    assert "Traceback" not in done.stdout + done.stderr
    attempts = place.attempts()
    assert attempts.count("1 a 0") == 1
    assert attempts.count("1 a 1") == attempts.count("2 a 0") == attempts.count("2 a 1") == 2
    # Without --resume, failed runs are not retried; with it, only they are.
    place.cosim("study", "study.py")
    assert len(place.attempts()) == len(attempts)
    mended = place.cosim("study", "study.py", "--resume")
    assert mended.returncode == 0, mended.stderr
    assert sorted(place.attempts()[len(attempts) :]) == ["1 a 0", "1 a 1", "2 a 0", "2 a 1"]
    assert "8 done" in place.cosim("study", "study.py", "--status").stdout


def test_runs_beyond_their_time_or_memory_limit_are_ended(place):
    place.study("Study(build, x=[0.0, 1.0, 2.0])", "study.run(timeout='6s', memory='700MB')")
    done = place.cosim("study", "study.py", "--status")
    assert "3 missing" in done.stdout, done.stderr  # the command only loads a script that runs its study
    done = place.python(
        "study = Study(build, x=[0.0, 1.0, 2.0])\nstudy.run(timeout='20s', memory='700MB')\nprint(study.status())",
        faults="hang:1,0;memory:2,0",
    )
    assert "1 done, 2 failed" in done.stdout, done.stderr
    assert "x=1.0, seed=0: timeout: took longer than 20 s" in done.stdout
    assert re.search(r"x=2.0, seed=0: memory: held \d.* GB of memory, more than 0.7 GB", done.stdout)
    assert place.processes() == []


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_loses_only_the_runs_in_flight(place, workers):
    place.study("Study(build, x=[0.0, 1.0, 2.0], seeds=2)")
    running = place.start("study", "study.py", "--workers", workers, faults="hang:2,0;hang:2,1")
    wait_for(lambda: place.attempts()[-1:] and place.attempts()[-1].startswith("2 "))
    wait_for(lambda: len(list(place.folder.glob("studies/toy/runs/*/done.json"))) == 4)
    assert "1 running" in place.cosim("study", "study.py", "--status").stdout or workers == 2
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 130, err
    assert "interrupted: finished runs are kept" in err
    assert "Traceback" not in out + err
    wait_for(lambda: place.processes() == [])
    assert "4 done" in place.cosim("study", "study.py", "--status").stdout
    n = len(place.attempts())
    assert place.cosim("study", "study.py").returncode == 0
    assert all(line.startswith("2 ") for line in place.attempts()[n:])


def test_killed_study_leaves_no_process_and_loses_only_the_runs_in_flight(place):
    place.study("Study(build, x=[0.0, 1.0, 2.0], seeds=2)")
    running = place.start("study", "study.py", "--workers", 2, faults="hang:2,0;hang:2,1")
    wait_for(lambda: len([line for line in place.attempts() if line.startswith("2 ")]) == 2)
    wait_for(lambda: len(list(place.folder.glob("studies/toy/runs/*/done.json"))) == 4)
    running.kill()
    running.communicate()
    wait_for(lambda: place.processes() == [])
    assert place.cosim("study", "study.py", "--status").stdout.strip() == "4 done, 2 interrupted"
    n = len(place.attempts())
    assert place.cosim("study", "study.py", "--resume").returncode == 0
    assert sorted(place.attempts()[n:]) == ["2 a 0", "2 a 1"]
    assert not list(place.folder.glob("studies/toy/runs/*/scratch*"))


def test_a_study_cannot_be_run_by_two_processes(place):
    place.study("Study(build, x=[0.0])")
    running = place.start("study", "study.py", faults="hang:0,0")
    wait_for(place.attempts)
    other = place.cosim("study", "study.py")
    running.terminate()
    running.communicate()
    assert other.returncode == 1
    assert f"is being run by process {running.pid}" in " ".join(other.stderr.split())


@pytest.mark.slow
@pytest.mark.alone
def test_only_runs_with_changed_inputs_are_repeated(place):
    data, helper = place.write("demand.csv", "1\n"), place.write("zones.py", "N = 3\n")
    declared = place.write("net.xml", "<net/>")
    place.write(
        "toy.py",
        place.folder.joinpath("toy.py").read_text()
        + f"""
def reading(x: float, seed: int = 0):
    import zones
    scenario = build(x, seed=seed)
    if x == 1:
        open({str(data)!r}).read()
    if x == 2:
        scenario.adapters["source"].files = [__import__("pathlib").Path({str(declared)!r})]
    return scenario
""",
    )
    place.write("study.yaml", "builder: toy.py:reading\nfactors: {x: [0.0, 1.0, 2.0]}\n")

    def ran(*options):
        n = len(place.attempts())
        done = place.cosim("study", "study.yaml", *(options or ["--rerun-changed"]))
        assert done.returncode == 0, done.stderr
        return sorted(line.split()[0] for line in place.attempts()[n:])

    assert ran() == ["0", "1", "2"]
    assert ran() == []
    data.write_text("2\n")
    asked = place.cosim("study", "study.yaml")
    assert asked.returncode == 1
    assert f"  1 changed: {data} has changed; repeat with --rerun-changed" in asked.stdout
    assert len(place.attempts()) == 3
    study, _ = read_study(place.folder / "study.yaml", place.folder / "studies" / "study")
    assert study.table().x.tolist() == [0.0, 2.0]  # results for other inputs are not shown
    assert ran() == ["1"]
    declared.write_text("<net></net>")
    assert ran() == ["2"]
    helper.write_text("N = 4\n")
    assert ran() == ["0", "1", "2"]
    helper.write_text("N = 4  # zones\n")
    assert ran() == []
    toy = place.folder.joinpath("toy.py").read_text()
    place.write("toy.py", toy.replace("import zones", "import zones  # of the district"))
    assert ran() == []
    place.write("toy.py", toy.replace("scenario = build(x, seed=seed)", "scenario = build(x + 1, seed=seed)"))
    assert ran() == ["1", "2", "3"]
    assert ran() == []


def test_a_script_needs_no_guard_and_prints_once(place):
    done = place.python("print('loaded')\nprint(Study(build, x=[0.0, 1.0]).run(workers=2))")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("loaded") == 1
    assert len(place.attempts()) == 2


def test_values_of_classes_in_the_script_itself_reach_its_runs(place):
    done = place.python(
        "class Level:\n    def __init__(self, x):\n        self.x = x\n"
        "def with_level(level, seed):\n    assert type(level) is Level\n    return build(level.x, seed=seed)\n"
        "study = Study(with_level, level={'low': Level(0.0), 'high': Level(5.0)}, seeds=[3])\n"
        "print(study.run().energy.diff().iloc[1])\n"
    )
    assert float(done.stdout) == pytest.approx(5.0), done.stderr
    assert "2 done" in place.cosim("study", "script.py", "--status").stdout


@pytest.mark.parametrize(
    ("record", "series"), [("indicators", []), ("['echo.*']", ["echo.received", "echo.seen"]), ("everything", None)]
)
def test_only_the_requested_part_of_a_result_stays_on_disk(place, record, series):
    record = record if record.startswith("[") else repr(record)
    assert place.python(f"Study(build).run(record={record})").returncode == 0
    (folder,) = place.folder.glob("studies/script/runs/*/result")
    result = Result.open(folder)
    assert result.indicators["energy"].unit == "kWh"
    everything = ["source.power", "source.count", "echo.received", "echo.seen"]
    assert result.ports == (everything if series is None else series)
    assert sorted(p.name for p in folder.glob("series/*")) == sorted(result.ports)
    assert not list(folder.parent.glob("scratch*"))


def test_a_killed_run_resumes_from_its_checkpoint_to_the_same_result(place):
    place.write(
        "toy.py",
        (place.folder / "toy.py").read_text()
        + """
def killed_once(kill: bool, seed: int = 0):
    scenario = build(hours=1, seed=seed)
    source, advance = scenario.adapters["source"], scenario.adapters["source"].advance

    def dies(step):
        if kill and step.start_s == 1800 and len(ATTEMPTS.read_text().splitlines()) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        advance(step)

    source.advance = dies
    return scenario
""",
    )
    place.write(
        "study.yaml", "builder: toy.py:killed_once\nfactors: {kill: [true, false]}\nrun: {checkpoint_every: 10min}\n"
    )
    done = place.cosim("study", "study.yaml")
    assert done.returncode == 0, done.stderr
    assert len(place.attempts()) == 3
    abouts = [json.loads(path.read_text()) for path in place.folder.glob("studies/study/runs/*/result/run.json")]
    assert sorted(about.get("resumed_at_s", 0) for about in abouts) == [0, 1800]
    one, two = (json.loads(path.read_text()) for path in place.folder.glob("studies/study/runs/*/done.json"))
    assert one["indicators"] == two["indicators"]


def test_status_reports_a_damaged_marker(place):
    place.study("Study(build)")
    place.cosim("study", "study.py")
    (marker,) = place.folder.glob("studies/toy/runs/*/done.json")
    marker.write_text('{"inputs"')
    done = place.cosim("study", "study.py", "--status")
    assert done.returncode == 1
    assert "is damaged" in done.stderr


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(3600)
def test_a_thousand_runs_with_five_per_cent_killed_hung_or_raising(place):
    place.write(
        "study.yaml",
        f"""
        builder: toy.py
        factors: {{x: {list(map(float, range(1000)))}}}
        run: {{workers: 2, timeout: 30s, retries: 0}}
        """,
    )
    kinds = ("raise", "kill") * 12 + ("hang",)
    done = place.cosim("study", "study.yaml", faults=faults_of(1000, 20, kinds), timeout_s=3000)
    assert "950 done, 50 failed" in done.stdout, done.stdout + done.stderr
    for words, count in (("negative (toy.py", 24), ("killed by SIGKILL", 24), ("took longer than 30 s", 2)):
        assert done.stdout.count(words) == count
    n = len(place.attempts())
    assert n == 1000
    assert place.cosim("study", "study.yaml", "--resume", timeout_s=3000).returncode == 0
    assert len(place.attempts()) == 1050
    assert place.processes() == []


@pytest.mark.parametrize("ending", ["timeout", "interrupt"])
def test_a_run_that_is_ended_closes_its_adapters(place, ending):
    place.write(
        "toy.py",
        (place.folder / "toy.py").read_text()
        + """
from tests.support.toys import Licensed

def licensed(seed: int = 0):
    parts = {name: Licensed(HERE / name, hangs=name == "inline") for name in ("inline", "worker")}
    scenario = Scenario(Clock("2025-01-15", hours=1), **parts)
    scenario.place(inline="process", worker="process")
    return scenario
""",
    )
    limit = "{timeout: 25}" if ending == "timeout" else "{}"
    place.write("study.yaml", f"builder: toy.py:licensed\nrun: {limit}\n")
    running = place.start("study", "study.yaml")
    wait_for(lambda: (place.folder / "inline").exists() and (place.folder / "worker").exists())
    if ending == "interrupt":
        running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=120)
    assert running.returncode == {"timeout": 1, "interrupt": 130}[ending], err
    # an interrupted command does not wait for a run that closes its adapters
    wait_for(lambda: not (place.folder / "inline").exists() and not (place.folder / "worker").exists())


def test_a_builder_from_standard_input_is_refused_in_one_line_and_leaves_no_folder(place):
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-"],
        input=place.folder.joinpath("toy.py").read_text().replace("Path(__file__).parent", "Path()")
        + "\ntry:\n    Study(build).run()\nexcept Exception as error:\n    print(type(error).__name__, error)\n",
        cwd=place.folder,
        capture_output=True,
        text=True,
        env=place.environment,
    )
    assert "the builder build is defined in <stdin>, which the process of a run cannot read again" in done.stdout, (
        done.stderr
    )
    assert "save the script to a file" in done.stdout
    assert not (place.folder / "studies").exists()
