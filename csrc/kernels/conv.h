/* Convolutions in one, two or three dimensions and their transposes, f32 and f64.
 *
 *   y[n, o, j] = b[o] + sum_{c, t} w[o, c, t] x[n, c, j stride + t dilation - low]
 *
 * with x zero outside (or periodic), o and c in one group. Arrays are channels first
 * and contiguous; lines of channels are turned round on the fly where a kernel wants
 * them last. Two ways:
 *
 *   direct    strips of x with their margins in cache, a tap is a shift of the pointer
 *   winograd  f32, three taps, stride and dilation one: F(4,3) on the last two axes,
 *             F(2,3) on the first of three; 2, 4 and 6 times fewer multiplications on
 *             1, 2 and 3 axes
 *
 * Work is cut by the problem's size only and partial sums are added in order, so the
 * bits do not depend on the number of threads. */
#ifndef GV_KERNELS_CONV_H
#define GV_KERNELS_CONV_H

#include "tensor/tensor.h"

typedef enum gv_conv_method {
    GV_CONV_AUTO,
    GV_CONV_DIRECT,
    GV_CONV_WINOGRAD
} gv_conv_method;

/* Axes are the trailing ones of three; those in front have length 1. */
typedef struct gv_conv {
    gv_dtype dtype;
    gv_conv_method method;
    bool periodic, relu;                /* relu: forward gives max(y, 0) */
    int64_t batch, groups, c_in, c_out; /* channels of all groups */
    int64_t in[3], out[3], kernel[3], stride[3], dilation[3], low[3];
} gv_conv;

typedef enum gv_conv_pass {
    GV_CONV_FORWARD,
    GV_CONV_DATA,
    GV_CONV_WEIGHT
} gv_conv_pass;

/* Can Winograd's algorithm do it? */
bool gv_conv_has_winograd(const gv_conv *c);
/* Bytes of working memory of a pass. */
gv_status gv_conv_scratch(const gv_conv *c, gv_conv_pass pass, size_t *bytes) GV_MUST;
/* y(batch, c_out, out) from x(batch, c_in, in), w(c_out, c_in/groups, kernel) and
 * bias(c_out) or NULL. */
void gv_conv_forward(const gv_conv *c, const void *x, const void *w, const void *bias,
                     void *y, void *scratch);
/* The transpose in x: gx(batch, c_in, in) from g(batch, c_out, out), plus bias(c_in) or
 * NULL. */
void gv_conv_data(const gv_conv *c, const void *g, const void *w, const void *bias,
                  void *gx, void *scratch);
/* The transpose in w: gw(c_out, c_in/groups, kernel) from x and g. */
void gv_conv_weight(const gv_conv *c, const void *x, const void *g, void *gw,
                    void *scratch);

#endif
