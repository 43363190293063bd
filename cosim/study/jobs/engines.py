"""The execution of runs one by one in this process, or in parallel by Dask on this machine or elsewhere."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from cosim.core.errors import CosimError
from cosim.study.extra import needs

from .attempt import Request
from .records import RunFolder, RunOutcome
from .workers import perform, stop

if TYPE_CHECKING:
    import distributed
    from distributed.deploy.cluster import Cluster

LOOPBACK = "127.0.0.1:0"
"""Address of Dask's dashboards, which are not used: loopback only, any free port."""


def one_by_one(requests: Sequence[Request]) -> Generator[RunOutcome]:
    """Do runs one after the other."""
    for request in requests:
        yield perform(request)


def by_dask(requests: Sequence[Request], client: distributed.Client) -> Generator[RunOutcome]:
    """Do runs by Dask; yield their outcomes as they end.

    Raises
    ------
    CosimError
        If the scheduler is lost.
    """
    from distributed import as_completed

    once = uuid.uuid4().hex[:8]  # otherwise Dask reuses an earlier run with the same key
    futures = {
        client.submit(perform, request, key=f"run-{request.key}-{once}", pure=False): request for request in requests
    }
    left = len(futures)
    try:
        for future in as_completed(futures):
            outcome = _outcome(future, futures[future], left)
            left -= 1
            yield outcome
            future.release()
    finally:
        if client.status == "running":
            with suppress(OSError):  # a scheduler that is lost has nothing to cancel
                client.cancel(list(futures))


def _outcome(future: distributed.Future, request: Request, left: int) -> RunOutcome:
    """Return the outcome of a run that has ended, which Dask fetches from its worker by way of the scheduler."""
    from distributed import CancelledError, KilledWorker

    lost = CosimError(
        f"the Dask scheduler was lost with {left} runs left: finished runs are kept, start a new scheduler and run the "
        "study again"
    )
    error = future.exception() if future.status == "error" else None
    if future.status == "cancelled" or isinstance(error, CancelledError):
        raise lost
    if error is None:
        try:
            outcome: RunOutcome = future.result()
        except (OSError, CancelledError):  # after the run had ended
            raise lost from None
        return outcome
    if isinstance(error, KilledWorker):
        outcome = RunOutcome(request.key, "crash", f"its Dask workers died: {error}")
    else:
        outcome = RunOutcome(request.key, "error", f"its Dask worker failed: {type(error).__name__}: {error}")
    RunFolder(request.folder).mark_failed(outcome)
    return outcome


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress the tracebacks that Dask logs when a connection ends; the error is reported in one line instead."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client", "tornado", "asyncio")]
    # Some loggers have their own handler, which the level of a parent does not affect; some have none.
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
    """Start Dask in this process, with threads that each wait for the process of a run."""
    with needs("dask", f"workers={workers}"):
        from distributed import Client, LocalCluster
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=workers,
            processes=False,
            dashboard_address=LOOPBACK,
            worker_dashboard_address=LOOPBACK,
            memory_limit=0,
            silence_logs=50,
        ) as cluster,
        Client(cluster) as client,
    ):
        try:
            yield client
        except BaseException:
            stop()  # otherwise closing the cluster waits for the runs
            raise


@contextmanager
def client_at(place: distributed.Client | Cluster | str) -> Iterator[distributed.Client]:
    """Return a client of a Dask cluster, which stays as it is: a client, a cluster or the address of a scheduler.

    Raises
    ------
    CosimError
        If it is none of these, is closed, works asynchronously, or cannot be reached.
    """
    if isinstance(place, str):
        with client_of(place) as client:
            yield client
        return
    with needs("dask", "a Dask cluster"):
        from distributed import Client, Status
        from distributed.deploy.cluster import Cluster
    if not isinstance(place, Client | Cluster):
        raise CosimError(
            f"client is a {type(place).__name__}: pass a Dask client, a Dask cluster such as SLURMCluster(…), or the "
            "address of a scheduler"
        )
    if place.asynchronous:
        raise CosimError(f"{place!r} works asynchronously: make it with asynchronous=False")
    if place.status not in ("running", Status.running):
        raise CosimError(f"the Dask {type(place).__name__} is {getattr(place.status, 'name', place.status)}: start it")
    if isinstance(place, Client):
        yield place
    else:
        with quiet(), Client(place) as client:
            yield client


@contextmanager
def client_of(address: str) -> Iterator[distributed.Client]:
    """Connect to a Dask scheduler.

    Raises
    ------
    CosimError
        If it cannot be reached.
    """
    with needs("dask", f"the scheduler {address}"):
        from distributed import Client
    try:
        client: Any = Client(address, timeout="15s")
    except (OSError, ValueError) as error:
        raise CosimError(f"cannot reach a Dask scheduler at {address}: {error}") from error
    with quiet(), client:
        yield client
