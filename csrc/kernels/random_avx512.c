/* Random tiles for the avx512 level. */
#include "kernels/random_table.h"

#ifdef GV_RANDOM_X86
#define GV_EW_LEVEL 2
#include "kernels/random.inc"
#endif
