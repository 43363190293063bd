/* One exact step of two-mass zones, and many of them in a row: the arithmetic behind _zones.pyx.
 *
 * Zones that lie side by side with one archetype share a row of coefficients, so a loop over them is a loop over
 * lanes of a vector: no branch, every outcome computed and one selected. Each function exists once per instruction
 * set; without fused multiply-adds (-ffp-contract=off) all of them give the same bits.
 */
#ifndef COSIM_ZONES_H
#define COSIM_ZONES_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

/* Where a row of coefficients keeps what; the same numbers stand in zones.py, which writes the rows. */
enum {
    H_OUT = 0,    /* air to outdoors */
    H_REST = 1,   /* exterior mass to the equivalent outdoor temperature */
    K_EXT = 2,    /* air to exterior mass */
    K_INT = 3,    /* air to interior mass */
    C_DT = 4,     /* heat capacity of the air over the step */
    W_AIR = 5,    /* air, exterior and interior mass to behind the windows */
    W_EXT = 6,
    W_INT = 7,
    SPLIT = 8,    /* 4 x 2: share of a gain at the two surfaces that reaches air, both masses, and leaves by windows */
    E = 16,       /* 3 x 3: state at the end from the state at the start */
    F = 25,       /* 3 x 3: mean state from the state at the start */
    G = 34,       /* 3 x 3: state at the end from the heat into the nodes */
    H = 43,       /* 3 x 3: mean state from the heat into the nodes */
    HELD_E = 52,  /* 2 x 2, and so on: the two masses while the air is held at a temperature */
    HELD_F = 56,
    HELD_G = 60,
    HELD_H = 64,
    PER_G = 68    /* 1 / G[0][0] */
};

/* Rows of one array never overlap, which a compiler cannot see. */
#if defined(__clang__)
#define COSIM_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define COSIM_INDEPENDENT _Pragma("GCC ivdep")
#else
#define COSIM_INDEPENDENT
#endif

#define ROW2(m, a, b) ((m)[0] * (a) + (m)[1] * (b))
#define ROW3(m, a, b, c) ((m)[0] * (a) + (m)[1] * (b) + (m)[2] * (c))

typedef struct {
    double air, ext, inner;      /* temperatures at the end [degC] */
    double m_air, m_ext, m_inner; /* and their means over the step */
    double power;                /* mean heating (+) or cooling (-) per unit of scale [W] */
} cosim_zone;

static inline __attribute__((always_inline)) cosim_zone cosim_zone_step(
    const double *restrict k, double air, double ext, double inner,
    double outdoor, double equivalent, double window, double gain_air, double gain_ext, double gain_int,
    double heat_set, double cool_set, double heat_max, double cool_max)
{
    cosim_zone z;
    double w0 = k[H_OUT] * outdoor + k[W_AIR] * window + gain_air + ROW2(k + SPLIT, gain_ext, gain_int);
    const double w1 = k[H_REST] * equivalent + k[W_EXT] * window + ROW2(k + SPLIT + 2, gain_ext, gain_int);
    const double w2 = k[W_INT] * window + ROW2(k + SPLIT + 4, gain_ext, gain_int);
    const double free = ROW3(k + E, air, ext, inner) + ROW3(k + G, w0, w1, w2);

    /* Plain selections of numbers: compilers turn them, and no flags that are combined, into vector code. */
    const double from = heat_max > 0.0 ? heat_set : -INFINITY, to = cool_max > 0.0 ? cool_set : INFINITY;
    const double capped = free > to ? to : free, target = free < from ? from : capped;
    const double heat = free < from ? heat_max : 0.0, cool = free > to ? -cool_max : 0.0;
    /* Without a dead band the sign may change within the step. */
    const double most = cool_set == heat_set ? heat_max : heat, least = cool_set == heat_set ? -cool_max : cool;
    const double high = target == free ? 0.0 : most, low = target == free ? 0.0 : least;

    /* The air is held at the setpoint if the capacity suffices for the mean power that this takes. */
    const double v1 = w1 + k[K_EXT] * target, v2 = w2 + k[K_INT] * target;
    const double held1 = ROW2(k + HELD_F, ext, inner) + ROW2(k + HELD_H, v1, v2);
    const double held2 = ROW2(k + HELD_F + 2, ext, inner) + ROW2(k + HELD_H + 2, v1, v2);
    const double needed = k[C_DT] * (target - air) + (k[H_OUT] + k[W_AIR] + k[K_EXT] + k[K_INT]) * target
        - k[K_EXT] * held1 - k[K_INT] * held2 - w0;
    const double under = needed > high ? high : needed, within = under < low ? low : under;

    /* Else constant power brings it there just at the end, as far as the capacity goes. */
    const double wanted = (target - free) * k[PER_G];
    const double at_most = wanted > high ? high : wanted, limited = at_most < low ? low : at_most;
    w0 = w0 + limited;
    const double m0 = ROW3(k + F, air, ext, inner) + ROW3(k + H, w0, w1, w2);
    const double m1 = ROW3(k + F + 3, air, ext, inner) + ROW3(k + H + 3, w0, w1, w2);
    const double m2 = ROW3(k + F + 6, air, ext, inner) + ROW3(k + H + 6, w0, w1, w2);
    const double e0 = ROW3(k + E, air, ext, inner) + ROW3(k + G, w0, w1, w2);
    const double e1 = ROW3(k + E + 3, air, ext, inner) + ROW3(k + G + 3, w0, w1, w2);
    const double e2 = ROW3(k + E + 6, air, ext, inner) + ROW3(k + G + 6, w0, w1, w2);
    const double g1 = ROW2(k + HELD_E, ext, inner) + ROW2(k + HELD_G, v1, v2);
    const double g2 = ROW2(k + HELD_E + 2, ext, inner) + ROW2(k + HELD_G + 2, v1, v2);

    z.air = within == needed ? target : e0;
    z.ext = within == needed ? g1 : e1;
    z.inner = within == needed ? g2 : e2;
    z.m_air = within == needed ? target : m0;
    z.m_ext = within == needed ? held1 : m1;
    z.m_inner = within == needed ? held2 : m2;
    z.power = within == needed ? needed : limited;
    return z;
}

/* Zones first <= i < last of one archetype over one step; arrays hold a row of n zones for each quantity. */
static inline __attribute__((always_inline)) void cosim_zones_lockstep(
    const double *restrict k, ptrdiff_t first, ptrdiff_t last, ptrdiff_t n, const double *restrict scale,
    const double *restrict drive, const double *restrict control, double *restrict state, double *restrict mean,
    double *restrict flow)
{
    COSIM_INDEPENDENT
    for (ptrdiff_t i = first; i < last; i++) {
        const double s = scale[i], per = 1.0 / s;
        const double outdoor = drive[i], equivalent = drive[n + i], window = drive[2 * n + i];
        const double gain_ext = drive[4 * n + i], gain_int = drive[5 * n + i];
        const cosim_zone z = cosim_zone_step(
            k, state[i], state[n + i], state[2 * n + i], outdoor, equivalent, window,
            drive[3 * n + i] * per, gain_ext * per, gain_int * per,
            control[i], control[n + i], control[2 * n + i] * per, control[3 * n + i] * per);
        state[i] = z.air;
        state[n + i] = z.ext;
        state[2 * n + i] = z.inner;
        mean[i] = z.m_air;
        mean[n + i] = z.m_ext;
        mean[2 * n + i] = z.m_inner;
        flow[i] = s * z.power;
        flow[n + i] = ROW2(k + SPLIT + 6, gain_ext, gain_int) + s * (
            k[H_OUT] * (z.m_air - outdoor) + k[H_REST] * (z.m_ext - equivalent)
            + k[W_AIR] * (z.m_air - window) + k[W_EXT] * (z.m_ext - window) + k[W_INT] * (z.m_inner - window));
    }
}

/* Zones of one archetype over one step whose drive d of 8 values (gains per unit of scale) they share; totals gather heating, cooling, air temperature, degrees below and above the setpoints, and both peaks. */
static inline __attribute__((always_inline)) void cosim_zones_shared(
    const double *restrict k, const double *restrict d, ptrdiff_t first, ptrdiff_t last, ptrdiff_t n,
    const double *restrict capacity, double *restrict state, double *restrict totals)
{
    COSIM_INDEPENDENT
    for (ptrdiff_t i = first; i < last; i++) {
        const cosim_zone z = cosim_zone_step(
            k, state[i], state[n + i], state[2 * n + i], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7],
            capacity[i], capacity[n + i]);
        const double heat = z.power > 0.0 ? z.power : 0.0, cool = z.power < 0.0 ? -z.power : 0.0;
        const double below = d[6] - z.m_air, above = z.m_air - d[7];
        state[i] = z.air;
        state[n + i] = z.ext;
        state[2 * n + i] = z.inner;
        totals[i] += heat;
        totals[n + i] += cool;
        totals[2 * n + i] += z.m_air;
        totals[3 * n + i] += below > 0.0 ? below : 0.0;
        totals[4 * n + i] += above > 0.0 ? above : 0.0;
        totals[5 * n + i] = heat > totals[5 * n + i] ? heat : totals[5 * n + i];
        totals[6 * n + i] = cool > totals[6 * n + i] ? cool : totals[6 * n + i];
    }
}

#define COSIM_LOCKSTEP_ARGUMENTS                                                                                    \
    const double *k, ptrdiff_t first, ptrdiff_t last, ptrdiff_t n, const double *scale, const double *drive,        \
        const double *control, double *state, double *mean, double *flow
#define COSIM_SHARED_ARGUMENTS                                                                                      \
    const double *k, const double *d, ptrdiff_t first, ptrdiff_t last, ptrdiff_t n, const double *capacity,         \
        double *state, double *totals
typedef void (*cosim_lockstep_function)(COSIM_LOCKSTEP_ARGUMENTS);
typedef void (*cosim_shared_function)(COSIM_SHARED_ARGUMENTS);

#define COSIM_FOR(name, attribute)                                                                                  \
    attribute static void cosim_lockstep_##name(COSIM_LOCKSTEP_ARGUMENTS)                                           \
    {                                                                                                               \
        cosim_zones_lockstep(k, first, last, n, scale, drive, control, state, mean, flow);                          \
    }                                                                                                               \
    attribute static void cosim_shared_##name(COSIM_SHARED_ARGUMENTS)                                               \
    {                                                                                                               \
        cosim_zones_shared(k, d, first, last, n, capacity, state, totals);                                          \
    }

COSIM_FOR(base, )
#if defined(__x86_64__) && defined(__GNUC__)
#define COSIM_X86 1
COSIM_FOR(avx2, __attribute__((target("avx2"))))
COSIM_FOR(avx512, __attribute__((target("avx512f,avx512dq,prefer-vector-width=512"))))
#else
#define COSIM_X86 0
#endif

/* Instruction sets by number: 0 what every processor has, 1 AVX2, 2 AVX-512. */
static int cosim_best_target(void)
{
#if COSIM_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) return 2;
    if (__builtin_cpu_supports("avx2")) return 1;
#endif
    return 0;
}

static cosim_lockstep_function cosim_lockstep_for(int target)
{
#if COSIM_X86
    if (target == 2) return cosim_lockstep_avx512;
    if (target == 1) return cosim_lockstep_avx2;
#endif
    (void)target;
    return cosim_lockstep_base;
}

static cosim_shared_function cosim_shared_for(int target)
{
#if COSIM_X86
    if (target == 2) return cosim_shared_avx512;
    if (target == 1) return cosim_shared_avx2;
#endif
    (void)target;
    return cosim_shared_base;
}

#endif
