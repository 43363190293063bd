"""Traffic adapter: SUMO with vehicles, emissions, noise and charging per edge."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from cosim.adapters.traffic.batteries import ElectricTrips, StationCharging
from cosim.adapters.traffic.controls import StreetControls, refuse
from cosim.adapters.traffic.demand import (
    check_kinds,
    departures,
    emission_classes,
    grouped,
    has_batteries,
    is_electric,
)
from cosim.adapters.traffic.demand import last_departure_s as last_departure
from cosim.adapters.traffic.files import read_configuration
from cosim.adapters.traffic.measures import EdgeMeasures, Exchange
from cosim.adapters.traffic.network import charging_stations, network_edges, signal_programs
from cosim.adapters.traffic.options import Fidelity, announcements, check_choices, trips_name, winning_options
from cosim.adapters.traffic.session import Connection, Session, private_connection
from cosim.adapters.traffic.staging import input_files, stage
from cosim.adapters.traffic.zones import ZoneCounts, check_places
from cosim.core import Adapter, CosimError, Input, Output, Placement, Step
from cosim.core.adapter import outputs
from cosim.core.quantities import HOUR_S, J_PER_WH
from cosim.core.trips import MayDepart

_FIRST_GUESS_S = 60.0
_NO_ROUTE = re.compile("(?:No route for v|V)ehicle '(.*)' (?:found|has no valid route)")
_NAMES = re.compile(r"'[^']*'|[-+\d.:]+")  # what differs between warnings of one kind
_KG_PER_MG = 1e-6


class Traffic(Adapter):
    """A SUMO scenario, run microscopically or mesoscopically.

    The run starts at the configuration's ``begin``. All files written by SUMO go into the run's folder, with the trips
    in ``tripinfos.xml`` unless the configuration names them otherwise. As long as no input is used, trips and every
    other output equal those of the ``sumo`` program with the same configuration and seed.

    Values inside a junction count for the edge from which the vehicle enters it, and a vehicle is located by its
    front: over all edges, `vehicles` integrates to the vehicle-seconds, `travel` to the vehicle-metres and the
    emissions to the totals of the whole network. `speed` is `travel` over `vehicles`, `density` is `vehicles` over the
    edge's length, `flow` is the mean volume over the edge's cross-sections (vehicle-metres on the edge over its length,
    Edie's definition), and `time_loss` integrates to the vehicle-seconds lost against driving at the limit (of each
    driver). All of these come from the edgeData that SUMO writes each exchange step, rounded per edge to 1e-6 mg of
    emissions, 0.01 vehicle-seconds and 0.01 vehicle-metres.

    Inputs act from the beginning of the step for which they are delivered. `closed` and `permission` (per
    ``edge|class``) are 0 or 1; barred vehicles detour, or drive as close to their destination as possible. `toll` is
    paid by every vehicle that enters the edge: trips choose routes by time plus toll over the value of time at
    departure. `signal_program` is the number of one of a light's programs, as listed in `programs`, or -1 for SUMO's
    own choice. `demand_factor` multiplies the trips of all but timetabled vehicles, selected at random; `zone_demand`
    those that begin in a zone.

    Parameters
    ----------
    sumocfg
        The SUMO configuration.
    seed
        Seed of SUMO's random numbers; the configuration's own if None.
    extra_options
        Further options as on SUMO's command line, e.g. ``("--scale", "0.5")``; they override the configuration.
    fidelity
        ``"micro"``: every vehicle second by second; ``"meso"``: SUMO's queue model, with junctions and lights, much
        faster and coarser; as in the configuration if None.
    connection
        How SUMO runs, with identical results: see `Session`. If None, ``"traci"``, the fastest, where it opens no
        port, and ``"libsumo"`` elsewhere and where electric cars and charging stations have to be observed every
        second.
    electric
        Trips whose energy and state are published. Their vehicles need a battery, see `electric_variant`. A trip with
        0 in `may_depart` for the step of its departure waits until it is 1; with -1 it never departs.
    stops
        Lane and position [m] of stops beside the street. A trip with the number of a stop in `via` drives there and
        waits until `via` is -1 again. Not with SUMO's mesoscopic model, in which stops cannot be ended early.
    zones
        The zone of every edge whose departures and arrivals are counted, and whose demand may be changed.
    permission_classes
        SUMO's vehicle classes in `permission`.
    value_of_time
        Drivers' value of time in the choice between time and toll. [EUR/h]
    kinds
        The vehicle types of every kind of vehicle whose `travel_by_kind` is published per ``edge|kind``. Every kind but
        one costs SUMO time. Together they must have all types of the scenario.
    emission_groups
        Emission classes → name of a group whose emissions are published together in `co2_by_class` and its like. Every
        group costs SUMO as much time as all the rest of its measuring.
    noise
        Whether `noise` is computed, the equivalent sound level of the vehicles on an edge by Harmonoise [dB(A)].

    Raises
    ------
    InputFileError
        If the configuration, network or additional files are missing, malformed or not trusted.
    CosimError
        If a trip, edge or option is unknown or impossible.

    Notes
    -----
    Charging power is drawn from the grid, positive: the energy charged into batteries over the station's
    efficiency. SUMO prints energies with the configuration's ``precision``, 0.01 Wh by default; the rounding does not
    accumulate in a session or trip. `trip_energy` is the consumption of SUMO's battery device less recuperation.
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
        kinds: Mapping[str, Sequence[str]] | None = None,
        emission_groups: Mapping[str, str] | None = None,
        noise: bool = False,
    ) -> None:
        check_choices(fidelity, connection, value_of_time)
        self.configuration = read_configuration(sumocfg, extra_options)
        self.seed, self.fidelity, self.value_of_time = seed, fidelity, value_of_time
        self.network = network_edges(self.configuration.net)
        additionals = self.configuration.additionals
        self.charging_stations = charging_stations(additionals)
        self.programs = signal_programs(self.network, additionals)
        self.emission_classes = emission_classes(self.configuration.demand)
        self._groups = grouped(self.emission_classes, emission_groups or {})
        self.zones = dict(zones or {})
        self.kinds = {name: tuple(types) for name, types in (kinds or {}).items()}
        self.files = input_files(self.configuration)
        self.settings = {f"environment variable {name}": v for name, v in self.configuration.environment.items()}
        self._electric, self._stops = departures(self.configuration.demand, electric), tuple(stops)
        self._watches = bool(self.charging_stations) and has_batteries(self.configuration)
        self.connection = connection or ("libsumo" if self._watches or private_connection() is None else "traci")
        edges, network = self.network.labels, ["network"]
        check_kinds(self.kinds, self.emission_classes)
        check_places(self.network, self.zones, self._stops, str(self.configuration.net), is_meso=self._is_meso)

        self.speed_limit = Input("m/s", edges, default=self.network.speed_limit)
        self.closed = Input("1", edges, default=0.0)
        permits = [self.network.permits(name) for name in permission_classes]
        self.permission = Input(
            "1",
            [f"{edge}|{name}" for edge in edges for name in permission_classes],
            default=np.array(permits, float).T.ravel(),
        )
        self.toll = Input("EUR", edges, default=0.0)
        self.signal_program = Input("1", self.programs, default=-1.0)
        self.demand_factor = Input("1", network, default=1.0)
        zone_names = dict.fromkeys(self.zones.values())
        self.zone_demand = Input("1", zone_names, default=1.0)
        self.may_depart = Input("1", electric, default=float(MayDepart.NOW))
        self.via = Input("1", electric, default=-1.0)

        self.vehicles = Output("vehicle", edges, "mean")
        self.speed = Output("m/s", edges, "mean")
        self.density = Output("vehicle/m", edges, "mean")
        self.flow = Output("vehicle/s", edges, "mean")
        self.travel = Output("vehicle*m/s", edges, "mean")
        if self.kinds:
            pairs = [f"{edge}|{kind}" for edge in edges for kind in self.kinds]
            self.travel_by_kind = Output("vehicle*m/s", pairs, "mean")
        self.time_loss = Output("vehicle", edges, "mean")
        self.co2, self.nox, self.pmx, self.fuel = (Output("kg/s", edges, "mean") for _ in range(4))
        if noise:
            self.noise = Output("dB", edges, "mean")
        self.co2_by_class, self.nox_by_class, self.pmx_by_class, self.fuel_by_class = (
            Output("kg/s", self._groups, "mean") for _ in range(4)
        )
        self.departures, self.arrivals = (Output("vehicle/s", zone_names, "mean") for _ in range(2))
        self._zone_counts = ZoneCounts(self.zones, self.departures.labels)
        self.charging_power = Output("W", [station.id for station in self.charging_stations], "mean")
        self.trip_energy = Output("J", electric, "end")
        self.trip_state = Output("1", electric, "end")
        self.running, self.inserted, self.arrived, self.waiting, self.cancelled, self.teleports, self.collisions = (
            Output("vehicle", network, "end") for _ in range(7)
        )
        self._session: Session | None = None
        self._computes_noise, self._may_bar, self._period_s = noise, False, 0.0
        self._last_departure_s: float | None = None
        self._warned: set[str] = set()

    @property
    def _is_meso(self) -> bool:
        given = self.configuration.options.get("mesosim", "false").lower() in ("true", "1", "yes", "on", "t")
        return given if self.fidelity is None else self.fidelity == "meso"

    def open(self) -> None:
        """Start SUMO and load the scenario.

        Raises
        ------
        InputFileError
            If SUMO refuses the scenario; with SUMO's own message.
        CosimError
            If ``folder`` is not set, or SUMO already runs in this process.
        """
        self.finished, self._may_bar = False, False
        self._warned.clear()
        for event in announcements(
            self.configuration,
            seed=self.seed,
            follows=self._follows,
            charges_nothing=self._is_meso and self._watches,
            opens_port=self.connection if self.connection != "libsumo" and private_connection() is None else "",
            silent=sorted(filter(is_electric, self.emission_classes)) if self._computes_noise else (),
        ):
            self.report(*event)
        step_s = self.configuration.step_length_s
        self._start(max(round(_FIRST_GUESS_S / step_s), 1) * step_s)
        self._count()
        self._publish_trips()

    @property
    def _follows(self) -> bool:
        return bool(self._electric or self.zones)

    def _start(self, period_s: float, further: Mapping[str, str] | None = None) -> None:
        if self.folder is None:
            raise CosimError("traffic has no folder: SUMO writes files, set traffic.folder before open()")
        folder, given = Path(self.folder).resolve(), self.configuration.options
        folder.mkdir(parents=True, exist_ok=True)
        session = Session(self.connection, self.configuration.path, folder)
        trips = folder / trips_name(self.configuration)
        follows = self._follows
        kept = trips if follows else None
        self._measures = EdgeMeasures(
            self.network, self._groups, folder, kinds=self.kinds, noise=self._computes_noise, trips=kept
        )
        options = {
            "error-log": str(session.error_log),
            **winning_options(
                self.configuration,
                period_s=period_s,
                seed=self.seed,
                fidelity=self.fidelity,
                forgives_routes=self._may_bar,
                follows=follows,
                has_caps=any(station.has_cap for station in self.charging_stations),
            ),
            **(further or {}),
        }
        if follows or not given.get("tripinfo-output"):  # otherwise to the configuration's file, in the folder
            options["tripinfo-output"] = str(self._measures.file if follows else trips)
        staged = stage(self.configuration, folder, options=options, additionals=[self._measures.define(period_s)])
        session.start(staged)
        self._session, self._period_s = session, period_s
        self._time_s = float((further or {}).get("begin", self.configuration.begin_s))
        with session.translated_errors("cannot load"):
            session.check_begin(self._time_s)
            self._charging = StationCharging(session.api, self.charging_stations, session.failures)
            self._trips = ElectricTrips(
                session.api, self.may_depart.labels, self._electric, self._stops, session.failures
            )
            self._controls = StreetControls(
                session.api,
                self.network,
                self.programs,
                toll_s_per_eur=HOUR_S / self.value_of_time,
                seed=self.seed or 0,
                failures=session.failures,
                zones=self.zones,
            )
        self._report_warnings(session)

    def advance(self, step: Step) -> None:
        """Simulate one exchange step.

        Raises
        ------
        CosimError
            If the exchange step is not a whole multiple of SUMO's, or changes; if an input has an impossible value;
            or if SUMO stops, with its own message.
        """
        if self.finished:
            self._idle()
            return
        session = self._prepare(step.length_s)
        end_s, until_s = self.configuration.end_s, self._time_s + step.length_s
        stop_s = until_s if end_s is None else min(until_s, end_s)
        partial = stop_s < until_s
        with session.translated_errors("stopped"):
            self._apply(stop_s)
            departed = self._simulate(session, stop_s)
            energy_wh = self._charging.take()
            self._report_warnings(session, departed)
            self._count()
            origins = self._zone_counts.origins(session.api, departed)
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
        self._publish_trips()
        self._publish_edges(exchange, step.length_s)
        left_zone, reached_zone = self._zone_counts.count(departed, origins, exchange.trips)
        self.departures.value, self.arrivals.value = left_zone / step.length_s, reached_zone / step.length_s
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
        """Check a step; SUMO fixes its output period and the tolerance of route errors when it loads."""
        sumo_step_s = self.configuration.step_length_s
        n_steps = round(length_s / sumo_step_s)
        if n_steps < 1 or abs(n_steps * sumo_step_s - length_s) > 1e-6:
            raise CosimError(
                f"traffic has a step of {length_s:g} s: it must be a whole multiple of SUMO's step-length, "
                f"{sumo_step_s:g} s"
            )
        # A connected input delivers from the first step on.
        may_bar = any(port.value is not port.default for port in (self.closed, self.permission))
        if length_s != self._period_s or (may_bar and not self._may_bar):
            if self._time_s != self.configuration.begin_s:
                raise CosimError(
                    f"traffic has a step of {length_s:g} s after {self._period_s:g} s: keep one step"
                    if length_s != self._period_s
                    else "closed or permission first arrived after the first step: deliver them from the first step on"
                )
            self.close()
            self._may_bar = may_bar
            self._start(length_s)
        if self._session is None:
            raise CosimError("traffic is not open: call open() before advance()")
        return self._session

    def _apply(self, until_s: float) -> None:
        refuse(self.may_depart, ~np.isin(self.may_depart.value, list(MayDepart)), "write 1, 0 or -1")
        self._controls.apply(
            speed_limit=self.speed_limit,
            closed=self.closed,
            permission=self.permission,
            toll=self.toll,
            signal_program=self.signal_program,
            demand_factor=self.demand_factor,
            zone_demand=self.zone_demand,
        )
        via = self.via.value
        refuse(
            self.via,
            (via != np.round(via)) | (via < -1) | (via >= len(self._stops)),
            "write the number of one of the stops, counted from 0, or -1 for none",
        )
        self._trips.lead(via)
        self._holding = bool(self._electric) and self._trips.hold(
            self.may_depart.value, self._time_s, until_s, self._controls.removed
        )

    def _simulate(self, session: Session, until_s: float) -> list[str]:
        """Step to a time, second by second only if vehicles must be observed; return the departed vehicles."""
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
                self._controls.second(
                    [v for v in api.simulation.getLoadedIDList() if v not in held], [v for v in now if v not in held]
                )
        return departed

    def _is_empty(self, left: int, now_s: float) -> bool:
        """Return whether all vehicles have left and none will depart; SUMO counts only vehicles already read."""
        if left == 0 and self._controls.barred and self._last_departure_s is None:
            self._last_departure_s = last_departure(self.configuration.demand)
        return left == 0 and now_s > (self._last_departure_s or 0.0)

    def _report_warnings(self, session: Session, departed: Iterable[str] = ()) -> None:
        """Report SUMO's warnings, each kind once; count trips that found no initial route among those cancelled."""
        for text in session.new_warnings():
            if (kind := _NAMES.sub("", text)) not in self._warned:
                self._warned.add(kind)
                self.report("SUMO warning", "", text)
            if self._controls.barred and (lost := _NO_ROUTE.match(text)):
                self._controls.cancelled.add(lost[1])
        if self._controls.barred:
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

    def _publish_trips(self) -> None:
        self.trip_energy.value = self._trips.energy_j
        self.trip_state.value = self._trips.state

    def _publish_edges(self, exchange: Exchange, length_s: float) -> None:
        own_travel, vehicles, travel, time_loss, *emitted = exchange.edges / length_s
        self.flow.value = own_travel / self.network.length_m
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
        if self.kinds:
            self.travel_by_kind.value = exchange.kinds.T.ravel() / length_s
        if self._computes_noise:
            self.noise.value = exchange.noise

    def _idle(self) -> None:
        """Assign the outputs after the end of the simulation."""
        for port in outputs(self).values():
            port.value = port.value if port.kind == "end" else 0.0
        self.running.value = self.waiting.value = 0.0
        self.speed.value = self.speed_limit.value
