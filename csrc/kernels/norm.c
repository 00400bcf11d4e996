/* Norms: choice of path, independent lanes, statistics by planes (kernels/norm.h).
 *
 * By planes: a channel is cut into pieces of about `piece` values, whose sums are joined
 * in order. A task does a channel while it is in the cache, or, where channels are few
 * or large, all pieces are summed first and mapped after. */
#include "kernels/norm.h"

#include <math.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "kernels/norm_table.h"

enum { piece = 32768, few_channels = 4, channel_fits = 1 << 19 };

static const gv_norm_table *table(gv_dtype dtype)
{
    bool wide = dtype == GV_F64;
    switch (gv_simd_level()) {
    case GV_SIMD_AVX512: return wide ? &gv_norm_f64_avx512 : &gv_norm_f32_avx512;
    case GV_SIMD_AVX2: return wide ? &gv_norm_f64_avx2 : &gv_norm_f32_avx2;
    default: return wide ? &gv_norm_f64_base : &gv_norm_f32_base;
    }
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* --- pieces of a channel ---------------------------------------------------------*/

typedef struct pieces {
    int64_t parts, planes; /* parts of one plane, or planes in one piece */
    int64_t count;
} pieces;

static pieces pieces_of(const gv_norm *p)
{
    pieces c = { .parts = 1, .planes = 1 };
    if (p->s >= piece) {
        c.parts = (p->s + piece - 1) / piece;
        c.count = p->b * c.parts;
    } else {
        c.planes = piece / p->s;
        c.count = (p->b + c.planes - 1) / c.planes;
    }
    return c;
}

typedef struct stretch {
    int64_t from, to;   /* planes */
    int64_t at, length; /* within a plane */
} stretch;

static stretch stretch_of(const gv_norm *p, const pieces *c, int64_t k)
{
    if (c->parts == 1)
        return (stretch){ k * c->planes, least((k + 1) * c->planes, p->b), 0, p->s };
    int64_t at = k % c->parts * piece;
    return (stretch){ k / c->parts, k / c->parts + 1, at, least(piece, p->s - at) };
}

/* Bytes from the start of x to a stretch's part of plane i. */
static size_t place(const gv_norm_job *w, int64_t i, int64_t channel, const stretch *r)
{
    return w->item * (size_t)((i * w->p->c + channel) * w->p->s + r->at);
}

typedef struct run {
    const gv_norm_job *w;
    pieces c;
    double *sums; /* (channels, pieces, 2) */
} run;

/* Mean of the first values of a channel. */
static double first_mean(const gv_norm_job *w, int64_t channel)
{
    double sum = 0;
    int64_t head = gv_norm_head(w->p), n = 0, length = least(w->p->s, head);
    stretch r = { 0, w->p->b, 0, length };
    for (int64_t i = 0; i < w->p->b && n < head; i++, n += length)
        sum += w->table->total(w->x + place(w, i, channel, &r), length);
    return sum / (double)n;
}

static gv_norm_coefficients coefficients(const gv_norm_job *w, int64_t channel)
{
    double var = gv_norm_get(w->var, channel, w->item);
    return (gv_norm_coefficients){
        .mean = gv_norm_get(w->mean, channel, w->item),
        .scale = gv_norm_get(w->weight, channel, w->item) / sqrt(var + w->p->eps),
        .bias = gv_norm_get(w->bias, channel, w->item),
    };
}

static void add_moments(const run *r, int64_t channel, int64_t k, double shift,
                        double *sums)
{
    stretch at = stretch_of(r->w->p, &r->c, k);
    for (int64_t i = at.from; i < at.to; i++)
        r->w->table->moments(r->w->x + place(r->w, i, channel, &at), at.length, shift,
                             sums);
}

static void store_moments(const run *r, int64_t channel, double shift,
                          const double *sums)
{
    double n = (double)(r->w->p->b * r->w->p->s), mean = sums[0] / n;
    double var = sums[1] / n - mean * mean;
    gv_norm_set(r->w->mean, channel, r->w->item, shift + mean);
    gv_norm_set(r->w->var, channel, r->w->item, var < 0 ? 0 : var);
}

static void map_piece(const run *r, int64_t channel, int64_t k)
{
    const gv_norm_job *w = r->w;
    gv_norm_coefficients a = coefficients(w, channel);
    stretch at = stretch_of(w->p, &r->c, k);
    for (int64_t i = at.from; i < at.to; i++) {
        size_t byte = place(w, i, channel, &at);
        w->table->affine(w->x + byte, at.length, &a, w->p->relu, w->y + byte);
    }
}

static void channel_task(void *ctx, int64_t channel)
{
    const run *r = ctx;
    double sums[2] = { 0, 0 }, shift = first_mean(r->w, channel);
    for (int64_t k = 0; k < r->c.count; k++) {
        double part[2] = { 0, 0 };
        add_moments(r, channel, k, shift, part);
        sums[0] += part[0];
        sums[1] += part[1];
    }
    store_moments(r, channel, shift, sums);
    for (int64_t k = 0; k < r->c.count; k++) map_piece(r, channel, k);
}

static void moments_task(void *ctx, int64_t task)
{
    const run *r = ctx;
    int64_t channel = task / r->c.count;
    double *sums = r->sums + 2 * task;
    sums[0] = sums[1] = 0;
    add_moments(r, channel, task % r->c.count, first_mean(r->w, channel), sums);
}

static void map_task(void *ctx, int64_t task)
{
    const run *r = ctx;
    map_piece(r, task / r->c.count, task % r->c.count);
}

/* Sums of the pieces of a channel, in order. */
static void join(const run *r, int64_t channel, double *sums)
{
    const double *part = r->sums + 2 * channel * r->c.count;
    sums[0] = sums[1] = 0;
    for (int64_t k = 0; k < r->c.count; k++) {
        sums[0] += part[2 * k];
        sums[1] += part[2 * k + 1];
    }
}

static bool whole_channels(const gv_norm *p)
{
    return p->c >= few_channels && p->b * p->s <= channel_fits;
}

size_t gv_norm_planes_scratch(const gv_norm *p)
{
    if (whole_channels(p)) return 0;
    return (size_t)(2 * p->c * pieces_of(p).count) * sizeof(double);
}

void gv_norm_planes(const gv_norm_job *w)
{
    run r = { w, pieces_of(w->p), (double *)w->scratch };
    if (whole_channels(w->p)) {
        gv_parallel_for(w->p->c, channel_task, &r);
        return;
    }
    gv_parallel_for(w->p->c * r.c.count, moments_task, &r);
    for (int64_t channel = 0; channel < w->p->c; channel++) {
        double sums[2];
        join(&r, channel, sums);
        store_moments(&r, channel, first_mean(w, channel), sums);
    }
    gv_parallel_for(w->p->c * r.c.count, map_task, &r);
}

/* --- reverse ---------------------------------------------------------------------*/

static void add_sums(const run *r, int64_t channel, int64_t k, double *sums)
{
    const gv_norm_job *w = r->w;
    gv_norm_coefficients a = coefficients(w, channel);
    stretch at = stretch_of(w->p, &r->c, k);
    for (int64_t i = at.from; i < at.to; i++) {
        size_t byte = place(w, i, channel, &at);
        w->table->sums(w->x + byte, w->g + byte, at.length, &a, w->p->relu, sums);
    }
}

static void pull_piece(const run *r, int64_t channel, int64_t k, const double *sums)
{
    const gv_norm_job *w = r->w;
    gv_norm_coefficients a = coefficients(w, channel);
    double n = (double)(w->p->b * w->p->s);
    double var = gv_norm_get(w->var, channel, w->item);
    a.offset = a.scale * sums[0] / n;
    a.slope = a.scale * sums[1] / n / (var + w->p->eps);
    stretch at = stretch_of(w->p, &r->c, k);
    for (int64_t i = at.from; i < at.to; i++) {
        size_t byte = place(w, i, channel, &at);
        w->table->pull(w->x + byte, w->g + byte, at.length, &a, w->p->relu,
                       w->y + byte);
    }
}

static void store_sums(const run *r, int64_t channel, const double *sums)
{
    const gv_norm_job *w = r->w;
    double var = gv_norm_get(w->var, channel, w->item);
    gv_norm_set(w->g_weight, channel, w->item, sums[1] / sqrt(var + w->p->eps));
    gv_norm_set(w->g_bias, channel, w->item, sums[0]);
}

static void channel_back_task(void *ctx, int64_t channel)
{
    const run *r = ctx;
    double sums[2] = { 0, 0 };
    for (int64_t k = 0; k < r->c.count; k++) {
        double part[2] = { 0, 0 };
        add_sums(r, channel, k, part);
        sums[0] += part[0];
        sums[1] += part[1];
    }
    store_sums(r, channel, sums);
    for (int64_t k = r->c.count - 1; k >= 0; k--) pull_piece(r, channel, k, sums);
}

static void sums_task(void *ctx, int64_t task)
{
    const run *r = ctx;
    double *sums = r->sums + 2 * task;
    sums[0] = sums[1] = 0;
    add_sums(r, task / r->c.count, task % r->c.count, sums);
}

static void pull_task(void *ctx, int64_t task)
{
    const run *r = ctx;
    int64_t channel = task / r->c.count;
    double sums[2];
    join(r, channel, sums);
    pull_piece(r, channel, task % r->c.count, sums);
}

void gv_norm_planes_bwd(const gv_norm_job *w)
{
    run r = { w, pieces_of(w->p), (double *)w->scratch };
    if (whole_channels(w->p)) {
        gv_parallel_for(w->p->c, channel_back_task, &r);
        return;
    }
    gv_parallel_for(w->p->c * r.c.count, sums_task, &r);
    for (int64_t channel = 0; channel < w->p->c; channel++) {
        double sums[2];
        join(&r, channel, sums);
        store_sums(&r, channel, sums);
    }
    gv_parallel_for(w->p->c * r.c.count, pull_task, &r);
}

/* --- all paths -------------------------------------------------------------------*/

typedef void (*walker)(const gv_norm_job *w);

static size_t lane_scratch(const gv_norm *p)
{
    size_t bytes = p->groups > 0 ? gv_norm_groups_scratch(p)
        : p->s >= GV_NORM_PLACES ? gv_norm_planes_scratch(p)
                                 : gv_norm_columns_scratch(p);
    return (bytes + 63) / 64 * 64;
}

/* Many small lanes run side by side, large ones one after the other. */
static bool side_by_side(const gv_norm *p)
{
    return p->lanes > 1 && p->b * p->c * p->s <= 4 * piece;
}

size_t gv_norm_scratch(const gv_norm *p)
{
    return lane_scratch(p) * (size_t)(side_by_side(p) ? p->lanes : 1);
}

typedef struct lanes {
    gv_norm_job w;
    walker walk;
    size_t scratch;
} lanes;

static void lane_task(void *ctx, int64_t lane)
{
    const lanes *l = ctx;
    const gv_norm *p = l->w.p;
    gv_norm_job w = l->w;
    size_t k = (size_t)lane, x = k * w.item * (size_t)(p->b * p->c * p->s);
    size_t c = k * w.item * (size_t)p->c;
    size_t m = p->groups > 0 ? k * w.item * (size_t)(p->b * p->groups) : c;
    w.x += x;
    w.y += x;
    w.mean += m;
    w.var += m;
    w.weight += c;
    w.bias += c;
    if (w.g != NULL) {
        w.g += x;
        w.g_weight += c;
        w.g_bias += c;
    }
    w.scratch += k * l->scratch;
    l->walk(&w);
}

static void run_lanes(const gv_norm_job *w, walker walk)
{
    lanes l = { *w, walk, lane_scratch(w->p) };
    if (side_by_side(w->p)) {
        gv_parallel_for(w->p->lanes, lane_task, &l);
        return;
    }
    l.scratch = 0;
    for (int64_t k = 0; k < w->p->lanes; k++) lane_task(&l, k);
}

void gv_norm_forward(const gv_norm *p, const void *x, const void *weight,
                     const void *bias, void *y, void *mean, void *var, void *scratch)
{
    gv_norm_job w = { .table = table(p->dtype),
                      .p = p,
                      .item = gv_dtype_size(p->dtype),
                      .x = x,
                      .weight = weight,
                      .bias = bias,
                      .y = y,
                      .mean = mean,
                      .var = var,
                      .scratch = scratch };
    run_lanes(&w,
              p->groups > 0                ? gv_norm_groups
                  : p->s >= GV_NORM_PLACES ? gv_norm_planes
                                           : gv_norm_columns);
}

void gv_norm_backward(const gv_norm *p, const void *x, const void *mean,
                      const void *var, const void *weight, const void *bias,
                      const void *g, void *g_x, void *g_weight, void *g_bias,
                      void *scratch)
{
    gv_norm_job w = { .table = table(p->dtype),
                      .p = p,
                      .item = gv_dtype_size(p->dtype),
                      .x = x,
                      .weight = weight,
                      .bias = bias,
                      .g = g,
                      .y = g_x,
                      .mean = (char *)(uintptr_t)mean,
                      .var = (char *)(uintptr_t)var,
                      .g_weight = g_weight,
                      .g_bias = g_bias,
                      .scratch = scratch };
    run_lanes(&w,
              p->groups > 0                ? gv_norm_groups_bwd
                  : p->s >= GV_NORM_PLACES ? gv_norm_planes_bwd
                                           : gv_norm_columns_bwd);
}
