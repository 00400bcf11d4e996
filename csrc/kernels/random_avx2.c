/* Random tiles for the avx2 level. */
#include "kernels/random_table.h"

#ifdef GV_RANDOM_X86
#define GV_EW_LEVEL 1
#include "kernels/random.inc"
#endif
