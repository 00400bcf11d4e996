/* Small factorisation kernels for AVX2 with FMA. */
#if defined(__x86_64__)
#pragma GCC target("avx2,fma")
#endif
#include <math.h>

#include "kernels/lapack_small_table.h"

#define f32_sqrt sqrtf
#define f64_sqrt sqrt

#define T float
#define WIDTH 8
#define NAME(x) f32_##x
#include "kernels/lapack_small.inc"

#define T double
#define WIDTH 4
#define NAME(x) f64_##x
#include "kernels/lapack_small.inc"

const gv_small_kernels gv_small_avx2[2] = {
    { f32_lanes, f32_cholesky, f32_trisolve },
    { f64_lanes, f64_cholesky, f64_trisolve },
};
