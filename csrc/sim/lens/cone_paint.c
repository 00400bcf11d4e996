/* Painting light-cone particles on maps, and the tangent of that.
 *
 * Two stages, so that any number of threads gives the same bits: chunks of lattice rows
 * are projected in parallel into records (pixel numbers and distance, for the tangent
 * also theirs), sorted by band of map rows; then bands are painted in parallel, first the
 * even, then the odd ones, since a record touches two rows of pixels and so one row of
 * the next band. Every pixel is added to in the order of the chunks. Bands of a map are
 * small enough for the cache, which pays for the sorting. */
#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "kernels/move.h"
#include "sim/lens/cone_pass.h"

enum { CHUNK = 8192, CHUNKS = 32, BANDS = 64 };

/* The particles of one chunk that fall on the map. */
typedef struct chunk {
    int32_t n, start[BANDS + 1]; /* of each band in order */
    double farthest;             /* distance */
    double *record, *sorted;     /* as they come, and by band */
    uint8_t *band;
} chunk;

typedef struct painter {
    const gv_cone *cone;
    const gv_cone_tangent *tangent; /* NULL when painting */
    void *map;
    gv_cone_pass pass;
    double *table, *d_factor; /* of the pass; tangent of its factor */
    int width;                /* of a record */
    int64_t chunks, rows_each;
    chunk *chunk;
    int64_t first_row, count; /* of this batch: row, chunks */
    int band_rows;
    int64_t bands, colour;
} painter;

/* --- room --------------------------------------------------------------------------- */

/* Lattice rows per chunk, particles and number of chunks at a time. */
static void cut(const int64_t lattice[3], int64_t *rows, int64_t *room, int64_t *chunks)
{
    int64_t n = lattice[2] > 1 ? lattice[2] : 1;
    *rows = n < CHUNK ? CHUNK / n : 1;
    *room = *rows * n;
    int64_t all = (lattice[0] * lattice[1] + *rows - 1) / *rows;
    *chunks = all < CHUNKS ? all : CHUNKS;
    if (*chunks < 1) *chunks = 1;
}

/* Hand out the room; t NULL: only add it up. */
static size_t carve(painter *t, const int64_t lattice[3], bool push, char *base)
{
    gv_cone_room at = { base, 0 };
    int64_t rows, room, chunks, tables = gv_cone_pass_room(lattice);
    cut(lattice, &rows, &room, &chunks);
    int width = push ? GV_CONE_TANGENT : GV_CONE_FLAT;
    chunk *list = gv_cone_carve(&at, chunks, sizeof *list);
    double *table = gv_cone_carve(&at, tables, sizeof *table);
    double *d_factor = gv_cone_carve(&at, push ? tables / 4 : 0, sizeof *d_factor);
    for (int64_t k = 0; k < chunks; k++) {
        double *record = gv_cone_carve(&at, room * width, sizeof *record);
        double *sorted =
            gv_cone_carve(&at, (room + GV_CONE_LANES) * width, sizeof *sorted);
        uint8_t *band = gv_cone_carve(&at, room, 1);
        if (t == NULL) continue;
        list[k].record = record;
        list[k].sorted = sorted;
        list[k].band = band;
    }
    if (t) {
        t->chunk = list;
        t->table = table;
        t->d_factor = d_factor;
        t->width = width;
        t->rows_each = rows;
        t->chunks = chunks;
    }
    return at.used;
}

size_t gv_cone_paint_scratch(const int64_t lattice[3], bool push)
{
    return carve(NULL, lattice, push, NULL);
}

/* --- tangents of records, for either state ------------------------------------------ */

#define STATE int32_t
#define REAL float
#define NAME(x) x##_q32
#include "sim/lens/cone_tangents.inc"
#undef STATE
#undef REAL
#undef NAME
#define STATE int64_t
#define REAL double
#define NAME(x) x##_q64
#include "sim/lens/cone_tangents.inc"

/* --- first stage: records ----------------------------------------------------------- */

typedef struct recorder {
    const painter *painter;
    chunk *chunk;
} recorder;

static void record_flat(void *ctx, const gv_cone_place *place, const gv_cone_hits *hits)
{
    chunk *c = ((recorder *)ctx)->chunk;
    (void)place;
    double *r = c->record + (int64_t)c->n * GV_CONE_FLAT;
    for (int k = 0; k < hits->n; k++, r += GV_CONE_FLAT) {
        int i = hits->index[k];
        r[0] = hits->pixel[1][i];
        r[1] = hits->pixel[0][i];
        r[2] = hits->distance[i];
    }
    c->n += hits->n;
}

static void record_tangent(void *ctx, const gv_cone_place *place,
                           const gv_cone_hits *hits)
{
    recorder *w = ctx;
    chunk *c = w->chunk;
    double *r = c->record + (int64_t)c->n * GV_CONE_TANGENT;
    if (w->painter->cone->state == GV_Q64)
        tangents_q64(w->painter, place, hits, r);
    else
        tangents_q32(w->painter, place, hits, r);
    c->n += hits->n;
}

/* Copy the records in order of bands, with readable ones behind the last. */
static void sort_records(const painter *t, chunk *c)
{
    int32_t *start = c->start, next[BANDS];
    int width = t->width;
    memset(start, 0, sizeof c->start);
    for (int32_t k = 0; k < c->n; k++) {
        const double *r = c->record + (int64_t)k * width;
        int band = ((int)(r[0] + 1)) / t->band_rows;
        c->band[k] = (uint8_t)band;
        start[band + 1]++;
        c->farthest = r[2] > c->farthest ? r[2] : c->farthest;
    }
    for (int b = 0; b < BANDS; b++) {
        next[b] = start[b];
        start[b + 1] += start[b];
    }
    for (int32_t k = 0; k < c->n; k++) {
        const double *from = c->record + (int64_t)k * width;
        double *to = c->sorted + (int64_t)next[c->band[k]]++ * width;
        for (int e = 0; e < width; e++) to[e] = from[e];
    }
    memset(c->sorted + (int64_t)c->n * width, 0,
           (size_t)(GV_CONE_LANES * width) * sizeof *c->sorted);
}

static void record_chunk(void *ctx, int64_t index)
{
    const painter *t = ctx;
    recorder w = { t, t->chunk + index };
    int64_t from = t->first_row + index * t->rows_each, to = from + t->rows_each;
    w.chunk->n = 0;
    w.chunk->farthest = 0;
    gv_cone_pass_walk(&t->pass, from, to < t->pass.rows ? to : t->pass.rows,
                      t->tangent ? record_tangent : record_flat, &w);
    sort_records(t, w.chunk);
}

/* --- second stage: bands ------------------------------------------------------------ */

static void paint_band(void *ctx, int64_t index)
{
    const painter *t = ctx;
    const gv_cone_kernels *kernels = t->pass.kernels;
    int64_t band = 2 * index + t->colour;
    for (int64_t k = 0; k < t->count; k++) {
        const chunk *c = t->chunk + k;
        int32_t from = c->start[band], n = c->start[band + 1] - from;
        const double *record = c->sorted + (int64_t)from * t->width;
        if (n == 0) continue;
        if (t->tangent)
            kernels->push(t->cone, t->tangent->lens, record, n, t->map);
        else
            kernels->paint(t->cone, record, n, t->map);
    }
}

static gv_status paint_batch(painter *t)
{
    gv_parallel_for(t->count, record_chunk, t);
    double end = t->cone->h * (double)(t->cone->n_time - 1);
    for (int64_t k = 0; k < t->count; k++)
        if (t->chunk[k].farthest > end)
            return gv_cone_too_far(t->cone, t->chunk[k].farthest);
    for (t->colour = 0; t->colour < 2; t->colour++)
        gv_parallel_for((t->bands + 1 - t->colour) / 2, paint_band, t);
    return GV_OK;
}

/* d F = d_rate (T - centre) + rate (d_T - d_centre) */
static void set_tangent_factor(painter *t)
{
    const gv_cone *c = t->cone;
    const gv_cone_tangent *d = t->tangent;
    for (int run = 0; run < t->pass.runs; run++)
        for (int64_t i = t->pass.from[run]; i < t->pass.to[run]; i++) {
            double w[4];
            int32_t k = gv_cone_weights(t->pass.at[2][i] / c->h, c->n_time, w);
            t->d_factor[i] = d->rate * (gv_cone_dot(w, c->time + k) - c->centre) +
                c->rate * (gv_cone_dot(w, d->time + k) - d->centre);
        }
}

static gv_status paint_all(painter *t)
{
    const gv_cone *c = t->cone;
    int64_t from, to;
    t->band_rows = (int)((c->rows + 1) / (BANDS - 1) + 1);
    t->bands = (c->rows + 1) / t->band_rows + 1;
    gv_cone_replicas(c, &from, &to);
    for (int64_t j = from; j < to; j++) {
        gv_cone_pass_set(&t->pass, c, j, t->table);
        if (t->tangent) set_tangent_factor(t);
        int64_t step = t->rows_each * t->chunks;
        for (t->first_row = 0; t->first_row < t->pass.rows; t->first_row += step) {
            int64_t left = t->pass.rows - t->first_row;
            t->count = (left + t->rows_each - 1) / t->rows_each;
            if (t->count > t->chunks) t->count = t->chunks;
            GV_TRY(paint_batch(t));
        }
    }
    return GV_OK;
}

gv_status gv_cone_paint(const gv_cone *cone, void *kappa, void *scratch)
{
    GV_TRY(gv_cone_check(cone));
    painter t = { .cone = cone, .map = kappa };
    carve(&t, cone->grid.lattice, false, scratch);
    return paint_all(&t);
}

gv_status gv_cone_push(const gv_cone *cone, const gv_cone_tangent *d, void *d_kappa,
                       void *scratch)
{
    int64_t pixels = cone->n_source * cone->rows * cone->cols;
    gv_move_zero(d_kappa, (size_t)pixels * gv_cone_item(cone));
    GV_TRY(gv_cone_check(cone));
    painter t = { .cone = cone, .tangent = d, .map = d_kappa };
    carve(&t, cone->grid.lattice, true, scratch);
    return paint_all(&t);
}
