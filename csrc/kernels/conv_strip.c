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

/* i = phase + j stride is reached from o = (i + low - t dilation) / stride by the taps
 * that leave no remainder. */
static void plan_data(const gv_conv *c, int a, int64_t phase, gv_conv_axis *x)
{
    int64_t s = c->stride[a];
    x->size = c->in[a];
    /* on the last axis as many for every phase, which may be one more than there are */
    x->n = (c->in[a] - (a < 2 ? phase : 0) + s - 1) / s;
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
    int64_t points = 1; /* of a block */
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
        plan_block(x, whole ? target / points : 1);
        plan_runs(x);
        points *= x->block;
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

/* A row that goes around its end. */
static void fill_around(size_t item, int64_t channels, const char *src, int64_t plane,
                        int64_t n, int64_t start, int64_t scale, int64_t length,
                        char *to, int64_t pitch)
{
    for (int64_t c = 0; c < channels; c++) {
        int64_t at = modulo(start, n), step = scale % n;
        for (int64_t i = 0; i < length; i++) {
            memcpy(to + (size_t)(c * pitch + i) * item,
                   src + (size_t)(c * plane + at) * item, item);
            at += step;
            if (at >= n) at -= n;
        }
    }
}

/* `count` lines of a run of the last axis, of all channels; the first one is line at[1]
 * of plane at[0] of the source, and all are inside. */
static void fill_lines(const gv_conv_strip *s, const gv_conv_kernels *kernels,
                       size_t item, const int64_t *from, const int64_t *at,
                       int64_t count, int64_t run, int64_t channels, const char *x,
                       char *to)
{
    const gv_conv_axis *axis = s->axis, *row = axis + 2;
    int64_t n = row->source, scale = row->scale, length = row->length;
    int64_t plane = axis[0].source * axis[1].source * n;
    int64_t start = from[2] * scale + row->start[run];
    x += (size_t)((at[0] * axis[1].source + at[1]) * n) * item;
    if (s->periodic && (start < 0 || start + (length - 1) * scale >= n)) {
        size_t line = (size_t)(axis[1].scale * n) * item;
        for (; count > 0; count--, x += line, to += (size_t)length * item)
            fill_around(item, channels, x, plane, n, start, scale, length, to, s->size);
        return;
    }
    int64_t low = start < 0 ? (-start + scale - 1) / scale : 0;
    int64_t high = n > start ? (n - start + scale - 1) / scale : 0;
    low = gv_conv_least(low, length);
    high = gv_conv_most(low, gv_conv_least(high, length));
    x += (start + low * scale) * (int64_t)item;
    kernels->rows_of(channels, count, x, plane, axis[1].scale * n, scale, low,
                     high - low, length, to, s->size);
}

/* A plane of the strip (runs r, the plane i of runs r[0]) of all channels. */
static void fill_plane(const gv_conv_strip *s, const gv_conv_kernels *kernels,
                       size_t item, const int64_t *from, const int64_t *r, int64_t i,
                       int64_t channels, const char *x, char *to)
{
    const gv_conv_axis *z = s->axis, *y = z + 1;
    size_t row = (size_t)s->axis[2].length * item;
    int64_t at[2] = { (from[0] + i) * z->scale + z->start[r[0]], 0 };
    if (s->periodic) at[0] = modulo(at[0], z->source);
    bool inside = at[0] >= 0 && at[0] < z->source;
    for (int64_t j = 0, count; j < y->length; j += count) {
        char *line = to + (size_t)j * row;
        int64_t more = y->length - j;
        count = 1;
        at[1] = (from[1] + j) * y->scale + y->start[r[1]];
        if (s->periodic) at[1] = modulo(at[1], y->source);
        if (inside && at[1] >= 0 && at[1] < y->source) {
            count = gv_conv_least(more, (y->source - 1 - at[1]) / y->scale + 1);
            fill_lines(s, kernels, item, from, at, count, r[2], channels, x, line);
        } else
            kernels->rows_of(channels, 1, x, 0, 0, 1, 0, 0, s->axis[2].length, line,
                             s->size);
    }
}

void gv_conv_strip_fill(const gv_conv_strip *s, const gv_conv_kernels *kernels,
                        size_t item, const int64_t *from, int64_t channels,
                        const void *x, void *strip)
{
    const gv_conv_axis *axis = s->axis;
    size_t plane = (size_t)(axis[1].length * axis[2].length) * item;
    char *to = strip;
    int64_t r[3];
    for (r[0] = 0; r[0] < axis[0].runs; r[0]++)
        for (r[1] = 0; r[1] < axis[1].runs; r[1]++)
            for (r[2] = 0; r[2] < axis[2].runs; r[2]++)
                for (int64_t i = 0; i < axis[0].length; i++, to += plane)
                    fill_plane(s, kernels, item, from, r, i, channels, x, to);
}

/* --- channels last ---------------------------------------------------------------------*/

/* Points start .. start + length - 1 of a row of n. */
static void turn_row(const gv_conv_kernels *kernels, size_t item, bool periodic,
                     int64_t channels, const char *row, int64_t plane, int64_t n,
                     int64_t start, int64_t length, char *to, int64_t cp)
{
    size_t point = (size_t)cp * item;
    for (int64_t i = 0; i < length;) {
        int64_t at = start + i, end = length;
        if (periodic) at = modulo(at, n);
        if (at < 0 || at >= n) { /* zero up to the row, or to the end */
            if (at < 0) end = gv_conv_least(end, -start);
            memset(to + (size_t)i * point, 0, (size_t)(end - i) * point);
        } else {
            end = gv_conv_least(end, i + n - at);
            kernels->to_last(channels, end - i, row + (size_t)at * item, plane,
                             to + (size_t)i * point, cp);
        }
        i = end;
    }
}

void gv_conv_turn(const gv_conv_kernels *kernels, size_t item, bool periodic,
                  int64_t channels, const void *x, const int64_t *size,
                  const int64_t *start, const int64_t *length, void *to, int64_t cp)
{
    size_t row = (size_t)(length[2] * cp) * item;
    char *dst = to;
    for (int64_t z = 0; z < length[0]; z++)
        for (int64_t y = 0; y < length[1]; y++, dst += row) {
            int64_t iz = start[0] + z, iy = start[1] + y;
            if (periodic) {
                iz = modulo(iz, size[0]);
                iy = modulo(iy, size[1]);
            }
            bool inside = iz >= 0 && iz < size[0] && iy >= 0 && iy < size[1];
            const char *from = x;
            if (inside)
                turn_row(kernels, item, periodic, channels,
                         from + (size_t)((iz * size[1] + iy) * size[2]) * item,
                         gv_conv_points(size), size[2], start[2], length[2], dst, cp);
            else
                memset(dst, 0, row);
        }
}
