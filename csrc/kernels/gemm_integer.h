/* Matrix products of integers, which wrap around. */
#ifndef GV_KERNELS_GEMM_INTEGER_H
#define GV_KERNELS_GEMM_INTEGER_H

#include "tensor/tensor.h"

/* c(m, n) = op(a) op(b) for each entry; i32 or i64; ta, tb: the operand is transposed. */
void gv_gemm_integer(gv_dtype dtype, bool ta, bool tb, int64_t m, int64_t n, int64_t k,
                     int64_t batch, const void *a, const void *b, void *c);

#endif
