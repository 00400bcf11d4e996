/* Convolution with a symbol against transform, multiply, transform back; the four-point
 * stencil against its symbol; sums over bins against their transpose; counts; bitwise at
 * one and two threads; every SIMD level. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "kernels/fft.h"
#include "sim/pm/modes.h"
#include "sim/pm/spectrum.h"
#include "tests/check.h"

static double uniform(void) { return (double)rand() / RAND_MAX - 0.5; }

static double get(bool single, const void *x, int64_t i)
{
    return single ? (double)((const float *)x)[i] : ((const double *)x)[i];
}

static void put(bool single, void *x, int64_t i, double v)
{
    if (single)
        ((float *)x)[i] = (float)v;
    else
        ((double *)x)[i] = v;
}

typedef struct context {
    const gv_pm_symbol *s;
    const double *nodes;
} context;

static void fill(const void *ctx, const gv_fft_modes *at, void *factor)
{
    const context *c = ctx;
    gv_pm_symbol_fill(c->s, c->nodes, at, factor);
}

static const double nodes[] = { 1.0, -0.5, 2.0, 0.25, 1.5, -1.0 };

static gv_pm_symbol symbol_for(bool single, const int64_t dim[3], int inverse,
                               bool table, void *scratch)
{
    gv_pm_symbol s = { .real = single ? GV_F32 : GV_F64,
                       .box = { 3.0, 2.0, 5.0 },
                       .inverse = inverse,
                       .scale = 1.0 / (double)(dim[0] * dim[1] * dim[2]),
                       .lnk0 = -1.0,
                       .dlnk = 1.1,
                       .nodes = table ? 6 : 0 };
    memcpy(s.dim, dim, sizeof s.dim);
    gv_pm_symbol_prepare(&s, scratch);
    return s;
}

/* The same by whole transforms in double precision. */
static void plainly(const gv_pm_symbol *s, const double *T, int64_t n, const void *in,
                    double *out)
{
    int64_t modes = s->dim[0] * s->dim[1] * (s->dim[2] / 2 + 1);
    bool single = s->real == GV_F32;
    double *x = malloc((size_t)n * sizeof *x), *z = malloc((size_t)modes * 2 * 8);
    gv_pm_symbol wide = *s;
    wide.real = GV_F64;
    for (int64_t i = 0; i < n; i++) x[i] = get(single, in, i);
    CHECK(gv_fft_r2c(GV_F64, false, 3, s->dim, 1, x, z) == GV_OK);
    gv_pm_symbol_apply(&wide, T, z, z);
    CHECK(gv_fft_c2r(GV_F64, false, 3, s->dim, 1, z, out) == GV_OK);
    free(x);
    free(z);
}

static void check_convolve(bool single, const int64_t dim[3], int inverse, bool table)
{
    int64_t n = dim[0] * dim[1] * dim[2];
    gv_dtype d = single ? GV_F32 : GV_F64;
    size_t bytes = (size_t)n * gv_dtype_size(d);
    void *x = malloc(bytes), *one = malloc(bytes), *two = malloc(bytes);
    void *tables = malloc(gv_pm_symbol_scratch(dim));
    void *scratch =
        aligned_alloc(64, (gv_fft_convolve_scratch(d, dim) + 127) / 64 * 64);
    double *want = malloc((size_t)n * sizeof *want), error = 0, size = 0;
    gv_pm_symbol s = symbol_for(single, dim, inverse, table, tables);
    context c = { &s, table ? nodes : NULL };
    for (int64_t i = 0; i < n; i++) put(single, x, i, uniform());
    plainly(&s, c.nodes, n, x, want);
    gv_fft_count_reset();
    gv_threads_set(1);
    CHECK(gv_fft_convolve(d, dim, x, one, scratch, fill, &c) == GV_OK);
    CHECK(gv_fft_count() == 2);
    gv_threads_set(2);
    memcpy(two, x, bytes); /* in place */
    CHECK(gv_fft_convolve(d, dim, two, two, scratch, fill, &c) == GV_OK);
    CHECK(memcmp(one, two, bytes) == 0);
    for (int64_t i = 0; i < n; i++) {
        error += pow(get(single, one, i) - want[i], 2);
        size += want[i] * want[i];
    }
    /* rms rounding of two transforms, each eps/2 sqrt(log2 N), and of the factor */
    double bound = (single ? 6e-8 : 1.2e-16) * (2 + sqrt(2 * log2((double)n + 1)));
    CHECK_NOTE(sqrt(error) <= bound * sqrt(size), "%lldx%lldx%lld %s: %g > %g",
               (long long)dim[0], (long long)dim[1], (long long)dim[2],
               single ? "float" : "double", sqrt(error / size), bound);
    free(x);
    free(one);
    free(two);
    free(tables);
    free(scratch);
    free(want);
}

/* Four-point differences of a mesh along the first axis, by symbol and by hand. */
static void check_stencil(void)
{
    int64_t dim[3] = { 12, 5, 6 }, n = 360, row = 30;
    double *x = malloc(360 * 8), *y = malloc(360 * 8), *z = malloc(12 * 5 * 4 * 16);
    void *tables = malloc(gv_pm_symbol_scratch(dim));
    gv_pm_symbol s = { .real = GV_F64,
                       .dim = { 12, 5, 6 },
                       .box = { 3, 1, 1 },
                       .order = { 1, 0, 0 },
                       .stencil = true,
                       .scale = 1.0 / 360 };
    gv_pm_symbol_prepare(&s, tables);
    for (int64_t i = 0; i < n; i++) x[i] = uniform();
    CHECK(gv_fft_r2c(GV_F64, false, 3, dim, 1, x, z) == GV_OK);
    gv_pm_symbol_apply(&s, NULL, z, z);
    CHECK(gv_fft_c2r(GV_F64, false, 3, dim, 1, z, y) == GV_OK);
    for (int64_t i = 0; i < n; i++) {
        int64_t at = i / row, rest = i % row;
        double want =
            8 * (x[(at + 1) % 12 * row + rest] - x[(at + 11) % 12 * row + rest]);
        want -= x[(at + 2) % 12 * row + rest] - x[(at + 10) % 12 * row + rest];
        CHECK(fabs(y[i] - want / (12 * 0.25)) < 1e-13);
    }
    free(x);
    free(y);
    free(z);
    free(tables);
}

/* <b, sum a> = <spread b, a> */
static void check_bins(void)
{
    gv_pm_bins bins = { .dim = { 70, 3, 8 }, .box = { 7, 2, 1 }, .n = 40 };
    int64_t n = 70 * 3 * 5;
    double *a = malloc((size_t)n * 8), *c = malloc((size_t)n * 8), b[40], sums[40];
    void *scratch = malloc(gv_pm_bins_scratch(&bins));
    double left = 0, right = 0;
    for (int64_t i = 0; i < n; i++) a[i] = uniform();
    for (int i = 0; i < 40; i++) b[i] = uniform();
    gv_pm_bins_sum(&bins, GV_F64, a, sums, scratch);
    gv_pm_bins_spread(&bins, b, GV_F64, c);
    for (int i = 0; i < 40; i++) left += b[i] * sums[i];
    for (int64_t i = 0; i < n; i++) right += a[i] * c[i];
    CHECK(fabs(left - right) < 1e-12 && left != 0);
    free(a);
    free(c);
    free(scratch);
}

static const int64_t shapes[][3] = { { 1, 1, 1 },    { 2, 1, 3 },    { 5, 7, 9 },
                                     { 16, 16, 16 }, { 16, 16, 32 }, { 32, 32, 32 },
                                     { 64, 16, 32 }, { 24, 40, 48 }, { 20, 36, 64 },
                                     { 33, 16, 64 }, { 128, 4, 2 },  { 8, 100, 54 },
                                     { 80, 12, 72 }, { 4, 4, 4 },    { 50, 90, 150 },
                                     { 3, 200, 2 } };

int main(void)
{
    srand(7);
    gv_simd best = gv_simd_level();
    for (int level = 0; level <= (int)best; level++) {
        gv_simd_set((gv_simd)level);
        for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
            for (int single = 0; single < 2; single++) {
                check_convolve(single, shapes[k], 1, false);
                check_convolve(single, shapes[k], 0, true);
            }
        check_stencil();
        check_bins();
    }
    return check_done("spectral");
}
