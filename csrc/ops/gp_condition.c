/* Gaussian conditioning as an operator.
 *
 * o: observed points, z: the rest; P = K_oo^-1 K_oz, d = values - prior_o.
 *   mean = prior_z + d P, cov = K_zz - K_zo P
 * With f = f_mean P' (cotangent of d), h the cotangent of cov made symmetric and
 * a = K_oo^-1 d':
 *   K_oo: -sym(a f) + P h P';  K_oz: a f_mean - 2 P h;  K_zz: h
 *   prior_z: f_mean;  values: f;  prior_o: -f
 * K is symmetric: the cotangent of K_oz is shared by its mirror image. */
#include "base/alloc.h"
#include "kernels/gp.h"
#include "ops/linalg.h"

/* Index of the rest, increasing; order: for each point its place in (o, z). */
static void split(int64_t t, gv_ints o, int64_t *rest, int64_t *place)
{
    int64_t k = 0;
    for (int64_t i = 0; i < t; i++) place[i] = -1;
    for (int i = 0; i < o.n; i++) place[o.v[i]] = i;
    for (int64_t i = 0; i < t; i++)
        if (place[i] < 0) {
            rest[k] = i;
            place[i] = o.n + k++;
        }
}

static gv_status check_observed(const gv_infer *inf, gv_ints o, int64_t t)
{
    for (int i = 0; i < o.n; i++) {
        if (o.v[i] < 0 || o.v[i] >= t)
            return gv_fail(GV_ERR_VALUE,
                           "%s: observed index %lld is not one of 0..%lld",
                           inf->op->name, (long long)o.v[i], (long long)t - 1);
        for (int j = 0; j < i; j++)
            if (o.v[i] == o.v[j])
                return gv_fail(GV_ERR_VALUE, "%s: index %lld is observed twice",
                               inf->op->name, (long long)o.v[i]);
    }
    return GV_OK;
}

static gv_status condition_infer(gv_infer *inf)
{
    const int64_t *p = inf->attr;
    gv_ints o = gv_ints_take(&p);
    const gv_type *k = &inf->in[0], *prior = &inf->in[1], *values = &inf->in[2];
    GV_TRY(gv_linalg_check(inf, 0, true));
    for (int i = 0; i < 3; i++) {
        if (!gv_dtype_is_float(inf->in[i].dtype))
            return gv_fail(GV_ERR_TYPE, "%s takes float32 or float64, not %s",
                           inf->op->name, gv_dtype_name(inf->in[i].dtype));
        GV_TRY(gv_check_rank(inf, i, 2));
        GV_TRY(gv_check_same_dtype(inf, 0, i));
        GV_TRY(gv_check_batch(inf, 0, 2, i, 2));
    }
    int64_t t = gv_dim_back(k, 1), m = gv_dim_back(prior, 2), r = t - o.n;
    char one[96], two[96];
    if (gv_dim_back(prior, 1) != t || gv_dim_back(values, 2) != m ||
        gv_dim_back(values, 1) != o.n)
        return gv_fail(GV_ERR_VALUE,
                       "%s: prior %s and values %s do not fit %lld points, %d observed",
                       inf->op->name, gv_type_format(prior, one, sizeof one),
                       gv_type_format(values, two, sizeof two), (long long)t, o.n);
    GV_TRY(check_observed(inf, o, t));
    inf->nout = 2;
    inf->out[0] = *prior;
    inf->out[0].shape.dim[prior->shape.ndim - 1] = r;
    inf->out[1] = *k;
    inf->out[1].shape.dim[k->shape.ndim - 1] = r;
    inf->out[1].shape.dim[k->shape.ndim - 2] = r;
    inf->scratch = gv_gp_condition_scratch(k->dtype, m, t, o.n);
    return GV_OK;
}

static gv_status condition_forward(const gv_call *call)
{
    const gv_type *k = call->in_type, *v = call->in_type + 2;
    return gv_gp_condition(k->dtype, gv_batch_count(k, 2), gv_dim_back(v, 2),
                           gv_dim_back(k, 1), gv_dim_back(v, 1), call->in[0],
                           call->in[1], call->attr + 1, call->in[2], call->out[0],
                           call->out[1], call->scratch);
}

/* --- derivative ------------------------------------------------------------------*/

/* Rows `index` (n) of x(..., t, k), the same for every batch entry. */
static gv_val rows(gv_graph *g, gv_val x, int64_t n, const int64_t *index)
{
    if (x == GV_NONE || gv_graph_status(g) != GV_OK) return GV_NONE;
    gv_shape lead = gv_graph_type(g, x)->shape;
    lead.dim[lead.ndim - 1] = 0;
    lead.ndim--;
    lead.dim[lead.ndim - 1] = n;
    gv_type type = { GV_I64, { 1, { n } } };
    gv_val i = gv_emit_const(g, &type, index);
    return gv_emit_2(g, &gv_op_take, x, gv_emit_broadcast(g, i, &lead));
}

static gv_val columns(gv_graph *g, gv_val x, int64_t n, const int64_t *index)
{
    return gv_emit_swap_last(g, rows(g, gv_emit_swap_last(g, x), n, index));
}

static gv_val product(gv_graph *g, gv_val a, gv_val b)
{
    return gv_linalg_mm(g, a, b, GV_PLAIN, GV_PLAIN);
}

/* a above b (axis -2) or beside it (axis -1) */
static gv_val join(gv_graph *g, gv_val a, gv_val b, int64_t axis)
{
    gv_val both[2] = { a, b };
    if (a == GV_NONE || b == GV_NONE) return GV_NONE;
    return gv_emit(g, &gv_op_concat, 2, both, 1, &axis);
}

typedef struct parts {
    gv_val f_mean, h;      /* cotangents, GV_NONE where zero */
    gv_val gain, shift, f; /* P (n, r), a (n, m), f (m, n) */
} parts;

/* Cotangent of K in the order (o, z), then put back into the order of the points. */
static gv_val covariance_cotangent(gv_graph *g, const parts *p, const gv_type *cov,
                                   int64_t t, const int64_t *place)
{
    gv_val oo = GV_NONE, oz = GV_NONE, zz = p->h;
    if (p->f_mean != GV_NONE) {
        oo = gv_emit_1(g, &gv_op_neg,
                       gv_linalg_hermitian(g, product(g, p->shift, p->f)));
        oz = gv_emit_scale(g, product(g, p->shift, p->f_mean), 0.5);
    }
    if (p->h != GV_NONE) {
        gv_val ph = product(g, p->gain, p->h);
        gv_val square = gv_linalg_mm(g, ph, p->gain, GV_PLAIN, GV_TRANSPOSED);
        oo = gv_emit_sum2(g, oo, gv_linalg_hermitian(g, square));
        oz = gv_emit_sum2(g, oz, gv_emit_1(g, &gv_op_neg, ph));
    } else {
        zz = gv_emit_full(g, cov, 0.0);
    }
    gv_val zo = gv_emit_swap_last(g, oz);
    gv_val all = join(g, join(g, oo, oz, -1), join(g, zo, zz, -1), -2);
    return columns(g, rows(g, all, t, place), t, place);
}

static gv_status condition_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                               gv_val *g_in)
{
    const int64_t *attr = node->attr;
    gv_ints o = gv_ints_take(&attr);
    gv_val K = node->in[0], prior = node->in[1], values = node->in[2];
    int64_t t = gv_dim_back(gv_graph_type(g, K), 1), r = t - o.n;
    bool want_K = g_in[0] != GV_NONE, want_prior = g_in[1] != GV_NONE;
    bool want_values = g_in[2] != GV_NONE;
    gv_type cov = *gv_graph_type(g, gv_node_out(node, 1));
    int64_t *rest = gv_alloc(2 * (size_t)t * sizeof *rest);
    if (rest == NULL) return GV_ERR_MEMORY;
    int64_t *place = rest + t;
    split(t, o, rest, place);
    parts p = { .f_mean = g_out[0], .h = GV_NONE, .f = GV_NONE };
    if (g_out[1] != GV_NONE) p.h = gv_linalg_hermitian(g, g_out[1]);
    gv_val observed = rows(g, K, o.n, o.v);
    gv_val chol = gv_emit_1(g, &gv_op_cholesky, columns(g, observed, o.n, o.v));
    p.gain = gv_linalg_trisolve(g, chol, columns(g, observed, r, rest), true, GV_PLAIN,
                                false);
    p.gain = gv_linalg_trisolve(g, chol, p.gain, true, GV_TRANSPOSED, false);
    if (p.f_mean != GV_NONE)
        p.f = gv_linalg_mm(g, p.f_mean, p.gain, GV_PLAIN, GV_TRANSPOSED);
    if (want_K) {
        gv_val d = gv_linalg_sub(g, values, columns(g, prior, o.n, o.v));
        p.shift =
            gv_linalg_trisolve(g, chol, gv_emit_swap_last(g, d), true, GV_PLAIN, false);
        p.shift = gv_linalg_trisolve(g, chol, p.shift, true, GV_TRANSPOSED, false);
        g_in[0] = covariance_cotangent(g, &p, &cov, t, place);
    }
    gv_val minus = p.f == GV_NONE ? GV_NONE : gv_emit_1(g, &gv_op_neg, p.f);
    if (want_prior) g_in[1] = columns(g, join(g, minus, p.f_mean, -1), t, place);
    if (want_values) g_in[2] = p.f;
    gv_free(rest);
    return GV_OK;
}

/* A kernel shared by all lanes is factored once: the lanes become series. */
static gv_status condition_batch(gv_graph *g, const gv_node *node, int64_t n,
                                 const gv_val *in, const bool *batched, gv_val *out)
{
    gv_type prior = *gv_in_type(g, node, 1), values = *gv_in_type(g, node, 2);
    gv_val all[3];
    for (int k = 0; k < 3; k++)
        all[k] = batched[k] || k == 0 ? in[k] : gv_emit_lead(g, in[k], n);
    if (batched[0] || prior.shape.ndim != 2) {
        if (!batched[0]) all[0] = gv_emit_lead(g, in[0], n);
        gv_val v = gv_emit_like(g, node, all);
        for (int k = 0; k < 2; k++) out[k] = v == GV_NONE ? GV_NONE : v + k;
        return GV_OK;
    }
    int64_t m = prior.shape.dim[0], t = prior.shape.dim[1], o = values.shape.dim[1];
    all[1] = gv_emit_reshape(g, all[1], &(gv_shape){ 2, { n * m, t } });
    all[2] = gv_emit_reshape(g, all[2], &(gv_shape){ 2, { n * m, o } });
    gv_val v = gv_emit_like(g, node, all);
    if (v == GV_NONE) return GV_OK;
    out[0] = gv_emit_reshape(g, v, &(gv_shape){ 3, { n, m, t - o } });
    out[1] = gv_emit_lead(g, v + 1, n);
    return GV_OK;
}

const gv_op gv_op_gp_condition = {
    .name = "gp_condition",
    .signature = "k(t,t), prior(m,t), values(m,n) -> mean(m,r), cov(r,r)",
    .doc = "Mean and covariance of the r = t - n points that are not observed, for m "
           "series that share the covariance k, given the values at the observed ones.",
    .attrs = "observed:ints",
    .samples = "s[3,3] r[1,3] r[1,1] | observed=(1); "
               "s[3,5,5] r[3,2,5] r[3,2,3] | observed=(4,0,2); "
               "s[9,9] r[11,9] r[11,4] | observed=(0,1,2,3); "
               "s[4,4] r[2,4] r[2,0] | observed=(); "
               "s[66,66] r[2,66] r[2,2] | observed=(65,3)",
    .flags = 0,
    .infer = condition_infer,
    .forward = condition_forward,
    .vjp = condition_vjp,
    .batch = condition_batch,
    .nin = 3,
};
