/* Painting kernels for any processor. */
#define GV_PM_PAINT_TABLE gv_pm_paint_base
#include "sim/pm/paint.inc"
