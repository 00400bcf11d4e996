/* Kernel tables that the files ew_<family>_<level>.c define. */
#ifndef GV_KERNELS_EW_TABLES_H
#define GV_KERNELS_EW_TABLES_H

#include "kernels/ew.h"

typedef gv_ew_kernel gv_ew_family[GV_EW_N][GV_N_DTYPE];
typedef gv_ew_kernel gv_ew_cast_table[GV_N_DTYPE][GV_N_DTYPE]; /* [from][to] */

#if defined(__x86_64__) && defined(__GNUC__)
#define GV_EW_X86 1
#endif

#define GV_EW_DECLARE(level)                                               \
    extern const gv_ew_family gv_ew_arith_##level, gv_ew_compare_##level,  \
        gv_ew_trans_##level, gv_ew_complex_##level, gv_ew_special_##level; \
    extern const gv_ew_cast_table gv_ew_cast_##level

#define GV_EW_LEVEL_ROW(level)                                          \
    &gv_ew_arith_##level, &gv_ew_compare_##level, &gv_ew_trans_##level, \
        &gv_ew_special_##level, &gv_ew_complex_##level

GV_EW_DECLARE(base);
#ifdef GV_EW_X86
GV_EW_DECLARE(avx2);
GV_EW_DECLARE(avx512);
#define GV_EW_FAMILIES \
    GV_EW_LEVEL_ROW(base), GV_EW_LEVEL_ROW(avx2), GV_EW_LEVEL_ROW(avx512)
#else
#define GV_EW_FAMILIES GV_EW_LEVEL_ROW(base)
#endif

#endif
