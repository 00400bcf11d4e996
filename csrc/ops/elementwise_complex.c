/* Complex parts and casts. All are linear over the reals; with the inner product
 * Re sum conj(a) b the adjoint of real is the embedding, of imag that times i. */
#include "ops/elementwise.h"

#define SIG1 "x() -> y()"

GV_VJP(conj_vjp)
{
    (void)node;
    if (gv_wanted(g_in[0])) g_in[0] = gv_emit_conj(g, g_out[0]);
    return GV_OK;
}
GV_ELEMENTWISE(conj, CONJ, SIG1, "Complex conjugate; x itself if real.",
               "c[3]; c[7,5]; r[0]; c[]", GV_LINEAR | GV_CHEAP | GV_INPLACE,
               .vjp = conj_vjp);

GV_VJP(real_vjp)
{
    if (gv_wanted(g_in[0]))
        g_in[0] = gv_emit_cast(g, g_out[0], gv_graph_type(g, node->in[0])->dtype);
    return GV_OK;
}
GV_ELEMENTWISE(real, REAL, SIG1, "Real part of complex x.", "c[3]; c[7,5]; c[0]; c[]",
               GV_LINEAR | GV_CHEAP, .vjp = real_vjp);

GV_VJP(imag_vjp)
{
    (void)node;
    if (gv_wanted(g_in[0]))
        g_in[0] = E2(complex, gv_emit_zeros_like(g, g_out[0]), g_out[0]);
    return GV_OK;
}
GV_ELEMENTWISE(imag, IMAG, SIG1, "Imaginary part of complex x.",
               "c[3]; c[7,5]; c[0]; c[]", GV_LINEAR | GV_CHEAP, .vjp = imag_vjp);

GV_VJP(complex_vjp)
{
    (void)node;
    if (gv_wanted(g_in[0])) g_in[0] = E1(real, g_out[0]);
    if (gv_wanted(g_in[1])) g_in[1] = E1(imag, g_out[0]);
    return GV_OK;
}
GV_ELEMENTWISE(complex, COMPLEX, "re(), im() -> z()", "Complex number re + i im.",
               "r[3] r[3]; r[7,5] r[7,5]; r[0] r[0]; r[] r[]", GV_LINEAR | GV_CHEAP,
               .vjp = complex_vjp);

GV_VJP(cast_vjp)
{
    gv_dtype d = gv_graph_type(g, node->in[0])->dtype;
    if (gv_wanted(g_in[0]))
        g_in[0] = gv_dtype_is_diff(d) ? gv_emit_cast(g, g_out[0], gv_dtype_cotangent(d))
                                      : GV_NONE;
    return GV_OK;
}
const gv_op gv_op_cast = {
    .name = "cast",
    .signature = SIG1,
    .doc = "x in another dtype; complex to real keeps the real part, bool is x != 0.",
    .attrs = "dtype:dtype",
    .samples = "r[3] | dtype=float32; r[7,5] | dtype=float64; c[4] | dtype=float64; "
               "r[0] | dtype=complex64; i{-5,5}[] | dtype=float64",
    .flags = GV_ELEMENTWISE | GV_LINEAR | GV_CHEAP,
    .infer = gv_elementwise_infer,
    .forward = gv_elementwise_forward,
    .vjp = cast_vjp,
    .ew = gv_elementwise_kernel,
    .aux = GV_EW_CAST,
    .nin = 1,
};
