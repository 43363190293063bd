"""A run on a full disk, which must fail with one line and be resumable once there is space."""

import os
import shutil
import subprocess
import sys
import textwrap

import pytest

from cosim import Result
from tests.cosim.engine.test_checkpoint import bytes_of
from tests.support.paths import ROOT

SCENARIO = '''
"""Writes much."""
from cosim import Clock, Scenario
from tests.support.toys import Echo, Source

LABELS = [f"element {k}" for k in range(2000)]


def build(*, seed: int = 0) -> Scenario:
    scenario = Scenario(Clock("2025-01-15", hours=24), source=Source(LABELS, seed=seed), echo=Echo(LABELS))
    scenario.connect("source.power", "echo.load")
    return scenario
'''
COMMAND = [sys.executable, "-c", "from cosim.cli.app import main; main()"]


def may_mount():
    """Return whether a small disk can be mounted in a separate namespace."""
    if shutil.which("unshare") is None:
        return False
    test = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(test, capture_output=True).returncode == 0


@pytest.mark.skipif(not may_mount(), reason="this system does not allow the test to mount a small disk")
def test_full_disk_ends_the_run_with_one_line_and_a_state_to_resume_from(tmp_path):
    (tmp_path / "much.py").write_text(textwrap.dedent(SCENARIO))
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    disk.mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    script = (
        f"mount -t tmpfs -o size=8m tmpfs {disk} || exit 99\n"
        f'"$@" run much.py --out {disk}/run --no-report --checkpoint-every 1h\n'
        f"code=$?\ncp -r {disk}/run {copy}\nexit $code\n"
    )
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", *COMMAND],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.strip()]
    assert line.startswith("error: "), line
    assert "failed at 2025-01-15" in line
    assert "No space left on device" in line
    hours = len(Result.open(copy).series("source.power")) // 60
    assert hours >= 3
    resume = subprocess.run(
        [*COMMAND, "resume", "copy", "--no-report"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert resume.returncode == 0, resume.stderr
    whole = subprocess.run(
        [*COMMAND, "run", "much.py", "--out", "whole", "--no-report"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert whole.returncode == 0, whole.stderr
    assert bytes_of(copy) == bytes_of(tmp_path / "whole")
