/* Likelihood of blocks, plain vectors. */
#define LEVEL gv_loglike_block_base
#include "sim/supernova/loglike.inc"
