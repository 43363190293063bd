"""SUMO files as people have them: what SUMO sees is seen, what is mended is reported, the rest is refused in words."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cosim import Clock, CosimError, Scenario
from cosim.adapters.traffic import Traffic
from cosim.adapters.traffic.batteries import ElectricTrips
from cosim.adapters.traffic.controls import StreetControls
from cosim.adapters.traffic.demand import Departure, electric_variant, emission_classes
from cosim.adapters.traffic.files import read_configuration
from cosim.adapters.traffic.ignored import ignored
from cosim.adapters.traffic.network import network_edges
from cosim.adapters.traffic.options import mended_options
from cosim.adapters.traffic.staging import stage
from cosim.core import InputFileError
from cosim.scenarios.fleet.route_files import routes_fleet
from cosim.scenarios.mobility.chargers import place_chargers
from cosim.scenarios.streets.network import read_net
from tests.support.traffic_runs import NET, Run, bare, make_town, rows, tool, write_configuration

MINUTES = [60.0] * 6
PETROL, DIESEL = "HBEFA4/PC_petrol_Euro-4", "HBEFA4/PC_diesel_Euro-6ab"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_town(tmp_path_factory.mktemp("town"))


def electric_trips(town: Path, *routes: str) -> list[str]:
    net = read_net(town / NET)
    sites = pd.DataFrame({"x": [150.0], "y": [150.0]}, index=["b"])
    plan = routes_fleet([town / name for name in routes], net, sites, place_chargers(net, sites, 0, 0), ev_share=1.0)
    return [] if plan is None else list(plan.trip_ids)


def described(run: Run) -> list[tuple[str, str]]:
    return [(event.kind, event.element) for event in run.events]


@pytest.fixture(scope="module")
def nested(town: Path) -> Path:
    """A route file that only includes others, one of them packed, in folders of their own."""
    (town / "in" / "deep").mkdir(parents=True)
    (town / "all.rou.xml").write_text(
        '<routes><include href="in/types.rou.xml"/><include href="in/r.rou.xml"/></routes>'
    )
    (town / "in" / "types.rou.xml").write_text('<routes><vType id="car"/></routes>')
    (town / "in" / "r.rou.xml").write_text('<routes><include href="deep/trips.rou.xml.gz"/></routes>')
    trips = (
        (town / "trips.rou.xml").read_text().replace('<vType id="car" emissionClass="HBEFA4/PC_petrol_Euro-4"/>', "")
    )
    (town / "in" / "deep" / "trips.rou.xml.gz").write_bytes(gzip.compress(trips.encode()))
    return write_configuration(town / "nested.sumocfg", routes="all.rou.xml")


def test_trips_in_included_files_become_electric(town, nested):
    assert electric_trips(town, "all.rou.xml") == [f"t{i}" for i in range(30)]


def test_types_and_trips_of_included_files_get_variants_that_drive_as_before(town, nested, tmp_path):
    chosen = ["t3", "t8"]
    variant = electric_variant(nested, chosen, tmp_path / "variant")
    usual = Run(Traffic(town / "run.sumocfg"), tmp_path / "usual", MINUTES)
    run = Run(Traffic(variant, electric=chosen), tmp_path / "run", MINUTES)
    assert run.error is None
    assert [(t["id"], t["arrival"]) for t in rows(run.trips)] == [(t["id"], t["arrival"]) for t in rows(usual.trips)]
    assert (run["trip_state"][-1] == 2).all()


def test_emission_classes_and_batteries_in_included_files_are_known(town, nested):
    (town / "in" / "types.rou.xml").write_text(f'<routes><vType id="car" emissionClass="{DIESEL}"/></routes>')
    assert Traffic(nested).co2_by_class.labels == (DIESEL,)
    (town / "in" / "types.rou.xml").write_text('<routes><vType id="car"/></routes>')


def test_vehicles_and_types_in_additional_files_are_seen(town, tmp_path):
    (town / "cars.add.xml").write_text(f'<additional><vType id="own" emissionClass="{DIESEL}"/></additional>')
    (town / "own.rou.xml").write_text(
        '<routes><trip id="a" type="own" depart="0:00:05" from="A0A1" to="C1C2"/>'
        '<trip id="ride" type="own" depart="triggered" from="A0A1" to="C1C2"/></routes>'
    )
    usual = write_configuration(town / "own.sumocfg", routes="own.rou.xml", additionals="cars.add.xml")
    assert electric_trips(town, "cars.add.xml", "own.rou.xml") == ["a"]
    variant = electric_variant(usual, ["a"], tmp_path / "variant")
    assert set(Traffic(variant, electric=["a"]).emission_classes) == {DIESEL, "HBEFA4/PC_BEV"}


def test_a_redefined_default_type_has_its_own_emission_class(town, tmp_path):
    (town / "redefined.rou.xml").write_text(
        f'<routes><vType id="DEFAULT_VEHTYPE" emissionClass="{DIESEL}"/>'
        '<trip id="a" depart="0" from="A0A1" to="C1C2"/></routes>'
    )
    configuration = write_configuration(town / "redefined.sumocfg", routes="redefined.rou.xml")
    run = Run(Traffic(configuration), tmp_path, MINUTES)
    assert Traffic(configuration).co2_by_class.labels == (DIESEL,)
    np.testing.assert_allclose(run["co2_by_class"].sum(axis=1), run["co2"].sum(axis=1), rtol=1e-9)
    variant = electric_variant(configuration, ["a"], tmp_path / "variant")
    assert Run(Traffic(variant, electric=["a"]), tmp_path / "run", MINUTES)["trip_state"][-1].tolist() == [2]


def test_a_default_distribution_is_no_petrol_car(town):
    (town / "spread.rou.xml").write_text(
        f'<routes><vTypeDistribution id="DEFAULT_VEHTYPE"><vType id="d" emissionClass="{DIESEL}" probability="1"/>'
        '</vTypeDistribution><trip id="a" depart="0" from="A0A1" to="C1C2"/></routes>'
    )
    assert emission_classes([town / "spread.rou.xml"]) == {DIESEL: ("d",)}


def test_untyped_trips_of_two_files_and_sumos_own_types_become_electric(town, tmp_path):
    for k, kind in enumerate(("", 'type="DEFAULT_TAXITYPE"')):
        (town / f"untyped{k}.rou.xml").write_text(
            f'<routes><trip id="a{k}" depart="{k}" from="A0A1" to="C1C2"/>'
            f'<trip id="b{k}" {kind} depart="{3 + k}" from="A0A1" to="C1C2"/></routes>'
        )
    usual = write_configuration(town / "untyped.sumocfg", routes="untyped0.rou.xml,untyped1.rou.xml")
    chosen = ["a0", "b0", "a1", "b1"]
    variant = electric_variant(usual, chosen, tmp_path / "variant")
    run = Run(Traffic(variant, electric=chosen), tmp_path / "run", MINUTES)
    assert run.error is None
    assert (run["trip_state"][-1] == 2).all()


def test_a_variant_is_written_into_a_relative_folder(town, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    variant = electric_variant(town / "run.sumocfg", ["t3"], Path("ev"))
    run = Run(Traffic(variant, electric=["t3"]), tmp_path / "run", MINUTES)
    assert run.error is None
    assert run["trip_state"][-1].tolist() == [2]


def test_a_stations_total_power_is_never_exceeded(town, tmp_path):
    (town / "cap.add.xml").write_text(
        '<additional><chargingStation id="cs" lane="A0A1_0" startPos="20" endPos="120" power="50000" '
        'totalPower="60000" efficiency="1"/></additional>'
    )
    (town / "cap.rou.xml").write_text(
        '<routes><vType id="ev" emissionClass="MMPEVEM"><param key="has.battery.device" value="true"/>'
        '<param key="device.battery.capacity" value="50000"/><param key="device.battery.chargeLevel" value="1000"/>'
        "</vType>"
        + "".join(
            f'<trip id="v{i}" type="ev" depart="{i * 5}" from="A0A1" to="A1B1"><stop chargingStation="cs" '
            'duration="300"/></trip>'
            for i in range(2)
        )
        + "</routes>"
    )
    run = Run(
        Traffic(write_configuration(town / "cap.sumocfg", routes="cap.rou.xml", additionals="cap.add.xml")),
        tmp_path,
        MINUTES,
    )
    assert run["charging_power"][2:4, 0] == pytest.approx(60_000, rel=1e-3)
    assert run["charging_power"].max() <= 60_000 * 1.001


@pytest.mark.parametrize(
    "options",
    [
        {"output.format": "csv", "human-readable-time": "true"},
        {"output.format": "parquet"},
        {"precision": "0", "write-license": "true"},
        {"output-prefix": "TIME_", "output-suffix": "_mine", "tripinfo-output.write-unfinished": "true"},
    ],
)
def test_options_for_outputs_change_no_measurement(town, tmp_path, options):
    zones = {"A0A1": "west", "C1C2": "east"}
    usual = Run(Traffic(town / "run.sumocfg", zones=zones), tmp_path / "usual", MINUTES[:3])
    configuration = write_configuration(town / "formats.sumocfg", routes="trips.rou.xml", **options)
    run = Run(Traffic(configuration, zones=zones), tmp_path / "run", MINUTES[:3])
    assert run.error is None
    for name in usual.series:
        np.testing.assert_array_equal(run[name], usual[name], err_msg=name)


def test_a_users_outputs_keep_his_format_beside_our_xml(town, tmp_path):
    configuration = write_configuration(
        town / "mine.sumocfg",
        routes="trips.rou.xml",
        **{"output.format": "csv", "summary-output": "s.xml", "tripinfo-output": "mine.csv"},
    )
    run = Run(Traffic(configuration), tmp_path / "run", MINUTES)
    assert run.error is None
    assert (tmp_path / "run" / "s.csv").read_text().startswith(("summary", "step", "time"))
    assert ";" in (tmp_path / "run" / "mine.csv").read_text().splitlines()[0]
    assert ("option mended", "output.format") in described(run)
    followed = Run(Traffic(configuration, zones={"A0A1": "west"}), tmp_path / "followed", MINUTES)
    assert followed.error is None
    assert len(rows(tmp_path / "followed" / "mine.xml")) == 30
    assert ("option mended", "tripinfo-output") in described(followed)


def test_an_unknown_output_format_is_refused(town):
    configuration = write_configuration(town / "odd.sumocfg", routes="trips.rou.xml", **{"output.format": "JSON"})
    with pytest.raises(InputFileError, match=r"sets output\.format to 'JSON': write xml, csv, parquet"):
        read_configuration(configuration)


def test_environment_variables_are_expanded_as_by_sumo_and_recorded(town, monkeypatch):
    monkeypatch.setenv("COSIM_CITY", "trips")
    configuration = write_configuration(
        town / "env.sumocfg", routes="${COSIM_CITY}.rou.xml", log="run-${LOCALTIME}.txt"
    )
    adapter = Traffic(configuration)
    assert [path.name for path in adapter.configuration.routes] == ["trips.rou.xml"]
    assert adapter.settings == {"environment variable COSIM_CITY": "trips"}
    (town / "env").mkdir()
    assert "run-LOCALTIME.txt" in stage(adapter.configuration, town / "env").read_text()


def test_an_undefined_environment_variable_is_named(town, monkeypatch):
    monkeypatch.delenv("COSIM_NOWHERE", raising=False)
    configuration = write_configuration(town / "env.sumocfg", routes="${COSIM_NOWHERE}.rou.xml")
    with pytest.raises(InputFileError, match="environment variable COSIM_NOWHERE is not defined"):
        read_configuration(configuration)


def states(town: Path, at_s: int = 75) -> None:
    tool(
        "sumo",
        "-c",
        town / "run.sumocfg",
        "--save-state.times",
        at_s,
        "--save-state.files",
        town / "state.xml.gz",
        "--end",
        at_s + 5,
    )


@pytest.mark.parametrize("begin", [{}, {"begin": 0}, {"begin": 75}])
@pytest.mark.parametrize("connection", ["libsumo", "traci"])
def test_a_warm_start_runs_as_in_sumo_from_the_time_of_the_state(town, tmp_path, begin, connection):
    states(town)
    configuration = write_configuration(
        town / "warm.sumocfg", routes="trips.rou.xml", **{"load-state": "state.xml.gz"}, **begin
    )
    own = bare(configuration, tmp_path / "bare", "--begin", 75)
    run = Run(Traffic(configuration, connection=connection), tmp_path / "run", MINUTES)
    assert run.error is None
    assert rows(run.trips) == rows(own / "tripinfos.xml")
    assert read_configuration(configuration).begin_s == 75
    assert (("option mended", "begin") in described(run)) == (begin == {"begin": 0})


def test_warm_starts_that_cannot_be_honoured_are_refused(town):
    states(town)
    for options, words in (
        ({"load-state": "state.xml.gz", "load-state.offset": 20}, "sets load-state.offset to 20 s"),
        ({"load-state": "trips.rou.xml"}, "is not a state saved by SUMO: its first element is 'routes'"),
        ({"load-state": "state.xml.gz", "end": 60}, "runs from 75 s to 60 s"),
        ({"load-state": "missing.xml"}, "names it as one of its load-state"),
    ):
        configuration = write_configuration(town / "cold.sumocfg", routes="trips.rou.xml", **options)
        with pytest.raises(InputFileError, match=re.escape(words)):
            read_configuration(configuration)


@pytest.mark.parametrize("connection", ["libsumo", "traci"])
def test_an_energy_that_sumo_cannot_compute_names_type_parameter_and_cause(town, tmp_path, connection):
    (town / "weak.rou.xml").write_text(
        '<routes><vType id="weak" emissionClass="MMPEVEM" accel="5"><param key="maximumPower" value="1000"/>'
        '<param key="has.battery.device" value="true"/></vType>'
        '<trip id="v" type="weak" depart="0" from="A0A1" to="C1C2"/></routes>'
    )
    configuration = write_configuration(town / "weak.sumocfg", routes="weak.rou.xml")
    for steps in (MINUTES, [20.0] * 3):
        run = Run(Traffic(configuration, electric=["v"], connection=connection), tmp_path / str(len(steps)), steps)
        assert run.error is not None
        for word in ("vehicle 'v'", "type 'weak'", "maximumPower", "accel"):
            assert word in run.error


def test_the_noise_of_electric_cars_is_said_to_be_that_of_petrol_cars(town, tmp_path):
    variant = electric_variant(town / "run.sumocfg", ["t3"], tmp_path / "variant")
    run = Run(Traffic(variant, electric=["t3"], noise=True), tmp_path / "run", MINUTES[:1])
    assert ("noise of electric cars", "HBEFA4/PC_BEV") in described(run)
    usual = Run(Traffic(town / "run.sumocfg", noise=True), tmp_path / "usual", MINUTES[:1])
    assert not usual.events


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"emissions.volumetric-fuel": "true"}, ["emissions.volumetric-fuel"]),
        ({"device.tripinfo.probability": 0}, ["device.tripinfo.probability"]),
        ({"device.tripinfo.explicit": "t3"}, ["device.tripinfo.explicit"]),
        (
            {"no-warnings": "true", "aggregate-warnings": 1, "log.timestamps": "true", "language": "de"},
            ["no-warnings", "aggregate-warnings", "log.timestamps", "language"],
        ),
        ({"seed": 9, "error-log": "mine.txt"}, ["seed", "error-log"]),
        ({"random": "true"}, ["random"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_options_that_would_falsify_the_run_are_overridden_and_said(town, tmp_path, options, names):
    variant = electric_variant(town / "run.sumocfg", ["t3", "t7"], tmp_path / "variant")
    extra = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    one, two = (
        Run(Traffic(variant, seed=1, electric=["t3", "t7"], zones={"A0A1": "z"}, extra_options=given), folder, MINUTES)
        for given, folder in (([], tmp_path / "one"), (extra, tmp_path / "two"))
    )
    assert described(two) == [("option mended", name) for name in names]
    assert not one.events
    for name in one.series:
        assert np.array_equal(one[name], two[name]), name


def test_a_random_seed_is_said_to_make_a_run_that_cannot_be_repeated(town):
    configuration = read_configuration(town / "run.sumocfg", ["--random"])
    ((option, text),) = mended_options(configuration, follows=False, seed=None)
    assert (option, "cannot be repeated" in text) == ("random", True)


IGNORED = {
    "lateral-resolution": '<vType id="x" minGapLat="1"/>',
    "parking.maneuver": '<vType id="x" maneuverAngleTimes="181 5 5"/>',
    "use-stop-ended": '<trip id="x" depart="0" from="A0A1" to="C1C2"><stop lane="A0A1_0" ended="9"/></trip>',
    "has.battery.device": '<vType id="x"><param key="device.battery.capacity" value="9"/></vType>',
    "has.bluelight.device": '<vType id="x"><param key="device.bluelight.reactiondist" value="9"/></vType>',
}


@pytest.mark.parametrize("option", IGNORED)
def test_what_sumo_ignores_for_want_of_an_option_is_said(town, option):
    (town / "ask.rou.xml").write_text(f"<routes>{IGNORED[option]}</routes>")
    asked = write_configuration(town / "ask.sumocfg", routes="ask.rou.xml")
    ((name, text),) = ignored(read_configuration(asked))
    assert (name, text.startswith("ask.rou.xml: ")) == (option, True)
    device = option.removeprefix("has.").removesuffix(".device")
    on = f"device.{device}.probability" if option.startswith("has.") else option
    assert not list(ignored(read_configuration(asked, [f"--{on}", "1"])))
    if device != option:
        (town / "ask.rou.xml").write_text(
            f'<routes>{IGNORED[option]}<vType id="y"><param key="{option}" value="true"/></vType></routes>'
        )
        assert not list(ignored(read_configuration(asked)))


@pytest.mark.parametrize(("value", "said"), [("true", False), ("false", True)])
def test_a_device_that_trips_ask_for_may_be_given_by_another_file(town, value, said):
    """The types' file is read first, whatever the order of the files."""
    (town / "ask.rou.xml").write_text(
        '<routes><trip id="x" type="ev" depart="0" from="A0A1" to="C1C2">'
        '<param key="device.battery.chargeLevel" value="9"/></trip></routes>'
    )
    (town / "types.rou.xml").write_text(
        f'<routes><vType id="ev"><param key="has.battery.device" value="{value}"/></vType></routes>'
    )
    asked = write_configuration(town / "two.sumocfg", routes="ask.rou.xml,types.rou.xml")
    texts = [text for name, text in ignored(read_configuration(asked)) if name == "has.battery.device"]
    assert (
        texts
        == [
            "ask.rou.xml: trip 'x' has parameters of the device battery, which no vehicle has without "
            "has.battery.device"
        ]
        * said
    )


def test_charging_that_the_mesoscopic_model_leaves_out_and_wires_are_said(town, tmp_path):
    (town / "power.add.xml").write_text(
        '<additional><chargingStation id="s" lane="A0A1_0" power="9000"/>'
        '<vType id="ev"><param key="has.battery.device" value="true"/></vType></additional>'
    )
    configuration = write_configuration(town / "meso.sumocfg", routes="trips.rou.xml", additionals="power.add.xml")
    run = Run(Traffic(configuration, fidelity="meso"), tmp_path / "run", MINUTES[:1])
    assert ("ignored by SUMO", "mesosim") in described(run)
    (town / "wire.add.xml").write_text('<additional><overheadWireSegment id="w" lane="A0A1_0"/></additional>')
    wires = write_configuration(town / "wires.sumocfg", additionals="wire.add.xml")
    ((_, text),) = ignored(read_configuration(wires))
    assert "energy from overhead wires is in none of the outputs" in text


def test_a_warning_of_sumo_is_an_event_once_for_each_kind(town, tmp_path):
    (town / "late.rou.xml").write_text(
        '<routes><trip id="a" depart="9" from="A0A1" to="C1C2"/>'
        + "".join(f'<trip id="b{k}" depart="{k}" from="A0A1" to="C1C2"/>' for k in range(4))
        + "</routes>"
    )
    configuration = write_configuration(town / "late.sumocfg", routes="late.rou.xml")
    run = Run(Traffic(configuration), tmp_path / "run", MINUTES)
    (event,) = run.events
    assert event.kind == "SUMO warning"
    assert event.text == "Route file should be sorted by departure time, ignoring 'b0'!"


def test_copies_of_electric_trips_by_scale_are_refused(town, tmp_path):
    scaled = write_configuration(town / "scaled.sumocfg", routes="trips.rou.xml", scale=2)
    with pytest.raises(CosimError, match="sets scale to 2: SUMO would copy electric trips"):
        electric_variant(scaled, ["t3"], tmp_path / "variant")


def test_variables_and_their_values_are_in_the_provenance_of_a_run(town, tmp_path, monkeypatch):
    monkeypatch.setenv("COSIM_CITY", "trips")
    configuration = write_configuration(town / "env.sumocfg", routes="${COSIM_CITY}.rou.xml")
    Scenario(Clock("2025-01-15", hours=1 / 60), traffic=Traffic(configuration)).run(tmp_path / "run")
    about = json.loads((tmp_path / "run" / "run.json").read_text())["adapters"]["traffic"]
    assert about["settings"] == {"environment variable COSIM_CITY": "trips"}


class _Gone(Exception):
    """SUMO's refusal of a command."""


class _Leaving:
    """An interface of SUMO whose vehicle is seen but refuses every command, because it has left."""

    def __init__(self, known: list[str]) -> None:
        self.known = known

    def getLoadedIDList(self) -> list[str]:
        return self.known

    getIDList = getLoadedIDList

    def __getattr__(self, name: str) -> Any:
        def refuse(*arguments: object, **named: object) -> None:
            if self.known and self.known[0] == "v":
                self.known.clear()
            raise _Gone(f"Vehicle {arguments[0]!r} is not known.")

        return refuse


def controls(town: Path, vehicles: _Leaving) -> StreetControls:
    return StreetControls(
        SimpleNamespace(vehicle=vehicles), network_edges(town / NET), {}, toll_s_per_eur=1, seed=0, failures=(_Gone,)
    )


def test_commands_to_a_vehicle_that_has_left_are_left_out(town):
    at = controls(town, _Leaving(["v"]))
    at._demand, at._toll_s, at._forbidden = 0.0, {"A0A1": 1.0}, {"A0A1": frozenset({"passenger"})}
    at.second(["v"], ["v"])
    trips = ElectricTrips(
        SimpleNamespace(vehicle=_Leaving(["v"])), ["v"], [Departure(0.0, {})], [("A0A1_0", 5.0)], (_Gone,)
    )
    trips.lead(np.zeros(1))
    trips = ElectricTrips(SimpleNamespace(vehicle=_Leaving(["v"])), ["v"], [Departure(0.0, {})], (), (_Gone,))
    trips.hold(np.zeros(1), 0.0, 60.0, set())
    assert not trips.put_off


def test_a_command_that_sumo_refuses_to_a_present_vehicle_is_an_error(town):
    at = controls(town, _Leaving(["another", "v"]))
    at._demand = 0.0
    with pytest.raises(_Gone):
        at.second(["v"], ())
