"""The Dutch screening method and the wear of tyres, brakes and road against published and tabulated values."""

import numpy as np
import pytest

from cosim.core import CosimError
from cosim.core.environment.srm1 import TYPES, dilution, increments, no2_increments, street_types
from cosim.core.environment.wear import SIZES, WEAR_CLASSES, wear_factors

DISTANCES = [3.5, 5, 10, 15, 20, 30, 31, 45, 60]
DILUTION = {
    "wide canyon": [0.3222, 0.2956, 0.2175, 0.1556, 0.1100, 0.0675, 0.0658, 0.0498, 0.0402],
    "narrow canyon": [0.4882, 0.4482, 0.3308, 0.2378, 0.1692, 0.1052, 0, 0, 0],
    "one side": [0.4655, 0.4245, 0.3040, 0.2085, 0.1380, 0.0720, 0, 0, 0],
    "other": [0.2701, 0.2468, 0.1790, 0.1267, 0.0900, 0.0630, 0.0614, 0.0465, 0.0375],
}
# annex 4: vehicles a day with their shares, and g/km of NOx and PM10
SHARES = np.array([0.92, 0.03, 0.05])
EMISSION = 15_000 * 1000 / 86_400 * (SHARES @ np.array([[0.62, 0.065], [10.46, 0.419], [15.25, 0.515]]))


@pytest.mark.parametrize("kind", TYPES)
def test_dilution_has_the_tabulated_values(kind):
    assert dilution(TYPES.index(kind), DISTANCES) == pytest.approx(DILUTION[kind], abs=5.5e-5)
    assert float(dilution(TYPES.index(kind), 1.0)) == float(dilution(TYPES.index(kind), 3.5))


def test_the_reference_street_of_dutch_law_emits_as_it_says():
    assert pytest.approx([285.885417, 17.034722], abs=5e-7) == EMISSION


@pytest.mark.parametrize(
    ("kind", "values"),
    [("narrow canyon", (83.76, 14.29, 4.99)), ("wide canyon", (55.07, 10.59, 3.28)), ("other", (45.33, 9.13, 2.70))],
)
def test_traffic_adds_the_tabulated_concentrations(kind, values):
    nox, pm10 = (float(increments(e, TYPES.index(kind), 10.0, 3.5)) for e in EMISSION)
    assert (nox, float(no2_increments(nox, 0.05, 38.0)), pm10) == pytest.approx(values, abs=0.0051)


def test_trees_multiply_the_increment():
    plain, roof = (float(increments(100.0, 1, 10.0, 3.5, tree_factor=factor)) for factor in (1.0, 1.5))
    assert roof == pytest.approx(1.5 * plain)


def test_streets_have_their_type_by_width_over_twice_the_height():
    height = np.array([[20.0, 20], [20, 20], [20, 20], [20, 0], [0, 0]])
    found = street_types([59.0, 61.0, 121.0, 30.0, 30.0], height)
    assert [TYPES[k] for k in found] == ["narrow canyon", "wide canyon", "other", "one side", "other"]


@pytest.mark.parametrize("wind", [0.0, np.nan])
def test_srm1_without_wind_gets_one_clear_error(wind):
    with pytest.raises(CosimError, match=r"the annual mean wind is .* m/s: SRM1 divides by it"):
        increments(1.0, 0, 10.0, wind)


@pytest.mark.parametrize(
    ("kind", "speed", "pm10", "pm25"),
    [
        ("car", 30, 0.02870, 0.01518),
        ("car", 50, 0.02609, 0.01396),
        ("car", 80, 0.01826, 0.01027),
        ("van", 50, 0.03666, 0.01962),
        ("heavy", 50, 0.08351, 0.04390),
        ("two-wheeler", 50, 0.01165, 0.00614),
        ("none", 50, 0.0, 0.0),
    ],
)
def test_wear_has_the_tabulated_values(kind, speed, pm10, pm25):
    found = wear_factors(float(speed))[:, WEAR_CLASSES.index(kind)]
    assert dict(zip(SIZES, found)) == pytest.approx({"PM10": pm10, "PM2.5": pm25}, abs=5.1e-6)


def test_wear_depends_on_speed_without_jumps_but_at_the_guidebook_s_ends():
    near = wear_factors([39.999, 40.001])[:, 1]
    assert near[:, 0] == pytest.approx(near[:, 1], rel=1e-3)
    assert wear_factors(30.0)[0, 1] > wear_factors(50.0)[0, 1] > wear_factors(100.0)[0, 1]


def test_heavy_vehicles_wear_by_axles_and_load():
    assert wear_factors(50.0, axles=5, load=1.0)[0, 3] > wear_factors(50.0)[0, 3]
