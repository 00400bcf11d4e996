/* Batch and group normalisation as operators (formulas: kernels/norm.h).
 *
 * The reverse sweep is an operator of its own, batch_norm_bwd or group_norm_bwd. With
 * u = w g, T the map that takes the mean and the part along xh out of a set, T(v) =
 * v - <v> - xh <v xh>, it is g_x = r T(u). T is its own adjoint, so with cotangents h of
 * g_x, p of g_w, q of g_b and h' = r h,
 *
 *   to g: w T(h') + p xh + q,  to w: sum g T(h'),
 *   to xh: -h' <u xh> - u <h' xh> + p g,
 *   to r: sum h g_x / r + sum (to xh) xh / r,  r = (var + eps)^-1/2,
 *
 * and xh = (x - mean) r carries the rest to x and mean. These are written as graph nodes:
 * derivatives of higher order are rare, and exact. */
#include "kernels/norm.h"
#include "ops/ops.h"
#include "ops/rank.h"

enum { over_batch = 0, over_group = 1 }; /* aux */
enum { core = 3 };

static bool is_group(const gv_op *op) { return op->aux == over_group; }

static int64_t groups_of(const gv_op *op, const int64_t *attr)
{
    return is_group(op) ? attr[2] : 0;
}

static gv_norm problem_of(const gv_op *op, const gv_type *x, const int64_t *attr)
{
    return (gv_norm){ .dtype = x->dtype,
                      .lanes = gv_batch_count(x, core),
                      .b = gv_dim_back(x, 3),
                      .c = gv_dim_back(x, 2),
                      .s = gv_dim_back(x, 1),
                      .groups = groups_of(op, attr),
                      .eps = gv_attr_float(attr[0]),
                      .relu = attr[1] != 0 };
}

static gv_status misfit(const gv_infer *inf, int i)
{
    char one[96], two[96];
    return gv_fail(GV_ERR_VALUE, "%s: input %d, %s, does not fit x %s", inf->op->name,
                   i, gv_type_format(&inf->in[i], one, sizeof one),
                   gv_type_format(&inf->in[0], two, sizeof two));
}

/* Input i: of the dtype and batch axes of x, with n core axes as given. */
static gv_status check_core(const gv_infer *inf, int i, int n, const int64_t *dim)
{
    GV_TRY(gv_check_rank(inf, i, n));
    GV_TRY(gv_check_same_dtype(inf, 0, i));
    GV_TRY(gv_check_batch(inf, 0, core, i, n));
    for (int k = 0; k < n; k++)
        if (gv_dim_back(&inf->in[i], n - k) != dim[k]) return misfit(inf, i);
    return GV_OK;
}

/* The type of the statistics: core axes (c), or (b, groups). */
static gv_status statistics_type(const gv_infer *inf, gv_type *t, int *n, int64_t *dim)
{
    const gv_type *x = &inf->in[0];
    *n = is_group(inf->op) ? 2 : 1;
    dim[0] = is_group(inf->op) ? gv_dim_back(x, 3) : gv_dim_back(x, 2);
    dim[1] = groups_of(inf->op, inf->attr);
    t->dtype = x->dtype;
    return gv_shape_replace_core(&x->shape, core, *n, dim, &t->shape);
}

/* x and the attributes. */
static gv_status check_problem(gv_infer *inf)
{
    const gv_type *x = &inf->in[0];
    char text[96];
    if (!gv_dtype_is_float(x->dtype))
        return gv_fail(GV_ERR_TYPE, "%s takes float32 or float64, not %s",
                       inf->op->name, gv_dtype_name(x->dtype));
    GV_TRY(gv_check_rank(inf, 0, core));
    gv_norm p = problem_of(inf->op, x, inf->attr);
    if (!(p.eps >= 0))
        return gv_fail(GV_ERR_VALUE, "%s: eps must not be negative, got %g",
                       inf->op->name, p.eps);
    if (is_group(inf->op) && (p.groups < 1 || p.c % p.groups != 0))
        return gv_fail(GV_ERR_VALUE, "%s: %lld channels do not make %lld groups",
                       inf->op->name, (long long)p.c, (long long)p.groups);
    if (p.b * p.s == 0 || p.c == 0)
        return gv_fail(GV_ERR_VALUE, "%s: %s has no values to take statistics of",
                       inf->op->name, gv_type_format(x, text, sizeof text));
    inf->scratch = gv_norm_scratch(&p);
    return GV_OK;
}

static gv_status norm_infer(gv_infer *inf)
{
    int n;
    int64_t dim[2], c;
    GV_TRY(check_problem(inf));
    c = gv_dim_back(&inf->in[0], 2);
    GV_TRY(check_core(inf, 1, 1, &c));
    GV_TRY(check_core(inf, 2, 1, &c));
    inf->nout = 3;
    inf->out[0] = inf->in[0];
    GV_TRY(statistics_type(inf, &inf->out[1], &n, dim));
    inf->out[2] = inf->out[1];
    return GV_OK;
}

static gv_status norm_forward(const gv_call *call)
{
    gv_norm p = problem_of(call->op, call->in_type, call->attr);
    gv_norm_forward(&p, call->in[0], call->in[1], call->in[2], call->out[0],
                    call->out[1], call->out[2], call->scratch);
    return GV_OK;
}

/* --- nodes on the view (lanes, b, groups, channels of a group, s) ---------------------*/

/* Statistics over the entries: groups are the channels, one each. */
typedef struct view {
    gv_graph *g;
    gv_shape full, stat, weight;
    int64_t sum_stat[3], sum_weight[3]; /* axes as packed attributes */
    double count;
} view;

static view view_of(gv_graph *g, const gv_op *op, const gv_type *x, const int64_t *attr)
{
    gv_norm p = problem_of(op, x, attr);
    bool group = p.groups > 0;
    int64_t groups = group ? p.groups : p.c, each = p.c / groups;
    view v = { .g = g, .full = { 5, { p.lanes, p.b, groups, each, p.s } } };
    v.stat = v.weight = v.full;
    v.stat.dim[group ? 3 : 1] = v.stat.dim[4] = 1;
    v.weight.dim[1] = v.weight.dim[4] = 1;
    memcpy(v.sum_stat, (int64_t[]){ 2, group ? -2 : -4, -1 }, sizeof v.sum_stat);
    memcpy(v.sum_weight, (int64_t[]){ 2, -4, -1 }, sizeof v.sum_weight);
    v.count = group ? (double)(each * p.s) : (double)(p.b * p.s);
    return v;
}

static gv_val wide(const view *v, gv_val a) /* x-like */
{
    return gv_emit_reshape(v->g, a, &v->full);
}

static gv_val spread(const view *v, gv_val a, const gv_shape *kept)
{
    return gv_emit_broadcast(v->g, gv_emit_reshape(v->g, a, kept), &v->full);
}

static gv_val times(const view *v, gv_val a, gv_val b)
{
    return gv_emit_2(v->g, &gv_op_mul, a, b);
}

static gv_val minus(const view *v, gv_val a, gv_val b)
{
    return gv_emit_sum2(v->g, a, gv_emit_1(v->g, &gv_op_neg, b));
}

/* Sum over a set, with the axes kept; and the same repeated over the set. */
static gv_val set_sum(const view *v, gv_val a)
{
    a = gv_emit(v->g, &gv_op_reduce_sum, 1, &a, 3, v->sum_stat);
    return gv_emit_reshape(v->g, a, &v->stat);
}

static gv_val set_mean(const view *v, gv_val a)
{
    a = gv_emit_scale(v->g, set_sum(v, a), 1 / v->count);
    return gv_emit_broadcast(v->g, a, &v->full);
}

/* Sum over all but the channel, shaped like `like`. */
static gv_val channel_sum(const view *v, gv_val a, const gv_shape *like)
{
    a = gv_emit(v->g, &gv_op_reduce_sum, 1, &a, 3, v->sum_weight);
    return gv_emit_reshape(v->g, a, like);
}

/* T(a) = a - <a> - xh <a xh> */
static gv_val project(const view *v, gv_val a, gv_val xh)
{
    gv_val along = times(v, xh, set_mean(v, times(v, a, xh)));
    return minus(v, minus(v, a, set_mean(v, a)), along);
}

/* --- first derivative ------------------------------------------------------------*/

static gv_status norm_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                          gv_val *g_in)
{
    const gv_op *bwd =
        is_group(node->op) ? &gv_op_group_norm_bwd : &gv_op_batch_norm_bwd;
    gv_val x = node->in[0], mean = gv_node_out(node, 1), var = gv_node_out(node, 2);
    gv_type t = *gv_graph_type(g, x);
    bool want_x = g_in[0] != GV_NONE;
    gv_val to_x = GV_NONE, to_w = GV_NONE, to_b = GV_NONE;
    if (g_out[0] != GV_NONE) {
        gv_val in[6] = { x, mean, var, node->in[1], node->in[2], g_out[0] };
        to_x = gv_emit(g, bwd, 6, in, node->nattr, node->attr);
        if (to_x == GV_NONE) return GV_OK;
        to_w = to_x + 1;
        to_b = to_x + 2;
    }
    if (want_x) {
        view v = view_of(g, node->op, &t, node->attr);
        gv_val more = GV_NONE;
        if (g_out[1] != GV_NONE)
            more = gv_emit_scale(g, spread(&v, g_out[1], &v.stat), 1 / v.count);
        if (g_out[2] != GV_NONE) {
            gv_val off = minus(&v, wide(&v, x), spread(&v, mean, &v.stat));
            gv_val push = times(&v, off, spread(&v, g_out[2], &v.stat));
            more = gv_emit_sum2(g, more, gv_emit_scale(g, push, 2 / v.count));
        }
        g_in[0] = gv_emit_sum2(g, to_x, gv_emit_reshape(g, more, &t.shape));
    }
    if (g_in[1] != GV_NONE) g_in[1] = to_w;
    if (g_in[2] != GV_NONE) g_in[2] = to_b;
    return GV_OK;
}

#define NORM(op_name, op_aux, op_signature, op_doc, op_attrs, op_samples)    \
    const gv_op gv_op_##op_name = { .name = #op_name,                        \
                                    .signature = op_signature,               \
                                    .doc = op_doc,                           \
                                    .attrs = "eps:float, relu:int" op_attrs, \
                                    .samples = op_samples,                   \
                                    .infer = norm_infer,                     \
                                    .forward = norm_forward,                 \
                                    .vjp = norm_vjp,                         \
                                    .nin = 3,                                \
                                    .aux = op_aux }

NORM(batch_norm, over_batch,
     "x(b,c,s), weight(c), bias(c) -> y(b,c,s), mean(c), var(c)",
     "weight (x - mean) / sqrt(var + eps) + bias with the statistics of each channel, "
     "zero where that is not positive if relu is 1; var: mean square.",
     "",
     "r[5,3,1] r[3] r[3] | eps=1e-5 relu=0; r[4,3,7] r[3] r[3] | eps=0.1 relu=1; "
     "r[3,2,67] r[2] r[2] | eps=1e-3 relu=1; r[2,3,5,64] r[2,5] r[2,5] | eps=0.1 "
     "relu=0; r[70,19,1] r[19] r[19] | eps=1e-3 relu=1; r[1,1,1] r[1] r[1] | eps=0.5 "
     "relu=0");

NORM(group_norm, over_group,
     "x(b,c,s), weight(c), bias(c) -> y(b,c,s), mean(b,groups), var(b,groups)",
     "weight (x - mean) / sqrt(var + eps) + bias with the statistics of each entry's "
     "groups of channels, zero where that is not positive if relu is 1.",
     ", groups:int",
     "r[5,6,1] r[6] r[6] | eps=1e-5 relu=0 groups=1; "
     "r[3,6,5] r[6] r[6] | eps=0.1 relu=1 groups=3; "
     "r[2,6,71] r[6] r[6] | eps=1e-3 relu=1 groups=2; "
     "r[2,3,4,65] r[2,4] r[2,4] | eps=0.1 relu=0 groups=4; "
     "r[11,37,1] r[37] r[37] | eps=1e-3 relu=1 groups=1; "
     "r[1,1,2] r[1] r[1] | eps=0.5 relu=0 groups=1");

/* --- reverse sweep ---------------------------------------------------------------*/

static gv_status bwd_infer(gv_infer *inf)
{
    const gv_type *x = &inf->in[0];
    gv_type statistics;
    int n;
    int64_t dim[2];
    GV_TRY(check_problem(inf));
    int64_t c = gv_dim_back(x, 2), all[3] = { gv_dim_back(x, 3), c, gv_dim_back(x, 1) };
    GV_TRY(statistics_type(inf, &statistics, &n, dim));
    GV_TRY(check_core(inf, 1, n, dim));
    GV_TRY(check_core(inf, 2, n, dim));
    GV_TRY(check_core(inf, 3, 1, &c));
    GV_TRY(check_core(inf, 4, 1, &c));
    GV_TRY(check_core(inf, 5, core, all));
    inf->nout = 3;
    inf->out[0] = *x;
    inf->out[1] = inf->out[2] = inf->in[3];
    return GV_OK;
}

static gv_status bwd_forward(const gv_call *call)
{
    gv_norm p = problem_of(call->op, call->in_type, call->attr);
    gv_norm_backward(&p, call->in[0], call->in[1], call->in[2], call->in[3],
                     call->in[4], call->in[5], call->out[0], call->out[1], call->out[2],
                     call->scratch);
    return GV_OK;
}

static gv_status bwd_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                         gv_val *g_in)
{
    gv_type t = *gv_in_type(g, node, 0);
    gv_shape stat = gv_in_type(g, node, 1)->shape, chan = gv_in_type(g, node, 3)->shape;
    view v = view_of(g, node->op, &t, node->attr);
    gv_val var = gv_emit_reshape(g, node->in[2], &v.stat);
    gv_val r = gv_emit_1(
        g, &gv_op_reciprocal,
        gv_emit_1(g, &gv_op_sqrt, gv_emit_shift(g, var, gv_attr_float(node->attr[0]))));
    gv_val rw = gv_emit_broadcast(g, r, &v.full);
    gv_val xh = times(
        &v, minus(&v, wide(&v, node->in[0]), spread(&v, node->in[1], &v.stat)), rw);
    gv_val w = spread(&v, node->in[3], &v.weight), f = wide(&v, node->in[5]);
    gv_val open = GV_NONE;
    if (node->attr[1] != 0) {
        open = gv_emit_sum2(g, times(&v, w, xh), spread(&v, node->in[4], &v.weight));
        f = gv_emit_2(g, &gv_op_gate, f, open);
    }
    gv_val u = times(&v, w, f), h = GV_NONE, T = GV_NONE, to_r = GV_NONE;
    gv_val to_xh = GV_NONE, to_g = GV_NONE;
    if (g_out[0] != GV_NONE) {
        h = times(&v, rw, wide(&v, g_out[0]));
        T = project(&v, h, xh);
        to_g = times(&v, w, T);
        to_xh = times(&v, h, set_mean(&v, times(&v, u, xh)));
        to_xh = gv_emit_sum2(g, to_xh, times(&v, u, set_mean(&v, times(&v, h, xh))));
        to_xh = gv_emit_1(g, &gv_op_neg, to_xh);
        to_r = set_sum(&v, times(&v, u, T));
    }
    if (g_out[1] != GV_NONE) {
        gv_val p = spread(&v, g_out[1], &v.weight);
        to_g = gv_emit_sum2(g, to_g, times(&v, p, xh));
        to_xh = gv_emit_sum2(g, to_xh, times(&v, p, f));
    }
    if (g_out[2] != GV_NONE)
        to_g = gv_emit_sum2(g, to_g, spread(&v, g_out[2], &v.weight));
    gv_val to_x = times(&v, to_xh, rw);
    to_r = gv_emit_sum2(g, to_r,
                        to_xh == GV_NONE ? GV_NONE : set_sum(&v, times(&v, to_xh, xh)));
    if (g_in[0] != GV_NONE) g_in[0] = gv_emit_reshape(g, to_x, &t.shape);
    if (g_in[1] != GV_NONE && to_x != GV_NONE)
        g_in[1] =
            gv_emit_reshape(g, gv_emit_1(g, &gv_op_neg, set_sum(&v, to_x)), &stat);
    else
        g_in[1] = GV_NONE;
    if (g_in[2] != GV_NONE) { /* to_r is that of r times r; dr/dvar = -r^3 / 2 */
        gv_val to_var = times(&v, to_r, gv_emit_1(g, &gv_op_square, r));
        g_in[2] = gv_emit_reshape(g, gv_emit_scale(g, to_var, -0.5), &stat);
    }
    if (g_in[3] != GV_NONE)
        g_in[3] = T == GV_NONE ? GV_NONE : channel_sum(&v, times(&v, f, T), &chan);
    g_in[4] = GV_NONE;
    if (g_in[5] != GV_NONE) {
        if (open != GV_NONE) to_g = gv_emit_2(g, &gv_op_gate, to_g, open);
        g_in[5] = gv_emit_reshape(g, to_g, &t.shape);
    }
    return GV_OK;
}

#define NORM_BWD(op_name, op_aux, op_signature, op_doc, op_attrs, op_samples) \
    const gv_op gv_op_##op_name = { .name = #op_name,                         \
                                    .signature = op_signature,                \
                                    .doc = op_doc,                            \
                                    .attrs = "eps:float, relu:int" op_attrs,  \
                                    .samples = op_samples,                    \
                                    .flags = GV_INPLACE,                      \
                                    .infer = bwd_infer,                       \
                                    .forward = bwd_forward,                   \
                                    .vjp = bwd_vjp,                           \
                                    .nin = 6,                                 \
                                    .aux = op_aux }

NORM_BWD(batch_norm_bwd, over_batch,
         "x(b,c,s), mean(c), var(c), weight(c), bias(c), g(b,c,s) -> g_x(b,c,s), "
         "g_weight(c), g_bias(c)",
         "Cotangents of batch_norm, with the statistics taken to follow x.", "",
         "r[5,3,1] r[3] p[3] r[3] r[3]! r[5,3,1] | eps=1e-5 relu=0; "
         "r[4,3,7] r[3] p[3] r[3] r[3]! r[4,3,7] | eps=0.1 relu=1; "
         "r[3,2,67] r[2] p[2] r[2] r[2]! r[3,2,67] | eps=1e-3 relu=1; "
         "r[2,3,5,64] r[2,5] p[2,5] r[2,5] r[2,5]! r[2,3,5,64] | eps=0.1 relu=0; "
         "r[70,19,1] r[19] p[19] r[19] r[19]! r[70,19,1] | eps=1e-3 relu=1");

NORM_BWD(group_norm_bwd, over_group,
         "x(b,c,s), mean(b,groups), var(b,groups), weight(c), bias(c), g(b,c,s) -> "
         "g_x(b,c,s), g_weight(c), g_bias(c)",
         "Cotangents of group_norm, with the statistics taken to follow x.",
         ", groups:int",
         "r[5,6,1] r[5,1] p[5,1] r[6] r[6]! r[5,6,1] | eps=1e-5 relu=0 groups=1; "
         "r[3,6,5] r[3,3] p[3,3] r[6] r[6]! r[3,6,5] | eps=0.1 relu=1 groups=3; "
         "r[2,6,71] r[2,2] p[2,2] r[6] r[6]! r[2,6,71] | eps=1e-3 relu=1 groups=2; "
         "r[2,3,4,65] r[2,3,4] p[2,3,4] r[2,4] r[2,4]! r[2,3,4,65] | eps=0.1 relu=0 "
         "groups=4; r[11,37,1] r[11,1] p[11,1] r[37] r[37]! r[11,37,1] | eps=1e-3 "
         "relu=1 groups=1");
