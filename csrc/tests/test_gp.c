/* Gaussian-process kernels against plain loops: every size around the tile edges,
 * every instruction set, one and two threads, failures. */
#include "base/alloc.h"
#include "base/cpu.h"
#include "base/parallel.h"
#include "kernels/gp.h"
#include "tests/check.h"

#include <math.h>
#include <string.h>

static double next_random(void)
{
    static uint64_t state = 12345;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) / 9007199254740992.0 - 0.5;
}

static void fill(int64_t n, double *x)
{
    for (int64_t k = 0; k < n; k++) x[k] = next_random();
}

/* K = A A' / n + 1 for each of the batch. */
static void fill_spd(int64_t batch, int64_t n, double *K)
{
    double *a = gv_alloc(sizeof *a * (size_t)(n * n + 1));
    for (int64_t b = 0; b < batch; b++, K += n * n) {
        fill(n * n, a);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++) {
                double sum = i == j;
                for (int64_t k = 0; k < n; k++)
                    sum += a[i * n + k] * a[j * n + k] / (double)n;
                K[i * n + j] = sum;
            }
    }
    gv_free(a);
}

/* Lower factor by the textbook; x = K^-1 r and the quadratic form; log|K|. */
static double plain_logp(int64_t n, const double *K, const double *r, double *l,
                         double *x)
{
    double square = 0, logdet = 0;
    memset(l, 0, sizeof *l * (size_t)(n * n));
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            double sum = K[i * n + j];
            for (int64_t k = 0; k < j; k++) sum -= l[i * n + k] * l[j * n + k];
            l[i * n + j] = i == j ? sqrt(sum) : sum / l[j * n + j];
        }
    for (int64_t i = 0; i < n; i++) {
        x[i] = r[i];
        for (int64_t k = 0; k < i; k++) x[i] -= l[i * n + k] * x[k];
        x[i] /= l[i * n + i];
        square += x[i] * x[i];
        logdet += 2 * log(l[i * n + i]);
    }
    for (int64_t i = n - 1; i >= 0; i--) {
        for (int64_t k = i + 1; k < n; k++) x[i] -= l[k * n + i] * x[k];
        x[i] /= l[i * n + i];
    }
    return -0.5 * (square + logdet + (double)n * log(2 * acos(-1.0)));
}

static double largest(int64_t n, const double *a, const double *b)
{
    double most = 0;
    for (int64_t k = 0; k < n; k++)
        most = fabs(a[k] - b[k]) > most ? fabs(a[k] - b[k]) : most;
    return most;
}

/* --- log density and gradient ----------------------------------------------------*/

static void check_logml(int64_t batch, int64_t m, int64_t n)
{
    size_t matrix = (size_t)(n * n), row = (size_t)n, all = (size_t)(batch * m);
    double *K = gv_alloc(8 * (size_t)batch * matrix), *r = gv_alloc(8 * all * row);
    double *chol = gv_alloc(8 * (size_t)batch * matrix),
           *alpha = gv_alloc(8 * all * row);
    double *g_K = gv_alloc(8 * (size_t)batch * matrix), *g_r = gv_alloc(8 * all * row);
    double *logp = gv_alloc(8 * all), *g = gv_alloc(8 * all);
    double *l = gv_alloc(8 * matrix), *x = gv_alloc(8 * row), *y = gv_alloc(8 * row);
    fill_spd(batch, n, K);
    fill((int64_t)all * n, r);
    fill((int64_t)all, g);
    CHECK(gv_gp_logml(GV_F64, batch, m, n, K, r, logp, alpha, chol) == GV_OK);
    CHECK(gv_gp_logml_bwd(GV_F64, batch, m, n, alpha, chol, g, g_K, g_r) == GV_OK);
    for (int64_t b = 0; b < batch; b++) {
        double *grad = gv_alloc_zero(8 * matrix), total = 0;
        for (int64_t s = 0; s < m; s++) {
            int64_t k = b * m + s;
            double value = plain_logp(n, K + b * n * n, r + k * n, l, x);
            CHECK_NOTE(fabs(value - logp[k]) < 1e-12 * (1 + fabs(value)), "n %d m %d",
                       (int)n, (int)m);
            CHECK(largest(n, x, alpha + k * n) < 1e-12);
            total += g[k];
            for (int64_t i = 0; i < n; i++)
                for (int64_t j = 0; j < n; j++)
                    grad[i * n + j] += 0.5 * g[k] * x[i] * x[j];
            for (int64_t i = 0; i < n; i++)
                CHECK(fabs(g_r[k * n + i] + g[k] * x[i]) < 1e-12);
        }
        CHECK(largest(n * n, l, chol + b * n * n) < 1e-12);
        for (int64_t j = 0; j < n; j++) { /* columns of the inverse */
            memset(y, 0, 8 * row);
            y[j] = 1;
            plain_logp(n, K + b * n * n, y, l, x);
            for (int64_t i = 0; i < n; i++) grad[i * n + j] -= 0.5 * total * x[i];
        }
        CHECK_NOTE(largest(n * n, grad, g_K + b * n * n) < 1e-12, "n %d m %d", (int)n,
                   (int)m);
        gv_free(grad);
    }
    double *blocks[] = { K, r, chol, alpha, g_K, g_r, logp, g, l, x, y };
    for (size_t k = 0; k < sizeof blocks / sizeof *blocks; k++) gv_free(blocks[k]);
}

/* --- conditioning ----------------------------------------------------------------*/

/* mean and cov of the rest by elimination, one observed point after the other */
static void plain_condition(int64_t t, int64_t n, const int64_t *observed, double *K,
                            double *mean, const double *values)
{
    for (int64_t k = 0; k < n; k++) {
        int64_t o = observed[k];
        double pivot = K[o * t + o], shift = (values[k] - mean[o]) / pivot;
        double *column = gv_alloc(8 * (size_t)t);
        for (int64_t i = 0; i < t; i++) column[i] = K[i * t + o];
        for (int64_t i = 0; i < t; i++) {
            mean[i] += column[i] * shift;
            for (int64_t j = 0; j < t; j++)
                K[i * t + j] -= column[i] * column[j] / pivot;
        }
        gv_free(column);
    }
}

static void check_condition(int64_t batch, int64_t m, int64_t t, int64_t n, bool spread)
{
    int64_t r = t - n, *observed = gv_alloc(8 * (size_t)(n + 1)), rest[128], c = 0;
    for (int64_t k = 0; k < n; k++) observed[k] = spread ? t - 1 - k * t / n : k;
    for (int64_t i = 0; i < t; i++) {
        bool seen = false;
        for (int64_t k = 0; k < n; k++) seen |= observed[k] == i;
        if (!seen) rest[c++] = i;
    }
    CHECK(c == r);
    double *K = gv_alloc(8 * (size_t)(batch * t * t)),
           *copy = gv_alloc(8 * (size_t)(t * t));
    double *prior = gv_alloc(8 * (size_t)(batch * m * t)),
           *one = gv_alloc(8 * (size_t)t);
    double *values = gv_alloc(8 * (size_t)(batch * m * n));
    double *mean = gv_alloc(8 * (size_t)(batch * m * r));
    double *cov = gv_alloc(8 * (size_t)(batch * r * r));
    void *scratch = gv_alloc(gv_gp_condition_scratch(GV_F64, m, t, n));
    fill_spd(batch, t, K);
    fill(batch * m * t, prior);
    fill(batch * m * n, values);
    CHECK(gv_gp_condition(GV_F64, batch, m, t, n, K, prior, observed, values, mean, cov,
                          scratch) == GV_OK);
    double worst = 0;
    for (int64_t b = 0; b < batch; b++)
        for (int64_t s = 0; s < m; s++) {
            memcpy(copy, K + b * t * t, 8 * (size_t)(t * t));
            memcpy(one, prior + (b * m + s) * t, 8 * (size_t)t);
            plain_condition(t, n, observed, copy, one, values + (b * m + s) * n);
            for (int64_t i = 0; i < r; i++) {
                worst = fmax(worst, fabs(one[rest[i]] - mean[(b * m + s) * r + i]));
                for (int64_t j = 0; j < r; j++) {
                    double entry = cov[b * r * r + i * r + j];
                    worst = fmax(worst, fabs(copy[rest[i] * t + rest[j]] - entry));
                    CHECK(entry == cov[b * r * r + j * r + i]);
                }
            }
        }
    CHECK_NOTE(worst < 1e-12, "t %d n %d m %d: %g", (int)t, (int)n, (int)m, worst);
    double *blocks[] = { K, copy, prior, one, values, mean, cov };
    for (size_t k = 0; k < sizeof blocks / sizeof *blocks; k++) gv_free(blocks[k]);
    gv_free(observed);
    gv_free(scratch);
}

/* --- failures --------------------------------------------------------------------*/

static void check_failure(int64_t n)
{
    double *K = gv_alloc_zero(8 * (size_t)(20 * n * n)),
           *r = gv_alloc_zero(8 * 20 * (size_t)n);
    double *chol = gv_alloc(8 * (size_t)(20 * n * n)),
           *alpha = gv_alloc(8 * 20 * (size_t)n);
    double logp[20];
    for (int64_t b = 0; b < 20; b++)
        for (int64_t i = 0; i < n; i++) K[b * n * n + i * n + i] = 1;
    K[17 * n * n + 2 * n + 2] = -1;
    K[18 * n * n] = -1;
    CHECK(gv_gp_logml(GV_F64, 20, 1, n, K, r, logp, alpha, chol) == GV_ERR_LINALG);
    CHECK_NOTE(strstr(gv_fail_message(), "series 17 ") != NULL, "%s",
               gv_fail_message());
    CHECK_NOTE(strstr(gv_fail_message(), "pivot 2 ") != NULL, "%s", gv_fail_message());
    CHECK_NOTE(strstr(gv_fail_message(), "jitter of ") != NULL, "%s",
               gv_fail_message());
    K[5 * n * n + 1] = K[5 * n * n + n] = NAN;
    CHECK(gv_gp_logml(GV_F64, 20, 1, n, K, r, logp, alpha, chol) == GV_ERR_LINALG);
    CHECK_NOTE(strstr(gv_fail_message(), "series 5 has ") != NULL, "%s",
               gv_fail_message());
    gv_fail_clear();
    gv_free(K), gv_free(r), gv_free(chol), gv_free(alpha);
}

int main(void)
{
    gv_simd best = gv_simd_level();
    for (int level = 0; level <= (int)best; level++) {
        gv_simd_set((gv_simd)level);
        for (int threads = 1; threads <= 2; threads++) {
            gv_threads_set(threads);
            for (int64_t n = 1; n <= 13; n++) check_logml(9, 1, n);
            check_logml(70, 3, 6);
            check_logml(2, 40, 9);
            check_logml(3, 2, 64);
            check_logml(2, 2, 67);
            for (int64_t n = 0; n <= 7; n++) check_condition(3, 2, 7, n, n % 2 == 1);
            check_condition(70, 1, 12, 5, false);
            check_condition(1, 300, 10, 3, true);
            check_condition(2, 1, 64, 20, true);
            check_condition(2, 3, 70, 9, true);
        }
    }
    check_failure(6);
    check_failure(70);
    gv_alloc_stats stats = gv_alloc_get_stats();
    CHECK_NOTE(stats.live_blocks == 0, "%lld blocks live",
               (long long)stats.live_blocks);
    return check_done("test_gp");
}
