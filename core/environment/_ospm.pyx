# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""OSPM's unit concentrations, averaged over wind directions; `cosim.core.environment.ospm` has the same in NumPy."""

from libc.math cimport M_PI, cos, exp, floor, log, sin, sqrt

cdef double RELEASE = 2.0, ROUGHNESS = 0.6, ALONG = 0.1, FARTHEST = 10.0


cdef inline double smaller(double a, double b) noexcept nogil:
    return a if a < b else b


cdef inline double larger(double a, double b) noexcept nogil:
    return a if a > b else b


cdef inline double left_after(double exponent) noexcept nogil:
    return (exp(-exponent) if exponent > 0.0 else 1.0) if exponent < FARTHEST else 0.0


cdef void unit(
    double u,
    double phi,
    double si,
    double co,
    double street_wind,
    double s_w0,
    double w,
    double h,
    double h_u,
    double h_d,
    double reach,
    double receptor,
    double vortex,
    double* lee,
    double* windward,
) noexcept nogil:
    """Write the unit concentrations for one wind; the names are those of `ospm.unit_concentrations`."""
    cdef double z = larger(h, RELEASE)
    cdef double u_b = street_wind * (1.0 - smaller(0.9, 0.2 * h_u / z) * si * si)
    cdef double s_w = sqrt((ALONG * u_b) * (ALONG * u_b) + s_w0 * s_w0)
    cdef double s_wt = sqrt((ALONG * u) * (ALONG * u) + 0.4 * s_w0 * s_w0)
    cdef double x1 = u_b * (z - RELEASE) / s_w
    cdef double l_rec = 2.0 * h_u * vortex, d_max = w / si
    cdef double l_max = smaller(d_max, reach / co)
    cdef double k = sqrt(2.0 / M_PI) / (w * s_w)
    cdef double slope = s_w / u_b, ratio = s_w / s_wt, decay = s_wt / (u_b * z)
    cdef double low = larger(RELEASE, receptor)
    cdef double top = RELEASE + slope * smaller(smaller(l_max, l_rec), x1)
    cdef double e7 = left_after(decay * (larger(smaller(l_rec, l_max), x1) - x1)), e8, beyond, clear, d1, side, d3, u_s
    cdef double box = 0.0
    lee[0] = k * (log(top / smaller(top, low)) + ratio * (1.0 - e7))
    beyond = cos(2.0 * vortex * phi) if l_rec < l_max else 0.0
    if beyond > 0.0:
        e8 = left_after(decay * larger(l_max - larger(l_rec, x1), 0.0))
        top = RELEASE + slope * larger(smaller(x1, l_max), l_rec)
        lee[0] += k * beyond * (
            log(top / smaller(top, larger(RELEASE + slope * l_rec, receptor))) + ratio * (e7 - e8)
        )
    windward[0] = 0.0
    if l_rec < d_max:
        clear = smaller(l_max, d_max - l_rec)
        top = RELEASE + slope * larger(smaller(clear, x1), 0.0)
        windward[0] = k * (
            log(top / smaller(top, low)) + ratio * (1.0 - left_after(decay * (larger(clear, x1) - x1)))
        )
    if h_u > 0.0 and receptor <= h_u:
        d1 = smaller(d_max, l_rec)
        side = sqrt(h_u * h_u + l_rec * l_rec / 4.0)
        d3 = larger(0.0, side * (h_u - smaller(2.0 * h_u * (l_rec - d1) / l_rec, h_d)) / h_u)
        u_s = (d3 * sqrt(u_b * u_b + s_w0 * s_w0) + side * u) / (d3 + side)
        box = d1 * si / (w * larger(s_wt * smaller(d_max, l_rec / 2.0) + u_s * d3, 1e-12))
    lee[0] += box
    windward[0] += box


def sector_means(
    double wind,
    double direction,
    double half,
    int intervals,
    double receptor,
    const double[::1] turbulence,
    const double[::1] bearing,
    const double[::1] width,
    const double[:, ::1] height,
    const double[::1] reach,
    double[:, ::1] out,
):
    """Write the means over the directions from ``direction - half`` to ``direction + half``, shape (n_streets, 2)."""
    cdef Py_ssize_t i, n = turbulence.shape[0]
    cdef int j
    cdef long long halves
    cdef double vortex = 1.0 if wind > 2.0 else sqrt(wind / 2.0)
    cdef double turn, si, co, phi, weight, lee = 0.0, windward = 0.0, left, right, general, street_wind
    with nogil:
        for i in range(n):
            left, right = height[i, 0], height[i, 1]
            general = (left + right) / 2.0
            street_wind = wind * log(RELEASE / ROUGHNESS) / log(larger(general, RELEASE) / ROUGHNESS)
            out[i, 0] = out[i, 1] = 0.0
            for j in range(intervals + 1):
                weight = 1.0 / intervals if 0 < j < intervals else 0.5 / intervals
                turn = direction - half + j * (2.0 * half / intervals) - bearing[i]
                halves = <long long> floor(turn / M_PI)  # odd ones have the wind on the left
                turn -= M_PI * halves
                phi = larger(smaller(turn, M_PI - turn), 1e-10)
                si, co = sin(phi), larger(cos(phi), 1e-10)
                if halves & 1:
                    unit(wind, phi, si, co, street_wind, turbulence[i], width[i], general, left, right, reach[i],
                         receptor, vortex, &lee, &windward)
                    out[i, 0] += weight * lee
                    out[i, 1] += weight * (windward if phi > 1e-9 else lee)
                else:
                    unit(wind, phi, si, co, street_wind, turbulence[i], width[i], general, right, left, reach[i],
                         receptor, vortex, &lee, &windward)
                    out[i, 1] += weight * lee
                    out[i, 0] += weight * (windward if phi > 1e-9 else lee)
