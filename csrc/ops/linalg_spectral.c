/* Eigenvalues, singular values, QR.
 *
 * F_ij = 1/(w_j - w_i), zero for equal values: what a derivative would need between
 * them is undefined, and zero is right for functions of the subspace. Complex vectors
 * have a fixed phase (their pivot is real), so every output has a derivative: the
 * cotangent is first carried to vectors free to turn, then the usual formulas hold.
 *   eigh  A-bar = V (diag(g_w) + F o (V^H g_V)) V^H, made Hermitian
 *   eig   A-bar = V^-H (diag(g_w) + conj(F) o (V^H g_V)) V^H, g_V tangent to the sphere
 *   svd   A-bar = U [F o (J - J^H) S + S F o (K - K^H) + diag(g_s)] V^H + outer parts,
 *         J = U^H g_U, K = V^H g_V, F from the squares of s
 *   qr    A-bar = (g_Q + Q herm(tril(R g_R^H - g_Q^H Q))) R^-H */
#include "ops/linalg.h"

/* --- gap_inverse: F -------------------------------------------------------------------*/

static gv_status gap_infer(gv_infer *inf)
{
    GV_TRY(gv_check_rank(inf, 0, 1));
    const gv_type *w = &inf->in[0];
    if (!gv_dtype_is_float(w->dtype) && !gv_dtype_is_complex(w->dtype))
        return gv_fail(GV_ERR_TYPE, "gap_inverse does not take %s",
                       gv_dtype_name(w->dtype));
    int64_t n = gv_dim_back(w, 1), dim[2] = { n, n };
    inf->out[0].dtype = w->dtype;
    return gv_shape_replace_core(&w->shape, 1, 2, dim, &inf->out[0].shape);
}

/* Squared gaps below (8 eps)^2 times the largest |w|^2 count as zero. */
#define DEFINE_GAP(T, EPS)                                                       \
    static void gap_##T(int64_t n, int64_t step, const T *w, T *f)               \
    {                                                                            \
        double scale = 0;                                                        \
        for (int64_t i = 0; i < n; i++) {                                        \
            double re = (double)w[i * step],                                     \
                   im = step == 2 ? (double)w[i * step + 1] : 0;                 \
            double r = re * re + im * im;                                        \
            if (r > scale) scale = r;                                            \
        }                                                                        \
        double floor = 64 * EPS * EPS * scale;                                   \
        for (int64_t i = 0; i < n; i++)                                          \
            for (int64_t j = 0; j < n; j++) {                                    \
                T *to = f + (i * n + j) * step;                                  \
                double re = (double)w[j * step] - (double)w[i * step], im = 0;   \
                if (step == 2) im = (double)w[2 * j + 1] - (double)w[2 * i + 1]; \
                double r = re * re + im * im;                                    \
                bool tie = i == j || r <= floor;                                 \
                to[0] = tie ? 0 : (T)(re / r);                                   \
                if (step == 2) to[1] = tie ? 0 : (T)(-im / r);                   \
            }                                                                    \
    }

DEFINE_GAP(float, 1.2e-7)
DEFINE_GAP(double, 2.3e-16)

static gv_status gap_forward(const gv_call *call)
{
    const gv_type *t = call->in_type;
    int64_t n = gv_dim_back(t, 1), batch = gv_batch_count(t, 1);
    int64_t step = gv_dtype_is_complex(t->dtype) ? 2 : 1;
    for (int64_t e = 0; e < batch; e++)
        if (gv_dtype_real(t->dtype) == GV_F32)
            gap_float(n, step, (const float *)call->in[0] + e * n * step,
                      (float *)call->out[0] + e * n * n * step);
        else
            gap_double(n, step, (const double *)call->in[0] + e * n * step,
                       (double *)call->out[0] + e * n * n * step);
    return GV_OK;
}

/* dF_ij = -F_ij^2 (dw_j - dw_i) */
static gv_status gap_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                         gv_val *g_in)
{
    gv_val f = gv_node_out(node, 0);
    gv_val q = gv_linalg_mul(g, gv_emit_conj(g, gv_linalg_mul(g, f, f)), g_out[0]);
    g_in[0] = gv_linalg_sub(g, gv_linalg_sum(g, q, 1), gv_linalg_sum(g, q, 2));
    return GV_OK;
}

const gv_op gv_op_gap_inverse = {
    .name = "gap_inverse",
    .signature = "w(n) -> f(n,n)",
    .doc = "1/(w_j - w_i), zero where the two agree to rounding.",
    .attrs = "",
    .samples = "x[3]; x[2,5]; x[7]; x[0]",
    .flags = 0,
    .infer = gap_infer,
    .forward = gap_forward,
    .vjp = gap_vjp,
    .nin = 1,
};

/* --- pivot_mask -------------------------------------------------------------------------*/

static gv_status pivot_infer(gv_infer *inf)
{
    GV_TRY(gv_linalg_check(inf, 0, false));
    inf->out[0] = gv_type_with(&inf->in[0], gv_dtype_real(inf->in[0].dtype));
    return GV_OK;
}

static gv_status pivot_forward(const gv_call *call)
{
    const gv_type *t = call->in_type;
    gv_lapack_pivot_mask(t->dtype, gv_dim_back(t, 2), gv_dim_back(t, 1),
                         gv_batch_count(t, 2), call->in[0], call->out[0]);
    return GV_OK;
}

const gv_op gv_op_pivot_mask = {
    .name = "pivot_mask",
    .signature = "v(m,n) -> mask(m,n)",
    .doc = "1 at the pivot of each column (first modulus within 1 % of the largest), 0 "
           "elsewhere.",
    .attrs = "",
    .samples = "x[2,3]; x[3,5,4]; x[1,1]",
    .flags = GV_NODIFF,
    .infer = pivot_infer,
    .forward = pivot_forward,
    .nin = 1,
};

/* Complex: carry the cotangent g_v of vectors v with real pivots to vectors free to turn;
 * more: a further contribution sum_i conj(g_u) u per column (or GV_NONE). The column gains
 * i Im(sum conj(g_v) v) / v_p at its pivot. Real: g_v itself. */
static gv_val emit_free_phase(gv_graph *g, gv_val v, gv_val g_v, gv_val more)
{
    if (gv_graph_status(g) != GV_OK || !gv_linalg_is_complex(g, v)) return g_v;
    gv_val turn = more;
    if (g_v != GV_NONE) {
        gv_val own = gv_linalg_sum(g, gv_linalg_mul(g, gv_emit_conj(g, g_v), v), 2);
        turn = gv_emit_sum2(g, own, more);
    }
    if (turn == GV_NONE) return GV_NONE;
    gv_val mask = gv_emit_1(g, &gv_op_pivot_mask, v);
    gv_val pivot =
        gv_linalg_sum(g, gv_linalg_mul(g, mask, gv_emit_1(g, &gv_op_real, v)), 2);
    gv_val t = gv_emit_2(g, &gv_op_div, gv_emit_1(g, &gv_op_imag, turn), pivot);
    gv_val im = gv_linalg_mul(g, mask, gv_linalg_rows(g, t, mask));
    gv_val i_im = gv_emit_2(g, &gv_op_complex, gv_emit_zeros_like(g, im), im);
    return gv_emit_sum2(g, g_v, i_im);
}

/* --- eigh --------------------------------------------------------------------------------*/

static gv_status eigh_infer(gv_infer *inf)
{
    GV_TRY(gv_linalg_check(inf, 0, true));
    const gv_type *a = &inf->in[0];
    int64_t n = gv_dim_back(a, 1);
    inf->nout = 2;
    inf->out[1] = *a;
    inf->out[0].dtype = gv_dtype_real(a->dtype);
    inf->scratch = gv_lapack_eigh_scratch(a->dtype, n, gv_batch_count(a, 2));
    return gv_shape_replace_core(&a->shape, 2, 1, &n, &inf->out[0].shape);
}

static gv_status eigh_forward(const gv_call *call)
{
    const gv_type *t = call->in_type;
    return gv_lapack_eigh(t->dtype, gv_dim_back(t, 1), gv_batch_count(t, 2),
                          call->in[0], call->out[0], call->out[1], call->scratch);
}

static gv_status eigh_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                          gv_val *g_in)
{
    gv_val w = gv_node_out(node, 0), v = gv_node_out(node, 1), core = GV_NONE;
    if (g_out[0] != GV_NONE)
        core = gv_linalg_diag(g, gv_emit_cast(g, g_out[0], gv_graph_type(g, v)->dtype));
    if (g_out[1] != GV_NONE) {
        gv_val g_v = emit_free_phase(g, v, g_out[1], GV_NONE);
        gv_val x = gv_linalg_mm(g, v, g_v, GV_ADJOINT, GV_PLAIN);
        gv_val f = gv_emit_1(g, &gv_op_gap_inverse, w);
        f = gv_emit_cast(g, f, gv_graph_type(g, v)->dtype);
        core = gv_emit_sum2(g, core, gv_linalg_mul(g, f, x));
    }
    gv_val m = gv_linalg_mm(g, gv_linalg_mm(g, v, core, GV_PLAIN, GV_PLAIN), v,
                            GV_PLAIN, GV_ADJOINT);
    g_in[0] = gv_linalg_hermitian(g, m);
    return GV_OK;
}

const gv_op gv_op_eigh = {
    .name = "eigh",
    .signature = "a(n,n) -> w(n), v(n,n)",
    .doc = "Eigenvalues (ascending) and vectors (columns) of a Hermitian matrix, lower "
           "triangle read; complex vectors have a real positive pivot.",
    .attrs = "",
    .samples = "q[2,2]; q[3,5,5]; q[1,1]; q[0,0]",
    .flags = 0,
    .infer = eigh_infer,
    .forward = eigh_forward,
    .vjp = eigh_vjp,
    .nin = 1,
};

/* --- eig ---------------------------------------------------------------------------------*/

static gv_status eig_infer(gv_infer *inf)
{
    GV_TRY(gv_linalg_check(inf, 0, true));
    const gv_type *a = &inf->in[0];
    int64_t n = gv_dim_back(a, 1);
    inf->nout = 2;
    inf->out[1] = gv_type_with(a, gv_dtype_complex(a->dtype));
    inf->out[0].dtype = inf->out[1].dtype;
    inf->scratch = gv_lapack_eig_scratch(a->dtype, n, gv_batch_count(a, 2));
    return gv_shape_replace_core(&a->shape, 2, 1, &n, &inf->out[0].shape);
}

static gv_status eig_forward(const gv_call *call)
{
    const gv_type *t = call->in_type;
    return gv_lapack_eig(t->dtype, gv_dim_back(t, 1), gv_batch_count(t, 2), call->in[0],
                         call->out[0], call->out[1], call->scratch);
}

/* g_v less the part along v that unit length forbids: g - v Re(v^H g). */
static gv_val emit_tangent(gv_graph *g, gv_val v, gv_val g_v)
{
    if (g_v == GV_NONE || gv_graph_status(g) != GV_OK) return GV_NONE;
    gv_val along = gv_linalg_sum(g, gv_linalg_mul(g, gv_emit_conj(g, v), g_v), 2);
    along = gv_linalg_rows(g, gv_emit_1(g, &gv_op_real, along), v);
    return gv_linalg_sub(g, g_v, gv_linalg_mul(g, v, along));
}

static gv_status eig_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                         gv_val *g_in)
{
    gv_val w = gv_node_out(node, 0), v = gv_node_out(node, 1), core = GV_NONE;
    gv_dtype dtype = gv_in_type(g, node, 0)->dtype;
    if (g_out[0] != GV_NONE) core = gv_linalg_diag(g, g_out[0]);
    if (g_out[1] != GV_NONE) {
        gv_val g_v = emit_tangent(g, v, emit_free_phase(g, v, g_out[1], GV_NONE));
        gv_val x = gv_linalg_mm(g, v, g_v, GV_ADJOINT, GV_PLAIN);
        gv_val f = gv_emit_conj(g, gv_emit_1(g, &gv_op_gap_inverse, w));
        core = gv_emit_sum2(g, core, gv_linalg_mul(g, f, x));
    }
    gv_val right = gv_linalg_mm(g, core, v, GV_PLAIN, GV_ADJOINT);
    gv_val in[2] = { v, right };
    int64_t trans = GV_ADJOINT;
    gv_val m = gv_emit(g, &gv_op_solve, 2, in, 1, &trans);
    g_in[0] = gv_dtype_is_complex(dtype) ? m : gv_emit_1(g, &gv_op_real, m);
    return GV_OK;
}

const gv_op gv_op_eig = {
    .name = "eig",
    .signature = "a(n,n) -> w(n), v(n,n)",
    .doc =
        "Eigenvalues and vectors (columns of unit length, pivot real and positive) of "
        "a general matrix; always complex.",
    .attrs = "",
    .samples = "x[2,2]; x[3,5,5]; x[1,1]; x[0,0]",
    .flags = 0,
    .infer = eig_infer,
    .forward = eig_forward,
    .vjp = eig_vjp,
    .nin = 1,
};

/* --- svd ---------------------------------------------------------------------------------*/

static gv_status svd_infer(gv_infer *inf)
{
    GV_TRY(gv_linalg_check(inf, 0, false));
    const gv_type *a = &inf->in[0];
    int64_t m = gv_dim_back(a, 2), n = gv_dim_back(a, 1), r = gv_min_i64(m, n);
    int64_t left[2] = { m, r }, right[2] = { r, n };
    inf->nout = 3;
    for (int k = 0; k < 3; k++) inf->out[k].dtype = a->dtype;
    inf->out[1].dtype = gv_dtype_real(a->dtype);
    inf->scratch = gv_lapack_svd_scratch(a->dtype, m, n, gv_batch_count(a, 2));
    GV_TRY(gv_shape_replace_core(&a->shape, 2, 2, left, &inf->out[0].shape));
    GV_TRY(gv_shape_replace_core(&a->shape, 2, 1, &r, &inf->out[1].shape));
    return gv_shape_replace_core(&a->shape, 2, 2, right, &inf->out[2].shape);
}

static gv_status svd_forward(const gv_call *call)
{
    const gv_type *t = call->in_type;
    return gv_lapack_svd(t->dtype, gv_dim_back(t, 2), gv_dim_back(t, 1),
                         gv_batch_count(t, 2), call->in[0], call->out[0], call->out[1],
                         call->out[2], call->scratch);
}

/* 1/s, zero for s = 0 */
static gv_val emit_inverse(gv_graph *g, gv_val s)
{
    if (s == GV_NONE || gv_graph_status(g) != GV_OK) return GV_NONE;
    gv_val zero = gv_emit_zeros_like(g, s), one = gv_emit_shift(g, zero, 1.0);
    gv_val some = gv_emit_2(g, &gv_op_gt, s, zero);
    gv_val safe = gv_emit_3(g, &gv_op_where, some, s, one);
    return gv_emit_3(g, &gv_op_where, some, gv_emit_2(g, &gv_op_div, one, safe), zero);
}

/* x - x^H */
static gv_val emit_skew(gv_graph *g, gv_val x)
{
    return gv_linalg_sub(g, x, gv_linalg_adjoint(g, x));
}

/* (I - u u^H) x */
static gv_val emit_outside(gv_graph *g, gv_val u, gv_val x)
{
    gv_val inside = gv_linalg_mm(g, u, x, GV_ADJOINT, GV_PLAIN);
    return gv_linalg_sub(g, x, gv_linalg_mm(g, u, inside, GV_PLAIN, GV_PLAIN));
}

typedef struct svd_terms {
    gv_val u, s, v, g_u, g_v; /* v: columns */
    gv_val f, inverse;        /* F of s^2 in the dtype of u; 1/s */
} svd_terms;

/* F o (J - J^H) S, S F o (K - K^H), diag(g_s), and for complex the phase i Im(J_jj)/s_j */
static gv_val emit_svd_core(gv_graph *g, const svd_terms *t, gv_val g_s)
{
    gv_val core = GV_NONE;
    gv_dtype dtype = gv_graph_type(g, t->u)->dtype;
    if (g_s != GV_NONE) core = gv_linalg_diag(g, gv_emit_cast(g, g_s, dtype));
    if (t->g_u != GV_NONE) {
        gv_val j = emit_skew(g, gv_linalg_mm(g, t->u, t->g_u, GV_ADJOINT, GV_PLAIN));
        gv_val x = gv_linalg_mul(g, t->f, j);
        core = gv_emit_sum2(g, core, gv_linalg_mul(g, x, gv_linalg_rows(g, t->s, x)));
        if (gv_dtype_is_complex(dtype)) { /* diagonal of j is 2 i Im J_jj */
            gv_val d = gv_linalg_mul(g, j, gv_linalg_rows(g, t->inverse, j));
            d = gv_linalg_tri(g, gv_linalg_tri(g, d, true, 0), false, 0);
            core = gv_emit_sum2(g, core, gv_emit_scale(g, d, 0.5));
        }
    }
    if (t->g_v != GV_NONE) {
        gv_val k = emit_skew(g, gv_linalg_mm(g, t->v, t->g_v, GV_ADJOINT, GV_PLAIN));
        gv_val x = gv_linalg_mul(g, t->f, k);
        core = gv_emit_sum2(g, core, gv_linalg_mul(g, x, gv_linalg_cols(g, t->s, x)));
    }
    return core;
}

static gv_status svd_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                         gv_val *g_in)
{
    gv_val u = gv_node_out(node, 0), s = gv_node_out(node, 1), sum = GV_NONE;
    gv_type a = *gv_in_type(g, node, 0);
    int64_t m = gv_dim_back(&a, 2), n = gv_dim_back(&a, 1);
    svd_terms t = { .u = u, .s = s, .g_u = g_out[0], .g_v = GV_NONE };
    t.v = gv_linalg_adjoint(g, gv_node_out(node, 2));
    if (g_out[2] != GV_NONE) t.g_v = gv_linalg_adjoint(g, g_out[2]);
    gv_val f = gv_emit_1(g, &gv_op_gap_inverse, gv_linalg_mul(g, s, s));
    t.f = gv_emit_cast(g, f, a.dtype);
    t.inverse = emit_inverse(g, s);
    if (gv_dtype_is_complex(a.dtype)) {
        gv_val more = GV_NONE;
        if (t.g_v != GV_NONE)
            more = gv_linalg_sum(g, gv_linalg_mul(g, gv_emit_conj(g, t.g_v), t.v), 2);
        t.g_u = emit_free_phase(g, u, t.g_u, more);
    }
    gv_val core = emit_svd_core(g, &t, g_out[1]);
    if (core != GV_NONE)
        sum = gv_linalg_mm(g, gv_linalg_mm(g, u, core, GV_PLAIN, GV_PLAIN), t.v,
                           GV_PLAIN, GV_ADJOINT);
    if (t.g_u != GV_NONE && m > n) {
        gv_val x = emit_outside(g, u, t.g_u);
        x = gv_linalg_mul(g, x, gv_linalg_rows(g, t.inverse, x));
        sum = gv_emit_sum2(g, sum, gv_linalg_mm(g, x, t.v, GV_PLAIN, GV_ADJOINT));
    }
    if (t.g_v != GV_NONE && n > m) {
        gv_val x = emit_outside(g, t.v, t.g_v);
        x = gv_linalg_mul(g, x, gv_linalg_rows(g, t.inverse, x));
        sum = gv_emit_sum2(g, sum, gv_linalg_mm(g, u, x, GV_PLAIN, GV_ADJOINT));
    }
    g_in[0] = sum;
    return GV_OK;
}

const gv_op gv_op_svd = {
    .name = "svd",
    .signature = "a(m,n) -> u(m,r), s(r), vh(r,n)",
    .doc =
        "Reduced singular value decomposition, s descending; complex columns of u have "
        "a real positive pivot.",
    .attrs = "",
    .samples = "x[2,2]; x[3,5,4]; x[2,3,6]; x[1,1]; x[0,3]",
    .flags = 0,
    .infer = svd_infer,
    .forward = svd_forward,
    .vjp = svd_vjp,
    .nin = 1,
};

/* --- qr ----------------------------------------------------------------------------------*/

static gv_status qr_infer(gv_infer *inf)
{
    GV_TRY(gv_linalg_check(inf, 0, false));
    const gv_type *a = &inf->in[0];
    int64_t m = gv_dim_back(a, 2), n = gv_dim_back(a, 1), r = gv_min_i64(m, n);
    int64_t left[2] = { m, r }, right[2] = { r, n };
    inf->nout = 2;
    inf->out[0].dtype = inf->out[1].dtype = a->dtype;
    inf->scratch = gv_lapack_qr_scratch(a->dtype, m, n, gv_batch_count(a, 2));
    GV_TRY(gv_shape_replace_core(&a->shape, 2, 2, left, &inf->out[0].shape));
    return gv_shape_replace_core(&a->shape, 2, 2, right, &inf->out[1].shape);
}

static gv_status qr_forward(const gv_call *call)
{
    const gv_type *t = call->in_type;
    return gv_lapack_qr(t->dtype, gv_dim_back(t, 2), gv_dim_back(t, 1),
                        gv_batch_count(t, 2), call->in[0], call->out[0], call->out[1],
                        call->scratch);
}

/* Columns from..from+size-1 of a matrix. */
static gv_val emit_columns(gv_graph *g, gv_val v, int64_t from, int64_t size)
{
    int64_t attr[6] = { 1, from, 1, 1, 1, size };
    return v == GV_NONE ? GV_NONE : gv_emit(g, &gv_op_slice, 1, &v, 6, attr);
}

/* The case m >= n: q(m, n), r(n, n). */
static gv_val emit_qr_tall(gv_graph *g, gv_val q, gv_val r, gv_val g_q, gv_val g_r)
{
    gv_val m = GV_NONE;
    if (g_r != GV_NONE) m = gv_linalg_mm(g, r, g_r, GV_PLAIN, GV_ADJOINT);
    if (g_q != GV_NONE) {
        gv_val x = gv_linalg_mm(g, g_q, q, GV_ADJOINT, GV_PLAIN);
        m = gv_emit_sum2(g, m, gv_emit_1(g, &gv_op_neg, x));
    }
    gv_val low = gv_linalg_tri(g, m, true, -1);
    gv_val both = gv_emit_2(g, &gv_op_add, gv_linalg_tri(g, m, true, 0), low);
    both = gv_linalg_hermitian(g, both);
    gv_val x = gv_emit_sum2(g, g_q, gv_linalg_mm(g, q, both, GV_PLAIN, GV_PLAIN));
    gv_val y =
        gv_linalg_trisolve(g, r, gv_linalg_adjoint(g, x), false, GV_PLAIN, false);
    return gv_linalg_adjoint(g, y);
}

/* Wide: A = [X Y] with X = Q R_X, R_Y = Q^H Y. */
static gv_status qr_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                        gv_val *g_in)
{
    gv_type a = *gv_in_type(g, node, 0);
    int64_t m = gv_dim_back(&a, 2), n = gv_dim_back(&a, 1);
    gv_val q = gv_node_out(node, 0), r = gv_node_out(node, 1);
    if (m >= n) {
        g_in[0] = emit_qr_tall(g, q, r, g_out[0], g_out[1]);
        return GV_OK;
    }
    gv_val y = emit_columns(g, node->in[0], m, n - m), g_q = g_out[0];
    gv_val g_y = emit_columns(g, g_out[1], m, n - m);
    if (g_y != GV_NONE)
        g_q = gv_emit_sum2(g, g_q, gv_linalg_mm(g, y, g_y, GV_PLAIN, GV_ADJOINT));
    gv_val parts[2];
    parts[0] = emit_qr_tall(g, q, emit_columns(g, r, 0, m), g_q,
                            emit_columns(g, g_out[1], 0, m));
    parts[1] = g_y != GV_NONE ? gv_linalg_mm(g, q, g_y, GV_PLAIN, GV_PLAIN)
                              : gv_emit_zeros_like(g, y);
    int64_t axis = -1;
    g_in[0] = gv_emit(g, &gv_op_concat, 2, parts, 1, &axis);
    return GV_OK;
}

const gv_op gv_op_qr = {
    .name = "qr",
    .signature = "a(m,n) -> q(m,r), r(r,n)",
    .doc = "Reduced QR factors; the diagonal of r is real.",
    .attrs = "",
    .samples = "x[2,2]; x[3,5,4]; x[2,3,6]; x[1,1]; x[0,3]",
    .flags = 0,
    .infer = qr_infer,
    .forward = qr_forward,
    .vjp = qr_vjp,
    .nin = 1,
};
