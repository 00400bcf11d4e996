/* From particles to cells of the mesh and offsets in them.
 *
 * Particles are taken row by row: a row is one line of the lattice along its last axis
 * (fixed point), or GV_PM_RUN neighbours in memory (floating point; the last row may be
 * shorter). Within a row at most GV_PM_RUN particles are located at once, by the
 * functions of locate.inc, which each kernel file compiles for its instruction set. */
#ifndef GV_SIM_PM_LOCATE_H
#define GV_SIM_PM_LOCATE_H

#include "sim/pm/pm.h"

enum { GV_PM_RUN = 256 };

typedef struct gv_pm_locator {
    gv_pm_where where;
    int64_t row;        /* particles per row */
    int64_t rows;       /* rows */
    double per_cell[3]; /* floating point: mesh / box */
    double inverse[3];  /* 1 / mesh */
    int shift;          /* fixed point: 2^-shift is the quantum */
    /* Fixed point, for each lattice index along each axis: cell of the undisplaced
     * particle (below mesh) and offset in it (below 2^shift quanta). */
    const int32_t *cell[3];
    const int32_t *quanta32[3]; /* q32 */
    const int64_t *quanta64[3]; /* q64 */
} gv_pm_locator;

/* Bytes of scratch that the locator's tables need (a multiple of 64); depends on the
 * dtype and the lattice only. */
size_t gv_pm_locator_bytes(gv_dtype dtype, const gv_pm_grid *grid);

/* Fill a locator; its tables go into scratch (64-byte aligned) and live as long.
 * GV_ERR_VALUE when the unit is not an allowed power of two. */
gv_status gv_pm_locator_set(const gv_pm_where *where, void *scratch,
                            gv_pm_locator *locator) GV_MUST;

/* Number of particles of a row. */
static inline int64_t gv_pm_row_length(const gv_pm_locator *l, int64_t row)
{
    int64_t left = l->where.n - row * l->row;
    return left < l->row ? left : l->row;
}

/* First floating-point particle that has no place on the mesh (not finite, or so far
 * away that its cell is lost to rounding), -1 when there is none. */
int64_t gv_pm_find_lost(const gv_pm_where *where);

/* Beyond so many cells from the origin a float64 position has no cell. */
#define GV_PM_FAR 0x1p51

#endif
