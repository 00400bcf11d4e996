/* Small Gaussian-process kernels for AVX2 with FMA. */
#if defined(__x86_64__)
#pragma GCC target("avx2,fma")
#endif
#define GP_LEVEL 1
#define GP_VBYTES 32
#define GP_TABLE(type) gv_gp_##type##_avx2
#include "kernels/gp_small.inc"
