/* Read-out for AVX-512. */
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma,bmi2")
#endif
#define READ_LEVEL 2
#define READ_VBYTES 64
#define READ_TABLE gv_pm_read_tiles_avx512
#include "sim/pm/read.inc"
