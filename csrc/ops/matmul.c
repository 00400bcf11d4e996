/* Batched matrix product with transposed or adjoint operands, and its derivative.
 *
 * C = op(A) op(B): the cotangent of op(A) is g op(B)^H, that of op(B) is op(A)^H g;
 * both are products again with other flags, so no operand is ever copied for them. */
#include "kernels/blas.h"
#include "ops/ops.h"
#include "ops/rank.h"

static gv_status matmul_infer(gv_infer *inf)
{
    const gv_type *a = &inf->in[0], *b = &inf->in[1];
    GV_TRY(gv_check_rank(inf, 0, 2));
    GV_TRY(gv_check_rank(inf, 1, 2));
    GV_TRY(gv_check_same_dtype(inf, 0, 1));
    GV_TRY(gv_check_batch(inf, 0, 2, 1, 2));
    if (a->dtype == GV_BOOL || gv_dtype_is_fixed(a->dtype))
        return gv_fail(GV_ERR_TYPE, "matmul does not take %s", gv_dtype_name(a->dtype));
    bool ta = inf->attr[0] != 0, tb = inf->attr[1] != 0;
    int64_t k = gv_dim_back(a, ta ? 2 : 1), l = gv_dim_back(b, tb ? 1 : 2);
    if (k != l) {
        char one[96], two[96];
        return gv_fail(GV_ERR_VALUE,
                       "matmul: inner dimensions differ (%lld and %lld): "
                       "%s%s @ %s%s",
                       (long long)k, (long long)l, gv_type_format(a, one, sizeof one),
                       ta ? " transposed" : "", gv_type_format(b, two, sizeof two),
                       tb ? " transposed" : "");
    }
    inf->out[0] = *a;
    int n = a->shape.ndim;
    inf->out[0].shape.dim[n - 2] = gv_dim_back(a, ta ? 1 : 2);
    inf->out[0].shape.dim[n - 1] = gv_dim_back(b, tb ? 2 : 1);
    inf->scratch = gv_blas_gemm_scratch(
        a->dtype, (gv_trans)inf->attr[0], (gv_trans)inf->attr[1],
        gv_dim_back(inf->out, 2), gv_dim_back(inf->out, 1), k, gv_batch_count(a, 2));
    return GV_OK;
}

static gv_status matmul_forward(const gv_call *call)
{
    const gv_type *a = call->in_type, *c = call->out_type;
    gv_trans ta = (gv_trans)call->attr[0], tb = (gv_trans)call->attr[1];
    return gv_blas_matmul(a->dtype, ta, tb, gv_dim_back(c, 2), gv_dim_back(c, 1),
                          gv_dim_back(a, ta ? 2 : 1), gv_batch_count(a, 2), call->in[0],
                          call->in[1], call->out[0], call->scratch);
}

static gv_val emit_product(gv_graph *g, gv_val a, gv_val b, int64_t ta, int64_t tb)
{
    int64_t attr[2] = { ta, tb };
    gv_val in[2] = { a, b };
    return gv_emit(g, &gv_op_matmul, 2, in, 2, attr);
}

/* The flag t normalised for the dtype: transposition and adjoint agree for real. */
static int64_t flag_of(const gv_graph *g, gv_val v, int64_t t)
{
    return gv_dtype_is_complex(gv_graph_type(g, v)->dtype) ? t : t != 0;
}

/* Adjoint of op(x), as an operand: x and a flag. */
static gv_val emit_adjoint(gv_graph *g, gv_val x, int64_t t, int64_t *flag)
{
    *flag = t == GV_PLAIN ? GV_ADJOINT : GV_PLAIN;
    return t == GV_TRANSPOSED ? gv_emit_conj(g, x) : x;
}

/* Conjugate of op(x), as an operand: conj(x), x^H or x^T. */
static gv_val emit_conjugate(gv_graph *g, gv_val x, int64_t t, int64_t *flag)
{
    *flag = t == GV_PLAIN ? GV_PLAIN : t == GV_TRANSPOSED ? GV_ADJOINT : GV_TRANSPOSED;
    return t == GV_PLAIN ? gv_emit_conj(g, x) : x;
}

static gv_status matmul_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                            gv_val *g_in)
{
    gv_val a = node->in[0], b = node->in[1], go = g_out[0];
    int64_t ta = node->attr[0], tb = node->attr[1], flag;
    if (g_in[0] != GV_NONE) {
        if (ta == GV_PLAIN) { /* g op(B)^H */
            gv_val x = emit_adjoint(g, b, tb, &flag);
            g_in[0] = emit_product(g, go, x, 0, flag_of(g, b, flag));
        } else if (ta == GV_TRANSPOSED) { /* conj(op(B)) g^T */
            gv_val x = emit_conjugate(g, b, tb, &flag);
            g_in[0] = emit_product(g, x, go, flag_of(g, b, flag), GV_TRANSPOSED);
        } else { /* op(B) g^H */
            g_in[0] = emit_product(g, b, go, tb, GV_ADJOINT);
        }
    }
    if (g_in[1] != GV_NONE) {
        if (tb == GV_PLAIN) { /* op(A)^H g */
            gv_val x = emit_adjoint(g, a, ta, &flag);
            g_in[1] = emit_product(g, x, go, flag_of(g, a, flag), 0);
        } else if (tb == GV_TRANSPOSED) { /* g^T conj(op(A)) */
            gv_val x = emit_conjugate(g, a, ta, &flag);
            g_in[1] = emit_product(g, go, x, GV_TRANSPOSED, flag_of(g, a, flag));
        } else { /* g^H op(A) */
            g_in[1] = emit_product(g, go, a, GV_ADJOINT, ta);
        }
    }
    return GV_OK;
}

/* One operand shared by all lanes, the other a stack: a single larger product. Only
 * where the shared operand is the right one and the left is plain, or the product is a
 * matrix times a column. */
static gv_status matmul_batch(gv_graph *g, const gv_node *node, int64_t n,
                              const gv_val *in, const bool *batched, gv_val *out)
{
    gv_type a = *gv_in_type(g, node, 0), b = *gv_in_type(g, node, 1);
    int64_t ta = node->attr[0], tb = node->attr[1];
    bool single = a.shape.ndim == 2;
    int64_t m = gv_dim_back(&a, ta ? 1 : 2), k = gv_dim_back(&a, ta ? 2 : 1);
    int64_t p = gv_dim_back(&b, tb ? 2 : 1);
    if (single && batched[0] && !batched[1] &&
        (ta == GV_PLAIN || (m == 1 && ta == 1))) {
        gv_shape flat = { 2, { n * m, k } }, full = { 3, { n, m, p } };
        gv_val v = emit_product(g, gv_emit_reshape(g, in[0], &flat), in[1], 0, tb);
        out[0] = gv_emit_reshape(g, v, &full);
        return GV_OK;
    }
    if (single && !batched[0] && batched[1] && ((p == 1 && tb != 2) || tb == 1)) {
        /* (A x)^T = x^T A^T, for each row x of a stack */
        int64_t flag = ta == GV_PLAIN ? GV_TRANSPOSED : GV_PLAIN;
        gv_val x = ta == GV_ADJOINT ? gv_emit_conj(g, in[0]) : in[0];
        gv_shape flat = { 2, { n * p, k } }, full = { 3, { n, p, m } };
        gv_val v = emit_product(g, gv_emit_reshape(g, in[1], &flat), x, 0, flag);
        v = gv_emit_reshape(g, v, &full);
        out[0] = p == 1 ? gv_emit_reshape(g, v, &(gv_shape){ 3, { n, m, 1 } })
                        : gv_emit_swap_last(g, v);
        return GV_OK;
    }
    gv_val x = batched[0] ? in[0] : gv_emit_lead(g, in[0], n);
    gv_val y = batched[1] ? in[1] : gv_emit_lead(g, in[1], n);
    out[0] = emit_product(g, x, y, ta, tb);
    return GV_OK;
}

const gv_op gv_op_matmul = {
    .name = "matmul",
    .signature = "a(m,k), b(k,n) -> c(m,n)",
    .doc = "Matrix product op(a) op(b); ta, tb: 0 as is, 1 transposed, 2 adjoint (the "
           "operand is then stored (k,m) or (n,k)).",
    .attrs = "ta:int, tb:int",
    .samples = "x[2,3] x[3,4] | ta=0 tb=0; x[5,1,7] x[5,7,2] | ta=0 tb=0; "
               "x[3,2] x[4,3] | ta=1 tb=1; x[3,2] x[4,3] | ta=2 tb=2; "
               "x[3,2] x[3,4] | ta=2 tb=0; x[2,3] x[4,3] | ta=0 tb=1; "
               "r[0,3] r[3,2] | ta=0 tb=0; x[2,0] x[0,3] | ta=0 tb=0; "
               "x[33,40] x[40,37] | ta=0 tb=0",
    .flags = GV_BILINEAR,
    .infer = matmul_infer,
    .forward = matmul_forward,
    .vjp = matmul_vjp,
    .batch = matmul_batch,
    .nin = 2,
};
