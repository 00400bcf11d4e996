/* The message of a covariance that does not factor: where, and what jitter would do. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "kernels/blas_call.h"
#include "kernels/gp_fail.h"

static double entry(gv_dtype dtype, const void *x, int64_t k)
{
    return dtype == GV_F64 ? ((const double *)x)[k] : (double)((const float *)x)[k];
}

/* The lower triangle of the chosen points into a (n, n), `jitter` on the diagonal. */
static void gather(gv_dtype dtype, int64_t t, int64_t n, const int64_t *index,
                   const void *K, double jitter, void *a)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            int64_t row = index != NULL ? index[i] : i,
                    col = index != NULL ? index[j] : j;
            double x = entry(dtype, K, row * t + col) + (i == j ? jitter : 0);
            if (dtype == GV_F64)
                ((double *)a)[i * n + j] = x;
            else
                ((float *)a)[i * n + j] = (float)x;
        }
}

/* A power of ten: ten times the smallest one (from rounding of the mean diagonal on)
 * that makes the matrix factor, so that it does for other orders of summation too. */
static double enough(gv_dtype dtype, int64_t t, int64_t n, const int64_t *index,
                     const void *K, void *a)
{
    double mean = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t row = index != NULL ? index[i] : i;
        mean += fabs(entry(dtype, K, row * t + row)) / (double)n;
    }
    double level = pow(10, ceil(log10(mean > 0 ? mean : 1)));
    for (int k = dtype == GV_F64 ? -15 : -7; k <= 6; k++) {
        double jitter = level * pow(10, k);
        gather(dtype, t, n, index, K, jitter, a);
        if (gv_call_potrf(dtype, n, a, n) == 0) return 10 * jitter;
    }
    return 0;
}

/* Place of the first entry between the chosen points that is not finite, or -1. */
static int64_t find_bad(gv_dtype dtype, int64_t t, int64_t n, const int64_t *index,
                        const void *K)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            int64_t row = index != NULL ? index[i] : i,
                    col = index != NULL ? index[j] : j;
            if (!isfinite(entry(dtype, K, row * t + col))) return row * t + col;
        }
    return -1;
}

gv_status gv_gp_fail(gv_dtype dtype, int64_t series, int64_t t, int64_t n,
                     const int64_t *index, const void *K)
{
    long long s = series;
    int64_t bad = find_bad(dtype, t, n, index, K);
    if (bad >= 0)
        return gv_fail(
            GV_ERR_LINALG, "the covariance of series %lld has %g at [%lld, %lld]", s,
            entry(dtype, K, bad), (long long)(bad / t), (long long)(bad % t));
    void *a = gv_alloc((size_t)(n * n) * gv_dtype_size(dtype));
    if (a == NULL) return GV_ERR_MEMORY;
    gather(dtype, t, n, index, K, 0, a);
    long long pivot = gv_call_potrf(dtype, n, a, n);
    if (pivot == 0)
        pivot = n; /* fails by rounding in the order of the fast kernel only */
    double jitter = enough(dtype, t, n, index, K, a);
    gv_free(a);
    long long point = index != NULL ? index[pivot - 1] : pivot - 1;
    if (jitter == 0)
        return gv_fail(
            GV_ERR_LINALG,
            "the covariance of series %lld is not positive definite: pivot %lld "
            "(point %lld), and no jitter up to 1e6 of its diagonal would do; is "
            "it a covariance?",
            s, pivot - 1, point);
    return gv_fail(GV_ERR_LINALG,
                   "the covariance of series %lld is not positive definite: pivot %lld "
                   "(point %lld); a jitter of %.0e on the diagonal would do",
                   s, pivot - 1, point, jitter);
}
