/* Matrix products of f32 and f64 by our own kernels.
 *
 * Every element of the result is one chain of multiply-adds in the order of k within
 * blocks of fixed length, so its bits depend neither on the cut into tiles nor on the
 * number of threads (they may differ between instruction sets). */
#ifndef GV_KERNELS_GEMM_H
#define GV_KERNELS_GEMM_H

#include "tensor/tensor.h"

/* c(m, n) = a(m, k) b(k, n) for each of `batch` entries; element (i, p) of a is at
 * i a_row + p a_col, one of the two strides is 1; the same for b. The rows of c lie c_row
 * apart, the entries of a, b and c by their steps. At the end, where asked for, a row of
 * n numbers is added to every row of c (bias) and negative sums become 0 (relu; NaN
 * stays). */
/* rows of so many bytes, `step` bytes apart */
typedef struct gv_ahead {
    const char *from;
    int64_t rows, bytes, step;
} gv_ahead;

typedef struct gv_gemm {
    gv_dtype dtype;
    int64_t m, n, k, batch;
    int64_t a_row, a_col, b_row, b_col, c_row;
    int64_t a_step, b_step, c_step, bias_step;
    const void *bias; /* NULL: none */
    bool relu;
    int n_ahead;
    gv_ahead ahead[3]; /* gv_gemm_serial: brought near for what comes next */
} gv_gemm;

/* Bytes of working memory, for any instruction set. */
size_t gv_gemm_scratch(const gv_gemm *g);
void gv_gemm_run(const gv_gemm *g, const void *a, const void *b, void *c,
                 void *scratch);

/* Bias and relu alone, on c as it is. */
void gv_gemm_finish(const gv_gemm *g, void *c);

/* The first entry alone, by the calling thread; m, n, k >= 1. pack: room of
 * gv_gemm_pack_bytes(g), 64-byte aligned. */
size_t gv_gemm_pack_bytes(const gv_gemm *g);
void gv_gemm_serial(const gv_gemm *g, const void *a, const void *b, void *c,
                    void *pack);

#endif
