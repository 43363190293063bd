"""How does traffic move, stand, emit and charge? SUMO, edge by edge, in a process of its own."""

from __future__ import annotations

import html
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from cosim.adapters.sumo_files import read_configuration, stage
from cosim.adapters.sumo_network import charging_stations, network_edges
from cosim.core import Adapter, CosimError, InputFileError, Output, Placement, Step
from cosim.core.ports import Vector

# What SUMO writes per edge and exchange step; the time loss is left out where nobody was.
_EMISSION_ROW = re.compile(
    rb'<edge id="([^"]*)" sampledSeconds="([^"]*)" CO2_abs="([^"]*)" PMx_abs="([^"]*)" '
    rb'NOx_abs="([^"]*)" fuel_abs="([^"]*)"'
)
_TRAFFIC_ROW = re.compile(
    rb'<edge id="([^"]*)" sampledSeconds="([^"]*)"(?: timeLoss="([^"]*)")? distance="([^"]*)"'
)
_EMISSION_DIGITS = 6
_FIRST_GUESS_S = 60.0
_BATTERY = "device.battery."


class Traffic(Adapter):
    """A SUMO scenario, run microscopically or mesoscopically as its configuration says.

    The run starts at the configuration's ``begin``. Everything SUMO writes goes into the run's folder, with the trips
    in ``tripinfos.xml`` unless the configuration names them otherwise. Trips and every other output are those of the
    ``sumo`` program with the same configuration and seed.

    What happens inside a junction counts for the edge that the vehicle comes from, and a vehicle is where its front
    is: over all edges, `vehicles` integrates to the vehicle-seconds, `travel` to the vehicle-metres and the emissions
    to the totals of the whole network. `speed` is `travel` over `vehicles`, and `time_loss` integrates to the
    vehicle-seconds lost against driving at the limit (each driver's own).

    All of it comes from the edgeData that SUMO writes each exchange step, rounded per edge to 1e-6 mg of emissions,
    0.01 vehicle-seconds and 0.01 vehicle-metres.

    Parameters
    ----------
    sumocfg
        The SUMO configuration.
    seed
        Seed of SUMO's random numbers; the configuration's own if None.
    extra_options
        Further options as on SUMO's command line, e.g. ``("--scale", "0.5")``; they win over the configuration.

    Raises
    ------
    InputFileError
        If the configuration, network or additional files are missing, malformed or not to be trusted.

    Notes
    -----
    Charging power is what is drawn from the grid, positive: the energy that went into batteries over the station's
    efficiency. SUMO has no getter for it, and its ``energyCharged`` goes stale after a vehicle has left, so the
    energy is the growth of (charge + consumed − regenerated) while the vehicle is at the station. SUMO prints these
    with the configuration's ``precision``; the rounding does not accumulate in a session.

    SUMO's own ``timeLoss`` of an edge counts a vehicle on every edge that it touches (on Bologna 4.5 % more than the
    trips' total). It is scaled by the edge's vehicle-seconds of fronts over those of whole vehicles, which on Bologna
    comes to within 0.1 % of the trips' total.
    """

    placement: ClassVar[Placement] = "process"
    ends_run: ClassVar[bool] = True

    def __init__(
        self, sumocfg: str | Path, *, seed: int | None = None, extra_options: Sequence[str] = ()
    ) -> None:
        self.configuration = read_configuration(sumocfg, extra_options)
        self.seed = seed
        self.network = network_edges(self.configuration.net)
        self.charging_stations = charging_stations(self.configuration.additionals)
        edges, places = self.network.labels, [station.id for station in self.charging_stations]
        self.files = (self.configuration.path, self.configuration.net, *self.configuration.routes,
                      *self.configuration.additionals)  # fmt: skip
        self.vehicles = Output("vehicle", edges, "mean")
        self.speed = Output("m/s", edges, "mean")
        self.travel = Output("vehicle*m/s", edges, "mean")
        self.time_loss = Output("vehicle", edges, "mean")
        self.co2 = Output("kg/s", edges, "mean")
        self.nox = Output("kg/s", edges, "mean")
        self.pmx = Output("kg/s", edges, "mean")
        self.fuel = Output("kg/s", edges, "mean")
        self.charging_power = Output("W", places, "mean")
        self.running = Output("vehicle", ["network"], "end")
        self.inserted = Output("vehicle", ["network"], "end")
        self.arrived = Output("vehicle", ["network"], "end")
        self.waiting = Output("vehicle", ["network"], "end")
        self.teleports = Output("vehicle", ["network"], "end")
        self.collisions = Output("vehicle", ["network"], "end")
        self._sumo: Any = None
        self._period_s = 0.0

    def open(self) -> None:
        """Start SUMO and load the scenario.

        Raises
        ------
        InputFileError
            If SUMO refuses the scenario; with SUMO's own words.
        CosimError
            If there is no folder, or SUMO runs in this process already.
        """
        self.finished = False
        step_s = self.configuration.step_length_s
        self._start(max(round(_FIRST_GUESS_S / step_s), 1) * step_s)
        self._count()

    def _start(self, period_s: float) -> None:
        if self.folder is None:
            raise CosimError("traffic has no folder: SUMO writes files, set traffic.folder before open()")
        folder = Path(self.folder).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        sumo = _libsumo()
        if sumo.simulation.isLoaded():
            raise CosimError("SUMO already runs in this process, which holds one: place traffic with 'process'")
        self._period_s = period_s
        self._messages = folder / "sumo-messages.txt"
        self._exchange = (folder / "sumo-emissions.xml", folder / "sumo-traffic.xml")
        self._error_log, measured = folder / "sumo-errors.txt", folder / "sumo-measured.add.xml"
        self._messages.write_bytes(b"")
        common = f'period="{period_s:.3f}" withInternal="true"'
        emissions, traffic = (path.name for path in self._exchange)
        measured.write_text(
            f'<additional><edgeData id="cosim.emissions" type="emissions" {common} file="{emissions}" '
            'writeAttributes="sampledSeconds CO2_abs PMx_abs NOx_abs fuel_abs"/>'
            f'<edgeData id="cosim.traffic" {common} file="{traffic}" '
            'writeAttributes="sampledSeconds timeLoss distance"/></additional>\n'
        )
        given = self.configuration.options
        options = {
            "error-log": str(self._error_log),
            "no-step-log": "true",
            "emission-output.precision": str(max(_EMISSION_DIGITS, int(given.get("emission-output.precision", 0)))),
        }
        if not given.get("tripinfo-output"):
            options["tripinfo-output"] = str(folder / "tripinfos.xml")
        if self.seed is not None:
            options |= {"seed": str(self.seed), "random": "false"}
        staged = stage(self.configuration, folder, options=options, additionals=[measured])
        self._sumo = sumo
        with self._speaking("cannot load"):
            sumo.start(["sumo", "-c", str(staged)])
            edges = sumo.edge.getIDList()
        places = {label: i for i, label in enumerate(self.network.labels)}
        self._place = {edge: places.get(self.network.leaves.get(edge, edge), -1) for edge in edges}
        self._time_s = self.configuration.begin_s
        self._positions = [0, 0]
        self._taken: dict[str, float] = {}
        self._stopped: dict[str, int | None] = {}
        self._efficiency = np.array([sumo.chargingstation.getEfficiency(s.id) for s in self.charging_stations])
        self._station = {station.id: i for i, station in enumerate(self.charging_stations)}
        self._station_lanes = {station.lane for station in self.charging_stations}

    def advance(self, step: Step) -> None:
        """Simulate one exchange step.

        Raises
        ------
        CosimError
            If the exchange step is not a whole multiple of SUMO's, or changes; or if SUMO stops, with its own words.
        """
        if self.finished:
            self._idle()
            return
        length_s, sumo_step_s = step.length_s, self.configuration.step_length_s
        n_steps = round(length_s / sumo_step_s)
        if n_steps < 1 or abs(n_steps * sumo_step_s - length_s) > 1e-6:
            raise CosimError(
                f"traffic is stepped by {length_s:g} s: it must be a whole multiple of SUMO's step-length, "
                f"{sumo_step_s:g} s"
            )
        if length_s != self._period_s:
            if self._time_s != self.configuration.begin_s:
                raise CosimError(f"traffic is stepped by {length_s:g} s after {self._period_s:g} s: keep one step")
            self.close()
            self._start(length_s)  # SUMO takes the period of its output when it loads, and not later
        end_s = self.configuration.end_s
        until_s = self._time_s + length_s if end_s is None else min(self._time_s + length_s, end_s)
        with self._speaking("stopped"):
            energy = self._simulate(until_s)
            self._count()
            self.finished = (
                self._sumo.simulation.getMinExpectedNumber() == 0 if end_s is None else until_s >= end_s
            )
            partial = until_s < self._time_s + length_s
            if partial:
                self._sumo.close()  # SUMO writes an unfinished period only now
        self._time_s += length_s
        edges = self._read_exchange() / length_s
        if partial:
            self.close()
        self.vehicles.value = vehicles = edges[0]
        self.travel.value = travel = edges[1]
        self.time_loss.value = edges[2]
        limit = self.network.speed_limit
        self.speed.value = np.divide(travel, vehicles, out=limit.copy(), where=vehicles > 0)
        for port, milligrams in zip((self.co2, self.pmx, self.nox, self.fuel), edges[3:]):
            port.value = milligrams * 1e-6  # mg -> kg
        self.charging_power.value = energy * 3600.0 / self._efficiency / length_s  # Wh -> J

    def close(self) -> None:
        """Stop SUMO, which then completes its files."""
        sumo, self._sumo = self._sumo, None
        if sumo is None:
            return
        with _quiet(self._messages):
            if sumo.simulation.isLoaded():
                sumo.close()
        for path in self._exchange:
            path.unlink(missing_ok=True)

    def versions(self) -> dict[str, str]:
        """Return SUMO's version."""
        import importlib.metadata  # takes as long to import as everything else here

        return {"sumo": importlib.metadata.version("libsumo")}

    def _simulate(self, until_s: float) -> Vector:
        """Step to a time; return the energy that went into batteries per charging station. [Wh]"""
        energy = np.zeros(len(self._station))
        if not self._station:
            self._sumo.simulationStep(until_s)
            return energy
        simulation, lane_of = self._sumo.simulation, self._sumo.vehicle.getLaneID
        while simulation.getTime() < until_s - 1e-6:
            self._sumo.simulationStep()
            for v in simulation.getDepartedIDList():
                if self._sumo.vehicle.getParameter(v, "has.battery.device") == "true":
                    self._taken[v] = self._taken_so_far(v) - float(self._battery(v, "energyCharged"))
            for v in simulation.getArrivedIDList():
                self._taken.pop(v, None)
                self._stopped.pop(v, None)
            starting = [v for v in simulation.getStopStartingVehiclesIDList() if v in self._taken]
            ending = [v for v in simulation.getStopEndingVehiclesIDList() if v in self._stopped]
            beside = [v for v in self._taken if v not in self._stopped and lane_of(v) in self._station_lanes]
            self._stopped |= dict.fromkeys(starting)
            unplaced = [v for v, station in self._stopped.items() if station is None]
            for v in dict.fromkeys([*unplaced, *ending, *beside]):
                self._count_charge(v, energy)
            for v in ending:
                del self._stopped[v]
        for v in self._stopped:
            self._count_charge(v, energy)
        return energy

    def _count_charge(self, v: str, energy: Vector) -> None:
        """Add what a vehicle has charged since it was last looked at.

        A vehicle at its stop is looked at when the stop begins and ends and at the end of the exchange, one that
        passes or queues beside a station at every step: SUMO charges it too, once it stands for the station's delay.
        """
        # A vehicle whose battery is full no longer names the station.
        station = self._station.get(self._battery(v, "chargingStationId"), self._stopped.get(v))
        if station is not None:
            taken = self._taken_so_far(v)
            energy[station] += max(taken - self._taken[v], 0.0)
            self._taken[v] = taken
            if v in self._stopped:
                self._stopped[v] = station

    def _taken_so_far(self, v: str) -> float:
        """Return a vehicle's charge plus what it has consumed net of recuperation, which only charging changes. [Wh]"""
        level, consumed, regenerated = (
            float(self._battery(v, key)) for key in ("chargeLevel", "totalEnergyConsumed", "totalEnergyRegenerated")
        )
        return level + consumed - regenerated

    def _battery(self, v: str, key: str) -> str:
        return str(self._sumo.vehicle.getParameter(v, _BATTERY + key))

    def _read_exchange(self) -> Vector:
        """Return what SUMO wrote for the exchange step.

        Returns
        -------
        shape (7, n_edges)
            Vehicle-seconds [s], vehicle-metres [m], time loss [s], then CO2, PMx, NOx and fuel [mg].
        """
        ids, emitted = self._read_period(0, _EMISSION_ROW)
        same_ids, driven = self._read_period(1, _TRAFFIC_ROW)
        if ids != same_ids or len(ids) != len(self._place):
            raise CosimError(
                f"SUMO wrote {len(ids)} and {len(same_ids)} edges of {len(self._place)}: see {self._messages}"
            )
        fronts, (whole, time_loss, distance) = emitted[0], driven
        share = np.divide(fronts, whole, out=np.zeros_like(whole), where=whole > 0)
        time_loss = time_loss * np.minimum(share, 1.0)
        place = np.array([self._place[html.unescape(edge.decode())] for edge in ids])
        known = place >= 0
        return np.array([
            np.bincount(place[known], column[known], len(self.network.labels))
            for column in (fronts, distance, time_loss, *emitted[1:])
        ])  # fmt: skip

    def _read_period(self, which: int, pattern: re.Pattern[bytes]) -> tuple[list[bytes], Vector]:
        with self._exchange[which].open("rb+") as file:
            file.seek(self._positions[which])
            text = file.read()
            self._positions[which] += len(text)
            # SUMO goes on at its own position, so what was read becomes a hole and takes no room on the disk.
            file.truncate(0)
        if text.count(b"</interval>") != 1:
            raise CosimError(f"SUMO wrote {text.count(b'</interval>')} periods for one step: see {self._messages}")
        rows = pattern.findall(text)
        return [row[0] for row in rows], np.array([[cell or b"0" for cell in row[1:]] for row in rows], float).T

    def _count(self) -> None:
        """Assign the counts of the network."""
        get = self._sumo.simulation.getParameter
        self.inserted.value = inserted = float(get("", "stats.vehicles.inserted"))
        self.running.value = running = float(get("", "stats.vehicles.running"))
        self.arrived.value = inserted - running
        self.waiting.value = float(get("", "stats.vehicles.waiting"))
        self.teleports.value = float(get("", "stats.teleports.total"))
        self.collisions.value = float(get("", "stats.safety.collisions"))

    def _idle(self) -> None:
        """Assign what holds when nothing moves any more."""
        for port in (self.vehicles, self.travel, self.time_loss, self.co2, self.nox, self.pmx, self.fuel,
                     self.charging_power, self.running, self.waiting):  # fmt: skip
            port.value = 0.0
        self.speed.value = self.network.speed_limit
        for port in (self.inserted, self.arrived, self.teleports, self.collisions):
            port.value = port.value

    @contextmanager
    def _speaking(self, what: str) -> Iterator[None]:
        """Turn SUMO's failures into one error with SUMO's own words, and leave nothing half loaded."""
        try:
            with _quiet(self._messages):
                yield
        except (self._sumo.TraCIException, self._sumo.FatalTraCIError) as error:
            self.close()
            words = [str(error).strip()]  # repr() hides them
            if self._error_log.exists():
                words += re.findall(r"^Error: (.*)", self._error_log.read_text("utf-8", "replace"), re.M)
            said = "; ".join(dict.fromkeys(" ".join(html.unescape(text).split()) for text in words if text))
            raise InputFileError(f"SUMO {what} {self.configuration.path}: {said}") from error


def _libsumo() -> Any:
    """Import libsumo with the data of its wheel; one that SUMO's own search misses is PROJ's."""
    import sumo

    data = Path(sumo.SUMO_HOME)
    os.environ.setdefault("SUMO_HOME", str(data))
    for name in ("PROJ_DATA", "PROJ_LIB"):
        os.environ[name] = str(data / "data" / "proj")
    os.environ.setdefault("LIBSUMO_AS_TRACI", "quiet")  # else it prints about pyarrow, which is not used here
    import libsumo

    return libsumo


@contextmanager
def _quiet(messages: Path) -> Iterator[None]:
    """Send what C++ code writes to the process's standard streams into a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = {number: os.dup(number) for number in (1, 2)}
    file = os.open(messages, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        for number in saved:
            os.dup2(file, number)
        yield
    finally:
        for number, copy in saved.items():
            with suppress(OSError):
                os.dup2(copy, number)
            os.close(copy)
        os.close(file)
