/* Systems of buildings over one step, before and after the zones: the arithmetic behind _systems.pyx.
 *
 * Every quantity is a row of n buildings. Loops have no branch, so that compilers make vector code of them, once per
 * instruction set; without fused multiply-adds all of them give the same bits.
 */
#ifndef COSIM_SYSTEMS_H
#define COSIM_SYSTEMS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "loops.h"

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define COSIM_CLONES __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define COSIM_CLONES
#endif

enum { SURFACES = 9 };

/* Rows; rows.py, which makes the arrays, uses the same numbers. */
enum { /* of what stays as it is */
    PUMP_CAPACITY = 0,
    HEATING_CAPACITY = 1,
    COOLING_CAPACITY = 2,
    ELECTRIC = 3, /* 1 where heat is electric */
    PUMPS_WATER = 4, /* 0 where a resistance heater makes it */
    TANK_STORE = 5,
    TANK_LOSS = 6, /* 0 for no tank */
    TANK_CAPACITY = 7,
    PV_CAPACITY = 8,
    BATTERY_CAPACITY = 9,
    BATTERY_POWER = 10,
    GROUND_SHARE = 11,
    SKY_DEPRESSION = 12,
    EXTERIOR_SHARE = 13,
    BLINDS = 14
};
enum { /* of what a step is given */
    PERSONS = 0,
    APPLIANCES = 1,
    HOT_WATER = 2,
    COOKING = 3,
    COP = 4,
    WATER_COP = 5,
    COMFORT = 6,
    ENTERED = 7,
    ON_EXTERIOR = 8,
    ON_WALLS = 9,
    THROUGH_WALLS = 10
};
enum { /* of what the zones are given */
    OUTDOOR = 0,
    EQUIVALENT = 1,
    WINDOW = 2,
    GAIN_AIR = 3,
    GAIN_EXTERIOR = 4,
    GAIN_INTERIOR = 5,
    HEAT_TO = 6,
    COOL_TO = 7,
    HEAT_MOST = 8,
    COOL_MOST = 9
};
enum { /* of what the systems keep from before the zones until after them */
    CHARGE = 0,
    WARMTH = 1,
    BY_PUMP = 2,
    WATER = 3,
    BOUNDARY = 4, /* temperature beyond the exterior mass without sun and sky */
    AT_HOME = 5
};
enum { /* of what they publish */
    HEAT = 0,
    ELECTRIC_HEAT = 1,
    COOLING = 2,
    PV = 3,
    BATTERY = 4,
    POWER = 5,
    REACTIVE = 6,
    GAS = 7,
    UNMET = 8
};

typedef struct {
    double pump_cycling, pump_least, tank_at, tank_setpoint, tank_band, tank_cold, tank_room;
    double cool_least, cool_cycling, cool_approach, cool_least_lift, cool_rated_lift, cool_rated, cool_room;
    double battery_one_way, person_gain, convective_gain, convective_sun, boiler;
    double airing_above, airing_outdoor, airing_gap, blinds_warm, setback, heating_setpoint, cooling_setpoint;
    double tan_pump, tan_cooling, tan_appliances;
} cosim_constants;

typedef struct {
    double step_s, outdoor, ground, price_shift, pv_yield;
    double clock_h, middle_h;    /* civil time of the step's beginning, and half the step */
    double cool_full, cool_idle; /* energy efficiency ratios at full load and hardly any */
} cosim_moment;

static inline double cosim_above(double a, double b) { return a > b ? a : b; }
static inline double cosim_below(double a, double b) { return a < b ? a : b; }

/* Electricity for mean heat of a heat pump that cycles below its least load; HeatPumpUnits.power. */
static inline double cosim_pump_power(const cosim_constants *c, double heat, double capacity, double cop)
{
    const double least = c->pump_least * capacity;
    const double cycling = c->pump_cycling * heat + (1 - c->pump_cycling) * least;
    const double at_load = heat < least ? cycling : heat;
    return (heat > 0.0 ? at_load : 0.0) / cop;
}

/* Charge the tanks; Tanks.step. Few have a draw in a step, and the exponential is the dearest of all. */
static void cosim_tanks(
    const cosim_constants *c, double step_s, ptrdiff_t first, ptrdiff_t last, ptrdiff_t n, const double *fixed,
    const double *given, const double *power_cap, const double *idle_change, double *temperature, uint8_t *charging,
    double *kept)
{
    for (ptrdiff_t i = first; i < last; i++) {
        const double store = fixed[TANK_STORE * n + i], loss = fixed[TANK_LOSS * n + i], before = temperature[i];
        const double draw = given[HOT_WATER * n + i];
        if (!(loss > 0.0)) {
            kept[CHARGE * n + i] = kept[WARMTH * n + i] = 0.0;
            continue;
        }
        const int on = charging[i] || before < c->tank_setpoint - c->tank_band;
        const double flow = draw / cosim_above(before - c->tank_cold, c->tank_at - c->tank_cold);
        const double conductance = flow + loss;
        const double change = draw == 0.0 ? idle_change[i] : -expm1(-conductance * step_s / store);
        const double rest = (flow * c->tank_cold + loss * c->tank_room) / conductance;
        const double idle = before + (rest - before) * change;
        double charge = 0.0;
        if (on) {
            const double spare = cosim_above(power_cap[i] - given[APPLIANCES * n + i], 0.0);
            const double most = cosim_below(fixed[TANK_CAPACITY * n + i], spare * given[WATER_COP * n + i]);
            const double wanted = (c->tank_setpoint - idle) * conductance / change;
            charge = cosim_below(cosim_above(wanted, 0.0), most);
        }
        const double end = idle + charge / conductance * change;
        const double gone = charge - store * (end - before) / step_s;
        const double mean = (gone + flow * c->tank_cold + loss * c->tank_room) / conductance;
        temperature[i] = end;
        charging[i] = on && end < c->tank_setpoint - 1e-6;
        kept[CHARGE * n + i] = charge;
        kept[WARMTH * n + i] = loss * (mean - c->tank_room);
    }
}

/* The sun through windows, on the exterior surface behind them, and on walls; blinds are closed on bright windows of
 * warm rooms. Matrices hold a row of n buildings for each surface. */
COSIM_CLONES static void cosim_sun(
    const cosim_constants *c, ptrdiff_t first, ptrdiff_t last, ptrdiff_t n, const double *fixed,
    const double *solar_area, const double *to_exterior, const double *on_walls, const double *irradiance,
    const double *behind, const double *bright, const double *air, double *given)
{
    COSIM_INDEPENDENT
    for (ptrdiff_t i = first; i < last; i++) {
        const double shut = air[i] > c->blinds_warm ? fixed[BLINDS * n + i] : 1.0;
#define SUN(s) ((bright[s] > 0.0 ? shut : 1.0) * (solar_area[(s) * n + i] * behind[s]))
        const double s0 = SUN(0), s1 = SUN(1), s2 = SUN(2), s3 = SUN(3), s4 = SUN(4), s5 = SUN(5), s6 = SUN(6);
        const double s7 = SUN(7), s8 = SUN(8);
#define FALL(k) (to_exterior[(k) * n + i] * s##k)
#define WALL(k) (on_walls[(k) * n + i] * irradiance[k])
        given[ENTERED * n + i] = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7)) + s8;
        given[ON_EXTERIOR * n + i] = ((FALL(0) + FALL(1)) + (FALL(2) + FALL(3)))
            + ((FALL(4) + FALL(5)) + (FALL(6) + FALL(7))) + FALL(8);
        given[ON_WALLS * n + i] = ((WALL(0) + WALL(1)) + (WALL(2) + WALL(3)))
            + ((WALL(4) + WALL(5)) + (WALL(6) + WALL(7))) + WALL(8);
    }
}

/* The comfort limit by the hour of the clock, which each building reads a little earlier or later. */
COSIM_CLONES static void cosim_comfort(
    const cosim_constants *c, ptrdiff_t first, ptrdiff_t last, double clock_h, double middle_h, const double *shift_h,
    const double *spans, ptrdiff_t n_spans, double *comfort)
{
    for (ptrdiff_t k = 0; k < n_spans; k++) {
        const double begin = spans[2 * k], end = spans[2 * k + 1];
        COSIM_INDEPENDENT
        for (ptrdiff_t i = first; i < last; i++) {
            const double late = clock_h + shift_h[i] + middle_h;
            const double positive = late < 0.0 ? late + 24.0 : late;
            const double once = positive >= 24.0 ? positive - 24.0 : positive;
            const double hour = once >= 24.0 ? once - 24.0 : once;
            const double other = k == 0 ? c->setback : comfort[i];
            const double ended = hour < end ? c->heating_setpoint : other;
            comfort[i] = hour >= begin ? ended : other;
        }
    }
}

/* Archetypes: the variant with open windows where rooms are warm and it is cooler outdoors. */
COSIM_CLONES static void cosim_aired(
    const cosim_constants *c, ptrdiff_t first, ptrdiff_t last, double outdoor, const double *air, const int32_t *shut,
    int32_t n_archetypes, int32_t *archetype)
{
    const int32_t more = outdoor >= c->airing_outdoor ? n_archetypes : 0;
    COSIM_INDEPENDENT
    for (ptrdiff_t i = first; i < last; i++) {
        const int warm = air[i] > c->airing_above, cooler = air[i] - c->airing_gap >= outdoor;
        archetype[i] = shut[i] + (warm & cooler) * more;
    }
}

/* What the zones are given. */
COSIM_CLONES static void cosim_before(
    const cosim_constants *c, const cosim_moment *m, ptrdiff_t first, ptrdiff_t last, ptrdiff_t n, const double *fixed,
    const double *given, const double *power_cap, const double *heating_shift, const double *cooling_shift,
    const double *occupancy, double *kept, double *drive)
{
    COSIM_INDEPENDENT
    for (ptrdiff_t i = first; i < last; i++) {
        const double capacity = fixed[PUMP_CAPACITY * n + i], cop = given[COP * n + i], charge = kept[CHARGE * n + i];
        const double appliances = given[APPLIANCES * n + i];
        const double water = charge / given[WATER_COP * n + i];
        const double spare = cosim_above(cosim_above(power_cap[i] - appliances, 0.0) - water, 0.0);

        /* HeatPumpUnits.heat; heat that charges the tank is not available for the rooms */
        const double least = c->pump_least * capacity, steady = spare * cop;
        const double cycling = (steady - (1 - c->pump_cycling) * least) / c->pump_cycling;
        const double most = cosim_below(cosim_above(steady < least ? cycling : steady, 0.0), capacity);
        const double by_pump = cosim_below(most, cosim_above(capacity - charge, 0.0));
        const double backup = cosim_above(spare - cosim_pump_power(c, by_pump, capacity, cop), 0.0);
        const double warm = fixed[ELECTRIC * n + i] > 0.0 ? by_pump + backup : INFINITY;

        /* CoolingUnits.cooling */
        const double cools = fixed[COOLING_CAPACITY * n + i];
        const double cold = cosim_below(spare * cosim_below(m->cool_full, m->cool_idle), cools);

        const double persons = cosim_above(given[PERSONS * n + i] + occupancy[i], 0.0);
        const double inner = appliances + given[COOKING * n + i] + c->person_gain * persons
            + kept[WARMTH * n + i];
        const double radiant = (1 - c->convective_gain) * inner, share = fixed[EXTERIOR_SHARE * n + i];
        const double entered = given[ENTERED * n + i];
        const double sun_exterior = (1 - c->convective_sun) * given[ON_EXTERIOR * n + i];
        const double sun_interior = (1 - c->convective_sun) * entered - sun_exterior;
        const double boundary = m->outdoor + fixed[GROUND_SHARE * n + i] * (m->ground - m->outdoor);
        const double heat_to = given[COMFORT * n + i] + heating_shift[i] - m->price_shift;
        const double cool_to = c->cooling_setpoint + cooling_shift[i] + m->price_shift;

        kept[AT_HOME * n + i] = persons;
        kept[BY_PUMP * n + i] = by_pump;
        kept[WATER * n + i] = water;
        drive[GAIN_AIR * n + i] = c->convective_gain * inner + c->convective_sun * entered;
        drive[GAIN_EXTERIOR * n + i] = share * radiant + sun_exterior;
        drive[GAIN_INTERIOR * n + i] = (1 - share) * radiant + sun_interior + given[THROUGH_WALLS * n + i];
        kept[BOUNDARY * n + i] = boundary;
        drive[OUTDOOR * n + i] = drive[WINDOW * n + i] = m->outdoor;
        drive[EQUIVALENT * n + i] = boundary + given[ON_WALLS * n + i] - fixed[SKY_DEPRESSION * n + i];
        drive[HEAT_TO * n + i] = heat_to;
        drive[COOL_TO * n + i] = cool_to;
        drive[HEAT_MOST * n + i] = cosim_below(fixed[HEATING_CAPACITY * n + i], warm);
        drive[COOL_MOST * n + i] = spare * m->cool_full >= cools ? cools : cold;
    }
}

/* Heat and cooling into electricity and gas, balanced with panels and batteries. */
COSIM_CLONES static void cosim_after(
    const cosim_constants *c, const cosim_moment *m, ptrdiff_t first, ptrdiff_t last, ptrdiff_t n, const double *fixed,
    const double *given, const double *kept, const double *curtailment, const double *power, const double *air,
    double *energy, double *out)
{
    COSIM_INDEPENDENT
    for (ptrdiff_t i = first; i < last; i++) {
        const double heat = cosim_above(power[i], 0.0), taken = cosim_above(-power[i], 0.0);
        const double cools = fixed[COOLING_CAPACITY * n + i], appliances = given[APPLIANCES * n + i];
        const double water = kept[WATER * n + i], electric = fixed[ELECTRIC * n + i];

        /* CoolingUnits.power */
        const double share = cools > 0.0 ? taken / cools : 1.0;
        const double runs = cosim_below(cosim_above(share, c->cool_least), 1.0);
        const double lift = cosim_above(m->outdoor - c->cool_room + c->cool_approach * runs, c->cool_least_lift);
        const double ratio = c->cool_rated * c->cool_rated_lift / lift
            * (1 - c->cool_cycling * (1 - cosim_below(share / runs, 1.0)));
        const double cooling = taken / ratio;

        const double by_pump = electric > 0.0 ? cosim_below(heat, kept[BY_PUMP * n + i]) : 0.0;
        const double compressor = cosim_pump_power(c, by_pump, fixed[PUMP_CAPACITY * n + i], given[COP * n + i]);
        const double backup = electric > 0.0 ? heat - by_pump : 0.0;
        const double boiler = electric > 0.0 ? 0.0 : heat + given[HOT_WATER * n + i];
        const double load = compressor + backup + cooling + appliances + water;
        const double pv = fixed[PV_CAPACITY * n + i] * m->pv_yield * (1 - curtailment[i]);

        /* Batteries.step */
        const double capacity = fixed[BATTERY_CAPACITY * n + i], most = fixed[BATTERY_POWER * n + i];
        const double room = (capacity - energy[i]) / (c->battery_one_way * m->step_s);
        const double held = energy[i] * c->battery_one_way / m->step_s;
        const double battery = cosim_below(cosim_above(pv - load, -cosim_below(most, held)), cosim_below(most, room));
        const double into = battery * c->battery_one_way, from = battery / c->battery_one_way;
        const double stored = battery > 0.0 ? into : from;
        energy[i] = cosim_below(cosim_above(energy[i] + stored * m->step_s, 0.0), capacity);

        out[HEAT * n + i] = heat;
        out[ELECTRIC_HEAT * n + i] = compressor + backup;
        out[COOLING * n + i] = cooling;
        out[PV * n + i] = pv;
        out[BATTERY * n + i] = battery;
        out[POWER * n + i] = load - pv + battery;
        out[REACTIVE * n + i] = c->tan_pump * (compressor + fixed[PUMPS_WATER * n + i] * water)
            + c->tan_cooling * cooling + c->tan_appliances * appliances;
        out[GAS * n + i] = boiler / c->boiler + given[COOKING * n + i];
        out[UNMET * n + i] = cosim_above(given[COMFORT * n + i] - air[i], 0.0)
            + cosim_above(air[i] - c->cooling_setpoint, 0.0);
    }
}

#endif
