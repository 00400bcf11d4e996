/* Fourier transforms against the defining sum, round trips, adjoints of half spectra,
 * counts, and bitwise at one and two threads; every SIMD level. */
#include "base/cpu.h"
#include "base/parallel.h"
#include "kernels/fft.h"
#include "tests/check.h"

#include <complex.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef double complex cplx;

static double uniform(void) { return (double)rand() / RAND_MAX - 0.5; }

static int64_t product(int n, const int64_t *dim)
{
    int64_t p = 1;
    for (int k = 0; k < n; k++) p *= dim[k];
    return p;
}

/* The coefficient at index `at` of one entry, by the sum. */
static cplx plain(int naxes, const int64_t *dim, int sign, const cplx *x, int64_t at)
{
    int64_t total = product(naxes, dim);
    cplx sum = 0;
    for (int64_t i = 0; i < total; i++) {
        int64_t a = i, b = at;
        double phase = 0;
        for (int k = naxes - 1; k >= 0; k--) {
            phase += (double)(a % dim[k] * (b % dim[k]) % dim[k]) / (double)dim[k];
            a /= dim[k];
            b /= dim[k];
        }
        sum += x[i] * cexp(sign * 2 * M_PI * I * phase);
    }
    return sum;
}

/* z (doubles, complex or not) as the dtype's precision, and back. */
static void *narrow(bool single, const double *x, int64_t n)
{
    void *y = malloc((size_t)(n + 1) * sizeof(double));
    for (int64_t i = 0; i < n; i++)
        if (single)
            ((float *)y)[i] = (float)x[i];
        else
            ((double *)y)[i] = x[i];
    return y;
}

static double at(bool single, const void *x, int64_t i)
{
    return single ? (double)((const float *)x)[i] : ((const double *)x)[i];
}

static void check_complex(bool single, int naxes, const int64_t *dim, int64_t batch)
{
    int64_t entry = product(naxes, dim), n = batch * entry;
    gv_dtype d = single ? GV_C64 : GV_C128;
    cplx *x = malloc((size_t)(n + 1) * sizeof *x);
    for (int64_t i = 0; i < n; i++) x[i] = uniform() + I * uniform();
    void *in = narrow(single, (double *)x, 2 * n), *one = malloc((size_t)(n + 1) * 16);
    void *two = malloc((size_t)(n + 1) * 16);
    double tolerance = (single ? 2e-6 : 2e-14) * sqrt((double)entry + 1);
    for (int inverse = 0; inverse < 2; inverse++) {
        gv_threads_set(1);
        CHECK(gv_fft_c2c(d, inverse, naxes, dim, batch, in, one) == GV_OK);
        gv_threads_set(2);
        CHECK(gv_fft_c2c(d, inverse, naxes, dim, batch, in, two) == GV_OK);
        CHECK(memcmp(one, two, (size_t)n * gv_dtype_size(d)) == 0);
        for (int64_t p = 0; p < 5 && n > 0; p++) {
            int64_t i = rand() % n;
            cplx want =
                plain(naxes, dim, inverse ? 1 : -1, x + i / entry * entry, i % entry);
            cplx have = at(single, one, 2 * i) + I * at(single, one, 2 * i + 1);
            CHECK_NOTE(cabs(want - have) < tolerance, "%d axes, %lld: %g", naxes,
                       (long long)dim[0], cabs(want - have));
        }
    }
    CHECK(gv_fft_c2c(d, false, naxes, dim, batch, one, one) ==
          GV_OK); /* in place, back */
    double worst = 0;
    for (int64_t i = 0; i < 2 * n; i++)
        worst =
            fmax(worst, fabs(at(single, one, i) / (double)entry - at(single, in, i)));
    CHECK(worst < tolerance);
    free(x);
    free(in);
    free(one);
    free(two);
}

/* The inner product of two real arrays. */
static double dot(bool single, int64_t n, const void *x, const void *y)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += at(single, x, i) * at(single, y, i);
    return sum;
}

static void check_real(bool single, int naxes, const int64_t *dim, int64_t batch)
{
    int64_t last = dim[naxes - 1], half = last / 2 + 1, entry = product(naxes, dim);
    int64_t n = batch * entry, m = n / last * half;
    gv_dtype d = single ? GV_F32 : GV_F64;
    size_t item = gv_dtype_size(d), bytes = (size_t)(2 * m) * item;
    double *x = malloc((size_t)(n + 1) * sizeof *x),
           *g = malloc((size_t)(2 * m + 1) * sizeof *g);
    for (int64_t i = 0; i < n; i++) x[i] = uniform();
    for (int64_t i = 0; i < 2 * m; i++) g[i] = uniform();
    void *in = narrow(single, x, n), *spectrum = malloc(bytes + 1),
         *copy = malloc(bytes + 1);
    void *back = malloc((size_t)n * item + 1), *back2 = malloc((size_t)n * item + 1);
    void *cot = narrow(single, g, 2 * m);
    double tolerance = (single ? 2e-6 : 2e-14) * sqrt((double)entry + 1);
    cplx *z = malloc((size_t)(n + 1) * sizeof *z);
    for (int64_t i = 0; i < n; i++) z[i] = x[i];
    gv_threads_set(1);
    CHECK(gv_fft_r2c(d, false, naxes, dim, batch, in, spectrum) == GV_OK);
    gv_threads_set(2);
    CHECK(gv_fft_r2c(d, false, naxes, dim, batch, in, copy) == GV_OK);
    CHECK(memcmp(spectrum, copy, bytes) == 0);
    for (int64_t p = 0; p < 5 && m > 0; p++) {
        int64_t i = rand() % m, e = i / (m / batch), k = i % (m / batch);
        cplx want = plain(naxes, dim, -1, z + e * entry, k / half * last + k % half);
        CHECK(cabs(want - at(single, spectrum, 2 * i) -
                   I * at(single, spectrum, 2 * i + 1)) < tolerance);
    }
    /* <g, R x> = <R* g, x>, R* the weighted c2r; and the other way round */
    double left = dot(single, 2 * m, cot, spectrum);
    memcpy(copy, cot, bytes);
    CHECK(gv_fft_c2r(d, true, naxes, dim, batch, copy, back) == GV_OK);
    CHECK(fabs(left - dot(single, n, back, in)) < 10 * tolerance * sqrt((double)n + 1));
    memcpy(copy, cot, bytes);
    CHECK(gv_fft_c2r(d, false, naxes, dim, batch, copy, back) == GV_OK);
    CHECK(gv_fft_r2c(d, true, naxes, dim, batch, in, copy) == GV_OK);
    CHECK(fabs(dot(single, n, back, in) - dot(single, 2 * m, copy, cot)) <
          10 * tolerance * sqrt((double)n + 1));
    /* round trip, one and two threads */
    memcpy(copy, spectrum, bytes);
    gv_threads_set(1);
    CHECK(gv_fft_c2r(d, false, naxes, dim, batch, copy, back) == GV_OK);
    memcpy(copy, spectrum, bytes);
    gv_threads_set(2);
    CHECK(gv_fft_c2r(d, false, naxes, dim, batch, copy, back2) == GV_OK);
    CHECK(memcmp(back, back2, (size_t)n * item) == 0);
    double worst = 0;
    for (int64_t i = 0; i < n; i++)
        worst =
            fmax(worst, fabs(at(single, back, i) / (double)entry - at(single, in, i)));
    CHECK(worst < tolerance);
    free(x);
    free(g);
    free(z);
    free(in);
    free(spectrum);
    free(copy);
    free(back);
    free(back2);
    free(cot);
}

static void test_count(void)
{
    int64_t dim[2] = { 4, 6 };
    double x[3 * 24] = { 0 }, y[3 * 32];
    gv_fft_count_reset();
    CHECK(gv_fft_r2c(GV_F64, false, 2, dim, 3, x, y) == GV_OK);
    CHECK(gv_fft_r2c(GV_F64, false, 1, dim + 1, 2, x, y) == GV_OK);
    CHECK(gv_fft_count() == 5);
    dim[0] = 0;
    CHECK(gv_fft_r2c(GV_F64, false, 2, dim, 1, x, y) == GV_ERR_VALUE);
    CHECK(gv_fft_version()[0] == 'f');
}

/* More shapes than the cache of plans holds. */
static void test_many_plans(void)
{
    double x[700], y[2 * 351 * 2];
    for (int i = 0; i < 700; i++) x[i] = 1;
    for (int64_t n = 1; n <= 700; n++) {
        CHECK(gv_fft_r2c(GV_F64, false, 1, &n, 1, x, y) == GV_OK);
        CHECK(fabs(y[0] - (double)n) < 1e-10);
    }
}

int main(void)
{
    static const int64_t shapes[][4] = {
        /* batch, then one to three axes */
        { 1, 1, 0, 0 },     { 3, 2, 0, 0 },     { 2, 17, 0, 0 },    { 5, 64, 0, 0 },
        { 0, 8, 0, 0 },     { 1, 1009, 0, 0 },  { 700, 30, 0, 0 },  { 1, 1, 1, 0 },
        { 3, 5, 7, 0 },     { 2, 16, 12, 0 },   { 1, 330, 100, 0 }, { 1, 3, 1, 4 },
        { 2, 5, 3, 7 },     { 1, 16, 18, 20 },  { 1, 40, 33, 70 },  { 3, 48, 40, 36 },
        { 2, 9, 8, 64 },    { 37, 1024, 0, 0 }, { 1, 270, 50, 0 },  { 1, 2048, 20, 0 },
        { 1, 24, 2048, 0 }, { 1, 16, 32, 128 }, { 1, 25, 27, 32 }
    };
    srand(4);
    gv_simd best = gv_simd_level();
    for (int level = 0; level <= (int)best; level++) {
        gv_simd_set((gv_simd)level);
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            int naxes = shapes[s][3] > 0 ? 3 : shapes[s][2] > 0 ? 2 : 1;
            for (int single = 0; single < 2; single++) {
                check_complex(single, naxes, shapes[s] + 1, shapes[s][0]);
                check_real(single, naxes, shapes[s] + 1, shapes[s][0]);
            }
        }
    }
    test_count();
    test_many_plans();
    return check_done("fft");
}
