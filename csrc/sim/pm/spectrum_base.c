/* Loops of symbols for any processor. */
#define TABLE gv_pm_symbol_loops_base
#include "sim/pm/spectrum.inc"
