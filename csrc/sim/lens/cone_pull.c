/* The adjoint of painting: cotangents of particles, factors and tables from those of the
 * maps; and the census of a slice. The equations are in cone.h.
 *
 * A particle belongs to one row, so that g_x and g_p are written without conflict; the
 * sums over particles are kept by TASKS workers, which take groups of rows in turn, and
 * added in order. Replicas follow one another: a particle may be in several. */
#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "kernels/move.h"
#include "sim/lens/cone_pass.h"

enum { TASKS = 32, GROUP = 8 };

typedef struct sums {
    double *factor, *lens; /* g_F by plane; g of the lens tables */
    double farthest;
    int64_t hits;
} sums;

typedef struct puller {
    const gv_cone *cone;
    const void *g_map;
    gv_cone_cotangent *g;
    gv_cone_pass pass;
    double *table;
    sums sums[TASKS];
} puller;

static int64_t most_planes(const int64_t lattice[3])
{
    return gv_cone_pass_room(lattice) / 4;
}

/* Hand out the room; t NULL: only add it up. */
static size_t carve(puller *t, const int64_t lattice[3], int64_t lens, char *base)
{
    gv_cone_room at = { base, 0 };
    double *table = gv_cone_carve(&at, gv_cone_pass_room(lattice), sizeof *table);
    if (t) t->table = table;
    for (int k = 0; k < TASKS; k++) {
        double *factor = gv_cone_carve(&at, most_planes(lattice), sizeof *factor);
        double *g_lens = gv_cone_carve(&at, lens, sizeof *g_lens);
        if (t) t->sums[k] = (sums){ .factor = factor, .lens = g_lens };
    }
    return at.used;
}

size_t gv_cone_pull_scratch(const int64_t lattice[3], int64_t n_source, int64_t n_time)
{
    return carve(NULL, lattice, n_source * n_time, NULL);
}

size_t gv_cone_count_scratch(const int64_t lattice[3])
{
    return carve(NULL, lattice, 0, NULL);
}

typedef struct gatherer {
    const puller *puller;
    sums *sums;
} gatherer;

static inline int64_t whole(double n) { return (int64_t)(n + 1) - 1; }

#define STATE int32_t
#define REAL float
#define NAME(x) x##_q32
#include "sim/lens/cone_pull.inc"
#undef STATE
#undef REAL
#undef NAME
#define STATE int64_t
#define REAL double
#define NAME(x) x##_q64
#include "sim/lens/cone_pull.inc"

/* --- the walk ----------------------------------------------------------------------- */

static void count_hits(void *ctx, const gv_cone_place *place, const gv_cone_hits *hits)
{
    (void)place;
    ((gatherer *)ctx)->sums->hits += hits->n;
}

static void pull_task(void *ctx, int64_t index)
{
    puller *t = ctx;
    gatherer w = { t, t->sums + index };
    gv_cone_visit visit = !t->g_map ? count_hits
        : t->cone->state == GV_Q64  ? pull_hits_q64
                                    : pull_hits_q32;
    for (int64_t at = index * GROUP; at < t->pass.rows; at += TASKS * GROUP) {
        int64_t to = at + GROUP < t->pass.rows ? at + GROUP : t->pass.rows;
        gv_cone_pass_walk(&t->pass, at, to, visit, &w);
    }
}

/* g_rate, g_centre and g_time from g_F of the planes of this replica. */
static void add_factors(puller *t)
{
    const gv_cone *c = t->cone;
    for (int run = 0; run < t->pass.runs; run++)
        for (int64_t i = t->pass.from[run]; i < t->pass.to[run]; i++) {
            double g_f = 0, w[4];
            for (int k = 0; k < TASKS; k++) g_f += t->sums[k].factor[i];
            int64_t first = gv_cone_weights(t->pass.at[2][i] / c->h, c->n_time, w);
            t->g->rate += g_f * (gv_cone_dot(w, c->time + first) - c->centre);
            t->g->centre -= c->rate * g_f;
            for (int e = 0; e < 4; e++) t->g->time[first + e] += c->rate * g_f * w[e];
        }
}

static gv_status check_distances(const puller *t)
{
    double end = t->cone->h * (double)(t->cone->n_time - 1);
    for (int k = 0; k < TASKS; k++)
        if (t->sums[k].farthest > end)
            return gv_cone_too_far(t->cone, t->sums[k].farthest);
    return GV_OK;
}

gv_status gv_cone_pull(const gv_cone *c, const void *g_kappa, gv_cone_cotangent *g,
                       void *scratch)
{
    const int64_t *lattice = c->grid.lattice;
    size_t size = c->state == GV_Q64 ? 8 : 4;
    size_t bytes = (size_t)(3 * lattice[0] * lattice[1] * lattice[2]) * size;
    int64_t lens = c->n_source * c->n_time, from, to;
    GV_TRY(gv_cone_check(c));
    puller t = { .cone = c, .g_map = g_kappa, .g = g };
    carve(&t, lattice, lens, scratch);
    gv_move_zero(g->x, bytes);
    gv_move_zero(g->p, bytes);
    g->rate = g->centre = 0;
    memset(g->time, 0, (size_t)c->n_time * sizeof *g->time);
    memset(g->lens, 0, (size_t)lens * sizeof *g->lens);
    for (int k = 0; k < TASKS; k++)
        memset(t.sums[k].lens, 0, (size_t)lens * sizeof(double));
    gv_cone_replicas(c, &from, &to);
    for (int64_t j = from; j < to; j++) {
        gv_cone_pass_set(&t.pass, c, j, t.table);
        if (t.pass.planes == 0) continue;
        for (int k = 0; k < TASKS; k++)
            memset(t.sums[k].factor, 0, (size_t)most_planes(lattice) * sizeof(double));
        gv_parallel_for(TASKS, pull_task, &t);
        GV_TRY(check_distances(&t));
        add_factors(&t);
    }
    for (int k = 0; k < TASKS; k++)
        for (int64_t i = 0; i < lens; i++) g->lens[i] += t.sums[k].lens[i];
    return GV_OK;
}

gv_status gv_cone_count(const gv_cone *c, gv_cone_census *census, void *scratch)
{
    int64_t from, to;
    *census = (gv_cone_census){ 0 };
    GV_TRY(gv_cone_check(c));
    puller t = { .cone = c };
    carve(&t, c->grid.lattice, 0, scratch);
    gv_cone_replicas(c, &from, &to);
    census->replicas = to - from;
    const int64_t *n = c->grid.lattice;
    for (int64_t j = from; j < to; j++) {
        gv_cone_pass_set(&t.pass, c, j, t.table);
        census->visited += t.pass.planes * (n[0] * n[1] * n[2] / n[t.pass.los]);
        gv_parallel_for(TASKS, pull_task, &t);
    }
    for (int k = 0; k < TASKS; k++) census->painted += t.sums[k].hits;
    return GV_OK;
}
