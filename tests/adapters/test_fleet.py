"""The fleet adapter between traffic and grid."""

import numpy as np
import pandas as pd
import pytest

from cosim import Adapter, Clock, CosimError, Input, Output, Scenario
from cosim.adapters.fleet import Fleet
from cosim.core import Step
from cosim.core.adapter import inputs, take_events
from cosim.core.fleet.plan import FleetPlan
from cosim.core.fleet.state import LEDGER, REASONS
from cosim.core.fleet.strategies import V2G, Delayed, GridLimited, Plain, PriceFollowing, ValleyFilling
from cosim.core.quantities import HOUR_S, J_PER_KWH
from cosim.core.random import uniform
from cosim.scenarios.indicators.traffic import charging_indicators
from tests.support.fleet_tables import commuters, one_car


class Streets(Adapter):
    """Traffic in which every trip takes its planned time, uses its energy evenly and obeys `may_depart`."""

    def __init__(self, plan, more=1.0):
        self.plan, self.more = plan, more
        self.may_depart = Input("1", plan.trip_ids, default=1.0)
        self.trip_energy = Output("J", plan.trip_ids, "end")
        self.trip_state = Output("1", plan.trip_ids, "end")

    def open(self):
        self.state, self.left = np.zeros(len(self.plan.trip_ids)), np.full(len(self.plan.trip_ids), np.inf)
        self.trip_energy.value, self.trip_state.value = 0.0, 0.0

    def advance(self, step):
        plan, end = self.plan, step.end_s
        due = (self.state == 0) & (plan.depart_s < end)
        may = self.may_depart.value[due]
        self.state[due] = np.where(may > 0, 1, np.where(may < 0, 3, 0))
        self.left[due & (self.state == 1)] = np.maximum(plan.depart_s, step.start_s)[due & (self.state == 1)]
        done = np.clip((end - self.left) / plan.duration_s, 0, 1)
        self.state[(self.state == 1) & (done >= 1)] = 2
        self.trip_state.value = self.state
        driving = (self.state == 1) | (self.state == 2)
        self.trip_energy.value = np.where(driving, done * plan.energy_j * self.more, 0.0)


class Feeders(Adapter):
    """Transformers with an uneven load in addition to the fleet's, and a voltage that falls with it."""

    def __init__(self, plan, base_w=150e3, jitter_w=0.0):
        self.plan, self.base_w, self.jitter_w = plan, base_w, jitter_w
        self.power = Input("W", plan.station_ids, default=0.0)
        self.carried = Output("W", plan.transformer_ids, "mean")
        self.headroom = Output("W", plan.transformer_ids, "end")

    def open(self):
        self.headroom.value = self.plan.rating_w

    def base(self, step):
        names = self.plan.transformer_ids
        return self.base_w + self.jitter_w * uniform(round(step.start_s), "load", names)

    def advance(self, step):
        fleet = np.bincount(self.plan.transformer, self.power.value, len(self.plan.rating_w))
        self.carried.value = self.base(step) + fleet
        self.headroom.value = self.plan.rating_w - self.carried.value


class JumpingFeeders(Feeders):
    """Feeders that carry 250 kW instead of 100 from two o'clock on."""

    def base(self, step):
        return np.full(len(self.plan.rating_w), 100e3 if step.start_s < 2 * HOUR_S else 250e3)


def coupled(tables, strategy=None, hours=24, step_s=300, grid_step_s=None, more=1.0, grid=Feeders, **feeders):
    plan = FleetPlan.from_tables(**tables)
    clock = Clock("2025-01-15", hours=hours, step_s=step_s, zone="Europe/Madrid")
    scenario = Scenario(
        clock,
        steps={"grid": grid_step_s} if grid_step_s else {},
        traffic=Streets(plan, more),
        fleet=Fleet(plan, clock, strategy, grid_step_s=grid_step_s),
        grid=grid(plan, **feeders),
    )
    scenario.connect("traffic.trip_energy", "fleet.trip_energy")
    scenario.connect("traffic.trip_state", "fleet.trip_state")
    scenario.connect("fleet.may_depart", "traffic.may_depart", delay=1, initial=1.0)
    scenario.connect("fleet.charging_power", "grid.power")
    scenario.connect("grid.headroom", "fleet.transformer_headroom", delay=1, initial=plan.rating_w)
    return scenario, plan


def test_charging_energy_in_the_fleet_is_the_energy_in_the_grid(tmp_path):
    scenario, _ = coupled(commuters(200, soc=0.4), grid_step_s=900)
    result = scenario.run(tmp_path / "run", double=True)
    sold = result.integral("fleet.charging_power").sum()
    ledger = dict(zip(LEDGER, result.series("fleet.energy").iloc[-1][list(LEDGER)]))
    carried = result.integral("grid.carried").sum() - 150e3 * 24 * HOUR_S * 2
    assert sold > 100 * J_PER_KWH
    assert ledger["drawn"] - ledger["returned"] == pytest.approx(sold, rel=1e-9)
    assert carried == pytest.approx(sold, rel=1e-9)
    assert (result.ledger["residual"] < 1e-9).all()


def test_ledger_closes_with_the_energy_reported_by_the_traffic(tmp_path):
    scenario, plan = coupled(commuters(200, soc=0.6, discharge_w=5e3), V2G(np.repeat([1.0, 2.0], 12)), more=1.1)
    result = scenario.run(tmp_path / "run", double=True)
    power = result.series("fleet.charging_power")[list(plan.station_ids)].to_numpy()
    soc = result.series("fleet.state_of_charge")[list(plan.vehicle_ids)].to_numpy()
    driven = result.series("traffic.trip_energy").iloc[-1].sum()
    efficiency = plan.stations["efficiency"]
    into = np.where(power > 0, power * efficiency, power / efficiency).sum() * 300
    stored = ((soc[-1] - plan.vehicles["soc"]) * plan.vehicles["capacity_j"]).sum()
    size = np.abs(power).sum() * 300 + driven + abs(stored)
    assert driven > 500 * J_PER_KWH
    assert abs(into - driven - stored) < 1e-9 * size


def test_a_trip_that_the_fleet_refuses_is_not_driven_by_the_traffic(tmp_path):
    tables = one_car(soc=0.1, trip_kwh=20.0, power_w=0.0)
    scenario, _ = coupled(tables, step_s=60)
    result = scenario.run(tmp_path / "run", double=True)
    assert result.series("traffic.trip_energy").to_numpy().max() == 0
    last = result.series("fleet.failed_trips").iloc[-1]
    assert last["no charge"] == 1
    assert last["elsewhere"] == 1
    events = result.events
    failed = events[events["kind"] == "trip failed"]
    assert failed["element"].tolist() == ["trip 0", "trip 1"]
    assert failed["text"].tolist() == [f"{why}: {REASONS[why]}" for why in ("no charge", "elsewhere")]


def test_indicators_and_events_count_the_same_failed_trips(tmp_path):
    # The first trip lacks charge; the second would begin where the car has never arrived.
    scenario, _ = coupled(one_car(soc=0.1, trip_kwh=20.0, power_w=0.0), step_s=60)
    result = scenario.run(tmp_path / "run")
    found = charging_indicators(result)
    assert found["failed trips"].value == (result.events["kind"] == "trip failed").sum() == 2
    short = found["trips short of charge"]
    assert short.value == 1
    assert short.headline.startswith("Charging limits the electric cars: of their 2 trips 1 failed for lack of charge")
    assert short.headline.endswith("1 cars share 1 stations.")
    assert found["failed trips"].unit == "trips"
    by_reason = "; ".join(f"1 {why} ({REASONS[why]})" for why in ("no charge", "elsewhere"))
    assert found["failed trips"].about.endswith(f"by reason: {by_reason}")
    assert "since an earlier trip of it failed" in result.events["text"].iloc[-1]


def test_a_grid_cap_is_obeyed_within_one_exchange(tmp_path):
    # The base load jumps at every step of the grid and is known only afterwards.
    scenario, plan = coupled(
        commuters(200, soc=0.2, rating_w=400e3),
        GridLimited(),
        hours=6,
        step_s=60,
        grid_step_s=300,
        base_w=100e3,
        jitter_w=50e3,
    )
    result = scenario.run(tmp_path / "run", double=True)
    load = result.series("grid.carried")[list(plan.transformer_ids)].to_numpy()
    grid, n = Feeders(plan, 100e3, 50e3), len(load)
    base = np.array([grid.base(Step(300.0 * k, 300.0)) for k in range(n)])
    fleet = load - base
    binding = fleet[2:60] > 1e5
    assert binding.mean() > 0.3
    # In every step the fleet draws what the previous step has left: rating - base of that step.
    left = plan.rating_w - base[1:-1]
    assert (fleet[2:] <= left * (1 + 1e-9)).all()
    assert fleet[2:12] == pytest.approx(left[:10], rel=1e-6)


def test_an_overload_ends_with_the_next_exchange(tmp_path):
    tables = commuters(200, soc=0.2, rating_w=300e3)
    scenario, _ = coupled(tables, GridLimited(), hours=4, step_s=60, grid=JumpingFeeders)
    load = scenario.run(tmp_path / "run", double=True).series("grid.carried").to_numpy()
    assert load[110:120].max() == pytest.approx(300e3)
    assert load[120].max() > 300e3
    assert (load[121:] <= 300e3 * (1 + 1e-9)).all()


def test_plain_charging_ignores_the_cap(tmp_path):
    scenario, _ = coupled(commuters(200, soc=0.2, rating_w=300e3), Plain(), hours=2, step_s=60)
    assert scenario.run(tmp_path / "run").series("grid.carried").to_numpy().max() > 700e3


@pytest.mark.parametrize(
    "strategy",
    [lambda: Plain(), lambda: ValleyFilling(), lambda: GridLimited(PriceFollowing(np.arange(24.0)))],
    ids=["plain", "valley", "limited price"],
)
def test_a_fleet_continues_bit_for_bit_from_a_saved_state(strategy, tmp_path):
    plan = FleetPlan.from_tables(**commuters(150, soc=0.5))
    clock = Clock("2025-01-15", hours=24, step_s=300)
    whole, first, second = (Fleet(plan, clock, strategy(), grid_step_s=900) for _ in range(3))
    streets = Streets(plan)
    feeders = Feeders(plan, 150e3, 80e3)
    streets.open()
    seen = []

    def step(fleet, k):
        for port in ("trip_energy", "trip_state"):
            inputs(fleet)[port].deliver(getattr(streets, port).value)
        fleet.transformer_headroom.deliver(plan.rating_w - feeders.base(Step(300.0 * (k // 3) * 3, 900.0)))
        fleet.advance(Step(300.0 * k, 300.0))

    whole.open()
    first.open()
    for k in range(288):
        streets.may_depart.deliver(whole.may_depart.value)
        streets.advance(Step(300.0 * k, 300.0))
        step(whole, k)
        if k < 130:
            step(first, k)
        if k == 129:
            first.save(tmp_path)
            second.open()
            second.load(tmp_path)
            seen = []
        if k > 129:
            step(second, k)
        seen.append(whole.charging_power.value)
    for name in ("charging_power", "state_of_charge", "may_depart", "failed_trips", "energy", "present", "plugged"):
        np.testing.assert_array_equal(getattr(second, name).value, getattr(whole, name).value)
    assert np.array(seen).sum() > 0


def test_same_seed_gives_the_same_bytes(tmp_path):
    runs = [coupled(commuters(50), V2G(np.arange(24.0)), hours=4)[0].run(tmp_path / name, double=True) for name in "ab"]
    for port in ("fleet.charging_power", "fleet.state_of_charge"):
        pd.testing.assert_frame_equal(runs[0].series(port), runs[1].series(port))


def test_a_fleet_alone_goes_as_planned(tmp_path):
    plan = FleetPlan.from_tables(**commuters(20))
    clock = Clock("2025-01-15", hours=24)
    result = Scenario(clock, fleet=Fleet(plan, clock)).run(tmp_path / "run", double=True)
    assert result.series("fleet.failed_trips").iloc[-1].sum() == 0
    driven = result.series("fleet.energy").iloc[-1]["driven"]
    assert driven == pytest.approx(plan.energy_j.sum())


def test_hours_of_a_window_are_those_of_the_citys_clock():
    plan = FleetPlan.from_tables(**one_car(trips=()))
    fleet = Fleet(plan, Clock("2025-01-15T22:30", hours=1, zone="Europe/Madrid"))
    assert fleet._model.begin_s == 22.5 * HOUR_S


def test_an_unknown_trip_state_is_refused():
    plan = FleetPlan.from_tables(**one_car())
    fleet = Fleet(plan, Clock("2025-01-15", hours=1))
    fleet.open()
    fleet.trip_state.deliver([7.0, 0.0])
    with pytest.raises(CosimError, match="trip_state must be -1 or 0 to 4"):
        fleet.advance(Step(0.0, 60.0))
    assert take_events(fleet) == []


def test_a_grid_step_that_is_not_positive_is_refused():
    with pytest.raises(CosimError, match="grid_step_s is 0"):
        Fleet(FleetPlan.from_tables(**one_car()), Clock("2025-01-15", hours=1), grid_step_s=0)


def test_a_strategys_hours_are_the_citys_also_after_the_change_to_summer_time():
    plan = FleetPlan.from_tables(**one_car(trips=((40, "home", "work"),), soc=0.5, trip_kwh=1.0))
    clock = Clock("2025-03-29T12:00", hours=24, step_s=300, zone="Europe/Madrid")
    fleet = Fleet(plan, clock, Delayed(4, 6))
    fleet.open()
    charged = []
    for k in range(288):
        fleet.advance(Step(k * 300.0, 300.0))
        if fleet.charging_power.value.any():
            charged.append(clock.civil(k * 300.0))
    assert (charged[0].hour, charged[-1].hour) == (4, 5)
    assert {moment.day for moment in charged} == {30}
