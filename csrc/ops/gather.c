/* Indexed access: take and scatter_add along the first core axis, take_along and
 * scatter_along along the last, triangles. Indices are int64 and not negative (the
 * wrappers wrap them); one that leaves its axis is an error that names it. */
#include "kernels/move.h"
#include "ops/ops.h"
#include "ops/rank.h"

static gv_status check_index(const gv_infer *inf, int i)
{
    if (inf->in[i].dtype == GV_I64) return GV_OK;
    return gv_fail(GV_ERR_TYPE, "%s: the index must be int64, not %s", inf->op->name,
                   gv_dtype_name(inf->in[i].dtype));
}

static gv_status check_range(const gv_call *call, int i, int64_t n)
{
    const int64_t *index = call->in[i];
    int64_t k = gv_shape_size(&call->in_type[i].shape);
    int64_t bad = gv_move_find_bad(index, k, n);
    if (bad < 0) return GV_OK;
    return gv_fail(GV_ERR_VALUE,
                   "%s: index %lld at position %lld is out of range for an "
                   "axis of length %lld",
                   call->op->name, (long long)index[bad], (long long)bad, (long long)n);
}

static gv_status copy_input(const gv_call *call)
{
    size_t bytes;
    GV_TRY(gv_type_bytes(call->out_type, &bytes));
    gv_move_bytes(call->out[0], call->in[0], bytes);
    return GV_OK;
}

/* Zeros shaped like input k of the node, in its cotangent's dtype. */
static gv_val zeros_of(gv_graph *g, const gv_node *node, int k)
{
    return gv_emit_zeros_like(g, node->in[k]);
}

/* --- take ---------------------------------------------------------------------------*/

static gv_status take_infer(gv_infer *inf)
{
    GV_TRY(gv_check_rank(inf, 0, 2));
    GV_TRY(gv_check_rank(inf, 1, 1));
    GV_TRY(gv_check_batch(inf, 0, 2, 1, 1));
    GV_TRY(check_index(inf, 1));
    inf->out[0] = inf->in[0];
    inf->out[0].shape.dim[inf->in[0].shape.ndim - 2] = gv_dim_back(&inf->in[1], 1);
    return GV_OK;
}

static gv_status take_forward(const gv_call *call)
{
    int64_t n = gv_dim_back(call->in_type, 2), m = gv_dim_back(call->in_type, 1);
    GV_TRY(check_range(call, 1, n));
    gv_move_take(gv_batch_count(call->in_type, 2), n, gv_dim_back(call->in_type + 1, 1),
                 (size_t)m * gv_dtype_size(call->in_type->dtype), call->in[0],
                 call->in[1], call->out[0]);
    return GV_OK;
}

static gv_status take_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                          gv_val *g_in)
{
    if (g_in[0] == GV_NONE) return GV_OK;
    g_in[0] =
        gv_emit_3(g, &gv_op_scatter_add, zeros_of(g, node, 0), node->in[1], g_out[0]);
    return GV_OK;
}

/* One table, many index sets: take all rows at once. */
static gv_status take_batch(gv_graph *g, const gv_node *node, int64_t n,
                            const gv_val *in, const bool *batched, gv_val *out)
{
    if (!batched[0] && gv_in_type(g, node, 0)->shape.ndim == 2) {
        int64_t k = gv_dim_back(gv_in_type(g, node, 1), 1);
        int64_t m = gv_dim_back(gv_in_type(g, node, 0), 1);
        gv_shape flat = { 1, { n * k } }, full = { 3, { n, k, m } };
        gv_val v = gv_emit_2(g, &gv_op_take, in[0], gv_emit_reshape(g, in[1], &flat));
        out[0] = gv_emit_reshape(g, v, &full);
        return GV_OK;
    }
    gv_val x = batched[0] ? in[0] : gv_emit_lead(g, in[0], n);
    out[0] =
        gv_emit_2(g, &gv_op_take, x, batched[1] ? in[1] : gv_emit_lead(g, in[1], n));
    return GV_OK;
}

const gv_op gv_op_take = {
    .name = "take",
    .signature = "x(n,m), index(k) -> y(k,m)",
    .doc = "Rows of x at the indices, which must lie in 0..n-1.",
    .attrs = "",
    .samples = "x[4,3] i[2]{0,4}; x[3,7,5] i[3,9]{0,7}; x[5,2] i[0]{0,5}",
    .flags = GV_LINEAR,
    .infer = take_infer,
    .forward = take_forward,
    .vjp = take_vjp,
    .batch = take_batch,
    .nin = 2,
};

/* --- scatter_add ----------------------------------------------------------------------*/

static gv_status check_addable(const gv_infer *inf)
{
    if (inf->in[0].dtype != GV_BOOL) return GV_OK;
    return gv_fail(GV_ERR_TYPE, "%s: bool arrays cannot be added", inf->op->name);
}

static gv_status scatter_add_infer(gv_infer *inf)
{
    GV_TRY(gv_check_rank(inf, 0, 2));
    GV_TRY(gv_check_rank(inf, 1, 1));
    GV_TRY(gv_check_rank(inf, 2, 2));
    GV_TRY(gv_check_batch(inf, 0, 2, 1, 1));
    GV_TRY(gv_check_batch(inf, 0, 2, 2, 2));
    GV_TRY(gv_check_same_dtype(inf, 0, 2));
    GV_TRY(check_addable(inf));
    GV_TRY(check_index(inf, 1));
    const gv_type *v = &inf->in[2];
    if (gv_dim_back(v, 1) != gv_dim_back(&inf->in[0], 1) ||
        gv_dim_back(v, 2) != gv_dim_back(&inf->in[1], 1)) {
        char one[96], two[96];
        return gv_fail(GV_ERR_VALUE,
                       "scatter_add: values %s do not fit x %s and %lld "
                       "indices",
                       gv_type_format(v, one, sizeof one),
                       gv_type_format(&inf->in[0], two, sizeof two),
                       (long long)gv_dim_back(&inf->in[1], 1));
    }
    inf->out[0] = inf->in[0];
    return GV_OK;
}

static gv_status scatter_add_forward(const gv_call *call)
{
    int64_t n = gv_dim_back(call->in_type, 2), m = gv_dim_back(call->in_type, 1);
    GV_TRY(check_range(call, 1, n));
    GV_TRY(copy_input(call));
    gv_move_scatter_add(call->in_type->dtype, gv_batch_count(call->in_type, 2), n,
                        gv_dim_back(call->in_type + 1, 1), m, call->out[0], call->in[1],
                        call->in[2]);
    return GV_OK;
}

static gv_status scatter_add_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                                 gv_val *g_in)
{
    if (g_in[0] != GV_NONE) g_in[0] = g_out[0];
    if (g_in[2] != GV_NONE) g_in[2] = gv_emit_2(g, &gv_op_take, g_out[0], node->in[1]);
    return GV_OK;
}

const gv_op gv_op_scatter_add = {
    .name = "scatter_add",
    .signature = "x(n,m), index(k), v(k,m) -> y(n,m)",
    .doc = "x with rows v added at the indices, in the order of the indices.",
    .attrs = "",
    .samples = "x[4,3] i[2]{0,4} x[2,3]; x[3,7,5] i[3,9]{0,7} x[3,9,5]; "
               "x[5,2] i[0]{0,5} x[0,2]",
    .flags = GV_LINEAR | GV_INPLACE,
    .infer = scatter_add_infer,
    .forward = scatter_add_forward,
    .vjp = scatter_add_vjp,
    .nin = 3,
};

/* --- take_along ------------------------------------------------------------------------*/

static gv_status take_along_infer(gv_infer *inf)
{
    GV_TRY(gv_check_rank(inf, 0, 1));
    GV_TRY(gv_check_rank(inf, 1, 1));
    GV_TRY(gv_check_batch(inf, 0, 1, 1, 1));
    GV_TRY(check_index(inf, 1));
    inf->out[0] = gv_type_with(&inf->in[1], inf->in[0].dtype);
    return GV_OK;
}

static gv_status take_along_forward(const gv_call *call)
{
    int64_t n = gv_dim_back(call->in_type, 1);
    GV_TRY(check_range(call, 1, n));
    gv_move_take(gv_batch_count(call->in_type, 1), n, gv_dim_back(call->in_type + 1, 1),
                 gv_dtype_size(call->in_type->dtype), call->in[0], call->in[1],
                 call->out[0]);
    return GV_OK;
}

static gv_status take_along_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                                gv_val *g_in)
{
    if (g_in[0] == GV_NONE) return GV_OK;
    g_in[0] =
        gv_emit_3(g, &gv_op_scatter_along, zeros_of(g, node, 0), node->in[1], g_out[0]);
    return GV_OK;
}

const gv_op gv_op_take_along = {
    .name = "take_along",
    .signature = "x(n), index(k) -> y(k)",
    .doc = "Elements of each line of x at the line's own indices.",
    .attrs = "",
    .samples = "x[4] i[2]{0,4}; x[3,2,7] i[3,2,9]{0,7}; x[2,5] i[2,0]{0,5}",
    .flags = GV_LINEAR,
    .infer = take_along_infer,
    .forward = take_along_forward,
    .vjp = take_along_vjp,
    .nin = 2,
};

static gv_status scatter_along_infer(gv_infer *inf)
{
    GV_TRY(gv_check_rank(inf, 0, 1));
    GV_TRY(gv_check_rank(inf, 1, 1));
    GV_TRY(gv_check_batch(inf, 0, 1, 1, 1));
    GV_TRY(gv_check_same_dtype(inf, 0, 2));
    GV_TRY(check_addable(inf));
    GV_TRY(check_index(inf, 1));
    if (!gv_shape_equal(&inf->in[1].shape, &inf->in[2].shape))
        return gv_fail(GV_ERR_VALUE, "scatter_along: index and values differ in shape");
    inf->out[0] = inf->in[0];
    return GV_OK;
}

static gv_status scatter_along_forward(const gv_call *call)
{
    int64_t n = gv_dim_back(call->in_type, 1);
    GV_TRY(check_range(call, 1, n));
    GV_TRY(copy_input(call));
    gv_move_scatter_add(call->in_type->dtype, gv_batch_count(call->in_type, 1), n,
                        gv_dim_back(call->in_type + 1, 1), 1, call->out[0], call->in[1],
                        call->in[2]);
    return GV_OK;
}

static gv_status scatter_along_vjp(gv_graph *g, const gv_node *node,
                                   const gv_val *g_out, gv_val *g_in)
{
    if (g_in[0] != GV_NONE) g_in[0] = g_out[0];
    if (g_in[2] != GV_NONE)
        g_in[2] = gv_emit_2(g, &gv_op_take_along, g_out[0], node->in[1]);
    return GV_OK;
}

const gv_op gv_op_scatter_along = {
    .name = "scatter_along",
    .signature = "x(n), index(k), v(k) -> y(n)",
    .doc = "x with v added at each line's own indices, in their order.",
    .attrs = "",
    .samples = "x[4] i[2]{0,4} x[2]; x[3,2,7] i[3,2,9]{0,7} x[3,2,9]; "
               "x[2,5] i[2,0]{0,5} x[2,0]",
    .flags = GV_LINEAR | GV_INPLACE,
    .infer = scatter_along_infer,
    .forward = scatter_along_forward,
    .vjp = scatter_along_vjp,
    .nin = 3,
};

/* --- triangles -------------------------------------------------------------------------*/

static gv_status tri_infer(gv_infer *inf)
{
    GV_TRY(gv_check_rank(inf, 0, 2));
    inf->out[0] = inf->in[0];
    return GV_OK;
}

static gv_status tri_forward(const gv_call *call)
{
    int64_t m = gv_dim_back(call->in_type, 2), n = gv_dim_back(call->in_type, 1);
    int64_t k = gv_max_i64(-m - 1, gv_min_i64(n + 1, call->attr[0]));
    gv_move_triangle(gv_dtype_size(call->in_type->dtype), call->op->aux == 0, k,
                     gv_batch_count(call->in_type, 2), m, n, call->in[0], call->out[0]);
    return GV_OK;
}

static gv_status tri_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                         gv_val *g_in)
{
    g_in[0] = gv_emit_like(g, node, g_out);
    return GV_OK;
}

#define TRI_SAMPLES "x[3,3] | k=0; x[2,5,7] | k=-1; x[4,3] | k=1; x[0,3] | k=0"

const gv_op gv_op_tril = {
    .name = "tril",
    .signature = "x(m,n) -> y(m,n)",
    .doc = "Lower triangle: elements with j - i <= k, zero elsewhere.",
    .attrs = "k:int",
    .samples = TRI_SAMPLES,
    .flags = GV_LINEAR | GV_INPLACE,
    .infer = tri_infer,
    .forward = tri_forward,
    .vjp = tri_vjp,
    .nin = 1,
    .aux = 0,
};

const gv_op gv_op_triu = {
    .name = "triu",
    .signature = "x(m,n) -> y(m,n)",
    .doc = "Upper triangle: elements with j - i >= k, zero elsewhere.",
    .attrs = "k:int",
    .samples = TRI_SAMPLES,
    .flags = GV_LINEAR | GV_INPLACE,
    .infer = tri_infer,
    .forward = tri_forward,
    .vjp = tri_vjp,
    .nin = 1,
    .aux = 1,
};
