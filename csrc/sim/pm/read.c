/* Reading meshes at the particles: cutting into tasks, errors, the instruction set. */
#include "sim/pm/read.h"

#include "base/cpu.h"
#include "base/parallel.h"
#include "sim/pm/read_table.h"

enum { task_particles = 8192 };

struct job {
    gv_pm_locator locator;
    const gv_pm_read *read;
    gv_pm_read_rows rows;
    int64_t step; /* rows per task */
    double *dot;  /* per task */
    int *flags;
};

static int64_t row_of(gv_dtype where, const gv_pm_grid *grid)
{
    int64_t row = gv_dtype_is_fixed(where) ? grid->lattice[2] : GV_PM_RUN;
    return row > 0 ? row : 1;
}

static int64_t step_of(int64_t row)
{
    return row < task_particles ? task_particles / row : 1;
}

static int64_t task_count(int64_t n, int64_t row)
{
    int64_t each = step_of(row) * row;
    return (n + each - 1) / each;
}

size_t gv_pm_read_bytes(gv_dtype where, const gv_pm_grid *grid, int64_t n)
{
    size_t tasks = (size_t)task_count(n, row_of(where, grid));
    return gv_pm_locator_bytes(where, grid) + tasks * (sizeof(double) + sizeof(int));
}

static void do_task(void *ctx, int64_t index)
{
    const struct job *j = ctx;
    int64_t from = index * j->step, to = from + j->step;
    if (to > j->locator.rows) to = j->locator.rows;
    j->flags[index] = j->rows(&j->locator, j->read, from, to, &j->dot[index]);
}

static const gv_pm_read_rows *table(void)
{
#if defined(__x86_64__)
    switch (gv_simd_level()) {
    case GV_SIMD_AVX512: return gv_pm_read_rows_avx512;
    case GV_SIMD_AVX2: return gv_pm_read_rows_avx2;
    default: break;
    }
#endif
    return gv_pm_read_rows_base;
}

static int dtype_index(gv_dtype d)
{
    return d == GV_F32 ? 0 : d == GV_F64 ? 1 : d == GV_Q32 ? 2 : 3;
}

static gv_status complain(const gv_pm_where *where, int flags)
{
    if (flags & GV_PM_LOST)
        return gv_fail(
            GV_ERR_VALUE,
            "positions: particle %lld is not at a finite place; mask or mend "
            "such rows first",
            (long long)gv_pm_find_lost(where));
    if (flags & GV_PM_OVERFLOW)
        return gv_fail(GV_ERR_VALUE,
                       "a kick takes a momentum beyond the range of its fixed-point "
                       "numbers; take a larger quantum of momentum (unit[1])");
    return GV_OK;
}

gv_status gv_pm_read_all(const gv_pm_where *where, const gv_pm_read *read,
                         void *scratch)
{
    struct job j = { .read = read, .rows = table()[dtype_index(where->dtype)] };
    int64_t row = row_of(where->dtype, &where->grid), tasks = task_count(where->n, row);
    double dot = 0;
    int flags = 0;
    GV_TRY(gv_pm_locator_set(where, scratch, &j.locator));
    j.step = step_of(row);
    j.dot =
        (double *)((char *)scratch + gv_pm_locator_bytes(where->dtype, &where->grid));
    j.flags = (int *)(j.dot + tasks);
    gv_parallel_for(tasks, do_task, &j);
    for (int64_t k = 0; k < tasks; k++) dot += j.dot[k], flags |= j.flags[k];
    if (read->dot) *read->dot = dot;
    return complain(where, flags);
}
