/* cond and while: control flow that depends on values.
 *
 * cond   inputs (pred, operands...); funcs (then, else), both (operands...) -> outputs.
 * while  inputs (carry..., captured...); attrs (n_carry); funcs (test, body);
 *        forward mode only. */
#include <string.h>

#include "base/alloc.h"
#include "graph/program.h"
#include "ops/funcs.h"

extern const gv_op gv_op_cond, gv_op_while, gv_op_where, gv_op_reduce_max;

#define ALIGN(x) (((size_t)(x) + 63) & ~(size_t)63)

static bool same_type(const gv_type *a, const gv_type *b)
{
    return a->dtype == b->dtype && gv_shape_equal(&a->shape, &b->shape);
}

static gv_status infer_cond(gv_infer *inf)
{
    gv_func *f = inf->func[0], *h = inf->func[1];
    if (inf->nin < 1 || inf->in[0].dtype != GV_BOOL || inf->in[0].shape.ndim != 0)
        return gv_fail(GV_ERR_TYPE, "cond: the predicate must be a boolean scalar");
    if (f->nin != inf->nin - 1 || h->nin != f->nin || h->nout != f->nout)
        return gv_fail(GV_ERR_VALUE, "cond: the branches return %d and %d values",
                       f->nout, h->nout);
    GV_TRY(gv_infer_reserve(inf, f->nout));
    for (int o = 0; o < f->nout; o++) {
        inf->out[o] = *gv_func_out_type(f, o);
        char a[160], b[160];
        if (!same_type(&inf->out[o], gv_func_out_type(h, o)))
            return gv_fail(GV_ERR_VALUE,
                           "cond: result %d is %s in one branch and %s in the other", o,
                           gv_type_format(&inf->out[o], a, sizeof a),
                           gv_type_format(gv_func_out_type(h, o), b, sizeof b));
    }
    return GV_OK;
}

static gv_status forward_cond(const gv_call *call)
{
    return gv_sub_run(call, *(const uint8_t *)call->in[0] ? 0 : 1, call->in + 1,
                      call->out);
}

static gv_status vjp_cond(gv_graph *g, const gv_node *node, const gv_val *g_out,
                          gv_val *g_in)
{
    int nin = node->nin, nout = node->nout, n = nin;
    gv_val *in = gv_alloc((size_t)(nin + nout + 1) * sizeof *in);
    bool *flag = gv_alloc_zero((size_t)(nin + nout + 1));
    gv_func *f[2] = { NULL, NULL };
    gv_status s = in && flag ? GV_OK : GV_ERR_MEMORY;
    if (s == GV_OK) {
        memcpy(in, node->in, (size_t)nin * sizeof *in);
        for (int o = 0; o < nout; o++)
            if ((flag[nin + o] = g_out[o] != GV_NONE)) in[n++] = g_out[o];
        for (int i = 1; i < nin; i++) flag[i] = g_in[i] != GV_NONE;
        for (int k = 0; s == GV_OK && k < 2; k++)
            s = gv_func_vjp(node->func[k], flag + nin, flag + 1, &f[k]);
    }
    if (s == GV_OK) {
        gv_val v = gv_emit_func(g, node->op, n, in, 0, NULL, 2, f);
        for (int i = 1; i < nin; i++)
            if (flag[i]) g_in[i] = v == GV_NONE ? v : v++;
        s = gv_graph_status(g);
    }
    gv_func_unref(f[0]), gv_func_unref(f[1]);
    gv_free(in), gv_free(flag);
    return s;
}

static gv_status jvp_cond(gv_graph *g, const gv_node *node, const gv_val *d_in,
                          gv_val *d_out)
{
    int nin = node->nin, n = nin;
    gv_val *in = gv_alloc((size_t)(2 * nin + 1) * sizeof *in);
    bool *flag = gv_alloc_zero((size_t)nin + 1);
    gv_func *f[2] = { NULL, NULL };
    gv_status s = in && flag ? GV_OK : GV_ERR_MEMORY;
    if (s == GV_OK) {
        memcpy(in, node->in, (size_t)nin * sizeof *in);
        for (int i = 1; i < nin; i++)
            if ((flag[i] = d_in[i] != GV_NONE)) in[n++] = d_in[i];
        for (int k = 0; s == GV_OK && k < 2; k++)
            s = gv_func_jvp(node->func[k], flag + 1, false, &f[k]);
    }
    if (s == GV_OK) {
        gv_val v =
            f[0]->nout ? gv_emit_func(g, node->op, n, in, 0, NULL, 2, f) : GV_NONE;
        for (int o = 0; o < node->nout; o++)
            d_out[o] =
                v != GV_NONE && gv_dtype_is_diff(node->type[o].dtype) ? v++ : GV_NONE;
        s = gv_graph_status(g);
    }
    gv_func_unref(f[0]), gv_func_unref(f[1]);
    gv_free(in), gv_free(flag);
    return s;
}

/* where(pred (n,), a, b) with pred broadcast over the other axes of a. */
static gv_val select_rows(gv_graph *g, gv_val pred, gv_val a, gv_val b)
{
    if (gv_graph_status(g) != GV_OK || a == GV_NONE || b == GV_NONE) return GV_NONE;
    gv_shape s = gv_graph_type(g, a)->shape, column = s;
    for (int i = 1; i < column.ndim; i++) column.dim[i] = 1;
    gv_val p = gv_emit_broadcast(g, gv_emit_reshape(g, pred, &column), &s);
    return gv_emit_3(g, &gv_op_where, p, a, b);
}

static gv_status batch_cond(gv_graph *g, const gv_node *node, int64_t n,
                            const gv_val *in, const bool *batched, gv_val *out)
{
    int nin = node->nin, nout = node->nout;
    bool *flag = gv_alloc((size_t)nout + 1);
    gv_val *v = gv_alloc((size_t)(2 * nout + 1) * sizeof *v);
    gv_func *f[2] = { NULL, NULL };
    gv_status s = flag && v ? GV_OK : GV_ERR_MEMORY;
    for (int k = 0; s == GV_OK && k < 2; k++) {
        memset(flag, 1, (size_t)nout);
        s = gv_func_batch(node->func[k], n, batched + 1, flag, &f[k]);
    }
    if (s == GV_OK && !batched[0]) {
        gv_val r = gv_emit_func(g, node->op, nin, in, 0, NULL, 2, f);
        for (int o = 0; o < nout; o++) out[o] = r == GV_NONE ? r : r + o;
        s = gv_graph_status(g);
    } else if (s == GV_OK) { /* both branches, then a choice per example */
        s = gv_func_inline(g, f[0], in + 1, v);
        if (s == GV_OK) s = gv_func_inline(g, f[1], in + 1, v + nout);
        for (int o = 0; s == GV_OK && o < nout; o++) {
            out[o] = select_rows(g, in[0], v[o], v[nout + o]);
            s = gv_graph_status(g);
        }
    }
    gv_func_unref(f[0]), gv_func_unref(f[1]);
    gv_free(flag), gv_free(v);
    return s;
}

const gv_op gv_op_cond = {
    .name = "cond",
    .signature = "pred(), operands... -> outputs...",
    .doc = "one of two functions, chosen when it runs",
    .attrs = "",
    .samples = "",
    .infer = infer_cond,
    .forward = forward_cond,
    .vjp = vjp_cond,
    .jvp = jvp_cond,
    .batch = batch_cond,
    .nin = -1,
};

/* --- while --------------------------------------------------------------------------- */
static gv_status infer_while(gv_infer *inf)
{
    int nc = (int)inf->attr[0];
    gv_func *test = inf->func[0], *body = inf->func[1];
    if (test->nin != inf->nin || body->nin != inf->nin || body->nout != nc ||
        test->nout != 1)
        return gv_fail(GV_ERR_RUNTIME, "while: functions do not match the carries");
    const gv_type *t = gv_func_out_type(test, 0);
    if (t->dtype != GV_BOOL || t->shape.ndim != 0)
        return gv_fail(GV_ERR_TYPE, "while: the test must return a boolean scalar");
    GV_TRY(gv_infer_reserve(inf, nc));
    inf->scratch = ALIGN((size_t)(inf->nin + nc) * sizeof(void *)) + 64;
    for (int i = 0; i < nc; i++) {
        char a[160], b[160];
        inf->out[i] = inf->in[i];
        if (!same_type(&inf->in[i], gv_func_out_type(body, i)))
            return gv_fail(GV_ERR_VALUE,
                           "while: carry %d goes in as %s and comes out as %s", i,
                           gv_type_format(&inf->in[i], a, sizeof a),
                           gv_type_format(gv_func_out_type(body, i), b, sizeof b));
        size_t bytes;
        GV_TRY(gv_type_bytes(&inf->in[i], &bytes));
        inf->scratch += ALIGN(bytes);
    }
    return GV_OK;
}

static gv_status forward_while(const gv_call *call)
{
    int nc = (int)call->attr[0];
    const void **in = call->scratch;
    void **other = (void **)call->scratch + call->nin;
    char *at = (char *)call->scratch + ALIGN((size_t)(call->nin + nc) * sizeof(void *));
    uint8_t *go = (uint8_t *)at;
    at += 64;
    for (int i = 0; i < call->nin; i++) in[i] = call->in[i];
    for (int i = 0; i < nc; i++) {
        size_t bytes;
        GV_TRY(gv_type_bytes(&call->in_type[i], &bytes));
        other[i] = at;
        at += ALIGN(bytes);
    }
    bool in_out = false, started = false; /* where the current carry lies */
    for (;;) {
        void *result = go;
        GV_TRY(gv_sub_run(call, 0, in, &result));
        if (!*go) break;
        void *const *to = in_out ? other : call->out;
        GV_TRY(gv_sub_run(call, 1, in, to));
        for (int i = 0; i < nc; i++) in[i] = to[i];
        in_out = !in_out;
        started = true;
    }
    if (started && in_out) return GV_OK;
    for (int i = 0; i < nc; i++) {
        size_t bytes;
        GV_TRY(gv_type_bytes(&call->in_type[i], &bytes));
        memcpy(call->out[i], in[i], bytes);
    }
    return GV_OK;
}

static gv_status vjp_while(gv_graph *g, const gv_node *node, const gv_val *g_out,
                           gv_val *g_in)
{
    (void)g, (void)node, (void)g_out, (void)g_in;
    return gv_fail(
        GV_ERR_TYPE,
        "while_loop has no reverse-mode derivative (its length is not known): "
        "use gv.scan with a fixed length, or forward mode (gv.jvp)");
}

static gv_status jvp_while(gv_graph *g, const gv_node *node, const gv_val *d_in,
                           gv_val *d_out)
{
    int nin = node->nin, nc = (int)node->attr[0], n = 0, m = 0, no = 0;
    gv_lab lab = { 0 }, test = { 0 };
    gv_func *f[2] = { NULL, NULL };
    gv_val *v = gv_alloc((size_t)(8 * nin + 3 * nc + 8) * sizeof *v);
    gv_status s = v ? gv_lab_open(node->func[1], &lab) : GV_ERR_MEMORY;
    if (s == GV_OK) s = gv_lab_open(node->func[0], &test);
    if (s != GV_OK) goto done;
    gv_val *wrt = v, *d = wrt + nin, *ins = d + nin, *list = ins + 2 * nin,
           *outs = list + 2 * nin, *t_in = outs + 2 * nc, *tan = t_in + 2 * nin;
    for (int i = 0; i < nin; i++) {
        bool has = i < nc ? gv_lab_diff(&lab, lab.in[i]) : d_in[i] != GV_NONE;
        if (!has) continue;
        wrt[m] = lab.in[i];
        d[m++] = gv_lab_cotangent(&lab, lab.in[i]);
    }
    s = gv_graph_jvp(lab.g, nc, lab.out, m, wrt, d, tan);
    int n_carry = 0;
    for (int part = 0, k = 0; s == GV_OK && part < 2; part++) {
        int from = part ? nc : 0, to = part ? nin : nc;
        for (int i = from; i < to; i++) {
            ins[n] = lab.in[i];
            t_in[n] = test.in[i];
            list[n++] = node->in[i];
        }
        for (int i = from; i < to; i++) {
            if (k >= m || wrt[k] != lab.in[i]) continue;
            ins[n] = d[k++];
            t_in[n] = gv_lab_cotangent(&test, test.in[i]);
            list[n++] =
                d_in[i] != GV_NONE ? d_in[i] : gv_emit_zeros_like(g, node->in[i]);
        }
        if (!part) n_carry = n;
    }
    for (int i = 0; i < nc; i++) outs[no++] = lab.out[i];
    for (int i = 0; s == GV_OK && i < nc; i++)
        if (gv_lab_diff(&lab, lab.out[i]))
            outs[no++] =
                tan[i] != GV_NONE ? tan[i] : gv_emit_zeros_like(lab.g, lab.out[i]);
    if (s == GV_OK) s = gv_lab_func(&test, n, t_in, 1, test.out, &f[0]);
    if (s == GV_OK) s = gv_lab_func(&lab, n, ins, no, outs, &f[1]);
    if (s == GV_OK) {
        int64_t attr = n_carry;
        gv_val r = gv_emit_func(g, node->op, n, list, 1, &attr, 2, f) + nc;
        s = gv_graph_status(g);
        for (int i = 0; i < nc; i++)
            d_out[i] = gv_dtype_is_diff(node->type[i].dtype) ? r++ : GV_NONE;
    }
done:
    gv_func_unref(f[0]), gv_func_unref(f[1]);
    gv_free(v);
    gv_lab_close(&lab);
    gv_lab_close(&test);
    return s;
}

/* Runs until every example is done; those that are done keep their values. */
static gv_status batch_while(gv_graph *g, const gv_node *node, int64_t n,
                             const gv_val *in, const bool *batched, gv_val *out)
{
    int nin = node->nin, nc = (int)node->attr[0];
    gv_func *f[4] = { NULL, NULL, NULL, NULL };
    gv_lab lab = { 0 };
    bool *flag = gv_alloc((size_t)(nin + nc + 2));
    gv_val *list = gv_alloc((size_t)(nin + 2 * nc + 2) * sizeof *list);
    gv_status s = flag && list ? GV_OK : GV_ERR_MEMORY;
    if (s == GV_OK) { /* all carries batched, captured as they are */
        memcpy(flag, batched, (size_t)nin);
        memset(flag, 1, (size_t)nc);
        memset(flag + nin, 1, (size_t)nc + 1);
        for (int i = 0; i < nin; i++)
            list[i] = flag[i] && !batched[i] ? gv_emit_lead(g, in[i], n) : in[i];
        s = gv_graph_status(g);
    }
    if (s == GV_OK) s = gv_func_batch(node->func[0], n, flag, flag + nin, &f[0]);
    if (s == GV_OK) memset(flag + nin, 1, (size_t)nc + 1);
    if (s == GV_OK) s = gv_func_batch(node->func[1], n, flag, flag + nin, &f[1]);
    if (s == GV_OK) s = gv_lab_open(f[0], &lab);
    if (s == GV_OK) { /* test: any */
        int64_t axes[2] = { 1, -1 };
        gv_val any = gv_emit(lab.g, &gv_op_reduce_max, 1, lab.out, 2, axes);
        s = gv_graph_status(lab.g);
        if (s == GV_OK) s = gv_lab_func(&lab, nin, lab.in, 1, &any, &f[2]);
    }
    gv_lab_close(&lab);
    if (s == GV_OK) s = gv_lab_open(f[1], &lab);
    if (s == GV_OK) { /* body: where(test, new, old) */
        gv_val test;
        s = gv_func_inline(lab.g, f[0], lab.in, &test);
        for (int i = 0; s == GV_OK && i < nc; i++) {
            list[nin + i] = select_rows(lab.g, test, lab.out[i], lab.in[i]);
            s = gv_graph_status(lab.g);
        }
        if (s == GV_OK) s = gv_lab_func(&lab, nin, lab.in, nc, list + nin, &f[3]);
    }
    gv_lab_close(&lab);
    if (s == GV_OK) {
        gv_val v = gv_emit_func(g, node->op, nin, list, 1, node->attr, 2, f + 2);
        for (int i = 0; i < nc; i++) out[i] = v == GV_NONE ? v : v + i;
        s = gv_graph_status(g);
    }
    for (int k = 0; k < 4; k++) gv_func_unref(f[k]);
    gv_free(flag), gv_free(list);
    return s;
}

const gv_op gv_op_while = {
    .name = "while",
    .signature = "carry..., captured... -> carry...",
    .doc = "loop while a test of the carries holds; forward mode only",
    .attrs = "n_carry:int",
    .samples = "",
    .infer = infer_while,
    .forward = forward_while,
    .vjp = vjp_while,
    .jvp = jvp_while,
    .batch = batch_while,
    .nin = -1,
};
