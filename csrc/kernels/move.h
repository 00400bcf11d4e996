/* Data movement: strided copies, gathers, scatters.
 *
 * Strides are in bytes and may be zero or negative on the source. Copies above a few
 * hundred kilobytes run on all threads; results never depend on their number. */
#ifndef GV_KERNELS_MOVE_H
#define GV_KERNELS_MOVE_H

#include "tensor/tensor.h"

/* dst[i] = src[i] over the index space dim; items of `item` bytes (1, 4, 8 or 16).
 * Destination elements must be distinct. */
void gv_move_copy(size_t item, int ndim, const int64_t *dim, const void *src,
                  const int64_t *src_stride, void *dst, const int64_t *dst_stride);
/* Contiguous copy and zero fill on all threads. */
void gv_move_bytes(void *dst, const void *src, size_t bytes);
void gv_move_zero(void *dst, size_t bytes);
/* Byte strides of a contiguous array. */
void gv_move_strides(const gv_shape *shape, size_t item, int64_t *stride);

/* First index outside 0..n-1, or -1 when all are inside. */
int64_t gv_move_find_bad(const int64_t *index, int64_t k, int64_t n);

/* out(k, m) = x(n, m)[index] for each of `batch` entries; row: bytes of m items. */
void gv_move_take(int64_t batch, int64_t n, int64_t k, size_t row, const void *x,
                  const int64_t *index, void *out);
/* x(n, m)[index] += v(k, m) in the order of the index, for each of `batch` entries. */
void gv_move_scatter_add(gv_dtype dtype, int64_t batch, int64_t n, int64_t k, int64_t m,
                         void *x, const int64_t *index, const void *v);
/* Copy the triangle j - i <= k (lower) or j - i >= k (upper), zero the rest. */
void gv_move_triangle(size_t item, bool lower, int64_t k, int64_t batch, int64_t m,
                      int64_t n, const void *x, void *out);

#endif
