/* Light-cone kernels for AVX-512. */
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,fma,prefer-vector-width=512")
#endif
#define CONE_TABLE gv_cone_avx512
#include "sim/lens/cone_kernels.inc"
