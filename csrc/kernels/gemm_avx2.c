/* Matrix-product kernels for AVX2 with FMA. */
#if defined(__x86_64__)
#pragma GCC target("avx2,fma")
#include "kernels/gemm_table.h"
#include <immintrin.h>

/* Ones in front of zeros: a mask of n elements starts n places before the middle. */
static const int32_t ones32[16] = { -1, -1, -1, -1, -1, -1, -1, -1 };
static const int64_t ones64[8] = { -1, -1, -1, -1 };

typedef __m256i f32_part, f64_part;

#define T float
#define I int32_t
#define VB 32
#define MR 6
#define NAME(x) f32_##x
#define MASK(n) _mm256_loadu_si256((const __m256i *)(ones32 + 8 - (n)))
#define LOAD(p, mask) _mm256_maskload_ps(p, mask)
#define STORE(p, mask, v) _mm256_maskstore_ps(p, mask, (__m256)(v))
#define RELU(v) _mm256_max_ps(_mm256_setzero_ps(), (__m256)(v)) /* second if NaN */
#include "kernels/gemm.inc"

#define T double
#define I int64_t
#define VB 32
#define MR 6
#define NAME(x) f64_##x
#define MASK(n) _mm256_loadu_si256((const __m256i *)(ones64 + 4 - (n)))
#define LOAD(p, mask) _mm256_maskload_pd(p, mask)
#define STORE(p, mask, v) _mm256_maskstore_pd(p, mask, (__m256d)(v))
#define RELU(v) _mm256_max_pd(_mm256_setzero_pd(), (__m256d)(v))
#include "kernels/gemm.inc"

const gv_gemm_kernels gv_gemm_avx2[2] = {
    { 6, f32_nr, f32_pack_a, f32_pack_b, f32_packed, f32_direct, f32_vector },
    { 6, f64_nr, f64_pack_a, f64_pack_b, f64_packed, f64_direct, f64_vector },
};

#else
#include "kernels/gemm_table.h"

const gv_gemm_kernels gv_gemm_avx2[2] = {
    0
}; /* never chosen: the level is not offered */
#endif
