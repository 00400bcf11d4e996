/* Sums over particles on the mesh: density, flux of a displacement, transposed force.
 *
 * With W the cloud-in-cell window of weights, dW_d its derivative along component d
 * [h/Mpc] and nc the mean number of particles per cell,
 *     pm_paint    rho(c) = sum_i W(c, x_i) / nc
 *     pm_flux     sum_i sum_d v_d(i) dW_d(c, x_i) / nc, the tangent of rho along v
 *     pm_force_t  scale sum_d D_d sum_i v_d(i) W(c, x_i), D_d the four-point derivative:
 *                 the transpose of pm_force, which is linear in its potential (D_d is
 *                 antisymmetric, and the force has a minus sign).
 * x and unit as in pm_common.h; scale is a float64 scalar. */
#include "ops/elementwise.h"
#include "ops/fixed_rows.h"
#include "ops/pm_common.h"
#include "sim/pm/paint.h"

static double per_cell(const gv_pm_where *w)
{
    const int64_t *m = w->grid.mesh;
    return (double)w->n / ((double)m[0] * (double)m[1] * (double)m[2]);
}

/* Checks x and unit, inputs 0 and 1, and makes the mesh that is the output. */
static gv_status infer_mesh(gv_infer *inf, gv_pm_grid *grid)
{
    GV_TRY(gv_pm_check_grid(inf, grid));
    GV_TRY(gv_pm_check_x(inf, 0, grid));
    GV_TRY(gv_pm_check_unit(inf, 1, 0));
    GV_TRY(gv_pm_field_type(&inf->in[0], grid, inf->out));
    inf->scratch = gv_pm_paint_bytes(inf->in[0].dtype, grid, gv_pm_count(&inf->in[0]));
    return GV_OK;
}

static size_t mesh_bytes(gv_dtype dtype, const gv_pm_grid *grid)
{
    const int64_t *m = grid->mesh;
    size_t bytes = (size_t)(m[0] * m[1] * m[2]) * gv_dtype_size(dtype);
    return (bytes + 63) & ~(size_t)63;
}

/* A brush for vectors v(b) in the layout of the positions. */
static gv_pm_brush vector_brush(const gv_call *call, int v, int64_t b,
                                const gv_pm_where *w)
{
    bool fixed = gv_dtype_is_fixed(w->dtype);
    size_t size = gv_dtype_size(call->in_type[v].dtype);
    return (gv_pm_brush){ .v =
                              (const char *)call->in[v] + (size_t)(3 * w->n * b) * size,
                          .v_next = fixed ? 1 : 3,
                          .v_across = fixed ? w->n : 1 };
}

/* The mesh of batch entry b of the output. */
static void *mesh_of(const gv_call *call, int64_t b)
{
    const gv_type *t = call->out_type;
    int64_t cells = gv_shape_span(&t->shape, t->shape.ndim - 3, t->shape.ndim);
    return (char *)call->out[0] + (size_t)(b * cells) * gv_dtype_size(t->dtype);
}

static gv_status paint(const gv_call *call, const gv_pm_where *w,
                       const gv_pm_brush *brush, void *mesh, void *scratch)
{
    bool lost = false;
    GV_TRY(gv_pm_paint(w, brush, mesh, scratch, &lost));
    return lost ? gv_pm_lost(call, w) : GV_OK;
}

/* Another operator of the family with the node's attributes. */
static gv_val emit(gv_graph *g, const gv_node *node, const gv_op *op, int nin,
                   const gv_val *in)
{
    return gv_emit(g, op, nin, in, GV_PM_NATTR, node->attr);
}

static gv_status not_twice(const char *op)
{
    return gv_fail(
        GV_ERR_TYPE,
        "%s is a derivative itself and not differentiable twice with respect "
        "to positions; mesh_paint is",
        op);
}

#define HERE "lattice=(2,3,2) mesh=(4,3,5) lx=8.0 ly=7.5 lz=6.0"
#define THIN "lattice=(1,1,1) mesh=(2,5,1) lx=4.0 ly=3.0 lz=2.0"

/* --- pm_paint -------------------------------------------------------------------------*/

static gv_status paint_infer(gv_infer *inf)
{
    gv_pm_grid grid;
    return infer_mesh(inf, &grid);
}

static gv_status paint_forward(const gv_call *call)
{
    int64_t batch = gv_batch_count(call->in_type, 2);
    for (int64_t b = 0; b < batch; b++) {
        gv_pm_where w = gv_pm_where_of(call, 0, 1, b);
        gv_pm_brush brush = { .charge = GV_PM_ONE, .factor = { 1 / per_cell(&w) } };
        GV_TRY(paint(call, &w, &brush, mesh_of(call, b), call->scratch));
    }
    return GV_OK;
}

static gv_status paint_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                           gv_val *g_in)
{
    gv_val in[3] = { g_out[0], node->in[0], node->in[1] };
    if (g_in[0] != GV_NONE) g_in[0] = emit(g, node, &gv_op_pm_slope, 3, in);
    g_in[1] = GV_NONE;
    return GV_OK;
}

static gv_status paint_jvp(gv_graph *g, const gv_node *node, const gv_val *d_in,
                           gv_val *d_out)
{
    gv_val in[3] = { node->in[0], node->in[1], d_in[0] };
    d_out[0] = d_in[0] == GV_NONE ? GV_NONE : emit(g, node, &gv_op_pm_flux, 3, in);
    return GV_OK;
}

const gv_op gv_op_pm_paint = {
    .name = "pm_paint",
    .signature = "x(3,n), unit(2) -> rho(x,y,z)",
    .doc = "Number density of particles on a periodic mesh, mean 1, cloud in cell; x "
           "fixed "
           "point (3,N), or float (N,3) [Mpc/h].",
    .attrs = GV_PM_ATTRS,
    .samples = "f[3,12] h[2] | " HERE "; r[7,3]{0,8} h[2] | " HERE "; "
               "f[2,3,12]{-9,9} h[2,2] | " HERE "; "
               "r[2,5,3]{-9,9} h[2,2] | " THIN "; r[1,3] h[2] | " THIN,
    .flags = 0,
    .infer = paint_infer,
    .forward = paint_forward,
    .vjp = paint_vjp,
    .jvp = paint_jvp,
    .nin = 2,
};

/* --- pm_flux --------------------------------------------------------------------------*/

static gv_status flux_infer(gv_infer *inf)
{
    gv_pm_grid grid;
    GV_TRY(infer_mesh(inf, &grid));
    return gv_pm_check_vector(inf, 2, 0);
}

static gv_status flux_forward(const gv_call *call)
{
    int64_t batch = gv_batch_count(call->in_type, 2);
    for (int64_t b = 0; b < batch; b++) {
        gv_pm_where w = gv_pm_where_of(call, 0, 1, b);
        gv_pm_brush brush = vector_brush(call, 2, b, &w);
        brush.charge = GV_PM_FLUX;
        for (int d = 0; d < 3; d++)
            brush.factor[d] = (double)w.grid.mesh[d] / w.grid.box[d] / per_cell(&w);
        GV_TRY(paint(call, &w, &brush, mesh_of(call, b), call->scratch));
    }
    return GV_OK;
}

static gv_status flux_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                          gv_val *g_in)
{
    gv_val in[3] = { g_out[0], node->in[0], node->in[1] };
    if (g_in[0] != GV_NONE) return not_twice("pm_flux");
    if (g_in[2] != GV_NONE) g_in[2] = emit(g, node, &gv_op_pm_slope, 3, in);
    g_in[1] = GV_NONE;
    return GV_OK;
}

static gv_status flux_jvp(gv_graph *g, const gv_node *node, const gv_val *d_in,
                          gv_val *d_out)
{
    gv_val in[3] = { node->in[0], node->in[1], d_in[2] };
    if (d_in[0] != GV_NONE) return not_twice("pm_flux");
    d_out[0] = d_in[2] == GV_NONE ? GV_NONE : emit(g, node, node->op, 3, in);
    return GV_OK;
}

const gv_op gv_op_pm_flux = {
    .name = "pm_flux",
    .signature = "x(3,n), unit(2), v(3,n) -> mesh(x,y,z)",
    .doc = "Tangent of pm_paint when the particles move by v [Mpc/h].",
    .attrs = GV_PM_ATTRS,
    .samples = "f[3,12]! h[2] r[3,12] | " HERE "; r[7,3]{0,8}! h[2] r[7,3] | " HERE "; "
               "r[2,5,3]{-9,9}! h[2,2] r[2,5,3] | " THIN "; "
               "r[1,3]! h[2] r[1,3] | " THIN,
    .flags = 0,
    .infer = flux_infer,
    .forward = flux_forward,
    .vjp = flux_vjp,
    .jvp = flux_jvp,
    .nin = 3,
};

/* --- pm_force_t -----------------------------------------------------------------------*/

static gv_status force_t_infer(gv_infer *inf)
{
    gv_pm_grid grid;
    GV_TRY(infer_mesh(inf, &grid));
    GV_TRY(gv_pm_check_vector(inf, 2, 0));
    inf->scratch += mesh_bytes(inf->out[0].dtype, &grid);
    return gv_pm_check_scalar(inf, 3, 0);
}

static gv_status force_t_forward(const gv_call *call)
{
    int64_t batch = gv_batch_count(call->in_type, 2);
    gv_dtype real = call->out_type[0].dtype;
    for (int64_t b = 0; b < batch; b++) {
        gv_pm_where w = gv_pm_where_of(call, 0, 1, b);
        gv_pm_brush brush = vector_brush(call, 2, b, &w);
        char *one =
            call->scratch; /* a component, then its derivative goes to the sum */
        void *sum = mesh_of(call, b), *rest = one + mesh_bytes(real, &w.grid);
        brush.charge = GV_PM_VALUE;
        brush.factor[0] = 1;
        const char *v = brush.v;
        for (int d = 0; d < 3; d++) {
            double factor = ((const double *)call->in[3])[b] * (double)w.grid.mesh[d] /
                (12 * w.grid.box[d]);
            brush.v = v + (size_t)(d * brush.v_across) * gv_dtype_size(real);
            GV_TRY(paint(call, &w, &brush, one, rest));
            gv_pm_stencil(real, &w.grid, d, factor, d > 0, one, sum);
        }
    }
    return GV_OK;
}

static gv_status force_t_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                             gv_val *g_in)
{
    gv_val x = node->in[0], unit = node->in[1], v = node->in[2], scale = node->in[3];
    bool along = g_in[0] != GV_NONE || g_in[3] != GV_NONE;
    if (g_in[2] != GV_NONE) {
        gv_val force =
            emit(g, node, &gv_op_pm_force, 3, (gv_val[]){ g_out[0], x, unit });
        gv_val factor = gv_emit_over_rows(g, scale, gv_in_type(g, node, 2));
        g_in[2] = E2(mul, force, factor);
    }
    g_in[1] = GV_NONE;
    if (!along) return GV_OK;
    gv_val both =
        emit(g, node, &gv_op_pm_tidal, 5, (gv_val[]){ g_out[0], x, unit, v, scale });
    if (g_in[0] != GV_NONE) g_in[0] = both;
    if (g_in[3] != GV_NONE) g_in[3] = both == GV_NONE ? GV_NONE : both + 1;
    return GV_OK;
}

static gv_status force_t_jvp(gv_graph *g, const gv_node *node, const gv_val *d_in,
                             gv_val *d_out)
{
    gv_val in[4] = { node->in[0], node->in[1], node->in[2], node->in[3] };
    gv_val sum = GV_NONE;
    if (d_in[0] != GV_NONE) return not_twice("pm_force_t");
    for (int k = 2; k < 4; k++) {
        if (d_in[k] == GV_NONE) continue;
        in[k] = d_in[k];
        sum = gv_emit_sum2(g, sum, emit(g, node, node->op, 4, in));
        in[k] = node->in[k];
    }
    d_out[0] = sum;
    return GV_OK;
}

const gv_op gv_op_pm_force_t = {
    .name = "pm_force_t",
    .signature = "x(3,n), unit(2), v(3,n), scale -> mesh(x,y,z)",
    .doc =
        "scale times the transpose of pm_force, linear in its potential, applied to v.",
    .attrs = GV_PM_ATTRS,
    .samples = "f[3,12]! h[2] r[3,12] w[] | " HERE "; "
               "r[7,3]{0,8}! h[2] r[7,3] w[] | " HERE "; "
               "r[2,5,3]{-9,9}! h[2,2] r[2,5,3] w[2] | " THIN "; "
               "r[1,3]! h[2] r[1,3] w[] | " THIN,
    .flags = 0,
    .infer = force_t_infer,
    .forward = force_t_forward,
    .vjp = force_t_vjp,
    .jvp = force_t_jvp,
    .nin = 4,
};
