/* Symbols applied in Fourier space: to a real mesh in one sweep (pm_convolve), to a half
 * spectrum (spectral), and the cotangents of their tables. Lengths Mpc/h, k in h/Mpc;
 * sim/pm/spectrum.h says what the symbol is.
 *
 * pm_convolve's symbol is real and even, so it is its own adjoint; the adjoint of
 * spectral has the conjugate symbol, which is the same one with scale times
 * (-1)^(dx + dy + dz). Both are linear in the table too, with the transposes
 * pm_convolve_table and spectral_table, whose own derivatives lead back here. */
#include "sim/pm/spectrum.h"

#include <math.h>
#include <string.h>

#include "ops/ops.h"
#include "ops/rank.h"

/* Slots of the attributes. */
enum { CONVOLVE_INV = 3, CONVOLVE_LNK0 = 5, CONVOLVE_AXIS = 7 };
enum { SPECTRAL_BOX = 1, SPECTRAL_INV = 7, SPECTRAL_LNK0 = 10, SPECTRAL_SCALE = 12 };
enum { CONVOLVE_NODES = 10, CONVOLVE_N = 10 };
enum { SPECTRAL_NODES = 13, SPECTRAL_N = 13 };

static void take_convolve(const int64_t *a, gv_pm_symbol *s)
{
    for (int k = 0; k < 3; k++) s->box[k] = gv_attr_float(a[k]);
    s->inverse = (int)a[CONVOLVE_INV];
    s->laplace = a[CONVOLVE_INV + 1] != 0;
    s->lnk0 = gv_attr_float(a[CONVOLVE_LNK0]);
    s->dlnk = gv_attr_float(a[CONVOLVE_LNK0 + 1]);
    s->axis = gv_attr_float(a[CONVOLVE_AXIS]);
    s->cross = gv_attr_float(a[CONVOLVE_AXIS + 1]);
    s->ratio = gv_attr_float(a[CONVOLVE_AXIS + 2]);
    s->scale = 1.0 / (double)(s->dim[0] * s->dim[1] * s->dim[2]);
}

static void take_spectral(const int64_t *a, gv_pm_symbol *s)
{
    for (int k = 0; k < 3; k++) {
        s->box[k] = gv_attr_float(a[SPECTRAL_BOX + k]);
        s->order[k] = (int)a[SPECTRAL_BOX + 3 + k];
    }
    s->inverse = (int)a[SPECTRAL_INV];
    s->stencil = a[SPECTRAL_INV + 1] != 0;
    s->laplace = a[SPECTRAL_INV + 2] != 0;
    s->lnk0 = gv_attr_float(a[SPECTRAL_LNK0]);
    s->dlnk = gv_attr_float(a[SPECTRAL_LNK0 + 1]);
    s->scale = gv_attr_float(a[SPECTRAL_SCALE]);
}

/* The symbol that an op on input 0 asks for; nodes are set by the caller. */
static gv_pm_symbol symbol_of(bool convolve, const gv_type *t, const int64_t *attr)
{
    gv_pm_symbol s = { .real = gv_dtype_real(t->dtype) };
    memcpy(s.dim, t->shape.dim + t->shape.ndim - 3, sizeof s.dim);
    if (!convolve) s.dim[2] = attr[0];
    if (convolve)
        take_convolve(attr, &s);
    else
        take_spectral(attr, &s);
    return s;
}

/* --- checks -------------------------------------------------------------------------*/

static gv_status check_dtype(const gv_infer *inf, int i, bool convolve)
{
    gv_dtype d = inf->in[i].dtype;
    if (convolve ? gv_dtype_is_float(d) : gv_dtype_is_complex(d)) return GV_OK;
    return gv_fail(GV_ERR_TYPE, "%s takes %s, not %s", inf->op->name,
                   convolve ? "float32 or float64 meshes"
                            : "complex64 or complex128 half spectra",
                   gv_dtype_name(d));
}

static gv_status check_settings(const gv_infer *inf, const gv_pm_symbol *s)
{
    const char *who = inf->op->name;
    for (int k = 0; k < 3; k++) {
        if (s->dim[k] < 1)
            return gv_fail(GV_ERR_VALUE, "%s: an axis of the mesh has length 0", who);
        if (!(s->box[k] > 0 && s->box[k] < 1e300))
            return gv_fail(GV_ERR_VALUE, "%s: box side %d is %g, not positive", who, k,
                           s->box[k]);
        if (s->order[k] < 0 || s->order[k] > 2)
            return gv_fail(GV_ERR_VALUE, "%s: derivative order %d is not 0, 1 or 2",
                           who, s->order[k]);
    }
    if (s->inverse < 0 || s->inverse > GV_PM_INVERSE_MAX)
        return gv_fail(GV_ERR_VALUE, "%s: inv is %d, not 0 to %d", who, s->inverse,
                       GV_PM_INVERSE_MAX);
    return GV_OK;
}

static gv_status check_nodes(const gv_infer *inf, int64_t nodes, const gv_pm_symbol *s)
{
    if (nodes < GV_PM_NODES_MIN)
        return gv_fail(GV_ERR_VALUE,
                       "%s: a table of %lld nodes; at least %d are needed",
                       inf->op->name, (long long)nodes, GV_PM_NODES_MIN);
    if (!(s->dlnk > 0) || !isfinite(s->dlnk) || !isfinite(1 / s->dlnk) ||
        !isfinite(s->lnk0))
        return gv_fail(GV_ERR_VALUE,
                       "%s: the table begins at lnk0 = %g and its nodes are dlnk = %g "
                       "apart; both must be finite and dlnk positive",
                       inf->op->name, s->lnk0, s->dlnk);
    return GV_OK;
}

/* Input 0 and the symbol. */
static gv_status check_field(const gv_infer *inf, bool convolve, gv_pm_symbol *s)
{
    GV_TRY(check_dtype(inf, 0, convolve));
    GV_TRY(gv_check_rank(inf, 0, 3));
    *s = symbol_of(convolve, &inf->in[0], inf->attr);
    GV_TRY(check_settings(inf, s));
    if (!convolve && s->dim[2] / 2 + 1 != gv_dim_back(&inf->in[0], 1))
        return gv_fail(GV_ERR_VALUE,
                       "%s: a real axis of %lld points has %lld modes, the array %lld",
                       inf->op->name, (long long)s->dim[2],
                       (long long)s->dim[2] / 2 + 1,
                       (long long)gv_dim_back(&inf->in[0], 1));
    return GV_OK;
}

/* --- pm_convolve, spectral ----------------------------------------------------------*/

static bool is_convolve(const gv_op *op) { return op->aux == 0; }

static gv_status field_infer(gv_infer *inf)
{
    gv_pm_symbol s;
    if (inf->nin < 1 || inf->nin > 2)
        return gv_fail(GV_ERR_VALUE, "%s takes a field and perhaps a table, got %d",
                       inf->op->name, inf->nin);
    bool convolve = is_convolve(inf->op);
    GV_TRY(check_field(inf, convolve, &s));
    if (inf->nin == 2) {
        if (inf->in[1].dtype != GV_F64)
            return gv_fail(GV_ERR_TYPE, "%s: the table is %s, float64 is needed",
                           inf->op->name, gv_dtype_name(inf->in[1].dtype));
        GV_TRY(gv_check_rank(inf, 1, 1));
        GV_TRY(gv_check_batch(inf, 0, 3, 1, 1));
        GV_TRY(check_nodes(inf, gv_dim_back(&inf->in[1], 1), &s));
    }
    inf->out[0] = inf->in[0];
    inf->scratch = gv_pm_symbol_scratch(s.dim);
    if (convolve) inf->scratch += 64 + gv_fft_convolve_scratch(s.real, s.dim);
    return GV_OK;
}

typedef struct convolve_context {
    const gv_pm_symbol *s;
    const double *nodes;
} convolve_context;

static void fill_symbol(const void *ctx, const gv_fft_modes *at, void *factor)
{
    const convolve_context *c = ctx;
    gv_pm_symbol_fill(c->s, c->nodes, at, factor);
}

/* The next 64-byte boundary after the tables of the symbol. */
static char *after_tables(const gv_call *call, const gv_pm_symbol *s)
{
    size_t size = (gv_pm_symbol_scratch(s->dim) + 63) & ~(size_t)63;
    return (char *)call->scratch + size;
}

static gv_status field_forward(const gv_call *call)
{
    const gv_type *t = call->in_type;
    bool convolve = is_convolve(call->op);
    gv_pm_symbol s = symbol_of(convolve, t, call->attr);
    int64_t entries = gv_batch_count(t, 3);
    const double *table = call->nin == 2 ? call->in[1] : NULL;
    if (call->nin == 2) s.nodes = gv_dim_back(call->in_type + 1, 1);
    int64_t each = s.dim[0] * s.dim[1] * gv_dim_back(t, 1);
    gv_pm_symbol_prepare(&s, call->scratch);
    for (int64_t b = 0; b < entries; b++) {
        size_t at = (size_t)(b * each) * gv_dtype_size(t->dtype);
        const char *in = (const char *)call->in[0] + at;
        char *out = (char *)call->out[0] + at;
        convolve_context c = { &s, table == NULL ? NULL : table + b * s.nodes };
        if (convolve)
            GV_TRY(gv_fft_convolve(s.real, s.dim, in, out, after_tables(call, &s),
                                   fill_symbol, &c));
        else
            gv_pm_symbol_apply(&s, c.nodes, in, out);
    }
    return GV_OK;
}

/* The node's attributes, with scale turned to that of the adjoint, and nodes behind. */
static int adjoint_attr(const gv_node *node, bool convolve, bool conjugate,
                        int64_t nodes, int64_t attr[SPECTRAL_N + 1])
{
    int n = convolve ? CONVOLVE_N : SPECTRAL_N;
    memcpy(attr, node->attr, (size_t)n * sizeof *attr);
    if (!convolve && conjugate) {
        int64_t order =
            attr[SPECTRAL_BOX + 3] + attr[SPECTRAL_BOX + 4] + attr[SPECTRAL_BOX + 5];
        double scale = gv_attr_float(attr[SPECTRAL_SCALE]);
        attr[SPECTRAL_SCALE] = gv_attr_from_float(order % 2 ? -scale : scale);
    }
    attr[n] = nodes;
    return n;
}

static gv_val emit_field(gv_graph *g, const gv_node *node, bool conjugate, gv_val field,
                         gv_val table)
{
    bool convolve = node->op->aux % 2 == 0;
    int64_t attr[SPECTRAL_N + 1];
    int n = adjoint_attr(node, convolve, conjugate, 0, attr);
    gv_val in[2] = { field, table };
    if (field == GV_NONE) return GV_NONE;
    return gv_emit(g, convolve ? &gv_op_pm_convolve : &gv_op_spectral,
                   table == GV_NONE ? 1 : 2, in, n, attr);
}

static gv_val emit_table(gv_graph *g, const gv_node *node, gv_val f, gv_val w,
                         int64_t nodes)
{
    bool convolve = node->op->aux % 2 == 0;
    int64_t attr[SPECTRAL_N + 1];
    int n = adjoint_attr(node, convolve, false, nodes, attr);
    gv_val in[2] = { f, w };
    return gv_emit(g, convolve ? &gv_op_pm_convolve_table : &gv_op_spectral_table, 2,
                   in, n + 1, attr);
}

static gv_status field_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                           gv_val *g_in)
{
    gv_val table = node->nin == 2 ? node->in[1] : GV_NONE;
    if (g_in[0] != GV_NONE) g_in[0] = emit_field(g, node, true, g_out[0], table);
    if (node->nin == 2 && g_in[1] != GV_NONE)
        g_in[1] = emit_table(g, node, node->in[0], g_out[0],
                             gv_dim_back(gv_in_type(g, node, 1), 1));
    return GV_OK;
}

static gv_status field_jvp(gv_graph *g, const gv_node *node, const gv_val *d_in,
                           gv_val *d_out)
{
    gv_val table = node->nin == 2 ? node->in[1] : GV_NONE;
    d_out[0] = emit_field(g, node, false, d_in[0], table);
    if (node->nin == 2 && d_in[1] != GV_NONE)
        d_out[0] =
            gv_emit_sum2(g, d_out[0], emit_field(g, node, false, node->in[0], d_in[1]));
    return GV_OK;
}

const gv_op gv_op_pm_convolve = {
    .name = "pm_convolve",
    .signature = "mesh(x,y,z), table(t)? -> mesh(x,y,z)",
    .doc = "Mode k of a mesh times table(ln k) (if given) times (-1/k^2)^inv, 0 at k = "
           "0 then; "
           "laplace 1: k^2 of the three-point difference; axis, cross, ratio: restores "
           "what clouds take from long waves. h/Mpc.",
    .attrs = "lx:float, ly:float, lz:float, inv:int, laplace:int, lnk0:float, "
             "dlnk:float, axis:float, cross:float, ratio:float",
    .samples = "r[8,4,6] w[5] | lx=2.0 ly=3.0 lz=2.5 inv=1 laplace=0 lnk0=0.5 dlnk=0.6 "
               "axis=0.5 cross=1.5 ratio=2.0; "
               "r[4,6,5] | lx=2.0 ly=3.0 lz=2.5 inv=1 laplace=0 lnk0=0.0 dlnk=0.0 "
               "axis=0.5 cross=1.5 ratio=2.0; "
               "r[2,5,3,7] w[2,4] | lx=9.0 ly=3.0 lz=4.0 inv=0 laplace=1 lnk0=0.1 "
               "dlnk=0.3 axis=0.0 cross=0.0 ratio=1.0; "
               "r[4,2,8] | lx=2.0 ly=2.0 lz=2.0 inv=2 laplace=1 lnk0=0.0 dlnk=0.0 "
               "axis=0.5 cross=1.5 ratio=2.0; "
               "r[1,1,1] | lx=1.0 ly=1.0 lz=1.0 inv=0 laplace=0 lnk0=0.0 dlnk=0.0 "
               "axis=0.0 cross=0.0 ratio=1.0; "
               "r[0,4,4,4] | lx=1.0 ly=1.0 lz=1.0 inv=1 laplace=0 lnk0=0.0 dlnk=0.0 "
               "axis=0.0 cross=0.0 ratio=1.0; "
               "r[16,32,64] | lx=1.0 ly=2.0 lz=4.0 inv=1 laplace=0 lnk0=0.0 dlnk=0.0 "
               "axis=0.0 cross=0.0 ratio=1.0",
    .flags = GV_INPLACE,
    .infer = field_infer,
    .forward = field_forward,
    .vjp = field_vjp,
    .jvp = field_jvp,
    .nin = -1,
    .aux = 0,
};

const gv_op gv_op_spectral = {
    .name = "spectral",
    .signature = "modes(x,y,h), table(t)? -> modes(x,y,h)",
    .doc =
        "Half spectrum (n real points on the last axis) times scale, table(ln k) (if "
        "given), (-1/k^2)^inv and derivatives of order dx, dy, dz (kind 1: "
        "four-point "
        "stencil). h/Mpc.",
    .attrs = "n:int, lx:float, ly:float, lz:float, dx:int, dy:int, dz:int, inv:int, "
             "kind:int, laplace:int, lnk0:float, dlnk:float, scale:float",
    .samples =
        "c[6,4,3] w[6] | n=4 lx=2.0 ly=3.0 lz=2.5 dx=1 dy=0 dz=0 inv=1 kind=0 "
        "laplace=0 lnk0=0.3 dlnk=0.5 scale=-1.5; "
        "c[6,5,4] | n=6 lx=2.0 ly=3.0 lz=2.5 dx=0 dy=1 dz=0 inv=0 kind=1 laplace=0 "
        "lnk0=0.0 dlnk=0.0 scale=1.0; "
        "c[2,4,4,3] | n=5 lx=2.0 ly=3.0 lz=2.5 dx=1 dy=0 dz=1 inv=1 kind=0 laplace=1 "
        "lnk0=0.0 dlnk=0.0 scale=2.0; "
        "c[4,6,3] | n=4 lx=5.0 ly=3.0 lz=2.5 dx=2 dy=1 dz=2 inv=2 kind=1 laplace=0 "
        "lnk0=0.0 dlnk=0.0 scale=0.5; "
        "c[2,3,4,3] w[2,4] | n=4 lx=2.0 ly=3.0 lz=2.5 dx=0 dy=0 dz=2 inv=0 kind=0 "
        "laplace=0 lnk0=0.3 dlnk=0.5 scale=1.0; "
        "c[1,1,1] | n=1 lx=1.0 ly=1.0 lz=1.0 dx=0 dy=0 dz=0 inv=0 kind=0 laplace=0 "
        "lnk0=0.0 dlnk=0.0 scale=3.0; "
        "c[0,2,2,2] | n=2 lx=1.0 ly=1.0 lz=1.0 dx=0 dy=0 dz=0 inv=1 kind=0 laplace=0 "
        "lnk0=0.0 dlnk=0.0 scale=1.0",
    .flags = GV_INPLACE,
    .infer = field_infer,
    .forward = field_forward,
    .vjp = field_vjp,
    .jvp = field_jvp,
    .nin = -1,
    .aux = 1,
};

/* --- pm_convolve_table, spectral_table ----------------------------------------------*/

static gv_status table_infer(gv_infer *inf)
{
    gv_pm_symbol s;
    bool convolve = inf->op->aux == 2;
    int64_t nodes = inf->attr[convolve ? CONVOLVE_NODES : SPECTRAL_NODES];
    GV_TRY(check_field(inf, convolve, &s));
    GV_TRY(gv_check_same_dtype(inf, 0, 1));
    GV_TRY(gv_check_rank(inf, 1, 3));
    GV_TRY(check_nodes(inf, nodes, &s));
    if (!gv_shape_equal(&inf->in[0].shape, &inf->in[1].shape)) {
        char one[96], two[96];
        return gv_fail(GV_ERR_VALUE, "%s: %s and %s differ in shape", inf->op->name,
                       gv_type_format(&inf->in[0], one, sizeof one),
                       gv_type_format(&inf->in[1], two, sizeof two));
    }
    s.nodes = nodes;
    inf->out[0].dtype = GV_F64;
    inf->scratch = 256 + gv_pm_symbol_scratch(s.dim) + gv_pm_symbol_pull_scratch(&s);
    if (convolve)
        inf->scratch += 4 * (size_t)(s.dim[0] * s.dim[1] * (s.dim[2] / 2 + 1)) *
            gv_dtype_size(s.real);
    return gv_shape_replace_core(&inf->in[0].shape, 3, 1, &nodes, &inf->out[0].shape);
}

static gv_status table_forward(const gv_call *call)
{
    const gv_type *t = call->in_type;
    bool convolve = call->op->aux == 2;
    gv_pm_symbol s = symbol_of(convolve, t, call->attr);
    s.nodes = call->attr[convolve ? CONVOLVE_NODES : SPECTRAL_NODES];
    int64_t entries = gv_batch_count(t, 3);
    size_t each =
        (size_t)(s.dim[0] * s.dim[1] * gv_dim_back(t, 1)) * gv_dtype_size(t->dtype);
    size_t modes =
        (size_t)(s.dim[0] * s.dim[1] * (s.dim[2] / 2 + 1)) * 2 * gv_dtype_size(s.real);
    gv_pm_symbol_prepare(&s, call->scratch);
    char *parts = after_tables(call, &s);
    char *one = parts + ((gv_pm_symbol_pull_scratch(&s) + 63) & ~(size_t)63);
    char *two = one + modes;
    for (int64_t b = 0; b < entries; b++) {
        const char *f = (const char *)call->in[0] + (size_t)b * each;
        const char *g = (const char *)call->in[1] + (size_t)b * each;
        if (convolve) {
            GV_TRY(gv_fft_r2c(s.real, false, 3, s.dim, 1, f, one));
            GV_TRY(gv_fft_r2c(s.real, false, 3, s.dim, 1, g, two));
        }
        gv_pm_symbol_pull(&s, convolve, convolve ? one : f, convolve ? two : g,
                          (double *)call->out[0] + b * s.nodes, parts);
    }
    return GV_OK;
}

/* <h, table of (f, g)> = <g, m(h) f> = <f, conj m(h) g> */
static gv_status table_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                           gv_val *g_in)
{
    if (g_in[0] != GV_NONE) g_in[0] = emit_field(g, node, true, node->in[1], g_out[0]);
    if (g_in[1] != GV_NONE) g_in[1] = emit_field(g, node, false, node->in[0], g_out[0]);
    return GV_OK;
}

const gv_op gv_op_pm_convolve_table = {
    .name = "pm_convolve_table",
    .signature = "mesh(x,y,z), g(x,y,z) -> g_table(t)",
    .doc =
        "Cotangent of the table of pm_convolve, with so many nodes, from that of its "
        "output.",
    .attrs = "lx:float, ly:float, lz:float, inv:int, laplace:int, lnk0:float, "
             "dlnk:float, axis:float, cross:float, ratio:float, nodes:int",
    .samples = "r[8,4,6] r[8,4,6] | lx=2.0 ly=3.0 lz=2.5 inv=1 laplace=0 lnk0=0.5 "
               "dlnk=0.6 axis=0.5 cross=1.5 ratio=2.0 "
               "nodes=5; "
               "r[2,5,3,7] r[2,5,3,7] | lx=9.0 ly=3.0 lz=4.0 inv=0 laplace=1 lnk0=0.1 "
               "dlnk=0.3 axis=0.5 cross=1.5 ratio=2.0 nodes=4; "
               "r[1,1,4] r[1,1,4] | lx=1.0 ly=1.0 lz=3.0 inv=2 laplace=0 lnk0=0.1 "
               "dlnk=0.3 axis=0.0 cross=0.0 ratio=1.0 "
               "nodes=7; "
               "r[0,2,2,2] r[0,2,2,2] | lx=1.0 ly=1.0 lz=3.0 inv=2 laplace=0 lnk0=0.1 "
               "dlnk=0.3 axis=0.5 cross=1.5 ratio=2.0 nodes=7",
    .flags = GV_BILINEAR,
    .infer = table_infer,
    .forward = table_forward,
    .vjp = table_vjp,
    .nin = 2,
    .aux = 2,
};

const gv_op gv_op_spectral_table = {
    .name = "spectral_table",
    .signature = "modes(x,y,h), g(x,y,h) -> g_table(t)",
    .doc = "Cotangent of the table of spectral, with so many nodes, from that of its "
           "output.",
    .attrs = "n:int, lx:float, ly:float, lz:float, dx:int, dy:int, dz:int, inv:int, "
             "kind:int, laplace:int, lnk0:float, dlnk:float, scale:float, nodes:int",
    .samples =
        "c[6,4,3] c[6,4,3] | n=4 lx=2.0 ly=3.0 lz=2.5 dx=1 dy=0 dz=0 inv=1 kind=0 "
        "laplace=0 lnk0=0.3 dlnk=0.5 scale=-1.5 nodes=6; "
        "c[2,3,4,3] c[2,3,4,3] | n=5 lx=2.0 ly=3.0 lz=2.5 dx=1 dy=1 dz=0 inv=0 kind=1 "
        "laplace=1 lnk0=0.3 dlnk=0.5 scale=1.0 nodes=4; "
        "c[3,1,2] c[3,1,2] | n=3 lx=2.0 ly=3.0 lz=2.5 dx=1 dy=0 dz=1 inv=1 kind=0 "
        "laplace=0 lnk0=0.3 dlnk=0.5 scale=1.0 nodes=4; "
        "c[3,4,2] c[3,4,2] | n=2 lx=2.0 ly=3.0 lz=2.5 dx=0 dy=0 dz=0 inv=0 kind=0 "
        "laplace=0 lnk0=0.3 dlnk=0.5 scale=1.0 nodes=9",
    .flags = GV_BILINEAR,
    .infer = table_infer,
    .forward = table_forward,
    .vjp = table_vjp,
    .nin = 2,
    .aux = 3,
};
