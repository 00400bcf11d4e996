/* Reading meshes at the particles: cutting into tasks, errors, the instruction set. */
#include "sim/pm/read.h"

#include "base/cpu.h"
#include "base/parallel.h"
#include "sim/pm/read_table.h"

enum { task_particles = 8192 };

struct job {
    gv_pm_locator locator;
    gv_pm_order order;
    const gv_pm_read *read;
    gv_pm_read_tiles tiles;
    int64_t count, step; /* tiles in all and per task */
    double *dot;         /* per task */
    int *flags;
};

/* Floating-point positions may have come from a lattice with a whole number of mesh
 * cells or of particles per cell: neighbours in it are then near each other. Only the
 * order of reading depends on this guess. */
static bool guess_lattice(const gv_pm_grid *grid, int64_t n, int64_t *lattice)
{
    for (int64_t factor = 1; factor <= 8; factor++)
        for (int up = 0; up < 2; up++) {
            int64_t total = 1;
            for (int d = 0; d < 3; d++) {
                int64_t m = grid->mesh[d];
                lattice[d] = up ? m * factor : m % factor == 0 ? m / factor : 0;
                total *= lattice[d];
            }
            if (total == n && n > 0) return true;
        }
    return false;
}

static int64_t most(int64_t a, int64_t b) { return a < b ? a : b; }

static gv_pm_order order_of(gv_dtype where, const gv_pm_grid *grid, int64_t n)
{
    gv_pm_order o = { .n = { 1, 1, n }, .tile = { 1, GV_PM_RUN }, .slab = 1 };
    int64_t lattice[3];
    bool fixed = gv_dtype_is_fixed(where);
    if (fixed || guess_lattice(grid, n, lattice)) {
        for (int d = 0; d < 3; d++) o.n[d] = fixed ? grid->lattice[d] : lattice[d];
        o.tile[1] = most(o.n[2], 128);
        o.tile[0] = most(GV_PM_RUN / o.tile[1], GV_PM_LINES);
        o.slab = 16;
    }
    for (int d = 0; d < 2; d++) o.tiles[d] = (o.n[1 + d] + o.tile[d] - 1) / o.tile[d];
    return o;
}

static int64_t tile_count(const gv_pm_order *o)
{
    return o->n[0] * o->tiles[0] * o->tiles[1];
}

/* Tiles per task. */
static int64_t step_of(const gv_pm_order *o)
{
    return task_particles / (o->tile[0] * o->tile[1]);
}

static int64_t task_count(const gv_pm_order *o)
{
    return (tile_count(o) + step_of(o) - 1) / step_of(o);
}

size_t gv_pm_read_bytes(gv_dtype where, const gv_pm_grid *grid, int64_t n)
{
    gv_pm_order o = order_of(where, grid, n);
    return gv_pm_locator_bytes(where, grid) +
        (size_t)task_count(&o) * (sizeof(double) + sizeof(int));
}

static void do_task(void *ctx, int64_t index)
{
    const struct job *j = ctx;
    int64_t from = index * j->step, to = from + j->step;
    if (to > j->count) to = j->count;
    j->flags[index] =
        j->tiles(&j->locator, j->read, &j->order, from, to, &j->dot[index]);
}

static const gv_pm_read_tiles *table(void)
{
#if defined(__x86_64__)
    switch (gv_simd_level()) {
    case GV_SIMD_AVX512: return gv_pm_read_tiles_avx512;
    case GV_SIMD_AVX2: return gv_pm_read_tiles_avx2;
    default: break;
    }
#endif
    return gv_pm_read_tiles_base;
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
    struct job j = { .read = read, .tiles = table()[dtype_index(where->dtype)] };
    double dot = 0;
    int flags = 0;
    GV_TRY(gv_pm_locator_set(where, scratch, &j.locator));
    j.order = order_of(where->dtype, &where->grid, where->n);
    j.count = tile_count(&j.order);
    j.step = step_of(&j.order);
    int64_t tasks = task_count(&j.order);
    j.dot =
        (double *)((char *)scratch + gv_pm_locator_bytes(where->dtype, &where->grid));
    j.flags = (int *)(j.dot + tasks);
    gv_parallel_for(tasks, do_task, &j);
    for (int64_t k = 0; k < tasks; k++) dot += j.dot[k], flags |= j.flags[k];
    if (read->dot) *read->dot = dot;
    return complain(where, flags);
}
