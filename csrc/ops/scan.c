/* scan: a loop with carries, stacked inputs and stacked outputs.
 *
 * inputs  carry..., xs... (leading axis: steps), captured...
 * outputs last carry..., ys... (leading axis: steps)
 * attrs   (n_carry, n_x, length, reverse, policy, k); funcs (body[, inverse])
 * body    (carry..., x..., captured...) -> (carry..., y...)
 * inverse (carry', x..., captured...) -> carry
 * policy  0 store: the forward loop also returns what the backward loop needs;
 *         2 reversible: the backward loop rebuilds each carry by the inverse, so
 *         memory does not grow with the number of steps.
 * (Recomputation every k steps is composed from checkpointed inner scans.)
 *
 * The derivative is a scan in the opposite direction whose carries are the cotangents
 * of the carries and the sums of the cotangents of the captured values. */
#include <string.h>

#include "base/alloc.h"
#include "graph/program.h"
#include "ops/funcs.h"

extern const gv_op gv_op_scan;

enum { N_CARRY, N_X, LENGTH, REVERSE, POLICY, EVERY, N_ATTR };
#define ALIGN(x) (((size_t)(x) + 63) & ~(size_t)63)

static gv_shape with_lead(const gv_shape *s, int64_t n)
{
    gv_shape r = *s;
    for (int i = r.ndim; i > 0; i--) r.dim[i] = r.dim[i - 1];
    r.dim[0] = n;
    r.ndim++;
    return r;
}

static bool same_type(const gv_type *a, const gv_type *b)
{
    return a->dtype == b->dtype && gv_shape_equal(&a->shape, &b->shape);
}

static gv_status infer_scan(gv_infer *inf)
{
    const gv_func *f = inf->func[0];
    int nc = (int)inf->attr[N_CARRY], nx = (int)inf->attr[N_X];
    int64_t steps = inf->attr[LENGTH];
    if (f->nin != inf->nin || f->nout < nc || steps < 0)
        return gv_fail(GV_ERR_RUNTIME, "scan: body takes %d inputs, %d given", f->nin,
                       inf->nin);
    char a[160], b[160];
    for (int i = 0; i < inf->nin; i++) {
        gv_type t = *gv_func_in_type(f, i);
        if (i >= nc && i < nc + nx) {
            if (t.shape.ndim >= GV_MAX_DIM)
                return gv_fail(GV_ERR_VALUE, "scan: more than %d axes", GV_MAX_DIM);
            t.shape = with_lead(&t.shape, steps);
        }
        if (!same_type(&t, &inf->in[i]))
            return gv_fail(GV_ERR_VALUE, "scan: input %d is %s, the body wants %s", i,
                           gv_type_format(&inf->in[i], a, sizeof a),
                           gv_type_format(&t, b, sizeof b));
    }
    GV_TRY(gv_infer_reserve(inf, f->nout));
    for (int o = 0; o < f->nout; o++) {
        inf->out[o] = *gv_func_out_type(f, o);
        if (o >= nc)
            inf->out[o].shape = with_lead(&inf->out[o].shape, steps);
        else if (!same_type(&inf->out[o], &inf->in[o]))
            return gv_fail(GV_ERR_VALUE,
                           "scan: carry %d goes in as %s and comes out as %s", o,
                           gv_type_format(&inf->in[o], a, sizeof a),
                           gv_type_format(&inf->out[o], b, sizeof b));
    }
    inf->scratch = (size_t)(inf->nin + 3 * f->nout) * sizeof(void *);
    return GV_OK;
}

static int carries_scan(const gv_node *node) { return (int)node->attr[N_CARRY]; }

/* Where carry i is read by the first step and written by steps. A carry that the body
 * updates in place stays in the output. The others alternate between spare room and the
 * output so that the last step writes the output. */
static gv_status start_carry(const gv_call *call, int i, const void **in, char **room,
                             void **spare)
{
    size_t bytes;
    int64_t steps = call->attr[LENGTH];
    GV_TRY(gv_type_bytes(&call->in_type[i], &bytes));
    in[i] = call->in[i];
    spare[i] = call->out[i];
    gv_carry how = gv_sub_carry(call, i);
    if (how == GV_CARRY_APART) {
        spare[i] = *room;
        *room += ALIGN(bytes);
    }
    if (steps == 0 || how == GV_CARRY_KEPT) {
        if (in[i] != call->out[i] && bytes) memcpy(call->out[i], in[i], bytes);
    } else if (how == GV_CARRY_APART && in[i] == call->out[i] && steps % 2 == 1) {
        memcpy(spare[i], in[i], bytes); /* the first step writes the output */
        in[i] = spare[i];
    }
    return GV_OK;
}

/* The first step reads the inputs where they are. */
static gv_status forward_scan(const gv_call *call)
{
    int nc = (int)call->attr[N_CARRY], nx = (int)call->attr[N_X];
    int64_t steps = call->attr[LENGTH];
    const void **in = call->scratch;
    void **out = (void **)call->scratch + call->nin;
    void **spare = out + call->nout;
    size_t *stride = (size_t *)(void *)(spare + call->nout);
    char *room = (char *)call->scratch +
        ALIGN((size_t)(call->nin + 3 * call->nout) * sizeof(void *));
    for (int i = 0; i < call->nin; i++) in[i] = call->in[i];
    for (int i = 0; i < nc; i++) GV_TRY(start_carry(call, i, in, &room, spare));
    for (int o = nc; o < call->nout; o++) {
        gv_type t = call->out_type[o];
        size_t bytes;
        GV_TRY(gv_type_bytes(&t, &bytes));
        stride[o] = steps ? bytes / (size_t)steps : 0;
    }
    for (int64_t s = 0; s < steps; s++) {
        int64_t t = call->attr[REVERSE] ? steps - 1 - s : s;
        for (int i = nc; i < nc + nx; i++) {
            size_t bytes;
            GV_TRY(gv_type_bytes(&call->in_type[i], &bytes));
            in[i] = (const char *)call->in[i] + (size_t)t * (bytes / (size_t)steps);
        }
        bool to_out = (steps - 1 - s) % 2 == 0;
        for (int i = 0; i < nc; i++) out[i] = to_out ? call->out[i] : spare[i];
        for (int o = nc; o < call->nout; o++)
            out[o] = (char *)call->out[o] + (size_t)t * stride[o];
        GV_TRY(gv_sub_run(call, 0, in, out));
        for (int i = 0; i < nc; i++) in[i] = out[i];
    }
    return GV_OK;
}

/* --- reverse mode ------------------------------------------------------------------- */
struct back {
    gv_graph *g;
    const gv_node *node;
    int nc, nx, nk, ny;
    gv_lab lab;
    bool *want;      /* per input of the body */
    gv_val *gc, *gy; /* cotangent placeholders in the lab (GV_NONE: not there) */
    gv_val *grad;    /* per input of the body, in the lab */
    gv_val *res;     /* residuals, in the lab */
    int n_res;
    gv_val *list, *outs, *ins; /* room to assemble */
};

static bool diff_type(const gv_type *t) { return gv_dtype_is_diff(t->dtype); }

static gv_status back_open(struct back *b, const gv_val *g_out)
{
    const gv_node *n = b->node;
    b->nc = (int)n->attr[N_CARRY];
    b->nx = (int)n->attr[N_X];
    b->nk = n->nin - b->nc - b->nx;
    b->ny = n->nout - b->nc;
    GV_TRY(gv_lab_open(n->func[0], &b->lab));
    size_t room = (size_t)(4 * (n->nin + n->nout) + 4);
    b->want = gv_alloc_zero(room);
    b->gc = gv_alloc(room * sizeof(gv_val));
    b->gy = gv_alloc(room * sizeof(gv_val));
    b->grad = gv_alloc(room * sizeof(gv_val));
    if (!b->want || !b->gc || !b->gy || !b->grad) return GV_ERR_MEMORY;
    for (int i = 0; i < b->nc; i++)
        b->gc[i] = gv_lab_diff(&b->lab, b->lab.in[i])
            ? gv_lab_cotangent(&b->lab, b->lab.in[i])
            : GV_NONE;
    for (int i = 0; i < b->ny; i++)
        b->gy[i] = g_out[b->nc + i] != GV_NONE
            ? gv_lab_cotangent(&b->lab, b->lab.out[b->nc + i])
            : GV_NONE;
    return gv_graph_status(b->lab.g);
}

static void back_close(struct back *b)
{
    gv_lab_close(&b->lab);
    gv_free(b->want);
    gv_free(b->gc);
    gv_free(b->gy);
    gv_free(b->grad);
    gv_free(b->res);
    gv_free(b->list);
    gv_free(b->outs);
    gv_free(b->ins);
}

/* Cotangents of the body's inputs: all differentiable carries, the wanted others.
 * `in` are the body's inputs in the lab, `out` its outputs. */
static gv_status back_differentiate(struct back *b, const gv_val *in, const gv_val *out)
{
    gv_lab *lab = &b->lab;
    int nin = b->node->nin, m = 0;
    gv_val *wrt = gv_alloc((size_t)(2 * nin + b->node->nout + 1) * sizeof *wrt);
    if (!wrt) return GV_ERR_MEMORY;
    gv_val *g_wrt = wrt + nin, *g_out = g_wrt + nin;
    for (int o = 0; o < b->node->nout; o++)
        g_out[o] = o < b->nc ? b->gc[o] : b->gy[o - b->nc];
    for (int i = 0; i < nin; i++) {
        if (i < b->nc) b->want[i] = b->gc[i] != GV_NONE;
        if (b->want[i]) wrt[m++] = in[i];
    }
    gv_status s = gv_graph_vjp(lab->g, b->node->nout, out, g_out, m, wrt, g_wrt);
    m = 0;
    for (int i = 0; s == GV_OK && i < nin; i++) {
        b->grad[i] = GV_NONE;
        if (!b->want[i]) continue;
        b->grad[i] = g_wrt[m++];
        if (b->grad[i] == GV_NONE) b->grad[i] = gv_emit_zeros_like(lab->g, in[i]);
    }
    gv_free(wrt);
    return s == GV_OK ? gv_graph_status(lab->g) : s;
}

extern const gv_op gv_op_const;

static bool cheap(const gv_node *n)
{
    return n->op == &gv_op_broadcast || n->op == &gv_op_reshape ||
        n->op == &gv_op_cast || n->op == &gv_op_const;
}

/* Values of the forward body, depending on carry or x, that the cotangents use. */
static gv_status back_residuals(struct back *b)
{
    gv_graph *g = b->lab.g;
    int nin = b->node->nin, n_dep = b->nc + b->nx, n_cot = 0;
    b->res = gv_alloc(((size_t)g->n_val + 1) * sizeof *b->res);
    gv_val *cot = gv_alloc((size_t)(b->nc + b->ny + 1) * sizeof *cot);
    if (!b->res || !cot) {
        gv_free(cot);
        return GV_ERR_MEMORY;
    }
    for (int i = 0; i < b->nc; i++)
        if (b->gc[i] != GV_NONE) cot[n_cot++] = b->gc[i];
    for (int i = 0; i < b->ny; i++)
        if (b->gy[i] != GV_NONE) cot[n_cot++] = b->gy[i];
    bool *back = gv_graph_depends(g, n_cot, cot, false);
    bool *loop = gv_graph_depends(g, n_dep, b->lab.in, false);
    bool *used = gv_alloc_zero((size_t)g->n_val + 1);
    gv_status s = back && loop && used ? GV_OK : GV_ERR_MEMORY;
    /* walk down from the gradients; stop at what is kept */
    for (int i = 0; s == GV_OK && i < nin; i++)
        if (b->want[i]) used[b->grad[i]] = true;
    for (int k = g->n_node - 1; s == GV_OK && k >= 0; k--) {
        const gv_node *n = g->node[k];
        for (int o = 0; o < n->nout; o++) {
            gv_val v = n->first + o;
            if (!used[v]) continue;
            bool is_x = false;
            for (int i = b->nc; i < n_dep; i++) is_x |= v == b->lab.in[i];
            if (is_x || n->nin == 0) {
                bool is_carry = false;
                for (int i = 0; i < b->nc; i++) is_carry |= v == b->lab.in[i];
                if (is_carry) b->res[b->n_res++] = v;
                continue;
            }
            if (loop[v] && !back[v] && !cheap(n)) {
                b->res[b->n_res++] = v;
            } else {
                for (int i = 0; i < n->nin; i++) used[n->in[i]] = true;
            }
        }
    }
    gv_free(cot);
    gv_free(back);
    gv_free(loop);
    gv_free(used);
    return s;
}

static gv_status back_room(struct back *b, int extra)
{
    size_t room = (size_t)(3 * (b->node->nin + b->node->nout) + b->n_res + extra + 8);
    b->list = gv_alloc(room * sizeof(gv_val));
    b->outs = gv_alloc(room * sizeof(gv_val));
    b->ins = gv_alloc(room * sizeof(gv_val));
    return b->list && b->outs && b->ins ? GV_OK : GV_ERR_MEMORY;
}

/* The forward scan again, returning the residuals too. first[i]: value of residual i. */
static gv_status emit_rich(struct back *b, gv_val *first)
{
    const gv_node *n = b->node;
    *first = GV_NONE;
    if (b->n_res == 0) return GV_OK;
    for (int o = 0; o < n->nout; o++) b->outs[o] = b->lab.out[o];
    for (int r = 0; r < b->n_res; r++) b->outs[n->nout + r] = b->res[r];
    gv_func *f[2] = { NULL, n->nfunc > 1 ? n->func[1] : NULL };
    GV_TRY(gv_lab_func(&b->lab, n->nin, b->lab.in, n->nout + b->n_res, b->outs, &f[0]));
    gv_val v = gv_emit_func(b->g, n->op, n->nin, n->in, n->nattr, n->attr, n->nfunc, f);
    gv_func_unref(f[0]);
    GV_TRY(gv_graph_status(b->g));
    for (int o = 0; o < n->nout; o++) gv_graph_replace(b->g, n->first + o, v + o);
    *first = v + n->nout;
    return GV_OK;
}

/* Assemble and emit the backward scan. rebuilt: number of leading carries that hold the
 * rebuilt state (reversible), with their lab inputs and outputs; what the inverse hands
 * on unchanged is captured instead. */
static gv_status emit_backward(struct back *b, const gv_val *g_out, gv_val *g_in,
                               int rebuilt, const gv_val *state_in,
                               const gv_val *state_out, gv_val first_res)
{
    gv_graph *g = b->g;
    gv_lab *lab = &b->lab;
    const gv_node *n = b->node;
    int ni = 0, no = 0, nl = 0, n_dep = b->nc + b->nx;
    for (int i = 0; i < rebuilt; i++) { /* carries: state, gc, sums of gk */
        if (state_out[i] == state_in[i]) continue;
        b->ins[ni++] = state_in[i];
        b->outs[no++] = state_out[i];
        b->list[nl++] = n->first + i;
    }
    int states = ni;
    for (int i = 0; i < b->nc; i++) {
        if (b->gc[i] == GV_NONE) continue;
        b->ins[ni++] = b->gc[i];
        b->outs[no++] = b->grad[i];
        b->list[nl++] =
            g_out[i] != GV_NONE ? g_out[i] : gv_emit_zeros_like(g, n->in[i]);
    }
    for (int i = n_dep; i < n->nin; i++) {
        if (!b->want[i]) continue;
        gv_val sum = gv_lab_cotangent(lab, lab->in[i]);
        b->ins[ni++] = sum;
        b->outs[no++] = gv_emit_sum2(lab->g, sum, b->grad[i]);
        b->list[nl++] = gv_emit_zeros_like(g, n->in[i]);
    }
    int carries = ni;
    for (int i = 0; i < b->ny; i++) { /* xs: gy, residuals, x */
        if (b->gy[i] == GV_NONE) continue;
        b->ins[ni++] = b->gy[i];
        b->list[nl++] = g_out[b->nc + i];
    }
    for (int r = 0; r < b->n_res; r++) {
        b->ins[ni++] = b->res[r];
        b->list[nl++] = first_res + r;
    }
    for (int i = b->nc; i < n_dep; i++) {
        b->ins[ni++] = lab->in[i];
        b->list[nl++] = n->in[i];
    }
    int n_x = ni - carries;
    for (int i = n_dep; i < n->nin; i++) {
        b->ins[ni++] = lab->in[i];
        b->list[nl++] = n->in[i];
    }
    for (int i = 0; i < rebuilt; i++) {
        if (state_out[i] != state_in[i]) continue;
        b->ins[ni++] = state_in[i];
        b->list[nl++] = n->first + i;
    }
    for (int i = b->nc; i < n_dep; i++)
        if (b->want[i]) b->outs[no++] = b->grad[i];
    GV_TRY(gv_graph_status(lab->g));
    gv_func *f = NULL;
    GV_TRY(gv_lab_func(lab, ni, b->ins, no, b->outs, &f));
    int64_t attr[N_ATTR] = { carries, n_x, n->attr[LENGTH], !n->attr[REVERSE], 0, 0 };
    gv_val v = gv_emit_func(g, n->op, nl, b->list, N_ATTR, attr, 1, &f);
    gv_func_unref(f);
    GV_TRY(gv_graph_status(g));
    v += states;
    for (int i = 0; i < b->nc; i++) {
        if (b->gc[i] == GV_NONE) continue;
        if (g_in[i] != GV_NONE) g_in[i] = v;
        v++;
    }
    for (int i = n_dep; i < n->nin; i++)
        if (b->want[i]) g_in[i] = v++;
    for (int i = b->nc; i < n_dep; i++)
        if (b->want[i]) g_in[i] = v++;
    return GV_OK;
}

static gv_status vjp_store(struct back *b, const gv_val *g_out, gv_val *g_in)
{
    gv_val first;
    GV_TRY(back_differentiate(b, b->lab.in, b->lab.out));
    GV_TRY(back_residuals(b));
    GV_TRY(back_room(b, 0));
    GV_TRY(emit_rich(b, &first));
    return emit_backward(b, g_out, g_in, 0, NULL, NULL, first);
}

static gv_status vjp_reversible(struct back *b, const gv_val *g_out, gv_val *g_in)
{
    const gv_node *n = b->node;
    gv_lab *lab = &b->lab;
    int nin = n->nin;
    gv_val *v = gv_alloc((size_t)(3 * nin + n->nout + 2 * b->nc + 1) * sizeof *v);
    if (!v) return GV_ERR_MEMORY;
    gv_val *in = v, *after = in + nin, *out = after + nin, *before = out + n->nout;
    gv_status s = GV_OK;
    memcpy(after, lab->in, (size_t)nin * sizeof *after);
    for (int i = 0; i < b->nc; i++)
        after[i] = gv_graph_input(lab->g, gv_graph_type(lab->g, lab->in[i]));
    s = gv_graph_status(lab->g);
    if (s == GV_OK) s = gv_func_inline(lab->g, n->func[1], after, before);
    /* The rebuilt state depends on x and the captured values too: the body gets aliases
     * of all of them, or their cotangents would follow the path through the inverse. */
    for (int i = 0; s == GV_OK && i < nin; i++) {
        in[i] = gv_emit_1(lab->g, &gv_op_alias, i < b->nc ? before[i] : lab->in[i]);
        s = gv_graph_status(lab->g);
    }
    if (s == GV_OK) s = gv_func_inline(lab->g, n->func[0], in, out);
    if (s == GV_OK) s = back_differentiate(b, in, out);
    if (s == GV_OK) s = back_room(b, 0);
    if (s == GV_OK) s = emit_backward(b, g_out, g_in, b->nc, after, before, GV_NONE);
    gv_free(v);
    return s;
}

static gv_status vjp_scan(gv_graph *g, const gv_node *node, const gv_val *g_out,
                          gv_val *g_in)
{
    struct back b = { .g = g, .node = node };
    gv_status s = back_open(&b, g_out);
    for (int i = b.nc; s == GV_OK && i < node->nin; i++)
        b.want[i] = g_in[i] != GV_NONE && diff_type(gv_graph_type(g, node->in[i]));
    if (s == GV_OK)
        s = node->attr[POLICY] == 2 ? vjp_reversible(&b, g_out, g_in)
                                    : vjp_store(&b, g_out, g_in);
    back_close(&b);
    return s;
}

/* --- forward mode: carries (c, dc), xs (x, dx), captured (k, dk) --------------------- */
static gv_status jvp_scan(gv_graph *g, const gv_node *node, const gv_val *d_in,
                          gv_val *d_out)
{
    int nin = node->nin, nout = node->nout, nc = (int)node->attr[N_CARRY],
        nx = (int)node->attr[N_X], n = 0, m = 0;
    gv_lab lab;
    GV_TRY(gv_lab_open(node->func[0], &lab));
    gv_val *v = gv_alloc((size_t)(6 * nin + 3 * nout + 1) * sizeof *v);
    if (!v) {
        gv_lab_close(&lab);
        return GV_ERR_MEMORY;
    }
    gv_val *wrt = v, *d = wrt + nin, *ins = d + nin, *list = ins + 2 * nin,
           *outs = list + 2 * nin, *tan = outs + 2 * nout;
    for (int i = 0; i < nin; i++) {
        bool has = i < nc ? gv_lab_diff(&lab, lab.in[i]) : d_in[i] != GV_NONE;
        if (!has) continue;
        wrt[m] = lab.in[i];
        d[m++] = gv_lab_cotangent(&lab, lab.in[i]);
    }
    gv_status s = gv_graph_status(lab.g);
    if (s == GV_OK) s = gv_graph_jvp(lab.g, nout, lab.out, m, wrt, d, tan);
    int end[3] = { nc, nc + nx, nin }, count[3], k = 0;
    for (int part = 0, from = 0; s == GV_OK && part < 3; from = end[part++]) {
        int start = n;
        for (int i = from; i < end[part]; i++)
            ins[n] = lab.in[i], list[n++] = node->in[i];
        for (int i = from; i < end[part]; i++) {
            if (k >= m || wrt[k] != lab.in[i]) continue;
            ins[n] = d[k++];
            list[n++] =
                d_in[i] != GV_NONE ? d_in[i] : gv_emit_zeros_like(g, node->in[i]);
        }
        count[part] = n - start;
    }
    int no = 0;
    for (int part = 0; s == GV_OK && part < 2; part++) {
        int from = part ? nc : 0, to = part ? nout : nc;
        for (int o = from; o < to; o++) outs[no++] = lab.out[o];
        for (int o = from; o < to; o++)
            if (gv_lab_diff(&lab, lab.out[o]))
                outs[no++] =
                    tan[o] != GV_NONE ? tan[o] : gv_emit_zeros_like(lab.g, lab.out[o]);
    }
    if (s == GV_OK) s = gv_graph_status(lab.g);
    gv_func *f = NULL;
    if (s == GV_OK) s = gv_lab_func(&lab, n, ins, no, outs, &f);
    if (s == GV_OK) {
        int64_t attr[N_ATTR] = {
            count[0], count[1], node->attr[LENGTH], node->attr[REVERSE], 0, 0
        };
        gv_val r = gv_emit_func(g, node->op, n, list, N_ATTR, attr, 1, &f);
        s = gv_graph_status(g);
        for (int part = 0; s == GV_OK && part < 2; part++) {
            int from = part ? nc : 0, to = part ? nout : nc;
            r += to - from;
            for (int o = from; o < to; o++)
                d_out[o] = gv_dtype_is_diff(node->type[o].dtype) ? r++ : GV_NONE;
        }
    }
    gv_func_unref(f);
    gv_free(v);
    gv_lab_close(&lab);
    return s;
}

/* --- batching: the steps stay the leading axis ----------------------------------------- */
static gv_val swap_lead(gv_graph *g, gv_val v)
{
    if (v == GV_NONE || gv_graph_status(g) != GV_OK) return GV_NONE;
    int ndim = gv_graph_type(g, v)->shape.ndim;
    int64_t attr[1 + GV_MAX_DIM] = { ndim, 1, 0 };
    for (int i = 2; i < ndim; i++) attr[1 + i] = i;
    return gv_emit(g, &gv_op_transpose, 1, &v, 1 + ndim, attr);
}

static gv_status batch_scan(gv_graph *g, const gv_node *node, int64_t n,
                            const gv_val *in, const bool *batched, gv_val *out)
{
    int nin = node->nin, nout = node->nout, nc = (int)node->attr[N_CARRY],
        nx = (int)node->attr[N_X];
    bool *b_in = gv_alloc((size_t)(nin + nout + 1));
    gv_val *list = gv_alloc((size_t)(nin + 1) * sizeof *list);
    gv_func *f[2] = { NULL, NULL };
    gv_status s = b_in && list ? GV_OK : GV_ERR_MEMORY;
    bool *b_out = s == GV_OK ? b_in + nin : NULL;
    if (s == GV_OK) memcpy(b_in, batched, (size_t)nin);
    for (bool again = s == GV_OK; again;) { /* carries: to a fixed point */
        gv_func_unref(f[0]);
        f[0] = NULL;
        again = false;
        memset(b_out, 0, (size_t)nout);
        memcpy(b_out, b_in, (size_t)nc);
        s = gv_func_batch(node->func[0], n, b_in, b_out, &f[0]);
        for (int i = 0; s == GV_OK && i < nc; i++)
            if (b_out[i] && !b_in[i]) b_in[i] = again = true;
    }
    if (s == GV_OK && node->nfunc > 1) {
        bool *flag = gv_alloc((size_t)nc + 1);
        if (!flag)
            s = GV_ERR_MEMORY;
        else
            memcpy(flag, b_in, (size_t)nc);
        if (s == GV_OK) s = gv_func_batch(node->func[1], n, b_in, flag, &f[1]);
        for (int i = 0; s == GV_OK && i < nc; i++)
            if (flag[i] != b_in[i])
                s = gv_fail(GV_ERR_VALUE,
                            "scan: the inverse mixes batched and other carries");
        gv_free(flag);
    }
    for (int i = 0; s == GV_OK && i < nin; i++) {
        list[i] = in[i];
        if (i < nc && b_in[i] && !batched[i]) list[i] = gv_emit_lead(g, in[i], n);
        if (i >= nc && i < nc + nx && batched[i]) list[i] = swap_lead(g, in[i]);
    }
    if (s == GV_OK) {
        gv_val v = gv_emit_func(g, node->op, nin, list, node->nattr, node->attr,
                                node->nfunc, f);
        for (int o = 0; o < nout; o++) {
            out[o] = v == GV_NONE ? v : v + o;
            if (!b_out[o])
                out[o] = gv_emit_lead(g, out[o], n);
            else if (o >= nc)
                out[o] = swap_lead(g, out[o]);
        }
        s = gv_graph_status(g);
    }
    gv_func_unref(f[0]);
    gv_func_unref(f[1]);
    gv_free(b_in);
    gv_free(list);
    return s;
}

const gv_op gv_op_scan = {
    .name = "scan",
    .signature = "carry..., xs(T,...)..., captured... -> carry..., ys(T,...)...",
    .doc = "loop over the leading axis with carries; store or reversible derivative",
    .attrs = "n_carry:int, n_x:int, length:int, reverse:int, policy:int, k:int",
    .samples = "",
    .infer = infer_scan,
    .forward = forward_scan,
    .vjp = vjp_scan,
    .jvp = jvp_scan,
    .batch = batch_scan,
    .carries = carries_scan,
    .nin = -1,
};
