/* Read-out for any processor. */
#define READ_LEVEL 0
#define READ_VBYTES 16
#define READ_TABLE gv_pm_read_tiles_base
#include "sim/pm/read.inc"
