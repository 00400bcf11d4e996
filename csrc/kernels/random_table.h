/* Tile functions that random_<level>.c define. */
#ifndef GV_KERNELS_RANDOM_TABLE_H
#define GV_KERNELS_RANDOM_TABLE_H

#include "kernels/random.h"

/* n whole tiles from tile number `tile` on */
typedef void (*gv_random_tiles)(const int64_t key[2], int64_t tile, int64_t n,
                                void *out);
typedef gv_random_tiles gv_random_table[GV_RANDOM_N_KIND]
                                       [2]; /* [kind][64-bit values] */

extern const gv_random_table gv_random_base;
#if defined(__x86_64__) && defined(__GNUC__)
#define GV_RANDOM_X86 1
extern const gv_random_table gv_random_avx2, gv_random_avx512;
#endif

#endif
