"""What Dask says when its scheduler is lost, at whatever moment."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import distributed
import pytest
from distributed.comm import CommClosedError

from cosim.core.errors import CosimError
from cosim.study.jobs import engines
from cosim.study.jobs.engines import by_dask, local_client
from cosim.study.jobs.records import RunOutcome


def raising(error):
    def raises(*_: object, **__: object):
        raise error

    return raises


@pytest.mark.parametrize(
    "error",
    [
        CommClosedError("in <TCP (closed) ConnectionPool.gather>: ConnectionResetError"),
        OSError("Timed out trying to connect"),
        distributed.CancelledError("run-1"),
    ],
)
def test_a_scheduler_lost_before_an_outcome_is_fetched_is_told_as_lost(monkeypatch, error):
    def done(request):
        return RunOutcome(request.key)

    monkeypatch.setattr(engines, "perform", done)
    requests: Any = [SimpleNamespace(key=str(n), folder=Path("run")) for n in range(2)]
    with local_client(1) as client:
        monkeypatch.setattr(distributed.Future, "result", raising(error))
        monkeypatch.setattr(client, "cancel", raising(CommClosedError("in <TCP (closed) ConnectionPool.cancel>")))
        with pytest.raises(CosimError, match=r"the Dask scheduler was lost with 2 runs left: .* run the study again"):
            next(by_dask(requests, client))
