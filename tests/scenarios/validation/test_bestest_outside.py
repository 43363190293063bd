"""Outside balance of walls, roof and panes."""

import numpy as np
import pytest

from cosim.core.buildings.convection import Facing, forced_convection, natural_convection
from cosim.core.weather.glazing import Glazing
from cosim.core.weather.year import STEFAN_BOLTZMANN
from cosim.scenarios.validation.bestest_outside import Faces, Panes, Weather

DENSITY = 1.0
AREA, CONDUCTANCE = np.array([[16.0, 16.0, 9.6, 16.0, 48.0]]), np.array([[9.0, 9.0, 5.0, 9.0, 16.0]])


def weather(outdoor=10.0, wind=3.0, deficit=0.0):
    return Weather(outdoor, (wind, wind), STEFAN_BOLTZMANN * (outdoor + 273.15) ** 4 - deficit, DENSITY)


def settle(balance, *given):
    for _ in range(20):
        found = balance(*given)
    return found[0]


def test_without_sun_and_with_a_sky_as_warm_as_the_air_the_equivalent_temperature_is_the_airs():
    faces = Faces(CONDUCTANCE, AREA, np.array([0.0208]), 0.9)
    assert settle(faces.equivalent, weather(), np.zeros((1, 5)), np.array([10.0])) == pytest.approx(10.0)
    panes = Panes(Glazing(2, 0.003, 1.0, 0.834, 0.075), np.array([3.5]))
    assert settle(panes.behind, weather(), np.zeros((1, 2)), np.array([10.0])) == pytest.approx(10.0)


def test_sun_warms_walls_and_wind_and_sky_cool_them():
    def equivalent(**changes):
        faces = Faces(CONDUCTANCE, AREA, np.array([0.0208]), 0.9)
        return settle(faces.equivalent, weather(**changes), np.full((1, 5), 300.0), np.array([20.0]))

    assert equivalent(wind=6.0) < equivalent(wind=1.0)
    assert equivalent(deficit=90.0) < equivalent()
    assert 20 < equivalent() < 40


@pytest.mark.parametrize("count", [1, 2, 3])
def test_heat_absorbed_in_panes_leaves_on_either_side(count):
    glazing, conductance = Glazing(count, 0.003, 1.0, 0.834, 0.075), np.array([3.5])
    panes, absorbed = Panes(glazing, conductance), np.linspace(40.0, 80.0, count)[None]
    behind = settle(panes.behind, weather(), absorbed, np.array([22.0]))
    outer = panes.temperature[0]
    film = forced_convection(natural_convection(outer - 10, Facing.WALL, DENSITY), 3.0, 1.0)
    out = film * (outer - 10) + 0.84 * STEFAN_BOLTZMANN * ((outer + 273.15) ** 4 - 283.15**4)
    assert conductance[0] * (behind - 22.0) + out[0] == pytest.approx(absorbed.sum(), rel=1e-6)
