/* Painting and the transposed force: see paint.h. */
#include "sim/pm/paint.h"

#include <stdatomic.h>
#include <string.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "sim/pm/paint_table.h"

static const gv_pm_paint_kernels *kernels(void)
{
    switch (gv_simd_level()) {
    case GV_SIMD_AVX512: return &gv_pm_paint_avx512;
    case GV_SIMD_AVX2: return &gv_pm_paint_avx2;
    default: return &gv_pm_paint_base;
    }
}

static gv_pm_paint_rows rows_of(gv_dtype dtype, const gv_pm_brush *brush)
{
    const gv_pm_paint_kernels *k = kernels();
    if (brush->charge == GV_PM_VALUE && brush->kind > 0)
        return k->spline[dtype == GV_F64];
    switch (dtype) {
    case GV_Q32: return k->rows[0];
    case GV_Q64: return k->rows[1];
    case GV_F32: return k->rows[2];
    default: return k->rows[3];
    }
}

size_t gv_pm_paint_bytes(gv_dtype dtype, const gv_pm_grid *grid, int64_t n)
{
    (void)n;
    return gv_pm_locator_bytes(dtype, grid);
}

gv_status gv_pm_paint(const gv_pm_where *where, const gv_pm_brush *brush, bool add,
                      void *mesh, void *scratch, bool *lost)
{
    const int64_t *m = where->grid.mesh;
    gv_pm_paint_job job = { .brush = *brush, .mesh = mesh };
    GV_TRY(gv_pm_locator_set(where, scratch, &job.locator));
    if (!add)
        memset(mesh, 0,
               (size_t)(m[0] * m[1] * m[2]) * gv_dtype_size(gv_pm_real(where->dtype)));
    if (!rows_of(where->dtype, brush)(&job, 0, job.locator.rows)) *lost = true;
    return GV_OK;
}
