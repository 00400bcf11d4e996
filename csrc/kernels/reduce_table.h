/* Tables of reduction panels, one per instruction set (kernels/reduce.inc). */
#ifndef GV_KERNELS_REDUCE_TABLE_H
#define GV_KERNELS_REDUCE_TABLE_H

#include "kernels/reduce.h"

typedef void (*gv_reduce_panel)(const void *x, int64_t ld, int64_t rows, int64_t cols,
                                void *acc);
typedef const gv_reduce_panel gv_reduce_panels[GV_REDUCE_N][GV_N_DTYPE];

extern gv_reduce_panels gv_reduce_panels_base, gv_reduce_panels_avx2,
    gv_reduce_panels_avx512;

#endif
