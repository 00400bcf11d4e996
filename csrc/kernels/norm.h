/* Normalisation: batch, group (layer, instance), with an optional rectifier.
 *
 * x is (b, c, s): entries, channels, places. Statistics are taken over a set of N values:
 * all entries and places of a channel (groups 0; mean and var are (c)), or the c / groups
 * channels and all places of one entry (mean and var are (b, groups)). With r =
 * 1 / sqrt(var + eps) and xh = (x - mean) r
 *
 *   y = weight xh + bias, y = 0 where that is not positive if relu,
 *
 * var is the mean square (divided by N). The reverse sweep, with g the cotangent of y
 * (zero where the rectifier is) and u = weight g,
 *
 *   g_x = r (u - <u> - xh <u xh>), g_weight = sum g xh, g_bias = sum g,
 *
 * <> the mean over the set and sums over everything but the channel.
 *
 * Moments are summed in float64 about the mean of the first values: 1024 (or all) of them,
 * of a channel by columns 64 rows; 16 and 1 in float32. With k such values of N the
 * relative error of var is at most some eps (1 + N / k), whatever the mean. In the reverse
 * sweep by entries blocks of at most 16 terms are added in the dtype, blocks in float64.
 * The order of the sums depends on the shape alone. */
#ifndef GV_KERNELS_NORM_H
#define GV_KERNELS_NORM_H

#include "tensor/tensor.h"

typedef struct gv_norm {
    gv_dtype dtype; /* float32 or float64 */
    int64_t lanes;  /* independent problems, one after the other in every array */
    int64_t b, c, s;
    int64_t groups; /* 0: statistics over the entries; else a divisor of c */
    double eps;
    bool relu;
} gv_norm;

/* Bytes of scratch that either direction needs. */
size_t gv_norm_scratch(const gv_norm *p);
void gv_norm_forward(const gv_norm *p, const void *x, const void *weight,
                     const void *bias, void *y, void *mean, void *var, void *scratch);
/* g_x may be x. */
void gv_norm_backward(const gv_norm *p, const void *x, const void *mean,
                      const void *var, const void *weight, const void *bias,
                      const void *g, void *g_x, void *g_weight, void *g_bias,
                      void *scratch);

#endif
