/* Planning and running of reductions; see reduce.h for the order of summation.
 *
 * Neighbouring axes of one kind are merged, so the innermost two groups form panels of
 * rows (reduced) x cols (kept); complex sums are real sums with one more kept axis of
 * length 2. One task makes a tile of results, or one chunk of one tile. */
#include "kernels/reduce.h"

#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "kernels/reduce_table.h"

enum { chunk_items = 1 << 16, tile_cols = 1024, split_below = 32 };

gv_reduce_panel gv_reduce_panel_of(gv_reduce_kind kind, gv_dtype dtype)
{
    switch (gv_simd_level()) {
    case GV_SIMD_AVX512: return gv_reduce_panels_avx512[kind][dtype];
    case GV_SIMD_AVX2: return gv_reduce_panels_avx2[kind][dtype];
    default: return gv_reduce_panels_base[kind][dtype];
    }
}

bool gv_reduce_offers(gv_reduce_kind kind, gv_dtype dtype)
{
    if (kind == GV_REDUCE_SUM) dtype = gv_dtype_real(dtype);
    return gv_reduce_panels_base[kind][dtype].panel != NULL;
}

/* --- accumulators -------------------------------------------------------------------*/

typedef union accumulator { /* room for one tile */
    double d[2 * tile_cols];
    int64_t l[tile_cols];
} accumulator;

static bool is_extremum(const gv_reduce_plan *p)
{
    return p->kind == GV_REDUCE_MAX || p->kind == GV_REDUCE_MIN;
}

/* What is accumulated: double for floats, int64 for ints; extrema in their own type. */
static gv_dtype acc_dtype(const gv_reduce_plan *p)
{
    if (is_extremum(p)) return p->dtype;
    if (gv_dtype_is_complex(p->dtype)) return GV_C128;
    return gv_dtype_is_float(p->dtype) ? GV_F64 : GV_I64;
}

static size_t acc_size(const gv_reduce_plan *p) { return gv_dtype_size(acc_dtype(p)); }

static void acc_clear(const gv_reduce_plan *p, int64_t n, void *acc)
{
    double inf = p->kind == GV_REDUCE_MAX ? -INFINITY : INFINITY;
    bool max = p->kind == GV_REDUCE_MAX, extremum = is_extremum(p);
    double start = p->kind == GV_REDUCE_PROD;
    int64_t whole = extremum ? (max ? INT64_MIN : INT64_MAX) : (int64_t)start;
    switch (acc_dtype(p)) {
    case GV_BOOL: memset(acc, !max, (size_t)n); break;
    case GV_I32:
        for (int64_t j = 0; j < n; j++)
            ((int32_t *)acc)[j] = max ? INT32_MIN : INT32_MAX;
        break;
    case GV_F32:
        for (int64_t j = 0; j < n; j++) ((float *)acc)[j] = (float)inf;
        break;
    case GV_F64:
        for (int64_t j = 0; j < n; j++) ((double *)acc)[j] = extremum ? inf : start;
        break;
    case GV_C128:
        for (int64_t j = 0; j < n; j++)
            ((double *)acc)[2 * j] = start, ((double *)acc)[2 * j + 1] = 0;
        break;
    default:
        for (int64_t j = 0; j < n; j++) ((int64_t *)acc)[j] = whole;
    }
}

static void acc_store(const gv_reduce_plan *p, int64_t n, const void *acc, void *out)
{
    if (is_extremum(p) || gv_dtype_size(p->dtype) == acc_size(p)) {
        memcpy(out, acc, (size_t)n * acc_size(p));
        return;
    }
    if (gv_dtype_is_complex(p->dtype)) n *= 2;
    if (p->dtype == GV_I32)
        for (int64_t j = 0; j < n; j++)
            ((int32_t *)out)[j] = (int32_t)((const int64_t *)acc)[j];
    else
        for (int64_t j = 0; j < n; j++)
            ((float *)out)[j] = (float)((const double *)acc)[j];
}

/* acc op= more: the panel of the accumulator's own type. */
static void acc_join(const gv_reduce_plan *p, int64_t n, void *acc, const void *more)
{
    gv_reduce_panel join = gv_reduce_panel_of(p->kind, acc_dtype(p));
    join.panel(more, n, 1, n, acc);
}

/* --- plan ----------------------------------------------------------------------------*/

static void plan_groups(gv_reduce_plan *p, const gv_shape *shape, const bool *reduced)
{
    int64_t dim[GV_MAX_DIM + 2];
    bool red[GV_MAX_DIM + 2];
    int n = 0;
    for (int k = 0; k < shape->ndim; k++) {
        if (shape->dim[k] == 1) continue;
        if (n > 0 && red[n - 1] == reduced[k])
            dim[n - 1] *= shape->dim[k];
        else
            dim[n] = shape->dim[k], red[n++] = reduced[k];
    }
    if (p->kind == GV_REDUCE_SUM && gv_dtype_is_complex(p->dtype)) {
        p->dtype = gv_dtype_real(p->dtype);
        if (n > 0 && !red[n - 1])
            dim[n - 1] *= 2;
        else
            dim[n] = 2, red[n++] = false;
    }
    p->cols = n > 0 && !red[n - 1] ? dim[--n] : 1;
    p->rows = n > 0 && red[n - 1] ? dim[--n] : 1;
    p->n_outer = n;
    p->kept = p->folds = 1;
    int64_t stride = p->rows * p->cols;
    for (int k = n - 1; k >= 0; k--) {
        p->dim[k] = dim[k];
        p->reduced[k] = red[k];
        p->stride[k] = stride;
        stride *= dim[k];
        *(red[k] ? &p->folds : &p->kept) *= dim[k];
    }
}

void gv_reduce_plan_make(gv_reduce_plan *p, gv_reduce_kind kind, gv_dtype dtype,
                         const gv_shape *shape, const bool *reduced)
{
    memset(p, 0, sizeof *p);
    p->kind = kind;
    p->dtype = dtype;
    plan_groups(p, shape, reduced);
    p->col_tile = p->cols < tile_cols ? p->cols : tile_cols;
    if (p->col_tile < 1) p->col_tile = 1;
    p->tiles = (p->cols + p->col_tile - 1) / p->col_tile;
    p->chunk_rows = chunk_items / p->col_tile;
    p->row_chunks = (p->rows + p->chunk_rows - 1) / p->chunk_rows;
    p->chunk_folds =
        p->rows > 0 && p->rows < p->chunk_rows ? p->chunk_rows / p->rows : 1;
    if (p->chunk_folds > p->folds) p->chunk_folds = p->folds;
    int64_t fold_chunks =
        p->chunk_folds > 0 ? (p->folds + p->chunk_folds - 1) / p->chunk_folds : 0;
    p->chunks = p->row_chunks * fold_chunks;
    p->split = p->chunks > 1 && p->kept * p->tiles < split_below;
    int64_t work = p->rows * p->col_tile * p->folds;
    p->group = work > 0 && work < chunk_items ? chunk_items / work : 1;
}

size_t gv_reduce_scratch(const gv_reduce_plan *p)
{
    if (!p->split) return 0;
    return (size_t)(p->kept * p->tiles * p->chunks * p->col_tile) * acc_size(p);
}

/* --- run -----------------------------------------------------------------------------*/

typedef struct reduce_job {
    const gv_reduce_plan *p;
    gv_reduce_panel panel;
    const char *x;
    char *out, *scratch;
} reduce_job;

/* Element offset of outer index i among the groups that are (not) reduced. */
static int64_t outer_offset(const gv_reduce_plan *p, bool reduced, int64_t i)
{
    int64_t offset = 0;
    for (int k = p->n_outer - 1; k >= 0; k--)
        if (p->reduced[k] == reduced) {
            offset += i % p->dim[k] * p->stride[k];
            i /= p->dim[k];
        }
    return offset;
}

static void run_chunk(const reduce_job *r, int64_t base, int64_t cols, int64_t chunk,
                      void *acc)
{
    const gv_reduce_plan *p = r->p;
    size_t item = gv_dtype_size(p->dtype);
    int64_t i0 = chunk % p->row_chunks * p->chunk_rows;
    int64_t rows = p->rows - i0 < p->chunk_rows ? p->rows - i0 : p->chunk_rows;
    int64_t f = chunk / p->row_chunks * p->chunk_folds;
    int64_t end = f + p->chunk_folds < p->folds ? f + p->chunk_folds : p->folds;
    acc_clear(p, cols, acc);
    for (; f < end; f++) {
        int64_t at = base + i0 * p->cols;
        if (p->folds > 1) at += outer_offset(p, true, f);
        r->panel.panel(r->x + (size_t)at * item, p->cols, rows, cols, acc);
    }
}

static void run_result(const reduce_job *r, int64_t index)
{
    const gv_reduce_plan *p = r->p;
    int64_t o = index / p->tiles, j0 = index % p->tiles * p->col_tile;
    int64_t cols = p->cols - j0 < p->col_tile ? p->cols - j0 : p->col_tile;
    int64_t base = outer_offset(p, false, o) + j0;
    char *out = r->out + (size_t)(o * p->cols + j0) * gv_dtype_size(p->dtype);
    accumulator acc, more;
    if (p->chunks == 0)
        acc_clear(p, cols, &acc);
    else
        run_chunk(r, base, cols, 0, &acc);
    for (int64_t c = 1; c < p->chunks; c++) {
        run_chunk(r, base, cols, c, &more);
        acc_join(p, cols, &acc, &more);
    }
    acc_store(p, cols, &acc, out);
}

/* Contiguous stretches of one chunk, one after another. */
static bool are_lines(const reduce_job *r)
{
    const gv_reduce_plan *p = r->p;
    return r->panel.lines != NULL && p->cols == 1 && p->folds == 1 && p->chunks == 1;
}

static void group_task(void *ctx, int64_t task)
{
    const reduce_job *r = ctx;
    int64_t i = task * r->p->group, n = r->p->kept * r->p->tiles;
    int64_t end = i + r->p->group < n ? i + r->p->group : n;
    if (are_lines(r)) {
        size_t item = gv_dtype_size(r->p->dtype);
        r->panel.lines(r->x + (size_t)(i * r->p->rows) * item, end - i, r->p->rows,
                       r->out + (size_t)i * item);
        return;
    }
    for (; i < end; i++) run_result(r, i);
}

static void split_task(void *ctx, int64_t task)
{
    const reduce_job *r = ctx;
    const gv_reduce_plan *p = r->p;
    int64_t index = task / p->chunks, o = index / p->tiles;
    int64_t j0 = index % p->tiles * p->col_tile;
    int64_t cols = p->cols - j0 < p->col_tile ? p->cols - j0 : p->col_tile;
    char *acc = r->scratch + (size_t)(task * p->col_tile) * acc_size(p);
    run_chunk(r, outer_offset(p, false, o) + j0, cols, task % p->chunks, acc);
}

static void join_split(const reduce_job *r)
{
    const gv_reduce_plan *p = r->p;
    size_t step = (size_t)p->col_tile * acc_size(p);
    for (int64_t index = 0; index < p->kept * p->tiles; index++) {
        int64_t o = index / p->tiles, j0 = index % p->tiles * p->col_tile;
        int64_t cols = p->cols - j0 < p->col_tile ? p->cols - j0 : p->col_tile;
        char *acc = r->scratch + (size_t)(index * p->chunks) * step;
        for (int64_t c = 1; c < p->chunks; c++)
            acc_join(p, cols, acc, acc + (size_t)c * step);
        acc_store(p, cols, acc,
                  r->out + (size_t)(o * p->cols + j0) * gv_dtype_size(p->dtype));
    }
}

void gv_reduce_run(const gv_reduce_plan *p, const void *x, void *out, void *scratch)
{
    reduce_job r = { p, gv_reduce_panel_of(p->kind, p->dtype), x, out, scratch };
    int64_t n = p->kept * p->tiles;
    if (p->split) {
        gv_parallel_for(n * p->chunks, split_task, &r);
        join_split(&r);
    } else {
        gv_parallel_for((n + p->group - 1) / p->group, group_task, &r);
    }
}
