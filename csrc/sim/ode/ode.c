/* Adaptive Runge-Kutta integration of the systems of ode.h, rows in parallel. */
#include "sim/ode/ode.h"

#include <math.h>
#include <stdbool.h>

#include "base/parallel.h"

enum { S = GV_ODE_STATES, STAGES = 7, ROWS = 64 };

typedef void (*slope_fn)(const double *y, const double *p, double *dy);

static void sir(const double *y, const double *p, double *dy)
{
    double infected = p[0] * y[0] * y[1] / p[2];
    dy[0] = -infected;
    dy[1] = infected - p[1] * y[1];
}

static void lotka_volterra(const double *y, const double *p, double *dy)
{
    double met = y[0] * y[1];
    dy[0] = p[0] * y[0] - p[1] * met;
    dy[1] = -p[2] * y[1] + p[3] * met;
}

static const struct {
    slope_fn slope;
    int parameters;
} systems[GV_ODE_SYSTEMS] = { { sir, 3 }, { lotka_volterra, 4 } };

int gv_ode_parameters(gv_ode_system system) { return systems[system].parameters; }

/* the pair: row k gives the point of stage k + 1; the last row is the step itself */
static const double pair[STAGES - 1][STAGES - 1] = {
    { 1.0 / 5 },
    { 3.0 / 40, 9.0 / 40 },
    { 44.0 / 45, -56.0 / 15, 32.0 / 9 },
    { 19372.0 / 6561, -25360.0 / 2187, 64448.0 / 6561, -212.0 / 729 },
    { 9017.0 / 3168, -355.0 / 33, 46732.0 / 5247, 49.0 / 176, -5103.0 / 18656 },
    { 35.0 / 384, 0, 500.0 / 1113, 125.0 / 192, -2187.0 / 6784, 11.0 / 84 },
};
/* order 5 minus order 4 */
static const double defect[STAGES] = { 71.0 / 57600,      0,
                                       -71.0 / 16695,     71.0 / 1920,
                                       -17253.0 / 339200, 22.0 / 525,
                                       -1.0 / 40 };

/* One step of length h from y with slope k[0]: new state, k[6] its slope; returns the
 * largest error relative to its allowance, NaN or infinity where the step is no good. */
static double step(slope_fn slope, const double *p, double h, double rtol,
                   const double *y, double k[STAGES][S], double *next)
{
    for (int s = 1; s < STAGES; s++) {
        for (int e = 0; e < S; e++) {
            double sum = 0;
            for (int j = 0; j < s; j++) sum += pair[s - 1][j] * k[j][e];
            next[e] = y[e] + h * sum;
        }
        slope(next, p, k[s]);
    }
    double worst = 0;
    for (int e = 0; e < S; e++) {
        double error = 0;
        for (int s = 0; s < STAGES; s++) error += defect[s] * k[s][e];
        if (!(next[e] > 0)) return INFINITY;
        double ratio = fabs(h * error) / (rtol * fmax(y[e], next[e]));
        if (!(ratio <= worst)) worst = ratio; /* keeps NaN */
    }
    return worst;
}

static bool solve(slope_fn slope, int64_t points, double span, double rtol,
                  int64_t max_steps, const double *y0, const double *p, double *path)
{
    double y[S], next[S], k[STAGES][S];
    for (int e = 0; e < S; e++) {
        path[e] = y[e] = y0[e];
        if (!(y[e] > 0) || isinf(y[e])) return false;
    }
    slope(y, p, k[0]);
    double rate = 0;
    for (int e = 0; e < S; e++) rate = fmax(rate, fabs(k[0][e]) / y[e]);
    double h = 0.01 / (rate + 1 / span);
    int64_t steps = 0;
    for (int64_t i = 1; i < points; i++) {
        double left = span;
        while (left > 0) {
            bool last = h >= left;
            double now = last ? left : h;
            double error = step(slope, p, now, rtol, y, k, next);
            if (++steps > max_steps) return false;
            double grow = error > 0 ? 0.9 * pow(error, -0.2) : 5;
            if (!(grow >= 0.2)) grow = 0.2; /* also NaN */
            if (grow > 5) grow = 5;
            if (error <= 1) {
                for (int e = 0; e < S; e++) {
                    y[e] = next[e];
                    k[0][e] = k[STAGES - 1][e];
                }
                left = last ? 0 : left - now;
                if (!last || grow * now > h) h = grow * now;
            } else {
                h = fmin(grow, 0.9) * now;
            }
        }
        for (int e = 0; e < S; e++) path[i * S + e] = y[e];
    }
    return true;
}

typedef struct paths {
    gv_ode_system system;
    int64_t rows, points, max_steps;
    double span, rtol;
    const double *y0, *p;
    double *path;
} paths;

static void some_rows(void *ctx, int64_t index)
{
    const paths *c = ctx;
    int np = systems[c->system].parameters;
    int64_t end = (index + 1) * ROWS < c->rows ? (index + 1) * ROWS : c->rows;
    for (int64_t r = index * ROWS; r < end; r++) {
        double *path = c->path + r * c->points * S;
        if (!solve(systems[c->system].slope, c->points, c->span, c->rtol, c->max_steps,
                   c->y0 + r * S, c->p + r * np, path))
            for (int64_t i = 0; i < c->points * S; i++) path[i] = NAN;
    }
}

void gv_ode_paths(gv_ode_system system, int64_t rows, int64_t points, double span,
                  double rtol, int64_t max_steps, const double *y0, const double *p,
                  double *path)
{
    paths c = { system, rows, points, max_steps, span, rtol, y0, p, path };
    if (points > 0) gv_parallel_for((rows + ROWS - 1) / ROWS, some_rows, &c);
}
