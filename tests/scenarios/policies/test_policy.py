"""Tests of policies: typed, recorded, named consistently, and refused where they make no sense."""

import datetime as dt
import importlib.util
import json
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cosim import CosimError, ScenarioError
from cosim.cli.app import app
from cosim.registry.builder import load_builder
from cosim.registry.parameters import Parameters, load_policy, with_defaults
from cosim.scenarios import bologna, eixample, policies
from cosim.scenarios.policies import (
    LIBRARY,
    DemandResponse,
    Densification,
    DynamicTariff,
    EvShare,
    GreenRoofs,
    HeatPumps,
    ModeShift,
    Policy,
    Retrofit,
    RooftopPv,
    Shading,
    SpeedLimit,
    Superblocks,
    VehicleToGrid,
)
from tests.support.paths import ROOT
from tests.support.policy_runs import district

ALL = [policy for group in LIBRARY.values() for policy in group]
BAD = {
    "Superblocks": {"cells": 0},
    "SpeedLimit": {"limit_kmh": -30},
    "LowEmissionZone": {"replaced": 1.5},
    "CordonPrice": {"toll_eur": 0},
    "DistancePrice": {"eur_per_km": -1},
    "Parking": {"elasticity": 0.3},
    "ModeShift": {"chance": float("nan")},
    "FuelPrice": {"increase": -1.0},
    "TransitService": {"headway": 0.0},
    "BusLanes": {"saved": 1.0},
    "CycleLanes": {"comfort": 0.0},
    "SignalRetiming": {"method": "guess"},
    "EvShare": {"share": 2},
    "Trees": {"crowns": "bush"},
    "BackgroundAir": {"source": 3},
    "NightSpeedLimit": {"from_hour": 25},
    "HealthEffects": {"adults": 2},
    "QuietSurfaces": {"least_kmh": 0},
    "NightTruckBan": {"to_hour": -1},
    "UnitCosts": {"position": 2},
    "CarFleet": {"nothing": 1},
    "BusElectrification": {"opportunity": "perhaps"},
    "HeatPumps": {"share": -0.1},
    "Retrofit": {"level": 4},
    "RooftopPv": {"share": "many"},
    "HomeBatteries": {"hours": 0},
    "CommunityBatteries": {"capacity_kwh": -1},
    "DynamicTariff": {"eur_per_kwh": (0.1,)},
    "DemandResponse": {"shift_k": 20},
    "Charging": {"strategy": "never"},
    "VehicleToGrid": {"power_kw": 0},
    "ChargingCaps": {"share": 1},
    "GridCaps": {"loading": 0},
    "Densification": {"storeys": 0},
    "Shading": {"transmittance": 1.1},
    "GreenRoofs": {"sun_kept_off": -1},
    "PublicChargers": {"per_block": -1},
    "GridReinforcement": {"limit": 1.0},
    "GridCarbon": {"kg_per_kwh": float("inf")},
    "TailpipeOnly": {"nothing": 1},
}


@pytest.mark.parametrize("policy", ALL, ids=lambda policy: policy.__name__)
def test_bad_parameter_is_refused_by_name(policy):
    [(name, _)] = BAD[policy.__name__].items()
    with pytest.raises(CosimError, match=f"^{policy.__name__}: .*"):
        policy(**BAD[policy.__name__])
    assert name in policy.model_fields or policy.__name__ in (
        "ChargingCaps",
        "TailpipeOnly",
        "GridReinforcement",
        "CarFleet",
    )


PHYSICS = {
    "Superblocks": "test_mobility.test_superblock_keeps_local_traffic_and_moves_the_rest_to_the_border",
    "SpeedLimit": "test_mobility.test_lower_limit_keeps_speeds_below_it",
    "LowEmissionZone": "test_mobility.test_low_emission_zone_removes_the_banned_class",
    "CordonPrice": "test_mobility.test_cordon_price_keeps_through_traffic_from_crossing_the_cordon",
    "DistancePrice": "test_bologna.test_price_by_distance_shortens_routes",
    "Parking": "test_mobility.test_parking_spaces_limit_trips_when_fewer_are_left_than_cars_are_parked",
    "ModeShift": "test_mobility.test_mode_shift_removes_its_part_of_the_trips",
    "FuelPrice": "test_modes.test_dearer_fuel_takes_trips_from_the_car",
    "TransitService": "test_modes.test_more_frequent_and_cheaper_service_draws_passengers",
    "BusLanes": "test_modes.test_bus_lanes_draw_passengers_by_the_time_they_save",
    "CycleLanes": "test_modes.test_cycle_lanes_draw_cyclists_within_what_cities_measured",
    "SignalRetiming": "test_mobility.test_webster_signals_cause_less_time_loss_than_fixed_ones",
    "Trees": "test_environment.test_trees_raise_what_traffic_adds_along_their_streets",
    "BackgroundAir": "test_environment.test_background_air_is_what_comes_in",
    "HealthEffects": "test_environment.test_health_effects_are_counted_for_those_whom_the_functions_cover",
    "NightSpeedLimit": "test_environment.test_limit_at_night_lowers_speeds_only_then",
    "QuietSurfaces": "test_environment.test_quiet_surfaces_lower_the_noise_of_streets_as_published",
    "NightTruckBan": "test_environment.test_banned_trucks_do_not_drive_at_night",
    "UnitCosts": "test_costs.test_policy_counts_what_another_policy_installs",
    "EvShare": "test_energy.test_electric_share_burns_less_fuel_and_draws_what_it_consumes",
    "BusElectrification": "test_bologna.test_electric_buses_emit_nothing_and_charge_from_the_grid",
    "CarFleet": "test_bologna.test_cars_of_bologna_get_the_euro_standards_of_the_italian_fleet",
    "HeatPumps": "test_energy.test_heat_pumps_swap_gas_for_electricity_by_their_cop",
    "Retrofit": "test_energy.test_retrofit_lowers_heat_as_the_u_values_imply",
    "RooftopPv": "test_energy.test_panels_feed_their_surplus_into_their_bus",
    "HomeBatteries": "test_energy.test_home_batteries_lower_feed_in",
    "CommunityBatteries": "test_energy.test_community_batteries_shift_import_into_their_charging_hours",
    "DynamicTariff": "test_energy.test_buildings_are_heated_less_in_expensive_hours",
    "DemandResponse": "test_energy.test_demand_response_lowers_the_peak_and_pays_back",
    "Charging": "test_energy.test_valley_charging_shifts_energy_but_keeps_its_sum",
    "VehicleToGrid": "test_energy.test_cars_discharge_to_the_grid_in_expensive_hours",
    "ChargingCaps": "test_energy.test_capped_charging_relieves_weak_transformers",
    "GridCaps": "test_energy.test_grid_caps_hold_transformers_at_their_limit",
    "Densification": "test_planning.test_storeys_add_dwellings_and_their_electricity",
    "Shading": "test_planning.test_shading_lowers_cooling",
    "GreenRoofs": "test_planning.test_green_roofs_lower_solar_heat_on_roofs_only",
    "PublicChargers": "test_planning.test_stations_are_sited_one_by_one_where_demand_is_least_served",
    "GridReinforcement": "test_planning.test_reinforcement_brings_every_element_within_its_limit",
    "GridCarbon": "test_carbon.test_intensity_series_applies_hour_by_hour_whatever_its_offset",
    "TailpipeOnly": "test_carbon.test_supply_of_fuels_can_be_left_out",
}


def test_every_policy_has_a_test_of_its_effect_and_one_of_its_refusal():
    assert PHYSICS.keys() == BAD.keys() == {policy.__name__ for policy in ALL}
    for name, test in PHYSICS.items():
        module, _, function = test.partition(".")
        source = (Path(__file__).parent / f"{module}.py").read_text(encoding="utf-8")
        assert f"def {function}(" in source, f"{name} has lost its test {test}"
        assert name in source


@pytest.mark.parametrize("policy", ALL, ids=lambda policy: policy.__name__)
def test_text_of_a_policy_is_parsed_to_the_same_policy(policy, tmp_path):
    made = policy(run=tmp_path) if policy.__name__ == "GridReinforcement" else policy()
    assert load_policy(str(made)) == made


def test_library_and_entry_points_agree():
    registered = {point.name: point.load() for point in entry_points(group="cosim.policies")}
    assert registered == {policy.__name__: policy for policy in ALL}
    assert {policy.__name__ for policy in ALL} <= set(policies.__all__)


def test_page_of_policies_is_up_to_date():
    path = ROOT / "docs" / "policies.py"
    spec = importlib.util.spec_from_file_location("policies_page", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run python docs/policies.py"


def test_main_parameter_can_be_given_by_position():
    assert EvShare(0.4) == EvShare(share=0.4)


def test_parameter_given_twice_is_refused():
    with pytest.raises(CosimError, match="by position and by name"):
        EvShare(0.4, share=0.3)


def test_too_many_parameters_are_refused():
    with pytest.raises(CosimError, match="takes 1 parameters"):
        EvShare(0.4, 0.5)  # type: ignore[call-arg]


def test_policy_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        EvShare(0.4).share = 0.5


def test_all_invalid_parameters_are_reported_at_once():
    with pytest.raises(CosimError, match=r"level is 9.*; share is 3"):
        Retrofit(9, 3)


def test_two_of_a_kind_are_refused():
    with pytest.raises(CosimError, match="HeatPumps is given twice"):
        eixample.build(blocks=(2, 2), policies=[HeatPumps(0.1), HeatPumps(0.2)])


def test_object_that_is_not_a_policy_is_refused():
    with pytest.raises(CosimError, match="'EvShare' is no policy"):
        eixample.build(blocks=(2, 2), policies=["EvShare"])


def test_policy_on_a_parameter_that_the_scenario_lacks_is_refused():
    with pytest.raises(CosimError, match="changes sited_chargers_per_block, which bologna does not have"):
        bologna.build(sumocfg="none.sumocfg", policies=[policies.PublicChargers(2)])


def test_two_policies_that_change_one_parameter_are_refused():
    class Lights(Policy):
        """Changes the same as `EvShare`."""

        def change_parameters(self):
            return {"ev_share": 0.1}

    with pytest.raises(CosimError, match="which another policy changes too"):
        eixample.build(blocks=(2, 2), policies=[EvShare(0.4), Lights()])


def test_parameter_given_together_with_the_policy_that_sets_it_is_refused():
    with pytest.raises(CosimError, match=r"sets ev_share to 0\.4, but ev_share=0\.2 is given too: leave one out"):
        eixample.build(blocks=(2, 2), ev_share=0.2, policies=[EvShare(0.4)])


def test_own_policy_changes_the_coupled_scenario():
    class Quiet(Policy):
        """Records nothing."""

        def change_scenario(self, scenario, city):
            scenario.record()

    scenario = eixample.build(blocks=(2, 2), hours=1, through_traffic=0.05, policies=[Quiet()])
    assert scenario.rule("grid.voltage") is None


def test_any_object_with_both_hooks_is_a_policy():
    class Twice:
        def change_city(self, city):
            return city

        def change_scenario(self, scenario, city):
            scenario.name = "twice"

    assert eixample.build(blocks=(2, 2), hours=1, through_traffic=0.05, policies=[Twice()]).name == "twice"


def test_policies_leave_everything_else_unchanged():
    base = eixample.build(blocks=(2, 2), hours=1, through_traffic=0.05).model
    plan = eixample.build(blocks=(2, 2), hours=1, through_traffic=0.05, policies=[RooftopPv(0.5), SpeedLimit(30)]).model
    assert plan.stock.heating == base.stock.heating
    assert (plan.stock.design_load == base.stock.design_load).all()
    assert plan.sumocfg.with_name("cars.rou.xml").read_text() == base.sumocfg.with_name("cars.rou.xml").read_text()


def test_order_of_independent_policies_does_not_matter():
    one, other = (
        eixample.build(blocks=(2, 2), hours=1, through_traffic=0.05, policies=order).model
        for order in ([RooftopPv(0.5), ModeShift(0.1)], [ModeShift(0.1), RooftopPv(0.5)])
    )
    assert (one.stock.pv_capacity == other.stock.pv_capacity).all()
    assert one.measures.inputs == other.measures.inputs


def test_record_of_a_run_names_its_policies(tmp_path):
    scenario = eixample.build(blocks=(2, 2), hours=0.1, through_traffic=0.05, policies=[ModeShift(0.1)])
    assert scenario.run(tmp_path / "run").provenance["parameters"]["policies"] == ["ModeShift:chance=0.1"]


def test_command_line_runs_policies_and_records_how_to_build_them_again(tmp_path):
    command = [
        "run",
        "eixample",
        "--set",
        "blocks=2,2",
        "--set",
        "hours=0.1",
        "--set",
        "through_traffic=0.05",
        "--policy",
        "HeatPumps:share=1",
        "--policy",
        "SpeedLimit:limit_kmh=30,except_above_kmh=60",
        "--no-report",
        "--out",
        str(tmp_path / "run"),
        "--debug",
    ]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    builder = about["builder"]
    assert builder["policies"] == ["HeatPumps:share=1", "SpeedLimit:limit_kmh=30,except_above_kmh=60"]
    assert about["parameters"]["policies"][0] == "HeatPumps:share=1.0,floor_heating=0.0"
    again = load_builder(builder["target"])(builder["settings"], builder["policies"], seed=about["seed"])
    assert set(again.model.stock.heating) == {"heat_pump"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Hedges", "unknown policy 'Hedges'"),
        ("EvShare:share=3", "EvShare:share=3 is out of range: it must be ≥ 0 and ≤ 1"),
        ("EvShare:part=0.3", "EvShare has no parameter 'part'; available: share"),
        ("EvShare:share=0.3,share=0.4", "duplicate setting --policy EvShare:share: pass it once"),
        ("LowEmissionZone:polygon=[[0,0],[1,1]]", "an outline of 2 corners holds no area"),
        ("EvShare:some", "--policy EvShare:share=some is not float ≥ 0 and ≤ 1"),
        ("GridReinforcement", "GridReinforcement needs run: pass --policy GridReinforcement:run=…"),
    ],
)
def test_wrong_policy_on_the_command_line_gives_one_line(text, reason):
    done = CliRunner().invoke(app, ["run", "eixample", "--policy", text])
    assert done.exit_code == 1
    assert "Traceback" not in done.output
    assert reason in " ".join(done.output.split()) or reason in done.stderr


def test_list_shows_the_policies():
    done = CliRunner().invoke(app, ["list"])
    assert done.exit_code == 0
    assert all(policy.__name__ in done.output for policy in (Superblocks, EvShare))


def test_scenario_without_policies_refuses_them(tmp_path):
    path = tmp_path / "plain.py"
    path.write_text("def build(*, seed=0):\n    return None\n")
    with pytest.raises(CosimError, match="has no parameter policies"):
        load_builder(str(path))([], ["EvShare"])


def test_settings_of_policies_are_checked_together():
    with pytest.raises(ScenarioError, match=r"(?s)cells=x.*no parameter 'y'"):
        load_policy("Superblocks:cells=x,y=2")


def test_a_share_is_called_exact_and_a_chance_a_chance():
    shares = [policy for policy in ALL if "share" in policy.model_fields]
    assert len(shares) == 9
    for policy, name, words in [
        *((policy, "share", "exact to one") for policy in shares),
        (ModeShift, "chance", "Chance"),
    ]:
        assert words in next(row[3] for row in Parameters(policy.__name__, policy).rows() if row[0] == name), policy


CHOSEN = {  # the elements that a policy with a share has changed, against the city without it
    Retrofit: lambda city, base: city.stock.design_load < base.stock.design_load,
    RooftopPv: lambda city, base: city.stock.pv_capacity > 0,
    DemandResponse: lambda city, base: [
        site in city.measures.inputs["buildings.heating_shift"] for site in city.stock.ids
    ],
    Densification: lambda city, base: city.stock.storeys > base.stock.storeys,
    Shading: lambda city, base: city.stock.solar_transmittance < base.stock.solar_transmittance,
    GreenRoofs: lambda city, base: city.stock.sun_on_exterior[:, 0] < base.stock.sun_on_exterior[:, 0],
    VehicleToGrid: lambda city, base: city.fleet.vehicles["discharge_w"] > 0,
    HeatPumps: lambda city, base: np.array(city.stock.heating) == "heat_pump",
}


@pytest.mark.parametrize("policy", CHOSEN)
def test_a_share_is_a_quota_and_a_larger_one_keeps_the_elements_of_a_smaller_one(policy):
    base, found = district(), []
    tariff = DynamicTariff().change_city(base)
    for share in (0.3, 0.5):
        change = policy(level=3, share=share) if policy is Retrofit else policy(share=share)
        stock = change.change_stock(base.stock, base.sites, base.seed)
        pumps = change.change_parameters().get("heat_pump_share", 0.0)
        city = change.change_city(replace(tariff, stock=stock.with_heat_pumps(pumps, base.seed)))
        found.append(np.array(CHOSEN[policy](city, base)))
        assert found[-1].sum() == int(share * len(found[-1]) + 0.5)
    assert found[1][found[0]].all()


@pytest.mark.parametrize("policies", [(), (HeatPumps(0.5),)])
def test_parameters_of_a_run_built_in_python_are_recorded_with_and_without_policies(policies, tmp_path):
    scenario = eixample.build(seed=3, policies=policies, blocks=(2, 2), begin_hour=11, hours=0.1, through_traffic=0.05)
    about = scenario.run(tmp_path / "run").provenance
    given = {"seed": 3, "blocks": [2, 2], "begin_hour": 11, "hours": 0.1}
    by_default = {"day": "2025-01-15", "ev_share": 0.2, "charging": "plain", "weather": "barcelona"}
    assert about["parameters"].items() >= (given | by_default).items()
    assert about["parameters"].get("policies", []) == [str(policy) for policy in policies]


def test_a_recorded_parameter_never_depends_on_a_memory_address():
    class Level:
        pass

    def build(*, level=Level(), policies=()):  # noqa: B008
        pass

    recorded = with_defaults(build, {"count": np.int64(3), "start": dt.date(2025, 1, 15)})
    assert recorded == {
        "level": "test_a_recorded_parameter_never_depends_on_a_memory_address.<locals>.Level",
        "count": 3,
        "start": "2025-01-15",
    }
