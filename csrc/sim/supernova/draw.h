/* Supernovae drawn from the hierarchical model.
 *
 * Six standard normal numbers e_0..e_5 make one object: with nu, sd (3) the means and
 * dispersions of (M, x, c) in the population, mu_s the distance modulus and C_s the lower
 * factor of the measurement covariance,
 *
 *     latent_s = (M, x, c) = nu + sd (e_0, e_1, e_2)
 *     data_s = (mu_s + M - alpha x + beta c, x, c) + C_s (e_3, e_4, e_5)    [mag]
 *
 * Entries of C_s above the diagonal are not read. */
#ifndef GV_SIM_DRAW_H
#define GV_SIM_DRAW_H

#include "base/status.h"

typedef struct gv_sn_draw {
    int64_t n;
    const double *nu, *sd, *tripp; /* (3), (3), (2) = alpha, beta */
    const double *mu, *chol, *e;   /* (n), (n,3,3), (n,6) */
} gv_sn_draw;

void gv_sn_draw_forward(const gv_sn_draw *d, double *data, double *latent);

/* Cotangents for g_data, g_latent (n,3). */
size_t gv_sn_draw_pull_scratch(int64_t n);
void gv_sn_draw_pull(const gv_sn_draw *d, const double *g_data, const double *g_latent,
                     double *g_nu, double *g_sd, double *g_tripp, double *g_mu,
                     double *g_chol, double *g_e, void *scratch);

#endif
