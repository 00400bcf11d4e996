/* Reduction panels for any processor. */
#define GV_REDUCE_TABLE gv_reduce_panels_base
#include "kernels/reduce.inc"
