/* Special functions: error function family, gamma family, sigmoid family. */
#include "ops/elementwise.h"

#define SIG1 "x() -> y()"
#define REAL_ONE "r[3]; r[7,5]; r[0]; r[]"
#define POSITIVE "p[3]; p{0.3,6}[7,5]; r[0]; p[]"
#define TWO_OVER_SQRT_PI 1.12837916709551257390
#define SQRT_TWO_OVER_PI 0.79788456080286535588
#define SQRT_TWO_PI 2.50662827463100050242
#define SQRT_HALF 0.70710678118654752440

#define TIMES(v, t) gv_emit_scale(g, v, t)
#define PLUS(v, t) gv_emit_shift(g, v, t)

/* name##_vjp: cotangent = g * expression in x and y = f(x) */
#define DERIVATIVE(name, expression)                                     \
    GV_VJP(name##_vjp)                                                   \
    {                                                                    \
        gv_val x = node->in[0], y = gv_node_out(node, 0);                \
        (void)x, (void)y;                                                \
        if (gv_wanted(g_in[0])) g_in[0] = E2(mul, g_out[0], expression); \
        return GV_OK;                                                    \
    }
#define FUNCTION(name, code, doc, samples, cost)                                  \
    GV_ELEMENTWISE(name, code, SIG1, doc, samples, GV_INPLACE, .vjp = name##_vjp, \
                   .flops = cost)

/* --- error function --- */
/* factor e^(-x^2) */
static gv_val bell(gv_graph *g, gv_val x, double factor)
{
    return TIMES(E1(exp, E1(neg, E1(square, x))), factor);
}
DERIVATIVE(erf, bell(g, x, TWO_OVER_SQRT_PI))
DERIVATIVE(erfc, bell(g, x, -TWO_OVER_SQRT_PI))
DERIVATIVE(erfcx, PLUS(TIMES(E2(mul, x, y), 2), -TWO_OVER_SQRT_PI))
FUNCTION(erf, ERF, "Error function 2/sqrt(pi) int_0^x e^(-t^2) dt.", REAL_ONE, 1);
FUNCTION(erfc, ERFC, "1 - erf(x), accurate for large x.", REAL_ONE, 2);
FUNCTION(erfcx, ERFCX, "e^(x^2) erfc(x).", REAL_ONE, 2);

/* phi/Phi = sqrt(2/pi) / erfcx(-x/sqrt 2), free of cancellation */
static gv_val mills(gv_graph *g, gv_val x)
{
    gv_val scaled = E1(erfcx, TIMES(x, -SQRT_HALF));
    return TIMES(E1(reciprocal, scaled), SQRT_TWO_OVER_PI);
}
DERIVATIVE(log_ndtr, mills(g, x))
FUNCTION(log_ndtr, LOG_NDTR, "Logarithm of the standard normal distribution function.",
         REAL_ONE, 3);

static gv_val inverse_density(gv_graph *g, gv_val y)
{
    return TIMES(E1(exp, TIMES(E1(square, y), 0.5)), SQRT_TWO_PI);
}
DERIVATIVE(ndtri, inverse_density(g, y))
FUNCTION(ndtri, NDTRI, "Quantile of the standard normal distribution, x in (0, 1).",
         "u[3]; u[7,5]; u[0]; u[]", 3);

/* --- gamma function --- */
static gv_val polygamma_of(gv_graph *g, int64_t order, gv_val x)
{
    return gv_emit(g, &gv_op_polygamma, 1, &x, 1, &order);
}
DERIVATIVE(gammaln, E1(digamma, x))
DERIVATIVE(digamma, polygamma_of(g, 1, x))
FUNCTION(gammaln, GAMMALN, "Logarithm of |Gamma(x)|.", POSITIVE, 4);
FUNCTION(digamma, DIGAMMA, "Digamma function, derivative of gammaln.", POSITIVE, 4);

static gv_status polygamma_infer(gv_infer *inf)
{
    if (!gv_dtype_is_float(inf->in[0].dtype))
        return gv_fail(GV_ERR_TYPE,
                       "polygamma: dtype %s is not offered (offered: float)",
                       gv_dtype_name(inf->in[0].dtype));
    if (inf->nattr != 1 || inf->attr[0] < 0 || inf->attr[0] > 20)
        return gv_fail(GV_ERR_VALUE, "polygamma: the order n must lie in 0..20");
    inf->out[0] = inf->in[0];
    return GV_OK;
}
static gv_status polygamma_forward(const gv_call *call)
{
    gv_ew_polygamma((int)call->attr[0], call->in_type[0].dtype,
                    gv_shape_size(&call->in_type[0].shape), call->in[0], call->out[0]);
    return GV_OK;
}
DERIVATIVE(polygamma, polygamma_of(g, node->attr[0] + 1, x))
const gv_op gv_op_polygamma = {
    .name = "polygamma",
    .signature = SIG1,
    .doc = "Polygamma function, the n-th derivative of digamma at x > 0.",
    .attrs = "n:int",
    .samples = "p[3] | n=0; p{0.3,6}[7,5] | n=1; p[4] | n=2; r[0] | n=1; p[] | n=3",
    .flags = GV_INPLACE,
    .infer = polygamma_infer,
    .forward = polygamma_forward,
    .vjp = polygamma_vjp,
    .nin = 1,
};

/* --- sigmoid --- */
DERIVATIVE(sigmoid, E2(mul, y, PLUS(E1(neg, y), 1)))
DERIVATIVE(softplus, E1(sigmoid, x))
FUNCTION(sigmoid, SIGMOID, "1 / (1 + e^(-x)).", REAL_ONE, 0.8);
FUNCTION(softplus, SOFTPLUS, "log(1 + e^x) without overflow.", REAL_ONE, 1.2);
