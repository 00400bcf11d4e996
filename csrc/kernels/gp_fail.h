/* Failure reports of the Gaussian-process kernels, and their large-matrix half. */
#ifndef GV_KERNELS_GP_FAIL_H
#define GV_KERNELS_GP_FAIL_H

#include "kernels/gp.h"

/* GV_ERR_LINALG for the n points `index` (NULL: the first n) of K (t, t), entry
 * `series` of the batch: names the pivot and a jitter that makes it factor, or the
 * first entry that is not finite. */
gv_status gv_gp_fail(gv_dtype dtype, int64_t series, int64_t t, int64_t n,
                     const int64_t *index, const void *K) GV_MUST;

/* As the functions of gp.h, for matrices beyond GV_GP_SMALL. */
gv_status gv_gp_large_logml(gv_dtype dtype, int64_t batch, int64_t m, int64_t n,
                            const void *K, const void *r, void *logp, void *alpha,
                            void *chol) GV_MUST;
gv_status gv_gp_large_bwd(gv_dtype dtype, int64_t batch, int64_t m, int64_t n,
                          const void *alpha, const void *chol, const void *g,
                          void *g_K) GV_MUST;
size_t gv_gp_large_scratch(gv_dtype dtype, int64_t m, int64_t t, int64_t n);
gv_status gv_gp_large_condition(gv_dtype dtype, int64_t batch, int64_t m, int64_t t,
                                int64_t n, const void *K, const void *prior,
                                const int64_t *index, const void *values, void *mean,
                                void *cov, void *scratch) GV_MUST;

#endif
