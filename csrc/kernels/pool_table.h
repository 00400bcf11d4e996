/* Pooling of one plane (kernels/pool.inc), one table per instruction set. */
#ifndef GV_KERNELS_POOL_TABLE_H
#define GV_KERNELS_POOL_TABLE_H

#include "kernels/pool.h"

/* b is NULL where the kind takes one array. */
typedef void (*gv_pool_plane)(const gv_pool *p, const void *a, const void *b,
                              void *out);
typedef const gv_pool_plane gv_pool_table[2][GV_POOL_KINDS]; /* float32, float64 */

extern gv_pool_table gv_pool_base, gv_pool_avx2, gv_pool_avx512;

#endif
