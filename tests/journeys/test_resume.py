"""Test that a killed day of the city, SUMO included, resumes to exactly the bytes of the uninterrupted one."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.cosim.engine.test_checkpoint import bytes_of
from tests.support.paths import ROOT

SETTINGS = ["--set", "blocks=2,2", "--set", "begin_hour=7", "--set", "hours=2", "--seed", "5", "--no-report"]
SETTINGS += ["--set", "through_traffic=0.1"]


def cosim(folder, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", "from cosim.cli.app import main; main()", *arguments],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


POLICIES = (
    "EvShare:share=0.5",
    "DynamicTariff",
    "Charging:strategy=price",
    "ChargingCaps",
    "HeatPumps:share=0.5",
    "Retrofit:share=0.5",
    "RooftopPv",
    "HomeBatteries",
    "CommunityBatteries:charge_from=8,charge_to=9",
    "GridCaps",
    "DemandResponse:from_hour=8,to_hour=9",
    "SpeedLimit",
    "LowEmissionZone",
    "CordonPrice",
    "ModeShift",
    "Densification",
    "PublicChargers",
)


@pytest.mark.slow
@pytest.mark.parametrize("policies", [(), POLICIES], ids=["plain", "policies"])
def test_killed_city_resumes_to_the_same_bytes(policies, tmp_path):
    settings = [*SETTINGS, *(word for policy in policies for word in ("--policy", policy))]
    whole = cosim(tmp_path, "run", "eixample", *settings, "--out", "whole")
    text, _ = whole.communicate(timeout=300)
    assert whole.returncode == 0, text
    run = cosim(tmp_path, "run", "eixample", *settings, "--out", "run", "--checkpoint-every", "1h")
    deadline = time.monotonic() + 400
    while not (tmp_path / "run" / "checkpoints" / "60").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    run.send_signal(signal.SIGKILL)
    run.communicate(timeout=180)
    assert run.returncode == -signal.SIGKILL
    again = cosim(tmp_path, "resume", "run", "--no-report")
    text, _ = again.communicate(timeout=300)
    assert again.returncode == 0, text
    assert bytes_of(tmp_path / "run") == bytes_of(tmp_path / "whole")
    trips = "adapters/traffic/tripinfos.xml"
    assert (tmp_path / "run" / trips).read_text().partition("<tripinfos")[2] == (
        (tmp_path / "whole" / trips).read_text().partition("<tripinfos")[2]
    )
