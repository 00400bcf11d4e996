/* Optimiser updates for AVX2. */
#if defined(__x86_64__)
#pragma GCC target("avx2,fma")
#endif
#define GV_ADAM(type) gv_adam_##type##_avx2
#define GV_SQUARES(type) gv_squares_##type##_avx2
#include "kernels/optim.inc"
