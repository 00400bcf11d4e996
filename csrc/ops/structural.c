/* Nodes that the graph itself needs: placeholders, constants, fresh identities. */
#include "graph/emit.h"
#include "graph/graph.h"

static gv_status infer_typed(gv_infer *inf)
{
    gv_type *t = &inf->out[0];
    t->dtype = (gv_dtype)inf->attr[0];
    t->shape = gv_shape_make((int)inf->attr[1], inf->attr + 2);
    return GV_OK;
}

static gv_status infer_same(gv_infer *inf)
{
    inf->out[0] = inf->in[0];
    return GV_OK;
}

static gv_status never(const gv_call *call)
{
    return gv_fail(GV_ERR_RUNTIME, "%s is not executed", call->op->name);
}

static gv_status vjp_alias(gv_graph *g, const gv_node *node, const gv_val *g_out,
                           gv_val *g_in)
{
    (void)g, (void)node;
    g_in[0] = g_out[0];
    return GV_OK;
}

static gv_status jvp_alias(gv_graph *g, const gv_node *node, const gv_val *d_in,
                           gv_val *d_out)
{
    (void)g, (void)node;
    d_out[0] = d_in[0];
    return GV_OK;
}

const gv_op gv_op_input = {
    .name = "input",
    .signature = "-> x",
    .doc = "placeholder",
    .attrs = "dtype:int, shape:ints",
    .samples = "",
    .flags = GV_NODIFF | GV_UNIQUE,
    .infer = infer_typed,
    .forward = never,
    .nin = 0,
};

const gv_op gv_op_const = {
    .name = "const",
    .signature = "-> x",
    .doc = "small constant, held as bytes of the node",
    .attrs = "dtype:int, shape:ints, data:bytes",
    .samples = "",
    .flags = GV_NODIFF,
    .infer = infer_typed,
    .forward = never,
    .nin = 0,
};

const gv_op gv_op_alias = {
    .name = "alias",
    .signature = "x -> x",
    .doc = "fresh identity: derivatives with respect to it follow no other path",
    .attrs = "",
    .samples = "",
    .flags = GV_LINEAR | GV_UNIQUE | GV_VIEW,
    .infer = infer_same,
    .forward = never,
    .vjp = vjp_alias,
    .jvp = jvp_alias,
    .nin = 1,
};

const gv_op gv_op_stop_gradient = {
    .name = "stop_gradient",
    .signature = "x -> x",
    .doc = "identity with zero derivative",
    .attrs = "",
    .samples = "",
    .flags = GV_NODIFF | GV_VIEW,
    .infer = infer_same,
    .forward = never,
    .nin = 1,
};
