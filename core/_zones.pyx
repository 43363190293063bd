# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Advance two-mass zones by one exact step; `cosim.core.zones` prepares the coefficients and checks the arrays."""

from libc.stdint cimport int32_t

# Where a row of coefficients keeps what; the same numbers stand in zones.py, which writes the rows.
cdef enum:
    H_OUT = 0       # air to outdoors
    H_REST = 1      # exterior mass to the equivalent outdoor temperature
    K_EXT = 2       # air to exterior mass
    K_INT = 3       # air to interior mass
    C_DT = 4        # heat capacity of the air over the step
    W_AIR = 5       # air, exterior and interior mass to behind the windows
    W_EXT = 6
    W_INT = 7
    SPLIT = 8       # 4 x 2: share of a gain at the two surfaces that reaches air, both masses, and leaves by windows
    E = 16          # 3 x 3: state at the end from the state at the start
    F = 25          # 3 x 3: mean state from the state at the start
    G = 34          # 3 x 3: state at the end from the heat into the nodes
    H = 43          # 3 x 3: mean state from the heat into the nodes
    HELD_E = 52     # 2 x 2, and so on: the two masses while the air is held at a temperature
    HELD_F = 56
    HELD_G = 60
    HELD_H = 64


cdef inline double _row3(const double* m, double a, double b, double c) noexcept nogil:
    return m[0] * a + m[1] * b + m[2] * c


cdef inline double _row2(const double* m, double a, double b) noexcept nogil:
    return m[0] * a + m[1] * b


cdef inline double _step_zone(
    const double* k,
    double outdoor, double equivalent, double window, double gain_air, double gain_ext, double gain_int,
    double heat_set, double cool_set, double heat_max, double cool_max,
    double* x, double* mean,
) noexcept nogil:
    """Advance one zone and return its mean heating (+) or cooling (-) power, all per unit of scale."""
    cdef double air = x[0], ext = x[1], inner = x[2]
    cdef double w0 = k[H_OUT] * outdoor + k[W_AIR] * window + gain_air + _row2(k + SPLIT, gain_ext, gain_int)
    cdef double w1 = k[H_REST] * equivalent + k[W_EXT] * window + _row2(k + SPLIT + 2, gain_ext, gain_int)
    cdef double w2 = k[W_INT] * window + _row2(k + SPLIT + 4, gain_ext, gain_int)
    cdef double free = _row3(k + E, air, ext, inner) + _row3(k + G, w0, w1, w2)
    cdef double target = 0.0, low = 0.0, high = 0.0, power = 0.0, v1, v2, mean1, mean2
    if free < heat_set and heat_max > 0.0:
        target = heat_set
        high = heat_max
        if cool_set == heat_set:  # no dead band: the sign may change within the step
            low = -cool_max
    elif free > cool_set and cool_max > 0.0:
        target = cool_set
        low = -cool_max
        if cool_set == heat_set:
            high = heat_max
    if low < high:
        v1 = w1 + k[K_EXT] * target
        v2 = w2 + k[K_INT] * target
        mean1 = _row2(k + HELD_F, ext, inner) + _row2(k + HELD_H, v1, v2)
        mean2 = _row2(k + HELD_F + 2, ext, inner) + _row2(k + HELD_H + 2, v1, v2)
        power = (
            k[C_DT] * (target - air) + (k[H_OUT] + k[W_AIR] + k[K_EXT] + k[K_INT]) * target
            - k[K_EXT] * mean1 - k[K_INT] * mean2 - w0
        )
        if low <= power and power <= high:
            mean[0] = target
            mean[1] = mean1
            mean[2] = mean2
            x[0] = target
            x[1] = _row2(k + HELD_E, ext, inner) + _row2(k + HELD_G, v1, v2)
            x[2] = _row2(k + HELD_E + 2, ext, inner) + _row2(k + HELD_G + 2, v1, v2)
            return power
        # Constant power that brings the air to the setpoint just at the end, as far as the capacity goes.
        power = (target - free) / k[G]
        if power > high:
            power = high
        if power < low:
            power = low
        w0 = w0 + power
    mean[0] = _row3(k + F, air, ext, inner) + _row3(k + H, w0, w1, w2)
    mean[1] = _row3(k + F + 3, air, ext, inner) + _row3(k + H + 3, w0, w1, w2)
    mean[2] = _row3(k + F + 6, air, ext, inner) + _row3(k + H + 6, w0, w1, w2)
    x[0] = _row3(k + E, air, ext, inner) + _row3(k + G, w0, w1, w2)
    x[1] = _row3(k + E + 3, air, ext, inner) + _row3(k + G + 3, w0, w1, w2)
    x[2] = _row3(k + E + 6, air, ext, inner) + _row3(k + G + 6, w0, w1, w2)
    return power


def step(
    const double[:, ::1] coefficients,
    const int32_t[::1] archetype,
    const double[::1] scale,
    const double[:, ::1] drive,
    const double[:, ::1] control,
    double[:, ::1] state,
    double[:, ::1] mean,
    double[:, ::1] flow,
):
    """Advance all zones by the step that the coefficients were prepared for, in place and without the GIL."""
    cdef Py_ssize_t i, n = archetype.shape[0]
    cdef double s, inverse, power
    cdef double x[3]
    cdef double m[3]
    cdef const double* k
    with nogil:
        for i in range(n):
            k = &coefficients[archetype[i], 0]
            s = scale[i]
            inverse = 1.0 / s
            x[0] = state[0, i]
            x[1] = state[1, i]
            x[2] = state[2, i]
            power = _step_zone(
                k, drive[0, i], drive[1, i], drive[2, i],
                drive[3, i] * inverse, drive[4, i] * inverse, drive[5, i] * inverse,
                control[0, i], control[1, i], control[2, i] * inverse, control[3, i] * inverse, x, m,
            )
            state[0, i] = x[0]
            state[1, i] = x[1]
            state[2, i] = x[2]
            mean[0, i] = m[0]
            mean[1, i] = m[1]
            mean[2, i] = m[2]
            flow[0, i] = s * power
            flow[1, i] = _row2(k + SPLIT + 6, drive[4, i], drive[5, i]) + s * (
                k[H_OUT] * (m[0] - drive[0, i]) + k[H_REST] * (m[1] - drive[1, i])
                + k[W_AIR] * (m[0] - drive[2, i]) + k[W_EXT] * (m[1] - drive[2, i]) + k[W_INT] * (m[2] - drive[2, i])
            )
