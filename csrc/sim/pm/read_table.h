/* Read-out of some rows of particles, one table per instruction set (read.inc). */
#ifndef GV_SIM_PM_READ_TABLE_H
#define GV_SIM_PM_READ_TABLE_H

#include "sim/pm/read.h"

enum { GV_PM_LOST = 1, GV_PM_OVERFLOW = 2 };

/* Read rows from .. to-1; *dot is set (tidal only). Returns the flags above. */
typedef int (*gv_pm_read_rows)(const gv_pm_locator *locator, const gv_pm_read *read,
                               int64_t from, int64_t to, double *dot);

/* by dtype of the particles: f32, f64, q32, q64 */
extern const gv_pm_read_rows gv_pm_read_rows_base[4], gv_pm_read_rows_avx2[4],
    gv_pm_read_rows_avx512[4];

#endif
