/* What instruction set the kernels may use: one dispatch for the library. */
#ifndef GV_BASE_CPU_H
#define GV_BASE_CPU_H

typedef enum gv_simd { GV_SIMD_BASE = 0, GV_SIMD_AVX2 = 1, GV_SIMD_AVX512 = 2 } gv_simd;

/* Best level of this CPU, lowered by the environment variable GV_SIMD
 * (base, avx2, avx512) or by gv_simd_set; never raised above the CPU's. */
gv_simd gv_simd_level(void);
gv_simd gv_simd_set(gv_simd level); /* returns the level now in force */
const char *gv_simd_name(gv_simd level);

#endif
