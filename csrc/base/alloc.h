/* Aligned, counted and failable allocation.
 *
 * All memory of the library comes from here: 64-byte aligned, counted (tests
 * compare live counts before and after), and made to fail on request (the test
 * sweep lets every k-th allocation fail and expects MemoryError, no leak).
 * Blocks of 4 MiB and more are 2 MiB aligned and advised to use huge pages. */
#ifndef GV_BASE_ALLOC_H
#define GV_BASE_ALLOC_H

#include "base/status.h"

/* NULL when memory is short (gv_fail has been called). size 0 gives a valid pointer. */
void *gv_alloc(size_t size);
void *gv_alloc_zero(size_t size);
/* Grow a block of old_size bytes; on failure the old block stays valid. */
void *gv_realloc(void *block, size_t old_size, size_t size);
void gv_free(void *block); /* accepts NULL */

typedef struct gv_alloc_stats {
    int64_t live_blocks;
    int64_t live_bytes;
    int64_t peak_bytes;
    int64_t total_blocks;
} gv_alloc_stats;

gv_alloc_stats gv_alloc_get_stats(void);
void gv_alloc_reset_peak(void);
/* Let the n-th allocation from now fail (n = 1: the next); 0 switches off. */
void gv_alloc_fail_after(int64_t n);

/* Pool of large blocks kept for reuse: fresh pages double the time of a big
 * result. gv_pool_get returns at least size bytes; gv_pool_put keeps the block
 * for later (bounded) or frees it. */
void *gv_pool_get(size_t size);
void gv_pool_put(void *block, size_t size);
void gv_pool_trim(void);

#endif
