/* What optimisers do to whole parameters.
 *
 * sum_squares: s = sum x^2 in float64, for the length of a gradient.
 *
 * adam_update: one step of Adam, AdamW or RAdam over all elements of a parameter.
 *
 *   u  = factor g + decay p          m' = b1 m + (1 - b1) u
 *   v' = b2 v + (1 - b2) u^2         p' = keep p - size m' / (root sqrt(v') + eps)
 *
 * What depends on the step comes in as float64 scalars: size and root carry the
 * corrections for the moments' start at zero, keep the decoupled decay of the weights,
 * factor the clipping of the gradient. The outputs may lie on p, m and v. */
#include "kernels/optim.h"

#include "ops/ops.h"
#include "ops/rank.h"

enum { P, M, V, G, SIZE, ROOT, EPS, KEEP, FACTOR, N_IN };
enum { B1, B2, DECAY };

static gv_status adam_infer(gv_infer *inf)
{
    if (!gv_dtype_is_float(inf->in[P].dtype))
        return gv_fail(GV_ERR_TYPE, "adam_update takes float32 or float64, not %s",
                       gv_dtype_name(inf->in[P].dtype));
    for (int i = P; i < N_IN; i++) {
        int core = i < SIZE ? 1 : 0;
        GV_TRY(gv_check_rank(inf, i, core));
        GV_TRY(gv_check_batch(inf, P, 1, i, core));
        if (i < SIZE) {
            GV_TRY(gv_check_same_dtype(inf, P, i));
            if (gv_dim_back(&inf->in[i], 1) != gv_dim_back(&inf->in[P], 1))
                return gv_fail(GV_ERR_VALUE,
                               "adam_update: input %d has %lld elements, p has %lld", i,
                               (long long)gv_dim_back(&inf->in[i], 1),
                               (long long)gv_dim_back(&inf->in[P], 1));
        } else if (inf->in[i].dtype != GV_F64) {
            return gv_fail(GV_ERR_TYPE, "adam_update: input %d must be float64, not %s",
                           i, gv_dtype_name(inf->in[i].dtype));
        }
    }
    inf->nout = 3;
    GV_TRY(gv_infer_reserve(inf, 3));
    for (int o = 0; o < 3; o++) inf->out[o] = inf->in[P];
    return GV_OK;
}

static gv_status adam_forward(const gv_call *call)
{
    const gv_type *t = call->in_type;
    int64_t n = gv_dim_back(t, 1), batch = gv_batch_count(t, 1);
    size_t bytes = (size_t)n * gv_dtype_size(t->dtype);
    gv_adam a = { .b1 = gv_attr_float(call->attr[B1]),
                  .b2 = gv_attr_float(call->attr[B2]),
                  .decay = gv_attr_float(call->attr[DECAY]) };
    const char *in[4];
    char *out[3];
    for (int64_t b = 0; b < batch; b++) {
        for (int i = 0; i < 4; i++)
            in[i] = (const char *)call->in[i] + (size_t)b * bytes;
        for (int o = 0; o < 3; o++) out[o] = (char *)call->out[o] + (size_t)b * bytes;
        a.size = ((const double *)call->in[SIZE])[b];
        a.root = ((const double *)call->in[ROOT])[b];
        a.eps = ((const double *)call->in[EPS])[b];
        a.keep = ((const double *)call->in[KEEP])[b];
        a.factor = ((const double *)call->in[FACTOR])[b];
        gv_adam_run(t->dtype, n, &a, in[P], in[M], in[V], in[G], out[P], out[M],
                    out[V]);
    }
    return GV_OK;
}

/* --- reverse mode: element-wise nodes ----------------------------------------------- */
struct back {
    gv_graph *g;
    const gv_node *node;
    gv_type type;
};

static gv_val times(const struct back *b, gv_val x, gv_val y)
{
    return gv_emit_2(b->g, &gv_op_mul, x, y);
}

static gv_val over(const struct back *b, gv_val x, gv_val y)
{
    return gv_emit_2(b->g, &gv_op_div, x, y);
}

/* A scalar of the step for each element, in their dtype. */
static gv_val spread(const struct back *b, int i)
{
    gv_shape s = gv_in_type(b->g, b->node, i)->shape;
    s.dim[s.ndim++] = 1;
    gv_val x = gv_emit_cast(b->g, b->node->in[i], b->type.dtype);
    return gv_emit_broadcast(b->g, gv_emit_reshape(b->g, x, &s), &b->type.shape);
}

/* Sum over the elements, as the cotangent of a scalar. */
static gv_val total(const struct back *b, gv_val x)
{
    int64_t attr[] = { 1, -1 };
    return gv_emit(b->g, &gv_op_reduce_sum, 1,
                   (gv_val[]){ gv_emit_cast(b->g, x, GV_F64) }, 2, attr);
}

static gv_val scaled(const struct back *b, gv_val x, double k)
{
    return x == GV_NONE ? GV_NONE : gv_emit_scale(b->g, x, k);
}

/* Cotangents of m', v', and of size, root and eps, that come through p'. */
static void through_step(const struct back *b, gv_val g_p, gv_val *g_m, gv_val *g_v,
                         gv_val *g_in)
{
    gv_graph *g = b->g;
    gv_val m = gv_node_out(b->node, M), v = gv_node_out(b->node, V);
    gv_val root = spread(b, ROOT), size = spread(b, SIZE);
    gv_val s = gv_emit_1(g, &gv_op_sqrt, v);
    gv_val d = gv_emit_2(g, &gv_op_add, times(b, s, root), spread(b, EPS));
    gv_val per = over(b, g_p, d);               /* g_p / d */
    gv_val move = over(b, times(b, per, m), d); /* g_p m' / d^2 */
    gv_val pull = times(b, move, size);
    gv_val zero = gv_emit_zeros_like(g, s);
    gv_val steep = over(b, times(b, pull, root), gv_emit_scale(g, s, 2));
    steep = gv_emit_3(g, &gv_op_where, gv_emit_2(g, &gv_op_gt, s, zero), steep, zero);
    *g_m = gv_emit_sum2(g, *g_m, gv_emit_scale(g, times(b, per, size), -1));
    *g_v = gv_emit_sum2(g, *g_v, steep);
    if (g_in[SIZE] != GV_NONE)
        g_in[SIZE] = total(b, gv_emit_scale(g, times(b, per, m), -1));
    if (g_in[ROOT] != GV_NONE) g_in[ROOT] = total(b, times(b, pull, s));
    if (g_in[EPS] != GV_NONE) g_in[EPS] = total(b, pull);
}

static gv_status adam_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                          gv_val *g_in)
{
    struct back b = { g, node, *gv_in_type(g, node, P) };
    double b1 = gv_attr_float(node->attr[B1]), b2 = gv_attr_float(node->attr[B2]);
    double decay = gv_attr_float(node->attr[DECAY]);
    gv_val g_m = g_out[M], g_v = g_out[V], g_p = g_out[P];
    bool step = g_p != GV_NONE;
    gv_val factor = spread(&b, FACTOR);
    gv_val u =
        gv_emit_sum2(g, times(&b, factor, node->in[G]), scaled(&b, node->in[P], decay));
    if (step)
        through_step(&b, g_p, &g_m, &g_v, g_in);
    else
        g_in[SIZE] = g_in[ROOT] = g_in[EPS] = GV_NONE;
    gv_val g_u = scaled(&b, g_m, 1 - b1);
    if (g_v != GV_NONE)
        g_u = gv_emit_sum2(g, g_u, scaled(&b, times(&b, g_v, u), 2 * (1 - b2)));
    if (g_in[M] != GV_NONE) g_in[M] = scaled(&b, g_m, b1);
    if (g_in[V] != GV_NONE) g_in[V] = scaled(&b, g_v, b2);
    if (g_in[P] != GV_NONE)
        g_in[P] = gv_emit_sum2(g, step ? times(&b, spread(&b, KEEP), g_p) : GV_NONE,
                               scaled(&b, g_u, decay));
    if (g_in[KEEP] != GV_NONE)
        g_in[KEEP] = step ? total(&b, times(&b, g_p, node->in[P])) : GV_NONE;
    if (g_in[G] != GV_NONE) g_in[G] = g_u == GV_NONE ? GV_NONE : times(&b, g_u, factor);
    if (g_in[FACTOR] != GV_NONE)
        g_in[FACTOR] =
            g_u == GV_NONE ? GV_NONE : total(&b, times(&b, g_u, node->in[G]));
    return GV_OK;
}

static int adam_in_place(const gv_node *node)
{
    (void)node;
    return 3;
}

#define SCALARS " w{0.01,0.1}[] w{1,3}[] w{0.1,0.2}[] w{0.5,1}[] w{0.5,1}[]"

const gv_op gv_op_adam_update = {
    .name = "adam_update",
    .signature = "p(n), m(n), v(n), g(n), size(), root(), eps(), keep(), factor() -> "
                 "p(n), m(n), v(n)",
    .doc = "u = factor g + decay p; m' = b1 m + (1-b1) u; v' = b2 v + (1-b2) u^2; "
           "p' = keep p - size m' / (root sqrt(v') + eps).",
    .attrs = "b1:float, b2:float, decay:float",
    .samples = "r[5] r[5] p[5] r[5]" SCALARS " | b1=0.9 b2=0.99 decay=0.0; "
               "r[2,7] r[2,7] p[2,7] r[2,7] w{0.01,0.1}[2] w{1,3}[2] w{0.1,0.2}[2] "
               "w{0.5,1}[2] w{0.5,1}[2] | b1=0.8 b2=0.9 decay=0.1; "
               "r[0] r[0] p[0] r[0]" SCALARS " | b1=0.9 b2=0.999 decay=0.0",
    .infer = adam_infer,
    .forward = adam_forward,
    .vjp = adam_vjp,
    .carries = adam_in_place,
    .nin = N_IN,
};

/* --- sum_squares -------------------------------------------------------------------- */
static gv_status squares_infer(gv_infer *inf)
{
    GV_TRY(gv_check_rank(inf, 0, 1));
    if (!gv_dtype_is_float(inf->in[0].dtype))
        return gv_fail(GV_ERR_TYPE, "sum_squares takes float32 or float64, not %s",
                       gv_dtype_name(inf->in[0].dtype));
    inf->out[0] = gv_type_with(&inf->in[0], GV_F64);
    inf->out[0].shape.dim[--inf->out[0].shape.ndim] = 0;
    inf->scratch =
        (size_t)gv_squares_parts(gv_dim_back(&inf->in[0], 1)) * sizeof(double);
    return GV_OK;
}

static gv_status squares_forward(const gv_call *call)
{
    const gv_type *t = call->in_type;
    int64_t n = gv_dim_back(t, 1), batch = gv_batch_count(t, 1);
    size_t bytes = (size_t)n * gv_dtype_size(t->dtype);
    for (int64_t b = 0; b < batch; b++)
        ((double *)call->out[0])[b] = gv_squares_run(
            t->dtype, n, (const char *)call->in[0] + (size_t)b * bytes, call->scratch);
    return GV_OK;
}

static gv_status squares_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                             gv_val *g_in)
{
    const gv_type *t = gv_in_type(g, node, 0);
    gv_shape s = gv_graph_type(g, g_out[0])->shape;
    s.dim[s.ndim++] = 1;
    gv_val k = gv_emit_reshape(g, gv_emit_cast(g, g_out[0], t->dtype), &s);
    g_in[0] = gv_emit_2(g, &gv_op_mul, gv_emit_scale(g, node->in[0], 2),
                        gv_emit_broadcast(g, k, &t->shape));
    return GV_OK;
}

const gv_op gv_op_sum_squares = {
    .name = "sum_squares",
    .signature = "x(n) -> s()",
    .doc = "s = sum x^2, in float64.",
    .attrs = "",
    .samples = "r[5]; r[3,40]; r[0]; r[70000]",
    .infer = squares_infer,
    .forward = squares_forward,
    .vjp = squares_vjp,
    .nin = 1,
};
