/* The loop over entries of the batched factorisations. */
#include "kernels/lapack_batch.h"

#include <math.h>
#include <stdio.h>

#include "base/parallel.h"

enum { most_tasks = 64 };

static int64_t tasks_of(int64_t batch)
{
    return batch < most_tasks ? batch : most_tasks;
}

size_t gv_lapack_scratch_total(size_t per_task, int64_t batch)
{
    return (size_t)tasks_of(batch) * per_task;
}

static void run_task(void *ctx, int64_t task)
{
    gv_lapack_job *j = ctx;
    char *scratch = j->scratch + (size_t)task * j->per_task;
    int64_t e = task * j->per;
    int64_t end = e + j->per < j->batch ? e + j->per : j->batch;
    for (; e < end; e++) {
        if (j->entry(j, e, scratch) == 0) continue;
        int64_t seen = atomic_load(&j->bad);
        while (e < seen && !atomic_compare_exchange_weak(&j->bad, &seen, e)) continue;
        return;
    }
}

bool gv_lapack_run(gv_lapack_job *j)
{
    atomic_init(&j->bad, j->batch);
    if (j->batch == 0) return true;
    gv_blas_setup();
    if (j->batch ==
        1) { /* not inside a parallel region: the entry may use all threads */
        if ((j->code = j->entry(j, 0, j->scratch)) == 0) return true;
        atomic_store(&j->bad, 0);
        return false;
    }
    int64_t tasks = tasks_of(j->batch);
    j->per = (j->batch + tasks - 1) / tasks;
    gv_parallel_for((j->batch + j->per - 1) / j->per, run_task, j);
    int64_t bad = atomic_load(&j->bad);
    if (bad == j->batch) return true;
    j->code = j->entry(j, bad, j->scratch);
    return false;
}

const char *gv_lapack_where(const gv_lapack_job *j, char *buf, size_t size)
{
    buf[0] = '\0';
    if (j->batch > 1)
        snprintf(buf, size, " (batch entry %lld)", (long long)atomic_load(&j->bad));
    return buf;
}

#define TRANSPOSE(T)                                            \
    do {                                                        \
        const T *x = from;                                      \
        T *y = to;                                              \
        for (int64_t i0 = 0; i0 < m; i0 += 16)                  \
            for (int64_t j = 0; j < n; j++)                     \
                for (int64_t i = i0; i < m && i < i0 + 16; i++) \
                    y[j * m + i] = x[i * n + j];                \
    } while (0)

typedef struct two_floats {
    float a, b;
} two_floats;
typedef struct two_doubles {
    double a, b;
} two_doubles;

void gv_lapack_transpose(gv_dtype dtype, int64_t m, int64_t n, const void *from,
                         void *to)
{
    switch (dtype) {
    case GV_F32: TRANSPOSE(float); break;
    case GV_F64: TRANSPOSE(double); break;
    case GV_C64: TRANSPOSE(two_floats); break;
    default: TRANSPOSE(two_doubles); break;
    }
}

bool gv_lapack_is_finite(gv_dtype dtype, int64_t n, const void *x)
{
    bool good = true;
    if (gv_dtype_is_complex(dtype)) n *= 2;
    if (gv_dtype_real(dtype) == GV_F32)
        for (int64_t i = 0; i < n; i++) good &= isfinite(((const float *)x)[i]) != 0;
    else
        for (int64_t i = 0; i < n; i++) good &= isfinite(((const double *)x)[i]) != 0;
    return good;
}
