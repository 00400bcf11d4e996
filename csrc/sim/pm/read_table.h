/* Read-out of some tiles of particles, one table per instruction set (read.inc). */
#ifndef GV_SIM_PM_READ_TABLE_H
#define GV_SIM_PM_READ_TABLE_H

#include "sim/pm/read.h"

enum { GV_PM_LOST = 1, GV_PM_OVERFLOW = 2 };
enum { GV_PM_LINES = 16 }; /* most lines along the last axis in a tile */

/* The particles taken as a box of n points in C order, cut into tiles (1, tile[0],
 * tile[1]) of at most GV_PM_RUN. Tiles are read in the order slab of `slab` planes, along
 * y, along z, plane of the slab, so that the mesh around a slab passes through the cache
 * once for all of its planes. */
typedef struct gv_pm_order {
    int64_t n[3], tile[2], tiles[2]; /* tiles along y and z */
    int64_t slab;
} gv_pm_order;

/* Read tiles from .. to-1 (in that order); *dot is set (tidal only). Returns the flags. */
typedef int (*gv_pm_read_tiles)(const gv_pm_locator *locator, const gv_pm_read *read,
                                const gv_pm_order *order, int64_t from, int64_t to,
                                double *dot);

/* by dtype of the particles: f32, f64, q32, q64 */
extern const gv_pm_read_tiles gv_pm_read_tiles_base[4], gv_pm_read_tiles_avx2[4],
    gv_pm_read_tiles_avx512[4];

#endif
