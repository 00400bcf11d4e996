/* Reading meshes at floating-point positions with spline windows of any smoothness.
 *
 *     out(f, i) = sum_c d^(dx,dy,dz) W(c, x_i) mesh(f, c)
 *
 * W is the product of centred B-splines of order kind + 2 (cloud in cell, three, four
 * cells wide), derived orders[] times with respect to the position [h/Mpc]; zero beyond
 * the smoothness of the spline's pieces. */
#ifndef GV_SIM_PM_GATHER_H
#define GV_SIM_PM_GATHER_H

#include "sim/pm/pm.h"

/* Scratch (64-byte aligned) for gv_pm_gather. */
size_t gv_pm_gather_bytes(const gv_pm_where *where);

/* meshes one behind the other; out (fields, N). *lost: a position that has no place. */
gv_status gv_pm_gather(const gv_pm_where *where, int kind, const int *orders,
                       int64_t fields, const void *mesh, void *out, void *scratch,
                       bool *lost) GV_MUST;

#endif
