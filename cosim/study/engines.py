"""Who does the runs? This process one after the other, or Dask: side by side here, or wherever its workers are."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cosim.core.errors import CosimError

from .attempt import Request
from .extra import needs
from .records import Outcome, RunFolder
from .workers import perform, stop

if TYPE_CHECKING:
    import distributed

LOOPBACK = "127.0.0.1:0"
"""Where Dask serves web pages, which nobody here asks for, to nobody else."""


def one_by_one(requests: Sequence[Request]) -> Generator[Outcome]:
    """Do runs one after the other."""
    for request in requests:
        yield perform(request)


def by_dask(requests: Sequence[Request], client: distributed.Client) -> Generator[Outcome]:
    """Let Dask do runs; yield how they ended, as they end.

    Raises
    ------
    CosimError
        If the scheduler has gone.
    """
    from distributed import CancelledError, KilledWorker, as_completed

    once = uuid.uuid4().hex[:8]  # else Dask remembers an earlier run of the same name
    futures = {
        client.submit(perform, request, key=f"run-{request.key}-{once}", pure=False): request for request in requests
    }
    left = len(futures)
    try:
        for future in as_completed(futures):
            request, error = futures[future], future.exception() if future.status == "error" else None
            if future.status == "cancelled" or isinstance(error, CancelledError):
                raise CosimError(
                    f"the Dask scheduler has gone with {left} runs left: what is done is kept, start another and run "
                    "the study again"
                )
            if isinstance(error, KilledWorker):
                outcome = Outcome(request.key, "crash", f"the Dask workers that it was given to died: {error}")
            elif error is not None:
                outcome = Outcome(request.key, "error", f"its Dask worker failed: {type(error).__name__}: {error}")
            else:
                outcome = future.result()
            if error is not None:
                RunFolder(request.folder).mark_failed(outcome)
            left -= 1
            yield outcome
            future.release()
    finally:
        if client.status == "running":
            client.cancel(list(futures))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep to ourselves the tracebacks that Dask logs where a connection ends: what it means is said in one line."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client", "tornado", "asyncio")]
    # Some have a handler of their own, which a level of those above does not reach; some have none.
    noisy: list[logging.Logger | logging.Handler] = [*loggers, *(h for logger in loggers for h in logger.handlers)]
    levels = [one.level for one in noisy]
    for one in noisy:
        one.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for one, level in zip(noisy, levels):
            one.setLevel(level)


@contextmanager
def local_client(workers: int) -> Iterator[distributed.Client]:
    """Start Dask within this process: each of its threads waits for the process of a run."""
    with needs("dask", f"workers={workers}"):
        from distributed import Client, LocalCluster
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=workers, processes=False, dashboard_address=LOOPBACK,
            worker_dashboard_address=LOOPBACK, memory_limit=0, silence_logs=50,
        ) as cluster,
        Client(cluster) as client,
    ):  # fmt: skip
        try:
            yield client
        except BaseException:
            stop()  # else closing the cluster waits for the runs
            raise


@contextmanager
def client_of(address: str) -> Iterator[distributed.Client]:
    """Connect to a Dask scheduler.

    Raises
    ------
    CosimError
        If there is none.
    """
    with needs("dask", f"the scheduler {address}"):
        from distributed import Client
    try:
        client: Any = Client(address, timeout="15s")
    except (OSError, ValueError) as error:
        raise CosimError(f"there is no Dask scheduler at {address}: {error}") from error
    with quiet(), client:
        yield client
