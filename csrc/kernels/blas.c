/* Matrix products: our own kernels for f32 and f64, tiles of serial BLAS calls for complex
 * numbers and where our kernels have no wide vectors to use, plain loops for integers. */
#include "kernels/blas.h"

#include <pthread.h>
#include <string.h>
#include <strings.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "kernels/blas_call.h"
#include "kernels/blas_names.h"
#include "kernels/gemm.h"
#include "kernels/gemm_integer.h"

/* --- the library ---------------------------------------------------------------------*/

static void setup_once(void)
{
    /* The OpenMP flavour (2) takes this as the team size of the calling thread. */
    bool openmp = GV_OPENBLAS(get_parallel) != NULL && GV_OPENBLAS(get_parallel)() == 2;
    if (GV_OPENBLAS(set_num_threads) != NULL && !openmp)
        GV_OPENBLAS(set_num_threads)(1);
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
    static const char *const generic[] = { "prescott", "generic",    "core2",
                                           "atom",     "nehalem",    "penryn",
                                           "katmai",   "coppermine", "northwood",
                                           "banias",   "opteron",    "barcelona" };
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
    int64_t m, n, k, lda, ldb;
    int64_t tile_m, tile_n, tiles_m, tiles_n;
    const char *a, *b;
    char *c;
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

/* --- tiles ---------------------------------------------------------------------------*/

/* Cut the larger side of the result until a tile has no more than about 1e8 products: each
 * piece packs its operands anew, so pieces must be large. */
static void choose_tiles(gemm_job *j)
{
    double work = (double)j->m * (double)j->n * (double)j->k;
    int64_t pieces_m = 1, pieces_n = 1;
    j->tile_m = j->m;
    j->tile_n = j->n;
    while (work > 1e8 && pieces_m * pieces_n < 64) {
        bool rows = j->tile_m >= j->tile_n;
        if ((rows ? j->tile_m : j->tile_n) < 256) break;
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

static void run_tiles(gemm_job *j, int64_t batch)
{
    gv_blas_setup();
    choose_tiles(j);
    gv_parallel_for(batch * j->tiles_m * j->tiles_n, tile_task, j);
}

/* --- all -----------------------------------------------------------------------------*/

static gv_gemm describe(gv_dtype dtype, bool ta, bool tb, int64_t m, int64_t n,
                        int64_t k, int64_t batch)
{
    return (gv_gemm){ .dtype = dtype,
                      .m = m,
                      .n = n,
                      .k = k,
                      .batch = batch,
                      .a_row = ta ? 1 : k,
                      .a_col = ta ? m : 1,
                      .b_row = tb ? 1 : n,
                      .b_col = tb ? k : 1,
                      .c_row = n,
                      .a_step = m * k,
                      .b_step = k * n,
                      .c_step = m * n };
}

size_t gv_blas_gemm_scratch(gv_dtype dtype, gv_trans ta, gv_trans tb, int64_t m,
                            int64_t n, int64_t k, int64_t batch)
{
    if (!gv_dtype_is_float(dtype)) return 0;
    gv_gemm g = describe(dtype, ta != GV_PLAIN, tb != GV_PLAIN, m, n, k, batch);
    return gv_gemm_scratch(&g);
}

gv_status gv_blas_gemm(gv_dtype dtype, gv_trans ta, gv_trans tb, int64_t m, int64_t n,
                       int64_t k, int64_t batch, const void *a, const void *b, void *c)
{
    return gv_blas_matmul(dtype, ta, tb, m, n, k, batch, a, b, c, NULL);
}

/* Are the rows of every operand together, entry after entry? */
static bool is_whole(const gv_gemm *g, bool ta, bool tb)
{
    gv_gemm same = describe(g->dtype, ta, tb, g->m, g->n, g->k, g->batch);
    return same.a_row == g->a_row && same.a_col == g->a_col && same.b_row == g->b_row &&
        same.b_col == g->b_col && same.c_row == g->c_row &&
        (g->batch == 1 ||
         (same.a_step == g->a_step && same.b_step == g->b_step &&
          same.c_step == g->c_step));
}

void gv_blas_run(const gv_gemm *g, const void *a, const void *b, void *c, void *scratch)
{
    bool ta = g->a_col != 1, tb = g->b_col != 1;
    bool large = (double)g->m * (double)g->n * (double)g->k > 1e5;
    bool fits = g->m <= INT32_MAX && g->n <= INT32_MAX && g->k <= INT32_MAX;
    if (gv_simd_level() != GV_SIMD_BASE || !large || !fits || !is_whole(g, ta, tb)) {
        gv_gemm_run(g, a, b, c, scratch);
        return;
    }
    gemm_job j = { .dtype = g->dtype,
                   .ta = ta ? GV_TRANSPOSED : GV_PLAIN,
                   .tb = tb ? GV_TRANSPOSED : GV_PLAIN,
                   .m = g->m,
                   .n = g->n,
                   .k = g->k,
                   .lda = ta ? g->m : g->k,
                   .ldb = tb ? g->k : g->n,
                   .a = a,
                   .b = b,
                   .c = c };
    run_tiles(&j, g->batch);
    gv_gemm_finish(g, c);
}

gv_status gv_blas_matmul(gv_dtype dtype, gv_trans ta, gv_trans tb, int64_t m, int64_t n,
                         int64_t k, int64_t batch, const void *a, const void *b,
                         void *c, void *scratch)
{
    bool real = gv_dtype_is_float(dtype), flip_a = ta != GV_PLAIN,
         flip_b = tb != GV_PLAIN;
    if (m * n * batch == 0) return GV_OK;
    if (k == 0) {
        memset(c, 0, (size_t)(batch * m * n) * gv_dtype_size(dtype));
        return GV_OK;
    }
    if (m > INT32_MAX || n > INT32_MAX || k > INT32_MAX)
        return gv_fail(GV_ERR_VALUE,
                       "matmul: a dimension of (%lld, %lld, %lld) exceeds "
                       "the 32-bit integers of the BLAS",
                       (long long)m, (long long)n, (long long)k);
    if (!real && !gv_dtype_is_complex(dtype)) {
        gv_gemm_integer(dtype, flip_a, flip_b, m, n, k, batch, a, b, c);
        return GV_OK;
    }
    bool large = (double)m * (double)n * (double)k > 1e5;
    gv_gemm g = describe(dtype, flip_a, flip_b, m, n, k, batch);
    bool ours = real && (gv_simd_level() != GV_SIMD_BASE || !large);
    if (ours && (scratch != NULL || gv_gemm_scratch(&g) == 0)) {
        gv_gemm_run(&g, a, b, c, scratch);
        return GV_OK;
    }
    if (real && flip_a) ta = GV_TRANSPOSED;
    if (real && flip_b) tb = GV_TRANSPOSED;
    gemm_job j = { .dtype = dtype,
                   .ta = ta,
                   .tb = tb,
                   .m = m,
                   .n = n,
                   .k = k,
                   .lda = flip_a ? m : k,
                   .ldb = flip_b ? k : n,
                   .a = a,
                   .b = b,
                   .c = c };
    run_tiles(&j, batch);
    return GV_OK;
}
