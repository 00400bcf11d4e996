/* What the batched factorisations share: a loop over the entries with working memory
 * per task, the first failing entry, and carving of scratch. Private to kernels/. */
#ifndef GV_KERNELS_LAPACK_BATCH_H
#define GV_KERNELS_LAPACK_BATCH_H

#include <stdatomic.h>

#include "kernels/lapack.h"

typedef struct gv_lapack_job gv_lapack_job;

/* Work on entry e; 0 or a code of failure that the caller turns into a message. */
typedef int (*gv_lapack_entry)(const gv_lapack_job *job, int64_t e, char *scratch);

struct gv_lapack_job {
    gv_dtype dtype;
    bool flag;
    gv_trans trans;
    int64_t m, n, k, batch;
    const char *a;
    char *x, *y, *z; /* results, or in-out */
    char *scratch;
    size_t per_task;
    gv_lapack_entry entry;
    /* filled by the run */
    int64_t per;
    _Atomic int64_t bad; /* first failing entry, batch when none */
    int code;            /* what the entry returned */
};

/* Bytes of scratch for a batch, given those of one task. */
size_t gv_lapack_scratch_total(size_t per_task, int64_t batch);
/* Run all entries; true when none failed, else bad and code are set. */
bool gv_lapack_run(gv_lapack_job *job);

/* The next `count` items of `size` bytes from address *at, on a 64-byte boundary; from
 * address 0 this measures the bytes needed. */
static inline void *gv_lapack_carve(uintptr_t *at, int64_t count, size_t size)
{
    uintptr_t p = *at;
    *at += ((size_t)count * size + 63) / 64 * 64;
    return (void *)p;
}

/* " (batch entry 3)" when there is more than one */
const char *gv_lapack_where(const gv_lapack_job *job, char *buf, size_t size);
/* Transpose: to(n, m) = from(m, n), one entry. */
void gv_lapack_transpose(gv_dtype dtype, int64_t m, int64_t n, const void *from,
                         void *to);
/* Complex dtypes: turn the columns of v(m, n) so that their pivots are real and positive,
 * and the rows of u(n, k) (k 0: none) the other way. */
void gv_lapack_turn(gv_dtype dtype, int64_t m, int64_t n, void *v, int64_t k, void *u);
bool gv_lapack_is_finite(gv_dtype dtype, int64_t n, const void *x);

#endif
