/* Lane transforms for AVX-512. */
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,fma,prefer-vector-width=512")
#define FFT_BYTES 64
#define FFT_SINGLE gv_fft_lanes_f32_avx512
#define FFT_DOUBLE gv_fft_lanes_f64_avx512
#include "kernels/fft_lanes_both.inc"
#endif
