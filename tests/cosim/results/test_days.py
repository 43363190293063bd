"""Means by hour of the local day, and layers of weighted hours."""

import numpy as np
import pytest

from cosim import Clock, CosimError, Layer, Scenario
from cosim.core.environment.noise_levels import HOUR_WEIGHTS
from cosim.report.scene import make_scene
from cosim.report.server import Viewer
from cosim.results.days import by_hour, weighted_day
from cosim.results.layers import read_layers
from tests.cosim.test_levels import Street, level

STREET = {"a": [(0.0, 0.0), (9.0, 0.0)], "b": [(0.0, 9.0), (9.0, 9.0)]}


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    scenario = Scenario(Clock("2025-01-15T06:30", hours=26, zone="Europe/Madrid"), street=Street())
    scenario.layers = [
        Layer("Noise", "street.noise", "line", STREET, "dB"),
        Layer("Lden", "street.noise", "line", STREET, "dB", hours=HOUR_WEIGHTS["Lden"]),
    ]
    return scenario.run(tmp_path_factory.mktemp("days") / "run")


def test_hours_of_the_day_are_means_by_energy(result):
    found = 10 * np.log10(by_hour(result, "street.noise"))
    assert found.shape == (24, 2)
    np.testing.assert_allclose(found["a"], level(70, 60), atol=1e-4)


def test_hours_are_local_and_weighted_by_how_much_of_them_a_window_covers(tmp_path):
    class Ramp(Street):
        def advance(self, step) -> None:
            self.noise.value = [60.0 if step.start_s < 1800 else 70.0, 0.0]

    run = Scenario(Clock("2025-01-15T06:30", hours=2, zone="Europe/Madrid"), street=Ramp()).run(tmp_path / "r")
    energies = by_hour(run, "street.noise")["a"]
    first = (
        10**6 + 10**7
    ) / 2  # windows of an hour from 6:30 on: the first is half of the hour from 6 and of that from 7
    assert energies[6] == pytest.approx(first, rel=1e-5)
    assert energies[7] == pytest.approx((first + 10**7) / 2, rel=1e-5)
    assert energies[8] == pytest.approx(10**7, rel=1e-5)
    assert np.isnan(energies[9])
    assert np.isnan(weighted_day(run, "street.noise", HOUR_WEIGHTS["Lday"])["a"])


def test_lden_of_a_constant_level_is_higher_by_its_penalties(result):
    found = weighted_day(result, "street.noise", HOUR_WEIGHTS["Lden"])
    assert found["b"] == pytest.approx(65 + 6.395, abs=1e-3)


def test_layer_of_hours_has_one_frame_in_the_report_and_from_the_server(result):
    scene = make_scene([[result]], ["run"])
    every, values = scene.means(scene.views[1], 0, 900.0)
    assert (every, values.shape) == (26 * 3600, (1, 2))
    assert values[0, 1] == pytest.approx(71.395, abs=1e-3)
    viewer = Viewer(result)
    for path in ("/frame/0/1/0/0", "/mean/0/1/0/7/19", "/peak/0/1/0"):
        np.testing.assert_allclose(np.frombuffer(viewer.answer(path)[1], "<f4"), values[0], rtol=1e-6)
    assert b'"values": [71.395]' in viewer.answer("/course/0/1/0/1")[1]
    assert b'"mean": [' in viewer.answer("/total/0/1/0")[1]


def test_server_takes_the_mean_of_chosen_hours(result):
    night = np.frombuffer(Viewer(result).answer("/mean/0/0/0/23/7")[1], "<f4")
    np.testing.assert_allclose(night, [level(70, 60), 65.0], atol=1e-3)


def test_layer_keeps_its_hours_and_refuses_wrong_ones(result):
    assert read_layers(result.folder)[1].hours == HOUR_WEIGHTS["Lden"]
    with pytest.raises(CosimError, match="layer 'x' has 2 weights of hours: give 24, none negative and not all 0"):
        Layer("x", "a.b", "line", STREET, "dB", hours=(1.0, 2.0))
