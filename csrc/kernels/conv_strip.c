/* Planning and filling strips. */
#include "kernels/conv_strip.h"

#include <string.h>

static int64_t modulo(int64_t a, int64_t n)
{
    int64_t r = a % n;
    return r < 0 ? r + n : r;
}

int64_t gv_conv_strip_room(const gv_conv *c)
{
    const int64_t *k = c->kernel;
    return 5 * (k[0] + k[1] + k[2]) + 2 * gv_conv_points(k);
}

/* --- planning --------------------------------------------------------------------------*/

static void plan_forward(const gv_conv *c, int a, gv_conv_axis *x)
{
    x->n = x->size = c->out[a];
    x->first = 0;
    x->step = 1;
    x->source = c->in[a];
    x->scale = c->stride[a];
    x->taps = c->kernel[a];
    for (int64_t t = 0; t < x->taps; t++) {
        x->tap[t] = t;
        x->off[t] = t * c->dilation[a] - c->low[a];
    }
}

/* i = phase + j stride is reached from o = (i + low - t dilation) / stride by the taps that
 * leave no remainder. */
static void plan_data(const gv_conv *c, int a, int64_t phase, gv_conv_axis *x)
{
    int64_t s = c->stride[a];
    x->size = c->in[a];
    x->n = (c->in[a] - phase + s - 1) / s;
    x->first = phase;
    x->step = s;
    x->source = c->out[a];
    x->scale = 1;
    x->taps = 0;
    for (int64_t t = 0; t < c->kernel[a]; t++) {
        int64_t o = phase + c->low[a] - t * c->dilation[a];
        if (modulo(o, s) != 0) continue;
        x->tap[x->taps] = t;
        x->off[x->taps++] = o / s;
    }
}

/* One run for each remainder, or one for each tap if that is less. */
static void plan_runs(gv_conv_axis *x)
{
    int64_t least = x->taps ? x->off[0] : 0, furthest = 0;
    for (int64_t t = 1; t < x->taps; t++) least = gv_conv_least(least, x->off[t]);
    x->runs = 0;
    for (int64_t t = 0; t < x->taps; t++) {
        int64_t delta = x->off[t] - least, start = least + delta % x->scale, r = 0;
        while (r < x->runs && x->start[r] != start) r++;
        if (r == x->runs) x->start[x->runs++] = start;
        x->run[t] = r;
        x->shift[t] = delta / x->scale;
        furthest = gv_conv_most(furthest, x->shift[t]);
    }
    x->length = x->block + furthest;
    if (x->runs * x->length <= x->taps * x->block) return;
    x->runs = x->taps;
    x->length = x->block;
    for (int64_t t = 0; t < x->taps; t++) {
        x->start[t] = x->off[t];
        x->run[t] = t;
        x->shift[t] = 0;
    }
}

/* Blocks of equal length of at most `most`. */
static void plan_block(gv_conv_axis *x, int64_t most)
{
    most = most < 1 ? 1 : most;
    x->blocks = (x->n + most - 1) / most;
    x->block = x->blocks ? (x->n + x->blocks - 1) / x->blocks : 1;
    if (x->blocks) x->blocks = (x->n + x->block - 1) / x->block;
}

void gv_conv_strip_plan(const gv_conv *c, gv_conv_pass pass, const int64_t *phase,
                        int64_t target, int64_t *room, gv_conv_strip *s)
{
    s->periodic = c->periodic;
    s->taps = s->blocks = s->size = s->positions = 1;
    for (int a = 2; a >= 0; a--) {
        gv_conv_axis *x = &s->axis[a];
        int64_t k = c->kernel[a];
        x->tap = room;
        x->off = room + k;
        x->start = room + 2 * k;
        x->run = room + 3 * k;
        x->shift = room + 4 * k;
        room += 5 * k;
        if (pass == GV_CONV_DATA)
            plan_data(c, a, phase[a], x);
        else
            plan_forward(c, a, x);
        /* rows are joined only where they are whole */
        bool whole = a == 2 || s->axis[a + 1].blocks == 1;
        plan_block(x, whole ? target / s->positions : 1);
        plan_runs(x);
        s->positions *= x->length;
        s->size *= x->runs * x->length;
        s->taps *= x->taps;
        s->blocks *= x->blocks;
    }
    s->off = room;
    s->tap = room + gv_conv_points(c->kernel);
    const gv_conv_axis *z = &s->axis[0], *y = &s->axis[1], *x = &s->axis[2];
    int64_t n = 0;
    for (int64_t i = 0; i < z->taps; i++)
        for (int64_t j = 0; j < y->taps; j++)
            for (int64_t k = 0; k < x->taps; k++, n++) {
                int64_t run = (z->run[i] * y->runs + y->run[j]) * x->runs + x->run[k];
                s->off[n] = run * s->positions +
                    (z->shift[i] * y->length + y->shift[j]) * x->length + x->shift[k];
                s->tap[n] =
                    (z->tap[i] * c->kernel[1] + y->tap[j]) * c->kernel[2] + x->tap[k];
            }
}

void gv_conv_strip_block(const gv_conv_strip *s, int64_t block, int64_t *from,
                         int64_t *n)
{
    for (int a = 2; a >= 0; a--) {
        const gv_conv_axis *x = &s->axis[a];
        from[a] = block % x->blocks * x->block;
        n[a] = gv_conv_least(x->block, x->n - from[a]);
        block /= x->blocks;
    }
}

/* --- filling ---------------------------------------------------------------------------*/

/* dst[i] = src[i scale], i < n */
#define DEFINE_THIN(T, NAME)                                                 \
    static void NAME(const void *psrc, int64_t scale, int64_t n, void *pdst) \
    {                                                                        \
        const T *src = psrc;                                                 \
        T *restrict dst = pdst;                                              \
        if (scale == 1)                                                      \
            memcpy(dst, src, (size_t)n * sizeof *dst);                       \
        else if (scale == 2)                                                 \
            for (int64_t i = 0; i < n; i++) dst[i] = src[2 * i];             \
        else                                                                 \
            for (int64_t i = 0; i < n; i++) dst[i] = src[i * scale];         \
    }
typedef uint32_t __attribute__((may_alias)) word_4;
typedef uint64_t __attribute__((may_alias)) word_8;
DEFINE_THIN(word_4, thin_4)
DEFINE_THIN(word_8, thin_8)

/* dst[i] = src[start + i scale], i < length; src has n elements and is zero outside */
static void fill_row(size_t item, const char *src, int64_t n, int64_t start,
                     int64_t scale, int64_t length, char *dst)
{
    int64_t low = start < 0 ? (-start + scale - 1) / scale : 0;
    int64_t high = n > start ? (n - start + scale - 1) / scale : 0;
    low = gv_conv_least(low, length);
    high = gv_conv_most(low, gv_conv_least(high, length));
    memset(dst, 0, (size_t)low * item);
    src += (start + low * scale) * (int64_t)item;
    if (item == 4)
        thin_4(src, scale, high - low, dst + 4 * low);
    else
        thin_8(src, scale, high - low, dst + 8 * low);
    memset(dst + (size_t)high * item, 0, (size_t)(length - high) * item);
}

/* The same with src repeated without end. */
static void fill_around(size_t item, const char *src, int64_t n, int64_t start,
                        int64_t scale, int64_t length, char *dst)
{
    int64_t at = modulo(start, n);
    scale = scale % n;
    for (int64_t i = 0; i < length; i++) {
        memcpy(dst + (size_t)i * item, src + (size_t)at * item, item);
        at += scale;
        if (at >= n) at -= n;
    }
}

void gv_conv_strip_fill(const gv_conv_strip *s, const int64_t *from, size_t item,
                        const void *plane, void *strip)
{
    const gv_conv_axis *x = s->axis;
    char *dst = strip;
    int64_t r[3], i[2], at[2];
    for (r[0] = 0; r[0] < x[0].runs; r[0]++)
        for (r[1] = 0; r[1] < x[1].runs; r[1]++)
            for (r[2] = 0; r[2] < x[2].runs; r[2]++)
                for (i[0] = 0; i[0] < x[0].length; i[0]++)
                    for (i[1] = 0; i[1] < x[1].length;
                         i[1]++, dst += (size_t)x[2].length * item) {
                        bool inside = true;
                        for (int a = 0; a < 2; a++) {
                            int64_t n = x[a].source;
                            at[a] = (from[a] + i[a]) * x[a].scale + x[a].start[r[a]];
                            if (s->periodic) at[a] = modulo(at[a], n);
                            inside = inside && at[a] >= 0 && at[a] < n;
                        }
                        int64_t n = x[2].source;
                        int64_t start = from[2] * x[2].scale + x[2].start[r[2]];
                        const char *row = (const char *)plane +
                            (inside ? at[0] * x[1].source + at[1] : 0) * n *
                                (int64_t)item;
                        if (!inside)
                            memset(dst, 0, (size_t)x[2].length * item);
                        else if (s->periodic &&
                                 (start < 0 ||
                                  start + (x[2].length - 1) * x[2].scale >= n))
                            fill_around(item, row, n, start, x[2].scale, x[2].length,
                                        dst);
                        else
                            fill_row(item, row, n, start, x[2].scale, x[2].length, dst);
                    }
}
