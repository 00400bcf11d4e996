/* Dispatch of the small kernels over a batch. */
#include "kernels/lapack_small.h"

#include <stdatomic.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "kernels/lapack_small_table.h"

enum { fewest = 4 };

bool gv_small_takes(gv_dtype dtype, int64_t n, int64_t batch)
{
    return gv_dtype_is_float(dtype) && n <= GV_SMALL_MAX && batch >= fewest;
}

typedef struct small_job {
    const gv_small_kernels *kernels;
    bool lower, transposed, unit;
    size_t item;
    int64_t n, k, batch, group;
    const char *a;
    char *x;
    _Atomic int64_t bad;
} small_job;

static small_job job_of(gv_dtype dtype, int64_t n, int64_t batch, const void *a,
                        void *x)
{
    int which = dtype == GV_F64;
    small_job s = {
        .item = gv_dtype_size(dtype), .n = n, .batch = batch, .a = a, .x = x
    };
    switch (gv_simd_level()) {
    case GV_SIMD_AVX512: s.kernels = &gv_small_avx512[which]; break;
    case GV_SIMD_AVX2: s.kernels = &gv_small_avx2[which]; break;
    default: s.kernels = &gv_small_base[which]; break;
    }
    return s;
}

/* Entries per task: whole sets of lanes, some ten microseconds of work. */
static void choose_group(small_job *s, int64_t work)
{
    int64_t lanes = s->kernels->lanes;
    s->group = (1 + 20000 / (work + 1) / lanes) * lanes;
}

static void cholesky_task(void *ctx, int64_t task)
{
    small_job *s = ctx;
    int64_t lanes = s->kernels->lanes, e = task * s->group;
    int64_t end = e + s->group < s->batch ? e + s->group : s->batch;
    for (; e < end; e += lanes) {
        int64_t count = end - e < lanes ? end - e : lanes;
        size_t at = (size_t)(e * s->n * s->n) * s->item;
        int64_t bad = s->kernels->cholesky(s->n, count, s->a + at, s->x + at);
        if (bad < 0) continue;
        int64_t seen = atomic_load(&s->bad);
        while (e + bad < seen && !atomic_compare_exchange_weak(&s->bad, &seen, e + bad))
            continue;
        return;
    }
}

int64_t gv_small_cholesky(gv_dtype dtype, int64_t n, int64_t batch, const void *a,
                          void *l)
{
    small_job s = job_of(dtype, n, batch, a, l);
    atomic_init(&s.bad, batch);
    choose_group(&s, n * n * n / 6);
    gv_parallel_for((batch + s.group - 1) / s.group, cholesky_task, &s);
    int64_t bad = atomic_load(&s.bad);
    return bad < batch ? bad : -1;
}

static void trisolve_task(void *ctx, int64_t task)
{
    const small_job *s = ctx;
    int64_t lanes = s->kernels->lanes, e = task * s->group;
    int64_t end = e + s->group < s->batch ? e + s->group : s->batch;
    for (; e < end; e += lanes)
        s->kernels->trisolve(s->lower, s->transposed, s->unit, s->n, s->k,
                             end - e < lanes ? end - e : lanes,
                             s->a + (size_t)(e * s->n * s->n) * s->item,
                             s->x + (size_t)(e * s->n * s->k) * s->item);
}

void gv_small_trisolve(gv_dtype dtype, bool lower, bool transposed, bool unit,
                       int64_t n, int64_t k, int64_t batch, const void *a, void *x)
{
    small_job s = job_of(dtype, n, batch, a, x);
    s.lower = lower;
    s.transposed = transposed;
    s.unit = unit;
    s.k = k;
    choose_group(&s, n * n * k / 2);
    gv_parallel_for((batch + s.group - 1) / s.group, trisolve_task, &s);
}
