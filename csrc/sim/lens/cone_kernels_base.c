/* Light-cone kernels for any processor. */
#define CONE_TABLE gv_cone_base
#include "sim/lens/cone_kernels.inc"
