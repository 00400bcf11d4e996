/* Arithmetic operators. Rules for cotangents (inner product Re sum conj(a) b): for a
 * holomorphic f, g_x = conj(f'(x)) g. Where maximum and minimum tie, each input gets
 * half of the cotangent; abs has gradient 0 at 0. */
#include "ops/elementwise.h"

#define PAIR "x[3] x[3]; x[7,5] x[7,5]; r[0] r[0]; r[] r[]"
#define REAL_PAIR "r[3] r[3]; r[7,5] r[7,5]; r[0] r[0]; r[] r[]"
#define ONE "x[3]; x[7,5]; r[0]; r[]"
#define REAL_ONE "r[3]; r[7,5]; r[0]; r[]"
#define SIG2 "a(), b() -> c()"
#define SIG1 "x() -> y()"

GV_VJP(add_vjp)
{
    (void)g, (void)node;
    for (int k = 0; k < 2; k++)
        if (gv_wanted(g_in[k])) g_in[k] = g_out[0];
    return GV_OK;
}
GV_ELEMENTWISE(add, ADD, SIG2, "Sum a + b.", PAIR, GV_LINEAR | GV_CHEAP | GV_INPLACE,
               .vjp = add_vjp);

GV_VJP(sub_vjp)
{
    (void)node;
    if (gv_wanted(g_in[0])) g_in[0] = g_out[0];
    if (gv_wanted(g_in[1])) g_in[1] = E1(neg, g_out[0]);
    return GV_OK;
}
GV_ELEMENTWISE(sub, SUB, SIG2, "Difference a - b.", PAIR,
               GV_LINEAR | GV_CHEAP | GV_INPLACE, .vjp = sub_vjp);

GV_VJP(mul_vjp)
{
    for (int k = 0; k < 2; k++)
        if (gv_wanted(g_in[k]))
            g_in[k] = E2(mul, g_out[0], gv_emit_conj(g, node->in[1 - k]));
    return GV_OK;
}
GV_ELEMENTWISE(mul, MUL, SIG2, "Product a b.", PAIR,
               GV_BILINEAR | GV_CHEAP | GV_INPLACE, .vjp = mul_vjp);

GV_VJP(div_vjp)
{
    gv_val t = E2(div, g_out[0], gv_emit_conj(g, node->in[1]));
    if (gv_wanted(g_in[0])) g_in[0] = t;
    if (gv_wanted(g_in[1]))
        g_in[1] = E1(neg, E2(mul, t, gv_emit_conj(g, gv_node_out(node, 0))));
    return GV_OK;
}
GV_ELEMENTWISE(div, DIV, SIG2, "Quotient a / b.",
               "x[3] x{0.5,2}[3]; x[7,5] x{0.5,2}[7,5]; r[0] r[0]; r[] r{-2,-0.5}[]",
               GV_CHEAP | GV_INPLACE, .vjp = div_vjp);

/* d/da a^b = b a^(b-1), taken as 0 where b = 0; d/db = a^b log a, as 0 where a = 0. */
GV_VJP(pow_vjp)
{
    gv_val a = node->in[0], b = node->in[1];
    gv_val one = gv_emit_full(g, gv_graph_type(g, b), 1);
    gv_val zero = gv_emit_full(g, gv_graph_type(g, b), 0);
    if (gv_wanted(g_in[0])) {
        gv_val lower = E3(where, E2(eq, b, zero), one, E2(sub, b, one));
        gv_val slope = E2(mul, b, E2(pow, a, lower));
        g_in[0] = E2(mul, g_out[0], gv_emit_conj(g, slope));
    }
    if (gv_wanted(g_in[1])) {
        gv_val safe = E3(where, E2(eq, a, zero), one, a);
        gv_val slope = E2(mul, gv_node_out(node, 0), E1(log, safe));
        g_in[1] = E2(mul, g_out[0], gv_emit_conj(g, slope));
    }
    return GV_OK;
}
GV_ELEMENTWISE(pow, POW, SIG2,
               "Power a^b; integers: 0 for a negative b unless |a| is 1.",
               "p[3] r[3]; p[7,5] r[7,5]; r[0] r[0]; p[] r[]", GV_INPLACE,
               .vjp = pow_vjp, .flops = 3);

GV_VJP(mod_vjp)
{
    if (gv_wanted(g_in[0])) g_in[0] = g_out[0];
    if (gv_wanted(g_in[1])) {
        gv_val whole = E2(floor_divide, node->in[0], node->in[1]);
        g_in[1] = E1(neg, E2(mul, g_out[0], whole));
    }
    return GV_OK;
}
GV_ELEMENTWISE(mod, MOD, SIG2, "Remainder a - b floor(a / b), with the sign of b.",
               "r[3] r{0.5,2}[3]; r[7,5] r{-2,-0.5}[7,5]; r[0] r[0]; r[] r{0.5,2}[]",
               GV_INPLACE, .vjp = mod_vjp, .flops = 3);

GV_ELEMENTWISE(floor_divide, FLOOR_DIVIDE, SIG2,
               "Quotient rounded down, floor(a / b); integers: 0 where b = 0.",
               "r[3] r{0.5,2}[3]; i{-9,9}[7,5] i{1,4}[7,5]; r[0] r[0]; r[] r{0.5,2}[]",
               GV_NODIFF | GV_INPLACE, .flops = 3);

GV_ELEMENTWISE(
    wins, WINS, SIG2,
    "1 where a > b, 1/2 where a = b, else 0: the gradient's share of a maximum.",
    REAL_PAIR, GV_NODIFF | GV_CHEAP | GV_INPLACE, );

/* Shares for the two inputs; `other` is the value that NaN must not win against. */
static gv_val share(gv_graph *g, gv_val a, gv_val b, gv_val other)
{
    gv_val w = E2(wins, a, b);
    if (other == GV_NONE) return w;
    gv_val one = gv_emit_full(g, gv_graph_type(g, w), 1);
    return E3(where, E1(isnan, other), one, w);
}
static gv_status extreme_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                             gv_val *g_in, bool largest, bool skip_nan)
{
    gv_val a = node->in[0], b = node->in[1];
    for (int k = 0; k < 2; k++) {
        if (!gv_wanted(g_in[k])) continue;
        gv_val self = k == 0 ? a : b, other = k == 0 ? b : a;
        gv_val w = share(g, largest ? self : other, largest ? other : self,
                         skip_nan ? other : GV_NONE);
        g_in[k] = E2(mul, g_out[0], w);
    }
    return GV_OK;
}
GV_VJP(maximum_vjp) { return extreme_vjp(g, node, g_out, g_in, true, false); }
GV_VJP(minimum_vjp) { return extreme_vjp(g, node, g_out, g_in, false, false); }
GV_VJP(fmax_vjp) { return extreme_vjp(g, node, g_out, g_in, true, true); }
GV_VJP(fmin_vjp) { return extreme_vjp(g, node, g_out, g_in, false, true); }
GV_ELEMENTWISE(maximum, MAXIMUM, SIG2, "Larger of a and b; NaN if either is.",
               REAL_PAIR, GV_CHEAP | GV_INPLACE, .vjp = maximum_vjp);
GV_ELEMENTWISE(minimum, MINIMUM, SIG2, "Smaller of a and b; NaN if either is.",
               REAL_PAIR, GV_CHEAP | GV_INPLACE, .vjp = minimum_vjp);
GV_ELEMENTWISE(fmax, FMAX, SIG2, "Larger of a and b; NaN only if both are.", REAL_PAIR,
               GV_CHEAP | GV_INPLACE, .vjp = fmax_vjp);
GV_ELEMENTWISE(fmin, FMIN, SIG2, "Smaller of a and b; NaN only if both are.", REAL_PAIR,
               GV_CHEAP | GV_INPLACE, .vjp = fmin_vjp);

/* The kink of relu belongs to the flat side: no cotangent passes at 0. */
GV_VJP(gate_vjp)
{
    if (gv_wanted(g_in[0])) g_in[0] = E2(gate, g_out[0], node->in[1]);
    g_in[1] = GV_NONE;
    return GV_OK;
}
GV_ELEMENTWISE(gate, GATE, SIG2, "a where b > 0, else 0.",
               "r[3] r[3]; r[7,5] r[7,5]; r[0] r[0]; r[] p[]", GV_CHEAP | GV_INPLACE,
               .vjp = gate_vjp);
GV_VJP(relu_vjp)
{
    if (gv_wanted(g_in[0])) g_in[0] = E2(gate, g_out[0], gv_node_out(node, 0));
    return GV_OK;
}
GV_ELEMENTWISE(relu, RELU, SIG1, "x where x > 0, else 0; NaN stays.",
               "r[3]; r[7,5]; r[0]; r{0.5,2}[]", GV_CHEAP | GV_INPLACE,
               .vjp = relu_vjp);

GV_VJP(neg_vjp)
{
    (void)node;
    if (gv_wanted(g_in[0])) g_in[0] = E1(neg, g_out[0]);
    return GV_OK;
}
GV_ELEMENTWISE(neg, NEG, SIG1, "Negative -x.", ONE, GV_LINEAR | GV_CHEAP | GV_INPLACE,
               .vjp = neg_vjp);

GV_VJP(abs_vjp)
{
    gv_val x = node->in[0];
    if (gv_wanted(g_in[0])) {
        gv_val wide = gv_emit_cast(g, g_out[0], gv_graph_type(g, x)->dtype);
        g_in[0] = E2(mul, wide, E1(sign, x));
    }
    return GV_OK;
}
/* d|x| = Re(conj(sign x) dx) */
static gv_status abs_jvp(gv_graph *g, const gv_node *node, const gv_val *d_in,
                         gv_val *d_out)
{
    gv_val x = node->in[0];
    gv_val t = E2(mul, gv_emit_conj(g, E1(sign, x)), d_in[0]);
    gv_dtype d = gv_graph_type(g, x)->dtype;
    d_out[0] = gv_dtype_is_complex(d) ? E1(real, t) : t;
    return GV_OK;
}
GV_ELEMENTWISE(abs, ABS, SIG1, "Absolute value |x|; real for complex x.", ONE, GV_CHEAP,
               .vjp = abs_vjp, .jvp = abs_jvp);

/* sign(x) = x/|x| for complex x: the part of dx across x, over |x|; flat for real. */
static gv_val turn(gv_graph *g, gv_val x, gv_val s, gv_val v)
{
    gv_dtype d = gv_graph_type(g, x)->dtype;
    gv_val along = E1(real, E2(mul, gv_emit_conj(g, s), v));
    gv_val size = E1(abs, x);
    gv_val one = gv_emit_full(g, gv_graph_type(g, size), 1);
    gv_val zero = gv_emit_full(g, gv_graph_type(g, size), 0);
    gv_val safe = E3(where, E2(eq, size, zero), one, size);
    gv_val across = E2(sub, v, E2(mul, s, gv_emit_cast(g, along, d)));
    return E2(div, across, gv_emit_cast(g, safe, d));
}
GV_VJP(sign_vjp)
{
    gv_val x = node->in[0];
    bool flat = !gv_dtype_is_complex(gv_graph_type(g, x)->dtype);
    if (gv_wanted(g_in[0]))
        g_in[0] = flat ? GV_NONE : turn(g, x, gv_node_out(node, 0), g_out[0]);
    return GV_OK;
}
static gv_status sign_jvp(gv_graph *g, const gv_node *node, const gv_val *d_in,
                          gv_val *d_out)
{
    gv_val x = node->in[0];
    bool flat = !gv_dtype_is_complex(gv_graph_type(g, x)->dtype);
    d_out[0] = flat ? GV_NONE : turn(g, x, gv_node_out(node, 0), d_in[0]);
    return GV_OK;
}
GV_ELEMENTWISE(sign, SIGN, SIG1, "Sign of x, 0 at 0; x / |x| for complex x.",
               "c[3]; r[7,5]; r[0]; r[]", GV_CHEAP, .vjp = sign_vjp, .jvp = sign_jvp);

GV_VJP(square_vjp)
{
    if (gv_wanted(g_in[0])) {
        gv_val twice = gv_emit_scale(g, gv_emit_conj(g, node->in[0]), 2);
        g_in[0] = E2(mul, g_out[0], twice);
    }
    return GV_OK;
}
GV_ELEMENTWISE(square, SQUARE, SIG1, "Square x^2.", ONE, GV_CHEAP | GV_INPLACE,
               .vjp = square_vjp);

GV_VJP(reciprocal_vjp)
{
    if (gv_wanted(g_in[0])) {
        gv_val slope = gv_emit_conj(g, E1(square, gv_node_out(node, 0)));
        g_in[0] = E1(neg, E2(mul, g_out[0], slope));
    }
    return GV_OK;
}
GV_ELEMENTWISE(reciprocal, RECIPROCAL, SIG1, "Reciprocal 1 / x.",
               "x{0.5,2}[3]; x{-2,-0.5}[7,5]; r[0]; p[]", GV_CHEAP | GV_INPLACE,
               .vjp = reciprocal_vjp);

GV_VJP(sqrt_vjp)
{
    if (gv_wanted(g_in[0])) {
        gv_val twice = gv_emit_scale(g, gv_emit_conj(g, gv_node_out(node, 0)), 2);
        g_in[0] = E2(div, g_out[0], twice);
    }
    return GV_OK;
}
GV_ELEMENTWISE(sqrt, SQRT, SIG1, "Square root; principal branch for complex x.",
               "p[3]; c{0.5,2}[7,5]; r[0]; p[]", GV_CHEAP | GV_INPLACE,
               .vjp = sqrt_vjp);

#define ROUNDING(name, code, doc) \
    GV_ELEMENTWISE(name, code, SIG1, doc, REAL_ONE, GV_NODIFF | GV_CHEAP | GV_INPLACE, )
ROUNDING(floor, FLOOR, "Largest integer not above x.");
ROUNDING(ceil, CEIL, "Smallest integer not below x.");
ROUNDING(trunc, TRUNC, "x without its fraction.");
ROUNDING(rint, RINT, "Nearest integer; halves go to the even one.");
