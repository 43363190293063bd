"""The traffic adapter publishes exactly what SUMO simulates."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from cosim.adapters.traffic import Traffic
from cosim.core import CosimError, InputFileError
from tests.support.traffic_runs import BOLOGNA, Run, bare, make_town, needs_bologna, rows, total, write_configuration


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_town(tmp_path_factory.mktemp("town"))


@pytest.fixture(scope="module")
def electric_town(town: Path) -> Path:
    """The grid with two charging stations; one car leaves its station in mid-exchange, one departs at its station."""
    (town / "stations.add.xml").write_text(
        '<additional><chargingStation id="plain" lane="A1A2_0" startPos="40" endPos="100" power="22000"'
        ' efficiency="0.9"/><chargingStation id="fast" lane="B1B2_0" startPos="40" endPos="100" power="50000"'
        ' efficiency="0.8"/></additional>'
    )
    battery = "".join(
        f'<param key="{key}" value="{value}"/>'
        for key, value in {
            "has.battery.device": "true",
            "device.battery.capacity": 40000,
            "device.battery.chargeLevel": 10000,
            "constantPowerIntake": 300,
        }.items()
    )
    (town / "ev.rou.xml").write_text(
        f'<routes><vType id="ev" emissionClass="Energy/unknown">{battery}</vType>'
        f'<vType id="full" emissionClass="Energy/unknown">{battery.replace("10000", "39900")}</vType>'
        '<trip id="a" type="ev" depart="0" from="A0A1" to="A2B2">'
        '<stop chargingStation="plain" duration="100"/></trip>'
        '<trip id="b" type="ev" depart="7" from="A0A1" to="A2B2">'
        '<stop chargingStation="plain" duration="45" parking="true"/></trip>'
        '<trip id="c" type="full" depart="13" departPos="stop" from="B1B2" to="B2C2">'
        '<stop chargingStation="fast" duration="90"/></trip></routes>'
    )
    return write_configuration(town / "ev.sumocfg", routes="ev.rou.xml", additionals="stations.add.xml")


def test_trips_equal_those_of_the_sumo_program_row_by_row(town, tmp_path):
    run = Run(Traffic(town / "run.sumocfg", seed=7), tmp_path / "ours", [60.0] * 10)
    assert run.error is None
    expected = rows(bare(town / "run.sumocfg", tmp_path / "bare", "--seed", 7) / "tripinfos.xml")
    assert len(expected) == 30
    assert rows(run.trips) == expected


def test_emissions_and_travel_equal_edgedata_with_internal_edges(town, tmp_path):
    run = Run(Traffic(town / "run.sumocfg"), tmp_path / "ours", [60.0] * 10)
    reference = bare(town / "run.sumocfg", tmp_path / "bare")
    n_rows = len(list(ET.parse(reference / "emissions.xml").iter("edge")))
    for name, attribute in (("co2", "CO2_abs"), ("nox", "NOx_abs"), ("pmx", "PMx_abs"), ("fuel", "fuel_abs")):
        expected = total(reference / "emissions.xml", attribute)
        assert expected > 0
        # Both sides are rounded to 1e-6 mg per edge and period: half a digit each.
        assert run.integral(name).sum() * 1e6 == pytest.approx(expected, abs=1e-6 * n_rows, rel=1e-12)
    trips = rows(run.trips)
    driven = sum(float(trip["routeLength"]) for trip in trips)
    assert run.integral("travel").sum() == pytest.approx(driven, abs=0.005 * (len(trips) + n_rows))
    # Vehicle-seconds carry two digits per edge and period; the trips' durations are whole seconds.
    duration = sum(float(trip["duration"]) for trip in trips)
    assert run.integral("vehicles").sum() == pytest.approx(duration, rel=0.02)


def test_every_edge_gets_its_own_travel_and_that_of_the_junction_behind_it(town, tmp_path):
    adapter = Traffic(town / "run.sumocfg")
    run = Run(adapter, tmp_path / "ours", [60.0] * 10)
    expected = dict.fromkeys(run.labels, 0.0)
    n_parts = dict.fromkeys(run.labels, 0)
    for edge in ET.parse(bare(town / "run.sumocfg", tmp_path / "bare") / "traffic.xml").iter("edge"):
        label = adapter.network.leaves.get(edge.attrib["id"], edge.attrib["id"])
        if label in expected:
            expected[label] += float(edge.get("distance", 0.0))
            n_parts[label] += 1
    rounding = 0.005 * max(n_parts.values()) * (1 + len(run.steps))
    assert max(expected.values()) > 1000
    np.testing.assert_allclose(run.integral("travel"), list(expected.values()), atol=rounding)
    assert run["travel"].argmax(axis=1).tolist()[0] == run.labels.index("A0A1")


def test_time_loss_adds_up_to_that_of_the_trips(town, tmp_path):
    run = Run(Traffic(town / "run.sumocfg"), tmp_path, [60.0] * 10)
    lost = sum(float(trip["timeLoss"]) for trip in rows(run.trips))
    # On this toy grid of short trips the time lost at departure and arrival is counted differently.
    assert run.integral("time_loss").sum() == pytest.approx(lost, rel=0.10)
    assert (run["time_loss"] <= run["vehicles"] + 1e-3).all()


def test_speed_is_the_limit_on_empty_edges_and_never_negative(town, tmp_path):
    run = Run(Traffic(town / "run.sumocfg"), tmp_path, [60.0] * 3)
    empty = run["vehicles"] == 0
    assert empty.any()
    assert not empty.all()
    assert (run["speed"][empty] == 13.9).all()
    assert (run["speed"] >= 0).all()
    assert run["speed"].max() < 13.9 * 1.5


def test_the_exchange_step_changes_no_trip_and_no_total(town, tmp_path):
    minute = Run(Traffic(town / "run.sumocfg"), tmp_path / "60", [60.0] * 10)
    quick = Run(Traffic(town / "run.sumocfg"), tmp_path / "20", [20.0] * 30)
    assert rows(minute.trips) == rows(quick.trips)
    np.testing.assert_allclose(minute.integral("co2"), quick.integral("co2"), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(minute.integral("travel"), quick.integral("travel"), atol=0.005 * 5 * 40)


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(town, tmp_path):
    one, two, other = (
        Run(Traffic(town / "run.sumocfg", seed=seed), tmp_path / str(i), [60.0] * 10)
        for i, seed in enumerate((1, 1, 2))
    )
    for name in one.series:
        assert one[name].tobytes() == two[name].tobytes()
    assert one["travel"].tobytes() != other["travel"].tobytes()


def test_counts_add_up_and_the_run_finishes_when_no_vehicle_is_left(town, tmp_path):
    run = Run(Traffic(town / "run.sumocfg"), tmp_path, [60.0] * 12)
    assert (run["inserted"] == run["arrived"] + run["running"]).all()
    assert run["inserted"][-1] == run["arrived"][-1] == 30
    first = run.finished.index(True)
    assert run["running"][first] == 0 < run["running"][first - 1]
    assert all(run.finished[first:])
    assert run["vehicles"][first + 1 :].sum() == run["co2"][first + 1 :].sum() == 0
    assert (run["speed"][-1] == 13.9).all()


@pytest.mark.parametrize("end", [120, 90])
def test_a_configuration_with_an_end_finishes_there_like_the_sumo_program(town, tmp_path, end):
    configuration = write_configuration(town / f"end{end}.sumocfg", routes="trips.rou.xml", end=end)
    run = Run(Traffic(configuration), tmp_path / "ours", [60.0] * 3)
    assert run.error is None
    assert run.finished == [False, True, True]
    reference = bare(configuration, tmp_path / "bare")
    assert rows(run.trips) == rows(reference / "tripinfos.xml")
    assert run.integral("co2").sum() * 1e6 == pytest.approx(total(reference / "emissions.xml", "CO2_abs"), rel=1e-7)
    assert run["running"][1] > 0


def test_charging_power_is_the_energy_into_batteries_over_the_efficiency(town, electric_town, tmp_path):
    run = Run(Traffic(electric_town), tmp_path / "ours", [60.0] * 5)
    assert run.error is None
    reference = bare(
        electric_town,
        tmp_path / "bare",
        "--precision",
        6,
        "--chargingstations-output",
        tmp_path / "charged.xml",
        additionals="stations.add.xml",
    )
    assert rows(reference / "tripinfos.xml")
    into_battery = {
        station.attrib["id"]: float(station.attrib["totalEnergyCharged"])
        for station in ET.parse(tmp_path / "charged.xml").iter("chargingStation")
    }
    drawn_wh = run.integral("charging_power") / 3600.0
    assert into_battery["plain"] > 800
    # The car that departs at its station charges its last 100 Wh and the energy of its auxiliaries.
    assert 99 < into_battery["fast"] < 120
    for label, efficiency, sessions, drawn in zip(("plain", "fast"), (0.9, 0.8), (2, 1), drawn_wh):
        # A session's ends are read from three numbers of two digits each, and its first second from one.
        tolerance = sessions * (4 * 0.005)
        assert drawn * efficiency == pytest.approx(into_battery[label], abs=tolerance)
    assert run["charging_power"].max() <= 50000 + 1
    assert run["charging_power"][-1].sum() == 0


def test_a_scenario_without_charging_stations_has_an_empty_port(town, tmp_path):
    run = Run(Traffic(town / "run.sumocfg"), tmp_path, [60.0])
    assert run["charging_power"].shape == (1, 0)


def test_a_scenario_without_vehicles_runs(town, tmp_path):
    run = Run(Traffic(write_configuration(town / "empty.sumocfg")), tmp_path, [60.0, 60.0])
    assert run.error is None
    assert run.finished == [True, True]
    assert run["vehicles"].sum() == run["co2"].sum() == run["inserted"].sum() == 0


@pytest.mark.parametrize(
    ("routes", "words"),
    [
        ("<routes><trip id='v' type='spaceship' depart='0' from='A0A1' to='C1C2'/></routes>", "spaceship"),
        ("<routes><trip id='v' depart='0' from='A0A1' to='nowhere'/></routes>", "nowhere"),
        (
            "<routes><trip id='v' depart='0' from='A0A1' to='A1A2'/><trip id='w' type='spaceship' depart='4000'"
            " from='A0A1' to='C1C2'/></routes>",
            "spaceship",
        ),
    ],
)
def test_refusal_by_sumo_is_one_error_with_sumos_own_message(town, tmp_path, routes, words):
    (town / "bad.rou.xml").write_text(routes)
    run = Run(Traffic(write_configuration(town / "bad.sumocfg", routes="bad.rou.xml")), tmp_path, [600.0] * 10)
    assert run.error is not None
    assert run.error.startswith("InputFileError: SUMO ")
    assert "bad.sumocfg" in run.error
    assert words in run.error
    assert not run.process.stdout
    assert not run.process.stderr


def test_torn_file_of_routes_is_named_before_anything_is_started(town):
    (town / "torn.rou.xml").write_text("<routes><vehicle id='v' depart='0'><route edges='A0A1'/></vehicle>")
    with pytest.raises(InputFileError, match=r"torn\.rou\.xml is not well-formed XML: no element found: line 1"):
        Traffic(write_configuration(town / "torn.sumocfg", routes="torn.rou.xml"))


def test_an_exchange_step_that_sumo_cannot_divide_is_refused(town, tmp_path):
    run = Run(Traffic(town / "run.sumocfg"), tmp_path, [60.5])
    assert run.error == (
        "CosimError: traffic has a step of 60.5 s: it must be a whole multiple of SUMO's step-length, 1 s"
    )


def test_a_changed_exchange_step_is_refused(town, tmp_path):
    run = Run(Traffic(town / "run.sumocfg"), tmp_path, [60.0, 30.0])
    assert run.error == "CosimError: traffic has a step of 30 s after 60 s: keep one step"


def test_shorter_steps_of_sumo_integrate_to_the_same_physics(town, tmp_path):
    adapter = Traffic(town / "run.sumocfg", extra_options=("--step-length", "0.5"))
    run = Run(adapter, tmp_path, [30.0] * 20)
    driven = sum(float(trip["routeLength"]) for trip in rows(run.trips))
    assert run.integral("travel").sum() == pytest.approx(driven, rel=1e-5)


def test_opening_without_a_folder_is_refused(town):
    with pytest.raises(CosimError, match=r"set traffic\.folder before open"):
        Traffic(town / "run.sumocfg").open()


def test_the_constructor_starts_no_process_and_knows_its_labels(town, electric_town):
    adapter = pickle.loads(pickle.dumps(Traffic(electric_town)))
    assert adapter.charging_power.labels == ("plain", "fast")
    assert len(adapter.vehicles.labels) == 24
    assert adapter.versions()["sumo"].startswith("1.")
    adapter.close()
    with pytest.raises(InputFileError, match="does not exist"):
        Traffic(write_configuration(town / "lost.sumocfg", routes="lost.rou.xml"))


def test_two_simulations_of_libsumo_in_one_process_are_refused(town, tmp_path):
    code = textwrap.dedent(f"""
        from pathlib import Path
        from cosim.adapters.traffic import Traffic
        from cosim.core import CosimError
        one, two = (Traffic({str(town / "run.sumocfg")!r}, connection="libsumo") for _ in "ab")
        one.folder, two.folder = Path({str(tmp_path / "1")!r}), Path({str(tmp_path / "2")!r})
        one.open()
        try:
            two.open()
        except CosimError as error:
            print(error)
        two.close()
        one.close()
        two.open()
        two.close()
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "SUMO already runs in this process, libsumo's limit: place traffic in a 'process'\n"


@needs_bologna
def test_bolognas_first_minutes_equal_the_sumo_program(tmp_path):
    compare_bologna("acosta", tmp_path, ["--end", "300"], [60.0] * 5)


@needs_bologna
@pytest.mark.slow
def test_bolognas_morning_equals_the_sumo_program(tmp_path):
    run = compare_bologna("acosta", tmp_path, [], [60.0] * 120)
    assert len(rows(run.trips)) == 8779
    lost = sum(float(trip["timeLoss"]) for trip in rows(run.trips))
    assert run.integral("time_loss").sum() == pytest.approx(lost, rel=0.005)
    driven = sum(float(trip["routeLength"]) for trip in rows(run.trips))
    # SUMO's own edgeData, matched to rounding above, differs from SUMO's trips by 0.06 % here.
    assert run.integral("travel").sum() == pytest.approx(driven, rel=1e-3)


def compare_bologna(part: str, folder: Path, options: list[str], steps: list[float]) -> Run:
    sumocfg = BOLOGNA / part / "run.sumocfg"
    before = sorted(path.name for path in sumocfg.parent.iterdir())
    run = Run(Traffic(sumocfg, seed=3, extra_options=options), folder / "ours", steps)
    assert run.error is None
    assert run.finished[-1]
    assert sorted(path.name for path in sumocfg.parent.iterdir()) == before
    adapter = Traffic(sumocfg, seed=3, extra_options=options)
    ours = folder / "ours" / "input-acosta_detectors.add.xml"
    added = ",".join(str(p if "detectors" not in p.name else ours) for p in adapter.configuration.additionals)
    reference = bare(sumocfg, folder / "bare", "--seed", 3, *options, additionals=added)
    assert rows(run.trips) == rows(reference / "tripinfos.xml")
    n_rows = len(list(ET.parse(reference / "emissions.xml").iter("edge")))
    for name, attribute in (("co2", "CO2_abs"), ("nox", "NOx_abs"), ("pmx", "PMx_abs"), ("fuel", "fuel_abs")):
        expected = total(reference / "emissions.xml", attribute)
        assert run.integral(name).sum() * 1e6 == pytest.approx(expected, abs=1e-6 * n_rows, rel=1e-12)
    driven = total(reference / "traffic.xml", "distance")
    assert run.integral("travel").sum() == pytest.approx(driven, abs=0.005 * n_rows)
    return run
