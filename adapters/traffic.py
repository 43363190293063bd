"""How does traffic move, stand, emit and charge? SUMO, edge by edge, in a process of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

import numpy as np

from cosim.adapters.sumo_batteries import J_PER_WH, ElectricTrips, StationCharging
from cosim.adapters.sumo_controls import Controls, refuse
from cosim.adapters.sumo_demand import departures, emission_classes, has_batteries, last_departure_s
from cosim.adapters.sumo_files import input_files, read_configuration, stage
from cosim.adapters.sumo_measures import EMISSION_DIGITS, EdgeMeasures, Exchange
from cosim.adapters.sumo_network import charging_stations, network_edges, signal_programs
from cosim.adapters.sumo_session import Connection, Session, private_connection
from cosim.core import Adapter, CosimError, Input, Output, Placement, Step

Fidelity: TypeAlias = Literal["micro", "meso"]

_FIRST_GUESS_S = 60.0
_KG_PER_MG = 1e-6
_S_PER_H = 3600.0
_ROUTE_AHEAD_S = 200.0  # SUMO's own default of route-steps
_OPEN_PORT = (
    "SUMO listens for TraCI on every network interface and takes the first who connects: use it on trusted networks"
)


class Traffic(Adapter):
    """A SUMO scenario, run microscopically or mesoscopically.

    The run starts at the configuration's ``begin``. Everything SUMO writes goes into the run's folder, with the trips
    in ``tripinfos.xml`` unless the configuration names them otherwise. As long as no input is used, trips and every
    other output are those of the ``sumo`` program with the same configuration and seed.

    What happens inside a junction counts for the edge that the vehicle comes from, and a vehicle is where its front
    is: over all edges, `vehicles` integrates to the vehicle-seconds, `travel` to the vehicle-metres and the emissions
    to the totals of the whole network. `speed` is `travel` over `vehicles`, `density` is `vehicles` over the edge's
    length, and `time_loss` integrates to the vehicle-seconds lost against driving at the limit (each driver's own).
    All of it comes from the edgeData that SUMO writes each exchange step, rounded per edge to 1e-6 mg of emissions,
    0.01 vehicle-seconds and 0.01 vehicle-metres.

    Inputs act from the beginning of the step that they are delivered for. `closed` and `permission` (per
    ``edge|class``) are 0 or 1; whom they bar drives round, or as near as it can get. `toll` is paid by everybody who
    drives onto the edge: trips choose their routes by time plus toll over the value of time when they depart.
    `signal_program` is the number of one of a light's programs, as `programs` lists them, or -1 for SUMO's own choice.
    `demand_factor` multiplies the trips of all but timetabled vehicles, chosen by a chance of their own.

    Parameters
    ----------
    sumocfg
        The SUMO configuration.
    seed
        Seed of SUMO's random numbers; the configuration's own if None.
    extra_options
        Further options as on SUMO's command line, e.g. ``("--scale", "0.5")``; they win over the configuration.
    fidelity
        ``"micro"``: every vehicle second by second; ``"meso"``: SUMO's queue model, with junctions and lights, much
        faster and coarser; as the configuration says if None.
    connection
        How SUMO runs, with the same results: see `Session`. If None, as ``"traci"``, the fastest, where it opens no
        port, and as ``"libsumo"`` elsewhere and where electric cars and charging stations have to be watched each
        second.
    electric
        Trips whose energy and state are reported. Their vehicles need a battery, see `electric_variant`. A trip with
        0 in `may_depart` for the step in which it is to depart waits until it is 1; with -1 it never departs.
    stops
        Lane and position [m] of places beside the street. A trip with the number of one in `via` drives there and
        waits, until it is -1 again. Not with SUMO's mesoscopic model, in which no stop can be ended early.
    zones
        The zone of every edge whose departures and arrivals are counted.
    permission_classes
        SUMO's vehicle classes that `permission` is given for.
    value_of_time
        What an hour is worth to a driver who chooses between time and toll. [EUR/h]
    noise
        Whether `noise` is computed, the equivalent sound level of the vehicles on an edge by Harmonoise [dB(A)].

    Raises
    ------
    InputFileError
        If the configuration, network or additional files are missing, malformed or not to be trusted.
    CosimError
        If a trip, edge or option is unknown or impossible.

    Notes
    -----
    Charging power is what is drawn from the grid, positive: the energy that went into batteries over the station's
    efficiency. SUMO prints energies with the configuration's ``precision``, 0.01 Wh by default; the rounding does not
    accumulate in a session or trip. `trip_energy` is what SUMO's battery device consumed less what it recovered.

    SUMO's own ``timeLoss`` of an edge counts a vehicle on every edge that it touches (on Bologna 4.5 % more than the
    trips' total). It is scaled by the edge's vehicle-seconds of fronts over those of whole vehicles, which on Bologna
    comes to within 0.1 % of the trips' total.
    """

    placement: ClassVar[Placement] = "process"
    ends_run: ClassVar[bool] = True
    replays: ClassVar[bool] = True

    def __init__(
        self,
        sumocfg: str | Path,
        *,
        seed: int | None = None,
        extra_options: Sequence[str] = (),
        fidelity: Fidelity | None = None,
        connection: Connection | None = None,
        electric: Sequence[str] = (),
        stops: Sequence[tuple[str, float]] = (),
        zones: Mapping[str, str] | None = None,
        permission_classes: Sequence[str] = (),
        value_of_time: float = 12.0,
        noise: bool = False,
    ) -> None:
        if fidelity not in (None, "micro", "meso"):
            raise CosimError(f"fidelity is {fidelity!r}: write 'micro', 'meso' or None")
        if connection not in (None, "libsumo", "traci", "gui"):
            raise CosimError(f"connection is {connection!r}: write 'libsumo', 'traci', 'gui' or None")
        if not value_of_time > 0:
            raise CosimError(f"value_of_time is {value_of_time!r} EUR/h: it must be positive")
        self.configuration = read_configuration(sumocfg, extra_options)
        self.seed, self.fidelity, self.value_of_time = seed, fidelity, value_of_time
        self.network = network_edges(self.configuration.net)
        additionals = self.configuration.additionals
        self.charging_stations = charging_stations(additionals)
        self.programs = signal_programs(self.network, additionals)
        self.emission_classes = emission_classes((*additionals, *self.configuration.routes))
        self.zones = dict(zones or {})
        self.files = input_files(self.configuration)
        self._electric, self._stops = departures(self.configuration.routes, electric), tuple(stops)
        self._watches = bool(self.charging_stations) and has_batteries(self.configuration)
        self.connection = connection or ("libsumo" if self._watches or private_connection() is None else "traci")
        edges, network = self.network.labels, ["network"]
        if lost := sorted(self.zones.keys() - set(edges)):
            raise CosimError(f"zones names edge {lost[0]!r}, which {self.configuration.net} does not have")
        if self._stops and self._is_meso:
            raise CosimError("stops are for fidelity='micro': a vehicle of SUMO's mesoscopic model cannot be sent on")
        if astray := [lane for lane, _ in self._stops if lane.rpartition("_")[0] not in set(edges)]:
            raise CosimError(f"stops names lane {astray[0]!r}, whose edge {self.configuration.net} does not have")

        self.speed_limit = Input("m/s", edges, default=self.network.speed_limit)
        self.closed = Input("1", edges, default=0.0)
        permits = [self.network.permits(name) for name in permission_classes]
        self.permission = Input(
            "1", [f"{edge}|{name}" for edge in edges for name in permission_classes],
            default=np.array(permits, float).T.ravel(),
        )  # fmt: skip
        self.toll = Input("EUR", edges, default=0.0)
        self.signal_program = Input("1", self.programs, default=-1.0)
        self.demand_factor = Input("1", network, default=1.0)
        self.may_depart = Input("1", electric, default=1.0)
        self.via = Input("1", electric, default=-1.0)

        self.vehicles = Output("vehicle", edges, "mean")
        self.speed = Output("m/s", edges, "mean")
        self.density = Output("vehicle/m", edges, "mean")
        self.travel = Output("vehicle*m/s", edges, "mean")
        self.time_loss = Output("vehicle", edges, "mean")
        self.co2 = Output("kg/s", edges, "mean")
        self.nox = Output("kg/s", edges, "mean")
        self.pmx = Output("kg/s", edges, "mean")
        self.fuel = Output("kg/s", edges, "mean")
        if noise:
            self.noise = Output("dB", edges, "mean")
        self.co2_by_class = Output("kg/s", self.emission_classes, "mean")
        self.nox_by_class = Output("kg/s", self.emission_classes, "mean")
        self.pmx_by_class = Output("kg/s", self.emission_classes, "mean")
        self.fuel_by_class = Output("kg/s", self.emission_classes, "mean")
        self.departures = Output("vehicle/s", dict.fromkeys(self.zones.values()), "mean")
        self.arrivals = Output("vehicle/s", dict.fromkeys(self.zones.values()), "mean")
        self.charging_power = Output("W", [station.id for station in self.charging_stations], "mean")
        self.trip_energy = Output("J", electric, "end")
        self.trip_state = Output("1", electric, "end")
        self.running = Output("vehicle", network, "end")
        self.inserted = Output("vehicle", network, "end")
        self.arrived = Output("vehicle", network, "end")
        self.waiting = Output("vehicle", network, "end")
        self.cancelled = Output("vehicle", network, "end")
        self.teleports = Output("vehicle", network, "end")
        self.collisions = Output("vehicle", network, "end")
        self._session: Session | None = None
        self._hears, self._may_bar, self._period_s = noise, False, 0.0
        self._last_departure_s: float | None = None

    @property
    def _is_meso(self) -> bool:
        given = self.configuration.options.get("mesosim", "false").lower() in ("true", "1", "yes", "on", "t")
        return given if self.fidelity is None else self.fidelity == "meso"

    def open(self) -> None:
        """Start SUMO and load the scenario.

        Raises
        ------
        InputFileError
            If SUMO refuses the scenario; with SUMO's own words.
        CosimError
            If there is no folder, or SUMO runs in this process already.
        """
        self.finished, self._may_bar = False, False
        if self.connection != "libsumo" and private_connection() is None:
            self.report("open port", self.connection, _OPEN_PORT)
        step_s = self.configuration.step_length_s
        self._start(max(round(_FIRST_GUESS_S / step_s), 1) * step_s)
        self._count()
        self._tell_trips()

    def _start(self, period_s: float, further: Mapping[str, str] | None = None) -> None:
        if self.folder is None:
            raise CosimError("traffic has no folder: SUMO writes files, set traffic.folder before open()")
        folder, given = Path(self.folder).resolve(), self.configuration.options
        folder.mkdir(parents=True, exist_ok=True)
        session = Session(self.connection, self.configuration.path, folder)
        trips = folder / Path(given.get("tripinfo-output") or "tripinfos.xml").name.removesuffix(".gz")
        follows = bool(self._electric or self.zones)
        self._measures = EdgeMeasures(
            self.network, self.emission_classes, folder, noise=self._hears, trips=trips if follows else None
        )
        options = {"error-log": str(session.error_log), **self._options(period_s), **(further or {})}
        if follows or not given.get("tripinfo-output"):  # else they go where the configuration says, in the folder
            options["tripinfo-output"] = str(self._measures.file if follows else trips)
        staged = stage(self.configuration, folder, options=options, additionals=[self._measures.define(period_s)])
        session.start(staged)
        self._session, self._period_s, self._time_s = session, period_s, self.configuration.begin_s
        with session.speaking("cannot load"):
            self._charging = StationCharging(session.api, self.charging_stations)
            self._trips = ElectricTrips(session.api, self.may_depart.labels, self._electric, self._stops)
            self._controls = Controls(
                session.api, self.network, self.programs, toll_s_per_eur=_S_PER_H / self.value_of_time,
                seed=self.seed or 0, failures=session.failures,
            )  # fmt: skip

    def _options(self, period_s: float) -> dict[str, str]:
        """Return the options that win over the configuration's."""
        given = self.configuration.options
        options = {
            "no-step-log": "true",
            "emission-output.precision": str(max(EMISSION_DIGITS, int(given.get("emission-output.precision", 0)))),
        }
        if self._may_bar:
            options["ignore-route-errors"] = "true"  # else whoever cannot reach a closed street would end the run
        if 0 < float(given.get("route-steps") or _ROUTE_AHEAD_S) < 2 * period_s:
            options["route-steps"] = str(round(2 * period_s))  # who departs in a step must be known when it begins
        if self.seed is not None:
            options |= {"seed": str(self.seed), "random": "false"}
        if self.fidelity:
            options["mesosim"] = "true" if self.fidelity == "meso" else "false"
            # SUMO's default is queues without junctions, in which no light is ever red.
            options["meso-junction-control"] = given.get("meso-junction-control", "true")
        return options

    def advance(self, step: Step) -> None:
        """Simulate one exchange step.

        Raises
        ------
        CosimError
            If the exchange step is not a whole multiple of SUMO's, or changes; if an input has an impossible value;
            or if SUMO stops, with its own words.
        """
        if self.finished:
            self._idle()
            return
        session = self._prepare(step.length_s)
        end_s, until_s = self.configuration.end_s, self._time_s + step.length_s
        stop_s = until_s if end_s is None else min(until_s, end_s)
        partial = stop_s < until_s
        with session.speaking("stopped"):
            self._apply(stop_s)
            departed = self._simulate(session, stop_s)
            energy_wh = self._charging.take()
            self._count_cancelled(session, departed)
            self._count()
            origins = self._origins(departed)
            if self._electric:
                self._trips.look(departed, stop_s)
            left = session.api.simulation.getMinExpectedNumber() + len(self._trips.put_off)
            self.finished = self._is_empty(left, stop_s) if end_s is None else until_s >= end_s
        if partial:
            session.close()  # SUMO writes an unfinished period only now
        self._time_s = until_s
        exchange = self._measures.read()
        if partial:
            self.close()
        self._trips.end(exchange.trips)
        self._tell_trips()
        self._tell_edges(exchange, step.length_s)
        self._tell_zones(exchange, departed, origins, step.length_s)
        self.charging_power.value = energy_wh * J_PER_WH / self._charging.efficiency / step.length_s

    def close(self) -> None:
        """Stop SUMO, which then completes its files."""
        session, self._session = self._session, None
        if session is not None:
            session.close()
            self._measures.close()

    def versions(self) -> dict[str, str]:
        """Return SUMO's version."""
        import importlib.metadata  # takes as long to import as everything else here

        return {"sumo": importlib.metadata.version("libsumo")}

    def _prepare(self, length_s: float) -> Session:
        """Check a step; SUMO takes the period of its output, and whom it forgives, when it loads and not later."""
        sumo_step_s = self.configuration.step_length_s
        n_steps = round(length_s / sumo_step_s)
        if n_steps < 1 or abs(n_steps * sumo_step_s - length_s) > 1e-6:
            raise CosimError(
                f"traffic is stepped by {length_s:g} s: it must be a whole multiple of SUMO's step-length, "
                f"{sumo_step_s:g} s"
            )
        # Whoever is connected to an input speaks from the first step on.
        may_bar = any(port.value is not port.default for port in (self.closed, self.permission))
        if length_s != self._period_s or (may_bar and not self._may_bar):
            if self._time_s != self.configuration.begin_s:
                raise CosimError(
                    f"traffic is stepped by {length_s:g} s after {self._period_s:g} s: keep one step"
                    if length_s != self._period_s
                    else "closed or permission was first heard after the first step: deliver them from there on"
                )
            self.close()
            self._may_bar = may_bar
            self._start(length_s)
        if self._session is None:
            raise CosimError("traffic is not open: call open() before advance()")
        return self._session

    def _apply(self, until_s: float) -> None:
        refuse(self.may_depart, ~np.isin(self.may_depart.value, (-1.0, 0.0, 1.0)), "write 1, 0 or -1")
        self._controls.apply(
            speed_limit=self.speed_limit, closed=self.closed, permission=self.permission, toll=self.toll,
            signal_program=self.signal_program, demand_factor=self.demand_factor,
        )  # fmt: skip
        via = self.via.value
        refuse(
            self.via, (via != np.round(via)) | (via < -1) | (via >= len(self._stops)),
            "write the number of one of the stops, counted from 0, or -1 for none",
        )  # fmt: skip
        self._trips.lead(via, self._session.failures if self._session else ())
        self._holding = bool(self._electric) and self._trips.hold(
            self.may_depart.value, self._time_s, until_s, self._controls.removed
        )

    def _simulate(self, session: Session, until_s: float) -> list[str]:
        """Step to a time, second by second only where somebody has to be looked at; return who departed."""
        api = session.api
        if not (self._watches or self._holding or self._controls.every_second):
            api.simulationStep(until_s)
            needed = self._electric or self.zones or self._controls.barred
            return list(api.simulation.getDepartedIDList()) if needed else []
        departed: list[str] = []
        while api.simulation.getTime() < until_s - 1e-6:
            api.simulationStep()
            now = api.simulation.getDepartedIDList()
            departed += now
            if self._watches:
                self._charging.second()
            held = self._trips.second() if self._holding else set()
            if self._controls.every_second:
                self._controls.second([v for v in api.simulation.getLoadedIDList() if v not in held],
                                      [v for v in now if v not in held])  # fmt: skip
        return departed

    def _is_empty(self, left: int, now_s: float) -> bool:
        """Tell whether nobody is left nor to come; SUMO counts whom it has read and not cancelled."""
        if left == 0 and self._controls.barred and self._last_departure_s is None:
            self._last_departure_s = last_departure_s((*self.configuration.routes, *self.configuration.additionals))
        return left == 0 and now_s > (self._last_departure_s or 0.0)

    def _count_cancelled(self, session: Session, departed: Iterable[str]) -> None:
        """Count those who found no way to begin with among the trips that measures have cancelled."""
        if self._controls.barred:
            told = session.new_messages("Warning: (?:No route for v|V)ehicle '(.*)' (?:found|has no valid route)")
            self._controls.cancelled |= {match[1] for match in told}
            self._controls.cancelled -= set(departed)  # a later try may find a route

    def _count(self) -> None:
        """Assign the counts of the network."""
        assert self._session is not None
        get = self._session.api.simulation.getParameter
        self.inserted.value = inserted = float(get("", "stats.vehicles.inserted"))
        self.running.value = running = float(get("", "stats.vehicles.running"))
        self.arrived.value = inserted - running
        self.waiting.value = float(get("", "stats.vehicles.waiting"))
        self.cancelled.value = len(self._controls.cancelled)
        self.teleports.value = float(get("", "stats.teleports.total"))
        self.collisions.value = float(get("", "stats.safety.collisions"))

    def _tell_trips(self) -> None:
        self.trip_energy.value = self._trips.energy_j
        self.trip_state.value = self._trips.state

    def _tell_edges(self, exchange: Exchange, length_s: float) -> None:
        vehicles, travel, time_loss, *emitted = exchange.edges / length_s
        self.vehicles.value = vehicles
        self.travel.value = travel
        self.time_loss.value = time_loss
        self.density.value = vehicles / self.network.length_m
        limit = self.speed_limit.value
        self.speed.value = np.divide(travel, vehicles, out=limit.copy(), where=vehicles > 0)
        for port, rate in zip((self.co2, self.pmx, self.nox, self.fuel), emitted):
            port.value = rate * _KG_PER_MG
        by_class = (self.co2_by_class, self.pmx_by_class, self.nox_by_class, self.fuel_by_class)
        for port, rate in zip(by_class, exchange.classes / length_s):
            port.value = rate * _KG_PER_MG
        if self._hears:
            self.noise.value = exchange.noise

    def _origins(self, departed: Iterable[str]) -> dict[str, str]:
        """Return where those departed from who are still on their way."""
        if not self.zones or self._session is None:
            return {}
        vehicle = self._session.api.vehicle
        present = set(vehicle.getIDList())
        return {v: vehicle.getRoute(v)[0] for v in departed if v in present}

    def _tell_zones(
        self, exchange: Exchange, departed: Iterable[str], origins: Mapping[str, str], length_s: float
    ) -> None:
        row = {zone: i for i, zone in enumerate(self.departures.labels)}
        left, reached = np.zeros(len(row)), np.zeros(len(row))
        if row:
            known = dict(origins)
            for trip in exchange.trips:
                known.setdefault(trip.get("id", ""), trip.get("departLane", "").rpartition("_")[0])
                zone = self.zones.get(trip.get("arrivalLane", "").rpartition("_")[0])
                if zone is not None and not trip.get("vaporized"):
                    reached[row[zone]] += 1
            for v in departed:
                if (zone := self.zones.get(known.get(v, ""))) is not None:
                    left[row[zone]] += 1
        self.departures.value = left / length_s
        self.arrivals.value = reached / length_s

    def _idle(self) -> None:
        """Assign what holds when nothing moves any more."""
        still = [self.vehicles, self.density, self.travel, self.time_loss, self.co2, self.nox, self.pmx, self.fuel,
                 self.co2_by_class, self.nox_by_class, self.pmx_by_class, self.fuel_by_class, self.departures,
                 self.arrivals, self.charging_power, self.running, self.waiting]  # fmt: skip
        if self._hears:
            still.append(self.noise)
        for port in still:
            port.value = 0.0
        self.speed.value = self.speed_limit.value
        for port in (self.trip_energy, self.trip_state, self.inserted, self.arrived, self.cancelled, self.teleports,
                     self.collisions):  # fmt: skip
            port.value = port.value
