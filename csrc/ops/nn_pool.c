/* Pooling and resampling as operators (kernels/pool.h).
 *
 * Windows run over the last axes, as many as `kernel` has; all others are batch. The
 * maximum's family is closed: with the places of the maxima of x fixed, pool_max_back
 * carries cotangents to them and pool_max_pick reads them, each the other's adjoint.
 * pool_sum and pool_spread are adjoints, as is resample of itself with the flag turned. */
#include "kernels/pool.h"
#include "ops/ops.h"
#include "ops/rank.h"

typedef struct window {
    gv_ints kernel, stride, pad, size; /* size: of x, given where x is the output */
} window;

static bool widens(const gv_op *op)
{
    return op->aux == GV_POOL_MAX_BACK || op->aux == GV_POOL_SPREAD;
}

static window window_of(const gv_op *op, const int64_t *p)
{
    window w = { .kernel = gv_ints_take(&p) };
    w.stride = gv_ints_take(&p);
    w.pad = gv_ints_take(&p);
    if (op->aux == GV_POOL_SPREAD) w.size = gv_ints_take(&p);
    return w;
}

/* Outputs along an axis of length n. */
static int64_t count_of(const window *w, int k, int64_t n)
{
    int64_t room = n + 2 * w->pad.v[k] - w->kernel.v[k];
    return room < 0 ? 0 : room / w->stride.v[k] + 1;
}

static gv_status check_window(const gv_infer *inf, const window *w)
{
    int n = w->kernel.n;
    if (n < 1 || n > 3 || w->stride.n != n || w->pad.n != n)
        return gv_fail(GV_ERR_VALUE,
                       "%s: kernel, stride and padding must be given for 1 to 3 axes, "
                       "each for the same; got %d, %d and %d",
                       inf->op->name, n, w->stride.n, w->pad.n);
    for (int k = 0; k < n; k++)
        if (w->kernel.v[k] < 1 || w->stride.v[k] < 1 || w->pad.v[k] < 0 ||
            2 * w->pad.v[k] > w->kernel.v[k])
            return gv_fail(
                GV_ERR_VALUE,
                "%s: axis %d: kernel %lld, stride %lld, padding %lld; kernel "
                "and stride must be positive, padding within 0..kernel/2",
                inf->op->name, k, (long long)w->kernel.v[k], (long long)w->stride.v[k],
                (long long)w->pad.v[k]);
    return GV_OK;
}

static gv_status check_float(const gv_infer *inf, int i)
{
    if (gv_dtype_is_float(inf->in[i].dtype)) return GV_OK;
    return gv_fail(GV_ERR_TYPE, "%s takes float32 or float64, not %s", inf->op->name,
                   gv_dtype_name(inf->in[i].dtype));
}

/* The type of y for x; GV_ERR_VALUE where a window does not fit. */
static gv_status pooled_type(const gv_infer *inf, const window *w, const gv_type *x,
                             gv_type *y)
{
    char text[96];
    int n = w->kernel.n;
    *y = *x;
    for (int k = 0; k < n; k++) {
        int axis = x->shape.ndim - n + k;
        y->shape.dim[axis] = count_of(w, k, x->shape.dim[axis]);
        if (y->shape.dim[axis] < 1)
            return gv_fail(GV_ERR_VALUE,
                           "%s: a window of %lld with padding %lld does not fit axis "
                           "%d of %s",
                           inf->op->name, (long long)w->kernel.v[k],
                           (long long)w->pad.v[k], axis,
                           gv_type_format(x, text, sizeof text));
    }
    return GV_OK;
}

static gv_status misfit(const gv_infer *inf, const gv_type *want, const gv_type *got)
{
    char one[96], two[96];
    return gv_fail(GV_ERR_VALUE, "%s: %s needed, got %s", inf->op->name,
                   gv_type_format(want, one, sizeof one),
                   gv_type_format(got, two, sizeof two));
}

static gv_status pool_infer(gv_infer *inf)
{
    window w = window_of(inf->op, inf->attr);
    GV_TRY(check_window(inf, &w));
    int n = w.kernel.n;
    GV_TRY(check_float(inf, 0));
    GV_TRY(gv_check_rank(inf, 0, n));
    gv_type x = inf->in[0], y;
    if (inf->op->aux == GV_POOL_SPREAD) {
        if (w.size.n != n)
            return gv_fail(GV_ERR_VALUE, "%s: size has %d axes, kernel %d",
                           inf->op->name, w.size.n, n);
        for (int k = 0; k < n; k++) x.shape.dim[x.shape.ndim - n + k] = w.size.v[k];
        GV_TRY(pooled_type(inf, &w, &x, &y));
        if (!gv_shape_equal(&y.shape, &inf->in[0].shape))
            return misfit(inf, &y, &inf->in[0]);
        inf->out[0] = x;
        return GV_OK;
    }
    GV_TRY(pooled_type(inf, &w, &x, &y));
    if (inf->nin == 2) {
        const gv_type *want = widens(inf->op) ? &y : &x;
        GV_TRY(gv_check_rank(inf, 1, n));
        GV_TRY(gv_check_same_dtype(inf, 0, 1));
        GV_TRY(gv_check_batch(inf, 0, n, 1, n));
        if (!gv_shape_equal(&want->shape, &inf->in[1].shape))
            return misfit(inf, want, &inf->in[1]);
    }
    inf->out[0] = widens(inf->op) ? x : y;
    return GV_OK;
}

static gv_status pool_forward(const gv_call *call)
{
    window w = window_of(call->op, call->attr);
    int n = w.kernel.n;
    const gv_type *x = widens(call->op) ? call->out_type : call->in_type;
    const gv_type *y = call->op->aux == GV_POOL_MAX_BACK ? call->in_type + 1
        : call->op->aux == GV_POOL_SPREAD                ? call->in_type
                                                         : call->out_type;
    gv_pool p = { .dtype = x->dtype, .planes = gv_batch_count(x, n) };
    for (int k = 0; k < 3; k++) p.in[k] = p.out[k] = p.kernel[k] = p.stride[k] = 1;
    for (int k = 0; k < n; k++) {
        int to = 3 - n + k;
        p.in[to] = gv_dim_back(x, n - k);
        p.out[to] = gv_dim_back(y, n - k);
        p.kernel[to] = w.kernel.v[k];
        p.stride[to] = w.stride.v[k];
        p.pad[to] = w.pad.v[k];
    }
    gv_pool_run(&p, (gv_pool_kind)call->op->aux, call->in[0],
                call->nin == 2 ? call->in[1] : NULL, call->out[0]);
    return GV_OK;
}

static gv_status max_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                         gv_val *g_in)
{
    gv_val in[2] = { node->in[0], g_out[0] };
    g_in[0] = gv_emit(g, &gv_op_pool_max_back, 2, in, node->nattr, node->attr);
    return GV_OK;
}

/* The places of the maxima do not move: only the second input has a derivative. */
static gv_status places_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                            gv_val *g_in)
{
    const gv_op *other = widens(node->op) ? &gv_op_pool_max_pick : &gv_op_pool_max_back;
    gv_val in[2] = { node->in[0], g_out[0] };
    g_in[0] = GV_NONE;
    if (g_in[1] != GV_NONE) g_in[1] = gv_emit(g, other, 2, in, node->nattr, node->attr);
    return GV_OK;
}

static gv_status sum_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                         gv_val *g_in)
{
    const gv_type *x = gv_in_type(g, node, 0);
    window w = window_of(node->op, node->attr);
    int n = w.kernel.n;
    int64_t attr[4 * 4], *p = attr;
    gv_ints_put(&p, n, w.kernel.v);
    gv_ints_put(&p, n, w.stride.v);
    gv_ints_put(&p, n, w.pad.v);
    gv_ints_put(&p, n, x->shape.dim + x->shape.ndim - n);
    g_in[0] = gv_emit(g, &gv_op_pool_spread, 1, g_out, (int)(p - attr), attr);
    return GV_OK;
}

static gv_status spread_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                            gv_val *g_in)
{
    int n = 3 * (1 + (int)node->attr[0]); /* without the size */
    g_in[0] = gv_emit(g, &gv_op_pool_sum, 1, g_out, n, node->attr);
    return GV_OK;
}

#define POOL(op_name, kind, inputs, op_signature, op_doc, op_flags, op_vjp, more,      \
             op_samples)                                                               \
    const gv_op gv_op_##op_name = { .name = #op_name,                                  \
                                    .signature = op_signature,                         \
                                    .doc = op_doc,                                     \
                                    .attrs =                                           \
                                        "kernel:ints, stride:ints, padding:ints" more, \
                                    .samples = op_samples,                             \
                                    .flags = op_flags,                                 \
                                    .infer = pool_infer,                               \
                                    .forward = pool_forward,                           \
                                    .vjp = op_vjp,                                     \
                                    .nin = inputs,                                     \
                                    .aux = kind }

POOL(pool_max, GV_POOL_MAX, 1, "x(...) -> y(...)",
     "Maximum over windows of the last axes; padding counts as -inf, NaN wins.", 0,
     max_vjp, "",
     "r[2,7] | kernel=(2,) stride=(2,) padding=(0,); r[3,5,6] | kernel=(3,2) "
     "stride=(2,1) padding=(1,1); r[4,5,6] | kernel=(2,3,2) stride=(1,3,2) "
     "padding=(1,0,1); r[1] | kernel=(1,) stride=(1,) padding=(0,)");
POOL(pool_max_pick, GV_POOL_MAX_PICK, 2, "x(...), h(...) -> y(...)",
     "h at the first maximum of x in each window.", GV_CHEAP, places_vjp, "",
     "r[2,7]! r[2,7] | kernel=(2,) stride=(2,) padding=(0,); r[3,5,6]! r[3,5,6] | "
     "kernel=(3,2) stride=(2,1) padding=(1,1); r[4,5,6]! r[4,5,6] | kernel=(2,3,2) "
     "stride=(1,3,2) padding=(1,0,1); r[1]! r[1] | kernel=(1,) stride=(1,) "
     "padding=(0,)");
POOL(pool_max_back, GV_POOL_MAX_BACK, 2, "x(...), g(...) -> g_x(...)",
     "g carried to the first maximum of x in each window, zero elsewhere.", 0,
     places_vjp, "",
     "r[2,7]! r[2,3] | kernel=(2,) stride=(2,) padding=(0,); r[3,5,6]! r[3,3,7] | "
     "kernel=(3,2) stride=(2,1) padding=(1,1); r[4,5,6]! r[5,1,4] | kernel=(2,3,2) "
     "stride=(1,3,2) padding=(1,0,1); r[1]! r[1] | kernel=(1,) stride=(1,) "
     "padding=(0,)");
POOL(pool_sum, GV_POOL_SUM, 1, "x(...) -> y(...)",
     "Sum over windows of the last axes; padding counts as zero.", GV_LINEAR, sum_vjp,
     "",
     "r[2,7] | kernel=(2,) stride=(2,) padding=(0,); r[3,5,6] | kernel=(3,2) "
     "stride=(2,1) padding=(1,1); r[4,5,6] | kernel=(2,3,2) stride=(1,3,2) "
     "padding=(1,0,1); r[1] | kernel=(1,) stride=(1,) padding=(0,)");
POOL(pool_spread, GV_POOL_SPREAD, 1, "g(...) -> g_x(...)",
     "Adjoint of pool_sum: each place gets the sum over its windows.", GV_LINEAR,
     spread_vjp, ", size:ints",
     "r[2,3] | kernel=(2,) stride=(2,) padding=(0,) size=(7,); r[3,3,7] | kernel=(3,2) "
     "stride=(2,1) padding=(1,1) size=(5,6); r[5,1,4] | kernel=(2,3,2) "
     "stride=(1,3,2) padding=(1,0,1) size=(4,5,6); r[1] | kernel=(3,) stride=(3,) "
     "padding=(0,) size=(3,)");

/* --- resample --------------------------------------------------------------------*/

static gv_status resample_infer(gv_infer *inf)
{
    int64_t n = inf->attr[0], size = inf->attr[1];
    bool adjoint = inf->attr[3] != 0;
    GV_TRY(check_float(inf, 0));
    GV_TRY(gv_check_rank(inf, 0, 2));
    if (n < 1 || size < 1)
        return gv_fail(GV_ERR_VALUE,
                       "resample: lengths must be positive, got %lld "
                       "and %lld",
                       (long long)n, (long long)size);
    if (gv_dim_back(inf->in, 2) != (adjoint ? size : n)) {
        char text[96];
        return gv_fail(GV_ERR_VALUE,
                       "resample: the axis before the last of %s must "
                       "be %lld",
                       gv_type_format(inf->in, text, sizeof text),
                       (long long)(adjoint ? size : n));
    }
    inf->out[0] = inf->in[0];
    inf->out[0].shape.dim[inf->in[0].shape.ndim - 2] = adjoint ? n : size;
    return GV_OK;
}

static gv_status resample_forward(const gv_call *call)
{
    const gv_type *t = call->in_type;
    gv_pool_resample(t->dtype, gv_batch_count(t, 2), call->attr[0], call->attr[1],
                     gv_dim_back(t, 1), call->attr[2] != 0, call->attr[3] != 0,
                     call->in[0], call->out[0]);
    return GV_OK;
}

static gv_status resample_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                              gv_val *g_in)
{
    int64_t attr[4] = { node->attr[0], node->attr[1], node->attr[2], !node->attr[3] };
    g_in[0] = gv_emit(g, &gv_op_resample, 1, g_out, 4, attr);
    return GV_OK;
}

const gv_op gv_op_resample = {
    .name = "resample",
    .signature = "x(n,m) -> y(size,m)",
    .doc = "Linear interpolation along the axis before the last, from n to size places "
           "(corners 1: end on end, else by cells); adjoint 1: the transposed map.",
    .attrs = "n:int, size:int, corners:int, adjoint:int",
    .samples = "r[3,2] | n=3 size=7 corners=0 adjoint=0; r[2,5,3] | n=5 size=9 "
               "corners=1 adjoint=0; r[2,9,1] | n=4 size=9 corners=0 adjoint=1; "
               "r[1,1] | n=1 size=3 corners=1 adjoint=0; r[7,2] | n=7 size=3 corners=0 "
               "adjoint=0; r[0,4,1] | n=4 size=2 corners=0 adjoint=0",
    .flags = GV_LINEAR,
    .infer = resample_infer,
    .forward = resample_forward,
    .vjp = resample_vjp,
    .nin = 1,
};
