"""Sound power of road traffic against the console of the EC, tables of both editions and RLS-19."""

import numpy as np
import pytest

from cosim import CosimError
from cosim.core.environment.noise_emission import CATEGORIES, ELECTRIC_DB, sound_power, surfaces
from cosim.core.environment.noise_levels import (
    BANDS_HZ,
    a_weighted,
    decibels,
    energy,
    mean_level,
    noise_indicators,
)
from cosim.core.environment.rls19 import multiple_reflection, street_level, vehicle_level

CONSOLE = {
    # NoiseModelling, RoadCnossosTest, after the console program of the EC; 2015 edition, dB per metre in one band
    "T02": ((1000,) * 5, (70,) * 5, 8000, 15, "NL01", 10, "lights", 200, 77.6711),
    "T03": ((582, 500, 400, 1000, 1100), (40, 43, 45, 35, 32), 1000, 5, "NL02", -5, "lights", 200, 79.6814),
    "T04": ((58, 50, 40, 100, 100), (40, 43, 45, 35, 32), 8000, -5, "NL03", -7, "lights", 200, 58.8222),
    "T05": ((58, 50, 40, 100, 100), (40, 43, 45, 35, 32), 63, -5, "NL03", -7, "lights", 50, 82.785),
    "T06": ((1000,) * 5, (70,) * 5, 4000, 15, "NL01", 10, "roundabout", 30, 85.4991),
}
BY_CATEGORY = {
    # 1000 vehicles/h on the flat reference surface at 20 °C: eight bands, dB(A), from the formulas of the Directive
    (2021, "1", 30): (83.88, 73.77, 71.75, 71.40, 74.01, 71.46, 65.79, 58.09, 77.69),
    (2021, "1", 50): (81.33, 74.19, 72.39, 73.69, 78.58, 75.34, 67.66, 59.15, 81.45),
    (2021, "1", 70): (79.59, 75.72, 74.01, 75.64, 81.77, 78.80, 70.32, 61.23, 84.58),
    (2021, "2", 50): (89.08, 82.21, 82.36, 83.16, 84.34, 79.90, 73.12, 67.25, 87.48),
    (2021, "3", 50): (91.84, 86.62, 85.76, 87.35, 86.85, 81.54, 76.19, 69.98, 90.25),
    (2021, "4a", 50): (74.81, 73.90, 73.71, 75.00, 75.72, 78.01, 73.01, 68.02, 82.30),
    (2021, "4b", 50): (82.00, 83.22, 76.31, 74.10, 74.92, 74.11, 71.94, 68.18, 80.55),
    (2015, "1", 30): (80.48, 70.46, 69.02, 69.28, 71.60, 69.64, 64.47, 57.03, 75.59),
    (2015, "1", 50): (77.93, 70.86, 69.60, 71.28, 75.92, 72.97, 65.92, 57.93, 78.96),
    (2015, "1", 70): (76.19, 72.35, 71.15, 73.12, 79.06, 76.24, 68.28, 59.85, 81.97),
    (2015, "3", 50): (87.44, 82.97, 83.74, 84.49, 83.61, 78.54, 73.47, 67.62, 87.24),
}


@pytest.mark.parametrize("case", CONSOLE)
def test_console_of_the_ec_is_reproduced_to_four_digits(case):
    flows, speeds, band, temperature, surface, gradient, junction, distance, expected = CONSOLE[case]
    found = sound_power(
        {kind: [flow] for kind, flow in zip(CATEGORIES, flows)},
        {kind: [speed] for kind, speed in zip(CATEGORIES, speeds)},
        temperature=temperature,
        surface=surface,
        gradient=gradient,
        junction=junction,
        junction_distance=distance,
        studded_share=0.5,
        studded_months=4,
        edition=2015,
    )
    assert decibels(found)[0, list(BANDS_HZ).index(band)] == pytest.approx(expected, abs=1e-4)


def test_spectrum_of_the_console_with_studded_tyres_downhill():
    found = sound_power(
        {"1": [1000]},
        {"1": [20]},
        temperature=-5,
        surface="NL01",
        gradient=-15,
        studded_share=1,
        studded_months=0.5,
        edition=2015,
    )
    expected = [88.421, 77.1136, 75.5712, 75.6919, 73.6689, 71.3471, 68.1195, 63.4796]
    np.testing.assert_allclose(decibels(found)[0], expected, atol=1e-4)


def test_two_categories_on_a_french_surface():
    found = sound_power({"1": 3747, "3": 479}, {"1": 50, "3": 50}, surface="FR_R2", edition=2015)
    assert decibels(a_weighted(found)) == pytest.approx(89.627, abs=1e-3)


@pytest.mark.parametrize("case", BY_CATEGORY)
def test_bands_of_each_category_and_edition(case):
    edition, kind, speed = case
    found = sound_power({kind: [1000]}, {kind: [speed]}, edition=edition)[0]
    np.testing.assert_array_equal([*decibels(found).round(2), decibels(a_weighted(found)).round(2)], BY_CATEGORY[case])


@pytest.mark.parametrize(
    ("speed", "gain", "levels"), [(20, 3.8, (72.41, 72.25)), (30, 1.9, (75.79, 75.75)), (50, 0.7, (80.74, 80.73))]
)
def test_electric_cars_gain_more_at_low_speed(speed, gain, levels):
    engine = decibels(a_weighted(sound_power({"1": 1000}, {"1": speed})))
    electric = decibels(a_weighted(sound_power({}, {"1": speed}, electric={"1": 1000})))
    assert engine - electric == pytest.approx(gain, abs=0.05)
    # 5 dB at 63 Hz instead of 0 make no odds
    louder = sound_power({}, {"1": speed}, electric={"1": 1000}, electric_reduction=[5.0, *ELECTRIC_DB[1:]])
    assert (round(float(electric), 2), round(float(decibels(a_weighted(louder))), 2)) == levels


def test_flows_add_by_energy_and_hours_without_traffic_have_none():
    hours = sound_power({"1": [[0.0, 500.0], [1000.0, 1000.0]]}, {"1": 50.0})
    both = sound_power({"1": 600.0}, {"1": 50.0}, electric={"1": 400.0})
    assert hours.shape == (2, 2, 8)
    assert (hours[0, 0] == 0).all()
    np.testing.assert_allclose(hours[1, 0], 2 * hours[0, 1])
    parts = sound_power({"1": 600.0}, {"1": 50.0}) + sound_power({}, {"1": 50.0}, electric={"1": 400.0})
    np.testing.assert_allclose(both, parts)


def test_each_street_has_its_surface_slope_and_speeds_within_validity():
    flow, names = {"1": [1000.0] * 3}, ["reference", "NL10", "NL13"]
    levels = decibels(a_weighted(sound_power(flow, {"1": [40.0] * 3}, surface=names)))
    alone = [float(decibels(a_weighted(sound_power({"1": 1000.0}, {"1": 40.0}, surface=name)))) for name in names]
    np.testing.assert_allclose(levels, alone)
    assert levels[1] > levels[0] > levels[2]
    slow, slowest, uphill = (
        sound_power({"2": [100.0]}, {"2": [v]}, gradient=g) for v, g in ((5.0, 0.0), (20.0, 0.0), (5.0, [6.0]))
    )
    np.testing.assert_allclose(slow, slowest)
    assert (uphill > slow).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"surface": "cobbles"}, "unknown road surface 'cobbles': write one of reference, NL01"),
        ({"surface": "FR_R2"}, "unknown road surface 'FR_R2'"),
        ({"surface": ["NL01"]}, "1 surfaces for flows of shape (2,)"),
        ({"flow": {"bus": [1.0, 1.0]}}, "category of vehicles is 'bus'"),
        ({"flow": {"1": [1.0, -2.0]}}, "flow of category 1 is -2.0: it must be finite and not negative"),
        ({"speed": {"1": [np.nan, 50.0]}}, "speed of category 1 is nan"),
        ({"speed": {"2": 50.0}}, "vehicles of category 1 have no speed"),
        ({"junction": "square"}, "junction is 'square': write one of none, lights, roundabout"),
        ({"edition": 2018}, "edition of CNOSSOS-EU is 2018"),
        ({"flow": {}}, "there are no flows"),
    ],
)
def test_bad_input_gets_one_clear_error(change, words):
    given = {"flow": {"1": [100.0, 100.0]}, "speed": {"1": [50.0, 50.0]}} | change
    with pytest.raises(CosimError) as error:
        sound_power(given.pop("flow"), given.pop("speed"), **given)
    assert words in str(error.value)


def test_surface_without_coefficients_for_a_category_is_refused():
    with pytest.raises(CosimError, match="FR_R2 has no coefficients for vehicles of category 2"):
        sound_power({"2": 10.0}, {"2": 50.0}, surface="FR_R2", edition=2015)
    assert "FR_R2" in surfaces(2015)
    assert "NL14" in surfaces()


def test_rls19_units_of_matsim():
    assert vehicle_level("car", 40.0) == pytest.approx(97.70334139531323, abs=1e-12)
    assert street_level({"car": 1800.0}, {"car": 40.0}) == pytest.approx(84.23546653306667, abs=1e-12)
    assert round(float(street_level({"car": 1000.0}, {"car": 50.0})), 2) == 83.44
    with pytest.raises(CosimError, match="kind of vehicle is 'bus'"):
        vehicle_level("bus", 40.0)


def test_cnossos_lies_two_decibels_below_rls19():
    cnossos = decibels(a_weighted(sound_power({"1": 1000.0}, {"1": 50.0})))
    assert street_level({"car": 1000.0}, {"car": 50.0}) - cnossos == pytest.approx(2.0, abs=0.05)


def test_walls_reflect_more_in_narrow_streets():
    np.testing.assert_allclose(multiple_reflection([20.0, 8.0, 5.0, 0.0], [10.0, 10.0, 20.0, 20.0]), [1.6, 1.6, 0.5, 0])
    with pytest.raises(CosimError, match=r"width of a street is 0\.0 m"):
        multiple_reflection(10.0, 0.0)
    with pytest.raises(CosimError, match="height of a street's walls is negative or missing"):
        multiple_reflection(np.nan, 10.0)


def test_constant_level_gives_the_penalties_of_the_directive():
    found = noise_indicators(energy(np.full((24, 2), 60.0)))
    np.testing.assert_allclose([found.day, found.evening, found.night], 60.0)
    np.testing.assert_allclose(found.den - 60.0, 10 * np.log10((12 + 4 * 10**0.5 + 8 * 10) / 24))
    assert round(float(found.den[0] - 60), 3) == 6.395


def test_periods_are_those_of_the_directive():
    hours = np.zeros((24, 1))
    hours[[23, 0, 6]] = 8e6
    hours[[19, 22]] = 4e5
    hours[[7, 18]] = 12e4
    found = noise_indicators(hours)
    np.testing.assert_allclose(energy([found.day[0], found.evening[0], found.night[0]]), [2e4, 2e5, 3e6])
    with pytest.raises(CosimError, match=r"expect shape \(24, n\), got \(23, 1\)"):
        noise_indicators(hours[:23])
    with pytest.raises(CosimError, match=r"an energy of sound is -1\.0"):
        noise_indicators(np.full((24, 1), -1.0))


def test_levels_are_averaged_by_energy():
    assert mean_level([70.0, -np.inf]) == pytest.approx(66.99, abs=0.005)
