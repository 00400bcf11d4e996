/* call: a function as a node. kind 0 plain, 1 checkpoint (the backward pass runs the
 * function again from its inputs), 2 custom derivative.
 *
 * attrs (kind[, n_args, n_res]); funcs (f[, forward, backward]).
 * forward: inputs of f -> (outputs..., residuals...);
 * backward: (residuals..., cotangents of the outputs...[, captured...]) -> cotangents of
 * the first n_args inputs; the others (captured) get zero. */
#include <string.h>

#include "base/alloc.h"
#include "graph/program.h"
#include "ops/funcs.h"

extern const gv_op gv_op_call;

enum { KIND, N_ARGS, N_RES };

static gv_status infer_call(gv_infer *inf)
{
    gv_func *f = inf->func[0];
    if (f->nin != inf->nin)
        return gv_fail(GV_ERR_RUNTIME, "call: %d inputs for a function of %d", inf->nin,
                       f->nin);
    for (int i = 0; i < f->nin; i++) {
        const gv_type *t = gv_func_in_type(f, i);
        if (t->dtype != inf->in[i].dtype ||
            !gv_shape_equal(&t->shape, &inf->in[i].shape))
            return gv_fail(GV_ERR_VALUE, "call: input %d has the wrong type", i);
    }
    GV_TRY(gv_infer_reserve(inf, f->nout));
    for (int o = 0; o < f->nout; o++) inf->out[o] = *gv_func_out_type(f, o);
    return GV_OK;
}

static gv_status forward_call(const gv_call *call)
{
    return gv_sub_run(call, 0, call->in, call->out);
}

static gv_status vjp_custom(gv_graph *g, const gv_node *node, const gv_val *g_out,
                            gv_val *g_in)
{
    const gv_func *fwd = node->func[1], *bwd = node->func[2];
    int n_args = (int)node->attr[N_ARGS], n_res = (int)node->attr[N_RES];
    int extra = bwd->nin - n_res - node->nout, captured = node->nin - n_args;
    if (extra != 0 && extra != captured)
        return gv_fail(GV_ERR_RUNTIME, "custom_vjp: backward takes %d inputs",
                       bwd->nin);
    gv_val *v = gv_alloc((size_t)(fwd->nout + bwd->nin + bwd->nout + 1) * sizeof *v);
    if (!v) return GV_ERR_MEMORY;
    gv_val *in = v + fwd->nout, *out = in + bwd->nin;
    gv_status s = gv_func_inline(g, fwd, node->in, v);
    for (int o = 0; s == GV_OK && o < node->nout; o++) {
        gv_graph_replace(g, node->first + o, v[o]);
        in[n_res + o] = g_out[o] != GV_NONE ? g_out[o] : gv_emit_zeros_like(g, v[o]);
    }
    for (int i = 0; i < n_res; i++) in[i] = v[node->nout + i];
    for (int i = 0; i < extra; i++) in[n_res + node->nout + i] = node->in[n_args + i];
    if (s == GV_OK) s = gv_graph_status(g);
    if (s == GV_OK) s = gv_func_inline(g, bwd, in, out);
    for (int i = 0; s == GV_OK && i < node->nin; i++)
        if (g_in[i] != GV_NONE) g_in[i] = i < n_args ? out[i] : GV_NONE;
    gv_free(v);
    return s;
}

static gv_status vjp_call(gv_graph *g, const gv_node *node, const gv_val *g_out,
                          gv_val *g_in)
{
    if (node->attr[KIND] == 2) return vjp_custom(g, node, g_out, g_in);
    int nin = node->nin, nout = node->nout, n = nin;
    gv_val *in = gv_alloc((size_t)(nin + nout + 1) * sizeof *in);
    bool *flag = gv_alloc_zero((size_t)(nin + nout + 1));
    if (!in || !flag) {
        gv_free(in), gv_free(flag);
        return GV_ERR_MEMORY;
    }
    memcpy(in, node->in, (size_t)nin * sizeof *in);
    for (int o = 0; o < nout; o++) {
        flag[nin + o] = g_out[o] != GV_NONE;
        if (flag[nin + o]) in[n++] = g_out[o];
    }
    for (int i = 0; i < nin; i++) flag[i] = g_in[i] != GV_NONE;
    gv_func *f = NULL;
    gv_status s = gv_func_vjp(node->func[0], flag + nin, flag, &f);
    if (s == GV_OK) {
        int64_t kind = node->attr[KIND];
        gv_val v = gv_emit_func(g, &gv_op_call, n, in, 1, &kind, 1, &f);
        for (int i = 0; i < nin; i++)
            if (flag[i]) g_in[i] = v == GV_NONE ? v : v++;
        s = gv_graph_status(g);
    }
    gv_func_unref(f);
    gv_free(in);
    gv_free(flag);
    return s;
}

static gv_status jvp_call(gv_graph *g, const gv_node *node, const gv_val *d_in,
                          gv_val *d_out)
{
    int nin = node->nin, n = nin;
    gv_val *in = gv_alloc((size_t)(2 * nin + 1) * sizeof *in);
    bool *flag = gv_alloc_zero((size_t)nin + 1);
    if (!in || !flag) {
        gv_free(in), gv_free(flag);
        return GV_ERR_MEMORY;
    }
    memcpy(in, node->in, (size_t)nin * sizeof *in);
    for (int i = 0; i < nin; i++) {
        flag[i] = d_in[i] != GV_NONE;
        if (flag[i]) in[n++] = d_in[i];
    }
    gv_func *f = NULL;
    gv_status s = gv_func_jvp(node->func[0], flag, false, &f);
    if (s == GV_OK) {
        int64_t kind = node->attr[KIND] == 1;
        gv_val v =
            f->nout ? gv_emit_func(g, &gv_op_call, n, in, 1, &kind, 1, &f) : GV_NONE;
        for (int o = 0; o < node->nout; o++)
            d_out[o] =
                v != GV_NONE && gv_dtype_is_diff(node->type[o].dtype) ? v++ : GV_NONE;
        s = gv_graph_status(g);
    }
    gv_func_unref(f);
    gv_free(in);
    gv_free(flag);
    return s;
}

/* All inputs and outputs batched: simple, and right for the three functions at once. */
static gv_status batch_call(gv_graph *g, const gv_node *node, int64_t n,
                            const gv_val *in, const bool *batched, gv_val *out)
{
    gv_func *f[3] = { NULL, NULL, NULL };
    gv_val *full = gv_alloc(((size_t)node->nin + 1) * sizeof *full);
    gv_status s = full ? GV_OK : GV_ERR_MEMORY;
    for (int i = 0; s == GV_OK && i < node->nin; i++)
        full[i] = batched[i] ? in[i] : gv_emit_lead(g, in[i], n);
    for (int k = 0; s == GV_OK && k < node->nfunc; k++) {
        int m = node->func[k]->nin + node->func[k]->nout + 1;
        bool *all = gv_alloc((size_t)m);
        if (!all)
            s = GV_ERR_MEMORY;
        else
            memset(all, 1, (size_t)m);
        if (s == GV_OK)
            s = gv_func_batch(node->func[k], n, all, all + node->func[k]->nin, &f[k]);
        gv_free(all);
    }
    if (s == GV_OK) {
        gv_val v = gv_emit_func(g, &gv_op_call, node->nin, full, node->nattr,
                                node->attr, node->nfunc, f);
        for (int o = 0; o < node->nout; o++) out[o] = v + o;
        s = gv_graph_status(g);
    }
    for (int k = 0; k < 3; k++) gv_func_unref(f[k]);
    gv_free(full);
    return s;
}

const gv_op gv_op_call = {
    .name = "call",
    .signature = "inputs... -> outputs...",
    .doc = "a function as a node: plain, checkpointed, or with its own derivative",
    .attrs = "kind:int, n_args:int, n_res:int",
    .samples = "",
    .flags = GV_CALLS,
    .infer = infer_call,
    .forward = forward_call,
    .vjp = vjp_call,
    .jvp = jvp_call,
    .batch = batch_call,
    .nin = -1,
};
