/* Kernels around the products of a linear layer for AVX-512. */
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,fma,prefer-vector-width=512")
#include "kernels/dense_table.h"

#define T float
#define I int32_t
#define VB 64
#define NAME(x) f32_##x
#include "kernels/dense.inc"

#define T double
#define I int64_t
#define VB 64
#define NAME(x) f64_##x
#include "kernels/dense.inc"

const gv_dense_kernels gv_dense_avx512[2] = { { f32_gate }, { f64_gate } };
#else
#include "kernels/dense_table.h"

const gv_dense_kernels gv_dense_avx512[2] = {
    0
}; /* never chosen: the level is not offered */
#endif
