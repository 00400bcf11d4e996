/* Gaussian-process kernels: choice of path, threads, failures (kernels/gp.h). */
#include <stdatomic.h>
#include <string.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "kernels/gp_fail.h"
#include "kernels/gp_table.h"

enum { few_series = 7, matrices_per_task = 64, series_per_task = 256 };

static const gv_gp_table *table(gv_dtype dtype)
{
    bool wide = dtype == GV_F64;
    switch (gv_simd_level()) {
    case GV_SIMD_AVX512: return wide ? &gv_gp_f64_avx512 : &gv_gp_f32_avx512;
    case GV_SIMD_AVX2: return wide ? &gv_gp_f64_avx2 : &gv_gp_f32_avx2;
    default: return wide ? &gv_gp_f64_base : &gv_gp_f32_base;
    }
}

/* A run over the batch; pointers as in gp.h. */
typedef struct job {
    const gv_gp_table *table;
    size_t item;
    int64_t batch, m, t, n, tasks_per_matrix;
    const char *K, *r, *g, *values;
    char *logp, *alpha, *chol, *g_K, *mean, *cov, *scratch;
    const int64_t *index;
    bool ready, run;
    atomic_llong bad; /* first matrix that does not factor; batch when none */
} job;

static void note_bad(job *w, int64_t series)
{
    long long old = atomic_load(&w->bad);
    while (series < old && !atomic_compare_exchange_weak(&w->bad, &old, series))
        continue;
}

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Matrices [from, to) of task k. */
static void bounds(const job *w, int64_t k, int64_t *from, int64_t *to)
{
    *from = k * matrices_per_task;
    *to = *from + matrices_per_task < w->batch ? *from + matrices_per_task : w->batch;
}

/* --- log density -----------------------------------------------------------------*/

static void factor_task(void *ctx, int64_t k)
{
    job *w = ctx;
    int64_t from, to, m = w->r != NULL ? w->m : 0, nn = w->n * w->n;
    bounds(w, k, &from, &to);
    for (int64_t b = from; b < to; b += w->table->lanes) {
        int count = (int)(to - b < w->table->lanes ? to - b : w->table->lanes);
        size_t matrix = w->item * (size_t)(b * nn), row = w->item * (size_t)(b * m);
        int bad = w->table->factor(
            count, m, w->n, w->K + matrix, m ? w->r + row * (size_t)w->n : NULL,
            m ? w->logp + row : NULL, m ? w->alpha + row * (size_t)w->n : NULL,
            w->chol + matrix);
        if (bad >= 0) note_bad(w, b + bad);
    }
}

static void solve_task(void *ctx, int64_t k)
{
    job *w = ctx;
    int64_t b = k / w->tasks_per_matrix,
            from = k % w->tasks_per_matrix * series_per_task;
    int64_t to = from + series_per_task < w->m ? from + series_per_task : w->m;
    size_t row = w->item * (size_t)(b * w->m), n = (size_t)w->n;
    w->table->solve(from, to, w->n, w->chol + w->item * (size_t)b * n * n,
                    w->r + row * n, w->logp + row, w->alpha + row * n);
}

gv_status gv_gp_logml(gv_dtype dtype, int64_t batch, int64_t m, int64_t n,
                      const void *K, const void *r, void *logp, void *alpha, void *chol)
{
    if (n > GV_GP_SMALL)
        return gv_gp_large_logml(dtype, batch, m, n, K, r, logp, alpha, chol);
    bool extra = m <= few_series;
    job w = { .table = table(dtype),
              .item = gv_dtype_size(dtype),
              .batch = batch,
              .m = m,
              .n = n,
              .K = K,
              .r = extra ? r : NULL,
              .logp = logp,
              .alpha = alpha,
              .chol = chol };
    atomic_init(&w.bad, batch);
    gv_parallel_for(ceil_div(batch, matrices_per_task), factor_task, &w);
    long long bad = atomic_load(&w.bad);
    if (bad < batch)
        return gv_gp_fail(dtype, bad, n, n, NULL, w.K + w.item * (size_t)(bad * n * n));
    if (extra) return GV_OK;
    w.r = r;
    w.tasks_per_matrix = ceil_div(m, series_per_task);
    gv_parallel_for(batch * w.tasks_per_matrix, solve_task, &w);
    return GV_OK;
}

/* --- its gradient ----------------------------------------------------------------*/

/* g_K = sum_s g_s alpha_s alpha_s', lower triangle. */
#define OUTER_SUM(name, real)                                                    \
    static void name(int64_t m, int64_t n, const real *alpha, const real *g,     \
                     real *out)                                                  \
    {                                                                            \
        memset(out, 0, (size_t)(n * n) * sizeof *out);                           \
        for (int64_t s = 0; s < m; s++, alpha += n)                              \
            for (int64_t i = 0; i < n; i++) {                                    \
                real f = g[s] * alpha[i];                                        \
                for (int64_t j = 0; j <= i; j++) out[i * n + j] += f * alpha[j]; \
            }                                                                    \
    }
OUTER_SUM(outer_sum_d, double)
OUTER_SUM(outer_sum_s, float)

static void backward_task(void *ctx, int64_t k)
{
    job *w = ctx;
    int64_t from, to, nn = w->n * w->n;
    bounds(w, k, &from, &to);
    for (int64_t b = from; b < to; b += w->table->lanes) {
        int count = (int)(to - b < w->table->lanes ? to - b : w->table->lanes);
        size_t matrix = w->item * (size_t)(b * nn), row = w->item * (size_t)(b * w->m);
        const char *alpha = w->alpha + row * (size_t)w->n;
        for (int l = 0; w->ready && l < count; l++) {
            size_t one = w->item * (size_t)l;
            char *out = w->g_K + matrix + one * (size_t)nn;
            const char *x = alpha + one * (size_t)(w->m * w->n);
            const char *g = w->g + row + one * (size_t)w->m;
            if (w->item == 8)
                outer_sum_d(w->m, w->n, (const double *)x, (const double *)g,
                            (double *)out);
            else
                outer_sum_s(w->m, w->n, (const float *)x, (const float *)g,
                            (float *)out);
        }
        w->table->backward(count, w->m, w->n, w->ready, alpha, w->chol + matrix,
                           w->g + row, w->g_K + matrix);
    }
}

#define SCALE_ROWS(real)                                                 \
    do {                                                                 \
        const real *x = (const real *)w->alpha, *g = (const real *)w->g; \
        real *out = (real *)w->mean;                                     \
        for (int64_t i = from; i < to; i++)                              \
            for (int64_t j = 0; j < w->n; j++)                           \
                out[i * w->n + j] = -g[i] * x[i * w->n + j];             \
    } while (0)

/* g_r = -g alpha for rows of all series. */
static void rows_task(void *ctx, int64_t k)
{
    job *w = ctx;
    int64_t from = k * series_per_task, to = from + series_per_task;
    if (to > w->batch * w->m) to = w->batch * w->m;
    if (w->item == 8)
        SCALE_ROWS(double);
    else
        SCALE_ROWS(float);
}

gv_status gv_gp_logml_bwd(gv_dtype dtype, int64_t batch, int64_t m, int64_t n,
                          const void *alpha, const void *chol, const void *g, void *g_K,
                          void *g_r)
{
    job w = { .table = table(dtype),
              .item = gv_dtype_size(dtype),
              .batch = batch,
              .m = m,
              .n = n,
              .alpha = (char *)alpha,
              .chol = (char *)chol,
              .g = g,
              .g_K = g_K,
              .mean = g_r,
              .ready = m > few_series };
    gv_parallel_for(ceil_div(batch * m, series_per_task), rows_task, &w);
    if (n > GV_GP_SMALL)
        return gv_gp_large_bwd(dtype, batch, m, n, alpha, chol, g, g_K);
    gv_parallel_for(ceil_div(batch, matrices_per_task), backward_task, &w);
    return GV_OK;
}

/* --- conditioning ----------------------------------------------------------------*/

static void condition_task(void *ctx, int64_t k)
{
    job *w = ctx;
    double gain[GV_GP_SMALL * GV_GP_SMALL]; /* room for either precision */
    int64_t from, to, rest = w->t - w->n;
    bounds(w, k, &from, &to);
    for (int64_t b = from; b < to; b++) {
        size_t i = w->item * (size_t)b, row = i * (size_t)w->m;
        if (!w->table->schur(w->t, w->n, w->K + i * (size_t)(w->t * w->t), w->index,
                             w->run, gain, w->cov + i * (size_t)(rest * rest))) {
            note_bad(w, b);
            continue;
        }
        if (w->m > few_series && w->batch == 1) {
            size_t bytes = (size_t)(w->n * gv_gp_gain_ld(w->item, rest)) * w->item;
            memcpy(w->scratch, gain, bytes); /* the series are shared out afterwards */
        } else
            w->table->predict(w->m, w->t, w->n, w->index, w->r + row * (size_t)w->t,
                              w->values + row * (size_t)w->n, gain,
                              w->mean + row * (size_t)rest);
    }
}

static void predict_task(void *ctx, int64_t k)
{
    job *w = ctx;
    int64_t from = k * series_per_task;
    int64_t count = w->m - from < series_per_task ? w->m - from : series_per_task;
    size_t row = w->item * (size_t)from;
    w->table->predict(count, w->t, w->n, w->index, w->r + row * (size_t)w->t,
                      w->values + row * (size_t)w->n, w->scratch,
                      w->mean + row * (size_t)(w->t - w->n));
}

/* observed, then the rest in increasing order; whether the rest is a run. */
static bool complete_index(int64_t t, int64_t n, const int64_t *observed,
                           int64_t *index)
{
    int64_t k = n;
    for (int64_t i = 0; i < t; i++) {
        bool seen = false;
        for (int64_t j = 0; j < n; j++) seen |= observed[j] == i;
        if (!seen) index[k++] = i;
    }
    memcpy(index, observed, (size_t)n * sizeof *index);
    return n == t || index[t - 1] - index[n] == t - n - 1;
}

size_t gv_gp_condition_scratch(gv_dtype dtype, int64_t m, int64_t t, int64_t n)
{
    size_t index = ((size_t)t * sizeof(int64_t) + 63) / 64 * 64;
    if (t > GV_GP_SMALL) return index + gv_gp_large_scratch(dtype, m, t, n);
    return index + GV_GP_SMALL * GV_GP_SMALL * sizeof(double);
}

gv_status gv_gp_condition(gv_dtype dtype, int64_t batch, int64_t m, int64_t t,
                          int64_t n, const void *K, const void *prior,
                          const int64_t *observed, const void *values, void *mean,
                          void *cov, void *scratch)
{
    int64_t *index = scratch;
    char *rest = (char *)scratch + ((size_t)t * sizeof(int64_t) + 63) / 64 * 64;
    bool run = complete_index(t, n, observed, index);
    if (t > GV_GP_SMALL)
        return gv_gp_large_condition(dtype, batch, m, t, n, K, prior, index, values,
                                     mean, cov, rest);
    job w = { .table = table(dtype),
              .item = gv_dtype_size(dtype),
              .batch = batch,
              .m = m,
              .t = t,
              .n = n,
              .K = K,
              .r = prior,
              .values = values,
              .mean = mean,
              .cov = cov,
              .scratch = rest,
              .index = index,
              .run = run };
    atomic_init(&w.bad, batch);
    gv_parallel_for(ceil_div(batch, matrices_per_task), condition_task, &w);
    long long bad = atomic_load(&w.bad);
    if (bad < batch)
        return gv_gp_fail(dtype, bad, t, n, index,
                          w.K + w.item * (size_t)(bad * t * t));
    if (m > few_series && batch == 1)
        gv_parallel_for(ceil_div(m, series_per_task), predict_task, &w);
    return GV_OK;
}
