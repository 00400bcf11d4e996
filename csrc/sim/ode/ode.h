/* Two small systems of ordinary differential equations, many rows at once.
 *
 * SIR: y = (S, I), parameters (beta, gamma, N): S' = -beta S I/N, I' = beta S I/N - gamma
 * I. Lotka-Volterra: y = (prey x, predators y), parameters (a, b, c, d): x' = a x - b x y,
 * y' = -c y + d x y. Time in the units of the rates.
 *
 * Dormand and Prince's pair of orders 5 and 4 (1980), local extrapolation, steps cut at
 * the points of the grid. The error of a step is held below rtol of each component: states
 * of both systems stay positive, and a population that nearly dies out decides when it
 * comes back. A row that needs more than max_steps steps (rejected ones counted), leaves
 * the positive numbers or is not finite comes out as NaN at all times. */
#ifndef GV_SIM_ODE_H
#define GV_SIM_ODE_H

#include <stdint.h>

typedef enum gv_ode_system {
    GV_ODE_SIR,
    GV_ODE_LOTKA_VOLTERRA,
    GV_ODE_SYSTEMS
} gv_ode_system;

enum { GV_ODE_STATES = 2 };
int gv_ode_parameters(gv_ode_system system);

/* path(rows, points, 2) at times 0, span, 2 span, ...; y0(rows, 2), p(rows, parameters) */
void gv_ode_paths(gv_ode_system system, int64_t rows, int64_t points, double span,
                  double rtol, int64_t max_steps, const double *y0, const double *p,
                  double *path);

#endif
