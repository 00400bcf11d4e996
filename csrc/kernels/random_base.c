/* Random tiles for the base level. */
#include "kernels/random_table.h"

#define GV_EW_LEVEL 0
#include "kernels/random.inc"
