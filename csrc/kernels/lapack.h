/* Dense factorisations and solutions, batched, in row-major order.
 *
 * Entries of a batch run on all threads; one large matrix is factored in tiles of fixed
 * size, so the bits never depend on the number of threads. dtypes: f32, f64, c64, c128
 * ("real" below: the dtype of moduli). Functions that need working memory have a
 * companion that tells its size. Failures are GV_ERR_LINALG and name the batch entry. */
#ifndef GV_KERNELS_LAPACK_H
#define GV_KERNELS_LAPACK_H

#include "kernels/blas.h"

/* --- triangular (lapack_chol.c) ------------------------------------------------------*/

/* Lower factor of the Hermitian positive definite a(n, n), of which only the lower
 * triangle is read; the strict upper triangle of l is zero. */
gv_status gv_lapack_cholesky(gv_dtype dtype, int64_t n, int64_t batch, const void *a,
                             void *l) GV_MUST;
/* Sum of 2 log l_ii (real) of each factor. */
void gv_lapack_logdet(gv_dtype dtype, int64_t n, int64_t batch, const void *l,
                      void *out);
/* x(n, k) = op(a)^-1 x in place, a triangular; a zero on the diagonal gives inf. */
void gv_lapack_trisolve(gv_dtype dtype, bool lower, gv_trans trans, bool unit,
                        int64_t n, int64_t k, int64_t batch, const void *a, void *x);

/* --- general square (lapack_lu.c) ------------------------------------------------------*/

size_t gv_lapack_lu_scratch(gv_dtype dtype, int64_t n, int64_t batch);
/* x(n, k) = op(a)^-1 x in place; inverse: x is set to the identity first (k == n). */
gv_status gv_lapack_solve(gv_dtype dtype, gv_trans trans, bool inverse, int64_t n,
                          int64_t k, int64_t batch, const void *a, void *x,
                          void *scratch) GV_MUST;
/* Sign (or phase) and log |det a|; a singular matrix has sign 0 and -inf. */
void gv_lapack_slogdet(gv_dtype dtype, int64_t n, int64_t batch, const void *a,
                       void *sign, void *logabs, void *scratch);

/* --- spectral (lapack_eig.c, lapack_svd.c) -----------------------------------------------*/

/* In complex results the phase of each vector is fixed: its pivot, the first component
 * whose modulus is within 1 % of the largest, is real and positive. Real vectors carry
 * LAPACK's sign. pivot_mask: 1 at the pivot of each column of v(m, n), else 0 (real). */
void gv_lapack_pivot_mask(gv_dtype dtype, int64_t m, int64_t n, int64_t batch,
                          const void *v, void *mask);

size_t gv_lapack_eigh_scratch(gv_dtype dtype, int64_t n, int64_t batch);
/* Hermitian a (lower triangle read): w(n) real ascending, v(n, n) columns. */
gv_status gv_lapack_eigh(gv_dtype dtype, int64_t n, int64_t batch, const void *a,
                         void *w, void *v, void *scratch) GV_MUST;

size_t gv_lapack_eig_scratch(gv_dtype dtype, int64_t n, int64_t batch);
/* General a: complex w(n) and v(n, n), columns of unit length. */
gv_status gv_lapack_eig(gv_dtype dtype, int64_t n, int64_t batch, const void *a,
                        void *w, void *v, void *scratch) GV_MUST;

size_t gv_lapack_svd_scratch(gv_dtype dtype, int64_t m, int64_t n, int64_t batch);
/* a(m, n) = u(m, r) diag(s) vh(r, n), r = min(m, n), s real descending. */
gv_status gv_lapack_svd(gv_dtype dtype, int64_t m, int64_t n, int64_t batch,
                        const void *a, void *u, void *s, void *vh,
                        void *scratch) GV_MUST;

size_t gv_lapack_qr_scratch(gv_dtype dtype, int64_t m, int64_t n, int64_t batch);
/* a(m, n) = q(m, r) r(r, n), r = min(m, n); the diagonal of r is real, any sign. */
gv_status gv_lapack_qr(gv_dtype dtype, int64_t m, int64_t n, int64_t batch,
                       const void *a, void *q, void *r, void *scratch) GV_MUST;

#endif
