/* Matrix products: dispatch between small kernels, single BLAS calls and tiles. */
#include "kernels/blas.h"

#include <pthread.h>
#include <string.h>
#include <strings.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "kernels/blas_call.h"
#include "kernels/blas_names.h"
#include "kernels/gemm_small.h"

/* --- the library ---------------------------------------------------------------------*/

static void setup_once(void)
{
    /* The OpenMP flavour (2) takes this as the team size of the calling thread. */
    bool openmp = GV_OPENBLAS(get_parallel) != NULL && GV_OPENBLAS(get_parallel)() == 2;
    if (GV_OPENBLAS(set_num_threads) != NULL && !openmp) GV_OPENBLAS(set_num_threads)(1);
}

void gv_blas_setup(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, setup_once);
}

const char *gv_blas_core(void)
{
    return GV_OPENBLAS(get_corename) != NULL ? GV_OPENBLAS(get_corename)() : "unknown";
}

const char *gv_blas_config(void)
{
    return GV_OPENBLAS(get_config) != NULL ? GV_OPENBLAS(get_config)() : "unknown";
}

bool gv_blas_core_is_sane(void)
{
    static const char *const generic[] = { "prescott", "generic", "core2",   "atom",
                                           "nehalem",  "penryn",  "katmai",  "coppermine",
                                           "northwood", "banias", "opteron", "barcelona" };
    bool wide = false;
#if defined(__x86_64__)
    wide = __builtin_cpu_supports("avx2");
#endif
    for (size_t k = 0; wide && k < sizeof generic / sizeof *generic; k++)
        if (strcasecmp(gv_blas_core(), generic[k]) == 0) return false;
    return true;
}

/* --- one product ---------------------------------------------------------------------*/

typedef struct gemm_job {
    gv_dtype dtype;
    gv_trans ta, tb;
    int64_t m, n, k, lda, ldb, batch;
    int64_t tile_m, tile_n, tiles_m, tiles_n, group;
    const char *a, *b;
    char *c;
    gv_gemm_small small;
} gemm_job;

/* Task: one tile of one entry. */
static void tile_task(void *ctx, int64_t task)
{
    const gemm_job *j = ctx;
    size_t item = gv_dtype_size(j->dtype);
    int64_t e = task / (j->tiles_m * j->tiles_n);
    int64_t i0 = task / j->tiles_n % j->tiles_m * j->tile_m;
    int64_t j0 = task % j->tiles_n * j->tile_n;
    int64_t mm = j->m - i0 < j->tile_m ? j->m - i0 : j->tile_m;
    int64_t nn = j->n - j0 < j->tile_n ? j->n - j0 : j->tile_n;
    int64_t at_a = e * j->m * j->k + (j->ta ? i0 : i0 * j->lda);
    int64_t at_b = e * j->k * j->n + (j->tb ? j0 * j->ldb : j0);
    int64_t at_c = e * j->m * j->n + i0 * j->n + j0;
    gv_call_gemm(j->dtype, j->ta, j->tb, mm, nn, j->k, 1.0, j->a + (size_t)at_a * item,
                 j->lda, j->b + (size_t)at_b * item, j->ldb, 0.0,
                 j->c + (size_t)at_c * item, j->n);
}

/* Task: a group of entries by the small kernel. */
static void small_task(void *ctx, int64_t task)
{
    const gemm_job *j = ctx;
    size_t item = gv_dtype_size(j->dtype);
    int64_t e = task * j->group;
    int64_t end = e + j->group < j->batch ? e + j->group : j->batch;
    for (; e < end; e++)
        j->small(j->ta, j->tb, j->m, j->n, j->k, j->a + (size_t)(e * j->m * j->k) * item,
                 j->b + (size_t)(e * j->k * j->n) * item,
                 j->c + (size_t)(e * j->m * j->n) * item);
}

/* --- tiles ---------------------------------------------------------------------------*/

/* Cut the larger side of the result until a tile has no more than about 1e8 products,
 * or the pieces would become too small for the BLAS to run at speed. */
static void choose_tiles(gemm_job *j)
{
    double work = (double)j->m * (double)j->n * (double)j->k;
    int64_t pieces_m = 1, pieces_n = 1;
    j->tile_m = j->m;
    j->tile_n = j->n;
    while (work > 6e7 && pieces_m * pieces_n < 64) {
        bool rows = j->tile_m >= j->tile_n;
        if ((rows ? j->tile_m : j->tile_n) < 128) break;
        if (rows)
            j->tile_m = ((j->m + 2 * pieces_m - 1) / (2 * pieces_m) + 15) / 16 * 16;
        else
            j->tile_n = ((j->n + 2 * pieces_n - 1) / (2 * pieces_n) + 15) / 16 * 16;
        *(rows ? &pieces_m : &pieces_n) *= 2;
        work /= 2;
    }
    j->tiles_m = (j->m + j->tile_m - 1) / j->tile_m;
    j->tiles_n = (j->n + j->tile_n - 1) / j->tile_n;
}

gv_status gv_blas_gemm(gv_dtype dtype, gv_trans ta, gv_trans tb, int64_t m, int64_t n,
                       int64_t k, int64_t batch, const void *a, const void *b, void *c)
{
    if (m * n * batch == 0) return GV_OK;
    if (k == 0) {
        memset(c, 0, (size_t)(batch * m * n) * gv_dtype_size(dtype));
        return GV_OK;
    }
    if (m > INT32_MAX || n > INT32_MAX || k > INT32_MAX)
        return gv_fail(GV_ERR_VALUE, "matmul: a dimension of (%lld, %lld, %lld) exceeds "
                       "the 32-bit integers of the BLAS", (long long)m, (long long)n,
                       (long long)k);
    if (!gv_dtype_is_complex(dtype)) {
        ta = ta ? GV_TRANSPOSED : GV_PLAIN;
        tb = tb ? GV_TRANSPOSED : GV_PLAIN;
    }
    gemm_job j = { .dtype = dtype, .ta = ta, .tb = tb, .m = m, .n = n, .k = k,
                   .lda = ta ? m : k, .ldb = tb ? k : n, .batch = batch, .a = a, .b = b,
                   .c = c };
    j.small = gv_gemm_small_get(dtype, m, n, k);
    if (j.small != NULL) {
        j.group = 1 + 100000 / (m * n * k + 1);
        gv_parallel_for((batch + j.group - 1) / j.group, small_task, &j);
        return GV_OK;
    }
    gv_blas_setup();
    choose_tiles(&j);
    gv_parallel_for(batch * j.tiles_m * j.tiles_n, tile_task, &j);
    return GV_OK;
}
