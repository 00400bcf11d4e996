/* Graph construction: interning of nodes, emission, constants. */
#include "graph/graph.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

extern const gv_op gv_op_input, gv_op_const, gv_op_neg;

gv_graph *gv_graph_new(void)
{
    gv_graph *g = gv_alloc_zero(sizeof *g);
    if (!g) return NULL;
    g->cap_table = 64;
    g->table = gv_alloc((size_t)g->cap_table * sizeof *g->table);
    if (!g->table) {
        gv_free(g);
        return NULL;
    }
    memset(g->table, 0xff, (size_t)g->cap_table * sizeof *g->table);
    g->line = -1;
    /* Value 0 is never used: vjp rules leave 0 where they have nothing to say. */
    if (gv_graph_input(g, &(gv_type){ .dtype = GV_BOOL }) != 0) {
        gv_graph_free(g);
        return NULL;
    }
    return g;
}

void gv_graph_free(gv_graph *g)
{
    if (!g) return;
    for (int i = 0; i < g->n_node; i++) {
        for (int k = 0; k < g->node[i]->nfunc; k++) gv_func_unref(g->node[i]->func[k]);
        gv_free(g->node[i]);
    }
    for (int i = 0; i < g->n_line; i++) gv_free(g->lines[i]);
    gv_free(g->lines);
    gv_free(g->node);
    gv_free(g->val_node);
    gv_free(g->replace);
    gv_free(g->table);
    gv_free(g);
}

gv_status gv_graph_status(const gv_graph *g) { return g->status; }
void gv_graph_recover(gv_graph *g) { g->status = GV_OK; }

gv_val gv_graph_break(gv_graph *g, gv_status status)
{
    if (g->status == GV_OK) g->status = status;
    return GV_NONE;
}

const gv_node *gv_graph_node(const gv_graph *g, gv_val v)
{
    return g->node[g->val_node[v]];
}
/* Types live in the nodes, so these pointers stay valid while the graph grows. */
const gv_type *gv_graph_type(const gv_graph *g, gv_val v)
{
    const gv_node *n = gv_graph_node(g, v);
    return &n->type[v - n->first];
}
int gv_graph_out_index(const gv_graph *g, gv_val v)
{
    return v - gv_graph_node(g, v)->first;
}

gv_status gv_graph_set_line(gv_graph *g, const char *line)
{
    if (!line) {
        g->line = -1;
        return GV_OK;
    }
    if (g->line >= 0 && strcmp(g->lines[g->line], line) == 0) return GV_OK;
    if (g->n_line == g->cap_line) {
        int cap = g->cap_line ? 2 * g->cap_line : 16;
        char **lines = gv_realloc(g->lines, (size_t)g->cap_line * sizeof *lines,
                                  (size_t)cap * sizeof *lines);
        if (!lines) return GV_ERR_MEMORY;
        g->lines = lines;
        g->cap_line = cap;
    }
    size_t n = strlen(line) + 1;
    char *copy = gv_alloc(n);
    if (!copy) return GV_ERR_MEMORY;
    memcpy(copy, line, n);
    g->line = g->n_line;
    g->lines[g->n_line++] = copy;
    return GV_OK;
}

const char *gv_graph_line(const gv_graph *g, const gv_node *node)
{
    return node->line >= 0 ? g->lines[node->line] : "";
}

void gv_graph_replace(gv_graph *g, gv_val old, gv_val better)
{
    if (old != better) g->replace[old] = better;
}

gv_val gv_graph_resolve(const gv_graph *g, gv_val v)
{
    while (g->replace[v] != GV_NONE) v = g->replace[v];
    return v;
}

/* --- interning ----------------------------------------------------------------- */
static uint64_t mix(uint64_t h, uint64_t x)
{
    h ^= x + 0x9e3779b97f4a7c15u + (h << 6) + (h >> 2);
    h *= 0xff51afd7ed558ccdu;
    return h ^ (h >> 33);
}

static uint64_t hash_node(const gv_op *op, int nin, const gv_val *in, int nattr,
                          const int64_t *attr, int nfunc, gv_func *const *func)
{
    uint64_t h = mix(0, (uint64_t)(uintptr_t)op);
    for (int i = 0; i < nin; i++) h = mix(h, (uint64_t)in[i]);
    h = mix(h, 0x5bd1e995u);
    for (int i = 0; i < nattr; i++) h = mix(h, (uint64_t)attr[i]);
    for (int i = 0; i < nfunc; i++) h = mix(h, func[i]->hash);
    return h;
}

static bool same_node(const gv_node *n, const gv_op *op, int nin, const gv_val *in,
                      int nattr, const int64_t *attr, int nfunc, gv_func *const *func)
{
    if (n->op != op || n->nin != nin || n->nattr != nattr || n->nfunc != nfunc)
        return false;
    if (nin && memcmp(n->in, in, (size_t)nin * sizeof *in) != 0) return false;
    if (nattr && memcmp(n->attr, attr, (size_t)nattr * sizeof *attr) != 0) return false;
    for (int i = 0; i < nfunc; i++)
        if (n->func[i] != func[i] && n->func[i]->hash != func[i]->hash) return false;
    return true;
}

static void table_put(gv_graph *g, uint64_t hash, int32_t index)
{
    uint64_t mask = (uint64_t)g->cap_table - 1;
    uint64_t i = hash & mask;
    while (g->table[i] >= 0) i = (i + 1) & mask;
    g->table[i] = index;
}

static gv_status reserve(gv_graph *g, int n_out)
{
    if (g->n_node == g->cap_node) {
        int cap = g->cap_node ? 2 * g->cap_node : 32;
        gv_node **node = gv_realloc(g->node, (size_t)g->cap_node * sizeof *node,
                                    (size_t)cap * sizeof *node);
        if (!node) return GV_ERR_MEMORY;
        g->node = node;
        g->cap_node = cap;
    }
    while (g->n_val + n_out > g->cap_val) {
        int cap = g->cap_val ? 2 * g->cap_val : 32;
        size_t from = (size_t)g->cap_val, to = (size_t)cap;
        int32_t *vn = gv_realloc(g->val_node, from * sizeof *vn, to * sizeof *vn);
        if (!vn) return GV_ERR_MEMORY;
        g->val_node = vn;
        gv_val *vr = gv_realloc(g->replace, from * sizeof *vr, to * sizeof *vr);
        if (!vr) return GV_ERR_MEMORY;
        g->replace = vr;
        g->cap_val = cap;
    }
    if (2 * (g->n_node + 1) > g->cap_table) {
        int cap = 2 * g->cap_table;
        int32_t *table = gv_alloc((size_t)cap * sizeof *table);
        if (!table) return GV_ERR_MEMORY;
        memset(table, 0xff, (size_t)cap * sizeof *table);
        gv_free(g->table);
        g->table = table;
        g->cap_table = cap;
        for (int i = 0; i < g->n_node; i++)
            if (!(g->node[i]->op->flags & GV_UNIQUE)) table_put(g, g->node[i]->hash, i);
    }
    return GV_OK;
}

static gv_node *make_node(const gv_op *op, int nin, const gv_val *in, int nattr,
                          const int64_t *attr, int nfunc, gv_func *const *func,
                          int nout, const gv_type *type)
{
    size_t t = (size_t)nout * sizeof *type, a = sizeof(gv_node) + t,
           b = (size_t)nattr * sizeof *attr, c = (size_t)nfunc * sizeof(gv_func *),
           d = (size_t)nin * sizeof *in;
    char *block = gv_alloc(a + b + c + d);
    if (!block) return NULL;
    gv_node *n = (gv_node *)block;
    memset(n, 0, sizeof *n);
    n->op = op;
    n->nin = nin;
    n->nattr = nattr;
    n->nfunc = nfunc;
    n->nout = nout;
    memcpy(block + sizeof *n, type, t);
    n->type = (const gv_type *)(block + sizeof *n);
    if (b) memcpy(block + a, attr, b);
    if (d) memcpy(block + a + b + c, in, d);
    n->attr = (const int64_t *)(block + a);
    gv_func **f = (gv_func **)(block + a + b);
    for (int i = 0; i < nfunc; i++) f[i] = gv_func_ref(func[i]);
    n->func = f;
    n->in = (const gv_val *)(block + a + b + c);
    return n;
}

gv_status gv_infer_reserve(gv_infer *inf, int nout)
{
    inf->nout = nout;
    if (nout <= 4) return GV_OK;
    inf->out = gv_alloc_zero((size_t)nout * sizeof *inf->out);
    return inf->out ? GV_OK : GV_ERR_MEMORY;
}

static gv_status infer(gv_graph *g, gv_infer *inf, const gv_val *in)
{
    gv_type few[8], *types = few;
    if (inf->nin > 8) {
        types = gv_alloc((size_t)inf->nin * sizeof *types);
        if (!types) return GV_ERR_MEMORY;
    }
    for (int i = 0; i < inf->nin; i++) types[i] = *gv_graph_type(g, in[i]);
    inf->in = types;
    inf->nout = 1;
    inf->out = inf->small;
    memset(inf->small, 0, sizeof inf->small);
    gv_status s = inf->op->infer(inf);
    if (s != GV_OK) {
        char buf[160], all[512] = "";
        size_t used = 0;
        for (int i = 0; i < inf->nin && used < sizeof all - 1; i++)
            used +=
                (size_t)snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "",
                                 gv_type_format(&types[i], buf, sizeof buf));
        gv_fail_context("in %s(%s)", inf->op->name, all);
        if (g->line >= 0) gv_fail_context("at %s", g->lines[g->line]);
    }
    if (types != few) gv_free(types);
    inf->in = NULL;
    return s;
}

static gv_val add_node(gv_graph *g, const gv_op *op, int nin, const gv_val *in,
                       int nattr, const int64_t *attr, int nfunc, gv_func *const *func,
                       uint64_t hash)
{
    gv_infer inf = {
        .op = op, .nin = nin, .nattr = nattr, .attr = attr, .nfunc = nfunc, .func = func
    };
    gv_status s = infer(g, &inf, in);
    if (s == GV_OK) s = reserve(g, inf.nout);
    gv_node *node = NULL;
    if (s == GV_OK) {
        node = make_node(op, nin, in, nattr, attr, nfunc, func, inf.nout, inf.out);
        if (!node) s = GV_ERR_MEMORY;
    }
    if (s == GV_OK) {
        node->scratch = inf.scratch;
        node->first = g->n_val;
        node->line = g->line;
        node->hash = hash;
        for (int k = 0; k < inf.nout; k++) {
            g->val_node[g->n_val] = g->n_node;
            g->replace[g->n_val] = GV_NONE;
            g->n_val++;
        }
        g->node[g->n_node] = node;
        if (!(op->flags & GV_UNIQUE)) table_put(g, hash, g->n_node);
        g->n_node++;
    }
    if (inf.out != inf.small) gv_free(inf.out);
    return s == GV_OK ? node->first : gv_graph_break(g, s);
}

gv_val gv_emit_func(gv_graph *g, const gv_op *op, int nin, const gv_val *in, int nattr,
                    const int64_t *attr, int nfunc, gv_func *const *func)
{
    if (g->status != GV_OK) return GV_NONE;
    for (int i = 0; i < nin; i++) {
        if (in[i] == GV_NONE) return GV_NONE;
        if (in[i] < 0 || in[i] >= g->n_val)
            return gv_graph_break(g,
                                  gv_fail(GV_ERR_RUNTIME,
                                          "%s: value %d is not in this graph", op->name,
                                          (int)in[i]));
    }
    if (op->nin >= 0 && op->nin != nin)
        return gv_graph_break(g,
                              gv_fail(GV_ERR_TYPE, "%s takes %d inputs, %d given",
                                      op->name, op->nin, nin));
    uint64_t hash = hash_node(op, nin, in, nattr, attr, nfunc, func);
    if (!(op->flags & GV_UNIQUE)) {
        uint64_t mask = (uint64_t)g->cap_table - 1;
        for (uint64_t i = hash & mask; g->table[i] >= 0; i = (i + 1) & mask) {
            const gv_node *n = g->node[g->table[i]];
            if (n->hash == hash && same_node(n, op, nin, in, nattr, attr, nfunc, func))
                return n->first;
        }
    }
    return add_node(g, op, nin, in, nattr, attr, nfunc, func, hash);
}

gv_val gv_emit(gv_graph *g, const gv_op *op, int nin, const gv_val *in, int nattr,
               const int64_t *attr)
{
    return gv_emit_func(g, op, nin, in, nattr, attr, 0, NULL);
}

gv_val gv_emit_1(gv_graph *g, const gv_op *op, gv_val a)
{
    return gv_emit(g, op, 1, &a, 0, NULL);
}

gv_val gv_emit_2(gv_graph *g, const gv_op *op, gv_val a, gv_val b)
{
    gv_val in[2] = { a, b };
    return gv_emit(g, op, 2, in, 0, NULL);
}

gv_val gv_emit_3(gv_graph *g, const gv_op *op, gv_val a, gv_val b, gv_val c)
{
    gv_val in[3] = { a, b, c };
    return gv_emit(g, op, 3, in, 0, NULL);
}

gv_val gv_emit_like(gv_graph *g, const gv_node *node, const gv_val *in)
{
    return gv_emit_func(g, node->op, node->nin, in, node->nattr, node->attr,
                        node->nfunc, node->func);
}

gv_val gv_graph_input(gv_graph *g, const gv_type *type)
{
    int64_t attr[2 + GV_MAX_DIM] = { type->dtype, type->shape.ndim };
    for (int i = 0; i < type->shape.ndim; i++) attr[2 + i] = type->shape.dim[i];
    return gv_emit(g, &gv_op_input, 0, NULL, 2 + type->shape.ndim, attr);
}
