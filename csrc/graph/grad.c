/* vjp, jvp, batch and substitute: graph -> graph in the same graph.
 *
 * vjp walks the nodes between `wrt` and `out` backwards and calls each op's rule;
 * jvp and batch walk forwards. What they emit are ordinary nodes, so transforms nest. */
#include "graph/graph.h"

#include <string.h>

#include "base/alloc.h"

extern const gv_op gv_op_input;

/* Run rule(k) with the node's source line, so that emitted nodes carry it too. */
static int enter_line(gv_graph *g, const gv_node *node)
{
    int line = g->line;
    if (node->line >= 0) g->line = node->line;
    return line;
}

static gv_status no_rule(const gv_graph *g, const gv_node *node, const char *what)
{
    const char *line = gv_graph_line(g, node);
    return gv_fail(GV_ERR_TYPE, "%s has no %s%s%s", node->op->name, what,
                   *line ? "; used at " : "", line);
}

static gv_status vjp_node(gv_graph *g, const gv_node *node, const bool *dep,
                          gv_val *cot, gv_val *g_in)
{
    bool any = false;
    for (int o = 0; o < node->nout; o++) any |= cot[node->first + o] != GV_NONE;
    if (!any) return GV_OK;
    bool want = false;
    for (int i = 0; i < node->nin; i++) {
        g_in[i] = dep[node->in[i]] ? 0 : GV_NONE;
        want |= dep[node->in[i]];
    }
    if (!want) return GV_OK;
    if (!node->op->vjp) return no_rule(g, node, "reverse-mode derivative");
    gv_val mask[16], *wanted = mask;
    if (node->nin > 16 && !(wanted = gv_alloc((size_t)node->nin * sizeof *wanted)))
        return GV_ERR_MEMORY;
    memcpy(wanted, g_in, (size_t)node->nin * sizeof *wanted);
    int line = enter_line(g, node);
    gv_status s = node->op->vjp(g, node, cot + node->first, g_in);
    if (s == GV_OK) s = gv_graph_status(g);
    for (int i = 0; i < node->nin && s == GV_OK; i++) {
        /* 0 left as it was: the rule had nothing to say (value 0 is never a cotangent:
         * it exists before any out). */
        if (wanted[i] == GV_NONE || g_in[i] == GV_NONE || g_in[i] == 0) continue;
        cot[node->in[i]] = gv_emit_sum2(g, cot[node->in[i]], g_in[i]);
        s = gv_graph_status(g);
    }
    g->line = line;
    if (wanted != mask) gv_free(wanted);
    if (s != GV_OK)
        gv_fail_context("in the derivative of %s %s", node->op->name,
                        gv_graph_line(g, node));
    return s;
}

static int max_nin(const gv_graph *g)
{
    int most = 1;
    for (int k = 0; k < g->n_node; k++) {
        if (g->node[k]->nin > most) most = g->node[k]->nin;
        if (g->node[k]->nout > most) most = g->node[k]->nout;
    }
    return most;
}

gv_status gv_graph_vjp(gv_graph *g, int n_out, const gv_val *out, const gv_val *g_out,
                       int n_wrt, const gv_val *wrt, gv_val *g_wrt)
{
    int n_val = g->n_val, last = -1;
    bool *dep = gv_graph_depends(g, n_wrt, wrt, true);
    gv_val *cot = gv_alloc(((size_t)n_val + 1) * sizeof *cot);
    gv_val *g_in = gv_alloc((size_t)max_nin(g) * sizeof *g_in);
    gv_status s = dep && cot && g_in ? GV_OK : GV_ERR_MEMORY;
    for (int v = 0; s == GV_OK && v < n_val; v++) cot[v] = GV_NONE;
    for (int i = 0; s == GV_OK && i < n_out; i++) {
        if (g_out[i] == GV_NONE || !dep[out[i]]) continue;
        cot[out[i]] = gv_emit_sum2(g, cot[out[i]], g_out[i]);
        s = gv_graph_status(g);
        if (g->val_node[out[i]] > last) last = g->val_node[out[i]];
    }
    for (int k = last; s == GV_OK && k >= 0; k--) {
        const gv_node *node = g->node[k];
        if (node->nin == 0) continue;
        bool any = false;
        for (int o = 0; o < node->nout && !any; o++) any = dep[node->first + o];
        if (any) s = vjp_node(g, node, dep, cot, g_in);
    }
    for (int i = 0; s == GV_OK && i < n_wrt; i++) g_wrt[i] = cot[wrt[i]];
    gv_free(dep);
    gv_free(cot);
    gv_free(g_in);
    return s;
}

/* --- jvp ------------------------------------------------------------------------ */
static gv_val tangent_or_zero(gv_graph *g, gv_val v, gv_val d)
{
    return d != GV_NONE ? d : gv_emit_zeros_like(g, v);
}

static gv_status jvp_linear(gv_graph *g, const gv_node *node, const gv_val *d_in,
                            gv_val *d_out, gv_val *tmp)
{
    for (int i = 0; i < node->nin; i++) {
        gv_dtype d = gv_graph_type(g, node->in[i])->dtype;
        tmp[i] = gv_dtype_is_diff(d) ? tangent_or_zero(g, node->in[i], d_in[i])
                                     : node->in[i];
    }
    gv_val v = gv_emit_like(g, node, tmp);
    for (int o = 0; o < node->nout; o++) d_out[o] = v == GV_NONE ? v : v + o;
    return gv_graph_status(g);
}

static gv_status jvp_bilinear(gv_graph *g, const gv_node *node, const gv_val *d_in,
                              gv_val *d_out, gv_val *tmp)
{
    gv_val sum = GV_NONE;
    for (int k = 0; k < 2; k++) {
        if (d_in[k] == GV_NONE) continue;
        memcpy(tmp, node->in, (size_t)node->nin * sizeof *tmp);
        tmp[k] = d_in[k];
        sum = gv_emit_sum2(g, sum, gv_emit_like(g, node, tmp));
    }
    d_out[0] = sum;
    return gv_graph_status(g);
}

/* Diagonal Jacobian: J d = conj(J^H conj(d)), entry by entry. */
static gv_status jvp_diagonal(gv_graph *g, const gv_node *node, const gv_val *d_in,
                              gv_val *d_out, gv_val *tmp)
{
    gv_val sum = GV_NONE;
    gv_dtype want = gv_dtype_cotangent(node->type[0].dtype);
    for (int k = 0; k < node->nin; k++) {
        if (d_in[k] == GV_NONE) continue;
        for (int i = 0; i < node->nin; i++) tmp[i] = i == k ? 0 : GV_NONE;
        gv_val up = gv_emit_conj(g, d_in[k]);
        GV_TRY(node->op->vjp(g, node, &up, tmp));
        gv_val d = tmp[k] == 0 ? GV_NONE : gv_emit_conj(g, tmp[k]);
        if (d != GV_NONE && gv_graph_type(g, d)->dtype != want)
            d = gv_emit_cast(g, d, want);
        sum = gv_emit_sum2(g, sum, d);
    }
    d_out[0] = sum;
    return gv_graph_status(g);
}

/* J d from the vjp alone: v(u) = J^H u is linear in u, and its vjp at d is J d. */
static gv_status jvp_transpose(gv_graph *g, const gv_node *node, const gv_val *d_in,
                               gv_val *d_out, gv_val *tmp)
{
    int nout = node->nout;
    gv_val few[8], *u = few;
    if (nout > 8 && !(u = gv_alloc((size_t)nout * sizeof *u))) return GV_ERR_MEMORY;
    for (int o = 0; o < nout; o++) {
        u[o] = GV_NONE;
        if (!gv_dtype_is_diff(node->type[o].dtype)) continue;
        u[o] = gv_emit_1(g, &gv_op_alias, gv_emit_zeros_like(g, node->first + o));
    }
    for (int i = 0; i < node->nin; i++) tmp[i] = d_in[i] == GV_NONE ? GV_NONE : 0;
    gv_status s = gv_graph_status(g);
    if (s == GV_OK) s = node->op->vjp(g, node, u, tmp);
    if (s == GV_OK) s = gv_graph_status(g);
    int n = 0;
    gv_val *list =
        s == GV_OK ? gv_alloc((size_t)(2 * node->nin + 1) * sizeof *list) : NULL;
    if (s == GV_OK && !list) s = GV_ERR_MEMORY;
    for (int i = 0; s == GV_OK && i < node->nin; i++) {
        if (d_in[i] == GV_NONE || tmp[i] == GV_NONE || tmp[i] == 0) continue;
        list[n] = tmp[i];
        list[node->nin + n] = d_in[i];
        n++;
    }
    for (int o = 0; s == GV_OK && o < nout; o++) d_out[o] = GV_NONE;
    if (s == GV_OK && n)
        for (int o = 0; o < nout && s == GV_OK; o++)
            if (u[o] != GV_NONE)
                s = gv_graph_vjp(g, n, list, list + node->nin, 1, &u[o], &d_out[o]);
    gv_free(list);
    if (u != few) gv_free(u);
    return s;
}

static gv_status jvp_node(gv_graph *g, const gv_node *node, const gv_val *d_in,
                          gv_val *d_out, gv_val *tmp)
{
    const gv_op *op = node->op;
    if (op->jvp) return op->jvp(g, node, d_in, d_out);
    if (op->flags & GV_LINEAR) return jvp_linear(g, node, d_in, d_out, tmp);
    if (op->flags & GV_BILINEAR) return jvp_bilinear(g, node, d_in, d_out, tmp);
    if (!op->vjp) return no_rule(g, node, "forward-mode derivative");
    if (op->flags & GV_ELEMENTWISE) return jvp_diagonal(g, node, d_in, d_out, tmp);
    return jvp_transpose(g, node, d_in, d_out, tmp);
}

gv_status gv_graph_jvp(gv_graph *g, int n_out, const gv_val *out, int n_wrt,
                       const gv_val *wrt, const gv_val *d_wrt, gv_val *d_out)
{
    int n_val = g->n_val, n_node = g->n_node, width = max_nin(g);
    bool *dep = gv_graph_depends(g, n_wrt, wrt, true);
    gv_val *tan = gv_alloc(((size_t)n_val + 1) * sizeof *tan);
    gv_val *tmp = gv_alloc((size_t)(3 * width) * sizeof *tmp);
    bool *need = gv_alloc_zero((size_t)n_val + 1);
    gv_status s = dep && tan && tmp && need ? GV_OK : GV_ERR_MEMORY;
    for (int v = 0; s == GV_OK && v < n_val; v++) tan[v] = GV_NONE;
    for (int i = 0; s == GV_OK && i < n_wrt; i++)
        if (d_wrt[i] != GV_NONE) tan[wrt[i]] = d_wrt[i];
    for (int i = 0; s == GV_OK && i < n_out; i++) need[out[i]] = true;
    for (int k = n_node - 1; s == GV_OK && k >= 0; k--) {
        const gv_node *node = g->node[k];
        bool any = false;
        for (int o = 0; o < node->nout; o++)
            any |= need[node->first + o] && dep[node->first + o];
        for (int i = 0; any && i < node->nin; i++) need[node->in[i]] = true;
    }
    for (int k = 0; s == GV_OK && k < n_node; k++) {
        const gv_node *node = g->node[k];
        if (node->nin == 0 || (node->op->flags & GV_NODIFF)) continue;
        bool any = false, wanted = false;
        for (int o = 0; o < node->nout; o++) {
            wanted |= need[node->first + o] && dep[node->first + o];
            if (tan[node->first + o] != GV_NONE) wanted = false; /* is itself in wrt */
        }
        if (!wanted) continue;
        for (int i = 0; i < node->nin; i++) {
            tmp[i] = tan[node->in[i]];
            any |= tmp[i] != GV_NONE;
        }
        if (!any) continue;
        for (int o = 0; o < node->nout; o++) tmp[width + o] = GV_NONE;
        int line = enter_line(g, node);
        s = jvp_node(g, node, tmp, tmp + width, tmp + 2 * width);
        if (s == GV_OK) s = gv_graph_status(g);
        g->line = line;
        for (int o = 0; s == GV_OK && o < node->nout; o++)
            tan[node->first + o] = tmp[width + o];
    }
    for (int i = 0; s == GV_OK && i < n_out; i++) d_out[i] = tan[out[i]];
    gv_free(dep);
    gv_free(tan);
    gv_free(tmp);
    gv_free(need);
    return s;
}

/* --- batch and substitute: forward sweeps that re-emit ------------------------- */
static gv_status batch_node(gv_graph *g, const gv_node *node, int64_t n, gv_val *in,
                            const bool *flag, gv_val *out)
{
    if (node->op->batch) return node->op->batch(g, node, n, in, flag, out);
    for (int i = 0; i < node->nin; i++)
        if (!flag[i]) in[i] = gv_emit_lead(g, in[i], n);
    gv_val v = gv_emit_like(g, node, in);
    for (int o = 0; o < node->nout; o++) out[o] = v == GV_NONE ? v : v + o;
    return gv_graph_status(g);
}

/* Shared sweep; n < 0: substitute (no axis added). */
static gv_status sweep(gv_graph *g, int n_out, const gv_val *out, int n_in,
                       const gv_val *in, const gv_val *with, int64_t n, gv_val *r_out,
                       bool *r_flag)
{
    int n_val = g->n_val, n_node = g->n_node, width = max_nin(g);
    bool *dep = gv_graph_depends(g, n_in, in, false);
    bool *need = gv_alloc_zero((size_t)n_val + 1);
    gv_val *map = gv_alloc(((size_t)n_val + 1) * sizeof *map);
    gv_val *tmp = gv_alloc((size_t)(2 * width) * sizeof *tmp);
    bool *flag = gv_alloc((size_t)width);
    gv_status s = dep && need && map && tmp && flag ? GV_OK : GV_ERR_MEMORY;
    for (int v = 0; s == GV_OK && v < n_val; v++) map[v] = GV_NONE;
    for (int i = 0; s == GV_OK && i < n_in; i++) map[in[i]] = with[i];
    for (int i = 0; s == GV_OK && i < n_out; i++) need[out[i]] = true;
    for (int k = n_node - 1; s == GV_OK && k >= 0; k--) {
        const gv_node *node = g->node[k];
        bool any = false;
        for (int o = 0; o < node->nout; o++)
            any |= need[node->first + o] && dep[node->first + o] &&
                map[node->first + o] == GV_NONE;
        for (int i = 0; any && i < node->nin; i++) need[node->in[i]] = true;
    }
    for (int k = 0; s == GV_OK && k < n_node; k++) {
        const gv_node *node = g->node[k];
        bool any = false;
        for (int o = 0; o < node->nout; o++)
            any |= need[node->first + o] && dep[node->first + o] &&
                map[node->first + o] == GV_NONE;
        if (!any || node->nin == 0) continue;
        for (int i = 0; i < node->nin; i++) {
            flag[i] = map[node->in[i]] != GV_NONE;
            tmp[i] = flag[i] ? map[node->in[i]] : node->in[i];
        }
        int line = enter_line(g, node);
        if (n >= 0) {
            s = batch_node(g, node, n, tmp, flag, tmp + width);
        } else {
            gv_val v = gv_emit_like(g, node, tmp);
            for (int o = 0; o < node->nout; o++) tmp[width + o] = v + o;
        }
        if (s == GV_OK) s = gv_graph_status(g);
        g->line = line;
        for (int o = 0; s == GV_OK && o < node->nout; o++)
            if (map[node->first + o] == GV_NONE) map[node->first + o] = tmp[width + o];
        if (s != GV_OK)
            gv_fail_context("while batching %s %s", node->op->name,
                            gv_graph_line(g, node));
    }
    for (int i = 0; s == GV_OK && i < n_out; i++) {
        bool b = map[out[i]] != GV_NONE;
        r_out[i] = b ? map[out[i]] : out[i];
        if (r_flag) r_flag[i] = b;
    }
    gv_free(dep);
    gv_free(need);
    gv_free(map);
    gv_free(tmp);
    gv_free(flag);
    return s;
}

gv_status gv_graph_batch(gv_graph *g, int n_out, const gv_val *out, int n_in,
                         const gv_val *in, const gv_val *with, int64_t n, gv_val *b_out,
                         bool *b_flag)
{
    return sweep(g, n_out, out, n_in, in, with, n, b_out, b_flag);
}

gv_status gv_graph_substitute(gv_graph *g, int n_out, const gv_val *out, int n_in,
                              const gv_val *in, const gv_val *with, gv_val *s_out)
{
    return sweep(g, n_out, out, n_in, in, with, -1, s_out, NULL);
}
