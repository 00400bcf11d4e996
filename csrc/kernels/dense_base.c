/* Kernels around the products of a linear layer for any processor. */
#include "kernels/dense_table.h"

#define T float
#define I int32_t
#define VB 16
#define NAME(x) f32_##x
#include "kernels/dense.inc"

#define T double
#define I int64_t
#define VB 16
#define NAME(x) f64_##x
#include "kernels/dense.inc"

const gv_dense_kernels gv_dense_base[2] = { { f32_gate }, { f64_gate } };
