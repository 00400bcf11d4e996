/* Loops of symbols for AVX2 with FMA. */
#if defined(__x86_64__)
#pragma GCC target("avx2,fma")
#endif
#define TABLE gv_pm_symbol_loops_avx2
#include "sim/pm/spectrum.inc"
