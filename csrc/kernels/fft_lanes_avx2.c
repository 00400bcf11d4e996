/* Lane transforms for AVX2 with FMA. */
#if defined(__x86_64__)
#pragma GCC target("avx2,fma")
#define FFT_BYTES 32
#define FFT_SINGLE gv_fft_lanes_f32_avx2
#define FFT_DOUBLE gv_fft_lanes_f64_avx2
#include "kernels/fft_lanes_both.inc"
#endif
