/* Meshes read at positions with a spline window, or with a derivative of it.
 *
 *     mesh_read         value(i) = sum_c d^(dx,dy,dz) W(c, pos_i) mesh(c)
 *     mesh_read_fields  the same of several meshes at the same positions
 *
 * W is the product over the axes of the cloud-in-cell window (kind 0), or of the splines
 * of three (1) and four (2) cells, positions in a box of lx, ly, lz [Mpc/h]; the
 * derivative is with respect to the position, in (h/Mpc)^(dx+dy+dz), zero beyond the
 * smoothness of the window. With mesh_paint, the transpose, the family is closed: to all
 * orders, fields f,
 *     g_mesh_f = paint(g_f),  g_pos_d = sum_f g_f read_{+e_d}(mesh_f),
 *     d_value_f = read(d_mesh_f) + sum_d d_pos_d read_{+e_d}(mesh_f) */
#include "ops/elementwise.h"
#include "ops/pm_common.h"
#include "sim/pm/gather.h"

enum { BOX = 4, KIND = 7, ORDER = 8, N_ATTR = 11 };

extern const gv_op gv_op_mesh_read_fields;

/* Axes of a mesh input in front of the batch: 3, or 4 with fields. */
static int core_of(const gv_op *op) { return op == &gv_op_mesh_read_fields ? 4 : 3; }

static gv_pm_where where_of(const int64_t *a, const gv_type *pos)
{
    gv_pm_where w = { .dtype = pos->dtype, .n = gv_dim_back(pos, 2), .unit = 1 };
    for (int d = 0; d < 3; d++) {
        w.grid.lattice[d] = 1;
        w.grid.mesh[d] = a[1 + d];
        w.grid.box[d] = gv_attr_float(a[BOX + d]);
    }
    return w;
}

static gv_status check_attributes(const gv_infer *inf)
{
    const int64_t *a = inf->attr;
    const char *name = inf->op->name;
    if (inf->nattr != N_ATTR || a[0] != 3)
        return gv_fail(GV_ERR_VALUE, "%s: mesh needs three axes", name);
    gv_pm_grid grid = { { 1, 1, 1 }, { 0 }, { 0 } };
    for (int d = 0; d < 3; d++) {
        grid.mesh[d] = a[1 + d];
        grid.box[d] = gv_attr_float(a[BOX + d]);
        if (a[ORDER + d] < 0)
            return gv_fail(GV_ERR_VALUE, "%s: a derivative of order %lld", name,
                           (long long)a[ORDER + d]);
    }
    GV_TRY(gv_pm_check_mesh_box(name, &grid));
    if (a[KIND] < 0 || a[KIND] > 2)
        return gv_fail(GV_ERR_VALUE, "%s: kind is 0, 1 or 2, not %lld", name,
                       (long long)a[KIND]);
    return GV_OK;
}

static gv_status infer(gv_infer *inf)
{
    const gv_type *mesh = &inf->in[0], *pos = &inf->in[1];
    int core = core_of(inf->op);
    char one[96], two[96];
    GV_TRY(check_attributes(inf));
    for (int i = 0; i < 2; i++)
        if (!gv_dtype_is_float(inf->in[i].dtype))
            return gv_fail(GV_ERR_TYPE, "%s takes float32 or float64, not %s",
                           inf->op->name, gv_dtype_name(inf->in[i].dtype));
    GV_TRY(gv_check_same_dtype(inf, 0, 1));
    GV_TRY(gv_check_rank(inf, 0, core));
    GV_TRY(gv_check_rank(inf, 1, 2));
    GV_TRY(gv_check_batch(inf, 0, core, 1, 2));
    bool fits = gv_dim_back(pos, 1) == 3;
    for (int d = 0; d < 3; d++)
        fits = fits && gv_dim_back(mesh, 3 - d) == inf->attr[1 + d];
    if (!fits)
        return gv_fail(GV_ERR_VALUE,
                       "%s: a mesh of (%lld, %lld, %lld) and positions (N, 3) are "
                       "wanted, not %s and %s",
                       inf->op->name, (long long)inf->attr[1], (long long)inf->attr[2],
                       (long long)inf->attr[3], gv_type_format(mesh, one, sizeof one),
                       gv_type_format(pos, two, sizeof two));
    gv_pm_where w = where_of(inf->attr, pos);
    inf->scratch = gv_pm_gather_bytes(&w);
    inf->out[0].dtype = pos->dtype;
    return gv_shape_replace_core(&mesh->shape, 3, 1, &w.n, &inf->out[0].shape);
}

static gv_status forward(const gv_call *call)
{
    const int64_t *a = call->attr;
    const gv_type *pos = &call->in_type[1];
    int64_t batch = gv_batch_count(pos, 2), cells = a[1] * a[2] * a[3];
    int64_t fields = core_of(call->op) == 4 ? gv_dim_back(call->in_type, 4) : 1;
    size_t size = gv_dtype_size(pos->dtype);
    gv_pm_where w = where_of(a, pos);
    int orders[3];
    for (int d = 0; d < 3; d++) orders[d] = (int)gv_min_i64(a[ORDER + d], 9);
    for (int64_t b = 0; b < batch; b++) {
        bool lost = false;
        w.x = (const char *)call->in[1] + (size_t)(3 * w.n * b) * size;
        GV_TRY(gv_pm_gather(&w, (int)a[KIND], orders, fields,
                            (const char *)call->in[0] +
                                (size_t)(fields * cells * b) * size,
                            (char *)call->out[0] + (size_t)(fields * w.n * b) * size,
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
    return gv_emit(g, node->op, 2, (gv_val[]){ mesh, node->in[1] }, N_ATTR,
                   raised(node, d, attr));
}

/* Values (..., N) or (..., F, N): over the fields. */
static gv_val sum_fields(gv_graph *g, const gv_node *node, gv_val v)
{
    static const int64_t axis[2] = { 1, -2 };
    if (core_of(node->op) == 3 || v == GV_NONE) return v;
    return gv_emit(g, &gv_op_reduce_sum, 1, &v, 2, axis);
}

/* Something of the positions (..., N) repeated for each field where there are fields. */
static gv_val over_fields(gv_graph *g, const gv_node *node, gv_val v, int core)
{
    if (core_of(node->op) == 3 || v == GV_NONE) return v;
    const gv_type *mesh = gv_in_type(g, node, 0);
    gv_shape s = gv_graph_type(g, v)->shape, full;
    int lead = s.ndim - core;
    full = s;
    full.ndim = s.ndim + 1;
    full.dim[lead] = 1;
    for (int k = 0; k < core; k++) full.dim[lead + 1 + k] = s.dim[lead + k];
    v = gv_emit_reshape(g, v, &full);
    full.dim[lead] = gv_dim_back(mesh, 4);
    return gv_emit_broadcast(g, v, &full);
}

static gv_status vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                     gv_val *g_in)
{
    int64_t attr[N_ATTR];
    if (gv_wanted(g_in[0])) {
        gv_val in[2] = { over_fields(g, node, node->in[1], 2), g_out[0] };
        g_in[0] = gv_emit(g, &gv_op_mesh_paint, 2, in, N_ATTR, raised(node, -1, attr));
    }
    if (!gv_wanted(g_in[1])) return GV_OK;
    gv_val part[3];
    gv_shape column = gv_in_type(g, node, 1)->shape;
    column.dim[column.ndim - 1] = 1;
    for (int d = 0; d < 3; d++) {
        gv_val slope = E2(mul, g_out[0], read_at(g, node, node->in[0], d));
        part[d] = gv_emit_reshape(g, sum_fields(g, node, slope), &column);
    }
    g_in[1] = gv_emit(g, &gv_op_concat, 3, part, 1, (int64_t[]){ -1 });
    return GV_OK;
}

static gv_status jvp(gv_graph *g, const gv_node *node, const gv_val *d_in,
                     gv_val *d_out)
{
    gv_val sum = d_in[0] == GV_NONE ? GV_NONE : read_at(g, node, d_in[0], -1);
    gv_shape flat = gv_in_type(g, node, 1)->shape;
    flat.dim[--flat.ndim] = 0;
    for (int d = 0; d < 3 && d_in[1] != GV_NONE; d++) {
        int64_t one[6] = { 1, d, 1, 1, 1, 1 };
        gv_val move = gv_emit(g, &gv_op_slice, 1, &d_in[1], 6, one);
        move = over_fields(g, node, gv_emit_reshape(g, move, &flat), 1);
        sum = gv_emit_sum2(g, sum, E2(mul, move, read_at(g, node, node->in[0], d)));
    }
    d_out[0] = sum;
    return GV_OK;
}

#define ATTRS \
    "mesh:ints, lx:float, ly:float, lz:float, kind:int, dx:int, dy:int, dz:int"
#define SMALL "mesh=(4,3,5) lx=8.0 ly=7.5 lz=6.0 "
#define THIN "mesh=(1,2,1) lx=1.0 ly=3.0 lz=2.0 "

const gv_op gv_op_mesh_read = {
    .name = "mesh_read",
    .signature = "mesh(x,y,z), pos(n,3) -> value(n)",
    .doc = "A periodic mesh read at positions [Mpc/h] by a derivative of the window: "
           "kind 0 CIC, 1 TSC, 2 PCS.",
    .attrs = ATTRS,
    .samples = "r[4,3,5] r[7,3]{0,8} | " SMALL "kind=0 dx=0 dy=0 dz=0; "
               "r[4,3,5] r[7,3]{-9,9} | " SMALL "kind=1 dx=0 dy=1 dz=0; "
               "r[2,4,3,5] r[2,5,3] | " SMALL "kind=2 dx=1 dy=0 dz=2; "
               "r[4,3,5] r[5,3] | " SMALL "kind=0 dx=0 dy=1 dz=0; "
               "r[4,3,5] r[5,3] | " SMALL "kind=1 dx=0 dy=0 dz=0; "
               "r[1,2,1] r[1,3] | " THIN "kind=0 dx=0 dy=0 dz=0; "
               "r[4,3,5] r[0,3] | " SMALL "kind=0 dx=0 dy=1 dz=0",
    .infer = infer,
    .forward = forward,
    .vjp = vjp,
    .jvp = jvp,
    .nin = 2,
};

const gv_op gv_op_mesh_read_fields = {
    .name = "mesh_read_fields",
    .signature = "mesh(f,x,y,z), pos(n,3) -> value(f,n)",
    .doc = "Several periodic meshes read at the same positions; see mesh_read.",
    .attrs = ATTRS,
    .samples = "r[3,4,3,5] r[7,3]{0,8} | " SMALL "kind=0 dx=0 dy=0 dz=0; "
               "r[2,2,4,3,5] r[2,5,3] | " SMALL "kind=2 dx=1 dy=0 dz=0; "
               "r[2,1,2,1] r[1,3] | " THIN "kind=1 dx=0 dy=0 dz=0; "
               "r[0,4,3,5] r[5,3] | " SMALL "kind=0 dx=0 dy=0 dz=0",
    .infer = infer,
    .forward = forward,
    .vjp = vjp,
    .jvp = jvp,
    .nin = 2,
};
