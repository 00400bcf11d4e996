/* Tables of reduction panels, one per instruction set (kernels/reduce.inc). */
#ifndef GV_KERNELS_REDUCE_TABLE_H
#define GV_KERNELS_REDUCE_TABLE_H

#include "kernels/reduce.h"

typedef struct gv_reduce_panel {
    /* fold rows x cols elements, row stride ld, into acc(cols) */
    void (*panel)(const void *x, int64_t ld, int64_t rows, int64_t cols, void *acc);
    /* out(count), each from n contiguous elements; NULL where not offered */
    void (*lines)(const void *x, int64_t count, int64_t n, void *out);
} gv_reduce_panel;
typedef const gv_reduce_panel gv_reduce_panels[GV_REDUCE_N][GV_N_DTYPE];

extern gv_reduce_panels gv_reduce_panels_base, gv_reduce_panels_avx2,
    gv_reduce_panels_avx512;

/* At the level in force. */
gv_reduce_panel gv_reduce_panel_of(gv_reduce_kind kind, gv_dtype dtype);

#endif
