/* Reading meshes at particles (sim/pm/read.h) against the formulas written out in double
 * precision, one particle and one cell at a time. */
#include "sim/pm/read.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cpu.h"
#include "base/parallel.h"
#include "check.h"

static uint64_t state = 88172645463325252u;
static double uniform(void)
{
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (double)(state >> 11) * 0x1p-53;
}

/* --- oracle ------------------------------------------------------------------------*/

typedef struct problem {
    gv_pm_where where;
    double *mesh; /* the values that the mesh under test holds, exactly */
    double *v;    /* (3, N) */
    double *u;    /* positions in cells (3, N) */
} problem;

static double mesh_at(const problem *p, int64_t x, int64_t y, int64_t z)
{
    const int64_t *n = p->where.grid.mesh;
    x = (x % n[0] + n[0]) % n[0];
    y = (y % n[1] + n[1]) % n[1];
    z = (z % n[2] + n[2]) % n[2];
    return p->mesh[(x * n[1] + y) * n[2] + z];
}

static double cell_of(const problem *p, int d)
{
    return p->where.grid.box[d] / (double)p->where.grid.mesh[d];
}

/* (D_axis mesh)(c); axis 3: the mesh itself */
static double field(const problem *p, int axis, const int64_t *c)
{
    double f[4];
    static const int step[4] = { -2, -1, 1, 2 };
    if (axis == 3) return mesh_at(p, c[0], c[1], c[2]);
    for (int k = 0; k < 4; k++) {
        int64_t at[3] = { c[0], c[1], c[2] };
        at[axis] += step[k];
        f[k] = mesh_at(p, at[0], at[1], at[2]);
    }
    return (8 * (f[2] - f[1]) - (f[3] - f[0])) / (12 * cell_of(p, axis));
}

/* sum_c dW_e field(c) at particle i; e = 3: sum_c W field(c) */
static double window(const problem *p, int64_t i, int axis, int e)
{
    double sum = 0;
    for (int corner = 0; corner < 8; corner++) {
        double w = 1;
        int64_t c[3];
        for (int d = 0; d < 3; d++) {
            double u = p->u[d * p->where.n + i], f = u - floor(u);
            int up = corner >> d & 1;
            c[d] = (int64_t)floor(u) + up;
            w *= d == e ? (up ? 1 : -1) / cell_of(p, d) : up ? f : 1 - f;
        }
        sum += w * field(p, axis, c);
    }
    return sum;
}

static double expected(const problem *p, gv_pm_read_kind kind, int64_t i, int d,
                       double scale)
{
    double sum = 0;
    const double *v = p->v + i;
    int64_t n = p->where.n;
    switch (kind) {
    case GV_PM_VALUE: return scale * window(p, i, 3, 3);
    case GV_PM_SLOPE: return scale * window(p, i, 3, d);
    case GV_PM_FORCE_DOT:
        for (int e = 0; e < 3; e++) sum -= v[e * n] * window(p, i, d, e);
        return sum;
    case GV_PM_TIDAL:
        for (int e = 0; e < 3; e++) sum -= scale * v[e * n] * window(p, i, e, d);
        return sum;
    default: return -window(p, i, d, 3);
    }
}

/* --- problems ------------------------------------------------------------------------*/

static problem make(gv_dtype dtype, const int64_t *lattice, const int64_t *mesh,
                    double spread)
{
    problem p = { .where = { .dtype = dtype } };
    double unit = dtype == GV_Q64 ? 0x1p-50 : 0x1p-22;
    double box[3] = { 40, 50, 30 };
    int64_t n = 1, cells = 1;
    p.where.unit = unit;
    for (int d = 0; d < 3; d++) {
        p.where.grid.lattice[d] = lattice[d];
        p.where.grid.mesh[d] = mesh[d];
        p.where.grid.box[d] = box[d];
        n *= lattice[d];
        cells *= mesh[d];
    }
    p.where.n = n;
    p.mesh = gv_alloc((size_t)cells * sizeof(double));
    p.v = gv_alloc((size_t)n * 3 * sizeof(double));
    p.u = gv_alloc((size_t)n * 3 * sizeof(double));
    void *x = gv_alloc((size_t)n * 3 * gv_dtype_size(dtype));
    for (int64_t i = 0; i < cells; i++) p.mesh[i] = (float)(uniform() - 0.5);
    for (int64_t i = 0; i < 3 * n; i++) p.v[i] = (float)(uniform() - 0.5);
    for (int64_t i = 0; i < n; i++) {
        int64_t index[3] = { i / (lattice[1] * lattice[2]), i / lattice[2] % lattice[1],
                             i % lattice[2] };
        for (int d = 0; d < 3; d++) {
            double cell = box[d] / (double)mesh[d];
            double shift = spread * (2 * uniform() - 1); /* in cells */
            double rest = (double)(index[d] * mesh[d]) / (double)lattice[d] + 0.5;
            int64_t q = (int64_t)rint(shift / unit);
            if (dtype == GV_Q32) ((int32_t *)x)[d * n + i] = (int32_t)q;
            if (dtype == GV_Q64) ((int64_t *)x)[d * n + i] = q;
            if (dtype == GV_F32)
                ((float *)x)[3 * i + d] = (float)((rest + shift) * cell);
            if (dtype == GV_F64) ((double *)x)[3 * i + d] = (rest + shift) * cell;
            p.u[d * n + i] = rest + (double)q * unit;
            if (dtype == GV_F32)
                p.u[d * n + i] = (double)((float *)x)[3 * i + d] / cell;
            if (dtype == GV_F64) p.u[d * n + i] = ((double *)x)[3 * i + d] / cell;
        }
    }
    p.where.x = x;
    return p;
}

static void drop(problem *p)
{
    gv_free(p->mesh);
    gv_free(p->v);
    gv_free(p->u);
    gv_free((void *)(uintptr_t)p->where.x);
}

static void *narrowed(const double *x, int64_t n, bool single)
{
    void *r = gv_alloc((size_t)n * (single ? 4 : 8));
    for (int64_t i = 0; i < n; i++) {
        if (single)
            ((float *)r)[i] = (float)x[i];
        else
            ((double *)r)[i] = x[i];
    }
    return r;
}

/* Values: relative to sums of absolute values of order (number of terms) x (1/2) x
 * (1/cell)^2, which the bounds below are multiples of; offsets of float positions carry
 * the rounding of the position. */
static void check_kind(const problem *p, gv_pm_read_kind kind)
{
    const gv_pm_where *w = &p->where;
    bool fixed = gv_dtype_is_fixed(w->dtype), single = gv_pm_real(w->dtype) == GV_F32;
    int64_t n = w->n, cells = w->grid.mesh[0] * w->grid.mesh[1] * w->grid.mesh[2];
    int parts = kind == GV_PM_VALUE ? 1 : 3;
    double scale = 1.75, dot = 0, wanted_dot = 0;
    void *mesh = narrowed(p->mesh, cells, single);
    double *layout = gv_alloc((size_t)(3 * n) * sizeof(double));
    for (int64_t i = 0; i < n; i++)
        for (int d = 0; d < 3; d++)
            layout[fixed ? d * n + i : 3 * i + d] = p->v[d * n + i];
    void *v = narrowed(layout, 3 * n, single);
    void *out = gv_alloc((size_t)(3 * n) * sizeof(double));
    void *scratch = gv_alloc(gv_pm_read_bytes(w->dtype, &w->grid, n));
    gv_pm_read read = { .kind = kind,
                        .mesh = mesh,
                        .fields = 1,
                        .scale = scale,
                        .v = v,
                        .out = out,
                        .dot = &dot };
    CHECK(gv_pm_read_all(w, &read, scratch) == GV_OK);
    double worst = 0, per = 1 / fmin(cell_of(p, 0), fmin(cell_of(p, 1), cell_of(p, 2)));
    for (int64_t i = 0; i < n; i++)
        for (int d = 0; d < parts; d++) {
            int64_t at = parts == 1 ? i : fixed ? d * n + i : 3 * i + d;
            double got = single ? ((float *)out)[at] : ((double *)out)[at];
            worst = fmax(worst, fabs(got - expected(p, kind, i, d, scale)));
            if (d == 0 && kind == GV_PM_TIDAL)
                for (int e = 0; e < 3; e++)
                    wanted_dot -= p->v[e * n + i] * window(p, i, e, 3);
        }
    double eps = single ? 0x1p-23 : 0x1p-52;
    CHECK_NOTE(worst <= 60 * eps * fmax(1, per * per), "kind %d dtype %d worst %g eps",
               kind, w->dtype, worst / eps);
    if (kind == GV_PM_TIDAL)
        CHECK_NOTE(fabs(dot - wanted_dot) <= 10 * eps * per * sqrt((double)n) + 1e-12,
                   "dot %g %g", dot, wanted_dot);
    gv_free(mesh);
    gv_free(layout);
    gv_free(v);
    gv_free(out);
    gv_free(scratch);
}

/* Twice and with other numbers of threads: the same bits; a kick and its inverse: the
 * same momenta; beyond the range: an error. */
static void check_kick(const problem *p)
{
    const gv_pm_where *w = &p->where;
    bool single = w->dtype == GV_Q32;
    int64_t n = w->n, cells = w->grid.mesh[0] * w->grid.mesh[1] * w->grid.mesh[2];
    size_t size = gv_dtype_size(w->dtype), bytes = (size_t)(3 * n) * size;
    void *mesh = narrowed(p->mesh, cells, single);
    char *start = gv_alloc(bytes), *one = gv_alloc(bytes), *two = gv_alloc(bytes);
    void *force = gv_alloc(bytes);
    void *scratch = gv_alloc(gv_pm_read_bytes(w->dtype, &w->grid, n));
    for (size_t k = 0; k < bytes; k++)
        start[k] = (char)(k % size < size - 1 ? 37 * k : 0);
    gv_pm_read read = {
        .kind = GV_PM_KICK, .mesh = mesh, .kick = 12345.6, .p = start, .p1 = one
    };
    gv_pm_read plain = { .kind = GV_PM_FORCE, .mesh = mesh, .scale = 1, .out = force };
    gv_threads_set(1);
    CHECK(gv_pm_read_all(w, &read, scratch) == GV_OK);
    CHECK(gv_pm_read_all(w, &plain, scratch) == GV_OK);
    gv_threads_set(3);
    read.p1 = two;
    CHECK(gv_pm_read_all(w, &read, scratch) == GV_OK);
    CHECK(memcmp(one, two, bytes) == 0);
    CHECK(memcmp(one, start, bytes) != 0);
    for (int64_t i = 0; i < 3 * n; i++) {
        double a = single ? ((float *)force)[i] : ((double *)force)[i];
        int64_t step = single ? ((int32_t *)one)[i] - ((int32_t *)start)[i]
                              : ((int64_t *)one)[i] - ((int64_t *)start)[i];
        CHECK(step == (int64_t)rint(12345.6 * a));
    }
    read.kick = -read.kick; /* in place */
    read.p = two;
    CHECK(gv_pm_read_all(w, &read, scratch) == GV_OK);
    CHECK(memcmp(two, start, bytes) == 0);
    read.kick = single ? 1e12 : 1e21;
    CHECK(gv_pm_read_all(w, &read, scratch) == GV_ERR_VALUE);
    gv_fail_clear();
    gv_free(mesh);
    gv_free(start);
    gv_free(one);
    gv_free(two);
    gv_free(force);
    gv_free(scratch);
}

/* A kick and a tidal read at once: the bits of both, momenta in place. */
static void check_both(const problem *p)
{
    const gv_pm_where *w = &p->where;
    bool single = w->dtype == GV_Q32;
    int64_t n = w->n, cells = w->grid.mesh[0] * w->grid.mesh[1] * w->grid.mesh[2];
    size_t size = gv_dtype_size(w->dtype), bytes = (size_t)(3 * n) * size;
    void *mesh = narrowed(p->mesh, cells, single), *v = narrowed(p->v, 3 * n, single);
    char *start = gv_alloc_zero(bytes), *one = gv_alloc(bytes);
    char *u = gv_alloc(bytes), *u1 = gv_alloc(bytes);
    void *scratch = gv_alloc(gv_pm_read_bytes(w->dtype, &w->grid, n));
    double dot = 0, dot1 = 0;
    gv_pm_read kick = {
        .kind = GV_PM_KICK, .mesh = mesh, .kick = 54321.6, .p = start, .p1 = one
    };
    gv_pm_read tidal = {
        .kind = GV_PM_TIDAL, .mesh = mesh, .scale = -1.7, .v = v, .out = u, .dot = &dot
    };
    gv_pm_read both = tidal;
    both.kind = GV_PM_KICK_TIDAL;
    both.kick = kick.kick;
    both.p = both.p1 = start;
    both.out = u1;
    both.dot = &dot1;
    CHECK(gv_pm_read_all(w, &kick, scratch) == GV_OK);
    CHECK(gv_pm_read_all(w, &tidal, scratch) == GV_OK);
    CHECK(gv_pm_read_all(w, &both, scratch) == GV_OK);
    CHECK(memcmp(one, start, bytes) == 0);
    CHECK(memcmp(u, u1, bytes) == 0);
    CHECK(dot == dot1 && dot != 0);
    gv_free(mesh);
    gv_free(v);
    gv_free(start);
    gv_free(one);
    gv_free(u);
    gv_free(u1);
    gv_free(scratch);
}

static void check_lost(void)
{
    problem p = make(GV_F32, (int64_t[]){ 3, 3, 3 }, (int64_t[]){ 4, 4, 4 }, 1);
    float out[81], mesh[64] = { 0 };
    void *scratch = gv_alloc(gv_pm_read_bytes(GV_F32, &p.where.grid, 27));
    gv_pm_read read = { .kind = GV_PM_FORCE, .mesh = mesh, .scale = 1, .out = out };
    CHECK(gv_pm_read_all(&p.where, &read, scratch) == GV_OK);
    ((float *)(uintptr_t)p.where.x)[3 * 20 + 1] = NAN;
    CHECK(gv_pm_read_all(&p.where, &read, scratch) == GV_ERR_VALUE);
    CHECK(strstr(gv_fail_message(), "particle 20 ") != NULL);
    gv_fail_clear();
    gv_free(scratch);
    drop(&p);
}

int main(void)
{
    static const int64_t shapes[][6] = { /* lattice, mesh */
                                         { 6, 7, 19, 8, 9, 21 },
                                         { 4, 4, 300, 8, 16, 64 },
                                         { 5, 3, 2, 1, 2, 3 },
                                         { 3, 4, 5, 6, 5, 7 },
                                         { 1, 1, 1, 16, 4, 8 }
    };
    static const gv_dtype dtypes[] = { GV_F32, GV_F64, GV_Q32, GV_Q64 };
    gv_simd best = gv_simd_level();
    for (gv_simd level = GV_SIMD_BASE; level <= best; level++) {
        gv_simd_set(level);
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            for (int d = 0; d < 4; d++) {
                problem p = make(dtypes[d], shapes[s], shapes[s] + 3, 2.7);
                for (gv_pm_read_kind kind = GV_PM_VALUE; kind < GV_PM_KICK; kind++)
                    check_kind(&p, kind);
                if (gv_dtype_is_fixed(dtypes[d])) {
                    check_kick(&p);
                    check_both(&p);
                }
                drop(&p);
            }
    }
    check_lost();
    return check_done("pm_read");
}
