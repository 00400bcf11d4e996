/* Reduction panels for AVX2 with FMA. */
#if defined(__x86_64__)
#pragma GCC target("avx2,fma")
#endif
#define GV_REDUCE_TABLE gv_reduce_panels_avx2
#include "kernels/reduce.inc"
