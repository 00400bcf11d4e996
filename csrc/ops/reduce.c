/* Reductions over axes and their derivatives.
 *
 * sum: the cotangent is repeated. max, min: it is shared equally among ties. prod: the
 * cotangent runs down a tree of pairwise products, so that zeros are harmless and every
 * order of derivative exists. */
#include "kernels/reduce.h"

#include "ops/ops.h"
#include "ops/rank.h"

static gv_status reduced_axes(const gv_infer *inf, bool *reduced)
{
    const int64_t *p = inf->attr;
    gv_ints axes = gv_ints_take(&p);
    memset(reduced, 0, GV_MAX_DIM * sizeof *reduced);
    for (int k = 0; k < axes.n; k++) {
        int at = 0;
        GV_TRY(gv_check_axis(inf, axes.v[k], &at));
        if (reduced[at])
            return gv_fail(GV_ERR_VALUE, "%s: axis %lld is given twice", inf->op->name,
                           (long long)axes.v[k]);
        reduced[at] = true;
    }
    return GV_OK;
}

static gv_status reduce_infer(gv_infer *inf)
{
    bool reduced[GV_MAX_DIM];
    const gv_type *x = &inf->in[0];
    gv_reduce_kind kind = (gv_reduce_kind)inf->op->aux;
    char text[96];
    if (!gv_reduce_offers(kind, x->dtype))
        return gv_fail(GV_ERR_TYPE, "%s does not take %s", inf->op->name,
                       gv_dtype_name(x->dtype));
    GV_TRY(reduced_axes(inf, reduced));
    gv_shape *s = &inf->out[0].shape;
    int64_t reach = 1;
    inf->out[0] = (gv_type){ .dtype = x->dtype };
    for (int k = 0; k < x->shape.ndim; k++)
        if (reduced[k])
            reach *= x->shape.dim[k];
        else
            s->dim[s->ndim++] = x->shape.dim[k];
    bool extremum = kind == GV_REDUCE_MAX || kind == GV_REDUCE_MIN;
    if (extremum && reach == 0 && gv_shape_size(s) > 0)
        return gv_fail(GV_ERR_VALUE, "%s: %s has no element along the axes asked for",
                       inf->op->name, gv_type_format(x, text, sizeof text));
    gv_reduce_plan plan;
    gv_reduce_plan_make(&plan, kind, x->dtype, &x->shape, reduced);
    inf->scratch = gv_reduce_scratch(&plan);
    return GV_OK;
}

static gv_status reduce_forward(const gv_call *call)
{
    const int64_t *p = call->attr;
    gv_ints axes = gv_ints_take(&p);
    bool reduced[GV_MAX_DIM] = { false };
    for (int k = 0; k < axes.n; k++)
        reduced[call->in_type->shape.ndim + axes.v[k]] = true;
    gv_reduce_plan plan;
    gv_reduce_plan_make(&plan, (gv_reduce_kind)call->op->aux, call->in_type->dtype,
                        &call->in_type->shape, reduced);
    gv_reduce_run(&plan, call->in[0], call->out[0], call->scratch);
    return GV_OK;
}

/* v, reduced over the axes, repeated to the shape before. */
static gv_val emit_expand(gv_graph *g, gv_val v, gv_ints axes, gv_shape shape)
{
    gv_shape keep = shape;
    for (int k = 0; k < axes.n; k++) keep.dim[shape.ndim + axes.v[k]] = 1;
    return gv_emit_broadcast(g, gv_emit_reshape(g, v, &keep), &shape);
}

static gv_status sum_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                         gv_val *g_in)
{
    const int64_t *p = node->attr;
    gv_ints axes = gv_ints_take(&p);
    g_in[0] = emit_expand(g, g_out[0], axes, gv_in_type(g, node, 0)->shape);
    return GV_OK;
}

static gv_status extremum_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                              gv_val *g_in)
{
    const int64_t *p = node->attr;
    gv_ints axes = gv_ints_take(&p);
    gv_type t = *gv_in_type(g, node, 0);
    gv_val best = emit_expand(g, gv_node_out(node, 0), axes, t.shape);
    gv_val tie = gv_emit_cast(g, gv_emit_2(g, &gv_op_eq, node->in[0], best), t.dtype);
    gv_val count = gv_emit(g, &gv_op_reduce_sum, 1, &tie, node->nattr, node->attr);
    gv_val share = gv_emit_2(g, &gv_op_div, g_out[0], count);
    g_in[0] = gv_emit_2(g, &gv_op_mul, tie, emit_expand(g, share, axes, t.shape));
    return GV_OK;
}

/* --- product -------------------------------------------------------------------------*/

/* Elements from..from+size-1 of the last axis. */
static gv_val emit_part(gv_graph *g, gv_val v, int64_t from, int64_t size)
{
    int64_t attr[6] = { 1, from, 1, 1, 1, size };
    return gv_emit(g, &gv_op_slice, 1, &v, 6, attr);
}

static gv_val emit_join(gv_graph *g, int n, const gv_val *parts)
{
    int64_t axis = -1;
    return n == 1 ? parts[0] : gv_emit(g, &gv_op_concat, n, parts, 1, &axis);
}

/* Cotangent of x(..., n) from that of its product g_y(..., 1): up the tree of pairwise
 * products, then down; a level of length n has pairs (i, i + n/2) and perhaps a rest. */
static gv_val emit_product_tree(gv_graph *g, gv_val x, int64_t n, gv_val g_y)
{
    gv_val low[64], high[64];
    int64_t length[64];
    int levels = 0;
    while (n > 1) {
        int64_t h = n / 2;
        low[levels] = emit_part(g, x, 0, h);
        high[levels] = emit_part(g, x, h, h);
        length[levels] = n;
        gv_val parts[2] = { gv_emit_2(g, &gv_op_mul, low[levels], high[levels]),
                            GV_NONE };
        if (n % 2) parts[1] = emit_part(g, x, n - 1, 1);
        x = emit_join(g, n % 2 ? 2 : 1, parts);
        n = h + n % 2;
        levels++;
    }
    while (levels-- > 0) {
        n = length[levels];
        int64_t h = n / 2;
        gv_val both = emit_part(g, g_y, 0, h);
        gv_val parts[3] = {
            gv_emit_2(g, &gv_op_mul, both, gv_emit_conj(g, high[levels])),
            gv_emit_2(g, &gv_op_mul, both, gv_emit_conj(g, low[levels])), GV_NONE
        };
        if (n % 2) parts[2] = emit_part(g, g_y, h, 1);
        g_y = emit_join(g, n % 2 ? 3 : 2, parts);
    }
    return g_y;
}

static gv_status prod_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                          gv_val *g_in)
{
    const int64_t *p = node->attr;
    gv_ints axes = gv_ints_take(&p);
    gv_shape s = gv_in_type(g, node, 0)->shape, moved = { 0 }, flat = { 0 }, one;
    int64_t forth[1 + GV_MAX_DIM] = { s.ndim }, back[1 + GV_MAX_DIM] = { s.ndim };
    unsigned mask = 0;
    int64_t n = 1;
    for (int k = 0; k < axes.n; k++) mask |= 1u << (s.ndim + axes.v[k]);
    for (int pass = 0; pass < 2; pass++) /* kept axes first, then the reduced */
        for (int k = 0; k < s.ndim; k++)
            if ((int)(mask >> k & 1) == pass) {
                forth[1 + moved.ndim] = k;
                back[1 + k] = moved.ndim;
                moved.dim[moved.ndim++] = s.dim[k];
                if (pass == 1) n *= s.dim[k];
            }
    for (int k = 0; k < s.ndim - axes.n; k++) flat.dim[flat.ndim++] = moved.dim[k];
    flat.dim[flat.ndim++] = n;
    one = flat;
    one.dim[one.ndim - 1] = 1;
    if (n == 0) {
        g_in[0] = GV_NONE;
        return GV_OK;
    }
    gv_val x = gv_emit(g, &gv_op_transpose, 1, node->in, 1 + s.ndim, forth);
    x = gv_emit_reshape(g, x, &flat);
    gv_val v = emit_product_tree(g, x, n, gv_emit_reshape(g, g_out[0], &one));
    v = gv_emit_reshape(g, v, &moved);
    g_in[0] = gv_emit(g, &gv_op_transpose, 1, &v, 1 + s.ndim, back);
    return GV_OK;
}

/* --- the table -------------------------------------------------------------------------*/

const gv_op gv_op_reduce_sum = {
    .name = "reduce_sum",
    .signature = "x(...) -> y(...)",
    .doc = "Sum over the axes (negative); float32 accumulates in float64.",
    .attrs = "axes:ints",
    .samples = "x[3] | axes=(-1,); x[5,7,11] | axes=(-3,-1); x[4,33,3] | axes=(-2,); "
               "x[2,0] | axes=(-1,)",
    .flags = GV_LINEAR,
    .infer = reduce_infer,
    .forward = reduce_forward,
    .vjp = sum_vjp,
    .nin = 1,
    .aux = GV_REDUCE_SUM,
};

const gv_op gv_op_reduce_prod = {
    .name = "reduce_prod",
    .signature = "x(...) -> y(...)",
    .doc = "Product over the axes (negative).",
    .attrs = "axes:ints",
    .samples = "x[3] | axes=(-1,); x[5,3,2] | axes=(-3,-1); x[2,0] | axes=(-1,)",
    .flags = 0,
    .infer = reduce_infer,
    .forward = reduce_forward,
    .vjp = prod_vjp,
    .nin = 1,
    .aux = GV_REDUCE_PROD,
};

const gv_op gv_op_reduce_max = {
    .name = "reduce_max",
    .signature = "x(...) -> y(...)",
    .doc = "Maximum over the axes (negative); NaN wins; ties share the cotangent.",
    .attrs = "axes:ints",
    .samples = "r[3] | axes=(-1,); r[5,7,3] | axes=(-3,-1); r[0,3] | axes=(-1,)",
    .flags = 0,
    .infer = reduce_infer,
    .forward = reduce_forward,
    .vjp = extremum_vjp,
    .nin = 1,
    .aux = GV_REDUCE_MAX,
};

const gv_op gv_op_reduce_min = {
    .name = "reduce_min",
    .signature = "x(...) -> y(...)",
    .doc = "Minimum over the axes (negative); NaN wins; ties share the cotangent.",
    .attrs = "axes:ints",
    .samples = "r[3] | axes=(-1,); r[5,7,3] | axes=(-3,-1); r[0,3] | axes=(-1,)",
    .flags = 0,
    .infer = reduce_infer,
    .forward = reduce_forward,
    .vjp = extremum_vjp,
    .nin = 1,
    .aux = GV_REDUCE_MIN,
};
