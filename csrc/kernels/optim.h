/* Updates of optimisers, element by element in one pass over memory, and the length of
 * a gradient.
 *
 * Adam and its kin, per element:
 *   u  = factor g + decay p
 *   m' = b1 m + (1 - b1) u
 *   v' = b2 v + (1 - b2) u^2
 *   p' = keep p - size m' / (root sqrt(v') + eps)
 * Outputs may be the inputs of the same name. */
#ifndef GV_KERNELS_OPTIM_H
#define GV_KERNELS_OPTIM_H

#include "tensor/tensor.h"

typedef struct gv_adam {
    double b1, b2, decay;                 /* fixed */
    double size, root, eps, keep, factor; /* of the step */
} gv_adam;

/* n elements of dtype f32 or f64; on all threads where that pays. */
void gv_adam_run(gv_dtype dtype, int64_t n, const gv_adam *a, const void *p,
                 const void *m, const void *v, const void *g, void *pn, void *mn,
                 void *vn);

/* sum x^2 in double precision; part: room for gv_squares_parts(n) sums. */
int64_t gv_squares_parts(int64_t n);
double gv_squares_run(gv_dtype dtype, int64_t n, const void *x, double *part);

/* One table per instruction set (optim.inc). */
typedef double (*gv_squares_fn)(int64_t n, const void *x);
extern const gv_squares_fn gv_squares_f32_base, gv_squares_f32_avx2,
    gv_squares_f32_avx512;
extern const gv_squares_fn gv_squares_f64_base, gv_squares_f64_avx2,
    gv_squares_f64_avx512;
typedef void (*gv_adam_fn)(int64_t n, const gv_adam *a, const void *p, const void *m,
                           const void *v, const void *g, void *pn, void *mn, void *vn);
extern const gv_adam_fn gv_adam_f32_base, gv_adam_f32_avx2, gv_adam_f32_avx512;
extern const gv_adam_fn gv_adam_f64_base, gv_adam_f64_avx2, gv_adam_f64_avx512;

#endif
