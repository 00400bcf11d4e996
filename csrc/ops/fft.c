/* Fourier transforms of the trailing axes, unnormalised.
 *
 * Adjoints under Re sum conj(a) b over the array as stored: that of the complex transform
 * is the inverse one. A half spectrum holds one coefficient for each conjugate pair, so
 * the adjoint of rfft is irfft with the pairs halved first, that of irfft is rfft with the
 * pairs doubled afterwards. Derivative rules say so by one more attribute behind the
 * documented ones, 1 for the weighted form; the family is closed under adjoints. */
#include "kernels/fft.h"
#include "ops/ops.h"
#include "ops/rank.h"

static gv_status check_axes(const gv_infer *inf, bool complex)
{
    const gv_type *t = &inf->in[0];
    int64_t naxes = inf->attr[0];
    bool fits = complex ? gv_dtype_is_complex(t->dtype) : gv_dtype_is_float(t->dtype);
    char text[96];
    if (!fits)
        return gv_fail(GV_ERR_TYPE, "%s takes %s arrays, not %s", inf->op->name,
                       complex ? "complex" : "real floating", gv_dtype_name(t->dtype));
    if (naxes < 1 || naxes > t->shape.ndim)
        return gv_fail(GV_ERR_VALUE, "%s: %lld axes asked for, but the array is %s",
                       inf->op->name, (long long)naxes,
                       gv_type_format(t, text, sizeof text));
    for (int k = 1; k <= (int)naxes; k++)
        if (gv_dim_back(t, k) < 1)
            return gv_fail(GV_ERR_VALUE,
                           "%s: cannot transform an axis of length 0 (%s)",
                           inf->op->name, gv_type_format(t, text, sizeof text));
    return GV_OK;
}

static const int64_t *core_of(const gv_type *t, int64_t naxes)
{
    return t->shape.dim + t->shape.ndim - naxes;
}

/* --- fft --------------------------------------------------------------------------------*/

static gv_status fft_infer(gv_infer *inf)
{
    GV_TRY(check_axes(inf, true));
    inf->out[0] = inf->in[0];
    return GV_OK;
}

static gv_status fft_forward(const gv_call *call)
{
    const gv_type *t = call->in_type;
    int naxes = (int)call->attr[0];
    return gv_fft_c2c(t->dtype, call->attr[1] != 0, naxes, core_of(t, naxes),
                      gv_batch_count(t, naxes), call->in[0], call->out[0]);
}

static gv_status fft_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                         gv_val *g_in)
{
    int64_t attr[2] = { node->attr[0], !node->attr[1] };
    g_in[0] = gv_emit(g, &gv_op_fft, 1, g_out, 2, attr);
    return GV_OK;
}

const gv_op gv_op_fft = {
    .name = "fft",
    .signature = "x(...) -> y(...)",
    .doc =
        "Complex transform of the last naxes axes, unnormalised; inverse 1: with +i.",
    .attrs = "naxes:int, inverse:int",
    .samples = "c[4] | naxes=1 inverse=0; c[3,5,7] | naxes=2 inverse=1; "
               "c[2,3,4,5] | naxes=3 inverse=0; c[1] | naxes=1 inverse=0; "
               "c[0,3] | naxes=1 inverse=0",
    .flags = GV_LINEAR | GV_INPLACE,
    .infer = fft_infer,
    .forward = fft_forward,
    .vjp = fft_vjp,
    .nin = 1,
};

/* --- rfft -------------------------------------------------------------------------------*/

static gv_status rfft_infer(gv_infer *inf)
{
    GV_TRY(check_axes(inf, false));
    inf->out[0] = gv_type_with(&inf->in[0], gv_dtype_complex(inf->in[0].dtype));
    int last = inf->in[0].shape.ndim - 1;
    inf->out[0].shape.dim[last] = inf->in[0].shape.dim[last] / 2 + 1;
    return GV_OK;
}

static bool is_weighted(const int64_t *attr, int nattr, int at)
{
    return nattr > at && attr[at] != 0;
}

static gv_status rfft_forward(const gv_call *call)
{
    const gv_type *t = call->in_type;
    int naxes = (int)call->attr[0];
    return gv_fft_r2c(t->dtype, is_weighted(call->attr, call->nattr, 1), naxes,
                      core_of(t, naxes), gv_batch_count(t, naxes), call->in[0],
                      call->out[0]);
}

static gv_status rfft_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                          gv_val *g_in)
{
    int64_t attr[3] = { node->attr[0], gv_dim_back(gv_in_type(g, node, 0), 1), 1 };
    bool plain = is_weighted(node->attr, node->nattr, 1);
    g_in[0] = gv_emit(g, &gv_op_irfft, 1, g_out, plain ? 2 : 3, attr);
    return GV_OK;
}

const gv_op gv_op_rfft = {
    .name = "rfft",
    .signature = "x(...) -> y(...)",
    .doc = "Half spectrum (last axis) of the real transform of the last naxes axes, "
           "unnormalised.",
    .attrs = "naxes:int",
    .samples = "r[4] | naxes=1; r[3,5,7] | naxes=2; "
               "r[2,3,4,6] | naxes=3; r[1] | naxes=1; "
               "r[0,3] | naxes=1",
    .flags = GV_LINEAR,
    .infer = rfft_infer,
    .forward = rfft_forward,
    .vjp = rfft_vjp,
    .nin = 1,
};

/* --- irfft ------------------------------------------------------------------------------*/

static gv_status irfft_infer(gv_infer *inf)
{
    GV_TRY(check_axes(inf, true));
    int64_t n = inf->attr[1];
    if (n < 1 || n / 2 + 1 != gv_dim_back(&inf->in[0], 1))
        return gv_fail(GV_ERR_VALUE,
                       "irfft: %lld coefficients do not make %lld points "
                       "(n/2 + 1 are needed)",
                       (long long)gv_dim_back(&inf->in[0], 1), (long long)n);
    inf->out[0] = gv_type_with(&inf->in[0], gv_dtype_real(inf->in[0].dtype));
    inf->out[0].shape.dim[inf->in[0].shape.ndim - 1] = n;
    return GV_OK;
}

static gv_status irfft_forward(const gv_call *call)
{
    const gv_type *t = call->out_type;
    int naxes = (int)call->attr[0];
    return gv_fft_c2r(t->dtype, is_weighted(call->attr, call->nattr, 2), naxes,
                      core_of(t, naxes), gv_batch_count(t, naxes),
                      (void *)(uintptr_t)call->in[0], call->out[0]);
}

static gv_status irfft_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                           gv_val *g_in)
{
    int64_t attr[2] = { node->attr[0], 1 };
    bool plain = is_weighted(node->attr, node->nattr, 2);
    g_in[0] = gv_emit(g, &gv_op_rfft, 1, g_out, plain ? 1 : 2, attr);
    return GV_OK;
}

const gv_op gv_op_irfft = {
    .name = "irfft",
    .signature = "x(...) -> y(...)",
    .doc = "Real points, n on the last axis, from a half spectrum over the last naxes "
           "axes, unnormalised.",
    .attrs = "naxes:int, n:int",
    .samples = "c[3] | naxes=1 n=4; c[3,5,4] | naxes=2 n=7; "
               "c[2,3,4,4] | naxes=3 n=6; c[1] | naxes=1 n=1; "
               "c[0,3] | naxes=1 n=5",
    .flags = GV_LINEAR | GV_DESTROYS,
    .infer = irfft_infer,
    .forward = irfft_forward,
    .vjp = irfft_vjp,
    .nin = 1,
};
