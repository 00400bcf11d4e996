/* The kernels of ew_complex.inc for the base level. */
#include "kernels/ew_tables.h"

#define GV_EW_LEVEL 0
#include "kernels/ew_complex.inc"
