"""Tests of a coupled morning of the district: conservation and consistency across sectors."""

import numpy as np
import pandas as pd
import pytest

from cosim import Clock, CosimError, Result
from cosim.core.quantities import J_PER_KWH
from cosim.scenarios import eixample
from cosim.scenarios.carbon.intensity import typical_intensity
from cosim.scenarios.intervals import energy, interval_starts
from cosim.scenarios.policies import Policy

SMALL = {"blocks": (2, 2), "hours": 2, "begin_hour": 7, "ev_share": 0.5, "grid_step_s": 300, "through_traffic": 0.2}


@pytest.fixture(scope="module")
def morning(tmp_path_factory):
    return eixample.build(**SMALL).run(tmp_path_factory.mktemp("eixample") / "run", double=True)


def test_every_sector_is_active(morning):
    found = morning.indicators
    assert found["trips completed"].value > 100
    assert 5 < found["mean speed"].value < 50
    assert found["tailpipe CO2"].value > 0
    assert found["charging energy"].value > 0
    assert found["heat delivered"].value > 0
    assert found["electricity of premises"].value > 0
    assert found["– heat pumps"].value > 0
    assert found["grid losses"].value > 0
    assert 0.9 < found["lowest voltage"].value <= found["highest voltage"].value < 1.1


def test_slack_import_is_loads_plus_losses_in_every_step(morning):
    imported, losses = morning.total("grid.grid_import"), morning.total("grid.losses")
    loads = sum(
        morning.total(f"{name}_power") for name in ("buildings.electric", "premises.electric", "fleet.charging")
    )
    means = loads.resample("5min", closed="right", label="right").mean()
    assert len(imported) == 24
    assert np.abs(imported - losses - means).max() <= 1e-6 * means.max()


def test_ledger_closes(morning):
    assert len(morning.ledger) == 10
    assert (morning.ledger["residual"] < 1e-9).all()


def test_electricity_uses_add_up_to_that_of_the_buildings(morning):
    parts = sum(morning.total(f"buildings.{use}_power") for use in ("appliance", "heat_pump", "cooling", "hot_water"))
    np.testing.assert_allclose(parts, morning.total("buildings.electric_power"), rtol=1e-9)


def test_total_co2e_is_the_sum_of_its_parts(morning):
    found = {name: i.value for name, i in morning.indicators.items()}
    imported = energy(morning, "grid.grid_import")
    middle = imported.index - (imported.index - interval_starts(morning, imported.index)) / 2
    electricity = float((imported / J_PER_KWH * typical_intensity("ES", middle)).sum())
    gas = found["gas"] + found["fuel of premises"]
    expected = found["tailpipe CO2"] + (0.202 + 0.034) * gas + electricity
    expected += found["CO2e: traffic, fuel supply"]
    assert found["total CO2e"] == pytest.approx(expected, rel=1e-6)  # the grid's balance is solved, not summed


def test_layers_of_the_report_name_recorded_ports_and_their_labels(morning):
    from cosim.report import write_report

    scenario = eixample.build(**SMALL)
    for layer in scenario.layers:
        labels = set(morning.series(layer.port).columns)
        assert labels & layer.geometry.keys(), layer.port
        assert not labels - layer.geometry.keys(), layer.port
    assert write_report(morning).stat().st_size > 50_000


@pytest.mark.slow
def test_same_seed_gives_the_same_bytes_and_another_seed_others(morning, tmp_path, monkeypatch):
    monkeypatch.setenv("COSIM_BUILT", "off")
    again = eixample.build(**SMALL).run(tmp_path / "again", double=True)
    parts = sorted(path.relative_to(again.folder) for path in again.folder.rglob("part-*.parquet"))
    assert parts
    for part in parts:
        assert (again.folder / part).read_bytes() == (morning.folder / part).read_bytes(), part
    other = eixample.build(**SMALL, seed=1).run(tmp_path / "other")
    assert other.indicators["tailpipe CO2"].value != morning.indicators["tailpipe CO2"].value


def test_more_electric_cars_leave_households_exactly_unchanged(morning, tmp_path):
    fewer = eixample.build(**SMALL | {"ev_share": 0.1}).run(tmp_path / "run", double=True)
    pd.testing.assert_frame_equal(
        fewer.series("buildings.appliance_power"), morning.series("buildings.appliance_power"), check_exact=True
    )
    # Who comes by an electric car warms the building, and through its party walls the neighbours a little.
    came = [run.series("fleet.visitors") for run in (fewer, morning)]
    houses = morning.series("buildings.indoor_temperature").columns
    alike = [house for house in houses if (came[0][house] == came[1][house]).all()]
    assert 0.3 * len(houses) < len(alike) < len(houses)
    for port, most in (("buildings.heating_heat", 2e-4), ("buildings.indoor_temperature", 1e-4)):
        before, after = (run.series(port)[alike] for run in (fewer, morning))
        assert (after - before).abs().max().max() < most * before.max().max()
    pd.testing.assert_frame_equal(
        fewer.series("buildings.persons")[alike], morning.series("buildings.persons")[alike], check_exact=True
    )


def test_grid_and_arrivals_lead_back_into_the_other_sectors():
    loops = {(f"{c.source}.{c.output}", f"{c.target}.{c.input}") for c in eixample.build(**SMALL).connections}
    assert {
        ("grid.transformer_headroom", "fleet.transformer_headroom"),
        ("grid.voltage", "fleet.voltage"),
        ("fleet.visitors", "buildings.occupancy"),
        ("fleet.may_depart", "traffic.may_depart"),
        ("traffic.trip_state", "fleet.trip_state"),
    } <= loops


def test_inputs_and_versions_are_recorded(morning):
    about = Result.open(morning.folder).provenance
    assert {"sumo", "pandapower", "mosaik", "cosim"} <= about["versions"].keys()
    assert any(name.endswith("cars.rou.xml") for name in about["inputs"])
    assert about["placements"]["traffic"] == "process"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"blocks": (1, 4)}, "at least 2 × 2"),
        ({"day": "15.1.2025"}, "write it as '2025-01-15'"),
        ({"weather": "atlantis"}, "atlantis"),
        ({"refurbishment": 4}, "level"),
        ({"heat_pump_share": 1.5}, "from 0 to 1"),
        ({"policies": ["superblocks"]}, "is no policy"),
        ({"grid_step_s": 90}, "whole multiple of the exchange step"),
    ],
)
def test_invalid_parameters_are_refused_with_the_rule(settings, words):
    with pytest.raises(CosimError, match=words):
        eixample.build(**{"blocks": (2, 2), "hours": 1} | settings).check()


def test_policies_change_the_city_and_the_scenario(tmp_path):
    class Night(Policy):
        def change_scenario(self, scenario, city):
            scenario.clock = Clock("2025-07-01", hours=1)

    assert eixample.build(blocks=(2, 2), policies=[Night()]).clock.n_steps == 60
