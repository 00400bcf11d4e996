/* Reductions, scans, softmax and sorting over contiguous arrays.
 *
 * A reduction is cut into fixed chunks (by problem size only) whose partial results
 * are combined in order, so the bits do not depend on the number of threads. Sums of
 * float32 accumulate in float64. Sums of float64 run in interleaved partial sums of at most
 * 1024 terms (more where short rows alternate with kept axes), then over chunks of 65536:
 * the error is below (1100 + n / 65536) eps sum |x|, in practice a few eps. Maximum and
 * minimum let NaN win. */
#ifndef GV_KERNELS_REDUCE_H
#define GV_KERNELS_REDUCE_H

#include "tensor/tensor.h"

typedef enum gv_reduce_kind {
    GV_REDUCE_SUM,
    GV_REDUCE_PROD,
    GV_REDUCE_MAX,
    GV_REDUCE_MIN,
    GV_REDUCE_N
} gv_reduce_kind;

/* How an array is walked: `kept` outer indices; each reduces `folds` panels of
 * rows x cols contiguous elements to cols results. */
typedef struct gv_reduce_plan {
    gv_reduce_kind kind;
    gv_dtype dtype;
    int n_outer; /* alternating kept and reduced outer groups */
    int64_t dim[GV_MAX_DIM], stride[GV_MAX_DIM];
    bool reduced[GV_MAX_DIM];
    int64_t kept, folds, rows, cols;
    int64_t chunk_rows, chunk_folds, row_chunks, chunks; /* of one result */
    int64_t col_tile, tiles, group;
    bool split; /* chunks of one result are separate tasks */
} gv_reduce_plan;

/* False when the dtype is not offered for the kind. */
bool gv_reduce_offers(gv_reduce_kind kind, gv_dtype dtype);
/* reduced[k]: axis k of shape is summed over. */
void gv_reduce_plan_make(gv_reduce_plan *plan, gv_reduce_kind kind, gv_dtype dtype,
                         const gv_shape *shape, const bool *reduced);
size_t gv_reduce_scratch(const gv_reduce_plan *plan);
void gv_reduce_run(const gv_reduce_plan *plan, const void *x, void *out, void *scratch);

/* The following see x as (outer, n, inner) and work along the middle axis. */

/* First position of the maximum (or minimum); a NaN wins. dtypes: bool, ints, floats. */
void gv_reduce_arg(bool maximum, gv_dtype dtype, int64_t outer, int64_t n,
                   int64_t inner, const void *x, int64_t *out);
/* Running sum, from the end when reverse. dtypes: ints, floats, complex. */
void gv_reduce_cumsum(gv_dtype dtype, bool reverse, int64_t outer, int64_t n,
                      int64_t inner, const void *x, void *out);
/* Lines of n floats. softmax: zero_empty gives zeros instead of NaN for lines of -inf. */
void gv_reduce_logsumexp(gv_dtype dtype, int64_t lines, int64_t n, const void *x,
                         void *out);
void gv_reduce_softmax(gv_dtype dtype, bool zero_empty, int64_t lines, int64_t n,
                       const void *x, void *out);
void gv_reduce_log_softmax(gv_dtype dtype, int64_t lines, int64_t n, const void *x,
                           void *out);

/* Ascending stable sort of lines, NaN last; values or index may be NULL. dtypes: bool,
 * ints, floats. scratch: gv_reduce_sort_scratch bytes. */
size_t gv_reduce_sort_scratch(int64_t lines, int64_t n);
void gv_reduce_sort(gv_dtype dtype, int64_t lines, int64_t n, const void *x,
                    void *values, int64_t *index, void *scratch);

#endif
