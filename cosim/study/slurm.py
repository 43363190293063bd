"""SLURM jobs that are Dask workers for a study, described in a short YAML file.

The command that runs the study holds their scheduler. `submit` makes that command a job of its own, which goes on when
the shell of the login node ends.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from cosim.core.errors import CosimError
from cosim.registry.yaml_files import read_checked

from .extra import needs
from .jobs.engines import LOOPBACK, quiet

if TYPE_CHECKING:
    import distributed


def _memory(text: str) -> str:
    if not re.fullmatch(r"[1-9]\d* ?[KMGT]i?B", text):
        raise ValueError(f"{text!r} is no amount of memory: write as in '16GB'")
    return text


def _walltime(text: str) -> str:
    if not re.fullmatch(r"(\d+-)?\d{1,3}(:[0-5]\d){2}", text) or not text.strip("0:-"):
        raise ValueError(f"{text!r} is no time limit: write hours, minutes and seconds in quotes, as in '02:00:00'")
    return text


def _word(text: str) -> str:
    if not re.fullmatch(r"\S+", text):
        raise ValueError(f"{text!r} is no name: write one word")
    return text


def _line(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"{text!r} is more than a line: write one line")
    return text


def _directive(text: str) -> str:
    if not _line(text).startswith("-"):
        raise ValueError(f"{text!r} is no option of sbatch: write as in '--constraint=rome'")
    return text


_Count = Annotated[int, Field(ge=1, strict=True)]
_Memory = Annotated[str, AfterValidator(_memory)]
_Walltime = Annotated[str, AfterValidator(_walltime)]
_Word = Annotated[str, AfterValidator(_word)]

_LEAD_S = 120
"""Time before the end of its job at which a detached study stops and queues again. [s]"""
_ATTEMPTS = 3
"""Number of jobs that may end before their worker connects."""


class Coordinator(BaseModel):
    """The job of a detached study, on one core.

    Attributes
    ----------
    memory
        Its memory, as in ``"4GB"``.
    walltime
        Its time limit; by default that of the other jobs. Shortly before its end the job is queued again.
    """

    model_config = ConfigDict(extra="forbid")

    memory: _Memory = "4GB"
    walltime: _Walltime | None = None


class Slurm(BaseModel):
    """Jobs of a SLURM cluster.

    Attributes
    ----------
    jobs
        Number of jobs; each is one Dask worker.
    cores
        Cores of a job, which is also the number of its parallel runs.
    memory
        Memory of a job, as in ``"16GB"``.
    walltime
        Time limit of a job, as in ``"02:00:00"``. An interrupted run resumes from its last checkpoint in another job.
    partition, account, qos
        SLURM's partition, account and quality of service.
    interface
        Network interface of the login node and the compute nodes, such as ``"ib0"``.
    prologue
        Shell lines to run before the worker starts, such as loading modules or activating the environment.
    directives
        Further ``#SBATCH`` lines.
    python
        The interpreter on the nodes; by default the current one.
    poll_s
        Time between two looks at the queue, at which jobs that have ended are replaced. [s]
    coordinator
        The job of a detached study.
    """

    model_config = ConfigDict(extra="forbid")

    jobs: _Count
    cores: _Count = 1
    memory: _Memory
    walltime: _Walltime
    partition: _Word | None = None
    account: _Word | None = None
    qos: _Word | None = None
    interface: _Word
    prologue: list[str] = Field(default_factory=list)
    directives: list[Annotated[str, AfterValidator(_directive)]] = Field(default_factory=list)
    python: Annotated[str, AfterValidator(_line)] | None = None
    poll_s: Annotated[float, Field(gt=0)] = 30.0
    coordinator: Coordinator = Field(default_factory=Coordinator)


def read_slurm(path: Path) -> Slurm:
    """Return the content of a configuration file.

    Raises
    ------
    InputFileError
        If it is missing or not YAML.
    ScenarioError
        If its content is invalid.
    """
    needed = "a configuration of SLURM is a mapping, of which jobs, memory, walltime and interface are needed"
    return read_checked(path, Slurm, needed, "study")


@contextmanager
def slurm_client(config: Slurm, folder: Path) -> Iterator[distributed.Client]:
    """Submit the jobs; yield a client of their scheduler, which runs in this process.

    Parameters
    ----------
    config
        The jobs.
    folder
        Folder that the login node and the compute nodes share, for the jobs' logs and certificates.

    Raises
    ------
    CosimError
        If there is no SLURM here, the scheduler cannot be started, or a job cannot be submitted.
    """
    _check_installed("sbatch", "scancel", "squeue")
    with needs("dask-jobqueue", "--slurm"):
        import dask
        from dask_jobqueue import SLURMCluster
        from distributed import Client
    (folder / "slurm").mkdir(parents=True, exist_ok=True)
    python = {} if config.python is None else {"python": config.python}
    qos = [f"--qos={config.qos}"] if config.qos else []
    # When SLURM ends a worker, no run is lost: the scheduler assigns its runs to another worker.
    dask.config.set({"distributed.scheduler.allowed-failures": 20})
    try:
        # Certificates for this study only: without them, anyone who reaches the port can send code to the workers.
        cluster = SLURMCluster(
            cores=config.cores,
            processes=1,
            memory=config.memory,
            walltime=config.walltime,
            queue=config.partition,
            account=config.account,
            interface=config.interface,
            job_script_prologue=config.prologue,
            job_extra_directives=[*config.directives, *qos],
            log_directory=str(folder / "slurm"),
            protocol="tls",
            security=True,
            shared_temp_directory=str(folder / "slurm"),
            scheduler_options={"dashboard_address": LOOPBACK},
            worker_extra_args=["--dashboard-address", LOOPBACK],
            **python,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise CosimError(f"cannot start the SLURM cluster: {error}") from error
    script = folder / "slurm" / "worker.sh"
    script.write_text(cluster.job_script(), encoding="utf-8")
    queue = _Queue(cluster, config, folder / "slurm")
    with quiet(), cluster, Client(cluster) as client:
        _sbatch(script, "--test-only")  # a refusal of the first real one would only be logged
        with queue:
            try:
                yield client
            except CosimError as error:
                if queue.problem:
                    raise CosimError(queue.problem) from error
                raise


class _Queue(threading.Thread):
    """Keeps the wanted number of jobs in the queue, and gives up when they end before their workers connect."""

    def __init__(self, cluster: Any, config: Slurm, logs: Path) -> None:
        super().__init__(name="slurm queue", daemon=True)
        self._cluster, self._config, self._logs = cluster, config, logs
        self._ended = threading.Event()
        self._connected: set[str] = set()
        self._lost: set[str] = set()
        self.problem = ""

    def __enter__(self) -> None:
        self._cluster.scale(jobs=self._config.jobs)
        self.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.wait(self._config.poll_s) and not self.problem:
            self._look()

    def _look(self) -> None:
        cluster = self._cluster
        here = {str(worker["name"]).rsplit("-", 1)[0] for worker in cluster.scheduler_info["workers"].values()}
        submitted = {str(name): job for name, job in cluster.workers.items() if getattr(job, "job_id", None)}
        self._connected |= {submitted[name].job_id for name in here & submitted.keys()}
        gone = [name for name, job in submitted.items() if name not in here and not _is_queued(job.job_id)]
        for name in gone:
            job_id = submitted[name].job_id
            if job_id not in self._connected:
                self._lost.add(job_id)
            cluster.loop.add_callback(cluster.workers.pop, submitted[name].name, None)
        if len(self._lost) >= _ATTEMPTS:
            logs = [*self._logs.glob("dask-worker-*.out"), *self._logs.glob("dask-worker-*.err")]
            texts = [path.read_text(errors="replace").strip() for path in sorted(logs, key=lambda p: p.stat().st_mtime)]
            last = next((text.splitlines()[-1] for text in reversed(texts) if text), "nothing")
            self.problem = (
                f"{len(self._lost)} SLURM jobs ended before their workers connected; the last log in {self._logs} ends "
                f"with {last!r}: check prologue, python, interface and memory of the configuration"
            )
            cluster.loop.add_callback(cluster.scheduler.close)
            return
        cluster.scale(jobs=self._config.jobs)  # replaces what has ended


def submit(config: Slurm, folder: Path, arguments: Sequence[str]) -> int:
    """Submit a job that runs a command of cosim from the present folder, and return its number.

    Parameters
    ----------
    config
        The jobs of the study.
    folder
        Folder of the study, which holds the job's script and log.
    arguments
        The command's arguments.

    Raises
    ------
    CosimError
        If there is no SLURM here, or it refuses the job.
    """
    _check_installed("sbatch")
    logs = folder / "slurm"
    logs.mkdir(parents=True, exist_ok=True)
    options = {
        "job-name": f"cosim-{folder.name}",
        "output": logs / "coordinator-%j.out",
        "open-mode": "append",
        "ntasks": 1,
        "cpus-per-task": 1,
        "mem": re.sub(" |i?B", "", config.coordinator.memory),
        "time": config.coordinator.walltime or config.walltime,
        "partition": config.partition,
        "account": config.account,
        "qos": config.qos,
        "signal": f"B:USR1@{_LEAD_S}",
    }
    directives = [f"--{name}={value}" for name, value in options.items() if value is not None]
    script = logs / "coordinator.sh"
    script.write_text(
        _SCRIPT.format(
            directives="\n".join(f"#SBATCH {line}" for line in [*directives, "--requeue", *config.directives]),
            prologue="\n".join(config.prologue),
            command=f"{config.python or shlex.quote(sys.executable)} {shlex.join(['-m', 'cosim', *arguments])}",
        ),
        encoding="utf-8",
    )
    return int(_sbatch(script, "--parsable").split(";")[0])


_SCRIPT = """#!/bin/bash
{directives}
{prologue}
{command} &
study=$!
trap 'again=yes; kill "$study"' USR1
trap 'kill "$study"' TERM
code=0
while kill -0 "$study" 2> /dev/null; do
    wait "$study"
    code=$?
done
if [ -n "$again" ]; then
    exec scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""


def _sbatch(script: Path, option: str) -> str:
    done = subprocess.run(["sbatch", option, script], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CosimError(f"SLURM refuses {script}: {' '.join(done.stderr.split())}")
    return done.stdout


def _is_queued(job_id: str) -> bool:
    done = subprocess.run(["squeue", "-h", "-j", job_id, "-o", "%T"], capture_output=True, text=True, check=False)
    if done.returncode:
        return "Invalid job id" not in done.stderr  # any other error says nothing about the job
    return bool(done.stdout.strip())


def _check_installed(*programs: str) -> None:
    absent = [program for program in programs if shutil.which(program) is None]
    if absent:
        raise CosimError(
            f"--slurm needs SLURM's {' and '.join(absent)}, not found on the path: start the study on a login node of "
            "the cluster, or omit --slurm and use --workers"
        )
