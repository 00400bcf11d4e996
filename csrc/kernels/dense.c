/* Linear layers: many small maps in tasks of whole groups, few large ones by parallel
 * products. Every cut depends on the sizes alone. */
#include "kernels/dense.h"

#include <string.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "kernels/dense_table.h"
#include "kernels/blas.h"
#include "kernels/gemm.h"

enum {
    most_tasks = 32,
    most_slot = 1 << 20, /* bytes of working memory of a task */
    gate_block = 1 << 15 /* elements gated by a task */
};

typedef struct dense_run {
    gv_dense d;
    size_t item;
    bool packed_x;  /* rows of x apart: copied together first */
    bool gated;     /* h is not g_y as it lies */
    int64_t per;    /* groups per task */
    int64_t blocks; /* of rows */
    size_t slot, at_h, at_sum;
    const char *x, *w, *b, *g_y;
    char *y, *g_x, *g_w, *g_b, *scratch;
    const char *h; /* flat: of the group in work */
    int64_t group;
} dense_run;

static size_t align(size_t n) { return (n + 63) / 64 * 64; }
static int64_t min2(int64_t a, int64_t b) { return a < b ? a : b; }

static const gv_dense_kernels *kernels_for(gv_dtype dtype)
{
    int which = dtype == GV_F64;
    switch (gv_simd_level()) {
    case GV_SIMD_AVX512: return &gv_dense_avx512[which];
    case GV_SIMD_AVX2: return &gv_dense_avx2[which];
    default: return &gv_dense_base[which];
    }
}

static const char *at(const dense_run *r, const char *base, int64_t elements)
{
    return base ? base + (size_t)elements * r->item : NULL;
}

static char *to(const dense_run *r, char *base, int64_t elements)
{
    return base ? base + (size_t)elements * r->item : NULL;
}

/* --- the three products -----------------------------------------------------------------*/

/* y = x w^T (+ b, relu) */
static gv_gemm product_y(const gv_dense *d, const void *b)
{
    return (gv_gemm){ .dtype = d->dtype,
                      .m = d->m,
                      .n = d->n,
                      .k = d->k,
                      .batch = d->groups,
                      .a_row = d->x_row,
                      .a_col = 1,
                      .b_row = 1,
                      .b_col = d->k,
                      .c_row = d->y_row,
                      .a_step = d->x_step,
                      .b_step = d->n * d->k,
                      .c_step = d->y_step,
                      .bias_step = d->n,
                      .bias = b,
                      .relu = d->relu };
}

/* g_x = h w of one group; rows of h h_row apart */
static gv_gemm product_x(const gv_dense *d, int64_t h_row)
{
    return (gv_gemm){ .dtype = d->dtype,
                      .m = d->m,
                      .n = d->k,
                      .k = d->n,
                      .batch = 1,
                      .a_row = h_row,
                      .a_col = 1,
                      .b_row = d->k,
                      .b_col = 1,
                      .c_row = d->x_row };
}

/* g_w = h^T x of one group */
static gv_gemm product_w(const gv_dense *d, int64_t h_row, int64_t x_row)
{
    return (gv_gemm){ .dtype = d->dtype,
                      .m = d->n,
                      .n = d->k,
                      .k = d->m,
                      .batch = 1,
                      .a_row = 1,
                      .a_col = h_row,
                      .b_row = x_row,
                      .b_col = 1,
                      .c_row = d->k };
}

/* --- forward ----------------------------------------------------------------------------*/

static bool by_groups(const gv_dense *d, size_t slot)
{
    double work = (double)d->m * (double)d->n * (double)d->k;
    return slot <= most_slot && d->groups > 1 && (d->groups >= 8 || work < 1e6) &&
        work > 0;
}

static dense_run forward_run(const gv_dense *d)
{
    dense_run r = { .d = *d,
                    .item = gv_dtype_size(d->dtype),
                    .packed_x = d->x_row != d->k && d->m > 1 };
    gv_gemm g = product_y(d, NULL);
    r.at_h = align(gv_gemm_pack_bytes(&g));
    r.slot = r.at_h + (r.packed_x ? align((size_t)(d->m * d->k) * r.item) : 0);
    r.per = (d->groups + most_tasks - 1) / most_tasks;
    return r;
}

static int64_t task_count(const dense_run *r)
{
    return (r->d.groups + r->per - 1) / r->per;
}

/* x of one group with its rows together */
static const char *rows_together(const dense_run *r, const char *x, char *room)
{
    const gv_dense *d = &r->d;
    if (!r->packed_x) return x;
    for (int64_t i = 0; i < d->m; i++)
        memcpy(room + (size_t)(i * d->k) * r->item, at(r, x, i * d->x_row),
               (size_t)d->k * r->item);
    return room;
}

/* m rows of `width` elements that the next group reads: worth bringing near while this
 * one is in work. from: the first, `row` apart. */
static void near(gv_gemm *p, const dense_run *r, const char *from, int64_t m,
                 int64_t width, int64_t row)
{
    int64_t item = (int64_t)r->item;
    p->ahead[p->n_ahead++] = row == width
        ? (gv_ahead){ from, 1, m * width * item, 0 }
        : (gv_ahead){ from, m, width * item, row * item };
}

static void near_x(gv_gemm *p, const dense_run *r, int64_t group)
{
    const gv_dense *d = &r->d;
    near(p, r, at(r, r->x, group * d->x_step), d->m, d->k, d->x_row);
}

static void near_w(gv_gemm *p, const dense_run *r, int64_t group)
{
    const gv_dense *d = &r->d;
    near(p, r, at(r, r->w, group * d->n * d->k), d->n, d->k, d->k);
}

static void near_y(gv_gemm *p, const dense_run *r, const char *y, int64_t group)
{
    const gv_dense *d = &r->d;
    near(p, r, at(r, y, group * d->y_step), d->m, d->n, d->y_row);
}

static void forward_task(void *ctx, int64_t task)
{
    const dense_run *r = ctx;
    const gv_dense *d = &r->d;
    char *slot = r->scratch + (size_t)task * r->slot;
    int64_t g = task * r->per, end = min2(g + r->per, d->groups);
    for (; g < end; g++) {
        const char *x = rows_together(r, at(r, r->x, g * d->x_step), slot + r->at_h);
        gv_gemm p = product_y(d, at(r, r->b, g * d->n));
        if (r->packed_x) p.a_row = d->k;
        if (g + 1 < end) {
            near_x(&p, r, g + 1);
            near_w(&p, r, g + 1);
        }
        gv_gemm_serial(&p, x, at(r, r->w, g * d->n * d->k), to(r, r->y, g * d->y_step),
                       slot);
    }
}

size_t gv_dense_scratch(const gv_dense *d)
{
    dense_run r = forward_run(d);
    if (by_groups(d, r.slot)) return (size_t)task_count(&r) * r.slot;
    gv_gemm g = product_y(d, NULL);
    return gv_gemm_scratch(&g);
}

/* Without inner dimension: y = b. */
static void forward_bias_alone(const dense_run *r)
{
    const gv_dense *d = &r->d;
    for (int64_t i = 0; i < d->groups * d->m; i++) {
        int64_t g = i / d->m;
        char *row = to(r, r->y, g * d->y_step + i % d->m * d->y_row);
        memset(row, 0, (size_t)d->n * r->item);
        if (!r->b) continue;
        const char *b = at(r, r->b, g * d->n);
        for (int64_t j = 0; j < d->n; j++)
            if (d->dtype == GV_F32)
                ((float *)row)[j] =
                    d->relu && ((const float *)b)[j] < 0 ? 0 : ((const float *)b)[j];
            else
                ((double *)row)[j] =
                    d->relu && ((const double *)b)[j] < 0 ? 0 : ((const double *)b)[j];
    }
}

void gv_dense_forward(const gv_dense *d, const void *x, const void *w, const void *b,
                      void *y, void *scratch)
{
    if (d->groups * d->m * d->n == 0) return;
    dense_run r = forward_run(d);
    r.x = x, r.w = w, r.b = b, r.y = y, r.scratch = scratch;
    gv_gemm g = product_y(d, b);
    if (d->k == 0)
        forward_bias_alone(&r);
    else if (by_groups(d, r.slot))
        gv_parallel_for(task_count(&r), forward_task, &r);
    else
        gv_blas_run(&g, x, w, y, scratch);
}

/* --- backward ---------------------------------------------------------------------------*/

/* Layout of the working memory. By groups: slots of pack, x, h, sums. Flat: h, sums of
 * blocks of rows, then that of the products. */
static dense_run back_run(const gv_dense *d, bool want_b)
{
    dense_run r = { .d = *d,
                    .item = gv_dtype_size(d->dtype),
                    .packed_x = d->x_row != d->k && d->m > 1,
                    .gated = d->relu || (d->y_row != d->n && d->m > 1) };
    r.at_h = r.packed_x ? align((size_t)(d->m * d->k) * r.item) : 0;
    r.at_sum = r.at_h + (r.gated ? align((size_t)(d->m * d->n) * r.item) : 0);
    r.slot = r.at_sum + (want_b ? align((size_t)d->n * sizeof(double)) : 0);
    r.per = (d->groups + most_tasks - 1) / most_tasks;
    int64_t rows = 1 + gate_block / (d->n + 1);
    r.blocks = (d->m + rows - 1) / rows;
    return r;
}

static void store_sums(const dense_run *r, const double *sum, char *g_b)
{
    for (int64_t j = 0; j < r->d.n; j++)
        if (r->d.dtype == GV_F32)
            ((float *)g_b)[j] = (float)sum[j];
        else
            ((double *)g_b)[j] = sum[j];
}

static void back_task(void *ctx, int64_t task)
{
    const dense_run *r = ctx;
    const gv_dense *d = &r->d;
    const gv_dense_kernels *kernels = kernels_for(d->dtype);
    char *slot = r->scratch + (size_t)task * r->slot;
    double *sum = r->g_b ? (double *)(slot + r->at_sum) : NULL;
    int64_t g = task * r->per, end = min2(g + r->per, d->groups);
    for (; g < end; g++) {
        const char *h = at(r, r->g_y, g * d->y_step);
        char *own = r->gated ? slot + r->at_h : NULL;
        if (own || sum)
            kernels->gate(d->m, d->n, h, d->y_row,
                          d->relu ? at(r, r->y, g * d->y_step) : NULL, d->y_row, own,
                          sum);
        if (own) h = own;
        if (sum) store_sums(r, sum, to(r, r->g_b, g * d->n));
        if (r->g_x) {
            gv_gemm p = product_x(d, d->n);
            if (g + 1 < end) {
                near_y(&p, r, r->g_y, g + 1);
                if (d->relu) near_y(&p, r, r->y, g + 1);
            }
            gv_gemm_serial(&p, h, at(r, r->w, g * d->n * d->k),
                           to(r, r->g_x, g * d->x_step), NULL);
        }
        if (r->g_w) {
            const char *x = rows_together(r, at(r, r->x, g * d->x_step), slot);
            gv_gemm p = product_w(d, d->n, d->k);
            if (g + 1 < end) {
                near_x(&p, r, g + 1);
                if (r->g_x) near_w(&p, r, g + 1);
            }
            gv_gemm_serial(&p, h, x, to(r, r->g_w, g * d->n * d->k), NULL);
        }
    }
}

/* One block of rows of group r->group: its part of h, its sums. */
static void gate_task(void *ctx, int64_t block)
{
    const dense_run *r = ctx;
    const gv_dense *d = &r->d;
    int64_t rows = 1 + gate_block / (d->n + 1), i = block * rows;
    int64_t from = r->group * d->y_step + i * d->y_row;
    double *sum = r->g_b ? (double *)(r->scratch + r->at_sum) + block * d->n : NULL;
    kernels_for(d->dtype)->gate(min2(rows, d->m - i), d->n, at(r, r->g_y, from),
                                d->y_row, d->relu ? at(r, r->y, from) : NULL, d->y_row,
                                d->relu ? to(r, r->scratch, i * d->n) : NULL, sum);
}

/* Where the parts begin in the working memory of the flat way. */
static size_t flat_layout(dense_run *r, bool want_b)
{
    const gv_dense *d = &r->d;
    r->at_sum = d->relu ? align((size_t)(d->m * d->n) * r->item) : 0;
    return r->at_sum +
        (want_b ? align((size_t)(r->blocks * d->n) * sizeof(double)) : 0);
}

size_t gv_dense_back_scratch(const gv_dense *d, bool want_x, bool want_w, bool want_b)
{
    dense_run r = back_run(d, want_b);
    if (by_groups(d, r.slot)) return (size_t)task_count(&r) * r.slot;
    size_t own = flat_layout(&r, want_b), x = 0, w = 0;
    int64_t h_row = d->relu ? d->n : d->y_row;
    gv_gemm p = product_x(d, h_row), q = product_w(d, h_row, d->x_row);
    if (want_x) x = gv_gemm_scratch(&p);
    if (want_w) w = gv_gemm_scratch(&q);
    return own + (x > w ? x : w);
}

static void back_flat(dense_run *r)
{
    const gv_dense *d = &r->d;
    char *room = r->scratch + flat_layout(r, r->g_b != NULL);
    int64_t h_row = d->relu ? d->n : d->y_row;
    gv_gemm p = product_x(d, h_row), q = product_w(d, h_row, d->x_row);
    for (r->group = 0; r->group < d->groups; r->group++) {
        int64_t g = r->group;
        if (d->relu || r->g_b) gv_parallel_for(r->blocks, gate_task, r);
        if (r->g_b) {
            double *sum = (double *)(r->scratch + r->at_sum);
            for (int64_t i = 1; i < r->blocks; i++)
                for (int64_t j = 0; j < d->n; j++) sum[j] += sum[i * d->n + j];
            store_sums(r, sum, to(r, r->g_b, g * d->n));
        }
        const char *h = d->relu ? r->scratch : at(r, r->g_y, g * d->y_step);
        if (r->g_x)
            gv_blas_run(&p, h, at(r, r->w, g * d->n * d->k),
                        to(r, r->g_x, g * d->x_step), room);
        if (r->g_w)
            gv_blas_run(&q, h, at(r, r->x, g * d->x_step),
                        to(r, r->g_w, g * d->n * d->k), room);
    }
}

/* Where a sum has no terms: zero. */
static void clear(const dense_run *r)
{
    const gv_dense *d = &r->d;
    for (int64_t i = 0; r->g_x && i < d->groups * d->m; i++)
        memset(to(r, r->g_x, i / d->m * d->x_step + i % d->m * d->x_row), 0,
               (size_t)d->k * r->item);
    if (r->g_w) memset(r->g_w, 0, (size_t)(d->groups * d->n * d->k) * r->item);
    if (r->g_b && d->m == 0) memset(r->g_b, 0, (size_t)(d->groups * d->n) * r->item);
}

void gv_dense_back(const gv_dense *d, const void *g_y, const void *y, const void *x,
                   const void *w, void *g_x, void *g_w, void *g_b, void *scratch)
{
    dense_run r = back_run(d, g_b != NULL);
    r.g_y = g_y, r.y = (char *)(uintptr_t)y, r.x = x, r.w = w;
    r.g_x = g_x, r.g_w = g_w, r.g_b = g_b, r.scratch = scratch;
    if (d->m * d->n * d->k * d->groups == 0) {
        clear(&r);
        r.g_x = r.g_w = NULL;
        if (!g_b || d->m * d->n * d->groups == 0) return;
    }
    if (by_groups(d, r.slot))
        gv_parallel_for(task_count(&r), back_task, &r);
    else
        back_flat(&r);
}
