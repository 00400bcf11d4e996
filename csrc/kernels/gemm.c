/* Driver of the matrix-product kernels: five ways by shape.
 *
 *   vector  one row or column: dot products or sums of columns
 *   small   B packed on the stack, many entries per task
 *   direct  B packed once per entry, A read as it lies, tasks over rows
 *   tall    small C and long k: fixed chunks of k, partial results summed in order
 *   packed  blocks of k; A and B packed by all threads, then tiles of C by all threads */
#include "kernels/gemm.h"

#include <string.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "kernels/gemm_table.h"

enum {
    most_mr = 12,
    most_nr = 32,
    small_b = 64 << 10,   /* bytes of packed B on the stack */
    direct_b = 512 << 10, /* bytes of packed B that stay in the cache */
    direct_k = 320,
    block_k = 512,
    block_m = 48, /* a multiple of every tile height */
    block_n = 512,
    pack_n = 64,         /* a multiple of every tile width */
    panel_n = 4096,      /* columns of B packed at a time */
    task_work = 1 << 18, /* products per task of small entries or rows */
    chunk_k = 4096,
    most_chunks = 32
};

typedef enum gemm_way {
    WAY_VECTOR,
    WAY_SMALL,
    WAY_DIRECT,
    WAY_TALL,
    WAY_PACKED
} gemm_way;

typedef struct gemm_run {
    gv_gemm g;
    const gv_gemm_kernels *kernels;
    size_t item;
    const char *a, *b;
    char *c, *scratch;
    int64_t entry, per,
        tasks;            /* packed: entry; others: units per task, tasks per entry */
    int64_t p, kc, j, nc; /* packed: the block of k and of columns */
    char *pa, *pb;
} gemm_run;

static int64_t up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
static int64_t min2(int64_t a, int64_t b) { return a < b ? a : b; }

/* Is C a column in one piece? */
static bool is_column(const gv_gemm *g) { return g->n == 1 && g->c_row == 1; }

static gemm_way way_of(const gv_gemm *g)
{
    double products = (double)g->m * (double)g->n * (double)g->k;
    int64_t b = g->k * up(g->n, most_nr) * (int64_t)gv_dtype_size(g->dtype);
    if (is_column(g) ? g->b_row == 1 || g->k == 1
                     : g->m == 1 && (g->a_col == 1 || g->k == 1))
        return WAY_VECTOR;
    if (g->k > 2 * chunk_k && g->m * g->n <= 128 * 128) return WAY_TALL;
    if (b <= small_b && products <= (g->batch < 8 ? 2e5 : 4e6)) return WAY_SMALL;
    if (b <= direct_b && g->k <= direct_k) return WAY_DIRECT;
    return WAY_PACKED;
}

static const gv_gemm_kernels *kernels_for(gv_dtype dtype)
{
    int which = dtype == GV_F64;
    switch (gv_simd_level()) {
    case GV_SIMD_AVX512: return &gv_gemm_avx512[which];
    case GV_SIMD_AVX2: return &gv_gemm_avx2[which];
    default: return &gv_gemm_base[which];
    }
}

static const char *at(const gemm_run *r, const char *base, int64_t elements)
{
    return base + (size_t)elements * r->item;
}

/* --- vector ----------------------------------------------------------------------------*/

/* y(m) = a(m, k) x(k) with these strides: a column of C, or (n == 1 exchanged) a row. */
typedef struct vector_shape {
    int64_t m, k, rs, cs;
    int64_t chunk, chunks; /* of k */
    int64_t tile, tiles;   /* of m */
} vector_shape;

static vector_shape vector_of(const gv_gemm *g)
{
    vector_shape v;
    if (is_column(g))
        v = (vector_shape){ .m = g->m, .k = g->k, .rs = g->a_row, .cs = g->a_col };
    else
        v = (vector_shape){ .m = g->n, .k = g->k, .rs = g->b_col, .cs = g->b_row };
    if (v.k == 1) v.cs = 1; /* the stride along k does not matter */
    bool split = v.m < 64 && v.k > 2 * chunk_k;
    v.chunk = split ? up((v.k + most_chunks - 1) / most_chunks, chunk_k) : v.k;
    v.chunks = (v.k + v.chunk - 1) / v.chunk;
    int64_t rows = task_work / 4 / v.chunk;
    v.tile = v.cs == 1 ? (rows < 1 ? 1 : rows) : up(rows < 256 ? 256 : rows, 256);
    v.tiles = (v.m + v.tile - 1) / v.tile;
    return v;
}

static void vector_task(void *ctx, int64_t task)
{
    const gemm_run *r = ctx;
    const gv_gemm *g = &r->g;
    vector_shape v = vector_of(g);
    int64_t i = task * r->per, end = min2(i + r->per, g->batch * v.tiles * v.chunks);
    for (; i < end; i++) {
        int64_t e = i / (v.tiles * v.chunks), t = i / v.chunks % v.tiles * v.tile;
        int64_t q = i % v.chunks, p = q * v.chunk;
        const char *a = at(r, r->a, e * g->a_step), *b = at(r, r->b, e * g->b_step);
        const char *matrix = is_column(g) ? a : b, *x = is_column(g) ? b : a;
        char *y = v.chunks > 1
            ? r->scratch + (size_t)((e * v.chunks + q) * v.m + t) * r->item
            : r->c + (size_t)(e * g->c_step + t) * r->item;
        r->kernels->vector(min2(v.tile, v.m - t), min2(v.chunk, v.k - p),
                           at(r, matrix, t * v.rs + p * v.cs), v.rs, v.cs, at(r, x, p),
                           false, y);
    }
}

/* c(rows, n) = sum over chunks of partial results (rows n elements each), in order */
static void sum_chunks(const gemm_run *r, int64_t rows, int64_t n, int64_t chunks)
{
    for (int64_t i = 0; i < r->g.batch * rows; i++) {
        int64_t e = i / rows, size = rows * n;
        const char *s = at(r, r->scratch, e * chunks * size + i % rows * n);
        char *c = r->c + (size_t)(e * r->g.c_step + i % rows * r->g.c_row) * r->item;
        memcpy(c, s, (size_t)n * r->item);
        for (int64_t q = 1; q < chunks; q++)
            if (r->g.dtype == GV_F32)
                for (int64_t j = 0; j < n; j++)
                    ((float *)c)[j] += ((const float *)s)[q * size + j];
            else
                for (int64_t j = 0; j < n; j++)
                    ((double *)c)[j] += ((const double *)s)[q * size + j];
    }
}

#define FINISH(T)                                 \
    for (int64_t j = 0; j < g->n; j++) {          \
        T *to = (T *)c + i % g->m * g->c_row + j; \
        if (bias) *to += ((const T *)bias)[j];    \
        if (g->relu && *to < 0) *to = 0;          \
    }

/* Bias and relu where the kernels did not see to them. */
static void finish(const gemm_run *r)
{
    const gv_gemm *g = &r->g;
    if (!g->bias && !g->relu) return;
    for (int64_t i = 0; i < g->batch * g->m; i++) {
        int64_t e = i / g->m;
        char *c = r->c + (size_t)(e * g->c_step) * r->item;
        const char *bias = g->bias ? at(r, g->bias, e * g->bias_step) : NULL;
        if (g->dtype == GV_F32) {
            FINISH(float)
        } else {
            FINISH(double)
        }
    }
}

static void run_vector(gemm_run *r)
{
    vector_shape v = vector_of(&r->g);
    int64_t n = r->g.batch * v.tiles * v.chunks;
    int64_t work = min2(v.tile, v.m) * v.chunk;
    r->per = 1 + task_work / 4 / (work + 1);
    gv_parallel_for((n + r->per - 1) / r->per, vector_task, r);
    if (v.chunks > 1) {
        bool column = is_column(&r->g);
        sum_chunks(r, column ? v.m : 1, column ? 1 : v.m, v.chunks);
    }
    finish(r);
}

/* --- small ------------------------------------------------------------------------------*/

static const void *bias_of(const gemm_run *r, int64_t e)
{
    return r->g.bias ? at(r, r->g.bias, e * r->g.bias_step) : NULL;
}

/* One entry. Rows of B that lie together are read in place, others packed. */
static void entry(const gemm_run *r, int64_t e, char *packed, const gv_gemm *ahead)
{
    const gv_gemm *g = &r->g;
    const char *a = at(r, r->a, e * g->a_step), *b = at(r, r->b, e * g->b_step);
    char *c = r->c + (size_t)(e * g->c_step) * r->item;
    bool in_place = g->b_col == 1;
    if (!in_place) r->kernels->pack_b(g->k, g->n, b, g->b_row, g->b_col, packed);
    r->kernels->direct(g->m, g->n, g->k, a, g->a_row, g->a_col, in_place ? b : packed,
                       in_place ? g->b_row : r->kernels->nr, in_place ? 1 : g->k, false,
                       bias_of(r, e), g->relu, ahead, c, g->c_row);
}

static void small_task(void *ctx, int64_t task)
{
    const gemm_run *r = ctx;
    _Alignas(64) char packed[small_b];
    int64_t e = task * r->per, end = min2(e + r->per, r->g.batch);
    for (; e < end; e++) entry(r, e, packed, NULL);
}

static void run_small(gemm_run *r)
{
    r->per = 1 + task_work / (r->g.m * r->g.n * r->g.k);
    gv_parallel_for((r->g.batch + r->per - 1) / r->per, small_task, r);
}

/* --- direct -----------------------------------------------------------------------------*/

static size_t packed_b(const gv_gemm *g, int64_t k, int64_t n)
{
    return (size_t)(k * up(n, most_nr)) * gv_dtype_size(g->dtype);
}

/* A strip of pack_n columns of one entry. */
static void pack_strip(void *ctx, int64_t task)
{
    const gemm_run *r = ctx;
    const gv_gemm *g = &r->g;
    int64_t strips = (g->n + pack_n - 1) / pack_n, e = task / strips;
    int64_t j = task % strips * pack_n;
    r->kernels->pack_b(g->k, min2(pack_n, g->n - j),
                       at(r, r->b, e * g->b_step + j * g->b_col), g->b_row, g->b_col,
                       r->scratch + (size_t)e * packed_b(g, g->k, g->n) +
                           (size_t)(j * g->k) * r->item);
}

static void direct_task(void *ctx, int64_t task)
{
    const gemm_run *r = ctx;
    const gv_gemm *g = &r->g;
    int64_t e = task / r->tasks, i = task % r->tasks * r->per;
    r->kernels->direct(
        min2(r->per, g->m - i), g->n, g->k, at(r, r->a, e * g->a_step + i * g->a_row),
        g->a_row, g->a_col, r->scratch + (size_t)e * packed_b(g, g->k, g->n),
        r->kernels->nr, g->k, false, bias_of(r, e), g->relu, NULL,
        r->c + (size_t)(e * g->c_step + i * g->c_row) * r->item, g->c_row);
}

static void run_direct(gemm_run *r)
{
    r->per = up(1 + 2 * task_work / (r->g.n * r->g.k), most_mr);
    r->tasks = (r->g.m + r->per - 1) / r->per;
    gv_parallel_for(r->g.batch * ((r->g.n + pack_n - 1) / pack_n), pack_strip, r);
    gv_parallel_for(r->g.batch * r->tasks, direct_task, r);
}

/* --- packed -----------------------------------------------------------------------------*/

static size_t packed_a(const gv_gemm *g, int64_t m, int64_t k)
{
    return (size_t)(up(m, most_mr) * k) * gv_dtype_size(g->dtype);
}

/* First the blocks of A, then those of B. */
static void pack_task(void *ctx, int64_t task)
{
    const gemm_run *r = ctx;
    const gv_gemm *g = &r->g;
    int64_t blocks = (g->m + block_m - 1) / block_m;
    if (task < blocks) {
        int64_t i = task * block_m;
        const char *a =
            at(r, r->a, r->entry * g->a_step + i * g->a_row + r->p * g->a_col);
        r->kernels->pack_a(min2(block_m, g->m - i), r->kc, a, g->a_row, g->a_col,
                           r->pa + (size_t)(i * r->kc) * r->item);
    } else {
        int64_t j = (task - blocks) * block_n;
        const char *b =
            at(r, r->b, r->entry * g->b_step + r->p * g->b_row + (r->j + j) * g->b_col);
        r->kernels->pack_b(r->kc, min2(block_n, r->nc - j), b, g->b_row, g->b_col,
                           r->pb + (size_t)(j * r->kc) * r->item);
    }
}

static void tile_task(void *ctx, int64_t task)
{
    const gemm_run *r = ctx;
    const gv_gemm *g = &r->g;
    int64_t blocks = (g->m + block_m - 1) / block_m;
    int64_t i = task % blocks * block_m, j = task / blocks * block_n;
    int64_t to = r->entry * g->c_step + i * g->c_row + r->j + j;
    bool last = r->p + r->kc == g->k;
    const char *bias = last ? bias_of(r, r->entry) : NULL;
    r->kernels->packed(min2(block_m, g->m - i), min2(block_n, r->nc - j), r->kc,
                       r->pa + (size_t)(i * r->kc) * r->item,
                       r->pb + (size_t)(j * r->kc) * r->item, r->p > 0,
                       bias ? at(r, bias, r->j + j) : NULL, last && g->relu,
                       r->c + (size_t)to * r->item, g->c_row);
}

/* Lengths of the blocks of k: equal, at most block_k. */
static int64_t block_length(int64_t k)
{
    int64_t blocks = (k + block_k - 1) / block_k;
    return up((k + blocks - 1) / blocks, 8);
}

static void run_packed(gemm_run *r)
{
    const gv_gemm *g = &r->g;
    int64_t rows = (g->m + block_m - 1) / block_m, kc = block_length(g->k);
    r->pa = r->scratch;
    r->pb = r->scratch + (packed_a(g, g->m, kc) + 63) / 64 * 64;
    for (r->entry = 0; r->entry < g->batch; r->entry++)
        for (r->j = 0; r->j < g->n; r->j += panel_n) {
            r->nc = min2(panel_n, g->n - r->j);
            int64_t cols = (r->nc + block_n - 1) / block_n;
            for (r->p = 0; r->p < g->k; r->p += kc) {
                r->kc = min2(kc, g->k - r->p);
                gv_parallel_for(rows + cols, pack_task, r);
                gv_parallel_for(rows * cols, tile_task, r);
            }
        }
}

/* --- tall -------------------------------------------------------------------------------*/

static int64_t tall_chunk(const gv_gemm *g)
{
    return up((g->k + most_chunks - 1) / most_chunks, chunk_k);
}

static int64_t tall_chunks(const gv_gemm *g)
{
    int64_t chunk = tall_chunk(g);
    return (g->k + chunk - 1) / chunk;
}

static size_t tall_slot(const gv_gemm *g)
{
    return (packed_a(g, g->m, block_k) + packed_b(g, block_k, g->n) + 127) / 64 * 64;
}

static size_t tall_partials(const gv_gemm *g)
{
    size_t c = (size_t)(g->m * g->n) * gv_dtype_size(g->dtype);
    return ((size_t)(g->batch * tall_chunks(g)) * c + 63) / 64 * 64;
}

/* Both operands lie along k: the smaller one is packed, the other read as it lies, and
 * the partial results are those of the transpose. */
static bool tall_turned(const gv_gemm *g)
{
    return g->n >= 2 * g->m && g->a_col == 1 && g->b_row == 1;
}

/* One chunk of k of entry r->entry, serial, into its partial result. */
static void tall_task(void *ctx, int64_t q)
{
    const gemm_run *r = ctx;
    const gv_gemm *g = &r->g;
    int64_t chunk = tall_chunk(g), p = q * chunk, end = min2(p + chunk, g->k);
    char *pa = r->scratch + tall_partials(g) + (size_t)q * tall_slot(g);
    char *pb = pa + (packed_a(g, g->m, block_k) + 63) / 64 * 64;
    char *c =
        r->scratch + (size_t)((r->entry * tall_chunks(g) + q) * g->m * g->n) * r->item;
    for (bool add = false; p < end; p += block_k, add = true) {
        int64_t kc = min2(block_k, end - p);
        const char *a = at(r, r->a, r->entry * g->a_step + p * g->a_col);
        const char *b = at(r, r->b, r->entry * g->b_step + p * g->b_row);
        if (tall_turned(g)) {
            r->kernels->pack_b(kc, g->m, a, g->a_col, g->a_row, pb);
            r->kernels->direct(g->n, g->m, kc, b, g->b_col, g->b_row, pb,
                               r->kernels->nr, kc, add, NULL, false, NULL, c, g->m);
        } else {
            r->kernels->pack_a(g->m, kc, a, g->a_row, g->a_col, pa);
            r->kernels->pack_b(kc, g->n, b, g->b_row, g->b_col, pb);
            r->kernels->packed(g->m, g->n, kc, pa, pb, add, NULL, false, c, g->n);
        }
    }
}

#define SUM_TURNED(T)                                                 \
    for (int64_t i = 0; i < m; i++)                                   \
        for (int64_t j = 0; j < n; j++) {                             \
            const T *s = (const T *)part + j * m + i;                 \
            T sum = s[0];                                             \
            for (int64_t q = 1; q < chunks; q++) sum += s[q * m * n]; \
            ((T *)c)[i * r->g.c_row + j] = sum;                       \
        }

/* c = the transpose of the sum over chunks of partial results */
static void sum_turned(const gemm_run *r)
{
    int64_t m = r->g.m, n = r->g.n, chunks = tall_chunks(&r->g);
    for (int64_t e = 0; e < r->g.batch; e++) {
        const char *part = at(r, r->scratch, e * chunks * m * n);
        char *c = r->c + (size_t)(e * r->g.c_step) * r->item;
        if (r->g.dtype == GV_F32) {
            SUM_TURNED(float)
        } else {
            SUM_TURNED(double)
        }
    }
}

static void run_tall(gemm_run *r)
{
    for (r->entry = 0; r->entry < r->g.batch; r->entry++)
        gv_parallel_for(tall_chunks(&r->g), tall_task, r);
    if (tall_turned(&r->g))
        sum_turned(r);
    else
        sum_chunks(r, r->g.m, r->g.n, tall_chunks(&r->g));
    finish(r);
}

/* --- all --------------------------------------------------------------------------------*/

size_t gv_gemm_scratch(const gv_gemm *g)
{
    if (g->m * g->n * g->k * g->batch == 0) return 0;
    switch (way_of(g)) {
    case WAY_VECTOR: {
        vector_shape v = vector_of(g);
        return v.chunks > 1
            ? (size_t)(g->batch * v.chunks * v.m) * gv_dtype_size(g->dtype)
            : 0;
    }
    case WAY_SMALL: return 0;
    case WAY_DIRECT: return (size_t)g->batch * packed_b(g, g->k, g->n);
    case WAY_TALL: return tall_partials(g) + (size_t)tall_chunks(g) * tall_slot(g);
    default:
        return packed_a(g, g->m, block_k) + packed_b(g, block_k, min2(g->n, panel_n)) +
            64;
    }
}

static gemm_run run_of(const gv_gemm *g, const void *a, const void *b, void *c,
                       void *scratch)
{
    return (gemm_run){ .g = *g,
                       .kernels = kernels_for(g->dtype),
                       .item = gv_dtype_size(g->dtype),
                       .a = a,
                       .b = b,
                       .c = c,
                       .scratch = scratch };
}

void gv_gemm_finish(const gv_gemm *g, void *c)
{
    gemm_run r = run_of(g, NULL, NULL, c, NULL);
    finish(&r);
}

size_t gv_gemm_pack_bytes(const gv_gemm *g)
{
    return g->b_col == 1 ? 0 : packed_b(g, g->k, g->n);
}

void gv_gemm_serial(const gv_gemm *g, const void *a, const void *b, void *c, void *pack)
{
    gemm_run r = run_of(g, a, b, c, pack);
    entry(&r, 0, pack, g->n_ahead ? g : NULL);
}

void gv_gemm_run(const gv_gemm *g, const void *a, const void *b, void *c, void *scratch)
{
    gemm_run r = run_of(g, a, b, c, scratch);
    switch (way_of(g)) {
    case WAY_VECTOR: run_vector(&r); break;
    case WAY_SMALL: run_small(&r); break;
    case WAY_DIRECT: run_direct(&r); break;
    case WAY_TALL: run_tall(&r); break;
    default: run_packed(&r);
    }
}
