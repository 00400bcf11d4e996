/* Convolution kernels for any processor. */
#include "kernels/conv_table.h"

#define WINOGRAD
#define T float
#define I int32_t
#define LANES 4
#define ROWS 6
#define NAME(x) f32_##x
#include "kernels/conv.inc"

#undef WINOGRAD
#define T double
#define I int64_t
#define LANES 2
#define ROWS 6
#define NAME(x) f64_##x
#include "kernels/conv.inc"

const gv_conv_kernels gv_conv_base[2] = {
    { 4, 6, f32_shift, f32_product, f32_rows, f32_dots, f32_to_last, f32_from_last,
      winograd },
    { 2, 6, f64_shift, f64_product, f64_rows, f64_dots, f64_to_last, f64_from_last,
      NULL },
};
