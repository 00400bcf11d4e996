/* Closed functions: the slice of a graph between placeholders and results. */
#include "graph/graph.h"

#include <string.h>

#include "base/alloc.h"

extern const gv_op gv_op_input, gv_op_const;

bool *gv_graph_depends(const gv_graph *g, int n, const gv_val *on, bool diff)
{
    bool *dep = gv_alloc_zero((size_t)g->n_val + 1);
    if (!dep) return NULL;
    int first = g->n_node;
    for (int i = 0; i < n; i++) {
        if (on[i] == GV_NONE) continue;
        dep[on[i]] = true;
        if (g->val_node[on[i]] < first) first = g->val_node[on[i]];
    }
    for (int k = first; k < g->n_node; k++) {
        const gv_node *node = g->node[k];
        if (diff && (node->op->flags & GV_NODIFF)) continue;
        bool any = false;
        for (int i = 0; i < node->nin && !any; i++) any = dep[node->in[i]];
        if (!any) continue;
        for (int o = 0; o < node->nout; o++)
            if (!diff || gv_dtype_is_diff(node->type[o].dtype))
                dep[node->first + o] = true;
    }
    return dep;
}

bool *gv_graph_needed(const gv_graph *g, int nout, const gv_val *out, const bool *stop)
{
    bool *need = gv_alloc_zero((size_t)g->n_val + 1);
    if (!need) return NULL;
    int last = -1;
    for (int i = 0; i < nout; i++) {
        need[out[i]] = true;
        if (g->val_node[out[i]] > last) last = g->val_node[out[i]];
    }
    for (int k = last; k >= 0; k--) {
        const gv_node *node = g->node[k];
        bool any = false;
        for (int o = 0; o < node->nout && !any; o++)
            any = need[node->first + o] && !(stop && stop[node->first + o]);
        if (!any) continue;
        for (int i = 0; i < node->nin; i++) need[node->in[i]] = true;
    }
    return need;
}

/* Made of constants only: cheaper to hold in the function than to pass in. */
static bool is_closed(const gv_graph *g, gv_val v)
{
    const gv_node *n = gv_graph_node(g, v);
    while (n->op == &gv_op_broadcast || n->op == &gv_op_reshape || n->op == &gv_op_cast)
        n = gv_graph_node(g, n->in[0]);
    return n->op == &gv_op_const;
}

gv_func *gv_func_ref(gv_func *f)
{
    __atomic_add_fetch(&f->refs, 1, __ATOMIC_RELAXED);
    return f;
}

void gv_func_unref(gv_func *f)
{
    if (!f || __atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
    gv_graph_free(f->g);
    gv_free(f->in);
    gv_free(f->out);
    gv_free(f);
}

/* Copy node into f->g with mapped inputs. */
static gv_status copy_node(const gv_graph *g, const gv_node *node, gv_graph *to,
                           gv_val *map)
{
    gv_val few[16], *in = few;
    if (node->nin > 16 && !(in = gv_alloc((size_t)node->nin * sizeof *in)))
        return GV_ERR_MEMORY;
    for (int i = 0; i < node->nin; i++) in[i] = map[node->in[i]];
    gv_status s =
        gv_graph_set_line(to, node->line >= 0 ? gv_graph_line(g, node) : NULL);
    gv_val v = s == GV_OK ? gv_emit_like(to, node, in) : GV_NONE;
    if (v == GV_NONE && s == GV_OK) s = gv_graph_status(to);
    if (s == GV_OK)
        for (int o = 0; o < node->nout; o++) map[node->first + o] = v + o;
    if (in != few) gv_free(in);
    return s;
}

/* Copy a chain of broadcast / reshape / cast over a constant. */
static gv_status copy_closed(const gv_graph *g, gv_val v, gv_graph *to, gv_val *map)
{
    if (map[v] != GV_NONE) return GV_OK;
    const gv_node *n = gv_graph_node(g, v);
    if (n->nin) GV_TRY(copy_closed(g, n->in[0], to, map));
    return copy_node(g, n, to, map);
}

static uint64_t func_hash(const gv_func *f)
{
    uint64_t h = 1469598103934665603u;
#define MIX(x) (h = (h ^ (uint64_t)(x)) * 0x9e3779b97f4a7c15u, h ^= h >> 29)
    for (int k = 0; k < f->g->n_node; k++) {
        const gv_node *n = f->g->node[k];
        MIX((uintptr_t)n->op);
        for (int i = 0; i < n->nin; i++) MIX(n->in[i]);
        for (int i = 0; i < n->nattr; i++) MIX(n->attr[i]);
        for (int i = 0; i < n->nfunc; i++) MIX(n->func[i]->hash);
    }
    for (int i = 0; i < f->nin; i++) MIX(f->in[i] + 17);
    for (int i = 0; i < f->nout; i++) MIX(f->out[i] + 71);
#undef MIX
    return h;
}

struct closing {
    const gv_graph *g;
    gv_func *f;
    gv_val *map;
    gv_val *captured;
    int n_captured, cap;
    bool whole; /* copy everything, capture nothing */
};

static gv_status add_input(struct closing *c, gv_val v)
{
    gv_val in = gv_graph_input(c->f->g, gv_graph_type(c->g, v));
    if (in == GV_NONE) return gv_graph_status(c->f->g);
    c->f->in[c->f->nin++] = in;
    c->map[v] = in;
    return GV_OK;
}

static gv_status capture(struct closing *c, gv_val v)
{
    if (c->n_captured == c->cap) {
        int cap = c->cap ? 2 * c->cap : 8;
        gv_val *more = gv_realloc(c->captured, (size_t)c->cap * sizeof *more,
                                  (size_t)cap * sizeof *more);
        if (!more) return GV_ERR_MEMORY;
        c->captured = more;
        c->cap = cap;
    }
    c->captured[c->n_captured++] = v;
    return add_input(c, v);
}

static gv_status close_slice(struct closing *c, int nin, const gv_val *in, int nout,
                             const gv_val *out, int n_given, const gv_val *given,
                             const bool *dep, const bool *need)
{
    const gv_graph *g = c->g;
    for (int v = 0; v < g->n_val; v++) c->map[v] = GV_NONE;
    for (int i = 0; i < nin; i++) GV_TRY(add_input(c, in[i]));
    for (int i = 0; i < n_given; i++) {
        if (dep[given[i]])
            return gv_fail(GV_ERR_RUNTIME,
                           "a captured value depends on the function's inputs");
        GV_TRY(capture(c, given[i]));
    }
    for (int k = 0; k < g->n_node; k++) {
        const gv_node *node = g->node[k];
        bool inside = false;
        for (int o = 0; o < node->nout; o++)
            inside |= need[node->first + o] && (c->whole || dep[node->first + o]) &&
                c->map[node->first + o] == GV_NONE;
        if (!inside) continue;
        if (node->op == &gv_op_input)
            return gv_fail(GV_ERR_RUNTIME,
                           "a function depends on a foreign placeholder");
        for (int i = 0; i < node->nin; i++) {
            gv_val v = node->in[i];
            if (c->map[v] != GV_NONE) continue;
            GV_TRY(is_closed(g, v) ? copy_closed(g, v, c->f->g, c->map)
                                   : capture(c, v));
        }
        gv_val keep[4];
        int n_keep = node->nout < 4 ? node->nout : 0;
        for (int o = 0; o < n_keep; o++) keep[o] = c->map[node->first + o];
        GV_TRY(copy_node(g, node, c->f->g, c->map));
        for (int o = 0; o < n_keep;
             o++) /* an output that is itself an input stays one */
            if (keep[o] != GV_NONE) c->map[node->first + o] = keep[o];
    }
    for (int i = 0; i < nout; i++) {
        gv_val v = out[i];
        if (c->map[v] == GV_NONE)
            GV_TRY(is_closed(g, v) ? copy_closed(g, v, c->f->g, c->map)
                                   : capture(c, v));
        c->f->out[i] = c->map[v];
    }
    return GV_OK;
}

gv_status gv_func_close(const gv_graph *g, int nin, const gv_val *in, int nout,
                        const gv_val *out, int n_given, const gv_val *given,
                        gv_func **func, int *n_captured, gv_val **captured)
{
    gv_val *resolved = gv_alloc((size_t)(nout + 1) * sizeof *resolved);
    struct closing c = { .g = g, .whole = n_given < 0 };
    bool *dep = gv_graph_depends(g, nin, in, false);
    if (resolved && dep) memcpy(resolved, out, (size_t)nout * sizeof *out);
    bool *stop = gv_alloc_zero((size_t)g->n_val + 1);
    for (int i = 0; stop && i < nin; i++) stop[in[i]] = true;
    bool *need =
        resolved && dep && stop ? gv_graph_needed(g, nout, resolved, stop) : NULL;
    gv_free(stop);
    c.map = gv_alloc(((size_t)g->n_val + 1) * sizeof *c.map);
    c.f = gv_alloc_zero(sizeof *c.f);
    gv_status s = GV_ERR_MEMORY;
    if (need && c.map && c.f) {
        c.f->refs = 1;
        c.f->g = gv_graph_new();
        c.f->in = gv_alloc(((size_t)nin + (size_t)g->n_val + 1) * sizeof *c.f->in);
        c.f->out = gv_alloc(((size_t)nout + 1) * sizeof *c.f->out);
        c.f->nout = nout;
        if (c.f->g && c.f->in && c.f->out)
            s = close_slice(&c, nin, in, nout, resolved, n_given, given, dep, need);
    }
    gv_free(resolved);
    gv_free(dep);
    gv_free(need);
    gv_free(c.map);
    if (s != GV_OK) {
        gv_free(c.captured);
        if (c.f && c.f->refs)
            gv_func_unref(c.f);
        else
            gv_free(c.f);
        return s;
    }
    c.f->hash = func_hash(c.f);
    *func = c.f;
    *n_captured = c.n_captured;
    *captured = c.captured;
    return GV_OK;
}

gv_status gv_func_inline(gv_graph *g, const gv_func *f, const gv_val *in, gv_val *out)
{
    gv_val *map = gv_alloc(((size_t)f->g->n_val + 1) * sizeof *map);
    if (!map) return gv_graph_break(g, GV_ERR_MEMORY), GV_ERR_MEMORY;
    for (int v = 0; v < f->g->n_val; v++) map[v] = GV_NONE;
    for (int i = 0; i < f->nin; i++) map[f->in[i]] = in[i];
    int line = g->line;
    gv_status s = GV_OK;
    for (int k = 0; k < f->g->n_node && s == GV_OK; k++) {
        const gv_node *node = f->g->node[k];
        if (node->op == &gv_op_input) continue;
        s = copy_node(f->g, node, g, map);
    }
    g->line = line;
    for (int i = 0; i < f->nout; i++) out[i] = map[f->out[i]];
    gv_free(map);
    return s;
}
