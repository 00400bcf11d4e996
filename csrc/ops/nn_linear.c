/* Linear layers of networks and their derivative.
 *
 *   z = x w^T + b, y = z (act 0) or max(z, 0) (act 1)
 *
 * Axes in front of the cores are groups: each has its own w and b. Groups may also lie
 * behind the rows: with x_inner = 1, x is (..., m, g, k) where w is (..., g, n, k); with
 * y_inner = 1 the same of y. linear_back gives, of h = g_y (where y > 0, with act 1),
 *
 *   g_x = h w,  g_w = h^T x,  g_b = sum over rows of h
 *
 * those that `want` names (1: g_x, 2: g_w, 4: g_b). Its own derivative is made of linear
 * and linear_back again: with cotangents p, q, r of the three,
 *
 *   g_h = p w^T + x q^T + r,  g_x = h q,  g_w = h^T p. */
#include "kernels/dense.h"
#include "ops/linear.h"
#include "ops/ops.h"
#include "ops/rank.h"

enum {
    ACT = GV_LINEAR_ACT,
    X_INNER = GV_LINEAR_X_INNER,
    Y_INNER = GV_LINEAR_Y_INNER,
    WANT = GV_LINEAR_WANT
};

/* --- shapes -----------------------------------------------------------------------------*/

/* The axes of x or y as those of the weight have them: groups, rows, features. */
static gv_shape grouped(const gv_type *t, bool inner)
{
    gv_shape s = t->shape;
    if (!inner) return s;
    int n = s.ndim;
    int64_t rows = s.dim[n - 3];
    s.dim[n - 3] = s.dim[n - 2];
    s.dim[n - 2] = rows;
    return s;
}

/* w(..., n, k) and x or y (...) with `features` last: the same groups? */
static gv_status check_side(const gv_infer *inf, int i, int weight, bool inner,
                            int64_t features)
{
    const gv_type *t = &inf->in[i], *w = &inf->in[weight];
    char one[96], two[96];
    GV_TRY(gv_check_same_dtype(inf, weight, i));
    GV_TRY(gv_check_rank(inf, i, inner ? 3 : 2));
    gv_shape s = grouped(t, inner);
    bool fits = s.ndim == w->shape.ndim && s.dim[s.ndim - 1] == features;
    for (int k = 0; fits && k < s.ndim - 2; k++) fits = s.dim[k] == w->shape.dim[k];
    if (fits) return GV_OK;
    return gv_fail(GV_ERR_VALUE, "%s: %s does not fit the weight %s", inf->op->name,
                   gv_type_format(t, one, sizeof one),
                   gv_type_format(w, two, sizeof two));
}

/* The type of the side whose rows are those of `like`. */
static gv_type side_type(const gv_type *like, bool like_inner, bool inner,
                         int64_t features)
{
    gv_type t = { like->dtype, grouped(like, like_inner) };
    t.shape.dim[t.shape.ndim - 1] = features;
    t.shape = grouped(&t, inner);
    return t;
}

static gv_status check_attrs(const gv_infer *inf, int weight)
{
    const gv_type *w = &inf->in[weight];
    if (!gv_dtype_is_float(w->dtype))
        return gv_fail(GV_ERR_TYPE, "%s takes float32 or float64, not %s",
                       inf->op->name, gv_dtype_name(w->dtype));
    if (inf->attr[ACT] < 0 || inf->attr[ACT] > 1)
        return gv_fail(GV_ERR_VALUE, "%s: act must be 0 or 1", inf->op->name);
    for (int i = X_INNER; i <= Y_INNER; i++)
        if (inf->attr[i] < 0 || inf->attr[i] > 1)
            return gv_fail(GV_ERR_VALUE, "%s: x_inner and y_inner must be 0 or 1",
                           inf->op->name);
    return gv_check_rank(inf, weight, 2);
}

static gv_status check_bias(const gv_infer *inf, int i, int weight)
{
    const gv_type *b = &inf->in[i], *w = &inf->in[weight];
    GV_TRY(gv_check_same_dtype(inf, weight, i));
    GV_TRY(gv_check_rank(inf, i, 1));
    GV_TRY(gv_check_batch(inf, weight, 2, i, 1));
    if (gv_dim_back(b, 1) == gv_dim_back(w, 2)) return GV_OK;
    return gv_fail(GV_ERR_VALUE, "%s: bias of length %lld, the weight has %lld rows",
                   inf->op->name, (long long)gv_dim_back(b, 1),
                   (long long)gv_dim_back(w, 2));
}

/* What the kernels need to know. Groups in front of those behind the rows make calls of
 * their own; how many. */
static int64_t describe(const gv_type *x, const gv_type *w, const int64_t *attr,
                        gv_dense *d)
{
    bool xi = attr[X_INNER] != 0, yi = attr[Y_INNER] != 0;
    gv_shape s = grouped(x, xi);
    int64_t groups = gv_batch_count(w, 2), calls = 1;
    if (xi || yi) {
        groups = gv_dim_back(w, 3);
        calls = gv_batch_count(w, 3);
    }
    int64_t m = s.dim[s.ndim - 2], n = gv_dim_back(w, 2), k = gv_dim_back(w, 1);
    *d = (gv_dense){ .dtype = w->dtype,
                     .groups = groups,
                     .m = m,
                     .n = n,
                     .k = k,
                     .x_row = xi ? groups * k : k,
                     .x_step = xi ? k : m * k,
                     .y_row = yi ? groups * n : n,
                     .y_step = yi ? n : m * n,
                     .relu = attr[ACT] != 0 };
    return calls;
}

static const char *entry(const void *base, int64_t e, int64_t size, gv_dtype dtype)
{
    return base ? (const char *)base + (size_t)(e * size) * gv_dtype_size(dtype) : NULL;
}

static char *entry_out(void *base, int64_t e, int64_t size, gv_dtype dtype)
{
    return base ? (char *)base + (size_t)(e * size) * gv_dtype_size(dtype) : NULL;
}

/* --- linear -----------------------------------------------------------------------------*/

static gv_status linear_infer(gv_infer *inf)
{
    const gv_type *x = &inf->in[0], *w = &inf->in[1];
    if (inf->nin != 2 && inf->nin != 3)
        return gv_fail(GV_ERR_VALUE, "linear takes x, weight and perhaps a bias");
    GV_TRY(check_attrs(inf, 1));
    if (inf->attr[Y_INNER]) GV_TRY(gv_check_rank(inf, 1, 3));
    GV_TRY(check_side(inf, 0, 1, inf->attr[X_INNER] != 0, gv_dim_back(w, 1)));
    if (inf->nin == 3) GV_TRY(check_bias(inf, 2, 1));
    inf->out[0] = side_type(x, inf->attr[X_INNER] != 0, inf->attr[Y_INNER] != 0,
                            gv_dim_back(w, 2));
    gv_dense d;
    describe(x, w, inf->attr, &d);
    inf->scratch = gv_dense_scratch(&d);
    return GV_OK;
}

static gv_status linear_forward(const gv_call *call)
{
    gv_dense d;
    gv_dtype t = call->in_type[1].dtype;
    int64_t calls = describe(&call->in_type[0], &call->in_type[1], call->attr, &d);
    for (int64_t e = 0; e < calls; e++)
        gv_dense_forward(
            &d, entry(call->in[0], e, d.groups * d.m * d.k, t),
            entry(call->in[1], e, d.groups * d.n * d.k, t),
            call->nin == 3 ? entry(call->in[2], e, d.groups * d.n, t) : NULL,
            entry_out(call->out[0], e, d.groups * d.m * d.n, t), call->scratch);
    return GV_OK;
}

static gv_val emit_linear(gv_graph *g, const int64_t *attr, gv_val x, gv_val w,
                          gv_val b)
{
    int64_t own[3] = { 0, attr[X_INNER], attr[Y_INNER] };
    gv_val in[3] = { x, w, b };
    return gv_emit(g, &gv_op_linear, b == GV_NONE ? 2 : 3, in, 3, own);
}

/* The outputs that want names; y is GV_NONE without relu. */
static gv_val emit_back(gv_graph *g, const int64_t *attr, gv_val gy, gv_val y, gv_val x,
                        gv_val w, int64_t want)
{
    int64_t own[4] = { y != GV_NONE, attr[X_INNER], attr[Y_INNER], want };
    gv_val in[4] = { gy, x, w, y };
    return gv_emit(g, &gv_op_linear_back, y == GV_NONE ? 3 : 4, in, 4, own);
}

static gv_status linear_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                            gv_val *g_in)
{
    int64_t want = 0;
    for (int i = 0; i < node->nin; i++)
        if (g_in[i] != GV_NONE) want |= 1 << i;
    if (!want) return GV_OK;
    gv_val y = node->attr[ACT] ? gv_node_out(node, 0) : GV_NONE;
    gv_val out = emit_back(g, node->attr, g_out[0], y, node->in[0], node->in[1], want);
    for (int i = 0; i < node->nin; i++)
        if (want & 1 << i) g_in[i] = out == GV_NONE ? GV_NONE : out++;
    return GV_OK;
}

static gv_status linear_jvp(gv_graph *g, const gv_node *node, const gv_val *d_in,
                            gv_val *d_out)
{
    gv_val db = node->nin == 3 ? d_in[2] : GV_NONE, d = GV_NONE;
    const int64_t *attr = node->attr;
    if (d_in[1] != GV_NONE) {
        d = emit_linear(g, attr, node->in[0], d_in[1], db);
        db = GV_NONE;
    }
    if (d_in[0] != GV_NONE) {
        d = gv_emit_sum2(g, d, emit_linear(g, attr, d_in[0], node->in[1], db));
        db = GV_NONE;
    }
    if (db != GV_NONE) /* the bias alone varies */
        d = emit_linear(g, attr, gv_emit_zeros_like(g, node->in[0]), node->in[1], db);
    if (d != GV_NONE && attr[ACT])
        d = gv_emit_2(g, &gv_op_gate, d, gv_node_out(node, 0));
    d_out[0] = d;
    return GV_OK;
}

/* Lanes that share x are columns of one product, cut apart behind it. */
static gv_val shared_x(gv_graph *g, const gv_node *node, int64_t n, const gv_val *in,
                       const bool *batched)
{
    const gv_type *w = gv_in_type(g, node, 1);
    int64_t out = w->shape.dim[0], k = w->shape.dim[1], m = node->type[0].shape.dim[0];
    gv_shape weights = { 2, { n * out, k } }, biases = { 1, { n * out } };
    gv_shape apart = { 3, { m, n, out } };
    int64_t perm[4] = { 3, 1, 0, 2 };
    gv_val v[3] = { in[0], gv_emit_reshape(g, in[1], &weights) };
    if (node->nin == 3) {
        gv_val b = batched[2] ? in[2] : gv_emit_lead(g, in[2], n);
        v[2] = gv_emit_reshape(g, b, &biases);
    }
    gv_val y = gv_emit_reshape(g, gv_emit_like(g, node, v), &apart);
    return gv_emit(g, &gv_op_transpose, 1, &y, 4, perm);
}

/* Lanes that share weight and bias are rows of one product. */
static gv_status linear_batch(gv_graph *g, const gv_node *node, int64_t n,
                              const gv_val *in, const bool *batched, gv_val *out)
{
    const gv_type *x = gv_in_type(g, node, 0), *y = &node->type[0];
    bool shared = batched[0] && !batched[1] && (node->nin < 3 || !batched[2]);
    bool inner = node->attr[X_INNER] && node->attr[Y_INNER];
    gv_val v[3];
    if (shared && (inner ? x->shape.ndim == 3 : x->shape.ndim == 2) &&
        node->attr[X_INNER] == node->attr[Y_INNER]) {
        gv_shape rows = x->shape, full = { y->shape.ndim + 1, { n } };
        rows.dim[0] *= n;
        for (int k = 0; k < y->shape.ndim; k++) full.dim[k + 1] = y->shape.dim[k];
        v[0] = gv_emit_reshape(g, in[0], &rows);
        for (int i = 1; i < node->nin; i++) v[i] = in[i];
        out[0] = gv_emit_reshape(g, gv_emit_like(g, node, v), &full);
        return GV_OK;
    }
    if (!batched[0] && batched[1] && x->shape.ndim == 2) {
        out[0] = shared_x(g, node, n, in, batched);
        return GV_OK;
    }
    for (int i = 0; i < node->nin; i++)
        v[i] = batched[i] ? in[i] : gv_emit_lead(g, in[i], n);
    out[0] = gv_emit_like(g, node, v);
    return GV_OK;
}

const gv_op gv_op_linear = {
    .name = "linear",
    .signature = "x(m,k), weight(n,k), bias(n)? -> y(m,n)",
    .doc = "x weight^T + bias, negative sums made 0 where act is 1; axes in front are "
           "groups with weights of their own. x_inner, y_inner: 1 where the last group "
           "axis of x or y lies behind its rows.",
    .attrs = "act:int, x_inner:int, y_inner:int",
    .samples = "r[5,3] r[2,3] r[2] | act=0 x_inner=0 y_inner=0; "
               "r[5,3] r[2,3] r[2] | act=1 x_inner=0 y_inner=0; "
               "r[1,1] r[1,1] | act=0 x_inner=0 y_inner=0; "
               "r[4,7] r[1,7] r[1] | act=1 x_inner=0 y_inner=0; "
               "r[3,4,5] r[3,2,5] r[3,2] | act=1 x_inner=0 y_inner=0; "
               "r[4,3,5] r[3,2,5] r[3,2] | act=1 x_inner=1 y_inner=0; "
               "r[3,4,5] r[3,2,5] r[3,2] | act=0 x_inner=0 y_inner=1; "
               "r[2,4,3,5] r[2,3,1,5] | act=0 x_inner=1 y_inner=1; "
               "r[2,0] r[3,0] r[3] | act=1 x_inner=0 y_inner=0; "
               "r[0,2] r[3,2] r[3] | act=0 x_inner=0 y_inner=0; "
               "r[70,33] r[40,33] r[40] | act=0 x_inner=0 y_inner=0; "
               "r[15,9] r[17,9] r[17] | act=1 x_inner=0 y_inner=0",
    .infer = linear_infer,
    .forward = linear_forward,
    .vjp = linear_vjp,
    .jvp = linear_jvp,
    .batch = linear_batch,
    .nin = -1,
};

/* --- linear_back ------------------------------------------------------------------------*/

/* inputs g_y, x, w and, with relu, y */
static gv_status back_infer(gv_infer *inf)
{
    const int64_t *attr = inf->attr;
    bool relu = attr[ACT] != 0, xi = attr[X_INNER] != 0, yi = attr[Y_INNER] != 0;
    if (inf->nin != (relu ? 4 : 3) || attr[WANT] < 1 || attr[WANT] > 7)
        return gv_fail(GV_ERR_VALUE,
                       "linear_back takes g_y, x, weight and, with act 1, y; want is 1 "
                       "to 7");
    const gv_type *x = &inf->in[1], *w = &inf->in[2];
    GV_TRY(check_attrs(inf, 2));
    if (xi || yi) GV_TRY(gv_check_rank(inf, 2, 3));
    GV_TRY(check_side(inf, 0, 2, yi, gv_dim_back(w, 2)));
    GV_TRY(check_side(inf, 1, 2, xi, gv_dim_back(w, 1)));
    gv_type y = side_type(x, xi, yi, gv_dim_back(w, 2));
    for (int i = 0; i < inf->nin; i += 3) {
        GV_TRY(gv_check_same_dtype(inf, 2, i));
        if (gv_shape_equal(&y.shape, &inf->in[i].shape)) continue;
        char one[96], two[96];
        return gv_fail(GV_ERR_VALUE, "linear_back: input %d is %s, not %s", i,
                       gv_type_format(&inf->in[i], one, sizeof one),
                       gv_type_format(&y, two, sizeof two));
    }
    inf->nout = 0;
    if (attr[WANT] & GV_WANT_X) inf->out[inf->nout++] = *x;
    if (attr[WANT] & GV_WANT_W) inf->out[inf->nout++] = *w;
    if (attr[WANT] & GV_WANT_B) {
        gv_type b = *w;
        b.shape.ndim--;
        inf->out[inf->nout++] = b;
    }
    gv_dense d;
    describe(x, w, attr, &d);
    inf->scratch = gv_dense_back_scratch(&d, (attr[WANT] & GV_WANT_X) != 0,
                                         (attr[WANT] & GV_WANT_W) != 0,
                                         (attr[WANT] & GV_WANT_B) != 0);
    return GV_OK;
}

static gv_status back_forward(const gv_call *call)
{
    gv_dense d;
    gv_dtype t = call->in_type[2].dtype;
    int64_t calls = describe(&call->in_type[1], &call->in_type[2], call->attr, &d);
    void *g[3] = { NULL, NULL, NULL };
    for (int i = 0, o = 0; i < 3; i++)
        if (call->attr[WANT] & 1 << i) g[i] = call->out[o++];
    int64_t size_x = d.groups * d.m * d.k, size_y = d.groups * d.m * d.n,
            size_w = d.groups * d.n * d.k;
    for (int64_t e = 0; e < calls; e++)
        gv_dense_back(&d, entry(call->in[0], e, size_y, t),
                      call->nin == 4 ? entry(call->in[3], e, size_y, t) : NULL,
                      entry(call->in[1], e, size_x, t),
                      entry(call->in[2], e, size_w, t), entry_out(g[0], e, size_x, t),
                      entry_out(g[1], e, size_w, t),
                      entry_out(g[2], e, d.groups * d.n, t), call->scratch);
    return GV_OK;
}

static gv_status back_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                          gv_val *g_in)
{
    const int64_t *attr = node->attr;
    gv_val gy = node->in[0], x = node->in[1], w = node->in[2];
    gv_val y = attr[ACT] ? node->in[3] : GV_NONE,
           part[3] = { GV_NONE, GV_NONE, GV_NONE };
    for (int i = 0, o = 0; i < 3; i++)
        if (attr[WANT] & 1 << i) part[i] = g_out[o++];
    gv_val p = part[0], q = part[1], r = part[2], h = GV_NONE;
    if (g_in[0] != GV_NONE) {
        if (q != GV_NONE) {
            h = emit_linear(g, attr, x, q, r);
            r = GV_NONE;
        }
        if (p != GV_NONE) {
            h = gv_emit_sum2(g, h, emit_linear(g, attr, p, w, r));
            r = GV_NONE;
        }
        if (r != GV_NONE) h = emit_linear(g, attr, gv_emit_zeros_like(g, x), w, r);
        if (h != GV_NONE && y != GV_NONE) h = gv_emit_2(g, &gv_op_gate, h, y);
        g_in[0] = h;
    }
    if (g_in[1] != GV_NONE)
        g_in[1] = q == GV_NONE ? GV_NONE : emit_back(g, attr, gy, y, x, q, GV_WANT_X);
    if (g_in[2] != GV_NONE)
        g_in[2] = p == GV_NONE ? GV_NONE : emit_back(g, attr, gy, y, p, w, GV_WANT_W);
    if (node->nin == 4) g_in[3] = GV_NONE;
    return GV_OK;
}

const gv_op gv_op_linear_back = {
    .name = "linear_back",
    .signature =
        "g_y(m,n), x(m,k), weight(n,k), y(m,n)? -> g_x(m,k)?, g_w(n,k)?, g_b(n)?",
    .doc =
        "Cotangents of linear: with h = g_y, where y > 0 with act 1, h weight, h^T x "
        "and the sum over rows of h; want: 1, 2, 4 for each.",
    .attrs = "act:int, x_inner:int, y_inner:int, want:int",
    .samples =
        "r[5,2] r[5,3] r[2,3] r[5,2]! | act=1 x_inner=0 y_inner=0 want=7; "
        "r[5,2] r[5,3] r[2,3] | act=0 x_inner=0 y_inner=0 want=7; "
        "r[1,1] r[1,1] r[1,1] | act=0 x_inner=0 y_inner=0 want=3; "
        "r[4,1] r[4,7] r[1,7] r[4,1]! | act=1 x_inner=0 y_inner=0 want=6; "
        "r[3,4,2] r[3,4,5] r[3,2,5] r[3,4,2]! | act=1 x_inner=0 y_inner=0 want=7; "
        "r[3,4,2] r[4,3,5] r[3,2,5] r[3,4,2]! | act=1 x_inner=1 y_inner=0 want=7; "
        "r[4,3,2] r[3,4,5] r[3,2,5] | act=0 x_inner=0 y_inner=1 want=5; "
        "r[2,4,3,1] r[2,4,3,5] r[2,3,1,5] | act=0 x_inner=1 y_inner=1 want=7; "
        "r[2,3] r[2,0] r[3,0] r[2,3]! | act=1 x_inner=0 y_inner=0 want=7; "
        "r[0,3] r[0,2] r[3,2] | act=0 x_inner=0 y_inner=0 want=7; "
        "r[70,40] r[70,33] r[40,33] r[70,40]! | act=1 x_inner=0 y_inner=0 want=7",
    .infer = back_infer,
    .forward = back_forward,
    .vjp = back_vjp,
    .nin = -1,
};
