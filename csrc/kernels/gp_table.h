/* Small-matrix kernels of gp_lanes.inc and gp_schur.inc, one table per instruction set.
 *
 * The lane kernels take up to `lanes` matrices (count of them; missing lanes repeat the
 * last). They return -1, or the number of the first matrix (0..count-1) that is not
 * positive definite. */
#ifndef GV_KERNELS_GP_TABLE_H
#define GV_KERNELS_GP_TABLE_H

#include "kernels/gp.h"

typedef struct gv_gp_table {
    int lanes;
    /* Factor and, for the m series of each matrix, logp and alpha (m = 0: factor). */
    int (*factor)(int count, int64_t m, int64_t n, const void *K, const void *r,
                  void *logp, void *alpha, void *chol);
    /* Series s in [from, to) of one matrix with known factor. */
    void (*solve)(int64_t from, int64_t to, int64_t n, const void *chol, const void *r,
                  void *logp, void *alpha);
    /* g_K; when `ready`, g_K holds sum g alpha alpha' on entry. */
    void (*backward)(int count, int64_t m, int64_t n, bool ready, const void *alpha,
                     const void *chol, const void *g, void *g_K);
    /* One matrix: W (n, ld) = U^-T K_oz with K_oo = U'U, cov, and the gain
     * K_oo^-1 K_oz over W. index: observed then rest. False: not positive definite. */
    bool (*schur)(int64_t t, int64_t n, const void *K, const int64_t *index, bool run,
                  void *gain, void *cov);
    /* mean of m series from gain (n, ld). */
    void (*predict)(int64_t m, int64_t t, int64_t n, const int64_t *index,
                    const void *prior, const void *values, const void *gain,
                    void *mean);
} gv_gp_table;

/* Columns of the gain: the rest, rounded up to whole vectors of 64 bytes. */
static inline int64_t gv_gp_gain_ld(size_t item, int64_t rest)
{
    int64_t lanes = 64 / (int64_t)item;
    return (rest + lanes - 1) / lanes * lanes;
}

extern const gv_gp_table gv_gp_f64_base, gv_gp_f64_avx2, gv_gp_f64_avx512;
extern const gv_gp_table gv_gp_f32_base, gv_gp_f32_avx2, gv_gp_f32_avx512;

#endif
