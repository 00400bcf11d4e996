/* Matrix products too small for the BLAS's overhead, and those of integers. */
#ifndef GV_KERNELS_GEMM_SMALL_H
#define GV_KERNELS_GEMM_SMALL_H

#include "kernels/blas.h"

/* c(m, n) = op(a) op(b), one entry, contiguous. */
typedef void (*gv_gemm_small)(gv_trans ta, gv_trans tb, int64_t m, int64_t n, int64_t k,
                              const void *a, const void *b, void *c);

/* The kernel at the SIMD level in force, NULL where the BLAS is the better choice. */
gv_gemm_small gv_gemm_small_get(gv_dtype dtype, int64_t m, int64_t n, int64_t k);

#endif
