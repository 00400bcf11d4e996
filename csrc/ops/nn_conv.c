/* Convolution of networks, its transpose in the input and its derivative in the
 * weights.
 *
 *   y[n, o, j] = b[o] + sum_{c, t} w[o, c, t] x[n, c, j stride + t dilation - low]
 *
 * or with act 1 max(y, 0), whose derivative takes g where y > 0. x is zero outside,
 * `low` and `high` points of it on each axis are read, or periodic. All three are
 * linear in each operand, and closed under transposition: with y = A(w) x the
 * cotangents are A(w)^T g (conv_data_bwd, the transposed convolution) and the sum over
 * points of g times shifted x (conv_weight_bwd). The number of axes is that of
 * `stride`; axes in front of (n, c, ...) and (o, c, ...) are batch axes of both. */
#include "kernels/conv.h"
#include "ops/ops.h"
#include "ops/rank.h"

enum { AXES = 3, ATTRS = 4 + 5 * (AXES + 1) };

/* The attributes that all three begin with; conv ends with act, the others with
 * sizes. */
typedef struct setting {
    gv_ints stride, dilation, low, high, extra;
    int64_t groups, periodic, method, act;
    int axes;
} setting;

static setting setting_of(const gv_op *op, const int64_t *attr)
{
    const int64_t *p = attr;
    setting s = { .stride = gv_ints_take(&p) };
    s.dilation = gv_ints_take(&p);
    s.low = gv_ints_take(&p);
    s.high = gv_ints_take(&p);
    s.groups = *p++;
    s.periodic = *p++;
    s.method = *p++;
    if (op == &gv_op_conv)
        s.act = *p;
    else
        s.extra = gv_ints_take(&p);
    s.axes = s.stride.n;
    return s;
}

/* The same attributes, ending in `extra` or without it in act 0. Returns how many. */
static int put_setting(const setting *s, const int64_t *extra, int64_t *attr)
{
    int64_t *p = attr;
    gv_ints_put(&p, s->axes, s->stride.v);
    gv_ints_put(&p, s->axes, s->dilation.v);
    gv_ints_put(&p, s->axes, s->low.v);
    gv_ints_put(&p, s->axes, s->high.v);
    *p++ = s->groups;
    *p++ = s->periodic;
    *p++ = s->method;
    if (extra)
        gv_ints_put(&p, s->axes, extra);
    else
        *p++ = 0;
    return (int)(p - attr);
}

static gv_status check_setting(const gv_infer *inf, const setting *s, bool extra)
{
    const char *name = inf->op->name;
    if (s->axes < 1 || s->axes > AXES)
        return gv_fail(GV_ERR_VALUE, "%s: 1 to %d axes, not %d", name, AXES, s->axes);
    if (s->dilation.n != s->axes || s->low.n != s->axes || s->high.n != s->axes ||
        s->extra.n != (extra ? s->axes : 0))
        return gv_fail(GV_ERR_VALUE,
                       "%s: attributes need one value for each of %d axes", name,
                       s->axes);
    for (int a = 0; a < s->axes; a++) {
        if (s->stride.v[a] < 1 || s->dilation.v[a] < 1)
            return gv_fail(GV_ERR_VALUE, "%s: stride and dilation must be at least 1",
                           name);
        if (!s->periodic && (s->low.v[a] < 0 || s->high.v[a] < 0))
            return gv_fail(GV_ERR_VALUE, "%s: padding must not be negative", name);
    }
    if (s->groups < 1)
        return gv_fail(GV_ERR_VALUE, "%s: groups must be at least 1", name);
    if (s->act < 0 || s->act > 1)
        return gv_fail(GV_ERR_VALUE, "%s: act is 0 or 1", name);
    if (s->method < GV_CONV_AUTO || s->method > GV_CONV_WINOGRAD)
        return gv_fail(GV_ERR_VALUE, "%s: method is 0, 1 or 2", name);
    return GV_OK;
}

/* Number of results on axis a of `in` points with a kernel of `taps`. */
static gv_status axis_length(const gv_infer *inf, const setting *s, int a, int64_t in,
                             int64_t taps, int64_t *out)
{
    const char *name = inf->op->name;
    int64_t stride = s->stride.v[a];
    if (in < 1 || taps < 1)
        return gv_fail(GV_ERR_VALUE, "%s: axis %d has length %lld, the kernel %lld",
                       name, a - s->axes, (long long)in, (long long)taps);
    if (s->periodic) {
        *out = in / stride;
        if (in % stride == 0) return GV_OK;
        return gv_fail(GV_ERR_VALUE,
                       "%s: a periodic axis of length %lld is not a multiple of the "
                       "stride %lld",
                       name, (long long)in, (long long)stride);
    }
    int64_t whole = in + s->low.v[a] + s->high.v[a];
    int64_t span = s->dilation.v[a] * (taps - 1) + 1;
    *out = (whole - span) / stride + 1;
    if (whole >= span) return GV_OK;
    return gv_fail(GV_ERR_VALUE,
                   "%s: the kernel spans %lld points of axis %d, the padded input has "
                   "%lld; pad more",
                   name, (long long)span, a - s->axes, (long long)whole);
}

/* The problem of x(n, c, in), y(n, o, out) and kernel sizes; entries counts the
 * batch. */
static gv_conv conv_of(const setting *s, const gv_type *x, const gv_type *y,
                       const int64_t *kernel)
{
    gv_conv c = { .dtype = x->dtype,
                  .method = (gv_conv_method)s->method,
                  .periodic = s->periodic != 0,
                  .relu = s->act == 1,
                  .batch = gv_dim_back(x, s->axes + 2),
                  .groups = s->groups,
                  .c_in = gv_dim_back(x, s->axes + 1),
                  .c_out = gv_dim_back(y, s->axes + 1) };
    for (int a = 0; a < 3; a++) {
        int k = a - (3 - s->axes); /* leading axes of length 1 */
        c.in[a] = k < 0 ? 1 : gv_dim_back(x, 3 - a);
        c.out[a] = k < 0 ? 1 : gv_dim_back(y, 3 - a);
        c.kernel[a] = k < 0 ? 1 : kernel[k];
        c.stride[a] = k < 0 ? 1 : s->stride.v[k];
        c.dilation[a] = k < 0 ? 1 : s->dilation.v[k];
        c.low[a] = k < 0 ? 0 : s->low.v[k];
    }
    return c;
}

static gv_status misfit(const gv_infer *inf, int i, int j)
{
    char one[96], two[96];
    return gv_fail(GV_ERR_VALUE,
                   "%s: %s does not fit %s with these groups, sizes and "
                   "padding",
                   inf->op->name, gv_type_format(&inf->in[i], one, sizeof one),
                   gv_type_format(&inf->in[j], two, sizeof two));
}

static gv_status check_operand(const gv_infer *inf, const setting *s, int i)
{
    if (!gv_dtype_is_float(inf->in[i].dtype))
        return gv_fail(GV_ERR_TYPE, "%s takes float32 or float64, not %s",
                       inf->op->name, gv_dtype_name(inf->in[i].dtype));
    GV_TRY(gv_check_same_dtype(inf, 0, i));
    return gv_check_rank(inf, i, s->axes + 2);
}

/* Operands 0 and 1, of the same batch; how many inputs. */
static gv_status check_inputs(const gv_infer *inf, const setting *s, bool bias)
{
    if (inf->nin < 2 || inf->nin > (bias ? 3 : 2))
        return gv_fail(GV_ERR_VALUE, "%s: %d inputs", inf->op->name, inf->nin);
    GV_TRY(check_operand(inf, s, 0));
    GV_TRY(check_operand(inf, s, 1));
    return gv_check_batch(inf, 0, s->axes + 2, 1, s->axes + 2);
}

static gv_status check_bias(const gv_infer *inf, const setting *s, int64_t channels)
{
    if (inf->nin < 3) return GV_OK;
    GV_TRY(gv_check_same_dtype(inf, 0, 2));
    GV_TRY(gv_check_rank(inf, 2, 1));
    GV_TRY(gv_check_batch(inf, 1, s->axes + 2, 2, 1));
    if (gv_dim_back(&inf->in[2], 1) == channels) return GV_OK;
    return gv_fail(GV_ERR_VALUE, "%s: bias of length %lld for %lld channels",
                   inf->op->name, (long long)gv_dim_back(&inf->in[2], 1),
                   (long long)channels);
}

static void set_dim(gv_type *t, int back, int64_t n)
{
    t->shape.dim[t->shape.ndim - back] = n;
}

/* Read settings and run `pass` for every entry of the batch axes. */
static void run(const gv_call *call, gv_conv_pass pass, const gv_conv *c, int core)
{
    int64_t entries = gv_batch_count(call->in_type, core);
    size_t item = gv_dtype_size(c->dtype), step[3] = { 0 }, out = item;
    for (int i = 0; i < call->nin; i++) {
        int n = i < 2 ? core : 1;
        const gv_shape *s = &call->in_type[i].shape;
        step[i] = (size_t)gv_shape_span(s, s->ndim - n, s->ndim) * item;
    }
    const gv_shape *s = &call->out_type->shape;
    out *= (size_t)gv_shape_span(s, s->ndim - core, s->ndim);
    for (int64_t e = 0; e < entries; e++) {
        const char *in[3] = { NULL, NULL, NULL };
        for (int i = 0; i < call->nin; i++)
            in[i] = (const char *)call->in[i] + (size_t)e * step[i];
        char *to = (char *)call->out[0] + (size_t)e * out;
        if (pass == GV_CONV_FORWARD)
            gv_conv_forward(c, in[0], in[1], in[2], to, call->scratch);
        else if (pass == GV_CONV_DATA)
            gv_conv_data(c, in[0], in[1], in[2], to, call->scratch);
        else
            gv_conv_weight(c, in[0], in[1], to, call->scratch);
    }
}

/* Sum over entries and points: the cotangent of a bias. */
static gv_val emit_bias(gv_graph *g, gv_val v, int axes)
{
    int64_t attr[AXES + 2] = { axes + 1, -(axes + 2) };
    for (int a = 0; a < axes; a++) attr[2 + a] = a - axes;
    return gv_emit(g, &gv_op_reduce_sum, 1, &v, axes + 2, attr);
}

/* b(..., c) at every entry and point of an array like `like`. */
static gv_val emit_everywhere(gv_graph *g, gv_val b, gv_val like, int axes)
{
    if (b == GV_NONE || gv_graph_status(g) != GV_OK) return GV_NONE;
    gv_shape full = gv_graph_type(g, like)->shape, thin = full;
    thin.dim[thin.ndim - axes - 2] = 1;
    for (int a = 1; a <= axes; a++) thin.dim[thin.ndim - a] = 1;
    return gv_emit_broadcast(g, gv_emit_reshape(g, b, &thin), &full);
}

/* The sizes of the trailing axes of a value. */
static const int64_t *sizes_of(const gv_graph *g, gv_val v, int axes)
{
    const gv_shape *s = &gv_graph_type(g, v)->shape;
    return s->dim + s->ndim - axes;
}

static gv_val emit_conv(gv_graph *g, const setting *s, int nin, const gv_val *in)
{
    int64_t attr[ATTRS];
    return gv_emit(g, &gv_op_conv, nin, in, put_setting(s, NULL, attr), attr);
}

static gv_val emit_data(gv_graph *g, const setting *s, const int64_t *size, int nin,
                        const gv_val *in)
{
    int64_t attr[ATTRS];
    int n = put_setting(s, size, attr);
    return gv_emit(g, &gv_op_conv_data_bwd, nin, in, n, attr);
}

static gv_val emit_weight(gv_graph *g, const setting *s, const int64_t *kernel,
                          gv_val x, gv_val y)
{
    int64_t attr[ATTRS];
    int n = put_setting(s, kernel, attr);
    return gv_emit(g, &gv_op_conv_weight_bwd, 2, (gv_val[2]){ x, y }, n, attr);
}

/* v where y > 0, else 0: the derivative of max(y, 0). */
static gv_val emit_mask(gv_graph *g, gv_val y, gv_val v)
{
    gv_val zero = gv_emit_zeros_like(g, y);
    return gv_emit_3(g, &gv_op_where, gv_emit_2(g, &gv_op_gt, y, zero), v, zero);
}

/* Tangent of an operator linear in each of two operands, plus a bias. */
static gv_status linear_jvp(gv_graph *g, const gv_node *node, const gv_val *d_in,
                            gv_val *d_out)
{
    gv_val bias = node->nin > 2 ? d_in[2] : GV_NONE, sum = GV_NONE;
    gv_val y = gv_node_out(node, 0);
    setting s = setting_of(node->op, node->attr);
    int64_t attr[ATTRS];
    int nattr = put_setting(&s, node->op == &gv_op_conv ? NULL : s.extra.v, attr);
    for (int i = 0; i < 2; i++) {
        if (d_in[i] == GV_NONE) continue;
        gv_val in[3] = { i == 0 ? d_in[0] : node->in[0], i == 1 ? d_in[1] : node->in[1],
                         bias };
        gv_val v = gv_emit(g, node->op, bias == GV_NONE ? 2 : 3, in, nattr, attr);
        sum = gv_emit_sum2(g, sum, v);
        bias = GV_NONE;
    }
    if (bias != GV_NONE) sum = emit_everywhere(g, bias, y, s.axes);
    d_out[0] = s.act == 1 && sum != GV_NONE ? emit_mask(g, y, sum) : sum;
    return GV_OK;
}

/* Lanes of operand 0 alone, which has no batch axes, become entries. */
static gv_status linear_batch(gv_graph *g, const gv_node *node, int64_t n,
                              const gv_val *in, const bool *batched, gv_val *out)
{
    setting s = setting_of(node->op, node->attr);
    gv_type x = *gv_in_type(g, node, 0), y = node->type[0];
    gv_val all[3];
    if (batched[0] && !batched[1] && (node->nin < 3 || !batched[2]) &&
        x.shape.ndim == s.axes + 2) {
        gv_shape whole = y.shape, flat = x.shape;
        flat.dim[0] *= n;
        all[0] = gv_emit_reshape(g, in[0], &flat);
        for (int i = 1; i < node->nin; i++) all[i] = in[i];
        gv_val v = gv_emit_like(g, node, all);
        for (int a = whole.ndim++; a > 0; a--) whole.dim[a] = whole.dim[a - 1];
        whole.dim[0] = n;
        out[0] = gv_emit_reshape(g, v, &whole);
        return GV_OK;
    }
    for (int i = 0; i < node->nin; i++)
        all[i] = batched[i] ? in[i] : gv_emit_lead(g, in[i], n);
    out[0] = gv_emit_like(g, node, all);
    return GV_OK;
}

/* --- conv ---------------------------------------------------------------------------*/

static gv_status conv_infer(gv_infer *inf)
{
    setting s = setting_of(inf->op, inf->attr);
    GV_TRY(check_setting(inf, &s, false));
    GV_TRY(check_inputs(inf, &s, true));
    const gv_type *x = &inf->in[0], *w = &inf->in[1];
    int64_t o = gv_dim_back(w, s.axes + 2);
    if (gv_dim_back(x, s.axes + 1) != s.groups * gv_dim_back(w, s.axes + 1) ||
        o % s.groups != 0 || o == 0 || gv_dim_back(w, s.axes + 1) == 0)
        return misfit(inf, 1, 0);
    GV_TRY(check_bias(inf, &s, o));
    inf->out[0] = *x;
    set_dim(inf->out, s.axes + 1, o);
    for (int a = 0; a < s.axes; a++) {
        int64_t n;
        int back = s.axes - a;
        GV_TRY(axis_length(inf, &s, a, gv_dim_back(x, back), gv_dim_back(w, back), &n));
        set_dim(inf->out, back, n);
    }
    gv_conv c = conv_of(&s, x, inf->out, w->shape.dim + w->shape.ndim - s.axes);
    return gv_conv_scratch(&c, GV_CONV_FORWARD, &inf->scratch);
}

static gv_status conv_forward(const gv_call *call)
{
    setting s = setting_of(call->op, call->attr);
    const gv_type *w = call->in_type + 1;
    gv_conv c = conv_of(&s, call->in_type, call->out_type,
                        w->shape.dim + w->shape.ndim - s.axes);
    run(call, GV_CONV_FORWARD, &c, s.axes + 2);
    return GV_OK;
}

static gv_status conv_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                          gv_val *g_in)
{
    setting s = setting_of(node->op, node->attr);
    gv_val x = node->in[0], w = node->in[1], gy = g_out[0];
    int64_t size[AXES];
    if (s.act == 1) gy = emit_mask(g, gv_node_out(node, 0), gy);
    if (g_in[0] != GV_NONE) {
        memcpy(size, sizes_of(g, x, s.axes), (size_t)s.axes * sizeof *size);
        g_in[0] = emit_data(g, &s, size, 2, (gv_val[2]){ gy, w });
    }
    if (g_in[1] != GV_NONE) {
        memcpy(size, sizes_of(g, w, s.axes), (size_t)s.axes * sizeof *size);
        g_in[1] = emit_weight(g, &s, size, x, gy);
    }
    if (node->nin > 2 && g_in[2] != GV_NONE) g_in[2] = emit_bias(g, gy, s.axes);
    return GV_OK;
}

#define COMMON                                                      \
    "stride:ints, dilation:ints, low:ints, high:ints, groups:int, " \
    "periodic:int, method:int"
#define ONE "stride=(1,) dilation=(1,) low=(1,) high=(1,) groups=1 periodic=0 method=0"
#define TWO \
    "stride=(1,1) dilation=(1,1) low=(1,1) high=(1,1) groups=1 periodic=0 method=0"
#define ODD "stride=(2,) dilation=(2,) low=(1,) high=(2,) groups=2 periodic=0 method=0"
#define MIXED                                                               \
    "stride=(2,1) dilation=(1,3) low=(0,2) high=(1,0) groups=2 periodic=0 " \
    "method=0"
#define AROUND                                                           \
    "stride=(1,1,2) dilation=(1,2,1) low=(1,2,1) high=(1,2,1) groups=1 " \
    "periodic=1 method=0"
#define CUBE                                                             \
    "stride=(1,1,1) dilation=(1,1,1) low=(1,1,1) high=(1,1,1) groups=1 " \
    "periodic=1 method=0"
#define POINT \
    "stride=(1,) dilation=(1,) low=(0,) high=(0,) groups=1 periodic=0 method=0"

const gv_op gv_op_conv = {
    .name = "conv",
    .signature = "x(n,c,...), w(o,k,...), b(o) -> y(n,o,...)",
    .doc =
        "Convolution (cross-correlation) of 1 to 3 axes, plus a bias if given; k = "
        "c/groups; low, high: points of zero padding; method: 0 chooses, 1 direct, 2 "
        "Winograd where it applies.",
    .attrs = COMMON ", act:int",
    .samples = "r[2,3,6,5] r[4,3,3,3] r[4] | " TWO " act=1; r[2,4,11] r[6,2,3] | " ODD
               " act=0; r[1,4,7,9] r[2,2,2,3] r[2] | " MIXED
               " act=0; r[1,2,3,5,4] r[3,2,3,3,3] | " AROUND
               " act=0; r[2,16,9,7] r[18,16,3,3] r[18] | " TWO
               " act=1; r[1,9,4,5,4] r[8,9,3,3,3] | " CUBE
               " act=1; r[1,16,70] r[11,16,3] r[11] | " ONE
               " act=0; r[3,2,1,5] r[3,2,1,3] r[3,2] | " ONE
               " act=1; r[1,1,1] r[1,1,1] r[1] | " POINT
               " act=0; r[0,2,4] r[3,2,3] r[3] | " ONE " act=0",
    .flags = 0,
    .infer = conv_infer,
    .forward = conv_forward,
    .vjp = conv_vjp,
    .jvp = linear_jvp,
    .batch = linear_batch,
    .nin = -1,
};

/* --- conv_data_bwd --------------------------------------------------------------------*/

static gv_status data_infer(gv_infer *inf)
{
    setting s = setting_of(inf->op, inf->attr);
    GV_TRY(check_setting(inf, &s, true));
    GV_TRY(check_inputs(inf, &s, true));
    const gv_type *g = &inf->in[0], *w = &inf->in[1];
    int64_t o = gv_dim_back(w, s.axes + 2), k = gv_dim_back(w, s.axes + 1);
    if (gv_dim_back(g, s.axes + 1) != o || o % s.groups != 0 || o == 0 || k == 0)
        return misfit(inf, 1, 0);
    GV_TRY(check_bias(inf, &s, k * s.groups));
    inf->out[0] = *g;
    set_dim(inf->out, s.axes + 1, k * s.groups);
    for (int a = 0; a < s.axes; a++) {
        int64_t n;
        int back = s.axes - a;
        GV_TRY(axis_length(inf, &s, a, s.extra.v[a], gv_dim_back(w, back), &n));
        if (n != gv_dim_back(g, back)) return misfit(inf, 1, 0);
        set_dim(inf->out, back, s.extra.v[a]);
    }
    gv_conv c = conv_of(&s, inf->out, g, w->shape.dim + w->shape.ndim - s.axes);
    return gv_conv_scratch(&c, GV_CONV_DATA, &inf->scratch);
}

static gv_status data_forward(const gv_call *call)
{
    setting s = setting_of(call->op, call->attr);
    const gv_type *w = call->in_type + 1;
    gv_conv c = conv_of(&s, call->out_type, call->in_type,
                        w->shape.dim + w->shape.ndim - s.axes);
    run(call, GV_CONV_DATA, &c, s.axes + 2);
    return GV_OK;
}

static gv_status data_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                          gv_val *g_in)
{
    setting s = setting_of(node->op, node->attr);
    gv_val y = node->in[0], w = node->in[1], q = g_out[0];
    if (g_in[0] != GV_NONE) g_in[0] = emit_conv(g, &s, 2, (gv_val[2]){ q, w });
    if (g_in[1] != GV_NONE) {
        int64_t kernel[AXES];
        memcpy(kernel, sizes_of(g, w, s.axes), (size_t)s.axes * sizeof *kernel);
        g_in[1] = emit_weight(g, &s, kernel, q, y);
    }
    if (node->nin > 2 && g_in[2] != GV_NONE) g_in[2] = emit_bias(g, q, s.axes);
    return GV_OK;
}

const gv_op gv_op_conv_data_bwd = {
    .name = "conv_data_bwd",
    .signature = "g(n,o,...), w(o,k,...), b(c) -> x(n,c,...)",
    .doc = "Transpose of conv in its input (transposed convolution), plus a bias if "
           "given; "
           "size: of the axes of x.",
    .attrs = COMMON ", size:ints",
    .samples =
        "r[2,4,6,5] r[4,3,3,3] r[3] | " TWO " size=(6,5); r[2,6,5] r[6,2,3] | " ODD
        " size=(11,); r[1,2,4,5] r[2,2,2,3] r[4] | " MIXED
        " size=(7,9); r[1,3,3,5,2] r[3,2,3,3,3] | " AROUND
        " size=(3,5,4); r[2,18,9,7] r[18,16,3,3] r[16] | " TWO
        " size=(9,7); r[1,8,4,5,4] r[8,9,3,3,3] | " CUBE
        " size=(4,5,4); r[1,11,70] r[11,8,3] r[8] | " ONE
        " size=(70,); r[3,2,2,5] r[3,2,1,3] r[3,1] | " ONE
        " size=(5,); r[1,1,1] r[1,1,1] r[1] | " POINT
        " size=(1,); r[0,3,4] r[3,2,3] r[2] | " ONE " size=(4,)",
    .flags = 0,
    .infer = data_infer,
    .forward = data_forward,
    .vjp = data_vjp,
    .jvp = linear_jvp,
    .batch = linear_batch,
    .nin = -1,
};

/* --- conv_weight_bwd --------------------------------------------------------------------*/

static gv_status weight_infer(gv_infer *inf)
{
    setting s = setting_of(inf->op, inf->attr);
    GV_TRY(check_setting(inf, &s, true));
    GV_TRY(check_inputs(inf, &s, false));
    const gv_type *x = &inf->in[0], *g = &inf->in[1];
    int64_t c = gv_dim_back(x, s.axes + 1), o = gv_dim_back(g, s.axes + 1);
    if (c % s.groups != 0 || o % s.groups != 0 || c == 0 || o == 0 ||
        gv_dim_back(x, s.axes + 2) != gv_dim_back(g, s.axes + 2))
        return misfit(inf, 1, 0);
    inf->out[0] = *x;
    set_dim(inf->out, s.axes + 2, o);
    set_dim(inf->out, s.axes + 1, c / s.groups);
    for (int a = 0; a < s.axes; a++) {
        int64_t n;
        int back = s.axes - a;
        GV_TRY(axis_length(inf, &s, a, gv_dim_back(x, back), s.extra.v[a], &n));
        if (n != gv_dim_back(g, back)) return misfit(inf, 1, 0);
        set_dim(inf->out, back, s.extra.v[a]);
    }
    gv_conv p = conv_of(&s, x, g, s.extra.v);
    return gv_conv_scratch(&p, GV_CONV_WEIGHT, &inf->scratch);
}

static gv_status weight_forward(const gv_call *call)
{
    setting s = setting_of(call->op, call->attr);
    gv_conv c = conv_of(&s, call->in_type, call->in_type + 1, s.extra.v);
    run(call, GV_CONV_WEIGHT, &c, s.axes + 2);
    return GV_OK;
}

static gv_status weight_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                            gv_val *g_in)
{
    setting s = setting_of(node->op, node->attr);
    gv_val x = node->in[0], y = node->in[1], p = g_out[0];
    if (g_in[0] != GV_NONE) {
        int64_t size[AXES];
        memcpy(size, sizes_of(g, x, s.axes), (size_t)s.axes * sizeof *size);
        g_in[0] = emit_data(g, &s, size, 2, (gv_val[2]){ y, p });
    }
    if (g_in[1] != GV_NONE) g_in[1] = emit_conv(g, &s, 2, (gv_val[2]){ x, p });
    return GV_OK;
}

const gv_op gv_op_conv_weight_bwd = {
    .name = "conv_weight_bwd",
    .signature = "x(n,c,...), g(n,o,...) -> w(o,k,...)",
    .doc = "Transpose of conv in its weights: sum over entries and points of g times "
           "shifted x; kernel: sizes of w.",
    .attrs = COMMON ", kernel:ints",
    .samples = "r[2,3,6,5] r[2,4,6,5] | " TWO " kernel=(3,3); r[2,4,11] r[2,6,5] | " ODD
               " kernel=(3,); r[1,4,7,9] r[1,2,4,5] | " MIXED
               " kernel=(2,3); r[1,2,3,5,4] r[1,3,3,5,2] | " AROUND
               " kernel=(3,3,3); r[2,16,9,7] r[2,18,9,7] | " TWO
               " kernel=(3,3); r[1,9,4,5,4] r[1,8,4,5,4] | " CUBE
               " kernel=(3,3,3); r[1,8,70] r[1,11,70] | " ONE
               " kernel=(3,); r[3,2,1,5] r[3,2,2,5] | " ONE
               " kernel=(3,); r[1,1,1] r[1,1,1] | " POINT
               " kernel=(1,); r[0,2,4] r[0,3,4] | " ONE " kernel=(3,)",
    .flags = GV_BILINEAR,
    .infer = weight_infer,
    .forward = weight_forward,
    .vjp = weight_vjp,
    .nin = 2,
};
