/* Pooling for AVX2. */
#if defined(__x86_64__)
#pragma GCC target("avx2,fma")
#endif
#define POOL_TABLE gv_pool_avx2
#include "kernels/pool.inc"
