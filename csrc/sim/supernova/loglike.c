/* Value and derivatives of the likelihood of blocks: what runs over the blocks. */
#include "sim/supernova/loglike.h"

#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "base/parallel.h"

static const double log_2pi = 1.8378770664093454836;

typedef struct job {
    const gv_blocks3 *b;
    gv_loglike_block block;
    gv_loglike_sums *sums;
    double *shift; /* (n) */
    double weight;
    const gv_blocks3 *u;
    const gv_loglike_out *t;
} job;

static int64_t count_blocks(int64_t n)
{
    return (n + GV_LOGLIKE_BLOCK - 1) / GV_LOGLIKE_BLOCK;
}

size_t gv_loglike_scratch(int64_t n)
{
    return (size_t)count_blocks(n) * sizeof(gv_loglike_sums);
}

static int64_t end_of(const job *j, int64_t block)
{
    int64_t to = (block + 1) * GV_LOGLIKE_BLOCK;
    return to < j->b->n ? to : j->b->n;
}

static void one_block(void *ctx, int64_t block)
{
    const job *j = ctx;
    j->block(j->b, block * GV_LOGLIKE_BLOCK, end_of(j, block), j->shift,
             j->sums + block);
}

/* Add the sums of the blocks in their order. */
static gv_status gather(const job *j, gv_loglike_sums *all)
{
    memset(all, 0, sizeof *all);
    for (int64_t k = 0; k < count_blocks(j->b->n); k++) {
        const gv_loglike_sums *s = j->sums + k;
        if (s->bad >= 0)
            return gv_fail(GV_ERR_LINALG,
                           "the covariance of object %lld (its own plus that of the "
                           "population) is not positive definite; check it and the "
                           "dispersions",
                           (long long)s->bad);
        all->value += s->value;
        for (int i = 0; i < 3; i++) all->mean[i] += s->mean[i];
        for (int i = 0; i < 6; i++) all->cov[i] += s->cov[i];
    }
    return GV_OK;
}

static void unpack(const double p[6], double full[9])
{
    static const int place[9] = { 0, 1, 2, 1, 3, 4, 2, 4, 5 };
    for (int i = 0; i < 9; i++) full[i] = p[place[i]];
}

static gv_loglike_block block_in_force(void)
{
    static const gv_loglike_block table[] = { gv_loglike_block_base,
#ifdef GV_LOGLIKE_X86
                                              gv_loglike_block_avx2,
                                              gv_loglike_block_avx512
#endif
    };
    return table[gv_simd_level()];
}

gv_status gv_loglike(const gv_blocks3 *b, double *value, double *g_mean, double *g_cov,
                     double *g_shift, void *scratch)
{
    job j = { .b = b, .block = block_in_force(), .sums = scratch, .shift = g_shift };
    gv_loglike_sums all;
    gv_parallel_for(count_blocks(b->n), one_block, &j);
    GV_TRY(gather(&j, &all));
    *value = all.value - 1.5 * log_2pi * (double)b->n;
    memcpy(g_mean, all.mean, sizeof all.mean);
    unpack(all.cov, g_cov);
    return GV_OK;
}

/* --- second derivatives and the gradient to the data ------------------------------- */

/* P = inverse of a symmetric matrix given as 00 01 02 11 12 22; false: not positive. */
static bool invert(const double s[6], double p[6])
{
    double l12 = s[4] / s[5], l02 = s[2] / s[5], d1 = s[3] - l12 * s[4];
    double t01 = s[1] - l02 * s[4], l01 = t01 / d1;
    double d0 = s[0] - l02 * s[2] - l01 * t01, k02 = l01 * l12 - l02;
    if (!(s[5] > 0) || !(d1 > 0) || !(d0 > 0)) return false;
    p[0] = 1 / d0;
    p[1] = -l01 / d0;
    p[2] = k02 / d0;
    p[3] = 1 / d1 + l01 * l01 / d0;
    p[4] = -l12 / d1 - l01 * k02 / d0;
    p[5] = 1 / s[5] + l12 * l12 / d1 + k02 * k02 / d0;
    return true;
}

static void times(const double p[6], const double x[3], double y[3])
{
    y[0] = p[0] * x[0] + p[1] * x[1] + p[2] * x[2];
    y[1] = p[1] * x[0] + p[3] * x[1] + p[4] * x[2];
    y[2] = p[2] * x[0] + p[4] * x[1] + p[5] * x[2];
}

static void symmetric(const double *full, double s[6])
{
    s[0] = full[0];
    s[1] = 0.5 * (full[1] + full[3]);
    s[2] = 0.5 * (full[2] + full[6]);
    s[3] = full[4];
    s[4] = 0.5 * (full[5] + full[7]);
    s[5] = full[8];
}

/* P W P of symmetric matrices */
static void sandwich(const double p[6], const double w[6], double out[6])
{
    static const int row[3][3] = { { 0, 1, 2 }, { 1, 3, 4 }, { 2, 4, 5 } };
    double half[3][3];
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++) {
            half[i][k] = 0;
            for (int l = 0; l < 3; l++) half[i][k] += p[row[i][l]] * w[row[l][k]];
        }
    for (int i = 0, at = 0; i < 3; i++)
        for (int k = i; k < 3; k++, at++) {
            out[at] = 0;
            for (int l = 0; l < 3; l++) out[at] += half[i][l] * p[row[l][k]];
        }
}

/* a, and its tangent ta, of object o; W in w. */
static void solve(const job *j, int64_t o, const double p[6], const double w[6],
                  double a[3], double ta[3])
{
    const gv_blocks3 *b = j->b, *u = j->u;
    double r[3], v[3];
    for (int i = 0; i < 3; i++)
        r[i] = b->d[3 * o + i] - b->mean[i] - (i ? 0 : b->shift[o]);
    times(p, r, a);
    times(w, a, v);
    for (int i = 0; i < 3; i++)
        v[i] += u->mean[i] + (i ? 0 : u->shift[o]) - u->d[3 * o + i];
    times(p, v, ta);
    for (int i = 0; i < 3; i++) ta[i] = -ta[i];
}

static void pull_block(void *ctx, int64_t block)
{
    const job *j = ctx;
    gv_loglike_sums *sum = j->sums + block;
    double change[6], cov[6];
    memset(sum, 0, sizeof *sum);
    sum->bad = -1;
    symmetric(j->u->cov, change);
    symmetric(j->b->cov, cov);
    for (int64_t o = block * GV_LOGLIKE_BLOCK; o < end_of(j, block); o++) {
        double s[6], w[6], p[6], a[3], ta[3], pwp[6], t[6];
        symmetric(j->b->s + 9 * o, s);
        symmetric(j->u->s + 9 * o, w);
        for (int i = 0; i < 6; i++) {
            s[i] += cov[i];
            w[i] += change[i];
        }
        if (!invert(s, p)) {
            sum->bad = o;
            return;
        }
        solve(j, o, p, w, a, ta);
        sandwich(p, w, pwp);
        for (int i = 0, at = 0; i < 3; i++)
            for (int k = i; k < 3; k++, at++)
                t[at] = 0.5 *
                    (j->weight * (a[i] * a[k] - p[at]) + ta[i] * a[k] + a[i] * ta[k] +
                     pwp[at]);
        for (int i = 0; i < 3; i++) {
            double x = j->weight * a[i] + ta[i];
            sum->mean[i] += x;
            j->t->d[3 * o + i] = -x;
            if (i == 0) j->t->shift[o] = x;
        }
        for (int i = 0; i < 6; i++) sum->cov[i] += t[i];
        unpack(t, j->t->s + 9 * o);
    }
}

gv_status gv_loglike_pull(const gv_blocks3 *b, double weight, const gv_blocks3 *u,
                          const gv_loglike_out *t, void *scratch)
{
    job j = { .b = b, .sums = scratch, .weight = weight, .u = u, .t = t };
    gv_loglike_sums all;
    gv_parallel_for(count_blocks(b->n), pull_block, &j);
    GV_TRY(gather(&j, &all));
    memcpy(t->mean, all.mean, sizeof all.mean);
    unpack(all.cov, t->cov);
    return GV_OK;
}
