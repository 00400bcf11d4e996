/* Inner loops of the norms for AVX-512. */
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,fma,prefer-vector-width=512")
#endif
#define NORM_TABLE(type) gv_norm_##type##_avx512
#include "kernels/norm.inc"
