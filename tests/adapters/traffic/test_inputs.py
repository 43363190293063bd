"""Traffic measures act on SUMO at once and only where they should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosim.adapters.traffic import Traffic
from cosim.adapters.traffic.demand import electric_variant
from cosim.adapters.traffic.session import Connection
from cosim.core.adapter import inputs
from tests.support.traffic_runs import NET, Run, make_town, rows, write_configuration

MINUTES = [60.0] * 10


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_town(tmp_path_factory.mktemp("town"))


@pytest.fixture(scope="module")
def signals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The town with lights, each with a second program that is red in all directions."""
    folder = make_town(tmp_path_factory.mktemp("signals"), "-j", "traffic_light")
    adapter = Traffic(write_configuration(folder / "run.sumocfg", routes="trips.rou.xml"))
    text = (folder / NET).read_text()
    programs = []
    for light in adapter.programs:
        state = text.partition(f'<tlLogic id="{light}"')[2].partition('state="')[2].partition('"')[0]
        programs.append(
            f'<tlLogic id="{light}" type="static" programID="red" offset="0">'
            f'<phase duration="1000" state="{"r" * len(state)}"/></tlLogic>'
        )
    # SUMO starts with the last program of a file.
    (folder / "red.add.xml").write_text("<additional>" + "".join(programs) + "</additional>")
    write_configuration(folder / "run.sumocfg", routes="trips.rou.xml", additionals="red.add.xml")
    return folder


def one(adapter: Traffic, port: str, **values: float) -> np.ndarray:
    """Return an input's default with other values for some labels."""
    place = inputs(adapter)[port]
    changed = np.array(place.default)
    for label, value in values.items():
        changed[place.labels.index(label.replace("__", "|"))] = value
    return changed


def test_delivered_defaults_change_no_result(town, tmp_path):
    adapter = Traffic(town / "run.sumocfg", permission_classes=("passenger",))
    defaults = {name: port.default for name, port in inputs(adapter).items()}
    silent = Run(Traffic(town / "run.sumocfg", permission_classes=("passenger",)), tmp_path / "silent", MINUTES)
    delivered = Run(adapter, tmp_path / "delivered", MINUTES, {0: defaults, 3: defaults})
    for name in silent.series:
        assert silent[name].tobytes() == delivered[name].tobytes()


def test_a_speed_limit_acts_from_its_step_on_and_is_lifted_again(town, tmp_path):
    adapter = Traffic(town / "run.sumocfg")
    slow = {"speed_limit": np.full(24, 5.0)}
    run = Run(adapter, tmp_path, MINUTES, {1: slow, 2: {"speed_limit": adapter.speed_limit.default}})
    fastest = np.where(run["vehicles"] > 0.2, run["speed"], 0.0).max(axis=1)
    # Drivers of SUMO's default type keep to a factor of the limit that is cut at 2; fast ones brake first.
    assert fastest[1] < 10.0 < 11.0 < fastest[0]
    assert fastest[2] > 11.0
    assert (run["speed"][1][run["vehicles"][1] == 0] == 5.0).all()


def test_a_closed_edge_is_avoided_and_used_again_when_it_opens(town, tmp_path):
    adapter = Traffic(town / "run.sumocfg")
    usual = Run(Traffic(town / "run.sumocfg"), tmp_path / "usual", MINUTES)
    used = [edge for edge in ("A1B1", "A1A2") if usual.integral("travel")[usual.labels.index(edge)] > 0]
    assert used
    edge = usual.labels.index(used[0])
    run = Run(
        adapter,
        tmp_path / "closed",
        MINUTES,
        {
            0: {"closed": one(adapter, "closed", **{used[0]: 1.0})},
            2: {"closed": adapter.closed.default},
        },
    )
    assert run.error is None
    assert run["travel"][:2, edge].sum() == 0 < usual["travel"][:2, edge].sum()
    assert run["travel"][2:, edge].sum() > 0
    assert run["arrived"][-1] == 30
    assert run["cancelled"][-1] == run["teleports"][-1] == 0


def test_vehicles_under_way_turn_off_before_an_edge_that_closes(town, tmp_path):
    usual = Run(Traffic(town / "run.sumocfg"), tmp_path / "usual", MINUTES)
    adapter = Traffic(town / "run.sumocfg")
    first = int(usual["travel"][0].argmax())
    busiest = int(np.where(np.arange(24) == first, 0, usual["travel"][1]).argmax())
    run = Run(
        adapter,
        tmp_path / "closed",
        MINUTES,
        {
            0: {"closed": adapter.closed.default},
            1: {"closed": one(adapter, "closed", **{usual.labels[busiest]: 1.0})},
        },
    )
    assert run["travel"][0].tobytes() == usual["travel"][0].tobytes()
    # Only vehicles on the edge, or in the junction before it, leave it.
    assert run["travel"][2:, busiest].sum() == 0
    assert run["arrived"][-1] == 30


def test_a_closed_origin_cancels_trips_and_a_closed_end_is_approached(town, tmp_path):
    adapter = Traffic(town / "run.sumocfg")
    origin = Run(adapter, tmp_path / "origin", MINUTES, {0: {"closed": one(adapter, "closed", A0A1=1.0)}})
    assert origin.error is None
    assert origin["inserted"][-1] == 0
    assert origin["cancelled"][-1] == 30
    (town / "long.rou.xml").write_text(
        '<routes><vehicle id="v" depart="70"><route edges="A0A1 A1B1 B1C1 C1C2"/></vehicle></routes>'
    )
    adapter = Traffic(write_configuration(town / "long.sumocfg", routes="long.rou.xml"))
    run = Run(adapter, tmp_path / "end", MINUTES, {0: {"closed": one(adapter, "closed", C1C2=1.0)}})
    (trip,) = rows(run.trips)
    assert trip["arrivalLane"] == "B1C1_0"
    assert run["teleports"][-1] == run["cancelled"][-1] == 0


def test_trips_barred_far_ahead_are_cancelled_too(town, tmp_path):
    late = "".join(f'<trip id="v{i}" depart="{7 * i}" from="A0A1" to="C1C2"/>' for i in (*range(40), 100))
    (town / "late.rou.xml").write_text(f"<routes>{late}</routes>")
    adapter = Traffic(write_configuration(town / "late.sumocfg", routes="late.rou.xml"))
    run = Run(adapter, tmp_path, [60.0] * 14, {0: {"closed": one(adapter, "closed", A0A1=1.0)}})
    assert run["cancelled"][-1] == 41  # SUMO reads 200 s ahead, and counts none while all trips read are cancelled
    assert run.finished.index(True) == 11  # after the last trip would have departed


def test_a_class_is_barred_from_an_edge_and_let_in_where_it_was_not(town, tmp_path):
    (town / "two.rou.xml").write_text(
        '<routes><vType id="car"/><vType id="taxi" vClass="taxi"/>'
        + "".join(
            f'<trip id="{kind}{i}" type="{kind}" depart="{4 * i}" from="A0A1" to="C1C2"/>'
            for i in range(20)
            for kind in ("car", "taxi")
        )
        + "</routes>"
    )
    configuration = write_configuration(town / "two.sumocfg", routes="two.rou.xml")
    adapter = Traffic(configuration, permission_classes=("taxi", "passenger"))
    assert (adapter.permission.default == 1).all()
    barred = {f"{edge}__passenger": 0.0 for edge in ("A1B1", "A1A2")}
    all_barred = Run(adapter, tmp_path / "cars", MINUTES, {0: {"permission": one(adapter, "permission", **barred)}})
    arrival = {trip["id"]: trip["arrivalLane"] for trip in rows(all_barred.trips)}
    assert all_barred.error is None
    assert {lane for trip, lane in arrival.items() if trip.startswith("taxi")} == {"C1C2_0"}
    assert all_barred["cancelled"][-1] == 20
    text = (town / NET).read_text().replace('<lane id="A1B1_0"', '<lane id="A1B1_0" allow="bus"')
    (town / "bus.net.xml").write_text(text)
    only = write_configuration(town / "bus.sumocfg", routes="two.rou.xml")
    only.write_text(only.read_text().replace(NET, "bus.net.xml"))
    adapter = Traffic(only, permission_classes=("passenger",))
    edge = adapter.network.labels.index("A1B1")
    default = np.array(adapter.permission.default)
    assert default[edge] == 0
    assert default.sum() == 23


def test_a_toll_that_costs_more_than_the_detour_is_avoided(town, tmp_path):
    usual = Run(Traffic(town / "run.sumocfg"), tmp_path / "usual", MINUTES)
    edges = [usual.labels.index(edge) for edge in ("A1B1", "A1A2")]
    dear = edges[int(np.argmax(usual.integral("travel")[edges]))]
    adapter = Traffic(town / "run.sumocfg", value_of_time=36.0)
    charge = one(adapter, "toll", **{usual.labels[dear]: 5.0})  # 500 s
    run = Run(adapter, tmp_path / "toll", MINUTES, {1: {"toll": charge}})
    assert usual["travel"][2:, dear].sum() > 0
    assert run["travel"][0].tobytes() == usual["travel"][0].tobytes()
    assert run["travel"][2:, dear].sum() == 0
    assert run["arrived"][-1] == 30
    cheap = one(Traffic(town / "run.sumocfg"), "toll", **{usual.labels[dear]: 1e-6})
    little = Run(Traffic(town / "run.sumocfg"), tmp_path / "cheap", MINUTES, {1: {"toll": cheap}})
    assert little["travel"][2:, dear].sum() > 0


def test_a_signal_program_is_switched_and_switched_back(signals, tmp_path):
    adapter = Traffic(signals / "run.sumocfg")
    assert set(adapter.programs.values()) == {("0", "red")}
    green, red = ({"signal_program": np.full(len(adapter.programs), k)} for k in (0.0, 1.0))
    run = Run(adapter, tmp_path, MINUTES, {0: green, 2: red, 7: green})
    assert run.error is None
    assert run["travel"][1].sum() > 0
    assert run["travel"][5].sum() < 0.2
    assert run["vehicles"][5].sum() > 1
    assert run["travel"][8].sum() > 0.2


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.7])
def test_demand_is_scaled_by_independent_draws(town, tmp_path, factor):
    adapter = Traffic(town / "run.sumocfg")
    run = Run(adapter, tmp_path / "scaled", MINUTES, {0: {"demand_factor": [factor]}})
    assert run.error is None
    begun = run["inserted"][-1, 0]
    assert begun == run["arrived"][-1, 0]
    # 30 independent draws: four standard deviations.
    assert abs(begun - 30 * factor) <= 4 * np.sqrt(30 * (factor % 1) * (1 - factor % 1))
    if factor < 1:
        kept = {trip["id"] for trip in rows(run.trips)}
        fewer = Run(Traffic(town / "run.sumocfg"), tmp_path / "fewer", MINUTES, {0: {"demand_factor": [factor / 2]}})
        assert {trip["id"] for trip in rows(fewer.trips)} <= kept


def test_demand_is_scaled_where_trips_begin(town, tmp_path):
    begins = {
        trip["id"]: trip["departLane"].rpartition("_")[0]
        for trip in rows(Run(Traffic(town / "run.sumocfg"), tmp_path / "all", MINUTES, {}).trips)
    }
    edges = sorted(set(begins.values()))
    zones = {edge: "empty" if i % 2 else "doubled" for i, edge in enumerate(edges)}
    adapter = Traffic(town / "run.sumocfg", zones=zones)
    run = Run(
        adapter,
        tmp_path / "scaled",
        MINUTES,
        {0: {"zone_demand": [{"empty": 0.0, "doubled": 2.0}[zone] for zone in adapter.zone_demand.labels]}},
    )
    assert run.error is None
    begun = [trip["id"] for trip in rows(run.trips)]
    expected = [v for v, edge in begins.items() if zones[edge] == "doubled"]
    assert sorted(begun) == sorted([*expected, *(f"{v}*1" for v in expected)])


def test_every_input_used_gives_the_same_bytes_again_and_over_every_connection(signals, tmp_path):
    electric = ("t5", "t18", "t19", "t25")
    (tmp_path / "variant").mkdir()
    scenario = electric_variant(signals / "run.sumocfg", electric, tmp_path / "variant")

    def run(name: str, connection: Connection) -> Run:
        adapter = Traffic(scenario, seed=3, permission_classes=("passenger",), electric=electric, connection=connection)
        red, held = (np.zeros(len(port)) for port in (adapter.signal_program, adapter.may_depart))
        red[4], held[:] = 1.0, (1.0, 1.0, 0.0, -1.0)
        given = {
            0: {"closed": adapter.closed.default, "signal_program": np.zeros_like(red)},
            1: {
                "speed_limit": np.full(24, 8.0),
                "closed": one(adapter, "closed", B1C1=1.0),
                "demand_factor": [1.5],
                "may_depart": held,
                "signal_program": red,
            },
            2: {"toll": one(adapter, "toll", A1B1=2.0), "closed": adapter.closed.default},
            3: {"permission": one(adapter, "permission", A1A2__passenger=0.0), "demand_factor": [0.5]},
            5: {"signal_program": np.zeros_like(red), "may_depart": np.array([1.0, 1.0, 1.0, -1.0])},
        }
        return Run(adapter, tmp_path / name, MINUTES, given)

    first, second, third = run("first", "traci"), run("second", "traci"), run("third", "libsumo")
    assert first.error is None
    assert first["trip_state"][-1].tolist() == [2, 2, 2, 3]
    for name in first.series:
        assert first[name].tobytes() == second[name].tobytes() == third[name].tobytes()
    assert rows(first.trips) == rows(third.trips)


@pytest.mark.parametrize(
    ("port", "value", "words"),
    [
        ("speed_limit", 0.0, "speed_limit['A0A1'] is 0 (and 23 more): a speed limit must be positive"),
        ("closed", 0.5, "closed['A0A1'] is 0.5 (and 23 more): write 0 or 1"),
        ("toll", -1.0, "toll['A0A1'] is -1 (and 23 more): a toll cannot be negative"),
        ("demand_factor", -0.1, "demand_factor['network'] is -0.1: demand cannot be negative"),
    ],
)
def test_an_impossible_input_is_one_clear_error(town, tmp_path, port, value, words):
    adapter = Traffic(town / "run.sumocfg")
    run = Run(adapter, tmp_path, [60.0], {0: {port: np.full(len(inputs(adapter)[port]), value)}})
    assert run.error is not None
    assert run.error.startswith("CosimError: " + words)


def test_a_closure_first_delivered_after_the_first_step_is_refused(town, tmp_path):
    adapter = Traffic(town / "run.sumocfg")
    run = Run(adapter, tmp_path, MINUTES, {1: {"closed": one(adapter, "closed", B1C1=1.0)}})
    assert run.error == (
        "CosimError: closed or permission first arrived after the first step: deliver them from the first step on"
    )


def test_an_unknown_signal_program_is_refused(signals, tmp_path):
    adapter = Traffic(signals / "run.sumocfg")
    run = Run(adapter, tmp_path, [60.0], {0: {"signal_program": np.full(len(adapter.programs), 2.0)}})
    assert run.error is not None
    assert "write the number of one of the light's programs, counted from 0" in run.error
