/* The gradient of a large weight, consumed by Adam while it is in the cache.
 *
 * Columns of the weight are cut into strips; a tile of a strip, h^T x, is multiplied out
 * and used at once, so that the gradient never goes to memory. */
#include <string.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "kernels/dense.h"
#include "kernels/dense_table.h"
#include "kernels/gemm.h"

enum {
    strip_columns = 1024,
    strip_row = strip_columns + 16, /* rows of a strip: not a power of two apart */
    tile_rows = 24, /* a multiple of every tile height of the products */
    most_tasks = 32
};

typedef struct adam_run {
    gv_dense d;
    const gv_adam *a;
    size_t item, slot, at_tile, at_h;
    int64_t per, strips; /* strips per task, in all */
    const char *h, *x, *p, *m, *v;
    int64_t h_row;
    char *pn, *mn, *vn, *scratch;
} adam_run;

static size_t align(size_t n) { return (n + 63) / 64 * 64; }
static int64_t min2(int64_t a, int64_t b) { return a < b ? a : b; }

static adam_run layout(const gv_dense *d)
{
    adam_run r = { .d = *d, .item = gv_dtype_size(d->dtype) };
    r.at_tile = align((size_t)(d->m * strip_row) * r.item);
    r.slot = r.at_tile + align((size_t)(min2(tile_rows, d->n) * strip_row) * r.item);
    r.strips = (d->k + strip_columns - 1) / strip_columns;
    r.per = (r.strips + most_tasks - 1) / most_tasks;
    r.at_h = (size_t)((r.strips + r.per - 1) / (r.per ? r.per : 1)) * r.slot;
    return r;
}

size_t gv_dense_adam_scratch(const gv_dense *d)
{
    if (d->m * d->n * d->k == 0) return 0;
    adam_run r = layout(d);
    return r.at_h + (d->relu ? align((size_t)(d->m * d->n) * r.item) : 0);
}

static void run_tile(const adam_run *r, int64_t i, int64_t j, int64_t columns,
                     const char *strip, char *tile)
{
    const gv_dense *d = &r->d;
    int64_t rows = min2(tile_rows, d->n - i);
    gv_gemm g = { .dtype = d->dtype,
                  .m = rows,
                  .n = columns,
                  .k = d->m,
                  .batch = 1,
                  .a_row = 1,
                  .a_col = r->h_row,
                  .b_row = strip_row,
                  .b_col = 1,
                  .c_row = strip_row };
    const char *near[3] = { r->p, r->m, r->v };
    for (int q = 0; q < 3; q++)
        g.ahead[g.n_ahead++] =
            (gv_ahead){ near[q] + (size_t)(i * d->k + j) * r->item, rows,
                        columns * (int64_t)r->item, d->k * (int64_t)r->item };
    gv_gemm_serial(&g, r->h + (size_t)i * r->item, strip, tile, NULL);
    for (int64_t l = 0; l < rows; l++) {
        int64_t from = (i + l) * d->k + j;
        size_t at = (size_t)from * r->item;
        gv_adam_run(d->dtype, columns, r->a, r->p + at, r->m + at, r->v + at,
                    tile + (size_t)(l * strip_row) * r->item, r->pn + at, r->mn + at,
                    r->vn + at);
    }
}

static void strip_task(void *ctx, int64_t task)
{
    const adam_run *r = ctx;
    const gv_dense *d = &r->d;
    char *strip = r->scratch + (size_t)task * r->slot, *tile = strip + r->at_tile;
    int64_t s = task * r->per, end = min2(s + r->per, r->strips);
    for (; s < end; s++) {
        int64_t j = s * strip_columns, columns = min2(strip_columns, d->k - j);
        size_t bytes = (size_t)columns * r->item;
        for (int64_t i = 0; i < d->m; i++)
            memcpy(strip + (size_t)(i * strip_row) * r->item,
                   r->x + (size_t)(i * d->x_row + j) * r->item, bytes);
        for (int64_t i = 0; i < d->n; i += tile_rows)
            run_tile(r, i, j, columns, strip, tile);
    }
}

static const gv_dense_kernels *kernels_for(gv_dtype dtype)
{
    int which = dtype == GV_F64;
    switch (gv_simd_level()) {
    case GV_SIMD_AVX512: return &gv_dense_avx512[which];
    case GV_SIMD_AVX2: return &gv_dense_avx2[which];
    default: return &gv_dense_base[which];
    }
}

void gv_dense_adam(const gv_dense *d, const gv_adam *a, const void *g_y, const void *y,
                   const void *x, const void *const *from, void *const *to,
                   void *scratch)
{
    if (d->n * d->k == 0) return;
    if (d->m == 0) {
        gv_adam zero = *a;
        zero.factor = 0; /* no rows, no gradient; p is read in its place */
        gv_adam_run(d->dtype, d->n * d->k, &zero, from[0], from[1], from[2], from[0],
                    to[0], to[1], to[2]);
        return;
    }
    adam_run r = layout(d);
    r.a = a, r.x = x, r.scratch = scratch;
    r.p = from[0], r.m = from[1], r.v = from[2];
    r.pn = to[0], r.mn = to[1], r.vn = to[2];
    r.h = g_y, r.h_row = d->y_row;
    if (d->relu) {
        char *h = r.scratch + r.at_h;
        kernels_for(d->dtype)->gate(d->m, d->n, g_y, d->y_row, y, d->y_row, h, NULL);
        r.h = h, r.h_row = d->n;
    }
    gv_parallel_for((r.strips + r.per - 1) / r.per, strip_task, &r);
}
