/* Fixed point: quantize(x) = round(x / scale) as integers, dequantize(q) = q * scale.
 *
 * Sums of fixed-point values are exact, so steps made of them can be undone bit for
 * bit. The cotangent of a fixed-point value is a float in the units of the value.
 * fixed_pack, fixed_unpack (fixed_rows.c) do the same with scales that are computed. */
#include <math.h>

#include "base/parallel.h"
#include "graph/emit.h"

extern const gv_op gv_op_quantize, gv_op_dequantize;

enum { CHUNK = 1 << 15 };

struct job {
    const gv_call *call;
    int64_t n;
    double scale;
};

static gv_status infer_quantize(gv_infer *inf)
{
    gv_dtype d = inf->in[0].dtype;
    if (!gv_dtype_is_float(d))
        return gv_fail(GV_ERR_TYPE, "quantize takes float32 or float64, not %s",
                       gv_dtype_name(d));
    if (!(gv_attr_float(inf->attr[0]) > 0))
        return gv_fail(GV_ERR_VALUE, "quantize: scale must be positive");
    inf->out[0] = gv_type_with(&inf->in[0], d == GV_F32 ? GV_Q32 : GV_Q64);
    return GV_OK;
}

static gv_status infer_dequantize(gv_infer *inf)
{
    gv_dtype d = inf->in[0].dtype;
    if (!gv_dtype_is_fixed(d))
        return gv_fail(GV_ERR_TYPE, "dequantize takes q32 or q64, not %s",
                       gv_dtype_name(d));
    inf->out[0] = gv_type_with(&inf->in[0], gv_dtype_cotangent(d));
    return GV_OK;
}

/* Wraps around like the integer sums that follow, so out-of-range is not undefined. */
static int32_t to_int32(double x)
{
    return (int32_t)(uint32_t)(uint64_t)(fabs(x) < 9.0e18 ? (int64_t)x : 0);
}

static void quantize_chunk(void *ctx, int64_t index)
{
    const struct job *j = ctx;
    int64_t from = index * CHUNK, to = from + CHUNK < j->n ? from + CHUNK : j->n;
    double inv = 1.0 / j->scale;
    if (j->call->in_type[0].dtype == GV_F32) {
        const float *x = j->call->in[0];
        int32_t *q = j->call->out[0];
        for (int64_t i = from; i < to; i++) q[i] = to_int32(rint((double)x[i] * inv));
    } else {
        const double *x = j->call->in[0];
        int64_t *q = j->call->out[0];
        for (int64_t i = from; i < to; i++) {
            double r = rint(x[i] * inv);
            q[i] = fabs(r) < 9.2e18 ? (int64_t)r : 0;
        }
    }
}

static void dequantize_chunk(void *ctx, int64_t index)
{
    const struct job *j = ctx;
    int64_t from = index * CHUNK, to = from + CHUNK < j->n ? from + CHUNK : j->n;
    if (j->call->in_type[0].dtype == GV_Q32) {
        const int32_t *q = j->call->in[0];
        float *x = j->call->out[0];
        for (int64_t i = from; i < to; i++) x[i] = (float)(q[i] * j->scale);
    } else {
        const int64_t *q = j->call->in[0];
        double *x = j->call->out[0];
        for (int64_t i = from; i < to; i++) x[i] = (double)q[i] * j->scale;
    }
}

static gv_status forward_fixed(const gv_call *call)
{
    struct job j = { call, gv_shape_size(&call->in_type[0].shape),
                     gv_attr_float(call->attr[0]) };
    gv_parallel_for((j.n + CHUNK - 1) / CHUNK,
                    call->op == &gv_op_quantize ? quantize_chunk : dequantize_chunk,
                    &j);
    return GV_OK;
}

static gv_status pass_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                          gv_val *g_in)
{
    (void)g, (void)node;
    g_in[0] = g_out[0];
    return GV_OK;
}

static gv_status pass_jvp(gv_graph *g, const gv_node *node, const gv_val *d_in,
                          gv_val *d_out)
{
    (void)g, (void)node;
    d_out[0] = d_in[0];
    return GV_OK;
}

const gv_op gv_op_quantize = {
    .name = "quantize",
    .signature = "x -> q",
    .doc = "round(x / scale) as fixed point: int32 for float32, int64 for float64",
    .attrs = "scale:float",
    .samples = "r[3] | scale=0.25; r[7,5] | scale=0.125; r[0] | scale=1.0",
    .infer = infer_quantize,
    .forward = forward_fixed,
    .vjp = pass_vjp,
    .jvp = pass_jvp,
    .nin = 1,
};

const gv_op gv_op_dequantize = {
    .name = "dequantize",
    .signature = "q -> x",
    .doc = "fixed point times scale",
    .attrs = "scale:float",
    .samples = "",
    .infer = infer_dequantize,
    .forward = forward_fixed,
    .vjp = pass_vjp,
    .jvp = pass_jvp,
    .nin = 1,
};
