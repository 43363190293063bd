"""Zones, emission classes, noise, the mesoscopic model and TraCI agree with SUMO."""

from __future__ import annotations

import pickle
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from cosim.adapters.traffic import Traffic
from cosim.core import CosimError, InputFileError, Step
from tests.support.traffic_runs import (
    BOLOGNA,
    Run,
    bare,
    make_town,
    needs_bologna,
    rows,
    tool,
    total,
    write_configuration,
)

MINUTES = [60.0] * 10
CAR, BUS = "HBEFA4/PC_petrol_Euro-4", "HBEFA4/UBus_Std_gt15-18t_Euro-VI_A-C"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_town(tmp_path_factory.mktemp("town"))


@pytest.fixture(scope="module")
def mixed(town: Path) -> Path:
    """Cars of three types, two of them of one class, a bus type without a class, and vehicles without a type."""
    (town / "mixed.rou.xml").write_text(
        f'<routes><vType id="car" emissionClass="{CAR}"/><vType id="big" length="7" emissionClass="{CAR}"/>'
        '<vType id="diesel" emissionClass="HBEFA3/PC_D_EU4"/><vType id="bus" vClass="bus"/>'
        + "".join(
            f'<trip id="{kind}{i}" type="{kind}" depart="{20 * i + 4 * k}" from="A0A1" to="C1C2"/>'
            for i in range(8)
            for k, kind in enumerate(("car", "big", "diesel", "bus"))
        )
        + "</routes>"
    )
    return write_configuration(town / "mixed.sumocfg", routes="mixed.rou.xml")


def test_flow_is_the_number_of_vehicles_that_pass_an_edge(mixed, tmp_path):
    adapter = Traffic(mixed)
    run = Run(adapter, tmp_path / "run", MINUTES)
    passed = run.integral("flow")
    # All 32 vehicles begin on this edge, a vehicle's length (5 to 12 m) from its start, and none ends there.
    row = adapter.network.labels.index("A0A1")
    length = adapter.network.length_m[row]
    assert 32 * (1 - 12.1 / length) < passed[row] < 32 * (1 - 4.9 / length)
    inner = run.integral("travel").sum() - passed @ adapter.network.length_m
    assert 0 < inner < 0.2 * run.integral("travel").sum()  # what is driven in junctions passes no edge


def test_grouped_emission_classes_are_published_together(mixed, tmp_path):
    groups = {CAR: "light", "HBEFA3/PC_D_EU4": "light"}
    adapter = Traffic(mixed, emission_groups=groups)
    assert adapter.co2_by_class.labels == ("light", BUS)
    grouped, single = (Run(a, tmp_path / str(k), MINUTES) for k, a in enumerate((adapter, Traffic(mixed))))
    parts = single.integral("co2_by_class")
    np.testing.assert_allclose(grouped.integral("co2_by_class"), [parts[0] + parts[1], parts[2]], rtol=1e-6)


@pytest.mark.parametrize("fidelity", ["micro", "meso"])
def test_emissions_by_class_add_up_to_those_by_edge_and_equal_sumos(mixed, tmp_path, fidelity):
    adapter = Traffic(mixed, fidelity=fidelity)
    assert adapter.co2_by_class.labels == (CAR, "HBEFA3/PC_D_EU4", BUS)
    run = Run(adapter, tmp_path / "ours", MINUTES)
    assert (run.integral("co2_by_class") > 0).all()
    for name in ("co2", "nox", "pmx", "fuel"):
        parts = run.integral(f"{name}_by_class")
        assert (parts > 0).sum() >= 2
        assert parts.sum() == pytest.approx(run.integral(name).sum(), rel=1e-12)
    extra = tmp_path / "buses.add.xml"
    extra.write_text(
        '<additional><edgeData id="b" type="emissions" withInternal="true" vTypes="bus" file="buses.xml"/></additional>'
    )
    mesosim = "true" if fidelity == "meso" else "false"
    tool(
        "sumo",
        "-c",
        mixed,
        "-a",
        extra,
        "--no-step-log",
        "--mesosim",
        mesosim,
        "--emission-output.precision",
        6,
        "--meso-junction-control",
        "true",
    )
    buses = total(tmp_path / "buses.xml", "CO2_abs")
    assert run.integral("co2_by_class")[2] * 1e6 == pytest.approx(buses, rel=1e-6)


def test_departures_and_arrivals_are_counted_in_their_zones(town, tmp_path):
    zones = {"A0A1": "home", "C1C2": "work", "B2C2": "work", "C2C1": "nowhere"}
    adapter = Traffic(town / "run.sumocfg", zones=zones)
    assert adapter.departures.labels == adapter.arrivals.labels == ("home", "work", "nowhere")
    run = Run(adapter, tmp_path / "ours", [20.0] * 40)
    trips = rows(run.trips)
    assert len(trips) == 30
    assert [trip["id"] for trip in trips] == [
        trip["id"] for trip in rows(bare(town / "run.sumocfg", tmp_path / "bare") / "tripinfos.xml")
    ]
    np.testing.assert_allclose(run.integral("departures"), [30, 0, 0], atol=1e-9)
    np.testing.assert_allclose(run.integral("arrivals"), [0, 20, 0], atol=1e-9)
    ends = np.cumsum(run.steps)
    gone = [sum(float(t["depart"]) < end for t in trips) for end in ends]
    np.testing.assert_allclose(np.cumsum(run["departures"][:, 0]) * 20, gone, atol=1e-9)


def test_density_is_vehicles_over_length_and_noise_is_harmonoise(town, tmp_path):
    adapter = Traffic(town / "run.sumocfg", noise=True)
    run = Run(adapter, tmp_path / "ours", MINUTES)
    np.testing.assert_allclose(run["density"] * adapter.network.length_m, run["vehicles"], rtol=1e-12)
    extra = tmp_path / "noise.add.xml"
    extra.write_text('<additional><edgeData id="n" type="harmonoise" period="60" file="noise.xml"/></additional>')
    tool("sumo", "-c", town / "run.sumocfg", "-a", extra, "--no-step-log")
    first = ET.parse(tmp_path / "noise.xml").getroot()[0]
    written = {edge.attrib["id"]: float(edge.attrib["noise"]) for edge in first}
    np.testing.assert_allclose(run["noise"][0], [written[label] for label in run.labels], atol=1e-9)
    assert 50 < run["noise"].max() < 90
    assert "noise" not in Run(Traffic(town / "run.sumocfg"), tmp_path / "quiet", [60.0]).series


def test_the_mesoscopic_run_equals_the_sumo_programs_own(town, tmp_path):
    run = Run(Traffic(town / "run.sumocfg", fidelity="meso"), tmp_path / "ours", MINUTES)
    assert run.error is None
    reference = bare(town / "run.sumocfg", tmp_path / "bare", "--mesosim", "true", "--meso-junction-control", "true")
    assert rows(run.trips) == rows(reference / "tripinfos.xml")
    n_rows = len(list(ET.parse(reference / "emissions.xml").iter("edge")))
    expected = total(reference / "emissions.xml", "CO2_abs")
    assert run.integral("co2").sum() * 1e6 == pytest.approx(expected, abs=1e-6 * n_rows, rel=1e-12)
    assert run["arrived"][-1] == 30


@pytest.mark.parametrize("given", [{}, {1: {"speed_limit": np.full(24, 8.0), "demand_factor": [0.7]}}])
def test_traci_gives_the_same_results_as_libsumo(town, tmp_path, given, monkeypatch):
    monkeypatch.setenv("LIBSUMO_AS_TRACI", "1")  # for other programs; "traci" must still be TraCI

    def run(connection: str) -> Run:
        adapter = Traffic(town / "run.sumocfg", seed=5, connection=connection, zones={"A0A1": "a"}, noise=True)
        return Run(adapter, tmp_path / connection, MINUTES, given)

    one, two = run("libsumo"), run("traci")
    assert two.error is None
    for name in one.series:
        assert one[name].tobytes() == two[name].tobytes()
    assert rows(one.trips) == rows(two.trips)


def test_libsumo_leaves_no_environment_variable_for_child_processes(town, tmp_path):
    code = textwrap.dedent(f"""
        import os
        from pathlib import Path
        from cosim.adapters.traffic import Traffic
        adapter = Traffic({str(town / "run.sumocfg")!r}, connection="libsumo")
        adapter.folder = Path({str(tmp_path)!r})
        adapter.open()
        adapter.close()
        print([name for name in os.environ if name.endswith("_AS_TRACI")])
    """)
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="needs the virtual screen of xvfb-run")
def test_the_gui_gives_the_same_results(town, tmp_path):
    code = textwrap.dedent(f"""
        import sys
        from pathlib import Path
        from cosim.adapters.traffic import Traffic
        from cosim.core import Step
        adapter = Traffic({str(town / "run.sumocfg")!r}, connection=sys.argv[1])
        adapter.folder = Path({str(tmp_path)!r}, sys.argv[1])
        adapter.open()
        for k in range(3):
            adapter.advance(Step(60.0 * k, 60.0))
            print(adapter.travel.value.tobytes().hex())
        adapter.close()
    """)
    commands = [sys.executable, "-c", code, "traci"], ["xvfb-run", "-a", sys.executable, "-c", code, "gui"]
    plain, watched = (subprocess.run(c, capture_output=True, text=True, check=True).stdout for c in commands)
    assert plain == watched
    assert plain.count("\n") == 3


def test_an_open_port_of_sumo_is_reported(town, tmp_path):
    code = textwrap.dedent(f"""
        from pathlib import Path
        from cosim.adapters.traffic import adapter as traffic, session
        from cosim.core import Step
        from cosim.core.adapter import take_events
        session.private_connection = traffic.private_connection = lambda: None  # as on other systems
        assert traffic.Traffic({str(town / "run.sumocfg")!r}).connection == "libsumo"
        adapter = traffic.Traffic({str(town / "run.sumocfg")!r}, connection="traci")
        adapter.folder = Path({str(tmp_path / "warned")!r})
        adapter.open()
        adapter.advance(Step(0.0, 60.0))
        adapter.close()
        print(adapter.inserted.value[0], take_events(adapter)[0].text)
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    inserted, _, text = done.stdout.partition(" ")
    assert float(inserted) > 0
    assert text.startswith("SUMO listens for TraCI on every network interface")


@pytest.mark.skipif(sys.platform != "linux", reason="SUMO opens a port on other systems")
def test_sumo_opens_no_port(town, tmp_path):
    code = textwrap.dedent(f"""
        import os
        from pathlib import Path
        from cosim.adapters.traffic import Traffic
        from cosim.core import Step
        from cosim.core.adapter import take_events
        adapter = Traffic({str(town / "run.sumocfg")!r})
        adapter.folder = Path({str(tmp_path)!r})
        adapter.open()
        adapter.advance(Step(0.0, 60.0))
        (child,) = Path(f"/proc/self/task/{{os.getpid()}}/children").read_text().split()
        links = [os.readlink(path) for path in Path(f"/proc/{{child}}/fd").iterdir()]
        mine = {{link[8:-1] for link in links if link.startswith("socket:")}}
        rows = [row.split() for name in ("tcp", "tcp6") for row in Path("/proc/net", name).read_text().splitlines()[1:]]
        sockets = [(row[1].split(":")[0], row[3]) for row in rows if row[9] in mine]
        adapter.close()
        print(adapter.connection, sockets, take_events(adapter))
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "traci [('0100007F', '01')] []\n"  # one established connection of 127.0.0.1, no listener


@pytest.mark.skipif(sys.platform != "linux", reason="SUMO ends when its connection does on other systems")
def test_sumo_ends_with_the_process_that_it_serves(town, tmp_path):
    code = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from cosim.adapters.traffic import Traffic
        adapter = Traffic({str(town / "run.sumocfg")!r})
        adapter.folder = Path({str(tmp_path)!r})
        adapter.open()
        print(Path(f"/proc/self/task/{{os.getpid()}}/children").read_text(), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    state = Path(f"/proc/{int(done.stdout)}/stat")
    until = time.monotonic() + 180
    while state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="libsumo runs there, which a process holds once")
def test_two_towns_run_in_one_process(town, tmp_path):
    towns = [Traffic(town / "run.sumocfg", seed=seed) for seed in (1, 1, 2)]
    for k, adapter in enumerate(towns):
        adapter.folder = tmp_path / str(k)
        adapter.open()
    for start_s in (0.0, 60.0, 120.0):
        for adapter in towns:
            adapter.advance(Step(start_s, 60.0))
    one, same, other = (adapter.travel.value for adapter in towns)
    for adapter in towns:
        adapter.close()
    assert one.tobytes() == same.tobytes()
    assert one.tobytes() != other.tobytes()


def test_refusal_by_sumo_over_traci_is_reported_with_its_own_message(town, tmp_path):
    (town / "bad.rou.xml").write_text(
        "<routes><trip id='w' type='spaceship' depart='400' from='A0A1' to='C1C2'/></routes>"
    )
    configuration = write_configuration(town / "bad.sumocfg", routes="bad.rou.xml")
    run = Run(Traffic(configuration, connection="traci"), tmp_path, MINUTES)
    assert run.error is not None
    assert run.error.startswith("InputFileError: SUMO ")
    assert "spaceship" in run.error


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="looks for processes in /proc")
def test_a_killed_sumo_program_is_one_clear_error(town, tmp_path):
    code = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from cosim.adapters.traffic import Traffic
        from cosim.core import CosimError, Step
        adapter = Traffic({str(town / "run.sumocfg")!r}, connection="traci")
        adapter.folder = Path({str(tmp_path)!r})
        adapter.open()
        adapter.advance(Step(0.0, 60.0))
        (child,) = Path(f"/proc/self/task/{{os.getpid()}}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)
        try:
            adapter.advance(Step(60.0, 60.0))
        except CosimError as error:
            print(error)
        adapter.close()
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith("SUMO stopped ")
    assert "run.sumocfg" in line


def test_a_vehicle_without_a_route_ends_the_run_as_it_ends_sumo(town, tmp_path):
    (town / "torn.rou.xml").write_text(
        '<routes><vehicle id="fine" depart="0"><route edges="A0A1 A1B1"/></vehicle>'
        '<vehicle id="torn" depart="70"><route edges="A0A1 C1C2"/></vehicle></routes>'
    )
    torn = write_configuration(town / "torn.sumocfg", routes="torn.rou.xml")
    run = Run(Traffic(torn), tmp_path / "strict", MINUTES)
    assert run.error is not None
    assert "InputFileError: SUMO stopped" in run.error
    assert "torn" in run.error
    tolerant = Run(Traffic(torn, extra_options=("--ignore-route-errors", "true")), tmp_path / "tolerant", MINUTES)
    assert tolerant.error is None


def test_impossible_arguments_are_refused_with_the_allowed_values(town):
    sumocfg = town / "run.sumocfg"
    for arguments, words in (
        ({"fidelity": "nano"}, "fidelity is 'nano': write 'micro', 'meso' or None"),
        ({"connection": "telepathy"}, "connection is 'telepathy': write 'libsumo', 'traci', 'gui' or None"),
        ({"value_of_time": 0.0}, "value_of_time is 0.0 EUR/h: it must be positive"),
        ({"zones": {"Z9": "a"}}, "zones names edge 'Z9'"),
    ):
        with pytest.raises(CosimError, match=words):
            Traffic(sumocfg, **arguments)


def test_a_missing_network_and_an_impossible_station_are_named(town):
    lost = town / "lost.sumocfg"
    lost.write_text('<configuration><net-file value="gone.net.xml"/></configuration>')
    with pytest.raises(InputFileError, match=r"gone\.net\.xml does not exist"):
        Traffic(lost)
    (town / "odd.add.xml").write_text('<additional><chargingStation id="c" lane="A0A1_0" power="-22000"/></additional>')
    with pytest.raises(InputFileError, match=r"charging station 'c' has a power of -22000 W"):
        Traffic(write_configuration(town / "odd.sumocfg", additionals="odd.add.xml"))


@pytest.mark.parametrize("fidelity", ["micro", "meso"])
def test_no_vehicles_at_all_are_a_correct_result(town, tmp_path, fidelity):
    empty = write_configuration(town / "empty.sumocfg")
    run = Run(Traffic(empty, fidelity=fidelity, zones={"A0A1": "a"}, noise=True), tmp_path, [60.0, 60.0])
    assert run.error is None
    assert run.finished == [True, True]
    for name in ("vehicles", "co2", "co2_by_class", "departures", "arrivals", "noise", "running", "waiting"):
        assert not run[name].any()


def test_a_stalled_run_publishes_its_backlog_and_teleports(town, tmp_path):
    (town / "jam.rou.xml").write_text(
        '<routes><vehicle id="wreck" depart="0" departLane="free"><route edges="A0A1 A1B1"/>'
        '<stop lane="A0A1_0" endPos="100" duration="5000"/></vehicle>'
        '<flow id="f" begin="1" end="300" number="100"><route edges="A0A1 A1B1"/></flow></routes>'
    )
    jam = write_configuration(town / "jam.sumocfg", routes="jam.rou.xml", time_to_teleport=60)
    run = Run(Traffic(jam), tmp_path, MINUTES)
    assert run.error is None
    assert run["waiting"].max() > 10
    assert run["teleports"][-1] > 0
    assert (np.diff(run["teleports"], axis=0) >= 0).all()


def test_the_adapter_replays_and_stays_picklable_with_every_argument(town):
    adapter = Traffic(
        town / "run.sumocfg",
        seed=1,
        fidelity="meso",
        connection="traci",
        electric=["t1"],
        zones={"A0A1": "a"},
        permission_classes=("bus",),
        noise=True,
    )
    assert adapter.replays
    again = pickle.loads(pickle.dumps(adapter))
    assert again.trip_state.labels == again.may_depart.labels == ("t1",)
    assert again.permission.labels[0].endswith("|bus")


@needs_bologna
@pytest.mark.slow
def test_bolognas_cars_are_slowed_and_turned_by_the_policies_of_the_literature(tmp_path):
    """Lower limits slow the city down and raise its CO2; a closed street carries no traffic."""
    sumocfg, options, steps = BOLOGNA / "acosta" / "run.sumocfg", ("--end", "2400"), [60.0] * 40
    usual = Run(Traffic(sumocfg, seed=1, extra_options=options), tmp_path / "usual", steps)
    adapter = Traffic(sumocfg, seed=1, extra_options=options)
    limit = np.minimum(adapter.network.speed_limit, 30 / 3.6)
    slow = Run(adapter, tmp_path / "slow", steps, {0: {"speed_limit": limit}})
    speed = [run.integral("travel").sum() / run.integral("vehicles").sum() for run in (usual, slow)]
    assert speed[1] < 0.97 * speed[0]
    adapter = Traffic(sumocfg, seed=1, extra_options=options)
    busy = int(np.argsort(usual.integral("travel"))[-10])
    closed = np.zeros(len(usual.labels))
    closed[busy] = 1.0
    run = Run(adapter, tmp_path / "closed", steps, {0: {"closed": closed}})
    assert run.error is None
    assert run.integral("travel")[busy] == 0
    assert run["arrived"][-1] > 0.5 * usual["arrived"][-1]
