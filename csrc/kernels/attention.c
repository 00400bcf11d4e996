/* Self-attention by blocks of rows (kernels/attention.h): threads, products, blocks.
 *
 * A task takes every slots-th head of all entries; slots are fixed by the problem, each
 * with scratch of its own. */
#include "kernels/attention.h"

#include <math.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "kernels/attention_table.h"
#include "kernels/gemm.h"

enum { block_items = 1 << 17, least_rows = 8, most_rows = 128, most_slots = 16 };

typedef struct run {
    const gv_attention *p;
    const gv_attention_rows *rows;
    gv_ew_kernel exp;
    size_t item, slot_bytes;
    int64_t slots, wide, d, block; /* row lengths of qkv and y; rows of a block */
    const char *qkv, *mask, *g;
    char *out, *scratch;
} run;

/* What one slot works with. */
typedef struct desk {
    char *scores, *cotangent, *part, *pack;
} desk;

static size_t rounded(size_t bytes) { return (bytes + 63) / 64 * 64; }

static const gv_attention_rows *rows_of(gv_dtype dtype)
{
    int k = dtype == GV_F64;
    switch (gv_simd_level()) {
    case GV_SIMD_AVX512: return &gv_attention_avx512[k];
    case GV_SIMD_AVX2: return &gv_attention_avx2[k];
    default: return &gv_attention_base[k];
    }
}

/* c(m, n) = a b, rows of c c_row apart. */
static gv_gemm product(const run *r, int64_t m, int64_t n, int64_t k, int64_t a_row,
                       int64_t a_col, int64_t b_row, int64_t b_col, int64_t c_row)
{
    return (gv_gemm){ .dtype = r->p->dtype,
                      .m = m,
                      .n = n,
                      .k = k,
                      .batch = 1,
                      .a_row = a_row,
                      .a_col = a_col,
                      .b_row = b_row,
                      .b_col = b_col,
                      .c_row = c_row };
}

/* rows x t products of rows of a (a_row apart) with rows of qkv. */
static gv_gemm score_product(const run *r, int64_t rows, int64_t a_row)
{
    return product(r, rows, r->p->t, r->p->e, a_row, 1, 1, r->wide, r->p->t);
}

static run run_of(const gv_attention *p)
{
    run r = { .p = p, .item = gv_dtype_size(p->dtype), .d = p->heads * p->e };
    r.wide = 3 * r.d;
    r.block = block_items / p->t;
    if (r.block < least_rows) r.block = least_rows;
    if (r.block > most_rows) r.block = most_rows;
    if (r.block > p->t) r.block = p->t;
    int64_t heads = p->batch * p->heads;
    r.slots = heads < most_slots ? heads : most_slots;
    gv_gemm of_q = score_product(&r, r.block, r.wide);
    gv_gemm of_g = score_product(&r, r.block, r.d);
    size_t pack = gv_gemm_pack_bytes(&of_q), other = gv_gemm_pack_bytes(&of_g);
    r.slot_bytes = 2 * rounded(r.item * (size_t)(r.block * p->t)) +
        rounded(r.item * (size_t)(p->t * p->e)) + rounded(pack > other ? pack : other);
    return r;
}

size_t gv_attention_scratch(const gv_attention *p)
{
    run r = run_of(p);
    return r.slot_bytes * (size_t)r.slots;
}

static desk desk_of(const run *r, int64_t slot)
{
    size_t scores = rounded(r->item * (size_t)(r->block * r->p->t));
    char *at = r->scratch + r->slot_bytes * (size_t)slot;
    return (desk){ at, at + scores, at + 2 * scores,
                   at + 2 * scores + rounded(r->item * (size_t)(r->p->t * r->p->e)) };
}

/* Row i of entry b at head h: of the queries (part 0), keys (1), values (2), and of y. */
static size_t qkv_at(const run *r, int64_t b, int64_t i, int64_t part, int64_t h)
{
    return r->item * (size_t)((b * r->p->t + i) * r->wide + part * r->d + h * r->p->e);
}

static size_t y_at(const run *r, int64_t b, int64_t i, int64_t h)
{
    return r->item * (size_t)((b * r->p->t + i) * r->d + h * r->p->e);
}

/* Softmax of the scores of rows i .. i + rows - 1. */
static void weights(const run *r, const desk *k, int64_t b, int64_t h, int64_t i,
                    int64_t rows)
{
    gv_gemm s = score_product(r, rows, r->wide);
    gv_gemm_serial(&s, r->qkv + qkv_at(r, b, i, 0, h), r->qkv + qkv_at(r, b, 0, 1, h),
                   k->scores, k->pack);
    r->rows->softmax(k->scores, rows, r->p->t, 1 / sqrt((double)r->p->e),
                     r->mask + r->item * (size_t)(b * r->p->t), r->exp);
}

static void forward_head(const run *r, const desk *k, int64_t b, int64_t h)
{
    int64_t t = r->p->t, e = r->p->e;
    for (int64_t i = 0; i < t; i += r->block) {
        int64_t rows = t - i < r->block ? t - i : r->block;
        weights(r, k, b, h, i, rows);
        gv_gemm y = product(r, rows, e, t, t, 1, r->wide, 1, r->d);
        gv_gemm_serial(&y, k->scores, r->qkv + qkv_at(r, b, 0, 2, h),
                       r->out + y_at(r, b, i, h), NULL);
    }
}

/* g_qkv at a part of all rows (+)= scores' x, x with rows x_row apart. */
static void gather(const run *r, const desk *k, const char *scores, int64_t rows,
                   const char *x, int64_t x_row, bool first, char *to)
{
    int64_t t = r->p->t, e = r->p->e;
    gv_gemm c = product(r, t, e, rows, 1, t, x_row, 1, first ? r->wide : e);
    gv_gemm_serial(&c, scores, x, first ? to : k->part, NULL);
    if (!first) r->rows->add(k->part, t, e, r->wide, to);
}

static void backward_head(const run *r, const desk *k, int64_t b, int64_t h)
{
    int64_t t = r->p->t, e = r->p->e;
    for (int64_t i = 0; i < t; i += r->block) {
        int64_t rows = t - i < r->block ? t - i : r->block;
        const char *q = r->qkv + qkv_at(r, b, i, 0, h), *g = r->g + y_at(r, b, i, h);
        weights(r, k, b, h, i, rows);
        gv_gemm d = score_product(r, rows, r->d);
        gv_gemm_serial(&d, g, r->qkv + qkv_at(r, b, 0, 2, h), k->cotangent, k->pack);
        gather(r, k, k->scores, rows, g, r->d, i == 0, r->out + qkv_at(r, b, 0, 2, h));
        r->rows->pull(k->scores, k->cotangent, rows, t, 1 / sqrt((double)e));
        gv_gemm to_q = product(r, rows, e, t, t, 1, r->wide, 1, r->wide);
        gv_gemm_serial(&to_q, k->cotangent, r->qkv + qkv_at(r, b, 0, 1, h),
                       r->out + qkv_at(r, b, i, 0, h), NULL);
        gather(r, k, k->cotangent, rows, q, r->wide, i == 0,
               r->out + qkv_at(r, b, 0, 1, h));
    }
}

static void slot_task(void *ctx, int64_t slot)
{
    const run *r = ctx;
    desk k = desk_of(r, slot);
    int64_t all = r->p->batch * r->p->heads;
    for (int64_t n = slot; n < all; n += r->slots) {
        if (r->g != NULL)
            backward_head(r, &k, n / r->p->heads, n % r->p->heads);
        else
            forward_head(r, &k, n / r->p->heads, n % r->p->heads);
    }
}

static void start(const gv_attention *p, const void *qkv, const void *mask,
                  const void *g, void *out, void *scratch)
{
    run r = run_of(p);
    r.rows = rows_of(p->dtype);
    r.exp = gv_ew_get(GV_EW_EXP, p->dtype, p->dtype);
    r.qkv = qkv;
    r.mask = mask;
    r.g = g;
    r.out = out;
    r.scratch = scratch;
    gv_parallel_for(r.slots, slot_task, &r);
}

void gv_attention_forward(const gv_attention *p, const void *qkv, const void *mask,
                          void *y, void *scratch)
{
    start(p, qkv, mask, NULL, y, scratch);
}

void gv_attention_backward(const gv_attention *p, const void *qkv, const void *mask,
                           const void *g, void *g_qkv, void *scratch)
{
    start(p, qkv, mask, g, g_qkv, scratch);
}
