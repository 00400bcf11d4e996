/* Tables of the small factorisation kernels, one per instruction set. */
#ifndef GV_KERNELS_LAPACK_SMALL_TABLE_H
#define GV_KERNELS_LAPACK_SMALL_TABLE_H

#include "kernels/lapack_small.h"

/* `count` entries, at most `lanes`. */
typedef struct gv_small_kernels {
    int lanes;
    int64_t (*cholesky)(int64_t n, int64_t count, const void *a, void *l);
    void (*trisolve)(bool lower, bool transposed, bool unit, int64_t n, int64_t k,
                     int64_t count, const void *a, void *x);
} gv_small_kernels;

/* [0] f32, [1] f64 */
extern const gv_small_kernels gv_small_base[2], gv_small_avx2[2], gv_small_avx512[2];

#endif
