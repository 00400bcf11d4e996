/* Factors, solutions and determinants.
 *
 * With X = op(A)^-1 B the cotangent of B is op(A)^-H g and that of op(A) is -g_B X^H.
 * Cholesky: A-bar = L^-H Phi(L^H g) L^-1, made Hermitian; Phi keeps the lower triangle
 * and halves the diagonal. log|det A|: g A^-H. */
#include "ops/linalg.h"

static size_t bytes_of(const gv_type *t)
{
    return (size_t)gv_shape_size(&t->shape) * gv_dtype_size(t->dtype);
}

/* --- cholesky ---------------------------------------------------------------------------*/

static gv_status square_infer(gv_infer *inf)
{
    GV_TRY(gv_linalg_check(inf, 0, true));
    inf->out[0] = inf->in[0];
    return GV_OK;
}

static gv_status cholesky_forward(const gv_call *call)
{
    const gv_type *t = call->in_type;
    return gv_lapack_cholesky(t->dtype, gv_dim_back(t, 1), gv_batch_count(t, 2),
                              call->in[0], call->out[0]);
}

static gv_status cholesky_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                              gv_val *g_in)
{
    gv_val l = gv_node_out(node, 0);
    gv_val p = gv_linalg_mm(g, l, g_out[0], GV_ADJOINT, GV_PLAIN);
    p = gv_emit_2(g, &gv_op_add, gv_linalg_tri(g, p, true, 0),
                  gv_linalg_tri(g, p, true, -1));
    gv_val y =
        gv_linalg_trisolve(g, l, gv_emit_scale(g, p, 0.5), true, GV_ADJOINT, false);
    gv_val s =
        gv_linalg_trisolve(g, l, gv_linalg_adjoint(g, y), true, GV_ADJOINT, false);
    g_in[0] = gv_linalg_hermitian(g, s);
    return GV_OK;
}

const gv_op gv_op_cholesky = {
    .name = "cholesky",
    .signature = "a(n,n) -> l(n,n)",
    .doc = "Lower factor L with a = L L^H; reads the lower triangle, the cotangent is "
           "Hermitian.",
    .attrs = "",
    .samples = "s[2,2]; s[3,5,5]; s[2,3,4,4]; s[1,1]; s[0,0]; s[33,33]",
    .flags = 0,
    .infer = square_infer,
    .forward = cholesky_forward,
    .vjp = cholesky_vjp,
    .nin = 1,
};

/* --- logdet_spd -------------------------------------------------------------------------*/

static gv_status logdet_infer(gv_infer *inf)
{
    GV_TRY(gv_linalg_check(inf, 0, true));
    inf->out[0].dtype = gv_dtype_real(inf->in[0].dtype);
    inf->scratch = bytes_of(&inf->in[0]);
    return gv_shape_replace_core(&inf->in[0].shape, 2, 0, NULL, &inf->out[0].shape);
}

static gv_status logdet_forward(const gv_call *call)
{
    const gv_type *t = call->in_type;
    int64_t n = gv_dim_back(t, 1), batch = gv_batch_count(t, 2);
    GV_TRY(gv_lapack_cholesky(t->dtype, n, batch, call->in[0], call->scratch));
    gv_lapack_logdet(t->dtype, n, batch, call->scratch, call->out[0]);
    return GV_OK;
}

/* g A^-1 with the inverse from the factor */
static gv_status logdet_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                            gv_val *g_in)
{
    gv_val a = node->in[0], l = gv_emit_1(g, &gv_op_cholesky, a);
    gv_val r = gv_linalg_trisolve(g, l, gv_linalg_eye(g, a), true, GV_PLAIN, false);
    gv_val inverse = gv_linalg_mm(g, r, r, GV_ADJOINT, GV_PLAIN);
    g_in[0] = gv_linalg_mul(g, inverse, gv_linalg_fill(g, g_out[0], a));
    return GV_OK;
}

const gv_op gv_op_logdet_spd = {
    .name = "logdet_spd",
    .signature = "a(n,n) -> y()",
    .doc = "Log-determinant of a Hermitian positive definite matrix (lower triangle "
           "read).",
    .attrs = "",
    .samples = "s[2,2]; s[3,5,5]; s[1,1]; s[0,0]",
    .flags = 0,
    .infer = logdet_infer,
    .forward = logdet_forward,
    .vjp = logdet_vjp,
    .nin = 1,
};

/* --- solve and trisolve -------------------------------------------------------------------*/

static gv_status system_infer(gv_infer *inf)
{
    GV_TRY(gv_linalg_check(inf, 0, true));
    GV_TRY(gv_check_rank(inf, 1, 2));
    GV_TRY(gv_check_same_dtype(inf, 0, 1));
    GV_TRY(gv_check_batch(inf, 0, 2, 1, 2));
    if (gv_dim_back(&inf->in[0], 1) != gv_dim_back(&inf->in[1], 2)) {
        char one[96], two[96];
        return gv_fail(GV_ERR_VALUE, "%s: the rows of %s do not fit the matrix %s",
                       inf->op->name, gv_type_format(&inf->in[1], one, sizeof one),
                       gv_type_format(&inf->in[0], two, sizeof two));
    }
    inf->out[0] = inf->in[1];
    return GV_OK;
}

/* Cotangents of a and b for x = op(a)^-1 b, g_b given. */
static void system_cotangents(gv_graph *g, gv_val x, gv_trans trans, gv_val g_b,
                              gv_val *g_a)
{
    if (*g_a == GV_NONE) return;
    gv_val v;
    if (trans == GV_PLAIN) /* -g_b x^H */
        v = gv_linalg_mm(g, g_b, x, GV_PLAIN, GV_ADJOINT);
    else if (trans == GV_ADJOINT) /* -x g_b^H */
        v = gv_linalg_mm(g, x, g_b, GV_PLAIN, GV_ADJOINT);
    else /* -conj(x) g_b^T */
        v = gv_linalg_mm(g, gv_emit_conj(g, x), g_b, GV_PLAIN, GV_TRANSPOSED);
    *g_a = gv_emit_1(g, &gv_op_neg, v);
}

/* A x = b for one matrix and a stack of right-hand sides: (N, n, k) as (n, N k). */
static bool emit_shared_matrix(gv_graph *g, const gv_node *node, int64_t lanes,
                               const gv_val *in, const bool *batched, gv_val *out)
{
    gv_type b = *gv_in_type(g, node, 1);
    if (batched[0] || !batched[1] || b.shape.ndim != 2) return false;
    int64_t n = b.shape.dim[0], k = b.shape.dim[1], perm[4] = { 3, 1, 0, 2 };
    gv_shape flat = { 2, { n, lanes * k } }, cube = { 3, { n, lanes, k } };
    gv_val v = gv_emit(g, &gv_op_transpose, 1, &in[1], 4, perm);
    gv_val both[2] = { in[0], gv_emit_reshape(g, v, &flat) };
    v = gv_emit_reshape(g, gv_emit_like(g, node, both), &cube);
    out[0] = gv_emit(g, &gv_op_transpose, 1, &v, 4, perm);
    return true;
}

static gv_status system_batch(gv_graph *g, const gv_node *node, int64_t n,
                              const gv_val *in, const bool *batched, gv_val *out)
{
    if (emit_shared_matrix(g, node, n, in, batched, out)) return GV_OK;
    gv_val both[2];
    for (int k = 0; k < 2; k++)
        both[k] = batched[k] ? in[k] : gv_emit_lead(g, in[k], n);
    out[0] = gv_emit_like(g, node, both);
    return GV_OK;
}

static gv_status trisolve_forward(const gv_call *call)
{
    const gv_type *t = call->in_type + 1;
    if (call->out[0] != call->in[1]) memcpy(call->out[0], call->in[1], bytes_of(t));
    gv_lapack_trisolve(t->dtype, call->attr[0] != 0, (gv_trans)call->attr[1],
                       call->attr[2] != 0, gv_dim_back(t, 2), gv_dim_back(t, 1),
                       gv_batch_count(t, 2), call->in[0], call->out[0]);
    return GV_OK;
}

static gv_status trisolve_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                              gv_val *g_in)
{
    bool lower = node->attr[0] != 0, unit = node->attr[2] != 0;
    gv_trans trans = (gv_trans)node->attr[1];
    gv_val a = trans == GV_TRANSPOSED ? gv_emit_conj(g, node->in[0]) : node->in[0];
    gv_val g_b = gv_linalg_trisolve(g, a, g_out[0], lower,
                                    trans == GV_PLAIN ? GV_ADJOINT : GV_PLAIN, unit);
    if (g_in[0] != GV_NONE) {
        system_cotangents(g, gv_node_out(node, 0), trans, g_b, &g_in[0]);
        g_in[0] = gv_linalg_tri(g, g_in[0], lower, unit ? (lower ? -1 : 1) : 0);
    }
    if (g_in[1] != GV_NONE) g_in[1] = g_b;
    return GV_OK;
}

const gv_op gv_op_trisolve = {
    .name = "trisolve",
    .signature = "a(n,n), b(n,k) -> x(n,k)",
    .doc =
        "Solve op(a) x = b for triangular a (the other triangle is not read); trans: "
        "0 a, 1 transposed, 2 adjoint; unit: 1 takes the diagonal as ones.",
    .attrs = "lower:int, trans:int, unit:int",
    .samples = "l[2,2] x[2,1] | lower=1 trans=0 unit=0; "
               "l[3,5,5] x[3,5,2] | lower=1 trans=2 unit=0; "
               "l[4,4] x[4,3] | lower=1 trans=1 unit=0; "
               "l[4,4] x[4,3] | lower=1 trans=0 unit=1; "
               "l[5,4,4] x[5,4,5] | lower=1 trans=1 unit=1; l[0,0] x[0,2] | lower=1 "
               "trans=0 unit=0",
    .flags = 0,
    .infer = system_infer,
    .forward = trisolve_forward,
    .vjp = trisolve_vjp,
    .batch = system_batch,
    .nin = 2,
};

static gv_status solve_infer(gv_infer *inf)
{
    GV_TRY(system_infer(inf));
    const gv_type *a = &inf->in[0];
    inf->scratch =
        gv_lapack_lu_scratch(a->dtype, gv_dim_back(a, 1), gv_batch_count(a, 2));
    return GV_OK;
}

static gv_status solve_forward(const gv_call *call)
{
    const gv_type *t = call->in_type + 1;
    memcpy(call->out[0], call->in[1], bytes_of(t));
    return gv_lapack_solve(t->dtype, (gv_trans)call->attr[0], false, gv_dim_back(t, 2),
                           gv_dim_back(t, 1), gv_batch_count(t, 2), call->in[0],
                           call->out[0], call->scratch);
}

static gv_status solve_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                           gv_val *g_in)
{
    gv_trans trans = (gv_trans)node->attr[0];
    gv_val a = trans == GV_TRANSPOSED ? gv_emit_conj(g, node->in[0]) : node->in[0];
    gv_val in[2] = { a, g_out[0] };
    int64_t back = trans == GV_PLAIN ? GV_ADJOINT : GV_PLAIN;
    if (!gv_linalg_is_complex(g, a)) back = back != 0;
    gv_val g_b = gv_emit(g, &gv_op_solve, 2, in, 1, &back);
    system_cotangents(g, gv_node_out(node, 0), trans, g_b, &g_in[0]);
    if (g_in[1] != GV_NONE) g_in[1] = g_b;
    return GV_OK;
}

const gv_op gv_op_solve = {
    .name = "solve",
    .signature = "a(n,n), b(n,k) -> x(n,k)",
    .doc = "Solve op(a) x = b by LU factors; trans: 0 a, 1 transposed, 2 adjoint.",
    .attrs = "trans:int",
    .samples = "x[2,2] x[2,1] | trans=0; x[3,5,5] x[3,5,2] | trans=2; "
               "x[4,4] x[4,3] | trans=1; x[0,0] x[0,2] | trans=0",
    .flags = 0,
    .infer = solve_infer,
    .forward = solve_forward,
    .vjp = solve_vjp,
    .batch = system_batch,
    .nin = 2,
};

/* --- inv and slogdet ---------------------------------------------------------------------*/

static gv_status inv_infer(gv_infer *inf)
{
    GV_TRY(square_infer(inf));
    const gv_type *a = &inf->in[0];
    inf->scratch =
        gv_lapack_lu_scratch(a->dtype, gv_dim_back(a, 1), gv_batch_count(a, 2));
    return GV_OK;
}

static gv_status inv_forward(const gv_call *call)
{
    const gv_type *t = call->in_type;
    int64_t n = gv_dim_back(t, 1);
    return gv_lapack_solve(t->dtype, GV_PLAIN, true, n, n, gv_batch_count(t, 2),
                           call->in[0], call->out[0], call->scratch);
}

static gv_status inv_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                         gv_val *g_in)
{
    gv_val y = gv_node_out(node, 0);
    gv_val v = gv_linalg_mm(g, y, g_out[0], GV_ADJOINT, GV_PLAIN);
    v = gv_linalg_mm(g, v, y, GV_PLAIN, GV_ADJOINT);
    g_in[0] = gv_emit_1(g, &gv_op_neg, v);
    return GV_OK;
}

const gv_op gv_op_inv = {
    .name = "inv",
    .signature = "a(n,n) -> y(n,n)",
    .doc = "Inverse matrix by LU factors.",
    .attrs = "",
    .samples = "x[2,2]; x[3,5,5]; x[1,1]; x[0,0]",
    .flags = 0,
    .infer = inv_infer,
    .forward = inv_forward,
    .vjp = inv_vjp,
    .nin = 1,
};

static gv_status slogdet_infer(gv_infer *inf)
{
    GV_TRY(gv_linalg_check(inf, 0, true));
    const gv_type *a = &inf->in[0];
    inf->nout = 2;
    inf->out[0].dtype = a->dtype;
    inf->out[1].dtype = gv_dtype_real(a->dtype);
    inf->scratch =
        gv_lapack_lu_scratch(a->dtype, gv_dim_back(a, 1), gv_batch_count(a, 2));
    GV_TRY(gv_shape_replace_core(&a->shape, 2, 0, NULL, &inf->out[0].shape));
    inf->out[1].shape = inf->out[0].shape;
    return GV_OK;
}

static gv_status slogdet_forward(const gv_call *call)
{
    const gv_type *t = call->in_type;
    gv_lapack_slogdet(t->dtype, gv_dim_back(t, 1), gv_batch_count(t, 2), call->in[0],
                      call->out[0], call->out[1], call->scratch);
    return GV_OK;
}

/* log|det|: g A^-H. The phase s = det/|det| moves by i s Im tr(A^-1 dA), which adds
 * i Re(conj(g_s) i s) A^-H = i Im(g_s conj(s)) A^-H for complex matrices. */
static gv_status slogdet_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                             gv_val *g_in)
{
    gv_val a = node->in[0], factor = GV_NONE;
    bool complex = gv_linalg_is_complex(g, a);
    if (g_out[1] != GV_NONE)
        factor = gv_emit_cast(g, g_out[1], gv_graph_type(g, a)->dtype);
    if (complex && g_out[0] != GV_NONE) {
        gv_val s = gv_emit_conj(g, gv_node_out(node, 0));
        gv_val turn = gv_emit_1(g, &gv_op_imag, gv_linalg_mul(g, g_out[0], s));
        gv_val zero = gv_emit_zeros_like(g, turn);
        factor = gv_emit_sum2(g, factor, gv_emit_2(g, &gv_op_complex, zero, turn));
    }
    if (factor == GV_NONE) {
        g_in[0] = GV_NONE;
        return GV_OK;
    }
    gv_val inverse = gv_linalg_adjoint(g, gv_emit_1(g, &gv_op_inv, a));
    g_in[0] = gv_linalg_mul(g, inverse, gv_linalg_fill(g, factor, a));
    return GV_OK;
}

const gv_op gv_op_slogdet = {
    .name = "slogdet",
    .signature = "a(n,n) -> sign(), logabs()",
    .doc = "Sign (phase) and log-modulus of the determinant; 0 and -inf when singular.",
    .attrs = "",
    .samples = "x[2,2]; x[3,5,5]; x[1,1]; x[0,0]",
    .flags = 0,
    .infer = slogdet_infer,
    .forward = slogdet_forward,
    .vjp = slogdet_vjp,
    .nin = 1,
};
