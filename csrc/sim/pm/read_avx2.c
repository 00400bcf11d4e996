/* Read-out for AVX2 with FMA. */
#if defined(__x86_64__)
#pragma GCC target("avx2,fma,bmi2")
#endif
#define READ_LEVEL 1
#define READ_VBYTES 32
#define READ_TABLE gv_pm_read_tiles_avx2
#include "sim/pm/read.inc"
