/* pm_drift: fixed-point particles move on along their momenta, exactly undoable.
 *
 *   x'_e = x_e + sign round(p_e unit_1 d / (cell_e unit_0)),   e = 0, 1, 2
 *
 * x is the displacement from the lattice in quanta of unit_0 mesh cells (sim/pm/pm.h), p
 * the momentum in quanta of unit_1 Mpc/h, d the drift factor, cell = box / mesh in Mpc/h.
 * The increment depends on p alone, so sign -1 takes back what sign +1 did, bit for bit.
 * A displacement beyond 2^30 (2^62) quanta is an error. In physical units (Mpc/h) and
 * apart from the rounding, x' = x + sign d p:
 *
 *   g_x = g',  g_p = sign d g',  g_d = sign sum g' p,  d_x' = d_x + sign (d d_p + p d_d) */
#include <math.h>

#include "base/parallel.h"
#include "ops/elementwise.h"
#include "ops/fixed_rows.h"
#include "ops/rank.h"

enum { LATTICE = 1, MESH = 5, BOX = 8, SIGN = 11, N_ATTR = 12 };
enum { CHUNK = 1 << 15, BLOCK = 512, LANES = 8 };

static gv_status infer_drift(gv_infer *inf)
{
    const gv_type *x = &inf->in[0];
    gv_dtype d = x->dtype;
    if (!gv_dtype_is_fixed(d) || inf->in[1].dtype != d || inf->in[2].dtype != GV_F64 ||
        inf->in[3].dtype != GV_F64)
        return gv_fail(GV_ERR_TYPE,
                       "pm_drift takes positions and momenta that are both q32 or both "
                       "q64, unit and d in float64; not %s, %s, %s, %s",
                       gv_dtype_name(d), gv_dtype_name(inf->in[1].dtype),
                       gv_dtype_name(inf->in[2].dtype),
                       gv_dtype_name(inf->in[3].dtype));
    const int64_t *a = inf->attr;
    if (inf->nattr != N_ATTR || a[0] != 3 || a[4] != 3)
        return gv_fail(GV_ERR_VALUE, "pm_drift: lattice and mesh have three axes");
    GV_TRY(gv_check_rank(inf, 0, 2));
    GV_TRY(gv_check_rank(inf, 2, 1));
    GV_TRY(gv_check_batch(inf, 0, 2, 1, 2));
    GV_TRY(gv_check_batch(inf, 0, 2, 2, 1));
    GV_TRY(gv_check_batch(inf, 0, 2, 3, 0));
    int64_t n = a[LATTICE] * a[LATTICE + 1] * a[LATTICE + 2];
    bool fits = gv_dim_back(&inf->in[2], 1) == 2;
    for (int i = 0; i < 2; i++)
        fits = fits && gv_dim_back(&inf->in[i], 2) == 3 &&
            gv_dim_back(&inf->in[i], 1) == n;
    char one[96], two[96];
    if (!fits)
        return gv_fail(GV_ERR_VALUE,
                       "pm_drift: positions %s and momenta %s of %lld particles on the "
                       "lattice have shape (3, %lld), unit has shape (2)",
                       gv_type_format(x, one, sizeof one),
                       gv_type_format(&inf->in[1], two, sizeof two), (long long)n,
                       (long long)n);
    for (int e = 0; e < 3; e++)
        if (a[MESH + e] < 1 || !(gv_attr_float(a[BOX + e]) > 0))
            return gv_fail(GV_ERR_VALUE, "pm_drift: mesh and box are positive");
    if (a[SIGN] != 1 && a[SIGN] != -1)
        return gv_fail(GV_ERR_VALUE, "pm_drift: sign is 1 or -1, not %lld",
                       (long long)a[SIGN]);
    inf->out[0] = *x;
    return GV_OK;
}

struct drift {
    const gv_call *call;
    int64_t n, chunks;

    int64_t bad; /* lowest element of x' out of range */
};

/* Momentum quanta to position quanta along axis e of batch entry b, with the sign. */
static double factor(const gv_call *call, int64_t b, int e)
{
    const double *unit = (const double *)call->in[2] + 2 * b;
    double d = ((const double *)call->in[3])[b];
    double cell = gv_attr_float(call->attr[BOX + e]) / (double)call->attr[MESH + e];
    return unit[1] * d / (cell * unit[0]);
}

static void note_bad(struct drift *j, int64_t at)
{
    int64_t known = __atomic_load_n(&j->bad, __ATOMIC_RELAXED);
    while (at < known &&
           !__atomic_compare_exchange_n(&j->bad, &known, at, true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {}
}

/* Index of the first of y(m) beyond the range, m when there is none. */
static int64_t first_beyond(const double *y, int64_t m, double range)
{
    double top[LANES] = { 0 };
    int64_t i = 0;
    for (; i + LANES <= m; i += LANES)
        for (int k = 0; k < LANES; k++) {
            double a = fabs(y[i + k]);
            top[k] = a > top[k] ? a : top[k];
        }
    bool good = true;
    for (; i < m; i++) good = good && fabs(y[i]) <= range;
    for (int k = 0; k < LANES; k++) good = good && top[k] <= range;
    if (good) return m;
    for (i = 0; i < m && fabs(y[i]) <= range;) i++;
    return i;
}

/* x + round(f p) of q32: exact in double precision. */
static int64_t block_q32(int64_t m, const int32_t *x, const int32_t *p, double f,
                         double sign, int32_t *out)
{
    double y[BLOCK];
    for (int64_t i = 0; i < m; i++) y[i] = (double)x[i] + sign * rint((double)p[i] * f);
    int64_t good = first_beyond(y, m, 0x1p30);
    for (int64_t i = 0; i < good; i++) out[i] = (int32_t)y[i];
    return good;
}

static int64_t block_q64(int64_t m, const int64_t *x, const int64_t *p, double f,
                         double sign, int64_t *out)
{
    const int64_t range = INT64_C(1) << 62;
    for (int64_t i = 0; i < m; i++) {
        double r = sign * rint((double)p[i] * f);
        int64_t y;
        if (!(fabs(r) <= 0x1p62) || __builtin_add_overflow(x[i], (int64_t)r, &y) ||
            y > range || y < -range)
            return i;
        out[i] = y;
    }
    return m;
}

static void drift_chunk(void *ctx, int64_t index)
{
    struct drift *j = ctx;
    const gv_call *call = j->call;
    int64_t row = index / j->chunks, from = index % j->chunks * CHUNK;
    int64_t to = gv_min_i64(from + CHUNK, j->n);
    double f = factor(call, row / 3, (int)(row % 3)), sign = (double)call->attr[SIGN];
    for (int64_t at = from; at < to; at += BLOCK) {
        int64_t i = row * j->n + at, m = gv_min_i64(BLOCK, to - at);
        int64_t good = call->in_type[0].dtype == GV_Q32
            ? block_q32(m, (const int32_t *)call->in[0] + i,
                        (const int32_t *)call->in[1] + i, f, sign,
                        (int32_t *)call->out[0] + i)
            : block_q64(m, (const int64_t *)call->in[0] + i,
                        (const int64_t *)call->in[1] + i, f, sign,
                        (int64_t *)call->out[0] + i);
        if (good == m) continue;
        note_bad(j, i + good);
        return;
    }
}

static gv_status forward_drift(const gv_call *call)
{
    struct drift j = { .call = call, .n = gv_dim_back(&call->in_type[0], 1) };
    int64_t rows = gv_batch_count(&call->in_type[0], 1);
    j.chunks = (j.n + CHUNK - 1) / CHUNK;
    j.bad = INT64_MAX;
    const double *unit = call->in[2], *d = call->in[3];
    for (int64_t b = 0; b < rows / 3; b++)
        if (!(unit[2 * b] > 0 && unit[2 * b + 1] > 0) || !isfinite(unit[2 * b]) ||
            !isfinite(unit[2 * b + 1]) || !isfinite(d[b]))
            return gv_fail(GV_ERR_VALUE,
                           "pm_drift: unit = (%g, %g) and d = %g must be finite, unit "
                           "positive",
                           unit[2 * b], unit[2 * b + 1], d[b]);
    gv_parallel_for(rows * j.chunks, drift_chunk, &j);
    if (j.bad == INT64_MAX) return GV_OK;
    int64_t at = j.bad / j.n;
    return gv_fail(
        GV_ERR_VALUE,
        "pm_drift: particle %lld leaves the range of displacements along axis "
        "%d, %g mesh cells; take a larger quantum, or shorter steps",
        (long long)(j.bad % j.n), (int)(at % 3),
        unit[2 * (at / 3)] * (call->in_type[0].dtype == GV_Q32 ? 0x1p30 : 0x1p62));
}

static gv_val momentum_unit(gv_graph *g, gv_val unit)
{
    static const int64_t attr[6] = { 1, 1, 1, 1, 1, 1 };
    return gv_emit(g, &gv_op_slice, 1, &unit, 6, attr);
}

static gv_status vjp_drift(gv_graph *g, const gv_node *node, const gv_val *g_out,
                           gv_val *g_in)
{
    gv_val p = node->in[1], d = node->in[3];
    double sign = (double)node->attr[SIGN];
    const gv_type *t = gv_in_type(g, node, 0);
    if (gv_wanted(g_in[0])) g_in[0] = g_out[0];
    if (gv_wanted(g_in[1]))
        g_in[1] = E2(mul, g_out[0], gv_emit_over_rows(g, gv_emit_scale(g, d, sign), t));
    g_in[2] = GV_NONE;
    if (gv_wanted(g_in[3])) {
        gv_val dot = E3(fixed_dot, g_out[0], p, momentum_unit(g, node->in[2]));
        g_in[3] = gv_emit_scale(g, dot, sign);
    }
    return GV_OK;
}

static gv_status jvp_drift(gv_graph *g, const gv_node *node, const gv_val *d_in,
                           gv_val *d_out)
{
    double sign = (double)node->attr[SIGN];
    const gv_type *t = gv_in_type(g, node, 0);
    gv_val sum = d_in[0];
    if (d_in[1] != GV_NONE) {
        gv_val d = gv_emit_over_rows(g, gv_emit_scale(g, node->in[3], sign), t);
        sum = gv_emit_sum2(g, sum, E2(mul, d_in[1], d));
    }
    if (d_in[3] != GV_NONE) {
        gv_val d = gv_emit_over_rows(g, gv_emit_scale(g, d_in[3], sign), t);
        gv_val p = E2(fixed_unpack, node->in[1], momentum_unit(g, node->in[2]));
        sum = gv_emit_sum2(g, sum, E2(mul, p, d));
    }
    d_out[0] = sum;
    return GV_OK;
}

#define HERE "lattice=(2,3,2) mesh=(4,3,2) lx=8.0 ly=7.5 lz=4.0 "
const gv_op gv_op_pm_drift = {
    .name = "pm_drift",
    .signature = "x(3,n), p(3,n), unit(2), d() -> x1(3,n)",
    .doc = "Fixed-point positions moved by sign d p (Mpc/h), rounded; sign undoes.",
    .attrs = "lattice:ints, mesh:ints, lx:float, ly:float, lz:float, sign:int",
    .samples = "f[3,12] f[3,12] h[2]{1,0.7} w[]{0.5,2} | " HERE "sign=1; "
               "f[3,12] f[3,12] h[2]{0.5,2} w[]{-2,-1} | " HERE "sign=-1; "
               "f[3,1] f[3,1] h[2]{1,1} w[] | lattice=(1,1,1) mesh=(1,1,1) lx=1.0 "
               "ly=1.0 lz=1.0 sign=1; "
               "f[3,0] f[3,0] h[2]{1,1} w[] | lattice=(0,1,1) mesh=(1,1,1) lx=1.0 "
               "ly=1.0 lz=1.0 sign=1",
    .flags = GV_INPLACE | GV_UNDO,
    .infer = infer_drift,
    .forward = forward_drift,
    .vjp = vjp_drift,
    .jvp = jvp_drift,
    .nin = 4,
};
