"""Studies on a real SLURM with one node: jobs that end early, a login shell that goes away, bad configurations."""

import os
import signal
import subprocess

import pytest

from tests.support.slurm import installed, jobs, slurm

from .conftest import wait_for as wait_for_s

pytestmark = [
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.skipif(
        not installed(), reason="SLURM's daemons (slurmctld, slurmd, munge) are not installed, or not root"
    ),
]
CONFIG = """
jobs: {jobs}
cores: {cores}
memory: 500MB
walltime: "{walltime}"
interface: lo
poll_s: 1
prologue: ["{prologue}"]
coordinator: {{memory: 300MB, walltime: "00:30:00"}}
"""
SLOW = '''
import time
from cosim import Adapter, Input, Output

class Slow(Adapter):
    """Takes its time for each of its 10 steps; saves what it has summed up."""
    def __init__(self, wait):
        self.power = Output("W", ["a"], "mean")
        self.sum, self.wait = 0.0, wait
    def advance(self, step):
        with (HERE / "steps").open("a") as file:
            file.write(f"{step.start_s:g}\\n")
        time.sleep(self.wait)
        self.sum += 1.0
        self.power.value = self.sum
    def save(self, folder):
        (folder / "sum").write_text(str(self.sum))
    def load(self, folder):
        self.sum = float((folder / "sum").read_text())

def slow(wait: float = 0.0, seed: int = 0) -> Scenario:
    return Scenario(Clock("2025-01-15", hours=1, step_s=360), slow=Slow(wait))
'''


def wait_for(condition):
    """Wait long enough for a queue, on a machine that does other work."""
    wait_for_s(condition, timeout_s=240)


@pytest.fixture(scope="module")
def cluster():
    with slurm() as environment:
        yield environment


@pytest.fixture
def shared(place, cluster):
    """A study's folder whose commands reach the cluster, without jobs of another test."""
    place.environment |= cluster
    yield place
    subprocess.run(["scancel", "-u", "root"], env=os.environ | cluster, check=True)
    wait_for(lambda: not jobs(cluster))


def configure(place, *, jobs=1, cores=2, walltime="00:30:00", prologue="true"):
    place.write("slurm.yaml", CONFIG.format(jobs=jobs, cores=cores, walltime=walltime, prologue=prologue))


def test_a_study_runs_in_jobs_and_leaves_none(shared, cluster):
    configure(shared, jobs=2, cores=1)
    shared.study("Study(build, x=[0.0, 1.0, 2.0, 3.0])")
    done = shared.cosim("study", "study.py", "--slurm", "slurm.yaml")
    assert done.returncode == 0, done.stderr
    assert "4 done" in done.stdout
    assert sorted(shared.attempts()) == [f"{x} a 0" for x in range(4)]
    wait_for(lambda: not jobs(cluster))
    assert shared.processes() == []


def test_a_job_that_is_cancelled_is_replaced_and_its_runs_are_done_by_another(shared, cluster):
    configure(shared, cores=1)
    shared.study("Study(build, x=[0.0, 1.0], sleep_s=4.0)")
    running = shared.start("study", "study.py", "--slurm", "slurm.yaml")
    wait_for(lambda: shared.attempts())
    (job,) = jobs(cluster)
    subprocess.run(["scancel", str(job)], env=os.environ | cluster, check=True)
    wait_for(lambda: jobs(cluster).keys() - {job})
    out, err = running.communicate(timeout=200)
    assert running.returncode == 0, err
    assert "2 done" in out


def test_a_run_longer_than_a_job_goes_on_in_the_next_from_its_checkpoint(shared):
    configure(shared, cores=1, walltime="00:01:00")
    shared.write("toy.py", (shared.folder / "toy.py").read_text() + SLOW)
    shared.write("study.yaml", "builder: toy.py:slow\nfactors: {wait: [12.0]}\nrun: {checkpoint_every: 6min}\n")
    done = shared.cosim("study", "study.yaml", "--slurm", "slurm.yaml", timeout_s=500)
    assert done.returncode == 0, done.stderr
    steps = [float(line) for line in (shared.folder / "steps").read_text().splitlines()]
    assert sorted(set(steps)) == [360.0 * k for k in range(10)]
    assert 10 < len(steps) <= 10 + 2 * (len(steps) - len(set(steps)))  # cut off, and not begun anew
    assert steps.count(0.0) == 1


def test_a_detached_study_goes_on_when_its_shell_has_gone_and_when_its_job_is_queued_again(shared, cluster):
    configure(shared, cores=1)
    shared.study("Study(build, x=[0.0, 1.0, 2.0], sleep_s=3.0)")
    login = subprocess.run(
        ["setsid", *shared.command("study", "study.py", "--slurm", "slurm.yaml", "--detach", "--seeds", "1")],
        cwd=shared.folder,
        env=shared.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    (coordinator,) = jobs(cluster)
    assert f"job {coordinator} runs the study and goes on when this shell ends" in login.stdout
    wait_for(lambda: shared.attempts())
    # what SLURM sends shortly before the job's time is up
    signals = ["scancel", "--batch", f"--signal={signal.SIGUSR1.name.removeprefix('SIG')}", str(coordinator)]
    subprocess.run(signals, env=os.environ | cluster, check=True)
    done = shared.folder / "studies" / "toy" / "study.html"
    wait_for(done.exists)
    wait_for(lambda: not jobs(cluster))
    assert "3 done" in shared.cosim("study", "study.py", "--status").stdout
    assert len(shared.attempts()) == 4  # one was cut off


def test_jobs_that_end_before_their_workers_start_end_the_study_with_the_reason(shared):
    configure(shared, prologue="echo no such module >&2; exit 1")
    shared.study("Study(build)")
    done = shared.cosim("study", "study.py", "--slurm", "slurm.yaml")
    assert done.returncode == 1
    message = " ".join(done.stderr.split())
    assert "3 SLURM jobs ended before their workers connected" in message
    assert "no such module" in message
    assert "check prologue, python, interface and memory" in message


def test_a_job_that_slurm_refuses_is_reported_in_its_words(shared):
    configure(shared)
    path = shared.folder / "slurm.yaml"
    path.write_text(path.read_text() + "partition: nowhere\n")
    shared.study("Study(build)")
    for options in ((), ("--detach",)):
        done = shared.cosim("study", "study.py", "--slurm", "slurm.yaml", *options)
        assert done.returncode == 1
        assert "invalid partition" in done.stderr.lower(), done.stderr
        assert "Traceback" not in done.stderr
