/* Small Gaussian-process kernels for AVX-512. */
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,fma,prefer-vector-width=512")
#endif
#define GP_LEVEL 2
#define GP_VBYTES 64
#define GP_TABLE(type) gv_gp_##type##_avx512
#include "kernels/gp_small.inc"
