"""Runs by Dask: killed workers, a killed scheduler, jobs of a cluster."""

import os
import signal
import socket
import stat
import subprocess
import sys

import psutil
import pytest

from .conftest import faults_of, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.alone]


@pytest.fixture
def dask(place):
    """Start a scheduler and workers on loopback; end them after the test."""
    started = []

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments, "--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"],
            cwd=place.folder,
            env=place.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
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
    assert theirs  # the fork server
    workers[0].kill()
    out, err = running.communicate(timeout=180)
    assert running.returncode == 0, err
    assert "16 done" in out
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in theirs))


def test_a_killed_scheduler_ends_the_study_and_resume_does_the_remaining_runs(place, dask):
    address, scheduler, _ = dask
    place.study("Study(build, x=[float(x) for x in range(12)], sleep_s=1.0)")
    running = place.start("study", "study.py", "--scheduler", address, faults="raise:0,0")
    wait_for(lambda: done(place) >= 3)
    os.kill(scheduler.pid, signal.SIGKILL)
    out, err = running.communicate(timeout=180)
    assert running.returncode == 1
    assert "the Dask scheduler was lost with" in " ".join(err.split()), err
    assert "Traceback" not in out + err
    before, n = done(place), len(place.attempts())
    assert 3 <= before < 12
    resumed = place.cosim("study", "study.py", "--resume", "--workers", "2")
    assert resumed.returncode == 0, resumed.stderr
    assert "12 done" in resumed.stdout
    # the workers may have finished their current runs meanwhile
    assert len(place.attempts()) - n <= 12 - before


@pytest.mark.timeout(1200)
def test_a_killed_scheduler_loses_only_the_runs_in_flight_of_hundreds(place, dask):
    address, scheduler, _ = dask
    place.study("Study(build, x=[float(x) for x in range(200)])")
    running = place.start("study", "study.py", "--scheduler", address, faults=faults_of(200, 20, ("raise", "kill")))
    wait_for(lambda: done(place) >= 80, timeout_s=400)
    scheduler.kill()
    _, err = running.communicate(timeout=180)
    assert "the Dask scheduler was lost with" in " ".join(err.split())
    # each worker may have a run in progress, which it finishes
    before = {path.parent.name for path in place.folder.glob("studies/toy/runs/*/done.json")}
    n = len(place.attempts())
    resumed = place.cosim("study", "study.py", "--resume", "--workers", "2", timeout_s=700)
    assert resumed.returncode == 0, resumed.stderr
    assert "200 done" in resumed.stdout
    assert len(place.attempts()) - n <= 200 - len(before)


def test_dask_listens_only_on_loopback_even_within_a_study(place, dask):
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


def test_an_unreachable_scheduler_is_named(place):
    place.study("Study(build)")
    done = place.cosim("study", "study.py", "--scheduler", "tcp://127.0.0.1:9")
    assert done.returncode == 1
    assert "cannot reach a Dask scheduler at tcp://127.0.0.1:9" in " ".join(done.stderr.split())


def test_jobs_of_a_cluster_do_the_runs(place):
    # substitutes for SLURM's sbatch (keeps and starts the job's script, prints its number) and scancel (ends it)
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
    place.write(
        "slurm.yaml",
        """
        jobs: 1
        cores: 2
        memory: 2GB
        walltime: "00:30:00"
        interface: lo
        partition: example
        account: project
        qos: fast
        prologue: ["export PROLOGUE=1"]
        """,
    )
    place.study("Study(build, x=[0.0, 1.0, 2.0])")
    ran = place.cosim("study", "study.py", "--slurm", "slurm.yaml")
    assert ran.returncode == 0, ran.stderr + (place.folder / "job.log").read_text()
    assert "3 done" in ran.stdout
    script = (place.folder / "script.sh").read_text()
    for words in (
        "#SBATCH -p example",
        "#SBATCH -A project",
        "#SBATCH --qos=fast",
        "#SBATCH -t 00:30:00",
        "#SBATCH --cpus-per-task=2",
        "export PROLOGUE=1",
        "tls://127.0.0.1",
    ):
        assert words in script
    wait_for(lambda: place.processes() == [])


OWN_CLUSTER = """
from distributed import Client, LocalCluster

def run(where):
    study = Study(build, x=[0.0, 1.0], seeds=2, out=HERE / "studies" / type(where).__name__)
    return len(study.run(client=where))

if __name__ == "__main__":
    local = dict.fromkeys(("dashboard_address", "worker_dashboard_address"), "127.0.0.1:0")
    local |= dict(protocol="tcp", host="127.0.0.1")
    with LocalCluster(n_workers=1, threads_per_worker=2, processes=PROCESSES, **local) as cluster:
        print(run(cluster))
        with Client(cluster) as client:
            print(run(client), client.status)
            print(run(cluster.scheduler_address), cluster.status.name)
    for closed in (client, cluster, 8786):
        try:
            Study(build, x=[5.0], out=HERE / "none").run(client=closed)
        except Exception as error:
            print(f"{type(error).__name__}: {error}")
"""


@pytest.mark.parametrize("processes", [False, True])
def test_a_cluster_of_ones_own_its_client_and_its_address_do_the_runs_and_stay_open(place, processes):
    done = place.python(OWN_CLUSTER.replace("PROCESSES", str(processes)))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "4",
        "4 running",
        "4 running",
        "CosimError: the Dask Client is closed: start it",
        "CosimError: the Dask LocalCluster is closed: start it",
        "CosimError: client is a int: pass a Dask client, a Dask cluster such as SLURMCluster(…), or the address of a "
        "scheduler",
    ]
    assert len(place.attempts()) == 12
    wait_for(lambda: place.processes() == [])
