/* BLAS calls by dtype: row-major, serial, one matrix. f32, f64, c64, c128. */
#ifndef GV_KERNELS_BLAS_CALL_H
#define GV_KERNELS_BLAS_CALL_H

#include "kernels/blas.h"

/* c(m, n) = alpha op(a) op(b) + beta c, leading dimensions in elements */
void gv_call_gemm(gv_dtype dtype, gv_trans ta, gv_trans tb, int64_t m, int64_t n,
                  int64_t k, double alpha, const void *a, int64_t lda, const void *b,
                  int64_t ldb, double beta, void *c, int64_t ldc);
/* b(m, n) = op(a)^-1 b (left) or b op(a)^-1 (right), a triangular */
void gv_call_trsm(gv_dtype dtype, bool left, bool lower, gv_trans trans, bool unit,
                  int64_t m, int64_t n, const void *a, int64_t lda, void *b,
                  int64_t ldb);
/* Lower Cholesky factor in place of the lower triangle of a(n, n); 0, or the pivot
 * (from 1) that is not positive. The strict upper triangle is not touched. */
int gv_call_potrf(gv_dtype dtype, int64_t n, void *a, int64_t lda);

#endif
