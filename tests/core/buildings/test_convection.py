"""Films that follow temperatures and wind: published values, conservation, and their linearisation."""

import numpy as np
import pytest
from scipy.optimize import fsolve

from cosim.core import CosimError
from cosim.core.buildings.convection import (
    SEA_LEVEL_DENSITY,
    Facing,
    VaryingFilms,
    forced_convection,
    local_wind,
    natural_convection,
)
from cosim.core.buildings.zones import ZoneParameters, Zones
from tests.core.buildings.test_zones import FLAT, WINDOWS

CEILING, FLOOR = [0.6, 0.0, 0.4], [0.5, 0.3, 0.2]
GAINS = ("gain_air", "gain_exterior", "gain_interior")


def test_wind_adds_to_natural_convection_by_texture_and_side():
    glass = 5 / 9 * np.hypot(2.24, 3.26 * 3**0.89) + 4 / 9 * np.hypot(2.24, 3.55 * 3**0.617)
    assert forced_convection(2.24, 3.0, 1.0) == pytest.approx(glass)
    assert forced_convection(2.24, 3.0, 1.67) == pytest.approx(2.24 + 1.67 * (glass - 2.24))
    assert forced_convection(2.24, 0.0, 1.67) == pytest.approx(2.24)


def test_wind_falls_towards_the_ground_and_in_cities():
    assert local_wind(4.0, 10.0) == pytest.approx(4.0)
    assert local_wind(4.0, 2.7) == pytest.approx(4.0 * 0.27**0.14)
    assert local_wind(4.0, 10.0, "city") < local_wind(4.0, 10.0, "suburb") < 4.0
    with pytest.raises(CosimError, match="terrain is 'sea': it must be one of country, suburb, city"):
        local_wind(4.0, 10.0, "sea")


def test_thin_air_convects_less():
    thin = natural_convection(5.0, Facing.WALL, 0.8 * SEA_LEVEL_DENSITY)
    assert thin == pytest.approx(2.240 * 0.8 ** (2 / 3), abs=5e-4)


def test_shares_that_are_not_of_the_whole_surface_are_refused():
    with pytest.raises(CosimError, match=r"interior surface of archetype 0 has shares \[0\.5, 0\.0, 0\.0\]"):
        VaryingFilms(Zones(ZoneParameters(**FLAT), [0]), CEILING, [0.5, 0, 0])


def drive(rng, n):
    return {
        "equivalent": rng.uniform(-12, 50, n),
        **{name: rng.uniform(0, 2000, n) for name in GAINS},
        "heating_setpoint": 20.0,
        "cooling_setpoint": 26.0,
        "heating_capacity": rng.choice([0, 2e3, np.inf], n),
    }


@pytest.mark.parametrize("windows", [{}, WINDOWS])
def test_varying_films_conserve_energy(windows):
    n, rng = 50, np.random.default_rng(1)
    zones = Zones(ZoneParameters(**FLAT, **windows), np.zeros(n, int), rng.uniform(0.5, 20, n), 18.0)
    films = VaryingFilms(zones, CEILING, FLOOR)
    for _ in range(20):
        given, before = drive(rng, n), zones.stored_heat
        step = films.step(900, rng.uniform(-10, 38, n), **given)
        gains = sum(given[name] for name in GAINS)
        residual = zones.stored_heat - before - 900 * (step.power + gains - step.loss)
        assert (abs(residual) / (900 * (abs(step.power) + gains + abs(step.loss)))).max() < 1e-9


def test_steady_heating_equals_a_nonlinear_balance_solved_independently():
    p = ZoneParameters(**FLAT, **WINDOWS)
    films = VaryingFilms(Zones(p, [0], 1.0, 20.0), CEILING, FLOOR)
    for _ in range(400):
        power = films.step(3600.0, -5.0, heating_setpoint=20.0).power[0]

    def film(rise, walls, up, down):
        root, warm = abs(rise) ** (1 / 3), rise > 0
        return walls * 1.31 * root + up * (1.509 if warm else 0.760) * root + down * (0.760 if warm else 1.509) * root

    def radiated(a, b, area):
        return 5.0 * area / (4 * 293.15**3) * ((a + 273.15) ** 4 - (b + 273.15) ** 4)

    ext_int, ext_win, int_win = 90 * 300 / 315, 15 * 90 / 390, 15 * 300 / 390

    def balance(x):
        ext, inner, win = x
        out_ext = (ext + 5) / (1e-3 + 1.5e-2) + 90 * film(ext - 20, *CEILING) * (ext - 20)
        out_inner = 300 * film(inner - 20, *FLOOR) * (inner - 20)
        out_win = 50 * (win + 5) + 15 * film(win - 20, 1, 0, 0) * (win - 20)
        return [
            out_ext + radiated(ext, inner, ext_int) + radiated(ext, win, ext_win),
            out_inner - radiated(ext, inner, ext_int) + radiated(inner, win, int_win),
            out_win - radiated(ext, win, ext_win) - radiated(inner, win, int_win),
        ]

    ext, _, win = fsolve(balance, [17.0, 19.5, 15.0], xtol=1e-12)
    expected = (ext + 5) / 1.6e-2 + 50 * (win + 5) + 80 * 25
    assert power == pytest.approx(expected, rel=2e-4)  # the enhanced coefficient is 1.5092 in full


def test_films_of_the_step_before_differ_little_from_fully_iterated_ones():
    found = {}
    for iterations in (1, 4):
        films = VaryingFilms(Zones(ZoneParameters(**FLAT, **WINDOWS), [0], 1.0, 20.0), CEILING, FLOOR)
        hours = np.arange(0, 24, 1 / 6)
        outdoor = 2 - 6 * np.cos(2 * np.pi * hours / 24)
        setpoint = np.where(hours % 24 < 7, 16.0, 20.0)
        found[iterations] = np.mean(
            [
                films.step(600.0, t, iterations=iterations, heating_setpoint=to, gain_interior=500.0).power[0]
                for t, to in zip(outdoor, setpoint, strict=True)
            ]
        )
    assert found[1] == pytest.approx(found[4], rel=2e-3)
    assert found[1] != found[4]
