/* Log-likelihood of objects with three numbers each, Gaussian, with a covariance and a
 * mean that all share and a measurement covariance and a shift of their own:
 *
 *     d_s ~ N(mean + shift_s e_0, Sig_s),     Sig_s = cov + S_s,      s = 0..n-1
 *
 * with S_s and cov (3, 3); only their symmetric parts count. With r_s the residual and
 * a_s = Sig_s^-1 r_s, P_s = Sig_s^-1,
 *
 *     L = -1/2 sum_s [r_s . a_s + ln|Sig_s| + 3 ln 2 pi]
 *     dL/dmean = sum_s a_s,   dL/dshift_s = a_s0,   dL/dd_s = -a_s
 *     dL/dcov = sum_s G_s,   dL/dS_s = G_s = 1/2 (a_s a_s' - P_s)
 *
 * and, for tangents v_s of the mean minus those of the data and W_s of Sig_s, the
 * tangents a. = -P (v + W a),  G. = 1/2 (a. a' + a a.' + P W P). Sums are taken over blocks of
 * fixed size in float64. A Sig_s that is not positive definite is GV_ERR_LINALG with the
 * number of the object. */
#ifndef GV_SIM_LOGLIKE_H
#define GV_SIM_LOGLIKE_H

#include "base/status.h"

typedef struct gv_blocks3 {
    int64_t n;
    const double *mean, *cov, *shift, *d, *s; /* (3), (3,3), (n), (n,3), (n,3,3) */
} gv_blocks3;

/* What the sums of one block of objects are kept in. */
typedef struct gv_loglike_sums {
    double value, mean[3], cov[6]; /* cov: 00 01 02 11 12 22 */
    int64_t bad;                   /* first object without a factor, or -1 */
} gv_loglike_sums;

enum { GV_LOGLIKE_BLOCK = 1024 };

/* Value and gradient to mean (3), cov (3,3) and shift (n). */
size_t gv_loglike_scratch(int64_t n);
gv_status gv_loglike(const gv_blocks3 *b, double *value, double *g_mean, double *g_cov,
                     double *g_shift, void *scratch) GV_MUST;

/* weight * gradient + Hessian u, for tangents u of mean (3), cov (3,3), shift (n),
 * d (n,3), s (n,3,3), to the same. */
typedef struct gv_loglike_out {
    double *mean, *cov, *shift, *d, *s;
} gv_loglike_out;
gv_status gv_loglike_pull(const gv_blocks3 *b, double weight, const gv_blocks3 *u,
                          const gv_loglike_out *t, void *scratch) GV_MUST;

typedef void (*gv_loglike_block)(const gv_blocks3 *b, int64_t from, int64_t to,
                                 double *g_shift, gv_loglike_sums *sums);
void gv_loglike_block_base(const gv_blocks3 *b, int64_t from, int64_t to,
                           double *g_shift, gv_loglike_sums *sums);
#if defined(__x86_64__) && defined(__GNUC__)
#define GV_LOGLIKE_X86 1
void gv_loglike_block_avx2(const gv_blocks3 *b, int64_t from, int64_t to,
                           double *g_shift, gv_loglike_sums *sums);
void gv_loglike_block_avx512(const gv_blocks3 *b, int64_t from, int64_t to,
                             double *g_shift, gv_loglike_sums *sums);
#endif

#endif
