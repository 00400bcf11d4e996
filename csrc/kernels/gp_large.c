/* Gaussian-process kernels for matrices beyond GV_GP_SMALL: LAPACK and threads.
 *
 * The inverse of K = LL' is made panel by panel: columns [c, c + w) of K^-1 below row c
 * are L[c:, c:]^-T L[c:, c:]^-1 applied to the first w unit vectors, so panels are
 * independent (2 n^3 / 3 operations in all, those of dpotri) and each is a task. */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/parallel.h"
#include "kernels/blas_call.h"
#include "kernels/gp_fail.h"
#include "kernels/lapack.h"

enum { panel_width = 128, rows_per_task = 64 };

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static double get(gv_dtype dtype, const void *x, int64_t k)
{
    return dtype == GV_F64 ? ((const double *)x)[k] : (double)((const float *)x)[k];
}

static void put(gv_dtype dtype, void *x, int64_t k, double value)
{
    if (dtype == GV_F64)
        ((double *)x)[k] = value;
    else
        ((float *)x)[k] = (float)value;
}

/* LAPACK lets NaN pass its pivots: a factor is good when its diagonal is finite. */
static bool is_finite_factor(gv_dtype dtype, int64_t n, const void *chol)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += get(dtype, chol, i * (n + 1));
    return isfinite(sum);
}

/* The first matrix of the batch that does not factor; work (n, n). */
static gv_status report(gv_dtype dtype, int64_t batch, int64_t n, const char *K,
                        char *work)
{
    size_t bytes = (size_t)(n * n) * gv_dtype_size(dtype);
    for (int64_t b = 0; b < batch; b++) {
        memcpy(work, K + (size_t)b * bytes, bytes);
        if (gv_call_potrf(dtype, n, work, n) != 0 || !is_finite_factor(dtype, n, work))
            return gv_gp_fail(dtype, b, n, n, NULL, K + (size_t)b * bytes);
    }
    return GV_ERR_LINALG; /* the message of the factorisation stands */
}

/* --- log density -----------------------------------------------------------------*/

typedef struct job {
    gv_dtype dtype;
    size_t item;
    int64_t m, n, t, rest, panels;
    const char *K, *prior, *values, *g, *chol, *alpha;
    const int64_t *index;
    char *logp, *g_K, *mean, *cov, *work;
} job;

/* Rows alpha of series [from, to): from r to L^-1 r, its square to logp, on to K^-1 r.
 * Rows of series are right-hand sides from the right: alpha = r L^-T L^-1. */
static void series_task(void *ctx, int64_t k)
{
    job *w = ctx;
    int64_t from = k * rows_per_task, rows = least(rows_per_task, w->m - from),
            n = w->n;
    char *x = (char *)w->alpha + w->item * (size_t)(from * n);
    gv_call_trsm(w->dtype, false, true, GV_TRANSPOSED, false, rows, n, w->chol, n, x,
                 n);
    for (int64_t s = 0; s < rows; s++) {
        double square = 0;
        for (int64_t j = 0; j < n; j++) {
            double z = get(w->dtype, x, s * n + j);
            square += z * z;
        }
        put(w->dtype, w->logp, from + s, square);
    }
    gv_call_trsm(w->dtype, false, true, GV_PLAIN, false, rows, n, w->chol, n, x, n);
}

gv_status gv_gp_large_logml(gv_dtype dtype, int64_t batch, int64_t m, int64_t n,
                            const void *K, const void *r, void *logp, void *alpha,
                            void *chol)
{
    size_t item = gv_dtype_size(dtype);
    gv_status status = gv_lapack_cholesky(dtype, n, batch, K, chol);
    if (status == GV_ERR_LINALG) return report(dtype, batch, n, K, chol);
    GV_TRY(status);
    for (int64_t b = 0; b < batch; b++)
        if (!is_finite_factor(dtype, n, (char *)chol + item * (size_t)(b * n * n)))
            return report(dtype, batch, n, K, chol);
    memcpy(alpha, r, item * (size_t)(batch * m * n));
    for (int64_t b = 0; b < batch; b++) {
        job w = { .dtype = dtype,
                  .item = item,
                  .m = m,
                  .n = n,
                  .chol = (char *)chol + item * (size_t)(b * n * n),
                  .alpha = (char *)alpha + item * (size_t)(b * m * n),
                  .logp = (char *)logp + item * (size_t)(b * m) };
        gv_parallel_for(ceil_div(m, rows_per_task), series_task, &w);
        double half = 0;
        for (int64_t i = 0; i < n; i++) half += log(get(dtype, w.chol, i * (n + 1)));
        for (int64_t s = 0; s < m; s++)
            put(dtype, w.logp, s,
                -0.5 * get(dtype, w.logp, s) - half -
                    (double)n * 0.91893853320467274178);
    }
    return GV_OK;
}

/* --- its gradient ----------------------------------------------------------------*/

/* Columns [c, c + width) of K^-1 from row c on, in place in g_K, whose rows from c hold
 * free space there. */
static void inverse_panel(const job *w, char *out, int64_t c, int64_t width)
{
    int64_t n = w->n, rows = n - c;
    const char *corner = w->chol + w->item * (size_t)(c * n + c);
    char *x = out + w->item * (size_t)(c * n + c);
    for (int64_t i = 0; i < rows; i++) {
        memset(x + w->item * (size_t)(i * n), 0, w->item * (size_t)width);
        if (i < width) put(w->dtype, x, i * n + i, 1);
    }
    gv_call_trsm(w->dtype, true, true, GV_PLAIN, false, rows, width, corner, n, x, n);
    gv_call_trsm(w->dtype, true, true, GV_TRANSPOSED, false, rows, width, corner, n, x,
                 n);
}

/* Panel k: g_K[c:, c:c+width] = 1/2 (sum g alpha alpha' - total K^-1). */
static void gradient_task(void *ctx, int64_t k)
{
    job *w = ctx;
    int64_t n = w->n, b = k / w->panels, c = k % w->panels * panel_width;
    int64_t width = least(panel_width, n - c);
    job one = *w;
    one.chol += w->item * (size_t)(b * n * n);
    char *out = w->g_K + w->item * (size_t)(b * n * n);
    double total = 0;
    for (int64_t s = 0; s < w->m; s++) total += get(w->dtype, w->g, b * w->m + s);
    inverse_panel(&one, out, c, width);
    for (int64_t i = c; i < n; i++)
        for (int64_t j = c; j < c + width && j <= i; j++) {
            double sum = -total * get(w->dtype, out, i * n + j);
            for (int64_t s = 0; s < w->m; s++) {
                int64_t row = (b * w->m + s) * n;
                sum += get(w->dtype, w->g, b * w->m + s) *
                    get(w->dtype, w->alpha, row + i) * get(w->dtype, w->alpha, row + j);
            }
            put(w->dtype, out, i * n + j, 0.5 * sum);
        }
}

/* Rows [from, to) of the upper triangle from the lower one. */
static void mirror_task(void *ctx, int64_t k)
{
    job *w = ctx;
    int64_t n = w->n, b = k / w->panels, from = k % w->panels * panel_width;
    int64_t to = least(n, from + panel_width);
    char *x = w->g_K + w->item * (size_t)(b * n * n);
    for (int64_t j0 = from; j0 < n; j0 += panel_width)
        for (int64_t i = from; i < to; i++)
            for (int64_t j = j0 > i ? j0 : i + 1; j < least(n, j0 + panel_width); j++)
                memcpy(x + w->item * (size_t)(i * n + j),
                       x + w->item * (size_t)(j * n + i), w->item);
}

gv_status gv_gp_large_bwd(gv_dtype dtype, int64_t batch, int64_t m, int64_t n,
                          const void *alpha, const void *chol, const void *g, void *g_K)
{
    job w = { .dtype = dtype,
              .item = gv_dtype_size(dtype),
              .m = m,
              .n = n,
              .panels = ceil_div(n, panel_width),
              .alpha = alpha,
              .chol = chol,
              .g = g,
              .g_K = g_K };
    gv_parallel_for(batch * w.panels, gradient_task, &w);
    gv_parallel_for(batch * w.panels, mirror_task, &w);
    return GV_OK;
}

/* --- conditioning ----------------------------------------------------------------*/

static size_t rounded(size_t bytes) { return (bytes + 63) / 64 * 64; }

size_t gv_gp_large_scratch(gv_dtype dtype, int64_t m, int64_t t, int64_t n)
{
    size_t item = gv_dtype_size(dtype), rest = (size_t)(t - n), k = (size_t)n;
    return rounded(item * k * k) + rounded(item * k * rest) +
        rounded(item * (size_t)m * k) + rounded(item * rest * rest) +
        rounded(item * (size_t)m * rest);
}

/* out (rows, cols) = K at index rows and columns. */
static void pick(const job *w, int64_t row0, int64_t rows, int64_t col0, int64_t cols,
                 char *out)
{
    for (int64_t i = 0; i < rows; i++) {
        const char *row = w->K + w->item * (size_t)(w->index[row0 + i] * w->t);
        for (int64_t j = 0; j < cols; j++, out += w->item)
            memcpy(out, row + w->item * (size_t)w->index[col0 + j], w->item);
    }
}

/* cov = K_zz - product, made exactly symmetric. */
static void subtract_task(void *ctx, int64_t k)
{
    job *w = ctx;
    int64_t r = w->rest, from = k * rows_per_task, to = least(r, from + rows_per_task);
    const int64_t *z = w->index + w->n;
    for (int64_t i = from; i < to; i++)
        for (int64_t j = 0; j < r; j++) {
            double a = get(w->dtype, w->K, z[i] * w->t + z[j]);
            double b = get(w->dtype, w->K, z[j] * w->t + z[i]);
            double p = get(w->dtype, w->work, i * r + j),
                   q = get(w->dtype, w->work, j * r + i);
            put(w->dtype, w->cov, i * r + j, 0.5 * ((a + b) - (p + q)));
        }
}

/* Nothing observed: the prior of all points. */
static void copy_prior(job *w)
{
    pick(w, 0, w->rest, 0, w->rest, w->cov);
    memcpy(w->mean, w->prior, w->item * (size_t)(w->m * w->rest));
}

/* One matrix of the batch; work areas in the order of gv_gp_large_scratch. */
static gv_status condition_one(job *w, int64_t series)
{
    if (w->n == 0) {
        copy_prior(w);
        return GV_OK;
    }
    int64_t n = w->n, r = w->rest, m = w->m;
    char *a = w->work, *gain = a + rounded(w->item * (size_t)(n * n));
    char *d = gain + rounded(w->item * (size_t)(n * r));
    char *product = d + rounded(w->item * (size_t)(m * n));
    char *shift = product + rounded(w->item * (size_t)(r * r));
    pick(w, 0, n, 0, n, a);
    pick(w, 0, n, n, r, gain);
    for (int64_t s = 0; s < m; s++)
        for (int64_t j = 0; j < n; j++)
            put(w->dtype, d, s * n + j,
                get(w->dtype, w->values, s * n + j) -
                    get(w->dtype, w->prior, s * w->t + w->index[j]));
    gv_status status = gv_lapack_cholesky(w->dtype, n, 1, a, a);
    if (status == GV_ERR_LINALG ||
        (status == GV_OK && !is_finite_factor(w->dtype, n, a)))
        return gv_gp_fail(w->dtype, series, w->t, n, w->index, w->K);
    GV_TRY(status);
    if (r == 0) return GV_OK;
    gv_lapack_trisolve(w->dtype, true, GV_PLAIN, false, n, r, 1, a, gain);
    GV_TRY(gv_blas_gemm(w->dtype, GV_TRANSPOSED, GV_PLAIN, r, r, n, 1, gain, gain,
                        product));
    gv_call_trsm(w->dtype, false, true, GV_TRANSPOSED, false, m, n, a, n, d, n);
    GV_TRY(gv_blas_gemm(w->dtype, GV_PLAIN, GV_PLAIN, m, r, n, 1, d, gain, shift));
    for (int64_t s = 0; s < m; s++)
        for (int64_t j = 0; j < r; j++)
            put(w->dtype, w->mean, s * r + j,
                get(w->dtype, w->prior, s * w->t + w->index[n + j]) +
                    get(w->dtype, shift, s * r + j));
    w->work = product;
    gv_parallel_for(ceil_div(r, rows_per_task), subtract_task, w);
    return GV_OK;
}

gv_status gv_gp_large_condition(gv_dtype dtype, int64_t batch, int64_t m, int64_t t,
                                int64_t n, const void *K, const void *prior,
                                const int64_t *index, const void *values, void *mean,
                                void *cov, void *scratch)
{
    size_t item = gv_dtype_size(dtype);
    int64_t r = t - n;
    for (int64_t b = 0; b < batch; b++) {
        job w = { .dtype = dtype,
                  .item = item,
                  .m = m,
                  .n = n,
                  .t = t,
                  .rest = r,
                  .K = (const char *)K + item * (size_t)(b * t * t),
                  .prior = (const char *)prior + item * (size_t)(b * m * t),
                  .values = (const char *)values + item * (size_t)(b * m * n),
                  .index = index,
                  .mean = (char *)mean + item * (size_t)(b * m * r),
                  .cov = (char *)cov + item * (size_t)(b * r * r),
                  .work = scratch };
        GV_TRY(condition_one(&w, b));
    }
    return GV_OK;
}
