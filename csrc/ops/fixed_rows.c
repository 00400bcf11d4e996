/* Rows of fixed-point numbers with a quantum of their own each, known only at run time.
 *
 * fixed_pack    q_rn = round(v_rn / step_r), an error where |q| would pass 2^30 (2^62)
 * fixed_unpack  v_rn = q_rn step_r
 * fixed_dot     sum_rn v_rn q_rn step_r in double precision, in a fixed order
 *
 * step has one element for each row, or one for all. The cotangent of a fixed-point
 * value is a float in the units of the value, so cotangents pass through packing and
 * unpacking unchanged; step has none. */
#include <math.h>

#include "base/parallel.h"
#include "ops/elementwise.h"
#include "ops/fixed_rows.h"
#include "ops/rank.h"

enum { CHUNK = 1 << 14, LANES = 8 };

struct rows {
    const gv_call *call;
    int64_t rows, n, chunks, steps; /* rows and steps per batch entry */
    int64_t bad;                    /* lowest element out of range */
    double *part;
};

static struct rows rows_of(const gv_call *call, int step)
{
    const gv_type *t = &call->in_type[0];
    struct rows r = { .call = call, .bad = INT64_MAX };
    r.rows = gv_dim_back(t, 2);
    r.n = gv_dim_back(t, 1);
    r.chunks = (r.n + CHUNK - 1) / CHUNK;
    r.steps = gv_dim_back(&call->in_type[step], 1);
    return r;
}

/* Task `index` is chunk [*from, *to) of the row that begins at *base. */
static double task_of(const struct rows *r, int64_t index, int step, int64_t *base,
                      int64_t *from, int64_t *to)
{
    int64_t row = index / r->chunks, batch = row / r->rows, e = row % r->rows;
    const double *steps = r->call->in[step];
    *base = row * r->n;
    *from = index % r->chunks * CHUNK;
    *to = gv_min_i64(*from + CHUNK, r->n);
    return steps[batch * r->steps + (r->steps > 1 ? e : 0)];
}

static int64_t task_count(const struct rows *r)
{
    return gv_batch_count(&r->call->in_type[0], 2) * r->rows * r->chunks;
}

static gv_status check_rows(gv_infer *inf, int step)
{
    for (int i = 0; i <= step; i++) GV_TRY(gv_check_rank(inf, i, i == step ? 1 : 2));
    if (inf->in[step].dtype != GV_F64)
        return gv_fail(GV_ERR_TYPE, "%s: step is float64, not %s", inf->op->name,
                       gv_dtype_name(inf->in[step].dtype));
    GV_TRY(gv_check_batch(inf, 0, 2, step, 1));
    int64_t k = gv_dim_back(&inf->in[step], 1);
    if (k == 1 || k == gv_dim_back(&inf->in[0], 2)) return GV_OK;
    char text[96];
    return gv_fail(GV_ERR_VALUE, "%s: %lld steps for the rows of %s: give one, or each",
                   inf->op->name, (long long)k,
                   gv_type_format(&inf->in[0], text, sizeof text));
}

gv_val gv_emit_over_rows(gv_graph *g, gv_val s, const gv_type *like)
{
    if (s == GV_NONE || gv_graph_status(g) != GV_OK) return GV_NONE;
    gv_shape full = like->shape, thin = full;
    thin.dim[thin.ndim - 1] = thin.dim[thin.ndim - 2] = 1;
    s = gv_emit_cast(g, s, gv_dtype_cotangent(like->dtype));
    return gv_emit_broadcast(g, gv_emit_reshape(g, s, &thin), &full);
}

/* --- packing ----------------------------------------------------------------------- */
static gv_status infer_pack(gv_infer *inf)
{
    gv_dtype d = inf->in[0].dtype;
    if (!gv_dtype_is_float(d))
        return gv_fail(GV_ERR_TYPE, "fixed_pack takes float32 or float64, not %s",
                       gv_dtype_name(d));
    GV_TRY(check_rows(inf, 1));
    inf->out[0] = gv_type_with(&inf->in[0], d == GV_F32 ? GV_Q32 : GV_Q64);
    return GV_OK;
}

static void note_bad(struct rows *r, int64_t at)
{
    int64_t known = __atomic_load_n(&r->bad, __ATOMIC_RELAXED);
    while (at < known &&
           !__atomic_compare_exchange_n(&r->bad, &known, at, true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {}
}

static void pack_chunk(void *ctx, int64_t index)
{
    struct rows *r = ctx;
    int64_t base, from, to;
    double inv = 1.0 / task_of(r, index, 1, &base, &from, &to);
    if (r->call->in_type[0].dtype == GV_F32) {
        const float *v = (const float *)r->call->in[0] + base;
        int32_t *q = (int32_t *)r->call->out[0] + base;
        for (int64_t i = from; i < to; i++) {
            double y = rint((double)v[i] * inv);
            bool fits = fabs(y) <= 0x1p30;
            q[i] = (int32_t)(fits ? y : 0.0);
            if (!fits) note_bad(r, base + i);
        }
    } else {
        const double *v = (const double *)r->call->in[0] + base;
        int64_t *q = (int64_t *)r->call->out[0] + base;
        for (int64_t i = from; i < to; i++) {
            double y = rint(v[i] * inv);
            bool fits = fabs(y) <= 0x1p62;
            q[i] = (int64_t)(fits ? y : 0.0);
            if (!fits) note_bad(r, base + i);
        }
    }
}

static gv_status forward_pack(const gv_call *call)
{
    struct rows r = rows_of(call, 1);
    const double *step = call->in[1];
    int64_t n_step = gv_shape_size(&call->in_type[1].shape);
    for (int64_t i = 0; i < n_step; i++)
        if (!(step[i] > 0) || !isfinite(step[i]))
            return gv_fail(GV_ERR_VALUE, "fixed_pack: step %lld is %g; it must be > 0",
                           (long long)i, step[i]);
    gv_parallel_for(task_count(&r), pack_chunk, &r);
    if (r.bad == INT64_MAX) return GV_OK;
    bool single = call->in_type[0].dtype == GV_F32;
    double v = single ? (double)((const float *)call->in[0])[r.bad]
                      : ((const double *)call->in[0])[r.bad];
    return gv_fail(GV_ERR_VALUE,
                   "fixed_pack: value %g of row %lld, column %lld lies outside the "
                   "range of 2^%d steps; take larger steps",
                   v, (long long)(r.bad / r.n % r.rows), (long long)(r.bad % r.n),
                   single ? 30 : 62);
}

static gv_status pass_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                          gv_val *g_in)
{
    (void)g, (void)node;
    g_in[0] = g_out[0] /* step: none */;
    g_in[1] = GV_NONE;
    return GV_OK;
}

static gv_status pass_jvp(gv_graph *g, const gv_node *node, const gv_val *d_in,
                          gv_val *d_out)
{
    (void)g, (void)node;
    d_out[0] = d_in[0];
    return GV_OK;
}

const gv_op gv_op_fixed_pack = {
    .name = "fixed_pack",
    .signature = "v(r,n), step(k) -> q(r,n)",
    .doc =
        "round(v / step) as fixed point, step one or one a row; out of range: error.",
    .attrs = "",
    .samples = "r[3,5] h[3]{0.5,1,2}; r[3,70] h[1]{3}; r[1,1] h[1]{1}; r[2,0] h[1]{1}",
    .infer = infer_pack,
    .forward = forward_pack,
    .vjp = pass_vjp,
    .jvp = pass_jvp,
    .nin = 2,
};

/* --- unpacking --------------------------------------------------------------------- */
static gv_status infer_unpack(gv_infer *inf)
{
    gv_dtype d = inf->in[0].dtype;
    if (!gv_dtype_is_fixed(d))
        return gv_fail(GV_ERR_TYPE, "fixed_unpack takes q32 or q64, not %s",
                       gv_dtype_name(d));
    GV_TRY(check_rows(inf, 1));
    inf->out[0] = gv_type_with(&inf->in[0], gv_dtype_cotangent(d));
    return GV_OK;
}

static void unpack_chunk(void *ctx, int64_t index)
{
    const struct rows *r = ctx;
    int64_t base, from, to;
    double step = task_of(r, index, 1, &base, &from, &to);
    if (r->call->in_type[0].dtype == GV_Q32) {
        const int32_t *q = (const int32_t *)r->call->in[0] + base;
        float *v = (float *)r->call->out[0] + base;
        for (int64_t i = from; i < to; i++) v[i] = (float)(q[i] * step);
    } else {
        const int64_t *q = (const int64_t *)r->call->in[0] + base;
        double *v = (double *)r->call->out[0] + base;
        for (int64_t i = from; i < to; i++) v[i] = (double)q[i] * step;
    }
}

static gv_status forward_unpack(const gv_call *call)
{
    struct rows r = rows_of(call, 1);
    gv_parallel_for(task_count(&r), unpack_chunk, &r);
    return GV_OK;
}

const gv_op gv_op_fixed_unpack = {
    .name = "fixed_unpack",
    .signature = "q(r,n), step(k) -> v(r,n)",
    .doc = "Fixed point times its step, one or one a row.",
    .attrs = "",
    .samples = "f[3,5] h[3]{0.5,1,2}; f[3,70] h[1]{3}; f[1,1] h[1]{1}; f[2,0] h[1]{1}",
    .infer = infer_unpack,
    .forward = forward_unpack,
    .vjp = pass_vjp,
    .jvp = pass_jvp,
    .nin = 2,
};

/* --- inner product ----------------------------------------------------------------- */
static gv_status infer_dot(gv_infer *inf)
{
    gv_dtype v = inf->in[0].dtype, q = inf->in[1].dtype;
    if (!gv_dtype_is_fixed(q) || gv_dtype_cotangent(q) != v)
        return gv_fail(GV_ERR_TYPE,
                       "fixed_dot takes float32 with q32 or float64 with q64, not %s "
                       "with %s",
                       gv_dtype_name(v), gv_dtype_name(q));
    GV_TRY(check_rows(inf, 2));
    GV_TRY(gv_check_batch(inf, 0, 2, 1, 2));
    for (int k = 1; k <= 2; k++)
        if (gv_dim_back(&inf->in[0], k) != gv_dim_back(&inf->in[1], k))
            return gv_fail(GV_ERR_VALUE, "fixed_dot: v and q differ in shape");
    int64_t n = gv_dim_back(&inf->in[0], 1), lines = gv_batch_count(&inf->in[0], 1);
    inf->scratch = (size_t)(lines * ((n + CHUNK - 1) / CHUNK) + 1) * sizeof(double);
    inf->out[0] = (gv_type){ .dtype = GV_F64, .shape = inf->in[0].shape };
    inf->out[0].shape.ndim -= 2;
    return GV_OK;
}

/* Sums of LANES interleaved parts, so that they vectorise in a fixed order. */
#define DOT(V, Q)                                                  \
    do {                                                           \
        const V *v = (const V *)call->in[0] + base;                \
        const Q *q = (const Q *)call->in[1] + base;                \
        int64_t i = from;                                          \
        for (; i + LANES <= to; i += LANES)                        \
            for (int k = 0; k < LANES; k++)                        \
                sum[k] += (double)v[i + k] * (double)q[i + k];     \
        for (; i < to; i++) sum[0] += (double)v[i] * (double)q[i]; \
    } while (0)

static void dot_chunk(void *ctx, int64_t index)
{
    const struct rows *r = ctx;
    const gv_call *call = r->call;
    int64_t base, from, to;
    double step = task_of(r, index, 2, &base, &from, &to), sum[LANES] = { 0 };
    if (call->in_type[0].dtype == GV_F32)
        DOT(float, int32_t);
    else
        DOT(double, int64_t);
    for (int k = 1; k < LANES; k++) sum[0] += sum[k];
    r->part[index] = sum[0] * step;
}

static gv_status forward_dot(const gv_call *call)
{
    struct rows r = rows_of(call, 2);
    double *out = call->out[0];
    int64_t batch = gv_batch_count(&call->in_type[0], 2), per = r.rows * r.chunks;
    r.part = call->scratch;
    gv_parallel_for(batch * per, dot_chunk, &r);
    for (int64_t b = 0; b < batch; b++) {
        double sum = 0.0;
        for (int64_t i = 0; i < per; i++) sum += r.part[b * per + i];
        out[b] = sum;
    }
    return GV_OK;
}

static gv_status vjp_dot(gv_graph *g, const gv_node *node, const gv_val *g_out,
                         gv_val *g_in)
{
    gv_val v = node->in[0], q = node->in[1], step = node->in[2];
    gv_val w = gv_emit_over_rows(g, g_out[0], gv_in_type(g, node, 0));
    if (gv_wanted(g_in[0])) g_in[0] = E2(mul, w, E2(fixed_unpack, q, step));
    if (gv_wanted(g_in[1])) g_in[1] = E2(mul, w, v);
    g_in[2] = GV_NONE;
    return GV_OK;
}

static gv_status jvp_dot(gv_graph *g, const gv_node *node, const gv_val *d_in,
                         gv_val *d_out)
{
    gv_val a = GV_NONE, b = GV_NONE;
    if (d_in[0] != GV_NONE) a = E3(fixed_dot, d_in[0], node->in[1], node->in[2]);
    if (d_in[1] != GV_NONE) {
        int64_t axes[3] = { 2, -2, -1 };
        gv_val p = E2(mul, node->in[0], d_in[1]);
        b = gv_emit_cast(g, gv_emit(g, &gv_op_reduce_sum, 1, &p, 3, axes), GV_F64);
    }
    d_out[0] = gv_emit_sum2(g, a, b);
    return GV_OK;
}

const gv_op gv_op_fixed_dot = {
    .name = "fixed_dot",
    .signature = "v(r,n), q(r,n), step(k) -> s()",
    .doc = "Sum of v q step in double precision, step one or one a row.",
    .attrs = "",
    .samples = "r[3,5] f[3,5] h[3]{0.5,1,2}; r[2,70] f[2,70] h[1]{3}; "
               "r[1,1] f[1,1] h[1]{1}; r[2,0] f[2,0] h[1]{1}",
    .infer = infer_dot,
    .forward = forward_dot,
    .vjp = vjp_dot,
    .jvp = jvp_dot,
    .nin = 3,
};
