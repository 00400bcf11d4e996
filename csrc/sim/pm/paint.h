/* Painting: sums over particles of window weights on the cells of a periodic mesh.
 *
 * With f the offset of a particle in its cell, the cloud-in-cell window has weights
 * (1 - f, f) along each axis, and its slope (-1, 1) / cell. What a particle adds to the
 * eight cells (i, j, k) around it, W the product of the weights:
 *     GV_PM_ONE    factor[0] W
 *     GV_PM_VALUE  factor[0] v W, with the order[d]-th derivative of the weights along
 *                  axis d, per cell
 *     GV_PM_FLUX   sum_d factor[d] v_d W_d, W_d having the slope along d, per cell
 * GV_PM_VALUE also knows the wider splines of three and four cells, kind 1 and 2.
 *
 * The order of the additions to a cell depends on the positions only, so the bits do not
 * depend on the number of threads. */
#ifndef GV_SIM_PM_PAINT_H
#define GV_SIM_PM_PAINT_H

#include "sim/pm/locate.h"

typedef enum gv_pm_charge { GV_PM_ONE, GV_PM_VALUE, GV_PM_FLUX } gv_pm_charge;

typedef struct gv_pm_brush {
    gv_pm_charge charge;
    const void *v;            /* first value, in the real type of the positions */
    int64_t v_next, v_across; /* steps from particle to particle (1 or 3), from v_d to
                               * v_d+1 */
    double factor[3];
    int kind;     /* GV_PM_VALUE: 0 cloud in cell, 1 and 2 the splines after it */
    int order[3]; /* GV_PM_VALUE: at most kind + 1 */
} gv_pm_brush;

/* Scratch for painting n particles (a multiple of 64 bytes). */
size_t gv_pm_paint_bytes(gv_dtype dtype, const gv_pm_grid *grid, int64_t n);

/* mesh(X,Y,Z), in the real type of the positions: what the brush makes of the particles.
 * *lost is set when a particle has no place on the mesh. */
gv_status gv_pm_paint(const gv_pm_where *where, const gv_pm_brush *brush, void *mesh,
                      void *scratch, bool *lost) GV_MUST;

/* mesh: the four-point derivative along axis d of `in`,
 *     [8 (in_+1 - in_-1) - (in_+2 - in_-2)] factor,
 * added to it if `add`. Another mesh than in. */
void gv_pm_stencil(gv_dtype dtype, const gv_pm_grid *grid, int d, double factor,
                   bool add, const void *in, void *mesh);

#endif
