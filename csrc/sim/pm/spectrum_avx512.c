/* Loops of symbols for AVX-512. */
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,fma,prefer-vector-width=512")
#endif
#define TABLE gv_pm_symbol_loops_avx512
#include "sim/pm/spectrum.inc"
