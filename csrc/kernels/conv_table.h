/* Tables of convolution kernels, one per instruction set and element type; private to
 * kernels/conv*. Sizes and strides are in elements. */
#ifndef GV_KERNELS_CONV_TABLE_H
#define GV_KERNELS_CONV_TABLE_H

#include <math.h>

#include "kernels/conv.h"

enum {
    GV_CONV_MAX_LANES = 16,
    GV_CONV_MAX_WIDE = 6, /* vectors of the widest tile */
    GV_CONV_MAX_ROWS = 12,
    GV_CONV_MAX_POINTS = 144 /* of a Winograd tile */
};

/* Where Winograd tiles lie: tile (z, y, x) starts at z sz + y sy + x sx of a strip
 * whose points are z pz + y py + x px apart, channels last. Transformed, point f of
 * tile t and vector v of channels is at f fs + t ts + v/2 ps + v%2 lanes. */
typedef struct gv_conv_tiles {
    int64_t nz, ny, nx, vectors;
    int64_t sz, sy, sx, pz, py, px;
    int64_t fs, ts, ps;
} gv_conv_tiles;

typedef struct gv_conv_winograd {
    int points[3], taps[3], outs[3]; /* points = taps + outs - 1 on each axis */
    void (*input)(const gv_conv_tiles *t, const float *strip, float *v);
    /* onto the strip, plus the bias of each channel, at least `least` */
    void (*output)(const gv_conv_tiles *t, const float *m, const float *bias,
                   float least, float *strip);
    /* of cotangents: the transpose of output */
    void (*cotangent)(const gv_conv_tiles *t, const float *strip, float *z);
    /* lanes of weights (tap-major, `lanes` each) to points fs apart */
    void (*weight)(const float *w, float *u, int64_t fs);
    /* the transpose of weight, from points fs apart */
    void (*weight_cotangent)(const float *u, int64_t fs, float *w);
} gv_conv_winograd;

/* What a kernel of shifted sums computes: lines of n results, and where they lie. */
typedef struct gv_conv_shift {
    int64_t k, taps, plane;
    const int64_t *off;
    int64_t lines, n, from, to; /* from line to line of the sources, of the results */
    int64_t ldo;                /* from row to row of results */
    int vectors;                /* of a tile, from gv_conv_width */
    bool add;                   /* to what is there */
    bool spare;                 /* whole tiles may be written past the end of a line */
    bool finish;                /* add bias[r] (NULL: zero), be at least `least` */
    const void *bias;
    double least;
} gv_conv_shift;

typedef struct gv_conv_kernels {
    int lanes, rows; /* of a vector; of a tile */
    /* out(r, i, p) (+)= sum_{k, t} w[(k taps + t) rows + r] b[k plane + off[t] + i from
     * + p] for r < m <= rows; reads whole tiles beyond b */
    void (*shift)(int m, const gv_conv_shift *s, const void *b, const void *w,
                  void *out);
    /* c(m, n) (+)= a(m, k) b(k, n): n in vectors; columns of b in panels of two
     * vectors, `panel` apart, their rows ldb apart */
    void (*product)(int64_t m, int64_t vectors, int64_t k, const void *a, int64_t a_row,
                    int64_t a_k, const void *b, int64_t ldb, int64_t panel, bool add,
                    void *c, int64_t ldc);
    /* to[c pitch + l length + low + i] = src[c plane + l line + i scale], i < n, zeros
     * in front and behind up to length */
    void (*rows_of)(int64_t channels, int64_t lines, const void *src, int64_t plane,
                    int64_t line, int64_t scale, int64_t low, int64_t n, int64_t length,
                    void *to, int64_t pitch);
    /* out[t step] += sum_p x[off[t] + p] g[p] over positions in whole vectors */
    void (*dots)(int64_t taps, const int64_t *off, int64_t positions, const void *x,
                 const void *g, void *out, int64_t step);
    /* dst[i cp + c] = src[c stride + i], i < n; channels up to the next whole vector
     * are zero */
    void (*to_last)(int64_t channels, int64_t n, const void *src, int64_t stride,
                    void *dst, int64_t cp);
    /* dst[c stride + i] = src[i cp + c] */
    void (*from_last)(int64_t channels, int64_t n, const void *src, int64_t cp,
                      void *dst, int64_t stride);
    /* [axes - 1]; NULL for f64 */
    const gv_conv_winograd *winograd;
} gv_conv_kernels;

/* Vectors of a tile of m rows for lines of n: as many as the registers hold, fewer
 * where that wastes less and still hides the latency of long sums. The cost of a line
 * goes to *cost. */
int gv_conv_width(const gv_conv_kernels *kernels, int m, int64_t n, int64_t terms,
                  int64_t *cost);

/* [0] f32, [1] f64 */
extern const gv_conv_kernels gv_conv_base[2], gv_conv_avx2[2], gv_conv_avx512[2];
/* The table at the SIMD level in force. */
const gv_conv_kernels *gv_conv_kernels_get(gv_dtype dtype);

/* --- the two ways, by pass -----------------------------------------------------------*/

bool gv_conv_uses_winograd(const gv_conv *c, gv_conv_pass pass);
gv_status gv_conv_direct_scratch(const gv_conv *c, gv_conv_pass pass,
                                 size_t *bytes) GV_MUST;
void gv_conv_direct_gather(const gv_conv *c, gv_conv_pass pass, const void *x,
                           const void *w, const void *bias, void *y, void *scratch);
void gv_conv_direct_weight(const gv_conv *c, const void *x, const void *g, void *gw,
                           void *scratch);
size_t gv_conv_winograd_scratch(const gv_conv *c, gv_conv_pass pass);
void gv_conv_winograd_gather(const gv_conv *c, gv_conv_pass pass, const void *x,
                             const void *w, const void *bias, void *y, void *scratch);
void gv_conv_winograd_weight(const gv_conv *c, const void *x, const void *g, void *gw,
                             void *scratch);

/* --- shared --------------------------------------------------------------------------*/

/* Workers that take blocks from a counter; each has working memory of its own. */
typedef void (*gv_conv_block)(void *ctx, int64_t block, void *memory);
enum { GV_CONV_WORKERS = 16 };
void gv_conv_for(int64_t blocks, gv_conv_block run, void *ctx, size_t memory,
                 void *scratch);
/* Workers that a loop over so many blocks has. */
int64_t gv_conv_workers(int64_t blocks);

/* Results are at least this. */
static inline double gv_conv_floor(const gv_conv *c, gv_conv_pass pass)
{
    return c->relu && pass == GV_CONV_FORWARD ? 0 : -HUGE_VAL;
}
static inline int64_t gv_conv_up(int64_t n, int64_t to)
{
    return (n + to - 1) / to * to;
}
static inline int64_t gv_conv_least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t gv_conv_most(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t gv_conv_points(const int64_t *n) { return n[0] * n[1] * n[2]; }

#endif
