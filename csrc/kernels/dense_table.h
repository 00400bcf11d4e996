/* Kernels around the products of a linear layer, one table per instruction set
 * (kernels/dense.inc). */
#ifndef GV_KERNELS_DENSE_TABLE_H
#define GV_KERNELS_DENSE_TABLE_H

#include "tensor/tensor.h"

typedef struct gv_dense_kernels {
    /* to(m, n) contiguous = from(m, n) with rows `row` apart, 0 where gate(m, n) (rows
     * gate_row apart; NULL: none) is not above 0; sum[j] (NULL: none) = f64 sum over the
     * rows. to NULL: only the sums. */
    void (*gate)(int64_t m, int64_t n, const void *from, int64_t row, const void *gate,
                 int64_t gate_row, void *to, double *sum);
} gv_dense_kernels;

/* [0] f32, [1] f64 */
extern const gv_dense_kernels gv_dense_base[2], gv_dense_avx2[2], gv_dense_avx512[2];

#endif
