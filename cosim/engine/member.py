"""The state of one adapter in a run."""

from __future__ import annotations

import numpy as np

from cosim.core.adapter import Event, Step, outputs
from cosim.core.errors import CosimError
from cosim.core.ports import Output
from cosim.core.quantities import Vector

from .hosts import AdapterError, Host, OutputDigest


class RunError(CosimError):
    """A run that ended early, with the adapter, the moment and the cause.

    Parameters
    ----------
    adapter
        Name of the adapter, or of the part of the engine that failed.
    when
        The simulated time or the phase, as in ``"at 2025-01-15 08:00:00"`` or ``"while opening"``.
    cause
        What went wrong, in one line.
    details
        The traceback, if there is one.
    """

    def __init__(self, adapter: str, when: str, cause: str, details: str = "") -> None:
        self.adapter, self.when, self.cause, self.details = adapter, when, cause, details
        super().__init__(f"{adapter} failed {when}: {cause}")


class Member:
    """One adapter of a run and its state so far.

    Parameters
    ----------
    host
        Runs the adapter.
    step
        The adapter's step. [ticks]

    Attributes
    ----------
    wall_s : float
        Total wall time of its steps. [s]
    finished_at : int or None
        The tick at which it finished; None while it is running.
    missing : dict of str to ndarray of bool
        Elements that are currently missing, by output.
    received : list
        Inputs since the last checkpoint, kept for an adapter that is restored by replay.
    digest : OutputDigest
        Running hash of everything that it has published.
    """

    def __init__(self, host: Host, step: int) -> None:
        self.host, self.step_ticks = host, step
        self.outputs: dict[str, Output] = outputs(host.adapter)
        self.wall_s = 0.0
        self.finished_at: int | None = None
        self.missing: dict[str, np.ndarray] = {}
        self.received: list[tuple[Step, dict[str, Vector]]] = []
        self.digest = OutputDigest()

    @property
    def name(self) -> str:
        """The adapter's name in the scenario."""
        return self.host.name

    def gaps(self, name: str, value: Vector) -> list[Event]:
        """Record which elements of an output are missing; return an event for each that changed."""
        missing = np.isnan(value)
        before = self.missing.get(name, np.zeros_like(missing))
        self.missing[name] = missing
        labels = self.outputs[name].labels
        return [Event("missing", labels[i], f"{name} is missing") for i in np.flatnonzero(missing & ~before)] + [
            Event("present", labels[i], f"{name} is present again") for i in np.flatnonzero(before & ~missing)
        ]

    def error(self, when: str, error: CosimError) -> RunError:
        """Return an adapter's error with its name and the moment."""
        return RunError(self.name, when, str(error), error.details if isinstance(error, AdapterError) else "")
