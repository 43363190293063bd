"""How does a study get onto a cluster? By jobs of SLURM that are Dask workers, described in a file of a few lines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from cosim.core.errors import CosimError

from .engines import LOOPBACK, quiet
from .extra import needs
from .factors import StudyError
from .specification import read_yaml, validation_problems

if TYPE_CHECKING:
    import distributed


class Slurm(BaseModel):
    """Jobs of a SLURM cluster.

    Attributes
    ----------
    jobs
        How many are submitted; each is one Dask worker.
    cores
        Cores of a job, and so the runs that it does side by side.
    memory
        Memory of a job, as in ``"16GB"``.
    walltime
        Longest time of a job, as ``"02:00:00"``. A run that it cuts off goes on from its last checkpoint in another.
    partition, account, qos
        Where SLURM is to put the jobs and whom to charge.
    interface
        Network interface of the login node, and of the nodes, over which they speak, such as ``"ib0"``.
    prologue
        Shell lines before the worker starts: load modules, activate the environment.
    directives
        Further ``#SBATCH`` lines.
    python
        The interpreter on the nodes; by default the present one.
    """

    model_config = ConfigDict(extra="forbid")

    jobs: Annotated[int, Field(ge=1)]
    cores: Annotated[int, Field(ge=1)] = 1
    memory: str
    walltime: Annotated[str, Field(pattern=r"^(\d+-)?\d{1,2}:\d{2}:\d{2}$")]
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    interface: str
    prologue: list[str] = Field(default_factory=list)
    directives: list[str] = Field(default_factory=list)
    python: str | None = None


def read_slurm(path: Path) -> Slurm:
    """Return what a configuration file says.

    Raises
    ------
    InputFileError
        If it is missing or no YAML.
    StudyError
        Everything in it that is not as it should be.
    """
    try:
        return Slurm.model_validate(read_yaml(path))
    except pydantic.ValidationError as error:
        raise StudyError(validation_problems(path, error)) from None


@contextmanager
def slurm_client(config: Slurm, folder: Path) -> Iterator[distributed.Client]:
    """Submit the jobs; yield a client of their scheduler, which runs in this process.

    Parameters
    ----------
    config
        The jobs.
    folder
        Folder that login node and nodes share, for the jobs' logs and certificates.

    Raises
    ------
    CosimError
        If the scheduler cannot be started or a job not submitted.
    """
    with needs("dask-jobqueue", "--slurm"):
        import dask
        from dask_jobqueue import SLURMCluster
        from distributed import Client
    (folder / "slurm").mkdir(parents=True, exist_ok=True)
    directives = [*config.directives, *([f"--qos={config.qos}"] if config.qos else [])]
    python = {} if config.python is None else {"python": config.python}
    # A worker that SLURM ends has lost no run: the scheduler gives what it was at to another.
    dask.config.set({"distributed.scheduler.allowed-failures": 20})
    try:
        # Certificates made for this study alone: else whoever reaches the port can send the workers code.
        cluster = SLURMCluster(
            cores=config.cores, processes=1, memory=config.memory, walltime=config.walltime, queue=config.partition,
            account=config.account, interface=config.interface, job_script_prologue=config.prologue,
            job_extra_directives=directives, log_directory=str(folder / "slurm"), protocol="tls", security=True,
            shared_temp_directory=str(folder / "slurm"), scheduler_options={"dashboard_address": LOOPBACK},
            worker_extra_args=["--dashboard-address", LOOPBACK], **python,
        )  # fmt: skip
    except (OSError, ValueError, RuntimeError) as error:
        raise CosimError(f"the SLURM cluster does not start: {error}") from error
    with quiet(), cluster, Client(cluster) as client:
        cluster.scale(jobs=config.jobs)
        yield client
