"""How is a long traffic run taken up again quickly, where nearly the same is good enough? By SUMO's own state files."""

from __future__ import annotations

from pathlib import Path

from cosim.adapters.traffic import Traffic
from cosim.core import CosimError

_STATE, _TIME = "state.xml", "time.txt"


class ApproximateTraffic(Traffic):
    """`Traffic` that a resumed run takes up from SUMO's saved state instead of simulating it again.

    An approximation: SUMO's state leaves out where vehicles are in their lane changes, among others, and the run goes
    on much like the uninterrupted one, not exactly so. Counts start anew, except for the vehicles on their way.
    `Traffic` itself is brought back exactly. What inputs have changed is told to SUMO again with the next step.
    """

    replays = False

    def save(self, folder: Path) -> None:
        """Write SUMO's state."""
        if self._session is None:
            raise CosimError("traffic is not running: there is no state to save")
        if self._electric or self.charging_stations:
            raise CosimError(
                "traffic follows batteries, which SUMO's state files leave out: use Traffic, which is brought back "
                "exactly"
            )
        self._session.api.simulation.saveState(str(folder / _STATE))
        (folder / _TIME).write_text(f"{self._time_s!r} {self._period_s!r}")

    def load(self, folder: Path) -> None:
        """Start SUMO again from its state."""
        try:
            time_s, period_s = map(float, (folder / _TIME).read_text().split())
        except (OSError, ValueError) as error:
            raise CosimError(f"{folder} holds no state of traffic: {error}") from error
        self.close()
        self._may_bar = True  # it is not known yet who will speak
        self._start(period_s, {"load-state": str(folder / _STATE), "begin": f"{time_s:.3f}"})
        self._time_s = time_s
        self._count()
