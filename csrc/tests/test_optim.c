/* Optimiser updates against plain loops in double precision: every length around the
 * vector widths, every instruction set, in place and apart, one and two threads. */
#include "base/alloc.h"
#include "base/cpu.h"
#include "base/parallel.h"
#include "kernels/optim.h"
#include "tests/check.h"

#include <math.h>
#include <string.h>

static double next_random(void)
{
    static uint64_t state = 4711;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) / 9007199254740992.0 - 0.5;
}

static double get(gv_dtype d, const void *x, int64_t i)
{
    return d == GV_F32 ? (double)((const float *)x)[i] : ((const double *)x)[i];
}

static void put(gv_dtype d, void *x, int64_t i, double value)
{
    if (d == GV_F32)
        ((float *)x)[i] = (float)value;
    else
        ((double *)x)[i] = value;
}

enum { P, M, V, G };

static void fill(gv_dtype d, int64_t n, void *const x[4])
{
    for (int64_t i = 0; i < n; i++) {
        for (int k = 0; k < 4; k++) put(d, x[k], i, next_random());
        put(d, x[V], i, next_random() + 0.5);
    }
}

static const gv_adam rule = { .b1 = 0.9,
                              .b2 = 0.99,
                              .decay = 0.02,
                              .size = 0.05,
                              .root = 1.7,
                              .eps = 0.01,
                              .keep = 0.97,
                              .factor = 0.6 };

/* The largest difference from the formulas; what is divided by is at least eps, so an
 * error of some roundings of m' grows by size / eps at most. */
static double gap(gv_dtype d, int64_t n, void *const x[4], void *const y[3])
{
    double worst = 0;
    for (int64_t i = 0; i < n; i++) {
        double p = get(d, x[P], i), u = rule.factor * get(d, x[G], i) + rule.decay * p;
        double m = rule.b1 * get(d, x[M], i) + (1 - rule.b1) * u;
        double v = rule.b2 * get(d, x[V], i) + (1 - rule.b2) * u * u;
        double q = rule.keep * p - rule.size * m / (rule.root * sqrt(v) + rule.eps);
        double g[3] = { q, m, v };
        for (int k = 0; k < 3; k++) worst = fmax(worst, fabs(g[k] - get(d, y[k], i)));
    }
    return worst;
}

static void test_adam(gv_dtype d, int64_t n)
{
    size_t item = gv_dtype_size(d), bytes = (size_t)n * item + 8;
    double eps = d == GV_F32 ? 0x1p-23 : 0x1p-52;
    void *x[4], *y[3];
    for (int k = 0; k < 4; k++) x[k] = gv_alloc_zero(bytes);
    for (int k = 0; k < 3; k++) y[k] = gv_alloc_zero(bytes);
    fill(d, n, x);
    gv_adam_run(d, n, &rule, x[P], x[M], x[V], x[G], y[P], y[M], y[V]);
    double worst = gap(d, n, x, y);
    CHECK_NOTE(worst <= 16 * eps, "n %lld: %g", (long long)n, worst);
    CHECK(get(d, y[P], n) == 0); /* nothing behind the end */
    gv_adam_run(d, n, &rule, x[P], x[M], x[V], x[G], x[P], x[M], x[V]);
    for (int k = 0; k < 3; k++) CHECK(memcmp(x[k], y[k], (size_t)n * item) == 0);
    for (int k = 0; k < 4; k++) gv_free(x[k]);
    for (int k = 0; k < 3; k++) gv_free(y[k]);
}

static void test_squares(gv_dtype d, int64_t n)
{
    void *x = gv_alloc_zero((size_t)n * gv_dtype_size(d) + 8);
    double *part = gv_alloc((size_t)gv_squares_parts(n) * sizeof *part + 8);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        put(d, x, i, next_random());
        sum += get(d, x, i) * get(d, x, i);
    }
    double found = gv_squares_run(d, n, x, part);
    CHECK_NOTE(fabs(found - sum) <= 1e-15 * (double)(n + 1) * (sum + 1), "%lld",
               (long long)n);
    gv_threads_set(2);
    CHECK(gv_squares_run(d, n, x, part) == found);
    gv_threads_set(1);
    gv_free(part);
    gv_free(x);
}

int main(void)
{
    for (int level = GV_SIMD_BASE; level <= GV_SIMD_AVX512; level++) {
        if ((int)gv_simd_set((gv_simd)level) != level) continue;
        for (int single = 0; single < 2; single++) {
            gv_dtype d = single ? GV_F32 : GV_F64;
            for (int64_t n = 0; n < 70; n++) {
                test_adam(d, n);
                test_squares(d, n);
            }
            for (int threads = 1; threads <= 2; threads++) {
                gv_threads_set(threads);
                test_adam(d, 200003);
            }
            gv_threads_set(1);
            test_squares(d, 200003);
        }
    }
    return check_done("optim");
}
