/* Kernels around the products of a linear layer for AVX2 with FMA. */
#if defined(__x86_64__)
#pragma GCC target("avx2,fma")
#include "kernels/dense_table.h"

#define T float
#define I int32_t
#define VB 32
#define NAME(x) f32_##x
#include "kernels/dense.inc"

#define T double
#define I int64_t
#define VB 32
#define NAME(x) f64_##x
#include "kernels/dense.inc"

const gv_dense_kernels gv_dense_avx2[2] = { { f32_gate }, { f64_gate } };
#else
#include "kernels/dense_table.h"

const gv_dense_kernels gv_dense_avx2[2] = {
    0
}; /* never chosen: the level is not offered */
#endif
