# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The element-wise parts of a fleet's step; `cosim.core.fleet.model` prepares the arrays."""

from libc.math cimport floor
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free as release, malloc

# The rows of the arrays of `session_ranges`, for Python too.
cpdef enum:  # cars
    CAR_CAPACITY = 0  # [J]
    CAR_RESERVE  # [J]
    CAR_AC  # alternating current [W]
    CAR_DC  # direct current [W]
    CAR_DISCHARGE  # [W]
    CAR_TARGET  # charge that is guaranteed [J]
    CAR_TARGET_AFTER  # from stays of this length on [s]
    CAR_FIRST_DEPARTURE  # time of the day [s]
    CAR_ROWS

cpdef enum:  # stations
    STATION_POWER = 0  # [W]
    STATION_EFFICIENCY  # [1]
    STATION_FAST  # whether it is
    STATION_ROWS

cpdef enum:  # trips
    TRIP_DEPARTURE = 0  # [s]
    TRIP_AHEAD  # energy to the next place with a charger [J]
    TRIP_ROWS

cpdef enum:  # state
    STATE_CHARGE = 0  # [J]
    STATE_SINCE  # when it came [s]
    STATE_RATIO  # used over planned energy of its trips
    STATE_ROWS

cpdef enum:  # setting
    AT_TIME = 0  # [s]
    AT_STEP  # [s]
    AT_NOTICE  # of departures [s]
    AT_MARGIN  # of departures
    AT_COUNTED_ON  # share of later power that is counted on
    AT_FAST_SOC  # up to which fast charging keeps its power
    AT_DAY  # [s]
    AT_LENGTH

cpdef enum:  # found
    RANGE_LACKING = 0  # energy [J]
    RANGE_LEFT  # time [s]
    RANGE_LEAST  # [W]
    RANGE_FULL  # [W]
    RANGE_RATE  # of point and car [W]
    RANGE_EFFICIENCY  # [1]
    RANGE_ROWS


def take_points(
    const int64_t[::1] queue,
    const int32_t[::1] aim,
    const int32_t[::1] place,
    const int32_t[::1] first_offer,
    const int32_t[::1] offers,
    int32_t[::1] free,
    int32_t[::1] station,
):
    """Assign each vehicle of the queue, in turn, to the first station it may use that has a free point; in place."""
    cdef Py_ssize_t n = queue.shape[0], j, k
    cdef int64_t i
    cdef int32_t s
    with nogil:
        for j in range(n):
            i = queue[j]
            if aim[i] >= 0:
                s = aim[i]
                if free[s] > 0:
                    free[s] -= 1
                    station[i] = s
                continue
            for k in range(first_offer[place[i]], first_offer[place[i] + 1]):
                s = offers[k]
                if free[s] > 0:
                    free[s] -= 1
                    station[i] = s
                    break


cdef inline double between(double low, double value, double high) noexcept nogil:
    return low if value < low else high if value > high else value


cdef double fill(
    const double* load, const double* most, const double* length, Py_ssize_t n, double energy, double* part
) noexcept nogil:
    """Pour energy into the lowest slots, at most so much power in each; return the largest change of a part."""
    cdef double low = load[0], high = load[0] + most[0], level, poured, now, change = 0.0
    cdef Py_ssize_t k
    cdef int _halving
    for k in range(n):
        low = load[k] if load[k] < low else low
        high = load[k] + most[k] if load[k] + most[k] > high else high
    for _halving in range(40):  # halves a range of megawatts to microwatts
        level = 0.5 * (low + high)
        poured = 0.0
        for k in range(n):
            poured += length[k] * between(0.0, level - load[k], most[k])
        if poured < energy:
            low = level
        else:
            high = level
    for k in range(n):
        now = between(0.0, high - load[k], most[k])
        if now - part[k] > change:
            change = now - part[k]
        elif part[k] - now > change:
            change = part[k] - now
        part[k] = now
    return change


def fill_valleys(
    const double[:, ::1] base,
    const double[::1] length,
    const int32_t[::1] row,
    const double[::1] energy,
    const double[::1] left,
    const double[::1] rate,
    int rounds,
    double least_change,
    double[::1] power,
):
    """Compute the power with which sessions fill the valleys of a load; see `cosim.core.fleet.reference`."""
    cdef Py_ssize_t n_rows = base.shape[0], n_slots = base.shape[1], n = row.shape[0], j, k
    cdef int32_t g
    cdef double begin, moved, change
    cdef double* load = <double*> malloc(n_rows * n_slots * sizeof(double))
    cdef double* part = <double*> malloc((n * n_slots + 1) * sizeof(double))
    cdef double* most = <double*> malloc((n * n_slots + 1) * sizeof(double))
    cdef Py_ssize_t* window = <Py_ssize_t*> malloc((n + 1) * sizeof(Py_ssize_t))
    cdef int _round
    if load == NULL or part == NULL or most == NULL or window == NULL:
        release(load)
        release(part)
        release(most)
        release(window)
        raise MemoryError
    with nogil:
        for g in range(n_rows):
            for k in range(n_slots):
                load[g * n_slots + k] = base[g, k]
        for j in range(n):
            begin = 0.0
            window[j] = 1
            for k in range(n_slots):
                part[j * n_slots + k] = 0.0
                most[j * n_slots + k] = rate[j] * between(0.0, left[j] - begin, length[k]) / length[k]
                if left[j] > begin:
                    window[j] = k + 1
                begin += length[k]
        for _round in range(rounds):
            moved = 0.0
            for j in range(n):
                g = row[j]
                for k in range(window[j]):
                    load[g * n_slots + k] -= part[j * n_slots + k]
                change = fill(
                    &load[g * n_slots], &most[j * n_slots], &length[0], window[j], energy[j], &part[j * n_slots]
                )
                moved = change if change > moved else moved
                for k in range(window[j]):
                    load[g * n_slots + k] += part[j * n_slots + k]
            if moved <= least_change:
                break
        for j in range(n):
            power[j] = part[j * n_slots] * length[0] / between(1e-9, left[j], length[0])
    release(load)
    release(part)
    release(most)
    release(window)


def session_ranges(
    const int64_t[::1] vehicles,
    const int32_t[::1] station,
    const int32_t[::1] trip,
    const double[:, ::1] cars,
    const double[:, ::1] stations,
    const double[:, ::1] trips,
    const double[:, ::1] state,
    const double[::1] setting,
    double[:, ::1] found,
):
    """Compute the power range of each charging session; see `cosim.core.fleet.reference`."""
    cdef Py_ssize_t n = vehicles.shape[0], j
    cdef int64_t i
    cdef int32_t s, k
    cdef double time = setting[AT_TIME], step = setting[AT_STEP]
    cdef double notice = setting[AT_NOTICE], margin = setting[AT_MARGIN]
    cdef double counted_on = setting[AT_COUNTED_ON], fast_soc = setting[AT_FAST_SOC], day = setting[AT_DAY]
    cdef double charge, capacity, reserve, rate, taper, leaves, target, needs, lacking, into, full, later, must, given
    with nogil:
        for j in range(n):
            i = vehicles[j]
            s = station[i]
            k = trip[i]
            charge = state[STATE_CHARGE, i]
            capacity = cars[CAR_CAPACITY, i]
            reserve = cars[CAR_RESERVE, i]
            rate = cars[CAR_DC, i] if stations[STATION_FAST, s] > 0.5 else cars[CAR_AC, i]
            if stations[STATION_POWER, s] < rate:
                rate = stations[STATION_POWER, s]
            if stations[STATION_FAST, s] > 0.5:
                taper = (1.0 - charge / capacity) / (1.0 - fast_soc)
                rate = rate * (0.05 if taper < 0.05 else 1.0 if taper > 1.0 else taper)
            if k >= 0:
                leaves = trips[TRIP_DEPARTURE, k] - notice
                needs = margin * state[STATE_RATIO, i] * trips[TRIP_AHEAD, k] + reserve
            else:
                leaves = cars[CAR_FIRST_DEPARTURE, i] - notice - time
                leaves = time + leaves - floor(leaves / day) * day
                needs = 0.0
            target = cars[CAR_TARGET, i] if leaves - state[STATE_SINCE, i] >= cars[CAR_TARGET_AFTER, i] else 0.0
            if needs > target:
                target = needs
            if target > capacity:
                target = capacity
            lacking = target - charge
            leaves = leaves - time if leaves > time else 0.0
            into = stations[STATION_EFFICIENCY, s] * step
            full = (capacity - charge) / into if capacity > charge else 0.0
            if rate < full:
                full = rate
            later = stations[STATION_EFFICIENCY, s] * rate * (leaves - step) if leaves > step else 0.0
            must = lacking - later
            found[RANGE_LACKING, j] = lacking if lacking > 0.0 else 0.0
            found[RANGE_LEFT, j] = leaves
            if must > 0.0:
                found[RANGE_LEAST, j] = must / into if must / into < full else full
            else:
                given = lacking - counted_on * later
                if must > given:
                    given = must
                if reserve - charge > given:
                    given = reserve - charge
                if given > 0.0:
                    given = 0.0
                given = -given * stations[STATION_EFFICIENCY, s] / step
                found[RANGE_LEAST, j] = -(given if given < cars[CAR_DISCHARGE, i] else cars[CAR_DISCHARGE, i])
            found[RANGE_FULL, j] = full
            found[RANGE_RATE, j] = rate
            found[RANGE_EFFICIENCY, j] = stations[STATION_EFFICIENCY, s]
