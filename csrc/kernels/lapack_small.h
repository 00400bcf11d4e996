/* Cholesky factors and triangular solutions of thousands of small real matrices: one
 * matrix per SIMD lane. */
#ifndef GV_KERNELS_LAPACK_SMALL_H
#define GV_KERNELS_LAPACK_SMALL_H

#include "tensor/tensor.h"

enum { GV_SMALL_MAX = 32 };

/* Whether these kernels are the better choice. */
bool gv_small_takes(gv_dtype dtype, int64_t n, int64_t batch);
/* Lower factors; the first entry that is not positive definite, or -1. */
int64_t gv_small_cholesky(gv_dtype dtype, int64_t n, int64_t batch, const void *a,
                          void *l);
void gv_small_trisolve(gv_dtype dtype, bool lower, bool transposed, bool unit,
                       int64_t n, int64_t k, int64_t batch, const void *a, void *x);

#endif
