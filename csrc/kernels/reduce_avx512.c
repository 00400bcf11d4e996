/* Reduction panels for AVX-512. */
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,fma,prefer-vector-width=512")
#endif
#define GV_REDUCE_TABLE gv_reduce_panels_avx512
#include "kernels/reduce.inc"
