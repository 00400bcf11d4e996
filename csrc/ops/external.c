/* external: a callable of the host language as a node (serial, opaque).
 *
 * attrs (id, n_args, nout, then per output: dtype, ndim, dims...). id >= 0 calls the
 * function with its n_args inputs; id < 0 is the derivative of function -id - 1: inputs
 * (args..., outputs..., cotangents of all outputs...), outputs the cotangents of the
 * differentiable args. The hook is set by pymod. */
#include "base/alloc.h"
#include "graph/program.h"
#include "ops/funcs.h"

extern const gv_op gv_op_external, gv_op_scan;

gv_status (*gv_external_hook)(const gv_call *call) = NULL;
bool (*gv_external_has_vjp)(int64_t id) = NULL;

static gv_status infer_external(gv_infer *inf)
{
    int nout = (int)inf->attr[2];
    GV_TRY(gv_infer_reserve(inf, nout));
    const int64_t *a = inf->attr + 3;
    for (int o = 0; o < nout; o++) {
        inf->out[o].dtype = (gv_dtype)a[0];
        inf->out[o].shape = gv_shape_make((int)a[1], a + 2);
        a += 2 + a[1];
    }
    return GV_OK;
}

static gv_status forward_external(const gv_call *call)
{
    if (!gv_external_hook) return gv_fail(GV_ERR_RUNTIME, "external: no host to call");
    return gv_external_hook(call);
}

static gv_status vjp_external(gv_graph *g, const gv_node *node, const gv_val *g_out,
                              gv_val *g_in)
{
    int64_t id = node->attr[0];
    int nin = node->nin, nout = node->nout, n = 0, no = 0;
    if (id < 0 || !gv_external_has_vjp || !gv_external_has_vjp(id))
        return gv_fail(GV_ERR_TYPE, "this gv.external has no derivative: give it vjp=");
    gv_val *in = gv_alloc((size_t)(nin + 2 * nout + 1) * sizeof *in);
    int64_t *attr = gv_alloc((size_t)(3 + nin * (2 + GV_MAX_DIM)) * sizeof *attr);
    gv_status s = in && attr ? GV_OK : GV_ERR_MEMORY;
    if (s == GV_OK) {
        for (int i = 0; i < nin; i++) in[n++] = node->in[i];
        for (int o = 0; o < nout; o++) in[n++] = node->first + o;
        for (int o = 0; o < nout; o++)
            in[n++] =
                g_out[o] != GV_NONE ? g_out[o] : gv_emit_zeros_like(g, node->first + o);
        int64_t *a = attr + 3;
        for (int i = 0; i < nin; i++) {
            const gv_type *t = gv_graph_type(g, node->in[i]);
            if (!gv_dtype_is_diff(t->dtype)) continue;
            *a++ = gv_dtype_cotangent(t->dtype);
            *a++ = t->shape.ndim;
            for (int k = 0; k < t->shape.ndim; k++) *a++ = t->shape.dim[k];
            no++;
        }
        attr[0] = -id - 1;
        attr[1] = nin;
        attr[2] = no;
        gv_val v = gv_emit(g, node->op, n, in, (int)(a - attr), attr);
        for (int i = 0; i < nin; i++) {
            if (!gv_dtype_is_diff(gv_graph_type(g, node->in[i])->dtype)) continue;
            if (g_in[i] != GV_NONE) g_in[i] = v;
            if (v != GV_NONE) v++;
        }
        s = gv_graph_status(g);
    }
    gv_free(in);
    gv_free(attr);
    return s;
}

/* One call per example: a scan whose body is the call. */
static gv_status batch_external(gv_graph *g, const gv_node *node, int64_t n,
                                const gv_val *in, const bool *batched, gv_val *out)
{
    int nin = node->nin, nx = 0, m = 0;
    gv_graph *h = gv_graph_new();
    gv_val *v = gv_alloc((size_t)(4 * nin + node->nout + 1) * sizeof *v);
    gv_func *f = NULL;
    gv_status s = h && v ? GV_OK : GV_ERR_MEMORY;
    if (s == GV_OK) {
        gv_val *args = v, *ins = args + nin, *list = ins + nin, *outs = list + nin;
        for (int i = 0; i < nin; i++)
            args[i] = gv_graph_input(h, gv_graph_type(g, node->in[i]));
        for (int pass = 1; pass >= 0; pass--)
            for (int i = 0; i < nin; i++)
                if (batched[i] == (pass == 1)) {
                    ins[m] = args[i];
                    list[m++] = in[i];
                    nx += pass;
                }
        gv_val r = gv_emit_like(h, node, args);
        for (int o = 0; o < node->nout; o++) outs[o] = r + o;
        s = gv_graph_status(h);
        gv_lab lab = { .g = h };
        if (s == GV_OK) s = gv_lab_func(&lab, nin, ins, node->nout, outs, &f);
        if (s == GV_OK) {
            int64_t attr[6] = { 0, nx, n, 0, 0, 0 };
            gv_val y = gv_emit_func(g, &gv_op_scan, nin, list, 6, attr, 1, &f);
            for (int o = 0; o < node->nout; o++) out[o] = y == GV_NONE ? y : y + o;
            s = gv_graph_status(g);
        }
    }
    gv_func_unref(f);
    gv_graph_free(h);
    gv_free(v);
    return s;
}

const gv_op gv_op_external = {
    .name = "external",
    .signature = "args... -> outputs...",
    .doc = "a callable of the host language",
    .attrs = "id:int, n_args:int, nout:int, types:any",
    .samples = "",
    .flags = GV_STATEFUL,
    .infer = infer_external,
    .forward = forward_external,
    .vjp = vjp_external,
    .batch = batch_external,
    .nin = -1,
};
