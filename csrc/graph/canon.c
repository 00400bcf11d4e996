/* Canonical copy of the live part of a graph: the form that is planned and cached. */
#include <string.h>

#include "base/alloc.h"
#include "graph/absorb.h"
#include "graph/merge.h"
#include "graph/program.h"

extern const gv_op gv_op_input, gv_op_const, gv_op_stop_gradient, gv_op_matmul,
    gv_op_sub;

struct copy {
    const gv_graph *g;
    gv_program *p;
    gv_val *map;    /* old value -> canonical value */
    uint8_t *state; /* per node: 0 unseen, 1 needed, 2 copied */
    int *stack;
    const int *partner; /* per node: the node it is merged with, or -1; NULL: none */
    bool cut;           /* simplified: nodes may be left that nothing needs */
};

static gv_val follow(const gv_graph *g, const gv_val *map, gv_val v)
{
    for (;;) {
        if (map[v] != GV_NONE) return v;
        v = gv_graph_resolve(g, v);
        if (map[v] != GV_NONE) return v;
        const gv_node *n = gv_graph_node(g, v);
        if (n->op != &gv_op_alias && n->op != &gv_op_stop_gradient) return v;
        v = n->in[0];
    }
}

static gv_status mark(struct copy *c, int nout, const gv_val *out)
{
    int top = 0;
    const gv_graph *g = c->g;
    for (int i = 0; i < nout; i++) {
        gv_val v = follow(g, c->map, out[i]);
        int k = g->val_node[v];
        if (c->map[v] == GV_NONE && !c->state[k]) {
            c->state[k] = 1;
            c->stack[top++] = k;
        }
    }
    while (top) {
        const gv_node *n = g->node[c->stack[--top]];
        if (n->op == &gv_op_input)
            return gv_fail(
                GV_ERR_VALUE,
                "a result depends on a placeholder that is not among the inputs%s%s",
                n->line >= 0 ? "; made at " : "", gv_graph_line(g, n));
        for (int i = 0; i < n->nin; i++) {
            gv_val v = follow(g, c->map, n->in[i]);
            int k = g->val_node[v];
            if (c->map[v] != GV_NONE || c->state[k]) continue;
            c->state[k] = 1;
            c->stack[top++] = k;
        }
    }
    return GV_OK;
}

/* A transposed operand of a real matrix product is read as it lies. */
static gv_val absorb_transpose(gv_graph *g, gv_val v, int64_t *flag)
{
    const gv_node *n = gv_graph_node(g, v);
    if (n->op == &gv_op_transpose && n->nattr == 3 && n->attr[1] == 1 &&
        n->attr[2] == 0) {
        *flag = !*flag;
        return n->in[0];
    }
    return v;
}

/* A step back right after the same step forth (GV_UNDO): the value before both. */
static gv_val undone(const gv_graph *g, const gv_node *node, const gv_val *in)
{
    const gv_node *first = gv_graph_node(g, in[0]);
    int n = node->nattr - 1;
    if (first->op != node->op || first->first != in[0] || first->nattr != n + 1 ||
        node->attr[n] != -first->attr[n] || first->nin != node->nin || node->nout != 1)
        return GV_NONE;
    for (int i = 0; i < n; i++)
        if (node->attr[i] != first->attr[i]) return GV_NONE;
    for (int i = 1; i < node->nin; i++)
        if (in[i] != first->in[i]) return GV_NONE;
    return first->in[0];
}

/* (a - b) + b, b + (a - b), (a + b) - b and (b + a) - b are a: exact in fixed point,
 * where sums wrap around. */
static gv_val cancelled(const gv_graph *g, const gv_node *node, const gv_val *in)
{
    bool plus = node->op == &gv_op_add;
    const gv_op *inner = plus ? &gv_op_sub : &gv_op_add;
    for (int i = 0; i < 1 + plus; i++) {
        const gv_node *n = gv_graph_node(g, in[i]);
        gv_val b = in[1 - i];
        if (n->op != inner) continue;
        if (n->in[1] == b) return n->in[0];
        if (!plus && n->in[0] == b) return n->in[1];
    }
    return GV_NONE;
}

/* The node in a simpler form; GV_NONE: there is none. */
static gv_val simplified(gv_graph *g, const gv_node *node, const gv_val *in)
{
    gv_dtype d = node->type[0].dtype;
    bool plus = node->op == &gv_op_add, minus = node->op == &gv_op_sub;
    if (node->op == &gv_op_matmul && node->nattr == 2 && node->attr[0] <= 1 &&
        node->attr[1] <= 1 && !gv_dtype_is_complex(d)) {
        int64_t attr[2] = { node->attr[0], node->attr[1] };
        gv_val ab[2] = { absorb_transpose(g, in[0], &attr[0]),
                         absorb_transpose(g, in[1], &attr[1]) };
        if (ab[0] == in[0] && ab[1] == in[1]) return GV_NONE;
        return gv_emit(g, node->op, 2, ab, 2, attr);
    }
    if (node->op->flags & GV_UNDO) return undone(g, node, in);
    if ((plus || minus) && gv_dtype_is_fixed(d)) return cancelled(g, node, in);
    double x;
    if (node->op == &gv_op_mul && gv_dtype_is_diff(d)) {
        if (gv_graph_uniform(g, in[1], &x) && x == 1.0) return in[0];
        if (gv_graph_uniform(g, in[0], &x) && x == 1.0) return in[1];
    }
    return GV_NONE;
}

/* The node to be copied together with node k, or -1. */
static int partner_of(const struct copy *c, int k)
{
    return c->partner && c->partner[k] >= 0 && c->state[c->partner[k]] ? c->partner[k]
                                                                       : -1;
}

/* Copy two nodes as one. */
static gv_status copy_pair(struct copy *c, int k, int l)
{
    const gv_node *a = c->g->node[k], *b = c->g->node[l];
    const gv_merge *rule = gv_merge_rule(a, b);
    const gv_node *one = rule ? a : b, *two = rule ? b : a;
    gv_val in[2 * GV_MERGE_IN];
    gv_graph *to = c->p->g;
    if (!rule) rule = gv_merge_rule(one, two);
    for (int i = 0; i < one->nin; i++) in[i] = c->map[follow(c->g, c->map, one->in[i])];
    for (int i = 0; i < two->nin; i++)
        in[one->nin + i] = c->map[follow(c->g, c->map, two->in[i])];
    GV_TRY(gv_graph_set_line(to, one->line >= 0 ? gv_graph_line(c->g, one) : NULL));
    gv_val v = gv_merge_emit(to, rule, one, two, in);
    GV_TRY(gv_graph_status(to));
    for (int o = 0; o < one->nout; o++) c->map[one->first + o] = v + o;
    for (int o = 0; o < two->nout; o++) c->map[two->first + o] = v + one->nout + o;
    c->state[k] = c->state[l] = 2;
    return GV_OK;
}

static gv_status copy_one(struct copy *c, int k)
{
    const gv_node *n = c->g->node[k];
    if (partner_of(c, k) >= 0) return copy_pair(c, k, partner_of(c, k));
    gv_val few[16], *in = few;
    if (n->nin > 16 && !(in = gv_alloc((size_t)n->nin * sizeof *in)))
        return GV_ERR_MEMORY;
    for (int i = 0; i < n->nin; i++) in[i] = c->map[follow(c->g, c->map, n->in[i])];
    gv_graph *to = c->p->g;
    gv_status s = gv_graph_set_line(to, n->line >= 0 ? gv_graph_line(c->g, n) : NULL);
    gv_val v = s == GV_OK ? simplified(to, n, in) : GV_NONE;
    if (s == GV_OK) s = gv_graph_status(to);
    if (v != GV_NONE)
        c->cut = true;
    else if (s == GV_OK)
        v = gv_emit_like(to, n, in);
    if (s == GV_OK) s = gv_graph_status(to);
    for (int o = 0; s == GV_OK && o < n->nout; o++)
        if (c->map[n->first + o] == GV_NONE) c->map[n->first + o] = v + o;
    if (in != few) gv_free(in);
    c->state[k] = 2;
    return s;
}

/* Copy node k after its inputs; the stack holds the path. */
static gv_status copy_deep(struct copy *c, int k)
{
    int top = 0;
    c->stack[top++] = k;
    while (top) {
        int now = c->stack[top - 1], both[2] = { now, partner_of(c, now) }, wait = -1;
        for (int h = 0; h < 2 && both[h] >= 0; h++) {
            const gv_node *n = c->g->node[both[h]];
            for (int i = 0; i < n->nin && wait < 0; i++) {
                gv_val v = follow(c->g, c->map, n->in[i]);
                if (c->map[v] == GV_NONE) wait = c->g->val_node[v];
            }
        }
        if (wait >= 0) {
            c->stack[top++] = wait;
        } else {
            if (c->state[now] != 2) GV_TRY(copy_one(c, now));
            top--;
        }
    }
    return GV_OK;
}

static void hash_program(gv_program *p)
{
    uint64_t a = 0x243f6a8885a308d3u, b = 0x13198a2e03707344u;
#define MIX(x)                                            \
    do {                                                  \
        uint64_t x_ = (uint64_t)(x);                      \
        a = (a ^ x_) * 0x9e3779b97f4a7c15u, a ^= a >> 32; \
        b = (b + x_) * 0xc2b2ae3d27d4eb4fu, b ^= b >> 29; \
    } while (0)
    for (int k = 0; k < p->g->n_node; k++) {
        const gv_node *n = p->g->node[k];
        MIX((uintptr_t)n->op);
        MIX(n->nin);
        for (int i = 0; i < n->nin; i++) MIX(n->in[i]);
        for (int i = 0; i < n->nattr; i++) MIX(n->attr[i]);
        for (int i = 0; i < n->nfunc; i++) MIX(n->func[i]->hash);
    }
    for (int i = 0; i < p->nin; i++) MIX(p->in[i]);
    MIX(p->nin);
    for (int i = 0; i < p->nout; i++) MIX(p->out[i]);
    MIX(p->options);
#undef MIX
    p->hash[0] = a;
    p->hash[1] = b;
}

static gv_status copy_all(struct copy *c, int nin, const gv_val *in, int nout,
                          const gv_val *out)
{
    gv_program *p = c->p;
    for (int v = 0; v < c->g->n_val; v++) c->map[v] = GV_NONE;
    for (int i = 0; i < nin; i++) {
        p->in_type[i] = *gv_graph_type(c->g, in[i]);
        p->in[i] = gv_graph_input(p->g, &p->in_type[i]);
        GV_TRY(gv_graph_status(p->g));
        c->map[in[i]] = p->in[i];
        c->map[gv_graph_resolve(c->g, in[i])] = p->in[i]; /* and what stands for it */
    }
    GV_TRY(mark(c, nout, out));
    for (int k = 0; k < c->g->n_node; k++)
        if (c->state[k] == 1) GV_TRY(copy_deep(c, k));
    for (int i = 0; i < nout; i++) {
        p->out[i] = c->map[follow(c->g, c->map, out[i])];
        p->out_type[i] = *gv_graph_type(p->g, p->out[i]);
    }
    return GV_OK;
}

static gv_status copy_live(const gv_graph *g, const gv_val *in, const gv_val *out,
                           const int *partner, gv_program *p, bool *cut)
{
    struct copy c = { .g = g, .p = p, .partner = partner };
    p->g = gv_graph_new();
    c.map = gv_alloc(((size_t)g->n_val + 1) * sizeof *c.map);
    c.state = gv_alloc_zero((size_t)g->n_node + 1);
    c.stack = gv_alloc(((size_t)g->n_node + 1) * sizeof *c.stack);
    gv_status s = GV_ERR_MEMORY;
    if (p->g && c.map && c.state && c.stack) s = copy_all(&c, p->nin, in, p->nout, out);
    gv_free(c.map);
    gv_free(c.state);
    gv_free(c.stack);
    *cut = c.cut;
    return s;
}

/* Did simplifications leave nodes that nothing needs? */
static gv_status has_dead(const gv_program *p, bool *dead)
{
    const gv_graph *g = p->g;
    bool *need = gv_graph_needed(g, p->nout, p->out, NULL);
    if (!need) return GV_ERR_MEMORY;
    *dead = false;
    for (int k = 0; k < g->n_node && !*dead; k++) {
        const gv_node *n = g->node[k];
        bool used = n->op == &gv_op_input;
        for (int o = 0; o < n->nout; o++) used |= need[n->first + o];
        *dead = !used;
    }
    gv_free(need);
    return GV_OK;
}

/* Copy the program's own graph once more. */
static gv_status copy_again(gv_program *p, const int *partner, bool *cut)
{
    gv_graph *whole = p->g;
    size_t a = (size_t)p->nin * sizeof(gv_val), b = (size_t)p->nout * sizeof(gv_val);
    gv_val *ends = gv_alloc(a + b + 1);
    if (!ends) return GV_ERR_MEMORY;
    memcpy(ends, p->in, a);
    memcpy(ends + p->nin, p->out, b);
    gv_status s = copy_live(whole, ends, ends + p->nin, partner, p, cut);
    gv_graph_free(whole);
    gv_free(ends);
    return s;
}

static gv_status merge_pairs(gv_program *p)
{
    bool any, cut;
    int *partner = gv_alloc(((size_t)p->g->n_node + 1) * sizeof *partner);
    if (!partner) return GV_ERR_MEMORY;
    gv_status s = gv_merge_find(p->g, partner, &any);
    if (s == GV_OK && any) s = copy_again(p, partner, &cut);
    gv_free(partner);
    return s;
}

static gv_status absorb_makers(gv_program *p)
{
    bool any, cut;
    GV_TRY(gv_absorb_all(p->g, p->nout, p->out, &any));
    return any ? copy_again(p, NULL, &cut) : GV_OK;
}

gv_status gv_canonical(const gv_graph *g, int nin, const gv_val *in, int nout,
                       const gv_val *out, gv_program *p)
{
    p->nin = nin;
    p->nout = nout;
    p->in = gv_alloc(((size_t)nin + 1) * sizeof *p->in);
    p->out = gv_alloc(((size_t)nout + 1) * sizeof *p->out);
    p->in_type = gv_alloc(((size_t)nin + 1) * sizeof *p->in_type);
    p->out_type = gv_alloc(((size_t)nout + 1) * sizeof *p->out_type);
    if (!p->in || !p->out || !p->in_type || !p->out_type) return GV_ERR_MEMORY;
    bool cut;
    GV_TRY(copy_live(g, in, out, NULL, p, &cut));
    while (cut) {
        GV_TRY(has_dead(p, &cut));
        if (cut) GV_TRY(copy_again(p, NULL, &cut));
    }
    if (!(p->options & GV_PLAN_DEBUG)) {
        GV_TRY(absorb_makers(p));
        GV_TRY(merge_pairs(p));
    }
    hash_program(p);
    return GV_OK;
}
