/* Row loops of the attention for AVX2. */
#if defined(__x86_64__)
#pragma GCC target("avx2,fma")
#endif
#define ATTENTION_TABLE gv_attention_avx2
#include "kernels/attention.inc"
