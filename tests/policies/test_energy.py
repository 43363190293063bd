"""Do measures on heat, power and charging do to energy what physics says?"""

import dataclasses

import numpy as np
import pytest

from cosim import CosimError
from cosim.scenarios import eixample
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
    PublicChargers,
    Retrofit,
    RooftopPv,
    VehicleToGrid,
)
from tests.policy_runs import district, kwh, run_buildings

NIGHT = {"blocks": (2, 2), "begin_hour": 17, "hours": 7, "step_s": 300, "grid_step_s": 300}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return run_buildings(district(), tmp_path_factory.mktemp("runs") / "base")


def sunless(city):
    """Return the city under a sky that neither shines nor radiates, so that only losses and gains are left."""
    stock = city.stock
    none = {name: np.zeros_like(getattr(stock, name))
            for name in ("solar_transmittance", "sun_on_exterior", "sky_depression")}  # fmt: skip
    return dataclasses.replace(city, stock=dataclasses.replace(stock, **none))


def heat_and_loss(city, out):
    """Return the heat of the second day [kWh], and what U-values and temperatures say of the losses [kWh]."""
    result, stock = run_buildings(city, out, hours=48), city.stock
    loss = stock.zones.loss_coefficient[stock.archetype] * stock.floor_area
    inside = result.series("buildings.indoor_temperature")[list(stock.ids)].iloc[-144:]
    outside = result.series("weather.temperature").iloc[-144:, 0].to_numpy()
    heat = result.series("buildings.heating_heat").iloc[-144:].to_numpy().sum() / 6000
    return heat, ((inside.to_numpy() - outside[:, None]) * loss).sum() / 6000


def test_retrofit_lowers_heat_by_what_the_u_values_say(tmp_path):
    heat, lost = heat_and_loss(sunless(district()), tmp_path / "before")
    less_heat, less_lost = heat_and_loss(sunless(Retrofit(3).change_city(district())), tmp_path / "after")
    assert less_heat < 0.7 * heat
    # What is left is what the masses store from one evening to the next: measured 1 % of the losses.
    assert heat - less_heat == pytest.approx(lost - less_lost, rel=0.03)


def test_retrofit_of_a_share_leaves_the_others_as_they_were():
    before, after = district().stock, Retrofit(2, share=0.5).change_city(district()).stock
    old = before.zones.loss_coefficient[before.archetype]
    new = after.zones.loss_coefficient[after.archetype]
    changed = new != old
    assert 0.3 < changed.mean() < 0.7
    assert (new[changed] < old[changed]).all()
    np.testing.assert_array_equal(after.window_area[~changed], before.window_area[~changed])


def test_retrofit_of_what_is_better_already_is_refused():
    with pytest.raises(CosimError, match="changes no building"):
        Retrofit(3).change_city(Retrofit(3).change_city(district()))


def test_heat_pumps_swap_gas_for_electricity_by_their_cop(base, tmp_path):
    city = district()
    pumps = run_buildings(dataclasses.replace(city, stock=city.stock.with_heat_pumps(1.0, city.seed)), tmp_path / "run")
    assert kwh(pumps, "buildings.gas_power") == 0
    heat, power = kwh(pumps, "buildings.heating_heat"), kwh(pumps, "buildings.heat_pump_power")
    assert heat == pytest.approx(kwh(base, "buildings.heating_heat"), rel=0.05)
    assert 2 < heat / power < 5


def test_policy_of_heat_pumps_sets_their_share():
    scenario = eixample.build(blocks=(2, 2), hours=1, policies=[HeatPumps(1.0)])
    assert set(scenario.model.stock.heating) == {"heat_pump"}


def test_panels_feed_their_surplus_in_at_the_bus(tmp_path):
    day = {"blocks": (2, 2), "begin_hour": 11, "hours": 2, "step_s": 300, "grid_step_s": 300, "day": "2025-06-15"}
    plain = eixample.build(**day).run(tmp_path / "plain")
    sunny = eixample.build(**day, policies=[RooftopPv(1.0)]).run(tmp_path / "sunny")
    generated = kwh(sunny, "buildings.pv_power")
    assert generated > 0
    assert float(sunny.series("buildings.electric_power").min().min()) < 0
    less = kwh(plain, "grid.grid_import") - kwh(sunny, "grid.grid_import")
    losses = kwh(sunny, "grid.losses") - kwh(plain, "grid.losses")
    assert less == pytest.approx(generated - losses, rel=1e-3)
    assert sunny.series("grid.voltage").max().max() > plain.series("grid.voltage").max().max()


def test_home_batteries_lower_what_is_fed_in(tmp_path):
    panels = RooftopPv(1.0).change_city(district())
    without = run_buildings(panels, tmp_path / "a", day="2025-06-15")
    stored = run_buildings(HomeBatteries(4).change_city(panels), tmp_path / "b", day="2025-06-15")
    fed = [float(r.series("buildings.electric_power").clip(upper=0).sum().sum()) for r in (without, stored)]
    assert fed[1] > 0.9 * fed[0]
    assert fed[1] > fed[0]  # both negative
    assert kwh(without, "buildings.pv_power") == pytest.approx(kwh(stored, "buildings.pv_power"))


def test_home_batteries_without_panels_are_refused():
    with pytest.raises(CosimError, match="put RooftopPv before it"):
        HomeBatteries().change_city(district())


def test_community_batteries_shift_import_into_their_charging_hours(tmp_path):
    batteries = CommunityBatteries(100, 50, charge_from=9, charge_to=10, discharge_from=10, discharge_to=11)
    hours = {"blocks": (2, 2), "begin_hour": 9, "hours": 2, "step_s": 300, "grid_step_s": 300}
    plain = eixample.build(**hours).run(tmp_path / "plain").total("grid.grid_import")
    shifted = eixample.build(**hours, policies=[batteries]).run(tmp_path / "shifted")
    change = shifted.total("grid.grid_import") - plain
    stations = len(district().grid.stations)
    assert change.iloc[:12].mean() == pytest.approx(50e3 * stations, rel=0.05)
    assert change.iloc[12:].mean() == pytest.approx(-50e3 * stations, rel=0.05)


def test_batteries_that_charge_and_discharge_at_once_are_refused():
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


def test_demand_response_of_nobody_is_refused():
    with pytest.raises(CosimError, match="reaches no building"):
        DemandResponse(share=0.0).change_city(district())


def test_dear_hours_of_a_tariff_are_heated_less(base, tmp_path):
    prices = [0.1] * 17 + [0.5] * 4 + [0.1] * 3
    result = run_buildings(DynamicTariff(tuple(prices)).change_city(district()), tmp_path / "run")
    change = result.total("buildings.heating_heat") - base.total("buildings.heating_heat")
    local = change.index.tz_convert("Europe/Madrid") - np.timedelta64(1, "s")
    assert change[(local.hour >= 17) & (local.hour < 21)].sum() < 0
    assert change[(local.hour >= 21)].sum() > 0


def test_tariff_of_a_day_with_other_than_24_hours_is_refused():
    with pytest.raises(CosimError, match="eur_per_kwh"):
        DynamicTariff((0.1, 0.2))


def evening(tmp_path, name, *policies):
    return eixample.build(**NIGHT, policies=[EvShare(1.0), *policies]).run(tmp_path / name)


def test_valley_charging_moves_energy_but_not_its_sum(tmp_path):
    day = {"blocks": (2, 2), "hours": 24, "step_s": 300, "grid_step_s": 300}
    plain, valley = (
        eixample.build(**day, policies=[EvShare(1.0), PublicChargers(10), Charging(how)]).run(tmp_path / how)
        for how in ("plain", "valley")
    )
    # In the evening, when households draw most; in the morning valley filling keeps what it has promised for departure.
    evening = [r.total("fleet.charging_power").tz_convert("Europe/Madrid").between_time("17:00", "23:00") for r in
               (plain, valley)]  # fmt: skip
    assert evening[1].max() < 0.6 * evening[0].max()
    assert valley.total("fleet.charging_power").max() < 0.75 * plain.total("fleet.charging_power").max()
    needed = []
    for result in (plain, valley):
        begin, end = (result.series("fleet.energy").iloc[k] / 3.6e6 for k in (0, -1))
        assert result.indicators["failed trips"].value == 0
        # What is not charged at midnight is charged in the night after: the batteries' change counts.
        needed.append(end["drawn"] - end["losses"] - (end["stored"] - begin["stored"]))
        assert needed[-1] == pytest.approx(end["driven"], rel=1e-3)
    assert needed[0] == pytest.approx(needed[1], rel=1e-3)


def test_cars_that_give_back_feed_the_grid_in_dear_hours(tmp_path):
    prices = tuple([0.1] * 19 + [0.6] * 3 + [0.1] * 2)
    plain = evening(tmp_path, "plain", Charging("plain"))
    given = evening(tmp_path, "given", DynamicTariff(prices, response_k=0), VehicleToGrid(1.0))
    assert float(plain.series("fleet.charging_power").min().min()) >= 0
    fed = given.series("fleet.charging_power")
    hour = fed.index.tz_convert("Europe/Madrid").hour
    assert float(fed[(hour >= 20) & (hour < 22)].min().min()) < 0
    assert float(fed[hour < 19].min().min()) >= 0


def test_charging_by_price_without_a_price_is_refused():
    with pytest.raises(CosimError, match="put DynamicTariff before it"):
        eixample.build(**NIGHT, policies=[EvShare(1.0), Charging("price")])


def test_charging_and_vehicle_to_grid_exclude_each_other():
    with pytest.raises(CosimError, match="decide the same"):
        eixample.build(**NIGHT, policies=[Charging("valley"), VehicleToGrid()])


def test_caps_on_charging_need_a_fleet():
    with pytest.raises(CosimError, match="put EvShare before it"):
        ChargingCaps().change_city(district())


def test_grid_caps_hold_transformers_at_their_limit(tmp_path):
    hours = {"blocks": (2, 2), "begin_hour": 7, "hours": 2, "step_s": 300, "grid_step_s": 300}
    heated = [HeatPumps(1.0)]
    free = eixample.build(**hours, policies=heated).run(tmp_path / "free")
    limit = 0.7 * float(free.series("grid.transformer_loading").max().max())
    capped = eixample.build(**hours, policies=[*heated, GridCaps(loading=limit)]).run(tmp_path / "capped")
    peak = [float(r.series("grid.transformer_loading").iloc[3:].max().max()) for r in (free, capped)]
    assert peak[1] < peak[0]
    assert kwh(capped, "buildings.heat_pump_power") < kwh(free, "buildings.heat_pump_power")


def test_measures_of_different_times_on_one_element_are_refused():
    measures = Measures().tell("traffic.toll", {"e": (("00:00", 0.0), ("07:00", 1.0))})
    with pytest.raises(CosimError, match="at other times of the day"):
        measures.tell("traffic.toll", {"e": (("00:00", 1.0),)})
