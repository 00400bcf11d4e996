/* Transforms of many lines at once, one line per SIMD lane; private to kernels/fft*.c.
 *
 * A block is n elements of L complex numbers, L real parts before L imaginary ones, L
 * the lanes of a vector; a line's neighbour is the next lane, so that butterflies have
 * no shuffles. Forward transforms decimate in frequency in place and leave frequency k
 * at position place[k]; backward ones decimate in time and start from there. What is
 * multiplied in between needs no reordering. */
#ifndef GV_KERNELS_FFT_LANES_H
#define GV_KERNELS_FFT_LANES_H

#include "kernels/fft.h"

enum { GV_FFT_LANES_MAX = 2048, GV_FFT_PASSES_MAX = 10 };

/* One length 2^a 3^b 5^c. A pass of radix r and span m works on runs of r m elements;
 * its twiddles are exp(-2 pi i j p/(r m)) for j = 0 .. m - 1, p = 1 .. r - 1. */
typedef struct gv_fft_line {
    int64_t n;
    int passes, radix[GV_FFT_PASSES_MAX], span[GV_FFT_PASSES_MAX];
    const void *twiddle[GV_FFT_PASSES_MAX]; /* pairs of the line's precision */
    const void *root;     /* exp(-2 pi i k/(2n)), k = 0 .. n/2: for real lines of 2n */
    const int32_t *place; /* position of frequency k */
    const int32_t *natural; /* frequency at position p */
} gv_fft_line;

/* Kept for good once made; NULL without a failure when the length is not offered. */
gv_status gv_fft_line_get(bool single, int64_t n, const gv_fft_line **line) GV_MUST;

/* gv_fft_convolve in blocks. Plane x of the spectrum holds, for each group of L
 * frequencies z below Z/2, a run of Y blocks (lanes: z); then blocks of z = Z/2 (lanes:
 * y). */
typedef struct gv_fft_sweep {
    const gv_fft_line *x, *y, *z; /* z: of half the length */
    int64_t dim[3];
    int64_t groups;     /* of frequencies z */
    int64_t run, plane; /* bytes from group to group, from plane to plane */
    const char *in;
    char *out, *spectrum; /* the latter 64-byte aligned */
    gv_fft_symbol symbol;
    const void *ctx;
} gv_fft_sweep;

typedef struct gv_fft_lanes {
    int lanes;
    void (*forward)(const gv_fft_sweep *s, int64_t x);  /* plane x of in */
    void (*multiply)(const gv_fft_sweep *s, int64_t b); /* block b of all planes */
    void (*backward)(const gv_fft_sweep *s, int64_t x); /* plane x of out */
    /* `lanes` neighbouring columns of complex numbers, `step` bytes apart, in place */
    void (*columns)(const gv_fft_line *l, bool inverse, char *data, int64_t step);
    /* up to `lanes` lines of 2 l->n reals <-> l->n + 1 complex numbers; steps from line
     * to line in reals */
    void (*real_forward)(const gv_fft_line *l, int64_t rows, const void *in,
                         int64_t in_row, void *out, int64_t out_row);
    void (*real_backward)(const gv_fft_line *l, int64_t rows, const void *in,
                          int64_t in_row, void *out, int64_t out_row);
} gv_fft_lanes;

extern const gv_fft_lanes gv_fft_lanes_f32_avx2, gv_fft_lanes_f64_avx2;
extern const gv_fft_lanes gv_fft_lanes_f32_avx512, gv_fft_lanes_f64_avx512;

/* The table at the SIMD level in force, or NULL. */
const gv_fft_lanes *gv_fft_lanes_get(bool single);

#endif
