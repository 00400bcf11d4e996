/* Optimiser updates for AVX-512. */
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,fma,prefer-vector-width=512")
#endif
#define GV_ADAM(type) gv_adam_##type##_avx512
#define GV_SQUARES(type) gv_squares_##type##_avx512
#include "kernels/optim.inc"
