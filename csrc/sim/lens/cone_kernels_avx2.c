/* Light-cone kernels for AVX2 with FMA. */
#if defined(__x86_64__)
#pragma GCC target("avx2,fma")
#endif
#define CONE_TABLE gv_cone_avx2
#include "sim/lens/cone_kernels.inc"
