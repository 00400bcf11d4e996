/* pm_kick: momenta of fixed-point particles changed by the force, exactly undoable.
 *
 *   p'_d = p_d + sign round(kappa A_d / unit_1),   A = pm_force(phi, x, unit)
 *
 * p is in quanta of unit_1 [Mpc/h], x in quanta of unit_0 mesh cells (sim/pm/pm.h). The
 * increment depends on phi and x alone, so sign -1 takes back what sign +1 did, bit for
 * bit. A momentum beyond 2^30 (2^62) quanta is an error. In physical units and apart
 * from the rounding, p' = p + sign kappa A(phi, x):
 *
 *   g_p = g',  g_phi = pm_force_t(x, g'; sign kappa),
 *   g_x, dot = pm_tidal(phi, x, g'; sign kappa),  g_kappa = sign dot
 *
 * pm_kick_tidal does a kick and a pm_tidal of other momenta's cotangent v, which read the
 * same values of phi, in one pass: the planner puts it in their place. */
#include <math.h>

#include "ops/elementwise.h"
#include "ops/fixed_rows.h"
#include "ops/pm_common.h"
#include "sim/pm/read.h"

enum { P, PHI, X, UNIT, KAPPA, V, SCALE }; /* inputs */
enum { SIGN = GV_PM_NATTR, N_ATTR };

static gv_status infer_kick(gv_infer *inf)
{
    gv_pm_grid grid;
    const gv_type *p = &inf->in[P], *x = &inf->in[X];
    char one[96], two[96];
    GV_TRY(gv_pm_check_grid(inf, &grid));
    GV_TRY(gv_pm_check_x(inf, X, &grid));
    if (!gv_dtype_is_fixed(x->dtype) || p->dtype != x->dtype)
        return gv_fail(GV_ERR_TYPE,
                       "%s takes momenta and positions that are both q32 or both "
                       "q64, not %s and %s",
                       inf->op->name, gv_dtype_name(p->dtype), gv_dtype_name(x->dtype));
    if (!gv_shape_equal(&p->shape, &x->shape))
        return gv_fail(GV_ERR_VALUE, "%s: momenta %s do not fit positions %s",
                       inf->op->name, gv_type_format(p, one, sizeof one),
                       gv_type_format(x, two, sizeof two));
    GV_TRY(gv_pm_check_unit(inf, UNIT, X));
    GV_TRY(gv_pm_check_field(inf, PHI, X, &grid));
    GV_TRY(gv_pm_check_scalar(inf, KAPPA, X));
    if (inf->attr[SIGN] != 1 && inf->attr[SIGN] != -1)
        return gv_fail(GV_ERR_VALUE, "%s: sign is 1 or -1, not %lld", inf->op->name,
                       (long long)inf->attr[SIGN]);
    inf->out[0] = *p;
    inf->scratch = gv_pm_read_bytes(x->dtype, &grid, gv_pm_count(x));
    return GV_OK;
}

static gv_status infer_kick_tidal(gv_infer *inf)
{
    GV_TRY(infer_kick(inf));
    GV_TRY(gv_pm_check_vector(inf, V, X));
    GV_TRY(gv_pm_check_scalar(inf, SCALE, X));
    inf->nout = 3;
    inf->out[1] = inf->in[V];
    inf->out[2] = inf->in[SCALE];
    return GV_OK;
}

static gv_status forward(const gv_call *call, gv_pm_read_kind kind)
{
    int64_t batch = gv_batch_count(&call->in_type[X], 2);
    for (int64_t b = 0; b < batch; b++) {
        gv_pm_where w = gv_pm_where_of(call, X, UNIT, b);
        const int64_t *m = w.grid.mesh;
        int64_t cells = m[0] * m[1] * m[2];
        double quantum = ((const double *)call->in[UNIT])[2 * b + 1];
        double kappa = ((const double *)call->in[KAPPA])[b];
        if (!(quantum > 0) || !isfinite(quantum) || !isfinite(kappa))
            return gv_fail(GV_ERR_VALUE,
                           "%s: the quantum of momentum unit[1] = %g must be "
                           "positive and kappa = %g finite",
                           call->op->name, quantum, kappa);
        size_t real = gv_dtype_size(call->in_type[PHI].dtype);
        size_t bytes = (size_t)(3 * w.n * b) * gv_dtype_size(w.dtype);
        gv_pm_read read = { .kind = kind,
                            .mesh = (const char *)call->in[PHI] +
                                (size_t)(cells * b) * real,
                            .kick = (double)call->attr[SIGN] * kappa / quantum,
                            .p = (const char *)call->in[P] + bytes,
                            .p1 = (char *)call->out[0] + bytes };
        if (kind == GV_PM_KICK_TIDAL) { /* v and u are as wide as p */
            read.v = (const char *)call->in[V] + bytes;
            read.scale = ((const double *)call->in[SCALE])[b];
            read.out = (char *)call->out[1] + bytes;
            read.dot = (double *)call->out[2] + b;
        }
        GV_TRY(gv_pm_read_all(&w, &read, call->scratch));
    }
    return GV_OK;
}

static gv_status forward_kick(const gv_call *call) { return forward(call, GV_PM_KICK); }

static gv_status forward_kick_tidal(const gv_call *call)
{
    return forward(call, GV_PM_KICK_TIDAL);
}

/* Another operator of the family on the node's grid; GV_NONE if an input is. */
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

static gv_status vjp_kick(gv_graph *g, const gv_node *node, const gv_val *g_out,
                          gv_val *g_in)
{
    gv_val phi = node->in[PHI], x = node->in[X], unit = node->in[UNIT];
    double sign = (double)node->attr[SIGN];
    gv_val scale = gv_emit_scale(g, node->in[KAPPA], sign);
    if (gv_wanted(g_in[P])) g_in[P] = g_out[0];
    g_in[UNIT] = GV_NONE;
    if (gv_wanted(g_in[X]) || gv_wanted(g_in[KAPPA])) { /* first: phi may die then */
        gv_val u =
            emit(g, node, "pm_tidal", 5, (gv_val[]){ phi, x, unit, g_out[0], scale });
        if (gv_wanted(g_in[X])) g_in[X] = u;
        if (gv_wanted(g_in[KAPPA]))
            g_in[KAPPA] = u == GV_NONE ? GV_NONE : gv_emit_scale(g, u + 1, sign);
    }
    if (gv_wanted(g_in[PHI]))
        g_in[PHI] =
            emit(g, node, "pm_force_t", 4, (gv_val[]){ x, unit, g_out[0], scale });
    return GV_OK;
}

static gv_status jvp_kick(gv_graph *g, const gv_node *node, const gv_val *d_in,
                          gv_val *d_out)
{
    gv_val phi = node->in[PHI], x = node->in[X], unit = node->in[UNIT];
    double sign = (double)node->attr[SIGN];
    const gv_type *t = gv_in_type(g, node, X);
    gv_val a = emit(g, node, "pm_force", 3, (gv_val[]){ d_in[PHI], x, unit });
    gv_val b = emit(g, node, "pm_force_dot", 4, (gv_val[]){ phi, x, unit, d_in[X] });
    gv_val sum = gv_emit_sum2(g, a, b);
    if (sum != GV_NONE) {
        gv_val scale = gv_emit_scale(g, node->in[KAPPA], sign);
        sum = E2(mul, sum, gv_emit_over_rows(g, scale, t));
    }
    if (d_in[KAPPA] != GV_NONE) {
        gv_val force = emit(g, node, "pm_force", 3, (gv_val[]){ phi, x, unit });
        gv_val scale = gv_emit_scale(g, d_in[KAPPA], sign);
        sum = gv_emit_sum2(g, sum, E2(mul, force, gv_emit_over_rows(g, scale, t)));
    }
    d_out[0] = gv_emit_sum2(g, d_in[P], sum);
    return GV_OK;
}

#define HERE "lattice=(2,3,2) mesh=(4,3,5) lx=8.0 ly=7.5 lz=6.0 "
const gv_op gv_op_pm_kick = {
    .name = "pm_kick",
    .signature = "p(3,n), phi(x,y,z), x(3,n), unit(2), kappa -> p1(3,n)",
    .doc = "Fixed-point momenta changed by sign kappa pm_force, rounded; sign undoes.",
    .attrs = GV_PM_ATTRS ", sign:int",
    .samples = "f[3,12] r[4,3,5] f[3,12] h[2]{1,0.5} w[]{0.5,2} | " HERE "sign=1; "
               "f[3,12] r[8,9,10] f[3,12] h[2]{0.5,2} w[]{-2,-1} | lattice=(2,3,2) "
               "mesh=(8,9,10) lx=8.0 ly=7.5 lz=6.0 sign=-1; "
               "f[3,1] r[2,5,1] f[3,1] h[2]{1,1} w[] | lattice=(1,1,1) mesh=(2,5,1) "
               "lx=4.0 ly=3.0 lz=2.0 sign=1; "
               "f[3,1] r[1,4,7] f[3,1]{-9,9} h[2]{1,1} w[] | lattice=(1,1,1) "
               "mesh=(1,4,7) lx=4.0 ly=3.0 lz=2.0 sign=1",
    .flags = GV_INPLACE | GV_UNDO,
    .infer = infer_kick,
    .forward = forward_kick,
    .vjp = vjp_kick,
    .jvp = jvp_kick,
    .nin = 5,
};

const gv_op gv_op_pm_kick_tidal = {
    .name = "pm_kick_tidal",
    .signature = "p(3,n), phi(x,y,z), x(3,n), unit(2), kappa, v(3,n), scale -> "
                 "p1(3,n), u(3,n), dot",
    .doc =
        "pm_kick and pm_tidal at the same particles in one pass; made by the planner, "
        "after derivatives, and has none.",
    .attrs = GV_PM_ATTRS ", sign:int",
    .samples =
        "f[3,12] r[4,3,5] f[3,12] h[2]{1,0.5} w[]{0.5,2} r[3,12] w[] | " HERE "sign=1; "
        "f[3,12] r[8,9,10] f[3,12] h[2]{0.5,2} w[]{-2,-1} r[3,12] w[] | "
        "lattice=(2,3,2) mesh=(8,9,10) lx=8.0 ly=7.5 lz=6.0 sign=-1; "
        "f[3,1] r[2,5,1] f[3,1] h[2]{1,1} w[] r[3,1] w[] | lattice=(1,1,1) "
        "mesh=(2,5,1) lx=4.0 ly=3.0 lz=2.0 sign=1",
    .flags = GV_INPLACE,
    .infer = infer_kick_tidal,
    .forward = forward_kick_tidal,
    .nin = 7,
};
