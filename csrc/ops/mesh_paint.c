/* Values painted on a mesh with a spline window, or with a derivative of it.
 *
 *     mesh(c) = sum_i value_i d^(dx,dy,dz) W(c, pos_i)
 *
 * W is the product over the axes of the cloud-in-cell window (kind 0), or of the splines
 * of three (1) and four (2) cells, weights in the positions' box of lx, ly, lz [Mpc/h];
 * the derivative is with respect to the position, in (h/Mpc)^(dx+dy+dz), zero beyond the
 * smoothness of the window. With mesh_read, its transpose, the family is closed: to all
 * orders
 *     g_value = read(g),  g_pos_d = value read_{+e_d}(g),
 *     d_mesh = paint(d_value) + sum_d paint_{+e_d}(value d_pos_d) */
#include "ops/elementwise.h"
#include "ops/pm_common.h"
#include "sim/pm/paint.h"

enum { BOX = 4, KIND = 7, ORDER = 8, N_ATTR = 11 };

static gv_status infer(gv_infer *inf)
{
    const gv_type *pos = &inf->in[0];
    const int64_t *a = inf->attr;
    gv_pm_grid grid = { { 1, 1, 1 }, { 0 }, { 0 } };
    char one[96], two[96];
    if (inf->nattr != N_ATTR || a[0] != 3)
        return gv_fail(GV_ERR_VALUE, "mesh_paint: mesh needs three axes");
    for (int d = 0; d < 3; d++) {
        grid.mesh[d] = a[1 + d];
        grid.box[d] = gv_attr_float(a[BOX + d]);
        if (a[ORDER + d] < 0)
            return gv_fail(GV_ERR_VALUE, "mesh_paint: a derivative of order %lld",
                           (long long)a[ORDER + d]);
    }
    GV_TRY(gv_pm_check_mesh_box("mesh_paint", &grid));
    if (a[KIND] < 0 || a[KIND] > 2)
        return gv_fail(GV_ERR_VALUE, "mesh_paint: kind is 0, 1 or 2, not %lld",
                       (long long)a[KIND]);
    for (int i = 0; i < 2; i++)
        if (!gv_dtype_is_float(inf->in[i].dtype))
            return gv_fail(GV_ERR_TYPE, "mesh_paint takes float32 or float64, not %s",
                           gv_dtype_name(inf->in[i].dtype));
    GV_TRY(gv_check_same_dtype(inf, 0, 1));
    GV_TRY(gv_check_rank(inf, 0, 2));
    GV_TRY(gv_check_rank(inf, 1, 1));
    GV_TRY(gv_check_batch(inf, 0, 2, 1, 1));
    if (gv_dim_back(pos, 1) != 3 || gv_dim_back(pos, 2) != gv_dim_back(&inf->in[1], 1))
        return gv_fail(GV_ERR_VALUE,
                       "mesh_paint: positions are (N, 3) and values (N), not %s and %s",
                       gv_type_format(pos, one, sizeof one),
                       gv_type_format(&inf->in[1], two, sizeof two));
    inf->out[0].dtype = pos->dtype;
    inf->scratch = gv_pm_paint_bytes(pos->dtype, &grid, gv_dim_back(pos, 2));
    return gv_shape_replace_core(&pos->shape, 2, 3, grid.mesh, &inf->out[0].shape);
}

static gv_status forward(const gv_call *call)
{
    const int64_t *a = call->attr;
    const gv_type *t = call->in_type;
    int64_t n = gv_dim_back(t, 2), batch = gv_batch_count(t, 2);
    size_t size = gv_dtype_size(t->dtype);
    int64_t cells = a[1] * a[2] * a[3];
    gv_pm_brush brush = { GV_PM_VALUE, .v_next = 1, .kind = (int)a[KIND] };
    gv_pm_where w = { .dtype = t->dtype, .n = n, .unit = 1 };
    bool zero = false;
    brush.factor[0] = 1;
    for (int d = 0; d < 3; d++) {
        w.grid.mesh[d] = a[1 + d];
        w.grid.box[d] = gv_attr_float(a[BOX + d]);
        zero = zero || a[ORDER + d] > a[KIND] + 1;
        brush.order[d] = zero ? 0 : (int)a[ORDER + d];
        for (int k = 0; k < brush.order[d]; k++)
            brush.factor[0] *= (double)w.grid.mesh[d] / w.grid.box[d];
    }
    if (zero) brush.factor[0] = 0;
    for (int64_t b = 0; b < batch; b++) {
        bool lost = false;
        w.x = (const char *)call->in[0] + (size_t)(3 * n * b) * size;
        brush.v = (const char *)call->in[1] + (size_t)(n * b) * size;
        GV_TRY(gv_pm_paint(&w, &brush,
                           (char *)call->out[0] + (size_t)(cells * b) * size,
                           call->scratch, &lost));
        if (lost) return gv_pm_lost(call, &w);
    }
    return GV_OK;
}

/* The attributes with one more derivative along axis d (none for d = -1). */
static const int64_t *raised(const gv_node *node, int d, int64_t *attr)
{
    for (int k = 0; k < N_ATTR; k++) attr[k] = node->attr[k];
    if (d >= 0) attr[ORDER + d]++;
    return attr;
}

static gv_val read_at(gv_graph *g, const gv_node *node, gv_val mesh, int d)
{
    int64_t attr[N_ATTR];
    return gv_emit(g, &gv_op_mesh_read, 2, (gv_val[]){ mesh, node->in[0] }, N_ATTR,
                   raised(node, d, attr));
}

static gv_status vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                     gv_val *g_in)
{
    if (g_in[1] != GV_NONE) g_in[1] = read_at(g, node, g_out[0], -1);
    if (g_in[0] == GV_NONE) return GV_OK;
    gv_val part[3];
    gv_shape column = gv_in_type(g, node, 1)->shape;
    column.dim[column.ndim++] = 1;
    for (int d = 0; d < 3; d++) {
        gv_val slope = E2(mul, node->in[1], read_at(g, node, g_out[0], d));
        part[d] = gv_emit_reshape(g, slope, &column);
    }
    g_in[0] = gv_emit(g, &gv_op_concat, 3, part, 1, (int64_t[]){ -1 });
    return GV_OK;
}

static gv_status jvp(gv_graph *g, const gv_node *node, const gv_val *d_in,
                     gv_val *d_out)
{
    gv_val sum = GV_NONE, in[2] = { node->in[0], d_in[1] };
    int64_t attr[N_ATTR];
    if (d_in[1] != GV_NONE)
        sum = gv_emit(g, node->op, 2, in, N_ATTR, raised(node, -1, attr));
    gv_shape flat = gv_in_type(g, node, 1)->shape;
    for (int d = 0; d < 3 && d_in[0] != GV_NONE; d++) {
        int64_t one[6] = { 1, d, 1, 1, 1, 1 };
        gv_val move = gv_emit(g, &gv_op_slice, 1, d_in, 6, one);
        in[1] = E2(mul, node->in[1], gv_emit_reshape(g, move, &flat));
        sum = gv_emit_sum2(g, sum,
                           gv_emit(g, node->op, 2, in, N_ATTR, raised(node, d, attr)));
    }
    d_out[0] = sum;
    return GV_OK;
}

#define SMALL "mesh=(4,3,5) lx=8.0 ly=7.5 lz=6.0 "
const gv_op gv_op_mesh_paint = {
    .name = "mesh_paint",
    .signature = "pos(n,3), value(n) -> mesh(x,y,z)",
    .doc = "Values at positions [Mpc/h] painted on a periodic mesh, by a derivative of "
           "the "
           "window: kind 0 CIC, 1 TSC, 2 PCS.",
    .attrs =
        "mesh:ints, lx:float, ly:float, lz:float, kind:int, dx:int, dy:int, dz:int",
    .samples = "r[7,3]{0,8} r[7] | " SMALL "kind=0 dx=0 dy=0 dz=0; "
               "r[7,3]{-9,9} r[7] | " SMALL "kind=1 dx=0 dy=1 dz=0; "
               "r[2,5,3] r[2,5] | " SMALL "kind=2 dx=1 dy=0 dz=2; "
               "r[5,3] r[5] | " SMALL "kind=2 dx=0 dy=1 dz=0; "
               "r[5,3] r[5] | " SMALL "kind=1 dx=0 dy=0 dz=0; "
               "r[1,3] r[1] | mesh=(1,2,1) lx=1.0 ly=3.0 lz=2.0 kind=0 dx=0 dy=0 dz=0; "
               "r[0,3] r[0] | " SMALL "kind=0 dx=0 dy=1 dz=0",
    .flags = 0,
    .infer = infer,
    .forward = forward,
    .vjp = vjp,
    .jvp = jvp,
    .nin = 2,
};
