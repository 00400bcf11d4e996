/* The kernels of ew_special.inc for the base level. */
#include "kernels/ew_tables.h"

#define GV_EW_LEVEL 0
#include "kernels/ew_special.inc"
