/* Painting against a plain loop in long double: every form of particles, every charge,
 * meshes of all kinds of sizes, particles near their lattice and far from it, in order and
 * out of it; every instruction set; the same bits on one and two threads. */
#include "base/alloc.h"
#include "base/cpu.h"
#include "base/parallel.h"
#include "sim/pm/paint.h"
#include "tests/check.h"

#include <math.h>
#include <string.h>

static double next_random(void)
{
    static uint64_t state = 4321;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) / 9007199254740992.0 - 0.5;
}

typedef struct setup {
    gv_pm_where w;
    gv_pm_brush b;
    size_t real; /* bytes */
    int64_t cells;
    double far; /* largest coordinate in cells */
    void *x, *v;
} setup;

/* Displacements of up to `reach` mesh cells; float positions on `lattice`, mixed if so. */
static setup make(gv_dtype dtype, const int *lattice, const int *mesh, double reach,
                  bool mixed)
{
    setup s = {
        .w = { .dtype = dtype, .n = 1, .unit = dtype == GV_Q64 ? 0x1p-50 : 0x1p-18 },
        .real = gv_dtype_size(gv_pm_real(dtype)),
        .cells = 1
    };
    for (int d = 0; d < 3; d++) {
        s.w.grid.lattice[d] = lattice[d];
        s.w.grid.mesh[d] = mesh[d];
        s.w.grid.box[d] = 10 + d;
        s.w.n *= lattice[d];
        s.cells *= mesh[d];
    }
    int64_t n = s.w.n;
    bool fixed = gv_dtype_is_fixed(dtype);
    s.x = gv_alloc((size_t)(3 * n) * gv_dtype_size(dtype));
    s.v = gv_alloc((size_t)(3 * n) * s.real);
    for (int64_t i = 0; i < n; i++)
        for (int d = 0; d < 3; d++) {
            int64_t from = mixed ? (i * 7919 + 13) % n : i;
            int64_t place[3] = { from / ((int64_t)lattice[1] * lattice[2]),
                                 from / lattice[2] % lattice[1], from % lattice[2] };
            double u = 2 * reach * next_random(), v = next_random();
            double p = (place[d] * (double)mesh[d] / lattice[d] + u) * s.w.grid.box[d] /
                mesh[d];
            int64_t at = fixed ? d * n + i : 3 * i + d;
            if (dtype == GV_Q32) ((int32_t *)s.x)[at] = (int32_t)(u * 0x1p18);
            if (dtype == GV_Q64) ((int64_t *)s.x)[at] = (int64_t)(u * 0x1p50);
            if (dtype == GV_F32) ((float *)s.x)[at] = (float)p;
            if (dtype == GV_F64) ((double *)s.x)[at] = p;
            if (s.real == 4)
                ((float *)s.v)[at] = (float)v;
            else
                ((double *)s.v)[at] = v;
        }
    s.w.x = s.x;
    s.b = (gv_pm_brush){ .v = s.v,
                         .v_next = fixed ? 1 : 3,
                         .v_across = fixed ? n : 1,
                         .factor = { 1.5, -0.5, 2 } };
    return s;
}

static void release(setup *s)
{
    gv_free(s->x);
    gv_free(s->v);
}

static double value_of(const setup *s, int64_t i, int d)
{
    int64_t at = i * s->b.v_next + d * s->b.v_across;
    return s->real == 4 ? (double)((float *)s->v)[at] : ((double *)s->v)[at];
}

static long double position_of(const setup *s, int64_t i, int d)
{
    const gv_pm_grid *g = &s->w.grid;
    int64_t n = s->w.n, m = g->mesh[d];
    int64_t place[3] = { i / (g->lattice[1] * g->lattice[2]),
                         i / g->lattice[2] % g->lattice[1], i % g->lattice[2] };
    long double at = place[d] * (long double)m / g->lattice[d] + 0.5L;
    switch (s->w.dtype) {
    case GV_Q32: return at + ((int32_t *)s->x)[d * n + i] * (long double)s->w.unit;
    case GV_Q64: return at + ((int64_t *)s->x)[d * n + i] * (long double)s->w.unit;
    case GV_F32: return ((float *)s->x)[3 * i + d] * (long double)m / g->box[d];
    default: return ((double *)s->x)[3 * i + d] * (long double)m / g->box[d];
    }
}

/* What painting should give, and the sum of the sizes of what is added (for tolerances) */
static void plain(setup *s, double *mesh, double *size)
{
    const int64_t *m = s->w.grid.mesh;
    memset(mesh, 0, sizeof *mesh * (size_t)s->cells);
    memset(size, 0, sizeof *size * (size_t)s->cells);
    for (int64_t i = 0; i < s->w.n; i++) {
        long double f[3];
        int64_t cell[3];
        for (int d = 0; d < 3; d++) {
            long double u = position_of(s, i, d), whole = floorl(u);
            f[d] = u - whole;
            if (fabsl(u) > s->far) s->far = (double)fabsl(u);
            cell[d] = ((int64_t)whole % m[d] + m[d]) % m[d];
        }
        for (int k = 0; k < 8; k++) {
            int bit[3] = { k >> 2 & 1, k >> 1 & 1, k & 1 };
            long double w[3], slope[3], sum = 0;
            int64_t at = 0;
            for (int d = 0; d < 3; d++) {
                w[d] = bit[d] ? f[d] : 1 - f[d];
                slope[d] = bit[d] ? 1 : -1;
                at = at * m[d] + (cell[d] + bit[d]) % m[d];
            }
            if (s->b.charge == GV_PM_ONE) sum = s->b.factor[0] * w[0] * w[1] * w[2];
            if (s->b.charge == GV_PM_VALUE) {
                sum = s->b.factor[0] * value_of(s, i, 0);
                for (int d = 0; d < 3; d++) sum *= s->b.order[d] ? slope[d] : w[d];
            }
            for (int d = 0; d < 3 && s->b.charge == GV_PM_FLUX; d++)
                sum += s->b.factor[d] * value_of(s, i, d) * slope[d] * w[(d + 1) % 3] *
                    w[(d + 2) % 3];
            mesh[at] += (double)sum;
            size[at] += s->b.charge == GV_PM_ONE ? (double)sum : 4;
        }
    }
}

static void paint(const setup *s, void *mesh)
{
    bool lost = false;
    void *scratch = gv_alloc(gv_pm_paint_bytes(s->w.dtype, &s->w.grid, s->w.n));
    memset(mesh, 0x7f, (size_t)s->cells * s->real); /* nothing may be left of it */
    CHECK(gv_pm_paint(&s->w, &s->b, mesh, scratch, &lost) == GV_OK);
    CHECK(!lost);
    gv_free(scratch);
}

static void compare(const setup *s, const void *mesh, const double *want,
                    const double *size, const char *what)
{
    /* Sums of terms that are rounded a few times each; coordinates are rounded to double
     * where they do not come as integers. */
    double eps = s->real == 4 ? 1.2e-7 : 2.3e-16, worst = 0;
    double each = 64 + (s->w.dtype == GV_F64 ? 4 * s->far : 0);
    for (int64_t c = 0; c < s->cells; c++) {
        double is =
            s->real == 4 ? (double)((const float *)mesh)[c] : ((const double *)mesh)[c];
        double bound = eps * (size[c] + 1) * each;
        double error = fabs(is - want[c]) / bound;
        if (!(error <= worst)) worst = error;
    }
    CHECK_NOTE(worst <= 1, "%s: %s charge %d mesh (%d,%d,%d): %g", what,
               gv_dtype_name(s->w.dtype), (int)s->b.charge, (int)s->w.grid.mesh[0],
               (int)s->w.grid.mesh[1], (int)s->w.grid.mesh[2], worst);
}

static void check_one(setup *s, const char *what)
{
    double *want = gv_alloc(sizeof *want * (size_t)s->cells);
    double *size = gv_alloc(sizeof *size * (size_t)s->cells);
    void *one = gv_alloc((size_t)s->cells * s->real);
    void *two = gv_alloc((size_t)s->cells * s->real);
    plain(s, want, size);
    gv_simd best = gv_simd_level();
    for (int level = 0; level <= (int)best; level++) {
        gv_simd_set((gv_simd)level);
        gv_threads_set(1);
        paint(s, one);
        compare(s, one, want, size, what);
        gv_threads_set(2);
        paint(s, two);
        CHECK_NOTE(memcmp(one, two, (size_t)s->cells * s->real) == 0, "%s: bits", what);
    }
    gv_simd_set(best);
    gv_free(want);
    gv_free(size);
    gv_free(one);
    gv_free(two);
}

static void check_forms(const int *lattice, const int *mesh, double reach, bool mixed,
                        const char *what)
{
    static const gv_dtype form[] = { GV_Q32, GV_Q64, GV_F32, GV_F64 };
    for (int k = 0; k < 4; k++)
        for (int charge = 0; charge < 3; charge++) {
            setup s = make(form[k], lattice, mesh, reach, mixed);
            s.b.charge = (gv_pm_charge)charge;
            check_one(&s, what);
            for (int d = 0; d < 3 && charge == GV_PM_VALUE; d++) {
                s.b.order[d] = 1;
                check_one(&s, what);
            }
            release(&s);
        }
}

static void check_stencil(void)
{
    int64_t shapes[][3] = { { 7, 6, 9 }, { 1, 2, 3 }, { 4, 5, 1 }, { 3, 1, 16 } };
    for (int k = 0; k < 4; k++)
        for (int d = 0; d < 3; d++) {
            gv_pm_grid g = { { 1, 1, 1 }, { 0 }, { 1, 1, 1 } };
            int64_t n = 1, step = 1;
            for (int e = 0; e < 3; e++) n *= g.mesh[e] = shapes[k][e];
            for (int e = d + 1; e < 3; e++) step *= g.mesh[e];
            double in[512], out[512];
            for (int64_t i = 0; i < n; i++) in[i] = next_random(), out[i] = (double)i;
            for (int add = 0; add < 2; add++) {
                gv_pm_stencil(GV_F64, &g, d, 0.25, add, in, out);
                for (int64_t i = 0; i < n; i++) {
                    int64_t c = i / step % g.mesh[d], at[5];
                    for (int o = -2; o <= 2; o++)
                        at[o + 2] =
                            i + ((c + o + 4 * g.mesh[d]) % g.mesh[d] - c) * step;
                    double want =
                        (8 * (in[at[3]] - in[at[1]]) - in[at[4]] + in[at[0]]) * 0.25 *
                        (add + 1);
                    CHECK(fabs(out[i] - want) < 1e-14);
                }
            }
        }
}

static void check_lost(void)
{
    int lattice[3] = { 4, 4, 40 }, mesh[3] = { 16, 5, 6 };
    setup s = make(GV_F32, lattice, mesh, 0.5, false);
    void *out = gv_alloc((size_t)s.cells * s.real);
    void *scratch = gv_alloc(gv_pm_paint_bytes(GV_F32, &s.w.grid, s.w.n));
    bool lost = false;
    ((float *)s.x)[3 * 500 + 1] = NAN;
    CHECK(gv_pm_paint(&s.w, &s.b, out, scratch, &lost) == GV_OK);
    CHECK(lost);
    CHECK(gv_pm_find_lost(&s.w) == 500);
    int shift;
    CHECK(gv_pm_shift(0x1p-20, GV_Q32, &shift) == GV_OK && shift == 20);
    CHECK(gv_pm_shift(0x1p-31, GV_Q32, &shift) == GV_ERR_VALUE);
    CHECK(gv_pm_shift(0x1p-62, GV_Q64, &shift) == GV_OK && shift == 62);
    CHECK(gv_pm_shift(0.3, GV_Q32, &shift) == GV_ERR_VALUE);
    CHECK(gv_pm_shift(1, GV_Q32, &shift) == GV_ERR_VALUE);
    CHECK(gv_pm_shift(-0.5, GV_Q32, &shift) == GV_ERR_VALUE);
    CHECK(gv_pm_shift(NAN, GV_Q32, &shift) == GV_ERR_VALUE);
    gv_free(out);
    gv_free(scratch);
    release(&s);
}

int main(void)
{
    int64_t live = gv_alloc_get_stats().live_blocks;
    check_forms((int[]){ 32, 6, 20 }, (int[]){ 32, 6, 20 }, 1.5, false, "slabs");
    check_forms((int[]){ 33, 5, 7 }, (int[]){ 66, 10, 21 }, 3, false, "finer mesh");
    check_forms((int[]){ 24, 7, 300 }, (int[]){ 18, 9, 200 }, 2, false, "rational");
    check_forms((int[]){ 32, 16, 9 }, (int[]){ 32, 16, 9 }, 5, false, "some late");
    check_forms((int[]){ 67, 16, 9 }, (int[]){ 67, 16, 9 }, 60, true, "all late");
    check_forms((int[]){ 140, 11, 12 }, (int[]){ 129, 3, 4 }, 300, true, "two batches");
    check_forms((int[]){ 3, 2, 5 }, (int[]){ 1, 1, 1 }, 2, false, "one cell");
    check_forms((int[]){ 3, 2, 5 }, (int[]){ 2, 3, 1 }, 2, false, "thin");
    check_forms((int[]){ 1, 1, 1 }, (int[]){ 5, 1, 2 }, 9, false, "one particle");
    check_stencil();
    check_lost();
    gv_threads_set(1);
    CHECK(gv_alloc_get_stats().live_blocks == live);
    return check_done("pm_paint");
}
