"""Test of what a user sees when SUMO is killed during a run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cosim import Result
from tests.support.paths import ROOT


def worker_of(process):
    """Return the id of a process's worker once it has begun to simulate."""
    for entry in Path("/proc").iterdir():
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == process.pid and b"cosim._worker" in (entry / "cmdline").read_bytes():
                return int(entry.name)
        except (OSError, ValueError, IndexError):
            continue
    return None


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="looks for processes in /proc")
def test_killed_sumo_worker_gives_one_clear_line_and_keeps_recorded_data(tmp_path):
    command = [sys.executable, "-c", "from cosim.cli.app import main; main()", "run", "eixample", "--out", "out"]
    process = subprocess.Popen(
        [*command, "--set", "blocks=2,2"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    deadline = time.monotonic() + 300
    while not (tmp_path / "out/series/traffic.co2/part-0.parquet").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    worker = worker_of(process)
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 1
    (line,) = errors.strip().splitlines()
    assert line.startswith("error: traffic failed at 2025-01-15 ")
    assert "its worker process was killed by SIGKILL" in line
    result = Result.open(tmp_path / "out")
    assert result.status == "failed"
    assert len(result.series("traffic.co2")) >= 60
