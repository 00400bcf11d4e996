/* Hermite tables: see the header. Work is cut into blocks of fixed size; the transpose
 * adds the blocks' tables in their order. */
#include "sim/supernova/hermite.h"

#include <math.h>
#include <string.h>

#include "base/parallel.h"

enum { BLOCK = 8192 };

typedef struct job {
    const gv_hermite *t;
    const double *v, *s, *x, *g;
    double *y, *sums;
    int64_t n;
} job;

/* Cell of x and the weights of (v_j, v_j+1, s_j, s_j+1). */
static inline int64_t weights(const gv_hermite *t, double x, double w[4])
{
    double u = (x - t->x0) / t->h, h = t->h;
    int64_t j = u > 0 ? (u < (double)(t->m - 2) ? (int64_t)u : t->m - 2) : 0;
    double p = u - (double)j, q = 1 - p;
    switch (t->order) {
    case 0:
        w[0] = (1 + 2 * p) * q * q;
        w[1] = p * p * (3 - 2 * p);
        w[2] = h * p * q * q;
        w[3] = -h * p * p * q;
        break;
    case 1:
        w[0] = -6 * p * q / h;
        w[1] = -w[0];
        w[2] = q * (1 - 3 * p);
        w[3] = p * (3 * p - 2);
        break;
    case 2:
        w[0] = (12 * p - 6) / (h * h);
        w[1] = -w[0];
        w[2] = (6 * p - 4) / h;
        w[3] = (6 * p - 2) / h;
        break;
    default:
        w[0] = 12 / (h * h * h);
        w[1] = -w[0];
        w[2] = w[3] = 6 / (h * h);
    }
    return j;
}

static void read_block(void *ctx, int64_t block)
{
    const job *k = ctx;
    int64_t from = block * BLOCK, to = from + BLOCK < k->n ? from + BLOCK : k->n;
    for (int64_t i = from; i < to; i++) {
        double w[4];
        int64_t j = weights(k->t, k->x[i], w);
        k->y[i] =
            w[0] * k->v[j] + w[1] * k->v[j + 1] + w[2] * k->s[j] + w[3] * k->s[j + 1];
    }
}

void gv_hermite_read(const gv_hermite *t, const double *v, const double *s, int64_t n,
                     const double *x, double *y)
{
    job k = { .t = t, .v = v, .s = s, .x = x, .y = y, .n = n };
    gv_parallel_for((n + BLOCK - 1) / BLOCK, read_block, &k);
}

static void push_block(void *ctx, int64_t block)
{
    const job *k = ctx;
    int64_t m = k->t->m, from = block * BLOCK;
    int64_t to = from + BLOCK < k->n ? from + BLOCK : k->n;
    double *v = k->sums + 2 * m * block, *s = v + m;
    memset(v, 0, (size_t)(2 * m) * sizeof *v);
    for (int64_t i = from; i < to; i++) {
        double w[4], g = k->g[i];
        int64_t j = weights(k->t, k->x[i], w);
        v[j] += g * w[0];
        v[j + 1] += g * w[1];
        s[j] += g * w[2];
        s[j + 1] += g * w[3];
    }
}

size_t gv_hermite_push_scratch(int64_t m, int64_t n)
{
    return (size_t)((n + BLOCK - 1) / BLOCK * 2 * m) * sizeof(double);
}

void gv_hermite_push(const gv_hermite *t, int64_t n, const double *g, const double *x,
                     double *g_v, double *g_s, void *scratch)
{
    int64_t blocks = (n + BLOCK - 1) / BLOCK, m = t->m;
    job k = { .t = t, .x = x, .g = g, .sums = scratch, .n = n };
    gv_parallel_for(blocks, push_block, &k);
    memset(g_v, 0, (size_t)m * sizeof *g_v);
    memset(g_s, 0, (size_t)m * sizeof *g_s);
    for (int64_t b = 0; b < blocks; b++) {
        const double *v = k.sums + 2 * m * b;
        for (int64_t j = 0; j < m; j++) {
            g_v[j] += v[j];
            g_s[j] += v[m + j];
        }
    }
}
