/* Inner loops of the norms for AVX2 with FMA. */
#if defined(__x86_64__)
#pragma GCC target("avx2,fma")
#endif
#define NORM_TABLE(type) gv_norm_##type##_avx2
#include "kernels/norm.inc"
