/* Matrix-product kernels for AVX-512. */
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,fma,prefer-vector-width=512")
#include "kernels/gemm_table.h"
#include <immintrin.h>

typedef __mmask16 f32_part;
typedef __mmask8 f64_part;

#define T float
#define I int32_t
#define VB 64
#define MR 12
#define NAME(x) f32_##x
#define MASK(n) ((__mmask16)((1u << (n)) - 1))
#define LOAD(p, mask) _mm512_maskz_loadu_ps(mask, p)
#define STORE(p, mask, v) _mm512_mask_storeu_ps(p, mask, (__m512)(v))
#define RELU(v) _mm512_max_ps(_mm512_setzero_ps(), (__m512)(v)) /* second if NaN */
#include "kernels/gemm.inc"

#define T double
#define I int64_t
#define VB 64
#define MR 12
#define NAME(x) f64_##x
#define MASK(n) ((__mmask8)((1u << (n)) - 1))
#define LOAD(p, mask) _mm512_maskz_loadu_pd(mask, p)
#define STORE(p, mask, v) _mm512_mask_storeu_pd(p, mask, (__m512d)(v))
#define RELU(v) _mm512_max_pd(_mm512_setzero_pd(), (__m512d)(v))
#include "kernels/gemm.inc"

const gv_gemm_kernels gv_gemm_avx512[2] = {
    { 12, f32_nr, f32_pack_a, f32_pack_b, f32_packed, f32_direct, f32_vector },
    { 12, f64_nr, f64_pack_a, f64_pack_b, f64_packed, f64_direct, f64_vector },
};

#else
#include "kernels/gemm_table.h"

const gv_gemm_kernels gv_gemm_avx512[2] = {
    0
}; /* never chosen: the level is not offered */
#endif
