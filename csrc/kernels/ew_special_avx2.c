/* The kernels of ew_special.inc for the avx2 level. */
#include "kernels/ew_tables.h"

#ifdef GV_EW_X86
#define GV_EW_LEVEL 1
#include "kernels/ew_special.inc"
#endif
