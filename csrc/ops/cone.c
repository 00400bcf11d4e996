/* The light cone as operators: cone_paint, its adjoint cone_pull and its tangent
 * cone_push; cone_count and cone_replicas, which say what it did. Equations, frame and
 * signs are in sim/lens/cone.h, the symmetries of replicas in sim/lens/replica.h.
 *
 * Eight inputs describe a slice: x, p (fixed point (3,N)), extra (real, (3,N) or (3,0)),
 * unit (2), path (5) = rate, centre, lo, hi, h, time (T), lens (S,T), reach (S). Cotangents
 * and tangents of x and p are in Mpc/h of what they stand for. lo, hi, h, unit and reach
 * have no gradient. paint is linear in kappa; pull is linear in g_kappa and its transpose
 * there is push, whose transpose in the tangents is pull: the three are closed except for
 * second derivatives, which are refused. */
#include <math.h>
#include <string.h>

#include "kernels/move.h"
#include "ops/ops.h"
#include "ops/rank.h"
#include "sim/lens/cone.h"
#include "sim/lens/replica.h"

enum { X, P, EXTRA, UNIT, PATH, TIME, LENS, REACH, N_SLICE };
enum { LATTICE = 1, MESH = 5, BOX = 8, FIELD = 11, SEED = 13, ROWS = 14, COLS = 15 };
enum { N_SHORT = 14, N_LONG = 16 }; /* attributes without and with the map's shape */

#define GRID_ATTRS "lattice:ints, mesh:ints, lx:float, ly:float, lz:float"
#define SLICE_ATTRS GRID_ATTRS ", fy:float, fx:float, seed:int"

static const int core_rank[N_SLICE] = { 2, 2, 2, 1, 1, 1, 2, 1 };

/* --- shapes ------------------------------------------------------------------------- */

static gv_status check_grid(const gv_infer *inf, bool with_field)
{
    const int64_t *a = inf->attr;
    const char *name = inf->op->name;
    if (a[0] != 3 || a[MESH - 1] != 3)
        return gv_fail(GV_ERR_VALUE, "%s: lattice and mesh have three axes", name);
    for (int e = 0; e < 3; e++) {
        double side = gv_attr_float(a[BOX + e]);
        if (a[LATTICE + e] < 0 || a[LATTICE + e] > 1 << 20 || a[MESH + e] < 1 ||
            !(side > 0) || !isfinite(side))
            return gv_fail(
                GV_ERR_VALUE,
                "%s: axis %d has %lld particles, %lld mesh points and a side "
                "of %g; sides and mesh points are positive",
                name, e, (long long)a[LATTICE + e], (long long)a[MESH + e], side);
    }
    for (int e = 0; with_field && e < 2; e++) {
        double f = gv_attr_float(a[FIELD + e]);
        if (!(f > 0) || !isfinite(f))
            return gv_fail(GV_ERR_VALUE,
                           "%s: a field of %g rad; both sides are positive", name, f);
    }
    return GV_OK;
}

static gv_status misfit(const gv_infer *inf, int i, const char *wanted)
{
    char text[96];
    return gv_fail(GV_ERR_VALUE, "%s: input %d is %s, wanted %s", inf->op->name, i,
                   gv_type_format(&inf->in[i], text, sizeof text), wanted);
}

/* Input i has this dtype, and the batch axes of input `like`. */
static gv_status check_input(const gv_infer *inf, int i, gv_dtype dtype, int core,
                             int like, int like_core)
{
    char text[96];
    if (inf->in[i].dtype != dtype)
        return gv_fail(GV_ERR_TYPE, "%s: input %d is %s, wanted %s", inf->op->name, i,
                       gv_type_format(&inf->in[i], text, sizeof text),
                       gv_dtype_name(dtype));
    GV_TRY(gv_check_rank(inf, i, core));
    return gv_check_batch(inf, i, core, like, like_core);
}

static bool is_vector(const gv_type *t, int64_t n)
{
    return gv_dim_back(t, 2) == 3 && gv_dim_back(t, 1) == n;
}

/* The eight inputs of a slice, from input `at` on. */
static gv_status check_slice(const gv_infer *inf, int at)
{
    const gv_type *in = inf->in + at;
    gv_dtype state = in[X].dtype, real = gv_dtype_cotangent(state);
    GV_TRY(check_grid(inf, true));
    if (!gv_dtype_is_fixed(state))
        return gv_fail(GV_ERR_TYPE, "%s: positions are q32 or q64, not %s",
                       inf->op->name, gv_dtype_name(state));
    GV_TRY(gv_check_rank(inf, at, 2));
    for (int k = P; k < N_SLICE; k++) {
        gv_dtype d = k == P ? state : k == EXTRA ? real : GV_F64;
        GV_TRY(check_input(inf, at + k, d, core_rank[k], at, 2));
    }
    const int64_t *l = inf->attr + LATTICE;
    int64_t n = l[0] * l[1] * l[2], nodes = gv_dim_back(&in[TIME], 1);
    if (!is_vector(&in[X], n)) return misfit(inf, at, "(3, particles of the lattice)");
    if (!is_vector(&in[P], n)) return misfit(inf, at + P, "the shape of the positions");
    if (!is_vector(&in[EXTRA], n) && !is_vector(&in[EXTRA], 0))
        return misfit(inf, at + EXTRA, "the shape of the positions, or (3, 0)");
    if (gv_dim_back(&in[UNIT], 1) != 2) return misfit(inf, at + UNIT, "(2)");
    if (gv_dim_back(&in[PATH], 1) != 5)
        return misfit(inf, at + PATH, "(5): rate, centre, lo, hi, h");
    if (nodes < 4) return misfit(inf, at + TIME, "at least 4 nodes");
    if (gv_dim_back(&in[LENS], 1) != nodes)
        return misfit(inf, at + LENS, "(sources, nodes of the time table)");
    if (gv_dim_back(&in[REACH], 1) != gv_dim_back(&in[LENS], 2))
        return misfit(inf, at + REACH, "one distance for each source");
    return GV_OK;
}

static gv_status check_map(const gv_infer *inf, int map, int at)
{
    gv_dtype real = gv_dtype_cotangent(inf->in[at].dtype);
    GV_TRY(check_input(inf, map, real, 3, at, 2));
    const gv_type *t = &inf->in[map];
    if (gv_dim_back(t, 3) != gv_dim_back(&inf->in[at + REACH], 1))
        return misfit(inf, map, "one map for each source");
    if (gv_dim_back(t, 2) < 1 || gv_dim_back(t, 1) < 1)
        return misfit(inf, map, "at least one pixel");
    return GV_OK;
}

static gv_status check_shape(const gv_infer *inf)
{
    if (inf->attr[ROWS] < 1 || inf->attr[COLS] < 1)
        return gv_fail(GV_ERR_VALUE, "%s: a map of %lld x %lld pixels", inf->op->name,
                       (long long)inf->attr[ROWS], (long long)inf->attr[COLS]);
    return GV_OK;
}

/* --- values ------------------------------------------------------------------------- */

static const void *entry(const gv_call *call, int i, int core, int64_t b)
{
    const gv_type *t = call->in_type + i;
    int64_t each = gv_shape_span(&t->shape, t->shape.ndim - core, t->shape.ndim);
    return (const char *)call->in[i] + (size_t)(b * each) * gv_dtype_size(t->dtype);
}

static void *result(const gv_call *call, int o, int core, int64_t b)
{
    const gv_type *t = call->out_type + o;
    int64_t each = gv_shape_span(&t->shape, t->shape.ndim - core, t->shape.ndim);
    return (char *)call->out[o] + (size_t)(b * each) * gv_dtype_size(t->dtype);
}

static gv_cone cone_of(const gv_call *call, int at, int64_t b, int64_t rows,
                       int64_t cols)
{
    const gv_type *t = call->in_type + at;
    const void *in[N_SLICE];
    for (int k = 0; k < N_SLICE; k++) in[k] = entry(call, at + k, core_rank[k], b);
    const double *unit = in[UNIT], *path = in[PATH];
    gv_cone c = { .state = t[X].dtype,
                  .x = in[X],
                  .p = in[P],
                  .extra = gv_dim_back(&t[EXTRA], 1) ? in[EXTRA] : NULL,
                  .unit = { unit[0], unit[1] },
                  .rate = path[0],
                  .centre = path[1],
                  .lo = path[2],
                  .hi = path[3],
                  .h = path[4],
                  .n_time = gv_dim_back(&t[TIME], 1),
                  .time = in[TIME],
                  .n_source = gv_dim_back(&t[REACH], 1),
                  .lens = in[LENS],
                  .reach = in[REACH],
                  .rows = rows,
                  .cols = cols,
                  .seed = call->attr[SEED] };
    for (int e = 0; e < 3; e++) {
        c.grid.lattice[e] = call->attr[LATTICE + e];
        c.grid.mesh[e] = call->attr[MESH + e];
        c.grid.box[e] = gv_attr_float(call->attr[BOX + e]);
    }
    c.field[0] = gv_attr_float(call->attr[FIELD + 1]);
    c.field[1] = gv_attr_float(call->attr[FIELD]);
    return c;
}

/* --- derivative rules --------------------------------------------------------------- */

static gv_val zeros_if_none(gv_graph *g, gv_val tangent, gv_val of)
{
    return tangent != GV_NONE ? tangent : gv_emit_zeros_like(g, of);
}

static const gv_op *const ops_of_family[];
enum { PULL, PUSH };

/* cone_push of the slice with these tangents (x, p, extra, path, time, lens) onto maps of
 * the shape of `map`; GV_NONE where all tangents are. */
static gv_val emit_push(gv_graph *g, const gv_val *slice, const gv_val d[6],
                        const int64_t *attr, gv_val map)
{
    static const int of[6] = { X, P, EXTRA, PATH, TIME, LENS };
    gv_val in[N_SLICE + 6];
    bool any = false;
    memcpy(in, slice, N_SLICE * sizeof *in);
    for (int k = 0; k < 6; k++) any = any || d[k] != GV_NONE;
    if (!any) return GV_NONE;
    for (int k = 0; k < 6; k++) in[N_SLICE + k] = zeros_if_none(g, d[k], slice[of[k]]);
    const gv_type *t = gv_graph_type(g, map);
    int64_t full[N_LONG];
    memcpy(full, attr, N_SHORT * sizeof *full);
    full[ROWS] = gv_dim_back(t, 2);
    full[COLS] = gv_dim_back(t, 1);
    return gv_emit(g, ops_of_family[PUSH], N_SLICE + 6, in, N_LONG, full);
}

/* cone_pull of the slice; returns its first output, g[6] are what goes to x, p, extra,
 * path, time, lens. */
static gv_status emit_pull(gv_graph *g, gv_val g_map, const gv_val *slice,
                           const int64_t *attr, gv_val to[6])
{
    gv_val in[1 + N_SLICE] = { g_map };
    memcpy(in + 1, slice, N_SLICE * sizeof *in);
    gv_val v = gv_emit(g, ops_of_family[PULL], 1 + N_SLICE, in, N_SHORT, attr);
    GV_TRY(gv_graph_status(g));
    bool extra = gv_dim_back(gv_graph_type(g, slice[EXTRA]), 1) != 0;
    to[0] = v;
    to[1] = v + 1;
    to[2] = extra ? v : GV_NONE;
    for (int k = 3; k < 6; k++) to[k] = v + k - 1;
    return GV_OK;
}

static gv_status refuse(const gv_node *node)
{
    return gv_fail(GV_ERR_TYPE,
                   "%s is not differentiable twice with respect to particles, factors "
                   "or tables; take one derivative by vjp or jvp and differences of it",
                   node->op->name);
}

/* --- cone_paint --------------------------------------------------------------------- */

static gv_status infer_paint(gv_infer *inf)
{
    GV_TRY(check_slice(inf, 1));
    GV_TRY(check_map(inf, 0, 1));
    inf->out[0] = inf->in[0];
    inf->scratch = gv_cone_paint_scratch(inf->attr + LATTICE, false);
    return GV_OK;
}

static gv_status forward_paint(const gv_call *call)
{
    const gv_type *map = call->in_type;
    size_t bytes;
    GV_TRY(gv_type_bytes(map, &bytes));
    if (call->out[0] != call->in[0]) gv_move_bytes(call->out[0], call->in[0], bytes);
    for (int64_t b = 0; b < gv_batch_count(map, 3); b++) {
        gv_cone c = cone_of(call, 1, b, gv_dim_back(map, 2), gv_dim_back(map, 1));
        GV_TRY(gv_cone_paint(&c, result(call, 0, 3, b), call->scratch));
    }
    return GV_OK;
}

static gv_status vjp_paint(gv_graph *g, const gv_node *node, const gv_val *g_out,
                           gv_val *g_in)
{
    static const int of[6] = { X, P, EXTRA, PATH, TIME, LENS };
    bool want[1 + N_SLICE], any = false;
    for (int k = 0; k <= N_SLICE; k++) {
        want[k] = g_in[k] != GV_NONE;
        g_in[k] = GV_NONE;
    }
    for (int k = 0; k < 6; k++) any = any || want[1 + of[k]];
    if (want[0]) g_in[0] = g_out[0];
    if (!any) return GV_OK;
    gv_val to[6];
    GV_TRY(emit_pull(g, g_out[0], node->in + 1, node->attr, to));
    for (int k = 0; k < 6; k++)
        if (want[1 + of[k]]) g_in[1 + of[k]] = to[k];
    return GV_OK;
}

static gv_status jvp_paint(gv_graph *g, const gv_node *node, const gv_val *d_in,
                           gv_val *d_out)
{
    const gv_val *s = d_in + 1;
    gv_val d[6] = { s[X], s[P], s[EXTRA], s[PATH], s[TIME], s[LENS] };
    gv_val moved = emit_push(g, node->in + 1, d, node->attr, node->in[0]);
    d_out[0] = gv_emit_sum2(g, d_in[0], moved);
    return GV_OK;
}

const gv_op gv_op_cone_paint = {
    .name = "cone_paint",
    .signature = "kappa(s,y,x), x(3,n), p(3,n), extra(3,m), unit(2), path(5), time(t), "
                 "lens(s,t), reach(s) -> kappa1(s,y,x)",
    .doc =
        "Maps plus the particles of the light-cone slice path = (rate, centre, lo, hi, "
        "h): CIC on angles, weight lens(d)/d (sim/lens/cone.h).",
    .attrs = SLICE_ATTRS,
    .samples = "",
    .flags = GV_INPLACE,
    .infer = infer_paint,
    .forward = forward_paint,
    .vjp = vjp_paint,
    .jvp = jvp_paint,
    .nin = 1 + N_SLICE,
};

/* --- cone_pull ---------------------------------------------------------------------- */

static gv_status infer_pull(gv_infer *inf)
{
    GV_TRY(check_slice(inf, 1));
    GV_TRY(check_map(inf, 0, 1));
    const gv_type *s = inf->in + 1;
    GV_TRY(gv_infer_reserve(inf, 5));
    inf->out[0] = inf->out[1] = gv_type_with(&s[X], gv_dtype_cotangent(s[X].dtype));
    inf->out[2] = s[PATH];
    inf->out[3] = s[TIME];
    inf->out[4] = s[LENS];
    inf->scratch = gv_cone_pull_scratch(inf->attr + LATTICE, gv_dim_back(&s[LENS], 2),
                                        gv_dim_back(&s[LENS], 1));
    return GV_OK;
}

static gv_status forward_pull(const gv_call *call)
{
    const gv_type *map = call->in_type;
    for (int64_t b = 0; b < gv_batch_count(map, 3); b++) {
        gv_cone c = cone_of(call, 1, b, gv_dim_back(map, 2), gv_dim_back(map, 1));
        gv_cone_cotangent g = { .x = result(call, 0, 2, b),
                                .p = result(call, 1, 2, b),
                                .time = result(call, 3, 1, b),
                                .lens = result(call, 4, 2, b) };
        GV_TRY(gv_cone_pull(&c, entry(call, 0, 3, b), &g, call->scratch));
        double *path = result(call, 2, 1, b);
        path[0] = g.rate;
        path[1] = g.centre;
        path[2] = path[3] = path[4] = 0;
    }
    return GV_OK;
}

static gv_status vjp_pull(gv_graph *g, const gv_node *node, const gv_val *g_out,
                          gv_val *g_in)
{
    bool want = g_in[0] != GV_NONE;
    for (int k = 1; k <= N_SLICE; k++)
        if (g_in[k] != GV_NONE) return refuse(node);
    gv_val d[6] = { g_out[0], g_out[1], GV_NONE, g_out[2], g_out[3], g_out[4] };
    if (want) g_in[0] = emit_push(g, node->in + 1, d, node->attr, node->in[0]);
    return GV_OK;
}

static gv_status jvp_pull(gv_graph *g, const gv_node *node, const gv_val *d_in,
                          gv_val *d_out)
{
    for (int k = 1; k <= N_SLICE; k++)
        if (d_in[k] != GV_NONE) return refuse(node);
    if (d_in[0] == GV_NONE) return GV_OK;
    gv_val in[1 + N_SLICE];
    memcpy(in, node->in, sizeof in);
    in[0] = d_in[0];
    gv_val v = gv_emit_like(g, node, in);
    for (int o = 0; o < 5; o++) d_out[o] = v == GV_NONE ? v : v + o;
    return GV_OK;
}

const gv_op gv_op_cone_pull = {
    .name = "cone_pull",
    .signature =
        "g_kappa(s,y,x), x(3,n), p(3,n), extra(3,m), unit(2), path(5), time(t), "
        "lens(s,t), reach(s) -> g_x(3,n), g_p(3,n), g_path(5), g_time(t), g_lens(s,t)",
    .doc = "Cotangents of cone_paint; g_extra is g_x, lo, hi and h have none.",
    .attrs = SLICE_ATTRS,
    .samples = "",
    .infer = infer_pull,
    .forward = forward_pull,
    .vjp = vjp_pull,
    .jvp = jvp_pull,
    .nin = 1 + N_SLICE,
};

/* --- cone_push ---------------------------------------------------------------------- */

static gv_status infer_push(gv_infer *inf)
{
    static const int of[6] = { X, P, EXTRA, PATH, TIME, LENS };
    GV_TRY(check_slice(inf, 0));
    GV_TRY(check_shape(inf));
    for (int k = 0; k < 6; k++) {
        int core = core_rank[of[k]], i = N_SLICE + k;
        gv_dtype d = gv_dtype_cotangent(inf->in[of[k]].dtype);
        GV_TRY(check_input(inf, i, d, core, 0, 2));
        for (int e = 1; e <= core; e++)
            if (gv_dim_back(&inf->in[i], e) != gv_dim_back(&inf->in[of[k]], e))
                return misfit(inf, i, "the shape of what it is the tangent of");
    }
    int64_t dim[3] = { gv_dim_back(&inf->in[REACH], 1), inf->attr[ROWS],
                       inf->attr[COLS] };
    inf->out[0].dtype = gv_dtype_cotangent(inf->in[X].dtype);
    inf->scratch = gv_cone_paint_scratch(inf->attr + LATTICE, true);
    return gv_shape_replace_core(&inf->in[X].shape, 2, 3, dim, &inf->out[0].shape);
}

static gv_status forward_push(const gv_call *call)
{
    bool extra = gv_dim_back(&call->in_type[EXTRA], 1) != 0;
    for (int64_t b = 0; b < gv_batch_count(call->out_type, 3); b++) {
        gv_cone c = cone_of(call, 0, b, call->attr[ROWS], call->attr[COLS]);
        const double *path = entry(call, N_SLICE + 3, 1, b);
        gv_cone_tangent d = { .x = entry(call, N_SLICE, 2, b),
                              .p = entry(call, N_SLICE + 1, 2, b),
                              .extra = extra ? entry(call, N_SLICE + 2, 2, b) : NULL,
                              .rate = path[0],
                              .centre = path[1],
                              .time = entry(call, N_SLICE + 4, 1, b),
                              .lens = entry(call, N_SLICE + 5, 2, b) };
        GV_TRY(gv_cone_push(&c, &d, result(call, 0, 3, b), call->scratch));
    }
    return GV_OK;
}

static gv_status vjp_push(gv_graph *g, const gv_node *node, const gv_val *g_out,
                          gv_val *g_in)
{
    bool want[6];
    for (int k = 0; k < N_SLICE; k++)
        if (g_in[k] != GV_NONE) return refuse(node);
    for (int k = 0; k < 6; k++) want[k] = g_in[N_SLICE + k] != GV_NONE;
    gv_val to[6];
    GV_TRY(emit_pull(g, g_out[0], node->in, node->attr, to));
    for (int k = 0; k < 6; k++)
        if (want[k]) g_in[N_SLICE + k] = to[k];
    return GV_OK;
}

static gv_status jvp_push(gv_graph *g, const gv_node *node, const gv_val *d_in,
                          gv_val *d_out)
{
    for (int k = 0; k < N_SLICE; k++)
        if (d_in[k] != GV_NONE) return refuse(node);
    d_out[0] = emit_push(g, node->in, d_in + N_SLICE, node->attr, gv_node_out(node, 0));
    return GV_OK;
}

const gv_op gv_op_cone_push = {
    .name = "cone_push",
    .signature = "x(3,n), p(3,n), extra(3,m), unit(2), path(5), time(t), lens(s,t), "
                 "reach(s), d_x(3,n), d_p(3,n), d_extra(3,m), d_path(5), d_time(t), "
                 "d_lens(s,t) -> d_kappa(s,rows,cols)",
    .doc = "Tangent of cone_paint; those of lo, hi and h count for nothing.",
    .attrs = SLICE_ATTRS ", rows:int, cols:int",
    .samples = "",
    .infer = infer_push,
    .forward = forward_push,
    .vjp = vjp_push,
    .jvp = jvp_push,
    .nin = N_SLICE + 6,
};

static const gv_op *const ops_of_family[] = {
    [PULL] = &gv_op_cone_pull, [PUSH] = &gv_op_cone_push
};

/* --- cone_count, cone_replicas ------------------------------------------------------ */

static gv_status infer_count(gv_infer *inf)
{
    static const int64_t three = 3;
    GV_TRY(check_slice(inf, 0));
    GV_TRY(check_shape(inf));
    inf->out[0].dtype = GV_I64;
    inf->scratch = gv_cone_count_scratch(inf->attr + LATTICE);
    return gv_shape_replace_core(&inf->in[X].shape, 2, 1, &three, &inf->out[0].shape);
}

static gv_status forward_count(const gv_call *call)
{
    for (int64_t b = 0; b < gv_batch_count(call->out_type, 1); b++) {
        gv_cone c = cone_of(call, 0, b, call->attr[ROWS], call->attr[COLS]);
        gv_cone_census census;
        GV_TRY(gv_cone_count(&c, &census, call->scratch));
        int64_t *out = result(call, 0, 1, b);
        out[0] = census.painted;
        out[1] = census.visited;
        out[2] = census.replicas;
    }
    return GV_OK;
}

const gv_op gv_op_cone_count = {
    .name = "cone_count",
    .signature = "x(3,n), p(3,n), extra(3,m), unit(2), path(5), time(t), lens(s,t), "
                 "reach(s) -> count(3)",
    .doc =
        "What cone_paint does: particles painted, particles in the slice, boxes that "
        "the slice meets.",
    .attrs = SLICE_ATTRS ", rows:int, cols:int",
    .samples = "",
    .flags = GV_NODIFF,
    .infer = infer_count,
    .forward = forward_count,
    .nin = N_SLICE,
};

static gv_status infer_replicas(gv_infer *inf)
{
    static const int64_t three = 3;
    if (inf->in[0].dtype != GV_I64)
        return gv_fail(GV_ERR_TYPE, "cone_replicas: numbers are int64, not %s",
                       gv_dtype_name(inf->in[0].dtype));
    GV_TRY(check_grid(inf, false));
    inf->nout = 3;
    gv_type t = { .dtype = GV_I64 };
    GV_TRY(gv_shape_replace_core(&inf->in[0].shape, 0, 1, &three, &t.shape));
    inf->out[0] = inf->out[1] = t;
    inf->out[2] = gv_type_with(&t, GV_F64);
    return GV_OK;
}

static gv_status forward_replicas(const gv_call *call)
{
    const int64_t *number = call->in[0], *a = call->attr;
    int64_t *perm = call->out[0], *sign = call->out[1];
    double *shift = call->out[2], box[3];
    for (int e = 0; e < 3; e++) box[e] = gv_attr_float(a[BOX + e]);
    for (int64_t k = 0; k < gv_shape_size(&call->in_type[0].shape); k++) {
        gv_replica r = gv_replica_make(box, a + LATTICE, a[FIELD], number[k]);
        for (int e = 0; e < 3; e++) {
            perm[3 * k + e] = r.perm[e];
            sign[3 * k + e] = r.sign[e];
            shift[3 * k + e] = r.shift[e];
        }
    }
    return GV_OK;
}

const gv_op gv_op_cone_replicas = {
    .name = "cone_replicas",
    .signature = "number() -> perm(3), sign(3), shift(3)",
    .doc = "How replica `number` of the box is turned and shifted: y_a = (sign_a "
           "x_perm(a) + shift_a) mod L_a; seed < 0: not at all.",
    .attrs = GRID_ATTRS ", seed:int",
    .samples =
        "i{0,40}[] | lattice=(4,4,4) mesh=(8,8,8) lx=2.0 ly=2.0 lz=2.0 seed=5; "
        "i{0,40}[7] | lattice=(4,4,6) mesh=(4,4,8) lx=2.0 ly=2.0 lz=2.0 seed=1; "
        "i{0,40}[2,3] | lattice=(3,4,4) mesh=(4,4,8) lx=1.0 ly=2.0 lz=2.0 "
        "seed=9; "
        "i{0,40}[1] | lattice=(3,4,4) mesh=(4,4,8) lx=1.0 ly=2.0 lz=2.0 seed=-1; "
        "i{0,9}[0] | lattice=(1,1,1) mesh=(1,1,1) lx=1.0 ly=2.0 lz=2.0 seed=3",
    .flags = GV_NODIFF,
    .infer = infer_replicas,
    .forward = forward_replicas,
    .nin = 1,
};
