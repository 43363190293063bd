"""Electric cars in SUMO: unchanged driving, and energy and state per trip."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from cosim.adapters.traffic import Traffic
from cosim.adapters.traffic.demand import electric_variant, emission_classes
from cosim.adapters.traffic.files import elements, read_configuration
from cosim.core import CosimError, InputFileError
from tests.support.traffic_runs import (
    BOLOGNA,
    SUMO_HOME,
    Run,
    bare,
    make_town,
    needs_bologna,
    rows,
    write_configuration,
)

MINUTES = [60.0] * 10
CHOSEN = tuple(f"t{i}" for i in range(0, 30, 3))


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_town(tmp_path_factory.mktemp("town"))


@pytest.fixture(scope="module")
def variant(town: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return electric_variant(town / "run.sumocfg", CHOSEN, tmp_path_factory.mktemp("variant"))


def flow(tripinfos: Path) -> list[dict[str, str]]:
    """Return the trips without the attributes that depend on the vehicle's type."""
    return [{k: v for k, v in trip.items() if k not in ("vType", "devices")} for trip in rows(tripinfos)]


def batteries(tripinfos: Path) -> dict[str, float]:
    """Return the energy drawn from the batteries of a run for driving, as written by SUMO. [J]"""
    drawn = {}
    for trip in ET.parse(tripinfos).getroot():
        if (battery := trip.find("battery")) is not None:
            consumed, regenerated = (float(battery.attrib[f"totalEnergy{w}"]) for w in ("Consumed", "Regenerated"))
            drawn[trip.attrib["id"]] = (consumed - regenerated) * 3600
    return drawn


@pytest.mark.parametrize("fidelity", ["micro", "meso"])
def test_electric_cars_drive_as_before_and_publish_their_energy(town, variant, tmp_path, fidelity):
    usual = Run(Traffic(town / "run.sumocfg", fidelity=fidelity), tmp_path / "usual", MINUTES)
    run = Run(Traffic(variant, fidelity=fidelity, electric=CHOSEN), tmp_path / "electric", MINUTES)
    assert run.error is None
    assert flow(run.trips) == flow(usual.trips)
    assert run.integral("co2").sum() < usual.integral("co2").sum()
    mesosim = "true" if fidelity == "meso" else "false"
    options = ("--mesosim", mesosim, "--meso-junction-control", "true")
    drawn = batteries(bare(variant, tmp_path / "bare", *options) / "tripinfos.xml")
    assert set(drawn) == set(CHOSEN)
    np.testing.assert_allclose(run["trip_energy"][-1], [drawn[trip] for trip in CHOSEN], rtol=1e-12)
    assert (run["trip_energy"][-1] > 0.05 * 3.6e6 * 0.3).all()  # at least some 50 Wh for a third of a kilometre
    assert (run["trip_state"][-1] == 2).all()


def test_energy_and_state_of_a_trip_grow_from_departure_to_arrival(variant, tmp_path):
    run = Run(Traffic(variant, electric=CHOSEN), tmp_path, [20.0] * 30)
    trips = {trip["id"]: trip for trip in rows(run.trips)}
    ends = np.cumsum(run.steps)
    for k, name in enumerate(CHOSEN):
        depart, arrival = float(trips[name]["depart"]), float(trips[name]["arrival"])
        state, energy = run["trip_state"][:, k], run["trip_energy"][:, k]
        assert (state[ends <= depart] == 0).all()
        assert (state[(ends > depart) & (ends < arrival)] == 1).all()
        assert (state[ends >= arrival] == 2).all()
        assert (energy[ends <= depart] == 0).all()
        assert (energy[ends > depart] != 0).all()
        assert (energy[ends >= arrival] == energy[-1]).all()


def test_a_trip_that_may_not_depart_never_does(variant, tmp_path):
    adapter = Traffic(variant, electric=CHOSEN)
    may = np.ones(len(CHOSEN))
    may[4] = -1  # t12 departs at 60 s
    changes = {k: {"may_depart": may.copy()} for k in range(len(MINUTES))}
    for k, change in changes.items():
        change["may_depart"][9] = -float(k > 4)  # t27, at 135 s, is postponed and then cancelled
    run = Run(adapter, tmp_path, MINUTES, changes)
    assert run.error is None
    held = [k in (4, 9) for k in range(len(CHOSEN))]
    np.testing.assert_array_equal(run["trip_state"][-1] == 3, held)
    assert run["trip_state"][4, 9] == 0
    made = {trip["id"] for trip in rows(run.trips)}
    assert made.isdisjoint(CHOSEN[k] for k in (4, 9))
    assert (run["trip_energy"][-1][held] == 0).all()


@pytest.mark.parametrize("connection", ["libsumo", "traci"])
def test_a_postponed_trip_departs_when_it_may_and_drives_as_it_would_have(variant, tmp_path, connection):
    usual = {t["id"]: t for t in rows(Run(Traffic(variant, electric=CHOSEN), tmp_path / "usual", MINUTES).trips)}
    may = np.ones(len(CHOSEN))
    may[4] = 0  # t12 departs at 60 s
    adapter = Traffic(variant, electric=CHOSEN, connection=connection)
    run = Run(adapter, tmp_path / "late", MINUTES, {k: {"may_depart": may if k < 5 else 0 * may + 1} for k in range(9)})
    assert run.error is None
    late = {t["id"]: t for t in rows(run.trips)}[CHOSEN[4]]
    assert float(usual[CHOSEN[4]]["depart"]) == 60
    assert float(late["depart"]) == pytest.approx(300, abs=2)
    for key in ("departLane", "departPos", "arrivalLane", "arrivalPos", "speedFactor", "vType", "routeLength"):
        assert late[key] == usual[CHOSEN[4]][key]
    state = run["trip_state"][:, 4]
    assert (state[:5] == 0).all()
    assert state[-1] == 2
    assert run["trip_energy"][-1, 4] > 0


def test_a_trip_is_routed_via_a_stop_and_waits_there_until_released(variant, tmp_path):
    usual = {t["id"]: t for t in rows(Run(Traffic(variant, electric=CHOSEN), tmp_path / "usual", MINUTES).trips)}
    stop = ("B1C1_0", 60.0)
    adapter = Traffic(variant, electric=CHOSEN, stops=[stop])
    via = np.full(len(CHOSEN), -1.0)
    via[4] = 0
    run = Run(adapter, tmp_path / "by", MINUTES, {k: {"via": via if k < 7 else 0 * via - 1} for k in range(10)})
    assert run.error is None
    by = {t["id"]: t for t in rows(run.trips)}[CHOSEN[4]]
    state, energy = run["trip_state"][:, 4], run["trip_energy"][:, 4]
    assert (state[4:7] == 4).all()
    assert energy[4] == pytest.approx(energy[6], rel=0.05)
    assert state[-1] == 2
    assert energy[-1] > energy[6]
    assert float(by["stopTime"]) > 120
    assert float(by["arrival"]) > 420
    assert by["arrivalLane"].rpartition("_")[0] == usual[CHOSEN[4]]["arrivalLane"].rpartition("_")[0]


def test_a_vehicle_that_cannot_reach_its_stop_is_removed(variant, tmp_path):
    adapter = Traffic(variant, electric=CHOSEN, stops=[("B1C1_0", 60.0)])
    via, closed = np.full(len(CHOSEN), -1.0), np.array([float(edge == "B1C1") for edge in adapter.closed.labels])
    via[4] = 0
    run = Run(adapter, tmp_path, MINUTES, {0: {"closed": closed}, 1: {"via": via}})
    assert run.error is None
    assert run["trip_state"][-1].tolist() == [2, 2, 2, 2, 3, 2, 2, 2, 2, 2]


def test_impossible_stops_are_refused(variant, tmp_path):
    with pytest.raises(CosimError, match="stops names lane 'nowhere_0'"):
        Traffic(variant, electric=CHOSEN, stops=[("nowhere_0", 5.0)])
    with pytest.raises(CosimError, match="stops are for fidelity='micro'"):
        Traffic(variant, electric=CHOSEN, stops=[("B1C1_0", 5.0)], fidelity="meso")
    run = Run(Traffic(variant, electric=CHOSEN), tmp_path, MINUTES, {0: {"via": np.zeros(len(CHOSEN))}})
    assert "via" in str(run.error)
    assert "write the number of one of the stops" in str(run.error)


def test_a_trip_discarded_by_sumo_is_published_as_removed(town, tmp_path):
    (town / "odd.rou.xml").write_text(
        '<routes><trip id="a" depart="0" from="A0A1" to="C1C2"/>'
        '<trip id="b" depart="5" from="A0A1" to="C1C2"/></routes>'
    )
    configuration = electric_variant(
        write_configuration(town / "odd.sumocfg", routes="odd.rou.xml"), ["b"], tmp_path / "v"
    )
    adapter = Traffic(configuration, electric=["b"])
    run = Run(adapter, tmp_path / "run", [60.0] * 5, {0: {"demand_factor": [0.0]}})
    assert run["trip_state"][-1, 0] == 3
    assert run["trip_energy"][-1, 0] == 0


def test_an_electric_trip_without_a_battery_is_one_clear_error(town, tmp_path):
    run = Run(Traffic(town / "run.sumocfg", electric=["t3"]), tmp_path, MINUTES)
    assert run.error is not None
    assert run.error.startswith("CosimError: electric trip 't3' has a vehicle without a battery")


def test_unknown_and_repeated_electric_trips_are_refused(town, tmp_path):
    with pytest.raises(CosimError, match=r"electric trip 'nobody' \(and 1 more\) is in no route file"):
        Traffic(town / "run.sumocfg", electric=["t1", "nobody", "nowhere"])
    with pytest.raises(CosimError, match="electric has a duplicate trip"):
        Traffic(town / "run.sumocfg", electric=["t1", "t1"])
    with pytest.raises(CosimError, match="trip 'nobody' is in no route file"):
        electric_variant(town / "run.sumocfg", ["nobody"], tmp_path)


def test_a_battery_of_negative_capacity_is_refused(town):
    (town / "bad.rou.xml").write_text(
        '<routes><vType id="ev"><param key="device.battery.capacity" value="-5"/></vType></routes>'
    )
    with pytest.raises(InputFileError, match=r"vehicle type 'ev' has a device.battery.capacity of '-5'"):
        Traffic(write_configuration(town / "bad.sumocfg", routes="bad.rou.xml"))


def test_distributions_and_untyped_vehicles_get_variants(town, tmp_path):
    (town / "mixed.rou.xml").write_text(
        '<routes><vTypeDistribution id="any"><vType id="a" length="4" probability=".5"/>'
        '<vType id="b" length="6" probability=".5"/></vTypeDistribution>'
        + "".join(
            f'<trip id="d{i}" type="any" depart="{6 * i}" from="A0A1" to="C1C2"/>'
            f'<trip id="u{i}" depart="{6 * i + 3}" from="A0A1" to="B2C2"/>'
            for i in range(12)
        )
        + "</routes>"
    )
    usual = write_configuration(town / "mixed.sumocfg", routes="mixed.rou.xml")
    chosen = [f"{kind}{i}" for i in range(0, 12, 2) for kind in "du"]
    variant = electric_variant(usual, chosen, tmp_path / "variant")
    one = Run(Traffic(usual), tmp_path / "usual", MINUTES)
    two = Run(Traffic(variant, electric=chosen), tmp_path / "two", MINUTES)
    assert two.error is None
    assert flow(one.trips) == flow(two.trips)
    kinds = {trip["id"]: trip["vType"] for trip in rows(two.trips)}
    assert all(kinds[trip].endswith("_electric") == (trip in chosen) for trip in kinds)
    assert {kinds["d0"], kinds["d2"], kinds["d4"]} <= {"a_electric", "b_electric"}


def test_default_emission_classes_are_sumos_own(town, tmp_path):
    classes = [
        "passenger",
        "private",
        "bus",
        "coach",
        "delivery",
        "truck",
        "trailer",
        "motorcycle",
        "moped",
        "bicycle",
        "evehicle",
        "tram",
        "rail",
        "rail_electric",
        "rail_fast",
        "rail_urban",
        "ship",
        "subway",
        "emergency",
        "taxi",
        "hov",
        "scooter",
        "wheelchair",
        "custom1",
        "army",
        "pedestrian",
    ]
    routes = town / "kinds.rou.xml"
    routes.write_text(
        "<routes>"
        + "".join(f'<vType id="{c}" vClass="{c}"/>' for c in classes)
        + '<trip id="a" depart="0" from="A0A1" to="C1C2"/></routes>'
    )
    code = (
        "import libsumo, sys\n"
        "libsumo.start(['sumo', '-n', sys.argv[1], '-r', sys.argv[2], '--no-step-log', '--log', '/dev/null'])\n"
        "libsumo.simulationStep()\n"
        "print(*(f'{t} {libsumo.vehicletype.getEmissionClass(t)}' for t in libsumo.vehicletype.getIDList()), sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(town / "grid.net.xml"), str(routes)],
        capture_output=True,
        text=True,
        env=os.environ | {"LIBSUMO_AS_TRACI": "quiet", "SUMO_HOME": str(SUMO_HOME)},
    )
    assert done.returncode == 0, done.stderr
    defaults = dict(line.split() for line in done.stdout.splitlines() if " " in line)
    ours = {kind: name for name, kinds in emission_classes([routes]).items() for kind in kinds}
    assert ours == {kind: defaults[kind] for kind in ours}
    assert set(classes) < set(ours)


@needs_bologna
@pytest.mark.parametrize(
    ("fidelity", "end"),
    [
        ("micro", 600),
        pytest.param("micro", 3600, marks=pytest.mark.slow),
        pytest.param("meso", 7200, marks=pytest.mark.slow),
    ],
)
def test_a_third_of_bolognas_cars_electric_leaves_the_flow_as_it_was(tmp_path, fidelity, end):
    sumocfg = BOLOGNA / "acosta" / "run.sumocfg"
    trips = [e.attrib["id"] for _, e in elements(read_configuration(sumocfg).routes[0], ("end",)) if e.tag == "vehicle"]
    chosen = trips[::3]
    options, steps = ("--end", str(end)), [60.0] * (end // 60)
    usual = Run(Traffic(sumocfg, seed=1, fidelity=fidelity, extra_options=options), tmp_path / "usual", steps)
    variant = electric_variant(sumocfg, chosen, tmp_path / "variant")
    run = Run(
        Traffic(variant, seed=1, fidelity=fidelity, extra_options=options, electric=chosen), tmp_path / "run", steps
    )
    assert run.error is None
    assert flow(run.trips) == flow(usual.trips)
    assert 0.6 < run.integral("co2").sum() / usual.integral("co2").sum() < 0.8
    drawn, ended = batteries(run.trips), run["trip_state"][-1] == 2
    assert ended.sum() == len(drawn) > 20
    published = dict(zip(np.array(chosen)[ended].tolist(), run["trip_energy"][-1][ended]))
    assert published == pytest.approx(drawn, rel=1e-12)
    assert min(drawn.values()) > 0
