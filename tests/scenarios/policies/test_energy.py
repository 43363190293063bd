"""Tests of policies on heat, power and charging against physics."""

import copy
import dataclasses

import numpy as np
import pytest

from cosim import CosimError
from cosim.scenarios import eixample
from cosim.scenarios.indicators.storage import storage_indicators
from cosim.scenarios.measures import Measures
from cosim.scenarios.policies import (
    Charging,
    ChargingCaps,
    CommunityBatteries,
    DemandResponse,
    DynamicTariff,
    EvShare,
    GridCaps,
    HeatPumps,
    HomeBatteries,
    Policy,
    PublicChargers,
    Retrofit,
    RooftopPv,
    VehicleToGrid,
)
from tests.support.policy_runs import district, kwh, run_buildings

NIGHT = {"blocks": (2, 2), "through_traffic": 0.05, "begin_hour": 17, "hours": 7, "step_s": 300, "grid_step_s": 300}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return run_buildings(district(), tmp_path_factory.mktemp("runs") / "base")


def sunless(city):
    """Return the city without sun, sky, ground and neighbours, so that only losses to outdoors and gains are left."""
    stock = city.stock
    none = {
        name: np.zeros_like(getattr(stock, name))
        for name in ("solar_transmittance", "sun_on_exterior", "sky_depression", "ground_share")
    }
    none["party_walls"] = np.zeros((0, 3))
    return dataclasses.replace(city, stock=dataclasses.replace(stock, **none))


def heat_and_loss(city, out):
    """Return the heat of heated buildings' second day, and their losses by U-values and temperatures. [kWh]"""
    result, stock = run_buildings(city, out, hours=48), city.stock
    heated = stock.heating_capacity > 0
    loss = (stock.zones.loss_coefficient[stock.archetype] * stock.floor_area)[heated]
    inside = result.series("buildings.indoor_temperature")[list(np.array(stock.ids)[heated])].iloc[-144:]
    outside = result.series("weather.temperature").iloc[-144:, 0].to_numpy()
    heat = result.series("buildings.heating_heat").iloc[-144:].to_numpy().sum() / 6000
    return heat, ((inside.to_numpy() - outside[:, None]) * loss).sum() / 6000


def test_retrofit_lowers_heat_as_the_u_values_imply(tmp_path):
    heat, lost = heat_and_loss(sunless(district()), tmp_path / "before")
    less_heat, less_lost = heat_and_loss(sunless(Retrofit(3).change_city(district())), tmp_path / "after")
    assert less_heat < 0.7 * heat
    # What is left is what the masses store from one evening to the next: measured 1 % of the losses.
    assert heat - less_heat == pytest.approx(lost - less_lost, rel=0.03)


def test_retrofit_of_a_share_leaves_other_buildings_unchanged():
    before, after = district().stock, Retrofit(2, share=0.5).change_city(district()).stock
    old = before.zones.loss_coefficient[before.archetype]
    new = after.zones.loss_coefficient[after.archetype]
    changed = new != old
    assert 0.3 < changed.mean() < 0.7
    assert (new[changed] < old[changed]).all()
    np.testing.assert_array_equal(after.window_area[~changed], before.window_area[~changed])


def test_retrofit_of_better_buildings_is_refused():
    with pytest.raises(CosimError, match="changes no building"):
        Retrofit(3).change_city(Retrofit(3).change_city(district()))


def test_heat_pumps_swap_gas_for_electricity_by_their_cop(base, tmp_path):
    city = district()
    pumps = run_buildings(dataclasses.replace(city, stock=city.stock.with_heat_pumps(1.0, city.seed)), tmp_path / "run")
    assert kwh(pumps, "buildings.gas_power") == 0
    heat, power = kwh(pumps, "buildings.heating_heat"), kwh(pumps, "buildings.heat_pump_power")
    assert heat == pytest.approx(kwh(base, "buildings.heating_heat"), rel=0.05)
    assert 2 < heat / power < 5


def test_heat_pumps_with_floor_heating_need_less_electricity_for_their_heat(tmp_path):
    city = dataclasses.replace(district(), stock=district().stock.with_heat_pumps(1.0))
    laid = HeatPumps(1.0, floor_heating=1.0).change_city(city)
    assert HeatPumps(1.0).change_city(city) is city
    assert set(np.array(laid.stock.emission)[laid.stock.heating_capacity > 0]) == {"underfloor"}
    assert (Retrofit(2).change_city(laid).stock.emission) == laid.stock.emission
    plain, warm = (run_buildings(c, tmp_path / n, hours=6) for c, n in ((city, "radiators"), (laid, "floors")))
    per_heat = [kwh(r, "buildings.heat_pump_power") / kwh(r, "buildings.heating_heat") for r in (plain, warm)]
    assert per_heat[1] < 0.95 * per_heat[0]


def test_heat_pump_policy_sets_their_share():
    scenario = eixample.build(blocks=(2, 2), hours=1, through_traffic=0.05, policies=[HeatPumps(1.0)])
    assert set(scenario.model.stock.heating) == {"heat_pump"}


def test_panels_feed_their_surplus_into_their_bus(tmp_path):
    day = {
        "blocks": (2, 2),
        "through_traffic": 0.05,
        "begin_hour": 11,
        "hours": 2,
        "step_s": 300,
        "grid_step_s": 300,
        "day": "2025-06-15",
    }
    plain = eixample.build(**day).run(tmp_path / "plain")
    sunny = eixample.build(**day, policies=[RooftopPv(1.0)]).run(tmp_path / "sunny")
    generated = kwh(sunny, "buildings.pv_power")
    assert generated > 0
    assert float(sunny.series("buildings.electric_power").min().min()) < 0
    less = kwh(plain, "grid.grid_import") - kwh(sunny, "grid.grid_import")
    losses = kwh(sunny, "grid.losses") - kwh(plain, "grid.losses")
    assert less == pytest.approx(generated - losses, rel=1e-3)
    higher = sunny.series("grid.voltage").iloc[1:].max().max() - plain.series("grid.voltage").iloc[1:].max().max()
    assert higher > 0


def test_home_batteries_lower_feed_in(tmp_path):
    panels = RooftopPv(1.0).change_city(district())
    without = run_buildings(panels, tmp_path / "a", day="2025-06-15")
    stored = run_buildings(HomeBatteries(4).change_city(panels), tmp_path / "b", day="2025-06-15")
    fed = [float(r.series("buildings.electric_power").clip(upper=0).sum().sum()) for r in (without, stored)]
    assert fed[1] > 0.9 * fed[0]
    assert fed[1] > fed[0]  # both negative
    assert kwh(without, "buildings.pv_power") == pytest.approx(kwh(stored, "buildings.pv_power"))
    taken, left = (stored.series("buildings.battery_energy").iloc[k].sum() for k in (0, -1))
    flows = stored.series("buildings.battery_power").to_numpy() / 6000  # W over 10 min -> kWh
    assert flows[flows > 0].sum() + flows[flows < 0].sum() >= (left - taken) / 3.6e6 - 1e-3
    city = HomeBatteries(4).change_city(panels)
    found = [storage_indicators(r, city) for r in (without, stored)]
    for name in ("self-sufficiency", "self-consumption"):
        assert found[1][f"– behind the meter, {name}"].value > found[0][f"– behind the meter, {name}"].value
    assert found[1]["home batteries, energy given back"].value == pytest.approx(-flows[flows < 0].sum(), rel=1e-5)
    cycles = -flows[flows < 0].sum() * 3.6e6 / city.stock.battery_capacity.sum()
    assert found[1]["home batteries, full cycles"].value == pytest.approx(cycles, rel=1e-5)


def test_home_batteries_without_panels_are_refused():
    with pytest.raises(CosimError, match="put RooftopPv before it"):
        HomeBatteries().change_city(district())


def test_community_batteries_shift_import_into_their_charging_hours(tmp_path):
    batteries = CommunityBatteries(100, 50, charge_from=9, charge_to=10, discharge_from=10, discharge_to=11)
    hours = {"blocks": (2, 2), "through_traffic": 0.05, "begin_hour": 9, "hours": 2, "step_s": 300, "grid_step_s": 300}
    plain = eixample.build(**hours).run(tmp_path / "plain").total("grid.grid_import")
    shifted = eixample.build(**hours, policies=[batteries]).run(tmp_path / "shifted")
    change = shifted.total("grid.grid_import") - plain
    stations = len(district().grid.stations)
    assert change.iloc[:12].mean() == pytest.approx(50e3 * stations, rel=0.05)
    assert change.iloc[12:].mean() == pytest.approx(-50e3 * stations, rel=0.05)
    # Two hours end when what was charged has been given back.
    back = shifted.indicators["community batteries, energy given back"].value
    assert back == pytest.approx(50 * stations, rel=0.05)


def test_batteries_that_charge_and_discharge_at_the_same_time_are_refused():
    with pytest.raises(CosimError, match="at the same time"):
        CommunityBatteries(charge_from=12, charge_to=20).change_city(district())


def test_demand_response_lowers_the_peak_and_pays_back(base, tmp_path):
    response = DemandResponse(2.0, share=1.0, from_hour=18, to_hour=21)
    result = run_buildings(response.change_city(district()), tmp_path / "run")
    change = result.total("buildings.heating_heat") - base.total("buildings.heating_heat")
    local = change.index.tz_convert("Europe/Madrid") - np.timedelta64(1, "s")
    during, after = (local.hour >= 18) & (local.hour < 21), (local.hour >= 21) & (local.hour < 23)
    assert change[during].sum() < 0
    assert change[after].sum() > 0
    assert change[local.hour < 18].abs().max() < 1


def test_demand_response_of_no_building_is_refused():
    with pytest.raises(CosimError, match="reaches no building"):
        DemandResponse(share=0.0).change_city(district())


def test_buildings_are_heated_less_in_expensive_hours(base, tmp_path):
    prices = [0.1] * 17 + [0.5] * 4 + [0.1] * 3
    result = run_buildings(DynamicTariff(tuple(prices)).change_city(district()), tmp_path / "run")
    change = result.total("buildings.heating_heat") - base.total("buildings.heating_heat")
    local = change.index.tz_convert("Europe/Madrid") - np.timedelta64(1, "s")
    assert change[(local.hour >= 17) & (local.hour < 21)].sum() < 0
    assert change[(local.hour >= 21)].sum() > 0


def test_tariff_without_exactly_24_hours_is_refused():
    with pytest.raises(CosimError, match="eur_per_kwh"):
        DynamicTariff((0.1, 0.2))


def evening(tmp_path, name, *policies):
    return eixample.build(**NIGHT, policies=[EvShare(1.0), *policies]).run(tmp_path / name)


def test_valley_charging_shifts_energy_but_keeps_its_sum(tmp_path):
    day = {"blocks": (2, 2), "through_traffic": 0.05, "hours": 24, "step_s": 300, "grid_step_s": 300}
    plain, valley = (
        eixample.build(**day, policies=[EvShare(1.0), PublicChargers(10), Charging(how)]).run(tmp_path / how)
        for how in ("plain", "valley")
    )
    power = [r.total("fleet.charging_power").tz_convert("Europe/Madrid") for r in (plain, valley)]
    evening = [float(p.between_time("18:01", "22:00").mean()) for p in power]
    assert evening[1] < 0.5 * evening[0]  # sessions that are too short to wait charge at once
    needed = []
    for result in (plain, valley):
        begin, end = (result.series("fleet.energy").iloc[k] / 3.6e6 for k in (0, -1))
        # with so few chargers a car may be left without the charge for its next trip, whatever the strategy
        assert result.indicators["failed trips"].value <= plain.indicators["failed trips"].value <= 1
        # What is not charged at midnight is charged in the night after: the batteries' change counts.
        needed.append(end["drawn"] - end["losses"] - (end["stored"] - begin["stored"]))
        assert needed[-1] == pytest.approx(end["driven"], rel=1e-3)
    assert needed[0] == pytest.approx(needed[1], rel=1e-3)


def test_cars_discharge_to_the_grid_in_expensive_hours(tmp_path):
    prices = tuple([0.1] * 19 + [0.6] * 3 + [0.1] * 2)
    plain = evening(tmp_path, "plain", Charging("plain"))
    given = evening(tmp_path, "given", DynamicTariff(prices, response_k=0), VehicleToGrid(1.0))
    assert float(plain.series("fleet.charging_power").min().min()) >= 0
    fed = given.series("fleet.charging_power")
    hour = fed.index.tz_convert("Europe/Madrid").hour
    assert float(fed[(hour >= 20) & (hour < 22)].min().min()) < 0
    assert float(fed[hour < 19].min().min()) >= 0

    back = -float(fed.clip(upper=0).to_numpy().sum()) / 12000  # W over 5 min -> kWh
    assert given.indicators["cars, energy given back"].value == pytest.approx(back, rel=1e-6)


def test_electric_share_burns_less_fuel_and_draws_what_it_consumes(tmp_path):
    hours = {"blocks": (2, 2), "through_traffic": 0, "begin_hour": 8, "hours": 1, "step_s": 300, "grid_step_s": 300}
    none, half = (eixample.build(**hours, policies=[EvShare(share)]).run(tmp_path / str(share)) for share in (0.0, 0.5))
    metres = [float(r.integral("traffic.travel").sum()) for r in (none, half)]
    assert metres[1] == pytest.approx(metres[0], rel=0.02)  # the same trips
    burnt = [float(r.integral("traffic.fuel").sum()) for r in (none, half)]
    spread = (0.25 / float(none.total("traffic.inserted").iloc[-1])) ** 0.5
    assert burnt[1] / burnt[0] == pytest.approx(0.5, abs=4 * spread)
    assert "fleet.charging_power" not in none.ports
    driven, drawn = (half.series("fleet.energy").iloc[-1][name] / 3.6e6 for name in ("driven", "drawn"))
    assert driven > 0
    assert kwh(half, "fleet.charging_power") == pytest.approx(drawn, rel=1e-6)
    assert drawn > 0


class Weak(Policy):
    """Reduces the rating of transformers."""

    part: float

    def change_city(self, city):
        net = copy.deepcopy(city.grid.net)
        net.trafo["sn_mva"] *= self.part
        return dataclasses.replace(city, grid=dataclasses.replace(city.grid, net=net))


def test_capped_charging_relieves_weak_transformers(tmp_path):
    weak = [PublicChargers(10), Weak(part=0.12), Charging("plain")]
    free, capped = (
        eixample.build(**NIGHT | {"services": 0.0, "day": "2025-05-15"}, policies=[EvShare(1.0), *weak, *caps]).run(
            tmp_path / name
        )
        for name, caps in (("free", []), ("capped", [ChargingCaps()]))
    )
    loading = [r.series("grid.transformer_loading").iloc[3:] for r in (free, capped)]
    worst = [float(table.max().max()) for table in loading]
    assert worst[0] > 1.1
    assert worst[1] < worst[0]
    # Chargers know what was left one exchange before: what households add since then is over the rating.
    excess = [float((table - 1).clip(lower=0).to_numpy().sum()) for table in loading]
    assert excess[1] < 0.4 * excess[0]
    assert kwh(capped, "fleet.charging_power") < kwh(free, "fleet.charging_power")


def test_charging_by_price_without_a_price_is_refused():
    with pytest.raises(CosimError, match="put DynamicTariff before it"):
        eixample.build(**NIGHT, policies=[EvShare(1.0), Charging("price")])


def test_charging_and_vehicle_to_grid_exclude_each_other():
    with pytest.raises(CosimError, match="decide the same"):
        eixample.build(**NIGHT, policies=[Charging("valley"), VehicleToGrid()])


def test_charging_caps_without_a_fleet_are_refused():
    with pytest.raises(CosimError, match="put EvShare before it"):
        ChargingCaps().change_city(district(ev_share=0.0))


def test_grid_caps_hold_transformers_at_their_limit(tmp_path):
    hours = {"blocks": (2, 2), "through_traffic": 0.05, "begin_hour": 7, "hours": 2, "step_s": 300, "grid_step_s": 300}
    heated = [HeatPumps(1.0)]
    free = eixample.build(**hours, policies=heated).run(tmp_path / "free")
    limit = 0.7 * float(free.series("grid.transformer_loading").max().max())
    capped = eixample.build(**hours, policies=[*heated, GridCaps(loading=limit)]).run(tmp_path / "capped")
    peak = [float(r.series("grid.transformer_loading").iloc[3:].max().max()) for r in (free, capped)]
    assert peak[1] < peak[0]
    assert kwh(capped, "buildings.heat_pump_power") < kwh(free, "buildings.heat_pump_power")


def test_measures_on_one_element_at_different_times_are_refused():
    measures = Measures().with_input("traffic.toll", {"e": (("00:00", 0.0), ("07:00", 1.0))})
    with pytest.raises(CosimError, match="at different times of day"):
        measures.with_input("traffic.toll", {"e": (("00:00", 1.0),)})
