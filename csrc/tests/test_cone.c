/* The light cone: symmetries of replicas; the projection kernels of all SIMD levels
 * against each other and against plain arithmetic; adjoining slices. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "sim/lens/cone_pass.h"
#include "tests/check.h"

/* --- replicas ------------------------------------------------------------------------ */

static int symmetries(const double box[3], const int64_t lattice[3], bool seen[6 * 8])
{
    int found = 0;
    memset(seen, 0, 48 * sizeof *seen);
    for (int64_t j = 0; j < 4000; j++) {
        gv_replica r = gv_replica_make(box, lattice, 12345, j);
        int mask = 0;
        for (int a = 0; a < 3; a++) {
            CHECK(r.sign[a] == 1 || r.sign[a] == -1);
            CHECK(r.shift[a] >= 0 && r.shift[a] < box[a]);
            CHECK(box[r.perm[a]] == box[a] && lattice[r.perm[a]] == lattice[a]);
            mask |= 1 << r.perm[a];
        }
        CHECK(mask == 7);
        int order = 2 * r.perm[0] + (r.perm[1] > r.perm[2]);
        int signs = (r.sign[0] < 0) | (r.sign[1] < 0) << 1 | (r.sign[2] < 0) << 2;
        found += !seen[8 * order + signs];
        seen[8 * order + signs] = true;
    }
    return found;
}

static void test_symmetries(void)
{
    bool seen[48];
    CHECK(symmetries((double[]){ 2, 2, 2 }, (int64_t[]){ 4, 4, 4 }, seen) == 48);
    CHECK(symmetries((double[]){ 2, 3, 2 }, (int64_t[]){ 4, 4, 4 }, seen) == 16);
    CHECK(symmetries((double[]){ 2, 2, 2 }, (int64_t[]){ 4, 4, 6 }, seen) == 16);
    CHECK(symmetries((double[]){ 2, 3, 4 }, (int64_t[]){ 4, 4, 4 }, seen) == 8);
    gv_replica r =
        gv_replica_make((double[]){ 2, 2, 2 }, (int64_t[]){ 4, 4, 4 }, -1, 7);
    for (int a = 0; a < 3; a++)
        CHECK(r.perm[a] == a && r.sign[a] == 1 && r.shift[a] == 0);
}

/* Uniform: the 48 counts of 48000 draws are Poisson of mean 1000 (standard deviation
 * 31), shifts have mean 1/2 (.0013 standard error). */
static void test_uniform(void)
{
    const double box[3] = { 1, 1, 1 };
    const int64_t lattice[3] = { 2, 2, 2 };
    int count[64] = { 0 };
    double sum[3] = { 0 };
    for (int64_t j = 0; j < 48000; j++) {
        gv_replica r = gv_replica_make(box, lattice, (int64_t)1 << 40, j);
        int order = 2 * r.perm[0] + (r.perm[1] > r.perm[2]);
        count[8 * order + (r.sign[0] < 0) + 2 * (r.sign[1] < 0) +
              4 * (r.sign[2] < 0)]++;
        for (int a = 0; a < 3; a++) sum[a] += r.shift[a];
    }
    for (int k = 0; k < 48; k++)
        CHECK_NOTE(abs(count[k] - 1000) < 160, "%d: %d", k, count[k]);
    for (int a = 0; a < 3; a++)
        CHECK_NOTE(fabs(sum[a] / 48000 - 0.5) < 0.007, "%g", sum[a]);
}

/* --- projection ---------------------------------------------------------------------- */

enum { N = 16, CELLS = N * N * N };

typedef struct state {
    int32_t x[3 * CELLS], p[3 * CELLS];
    int64_t wide_x[3 * CELLS], wide_p[3 * CELLS];
    float extra[3 * CELLS];
    double wide_extra[3 * CELLS];
    double time[40], lens[40], reach[1], room[4 * N];
} state;

static double draw(uint64_t *s)
{
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return (double)(*s >> 11) * 0x1p-53 - 0.5;
}

static gv_cone make(state *w)
{
    uint64_t seed = 1;
    for (int i = 0; i < 3 * CELLS; i++) {
        w->wide_x[i] = w->x[i] = (int32_t)(draw(&seed) * 0x1p18);
        w->wide_p[i] = w->p[i] = (int32_t)(draw(&seed) * 0x1p18);
        w->wide_extra[i] = w->extra[i] = (float)draw(&seed);
    }
    for (int k = 0; k < 40; k++) {
        w->time[k] = 1 / (1 + 0.02 * k);
        w->lens[k] = k * (1 - k / 40.0);
    }
    w->reach[0] = 39;
    gv_cone c = { .state = GV_Q32,
                  .grid = { { N, N, N }, { 2 * N, 2 * N, 2 * N }, { 20, 20, 20 } },
                  .x = w->x,
                  .p = w->p,
                  .extra = w->extra,
                  .unit = { 0x1p-15, 0x1p-16 },
                  .rate = 2,
                  .centre = 0.7,
                  .lo = 5,
                  .hi = 33,
                  .h = 1,
                  .n_time = 40,
                  .time = w->time,
                  .n_source = 1,
                  .lens = w->lens,
                  .reach = w->reach,
                  .rows = 30,
                  .cols = 50,
                  .field = { 0.5, 0.4 },
                  .seed = 3 };
    return c;
}

typedef struct gathered {
    int64_t n, particle[8 * CELLS];
    double pixel[2][8 * CELLS], distance[8 * CELLS];
} gathered;

static void gather(void *ctx, const gv_cone_place *place, const gv_cone_hits *hits)
{
    gathered *g = ctx;
    for (int k = 0; k < hits->n; k++, g->n++) {
        int i = hits->index[k];
        g->particle[g->n] = place->start + i;
        g->distance[g->n] = hits->distance[i];
        for (int a = 0; a < 2; a++) g->pixel[a][g->n] = hits->pixel[a][i];
    }
}

static void walk_all(const gv_cone *c, state *w, gathered *g)
{
    int64_t from, to;
    g->n = 0;
    gv_cone_replicas(c, &from, &to);
    for (int64_t j = from; j < to; j++) {
        gv_cone_pass s;
        gv_cone_pass_set(&s, c, j, w->room);
        gv_cone_pass_walk(&s, 0, s.rows, gather, g);
    }
}

static void compare(const gathered *a, const gathered *b)
{
    CHECK(a->n == b->n && a->n > CELLS / 4);
    for (int64_t i = 0; i < a->n && i < b->n; i++) {
        CHECK(a->particle[i] == b->particle[i]);
        CHECK(fabs(a->distance[i] - b->distance[i]) < 1e-13);
        for (int k = 0; k < 2; k++)
            CHECK(fabs(a->pixel[k][i] - b->pixel[k][i]) <
                  1e-11 * (1 + 20 / a->distance[i]));
    }
}

/* Each kernel gives what the plain one does, and q64 what q32 does. */
static void test_levels(state *w, gathered *a, gathered *b)
{
    gv_simd best = gv_simd_level();
    gv_cone c = make(w);
    for (int extra = 0; extra < 2; extra++) {
        if (!extra) c.extra = NULL;
        gv_simd_set(GV_SIMD_BASE);
        walk_all(&c, w, a);
        for (int level = GV_SIMD_BASE; level <= (int)best; level++) {
            gv_simd_set((gv_simd)level);
            walk_all(&c, w, b);
            compare(a, b);
            gv_cone d = c;
            d.state = GV_Q64;
            d.x = w->wide_x;
            d.p = w->wide_p;
            if (c.extra) d.extra = w->wide_extra;
            walk_all(&d, w, b);
            compare(a, b);
        }
        c.extra = w->extra;
    }
    gv_simd_set(best);
}

/* --- slices -------------------------------------------------------------------------- */

/* Cut anywhere, on planes too, slices share out the planes of the replicas. */
static void test_every_plane_once(state *w)
{
    gv_cone c = make(w);
    gv_cone_pass s;
    for (int64_t seed = -1; seed < 20; seed++) {
        c.seed = seed;
        double cut[8] = { 0, 3.7, 20, 20, 27.5, 40, 60, 80 };
        c.lo = 20;
        c.hi = 40;
        gv_cone_pass_set(&s, &c, 1, w->room);
        cut[4] = s.at[2][5]; /* on a plane */
        CHECK(s.planes == N && s.runs == 1);
        int64_t planes = 0;
        for (int k = 0; k < 7; k++) {
            int64_t from, to;
            c.lo = cut[k];
            c.hi = cut[k + 1];
            gv_cone_replicas(&c, &from, &to);
            for (int64_t j = from; j < to; j++) {
                gv_cone_pass_set(&s, &c, j, w->room);
                int64_t in_runs = 0;
                for (int r = 0; r < s.runs; r++) in_runs += s.to[r] - s.from[r];
                CHECK(in_runs == s.planes && s.runs <= 2);
                planes += s.planes;
            }
        }
        CHECK_NOTE(planes == 4 * N, "%lld planes", (long long)planes);
    }
}

static void test_nodes(void)
{
    /* exact for cubics, also at both ends; slopes are the derivative */
    for (double t = 0; t <= 9; t += 0.125) {
        double w[4], slope[4], table[10];
        for (int k = 0; k < 10; k++) table[k] = 1 + k * (2 - k * (0.5 - 0.125 * k));
        int32_t first = gv_cone_weights(t, 10, w);
        gv_cone_lagrange_slope(t - first, slope);
        CHECK(first >= 0 && first <= 6);
        CHECK(fabs(gv_cone_dot(w, table + first) -
                   (1 + t * (2 - t * (0.5 - 0.125 * t)))) < 1e-12);
        CHECK(fabs(gv_cone_dot(slope, table + first) - (2 - t + 0.375 * t * t)) <
              1e-12);
    }
}

int main(void)
{
    state *w = malloc(sizeof *w);
    gathered *a = malloc(sizeof *a), *b = malloc(sizeof *b);
    if (!w || !a || !b) return 1;
    test_symmetries();
    test_uniform();
    test_levels(w, a, b);
    test_every_plane_once(w);
    test_nodes();
    free(w);
    free(a);
    free(b);
    return check_done("test_cone");
}
