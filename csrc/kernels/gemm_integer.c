/* Matrix products of integers by plain loops over rows of the result. */
#include "kernels/gemm_integer.h"

#include "base/parallel.h"

typedef struct integer_job {
    gv_dtype dtype;
    bool ta, tb;
    int64_t m, n, k, rows, per;
    const char *a, *b;
    char *c;
} integer_job;

/* Unsigned arithmetic: overflow wraps. */
#define DEFINE_ROW(T)                                                               \
    static void row_##T(const integer_job *j, int64_t r)                            \
    {                                                                               \
        int64_t e = r / j->m, i = r % j->m, m = j->m, n = j->n, k = j->k;           \
        const T *a = (const T *)j->a + e * m * k, *b = (const T *)j->b + e * k * n; \
        T *c = (T *)j->c + r * n;                                                   \
        for (int64_t q = 0; q < n; q++) {                                           \
            T sum = 0;                                                              \
            for (int64_t l = 0; l < k; l++)                                         \
                sum += (j->ta ? a[l * m + i] : a[i * k + l]) *                      \
                    (j->tb ? b[q * k + l] : b[l * n + q]);                          \
            c[q] = sum;                                                             \
        }                                                                           \
    }

DEFINE_ROW(uint32_t)
DEFINE_ROW(uint64_t)

static void rows_task(void *ctx, int64_t task)
{
    const integer_job *j = ctx;
    int64_t r = task * j->per, end = r + j->per < j->rows ? r + j->per : j->rows;
    for (; r < end; r++) (j->dtype == GV_I32 ? row_uint32_t : row_uint64_t)(j, r);
}

void gv_gemm_integer(gv_dtype dtype, bool ta, bool tb, int64_t m, int64_t n, int64_t k,
                     int64_t batch, const void *a, const void *b, void *c)
{
    integer_job j = { dtype, ta, tb, m, n, k, batch * m, 1 + (1 << 16) / (n * k + 1),
                      a,     b,  c };
    gv_parallel_for((j.rows + j.per - 1) / j.per, rows_task, &j);
}
