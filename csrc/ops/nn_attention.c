/* Self-attention as an operator (formulas: kernels/attention.h).
 *
 * The reverse sweep is an operator of its own. Its derivative, written as graph nodes per
 * head: with a, b, c the cotangents of g_q, g_k, g_v, k = 1 / sqrt(e), D = g v',
 * r = <P, D>, F = P (D - r) and W = k (a k' + q b') (the cotangent of F),
 * w = <P, W>, U = P (W - w),
 *
 *   to g: U v + P c;  to v: U' g;  V = W (D - r) - w D + g c';  Z = P (V - <P, V>);
 *   to q: k (F b + Z k);  to k: k (F' a + Z' q). */
#include <math.h>

#include "kernels/attention.h"
#include "ops/ops.h"
#include "ops/rank.h"

static gv_attention problem_of(const gv_type *qkv, int64_t heads)
{
    return (gv_attention){ .dtype = qkv->dtype,
                           .batch = gv_batch_count(qkv, 2),
                           .t = gv_dim_back(qkv, 2),
                           .heads = heads,
                           .e = gv_dim_back(qkv, 1) / (3 * heads) };
}

static gv_status misfit(const gv_infer *inf, int i)
{
    char one[96], two[96];
    return gv_fail(GV_ERR_VALUE, "%s: %s does not fit %s", inf->op->name,
                   gv_type_format(&inf->in[i], one, sizeof one),
                   gv_type_format(&inf->in[0], two, sizeof two));
}

static gv_status attention_infer(gv_infer *inf)
{
    const gv_type *qkv = &inf->in[0];
    int64_t heads = inf->attr[0];
    char text[96];
    if (!gv_dtype_is_float(qkv->dtype))
        return gv_fail(GV_ERR_TYPE, "%s takes float32 or float64, not %s",
                       inf->op->name, gv_dtype_name(qkv->dtype));
    GV_TRY(gv_check_rank(inf, 0, 2));
    GV_TRY(gv_check_rank(inf, 1, 1));
    GV_TRY(gv_check_same_dtype(inf, 0, 1));
    GV_TRY(gv_check_batch(inf, 0, 2, 1, 1));
    int64_t t = gv_dim_back(qkv, 2), wide = gv_dim_back(qkv, 1);
    if (heads < 1 || wide < 1 || t < 1 || wide % (3 * heads) != 0)
        return gv_fail(
            GV_ERR_VALUE, "%s: %s does not hold queries, keys and values of %lld heads",
            inf->op->name, gv_type_format(qkv, text, sizeof text), (long long)heads);
    if (gv_dim_back(&inf->in[1], 1) != t) return misfit(inf, 1);
    inf->out[0] = *qkv;
    if (inf->nin == 2) {
        inf->out[0].shape.dim[qkv->shape.ndim - 1] = wide / 3;
    } else {
        GV_TRY(gv_check_rank(inf, 2, 2));
        GV_TRY(gv_check_same_dtype(inf, 0, 2));
        GV_TRY(gv_check_batch(inf, 0, 2, 2, 2));
        if (gv_dim_back(&inf->in[2], 2) != t || gv_dim_back(&inf->in[2], 1) != wide / 3)
            return misfit(inf, 2);
    }
    gv_attention p = problem_of(qkv, heads);
    inf->scratch = gv_attention_scratch(&p);
    return GV_OK;
}

static gv_status attention_forward(const gv_call *call)
{
    gv_attention p = problem_of(call->in_type, call->attr[0]);
    if (p.batch > 0)
        gv_attention_forward(&p, call->in[0], call->in[1], call->out[0], call->scratch);
    return GV_OK;
}

static gv_status bwd_forward(const gv_call *call)
{
    gv_attention p = problem_of(call->in_type, call->attr[0]);
    if (p.batch > 0)
        gv_attention_backward(&p, call->in[0], call->in[1], call->in[2], call->out[0],
                              call->scratch);
    return GV_OK;
}

static gv_status attention_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                               gv_val *g_in)
{
    gv_val in[3] = { node->in[0], node->in[1], g_out[0] };
    g_in[1] = GV_NONE;
    if (g_in[0] != GV_NONE)
        g_in[0] = gv_emit(g, &gv_op_attention_bwd, 3, in, node->nattr, node->attr);
    return GV_OK;
}

/* --- derivative of the reverse sweep ----------------------------------------------*/

typedef struct heads {
    gv_graph *g;
    gv_attention p;
    gv_shape scores; /* (batch heads, t, t) */
} heads;

static gv_val transposed(gv_graph *g, gv_val v, int n, const int64_t *perm)
{
    int64_t attr[6] = { n };
    for (int k = 0; k < n; k++) attr[1 + k] = perm[k];
    return gv_emit(g, &gv_op_transpose, 1, &v, 1 + n, attr);
}

/* Queries (0), keys (1) or values (2) as (batch heads, t, e). */
static gv_val part_of(const heads *h, gv_val qkv, int64_t which)
{
    const gv_attention *p = &h->p;
    gv_shape apart = { 5, { p->batch, p->t, 3, p->heads, p->e } };
    gv_shape rows = { 3, { p->batch * p->heads, p->t, p->e } };
    int64_t slice[18] = { 5, which, 0, 0, 0, 0, 5, 1, 1, 1, 1, 1, 5, 1 };
    memcpy(slice + 14, (int64_t[]){ p->batch, p->heads, p->t, p->e },
           4 * sizeof(int64_t));
    gv_val v = transposed(h->g, gv_emit_reshape(h->g, qkv, &apart), 5,
                          (int64_t[]){ 2, 0, 3, 1, 4 });
    v = gv_emit(h->g, &gv_op_slice, 1, &v, 18, slice);
    return gv_emit_reshape(h->g, v, &rows);
}

/* A y-like value as (batch heads, t, e), and back. */
static gv_val split(const heads *h, gv_val y)
{
    const gv_attention *p = &h->p;
    gv_shape apart = { 4, { p->batch, p->t, p->heads, p->e } };
    gv_shape rows = { 3, { p->batch * p->heads, p->t, p->e } };
    gv_val v = transposed(h->g, gv_emit_reshape(h->g, y, &apart), 4,
                          (int64_t[]){ 0, 2, 1, 3 });
    return gv_emit_reshape(h->g, v, &rows);
}

static gv_val merged(const heads *h, gv_val v, const gv_shape *like)
{
    const gv_attention *p = &h->p;
    gv_shape apart = { 4, { p->batch, p->heads, p->t, p->e } };
    v = transposed(h->g, gv_emit_reshape(h->g, v, &apart), 4,
                   (int64_t[]){ 0, 2, 1, 3 });
    return gv_emit_reshape(h->g, v, like);
}

/* The three parts together again. */
static gv_val joined(const heads *h, const gv_val *part, const gv_shape *like)
{
    const gv_attention *p = &h->p;
    gv_shape one = { 5, { 1, p->batch, p->heads, p->t, p->e } };
    gv_val row[3];
    int64_t axis = -5;
    for (int k = 0; k < 3; k++) row[k] = gv_emit_reshape(h->g, part[k], &one);
    gv_val v = gv_emit(h->g, &gv_op_concat, 3, row, 1, &axis);
    v = transposed(h->g, v, 5, (int64_t[]){ 1, 3, 0, 2, 4 });
    return gv_emit_reshape(h->g, v, like);
}

static gv_val mm(const heads *h, gv_val a, gv_val b, int64_t ta, int64_t tb)
{
    int64_t attr[2] = { ta, tb };
    gv_val in[2] = { a, b };
    return gv_emit(h->g, &gv_op_matmul, 2, in, 2, attr);
}

static gv_val mul(const heads *h, gv_val a, gv_val b)
{
    return gv_emit_2(h->g, &gv_op_mul, a, b);
}

static gv_val sub(const heads *h, gv_val a, gv_val b)
{
    return gv_emit_2(h->g, &gv_op_sub, a, b);
}

/* <a, b> of rows, repeated along them. */
static gv_val along(const heads *h, gv_val a, gv_val b)
{
    int64_t attr[2] = { 1, -1 };
    gv_shape keep = h->scores;
    keep.dim[2] = 1;
    gv_val v = mul(h, a, b);
    v = gv_emit(h->g, &gv_op_reduce_sum, 1, &v, 2, attr);
    return gv_emit_broadcast(h->g, gv_emit_reshape(h->g, v, &keep), &h->scores);
}

static gv_val softmax(const heads *h, gv_val q, gv_val k, gv_val mask, double scale)
{
    const gv_attention *p = &h->p;
    int64_t zero_empty = 1;
    gv_shape thin = { 4, { p->batch, 1, 1, p->t } };
    gv_shape full = { 4, { p->batch, p->heads, p->t, p->t } };
    gv_val m = gv_emit_broadcast(h->g, gv_emit_reshape(h->g, mask, &thin), &full);
    gv_val s = gv_emit_scale(h->g, mm(h, q, k, 0, 1), scale);
    s = gv_emit_2(h->g, &gv_op_add, s, gv_emit_reshape(h->g, m, &h->scores));
    return gv_emit(h->g, &gv_op_softmax, 1, &s, 1, &zero_empty);
}

static gv_status bwd_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                         gv_val *g_in)
{
    gv_type wide = *gv_in_type(g, node, 0), thin = *gv_in_type(g, node, 2);
    heads h = { g, problem_of(&wide, node->attr[0]), { 3, { 0 } } };
    double scale = 1 / sqrt((double)h.p.e);
    h.scores = (gv_shape){ 3, { h.p.batch * h.p.heads, h.p.t, h.p.t } };
    gv_val q = part_of(&h, node->in[0], 0), k = part_of(&h, node->in[0], 1);
    gv_val v = part_of(&h, node->in[0], 2), f = split(&h, node->in[2]);
    gv_val a = part_of(&h, g_out[0], 0), b = part_of(&h, g_out[0], 1);
    gv_val c = part_of(&h, g_out[0], 2);
    gv_val P = softmax(&h, q, k, node->in[1], scale);
    gv_val W = gv_emit_sum2(g, mm(&h, a, k, 0, 1), mm(&h, q, b, 0, 1));
    W = gv_emit_scale(g, W, scale);
    gv_val w = along(&h, P, W), U = mul(&h, P, sub(&h, W, w));
    if (g_in[2] != GV_NONE) {
        gv_val to_g = gv_emit_sum2(g, mm(&h, U, v, 0, 0), mm(&h, P, c, 0, 0));
        g_in[2] = merged(&h, to_g, &thin.shape);
    }
    g_in[1] = GV_NONE;
    if (g_in[0] == GV_NONE) return GV_OK;
    gv_val D = mm(&h, f, v, 0, 1), off = sub(&h, D, along(&h, P, D));
    gv_val F = mul(&h, P, off);
    gv_val V = sub(&h, mul(&h, W, off), mul(&h, w, D));
    V = gv_emit_sum2(g, V, mm(&h, f, c, 0, 1));
    gv_val Z = mul(&h, P, sub(&h, V, along(&h, P, V)));
    gv_val to[3] = { gv_emit_sum2(g, mm(&h, F, b, 0, 0), mm(&h, Z, k, 0, 0)),
                     gv_emit_sum2(g, mm(&h, F, a, 1, 0), mm(&h, Z, q, 1, 0)),
                     mm(&h, U, f, 1, 0) };
    to[0] = gv_emit_scale(g, to[0], scale);
    to[1] = gv_emit_scale(g, to[1], scale);
    g_in[0] = joined(&h, to, &wide.shape);
    return GV_OK;
}

const gv_op gv_op_attention = {
    .name = "attention",
    .signature = "qkv(t,w), mask(t) -> y(t,d)",
    .doc = "softmax(q k' / sqrt(e) + mask) v per head; rows of qkv hold queries, keys "
           "and values (3, heads, e). The mask is a constant.",
    .attrs = "heads:int",
    .samples = "r[5,12] r[5]! | heads=2; r[3,7,9] r[3,7]! | heads=1; "
               "r[2,2,4,24] r[2,2,4]! | heads=4; r[131,6] r[131]! | heads=1; "
               "r[1,3] r[1]! | heads=1; r[0,2,3] r[0,2]! | heads=1",
    .infer = attention_infer,
    .forward = attention_forward,
    .vjp = attention_vjp,
    .nin = 2,
};

const gv_op gv_op_attention_bwd = {
    .name = "attention_bwd",
    .signature = "qkv(t,w), mask(t), g(t,d) -> g_qkv(t,w)",
    .doc = "Cotangent of the rows of attention.",
    .attrs = "heads:int",
    .samples =
        "r[5,12] r[5]! r[5,4] | heads=2; r[3,7,9] r[3,7]! r[3,7,3] | heads=1; "
        "r[2,2,4,24] r[2,2,4]! r[2,2,4,8] | heads=4; r[131,6] r[131]! r[131,2] | "
        "heads=1; r[1,3] r[1]! r[1,1] | heads=1; r[0,2,3] r[0,2]! r[0,2,1] | "
        "heads=1",
    .infer = attention_infer,
    .forward = bwd_forward,
    .vjp = bwd_vjp,
    .nin = 3,
};
