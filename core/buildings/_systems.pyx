# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Passes over the systems of buildings; `cosim.core.buildings.systems` prepares the rows."""

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int32_t, uint8_t

cdef extern from "systems.h" nogil:
    ctypedef struct cosim_constants:
        double pump_cycling, pump_least, tank_at, tank_setpoint, tank_band, tank_cold, tank_room
        double cool_least, cool_cycling, cool_approach, cool_least_lift, cool_rated_lift, cool_rated, cool_room
        double battery_one_way, person_gain, convective_gain, convective_sun, boiler
        double airing_above, airing_outdoor, airing_gap, blinds_warm, setback, heating_setpoint, cooling_setpoint
        double tan_pump, tan_cooling, tan_appliances
    ctypedef struct cosim_moment:
        double step_s, outdoor, ground, price_shift, pv_yield, cool_full, cool_idle, clock_h, middle_h
    void cosim_tanks(
        const cosim_constants*, double, ptrdiff_t, ptrdiff_t, ptrdiff_t, const double*, const double*, const double*,
        const double*, double*, uint8_t*, double*)
    void cosim_sun(
        const cosim_constants*, ptrdiff_t, ptrdiff_t, ptrdiff_t, const double*, const double*, const double*,
        const double*, const double*, const double*, const double*, const double*, double*)
    void cosim_comfort(
        const cosim_constants*, ptrdiff_t, ptrdiff_t, double, double, const double*, const double*, ptrdiff_t, double*)
    void cosim_aired(
        const cosim_constants*, ptrdiff_t, ptrdiff_t, double, const double*, const int32_t*, int32_t, int32_t*)
    void cosim_before(
        const cosim_constants*, const cosim_moment*, ptrdiff_t, ptrdiff_t, ptrdiff_t, const double*, const double*,
        const double*, const double*, const double*, const double*, double*, double*)
    void cosim_after(
        const cosim_constants*, const cosim_moment*, ptrdiff_t, ptrdiff_t, ptrdiff_t, const double*, const double*,
        const double*, const double*, const double*, const double*, double*, double*)
    enum:
        COMFORT


cdef enum:
    BLOCK = 1024  # buildings whose rows, some fifty, stay in the second-level cache


def before(
    dict constants, dict moment, Py_ssize_t first, Py_ssize_t last, const double[:, ::1] fixed,
    const double[::1] shift_h, const double[:, ::1] spans, const double[:, :, ::1] surfaces, const double[:, ::1] light,
    const double[::1] power_cap, const double[::1] heating_shift, const double[::1] cooling_shift,
    const double[::1] occupancy, const double[:, ::1] state, const int32_t[::1] shut, int n_archetypes,
    int32_t[::1] archetype, const double[::1] idle_change, double[::1] temperature, uint8_t[::1] charging,
    double[:, ::1] given, double[:, ::1] kept, double[:, ::1] drive,
):
    """Charge the tanks of buildings ``first`` to ``last``, and set what their zones are given.

    ``surfaces`` are solar area, share to the exterior surface and rise on walls by surface and building; ``light``, of
    no row at night, the irradiance on surfaces, that behind windows, and 1 where it is bright.
    """
    cdef cosim_constants c = constants
    cdef cosim_moment m = moment
    cdef Py_ssize_t begin = first, end, n = fixed.shape[1]
    with nogil:
        while begin < last:
            end = min(begin + BLOCK, last)
            cosim_comfort(
                &c, begin, end, m.clock_h, m.middle_h, &shift_h[0], &spans[0, 0], spans.shape[0], &given[COMFORT, 0])
            if light.shape[0]:
                cosim_sun(
                    &c, begin, end, n, &fixed[0, 0], &surfaces[0, 0, 0], &surfaces[1, 0, 0], &surfaces[2, 0, 0],
                    &light[0, 0], &light[1, 0], &light[2, 0], &state[0, 0], &given[0, 0])
            cosim_aired(&c, begin, end, m.outdoor, &state[0, 0], &shut[0], n_archetypes, &archetype[0])
            cosim_tanks(
                &c, m.step_s, begin, end, n, &fixed[0, 0], &given[0, 0], &power_cap[0], &idle_change[0],
                &temperature[0], &charging[0], &kept[0, 0])
            cosim_before(
                &c, &m, begin, end, n, &fixed[0, 0], &given[0, 0], &power_cap[0], &heating_shift[0],
                &cooling_shift[0], &occupancy[0], &kept[0, 0], &drive[0, 0])
            begin = end


def after(
    dict constants, dict moment, Py_ssize_t first, Py_ssize_t last, const double[:, ::1] fixed,
    const double[:, ::1] given, const double[:, ::1] kept, const double[::1] curtailment, const double[::1] power,
    const double[::1] air, double[::1] energy, double[:, ::1] out,
):
    """Balance heat, electricity and gas of buildings ``first`` to ``last``, and charge their batteries."""
    cdef cosim_constants c = constants
    cdef cosim_moment m = moment
    with nogil:
        cosim_after(
            &c, &m, first, last, fixed.shape[1], &fixed[0, 0], &given[0, 0], &kept[0, 0], &curtailment[0], &power[0],
            &air[0], &energy[0], &out[0, 0])
