/* Likelihood of blocks for AVX2 with FMA. */
#include "sim/supernova/loglike.h"

#ifdef GV_LOGLIKE_X86
#pragma GCC target("avx2,fma")
#define LEVEL gv_loglike_block_avx2
#include "sim/supernova/loglike.inc"
#endif
