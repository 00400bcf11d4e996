/* Likelihood of blocks for AVX-512. */
#include "sim/supernova/loglike.h"

#ifdef GV_LOGLIKE_X86
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")
#define LEVEL gv_loglike_block_avx512
#include "sim/supernova/loglike.inc"
#endif
