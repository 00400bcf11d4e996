/* Cubic Hermite tables as operators: hermite reads one, hermite_t is its transpose in
 * values and slopes. Each is the derivative of the other in those; in x, that of order
 * k is the read of order k + 1 (sim/supernova/hermite.h). */
#include <math.h>

#include "ops/ops.h"
#include "ops/rank.h"
#include "sim/supernova/hermite.h"

static gv_status check(const gv_infer *inf, int inputs, int64_t m, const int64_t *grid)
{
    double x0 = gv_attr_float(grid[0]), h = gv_attr_float(grid[1]);
    for (int i = 0; i < inputs; i++) {
        char text[96];
        if (inf->in[i].dtype != GV_F64)
            return gv_fail(GV_ERR_TYPE, "%s: input %d is %s, float64 needed",
                           inf->op->name, i,
                           gv_type_format(&inf->in[i], text, sizeof text));
        GV_TRY(gv_check_rank(inf, i, 1));
        GV_TRY(gv_check_batch(inf, i, 1, 0, 1));
    }
    if (m < 2)
        return gv_fail(GV_ERR_VALUE, "%s: a table of %lld nodes; 2 or more are needed",
                       inf->op->name, (long long)m);
    if (!isfinite(x0) || !(h > 0) || !isfinite(h))
        return gv_fail(GV_ERR_VALUE, "%s: first node %g, step %g; the step is positive",
                       inf->op->name, x0, h);
    if (grid[2] < 0 || grid[2] > 3)
        return gv_fail(GV_ERR_VALUE, "%s: order %lld is not 0, 1, 2 or 3",
                       inf->op->name, (long long)grid[2]);
    return GV_OK;
}

static gv_status differ(const gv_infer *inf, int i, int j)
{
    char one[96], two[96];
    return gv_fail(GV_ERR_VALUE, "%s: %s does not fit %s", inf->op->name,
                   gv_type_format(&inf->in[j], one, sizeof one),
                   gv_type_format(&inf->in[i], two, sizeof two));
}

static gv_hermite table_of(int64_t m, const int64_t *grid)
{
    return (gv_hermite){ gv_attr_float(grid[0]), gv_attr_float(grid[1]), m,
                         (int)grid[2] };
}

static gv_val emit_read(gv_graph *g, gv_val v, gv_val s, gv_val x, const int64_t *grid,
                        int64_t order)
{
    if (order > 3) return GV_NONE;
    return gv_emit(g, &gv_op_hermite, 3, (gv_val[]){ v, s, x }, 3,
                   (int64_t[]){ grid[0], grid[1], order });
}

static gv_val product(gv_graph *g, gv_val a, gv_val b)
{
    return gv_emit_2(g, &gv_op_mul, a, b);
}

/* --- hermite ------------------------------------------------------------------------ */

static gv_status read_infer(gv_infer *inf)
{
    if (inf->in[0].shape.ndim < 1) return gv_check_rank(inf, 0, 1);
    GV_TRY(check(inf, 3, gv_dim_back(&inf->in[0], 1), inf->attr));
    if (gv_dim_back(&inf->in[0], 1) != gv_dim_back(&inf->in[1], 1))
        return differ(inf, 0, 1);
    inf->out[0] = inf->in[2];
    return GV_OK;
}

static gv_status read_forward(const gv_call *call)
{
    int64_t m = gv_dim_back(call->in_type, 1), n = gv_dim_back(call->out_type, 1);
    gv_hermite t = table_of(m, call->attr);
    const double *v = call->in[0], *s = call->in[1], *x = call->in[2];
    double *y = call->out[0];
    for (int64_t b = 0; b < gv_batch_count(call->in_type, 1); b++)
        gv_hermite_read(&t, v + b * m, s + b * m, n, x + b * n, y + b * n);
    return GV_OK;
}

static gv_status read_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                          gv_val *g_in)
{
    const gv_val *in = node->in;
    const int64_t *a = node->attr;
    if (g_in[0] != GV_NONE || g_in[1] != GV_NONE) {
        int64_t attr[4] = { a[0], a[1], a[2], gv_dim_back(gv_in_type(g, node, 0), 1) };
        gv_val t =
            gv_emit(g, &gv_op_hermite_t, 2, (gv_val[]){ g_out[0], in[2] }, 4, attr);
        GV_TRY(gv_graph_status(g));
        if (g_in[0] != GV_NONE) g_in[0] = t;
        if (g_in[1] != GV_NONE) g_in[1] = t + 1;
    }
    if (g_in[2] != GV_NONE)
        g_in[2] = product(g, g_out[0], emit_read(g, in[0], in[1], in[2], a, a[2] + 1));
    return GV_OK;
}

const gv_op gv_op_hermite = {
    .name = "hermite",
    .signature = "v(m), s(m), x(n) -> y(n)",
    .doc = "Cubic Hermite table with values v and slopes s at x0, x0 + h, ..., read at "
           "x; order 1 to 3: that derivative in x.",
    .attrs = "x0:float, h:float, order:int",
    .samples = "w{-1,1}[5] w{-1,1}[5] w{0.1,1.9}[7] | x0=0.0 h=0.5 order=0; "
               "w{-1,1}[2,3] w{-1,1}[2,3] w{-1.5,1.5}[2,4] | x0=-1.0 h=1.0 order=1; "
               "w{-1,1}[2] w{-1,1}[2] w{0,0.3}[1] | x0=0.0 h=0.3 order=2; "
               "w{-1,1}[4] w{-1,1}[4] w{0,1}[6] | x0=0.0 h=0.3 order=3; "
               "w{-1,1}[3] w{-1,1}[3] w{0,1}[0] | x0=0.0 h=0.5 order=0; "
               "w{-1,1}[9] w{-1,1}[9] w{-0.2,4.3}[20000] | x0=0.0 h=0.5 order=0",
    .flags = 0,
    .infer = read_infer,
    .forward = read_forward,
    .vjp = read_vjp,
    .nin = 3,
};

/* --- hermite_t ---------------------------------------------------------------------- */

static gv_status push_infer(gv_infer *inf)
{
    if (inf->in[0].shape.ndim < 1) return gv_check_rank(inf, 0, 1);
    int64_t m = inf->attr[3], n = gv_dim_back(&inf->in[0], 1);
    GV_TRY(check(inf, 2, m, inf->attr));
    if (n != gv_dim_back(&inf->in[1], 1)) return differ(inf, 0, 1);
    inf->nout = 2;
    inf->out[0] = inf->in[0];
    inf->out[0].shape.dim[inf->in[0].shape.ndim - 1] = m;
    inf->out[1] = inf->out[0];
    inf->scratch = gv_hermite_push_scratch(m, n);
    return GV_OK;
}

static gv_status push_forward(const gv_call *call)
{
    int64_t m = call->attr[3], n = gv_dim_back(call->in_type, 1);
    gv_hermite t = table_of(m, call->attr);
    const double *g = call->in[0], *x = call->in[1];
    double *v = call->out[0], *s = call->out[1];
    for (int64_t b = 0; b < gv_batch_count(call->in_type, 1); b++)
        gv_hermite_push(&t, n, g + b * n, x + b * n, v + b * m, s + b * m,
                        call->scratch);
    return GV_OK;
}

static gv_status push_vjp(gv_graph *g, const gv_node *node, const gv_val *g_out,
                          gv_val *g_in)
{
    const int64_t *a = node->attr;
    gv_val out[2];
    for (int k = 0; k < 2; k++)
        out[k] = g_out[k] != GV_NONE ? g_out[k]
                                     : gv_emit_zeros_like(g, gv_node_out(node, k));
    gv_val x = node->in[1];
    if (g_in[1] != GV_NONE)
        g_in[1] = product(g, node->in[0], emit_read(g, out[0], out[1], x, a, a[2] + 1));
    if (g_in[0] != GV_NONE) g_in[0] = emit_read(g, out[0], out[1], x, a, a[2]);
    return GV_OK;
}

const gv_op gv_op_hermite_t = {
    .name = "hermite_t",
    .signature = "g(n), x(n) -> g_v(m), g_s(m)",
    .doc = "Transpose of hermite in values and slopes: g added to the nodes about x.",
    .attrs = "x0:float, h:float, order:int, m:int",
    .samples = "w{-1,1}[7] w{0.1,1.9}[7] | x0=0.0 h=0.5 order=0 m=5; "
               "w{-1,1}[2,4] w{-1.5,1.5}[2,4] | x0=-1.0 h=1.0 order=1 m=3; "
               "w{-1,1}[1] w{0,0.3}[1] | x0=0.0 h=0.3 order=2 m=2; "
               "w{-1,1}[0] w{0,1}[0] | x0=0.0 h=0.5 order=0 m=3; "
               "w{-1,1}[20000] w{-0.2,4.3}[20000]! | x0=0.0 h=0.5 order=0 m=9",
    .flags = 0,
    .infer = push_infer,
    .forward = push_forward,
    .vjp = push_vjp,
    .nin = 2,
};
