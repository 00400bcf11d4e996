/* Inner loops of the norms for any processor. */
#define NORM_TABLE(type) gv_norm_##type##_base
#include "kernels/norm.inc"
