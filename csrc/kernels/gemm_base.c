/* Matrix-product kernels for any processor. */
#include "kernels/gemm_table.h"

/* Part of a vector, element by element. */
#define DEFINE_PARTS(T, N, VEC, NAME)                            \
    typedef T VEC __attribute__((vector_size(16)));              \
    typedef int64_t NAME##_part;                                 \
    static inline VEC NAME##_load(const T *p, int64_t n)         \
    {                                                            \
        VEC v = { 0 };                                           \
        for (int64_t i = 0; i < N; i++) v[i] = i < n ? p[i] : 0; \
        return v;                                                \
    }                                                            \
    static inline void NAME##_put(T *p, int64_t n, VEC v)        \
    {                                                            \
        for (int64_t i = 0; i < n; i++) p[i] = v[i];             \
    }

DEFINE_PARTS(float, 4, four_floats, f32)
DEFINE_PARTS(double, 2, two_doubles, f64)

typedef int32_t four_ints __attribute__((vector_size(16)));
typedef int64_t two_ints __attribute__((vector_size(16)));

#define T float
#define I int32_t
#define VB 16
#define MR 6
#define NAME(x) f32_##x
#define MASK(n) (n)
#define LOAD(p, mask) f32_load(p, mask)
#define STORE(p, mask, v) f32_put(p, mask, v)
#define RELU(v) (four_ints)((four_ints)(v) & ~((v) < 0))
#include "kernels/gemm.inc"

#define T double
#define I int64_t
#define VB 16
#define MR 6
#define NAME(x) f64_##x
#define MASK(n) (n)
#define LOAD(p, mask) f64_load(p, mask)
#define STORE(p, mask, v) f64_put(p, mask, v)
#define RELU(v) (two_ints)((two_ints)(v) & ~((v) < 0))
#include "kernels/gemm.inc"

const gv_gemm_kernels gv_gemm_base[2] = {
    { 6, f32_nr, f32_pack_a, f32_pack_b, f32_packed, f32_direct, f32_vector },
    { 6, f64_nr, f64_pack_a, f64_pack_b, f64_packed, f64_direct, f64_vector },
};
