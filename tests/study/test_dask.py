"""Do runs survive what becomes of Dask: workers killed, the scheduler killed, jobs of a cluster?"""

import os
import signal
import socket
import stat
import subprocess
import sys

import psutil
import pytest

from .conftest import faults_of, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def dask(place):
    """Start a scheduler and workers on loopback; end what is left of them."""
    started = []

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments, "--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"],
            cwd=place.folder, env=place.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        started.append(process)
        return process

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    scheduler = start("distributed.cli.dask_scheduler", "--port", str(port))
    address = f"tcp://127.0.0.1:{port}"
    workers = [
        start("distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny", "--death-timeout", "20")
        for _ in range(2)
    ]
    yield address, scheduler, workers
    for process in started:
        process.kill()
        process.wait()


def done(place):
    return len(list(place.folder.glob("studies/toy/runs/*/done.json")))


def descendants(process):
    return [child.pid for child in psutil.Process(process.pid).children(recursive=True)]


def test_a_worker_that_is_killed_loses_no_run(place, dask):
    address, _, workers = dask
    place.study("Study(build, x=[float(x) for x in range(16)], sleep_s=1.0)")
    running = place.start("study", "study.py", "--scheduler", address)
    wait_for(lambda: done(place) >= 3)
    theirs = descendants(workers[0])
    assert theirs  # the server of runs
    workers[0].kill()
    out, err = running.communicate(timeout=180)
    assert running.returncode == 0, err
    assert "16 done" in out
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in theirs))


def test_a_scheduler_that_is_killed_ends_the_study_with_what_is_done_and_resume_does_the_rest(place, dask):
    address, scheduler, _ = dask
    place.study("Study(build, x=[float(x) for x in range(12)], sleep_s=1.0)")
    running = place.start("study", "study.py", "--scheduler", address, faults="raise:0,0")
    wait_for(lambda: done(place) >= 3)
    os.kill(scheduler.pid, signal.SIGKILL)
    out, err = running.communicate(timeout=180)
    assert running.returncode == 1
    assert "the Dask scheduler has gone with" in " ".join(err.split()), err
    assert "Traceback" not in out + err
    before, n = done(place), len(place.attempts())
    assert 3 <= before < 12
    resumed = place.cosim("study", "study.py", "--resume", "--workers", "2")
    assert resumed.returncode == 0, resumed.stderr
    assert "12 done" in resumed.stdout
    # the workers may have ended what they were at meanwhile
    assert len(place.attempts()) - n <= 12 - before


@pytest.mark.timeout(3600)
def test_of_a_thousand_runs_a_killed_scheduler_loses_those_in_flight(place, dask):
    address, scheduler, _ = dask
    place.study("Study(build, x=[float(x) for x in range(1000)])")
    running = place.start("study", "study.py", "--scheduler", address, faults=faults_of(1000, 20, ("raise", "kill")))
    wait_for(lambda: done(place) >= 200, timeout_s=900)
    scheduler.kill()
    _, err = running.communicate(timeout=180)
    assert "the Dask scheduler has gone with" in " ".join(err.split())
    # the workers may be at a run each, which they end
    before = {path.parent.name for path in place.folder.glob("studies/toy/runs/*/done.json")}
    n = len(place.attempts())
    resumed = place.cosim("study", "study.py", "--resume", "--workers", "2", timeout_s=3000)
    assert resumed.returncode == 0, resumed.stderr
    assert "1000 done" in resumed.stdout
    assert len(place.attempts()) - n <= 1000 - len(before)


def test_dask_listens_on_loopback_alone_also_within_a_study(place, dask):
    _, scheduler, workers = dask
    place.study("Study(build, x=[0.0, 1.0], sleep_s=4.0)")
    running = place.start("study", "study.py", "--workers", "2")
    wait_for(lambda: len(place.attempts()) == 2)
    ours = [running.pid, *descendants(running)]
    for pid in [scheduler.pid, *(worker.pid for worker in workers), *ours]:
        for one in psutil.Process(pid).net_connections():
            if one.status == psutil.CONN_LISTEN:
                assert one.laddr.ip == "127.0.0.1", psutil.Process(pid).cmdline()
    running.communicate(timeout=120)


def test_a_scheduler_that_is_not_there_is_named(place):
    place.study("Study(build)")
    done = place.cosim("study", "study.py", "--scheduler", "tcp://127.0.0.1:9")
    assert done.returncode == 1
    assert "there is no Dask scheduler at tcp://127.0.0.1:9" in " ".join(done.stderr.split())


def test_jobs_of_a_cluster_do_the_runs(place):
    # sbatch and scancel as SLURM's: one keeps the job's script, starts it and prints its number, the other ends it
    folder = place.folder / "bin"
    folder.mkdir()
    for name, text in (
        ("sbatch", 'cp "$1" script.sh; setsid bash script.sh > job.log 2>&1 & echo "Submitted batch job $!"'),
        ("scancel", 'for job in "$@"; do kill -- "-$job" 2> /dev/null; done; true'),
    ):
        path = folder / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    place.environment["PATH"] = f"{folder}:{os.environ['PATH']}"
    place.write("slurm.yaml", """
        jobs: 1
        cores: 2
        memory: 2GB
        walltime: "00:30:00"
        interface: lo
        partition: example
        account: project
        qos: fast
        prologue: ["export PROLOGUE=1"]
        """)  # fmt: skip
    place.study("Study(build, x=[0.0, 1.0, 2.0])")
    ran = place.cosim("study", "study.py", "--slurm", "slurm.yaml")
    assert ran.returncode == 0, ran.stderr + (place.folder / "job.log").read_text()
    assert "3 done" in ran.stdout
    script = (place.folder / "script.sh").read_text()
    for words in ("#SBATCH -p example", "#SBATCH -A project", "#SBATCH --qos=fast", "#SBATCH -t 00:30:00",
                  "#SBATCH --cpus-per-task=2", "export PROLOGUE=1", "tls://127.0.0.1"):  # fmt: skip
        assert words in script
    wait_for(lambda: place.processes() == [])
