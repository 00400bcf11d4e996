/* Operators on the modes of a periodic box: noise by mode, and sums over bins of |k|
 * with their transpose. sim/pm/modes.h has the conventions. */
#include "sim/pm/modes.h"

#include <string.h>

#include "ops/ops.h"
#include "ops/rank.h"

/* --- mode_noise ---------------------------------------------------------------------*/

/* attributes: shape (3 and its values) */
static gv_status noise_infer(gv_infer *inf)
{
    const gv_type *t = &inf->in[0];
    const int64_t *slot = inf->attr;
    gv_ints shape = gv_ints_take(&slot);
    char text[96];
    if (t->dtype != GV_I64 || t->shape.ndim < 1 || gv_dim_back(t, 1) != 2)
        return gv_fail(GV_ERR_TYPE, "mode_noise: a key is int64[..., 2], got %s",
                       gv_type_format(t, text, sizeof text));
    if (shape.n != 3)
        return gv_fail(GV_ERR_VALUE, "mode_noise: a shape of 3 axes is needed, got %d",
                       shape.n);
    for (int d = 0; d < 3; d++)
        if (shape.v[d] < 1 || shape.v[d] > GV_PM_NOISE_MAX)
            return gv_fail(GV_ERR_VALUE, "mode_noise: axis %d has length %lld", d,
                           (long long)shape.v[d]);
    int64_t modes[3] = { shape.v[0], shape.v[1], shape.v[2] / 2 + 1 };
    inf->out[0].dtype = GV_C128;
    return gv_shape_replace_core(&t->shape, 1, 3, modes, &inf->out[0].shape);
}

static gv_status noise_forward(const gv_call *call)
{
    int64_t keys = gv_batch_count(call->in_type, 1);
    int64_t each = keys ? gv_shape_size(&call->out_type[0].shape) / keys : 0;
    for (int64_t k = 0; k < keys; k++)
        gv_pm_noise((const int64_t *)call->in[0] + 2 * k, call->attr + 1,
                    (double *)call->out[0] + 2 * k * each);
    return GV_OK;
}

const gv_op gv_op_mode_noise = {
    .name = "mode_noise",
    .signature = "key(2) -> modes(x,y,h)",
    .doc = "Gaussian modes of a real field of the shape, of unit variance, 0 at k = 0; "
           "each a function of the key and its mode numbers.",
    .attrs = "shape:ints",
    .samples = "k[2] | shape=(4,3,6); k[2,2] | shape=(5,4,3); k[2] | shape=(1,1,1); "
               "k[0,2] | shape=(2,2,2); k[2] | shape=(6,8,4)",
    .flags = GV_NODIFF | GV_RANDOM,
    .infer = noise_infer,
    .forward = noise_forward,
    .nin = 1,
};

/* --- mode_sum -----------------------------------------------------------------------*/

static gv_status check_bins(const gv_infer *inf, const gv_pm_bins *b)
{
    for (int d = 0; d < 3; d++) {
        if (b->dim[d] < 1)
            return gv_fail(GV_ERR_VALUE, "%s: axis %d has length %lld", inf->op->name,
                           d, (long long)b->dim[d]);
        if (!(b->box[d] > 0 && b->box[d] < 1e300))
            return gv_fail(GV_ERR_VALUE, "%s: box side %d is %g, not positive",
                           inf->op->name, d, b->box[d]);
    }
    if (b->n < 1)
        return gv_fail(GV_ERR_VALUE, "%s: %lld bins", inf->op->name, (long long)b->n);
    return GV_OK;
}

/* attributes: n, lx, ly, lz, nbins */
static gv_pm_bins sum_bins(const gv_type *t, const int64_t *attr)
{
    gv_pm_bins b = { .dim = { gv_dim_back(t, 3), gv_dim_back(t, 2), attr[0] },
                     .n = attr[4] };
    for (int d = 0; d < 3; d++) b.box[d] = gv_attr_float(attr[1 + d]);
    return b;
}

static gv_status sum_infer(gv_infer *inf)
{
    const gv_type *t = &inf->in[0];
    if (!gv_dtype_is_float(t->dtype))
        return gv_fail(GV_ERR_TYPE, "mode_sum takes float32 or float64, not %s",
                       gv_dtype_name(t->dtype));
    GV_TRY(gv_check_rank(inf, 0, 3));
    gv_pm_bins b = sum_bins(t, inf->attr);
    GV_TRY(check_bins(inf, &b));
    if (b.dim[2] / 2 + 1 != gv_dim_back(t, 1))
        return gv_fail(GV_ERR_VALUE,
                       "mode_sum: %lld real points have %lld modes, the array %lld",
                       (long long)b.dim[2], (long long)b.dim[2] / 2 + 1,
                       (long long)gv_dim_back(t, 1));
    inf->out[0].dtype = GV_F64;
    inf->scratch = gv_pm_bins_scratch(&b);
    return gv_shape_replace_core(&t->shape, 3, 1, &b.n, &inf->out[0].shape);
}

static gv_status sum_forward(const gv_call *call)
{
    const gv_type *t = call->in_type;
    gv_pm_bins b = sum_bins(t, call->attr);
    size_t each =
        (size_t)(b.dim[0] * b.dim[1] * (b.dim[2] / 2 + 1)) * gv_dtype_size(t->dtype);
    for (int64_t k = 0; k < gv_batch_count(t, 3); k++)
        gv_pm_bins_sum(&b, t->dtype, (const char *)call->in[0] + (size_t)k * each,
                       (double *)call->out[0] + k * b.n, call->scratch);
    return GV_OK;
}

static gv_status sum_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                         gv_val *g_in)
{
    const gv_type *t = gv_in_type(g, node, 0);
    const int64_t *a = node->attr;
    int64_t attr[8] = { 3,    gv_dim_back(t, 3), gv_dim_back(t, 2), a[0], a[1], a[2],
                        a[3], t->dtype };
    g_in[0] = gv_emit(g, &gv_op_mode_spread, 1, g_out, 8, attr);
    return GV_OK;
}

const gv_op gv_op_mode_sum = {
    .name = "mode_sum",
    .signature = "a(x,y,h) -> sums(b)",
    .doc = "Sums over bins of |k| (width 2 pi/longest side, centred on its multiples 1 "
           ".. nbins), conjugate pairs counted twice; n real points on the last axis.",
    .attrs = "n:int, lx:float, ly:float, lz:float, nbins:int",
    .samples = "r[6,4,4] | n=6 lx=2.0 ly=2.0 lz=2.0 nbins=3; "
               "r[2,5,4,3] | n=5 lx=3.0 ly=2.0 lz=2.5 nbins=9; "
               "r[1,8,5] | n=8 lx=1.0 ly=0.5 lz=0.5 nbins=4; "
               "r[1,1,2] | n=2 lx=1.0 ly=1.0 lz=1.0 nbins=2; "
               "r[0,2,2,2] | n=2 lx=1.0 ly=1.0 lz=1.0 nbins=2; "
               "r[9,8,7] | n=12 lx=3.0 ly=2.0 lz=1.0 nbins=20",
    .flags = GV_LINEAR,
    .infer = sum_infer,
    .forward = sum_forward,
    .vjp = sum_vjp,
    .nin = 1,
};

/* --- mode_spread --------------------------------------------------------------------*/

/* attributes: shape (3 and its values), lx, ly, lz, dtype */
static gv_pm_bins spread_bins(const gv_type *t, const int64_t *attr)
{
    gv_pm_bins b = { .n = gv_dim_back(t, 1) };
    for (int d = 0; d < 3; d++) {
        b.dim[d] = attr[1 + d];
        b.box[d] = gv_attr_float(attr[4 + d]);
    }
    return b;
}

static gv_status spread_infer(gv_infer *inf)
{
    const gv_type *t = &inf->in[0];
    gv_dtype dtype = (gv_dtype)inf->attr[7];
    if (t->dtype != GV_F64 || !gv_dtype_is_float(dtype))
        return gv_fail(GV_ERR_TYPE,
                       "mode_spread takes float64 to float32 or float64, not %s to %s",
                       gv_dtype_name(t->dtype), gv_dtype_name(dtype));
    GV_TRY(gv_check_rank(inf, 0, 1));
    if (inf->attr[0] != 3)
        return gv_fail(GV_ERR_VALUE, "mode_spread: a shape of 3 axes is needed");
    gv_pm_bins b = spread_bins(t, inf->attr);
    GV_TRY(check_bins(inf, &b));
    int64_t modes[3] = { b.dim[0], b.dim[1], b.dim[2] / 2 + 1 };
    inf->out[0].dtype = dtype;
    return gv_shape_replace_core(&t->shape, 1, 3, modes, &inf->out[0].shape);
}

static gv_status spread_forward(const gv_call *call)
{
    const gv_type *t = call->out_type;
    gv_pm_bins b = spread_bins(call->in_type, call->attr);
    size_t each =
        (size_t)(b.dim[0] * b.dim[1] * (b.dim[2] / 2 + 1)) * gv_dtype_size(t->dtype);
    for (int64_t k = 0; k < gv_batch_count(t, 3); k++)
        gv_pm_bins_spread(&b, (const double *)call->in[0] + k * b.n, t->dtype,
                          (char *)call->out[0] + (size_t)k * each);
    return GV_OK;
}

static gv_status spread_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                            gv_val *g_in)
{
    const int64_t *a = node->attr;
    int64_t attr[5] = { a[3], a[4], a[5], a[6],
                        gv_dim_back(gv_in_type(g, node, 0), 1) };
    g_in[0] = gv_emit(g, &gv_op_mode_sum, 1, g_out, 5, attr);
    return GV_OK;
}

const gv_op gv_op_mode_spread = {
    .name = "mode_spread",
    .signature = "sums(b) -> a(x,y,h)",
    .doc = "The transpose of mode_sum: each mode of a real mesh of the shape takes the "
           "value of its bin of |k|, twice where it stands for a pair; 0 outside.",
    .attrs = "shape:ints, lx:float, ly:float, lz:float, dtype:dtype",
    .samples = "w[3] | shape=(6,4,6) lx=2.0 ly=2.0 lz=2.0 dtype=float64; "
               "w[2,9] | shape=(5,4,5) lx=3.0 ly=2.0 lz=2.5 dtype=float64; "
               "w[4] | shape=(1,8,8) lx=1.0 ly=0.5 lz=0.5 dtype=float32; "
               "w[1] | shape=(3,1,1) lx=1.0 ly=1.0 lz=1.0 dtype=float64; "
               "w[0,3] | shape=(2,2,2) lx=1.0 ly=1.0 lz=1.0 dtype=float64",
    .flags = GV_LINEAR,
    .infer = spread_infer,
    .forward = spread_forward,
    .vjp = spread_vjp,
    .nin = 1,
};
