/* What the particle-mesh operators share: attributes, checks and types of their inputs.
 *
 * All pm_ operators begin their attributes with lattice:ints(3), mesh:ints(3), lx, ly,
 * lz:float, and take positions x followed (not always at once) by unit: fixed point
 * (3,N) with float64 unit (2), or floating point (N,3), for which the lattice and the
 * value of unit do not matter. Vectors that go with the particles have the layout of x
 * and its real type. Batch axes stand in front of all of them. */
#ifndef GV_OPS_PM_COMMON_H
#define GV_OPS_PM_COMMON_H

#include "ops/ops.h"
#include "ops/rank.h"
#include "sim/pm/locate.h"

/* The attributes every pm_ operator begins with; the same text for each. */
#define GV_PM_ATTRS "lattice:ints, mesh:ints, lx:float, ly:float, lz:float"
enum { GV_PM_NATTR = 11 }; /* their slots */

/* Read the grid from attributes that have been checked; returns what follows them. */
const int64_t *gv_pm_grid_take(const int64_t *attr, gv_pm_grid *grid);

/* Checks for shape rules. Input numbers: x of the positions, unit, v of a vector that
 * goes with x, mesh. Each has checked those named before it. */
gv_status gv_pm_check_grid(const gv_infer *inf, gv_pm_grid *grid) GV_MUST;
/* mesh axes 1..2^20, below 2^31 cells, box sides finite and positive; for ops with other
 * attributes */
gv_status gv_pm_check_mesh_box(const char *op, const gv_pm_grid *grid) GV_MUST;
gv_status gv_pm_check_x(const gv_infer *inf, int x, const gv_pm_grid *grid) GV_MUST;
gv_status gv_pm_check_unit(const gv_infer *inf, int unit, int x) GV_MUST;
gv_status gv_pm_check_vector(const gv_infer *inf, int v, int x) GV_MUST;
gv_status gv_pm_check_field(const gv_infer *inf, int mesh, int x,
                            const gv_pm_grid *grid) GV_MUST;
gv_status gv_pm_check_scalar(const gv_infer *inf, int scalar,
                             int x) GV_MUST; /* float64 */

/* Number of particles of x, and the types of a vector and of a mesh that go with it. */
int64_t gv_pm_count(const gv_type *x);
gv_type gv_pm_vector_type(const gv_type *x);
gv_status gv_pm_field_type(const gv_type *x, const gv_pm_grid *grid,
                           gv_type *out) GV_MUST;

/* For kernels: entry b of the batch of x and unit (input numbers) as the simulation code
 * takes it. unit is checked by gv_pm_locator_set(). */
gv_pm_where gv_pm_where_of(const gv_call *call, int x, int unit, int64_t b);
/* The error for a kernel that came upon a particle without a place: names its row. */
gv_status gv_pm_lost(const gv_call *call, const gv_pm_where *where) GV_MUST;

#endif
