/* Painting kernels for AVX2 with FMA. */
#if defined(__x86_64__)
#pragma GCC target("avx2,fma")
#endif
#define GV_PM_PAINT_TABLE gv_pm_paint_avx2
#include "sim/pm/paint.inc"
