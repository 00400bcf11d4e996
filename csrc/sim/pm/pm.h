/* Particles on a periodic mesh: what all of csrc/sim/pm agrees on.
 *
 * Lengths are comoving Mpc/h. Mesh points lie at multiples of the cell, box / mesh; the
 * particle lattice, box / lattice apart, lies half a *mesh* cell off the mesh points
 * (window functions have kinks there). Meshes are plain C arrays (X, Y, Z).
 *
 * Particles come in two forms.
 *  Fixed point, dtype GV_Q32 or GV_Q64: x is (3, N), component-major, N in the order of
 *  the lattice; the displacement from the lattice in quanta of 2^-shift mesh cells, so
 *  that the cell is found by a shift and the offset in it is exact:
 *      position / cell = lattice index * mesh / lattice + 1/2 + x * 2^-shift  (mod mesh)
 *  |x| stays below 2^30 (2^62), which the ops that add to it see to.
 *  Floating point, GV_F32 or GV_F64: x is (N, 3), positions in Mpc/h anywhere on the line. */
#ifndef GV_SIM_PM_H
#define GV_SIM_PM_H

#include "tensor/tensor.h"

typedef struct gv_pm_grid {
    int64_t lattice[3]; /* particles per axis (fixed point only) */
    int64_t mesh[3];
    double box[3]; /* Mpc/h */
} gv_pm_grid;

typedef struct gv_pm_where {
    gv_dtype dtype; /* of x */
    const void *x;
    int64_t n;   /* particles */
    double unit; /* fixed point: 2^-shift, in mesh cells */
    gv_pm_grid grid;
} gv_pm_where;

/* The dtype of weights, meshes and vectors that go with particles of this dtype. */
static inline gv_dtype gv_pm_real(gv_dtype where) { return gv_dtype_cotangent(where); }

/* shift with 2^-shift == unit, 1 <= shift <= 30 (62); anything else is an error. */
gv_status gv_pm_shift(double unit, gv_dtype dtype, int *shift) GV_MUST;

#endif
