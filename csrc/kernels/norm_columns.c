/* Norms whose channels have few places: entries are rows, the c s values of one its
 * columns (kernels/norm.h). Columns are summed first and then joined over the places. */
#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "kernels/norm_table.h"

enum { tile = 512, chunk_items = 32768, numbers = 5 };

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

typedef struct grid {
    int64_t m, tiles, rows, chunks; /* columns; rows of one chunk */
} grid;

static grid grid_of(const gv_norm *p)
{
    grid q = { .m = p->c * p->s };
    q.tiles = (q.m + tile - 1) / tile;
    q.rows = chunk_items / least(q.m > 0 ? q.m : 1, tile);
    q.chunks = (p->b + q.rows - 1) / q.rows;
    return q;
}

/* Scratch: shift(m), sums(chunks, 2, m) in float64, then the numbers of the columns in
 * the dtype. */
typedef struct run {
    const gv_norm_job *w;
    grid q;
    double *shift, *sums;
    char *k[numbers];
} run;

size_t gv_norm_columns_scratch(const gv_norm *p)
{
    grid q = grid_of(p);
    return (size_t)(q.m * (1 + 2 * q.chunks)) * sizeof(double) +
        (size_t)(numbers * q.m) * gv_dtype_size(p->dtype);
}

static run run_of(const gv_norm_job *w)
{
    run r = { .w = w, .q = grid_of(w->p), .shift = (double *)w->scratch };
    r.sums = r.shift + r.q.m;
    char *p = (char *)(r.sums + 2 * r.q.chunks * r.q.m);
    for (int i = 0; i < numbers; i++) r.k[i] = p + (size_t)(i * r.q.m) * w->item;
    return r;
}

typedef struct block {
    int64_t j, cols, rows, chunk;
    size_t byte;
    const void *k[numbers];
} block;

static block block_of(const run *r, int64_t task)
{
    block b = { .j = task % r->q.tiles * tile, .chunk = task / r->q.tiles };
    int64_t i = b.chunk * r->q.rows;
    b.cols = least(tile, r->q.m - b.j);
    b.rows = least(r->q.rows, r->w->p->b - i);
    b.byte = r->w->item * (size_t)(i * r->q.m + b.j);
    for (int k = 0; k < numbers; k++) b.k[k] = r->k[k] + r->w->item * (size_t)b.j;
    return b;
}

static double *sums_of(const run *r, const block *b, int which)
{
    return r->sums + (2 * b->chunk + which) * r->q.m + b->j;
}

static void clear(const run *r, const block *b)
{
    for (int k = 0; k < 2; k++)
        memset(sums_of(r, b, k), 0, (size_t)b->cols * sizeof(double));
}

/* The chunks of every column, in order, into the first. */
static void join(const run *r)
{
    for (int64_t chunk = 1; chunk < r->q.chunks; chunk++) {
        const double *more = r->sums + 2 * chunk * r->q.m;
        for (int64_t j = 0; j < 2 * r->q.m; j++) r->sums[j] += more[j];
    }
}

static int64_t tasks(const run *r) { return r->q.tiles * r->q.chunks; }

/* --- forward ---------------------------------------------------------------------*/

static void shift_task(void *ctx, int64_t task)
{
    const run *r = ctx;
    block b = block_of(r, task); /* of the first chunk */
    int64_t rows = least(b.rows, gv_norm_head(r->w->p) / 16);
    double zero[tile] = { 0 }, each = 1 / (double)rows;
    clear(r, &b);
    double *sum = sums_of(r, &b, 0);
    r->w->table->col_moments(r->w->x + b.byte, rows, r->q.m, b.cols, zero, sum,
                             sums_of(r, &b, 1));
    for (int64_t j = 0; j < b.cols; j++) r->shift[b.j + j] = sum[j] * each;
}

static void moments_task(void *ctx, int64_t task)
{
    const run *r = ctx;
    block b = block_of(r, task);
    clear(r, &b);
    r->w->table->col_moments(r->w->x + b.byte, b.rows, r->q.m, b.cols, r->shift + b.j,
                             sums_of(r, &b, 0), sums_of(r, &b, 1));
}

/* Moments of the channels from those of their columns: about each column's mean, then
 * of these means. */
static void store_moments(const run *r)
{
    const gv_norm *p = r->w->p;
    double each = 1 / (double)p->b, places = 1 / (double)p->s;
    for (int64_t c = 0; c < p->c; c++) {
        const double *shift = r->shift + c * p->s, *sum = r->sums + c * p->s;
        const double *square = sum + r->q.m;
        double mean = 0, about = 0;
        for (int64_t j = 0; j < p->s; j++) mean += shift[j] + sum[j] * each;
        mean *= places;
        for (int64_t j = 0; j < p->s; j++) {
            double d = sum[j] * each, off = shift[j] + d - mean;
            about += square[j] * each - d * d + off * off;
        }
        gv_norm_set(r->w->mean, c, r->w->item, mean);
        gv_norm_set(r->w->var, c, r->w->item, about < 0 ? 0 : about * places);
    }
}

/* Numbers of the columns from those of their channels; sum, square: (c) sums of g and
 * g (x - mean), NULL forward. */
static void spread(const run *r, const double *sum, const double *square)
{
    const gv_norm_job *w = r->w;
    const gv_norm *p = w->p;
    double each = 1 / (double)(p->b * p->s);
    for (int64_t c = 0; c < p->c; c++) {
        double var = gv_norm_get(w->var, c, w->item) + p->eps;
        double scale = gv_norm_get(w->weight, c, w->item) / sqrt(var);
        double value[numbers] = { gv_norm_get(w->mean, c, w->item), scale,
                                  gv_norm_get(w->bias, c, w->item), 0, 0 };
        if (sum != NULL) {
            value[3] = scale * square[c] * each / var;
            value[4] = scale * sum[c] * each;
        }
        for (int k = 0; k < (sum != NULL ? numbers : 3); k++)
            for (int64_t j = 0; j < p->s; j++)
                gv_norm_set(r->k[k], c * p->s + j, w->item, value[k]);
    }
}

static void map_task(void *ctx, int64_t task)
{
    const run *r = ctx;
    block b = block_of(r, task);
    r->w->table->col_affine(r->w->x + b.byte, b.rows, r->q.m, b.cols, b.k,
                            r->w->p->relu, r->w->y + b.byte);
}

void gv_norm_columns(const gv_norm_job *w)
{
    run r = run_of(w);
    gv_parallel_for(r.q.tiles, shift_task, &r);
    gv_parallel_for(tasks(&r), moments_task, &r);
    join(&r);
    store_moments(&r);
    spread(&r, NULL, NULL);
    gv_parallel_for(tasks(&r), map_task, &r);
}

/* --- reverse ---------------------------------------------------------------------*/

static void sums_task(void *ctx, int64_t task)
{
    const run *r = ctx;
    block b = block_of(r, task);
    clear(r, &b);
    r->w->table->col_sums(r->w->x + b.byte, r->w->g + b.byte, b.rows, r->q.m, b.cols,
                          b.k, r->w->p->relu, sums_of(r, &b, 0), sums_of(r, &b, 1));
}

static void pull_task(void *ctx, int64_t task)
{
    const run *r = ctx;
    block b = block_of(r, task);
    r->w->table->col_pull(r->w->x + b.byte, r->w->g + b.byte, b.rows, r->q.m, b.cols,
                          b.k, r->w->p->relu, r->w->y + b.byte);
}

void gv_norm_columns_bwd(const gv_norm_job *w)
{
    run r = run_of(w);
    const gv_norm *p = w->p;
    spread(&r, NULL, NULL);
    gv_parallel_for(tasks(&r), sums_task, &r);
    join(&r);
    for (int64_t c = 0; c < p->c; c++) { /* onto the first c of each array */
        double sum = 0, square = 0;
        for (int64_t j = c * p->s; j < (c + 1) * p->s; j++) {
            sum += r.sums[j];
            square += r.sums[r.q.m + j];
        }
        r.sums[c] = sum;
        r.shift[c] = square;
        double var = gv_norm_get(w->var, c, w->item) + p->eps;
        gv_norm_set(w->g_weight, c, w->item, square / sqrt(var));
        gv_norm_set(w->g_bias, c, w->item, sum);
    }
    spread(&r, r.sums, r.shift);
    gv_parallel_for(tasks(&r), pull_task, &r);
}
