/* Products of integers by plain loops; integers wrap around. */
#include "kernels/gemm_small.h"

#define DEFINE_INTEGER(T)                                                               \
    static void gemm_##T(gv_trans ta, gv_trans tb, int64_t m, int64_t n, int64_t k,     \
                         const void *pa, const void *pb, void *pc)                      \
    {                                                                                   \
        const T *a = pa, *b = pb;                                                       \
        T *c = pc;                                                                      \
        for (int64_t i = 0; i < m; i++)                                                 \
            for (int64_t j = 0; j < n; j++) {                                           \
                T sum = 0;                                                              \
                for (int64_t l = 0; l < k; l++)                                         \
                    sum += (ta ? a[l * m + i] : a[i * k + l]) *                         \
                           (tb ? b[j * k + l] : b[l * n + j]);                          \
                c[i * n + j] = sum;                                                     \
            }                                                                           \
    }

DEFINE_INTEGER(uint32_t)
DEFINE_INTEGER(uint64_t)

gv_gemm_small gv_gemm_small_get(gv_dtype dtype, int64_t m, int64_t n, int64_t k)
{
    (void)m, (void)n, (void)k;
    if (dtype == GV_I32) return gemm_uint32_t;
    if (dtype == GV_I64) return gemm_uint64_t;
    return NULL;
}
