/* Winograd's algorithm: blocks of tiles in cache.
 *
 * Results: a strip is turned channels last and transformed, each of the points is a
 * product (tiles, k) (k, m), and the way back. The cotangent of the input is the same
 * with the taps reversed. The cotangent of the weights: both arrays are transformed,
 * and each point sums (k, tiles) (tiles, m) over the blocks of a chunk. */
#include <string.h>

#include "base/parallel.h"
#include "kernels/conv_strip.h"

enum {
    block_bytes = 640 << 10, /* of the transformed tiles of a block */
    sum_bytes = 1792 << 10,  /* the same where they are summed over */
    least_tiles = 16,
    most_tiles = 64,
    large_weights = 1 << 20, /* transformed: more than the caches keep */
    most_chunks = 16,
    chunk_bytes = 8 << 20, /* of all partial sums, if there is a choice */
    least_m = 64,          /* result channels of a task */
    least_tasks = 8,
    least_k = 64, /* source channels of a task of sums */
    skew = 16     /* elements between points: no two in one cache set */
};

typedef struct winograd {
    const gv_conv *c;
    const gv_conv_kernels *kernels;
    const gv_conv_winograd *form;
    gv_conv_pass pass;
    int64_t m, k, mp,
        kp; /* channels per group of result and source, in whole vectors */
    int64_t in[3], out[3], low[3];
    int64_t points;
    int64_t tiles[3], block[3], blocks[3]; /* all, in a block, blocks */
    int64_t images,
        sets; /* entries in a block where it holds whole ones, sets of them */
    int64_t most, total;         /* tiles in a block, blocks of all entries */
    int64_t slot;                /* from point to point */
    int64_t strip[3], result[3]; /* sizes of the strips of a block */
    const float *x, *w, *bias, *g;
    float *y, *u, *padded;
    int64_t u_group; /* transformed weights of a group */
    int64_t some_m, m_blocks;
    int64_t chunks, per, some_k, k_blocks;
    float *partial;
} winograd;

static int64_t up_lanes(int64_t n) { return gv_conv_up(n, GV_CONV_MAX_LANES); }
static size_t line_up(size_t bytes) { return (bytes + 63) / 64 * 64; }

/* Elements of transformed weights of a group: panels of 2 vectors of result
 * channels. */
static int64_t weights_of_group(const winograd *d)
{
    return d->points * (d->k * gv_conv_up(d->m, 2 * GV_CONV_MAX_LANES) + skew);
}

/* So many that they stay in cache, but enough to pay for reading the weights. */
static int64_t tiles_of_block(const winograd *d, int64_t channels)
{
    int64_t bytes = d->pass == GV_CONV_WEIGHT ? sum_bytes : block_bytes;
    int64_t fits = bytes / (int64_t)sizeof(float) / (d->points * channels);
    bool large = d->points * d->k * d->m > large_weights;
    return gv_conv_most(large ? most_tiles : least_tiles,
                        gv_conv_least(fits, most_tiles));
}

static winograd winograd_of(const gv_conv *c, gv_conv_pass pass)
{
    bool data = pass == GV_CONV_DATA;
    const gv_conv_kernels *kernels = gv_conv_kernels_get(GV_F32);
    int axes = c->kernel[0] == 3 ? 3 : c->kernel[1] == 3 ? 2 : 1;
    winograd d = { .c = c, .kernels = kernels, .pass = pass };
    d.form = &kernels->winograd[axes - 1];
    d.m = (data ? c->c_in : c->c_out) / c->groups;
    d.k = (data ? c->c_out : c->c_in) / c->groups;
    d.mp = up_lanes(d.m);
    d.kp = up_lanes(d.k);
    d.points = d.most = d.total = 1;
    for (int a = 2; a >= 0; a--) {
        d.in[a] = data ? c->out[a] : c->in[a];
        d.out[a] = data ? c->in[a] : c->out[a];
        d.low[a] = data ? d.form->taps[a] - 1 - c->low[a] : c->low[a];
        d.tiles[a] = (d.out[a] + d.form->outs[a] - 1) / d.form->outs[a];
        d.points *= d.form->points[a];
    }
    int64_t panels = gv_conv_up(d.m, 2 * GV_CONV_MAX_LANES);
    int64_t each = pass == GV_CONV_WEIGHT ? d.kp + panels : gv_conv_most(d.kp, d.mp);
    int64_t fits = tiles_of_block(&d, each);
    for (int a = 2; a >= 0; a--) {
        int64_t most = gv_conv_most(1, fits / d.most);
        d.blocks[a] = (d.tiles[a] + most - 1) / most;
        d.block[a] = (d.tiles[a] + d.blocks[a] - 1) / d.blocks[a];
        d.blocks[a] = (d.tiles[a] + d.block[a] - 1) / d.block[a];
        d.most *= d.block[a];
        d.total *= d.blocks[a];
        d.result[a] = d.block[a] * d.form->outs[a];
        d.strip[a] = d.result[a] + d.form->taps[a] - 1;
    }
    d.images =
        d.total > 1 ? 1 : gv_conv_most(1, gv_conv_least(fits / d.most, c->batch));
    d.sets = (c->batch + d.images - 1) / d.images;
    d.most *= d.images;
    d.total *= d.sets;
    d.some_m = d.mp;
    while (d.some_m > least_m &&
           d.total * c->groups * ((d.m + d.some_m - 1) / d.some_m) < least_tasks)
        d.some_m = gv_conv_up(d.some_m / 2, 2 * GV_CONV_MAX_LANES);
    d.m_blocks = (d.m + d.some_m - 1) / d.some_m;
    d.slot = d.most * each + skew;
    d.u_group = weights_of_group(&d);
    return d;
}

/* --- blocks of tiles ------------------------------------------------------------------*/

typedef struct place {
    int64_t from[3], n[3]; /* in tiles */
    int64_t image, images; /* first entry of the batch, how many */
    int64_t each, count;   /* tiles of an entry, of all */
} place;

static place place_of(const winograd *d, int64_t block)
{
    place p = { .each = 1 };
    for (int a = 2; a >= 0; a--) {
        p.from[a] = block % d->blocks[a] * d->block[a];
        p.n[a] = gv_conv_least(d->block[a], d->tiles[a] - p.from[a]);
        p.each *= p.n[a];
        block /= d->blocks[a];
    }
    p.image = block * d->images;
    p.images = gv_conv_least(d->images, d->c->batch - p.image);
    p.count = p.images * p.each;
    return p;
}

/* Tiles `step` points apart in a strip of this size with cp channels; transformed
 * vectors of tile t at t ts + v/2 ps. */
static gv_conv_tiles tiles_of(const winograd *d, const place *p, const int64_t *size,
                              int64_t cp, int64_t ts, int64_t ps)
{
    gv_conv_tiles t = { .nz = p->n[0], .ny = p->n[1], .nx = p->n[2] };
    t.px = cp;
    t.py = size[2] * cp;
    t.pz = size[1] * t.py;
    t.sz = d->form->outs[0] * t.pz;
    t.sy = d->form->outs[1] * t.py;
    t.sx = d->form->outs[2] * t.px;
    t.vectors = gv_conv_up(cp, d->kernels->lanes) / d->kernels->lanes;
    t.fs = d->slot;
    t.ts = ts;
    t.ps = ps;
    return t;
}

/* --- weights to points ------------------------------------------------------------------*/

/* One source channel of one group: lanes of result channels at a time. */
static void weight_task(void *ctx, int64_t task)
{
    const winograd *d = ctx;
    const int *taps = d->form->taps;
    bool data = d->pass == GV_CONV_DATA;
    int64_t group = task / d->k, k = task % d->k, lanes = d->kernels->lanes;
    int64_t n = (int64_t)taps[0] * taps[1] * taps[2];
    int64_t m_step = data ? n : d->k * n, k_step = data ? d->m * n : n;
    const float *w = d->w + group * d->m * d->k * n + k * k_step;
    int64_t panel = 2 * lanes, fs = d->u_group / d->points;
    float some[27 * GV_CONV_MAX_LANES];
    for (int64_t v = 0; v * lanes < d->mp; v++) {
        for (int64_t t = 0; t < n; t++)
            for (int64_t l = 0; l < lanes; l++) {
                int64_t m = v * lanes + l, tap = data ? n - 1 - t : t;
                some[t * lanes + l] = m < d->m ? w[m * m_step + tap] : 0;
            }
        float *u = d->u + group * d->u_group + v / 2 * d->k * panel + k * panel;
        d->form->weight(some, u + v % 2 * lanes, fs);
    }
}

/* --- results --------------------------------------------------------------------------*/

static size_t strip_room(const winograd *d)
{
    int64_t in = gv_conv_points(d->strip) * d->kp;
    int64_t out = gv_conv_points(d->result) * d->mp;
    return line_up((size_t)gv_conv_most(in, out) * sizeof(float));
}

/* Transformed tiles; results of point f go where the sources of point f - 1 were. */
static size_t tile_room(const winograd *d)
{
    return line_up((size_t)((d->points + 1) * d->slot) * sizeof(float));
}

/* Channels of a strip, mp apart, to their places. */
static void put_block(const winograd *d, const place *p, int64_t m, int64_t mp,
                      const float *strip, float *y)
{
    int64_t plane = gv_conv_points(d->out), first[3], n[3];
    for (int a = 0; a < 3; a++) {
        first[a] = p->from[a] * d->form->outs[a];
        n[a] = gv_conv_least(p->n[a] * d->form->outs[a], d->out[a] - first[a]);
    }
    for (int64_t z = 0; z < n[0]; z++)
        for (int64_t r = 0; r < n[1]; r++) {
            int64_t at =
                ((first[0] + z) * d->out[1] + first[1] + r) * d->out[2] + first[2];
            const float *from = strip + (z * d->result[1] + r) * d->result[2] * mp;
            d->kernels->from_last(m, n[2], from, mp, y + at, plane);
        }
}

/* Tiles of source channels k0 .. k0 + k - 1 of a group, transformed, kp apart. */
static void transform_source(const winograd *d, const place *p, int64_t group,
                             int64_t k0, int64_t k, int64_t kp, float *strip,
                             float *tiles)
{
    int64_t start[3], plane = gv_conv_points(d->in), panel = 2 * d->kernels->lanes;
    for (int a = 0; a < 3; a++) start[a] = p->from[a] * d->form->outs[a] - d->low[a];
    gv_conv_tiles t = tiles_of(d, p, d->strip, kp, kp, panel);
    for (int64_t i = 0; i < p->images; i++) {
        int64_t entry = (p->image + i) * d->c->groups + group;
        gv_conv_turn(d->kernels, sizeof(float), d->c->periodic, k,
                     d->x + (entry * d->k + k0) * plane, d->in, start, d->strip, strip,
                     kp);
        d->form->input(&t, strip, tiles + i * p->each * kp);
    }
}

static void result_block(void *ctx, int64_t task, void *memory)
{
    const winograd *d = ctx;
    const gv_conv_kernels *kernels = d->kernels;
    int64_t m0 = task % d->m_blocks * d->some_m, rest = task / d->m_blocks;
    int64_t ms = gv_conv_least(d->some_m, d->m - m0), mp = up_lanes(ms);
    int64_t group = rest / d->total, lanes = kernels->lanes;
    int64_t fs = d->u_group / d->points, plane = gv_conv_points(d->out);
    const float *u = d->u + group * d->u_group + m0 * d->k;
    place p = place_of(d, rest % d->total);
    float *strip = memory, *tiles = (float *)(void *)((char *)memory + strip_room(d));
    transform_source(d, &p, group, 0, d->k, d->kp, strip, tiles + d->slot);
    for (int64_t f = 0; f < d->points; f++)
        kernels->product(p.count, mp / lanes, d->k, tiles + (f + 1) * d->slot, d->kp, 1,
                         u + f * fs, 2 * lanes, d->k * 2 * lanes, false,
                         tiles + f * d->slot, mp);
    gv_conv_tiles t = tiles_of(d, &p, d->result, mp, mp, 2 * lanes);
    for (int64_t i = 0; i < p.images; i++) {
        int64_t entry = (p.image + i) * d->c->groups + group;
        d->form->output(&t, tiles + i * p.each * mp, d->padded + group * d->mp + m0,
                        (float)gv_conv_floor(d->c, d->pass), strip);
        put_block(d, &p, ms, mp, strip, d->y + (entry * d->m + m0) * plane);
    }
}

static size_t weight_room(const winograd *d)
{
    return line_up((size_t)(d->c->groups * (d->u_group + d->mp)) * sizeof(float));
}

void gv_conv_winograd_gather(const gv_conv *c, gv_conv_pass pass, const void *x,
                             const void *w, const void *bias, void *y, void *scratch)
{
    winograd d = winograd_of(c, pass);
    d.x = x;
    d.w = w;
    d.bias = bias;
    d.y = y;
    d.u = scratch;
    d.padded = d.u + c->groups * d.u_group;
    for (int64_t group = 0; group < c->groups; group++)
        for (int64_t m = 0; m < d.mp; m++)
            d.padded[group * d.mp + m] =
                d.bias && m < d.m ? d.bias[group * d.m + m] : 0;
    gv_parallel_for(c->groups * d.k, weight_task, &d);
    gv_conv_for(c->groups * d.total * d.m_blocks, result_block, &d,
                strip_room(&d) + tile_room(&d), (char *)scratch + weight_room(&d));
}

/* --- cotangent of the weights --------------------------------------------------------*/

static int64_t sums_of_group(const winograd *d) { return d->points * d->k * d->mp; }

/* Chunks of blocks as memory allows; where they are few, parts of the source
 * channels. */
static void plan_chunks(winograd *d)
{
    int64_t size = d->c->groups * sums_of_group(d) * (int64_t)sizeof(float);
    d->chunks = gv_conv_least(most_chunks, gv_conv_most(4, chunk_bytes / size));
    d->per = (d->total + d->chunks - 1) / d->chunks;
    d->chunks = d->per ? (d->total + d->per - 1) / d->per : 0;
    d->some_k = d->kp;
    while (d->some_k > least_k &&
           d->chunks * d->c->groups * ((d->k + d->some_k - 1) / d->some_k) <
               least_tasks)
        d->some_k = up_lanes(d->some_k / 2);
    d->k_blocks = (d->k + d->some_k - 1) / d->some_k;
}

static size_t partial_room(const winograd *d)
{
    return line_up((size_t)(d->chunks * d->c->groups * sums_of_group(d)) *
                   sizeof(float));
}

/* Two arrays of transformed tiles, point by point side by side. */
static size_t pair_room(const winograd *d)
{
    return line_up((size_t)(d->points * d->slot) * sizeof(float));
}

/* Tiles of the cotangents of a group, transformed, in panels of two vectors. */
static void transform_cotangent(const winograd *d, const place *p, int64_t group,
                                float *strip, float *tiles)
{
    int64_t start[3], plane = gv_conv_points(d->out), panel = 2 * d->kernels->lanes;
    for (int a = 0; a < 3; a++) start[a] = p->from[a] * d->form->outs[a];
    gv_conv_tiles t = tiles_of(d, p, d->result, d->mp, panel, p->count * panel);
    for (int64_t i = 0; i < p->images; i++) {
        int64_t entry = (p->image + i) * d->c->groups + group;
        gv_conv_turn(d->kernels, sizeof(float), false, d->m,
                     d->g + entry * d->m * plane, d->out, start, d->result, strip,
                     d->mp);
        d->form->cotangent(&t, strip, tiles + i * p->each * panel);
    }
}

static void sum_chunk(void *ctx, int64_t task, void *memory)
{
    const winograd *d = ctx;
    const gv_conv_kernels *kernels = d->kernels;
    int64_t k0 = task % d->k_blocks * d->some_k, rest = task / d->k_blocks;
    int64_t ks = gv_conv_least(d->some_k, d->k - k0), kp = up_lanes(ks);
    int64_t group = rest % d->c->groups, chunk = rest / d->c->groups;
    int64_t lanes = kernels->lanes, panel = 2 * lanes;
    float *sums = d->partial + rest * sums_of_group(d) + k0 * d->mp;
    float *strip = memory, *tiles = (float *)(void *)((char *)memory + strip_room(d));
    float *of_g = tiles + d->most * d->kp;
    int64_t first = chunk * d->per, end = gv_conv_least(first + d->per, d->total);
    for (int64_t i = first; i < end; i++) {
        place p = place_of(d, i);
        transform_source(d, &p, group, k0, ks, kp, strip, tiles);
        transform_cotangent(d, &p, group, strip, of_g);
        for (int64_t f = 0; f < d->points; f++)
            kernels->product(ks, d->mp / lanes, p.count, tiles + f * d->slot, 1, kp,
                             of_g + f * d->slot, panel, p.count * panel, i > first,
                             sums + f * d->k * d->mp, d->mp);
    }
}

/* One source channel of one group: add the chunks in order, then back to taps. */
static void finish_task(void *ctx, int64_t task)
{
    const winograd *d = ctx;
    const int *taps = d->form->taps;
    int64_t group = task / d->k, k = task % d->k, lanes = d->kernels->lanes;
    int64_t n = (int64_t)taps[0] * taps[1] * taps[2], size = sums_of_group(d);
    float sum[GV_CONV_MAX_POINTS * GV_CONV_MAX_LANES], w[27 * GV_CONV_MAX_LANES];
    float *gw = d->y + group * d->m * d->k * n + k * n;
    for (int64_t m = 0; m < d->m; m += lanes) {
        memset(sum, 0, sizeof sum);
        for (int64_t q = 0; q < d->chunks; q++) {
            const float *s =
                d->partial + (q * d->c->groups + group) * size + k * d->mp + m;
            for (int64_t f = 0; f < d->points; f++)
                for (int64_t l = 0; l < lanes; l++)
                    sum[f * lanes + l] += s[f * d->k * d->mp + l];
        }
        d->form->weight_cotangent(sum, lanes, w);
        for (int64_t l = 0; l < gv_conv_least(lanes, d->m - m); l++)
            for (int64_t t = 0; t < n; t++)
                gw[(m + l) * d->k * n + t] = w[t * lanes + l];
    }
}

void gv_conv_winograd_weight(const gv_conv *c, const void *x, const void *g, void *gw,
                             void *scratch)
{
    winograd d = winograd_of(c, GV_CONV_WEIGHT);
    plan_chunks(&d);
    d.x = x;
    d.g = g;
    d.y = gw;
    d.partial = scratch;
    gv_conv_for(d.chunks * c->groups * d.k_blocks, sum_chunk, &d,
                strip_room(&d) + pair_room(&d), (char *)scratch + partial_room(&d));
    gv_parallel_for(c->groups * d.k, finish_task, &d);
}

/* --- working memory ---------------------------------------------------------------------*/

size_t gv_conv_winograd_scratch(const gv_conv *c, gv_conv_pass pass)
{
    winograd d = winograd_of(c, pass);
    if (pass == GV_CONV_WEIGHT) {
        plan_chunks(&d);
        return partial_room(&d) +
            (size_t)gv_conv_workers(d.chunks * c->groups * d.k_blocks) *
            (strip_room(&d) + pair_room(&d));
    }
    return weight_room(&d) +
        (size_t)gv_conv_workers(c->groups * d.total * d.m_blocks) *
        (strip_room(&d) + tile_room(&d));
}
