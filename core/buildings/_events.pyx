# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The events of households, drawn for a day and summed over steps; `cosim.core.buildings.households` has the tables."""

from libc.math cimport INFINITY, exp, floor, llround
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

cdef enum:
    AWAY = 0
    POWER = 1
    WATER = 2
    COOKING = 3
    HOURS = 24
    MOST = 60  # events of one kind in a dwelling and day

cdef double BUCKET_S = 60.0
cdef double UNITS = 68719476736.0  # 2^36 a watt or person: whole numbers add up to the same in any order
cdef uint64_t GOLDEN = 0x9E3779B97F4A7C15


cdef struct Change:
    double time
    int64_t weight
    int64_t row

cdef struct Course:
    int64_t n_buildings
    int64_t n_buckets
    int64_t* filled
    Change* changes


cdef inline uint64_t mixed(uint64_t x) noexcept nogil:
    """Scramble 64 bits: the finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014)."""
    x = (x ^ (x >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <uint64_t>0x94D049BB133111EB
    return x ^ (x >> 31)


cdef inline uint64_t below(uint64_t parent, uint64_t number) noexcept nogil:
    """Return the key of a numbered child of a key that is `mixed`."""
    return mixed(parent + GOLDEN * (number + 1))


cdef inline double draw(uint64_t key, uint64_t purpose) noexcept nogil:
    return <double>(mixed(key + GOLDEN * purpose) >> 11) * 2.0**-53


cdef inline int poisson(double drawn, double rate) noexcept nogil:
    cdef double term = exp(-rate), total = term
    cdef int k = 0
    while drawn >= total and k < MOST:
        k += 1
        term = term * rate / k
        total += term
    return k


cdef inline double moment(const double[:, ::1] table, double drawn, double spread, double spread_h) noexcept nogil:
    """Return the second of an event by its table of cumulated shares and hours, infinite beyond the shares."""
    cdef Py_ssize_t k = 0
    while k < table.shape[1] and drawn >= table[0, k]:
        k += 1
    if k == table.shape[1]:
        return INFINITY
    return 3600.0 * (table[1, k] + spread_h * (2 * spread - 1))


cdef inline double second(const double[:, ::1] hours, double drawn) noexcept nogil:
    """Return the second of the day by cumulated weights of hours and the seconds per weight within each."""
    cdef int k, hour = 0
    for k in range(1, HOURS):
        hour += drawn >= hours[0, k]
    if drawn == hours[0, hour]:
        return 3600.0 * hour
    return hours[1, hour] * (drawn - hours[0, hour]) + 3600.0 * hour


cdef inline int64_t bucket(double time, int64_t n) noexcept nogil:
    cdef double k = floor(time / BUCKET_S)
    return 0 if k < 0 else n - 1 if k >= n else <int64_t>k


cdef inline void put(Course* c, int kind, int32_t building, double start, double end, double weight) noexcept nogil:
    """Count an event's beginning and end, and keep them once there is room for them."""
    cdef int64_t at, units = llround(weight * UNITS)
    cdef double time = start
    cdef int _side
    cdef Change* change
    for _side in range(2):
        at = bucket(time, c.n_buckets)
        if c.changes != NULL:
            change = &c.changes[c.filled[at]]
            change.time, change.weight, change.row = time, units, kind * c.n_buildings + building
        c.filled[at] += 1
        time = end
        units = -units


def day(
    *,
    int64_t n_buildings,
    uint64_t number,
    const uint64_t[::1] keys,
    const int32_t[::1] building,
    const uint8_t[::1] size,
    const double[::1] level,
    const uint8_t[::1] on_gas,
    const double[::1] water_power,
    double water_draws,
    double water_s,
    const double[:, ::1] water_hours,
    const double[:, ::1] leave,
    const double[:, ::1] back,
    double back_share,
    double spread_h,
    const double[:, ::1] appliances,
    const double[:, :, ::1] appliance_hours,
    double later_s,
    double gas_factor,
    int64_t[::1] filled,
    Change[::1] changes=None,
    Py_ssize_t first,
    Py_ssize_t last,
):
    """Draw the events of dwellings ``first`` to ``last`` on one day, and count or place their beginnings and ends.

    ``filled`` is how many there are in each minute, or the place of each minute's next one. The first appliance is the
    hob; rows of ``appliances`` are uses, power and duration.
    """
    cdef Course c
    cdef Py_ssize_t d, k
    cdef int i, kind
    cdef uint64_t today, key, mine, use
    cdef double begin, end, empty_from, empty_until, power
    c.n_buildings, c.n_buckets, c.filled = n_buildings, filled.shape[0], &filled[0]
    c.changes = &changes[0] if changes is not None and changes.shape[0] else NULL
    with nogil:
        for d in range(first, last):
            today = below(mixed(keys[d]), number)
            key = mixed(today)
            empty_from, empty_until = -INFINITY, INFINITY
            for i in range(size[d]):
                mine = below(key, 100 + i)
                begin = moment(leave, draw(mine, 1), draw(mine, 2), spread_h)
                end = moment(back, draw(mine, 3) * back_share, draw(mine, 4), spread_h)
                if begin < INFINITY and end > begin:
                    put(&c, AWAY, building[d], begin, end, 1.0)
                    empty_from, empty_until = max(empty_from, begin), min(empty_until, end)
                else:
                    empty_from, empty_until = INFINITY, -INFINITY
            for i in range(poisson(draw(today, 1), water_draws)):
                begin = second(water_hours, draw(below(key, 200 + i), 1))
                put(&c, WATER, building[d], begin, begin + water_s, water_power[building[d]])
            for k in range(appliances.shape[0]):
                mine = below(key, 300 + k)
                use = mixed(mine)
                for i in range(poisson(draw(mine, 1), level[d] * appliances[k, 0])):
                    mine = below(use, i)
                    begin = second(appliance_hours[k], draw(mine, 1))
                    if empty_from < begin < empty_until:
                        begin = empty_until + later_s * draw(mine, 2)
                    power = appliances[k, 1] * (0.8 + 0.4 * draw(mine, 3))
                    kind = COOKING if k == 0 and on_gas[d] else POWER
                    if kind == COOKING:
                        power = gas_factor * power
                    end = begin + appliances[k, 2] * (0.6 + 0.8 * draw(mine, 4))
                    put(&c, kind, building[d], begin, end, power)


def advance(
    const int64_t[::1] edges,
    const Change[::1] changes,
    double begin,
    double finish,
    int64_t[::1] level,
    double[::1] found,
):
    """Bring the level of each row from ``begin`` to ``finish``, and add the mean of its change to ``found``."""
    cdef Py_ssize_t i, n = edges.shape[0] - 1
    cdef double length = finish - begin, time
    with nogil:
        for i in range(edges[bucket(begin, n)], edges[bucket(finish, n) + 1]):
            time = changes[i].time
            if begin <= time < finish:
                level[changes[i].row] += changes[i].weight
                found[changes[i].row] += changes[i].weight / UNITS * (finish - time) / length


def rest(const int64_t[::1] edges, const Change[::1] changes, double begin, int64_t[::1] level):
    """Take from each row's level what begins and ends from ``begin`` on: in all a day's events leave nothing."""
    cdef Py_ssize_t i, n = edges.shape[0] - 1
    with nogil:
        for i in range(edges[bucket(begin, n)], edges[n]):
            if changes[i].time >= begin:
                level[changes[i].row] -= changes[i].weight


def levels(const int64_t[::1] level, double[::1] found):
    """Set what is found to the levels that a step begins with."""
    cdef Py_ssize_t i
    with nogil:
        for i in range(level.shape[0]):
            found[i] = level[i] * (1 / UNITS)


def settle(const double[::1] residents, const double[::1] base, double[::1] found):
    """Turn absences into persons at home, add the base power, and raise what rounding left below zero to it."""
    cdef Py_ssize_t i, n = residents.shape[0]
    with nogil:
        for i in range(n):
            found[AWAY * n + i] = max(residents[i] - max(found[AWAY * n + i], 0.0), 0.0)
            found[POWER * n + i] = base[i] + max(found[POWER * n + i], 0.0)
        for i in range(WATER * n, (COOKING + 1) * n):
            found[i] = max(found[i], 0.0)
