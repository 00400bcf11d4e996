/* Norms of each entry: group, layer and instance (kernels/norm.h).
 *
 * The values of a set lie side by side. With many places a channel's stretch has one
 * weight; with few, every value gets a weight of its own (repeated over the places
 * first). Cotangents of the weights are summed per stretch of entries, then in order. */
#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "kernels/norm_table.h"

enum { chunk_items = 16384, chunk_entries = 8, together = 4 };

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Scratch: weight and bias of every value (few places, more than one), then the partial
 * sums of their cotangents in float64, (chunks, 2, values) or (entries, channels, 2). */
typedef struct run {
    const gv_norm_job *w;
    int64_t values, set; /* of an entry; of a set */
    int64_t entries, chunks;
    const char *weight, *bias; /* (values) */
    double *sums;
} run;

static bool by_values(const gv_norm *p) { return p->s < GV_NORM_PLACES; }

static run run_of(const gv_norm *p)
{
    run r = { .values = p->c * p->s };
    r.set = r.values / p->groups;
    r.entries = chunk_items / (r.values > 0 ? r.values : 1);
    if (by_values(p) && r.entries < chunk_entries) r.entries = chunk_entries;
    if (r.entries < 1) r.entries = 1;
    r.chunks = (p->b + r.entries - 1) / r.entries;
    return r;
}

static size_t spread_bytes(const gv_norm *p)
{
    if (!by_values(p) || p->s == 1) return 0;
    size_t bytes = (size_t)(2 * p->c * p->s) * gv_dtype_size(p->dtype);
    return (bytes + 63) / 64 * 64;
}

size_t gv_norm_groups_scratch(const gv_norm *p)
{
    run r = run_of(p);
    int64_t sums = by_values(p) ? 2 * r.chunks * r.values : 2 * p->b * p->c;
    return spread_bytes(p) + (size_t)sums * sizeof(double);
}

/* The run, with weights repeated over the places where values have their own. */
static run start(const gv_norm_job *w)
{
    const gv_norm *p = w->p;
    run r = run_of(p);
    r.w = w;
    r.weight = w->weight;
    r.bias = w->bias;
    r.sums = (double *)(w->scratch + spread_bytes(p));
    if (spread_bytes(p) == 0) return r;
    char *weight = w->scratch, *bias = weight + w->item * (size_t)r.values;
    for (int64_t j = 0; j < r.values; j++) {
        memcpy(weight + w->item * (size_t)j, w->weight + w->item * (size_t)(j / p->s),
               w->item);
        memcpy(bias + w->item * (size_t)j, w->bias + w->item * (size_t)(j / p->s),
               w->item);
    }
    r.weight = weight;
    r.bias = bias;
    return r;
}

/* --- one set ---------------------------------------------------------------------*/

static gv_norm_coefficients set_coefficients(const gv_norm_job *w, int64_t set)
{
    double var = gv_norm_get(w->var, set, w->item);
    return (gv_norm_coefficients){ .mean = gv_norm_get(w->mean, set, w->item),
                                   .scale = 1 / sqrt(var + w->p->eps) };
}

/* The same for a channel of the set. */
static gv_norm_coefficients channel_coefficients(const gv_norm_job *w,
                                                 gv_norm_coefficients k, int64_t c)
{
    k.scale *= gv_norm_get(w->weight, c, w->item);
    k.bias = gv_norm_get(w->bias, c, w->item);
    return k;
}

static void store_moments(const run *r, int64_t set, const char *x)
{
    const gv_norm_job *w = r->w;
    double sums[2] = { 0, 0 }, n = (double)r->set;
    int64_t k = least(r->set, gv_norm_head(w->p));
    double shift = w->table->total(x, k) / (double)k;
    w->table->moments(x, r->set, shift, sums);
    double mean = sums[0] / n, var = sums[1] / n - mean * mean;
    gv_norm_set(w->mean, set, w->item, shift + mean);
    gv_norm_set(w->var, set, w->item, var < 0 ? 0 : var);
}

/* Set `set` = entry * groups + group: offsets of its values and weights. */
static void map_set(const run *r, int64_t set)
{
    const gv_norm_job *w = r->w;
    const gv_norm *p = w->p;
    size_t byte = w->item * (size_t)(set * r->set);
    int64_t first = set % p->groups * (p->c / p->groups);
    store_moments(r, set, w->x + byte);
    gv_norm_coefficients k = set_coefficients(w, set);
    if (by_values(p)) {
        size_t own = w->item * (size_t)(first * p->s);
        w->table->row_affine(w->x + byte, r->set, &k, r->weight + own, r->bias + own,
                             p->relu, w->y + byte);
        return;
    }
    for (int64_t c = first; c < first + p->c / p->groups; c++) {
        gv_norm_coefficients own = channel_coefficients(w, k, c);
        w->table->affine(w->x + byte, p->s, &own, p->relu, w->y + byte);
        byte += w->item * (size_t)p->s;
    }
}

static void map_task(void *ctx, int64_t chunk)
{
    const run *r = ctx;
    const gv_norm *p = r->w->p;
    int64_t end = least((chunk + 1) * r->entries, p->b) * p->groups;
    for (int64_t k = chunk * r->entries * p->groups; k < end; k++) map_set(r, k);
}

static void map_set_task(void *ctx, int64_t set) { map_set(ctx, set); }

void gv_norm_groups(const gv_norm_job *w)
{
    run r = start(w);
    if (by_values(w->p) || r.entries > 1)
        gv_parallel_for(r.chunks, map_task, &r);
    else
        gv_parallel_for(w->p->b * w->p->groups, map_set_task, &r);
}

/* --- reverse ---------------------------------------------------------------------*/

/* Sets of one group of `rows` entries from the given one. */
static void pull_values(const run *r, int64_t entry, int rows, int64_t group,
                        double *sums)
{
    const gv_norm_job *w = r->w;
    int64_t own = group * r->set;
    size_t at = w->item * (size_t)own, step = w->item * (size_t)r->values;
    size_t byte = step * (size_t)entry + at;
    gv_norm_coefficients k[together];
    double total[2 * together];
    for (int i = 0; i < rows; i++)
        k[i] = set_coefficients(w, (entry + i) * w->p->groups + group);
    w->table->row_sums(w->x + byte, w->g + byte, rows, r->values, r->set, k,
                       r->weight + at, r->bias + at, w->p->relu, total, sums + own,
                       sums + r->values + own);
    for (int i = 0; i < rows; i++, byte += step) {
        k[i].offset = total[2 * i] / (double)r->set;
        k[i].slope = total[2 * i + 1] / (double)r->set;
        w->table->row_pull(w->x + byte, w->g + byte, r->set, k + i, r->weight + at,
                           r->bias + at, w->p->relu, w->y + byte);
    }
}

static void values_task(void *ctx, int64_t chunk)
{
    const run *r = ctx;
    const gv_norm *p = r->w->p;
    double *sums = r->sums + 2 * chunk * r->values;
    memset(sums, 0, (size_t)(2 * r->values) * sizeof(double));
    int64_t end = least((chunk + 1) * r->entries, p->b);
    for (int64_t i = chunk * r->entries; i < end; i += together)
        for (int64_t group = 0; group < p->groups; group++)
            pull_values(r, i, (int)least(together, end - i), group, sums);
}

static void pull_set(const run *r, int64_t set)
{
    const gv_norm_job *w = r->w;
    const gv_norm *p = w->p;
    int64_t each = p->c / p->groups, first = set % p->groups * each;
    size_t start = w->item * (size_t)(set * r->set);
    size_t step = w->item * (size_t)p->s, byte = start;
    gv_norm_coefficients k = set_coefficients(w, set);
    double total[2] = { 0, 0 }, rstd = k.scale;
    for (int64_t c = first; c < first + each; c++, byte += step) {
        gv_norm_coefficients own = channel_coefficients(w, k, c);
        double *sums = r->sums + 2 * (set / p->groups * p->c + c);
        double weight = gv_norm_get(w->weight, c, w->item);
        sums[0] = sums[1] = 0;
        w->table->sums(w->x + byte, w->g + byte, p->s, &own, p->relu, sums);
        total[0] += weight * sums[0];
        total[1] += weight * sums[1];
        sums[1] *= rstd;
    }
    byte = start;
    for (int64_t c = first; c < first + each; c++, byte += step) {
        gv_norm_coefficients own = channel_coefficients(w, k, c);
        own.offset = rstd * total[0] / (double)r->set;
        own.slope = rstd * rstd * rstd * total[1] / (double)r->set;
        w->table->pull(w->x + byte, w->g + byte, p->s, &own, p->relu, w->y + byte);
    }
}

static void pull_task(void *ctx, int64_t chunk)
{
    const run *r = ctx;
    const gv_norm *p = r->w->p;
    int64_t end = least((chunk + 1) * r->entries, p->b) * p->groups;
    for (int64_t k = chunk * r->entries * p->groups; k < end; k++) pull_set(r, k);
}

static void pull_set_task(void *ctx, int64_t set) { pull_set(ctx, set); }

static void store_sums(const run *r)
{
    const gv_norm_job *w = r->w;
    const gv_norm *p = w->p;
    bool values = by_values(p);
    int64_t parts = values ? r->chunks : p->b;
    int64_t part = values ? 2 * r->values : 2 * p->c; /* from one to the next */
    int64_t step = values ? p->s : 2, terms = values ? p->s : 1;
    for (int64_t c = 0; c < p->c; c++) {
        double weight = 0, bias = 0;
        for (int64_t k = 0; k < parts; k++) {
            const double *sums = r->sums + k * part + c * step;
            for (int64_t j = 0; j < terms; j++) {
                weight += values ? sums[j] : sums[1];
                bias += values ? sums[r->values + j] : sums[0];
            }
        }
        gv_norm_set(w->g_weight, c, w->item, weight);
        gv_norm_set(w->g_bias, c, w->item, bias);
    }
}

void gv_norm_groups_bwd(const gv_norm_job *w)
{
    run r = start(w);
    if (by_values(w->p))
        gv_parallel_for(r.chunks, values_task, &r);
    else if (r.entries > 1)
        gv_parallel_for(r.chunks, pull_task, &r);
    else
        gv_parallel_for(w->p->b * w->p->groups, pull_set_task, &r);
    store_sums(&r);
}
