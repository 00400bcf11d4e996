/* Exponential, logarithmic, trigonometric and hyperbolic operators. A rule states the
 * derivative f'(x); the cotangent is g conj(f'(x)) for real and complex x alike. */
#include "ops/elementwise.h"

#define SIG1 "x() -> y()"
#define SIG2 "a(), b() -> c()"
#define LN2 0.69314718055994530942
#define LN10 2.30258509299404568402

/* Defines op_name##_vjp from an expression of the derivative in x and y = f(x). */
#define DERIVATIVE(name, expression)                                  \
    GV_VJP(name##_vjp)                                                \
    {                                                                 \
        gv_val x = node->in[0], y = gv_node_out(node, 0);             \
        (void)x, (void)y;                                             \
        if (gv_wanted(g_in[0]))                                       \
            g_in[0] = E2(mul, g_out[0], gv_emit_conj(g, expression)); \
        return GV_OK;                                                 \
    }
/* The same where the derivative is 1 / expression. */
#define INVERSE_DERIVATIVE(name, expression)                          \
    GV_VJP(name##_vjp)                                                \
    {                                                                 \
        gv_val x = node->in[0], y = gv_node_out(node, 0);             \
        (void)x, (void)y;                                             \
        if (gv_wanted(g_in[0]))                                       \
            g_in[0] = E2(div, g_out[0], gv_emit_conj(g, expression)); \
        return GV_OK;                                                 \
    }
#define FUNCTION(name, code, doc, samples, cost)                                  \
    GV_ELEMENTWISE(name, code, SIG1, doc, samples, GV_INPLACE, .vjp = name##_vjp, \
                   .flops = cost)
#define ONE "x[3]; x[7,5]; r[0]; r[]"
#define NEAR_ONE "p[3]; c{0.5,2}[7,5]; p[7,5]; r[0]; p[]"

#define PLUS(v, t) gv_emit_shift(g, v, t)
#define TIMES(v, t) gv_emit_scale(g, v, t)

/* --- exponentials and logarithms --- */
DERIVATIVE(exp, y)
DERIVATIVE(exp2, TIMES(y, LN2))
DERIVATIVE(expm1, PLUS(y, 1))
INVERSE_DERIVATIVE(log, x)
INVERSE_DERIVATIVE(log2, TIMES(x, LN2))
INVERSE_DERIVATIVE(log10, TIMES(x, LN10))
INVERSE_DERIVATIVE(log1p, PLUS(x, 1))
FUNCTION(exp, EXP, "Exponential e^x.", ONE, 0.6);
FUNCTION(exp2, EXP2, "2^x.", ONE, 0.6);
FUNCTION(expm1, EXPM1, "e^x - 1, accurate for small x.", ONE, 0.8);
FUNCTION(log, LOG, "Natural logarithm; principal branch for complex x.", NEAR_ONE, 0.8);
FUNCTION(log2, LOG2, "Logarithm to base 2.", NEAR_ONE, 0.8);
FUNCTION(log10, LOG10, "Logarithm to base 10.", NEAR_ONE, 0.8);
FUNCTION(log1p, LOG1P, "log(1 + x), accurate for small x.", NEAR_ONE, 0.8);

/* --- trigonometric --- */
static gv_val one_minus_square(gv_graph *g, gv_val x)
{
    return PLUS(E1(neg, E1(square, x)), 1);
}
static gv_val one_plus_square(gv_graph *g, gv_val x) { return PLUS(E1(square, x), 1); }

DERIVATIVE(sin, E1(cos, x))
DERIVATIVE(cos, E1(neg, E1(sin, x)))
DERIVATIVE(tan, one_plus_square(g, y))
INVERSE_DERIVATIVE(arcsin, E1(sqrt, one_minus_square(g, x)))
INVERSE_DERIVATIVE(arccos, E1(neg, E1(sqrt, one_minus_square(g, x))))
INVERSE_DERIVATIVE(arctan, one_plus_square(g, x))
FUNCTION(sin, SIN, "Sine of x [rad].", ONE, 0.8);
FUNCTION(cos, COS, "Cosine of x [rad].", ONE, 0.8);
FUNCTION(tan, TAN, "Tangent of x [rad].",
         "x{-1.2,1.2}[3]; x{-1,1}[7,5]; r[0]; r{-1,1}[]", 1);
FUNCTION(arcsin, ARCSIN, "Inverse sine [rad], x in [-1, 1].",
         "x{-0.8,0.8}[3]; r{-0.9,0.9}[7,5]; r[0]; r{-0.8,0.8}[]", 1);
FUNCTION(arccos, ARCCOS, "Inverse cosine [rad], x in [-1, 1].",
         "x{-0.8,0.8}[3]; r{-0.9,0.9}[7,5]; r[0]; r{-0.8,0.8}[]", 1);
FUNCTION(arctan, ARCTAN, "Inverse tangent [rad].", "x{-0.9,0.9}[3]; r[7,5]; r[0]; r[]",
         1);

GV_VJP(arctan2_vjp)
{
    gv_val y = node->in[0], x = node->in[1];
    gv_val r2 = E2(add, E1(square, x), E1(square, y));
    if (gv_wanted(g_in[0])) g_in[0] = E2(mul, g_out[0], E2(div, x, r2));
    if (gv_wanted(g_in[1])) g_in[1] = E1(neg, E2(mul, g_out[0], E2(div, y, r2)));
    return GV_OK;
}
GV_ELEMENTWISE(arctan2, ARCTAN2, "y(), x() -> a()",
               "Angle of the point (x, y) in (-pi, pi] [rad].",
               "r[3] r[3]; r[7,5] p[7,5]; r[0] r[0]; r[] r[]", GV_INPLACE,
               .vjp = arctan2_vjp, .flops = 1.2);

GV_VJP(hypot_vjp)
{
    gv_val h = gv_node_out(node, 0);
    gv_val zero = gv_emit_full(g, gv_graph_type(g, h), 0);
    gv_val one = gv_emit_full(g, gv_graph_type(g, h), 1);
    gv_val safe = E3(where, E2(eq, h, zero), one, h);
    for (int k = 0; k < 2; k++)
        if (gv_wanted(g_in[k])) g_in[k] = E2(mul, g_out[0], E2(div, node->in[k], safe));
    return GV_OK;
}
GV_ELEMENTWISE(hypot, HYPOT, SIG2, "sqrt(a^2 + b^2) without overflow; gradient 0 at 0.",
               "r[3] r[3]; r[7,5] r[7,5]; r[0] r[0]; r[] r[]", GV_INPLACE,
               .vjp = hypot_vjp, .flops = 0.8);

/* --- hyperbolic --- */
DERIVATIVE(sinh, E1(cosh, x))
DERIVATIVE(cosh, E1(sinh, x))
DERIVATIVE(tanh, one_minus_square(g, y))
INVERSE_DERIVATIVE(arcsinh, E1(sqrt, one_plus_square(g, x)))
INVERSE_DERIVATIVE(arccosh, E2(mul, E1(sqrt, PLUS(x, -1)), E1(sqrt, PLUS(x, 1))))
INVERSE_DERIVATIVE(arctanh, one_minus_square(g, x))
FUNCTION(sinh, SINH, "Hyperbolic sine.", ONE, 1);
FUNCTION(cosh, COSH, "Hyperbolic cosine.", ONE, 1);
FUNCTION(tanh, TANH, "Hyperbolic tangent.", "x{-1,1}[3]; r[7,5]; r[0]; r[]", 1);
FUNCTION(arcsinh, ARCSINH, "Inverse hyperbolic sine.",
         "x{-0.8,0.8}[3]; r[7,5]; r[0]; r[]", 1);
FUNCTION(arccosh, ARCCOSH, "Inverse hyperbolic cosine, x >= 1.",
         "r{1.2,3}[3]; r{1.2,3}[7,5]; r[0]; r{1.2,3}[]", 1);
FUNCTION(arctanh, ARCTANH, "Inverse hyperbolic tangent, x in (-1, 1).",
         "x{-0.8,0.8}[3]; r{-0.9,0.9}[7,5]; r[0]; r{-0.8,0.8}[]", 1);

/* --- sums of exponentials --- */
/* d/da log(e^a + e^b) = sigmoid(a - b), 1/2 where a = b (also both infinite). */
static gv_status logaddexp_rule(gv_graph *g, const gv_node *node, const gv_val *g_out,
                                gv_val *g_in, double base)
{
    for (int k = 0; k < 2; k++) {
        if (!gv_wanted(g_in[k])) continue;
        gv_val self = node->in[k], other = node->in[1 - k];
        gv_val half = gv_emit_full(g, gv_graph_type(g, self), 0.5);
        gv_val share = E1(sigmoid, TIMES(E2(sub, self, other), base));
        g_in[k] = E2(mul, g_out[0], E3(where, E2(eq, self, other), half, share));
    }
    return GV_OK;
}
GV_VJP(logaddexp_vjp) { return logaddexp_rule(g, node, g_out, g_in, 1); }
GV_VJP(logaddexp2_vjp) { return logaddexp_rule(g, node, g_out, g_in, LN2); }
GV_ELEMENTWISE(logaddexp, LOGADDEXP, SIG2, "log(e^a + e^b) without overflow.",
               "r[3] r[3]; r[7,5] r[7,5]; r[0] r[0]; r[] r[]", GV_INPLACE,
               .vjp = logaddexp_vjp, .flops = 1.5);
GV_ELEMENTWISE(logaddexp2, LOGADDEXP2, SIG2, "log2(2^a + 2^b) without overflow.",
               "r[3] r[3]; r[7,5] r[7,5]; r[0] r[0]; r[] r[]", GV_INPLACE,
               .vjp = logaddexp2_vjp, .flops = 1.5);
