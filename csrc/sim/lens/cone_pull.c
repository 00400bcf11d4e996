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

/* --- the walk ----------------------------------------------------------------------- */

typedef struct gatherer {
    const puller *puller;
    sums *sums;
    gv_cone_target target;
    gv_cone_queue queue;
} gatherer;

static void count_hits(void *ctx, const gv_cone_place *place, const gv_cone_hits *hits)
{
    (void)place;
    ((gatherer *)ctx)->sums->hits += hits->n;
}

static void flush(gatherer *w)
{
    gv_cone_queue *q = &w->queue;
    if (q->n == 0) return;
    for (int k = q->n; k < GV_CONE_QUEUE && k < q->n + GV_CONE_LANES; k++)
        q->pixel[0][k] = q->pixel[1][k] = q->distance[k] = 0;
    w->puller->pass.kernels->pull(w->puller->cone, w->puller->g_map, q, &w->target);
    q->n = 0;
}

static void queue_hits(void *ctx, const gv_cone_place *place, const gv_cone_hits *hits)
{
    gatherer *w = ctx;
    gv_cone_queue *q = &w->queue;
    if (q->n + hits->n > GV_CONE_QUEUE) flush(w);
    for (int k = 0, at = q->n; k < hits->n; k++, at++) {
        int i = hits->index[k];
        q->particle[at] = place->start + i;
        q->plane[at] = place->plane + place->step * i;
        q->pixel[0][at] = hits->pixel[0][i];
        q->pixel[1][at] = hits->pixel[1][i];
        q->distance[at] = hits->distance[i];
        q->factor[at] = place->block->factor[i];
    }
    q->n += hits->n;
}

static void aim(gatherer *w, const puller *t)
{
    const gv_cone *c = t->cone;
    const gv_cone_block *b = &t->pass.block;
    size_t item = gv_cone_item(c);
    w->target = (gv_cone_target){ .factor = w->sums->factor, .lens = w->sums->lens };
    for (int a = 0; a < 3; a++) {
        size_t at = (size_t)(t->pass.replica.perm[a] * gv_cone_particles(c)) * item;
        w->target.g_x[a] = (char *)t->g->x + at;
        w->target.g_p[a] = (char *)t->g->p + at;
        w->target.p[a] = (const char *)c->p + at;
        w->target.turn[a] = t->pass.replica.sign[a];
        w->target.of_p[a] = b->of_p[a];
    }
    for (int a = 0; a < 2; a++) {
        w->target.scale[a] = b->scale[a];
        w->target.middle[a] = b->middle[a];
    }
}

static void pull_task(void *ctx, int64_t index)
{
    puller *t = ctx;
    gatherer w;
    w.puller = t;
    w.sums = t->sums + index;
    w.queue.n = 0;
    if (t->g_map) aim(&w, t);
    for (int64_t at = index * GROUP; at < t->pass.rows; at += TASKS * GROUP) {
        int64_t to = at + GROUP < t->pass.rows ? at + GROUP : t->pass.rows;
        gv_cone_pass_walk(&t->pass, at, to, t->g_map ? queue_hits : count_hits, &w);
    }
    if (!t->g_map) return;
    flush(&w);
    w.sums->farthest = w.target.farthest;
}

/* g_rate, g_centre and g_time from g_F of the planes of this replica. */
static void add_factors(puller *t)
{
    const gv_cone *c = t->cone;
    for (int run = 0; run < t->pass.runs; run++)
        for (int64_t i = t->pass.from[run]; i < t->pass.to[run]; i++) {
            double g_f = 0, w[4];
            for (int k = 0; k < TASKS; k++) g_f += t->sums[k].factor[i];
            int32_t first = gv_cone_weights(t->pass.at[2][i] / c->h, c->n_time, w);
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
    size_t bytes = (size_t)(3 * gv_cone_particles(c)) * gv_cone_item(c);
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
    for (int64_t j = from; j < to; j++) {
        gv_cone_pass_set(&t.pass, c, j, t.table);
        if (t.pass.planes == 0) continue;
        census->visited +=
            t.pass.planes * (gv_cone_particles(c) / c->grid.lattice[t.pass.los]);
        gv_parallel_for(TASKS, pull_task, &t);
    }
    for (int k = 0; k < TASKS; k++) census->painted += t.sums[k].hits;
    return GV_OK;
}
