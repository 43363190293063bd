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

#include "loops.h"

/* Layout of a row of coefficients; zone_network.py, which writes the rows, uses the same numbers. */
enum {
    H_OUT = 0,    /* air to outdoors */
    H_REST = 1,   /* exterior mass to the equivalent outdoor temperature */
    K_EXT = 2,    /* air to exterior mass */
    K_INT = 3,    /* air to interior mass */
    C_DT = 4,     /* heat capacity of the air over the step */
    W_AIR = 5,    /* air, exterior and interior mass to behind the windows */
    W_EXT = 6,
    W_INT = 7,
    SPLIT = 8,    /* 4 x 2: share of a gain at the two surfaces that reaches air, both masses, and outdoors by windows */
    C_EXT = 16,   /* heat capacities of both masses over the step */
    C_INT = 17,
    E = 18,       /* 3 x 3: state at the end from the state at the start */
    G = 27,       /* symmetric 3 x 3: state at the end from heat into the nodes, mean from heat stored at the start */
    H = 33,       /* symmetric 3 x 3: mean state from heat into the nodes */
    HELD_E = 39,  /* 2 x 2, and so on: the two masses while the air is held at a temperature */
    HELD_G = 43,
    HELD_H = 46,
    PER_G = 49,   /* 1 / G[0][0] */
    EMITS = 50,   /* 1 where heating or cooling acts on surfaces too, and the columns below are used */
    BY_HEAT = 51, /* share of heating that reaches air, both masses, and outdoors by windows */
    BY_COOL = 55, /* and of cooling */
    PER_HELD = 59, /* of heating and cooling: power that holds the air per heat that the air would need alone */
    PER_FREE = 61  /* and power per kelvin by which it lifts the air at the end */
};


/* Coefficients of a zone lie w apart: 1 in a row that zones share, LANES where each of them has its own. */
#define K(column) k[(column) * w]
#define ROW2(m, a, b) (K(m) * (a) + K((m) + 1) * (b))
#define ROW3(m, a, b, c) (K(m) * (a) + K((m) + 1) * (b) + K((m) + 2) * (c))
/* Rows of symmetric matrices, of which the upper triangle is kept. */
#define TOP2(m, a, b) ROW2(m, a, b)
#define LOW2(m, a, b) ROW2((m) + 1, a, b)
#define TOP3(m, a, b, c) ROW3(m, a, b, c)
#define MID3(m, a, b, c) (K((m) + 1) * (a) + K((m) + 3) * (b) + K((m) + 4) * (c))
#define LOW3(m, a, b, c) (K((m) + 2) * (a) + K((m) + 4) * (b) + K((m) + 5) * (c))

typedef struct {
    double air, ext, inner;      /* temperatures at the end [degC] */
    double m_air, m_ext, m_inner; /* and their means over the step */
    double power;                /* mean heating (+) or cooling (-) per unit of scale [W] */
    double lost;                 /* and its part that leaves by windows */
} cosim_zone;

static inline __attribute__((always_inline)) cosim_zone cosim_zone_step(
    const int emits, const ptrdiff_t w, const double *restrict k, double air, double ext, double inner,
    double outdoor, double equivalent, double window, double gain_air, double gain_ext, double gain_int,
    double heat_set, double cool_set, double heat_max, double cool_max)
{
    cosim_zone z;
    double w0 = K(H_OUT) * outdoor + K(W_AIR) * window + gain_air + ROW2(SPLIT, gain_ext, gain_int);
    double w1 = K(H_REST) * equivalent + K(W_EXT) * window + ROW2(SPLIT + 2, gain_ext, gain_int);
    double w2 = K(W_INT) * window + ROW2(SPLIT + 4, gain_ext, gain_int);
    const double c_air = K(C_DT) * air, c_ext = K(C_EXT) * ext, c_int = K(C_INT) * inner;
    const double free = ROW3(E, air, ext, inner) + TOP3(G, w0, w1, w2);

    /* Plain selections of numbers: compilers vectorise these, but not combined flags. */
    const double from = heat_max > 0.0 ? heat_set : -INFINITY, to = cool_max > 0.0 ? cool_set : INFINITY;
    const double capped = free > to ? to : free, target = free < from ? from : capped;
    const double heat = free < from ? heat_max : 0.0, cool = free > to ? -cool_max : 0.0;
    /* Without a dead band the sign may change within the step. */
    const double most = cool_set == heat_set ? heat_max : heat, least = cool_set == heat_set ? -cool_max : cool;
    const double high = target == free ? 0.0 : most, low = target == free ? 0.0 : least;

    /* The air is held at the setpoint if the capacity covers the mean power that this requires. */
    double v1 = w1 + K(K_EXT) * target, v2 = w2 + K(K_INT) * target;
    double held1 = TOP2(HELD_G, c_ext, c_int) + TOP2(HELD_H, v1, v2);
    double held2 = LOW2(HELD_G, c_ext, c_int) + LOW2(HELD_H, v1, v2);
    double needed = K(C_DT) * (target - air) + (K(H_OUT) + K(W_AIR) + K(K_EXT) + K(K_INT)) * target
        - K(K_EXT) * held1 - K(K_INT) * held2 - w0;
    double wanted = target - free, b0 = 1.0, b1 = 0.0, b2 = 0.0, b3 = 0.0;
    if (emits) {
        /* Both are loaded, and one selected: a load under a condition is no vector code. */
        const double held_heat = K(PER_HELD), held_cool = K(PER_HELD + 1);
        const double free_heat = K(PER_FREE), free_cool = K(PER_FREE + 1);
        needed = needed * (needed > 0.0 ? held_heat : held_cool);
        wanted = wanted * (wanted > 0.0 ? free_heat : free_cool);
    } else {
        wanted = wanted * K(PER_G);
    }
    const double under = needed > high ? high : needed, within = under < low ? low : under;

    /* Otherwise constant power, limited by the capacity, brings it there just at the end. */
    const double at_most = wanted > high ? high : wanted, limited = at_most < low ? low : at_most;
    const double power = within == needed ? needed : limited;
    if (emits) {
        const double heat0 = K(BY_HEAT), heat1 = K(BY_HEAT + 1), heat2 = K(BY_HEAT + 2), heat3 = K(BY_HEAT + 3);
        const double cool0 = K(BY_COOL), cool1 = K(BY_COOL + 1), cool2 = K(BY_COOL + 2), cool3 = K(BY_COOL + 3);
        b0 = power > 0.0 ? heat0 : cool0;
        b1 = power > 0.0 ? heat1 : cool1;
        b2 = power > 0.0 ? heat2 : cool2;
        b3 = power > 0.0 ? heat3 : cool3;
        w1 = w1 + b1 * power;
        w2 = w2 + b2 * power;
        v1 = v1 + b1 * power;
        v2 = v2 + b2 * power;
        held1 = TOP2(HELD_G, c_ext, c_int) + TOP2(HELD_H, v1, v2);
        held2 = LOW2(HELD_G, c_ext, c_int) + LOW2(HELD_H, v1, v2);
        w0 = w0 + b0 * limited;
    } else {
        w0 = w0 + limited;
    }
    const double m0 = TOP3(G, c_air, c_ext, c_int) + TOP3(H, w0, w1, w2);
    const double m1 = MID3(G, c_air, c_ext, c_int) + MID3(H, w0, w1, w2);
    const double m2 = LOW3(G, c_air, c_ext, c_int) + LOW3(H, w0, w1, w2);
    const double e0 = ROW3(E, air, ext, inner) + TOP3(G, w0, w1, w2);
    const double e1 = ROW3(E + 3, air, ext, inner) + MID3(G, w0, w1, w2);
    const double e2 = ROW3(E + 6, air, ext, inner) + LOW3(G, w0, w1, w2);
    const double g1 = ROW2(HELD_E, ext, inner) + TOP2(HELD_G, v1, v2);
    const double g2 = ROW2(HELD_E + 2, ext, inner) + LOW2(HELD_G, v1, v2);

    z.air = within == needed ? target : e0;
    z.ext = within == needed ? g1 : e1;
    z.inner = within == needed ? g2 : e2;
    z.m_air = within == needed ? target : m0;
    z.m_ext = within == needed ? held1 : m1;
    z.m_inner = within == needed ? held2 : m2;
    z.power = power;
    z.lost = b3 * power;
    return z;
}

/* Zones first <= i < last over one step: of one archetype, or of their own with w coefficients side by side; arrays
 * hold a row of n zones for each quantity. */
static inline __attribute__((always_inline)) void cosim_zones_lockstep(
    const int emits, const ptrdiff_t w, const double *restrict row, ptrdiff_t first, ptrdiff_t last, ptrdiff_t n,
    const double *restrict scale, const double *restrict drive, const double *restrict control,
    double *restrict state, double *restrict mean, double *restrict flow)
{
    COSIM_INDEPENDENT
    for (ptrdiff_t i = first; i < last; i++) {
        const double *k = w == 1 ? row : row + (i - first);
        const double s = scale[i], per = 1.0 / s;
        const double outdoor = drive[i], equivalent = drive[n + i], window = drive[2 * n + i];
        const double gain_ext = drive[4 * n + i], gain_int = drive[5 * n + i];
        const cosim_zone z = cosim_zone_step(
            emits, w, k, state[i], state[n + i], state[2 * n + i], outdoor, equivalent, window,
            drive[3 * n + i] * per, gain_ext * per, gain_int * per,
            control[i], control[n + i], control[2 * n + i] * per, control[3 * n + i] * per);
        state[i] = z.air;
        state[n + i] = z.ext;
        state[2 * n + i] = z.inner;
        mean[i] = z.m_air;
        mean[n + i] = z.m_ext;
        mean[2 * n + i] = z.m_inner;
        flow[i] = s * z.power;
        const double out = K(H_OUT) * (z.m_air - outdoor) + K(H_REST) * (z.m_ext - equivalent)
            + K(W_AIR) * (z.m_air - window) + K(W_EXT) * (z.m_ext - window) + K(W_INT) * (z.m_inner - window);
        flow[n + i] = ROW2(SPLIT + 6, gain_ext, gain_int) + s * (emits ? out + z.lost : out);
    }
}

/* Zones of one archetype over one step whose drive d of 8 values (gains per unit of scale) they share; totals gather heating, cooling, air temperature, degrees below and above the setpoints, and both peaks. */
static inline __attribute__((always_inline)) void cosim_zones_shared(
    const int emits, const double *restrict k, const double *restrict d, ptrdiff_t first, ptrdiff_t last, ptrdiff_t n,
    const double *restrict capacity, double *restrict state, double *restrict totals)
{
    COSIM_INDEPENDENT
    for (ptrdiff_t i = first; i < last; i++) {
        const cosim_zone z = cosim_zone_step(
            emits, 1, k, state[i], state[n + i], state[2 * n + i], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7],
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

enum {
    LANES = 8,   /* zones side by side whose coefficients differ */
    WITHOUT = 50, /* columns of a row that are used without emission at surfaces, rounded up, */
    USED = 64    /* and with it */
};

/* Coefficients of LANES zones, from a row for each to a column for each: two columns of four zones at a time. */
static inline __attribute__((always_inline)) void cosim_side_by_side(
    const int used, const double *restrict coefficients, ptrdiff_t width, const int32_t *restrict archetype, double *restrict own)
{
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define COSIM_SHUFFLES
    typedef double two __attribute__((vector_size(16), aligned(8)));
    typedef double four __attribute__((vector_size(32), aligned(8)));
    for (int lane = 0; lane < LANES; lane += 4) {
        const double *row[4];
        for (int j = 0; j < 4; j++) row[j] = coefficients + archetype[lane + j] * width;
        for (int c = 0; c < used; c += 2) {
            const two a = *(const two *)(row[0] + c), b = *(const two *)(row[1] + c);
            const two d = *(const two *)(row[2] + c), e = *(const two *)(row[3] + c);
            const four even = __builtin_shufflevector(a, d, 0, 1, 2, 3), odd = __builtin_shufflevector(b, e, 0, 1, 2, 3);
            *(four *)(own + c * LANES + lane) = __builtin_shufflevector(even, odd, 0, 4, 2, 6);
            *(four *)(own + (c + 1) * LANES + lane) = __builtin_shufflevector(even, odd, 1, 5, 3, 7);
        }
    }
#endif
#endif
#ifndef COSIM_SHUFFLES
    for (int lane = 0; lane < LANES; lane++)
        for (int c = 0; c < used; c++) own[c * LANES + lane] = coefficients[archetype[lane] * width + c];
#endif
}

/* Zones first <= i < last, whose neighbours differ, over one step. */
static inline __attribute__((always_inline)) void cosim_zones_mixed(
    const int emits, const double *restrict coefficients, ptrdiff_t width, const int32_t *restrict archetype,
    ptrdiff_t first, ptrdiff_t last, ptrdiff_t n, const double *restrict scale, const double *restrict drive,
    const double *restrict control, double *restrict state, double *restrict mean, double *restrict flow)
{
    double own[USED * LANES];
    ptrdiff_t i = first;
    for (; i + LANES <= last; i += LANES) {
        cosim_side_by_side(emits ? USED : WITHOUT, coefficients, width, archetype + i, own);
        cosim_zones_lockstep(emits, LANES, own, i, i + LANES, n, scale, drive, control, state, mean, flow);
    }
    for (; i < last; i++)
        cosim_zones_lockstep(
            emits, 1, coefficients + archetype[i] * width, i, i + 1, n, scale, drive, control, state, mean, flow);
}

#define COSIM_LOCKSTEP_ARGUMENTS                                                                                    \
    const double *k, ptrdiff_t first, ptrdiff_t last, ptrdiff_t n, const double *scale, const double *drive,        \
        const double *control, double *state, double *mean, double *flow
#define COSIM_MIXED_ARGUMENTS                                                                                       \
    const double *coefficients, ptrdiff_t width, const int32_t *archetype, ptrdiff_t first, ptrdiff_t last,         \
        ptrdiff_t n, const double *scale, const double *drive, const double *control, double *state, double *mean,  \
        double *flow
#define COSIM_SHARED_ARGUMENTS                                                                                      \
    const double *k, const double *d, ptrdiff_t first, ptrdiff_t last, ptrdiff_t n, const double *capacity,         \
        double *state, double *totals
typedef void (*cosim_lockstep_function)(COSIM_LOCKSTEP_ARGUMENTS);
typedef void (*cosim_mixed_function)(COSIM_MIXED_ARGUMENTS);
typedef void (*cosim_shared_function)(COSIM_SHARED_ARGUMENTS);

/* What a zone does not use costs it nothing: every loop exists without and with emission at surfaces. */
#define COSIM_LOOPS(name, attribute, emits)                                                                         \
    attribute static void cosim_lockstep_##name(COSIM_LOCKSTEP_ARGUMENTS)                                           \
    {                                                                                                               \
        cosim_zones_lockstep(emits, 1, k, first, last, n, scale, drive, control, state, mean, flow);                \
    }                                                                                                               \
    attribute static void cosim_mixed_##name(COSIM_MIXED_ARGUMENTS)                                                 \
    {                                                                                                               \
        cosim_zones_mixed(                                                                                          \
            emits, coefficients, width, archetype, first, last, n, scale, drive, control, state, mean, flow);       \
    }                                                                                                               \
    attribute static void cosim_shared_##name(COSIM_SHARED_ARGUMENTS)                                               \
    {                                                                                                               \
        cosim_zones_shared(emits, k, d, first, last, n, capacity, state, totals);                                   \
    }
#define COSIM_FOR(name, attribute) COSIM_LOOPS(name##_air, attribute, 0) COSIM_LOOPS(name##_surfaces, attribute, 1)
#define COSIM_PAIR(loop, name) {cosim_##loop##_##name##_air, cosim_##loop##_##name##_surfaces}

COSIM_FOR(base, )
#if defined(__x86_64__) && defined(__GNUC__)
#define COSIM_X86 1
COSIM_FOR(avx2, __attribute__((target("avx2"))))
COSIM_FOR(avx512, __attribute__((target("avx512f,avx512dq,prefer-vector-width=512"))))
#define COSIM_TABLE(loop)                                                                                           \
    static const cosim_##loop##_function cosim_##loop##_for[3][2] = {                                               \
        COSIM_PAIR(loop, base), COSIM_PAIR(loop, avx2), COSIM_PAIR(loop, avx512)};
#else
#define COSIM_X86 0
#define COSIM_TABLE(loop) static const cosim_##loop##_function cosim_##loop##_for[1][2] = {COSIM_PAIR(loop, base)};
#endif

/* Loops by instruction set, and without and with emission at surfaces. */
COSIM_TABLE(lockstep)
COSIM_TABLE(mixed)
COSIM_TABLE(shared)

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

#endif
