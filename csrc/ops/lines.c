/* Operators along one axis: positions of extrema, running sums, sorting, softmax. */
#include "kernels/reduce.h"
#include "ops/ops.h"
#include "ops/rank.h"

/* The axes before, at and behind a negative axis, as sizes. */
typedef struct extents {
    int64_t outer, n, inner;
} extents;

static extents extents_of(const gv_type *t, int64_t axis)
{
    int at = t->shape.ndim + (int)axis;
    return (extents){ gv_shape_span(&t->shape, 0, at), t->shape.dim[at],
                      gv_shape_span(&t->shape, at + 1, t->shape.ndim) };
}

static gv_status refuse_dtype(const gv_infer *inf)
{
    return gv_fail(GV_ERR_TYPE, "%s does not take %s", inf->op->name,
                   gv_dtype_name(inf->in[0].dtype));
}

static bool is_ordered(gv_dtype d) { return d <= GV_F64; }

/* --- argmax, argmin ------------------------------------------------------------------*/

static gv_status arg_infer(gv_infer *inf)
{
    int axis = 0;
    const gv_shape *s = &inf->in[0].shape;
    GV_TRY(gv_check_axis(inf, inf->attr[0], &axis));
    if (!is_ordered(inf->in[0].dtype)) return refuse_dtype(inf);
    gv_type *t = &inf->out[0];
    *t = (gv_type){ .dtype = GV_I64 };
    for (int k = 0; k < s->ndim; k++)
        if (k != axis) t->shape.dim[t->shape.ndim++] = s->dim[k];
    if (s->dim[axis] == 0 && gv_shape_size(&t->shape) > 0)
        return gv_fail(GV_ERR_VALUE, "%s: no element along the axis", inf->op->name);
    return GV_OK;
}

static gv_status arg_forward(const gv_call *call)
{
    extents e = extents_of(call->in_type, call->attr[0]);
    gv_reduce_arg(call->op->aux == 0, call->in_type->dtype, e.outer, e.n, e.inner,
                  call->in[0], call->out[0]);
    return GV_OK;
}

const gv_op gv_op_argmax = {
    .name = "argmax",
    .signature = "x(...) -> index(...)",
    .doc = "First position of the maximum along the axis (negative); NaN wins.",
    .attrs = "axis:int",
    .samples = "r[3] | axis=-1; r[5,7,3] | axis=-2; r[4,1] | axis=-1",
    .flags = GV_NODIFF,
    .infer = arg_infer,
    .forward = arg_forward,
    .nin = 1,
    .aux = 0,
};

const gv_op gv_op_argmin = {
    .name = "argmin",
    .signature = "x(...) -> index(...)",
    .doc = "First position of the minimum along the axis (negative); NaN wins.",
    .attrs = "axis:int",
    .samples = "r[3] | axis=-1; r[5,7,3] | axis=-2; r[4,1] | axis=-1",
    .flags = GV_NODIFF,
    .infer = arg_infer,
    .forward = arg_forward,
    .nin = 1,
    .aux = 1,
};

/* --- cumsum ---------------------------------------------------------------------------*/

static gv_status cumsum_infer(gv_infer *inf)
{
    int axis = 0;
    GV_TRY(gv_check_axis(inf, inf->attr[0], &axis));
    if (inf->in[0].dtype == GV_BOOL || gv_dtype_is_fixed(inf->in[0].dtype))
        return refuse_dtype(inf);
    inf->out[0] = inf->in[0];
    return GV_OK;
}

static gv_status cumsum_forward(const gv_call *call)
{
    extents e = extents_of(call->in_type, call->attr[0]);
    gv_reduce_cumsum(call->in_type->dtype, call->attr[1] != 0, e.outer, e.n, e.inner,
                     call->in[0], call->out[0]);
    return GV_OK;
}

static gv_status cumsum_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                            gv_val *g_in)
{
    int64_t attr[2] = { node->attr[0], !node->attr[1] };
    g_in[0] = gv_emit(g, &gv_op_cumsum, 1, g_out, 2, attr);
    return GV_OK;
}

const gv_op gv_op_cumsum = {
    .name = "cumsum",
    .signature = "x(...) -> y(...)",
    .doc = "Running sum along the axis (negative), from its end when reverse is 1.",
    .attrs = "axis:int, reverse:int",
    .samples = "x[3] | axis=-1 reverse=0; x[5,7,3] | axis=-2 reverse=1; "
               "x[2,0] | axis=-1 reverse=0",
    .flags = GV_LINEAR | GV_INPLACE,
    .infer = cumsum_infer,
    .forward = cumsum_forward,
    .vjp = cumsum_vjp,
    .nin = 1,
};

/* --- sort -----------------------------------------------------------------------------*/

static gv_status sort_infer(gv_infer *inf)
{
    GV_TRY(gv_check_rank(inf, 0, 1));
    if (!is_ordered(inf->in[0].dtype)) return refuse_dtype(inf);
    int64_t n = gv_dim_back(inf->in, 1);
    inf->scratch = gv_reduce_sort_scratch(gv_batch_count(inf->in, 1), n);
    inf->nout = inf->op->aux == 0 ? 2 : 1;
    inf->out[0] = inf->in[0];
    inf->out[inf->nout - 1] = gv_type_with(inf->in, GV_I64);
    return GV_OK;
}

static gv_status sort_forward(const gv_call *call)
{
    bool both = call->nout == 2;
    gv_reduce_sort(call->in_type->dtype, gv_batch_count(call->in_type, 1),
                   gv_dim_back(call->in_type, 1), call->in[0],
                   both ? call->out[0] : NULL, call->out[both ? 1 : 0], call->scratch);
    return GV_OK;
}

static gv_status sort_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                          gv_val *g_in)
{
    gv_val zeros = gv_emit_zeros_like(g, node->in[0]);
    if (g_out[0] == GV_NONE)
        g_in[0] = GV_NONE;
    else
        g_in[0] =
            gv_emit_3(g, &gv_op_scatter_along, zeros, gv_node_out(node, 1), g_out[0]);
    return GV_OK;
}

const gv_op gv_op_sort = {
    .name = "sort",
    .signature = "x(n) -> y(n), index(n)",
    .doc =
        "Ascending stable sort of the last axis and the original positions; NaN last.",
    .attrs = "",
    .samples = "r[3]; r[2,5,17]; r[2,0]; r[1]",
    .flags = 0,
    .infer = sort_infer,
    .forward = sort_forward,
    .vjp = sort_vjp,
    .nin = 1,
    .aux = 0,
};

const gv_op gv_op_argsort = {
    .name = "argsort",
    .signature = "x(n) -> index(n)",
    .doc = "Positions that sort the last axis (ascending, stable, NaN last).",
    .attrs = "",
    .samples = "r[3]; r[2,5,17]; r[2,0]",
    .flags = GV_NODIFF,
    .infer = sort_infer,
    .forward = sort_forward,
    .nin = 1,
    .aux = 1,
};

/* --- softmax --------------------------------------------------------------------------*/

static gv_status line_infer(gv_infer *inf)
{
    GV_TRY(gv_check_rank(inf, 0, 1));
    if (!gv_dtype_is_float(inf->in[0].dtype)) return refuse_dtype(inf);
    inf->out[0] = inf->in[0];
    return GV_OK;
}

/* Sum over the last axis, repeated along it again. */
static gv_val emit_line_sum(gv_graph *g, gv_val v)
{
    if (v == GV_NONE || gv_graph_status(g) != GV_OK) return GV_NONE;
    gv_shape full = gv_graph_type(g, v)->shape, keep = full;
    int64_t attr[2] = { 1, -1 };
    keep.dim[keep.ndim - 1] = 1;
    v = gv_emit(g, &gv_op_reduce_sum, 1, &v, 2, attr);
    return gv_emit_broadcast(g, gv_emit_reshape(g, v, &keep), &full);
}

static gv_status logsumexp_infer(gv_infer *inf)
{
    GV_TRY(line_infer(inf));
    return gv_shape_replace_core(&inf->in[0].shape, 1, 0, NULL, &inf->out[0].shape);
}

static gv_status logsumexp_forward(const gv_call *call)
{
    gv_reduce_logsumexp(call->in_type->dtype, gv_batch_count(call->in_type, 1),
                        gv_dim_back(call->in_type, 1), call->in[0], call->out[0]);
    return GV_OK;
}

static gv_status logsumexp_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                               gv_val *g_in)
{
    int64_t zero_empty = 1;
    gv_shape full = gv_in_type(g, node, 0)->shape, keep = full;
    keep.dim[keep.ndim - 1] = 1;
    gv_val w = gv_emit(g, &gv_op_softmax, 1, node->in, 1, &zero_empty);
    gv_val v = gv_emit_broadcast(g, gv_emit_reshape(g, g_out[0], &keep), &full);
    g_in[0] = gv_emit_2(g, &gv_op_mul, w, v);
    return GV_OK;
}

const gv_op gv_op_logsumexp = {
    .name = "logsumexp",
    .signature = "x(n) -> y()",
    .doc = "log sum exp x over the last axis, without overflow; -inf for only -inf.",
    .attrs = "",
    .samples = "r[3]; r[2,5,17]; r[2,1]; r[3]{300,900}",
    .flags = 0,
    .infer = logsumexp_infer,
    .forward = logsumexp_forward,
    .vjp = logsumexp_vjp,
    .nin = 1,
};

static gv_status softmax_forward(const gv_call *call)
{
    gv_reduce_softmax(call->in_type->dtype, call->attr[0] != 0,
                      gv_batch_count(call->in_type, 1), gv_dim_back(call->in_type, 1),
                      call->in[0], call->out[0]);
    return GV_OK;
}

static gv_status softmax_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                             gv_val *g_in)
{
    gv_val y = gv_node_out(node, 0), gy = gv_emit_2(g, &gv_op_mul, y, g_out[0]);
    gv_val mean = gv_emit_2(g, &gv_op_mul, y, emit_line_sum(g, gy));
    g_in[0] = gv_emit_sum2(g, gy, gv_emit_scale(g, mean, -1.0));
    return GV_OK;
}

const gv_op gv_op_softmax = {
    .name = "softmax",
    .signature = "x(n) -> y(n)",
    .doc = "exp x / sum exp x over the last axis; a line of only -inf gives NaN, or "
           "zeros when zero_empty is 1.",
    .attrs = "zero_empty:int",
    .samples = "r[3] | zero_empty=0; r[2,5,17] | zero_empty=0; r[2,1] | zero_empty=1",
    .flags = GV_INPLACE,
    .infer = line_infer,
    .forward = softmax_forward,
    .vjp = softmax_vjp,
    .nin = 1,
};

static gv_status log_softmax_forward(const gv_call *call)
{
    gv_reduce_log_softmax(call->in_type->dtype, gv_batch_count(call->in_type, 1),
                          gv_dim_back(call->in_type, 1), call->in[0], call->out[0]);
    return GV_OK;
}

static gv_status log_softmax_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                                 gv_val *g_in)
{
    int64_t zero_empty = 0;
    gv_val p = gv_emit(g, &gv_op_softmax, 1, node->in, 1, &zero_empty);
    gv_val back = gv_emit_2(g, &gv_op_mul, p, emit_line_sum(g, g_out[0]));
    g_in[0] = gv_emit_sum2(g, g_out[0], gv_emit_scale(g, back, -1.0));
    return GV_OK;
}

const gv_op gv_op_log_softmax = {
    .name = "log_softmax",
    .signature = "x(n) -> y(n)",
    .doc = "x - log sum exp x over the last axis.",
    .attrs = "",
    .samples = "r[3]; r[2,5,17]; r[2,1]",
    .flags = GV_INPLACE,
    .infer = line_infer,
    .forward = log_softmax_forward,
    .vjp = log_softmax_vjp,
    .nin = 1,
};
