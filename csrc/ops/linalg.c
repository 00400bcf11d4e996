/* Short emitters for the derivative rules of linear algebra. */
#include "ops/linalg.h"

gv_status gv_linalg_check(const gv_infer *inf, int i, bool square)
{
    const gv_type *t = &inf->in[i];
    char text[96];
    if (!gv_dtype_is_float(t->dtype) && !gv_dtype_is_complex(t->dtype))
        return gv_fail(GV_ERR_TYPE, "%s takes float or complex matrices, not %s",
                       inf->op->name, gv_dtype_name(t->dtype));
    GV_TRY(gv_check_rank(inf, i, 2));
    int64_t m = gv_dim_back(t, 2), n = gv_dim_back(t, 1);
    if (square && m != n)
        return gv_fail(GV_ERR_VALUE, "%s: the matrix must be square, got %s",
                       inf->op->name, gv_type_format(t, text, sizeof text));
    if (gv_min_i64(m, n) > GV_LINALG_MAX || gv_max_i64(m, n) > 100 * GV_LINALG_MAX)
        return gv_fail(GV_ERR_VALUE, "%s: %s is too large (%d rows and columns)",
                       inf->op->name, gv_type_format(t, text, sizeof text),
                       GV_LINALG_MAX);
    return GV_OK;
}

gv_val gv_linalg_mm(gv_graph *g, gv_val a, gv_val b, gv_trans ta, gv_trans tb)
{
    if (a == GV_NONE || b == GV_NONE || gv_graph_status(g) != GV_OK) return GV_NONE;
    bool complex = gv_linalg_is_complex(g, a);
    int64_t attr[2] = { complex ? ta : ta != 0, complex ? tb : tb != 0 };
    gv_val in[2] = { a, b };
    return gv_emit(g, &gv_op_matmul, 2, in, 2, attr);
}

gv_val gv_linalg_adjoint(gv_graph *g, gv_val a)
{
    return gv_emit_swap_last(g, gv_emit_conj(g, a));
}

gv_val gv_linalg_sub(gv_graph *g, gv_val a, gv_val b)
{
    return gv_emit_2(g, &gv_op_sub, a, b);
}

gv_val gv_linalg_mul(gv_graph *g, gv_val a, gv_val b)
{
    return gv_emit_2(g, &gv_op_mul, a, b);
}

gv_val gv_linalg_hermitian(gv_graph *g, gv_val a)
{
    return gv_emit_scale(g, gv_emit_2(g, &gv_op_add, a, gv_linalg_adjoint(g, a)), 0.5);
}

gv_val gv_linalg_tri(gv_graph *g, gv_val a, bool lower, int64_t k)
{
    return gv_emit(g, lower ? &gv_op_tril : &gv_op_triu, 1, &a, 1, &k);
}

gv_val gv_linalg_eye(gv_graph *g, gv_val a)
{
    if (a == GV_NONE || gv_graph_status(g) != GV_OK) return GV_NONE;
    gv_type t = *gv_graph_type(g, a);
    gv_shape core = { 2, { gv_dim_back(&t, 2), gv_dim_back(&t, 1) } };
    gv_type one = { t.dtype, core };
    gv_val eye = gv_linalg_tri(g, gv_emit_full(g, &one, 1.0), true, 0);
    return gv_emit_broadcast(g, gv_linalg_tri(g, eye, false, 0), &t.shape);
}

/* v with an axis inserted `back` axes from the end, repeated like m, in m's dtype. */
static gv_val spread(gv_graph *g, gv_val v, gv_val m, int missing, int back)
{
    if (v == GV_NONE || m == GV_NONE || gv_graph_status(g) != GV_OK) return GV_NONE;
    gv_type t = *gv_graph_type(g, m);
    gv_shape keep = t.shape;
    if (missing == 2) keep.dim[keep.ndim - 1] = keep.dim[keep.ndim - 2] = 1;
    if (missing == 1) keep.dim[keep.ndim - back] = 1;
    v = gv_emit_reshape(g, gv_emit_cast(g, v, t.dtype), &keep);
    return gv_emit_broadcast(g, v, &t.shape);
}

gv_val gv_linalg_rows(gv_graph *g, gv_val v, gv_val m) { return spread(g, v, m, 1, 2); }
gv_val gv_linalg_cols(gv_graph *g, gv_val v, gv_val m) { return spread(g, v, m, 1, 1); }
gv_val gv_linalg_fill(gv_graph *g, gv_val v, gv_val m) { return spread(g, v, m, 2, 0); }

gv_val gv_linalg_diag(gv_graph *g, gv_val v)
{
    if (v == GV_NONE || gv_graph_status(g) != GV_OK) return GV_NONE;
    gv_shape s = gv_graph_type(g, v)->shape, keep = s;
    int64_t n = s.dim[s.ndim - 1];
    if (s.ndim + 1 > GV_MAX_DIM)
        return gv_graph_break(g,
                              gv_fail(GV_ERR_VALUE, "more than %d axes", GV_MAX_DIM));
    keep.dim[keep.ndim - 1] = 1;
    keep.dim[keep.ndim++] = n;
    s.dim[s.ndim++] = n;
    gv_val full = gv_emit_broadcast(g, gv_emit_reshape(g, v, &keep), &s);
    return gv_linalg_tri(g, gv_linalg_tri(g, full, true, 0), false, 0);
}

gv_val gv_linalg_sum(gv_graph *g, gv_val m, int back)
{
    int64_t attr[2] = { 1, -back };
    return gv_emit(g, &gv_op_reduce_sum, 1, &m, 2, attr);
}

gv_val gv_linalg_trisolve(gv_graph *g, gv_val a, gv_val b, bool lower, gv_trans trans,
                          bool unit)
{
    if (a == GV_NONE || b == GV_NONE || gv_graph_status(g) != GV_OK) return GV_NONE;
    bool complex = gv_linalg_is_complex(g, a);
    int64_t attr[3] = { lower, complex ? trans : trans != 0, unit };
    gv_val in[2] = { a, b };
    return gv_emit(g, &gv_op_trisolve, 2, in, 3, attr);
}

bool gv_linalg_is_complex(const gv_graph *g, gv_val v)
{
    return gv_dtype_is_complex(gv_graph_type(g, v)->dtype);
}
