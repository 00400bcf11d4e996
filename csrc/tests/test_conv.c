/* Convolutions against the defining sum in double precision: forward, both transposes,
 * both ways, every SIMD level, bitwise at one and three threads. */
#include "base/cpu.h"
#include "base/parallel.h"
#include "kernels/conv.h"
#include "tests/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double uniform(void) { return (double)rand() / RAND_MAX - 0.5; }

static int64_t points(const int64_t *n) { return n[0] * n[1] * n[2]; }

static double at(bool single, const void *x, int64_t i)
{
    return single ? (double)((const float *)x)[i] : ((const double *)x)[i];
}

static void *fresh(bool single, int64_t n)
{
    void *x = malloc((size_t)n * 8);
    for (int64_t i = 0; i < n; i++)
        if (single)
            ((float *)x)[i] = (float)uniform();
        else
            ((double *)x)[i] = uniform();
    return x;
}

/* Where result j on axis a reads with tap t; -1 outside. */
static int64_t source(const gv_conv *c, int a, int64_t j, int64_t t)
{
    int64_t i = j * c->stride[a] + t * c->dilation[a] - c->low[a], n = c->in[a];
    if (c->periodic) return (i % n + n) % n;
    return i < 0 || i >= n ? -1 : i;
}

/* All products w x g of the trilinear form, added to whichever of y, gx, gw is
 * given. */
static void plain(const gv_conv *c, bool single, const void *x, const void *w,
                  const void *g, double *y, double *gx, double *gw)
{
    int64_t k = c->c_in / c->groups, o = c->c_out / c->groups, j[3], t[3], i[3];
    int64_t np = points(c->out), nt = points(c->kernel), ns = points(c->in);
    for (int64_t p = 0; p < np; p++)
        for (int64_t q = 0; q < nt; q++) {
            bool inside = true;
            j[0] = p / (c->out[1] * c->out[2]);
            j[1] = p / c->out[2] % c->out[1];
            j[2] = p % c->out[2];
            t[0] = q / (c->kernel[1] * c->kernel[2]);
            t[1] = q / c->kernel[2] % c->kernel[1];
            t[2] = q % c->kernel[2];
            for (int a = 0; a < 3; a++)
                inside = inside && (i[a] = source(c, a, j[a], t[a])) >= 0;
            if (!inside) continue;
            int64_t s = (i[0] * c->in[1] + i[1]) * c->in[2] + i[2];
            for (int64_t n = 0; n < c->batch; n++)
                for (int64_t u = 0; u < c->c_out; u++)
                    for (int64_t v = 0; v < k; v++) {
                        int64_t iy = (n * c->c_out + u) * np + p;
                        int64_t ix = (n * c->c_in + u / o * k + v) * ns + s;
                        int64_t iw = (u * k + v) * nt + q;
                        if (y) y[iy] += at(single, w, iw) * at(single, x, ix);
                        if (gx) gx[ix] += at(single, w, iw) * at(single, g, iy);
                        if (gw) gw[iw] += at(single, x, ix) * at(single, g, iy);
                    }
        }
}

static void compare(const char *what, const gv_conv *c, bool single, const void *have,
                    const double *want, int64_t n, double terms)
{
    double most = 0, gap = 0;
    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, fabs(want[i]));
        gap = fmax(gap, fabs(at(single, have, i) - want[i]));
    }
    /* chains of multiply-adds: half an epsilon each, added at random; Winograd's
     * transforms about ten times that */
    double bound = (single ? 6e-7 : 1e-15) * (8 + sqrt(terms));
    CHECK_NOTE(gap <= bound * most, "%s level %d method %d groups %d kernel %d: %g",
               what, gv_simd_level(), c->method, (int)c->groups, (int)points(c->kernel),
               gap / most);
}

static void run(const gv_conv *c, int pass, const void *a, const void *b,
                const void *bias, void *out)
{
    size_t bytes = 0;
    CHECK(gv_conv_scratch(c, (gv_conv_pass)pass, &bytes) == GV_OK);
    void *scratch = aligned_alloc(64, (bytes + 64) / 64 * 64);
    memset(scratch, 0xff, bytes); /* NaN, which must not get through */
    if (pass == GV_CONV_FORWARD) gv_conv_forward(c, a, b, bias, out, scratch);
    if (pass == GV_CONV_DATA) gv_conv_data(c, a, b, bias, out, scratch);
    if (pass == GV_CONV_WEIGHT) gv_conv_weight(c, a, b, out, scratch);
    free(scratch);
}

static void check_pass(const gv_conv *c, int pass, const void *a, const void *b,
                       const double *want, int64_t n, double terms)
{
    static const char *const names[] = { "forward", "data", "weight" };
    bool single = c->dtype == GV_F32;
    void *one = malloc((size_t)n * 8), *two = malloc((size_t)n * 8);
    gv_threads_set(1);
    run(c, pass, a, b, NULL, one);
    gv_threads_set(3);
    run(c, pass, a, b, NULL, two);
    CHECK(memcmp(one, two, (size_t)n * gv_dtype_size(c->dtype)) == 0);
    compare(names[pass], c, single, one, want, n, terms);
    free(one);
    free(two);
}

static void check_problem(gv_conv c)
{
    bool single = c.dtype == GV_F32;
    int64_t nx = c.batch * c.c_in * points(c.in),
            ny = c.batch * c.c_out * points(c.out);
    int64_t nw = c.c_out * (c.c_in / c.groups) * points(c.kernel);
    void *x = fresh(single, nx), *w = fresh(single, nw), *g = fresh(single, ny);
    double *y = calloc((size_t)ny, 8), *gx = calloc((size_t)nx, 8);
    double *gw = calloc((size_t)nw, 8);
    plain(&c, single, x, w, g, y, gx, gw);
    double taps = (double)points(c.kernel), of = (double)c.groups;
    static const gv_simd levels[] = { GV_SIMD_BASE, GV_SIMD_AVX2, GV_SIMD_AVX512 };
    for (int l = 0; l < 3; l++) {
        if (gv_simd_set(levels[l]) != levels[l]) continue;
        for (int m = GV_CONV_DIRECT; m <= GV_CONV_WINOGRAD; m++) {
            c.method = (gv_conv_method)m;
            if (m == GV_CONV_WINOGRAD && !gv_conv_has_winograd(&c)) continue;
            check_pass(&c, GV_CONV_FORWARD, x, w, y, ny, taps * (double)c.c_in / of);
            check_pass(&c, GV_CONV_DATA, g, w, gx, nx, taps * (double)c.c_out / of);
            check_pass(&c, GV_CONV_WEIGHT, x, g, gw, nw,
                       (double)(c.batch * points(c.out)));
        }
    }
    free(x);
    free(w);
    free(g);
    free(y);
    free(gx);
    free(gw);
}

/* c_in, c_out and groups are channels; n, k, s, d, low, high for all axes that are
 * used. */
typedef struct shape {
    int axes, batch, c_in, c_out, groups;
    int64_t n[3], k[3], s[3], d[3], low[3], high[3];
    bool periodic;
} shape;

static const shape shapes[] = {
    { 2,
      2,
      5,
      7,
      1,
      { 1, 9, 13 },
      { 1, 3, 3 },
      { 1, 1, 1 },
      { 1, 1, 1 },
      { 0, 1, 1 },
      { 0, 1, 1 },
      false },
    { 2,
      5,
      17,
      33,
      1,
      { 1, 7, 6 },
      { 1, 3, 3 },
      { 1, 1, 1 },
      { 1, 1, 1 },
      { 0, 1, 1 },
      { 0, 1, 1 },
      false }, /* tiles of several entries */
    { 2,
      1,
      40,
      130,
      1,
      { 1, 8, 8 },
      { 1, 3, 3 },
      { 1, 1, 1 },
      { 1, 1, 1 },
      { 0, 0, 2 },
      { 0, 1, 0 },
      false }, /* parts of the channels */
    { 2,
      1,
      200,
      180,
      1,
      { 1, 4, 5 },
      { 1, 3, 3 },
      { 1, 1, 1 },
      { 1, 1, 1 },
      { 0, 1, 1 },
      { 0, 1, 1 },
      false }, /* large weights */
    { 2,
      1,
      12,
      10,
      2,
      { 1, 30, 300 },
      { 1, 3, 3 },
      { 1, 1, 1 },
      { 1, 1, 1 },
      { 0, 1, 1 },
      { 0, 1, 1 },
      true }, /* several blocks on both axes */
    { 3,
      2,
      9,
      10,
      1,
      { 5, 6, 9 },
      { 3, 3, 3 },
      { 1, 1, 1 },
      { 1, 1, 1 },
      { 1, 1, 1 },
      { 1, 1, 1 },
      false },
    { 3,
      1,
      8,
      8,
      1,
      { 6, 4, 5 },
      { 3, 3, 3 },
      { 1, 1, 1 },
      { 1, 1, 1 },
      { 1, 1, 1 },
      { 1, 1, 1 },
      true },
    { 1,
      3,
      20,
      12,
      2,
      { 1, 1, 700 },
      { 1, 1, 3 },
      { 1, 1, 1 },
      { 1, 1, 1 },
      { 0, 0, 1 },
      { 0, 0, 1 },
      false },
    { 3,
      2,
      3,
      4,
      1,
      { 7, 8, 9 },
      { 3, 2, 3 },
      { 2, 3, 2 },
      { 1, 2, 1 },
      { 1, 0, 2 },
      { 0, 1, 1 },
      false },
    { 2,
      2,
      6,
      6,
      6,
      { 1, 17, 20 },
      { 1, 5, 5 },
      { 1, 1, 1 },
      { 1, 1, 1 },
      { 0, 2, 2 },
      { 0, 2, 2 },
      false }, /* depthwise */
    { 2,
      1,
      3,
      1,
      1,
      { 1, 11, 12 },
      { 1, 4, 4 },
      { 1, 4, 4 },
      { 1, 1, 1 },
      { 0, 0, 0 },
      { 0, 0, 0 },
      false },
    { 2,
      1,
      150,
      140,
      1,
      { 1, 5, 6 },
      { 1, 1, 1 },
      { 1, 2, 1 },
      { 1, 1, 1 },
      { 0, 0, 0 },
      { 0, 0, 0 },
      false }, /* blocks of channels of the direct way */
    { 1,
      1,
      2,
      3,
      1,
      { 1, 1, 900 },
      { 1, 1, 3 },
      { 1, 1, 1 },
      { 1, 1, 300 },
      { 0, 0, 300 },
      { 0, 0, 300 },
      false }, /* taps far apart */
    { 1,
      1,
      3,
      2,
      1,
      { 1, 1, 12 },
      { 1, 1, 31 },
      { 1, 1, 2 },
      { 1, 1, 1 },
      { 0, 0, 15 },
      { 0, 0, 15 },
      true }, /* around more than twice */
    { 1,
      2,
      1,
      1,
      1,
      { 1, 1, 5 },
      { 1, 1, 2 },
      { 1, 1, 7 },
      { 1, 1, 1 },
      { 0, 0, 0 },
      { 0, 0, 0 },
      false }, /* a stride longer than the axis */
};

static void check_bias(gv_dtype dtype)
{
    gv_conv c = { .dtype = dtype,
                  .batch = 2,
                  .groups = 1,
                  .c_in = 9,
                  .c_out = 19,
                  .in = { 1, 8, 9 },
                  .out = { 1, 8, 9 },
                  .kernel = { 1, 3, 3 },
                  .stride = { 1, 1, 1 },
                  .dilation = { 1, 1, 1 },
                  .low = { 0, 1, 1 } };
    bool single = dtype == GV_F32;
    void *x = fresh(single, 2 * 19 * 72), *w = fresh(single, 9 * 19 * 9);
    void *b = fresh(single, 19), *y = malloc(2 * 19 * 72 * 8),
         *z = malloc(2 * 19 * 72 * 8);
    for (int m = GV_CONV_DIRECT; m <= GV_CONV_WINOGRAD; m++)
        for (int pass = GV_CONV_FORWARD; pass <= GV_CONV_DATA; pass++) {
            int64_t channels = pass == GV_CONV_FORWARD ? 19 : 9;
            c.method = (gv_conv_method)m;
            run(&c, pass, x, w, b, y);
            run(&c, pass, x, w, NULL, z);
            double gap = 0;
            for (int64_t i = 0; i < 2 * channels * 72; i++)
                gap = fmax(gap,
                           fabs(at(single, y, i) - at(single, z, i) -
                                at(single, b, i / 72 % channels)));
            CHECK_NOTE(gap < (single ? 1e-6 : 1e-14), "bias, method %d: %g", m, gap);
        }
    free(x);
    free(w);
    free(b);
    free(y);
    free(z);
}

int main(void)
{
    for (size_t q = 0; q < sizeof shapes / sizeof *shapes; q++)
        for (int p = 0; p < 2; p++) {
            const shape *s = &shapes[q];
            gv_conv c = { .dtype = p ? GV_F64 : GV_F32,
                          .periodic = s->periodic,
                          .batch = s->batch,
                          .groups = s->groups,
                          .c_in = s->c_in,
                          .c_out = s->c_out };
            for (int a = 0; a < 3; a++) {
                c.in[a] = s->n[a];
                c.kernel[a] = s->k[a];
                c.stride[a] = s->s[a];
                c.dilation[a] = s->d[a];
                c.low[a] = s->low[a];
                int64_t whole = s->n[a] + s->low[a] + s->high[a];
                c.out[a] = s->periodic
                    ? s->n[a] / s->s[a]
                    : (whole - s->d[a] * (s->k[a] - 1) - 1) / s->s[a] + 1;
            }
            check_problem(c);
        }
    check_bias(GV_F32);
    check_bias(GV_F64);
    return check_done("conv");
}
