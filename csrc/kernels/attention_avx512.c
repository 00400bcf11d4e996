/* Row loops of the attention for AVX-512. */
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,fma,prefer-vector-width=512")
#endif
#define ATTENTION_TABLE gv_attention_avx512
#include "kernels/attention.inc"
