/* Strips: the part of an array that a block of results reads, margins included.
 *
 * On each axis result j reads source j scale + off[t] for every tap t. A strip keeps,
 * for each remainder of the offsets modulo the scale, a run of neighbours that all
 * results of the block share, or, where taps are far apart, a run for each tap. A tap
 * is then a constant offset, and results of a block are one line of positions with the
 * strip's pitch, a few of them past the end of a row. */
#ifndef GV_KERNELS_CONV_STRIP_H
#define GV_KERNELS_CONV_STRIP_H

#include "kernels/conv_table.h"

typedef struct gv_conv_axis {
    int64_t n, first, step; /* results, at first + j step */
    int64_t size, source;   /* lengths of the result's and the source's axis */
    int64_t scale, taps;
    int64_t *tap, *off; /* (taps) number in the kernel, offset in the source */
    int64_t block, blocks;
    int64_t runs, length; /* of the strip */
    int64_t *start;       /* (runs) offset in the source */
    int64_t *run, *shift; /* (taps) where a tap reads */
} gv_conv_axis;

typedef struct gv_conv_strip {
    gv_conv_axis axis[3];
    bool periodic;
    int64_t taps;      /* of all axes */
    int64_t *off;      /* (taps) offset in the strip */
    int64_t *tap;      /* (taps) number in the kernel */
    int64_t size;      /* of the strip, per channel */
    int64_t blocks;    /* of results */
    int64_t positions; /* most of a block */
} gv_conv_strip;

/* Integers that a plan needs room for. */
int64_t gv_conv_strip_room(const gv_conv *c);
/* The plan of a pass (data: of the results at `phase` modulo the stride) with about
 * `target` positions in a block. */
void gv_conv_strip_plan(const gv_conv *c, gv_conv_pass pass, const int64_t *phase,
                        int64_t target, int64_t *room, gv_conv_strip *s);
/* Where a block starts and how many results it has, on each axis. */
void gv_conv_strip_block(const gv_conv_strip *s, int64_t block, int64_t *from,
                         int64_t *n);
static inline int64_t gv_conv_strip_positions(const gv_conv_strip *s, const int64_t *n)
{
    return ((n[0] - 1) * s->axis[1].length + n[1] - 1) * s->axis[2].length + n[2];
}
/* Fill the strips of some channels of the source. */
void gv_conv_strip_fill(const gv_conv_strip *s, const gv_conv_kernels *kernels,
                        size_t item, const int64_t *from, int64_t channels,
                        const void *x, void *strip);

/* The part of an array (channels, size) that starts at `start` on each axis, `length`
 * points of it, channels last and cp apart; zero outside, or periodic. */
void gv_conv_turn(const gv_conv_kernels *kernels, size_t item, bool periodic,
                  int64_t channels, const void *x, const int64_t *size,
                  const int64_t *start, const int64_t *length, void *to, int64_t cp);

#endif
