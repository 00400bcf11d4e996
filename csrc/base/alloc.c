/* Allocator: a 64-byte header in front of each block holds what malloc gave and how
 * much of it may be used. Counters are relaxed atomics. The pool keeps a bounded
 * number of freed large blocks; a block in the pool counts as freed. */
#define _GNU_SOURCE
#include "base/alloc.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LINE ((size_t)64)
#define HUGE_PAGE ((size_t)2 << 20)
#define HUGE_FROM ((size_t)4 << 20)
#define POOL_FROM ((size_t)32 << 10) /* smaller blocks go straight to malloc */
#define POOL_SLOTS 128

typedef struct header {
    void *raw;
    size_t capacity;
} header;

static atomic_llong live_blocks, live_bytes, peak_bytes, total_blocks, fail_after;

static header *header_of(void *block) { return (header *)((char *)block - LINE); }

/* --- counting --- */

static bool failure_is_due(void)
{
    if (atomic_load_explicit(&fail_after, memory_order_relaxed) <= 0) return false;
    return atomic_fetch_sub(&fail_after, 1) == 1;
}

static void count_get(size_t capacity)
{
    atomic_fetch_add_explicit(&live_blocks, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&total_blocks, 1, memory_order_relaxed);
    long long now = (long long)capacity +
        atomic_fetch_add_explicit(&live_bytes, (long long)capacity,
                                  memory_order_relaxed);
    long long peak = atomic_load_explicit(&peak_bytes, memory_order_relaxed);
    while (now > peak && !atomic_compare_exchange_weak(&peak_bytes, &peak, now)) {}
}

static void count_put(size_t capacity)
{
    atomic_fetch_sub_explicit(&live_blocks, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&live_bytes, (long long)capacity, memory_order_relaxed);
}

gv_alloc_stats gv_alloc_get_stats(void)
{
    return (gv_alloc_stats){ .live_blocks = atomic_load(&live_blocks),
                             .live_bytes = atomic_load(&live_bytes),
                             .peak_bytes = atomic_load(&peak_bytes),
                             .total_blocks = atomic_load(&total_blocks) };
}

void gv_alloc_reset_peak(void) { atomic_store(&peak_bytes, atomic_load(&live_bytes)); }

void gv_alloc_fail_after(int64_t n) { atomic_store(&fail_after, n > 0 ? n : 0); }

/* --- blocks --- */

static void *memory_is_short(size_t size)
{
    gv_fail(GV_ERR_MEMORY, "out of memory: %zu bytes wanted", size);
    return NULL;
}

static void *block_new(size_t size, bool zero)
{
    size_t capacity = (size + LINE - 1) & ~(LINE - 1);
    size_t align = capacity >= HUGE_FROM ? HUGE_PAGE : LINE;
    if (size > SIZE_MAX / 2 || failure_is_due()) return memory_is_short(size);
    size_t whole = capacity + LINE + align;
    char *raw = zero ? calloc(1, whole) : malloc(whole);
    if (raw == NULL) return memory_is_short(size);
    uintptr_t first = (uintptr_t)raw + LINE;
    char *block = raw + LINE + ((align - first % align) % align);
#ifdef MADV_HUGEPAGE
    if (align == HUGE_PAGE) {
        size_t span = capacity & ~(HUGE_PAGE - 1);
        (void)madvise(block, span, MADV_HUGEPAGE); /* a wish; refusal is harmless */
    }
#endif
    *header_of(block) = (header){ .raw = raw, .capacity = capacity };
    return block;
}

void *gv_alloc(size_t size)
{
    void *block = block_new(size, false);
    if (block != NULL) count_get(header_of(block)->capacity);
    return block;
}

void *gv_alloc_zero(size_t size)
{
    void *block = block_new(size, true);
    if (block != NULL) count_get(header_of(block)->capacity);
    return block;
}

void gv_free(void *block)
{
    if (block == NULL) return;
    count_put(header_of(block)->capacity);
    free(header_of(block)->raw);
}

void *gv_realloc(void *block, size_t old_size, size_t size)
{
    if (block != NULL && size <= header_of(block)->capacity &&
        size >= header_of(block)->capacity / 2)
        return block;
    void *fresh = gv_alloc(size);
    if (fresh == NULL) return NULL;
    if (block != NULL) {
        memcpy(fresh, block, old_size < size ? old_size : size);
        gv_free(block);
    }
    return fresh;
}

/* --- pool --- */

static struct pool {
    pthread_mutex_t mutex;
    int used;
    size_t bytes, limit;
    uint64_t clock;
    struct slot {
        void *block;
        size_t capacity;
        uint64_t stamp;
    } slot[POOL_SLOTS];
} pool = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static pthread_once_t pool_once = PTHREAD_ONCE_INIT;

static void pool_lock(void) { pthread_mutex_lock(&pool.mutex); }
static void pool_unlock(void) { pthread_mutex_unlock(&pool.mutex); }

static void pool_start(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    /* a share of the machine: fresh pages cost as much as a pass over them */
    pool.limit =
        pages > 0 && page > 0 ? (size_t)pages / 6 * (size_t)page : (size_t)1 << 30;
    pthread_atfork(pool_lock, pool_unlock, pool_unlock);
}

static void *slot_take(int k)
{
    void *block = pool.slot[k].block;
    pool.bytes -= pool.slot[k].capacity;
    pool.slot[k] = pool.slot[--pool.used];
    return block;
}

/* Tightest block that wastes at most a quarter, the most recently used of equals. */
static int slot_find(size_t size)
{
    int best = -1;
    for (int k = 0; k < pool.used; k++) {
        size_t have = pool.slot[k].capacity;
        if (have < size || have - size > size / 4) continue;
        if (best < 0 || have < pool.slot[best].capacity ||
            (have == pool.slot[best].capacity &&
             pool.slot[k].stamp > pool.slot[best].stamp))
            best = k;
    }
    return best;
}

static int slot_oldest(void)
{
    int best = 0;
    for (int k = 1; k < pool.used; k++)
        if (pool.slot[k].stamp < pool.slot[best].stamp) best = k;
    return best;
}

/* Takes out the oldest blocks until one of `size` bytes (and so many slots) is within
 * the limit: a block
 * that nobody asks for again does not stand beside a large new one. */
static int make_room(size_t size, int slots, void **out)
{
    int n = 0;
    while (pool.used > 0 &&
           (pool.used > POOL_SLOTS - slots || size > pool.limit ||
            pool.bytes > pool.limit - size))
        out[n++] = slot_take(slot_oldest());
    return n;
}

static void release(void **blocks, int n)
{
    while (n > 0) free(header_of(blocks[--n])->raw);
}

void *gv_pool_get(size_t size)
{
    if (size < POOL_FROM) return gv_alloc(size);
    if (failure_is_due()) return memory_is_short(size);
    pthread_once(&pool_once, pool_start);
    pool_lock();
    int k = slot_find(size);
    void *block = k >= 0 ? slot_take(k) : NULL;
    void *out[POOL_SLOTS];
    int n_out = block == NULL ? make_room(size, 0, out) : 0;
    pool_unlock();
    release(out, n_out);
    if (block == NULL) return gv_alloc(size);
    count_get(header_of(block)->capacity);
    return block;
}

void gv_pool_put(void *block, size_t size)
{
    if (block == NULL) return;
    size_t capacity = header_of(block)->capacity;
    pthread_once(&pool_once, pool_start);
    if (size < POOL_FROM || capacity > pool.limit) {
        gv_free(block);
        return;
    }
    count_put(capacity);
    void *out[POOL_SLOTS];
    pool_lock();
    int n_out = make_room(capacity, 1, out);
    pool.slot[pool.used++] = (struct slot){ block, capacity, ++pool.clock };
    pool.bytes += capacity;
    pool_unlock();
    release(out, n_out);
}

void gv_pool_trim(void)
{
    void *out[POOL_SLOTS];
    int n_out = 0;
    pool_lock();
    while (pool.used > 0) out[n_out++] = slot_take(pool.used - 1);
    pool_unlock();
    release(out, n_out);
}
