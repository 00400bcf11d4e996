/* Painting kernels, one set per instruction set (sim/pm/paint.inc). */
#ifndef GV_SIM_PM_PAINT_TABLE_H
#define GV_SIM_PM_PAINT_TABLE_H

#include "sim/pm/paint.h"

typedef struct gv_pm_paint_job {
    gv_pm_locator locator;
    gv_pm_brush brush;
    void *mesh;
} gv_pm_paint_job;

/* Paint the particles of rows [row0, row1); false when one has no place on the mesh. */
typedef bool (*gv_pm_paint_rows)(const gv_pm_paint_job *job, int64_t row0,
                                 int64_t row1);

typedef struct gv_pm_paint_kernels {
    gv_pm_paint_rows rows[4];   /* q32, q64, f32, f64 */
    gv_pm_paint_rows spline[2]; /* f32, f64: kinds 1 and 2 */
} gv_pm_paint_kernels;

extern const gv_pm_paint_kernels gv_pm_paint_base, gv_pm_paint_avx2, gv_pm_paint_avx512;

#endif
