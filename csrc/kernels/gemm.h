/* Matrix products of f32 and f64 by our own kernels.
 *
 * Every element of the result is one chain of multiply-adds in the order of k within
 * blocks of fixed length, so its bits depend neither on the cut into tiles nor on the
 * number of threads (they may differ between instruction sets). */
#ifndef GV_KERNELS_GEMM_H
#define GV_KERNELS_GEMM_H

#include "tensor/tensor.h"

/* c(m, n) = a(m, k) b(k, n) for each of `batch` contiguous entries; element (i, p) of a
 * is at i a_row + p a_col, one of the two strides is 1; the same for b. */
typedef struct gv_gemm {
    gv_dtype dtype;
    int64_t m, n, k, batch;
    int64_t a_row, a_col, b_row, b_col;
} gv_gemm;

/* Bytes of working memory, for any instruction set. */
size_t gv_gemm_scratch(const gv_gemm *g);
void gv_gemm_run(const gv_gemm *g, const void *a, const void *b, void *c,
                 void *scratch);

#endif
