/* Linear layers of `groups` independent maps, forward and backward.
 *
 *   z = x w^T + b,  y = z or max(z, 0)
 *   h = g_y (where y > 0, with relu),  g_x = h w,  g_w = h^T x,  g_b = sum of rows of h
 *
 * for each group: x(m, k), w(n, k), b(n), y(m, n). The rows of x and y lie x_row and
 * y_row elements apart, their groups x_step and y_step; w, b and what has their shape are
 * contiguous. Sums over rows have fixed order, whatever the number of threads. */
#ifndef GV_KERNELS_DENSE_H
#define GV_KERNELS_DENSE_H

#include "kernels/optim.h"
#include "tensor/tensor.h"

typedef struct gv_dense {
    gv_dtype dtype; /* f32 or f64 */
    int64_t groups, m, n, k;
    int64_t x_row, x_step, y_row, y_step;
    bool relu;
} gv_dense;

size_t gv_dense_scratch(const gv_dense *d);
void gv_dense_forward(const gv_dense *d, const void *x, const void *w, const void *b,
                      void *y, void *scratch);

/* g_x, g_w, g_b: NULL where not wanted. y is read with relu alone. */
size_t gv_dense_back_scratch(const gv_dense *d, bool want_x, bool want_w, bool want_b);
void gv_dense_back(const gv_dense *d, const void *g_y, const void *y, const void *x,
                   const void *w, void *g_x, void *g_w, void *g_b, void *scratch);

/* One group: the step of Adam on w, whose gradient is g_w above. from, to: w and its two
 * moments before and after, which may be the same. */
size_t gv_dense_adam_scratch(const gv_dense *d);
void gv_dense_adam(const gv_dense *d, const gv_adam *a, const void *g_y, const void *y,
                   const void *x, const void *const *from, void *const *to,
                   void *scratch);

#endif
