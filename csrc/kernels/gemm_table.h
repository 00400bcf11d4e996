/* Tables of matrix-product kernels, one per instruction set (kernels/gemm.inc). */
#ifndef GV_KERNELS_GEMM_TABLE_H
#define GV_KERNELS_GEMM_TABLE_H

#include <stddef.h>

#include "kernels/gemm.h"

typedef struct gv_gemm_kernels {
    int mr, nr; /* rows and columns of a tile */
    /* op(a)(m, k) with strides rs, cs into panels of mr rows; op(b)(k, n) of nr columns */
    void (*pack_a)(int64_t m, int64_t k, const void *a, int64_t rs, int64_t cs,
                   void *to);
    void (*pack_b)(int64_t k, int64_t n, const void *b, int64_t rs, int64_t cs,
                   void *to);
    /* bias, relu: what is done to c at the end */
    void (*packed)(int64_t m, int64_t n, int64_t k, const void *pa, const void *pb,
                   bool add, const void *bias, bool relu, void *c, int64_t ldc);
    /* a as it lies; panel of columns from j on: b + j step, its rows ldb apart */
    void (*direct)(int64_t m, int64_t n, int64_t k, const void *a, int64_t rs,
                   int64_t cs, const void *b, int64_t ldb, int64_t step, bool add,
                   const void *bias, bool relu, const gv_gemm *ahead, void *c,
                   int64_t ldc);
    /* y(m) (+)= a(m, k) x(k); one of the strides is 1 */
    void (*vector)(int64_t m, int64_t k, const void *a, int64_t rs, int64_t cs,
                   const void *x, bool add, void *y);
} gv_gemm_kernels;

/* [0] f32, [1] f64 */
extern const gv_gemm_kernels gv_gemm_base[2], gv_gemm_avx2[2], gv_gemm_avx512[2];

#endif
