/* Row loops of the attention (kernels/attention.inc), one table per instruction set. */
#ifndef GV_KERNELS_ATTENTION_TABLE_H
#define GV_KERNELS_ATTENTION_TABLE_H

#include "kernels/attention.h"
#include "kernels/ew.h"

typedef struct gv_attention_rows {
    /* s (rows, n) = softmax(scale s + mask) */
    void (*softmax)(void *s, int64_t rows, int64_t n, double scale, const void *mask,
                    gv_ew_kernel exp);
    /* d (rows, n) = scale p (d - <p, d>) */
    void (*pull)(const void *p, void *d, int64_t rows, int64_t n, double scale);
    /* to (rows, n), rows ld apart, += from */
    void (*add)(const void *from, int64_t rows, int64_t n, int64_t ld, void *to);
} gv_attention_rows;
typedef const gv_attention_rows gv_attention_table[2]; /* float32, float64 */

extern gv_attention_table gv_attention_base, gv_attention_avx2, gv_attention_avx512;

#endif
