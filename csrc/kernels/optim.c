/* Updates of optimisers over all threads; tasks are cut by problem size. */
#include "kernels/optim.h"

#include "base/cpu.h"
#include "base/parallel.h"

enum { CHUNK = 1 << 14, SERIAL = 1 << 16 };

struct job {
    const gv_adam *a;
    gv_adam_fn run;
    size_t item;
    int64_t n;
    const char *p, *m, *v, *g;
    char *pn, *mn, *vn;
};

static void run_chunk(void *ctx, int64_t index)
{
    const struct job *j = ctx;
    int64_t from = index * CHUNK, n = j->n - from < CHUNK ? j->n - from : CHUNK;
    size_t at = (size_t)from * j->item;
    j->run(n, j->a, j->p + at, j->m + at, j->v + at, j->g + at, j->pn + at, j->mn + at,
           j->vn + at);
}

static gv_adam_fn adam_of(gv_dtype dtype)
{
    bool single = dtype == GV_F32;
    switch (gv_simd_level()) {
    case GV_SIMD_AVX512: return single ? gv_adam_f32_avx512 : gv_adam_f64_avx512;
    case GV_SIMD_AVX2: return single ? gv_adam_f32_avx2 : gv_adam_f64_avx2;
    default: return single ? gv_adam_f32_base : gv_adam_f64_base;
    }
}

void gv_adam_run(gv_dtype dtype, int64_t n, const gv_adam *a, const void *p,
                 const void *m, const void *v, const void *g, void *pn, void *mn,
                 void *vn)
{
    gv_adam_fn run = adam_of(dtype);
    if (n <= SERIAL) {
        run(n, a, p, m, v, g, pn, mn, vn);
        return;
    }
    struct job j = { a, run, gv_dtype_size(dtype), n, p, m, v, g, pn, mn, vn };
    gv_parallel_for((n + CHUNK - 1) / CHUNK, run_chunk, &j);
}

/* --- length of a gradient ----------------------------------------------------------- */
struct squares {
    gv_squares_fn run;
    size_t item;
    int64_t n;
    const char *x;
    double *part;
};

static void square_chunk(void *ctx, int64_t index)
{
    const struct squares *j = ctx;
    int64_t from = index * CHUNK, n = j->n - from < CHUNK ? j->n - from : CHUNK;
    j->part[index] = j->run(n, j->x + (size_t)from * j->item);
}

static gv_squares_fn squares_of(gv_dtype dtype)
{
    bool single = dtype == GV_F32;
    switch (gv_simd_level()) {
    case GV_SIMD_AVX512: return single ? gv_squares_f32_avx512 : gv_squares_f64_avx512;
    case GV_SIMD_AVX2: return single ? gv_squares_f32_avx2 : gv_squares_f64_avx2;
    default: return single ? gv_squares_f32_base : gv_squares_f64_base;
    }
}

int64_t gv_squares_parts(int64_t n) { return (n + CHUNK - 1) / CHUNK; }

double gv_squares_run(gv_dtype dtype, int64_t n, const void *x, double *part)
{
    struct squares j = { squares_of(dtype), gv_dtype_size(dtype), n, x, part };
    int64_t parts = gv_squares_parts(n);
    double sum = 0;
    if (n > SERIAL)
        gv_parallel_for(parts, square_chunk, &j);
    else
        for (int64_t k = 0; k < parts; k++) square_chunk(&j, k);
    for (int64_t k = 0; k < parts; k++) sum += part[k];
    return sum;
}
