/* Views and copies of whole arrays: reshape, broadcast, transpose, slice and its
 * adjoint, pad, concat. All are linear and purely move data; axes are counted within
 * the trailing core named by the attributes. */
#include "kernels/move.h"
#include "ops/ops.h"
#include "ops/rank.h"

/* --- reshape ------------------------------------------------------------------------*/

static gv_status reshape_infer(gv_infer *inf)
{
    int core = (int)inf->attr[0];
    const int64_t *p = inf->attr + 1;
    gv_ints to = gv_ints_take(&p);
    GV_TRY(gv_check_rank(inf, 0, core));
    inf->out[0].dtype = inf->in[0].dtype;
    const gv_shape *s = &inf->in[0].shape;
    GV_TRY(gv_shape_replace_core(s, core, to.n, to.v, &inf->out[0].shape));
    int64_t before = gv_shape_span(s, s->ndim - core, s->ndim), after = 1;
    for (int k = 0; k < to.n; k++) after *= to.v[k];
    if (before == after) return GV_OK;
    char text[96];
    return gv_fail(GV_ERR_VALUE,
                   "reshape: %s cannot take the shape asked for: %lld "
                   "elements against %lld",
                   gv_type_format(&inf->in[0], text, sizeof text), (long long)before,
                   (long long)after);
}

static gv_status bytes_forward(const gv_call *call)
{
    size_t bytes;
    GV_TRY(gv_type_bytes(call->in_type, &bytes));
    gv_move_bytes(call->out[0], call->in[0], bytes);
    return GV_OK;
}

/* Reshape the trailing core of v from `core` axes to those of like. */
static gv_val emit_core(gv_graph *g, gv_val v, int core, int n, const int64_t *dim)
{
    int64_t attr[2 + GV_MAX_DIM] = { core }, *p = attr + 1;
    gv_ints_put(&p, n, dim);
    return gv_emit(g, &gv_op_reshape, 1, &v, (int)(p - attr), attr);
}

static gv_status reshape_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                             gv_val *g_in)
{
    const gv_shape *s = &gv_in_type(g, node, 0)->shape;
    int core = (int)node->attr[0];
    g_in[0] = emit_core(g, g_out[0], (int)node->attr[1], core, s->dim + s->ndim - core);
    return GV_OK;
}

const gv_op gv_op_reshape = {
    .name = "reshape",
    .signature = "x(...) -> y(...)",
    .doc =
        "The same elements in C order with the last `core` axes replaced by `shape`.",
    .attrs = "core:int, shape:ints",
    .samples = "x[2,3] | core=2 shape=(6,); x[4,3,5] | core=2 shape=(5,1,3); "
               "x[0,3] | core=1 shape=(3,1)",
    .flags = GV_LINEAR | GV_VIEW | GV_CHEAP,
    .infer = reshape_infer,
    .forward = bytes_forward,
    .vjp = reshape_vjp,
    .nin = 1,
};

/* --- broadcast ----------------------------------------------------------------------*/

static gv_status broadcast_infer(gv_infer *inf)
{
    int core = (int)inf->attr[0];
    const int64_t *p = inf->attr + 1;
    gv_ints to = gv_ints_take(&p);
    GV_TRY(gv_check_rank(inf, 0, core));
    const gv_shape *s = &inf->in[0].shape;
    bool fits = to.n >= core;
    for (int k = 1; fits && k <= core; k++) {
        int64_t from = s->dim[s->ndim - k];
        fits = from == 1 || from == to.v[to.n - k];
    }
    char text[96];
    if (!fits)
        return gv_fail(GV_ERR_VALUE,
                       "broadcast: %s does not broadcast to the shape asked "
                       "for",
                       gv_type_format(&inf->in[0], text, sizeof text));
    inf->out[0].dtype = inf->in[0].dtype;
    return gv_shape_replace_core(s, core, to.n, to.v, &inf->out[0].shape);
}

static gv_status broadcast_forward(const gv_call *call)
{
    const gv_shape *s = &call->in_type->shape, *t = &call->out_type->shape;
    size_t item = gv_dtype_size(call->in_type->dtype);
    int core = (int)call->attr[0], lead = s->ndim - core;
    int64_t from[GV_MAX_DIM], ss[GV_MAX_DIM], ds[GV_MAX_DIM];
    gv_move_strides(s, item, from);
    gv_move_strides(t, item, ds);
    for (int k = 0; k < t->ndim; k++) {
        int back = t->ndim - k; /* this axis, counted from the end */
        int at = k < lead ? k : back <= core ? s->ndim - back : -1;
        ss[k] = at < 0 || (s->dim[at] == 1 && t->dim[k] != 1) ? 0 : from[at];
    }
    gv_move_copy(item, t->ndim, t->dim, call->in[0], ss, call->out[0], ds);
    return GV_OK;
}

static gv_status broadcast_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                               gv_val *g_in)
{
    gv_shape s =
        gv_in_type(g, node, 0)->shape; /* emission may move the table of types */
    int core = (int)node->attr[0], n = (int)node->attr[1];
    const int64_t *to = node->attr + 2;
    int64_t attr[1 + GV_MAX_DIM];
    int sums = 0, left = n;
    for (int k = 0; k < n; k++) {
        int back = n - k;
        if (back > core || (s.dim[s.ndim - back] == 1 && to[k] != 1))
            attr[1 + sums++] = -back;
    }
    attr[0] = sums;
    gv_val v = g_out[0];
    if (sums > 0) v = gv_emit(g, &gv_op_reduce_sum, 1, &v, 1 + sums, attr);
    left -= sums;
    if (left != core) v = emit_core(g, v, left, core, s.dim + s.ndim - core);
    g_in[0] = v;
    return GV_OK;
}

const gv_op gv_op_broadcast = {
    .name = "broadcast",
    .signature = "x(...) -> y(...)",
    .doc = "Repeat the last `core` axes to `shape` by NumPy's broadcasting rule.",
    .attrs = "core:int, shape:ints",
    .samples = "x[] | core=0 shape=(2,3); x[4,3,1] | core=2 shape=(2,3,5); "
               "x[2,0] | core=2 shape=(3,2,0); x[3,1,2] | core=3 shape=(3,4,2)",
    .flags = GV_LINEAR | GV_CHEAP,
    .infer = broadcast_infer,
    .forward = broadcast_forward,
    .vjp = broadcast_vjp,
    .nin = 1,
};

/* --- transpose ----------------------------------------------------------------------*/

static gv_status transpose_infer(gv_infer *inf)
{
    const int64_t *p = inf->attr;
    gv_ints perm = gv_ints_take(&p);
    GV_TRY(gv_check_rank(inf, 0, perm.n));
    inf->out[0] = inf->in[0];
    int lead = inf->in[0].shape.ndim - perm.n;
    unsigned seen = 0;
    for (int k = 0; k < perm.n; k++) {
        if (perm.v[k] < 0 || perm.v[k] >= perm.n || seen >> perm.v[k] & 1)
            return gv_fail(GV_ERR_VALUE,
                           "transpose: axes are not a permutation of 0..%d",
                           perm.n - 1);
        seen |= 1u << perm.v[k];
        inf->out[0].shape.dim[lead + k] = inf->in[0].shape.dim[lead + perm.v[k]];
    }
    return GV_OK;
}

static gv_status transpose_forward(const gv_call *call)
{
    const int64_t *p = call->attr;
    gv_ints perm = gv_ints_take(&p);
    const gv_shape *t = &call->out_type->shape;
    size_t item = gv_dtype_size(call->in_type->dtype);
    int64_t from[GV_MAX_DIM], ss[GV_MAX_DIM], ds[GV_MAX_DIM];
    gv_move_strides(&call->in_type->shape, item, from);
    gv_move_strides(t, item, ds);
    int lead = t->ndim - perm.n;
    for (int k = 0; k < t->ndim; k++)
        ss[k] = k < lead ? from[k] : from[lead + perm.v[k - lead]];
    gv_move_copy(item, t->ndim, t->dim, call->in[0], ss, call->out[0], ds);
    return GV_OK;
}

static gv_status transpose_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                               gv_val *g_in)
{
    int64_t attr[1 + GV_MAX_DIM];
    attr[0] = node->attr[0];
    for (int k = 0; k < (int)attr[0]; k++) attr[1 + node->attr[1 + k]] = k;
    g_in[0] = gv_emit(g, &gv_op_transpose, 1, g_out, 1 + (int)attr[0], attr);
    return GV_OK;
}

const gv_op gv_op_transpose = {
    .name = "transpose",
    .signature = "x(...) -> y(...)",
    .doc = "Permute the last len(perm) axes: axis k of the result is axis perm[k].",
    .attrs = "perm:ints",
    .samples = "x[2,3] | perm=(1,0); x[2,5,3,7] | perm=(2,0,1); x[0,4] | perm=(1,0); "
               "x[33,65] | perm=(1,0)",
    .flags = GV_LINEAR,
    .infer = transpose_infer,
    .forward = transpose_forward,
    .vjp = transpose_vjp,
    .nin = 1,
};

/* --- slice and its adjoint ------------------------------------------------------------*/

/* start + (size - 1) step must be inside 0..dim-1 when size > 0. */
static gv_status check_slice(const char *name, int n, const int64_t *dim, gv_ints start,
                             gv_ints step, const int64_t *size)
{
    if (start.n != n || step.n != n)
        return gv_fail(GV_ERR_VALUE, "%s: start, step and size differ in length", name);
    for (int k = 0; k < n; k++) {
        int64_t last = start.v[k] + (size[k] - 1) * step.v[k];
        bool good = size[k] == 0 ||
            (size[k] > 0 && step.v[k] != 0 && start.v[k] >= 0 && start.v[k] < dim[k] &&
             last >= 0 && last < dim[k]);
        if (!good)
            return gv_fail(GV_ERR_VALUE,
                           "%s: %lld elements from %lld by %lld leave an "
                           "axis of length %lld",
                           name, (long long)size[k], (long long)start.v[k],
                           (long long)step.v[k], (long long)dim[k]);
    }
    return GV_OK;
}

static gv_status slice_infer(gv_infer *inf)
{
    const int64_t *p = inf->attr;
    gv_ints start = gv_ints_take(&p), step = gv_ints_take(&p), size = gv_ints_take(&p);
    GV_TRY(gv_check_rank(inf, 0, size.n));
    const gv_shape *s = &inf->in[0].shape;
    GV_TRY(
        check_slice("slice", size.n, s->dim + s->ndim - size.n, start, step, size.v));
    inf->out[0].dtype = inf->in[0].dtype;
    return gv_shape_replace_core(s, size.n, size.n, size.v, &inf->out[0].shape);
}

/* Offset and strides of the strided part of `whole` that start and step select. */
static int64_t part_strides(const gv_shape *whole, size_t item, gv_ints start,
                            gv_ints step, int64_t *stride)
{
    int64_t offset = 0;
    int lead = whole->ndim - start.n;
    gv_move_strides(whole, item, stride);
    for (int k = 0; k < start.n; k++) {
        offset += start.v[k] * stride[lead + k];
        stride[lead + k] *= step.v[k];
    }
    return offset;
}

static gv_status slice_forward(const gv_call *call)
{
    const int64_t *p = call->attr;
    gv_ints start = gv_ints_take(&p), step = gv_ints_take(&p);
    const gv_shape *t = &call->out_type->shape;
    if (gv_shape_size(t) == 0) return GV_OK;
    size_t item = gv_dtype_size(call->in_type->dtype);
    int64_t ss[GV_MAX_DIM], ds[GV_MAX_DIM];
    gv_move_strides(t, item, ds);
    int64_t at = part_strides(&call->in_type->shape, item, start, step, ss);
    gv_move_copy(item, t->ndim, t->dim, (const char *)call->in[0] + at, ss,
                 call->out[0], ds);
    return GV_OK;
}

static gv_status slice_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                           gv_val *g_in)
{
    const int64_t *p = node->attr;
    gv_ints start = gv_ints_take(&p), step = gv_ints_take(&p), size = gv_ints_take(&p);
    const gv_shape *s = &gv_in_type(g, node, 0)->shape;
    int64_t attr[3 * (1 + GV_MAX_DIM)], *q = attr;
    gv_ints_put(&q, start.n, start.v);
    gv_ints_put(&q, step.n, step.v);
    gv_ints_put(&q, size.n, s->dim + s->ndim - size.n);
    g_in[0] = gv_emit(g, &gv_op_unslice, 1, g_out, (int)(q - attr), attr);
    return GV_OK;
}

const gv_op gv_op_slice = {
    .name = "slice",
    .signature = "x(...) -> y(...)",
    .doc = "Elements start + j step, j < size, of each of the last len(size) axes.",
    .attrs = "start:ints, step:ints, size:ints",
    .samples = "x[5] | start=(1,) step=(2,) size=(2,); "
               "x[3,7,4] | start=(6,0) step=(-2,1) size=(3,2); "
               "x[2,4] | start=(0,) step=(1,) size=(0,)",
    .flags = GV_LINEAR | GV_CHEAP,
    .infer = slice_infer,
    .forward = slice_forward,
    .vjp = slice_vjp,
    .nin = 1,
};

static gv_status unslice_infer(gv_infer *inf)
{
    const int64_t *p = inf->attr;
    gv_ints start = gv_ints_take(&p), step = gv_ints_take(&p), to = gv_ints_take(&p);
    GV_TRY(gv_check_rank(inf, 0, to.n));
    const gv_shape *s = &inf->in[0].shape;
    GV_TRY(check_slice("unslice", to.n, to.v, start, step, s->dim + s->ndim - to.n));
    inf->out[0].dtype = inf->in[0].dtype;
    return gv_shape_replace_core(s, to.n, to.n, to.v, &inf->out[0].shape);
}

static gv_status put_into_zeros(const gv_call *call, gv_ints start, gv_ints step)
{
    const gv_shape *s = &call->in_type->shape, *t = &call->out_type->shape;
    size_t item = gv_dtype_size(call->in_type->dtype), bytes;
    GV_TRY(gv_type_bytes(call->out_type, &bytes));
    gv_move_zero(call->out[0], bytes);
    if (gv_shape_size(s) == 0) return GV_OK;
    int64_t ss[GV_MAX_DIM], ds[GV_MAX_DIM];
    gv_move_strides(s, item, ss);
    int64_t at = part_strides(t, item, start, step, ds);
    gv_move_copy(item, s->ndim, s->dim, call->in[0], ss, (char *)call->out[0] + at, ds);
    return GV_OK;
}

static gv_status unslice_forward(const gv_call *call)
{
    const int64_t *p = call->attr;
    gv_ints start = gv_ints_take(&p), step = gv_ints_take(&p);
    return put_into_zeros(call, start, step);
}

/* slice with these starts and steps, of the trailing core of type t */
static gv_val emit_slice(gv_graph *g, gv_val v, gv_ints start, gv_ints step,
                         const gv_type *t)
{
    int64_t attr[3 * (1 + GV_MAX_DIM)], *q = attr;
    gv_ints_put(&q, start.n, start.v);
    gv_ints_put(&q, step.n, step.v);
    gv_ints_put(&q, start.n, t->shape.dim + t->shape.ndim - start.n);
    return gv_emit(g, &gv_op_slice, 1, &v, (int)(q - attr), attr);
}

static gv_status unslice_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                             gv_val *g_in)
{
    const int64_t *p = node->attr;
    gv_ints start = gv_ints_take(&p), step = gv_ints_take(&p);
    g_in[0] = emit_slice(g, g_out[0], start, step, gv_in_type(g, node, 0));
    return GV_OK;
}

const gv_op gv_op_unslice = {
    .name = "unslice",
    .signature = "g(...) -> x(...)",
    .doc = "Zeros of `shape` with g put at start + j step (adjoint of slice).",
    .attrs = "start:ints, step:ints, shape:ints",
    .samples = "x[2] | start=(1,) step=(2,) shape=(5,); "
               "x[3,3,2] | start=(6,0) step=(-2,1) shape=(7,4); "
               "x[2,0] | start=(0,) step=(1,) shape=(4,)",
    .flags = GV_LINEAR,
    .infer = unslice_infer,
    .forward = unslice_forward,
    .vjp = unslice_vjp,
    .nin = 1,
};

/* --- pad ------------------------------------------------------------------------------*/

static gv_status pad_infer(gv_infer *inf)
{
    const int64_t *p = inf->attr;
    gv_ints low = gv_ints_take(&p), high = gv_ints_take(&p);
    if (low.n != high.n)
        return gv_fail(GV_ERR_VALUE, "pad: low and high differ in length");
    GV_TRY(gv_check_rank(inf, 0, low.n));
    const gv_shape *s = &inf->in[0].shape;
    int64_t dim[GV_MAX_DIM];
    for (int k = 0; k < low.n; k++) {
        if (low.v[k] < 0 || high.v[k] < 0)
            return gv_fail(GV_ERR_VALUE, "pad: widths must not be negative");
        dim[k] = s->dim[s->ndim - low.n + k] + low.v[k] + high.v[k];
    }
    inf->out[0].dtype = inf->in[0].dtype;
    return gv_shape_replace_core(s, low.n, low.n, dim, &inf->out[0].shape);
}

static const int64_t ones[GV_MAX_DIM] = {
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1
};

static gv_status pad_forward(const gv_call *call)
{
    const int64_t *p = call->attr;
    gv_ints low = gv_ints_take(&p);
    return put_into_zeros(call, low, (gv_ints){ low.n, ones });
}

static gv_status pad_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                         gv_val *g_in)
{
    const int64_t *p = node->attr;
    gv_ints low = gv_ints_take(&p);
    gv_ints step = { low.n, ones };
    g_in[0] = emit_slice(g, g_out[0], low, step, gv_in_type(g, node, 0));
    return GV_OK;
}

const gv_op gv_op_pad = {
    .name = "pad",
    .signature = "x(...) -> y(...)",
    .doc = "Zeros before (low) and after (high) each of the last len(low) axes.",
    .attrs = "low:ints, high:ints",
    .samples = "x[3] | low=(1,) high=(2,); x[2,3,5] | low=(0,2) high=(1,0); "
               "x[2,0] | low=(1,) high=(1,)",
    .flags = GV_LINEAR,
    .infer = pad_infer,
    .forward = pad_forward,
    .vjp = pad_vjp,
    .nin = 1,
};

/* --- concat ---------------------------------------------------------------------------*/

static gv_status concat_infer(gv_infer *inf)
{
    int axis = 0;
    if (inf->nin < 1) return gv_fail(GV_ERR_VALUE, "concat: needs at least one array");
    GV_TRY(gv_check_axis(inf, inf->attr[0], &axis));
    inf->out[0] = inf->in[0];
    for (int i = 1; i < inf->nin; i++) {
        gv_shape expected = inf->in[i].shape;
        GV_TRY(gv_check_same_dtype(inf, 0, i));
        if (expected.ndim == inf->in[0].shape.ndim)
            expected.dim[axis] = inf->in[0].shape.dim[axis];
        char one[96], two[96];
        if (!gv_shape_equal(&expected, &inf->in[0].shape))
            return gv_fail(GV_ERR_VALUE, "concat: %s and %s differ outside axis %lld",
                           gv_type_format(&inf->in[0], one, sizeof one),
                           gv_type_format(&inf->in[i], two, sizeof two),
                           (long long)inf->attr[0]);
        inf->out[0].shape.dim[axis] += inf->in[i].shape.dim[axis];
    }
    return GV_OK;
}

static gv_status concat_forward(const gv_call *call)
{
    const gv_shape *t = &call->out_type->shape;
    int axis = t->ndim + (int)call->attr[0];
    size_t item = gv_dtype_size(call->out_type->dtype);
    int64_t ss[GV_MAX_DIM], ds[GV_MAX_DIM];
    gv_move_strides(t, item, ds);
    char *dst = call->out[0];
    for (int i = 0; i < call->nin; i++) {
        const gv_shape *s = &call->in_type[i].shape;
        gv_move_strides(s, item, ss);
        gv_move_copy(item, s->ndim, s->dim, call->in[i], ss, dst, ds);
        dst += s->dim[axis] * ds[axis];
    }
    return GV_OK;
}

static gv_status concat_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                            gv_val *g_in)
{
    int64_t zero[GV_MAX_DIM] = { 0 };
    int n = -(int)node->attr[0]; /* the core: this axis and those behind it */
    for (int i = 0; i < node->nin; i++) {
        const gv_type *t = gv_in_type(g, node, i);
        gv_ints start = { n, zero }, step = { n, ones };
        if (g_in[i] != GV_NONE) g_in[i] = emit_slice(g, g_out[0], start, step, t);
        t = gv_in_type(g, node, i);
        zero[0] += gv_dim_back(t, n);
    }
    return GV_OK;
}

const gv_op gv_op_concat = {
    .name = "concat",
    .signature = "x1(...), ..., xn(...) -> y(...)",
    .doc = "Join arrays along one axis (negative).",
    .attrs = "axis:int",
    .samples = "x[2] x[3] | axis=-1; x[3,2,5] x[3,1,5] x[3,4,5] | axis=-2; "
               "x[2,0] x[2,3] | axis=-1",
    .flags = GV_LINEAR,
    .infer = concat_infer,
    .forward = concat_forward,
    .vjp = concat_vjp,
    .nin = -1,
};
