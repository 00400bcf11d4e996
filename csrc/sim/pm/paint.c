/* Painting on several threads with bits that do not depend on their number.
 *
 * The particles are cut, in their order, into slabs. Particles that began on a lattice are
 * still near it, so those of a slab mostly write to the planes of the mesh near where the
 * slab began: it gets a window of planes, half a slab wider on both sides, and slabs of
 * one colour (even or odd) have windows that do not overlap. Even slabs are painted first,
 * all at once, then the odd ones. A run of particles that leaves the window of its slab is
 * late and painted afterwards: a few late runs in their order; many, as with particles in
 * random order, in batches that are sorted by bands of planes, again even bands and then
 * odd ones. Slabs, batches and bands depend on the sizes of the problem alone, and what is
 * late on the positions alone.
 *
 * A block of lines of cells is cleared when first written to (it is in the cache then);
 * those that nobody wrote to are cleared in the end. */
#include "sim/pm/paint.h"

#include <stdatomic.h>
#include <string.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "sim/pm/paint_table.h"

enum { max_bands = 64, slab_planes = 32, few = 8 };

static const gv_pm_paint_kernel *kernel_of(gv_dtype dtype)
{
    int k = dtype == GV_Q32 ? 0 : dtype == GV_Q64 ? 1 : dtype == GV_F32 ? 2 : 3;
    switch (gv_simd_level()) {
    case GV_SIMD_AVX512: return &gv_pm_paint_avx512[k];
    case GV_SIMD_AVX2: return &gv_pm_paint_avx2[k];
    default: return &gv_pm_paint_base[k];
    }
}

/* --- sizes ----------------------------------------------------------------------------*/

static int64_t runs_per_row(gv_dtype dtype, const gv_pm_grid *grid)
{
    return gv_dtype_is_fixed(dtype) ? (grid->lattice[2] + GV_PM_RUN - 1) / GV_PM_RUN
                                    : 1;
}

static int64_t run_count(gv_dtype dtype, const gv_pm_grid *grid, int64_t n)
{
    return gv_dtype_is_fixed(dtype)
        ? grid->lattice[0] * grid->lattice[1] * runs_per_row(dtype, grid)
        : (n + GV_PM_RUN - 1) / GV_PM_RUN;
}

static int64_t block_count(const gv_pm_grid *grid)
{
    return (grid->mesh[1] + GV_PM_BLOCK - 1) / GV_PM_BLOCK;
}

/* Runs of a batch to be sorted: a 64th of all, but not too few, nor too much memory. */
static int64_t batch_runs(int64_t runs)
{
    int64_t batch = runs / 64 < 64 ? 64 : runs / 64;
    if (batch > 4096) batch = 4096;
    return batch < runs ? batch : runs;
}

static size_t padded(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

typedef struct layout { /* of the scratch: offsets */
    size_t begun, late, batch, places, records, end;
} layout;

static layout layout_of(gv_dtype dtype, const gv_pm_grid *grid, int64_t n)
{
    int64_t runs = run_count(dtype, grid, n), batch = batch_runs(runs);
    bool single = gv_pm_real(dtype) == GV_F32;
    layout l = { .begun = gv_pm_locator_bytes(dtype, grid) };
    l.late = l.begun + padded((size_t)(grid->mesh[0] * block_count(grid)));
    l.batch = l.late + padded((size_t)runs);
    l.places = l.batch + padded((size_t)batch * sizeof(int64_t));
    l.records = l.places + padded((size_t)batch * max_bands * sizeof(uint32_t));
    l.end = l.records +
        padded((size_t)batch * GV_PM_RUN * (single ? GV_PM_RECORD_S : GV_PM_RECORD_D));
    return l;
}

size_t gv_pm_paint_bytes(gv_dtype dtype, const gv_pm_grid *grid, int64_t n)
{
    return layout_of(dtype, grid, n).end;
}

/* --- slabs ----------------------------------------------------------------------------*/

typedef struct painter {
    gv_pm_paint_job job;
    const gv_pm_paint_kernel *kernel;
    int64_t slabs, colour; /* of this wave */
    /* a batch */
    int64_t *batch, count;
    uint32_t *places; /* (count, bands) */
    char *records;
    size_t record;
    int32_t width, bands;
    uint32_t from[max_bands + 1];
    bool counting;
    atomic_bool lost;
} painter;

/* Slabs of at least a few planes, an even number; one for small meshes. */
static int64_t slab_count(int64_t planes)
{
    if (planes < 16) return 1;
    int64_t slabs = planes / (2 * slab_planes) * 2;
    return slabs < 4 ? 4 : slabs;
}

static int64_t window_start(const painter *p, int64_t slab)
{
    int64_t nx = p->job.locator.where.grid.mesh[0];
    return slab * nx / p->slabs - nx / (2 * p->slabs);
}

static void paint_slab(void *ctx, int64_t index)
{
    painter *p = ctx;
    int64_t slab = 2 * index + p->colour, runs = p->job.runs;
    int32_t nx = (int32_t)p->job.locator.where.grid.mesh[0];
    gv_pm_window w = { 0, nx + 1 };
    if (p->slabs > 1) {
        int64_t first = window_start(p, slab);
        w.first = (int32_t)(first < 0 ? first + nx : first);
        w.planes = (int32_t)(window_start(p, slab + 2) - first);
    }
    if (!p->kernel->runs(&p->job, slab * runs / p->slabs, (slab + 1) * runs / p->slabs,
                         w))
        p->lost = true;
}

/* --- late runs ------------------------------------------------------------------------*/

static void sort_run(void *ctx, int64_t index)
{
    painter *p = ctx;
    gv_pm_sort s = { p->width, p->bands, p->places + index * p->bands,
                     p->counting ? NULL : p->records };
    if (p->counting) memset(s.place, 0, (size_t)p->bands * sizeof *s.place);
    if (!p->kernel->sort(&p->job, p->batch[index], &s)) p->lost = true;
}

/* From counts to places: by band, then by run. */
static void set_places(painter *p)
{
    uint32_t next = 0;
    for (int32_t b = 0; b < p->bands; b++) {
        p->from[b] = next;
        for (int64_t k = 0; k < p->count; k++) {
            uint32_t n = p->places[k * p->bands + b];
            p->places[k * p->bands + b] = next;
            next += n;
        }
    }
    p->from[p->bands] = next;
}

static void paint_band(void *ctx, int64_t index)
{
    painter *p = ctx;
    int64_t band = 2 * index + p->colour;
    p->kernel->records(&p->job, p->records + p->from[band] * p->record,
                       p->from[band + 1] - p->from[band]);
}

/* A band writes to the plane after it too. With an odd number of bands, the last is
 * neighbour of the first: it comes alone. */
static void paint_batch(painter *p)
{
    int64_t pairs = p->bands / 2;
    p->counting = true;
    gv_parallel_for(p->count, sort_run, p);
    set_places(p);
    p->counting = false;
    gv_parallel_for(p->count, sort_run, p);
    for (p->colour = 0; p->colour < 2; p->colour++)
        gv_parallel_for(pairs, paint_band, p);
    p->colour = 0;
    if (p->bands % 2) paint_band(p, pairs);
}

static void paint_late(painter *p)
{
    gv_pm_paint_job *job = &p->job;
    gv_pm_window all = { 0, (int32_t)job->locator.where.grid.mesh[0] + 1 };
    int64_t late = 0, room = batch_runs(job->runs);
    for (int64_t r = 0; r < job->runs; r++) late += job->late[r];
    if (late == 0) return;
    if (late < job->runs / few) {
        for (int64_t r = 0; r < job->runs; r++)
            if (job->late[r] && !p->kernel->runs(job, r, r + 1, all)) p->lost = true;
        return;
    }
    p->count = 0;
    for (int64_t r = 0; r < job->runs; r++) {
        if (job->late[r]) p->batch[p->count++] = r;
        if (p->count < room && (r < job->runs - 1 || p->count == 0)) continue;
        paint_batch(p);
        p->count = 0;
    }
}

static void clear_rest(void *ctx, int64_t x)
{
    painter *p = ctx;
    const gv_pm_where *w = &p->job.locator.where;
    const int64_t *m = w->grid.mesh;
    size_t bytes = (size_t)m[2] * gv_dtype_size(gv_pm_real(w->dtype));
    for (int64_t y = 0; y < m[1]; y++)
        if (!p->job.begun[x * p->job.blocks + y / GV_PM_BLOCK])
            memset((char *)p->job.mesh + (size_t)(x * m[1] + y) * bytes, 0, bytes);
}

gv_status gv_pm_paint(const gv_pm_where *where, const gv_pm_brush *brush, void *mesh,
                      void *scratch, bool *lost)
{
    const int64_t *m = where->grid.mesh;
    layout at = layout_of(where->dtype, &where->grid, where->n);
    char *base = scratch;
    size_t size = gv_dtype_size(gv_pm_real(where->dtype));
    painter p = { .job = { .brush = *brush, .mesh = mesh },
                  .kernel = kernel_of(where->dtype) };
    GV_TRY(gv_pm_locator_set(where, scratch, &p.job.locator));
    if (brush->kind > 0) { /* one thread */
        memset(mesh, 0, (size_t)(m[0] * m[1] * m[2]) * size);
        if (!p.kernel->splines(&p.job)) *lost = true;
        return GV_OK;
    }
    p.job.per_row = runs_per_row(where->dtype, &where->grid);
    p.job.runs = run_count(where->dtype, &where->grid, where->n);
    p.job.blocks = block_count(&where->grid);
    p.job.begun = (uint8_t *)base + at.begun;
    p.job.late = (uint8_t *)base + at.late;
    memset(p.job.begun, 0, at.batch - at.begun);
    p.batch = (int64_t *)(base + at.batch);
    p.places = (uint32_t *)(base + at.places);
    p.records = base + at.records;
    p.record = size == 4 ? GV_PM_RECORD_S : GV_PM_RECORD_D;
    p.width = (int32_t)((m[0] + max_bands - 1) / max_bands);
    p.bands = (int32_t)((m[0] + p.width - 1) / p.width);
    p.slabs = slab_count(m[0]);
    if (p.slabs == 1)
        paint_slab(&p, 0);
    else
        for (p.colour = 0; p.colour < 2; p.colour++)
            gv_parallel_for(p.slabs / 2, paint_slab, &p);
    paint_late(&p);
    gv_parallel_for(m[0], clear_rest, &p);
    *lost = *lost || p.lost;
    return GV_OK;
}
