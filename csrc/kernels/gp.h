/* Gaussian-process kernels: log densities, their gradients, conditioning.
 *
 * All matrices are symmetric, row major and contiguous; `batch` of them follow each
 * other, each with m series of its own (m = 1: one series per matrix; batch = 1: one
 * matrix shared by all series, factored once). K is taken to be symmetric: which of
 * its triangles is read is left open.
 *
 * Up to n = GV_GP_SMALL points, matrices are factored several at a time, one per SIMD
 * lane; beyond, by LAPACK on tiles that the thread pool shares. Work is cut by problem
 * size only, so results do not depend on the number of threads.
 *
 * A matrix that is not positive definite gives GV_ERR_LINALG, the first such in the
 * batch with its pivot and a jitter (a number to add to its diagonal) that would do. */
#ifndef GV_KERNELS_GP_H
#define GV_KERNELS_GP_H

#include "tensor/tensor.h"

enum { GV_GP_SMALL = 64 };

/* dtype: GV_F32 or GV_F64, of every floating array below. */

/* logp (batch, m) = log N(r; 0, K) = -1/2 (r' K^-1 r + log|K| + n log 2 pi),
 * alpha (batch, m, n) = K^-1 r, chol (batch, n, n) the lower factor (zero above) of
 * K (batch, n, n), r (batch, m, n). */
gv_status gv_gp_logml(gv_dtype dtype, int64_t batch, int64_t m, int64_t n,
                      const void *K, const void *r, void *logp, void *alpha,
                      void *chol) GV_MUST;

/* Cotangents of gv_gp_logml for g (batch, m):
 * g_K = 1/2 (sum_s g_s alpha_s alpha_s' - (sum_s g_s) K^-1), g_r = -g_s alpha_s. */
gv_status gv_gp_logml_bwd(gv_dtype dtype, int64_t batch, int64_t m, int64_t n,
                          const void *alpha, const void *chol, const void *g, void *g_K,
                          void *g_r) GV_MUST;

/* Condition N(prior, K) over t points on the values of n of them.
 *
 * K (batch, t, t), prior (batch, m, t), observed (n) distinct indices into 0..t-1 (the
 * caller has checked), values (batch, m, n) in the order of observed. With o the
 * observed points and z the rest in increasing order
 *   mean (batch, m, t-n) = prior_z + K_zo K_oo^-1 (values - prior_o)
 *   cov (batch, t-n, t-n) = K_zz - K_zo K_oo^-1 K_oz, exactly symmetric.
 * scratch: gv_gp_condition_scratch bytes. */
size_t gv_gp_condition_scratch(gv_dtype dtype, int64_t m, int64_t t, int64_t n);
gv_status gv_gp_condition(gv_dtype dtype, int64_t batch, int64_t m, int64_t t,
                          int64_t n, const void *K, const void *prior,
                          const int64_t *observed, const void *values, void *mean,
                          void *cov, void *scratch) GV_MUST;

#endif
