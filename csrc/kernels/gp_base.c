/* Small Gaussian-process kernels for any processor. */
#define GP_LEVEL 0
#define GP_VBYTES 16
#define GP_TABLE(type) gv_gp_##type##_base
#include "kernels/gp_small.inc"
