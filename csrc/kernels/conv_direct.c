/* The direct way: strips in cache, taps as shifts.
 *
 * Results (forward) and cotangents of the input (by remainder of the position modulo
 * the stride) are sums over channels k and taps t, vectorised over positions. The
 * cotangent of the weights is a sum over positions, vectorised over channels; each
 * chunk of blocks has partial sums of its own, which are added in order. */
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "kernels/conv_strip.h"

enum {
    positions = 512,     /* of a block of results */
    sum_positions = 256, /* of a block that is summed over */
    strip_bytes = 192 << 10,
    block_m = 96,    /* result channels of a block */
    block_n = 128,   /* the same in vectors */
    few_pairs = 64,  /* channels in times out of a group */
    most_phases = 4, /* of the last axis, done together */
    most_chunks = 16,
    piece = 1024,                                /* sums added at a time */
    chunk_bytes = 32 << 20,                      /* of all partial sums */
    slack = GV_CONV_MAX_WIDE * GV_CONV_MAX_LANES /* read and written past the end */
};

/* From channel to channel of results: tiles of any width may write past the last
 * one. */
static int64_t pitch_of(int64_t count)
{
    return gv_conv_up(count, GV_CONV_MAX_LANES) + slack;
}

static size_t line_up(size_t bytes) { return (bytes + 63) / 64 * 64; }

typedef struct direct {
    const gv_conv *c;
    const gv_conv_kernels *kernels;
    gv_conv_pass pass;
    int phases;
    gv_conv_strip strip[most_phases]; /* for all but transposes with a stride, one */
    size_t item;
    int64_t m, k;   /* channels per group: of the result, of the source */
    int64_t some_k; /* channels in a strip */
    int64_t some_m, m_blocks;
    int64_t strip_size; /* of a channel, in any phase */
    const char *x, *w, *bias;
    char *y, *packed[most_phases];
    size_t panel[most_phases]; /* bytes of the packed weights of `rows` channels */
    /* weights */
    const char *g;
    char *partial;
    int64_t n, n_blocks, some_n, chunks, per;
    bool few;  /* channels: vectors of positions */
    bool swap; /* vectors of source channels instead of result channels */
} direct;

static bool is_plain(const gv_conv *c, int a)
{
    return c->kernel[a] == 1 && c->stride[a] == 1 && c->low[a] == 0 &&
        c->in[a] == c->out[a];
}

/* The same problem with neighbouring axes that the kernel does not touch as one. */
static gv_conv joined(const gv_conv *c)
{
    gv_conv j = *c;
    for (int a = 1; a >= 0; a--) {
        if (!is_plain(&j, a) || !is_plain(&j, 2)) break;
        j.in[2] = j.out[2] = j.in[2] * j.in[a];
        j.in[a] = j.out[a] = 1;
    }
    return j;
}

static direct direct_of(const gv_conv *c, gv_conv_pass pass)
{
    bool data = pass == GV_CONV_DATA;
    direct d = { .c = c,
                 .pass = pass,
                 .kernels = gv_conv_kernels_get(c->dtype),
                 .item = gv_dtype_size(c->dtype),
                 .m = (data ? c->c_in : c->c_out) / c->groups,
                 .k = (data ? c->c_out : c->c_in) / c->groups,
                 .phases = 1 };
    if (data && c->stride[2] <= most_phases && c->stride[2] <= c->in[2])
        d.phases = (int)c->stride[2];
    return d;
}

/* --- results ----------------------------------------------------------------------------*/

/* Blocks of channels: smaller ones where there are few blocks of points. */
static void plan_channels(direct *d)
{
    int64_t tasks = d->c->batch * d->c->groups * d->strip->blocks, size = 1;
    d->some_m = block_m;
    while (d->some_m > 24 && tasks * ((d->m + d->some_m - 1) / d->some_m) < 16)
        d->some_m /= 2;
    d->m_blocks = (d->m + d->some_m - 1) / d->some_m;
    for (int p = 0; p < d->phases; p++) size = gv_conv_most(size, d->strip[p].size);
    int64_t fits = strip_bytes / (int64_t)d->item / size;
    fits = gv_conv_most(1, gv_conv_least(fits, d->k));
    int64_t k_blocks = (d->k + fits - 1) / fits;
    d->some_k = (d->k + k_blocks - 1) / k_blocks;
    d->strip_size = size;
}

static size_t strip_room(const direct *d)
{
    return line_up((size_t)(d->some_k * d->strip_size + slack) * d->item);
}

static size_t result_room(const direct *d)
{
    int64_t m = gv_conv_least(d->some_m, d->m), most = 0;
    for (int p = 0; p < d->phases; p++)
        most = gv_conv_most(most, d->strip[p].positions);
    return line_up((size_t)(m * pitch_of(most)) * d->item);
}

static size_t packed_room(const direct *d)
{
    /* panels of either height */
    int64_t rows = gv_conv_up(d->m, GV_CONV_MAX_ROWS);
    return line_up((size_t)(d->c->groups * rows * d->k * gv_conv_points(d->c->kernel)) *
                   d->item);
}

static size_t plan_room(const gv_conv *c)
{
    return line_up((size_t)(most_phases * gv_conv_strip_room(c)) * sizeof(int64_t));
}

/* to[k][t][row] = w of one panel of rows of one group, for one phase */
static void pack_panel(void *ctx, int64_t task)
{
    const direct *d = ctx;
    int64_t rows = d->kernels->rows, panels = (d->m + rows - 1) / rows;
    int64_t p = task % d->phases, at_panel = task / d->phases;
    int64_t group = at_panel / panels, m0 = at_panel % panels * rows;
    int64_t all = gv_conv_points(d->c->kernel), entry = d->m * d->k * all;
    bool data = d->pass == GV_CONV_DATA;
    int64_t m_step = data ? all : d->k * all, k_step = data ? d->m * all : all;
    const char *w = d->w + (size_t)(group * entry) * d->item;
    const gv_conv_strip *s = &d->strip[p];
    char *to = d->packed[p] + (size_t)at_panel * d->panel[p];
    for (int64_t k = 0; k < d->k; k++)
        for (int64_t t = 0; t < s->taps; t++)
            for (int64_t r = 0; r < rows; r++, to += d->item) {
                int64_t m = m0 + r, at = m * m_step + k * k_step + s->tap[t];
                if (m >= d->m)
                    memset(to, 0, d->item);
                else if (d->item == 4)
                    memcpy(to, w + 4 * at, 4);
                else
                    memcpy(to, w + 8 * at, 8);
            }
}

/* y[j step] = max(r[j] + b, least) for a row of n results, NaN stays; two rows in
 * turn */
#define DEFINE_PUT(T, NAME)                                                     \
    static void NAME(const void *pr, int64_t n, const void *bias, double floor, \
                     int64_t step, void *py)                                    \
    {                                                                           \
        const T *r = pr, b = bias ? *(const T *)bias : 0, least = (T)floor;     \
        T *restrict y = py;                                                     \
        if (step == 1)                                                          \
            for (int64_t j = 0; j < n; j++)                                     \
                y[j] = least > r[j] + b ? least : r[j] + b;                     \
        else                                                                    \
            for (int64_t j = 0; j < n; j++)                                     \
                y[j * step] = least > r[j] + b ? least : r[j] + b;              \
    }                                                                           \
    static void NAME##_pair(const void *pr, const void *pq, int64_t n,          \
                            const void *bias, void *py)                         \
    {                                                                           \
        const T *r = pr, *q = pq, b = bias ? *(const T *)bias : 0;              \
        T *restrict y = py;                                                     \
        for (int64_t j = 0; j < n; j++) {                                       \
            y[2 * j] = r[j] + b;                                                \
            y[2 * j + 1] = q[j] + b;                                            \
        }                                                                       \
    }
DEFINE_PUT(float, put_f)
DEFINE_PUT(double, put_d)

/* The results of a row of all phases, whole pairs together where there are two. */
static void put_row(const direct *d, const char *const *results, const int64_t *n,
                    const char *bias, char *to)
{
    bool single = d->item == 4;
    double least = gv_conv_floor(d->c, d->pass);
    int64_t step = d->strip->axis[2].step, both = 0;
    if (d->phases == 2) {
        both = gv_conv_least(n[0], n[1]);
        (single ? put_f_pair : put_d_pair)(results[0], results[1], both, bias, to);
    }
    for (int p = 0; p < d->phases; p++)
        (single ? put_f : put_d)(results[p] + (size_t)both * d->item, n[p] - both, bias,
                                 least, step, to + (size_t)(both * step + p) * d->item);
}

/* The block's results of one channel of one entry, from positions to their places. */
static void put_block(const direct *d, const int64_t *from, const int64_t *n,
                      const char *const *results, const char *bias, char *plane)
{
    const gv_conv_axis *x = d->strip->axis;
    int64_t some[most_phases], ix = x[2].first + from[2] * x[2].step;
    for (int p = 0; p < d->phases; p++)
        some[p] = gv_conv_least(n[2], (x[2].size - ix - p + x[2].step - 1) / x[2].step);
    for (int64_t z = 0; z < n[0]; z++)
        for (int64_t y = 0; y < n[1]; y++) {
            const char *row[most_phases];
            int64_t iz = x[0].first + (from[0] + z) * x[0].step;
            int64_t iy = x[1].first + (from[1] + y) * x[1].step;
            for (int p = 0; p < d->phases; p++) {
                const gv_conv_axis *a = d->strip[p].axis;
                row[p] = results[p] +
                    (size_t)((z * a[1].length + y) * a[2].length) * d->item;
            }
            put_row(d, row, some, bias,
                    plane + (size_t)((iz * x[1].size + iy) * x[2].size + ix) * d->item);
        }
}

/* Where lines of a block's results are next to each other in the result, and their
 * tiles waste little, the sums go straight to it. How many vectors such tiles have, or
 * 0. */
static int straight_width(const direct *d, int p, const int64_t *n, int m)
{
    const gv_conv_strip *s = &d->strip[p];
    int64_t terms = d->k * s->taps, each, all, lines = n[0] * n[1];
    if (s->axis[2].step != 1 || d->phases > 1 || terms == 0) return 0;
    int width = gv_conv_width(d->kernels, m, n[2], terms, &each);
    gv_conv_width(d->kernels, m, gv_conv_strip_positions(s, n), terms, &all);
    return 8 * lines * each <= 9 * all ? width : 0;
}

/* One block of results: where it is and where its sums go. */
typedef struct target {
    int64_t entry, m0, some; /* of batch and groups; result channels */
    int64_t from[3], n[3];
    char *out; /* (some, ldo) all positions */
    int64_t ldo;
} target;

/* Sums of one panel of channels m0 + m ..., onto the block's positions or straight to
 * the result. */
static void sum_panel(const direct *d, int p, const target *to, int64_t m, int64_t k,
                      int64_t ks, const char *strip)
{
    const gv_conv_strip *s = &d->strip[p];
    const gv_conv_axis *x = s->axis;
    int64_t rows = d->kernels->rows, panels = (d->m + rows - 1) / rows, cost;
    int64_t plane = x[0].size * x[1].size * x[2].size, group = to->entry % d->c->groups;
    int64_t count = gv_conv_strip_positions(s, to->n), channel = to->m0 + m;
    int some = (int)gv_conv_least(rows, to->some - m),
        width = straight_width(d, p, to->n, some);
    const char *w = d->packed[p] +
        (size_t)(group * panels + channel / rows) * d->panel[p] +
        (size_t)(k * s->taps * rows) * d->item;
    gv_conv_shift sums = { .k = ks, .taps = s->taps, .plane = s->size, .off = s->off };
    sums.add = k > 0;
    if (width == 0) {
        sums.lines = 1;
        sums.n = count;
        sums.ldo = to->ldo;
        sums.spare = true;
        sums.vectors = gv_conv_width(d->kernels, some, count, d->k * s->taps, &cost);
        d->kernels->shift(some, &sums, strip, w,
                          to->out + (size_t)(m * to->ldo) * d->item);
        return;
    }
    sums.lines = to->n[1];
    sums.n = to->n[2];
    sums.from = x[2].length;
    sums.to = x[1].step * x[2].size;
    sums.ldo = plane;
    sums.vectors = width;
    sums.finish = k + ks == d->k;
    sums.least = gv_conv_floor(d->c, d->pass);
    if (d->bias) sums.bias = d->bias + (size_t)(group * d->m + channel) * d->item;
    for (int64_t z = 0; z < to->n[0]; z++) {
        int64_t iz = x[0].first + (to->from[0] + z) * x[0].step;
        int64_t iy = x[1].first + to->from[1] * x[1].step;
        int64_t at = (iz * x[1].size + iy) * x[2].size + x[2].first + to->from[2];
        at += (to->entry * d->m + channel) * plane;
        d->kernels->shift(some, &sums,
                          strip + (size_t)(z * x[1].length * x[2].length) * d->item, w,
                          d->y + (size_t)at * d->item);
    }
}

/* Sums of one phase. */
static void sum_taps(const direct *d, int p, const target *to, char *strip)
{
    const gv_conv_strip *s = &d->strip[p];
    int64_t source = s->axis[0].source * s->axis[1].source * s->axis[2].source;
    const char *x = d->x + (size_t)(to->entry * d->k * source) * d->item;
    if (s->taps == 0) memset(to->out, 0, (size_t)(to->some * to->ldo) * d->item);
    for (int64_t k = 0; k < d->k && s->taps > 0; k += d->some_k) {
        int64_t ks = gv_conv_least(d->some_k, d->k - k);
        gv_conv_strip_fill(s, d->kernels, d->item, to->from, ks,
                           x + (size_t)(k * source) * d->item, strip);
        memset(strip + (size_t)(ks * s->size) * d->item, 0, slack * d->item);
        for (int64_t m = 0; m < to->some; m += d->kernels->rows)
            sum_panel(d, p, to, m, k, ks, strip);
    }
}

static void result_block(void *ctx, int64_t task, void *memory)
{
    const direct *d = ctx;
    int64_t blocks = d->strip->blocks, rest = task / d->m_blocks, ldo[most_phases];
    const gv_conv_axis *x = d->strip->axis;
    int64_t result = x[0].size * x[1].size * x[2].size, rows = d->kernels->rows;
    char *strip = memory, *out[most_phases];
    const char *at[most_phases];
    target to = { .entry = rest / blocks, .m0 = task % d->m_blocks * d->some_m };
    to.some = gv_conv_least(d->some_m, d->m - to.m0);
    gv_conv_strip_block(d->strip, rest % blocks, to.from, to.n);
    for (int p = 0; p < d->phases; p++) {
        to.ldo = ldo[p] = pitch_of(gv_conv_strip_positions(&d->strip[p], to.n));
        to.out = out[p] = strip + strip_room(d) + (size_t)p * result_room(d);
        sum_taps(d, p, &to, strip);
    }
    for (int64_t m = 0; m < to.some; m++) {
        int64_t channel = to.entry % d->c->groups * d->m + to.m0 + m;
        int panel = (int)gv_conv_least(rows, to.some - m / rows * rows);
        if (straight_width(d, 0, to.n, panel)) continue;
        for (int p = 0; p < d->phases; p++)
            at[p] = out[p] + (size_t)(m * ldo[p]) * d->item;
        put_block(d, to.from, to.n, at,
                  d->bias ? d->bias + (size_t)channel * d->item : NULL,
                  d->y + (size_t)((to.entry * d->m + to.m0 + m) * result) * d->item);
    }
}

/* Remainders modulo the stride that are done one after the other. */
static void count_phases(const direct *d, int64_t *phases)
{
    for (int a = 0; a < 3; a++)
        phases[a] = d->pass == GV_CONV_DATA && (a < 2 || d->phases == 1)
            ? gv_conv_least(d->c->stride[a], d->c->in[a])
            : 1;
}

static void plan_phase(direct *d, const int64_t *phase, int64_t *room)
{
    for (int p = 0; p < d->phases; p++) {
        int64_t one[3] = { phase[0], phase[1], phase[2] + p };
        gv_conv_strip_plan(d->c, d->pass, one, positions,
                           room + p * gv_conv_strip_room(d->c), &d->strip[p]);
    }
    plan_channels(d);
}

static int64_t result_tasks(const direct *d)
{
    return d->c->batch * d->c->groups * d->strip->blocks * d->m_blocks;
}

static size_t task_room(const direct *d)
{
    return strip_room(d) + (size_t)d->phases * result_room(d);
}

static void gather_phase(direct *d, const int64_t *phase, char *scratch)
{
    int64_t rows = d->kernels->rows, panels = (d->m + rows - 1) / rows;
    char *packed = scratch + plan_room(d->c);
    plan_phase(d, phase, (int64_t *)(void *)scratch);
    for (int p = 0; p < d->phases; p++) {
        d->packed[p] = packed;
        d->panel[p] = (size_t)(d->k * d->strip[p].taps * rows) * d->item;
        packed += (size_t)(d->c->groups * panels) * d->panel[p];
    }
    gv_parallel_for(d->c->groups * panels * d->phases, pack_panel, d);
    gv_conv_for(result_tasks(d), result_block, d, task_room(d),
                scratch + plan_room(d->c) + packed_room(d));
}

void gv_conv_direct_gather(const gv_conv *c, gv_conv_pass pass, const void *x,
                           const void *w, const void *bias, void *y, void *scratch)
{
    gv_conv same = joined(c);
    direct d = direct_of(&same, pass);
    int64_t phases[3], p[3];
    d.x = x;
    d.w = w;
    d.bias = bias;
    d.y = y;
    count_phases(&d, phases);
    for (p[0] = 0; p[0] < phases[0]; p[0]++)
        for (p[1] = 0; p[1] < phases[1]; p[1]++)
            for (p[2] = 0; p[2] < phases[2]; p[2]++) gather_phase(&d, p, scratch);
}

/* --- weights ------------------------------------------------------------------------------*/

/* m, k: channels of the rows and of the vectors of a product. */
static void plan_sums(direct *d)
{
    int64_t w = GV_CONV_MAX_LANES; /* one plan for every instruction set */
    int64_t o = d->c->c_out / d->c->groups, i = d->c->c_in / d->c->groups;
    d->swap = o * gv_conv_up(i, w) < i * gv_conv_up(o, w);
    d->few = o * i <= few_pairs;
    d->m = d->swap ? o : i;
    d->n = d->swap ? i : o;
    d->some_m = gv_conv_least(block_m, d->m);
    d->some_n = gv_conv_least(block_n, gv_conv_up(d->n, w));
    d->m_blocks = (d->m + d->some_m - 1) / d->some_m;
    d->n_blocks = (d->n + d->some_n - 1) / d->some_n;
    int64_t blocks = d->c->batch * d->strip->blocks;
    int64_t size = d->c->groups * d->strip->taps * d->m * gv_conv_up(d->n, d->some_n) *
        (int64_t)d->item;
    d->chunks = gv_conv_least(most_chunks, gv_conv_most(1, chunk_bytes / size));
    d->per = (blocks + d->chunks - 1) / d->chunks;
    d->chunks = d->per ? (blocks + d->per - 1) / d->per : 0;
}

/* Elements of the sums of a block of channels, over all taps. */
static int64_t sums_of_block(const direct *d)
{
    return d->strip->taps * d->some_m * d->some_n;
}

/* Elements of the sums of a chunk. */
static int64_t sums_of_chunk(const direct *d)
{
    return d->c->groups * d->m_blocks * d->n_blocks * sums_of_block(d);
}

static size_t partial_room(const direct *d)
{
    return line_up((size_t)(d->chunks * sums_of_chunk(d)) * d->item);
}

/* Channels in the strips of the source and of the cotangent, and of both turned
 * round. */
static void sum_channels(const direct *d, int64_t *of_x, int64_t *of_g)
{
    int64_t m = gv_conv_up(d->some_m, GV_CONV_MAX_LANES), n = d->some_n;
    *of_x = d->swap ? n : m;
    *of_g = d->swap ? m : n;
}

static size_t sum_room(const direct *d)
{
    int64_t x, g;
    sum_channels(d, &x, &g);
    int64_t planar = gv_conv_most(x * d->strip->size, g * d->strip->positions);
    int64_t last = x * d->strip->size + g * d->strip->positions;
    return line_up((size_t)(planar + last + (g + 1) * GV_CONV_MAX_LANES) * d->item);
}

/* The strips of channels x0 .. x0 + xs - 1 of one entry of batch and groups. */
static void fill_sources(const direct *d, int64_t entry, const int64_t *from,
                         int64_t x0, int64_t xs, char *to)
{
    int64_t k = d->c->c_in / d->c->groups, plane = gv_conv_points(d->c->in);
    const char *x = d->x + (size_t)((entry * k + x0) * plane) * d->item;
    gv_conv_strip_fill(d->strip, d->kernels, d->item, from, xs, x, to);
}

/* Cotangents at the positions of a block, zero between rows, channels `pitch` apart. */
static void fill_cotangents(const direct *d, int64_t entry, const int64_t *from,
                            const int64_t *n, int64_t g0, int64_t gs, int64_t pitch,
                            char *to)
{
    int64_t o = d->c->c_out / d->c->groups, plane = gv_conv_points(d->c->out);
    const char *g = d->g + (size_t)((entry * o + g0) * plane) * d->item;
    const gv_conv_axis *x = d->strip->axis;
    int64_t lines = x[1].length, length = x[2].length;
    for (int64_t z = 0; z < x[0].length;
         z++, to += (size_t)(lines * length) * d->item) {
        int64_t at = ((from[0] + z) * x[1].size + from[1]) * x[2].size + from[2];
        int64_t some = z < n[0] ? n[1] : 0;
        if (some > 0)
            d->kernels->rows_of(gs, some, g + (size_t)at * d->item, plane, x[2].size, 1,
                                0, n[2], length, to, pitch);
        d->kernels->rows_of(gs, lines - some, g, 0, 0, 1, 0, 0, length,
                            to + (size_t)(some * length) * d->item, pitch);
    }
}

/* Few channels: dot products along positions, cotangents zero up to whole vectors. */
static void sum_few(const direct *d, int64_t entry, int64_t block, int64_t x0,
                    int64_t xs, int64_t g0, int64_t gs, char *sums, char *memory)
{
    const gv_conv_strip *s = d->strip;
    int64_t from[3], n[3], lanes = GV_CONV_MAX_LANES;
    int64_t pitch = gv_conv_up(s->positions, lanes), rest = pitch - s->positions;
    char *xp = memory, *gp = xp + (size_t)(xs * s->size + lanes) * d->item;
    gv_conv_strip_block(s, block, from, n);
    fill_sources(d, entry, from, x0, xs, xp);
    memset(xp + (size_t)(xs * s->size) * d->item, 0, (size_t)lanes * d->item);
    fill_cotangents(d, entry, from, n, g0, gs, pitch, gp);
    for (int64_t c = 0; c < gs; c++)
        memset(gp + (size_t)(c * pitch + s->positions) * d->item, 0,
               (size_t)rest * d->item);
    int64_t count = gv_conv_up(gv_conv_strip_positions(s, n), lanes);
    for (int64_t c = 0; c < gs; c++)
        for (int64_t i = 0; i < xs; i++) {
            int64_t at = d->swap ? c * d->some_n + i : i * d->some_n + c;
            d->kernels->dots(s->taps, s->off, count,
                             xp + (size_t)(i * s->size) * d->item,
                             gp + (size_t)(c * pitch) * d->item,
                             sums + (size_t)at * d->item, d->some_m * d->some_n);
        }
}

/* Channels of the source of a block, last: straight from the array where neighbours in
 * the strip are neighbours there, else by way of the strip. */
static void turn_sources(const direct *d, int64_t entry, const int64_t *from,
                         int64_t x0, int64_t xs, char *planar, char *to, int64_t xp)
{
    const gv_conv_strip *s = d->strip;
    int64_t start[3], length[3], plane = gv_conv_points(d->c->in);
    int64_t k = d->c->c_in / d->c->groups;
    bool straight = true;
    for (int a = 0; a < 3; a++) {
        const gv_conv_axis *x = &s->axis[a];
        straight = straight && x->runs == 1 && x->scale == 1;
        start[a] = from[a] + x->start[0];
        length[a] = x->length;
    }
    if (straight) {
        gv_conv_turn(d->kernels, d->item, d->c->periodic, xs,
                     d->x + (size_t)((entry * k + x0) * plane) * d->item, d->c->in,
                     start, length, to, xp);
        return;
    }
    fill_sources(d, entry, from, x0, xs, planar);
    d->kernels->to_last(xs, s->size, planar, s->size, to, xp);
}

/* Cotangents at the positions of a block, channels last, zero between rows. */
static void turn_cotangents(const direct *d, int64_t entry, const int64_t *from,
                            const int64_t *n, int64_t g0, int64_t gs, char *to,
                            int64_t gp)
{
    const gv_conv_axis *x = d->strip->axis;
    int64_t o = d->c->c_out / d->c->groups, plane = gv_conv_points(d->c->out);
    const char *g = d->g + (size_t)((entry * o + g0) * plane) * d->item;
    size_t point = (size_t)gp * d->item;
    for (int64_t z = 0; z < x[0].length; z++)
        for (int64_t y = 0; y < x[1].length; y++, to += (size_t)x[2].length * point) {
            int64_t at =
                ((from[0] + z) * x[1].size + from[1] + y) * x[2].size + from[2];
            int64_t some = z < n[0] && y < n[1] ? n[2] : 0;
            if (some > 0)
                d->kernels->to_last(gs, some, g + (size_t)at * d->item, plane, to, gp);
            memset(to + (size_t)some * point, 0, (size_t)(x[2].length - some) * point);
        }
}

/* Add one block of points to the sums of one block of channels. */
static void sum_block(const direct *d, int64_t entry, int64_t block, int64_t x0,
                      int64_t xs, int64_t g0, int64_t gs, char *sums, char *memory)
{
    const gv_conv_strip *s = d->strip;
    const gv_conv_kernels *kernels = d->kernels;
    int64_t from[3], n[3], xp, gp, lanes = kernels->lanes;
    sum_channels(d, &xp, &gp);
    int64_t planar_size = gv_conv_most(xp * s->size, gp * s->positions);
    char *planar = memory, *xl = planar + (size_t)planar_size * d->item;
    char *gl = xl + (size_t)(xp * s->size) * d->item;
    xp = gv_conv_up(xs, lanes);
    gp = gv_conv_up(gs, lanes);
    gv_conv_strip_block(s, block, from, n);
    turn_sources(d, entry, from, x0, xs, planar, xl, xp);
    turn_cotangents(d, entry, from, n, g0, gs, gl, gp);
    int64_t count = gv_conv_strip_positions(s, n);
    for (int64_t t = 0; t < s->taps; t++) {
        const char *at = xl + (size_t)(s->off[t] * xp) * d->item;
        char *to = sums + (size_t)(t * d->some_m * d->some_n) * d->item;
        if (d->swap)
            kernels->product(gs, xp / lanes, count, gl, 1, gp, at, xp, 2 * lanes, true,
                             to, d->some_n);
        else
            kernels->product(xs, gp / lanes, count, at, 1, xp, gl, gp, 2 * lanes, true,
                             to, d->some_n);
    }
}

static void sum_chunk(void *ctx, int64_t task, void *memory)
{
    const direct *d = ctx;
    int64_t groups = d->c->groups, blocks = d->strip->blocks;
    int64_t nb = task % d->n_blocks, mb = task / d->n_blocks % d->m_blocks;
    int64_t group = task / (d->n_blocks * d->m_blocks) % groups;
    int64_t chunk = task / (d->n_blocks * d->m_blocks * groups);
    int64_t m0 = mb * d->some_m, ms = gv_conv_least(d->some_m, d->m - m0);
    int64_t n0 = nb * d->some_n, ns = gv_conv_least(d->some_n, d->n - n0);
    size_t bytes = (size_t)sums_of_block(d) * d->item;
    char *sums = d->partial + (size_t)task * bytes;
    memset(sums, 0, bytes);
    int64_t end = gv_conv_least((chunk + 1) * d->per, d->c->batch * blocks);
    for (int64_t i = chunk * d->per; i < end; i++)
        (d->few ? sum_few : sum_block)(
            d, i / blocks * groups + group, i % blocks, d->swap ? n0 : m0,
            d->swap ? ns : ms, d->swap ? m0 : n0, d->swap ? ms : ns, sums, memory);
}

/* Add a piece of all chunks, in order, to the first one. */
#define DEFINE_ADD(T, NAME)                                              \
    static void NAME(int64_t chunks, int64_t step, int64_t n, void *pto) \
    {                                                                    \
        double sum[piece];                                               \
        T *to = pto;                                                     \
        for (int64_t j = 0; j < n; j++) sum[j] = to[j];                  \
        for (int64_t q = 1; q < chunks; q++)                             \
            for (int64_t j = 0; j < n; j++) sum[j] += to[q * step + j];  \
        for (int64_t j = 0; j < n; j++) to[j] = (T)sum[j];               \
    }
DEFINE_ADD(float, add_f)
DEFINE_ADD(double, add_d)

static void add_chunks(void *ctx, int64_t task)
{
    const direct *d = ctx;
    int64_t size = sums_of_chunk(d), from = task * piece;
    int64_t n = gv_conv_least(piece, size - from);
    (d->item == 4 ? add_f : add_d)(d->chunks, size, n,
                                   d->partial + (size_t)from * d->item);
}

/* The weights of one output channel from the sums to their places. */
static void put_channel(void *ctx, int64_t channel)
{
    const direct *d = ctx;
    int64_t o = d->c->c_out / d->c->groups, k = d->c->c_in / d->c->groups;
    int64_t group = channel / o, taps = d->strip->taps;
    int64_t bm = d->some_m, bn = d->some_n;
    for (int64_t i = 0; i < k; i++) {
        int64_t m = d->swap ? channel % o : i, n = d->swap ? i : channel % o;
        int64_t block = (group * d->m_blocks + m / bm) * d->n_blocks + n / bn;
        int64_t at = block * sums_of_block(d) + m % bm * bn + n % bn;
        int64_t to = (channel * k + i) * taps;
        for (int64_t t = 0; t < taps; t++, at += bm * bn, to++)
            if (d->item == 4)
                ((float *)(void *)d->y)[to] = ((const float *)(void *)d->partial)[at];
            else
                ((double *)(void *)d->y)[to] = ((const double *)(void *)d->partial)[at];
    }
}

void gv_conv_direct_weight(const gv_conv *c, const void *x, const void *g, void *gw,
                           void *scratch)
{
    gv_conv same = joined(c);
    c = &same;
    direct d = direct_of(c, GV_CONV_WEIGHT);
    gv_conv_strip_plan(c, GV_CONV_WEIGHT, NULL, sum_positions, scratch, d.strip);
    plan_sums(&d);
    d.x = x;
    d.g = g;
    d.y = gw;
    d.partial = (char *)scratch + plan_room(c);
    gv_conv_for(d.chunks * c->groups * d.m_blocks * d.n_blocks, sum_chunk, &d,
                sum_room(&d), d.partial + partial_room(&d));
    gv_parallel_for((sums_of_chunk(&d) + piece - 1) / piece, add_chunks, &d);
    gv_parallel_for(c->c_out, put_channel, &d);
}

/* --- working memory ---------------------------------------------------------------------*/

gv_status gv_conv_direct_scratch(const gv_conv *c, gv_conv_pass pass, size_t *bytes)
{
    gv_conv same = joined(c);
    direct d = direct_of(&same, pass);
    int64_t phases[3], p[3], *room = gv_alloc(plan_room(&same));
    if (room == NULL) return GV_ERR_MEMORY;
    *bytes = 0;
    if (pass == GV_CONV_WEIGHT) {
        gv_conv_strip_plan(&same, pass, NULL, sum_positions, room, d.strip);
        plan_sums(&d);
        int64_t tasks = d.chunks * same.groups * d.m_blocks * d.n_blocks;
        *bytes = plan_room(&same) + partial_room(&d) +
            (size_t)gv_conv_workers(tasks) * sum_room(&d);
        gv_free(room);
        return GV_OK;
    }
    count_phases(&d, phases);
    for (p[0] = 0; p[0] < phases[0]; p[0]++)
        for (p[1] = 0; p[1] < phases[1]; p[1]++)
            for (p[2] = 0; p[2] < phases[2]; p[2]++) {
                plan_phase(&d, p, room);
                size_t need = plan_room(&same) + packed_room(&d) +
                    (size_t)gv_conv_workers(result_tasks(&d)) * task_room(&d);
                if (need > *bytes) *bytes = need;
            }
    gv_free(room);
    return GV_OK;
}
