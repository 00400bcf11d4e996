/* Pooling for AVX-512. */
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,fma,prefer-vector-width=512")
#endif
#define POOL_TABLE gv_pool_avx512
#include "kernels/pool.inc"
