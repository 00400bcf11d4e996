/* Drawing supernovae: see the header. */
#include "sim/supernova/draw.h"

#include <string.h>

#include "base/parallel.h"

enum { BLOCK = 4096, N_SUM = 8 };

typedef struct job {
    const gv_sn_draw *d;
    const double *g_data, *g_latent;
    double *data, *latent, *mu, *chol, *e, *sums;
} job;

static int64_t end_of(const gv_sn_draw *d, int64_t block)
{
    return (block + 1) * BLOCK < d->n ? (block + 1) * BLOCK : d->n;
}

static void forward_block(void *ctx, int64_t block)
{
    const job *j = ctx;
    const gv_sn_draw *d = j->d;
    double alpha = d->tripp[0], beta = d->tripp[1];
    for (int64_t o = block * BLOCK; o < end_of(d, block); o++) {
        const double *e = d->e + 6 * o, *c = d->chol + 9 * o;
        double *y = j->latent + 3 * o, *x = j->data + 3 * o;
        for (int i = 0; i < 3; i++) y[i] = d->nu[i] + d->sd[i] * e[i];
        x[0] = d->mu[o] + y[0] - alpha * y[1] + beta * y[2] + c[0] * e[3];
        x[1] = y[1] + c[3] * e[3] + c[4] * e[4];
        x[2] = y[2] + c[6] * e[3] + c[7] * e[4] + c[8] * e[5];
    }
}

void gv_sn_draw_forward(const gv_sn_draw *d, double *data, double *latent)
{
    job j = { .d = d, .data = data, .latent = latent };
    gv_parallel_for((d->n + BLOCK - 1) / BLOCK, forward_block, &j);
}

static void pull_block(void *ctx, int64_t block)
{
    const job *j = ctx;
    const gv_sn_draw *d = j->d;
    double alpha = d->tripp[0], beta = d->tripp[1], *sum = j->sums + N_SUM * block;
    memset(sum, 0, N_SUM * sizeof *sum);
    for (int64_t o = block * BLOCK; o < end_of(d, block); o++) {
        const double *e = d->e + 6 * o, *c = d->chol + 9 * o, *g = j->g_data + 3 * o;
        double *gc = j->chol + 9 * o, *ge = j->e + 6 * o, y[3];
        y[0] = g[0] + j->g_latent[3 * o];
        y[1] = g[1] - alpha * g[0] + j->g_latent[3 * o + 1];
        y[2] = g[2] + beta * g[0] + j->g_latent[3 * o + 2];
        for (int i = 0; i < 3; i++) {
            sum[i] += y[i];
            sum[3 + i] += y[i] * e[i];
            ge[i] = y[i] * d->sd[i];
            ge[3 + i] = 0;
            for (int k = 0; k < 3; k++) {
                gc[3 * i + k] = k <= i ? g[i] * e[3 + k] : 0;
            }
        }
        for (int i = 0; i < 3; i++)
            for (int k = 0; k <= i; k++) ge[3 + k] += g[i] * c[3 * i + k];
        sum[6] -= g[0] * (d->nu[1] + d->sd[1] * e[1]);
        sum[7] += g[0] * (d->nu[2] + d->sd[2] * e[2]);
        j->mu[o] = g[0];
    }
}

size_t gv_sn_draw_pull_scratch(int64_t n)
{
    return (size_t)((n + BLOCK - 1) / BLOCK * N_SUM) * sizeof(double);
}

void gv_sn_draw_pull(const gv_sn_draw *d, const double *g_data, const double *g_latent,
                     double *g_nu, double *g_sd, double *g_tripp, double *g_mu,
                     double *g_chol, double *g_e, void *scratch)
{
    int64_t blocks = (d->n + BLOCK - 1) / BLOCK;
    job j = { .d = d,
              .g_data = g_data,
              .g_latent = g_latent,
              .mu = g_mu,
              .chol = g_chol,
              .e = g_e,
              .sums = scratch };
    double all[N_SUM] = { 0 };
    gv_parallel_for(blocks, pull_block, &j);
    for (int64_t b = 0; b < blocks; b++)
        for (int i = 0; i < N_SUM; i++) all[i] += j.sums[N_SUM * b + i];
    memcpy(g_nu, all, 3 * sizeof *all);
    memcpy(g_sd, all + 3, 3 * sizeof *all);
    memcpy(g_tripp, all + 6, 2 * sizeof *all);
}
