/* Meshes and forces at particles.
 *
 * With W the cloud-in-cell window, dW_e its derivative along component e [h/Mpc], nc the
 * mean number of particles per cell and D_d the four-point difference along axis d,
 * [8 (+1 - -1) - (+2 - -2)] / (12 cell_d):
 *     pm_slope      v_d(i)  = sum_c dW_d mesh(c) / nc, the transpose of pm_flux
 *     pm_force      A_d(i)  = -sum_c W (D_d phi)(c), -grad phi at the particles
 *     pm_force_dot  dA_d(i) = -sum_e dx_e(i) sum_c dW_e (D_d phi)(c), A's tangent along dx
 *     pm_tidal      u_e(i)  = -scale sum_d v_d(i) sum_c dW_e (D_d phi)(c), its transpose,
 *                   dot     = sum_i v(i) A(i)
 * x and unit as in pm_common.h; scale and dot are float64 scalars. The derivative with
 * respect to positions is taken once: the operators that hold a dW have none. */
#include "ops/elementwise.h"
#include "ops/fixed_rows.h"
#include "ops/pm_common.h"
#include "sim/pm/read.h"

enum { MESH, X, UNIT, V, SCALE }; /* inputs */

#define HERE "lattice=(2,3,2) mesh=(4,3,5) lx=8.0 ly=7.5 lz=6.0"
#define WIDE "lattice=(2,3,2) mesh=(8,9,10) lx=8.0 ly=7.5 lz=6.0"
#define THIN "lattice=(1,1,1) mesh=(2,5,1) lx=4.0 ly=3.0 lz=2.0"

/* Another operator of the family with the node's attributes. */
static gv_val emit(gv_graph *g, const gv_node *node, const char *name, int nin,
                   const gv_val *in)
{
    const gv_op *op = gv_op_find(name);
    if (op == NULL)
        return gv_graph_break(g,
                              gv_fail(GV_ERR_RUNTIME, "operator %s is missing", name));
    for (int i = 0; i < nin; i++)
        if (in[i] == GV_NONE) return GV_NONE;
    return gv_emit(g, op, nin, in, GV_PM_NATTR, node->attr);
}

static gv_status only_once(const gv_node *node)
{
    return gv_fail(GV_ERR_TYPE,
                   "%s is not differentiable twice: it is a derivative itself, with "
                   "rules for its vector only",
                   node->op->name);
}

/* Checks mesh, x and unit and makes the vector that is the output. */
static gv_status infer_vector(gv_infer *inf)
{
    gv_pm_grid grid;
    GV_TRY(gv_pm_check_grid(inf, &grid));
    GV_TRY(gv_pm_check_x(inf, X, &grid));
    GV_TRY(gv_pm_check_unit(inf, UNIT, X));
    GV_TRY(gv_pm_check_field(inf, MESH, X, &grid));
    inf->out[0] = gv_pm_vector_type(&inf->in[X]);
    inf->scratch = gv_pm_read_bytes(inf->in[X].dtype, &grid, gv_pm_count(&inf->in[X]));
    return GV_OK;
}

/* Entry b of the batch of a value whose core has `size` elements. */
static void *entry(const void *data, const gv_type *t, int64_t size, int64_t b)
{
    return (char *)(uintptr_t)data + (size_t)(size * b) * gv_dtype_size(t->dtype);
}

static gv_status forward(const gv_call *call, gv_pm_read_kind kind)
{
    const gv_type *t = call->in_type;
    int64_t batch = gv_batch_count(&t[X], 2);
    for (int64_t b = 0; b < batch; b++) {
        gv_pm_where w = gv_pm_where_of(call, X, UNIT, b);
        const int64_t *m = w.grid.mesh;
        double cells = (double)m[0] * (double)m[1] * (double)m[2];
        gv_pm_read read = { .kind = kind, .scale = 1 };
        read.mesh = entry(call->in[MESH], &t[MESH], m[0] * m[1] * m[2], b);
        if (kind == GV_PM_SLOPE) read.scale = cells / (double)w.n;
        if (call->nin > V) read.v = entry(call->in[V], &t[V], 3 * w.n, b);
        if (kind == GV_PM_TIDAL) {
            read.scale = ((const double *)call->in[SCALE])[b];
            read.dot = (double *)call->out[1] + b;
        }
        read.out = entry(call->out[0], &call->out_type[0], 3 * w.n, b);
        GV_TRY(gv_pm_read_all(&w, &read, call->scratch));
    }
    return GV_OK;
}

/* v times one float64 number per batch entry */
static gv_val times(gv_graph *g, gv_val v, gv_val factor)
{
    if (v == GV_NONE || gv_graph_status(g) != GV_OK) return GV_NONE;
    return E2(mul, v, gv_emit_over_rows(g, factor, gv_graph_type(g, v)));
}

/* The constant 1 as a factor that goes with the node's positions. */
static gv_val one(gv_graph *g, const gv_node *node)
{
    gv_type t = *gv_in_type(g, node, X);
    t.dtype = GV_F64;
    t.shape.ndim -= 2;
    t.shape = gv_shape_make(t.shape.ndim, t.shape.dim);
    return gv_emit_full(g, &t, 1.0);
}

/* --- pm_slope ---------------------------------------------------------------------------*/

static gv_status slope_forward(const gv_call *call)
{
    return forward(call, GV_PM_SLOPE);
}

static gv_status slope_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                           gv_val *g_in)
{
    if (gv_wanted(g_in[X])) return only_once(node);
    if (gv_wanted(g_in[MESH]))
        g_in[MESH] = emit(g, node, "pm_flux", 3,
                          (gv_val[]){ node->in[X], node->in[UNIT], g_out[0] });
    g_in[UNIT] = GV_NONE;
    return GV_OK;
}

static gv_status slope_jvp(gv_graph *g, const gv_node *node, const gv_val *d_in,
                           gv_val *d_out)
{
    if (d_in[X] != GV_NONE) return only_once(node);
    d_out[0] = emit(g, node, "pm_slope", 3,
                    (gv_val[]){ d_in[MESH], node->in[X], node->in[UNIT] });
    return GV_OK;
}

const gv_op gv_op_pm_slope = {
    .name = "pm_slope",
    .signature = "mesh(x,y,z), x(3,n), unit(2) -> v(3,n)",
    .doc = "Slope of a mesh at the particles over their mean number per cell [h/Mpc]: "
           "the transpose of pm_flux.",
    .attrs = GV_PM_ATTRS,
    .samples =
        "r[4,3,5] f[3,12]! h[2] | " HERE "; r[4,3,5] r[7,3]{0,8}! h[2] | " HERE
        "; r[2,2,5,1] r[2,5,3]{-9,9}! h[2,2] | " THIN "; r[2,5,1] r[1,3]! h[2] | " THIN,
    .infer = infer_vector,
    .forward = slope_forward,
    .vjp = slope_vjp,
    .jvp = slope_jvp,
    .nin = 3,
};

/* --- pm_force ---------------------------------------------------------------------------*/

static gv_status force_forward(const gv_call *call)
{
    return forward(call, GV_PM_FORCE);
}

static gv_status force_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                           gv_val *g_in)
{
    gv_val phi = node->in[MESH], x = node->in[X], unit = node->in[UNIT];
    if (gv_wanted(g_in[MESH]))
        g_in[MESH] = emit(g, node, "pm_force_t", 4,
                          (gv_val[]){ x, unit, g_out[0], one(g, node) });
    if (gv_wanted(g_in[X]))
        g_in[X] = emit(g, node, "pm_tidal", 5,
                       (gv_val[]){ phi, x, unit, g_out[0], one(g, node) });
    g_in[UNIT] = GV_NONE;
    return GV_OK;
}

static gv_status force_jvp(gv_graph *g, const gv_node *node, const gv_val *d_in,
                           gv_val *d_out)
{
    gv_val phi = node->in[MESH], x = node->in[X], unit = node->in[UNIT];
    gv_val a = emit(g, node, "pm_force", 3, (gv_val[]){ d_in[MESH], x, unit });
    gv_val b = emit(g, node, "pm_force_dot", 4, (gv_val[]){ phi, x, unit, d_in[X] });
    d_out[0] = gv_emit_sum2(g, a, b);
    return GV_OK;
}

const gv_op gv_op_pm_force = {
    .name = "pm_force",
    .signature = "phi(x,y,z), x(3,n), unit(2) -> a(3,n)",
    .doc = "-grad phi at the particles by four-point differences, cloud in cell.",
    .attrs = GV_PM_ATTRS,
    .samples =
        "r[4,3,5] f[3,12] h[2] | " HERE "; r[8,9,10] f[3,12] h[2] | " WIDE
        "; r[4,3,5] r[7,3]{0,8} h[2] | " HERE
        "; r[2,2,5,1] r[2,5,3]{-9,9} h[2,2] | " THIN "; r[2,5,1] r[1,3] h[2] | " THIN,
    .infer = infer_vector,
    .forward = force_forward,
    .vjp = force_vjp,
    .jvp = force_jvp,
    .nin = 3,
};

/* --- pm_force_dot -----------------------------------------------------------------------*/

static gv_status force_dot_infer(gv_infer *inf)
{
    GV_TRY(infer_vector(inf));
    return gv_pm_check_vector(inf, V, X);
}

static gv_status force_dot_forward(const gv_call *call)
{
    return forward(call, GV_PM_FORCE_DOT);
}

static gv_status force_dot_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                               gv_val *g_in)
{
    if (gv_wanted(g_in[MESH]) || gv_wanted(g_in[X])) return only_once(node);
    if (gv_wanted(g_in[V]))
        g_in[V] = emit(g, node, "pm_tidal", 5,
                       (gv_val[]){ node->in[MESH], node->in[X], node->in[UNIT],
                                   g_out[0], one(g, node) });
    g_in[UNIT] = GV_NONE;
    return GV_OK;
}

static gv_status force_dot_jvp(gv_graph *g, const gv_node *node, const gv_val *d_in,
                               gv_val *d_out)
{
    if (d_in[MESH] != GV_NONE || d_in[X] != GV_NONE) return only_once(node);
    d_out[0] = emit(g, node, "pm_force_dot", 4,
                    (gv_val[]){ node->in[MESH], node->in[X], node->in[UNIT], d_in[V] });
    return GV_OK;
}

const gv_op gv_op_pm_force_dot = {
    .name = "pm_force_dot",
    .signature = "phi(x,y,z), x(3,n), unit(2), dx(3,n) -> da(3,n)",
    .doc = "Tangent of pm_force when the particles move by dx [Mpc/h].",
    .attrs = GV_PM_ATTRS,
    .samples = "r[4,3,5]! f[3,12]! h[2] r[3,12] | " HERE
               "; r[8,9,10]! f[3,12]! h[2] r[3,12] | " WIDE
               "; r[4,3,5]! r[7,3]{0,8}! h[2] r[7,3] | " HERE
               "; r[2,2,5,1]! r[2,5,3]{-9,9}! h[2,2] r[2,5,3] | " THIN
               "; r[2,5,1]! r[1,3]! h[2] r[1,3] | " THIN,
    .infer = force_dot_infer,
    .forward = force_dot_forward,
    .vjp = force_dot_vjp,
    .jvp = force_dot_jvp,
    .nin = 4,
};

/* --- pm_tidal ---------------------------------------------------------------------------*/

static gv_status tidal_infer(gv_infer *inf)
{
    GV_TRY(force_dot_infer(inf));
    GV_TRY(gv_pm_check_scalar(inf, SCALE, X));
    inf->nout = 2;
    inf->out[1] = inf->in[SCALE];
    return GV_OK;
}

static gv_status tidal_forward(const gv_call *call)
{
    return forward(call, GV_PM_TIDAL);
}

static gv_status tidal_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                           gv_val *g_in)
{
    gv_val phi = node->in[MESH], x = node->in[X], unit = node->in[UNIT];
    if (gv_wanted(g_in[MESH]) || gv_wanted(g_in[X]) || gv_wanted(g_in[SCALE]))
        return only_once(node);
    g_in[UNIT] = GV_NONE;
    if (!gv_wanted(g_in[V])) return GV_OK;
    gv_val sum =
        times(g, emit(g, node, "pm_force_dot", 4, (gv_val[]){ phi, x, unit, g_out[0] }),
              node->in[SCALE]);
    if (g_out[1] != GV_NONE) {
        gv_val force = emit(g, node, "pm_force", 3, (gv_val[]){ phi, x, unit });
        sum = gv_emit_sum2(g, sum, times(g, force, g_out[1]));
    }
    g_in[V] = sum;
    return GV_OK;
}

static gv_status tidal_jvp(gv_graph *g, const gv_node *node, const gv_val *d_in,
                           gv_val *d_out)
{
    if (d_in[MESH] != GV_NONE || d_in[X] != GV_NONE || d_in[SCALE] != GV_NONE)
        return only_once(node);
    gv_val v = emit(g, node, "pm_tidal", 5,
                    (gv_val[]){ node->in[MESH], node->in[X], node->in[UNIT], d_in[V],
                                node->in[SCALE] });
    d_out[0] = v;
    d_out[1] = v == GV_NONE ? GV_NONE : v + 1;
    return GV_OK;
}

const gv_op gv_op_pm_tidal = {
    .name = "pm_tidal",
    .signature = "phi(x,y,z), x(3,n), unit(2), v(3,n), scale -> u(3,n), dot",
    .doc = "scale times the transpose of pm_force_dot applied to v, and the sum of v "
           "times pm_force.",
    .attrs = GV_PM_ATTRS,
    .samples = "r[4,3,5]! f[3,12]! h[2] r[3,12] w[]! | " HERE
               "; r[8,9,10]! f[3,12]! h[2] r[3,12] w[]! | " WIDE
               "; r[4,3,5]! r[7,3]{0,8}! h[2] r[7,3] w[]! | " HERE
               "; r[2,2,5,1]! r[2,5,3]{-9,9}! h[2,2] r[2,5,3] w[2]! | " THIN
               "; r[2,5,1]! r[1,3]! h[2] r[1,3] w[]! | " THIN,
    .infer = tidal_infer,
    .forward = tidal_forward,
    .vjp = tidal_vjp,
    .jvp = tidal_jvp,
    .nin = 5,
};
