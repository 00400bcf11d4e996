/* Reductions, scans, softmax and sorting against plain loops in long double, at every
 * instruction set, and bitwise at one and two threads. */
#include "base/cpu.h"
#include "base/parallel.h"
#include "kernels/reduce.h"
#include "tests/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double *numbers(int64_t n)
{
    double *x = malloc((size_t)(n + 1) * sizeof *x);
    for (int64_t i = 0; i < n; i++) x[i] = (double)rand() / RAND_MAX - 0.3;
    return x;
}

/* Any dtype of x's numbers; f32 rounds. */
static void *cast(gv_dtype d, const double *x, int64_t n)
{
    void *y = malloc((size_t)(n + 1) * 16);
    for (int64_t i = 0; i < n; i++) switch (d) {
        case GV_BOOL: ((uint8_t *)y)[i] = x[i] > 0; break;
        case GV_I32: ((int32_t *)y)[i] = (int32_t)(x[i] * 1000); break;
        case GV_I64: ((int64_t *)y)[i] = (int64_t)(x[i] * 1000); break;
        case GV_F32: ((float *)y)[i] = (float)x[i]; break;
        default: ((double *)y)[i] = x[i];
        }
    return y;
}

static long double value(gv_dtype d, const void *x, int64_t i)
{
    switch (d) {
    case GV_BOOL: return ((const uint8_t *)x)[i];
    case GV_I32: return ((const int32_t *)x)[i];
    case GV_I64: return (long double)((const int64_t *)x)[i];
    case GV_F32: return ((const float *)x)[i];
    default: return ((const double *)x)[i];
    }
}

typedef struct reduced {
    long double result, size; /* size: sum of moduli */
} reduced;

/* The reduction of everything that goes to output element `at`. */
static reduced plain(gv_reduce_kind kind, gv_dtype d, const gv_shape *s,
                     const bool *axis, const void *x, int64_t at)
{
    static const long double start[] = { 0, 1, -INFINITY, INFINITY };
    reduced r = { start[kind], 0 };
    int64_t total = gv_shape_size(s);
    for (int64_t i = 0; i < total; i++) {
        int64_t rest = i, to = 0, step = 1;
        for (int k = s->ndim - 1; k >= 0; k--) {
            if (!axis[k]) to += rest % s->dim[k] * step, step *= s->dim[k];
            rest /= s->dim[k];
        }
        if (to != at) continue;
        long double v = value(d, x, i);
        r.size += fabsl(v);
        if (kind == GV_REDUCE_SUM) r.result += v;
        if (kind == GV_REDUCE_PROD) r.result *= v;
        if (kind == GV_REDUCE_MAX && v > r.result) r.result = v;
        if (kind == GV_REDUCE_MIN && v < r.result) r.result = v;
    }
    return r;
}

static void *reduce(gv_reduce_kind kind, gv_dtype d, const gv_shape *s,
                    const bool *axis, const void *x, int64_t outs, int threads)
{
    gv_reduce_plan plan;
    gv_threads_set(threads);
    gv_reduce_plan_make(&plan, kind, d, s, axis);
    void *scratch = malloc(gv_reduce_scratch(&plan) + 1);
    void *out = malloc((size_t)(outs + 1) * gv_dtype_size(d));
    gv_reduce_run(&plan, x, out, scratch);
    free(scratch);
    return out;
}

static void check_case(gv_reduce_kind kind, gv_dtype d, const gv_shape *s,
                       unsigned mask)
{
    bool axis[GV_MAX_DIM] = { false };
    int64_t outs = 1, total = gv_shape_size(s);
    for (int k = 0; k < s->ndim; k++) {
        axis[k] = mask >> k & 1;
        if (!axis[k]) outs *= s->dim[k];
    }
    double *base = numbers(total);
    if (kind == GV_REDUCE_PROD) /* near one */
        for (int64_t i = 0; i < total; i++) base[i] = 1 + (base[i] - 0.2) / 100;
    void *x = cast(d, base, total);
    void *one = reduce(kind, d, s, axis, x, outs, 1);
    void *two = reduce(kind, d, s, axis, x, outs, 2);
    CHECK(memcmp(one, two, (size_t)outs * gv_dtype_size(d)) == 0);
    double eps = d == GV_F32 ? 1.2e-7 : 2.3e-16;
    bool exact = !gv_dtype_is_float(d) || kind >= GV_REDUCE_MAX;
    for (int64_t at = 0; at < outs; at += 1 + outs / 5) {
        reduced r = plain(kind, d, s, axis, x, at);
        if (kind == GV_REDUCE_PROD && !gv_dtype_is_float(d)) continue; /* wraps */
        long double scale = kind == GV_REDUCE_PROD
            ? fabsl(r.result) * (long double)(total + 1)
            : fabsl(r.result) + 20 * r.size * (d == GV_F32 ? 1e-8L : 1);
        long double error = fabsl(value(d, one, at) - r.result);
        CHECK_NOTE(exact ? error == 0 : error <= eps * scale,
                   "kind %d dtype %d ndim %d mask %u at %lld: %Lg", kind, d, s->ndim,
                   mask, (long long)at, error);
    }
    free(base);
    free(x);
    free(one);
    free(two);
}

static void test_reductions(void)
{
    static const gv_shape shapes[] = { { 1, { 1 } },          { 1, { 7 } },
                                       { 1, { 1000 } },       { 2, { 3, 130 } },
                                       { 2, { 130, 3 } },     { 2, { 40, 70 } },
                                       { 3, { 5, 33, 2 } },   { 3, { 6, 2, 700 } },
                                       { 4, { 3, 4, 5, 6 } }, { 2, { 3, 0 } },
                                       { 2, { 0, 3 } },       { 2, { 2, 70000 } },
                                       { 2, { 70000, 2 } } };
    static const gv_dtype types[] = { GV_F32, GV_F64, GV_I32, GV_I64 };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (unsigned mask = 0; mask < 1u << shapes[i].ndim; mask++)
            for (int t = 0; t < 4; t++)
                for (int kind = 0; kind < GV_REDUCE_N; kind++) {
                    if (gv_shape_size(&shapes[i]) == 0 && kind >= GV_REDUCE_MAX)
                        continue;
                    check_case((gv_reduce_kind)kind, types[t], &shapes[i], mask);
                }
    check_case(GV_REDUCE_MAX, GV_BOOL, &shapes[5], 2);
    check_case(GV_REDUCE_MIN, GV_BOOL, &shapes[5], 1);
}

static void test_complex(void)
{
    enum { n = 70001 };
    gv_shape s = { 1, { n } };
    bool axis[1] = { true };
    double *x = numbers(2 * n), re = 0, im = 0;
    for (int i = 0; i < n; i++) re += x[2 * i], im += x[2 * i + 1];
    double *sum = reduce(GV_REDUCE_SUM, GV_C128, &s, axis, x, 1, 2);
    CHECK(fabs(sum[0] - re) < 1e-9 && fabs(sum[1] - im) < 1e-9);
    s.dim[0] = 3;
    double z[6] = { 1, 2, 3, -1, 0.5, 1 }; /* (1+2i)(3-i)(.5+i) = -2.5 + 7.5 i */
    double *prod = reduce(GV_REDUCE_PROD, GV_C128, &s, axis, z, 1, 1);
    CHECK(fabs(prod[0] + 2.5) < 1e-14 && fabs(prod[1] - 7.5) < 1e-14);
    free(x);
    free(sum);
    free(prod);
}

static void test_nan_and_arg(void)
{
    double x[70];
    for (int i = 0; i < 70; i++) x[i] = (i * 29) % 70;
    gv_shape s = { 1, { 70 } };
    bool axis[1] = { true };
    int64_t at;
    gv_reduce_arg(true, GV_F64, 1, 70, 1, x, &at);
    CHECK(x[at] == 69);
    gv_reduce_arg(false, GV_F64, 1, 70, 1, x, &at);
    CHECK(at == 0);
    x[40] = NAN;
    double *best = reduce(GV_REDUCE_MAX, GV_F64, &s, axis, x, 1, 1);
    CHECK(isnan(best[0]));
    free(best);
    gv_reduce_arg(false, GV_F64, 1, 70, 1, x, &at);
    CHECK(at == 40);
    int64_t ends[10];
    gv_reduce_arg(true, GV_F64, 1, 7, 10, x, ends);
    for (int j = 0; j < 10; j++)
        for (int i = 0; i < 7; i++)
            CHECK(j == 0 || x[ends[j] * 10 + j] >= x[i * 10 + j]);
}

static void test_cumsum(void)
{
    enum { n = 300, inner = 300 };
    double *x = numbers(n * inner), *y = malloc(sizeof *x * n * inner);
    for (int reverse = 0; reverse < 2; reverse++) {
        gv_reduce_cumsum(GV_F64, reverse, 1, n, inner, x, y);
        double worst = 0;
        for (int j = 0; j < inner; j += 13) {
            double sum = 0;
            for (int k = 0; k < n; k++) {
                int i = reverse ? n - 1 - k : k;
                sum += x[i * inner + j];
                worst = fmax(worst, fabs(sum - y[i * inner + j]));
            }
        }
        CHECK(worst == 0);
    }
    free(x);
    free(y);
}

static void test_softmax(gv_dtype d)
{
    enum { lines = 5, n = 2500 };
    double *base = numbers(lines * n);
    for (int i = 0; i < lines * n; i++) base[i] = 40 * base[i] + (i / n == 3 ? 600 : 0);
    void *x = cast(d, base, lines * n), *y = malloc(8 * lines * n),
         *z = malloc(8 * lines * n);
    void *lse = malloc(8 * lines);
    gv_reduce_softmax(d, false, lines, n, x, y);
    gv_reduce_log_softmax(d, lines, n, x, z);
    gv_reduce_logsumexp(d, lines, n, x, lse);
    long double eps = d == GV_F32 ? 2e-6L : 5e-15L;
    for (int l = 0; l < lines; l++) {
        long double top = -INFINITY, sum = 0;
        for (int i = 0; i < n; i++) top = fmaxl(top, value(d, x, l * n + i));
        for (int i = 0; i < n; i++) sum += expl(value(d, x, l * n + i) - top);
        long double want = top + logl(sum), worst = 0, worst_log = 0;
        CHECK(fabsl(value(d, lse, l) - want) <= eps * fabsl(want));
        for (int i = 0; i < n; i++) {
            long double v = value(d, x, l * n + i) - want;
            worst = fmaxl(worst, fabsl(value(d, y, l * n + i) - expl(v)));
            worst_log = fmaxl(worst_log, fabsl(value(d, z, l * n + i) - v));
        }
        CHECK_NOTE(worst <= eps && worst_log <= 700 * eps, "%Lg %Lg", worst, worst_log);
    }
    free(base);
    free(x);
    free(y);
    free(z);
    free(lse);
    double empty[3] = { -INFINITY, -INFINITY, -INFINITY }, out[3];
    gv_reduce_logsumexp(GV_F64, 1, 3, empty, out);
    CHECK(out[0] == -INFINITY);
    gv_reduce_softmax(GV_F64, true, 1, 3, empty, out);
    CHECK(out[0] == 0 && out[1] == 0 && out[2] == 0);
}

static void test_sort(int64_t lines, int64_t n)
{
    float *x = malloc(sizeof *x * (size_t)(lines * n)),
          *y = malloc(sizeof *y * (size_t)(lines * n));
    int64_t *at = malloc(sizeof *at * (size_t)(lines * n));
    for (int64_t i = 0; i < lines * n; i++)
        x[i] = rand() % 11 == 0 ? NAN : (float)(rand() % 50);
    void *scratch = malloc(gv_reduce_sort_scratch(lines, n));
    gv_reduce_sort(GV_F32, lines, n, x, y, at, scratch);
    bool good = true;
    for (int64_t l = 0; l < lines; l++)
        for (int64_t i = 0; i < n; i++) {
            const float *line = y + l * n;
            float source = x[l * n + at[l * n + i]];
            good &= source == line[i] || (isnan(source) && isnan(line[i]));
            if (i == 0) continue;
            bool equal =
                line[i - 1] == line[i] || (isnan(line[i - 1]) && isnan(line[i]));
            good &= equal || line[i - 1] < line[i] || isnan(line[i]);
            good &= !equal || at[l * n + i - 1] < at[l * n + i]; /* stable */
        }
    CHECK(good);
    free(x);
    free(y);
    free(at);
    free(scratch);
}

int main(void)
{
    srand(2);
    gv_simd best = gv_simd_level();
    for (gv_simd level = GV_SIMD_BASE; level <= best; level++) {
        gv_simd_set(level);
        test_reductions();
        test_softmax(GV_F32);
        test_softmax(GV_F64);
    }
    test_complex();
    test_nan_and_arg();
    test_cumsum();
    test_sort(1, 1);
    test_sort(3, 17);
    test_sort(200, 100);
    test_sort(1, 30000);
    return check_done("reduce");
}
