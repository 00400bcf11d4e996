/* Cholesky factors, their log-determinants, triangular solutions.
 *
 * A large matrix is factored by blocks of fixed size: the diagonal block by LAPACK, the
 * panel below it and the tiles of the remainder by serial BLAS calls on all threads. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "kernels/blas_call.h"
#include "kernels/lapack_batch.h"
#include "kernels/lapack_small.h"
#include "kernels/move.h"

enum { block = 256, blocked_from = 512, column_tile = 128 };

/* --- one large matrix --------------------------------------------------------------*/

typedef struct chol_step {
    gv_dtype dtype;
    int64_t n, at, width; /* the diagonal block starts at `at` */
    int64_t below;        /* blocks of rows under it */
    char *a;
} chol_step;

static char *element(const chol_step *s, int64_t i, int64_t j)
{
    return s->a + (size_t)(i * s->n + j) * gv_dtype_size(s->dtype);
}

/* First row of block b under the diagonal block, and its height. */
static int64_t block_row(const chol_step *s, int64_t b, int64_t *height)
{
    int64_t row = s->at + s->width + b * block;
    *height = s->n - row < block ? s->n - row : block;
    return row;
}

static void panel_task(void *ctx, int64_t b)
{
    const chol_step *s = ctx;
    int64_t height, row = block_row(s, b, &height);
    gv_call_trsm(s->dtype, false, true, GV_ADJOINT, false, height, s->width,
                 element(s, s->at, s->at), s->n, element(s, row, s->at), s->n);
}

static void update_task(void *ctx, int64_t task)
{
    const chol_step *s = ctx;
    int64_t i = 0, mm, nn;
    while (task > i) task -= ++i; /* tile (i, task) of the lower triangle */
    int64_t row = block_row(s, i, &mm), col = block_row(s, task, &nn);
    gv_call_gemm(s->dtype, GV_PLAIN, GV_ADJOINT, mm, nn, s->width, -1.0,
                 element(s, row, s->at), s->n, element(s, col, s->at), s->n, 1.0,
                 element(s, row, col), s->n);
}

static int cholesky_large(gv_dtype dtype, int64_t n, void *a)
{
    chol_step s = { .dtype = dtype, .n = n, .a = a };
    for (; s.at < n; s.at += block) {
        s.width = n - s.at < block ? n - s.at : block;
        int info = gv_call_potrf(dtype, s.width, element(&s, s.at, s.at), n);
        if (info != 0) return (int)s.at + info;
        s.below = (n - s.at - s.width + block - 1) / block;
        gv_parallel_for(s.below, panel_task, &s);
        gv_parallel_for(s.below * (s.below + 1) / 2, update_task, &s);
    }
    gv_move_triangle(gv_dtype_size(dtype), true, 0, 1, n, n, a, a);
    return 0;
}

/* --- batches ---------------------------------------------------------------------------*/

/* LAPACK lets NaN pass: the first pivot (from 1) that is NaN, or 0. */
static int nan_pivot(gv_dtype dtype, int64_t n, const void *l)
{
    bool wide = gv_dtype_real(dtype) == GV_F64;
    int64_t step = gv_dtype_is_complex(dtype) ? 2 : 1;
    for (int64_t i = 0; i < n; i++) {
        int64_t at = (i * n + i) * step;
        if (isnan(wide ? ((const double *)l)[at] : (double)((const float *)l)[at]))
            return (int)i + 1;
    }
    return 0;
}

static int cholesky_entry(const gv_lapack_job *j, int64_t e, char *scratch)
{
    (void)scratch;
    size_t bytes = (size_t)(j->n * j->n) * gv_dtype_size(j->dtype);
    char *l = j->x + (size_t)e * bytes;
    gv_move_triangle(gv_dtype_size(j->dtype), true, 0, 1, j->n, j->n,
                     j->a + (size_t)e * bytes, l);
    int info = j->n >= blocked_from ? cholesky_large(j->dtype, j->n, l)
                                    : gv_call_potrf(j->dtype, j->n, l, j->n);
    return info != 0 ? info : nan_pivot(j->dtype, j->n, l);
}

/* Smallest power of ten times the mean diagonal that makes entry `a` factorise; 0 when
 * none is found (not finite, or memory is short). work: (n, n). */
static double jitter_for(gv_dtype dtype, int64_t n, const void *a, void *work)
{
    size_t bytes = (size_t)(n * n) * gv_dtype_size(dtype);
    bool wide = gv_dtype_real(dtype) == GV_F64;
    int64_t step = gv_dtype_is_complex(dtype) ? 2 : 1;
    double mean = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t at = (i * n + i) * step;
        mean += fabs(wide ? ((const double *)a)[at] : (double)((const float *)a)[at]) /
            (double)n;
    }
    if (!isfinite(mean)) return 0;
    if (mean == 0) mean = 1;
    for (int power = wide ? -16 : -8; power <= 3; power++) {
        double jitter = pow(10.0, power + ceil(log10(mean)));
        memcpy(work, a, bytes);
        for (int64_t i = 0; i < n; i++) {
            int64_t at = (i * n + i) * step;
            if (wide)
                ((double *)work)[at] += jitter;
            else
                ((float *)work)[at] += (float)jitter;
        }
        if (gv_call_potrf(dtype, n, work, n) == 0) return jitter;
    }
    return 0;
}

static gv_status not_positive(const gv_lapack_job *j)
{
    char where[48];
    gv_lapack_where(j, where, sizeof where);
    size_t bytes = (size_t)(j->n * j->n) * gv_dtype_size(j->dtype);
    const char *a = j->a + (size_t)atomic_load(&j->bad) * bytes;
    if (!gv_lapack_is_finite(j->dtype, j->n * j->n, a))
        return gv_fail(GV_ERR_LINALG, "cholesky: the matrix%s contains NaN or infinity",
                       where);
    void *work = gv_alloc(bytes);
    if (work == NULL) return GV_ERR_MEMORY;
    double jitter = jitter_for(j->dtype, j->n, a, work);
    gv_free(work);
    if (j->code == 0)
        return gv_fail(GV_ERR_LINALG,
                       "cholesky: the matrix%s is singular to working "
                       "precision; adding %.0e to its diagonal would do",
                       where, jitter);
    if (jitter == 0)
        return gv_fail(GV_ERR_LINALG,
                       "cholesky: the matrix%s is not positive definite at "
                       "pivot %d",
                       where, j->code);
    return gv_fail(GV_ERR_LINALG,
                   "cholesky: the matrix%s is not positive definite at "
                   "pivot %d; adding %.0e to its diagonal would do",
                   where, j->code, jitter);
}

gv_status gv_lapack_cholesky(gv_dtype dtype, int64_t n, int64_t batch, const void *a,
                             void *l)
{
    gv_lapack_job j = {
        .dtype = dtype, .n = n, .batch = batch, .a = a, .x = l, .entry = cholesky_entry
    };
    if (n == 0) return GV_OK;
    if (gv_small_takes(dtype, n, batch)) {
        int64_t bad = gv_small_cholesky(dtype, n, batch, a, l);
        if (bad < 0) return GV_OK;
        atomic_init(&j.bad, bad);
        j.code = cholesky_entry(&j, bad, NULL);
        return not_positive(&j);
    }
    return gv_lapack_run(&j) ? GV_OK : not_positive(&j);
}

void gv_lapack_logdet(gv_dtype dtype, int64_t n, int64_t batch, const void *l,
                      void *out)
{
    bool wide = gv_dtype_real(dtype) == GV_F64;
    int64_t step = gv_dtype_is_complex(dtype) ? 2 : 1;
    for (int64_t e = 0; e < batch; e++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++) {
            int64_t at = ((e * n + i) * n + i) * step;
            sum += log(wide ? ((const double *)l)[at] : (double)((const float *)l)[at]);
        }
        if (wide)
            ((double *)out)[e] = 2 * sum;
        else
            ((float *)out)[e] = (float)(2 * sum);
    }
}

/* --- triangular solutions -----------------------------------------------------------------*/

typedef struct trisolve_job {
    gv_dtype dtype;
    bool lower, unit;
    gv_trans trans;
    int64_t n, k, tiles, batch, group;
    const char *a;
    char *x;
} trisolve_job;

static void trisolve_task(void *ctx, int64_t task)
{
    const trisolve_job *t = ctx;
    size_t item = gv_dtype_size(t->dtype);
    int64_t i = task * t->group, n = t->batch * t->tiles;
    int64_t end = i + t->group < n ? i + t->group : n;
    for (; i < end; i++) {
        int64_t e = i / t->tiles, from = i % t->tiles * column_tile;
        int64_t cols =
            t->tiles > 1 && t->k - from > column_tile ? column_tile : t->k - from;
        gv_call_trsm(t->dtype, true, t->lower, t->trans, t->unit, t->n, cols,
                     t->a + (size_t)(e * t->n * t->n) * item, t->n,
                     t->x + (size_t)(e * t->n * t->k + from) * item, t->k);
    }
}

void gv_lapack_trisolve(gv_dtype dtype, bool lower, gv_trans trans, bool unit,
                        int64_t n, int64_t k, int64_t batch, const void *a, void *x)
{
    trisolve_job t = { .dtype = dtype,
                       .lower = lower,
                       .unit = unit,
                       .trans = trans,
                       .n = n,
                       .k = k,
                       .batch = batch,
                       .a = a,
                       .x = x };
    if (n * k * batch == 0) return;
    if (gv_small_takes(dtype, n, batch) && k <= GV_SMALL_MAX) {
        gv_small_trisolve(dtype, lower, trans != GV_PLAIN, unit, n, k, batch, a, x);
        return;
    }
    gv_blas_setup();
    t.tiles = n * k > 1 << 14 ? (k + column_tile - 1) / column_tile : 1;
    t.group = 1 + 30000 / (n * n * (t.tiles > 1 ? column_tile : k));
    gv_parallel_for((batch * t.tiles + t.group - 1) / t.group, trisolve_task, &t);
}
