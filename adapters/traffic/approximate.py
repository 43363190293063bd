"""Traffic that resumes approximately, but quickly, from SUMO's own state files."""

from __future__ import annotations

from pathlib import Path

from cosim.core import CosimError

from .adapter import Traffic

_STATE, _TIME = "state.xml", "time.txt"


class ApproximateTraffic(Traffic):
    """`Traffic` that a resumed run restores from SUMO's saved state instead of simulating it again.

    An approximation: SUMO's state omits lane changes in progress, among others, and the run continues similarly to the
    uninterrupted one, but not exactly. Counters restart, except for the vehicles under way.
    `Traffic` itself is restored exactly. Changed inputs are applied to SUMO again in the next step.
    """

    replays = False

    def save(self, folder: Path) -> None:
        """Write SUMO's state."""
        if self._session is None:
            raise CosimError("traffic is not running and has no state to save: call open() before save(folder)")
        if self._electric or self.charging_stations:
            raise CosimError(
                "traffic follows batteries, which SUMO's state files omit: use Traffic, which is restored exactly"
            )
        self._session.api.simulation.saveState(str(folder / _STATE))
        (folder / _TIME).write_text(f"{self._time_s!r} {self._period_s!r}")

    def load(self, folder: Path) -> None:
        """Restart SUMO from its state."""
        try:
            time_s, period_s = map(float, (folder / _TIME).read_text().split())
        except (OSError, ValueError) as error:
            raise CosimError(f"{folder} has no state of traffic: {error}") from error
        self.close()
        self._may_bar = True  # it is not known yet which inputs will be delivered
        self._start(period_s, {"load-state": str(folder / _STATE), "begin": f"{time_s:.3f}"})
        self._time_s = time_s
        self._count()
