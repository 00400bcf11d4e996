/* Pooling over windows of one to three axes, and linear resampling along one.
 *
 * Window o of an axis covers the places o stride - pad .. + kernel - 1; places outside
 * count as -inf for the maximum and as zero for the sum. Of equal maxima the first (in C
 * order) counts; NaN wins. `spread` is the adjoint of the sum; with stride = kernel it
 * repeats every value. Fewer axes: leading ones of length 1. */
#ifndef GV_KERNELS_POOL_H
#define GV_KERNELS_POOL_H

#include "tensor/tensor.h"

typedef struct gv_pool {
    gv_dtype dtype; /* float32 or float64 */
    int64_t planes; /* independent arrays, one after the other */
    int64_t in[3], out[3], kernel[3], stride[3], pad[3];
} gv_pool;

typedef enum gv_pool_kind {
    GV_POOL_MAX,      /* y = max x                                       a: x */
    GV_POOL_MAX_PICK, /* y = b where a is largest                        a, b: x-like */
    GV_POOL_MAX_BACK, /* x-like: b where a is largest, else zero; summed a: x, b: y */
    GV_POOL_SUM,      /* y = sum x                                       a: x */
    GV_POOL_SPREAD,   /* x-like: sum over the windows of a place         a: y */
    GV_POOL_KINDS
} gv_pool_kind;

void gv_pool_run(const gv_pool *p, gv_pool_kind kind, const void *a, const void *b,
                 void *out);

/* y(size, m) from x(n, m): y_j = (1 - t) x_i + t x_(i+1) at the place i + t = j (n - 1) /
 * (size - 1) if corners, else (j + 1/2) n / size - 1/2, kept within 0..n-1. adjoint: x
 * from y. lanes such problems. */
void gv_pool_resample(gv_dtype dtype, int64_t lanes, int64_t n, int64_t size, int64_t m,
                      bool corners, bool adjoint, const void *from, void *to);

#endif
