/* linear_adam: Adam on the weight of a linear layer, whose gradient h^T x (nn_linear.c) is
 * used up as it is made. The planner puts it in the place of linear_back and adam_update
 * where the weight is large and the batch is short: the gradient is then never stored. */
#include "kernels/dense.h"
#include "graph/graph.h"
#include "ops/linear.h"
#include "ops/ops.h"
#include "ops/rank.h"

/* inputs of the operator; of adam_update: P, M, V, g, then the scalars from 4 on */
enum { P, M, V, SIZE, ROOT, EPS, KEEP, FACTOR, GY, X, Y };
enum { ACT, B1, B2, DECAY };
enum { adam_scalar = 4 };

static gv_dense describe(const gv_type *gy, const gv_type *x, bool relu)
{
    int64_t m = gv_dim_back(x, 2), k = gv_dim_back(x, 1), n = gv_dim_back(gy, 1);
    return (gv_dense){ .dtype = x->dtype,
                       .groups = 1,
                       .m = m,
                       .n = n,
                       .k = k,
                       .x_row = k,
                       .x_step = m * k,
                       .y_row = n,
                       .y_step = m * n,
                       .relu = relu };
}

static gv_status adam_infer(gv_infer *inf)
{
    bool relu = inf->attr[ACT] != 0;
    char one[96], two[96];
    if (inf->nin != (relu ? Y : X) + 1)
        return gv_fail(GV_ERR_VALUE, "linear_adam takes %d inputs with act %d",
                       (relu ? Y : X) + 1, relu);
    const gv_type *p = &inf->in[P], *gy = &inf->in[GY], *x = &inf->in[X];
    if (!gv_dtype_is_float(p->dtype))
        return gv_fail(GV_ERR_TYPE, "linear_adam takes float32 or float64, not %s",
                       gv_dtype_name(p->dtype));
    for (int i = 0; i < inf->nin; i++) {
        int rank = i <= V ? 1 : i < GY ? 0 : 2;
        if (i >= SIZE && i < GY) {
            if (inf->in[i].dtype != GV_F64)
                return gv_fail(GV_ERR_TYPE, "linear_adam: input %d must be float64", i);
        } else {
            GV_TRY(gv_check_same_dtype(inf, P, i));
        }
        GV_TRY(gv_check_rank(inf, i, rank));
        GV_TRY(gv_check_batch(inf, P, 1, i, rank));
    }
    int64_t size = gv_dim_back(p, 1);
    bool fits = gv_dim_back(gy, 2) == gv_dim_back(x, 2) &&
        size == gv_dim_back(gy, 1) * gv_dim_back(x, 1);
    for (int i = M; i <= V; i++) fits &= gv_dim_back(&inf->in[i], 1) == size;
    if (relu) fits &= gv_shape_equal(&gy->shape, &inf->in[Y].shape);
    if (!fits)
        return gv_fail(GV_ERR_VALUE, "linear_adam: %s and %s do not fit the weight",
                       gv_type_format(gy, one, sizeof one),
                       gv_type_format(x, two, sizeof two));
    inf->nout = 3;
    for (int o = 0; o < 3; o++) inf->out[o] = *p;
    gv_dense d = describe(gy, x, relu);
    inf->scratch = gv_dense_adam_scratch(&d);
    return GV_OK;
}

/* Entry e of input or output data whose entries have so many elements. */
static const char *entry(const void *base, int64_t e, int64_t size, gv_dtype dtype)
{
    return (const char *)base + (size_t)(e * size) * gv_dtype_size(dtype);
}

static gv_status adam_forward(const gv_call *call)
{
    gv_dense d = describe(&call->in_type[GY], &call->in_type[X], call->attr[ACT] != 0);
    gv_adam a = { .b1 = gv_attr_float(call->attr[B1]),
                  .b2 = gv_attr_float(call->attr[B2]),
                  .decay = gv_attr_float(call->attr[DECAY]) };
    int64_t batch = gv_batch_count(&call->in_type[P], 1);
    for (int64_t e = 0; e < batch; e++) {
        const void *from[3];
        void *to[3];
        for (int i = 0; i < 3; i++) {
            from[i] = entry(call->in[i], e, d.n * d.k, d.dtype);
            to[i] = (void *)(uintptr_t)entry(call->out[i], e, d.n * d.k, d.dtype);
        }
        a.size = ((const double *)call->in[SIZE])[e];
        a.root = ((const double *)call->in[ROOT])[e];
        a.eps = ((const double *)call->in[EPS])[e];
        a.keep = ((const double *)call->in[KEEP])[e];
        a.factor = ((const double *)call->in[FACTOR])[e];
        gv_dense_adam(&d, &a, entry(call->in[GY], e, d.m * d.n, d.dtype),
                      d.relu ? entry(call->in[Y], e, d.m * d.n, d.dtype) : NULL,
                      entry(call->in[X], e, d.m * d.k, d.dtype), from, to,
                      call->scratch);
    }
    return GV_OK;
}

static int adam_in_place(const gv_node *node)
{
    (void)node;
    return 3;
}

#define SCALARS " w{0.01,0.1}[] w{1,3}[] w{0.1,0.2}[] w{0.5,1}[] w{0.5,1}[]"

const gv_op gv_op_linear_adam = {
    .name = "linear_adam",
    .signature =
        "p(nk), m(nk), v(nk), size(), root(), eps(), keep(), factor(), g_y(b,n), "
        "x(b,k), y(b,n)? -> p(nk), m(nk), v(nk)",
    .doc = "adam_update with the weight gradient of linear_back; made by the planner, "
           "after derivatives, and has none.",
    .attrs = "act:int, b1:float, b2:float, decay:float",
    .samples =
        "r[6] r[6] p[6]" SCALARS " r[4,2] r[4,3] | act=0 b1=0.9 b2=0.99 decay=0.0; "
        "r[6] r[6] p[6]" SCALARS
        " r[4,2] r[4,3] r[4,2] | act=1 b1=0.8 b2=0.9 decay=0.1; "
        "r[1] r[1] p[1]" SCALARS " r[1,1] r[1,1] | act=0 b1=0.9 b2=0.999 decay=0.0; "
        "r[3900] r[3900] p[3900]" SCALARS
        " r[7,3] r[7,1300] | act=0 b1=0.9 b2=0.999 decay=0.0; "
        "r[6] r[6] p[6]" SCALARS " r[0,2] r[0,3] | act=0 b1=0.9 b2=0.99 decay=0.1",
    .infer = adam_infer,
    .forward = adam_forward,
    .carries = adam_in_place,
    .nin = -1,
};

/* --- put in place by the planner --------------------------------------------------------*/

/* Worth it where the gradient would not stay in the cache, and what is kept for it, g_y
 * and x, is much smaller than it. */
static bool worth_it(const gv_type *gy, const gv_type *x)
{
    int64_t m = x->shape.dim[0], k = x->shape.dim[1], n = gy->shape.dim[1];
    return n * k >= (int64_t)1 << 20 && 8 * m <= k && m <= 512;
}

bool gv_linear_absorb(gv_graph *g, const gv_node *user, const gv_node *maker,
                      int output)
{
    if (maker->op != &gv_op_linear_back) return false;
    int64_t want = maker->attr[GV_LINEAR_WANT], rest = want & ~(int64_t)GV_WANT_W;
    int first = want & GV_WANT_X ? 1 : 0; /* outputs in front of g_w */
    const gv_type *gy = gv_in_type(g, maker, 0), *x = gv_in_type(g, maker, 1);
    if (!(want & GV_WANT_W) || output != first || x->shape.ndim != 2 ||
        user->type[0].shape.ndim != 1 || !worth_it(gy, x))
        return false;
    bool relu = maker->attr[GV_LINEAR_ACT] != 0;
    gv_val in[Y + 1] = { user->in[P], user->in[M], user->in[V] };
    for (int i = 0; i < 5; i++) in[SIZE + i] = user->in[adam_scalar + i];
    in[GY] = maker->in[0];
    in[X] = maker->in[1];
    if (relu) in[Y] = maker->in[3];
    int64_t attr[4] = { relu, user->attr[0], user->attr[1], user->attr[2] };
    gv_val v = gv_emit(g, &gv_op_linear_adam, (relu ? Y : X) + 1, in, 4, attr);
    if (v == GV_NONE) return false;
    for (int o = 0; o < 3; o++) gv_graph_replace(g, user->first + o, v + o);
    if (!rest) return true;
    int64_t less[4] = { relu, 0, 0, rest };
    v = gv_emit(g, &gv_op_linear_back, maker->nin, maker->in, 4, less);
    if (v == GV_NONE) return false;
    for (int o = 0; o < maker->nout; o++)
        if (o != output) gv_graph_replace(g, maker->first + o, v + o - (o > output));
    return true;
}
