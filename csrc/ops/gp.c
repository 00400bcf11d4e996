/* Log density of Gaussian-process series, and its gradient.
 *
 * logp_s = log N(r_s; 0, K) for the m series that share K. With alpha_s = K^-1 r_s the
 * cotangents are g_K = 1/2 (sum_s g_s alpha_s alpha_s' - (sum_s g_s) K^-1), symmetric,
 * and g_r = -g_s alpha_s. The factor and alpha are outputs, so that the reverse sweep
 * starts from them. K is taken to be symmetric. */
#include "kernels/gp.h"
#include "ops/linalg.h"

/* Input i: float32 or float64 with at least `core` axes. */
static gv_status check_float(const gv_infer *inf, int i, int core)
{
    if (!gv_dtype_is_float(inf->in[i].dtype))
        return gv_fail(GV_ERR_TYPE, "%s takes float32 or float64, not %s",
                       inf->op->name, gv_dtype_name(inf->in[i].dtype));
    return gv_check_rank(inf, i, core);
}

static gv_status mismatch(const gv_infer *inf, int i, int j)
{
    char one[96], two[96];
    return gv_fail(GV_ERR_VALUE, "%s: %s does not fit %s", inf->op->name,
                   gv_type_format(&inf->in[j], one, sizeof one),
                   gv_type_format(&inf->in[i], two, sizeof two));
}

/* a - b where a may be missing */
static gv_val minus(gv_graph *g, gv_val a, gv_val b)
{
    return gv_emit_sum2(g, a, gv_emit_1(g, &gv_op_neg, b));
}

/* L^-T L^-1 b */
static gv_val emit_solve(gv_graph *g, gv_val chol, gv_val b)
{
    gv_val x = gv_linalg_trisolve(g, chol, b, true, GV_PLAIN, false);
    return gv_linalg_trisolve(g, chol, x, true, GV_TRANSPOSED, false);
}

/* --- gp_logml --------------------------------------------------------------------*/

static gv_status logml_infer(gv_infer *inf)
{
    const gv_type *k = &inf->in[0], *r = &inf->in[1];
    GV_TRY(check_float(inf, 0, 2));
    GV_TRY(check_float(inf, 1, 2));
    GV_TRY(gv_linalg_check(inf, 0, true));
    GV_TRY(gv_check_same_dtype(inf, 0, 1));
    GV_TRY(gv_check_batch(inf, 0, 2, 1, 2));
    if (gv_dim_back(k, 1) != gv_dim_back(r, 1)) return mismatch(inf, 0, 1);
    inf->nout = 3;
    inf->out[0].dtype = k->dtype;
    inf->out[1] = *r;
    inf->out[2] = *k;
    return gv_shape_replace_core(&r->shape, 1, 0, NULL, &inf->out[0].shape);
}

static gv_status logml_forward(const gv_call *call)
{
    const gv_type *r = call->in_type + 1;
    return gv_gp_logml(r->dtype, gv_batch_count(r, 2), gv_dim_back(r, 2),
                       gv_dim_back(r, 1), call->in[0], call->in[1], call->out[0],
                       call->out[1], call->out[2]);
}

/* Cotangent of K from that of its factor: L^-T Phi(L' g) L^-1, made symmetric. */
static gv_val factor_cotangent(gv_graph *g, gv_val chol, gv_val g_chol)
{
    gv_val p = gv_linalg_mm(g, chol, g_chol, GV_TRANSPOSED, GV_PLAIN);
    p = gv_emit_2(g, &gv_op_add, gv_linalg_tri(g, p, true, 0),
                  gv_linalg_tri(g, p, true, -1));
    p = gv_linalg_trisolve(g, chol, gv_emit_scale(g, p, 0.5), true, GV_TRANSPOSED,
                           false);
    p = gv_linalg_trisolve(g, chol, gv_emit_swap_last(g, p), true, GV_TRANSPOSED,
                           false);
    return gv_linalg_hermitian(g, p);
}

static gv_status logml_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                           gv_val *g_in)
{
    gv_val alpha = gv_node_out(node, 1), chol = gv_node_out(node, 2);
    gv_val g_K = GV_NONE, g_r = GV_NONE;
    bool want_K = g_in[0] != GV_NONE, want_r = g_in[1] != GV_NONE;
    if (g_out[0] != GV_NONE && want_K) {
        gv_val v = gv_emit_3(g, &gv_op_gp_logml_bwd, alpha, chol, g_out[0]);
        if (gv_graph_status(g) != GV_OK) return GV_OK;
        g_K = v;
        g_r = v + 1;
    } else if (g_out[0] != GV_NONE) {
        gv_val w = gv_linalg_cols(g, g_out[0], alpha);
        g_r = gv_emit_1(g, &gv_op_neg, gv_linalg_mul(g, w, alpha));
    }
    if (g_out[1] != GV_NONE) { /* alpha = r K^-1 */
        gv_val v = emit_solve(g, chol, gv_emit_swap_last(g, g_out[1]));
        gv_val outer = gv_linalg_mm(g, v, alpha, GV_PLAIN, GV_PLAIN);
        g_r = gv_emit_sum2(g, g_r, gv_emit_swap_last(g, v));
        if (want_K) g_K = minus(g, g_K, gv_linalg_hermitian(g, outer));
    }
    if (g_out[2] != GV_NONE && want_K)
        g_K = gv_emit_sum2(g, g_K, factor_cotangent(g, chol, g_out[2]));
    if (want_K) g_in[0] = g_K;
    if (want_r) g_in[1] = g_r;
    return GV_OK;
}

/* A matrix shared by all lanes keeps one factor: the lanes become series. */
static gv_status logml_batch(gv_graph *g, const gv_node *node, int64_t n,
                             const gv_val *in, const bool *batched, gv_val *out)
{
    gv_type r = *gv_in_type(g, node, 1);
    if (batched[0] || r.shape.ndim != 2) {
        gv_val both[2];
        for (int k = 0; k < 2; k++)
            both[k] = batched[k] ? in[k] : gv_emit_lead(g, in[k], n);
        gv_val v = gv_emit_like(g, node, both);
        for (int k = 0; k < 3; k++) out[k] = v == GV_NONE ? GV_NONE : v + k;
        return GV_OK;
    }
    int64_t m = r.shape.dim[0], t = r.shape.dim[1];
    gv_val v = gv_emit_2(g, &gv_op_gp_logml, in[0],
                         gv_emit_reshape(g, in[1], &(gv_shape){ 2, { n * m, t } }));
    if (v == GV_NONE) return GV_OK;
    out[0] = gv_emit_reshape(g, v, &(gv_shape){ 2, { n, m } });
    out[1] = gv_emit_reshape(g, v + 1, &(gv_shape){ 3, { n, m, t } });
    out[2] = gv_emit_lead(g, v + 2, n);
    return GV_OK;
}

const gv_op gv_op_gp_logml = {
    .name = "gp_logml",
    .signature = "k(n,n), r(m,n) -> logp(m), alpha(m,n), chol(n,n)",
    .doc = "log N(r; 0, k) of m series that share the covariance k, alpha = k^-1 r and "
           "the lower factor of k.",
    .attrs = "",
    .samples = "s[2,2] r[1,2]; s[3,5,5] r[3,2,5]; s[7,7] r[9,7]; s[1,1] r[1,1]; "
               "s[0,2,2] r[0,1,2]; s[67,67] r[2,67]",
    .flags = 0,
    .infer = logml_infer,
    .forward = logml_forward,
    .vjp = logml_vjp,
    .batch = logml_batch,
    .nin = 2,
};

/* --- gp_logml_bwd ----------------------------------------------------------------*/

static gv_status bwd_infer(gv_infer *inf)
{
    const gv_type *alpha = &inf->in[0], *chol = &inf->in[1], *g = &inf->in[2];
    GV_TRY(check_float(inf, 0, 2));
    GV_TRY(check_float(inf, 1, 2));
    GV_TRY(gv_check_rank(inf, 2, 1));
    GV_TRY(gv_linalg_check(inf, 1, true));
    GV_TRY(gv_check_same_dtype(inf, 0, 1));
    GV_TRY(gv_check_same_dtype(inf, 0, 2));
    GV_TRY(gv_check_batch(inf, 0, 2, 1, 2));
    GV_TRY(gv_check_batch(inf, 0, 2, 2, 1));
    if (gv_dim_back(alpha, 1) != gv_dim_back(chol, 1)) return mismatch(inf, 1, 0);
    if (gv_dim_back(alpha, 2) != gv_dim_back(g, 1)) return mismatch(inf, 0, 2);
    inf->nout = 2;
    inf->out[0] = *chol;
    inf->out[1] = *alpha;
    return GV_OK;
}

static gv_status bwd_forward(const gv_call *call)
{
    const gv_type *a = call->in_type;
    return gv_gp_logml_bwd(a->dtype, gv_batch_count(a, 2), gv_dim_back(a, 2),
                           gv_dim_back(a, 1), call->in[0], call->in[1], call->in[2],
                           call->out[0], call->out[1]);
}

/* v(...) repeated along the last axis of like(..., m). */
static gv_val repeat_last(gv_graph *g, gv_val v, gv_val like)
{
    if (v == GV_NONE || like == GV_NONE || gv_graph_status(g) != GV_OK) return GV_NONE;
    gv_shape full = gv_graph_type(g, like)->shape, keep = full;
    keep.dim[keep.ndim - 1] = 1;
    return gv_emit_broadcast(g, gv_emit_reshape(g, v, &keep), &full);
}

/* With h the cotangent of g_K made symmetric, s = sum g, f the cotangent of g_r:
 * alpha: g (alpha h) - g f;  g: 1/2 alpha h alpha' - 1/2 tr(K^-1 h) - f alpha';
 * the matrix K inside K^-1: 1/2 s K^-1 h K^-1, so its factor gets s K^-1 h L^-T. */
static gv_status bwd_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                         gv_val *g_in)
{
    gv_val alpha = node->in[0], chol = node->in[1], weight = node->in[2];
    gv_val f = g_out[1], to_alpha = GV_NONE, to_weight = GV_NONE;
    bool want_chol = g_in[1] != GV_NONE;
    g_in[1] = GV_NONE;
    if (g_out[0] != GV_NONE) {
        gv_val h = gv_linalg_hermitian(g, g_out[0]);
        gv_val inner = gv_linalg_mm(g, alpha, h, GV_PLAIN, GV_PLAIN);
        gv_val solved = emit_solve(g, chol, h); /* K^-1 h */
        gv_val trace = gv_linalg_mul(g, solved, gv_linalg_eye(g, chol));
        trace = gv_linalg_sum(g, gv_linalg_sum(g, trace, 1), 1);
        gv_val square = gv_linalg_sum(g, gv_linalg_mul(g, inner, alpha), 1);
        to_weight = gv_linalg_sub(g, square, repeat_last(g, trace, square));
        to_weight = gv_emit_scale(g, to_weight, 0.5);
        to_alpha = inner;
        if (want_chol) {
            gv_val total = gv_linalg_fill(g, gv_linalg_sum(g, weight, 1), chol);
            /* (K^-1 h) L^-T = (L^-1 h K^-1)' */
            gv_val x = gv_linalg_trisolve(g, chol, gv_emit_swap_last(g, solved), true,
                                          GV_PLAIN, false);
            x = gv_linalg_mul(g, gv_emit_swap_last(g, x), total);
            g_in[1] = gv_linalg_tri(g, x, true, 0);
        }
    }
    if (f != GV_NONE) {
        gv_val dot = gv_linalg_sum(g, gv_linalg_mul(g, f, alpha), 1);
        to_alpha = minus(g, to_alpha, f);
        to_weight = minus(g, to_weight, dot);
    }
    if (g_in[0] != GV_NONE)
        g_in[0] = gv_linalg_mul(g, to_alpha, gv_linalg_cols(g, weight, alpha));
    if (g_in[2] != GV_NONE) g_in[2] = to_weight;
    return GV_OK;
}

const gv_op gv_op_gp_logml_bwd = {
    .name = "gp_logml_bwd",
    .signature = "alpha(m,n), chol(n,n), g(m) -> g_k(n,n), g_r(m,n)",
    .doc =
        "Cotangents of gp_logml: (sum_s g alpha alpha' - sum_s g (chol chol')^-1) / 2 "
        "and -g alpha.",
    .attrs = "",
    .samples = "r[1,2] l[2,2] r[1]; r[3,2,5] l[3,5,5] r[3,2]; r[9,7] l[7,7] r[9]; "
               "r[1,1] l[1,1] r[1]; r[0,1,2] l[0,2,2] r[0,1]",
    .flags = 0,
    .infer = bwd_infer,
    .forward = bwd_forward,
    .vjp = bwd_vjp,
    .nin = 3,
};
