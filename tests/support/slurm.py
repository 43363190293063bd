"""A real SLURM on loopback: munged, slurmctld and one slurmd, with a folder of their own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "squeue")
_CONFIG = """
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
KillWait=3
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=2000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def installed() -> bool:
    """Return whether SLURM's daemons are here and may be started."""
    return os.geteuid() == 0 and all(shutil.which(program) for program in PROGRAMS)


@contextmanager
def slurm() -> Iterator[dict[str, str]]:
    """Start the daemons; yield the environment in which SLURM's commands reach them; end them with all jobs."""
    folder = Path(tempfile.mkdtemp(prefix="slurm"))  # short, as sockets need; munge wants no writable parent
    folder.chmod(0o711)
    ports = _free_ports(2)
    config = folder / "slurm.conf"
    config.write_text(
        _CONFIG.format(
            host=socket.gethostname().split(".")[0], folder=folder, controller_port=ports[0], node_port=ports[1]
        )
    )
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    environment = {"SLURM_CONF": str(config)}
    munge = {f"--{kind}-file": folder / f"munge.{kind}" for kind in ("pid", "log", "seed")}
    commands = [
        ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket"]
        + [f"{option}={path}" for option, path in munge.items()],
        ["slurmctld", "-D", "-f", str(config)],
        ["slurmd", "-D", "-f", str(config)],
    ]
    daemons = []
    try:
        for command in commands:
            with (folder / f"{command[0]}.out").open("w") as out:
                daemons.append(subprocess.Popen(command, env=os.environ | environment, stdout=out, stderr=out))
            if command[0] == "munged":
                _wait(lambda: (folder / "munge.socket").exists(), "munged does not listen", folder)
        _wait(lambda: "idle" in _ask(environment, "sinfo", "-h", "-o", "%T"), "the node does not register", folder)
        yield environment
    finally:
        with suppress(OSError):
            _ask(environment, "scancel", "--signal=KILL", "--full", "-u", "root")
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                daemon.wait(10)
            daemon.kill()
            daemon.wait()
        shutil.rmtree(folder, ignore_errors=True)


def jobs(environment: dict[str, str]) -> dict[int, tuple[str, str]]:
    """Return name and state of each job that has not ended."""
    rows = _ask(environment, "squeue", "-h", "-o", "%i %j %T").splitlines()
    return {int(number): (name, state) for number, name, state in map(str.split, rows)}


def _ask(environment: dict[str, str], *command: str) -> str:
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=30)
    return done.stdout


def _wait(condition, problem: str, folder: Path, timeout_s: float = 60.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        logs = "".join(path.read_text(errors="replace")[-2000:] for path in folder.glob("*.log"))
        assert time.monotonic() < end, f"{problem}\n{logs}"
        time.sleep(0.1)


def _free_ports(n: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
