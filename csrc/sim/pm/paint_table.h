/* Painting kernels, one set per instruction set (sim/pm/paint.inc). */
#ifndef GV_SIM_PM_PAINT_TABLE_H
#define GV_SIM_PM_PAINT_TABLE_H

#include "sim/pm/paint.h"

/* A run: at most GV_PM_RUN particles of a row, numbered through. */
typedef struct gv_pm_paint_job {
    gv_pm_locator locator;
    gv_pm_brush brush;
    void *mesh;
    int64_t per_row, runs; /* runs in a row, in all */
    int64_t blocks;        /* blocks of lines in a plane */
    uint8_t *begun;        /* (X, blocks): has the block been cleared yet? */
    uint8_t *late;         /* (runs): the run left its window and was not painted */
} gv_pm_paint_job;

/* Planes first .. first + planes - 1 (modulo X) that a task may write to; all if
 * planes > X. */
typedef struct gv_pm_window {
    int32_t first, planes;
} gv_pm_window;

/* Sorting particles by bands of mesh planes: band = x / width. */
typedef struct gv_pm_sort {
    int32_t width, bands;
    uint32_t *place; /* (bands) for this run: counts, or where its next record goes */
    void *records;   /* NULL: count only */
} gv_pm_sort;

/* All return false when a particle has no place on the mesh. */
typedef struct gv_pm_paint_kernel {
    /* paint runs [run0, run1), those that stay in the window */
    bool (*runs)(const gv_pm_paint_job *job, int64_t run0, int64_t run1,
                 gv_pm_window w);
    /* count the particles of a run in each band, or put their records in their places */
    bool (*sort)(const gv_pm_paint_job *job, int64_t run, const gv_pm_sort *sort);
    /* paint n records */
    void (*records)(const gv_pm_paint_job *job, const void *records, int64_t n);
    /* paint all with a wider spline; NULL for fixed point */
    bool (*splines)(const gv_pm_paint_job *job);
} gv_pm_paint_kernel;

typedef const gv_pm_paint_kernel gv_pm_paint_kernels[4]; /* q32, q64, f32, f64 */
extern gv_pm_paint_kernels gv_pm_paint_base, gv_pm_paint_avx2, gv_pm_paint_avx512;

/* Neighbouring lines of a plane that are cleared together. */
enum { GV_PM_BLOCK_BITS = 4, GV_PM_BLOCK = 1 << GV_PM_BLOCK_BITS };

/* Bytes of a record: cell, offset and values of a particle. */
enum { GV_PM_RECORD_S = 36, GV_PM_RECORD_D = 64 };

#endif
