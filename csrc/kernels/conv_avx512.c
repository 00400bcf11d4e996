/* Convolution kernels for AVX-512. */
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,fma,prefer-vector-width=512")
#include "kernels/conv_table.h"

#define WINOGRAD
#define T float
#define I int32_t
#define LANES 16
#define ROWS 12
#define NAME(x) f32_##x
#include "kernels/conv.inc"

#undef WINOGRAD
#define T double
#define I int64_t
#define LANES 8
#define ROWS 12
#define NAME(x) f64_##x
#include "kernels/conv.inc"

const gv_conv_kernels gv_conv_avx512[2] = {
    { 16, 12, f32_shift, f32_product, f32_rows, f32_dots, f32_to_last, f32_from_last,
      winograd },
    { 8, 12, f64_shift, f64_product, f64_rows, f64_dots, f64_to_last, f64_from_last,
      NULL },
};

#else
#include "kernels/conv_table.h"

const gv_conv_kernels gv_conv_avx512[2] = {
    { 0 }
}; /* never chosen: the level is not offered */
#endif
