/* The hierarchical supernova model as operators: sn_draw makes objects from normal
 * numbers, sn_loglike is the likelihood of objects with a covariance of their own each.
 * Equations: sim/supernova/draw.h and loglike.h. All in float64.
 *
 * sn_loglike returns its gradient to what all objects share beside its value; the
 * second derivative, and the gradient to the data, are sn_loglike_pull. */
#include "ops/linalg.h"
#include "ops/ops.h"
#include "ops/rank.h"
#include "sim/supernova/draw.h"
#include "sim/supernova/loglike.h"

/* Core shapes of inputs; -1 is the number of objects. */
typedef struct sn_core {
    int ndim;
    int dim[2];
} sn_core;

static gv_status check_inputs(const gv_infer *inf, const sn_core *wanted, int by)
{
    char text[96];
    for (int i = 0; i < inf->nin; i++)
        if (inf->in[i].dtype != GV_F64)
            return gv_fail(GV_ERR_TYPE, "%s: input %d is %s, float64 needed",
                           inf->op->name, i,
                           gv_type_format(&inf->in[i], text, sizeof text));
    GV_TRY(gv_check_rank(inf, by, wanted[by].ndim));
    int64_t n = gv_dim_back(&inf->in[by], wanted[by].ndim);
    for (int i = 0; i < inf->nin; i++) {
        GV_TRY(gv_check_rank(inf, i, wanted[i].ndim));
        GV_TRY(gv_check_batch(inf, i, wanted[i].ndim, by, wanted[by].ndim));
        for (int k = 0; k < wanted[i].ndim; k++) {
            int64_t size = wanted[i].dim[k] < 0 ? n : wanted[i].dim[k];
            if (gv_dim_back(&inf->in[i], wanted[i].ndim - k) != size)
                return gv_fail(GV_ERR_VALUE,
                               "%s: input %d is %s; axis %d from the end should have "
                               "%lld entries",
                               inf->op->name, i,
                               gv_type_format(&inf->in[i], text, sizeof text),
                               wanted[i].ndim - k, (long long)size);
        }
    }
    return GV_OK;
}

/* Entry b of the batch of an array with so many core axes. */
static double *at(const gv_type *t, const void *data, int core, int64_t b)
{
    int64_t each = gv_shape_span(&t->shape, t->shape.ndim - core, t->shape.ndim);
    return (double *)(uintptr_t)data + b * each;
}
static const double *input(const gv_call *c, int i, const sn_core *k, int64_t b)
{
    return at(c->in_type + i, c->in[i], k[i].ndim, b);
}
static double *output(const gv_call *c, int i, const sn_core *k, int like, int64_t b)
{
    return at(c->out_type + i, c->out[i], k[like].ndim, b);
}

/* --- sn_draw ------------------------------------------------------------------------ */

enum { NU, SD, TRIPP, MU, CHOL, E, N_DRAW };
static const sn_core draw_core[N_DRAW + 2] = { { 1, { 3 } },     { 1, { 3 } },
                                               { 1, { 2 } },     { 1, { -1 } },
                                               { 2, { -1, 9 } }, { 2, { -1, 6 } },
                                               { 2, { -1, 3 } }, { 2, { -1, 3 } } };

static gv_status draw_infer(gv_infer *inf)
{
    GV_TRY(check_inputs(inf, draw_core, E));
    inf->nout = 2;
    inf->out[0] = inf->in[E];
    inf->out[0].shape.dim[inf->in[E].shape.ndim - 1] = 3;
    inf->out[1] = inf->out[0];
    return GV_OK;
}

static gv_sn_draw draw_of(const gv_call *c, int64_t b)
{
    return (gv_sn_draw){ .n = gv_dim_back(c->in_type + MU, 1),
                         .nu = input(c, NU, draw_core, b),
                         .sd = input(c, SD, draw_core, b),
                         .tripp = input(c, TRIPP, draw_core, b),
                         .mu = input(c, MU, draw_core, b),
                         .chol = input(c, CHOL, draw_core, b),
                         .e = input(c, E, draw_core, b) };
}

static gv_status draw_forward(const gv_call *call)
{
    for (int64_t b = 0; b < gv_batch_count(call->in_type + MU, 1); b++) {
        gv_sn_draw d = draw_of(call, b);
        gv_sn_draw_forward(&d, output(call, 0, draw_core, E, b),
                           output(call, 1, draw_core, E, b));
    }
    return GV_OK;
}

static gv_val or_zeros(gv_graph *g, gv_val v, gv_val like)
{
    return v != GV_NONE ? v : gv_emit_zeros_like(g, like);
}

static gv_status draw_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                          gv_val *g_in)
{
    gv_val in[N_DRAW + 2];
    for (int i = 0; i < N_DRAW; i++) in[i] = node->in[i];
    for (int k = 0; k < 2; k++)
        in[N_DRAW + k] = or_zeros(g, g_out[k], gv_node_out(node, k));
    gv_val v = gv_emit(g, &gv_op_sn_draw_pull, N_DRAW + 2, in, 0, NULL);
    for (int i = 0; i < N_DRAW; i++)
        if (g_in[i] != GV_NONE) g_in[i] = v == GV_NONE ? GV_NONE : v + i;
    return GV_OK;
}

/* The model is linear in nu, sd, mu, chol given tripp and e, in e alone, and data minus
 * latent without noise is linear in tripp. */
static gv_status draw_jvp(gv_graph *g, const gv_node *node, const gv_val *d_in,
                          gv_val *d_out)
{
    const gv_val *in = node->in;
    gv_val z[N_DRAW], d[N_DRAW];
    for (int i = 0; i < N_DRAW; i++) {
        z[i] = gv_emit_zeros_like(g, in[i]);
        d[i] = d_in[i] != GV_NONE ? d_in[i] : z[i];
    }
    const gv_op *op = &gv_op_sn_draw;
    gv_val a =
        gv_emit(g, op, N_DRAW,
                (gv_val[]){ d[NU], d[SD], in[TRIPP], d[MU], d[CHOL], in[E] }, 0, NULL);
    gv_val b =
        gv_emit(g, op, N_DRAW,
                (gv_val[]){ z[NU], in[SD], in[TRIPP], z[MU], in[CHOL], d[E] }, 0, NULL);
    gv_val c =
        gv_emit(g, op, N_DRAW,
                (gv_val[]){ in[NU], in[SD], d[TRIPP], z[MU], z[CHOL], in[E] }, 0, NULL);
    GV_TRY(gv_graph_status(g));
    d_out[0] = gv_emit_sum2(g, gv_emit_sum2(g, a, b), gv_linalg_sub(g, c, c + 1));
    d_out[1] = gv_emit_sum2(g, a + 1, b + 1);
    return GV_OK;
}

const gv_op gv_op_sn_draw = {
    .name = "sn_draw",
    .signature =
        "nu(3), sd(3), tripp(2), mu(n), chol(n,9), e(n,6) -> data(n,3), latent(n,3)",
    .doc =
        "Supernovae from standard normal numbers e: latent (M, x, c) = nu + sd e and "
        "data (mB, x1, c) with noise chol e; tripp is (alpha, beta).",
    .attrs = "",
    .samples =
        "w[3] w[3] w[2] w[5] w[5,9] w[5,6]; w[1,3] w[1,3] w[1,2] w[1,1] w[1,1,9] "
        "w[1,1,6]; w[2,3] w[2,3] w[2,2] w[2,4] w[2,4,9] w[2,4,6]; "
        "w[3] w[3] w[2] w[0] w[0,9] w[0,6]; w[3] w[3] w[2] w[9000] w[9000,9] w[9000,6]",
    .flags = 0,
    .infer = draw_infer,
    .forward = draw_forward,
    .vjp = draw_vjp,
    .jvp = draw_jvp,
    .nin = N_DRAW,
};

static gv_status draw_pull_infer(gv_infer *inf)
{
    GV_TRY(check_inputs(inf, draw_core, E));
    GV_TRY(gv_infer_reserve(inf, N_DRAW));
    for (int i = 0; i < N_DRAW; i++) inf->out[i] = inf->in[i];
    inf->scratch = gv_sn_draw_pull_scratch(gv_dim_back(&inf->in[MU], 1));
    return GV_OK;
}

static gv_status draw_pull_forward(const gv_call *call)
{
    for (int64_t b = 0; b < gv_batch_count(call->in_type + MU, 1); b++) {
        gv_sn_draw d = draw_of(call, b);
        double *o[N_DRAW];
        for (int i = 0; i < N_DRAW; i++) o[i] = output(call, i, draw_core, i, b);
        gv_sn_draw_pull(&d, input(call, N_DRAW, draw_core, b),
                        input(call, N_DRAW + 1, draw_core, b), o[NU], o[SD], o[TRIPP],
                        o[MU], o[CHOL], o[E], call->scratch);
    }
    return GV_OK;
}

const gv_op gv_op_sn_draw_pull = {
    .name = "sn_draw_pull",
    .signature =
        "nu(3), sd(3), tripp(2), mu(n), chol(n,9), e(n,6), g_data(n,3), g_latent(n,3) "
        "-> g_nu(3), g_sd(3), g_tripp(2), g_mu(n), g_chol(n,9), g_e(n,6)",
    .doc = "Cotangents of sn_draw.",
    .attrs = "",
    .samples = "w[3] w[3] w[2] w[5] w[5,9] w[5,6] w[5,3] w[5,3]; "
               "w[1,3] w[1,3] w[1,2] w[1,1] w[1,1,9] w[1,1,6] w[1,1,3] w[1,1,3]; "
               "w[3] w[3] w[2] w[0] w[0,9] w[0,6] w[0,3] w[0,3]; "
               "w[3] w[3] w[2] w[9000] w[9000,9] w[9000,6] w[9000,3] w[9000,3]",
    .flags = 0,
    .infer = draw_pull_infer,
    .forward = draw_pull_forward,
    .nin = N_DRAW + 2,
};

/* --- sn_loglike ---------------------------------------------------------------------- */

enum { MEAN, COV, SHIFT, DATA, S, N_LOG };
static const sn_core log_core[N_LOG] = {
    { 1, { 3 } }, { 2, { 3, 3 } }, { 1, { -1 } }, { 2, { -1, 3 } }, { 2, { -1, 9 } }
};

static gv_status log_infer(gv_infer *inf)
{
    GV_TRY(check_inputs(inf, log_core, SHIFT));
    inf->nout = 4;
    inf->out[0] = inf->in[SHIFT];
    inf->out[0].shape.ndim--;
    inf->out[0].shape.dim[inf->out[0].shape.ndim] = 0;
    inf->out[1] = inf->in[MEAN];
    inf->out[2] = inf->in[COV];
    inf->out[3] = inf->in[SHIFT];
    inf->scratch = gv_loglike_scratch(gv_dim_back(&inf->in[SHIFT], 1));
    return GV_OK;
}

static gv_blocks3 blocks_of(const gv_call *c, const sn_core *k, int first, int64_t b)
{
    return (gv_blocks3){ .n = gv_dim_back(c->in_type + first + SHIFT, 1),
                         .mean = input(c, first + MEAN, k, b),
                         .cov = input(c, first + COV, k, b),
                         .shift = input(c, first + SHIFT, k, b),
                         .d = input(c, first + DATA, k, b),
                         .s = input(c, first + S, k, b) };
}

static gv_status log_forward(const gv_call *call)
{
    double *value = call->out[0];
    for (int64_t b = 0; b < gv_batch_count(call->in_type + SHIFT, 1); b++) {
        gv_blocks3 x = blocks_of(call, log_core, 0, b);
        GV_TRY(gv_loglike(&x, value + b, output(call, 1, log_core, MEAN, b),
                          output(call, 2, log_core, COV, b),
                          output(call, 3, log_core, SHIFT, b), call->scratch));
    }
    return GV_OK;
}

/* The pull with tangents u (GV_NONE: zero) of the inputs. */
static gv_val emit_pull(gv_graph *g, const gv_val *in, gv_val weight, const gv_val *u)
{
    gv_val all[1 + 2 * N_LOG] = { weight };
    for (int i = 0; i < N_LOG; i++) {
        all[1 + i] = or_zeros(g, u[i], in[i]);
        all[1 + N_LOG + i] = in[i];
    }
    return gv_emit(g, &gv_op_sn_loglike_pull, 1 + 2 * N_LOG, all, 0, NULL);
}

static gv_status log_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                         gv_val *g_in)
{
    bool first = g_out[1] == GV_NONE && g_out[2] == GV_NONE && g_out[3] == GV_NONE;
    if (first && g_in[DATA] == GV_NONE && g_in[S] == GV_NONE) {
        for (int i = 0; i < 3; i++) {
            if (g_in[i] == GV_NONE) continue;
            gv_val own = gv_node_out(node, 1 + i);
            gv_shape full = gv_graph_type(g, own)->shape, keep = full;
            for (int k = 0; k < log_core[i].ndim; k++) keep.dim[full.ndim - 1 - k] = 1;
            gv_val w = gv_emit_broadcast(g, gv_emit_reshape(g, g_out[0], &keep), &full);
            g_in[i] = gv_emit_2(g, &gv_op_mul, own, w);
        }
        return GV_OK;
    }
    gv_val u[N_LOG] = { g_out[1], g_out[2], g_out[3], GV_NONE, GV_NONE };
    gv_val v = emit_pull(g, node->in, or_zeros(g, g_out[0], gv_node_out(node, 0)), u);
    for (int i = 0; i < N_LOG; i++)
        if (g_in[i] != GV_NONE) g_in[i] = v == GV_NONE ? GV_NONE : v + i;
    return GV_OK;
}

/* sum of a b over so many core axes; GV_NONE where b is */
static gv_val inner(gv_graph *g, gv_val a, gv_val b, int core)
{
    if (b == GV_NONE || gv_graph_status(g) != GV_OK) return GV_NONE;
    gv_val v = gv_linalg_mul(g, a, b);
    for (int k = 0; k < core; k++) v = gv_linalg_sum(g, v, 1);
    return v;
}

static gv_status log_jvp(gv_graph *g, const gv_node *node, const gv_val *d_in,
                         gv_val *d_out)
{
    static const gv_val none[N_LOG] = { GV_NONE, GV_NONE, GV_NONE, GV_NONE, GV_NONE };
    gv_val value = gv_node_out(node, 0), zero = gv_emit_zeros_like(g, value), v;
    gv_val total = GV_NONE;
    for (int i = 0; i < 3; i++)
        total = gv_emit_sum2(
            g, total, inner(g, gv_node_out(node, 1 + i), d_in[i], log_core[i].ndim));
    if (d_in[DATA] != GV_NONE || d_in[S] != GV_NONE) {
        gv_val one = gv_emit_full(g, gv_graph_type(g, value), 1.0);
        v = emit_pull(g, node->in, one, none);
        for (int i = DATA; i < N_LOG; i++)
            total = gv_emit_sum2(g, total, inner(g, v + i, d_in[i], 2));
    }
    v = emit_pull(g, node->in, zero, d_in);
    GV_TRY(gv_graph_status(g));
    d_out[0] = total;
    for (int i = 0; i < 3; i++) d_out[1 + i] = v + i;
    return GV_OK;
}

#define COV_SAMPLE "{2,.3,.1,.2,1.5,-.2,.1,-.1,1.2}"
#define COV_PAIR "{2,.3,.1,.2,1.5,-.2,.1,-.1,1.2,1,.1,0,.2,2,.2,.1,.1,3}"

const gv_op gv_op_sn_loglike = {
    .name = "sn_loglike",
    .signature = "mean(3), cov(3,3), shift(n), d(n,3), s(n,9) -> logp(), g_mean(3), "
                 "g_cov(3,3), g_shift(n)",
    .doc = "Sum of log N(d; mean + (shift, 0, 0), cov + s) over objects, and its "
           "gradient to mean, cov and shift; matrices count by their symmetric part.",
    .attrs = "",
    .samples = "w[3] w[3,3]" COV_SAMPLE " w[5] w[5,3] w{-.1,.1}[5,9]; "
               "w[2,3] w[2,3,3]" COV_PAIR " w[2,4] w[2,4,3] w{-.1,.1}[2,4,9]; "
               "w[3] w[3,3]" COV_SAMPLE " w[1] w[1,3] w{-.1,.1}[1,9]; "
               "w[3] w[3,3]" COV_SAMPLE " w[0] w[0,3] w{-.1,.1}[0,9]; "
               "w[3] w[3,3]" COV_SAMPLE " w[2500] w[2500,3] w{-.1,.1}[2500,9]",
    .flags = 0,
    .infer = log_infer,
    .forward = log_forward,
    .vjp = log_vjp,
    .jvp = log_jvp,
    .nin = N_LOG,
};

static const sn_core pull_core[1 + 2 * N_LOG] = {
    { 0, { 0 } },     { 1, { 3 } },     { 2, { 3, 3 } },  { 1, { -1 } },
    { 2, { -1, 3 } }, { 2, { -1, 9 } }, { 1, { 3 } },     { 2, { 3, 3 } },
    { 1, { -1 } },    { 2, { -1, 3 } }, { 2, { -1, 9 } },
};

static gv_status pull_infer(gv_infer *inf)
{
    GV_TRY(check_inputs(inf, pull_core, 1 + SHIFT));
    GV_TRY(gv_infer_reserve(inf, N_LOG));
    for (int i = 0; i < N_LOG; i++) inf->out[i] = inf->in[1 + i];
    inf->scratch = gv_loglike_scratch(gv_dim_back(&inf->in[1 + SHIFT], 1));
    return GV_OK;
}

static gv_status pull_forward(const gv_call *call)
{
    const sn_core *k = pull_core;
    for (int64_t b = 0; b < gv_batch_count(call->in_type + 1 + SHIFT, 1); b++) {
        gv_blocks3 u = blocks_of(call, k, 1, b), x = blocks_of(call, k, 1 + N_LOG, b);
        gv_loglike_out t = { output(call, MEAN, log_core, MEAN, b),
                             output(call, COV, log_core, COV, b),
                             output(call, SHIFT, log_core, SHIFT, b),
                             output(call, DATA, log_core, DATA, b),
                             output(call, S, log_core, S, b) };
        GV_TRY(gv_loglike_pull(&x, *input(call, 0, k, b), &u, &t, call->scratch));
    }
    return GV_OK;
}

const gv_op gv_op_sn_loglike_pull = {
    .name = "sn_loglike_pull",
    .signature = "w(), u_mean(3), u_cov(3,3), u_shift(n), u_d(n,3), u_s(n,9), mean(3), "
                 "cov(3,3), shift(n), d(n,3), s(n,9) -> t_mean(3), t_cov(3,3), "
                 "t_shift(n), t_d(n,3), t_s(n,9)",
    .doc = "Of sn_loglike: w times the gradient plus the Hessian times the tangents u.",
    .attrs = "",
    .samples = "w[] w[3] w[3,3] w[5] w[5,3] w[5,9] w[3] w[3,3]" COV_SAMPLE
               " w[5] w[5,3] w{-.1,.1}[5,9]; "
               "w[2] w[2,3] w[2,3,3] w[2,4] w[2,4,3] w[2,4,9] w[2,3] w[2,3,3]" COV_PAIR
               " w[2,4] w[2,4,3] w{-.1,.1}[2,4,9]; "
               "w[] w[3] w[3,3] w[1] w[1,3] w[1,9] w[3] w[3,3]" COV_SAMPLE
               " w[1] w[1,3] w{-.1,.1}[1,9]; "
               "w[] w[3] w[3,3] w[0] w[0,3] w[0,9] w[3] w[3,3]" COV_SAMPLE
               " w[0] w[0,3] w{-.1,.1}[0,9]",
    .flags = 0,
    .infer = pull_infer,
    .forward = pull_forward,
    .nin = 1 + 2 * N_LOG,
};
