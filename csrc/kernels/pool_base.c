/* Pooling for any processor. */
#define POOL_TABLE gv_pool_base
#include "kernels/pool.inc"
