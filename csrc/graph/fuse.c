/* Grouping of element-wise nodes into passes over memory, and the order of units.
 *
 * Every node has a stage: element-wise nodes share the stage of the element-wise
 * inputs of the same size, everything else starts a new one. Element-wise nodes of
 * one stage and size that touch each other form a unit, so units can only depend on
 * units of lower stages. A node that has at most one full-size input and is needed
 * only later is moved down to where it is needed: it then costs no memory. */
#include <string.h>

#include "base/alloc.h"
#include "graph/program.h"

extern const gv_op gv_op_input, gv_op_const;

bool gv_broadcast_pattern(const gv_node *node, const gv_type *from, int64_t *repeat,
                          int64_t *period)
{
    const gv_type *to = &node->type[0];
    int core = (int)node->attr[0], batch = from->shape.ndim - core;
    int64_t r = 1, p = 1;
    bool inside = false, closed = false;
    for (int i = to->shape.ndim - 1; i >= 0; i--) {
        int64_t t = to->shape.dim[i];
        int back = to->shape.ndim - i; /* batch axes stand in front, core axes behind */
        int64_t f = i < batch ? from->shape.dim[i]
            : back <= core    ? from->shape.dim[from->shape.ndim - back]
                              : 1;
        if (t == 1) continue;
        if (f == t) {
            if (closed) return false;
            inside = true;
            p *= t;
        } else if (inside) {
            closed = true;
        } else {
            r *= t;
        }
    }
    *repeat = p == 1 ? 1 : r;
    *period = p;
    return true;
}

struct fuse {
    const gv_program *p;
    const gv_graph *g;
    gv_units *u;
    int *stage, *parent;
    int64_t *size; /* elements of the node's output 0 */
    bool *ew, *used_plain;
};

static bool is_view(const gv_node *n) { return (n->op->flags & GV_VIEW) != 0; }

static bool has_kernel(const gv_node *n, const gv_graph *g)
{
    if (!(n->op->flags & GV_ELEMENTWISE) || !n->op->ew || n->nin > 3 || n->nin < 1)
        return false;
    gv_dtype in[3];
    for (int i = 0; i < n->nin; i++) in[i] = gv_graph_type(g, n->in[i])->dtype;
    return n->op->ew(n->op, in, n->type[0].dtype) != NULL;
}

static bool free_value(const struct fuse *f, gv_val v)
{
    const gv_node *n = gv_graph_node(f->g, v);
    return n->op == &gv_op_input || n->op == &gv_op_const;
}

/* The stage that the value imposes on an element-wise consumer of m elements. */
static int stage_for(const struct fuse *f, gv_val v, int64_t m)
{
    gv_val r = f->u->root[v];
    int k = f->g->val_node[r];
    if (free_value(f, r)) return 0;
    if (m >= 0 && f->ew[k] && f->size[k] == m) return f->stage[k];
    if (f->u->adaptor[k]) return stage_for(f, f->g->node[k]->in[0], -1);
    return f->stage[k] + 1;
}

static void first_stages(struct fuse *f)
{
    for (int k = 0; k < f->g->n_node; k++) {
        const gv_node *n = f->g->node[k];
        f->stage[k] = 0;
        if (n->nin == 0 || is_view(n)) continue;
        for (int i = 0; i < n->nin; i++) {
            int s = stage_for(f, n->in[i], f->ew[k] ? f->size[k] : -1);
            if (s > f->stage[k]) f->stage[k] = s;
        }
    }
}

static int full_inputs(const struct fuse *f, const gv_node *n, int64_t m)
{
    gv_val seen[3];
    int count = 0;
    for (int i = 0; i < n->nin; i++) {
        gv_val r = f->u->root[n->in[i]];
        if (gv_shape_size(&gv_graph_type(f->g, r)->shape) < m) continue;
        if (f->u->adaptor[f->g->val_node[r]]) continue;
        bool known = false;
        for (int j = 0; j < count; j++) known |= seen[j] == r;
        if (!known) seen[count++] = r;
    }
    return count;
}

/* limit[k]: latest stage that the consumers allow. */
static void sink(struct fuse *f, int *limit)
{
    for (int k = 0; k < f->g->n_node; k++) limit[k] = INT32_MAX;
    for (int i = 0; i < f->p->nout; i++)
        limit[f->g->val_node[f->u->root[f->p->out[i]]]] = -1;
    for (int k = f->g->n_node - 1; k >= 0; k--) {
        const gv_node *n = f->g->node[k];
        if (n->nin == 0 || is_view(n)) continue;
        bool adaptor = f->u->adaptor[k];
        if (f->ew[k] && limit[k] != INT32_MAX && limit[k] > f->stage[k] &&
            full_inputs(f, n, f->size[k]) <= 1)
            f->stage[k] = limit[k];
        for (int i = 0; i < n->nin; i++) {
            int j = f->g->val_node[f->u->root[n->in[i]]];
            int allow;
            if (adaptor && !f->used_plain[k])
                allow = limit[k] == -1 ? -1 : limit[k] - 1;
            else if (adaptor)
                allow = f->stage[k] - 1;
            else if (f->ew[k] && f->ew[j] && f->size[j] == f->size[k])
                allow = f->stage[k];
            else if (f->ew[k] && f->u->adaptor[j])
                allow = f->stage[k];
            else
                allow = f->stage[k] - 1;
            if (allow < limit[j]) limit[j] = allow;
        }
    }
}

static int find(int *parent, int i)
{
    while (parent[i] != i) i = parent[i] = parent[parent[i]];
    return i;
}

static void join_neighbours(struct fuse *f, int *reader)
{
    const gv_graph *g = f->g;
    for (int k = 0; k < g->n_node; k++) f->parent[k] = k, reader[k] = -1;
    for (int k = 0; k < g->n_node; k++) {
        if (!f->ew[k] || (f->p->options & GV_PLAN_DEBUG)) continue;
        const gv_node *n = g->node[k];
        for (int i = 0; i < n->nin; i++) {
            gv_val r = f->u->root[n->in[i]];
            int j = g->val_node[r];
            if (f->ew[j] && f->size[j] == f->size[k] && f->stage[j] == f->stage[k])
                f->parent[find(f->parent, k)] = find(f->parent, j);
            if (f->u->adaptor[j] ||
                gv_shape_size(&gv_graph_type(g, r)->shape) != f->size[k])
                continue;
            int other = reader[j]; /* another pass over the same operand */
            if (other >= 0 && f->size[other] == f->size[k] &&
                f->stage[other] == f->stage[k])
                f->parent[find(f->parent, k)] = find(f->parent, other);
            reader[j] = k;
        }
    }
}

/* Split units that need many registers: a unit ends after `most` steps then. */
static void number_units(struct fuse *f, int *unit_of_root, int *steps)
{
    gv_units *u = f->u;
    u->n = 0;
    for (int k = 0; k < f->g->n_node; k++) unit_of_root[k] = -1;
    for (int k = 0; k < f->g->n_node; k++) {
        const gv_node *n = f->g->node[k];
        u->of_node[k] = -1;
        if (n->nin == 0 || n->op == &gv_op_const) {
            if (n->op != &gv_op_input && n->op != &gv_op_const) {
                u->fused[u->n] = false;
                u->of_node[k] = u->n++;
            }
            continue;
        }
        if (is_view(n) || (u->adaptor[k] && !f->used_plain[k])) continue;
        if (!f->ew[k]) {
            u->fused[u->n] = false;
            u->of_node[k] = u->n++;
            continue;
        }
        int r = find(f->parent, k);
        int most = f->size[k] <= 64 ? INT32_MAX : 96;
        if (unit_of_root[r] < 0 || steps[r] >= most) {
            u->fused[u->n] = true;
            unit_of_root[r] = u->n++;
            steps[r] = 0;
        }
        u->of_node[k] = unit_of_root[r];
        steps[r]++;
    }
}

/* --- order ---------------------------------------------------------------------- */
struct heap {
    int *item;
    const int *key;
    int n;
};

static void heap_push(struct heap *h, int x)
{
    int i = h->n++;
    while (i > 0 && h->key[h->item[(i - 1) / 2]] > h->key[x]) {
        h->item[i] = h->item[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    h->item[i] = x;
}

static int heap_pop(struct heap *h)
{
    int top = h->item[0], x = h->item[--h->n], i = 0;
    for (;;) {
        int c = 2 * i + 1;
        if (c >= h->n) break;
        if (c + 1 < h->n && h->key[h->item[c + 1]] < h->key[h->item[c]]) c++;
        if (h->key[h->item[c]] >= h->key[x]) break;
        h->item[i] = h->item[c];
        i = c;
    }
    if (h->n) h->item[i] = x;
    return top;
}

static int source_unit(const struct fuse *f, gv_val v, bool reader_fused)
{
    gv_val r = f->u->root[v];
    int k = f->g->val_node[r];
    if (f->u->adaptor[k] && (reader_fused || f->u->of_node[k] < 0))
        return source_unit(f, f->g->node[k]->in[0], false);
    return f->u->of_node[k];
}

static gv_status data_edges(struct fuse *f, gv_edges *e, int *key)
{
    const gv_units *u = f->u;
    for (int i = 0; i < u->n; i++) e->head[i] = -1;
    for (int k = 0; k < f->g->n_node; k++) {
        int a = u->of_node[k];
        if (a < 0) continue;
        key[a] = 2 * k;
        for (int i = 0; i < f->g->node[k]->nin; i++) {
            int b = source_unit(f, f->g->node[k]->in[i], u->fused[a]);
            if (b >= 0 && b != a) GV_TRY(gv_edge_add(e, b, a));
        }
    }
    return GV_OK;
}

/* Units in some order that keeps precedence; how many. wait is counted down. */
static int any_order(const gv_units *u, const gv_edges *e, int *wait, int *list)
{
    int n = 0;
    for (int a = 0; a < u->n; a++)
        if (!wait[a]) list[n++] = a;
    for (int done = 0; done < n; done++)
        for (int i = e->head[list[done]]; i >= 0; i = e->next[i])
            if (--wait[e->to[i]] == 0) list[n++] = e->to[i];
    return n;
}

/* A unit is as urgent as the most urgent one that reads it (the first n_data edges);
 * what needs no other unit, such as a field of zeros, waits for its first reader. */
static void inherit_keys(const gv_units *u, const gv_edges *e, int n_data,
                         const int *list, int *key)
{
    for (int n = u->n - 1; n >= 0; n--) {
        int a = list[n], reader = INT32_MAX;
        for (int i = e->head[a]; i >= 0; i = e->next[i])
            if (i < n_data && key[e->to[i]] < reader) reader = key[e->to[i]];
        if (reader == INT32_MAX) continue;
        if (!e->wait[a])
            key[a] = reader - 1;
        else if (reader < key[a])
            key[a] = reader;
    }
}

static gv_status order_units(struct fuse *f)
{
    gv_units *u = f->u;
    size_t n = (size_t)u->n + 1;
    gv_edges e = { .head = gv_alloc(n * sizeof(int)),
                   .wait = gv_alloc_zero(n * sizeof(int)) };
    int *key = gv_alloc_zero(n * sizeof *key), *heap = gv_alloc(n * sizeof *heap);
    int *wait = gv_alloc(n * sizeof *wait);
    gv_status s = e.head && e.wait && key && heap && wait ? GV_OK : GV_ERR_MEMORY;
    if (s == GV_OK) s = data_edges(f, &e, key);
    int n_data = e.n;
    if (s == GV_OK) s = gv_carry_order(f->p, u, &e);
    if (s == GV_OK) {
        memcpy(wait, e.wait, n * sizeof *wait);
        if (any_order(u, &e, wait, heap) != u->n)
            s = gv_fail(GV_ERR_RUNTIME, "the planner made a cycle");
    }
    if (s == GV_OK) {
        struct heap h = { heap, key, 0 };
        int done = 0;
        inherit_keys(u, &e, n_data, heap, key);
        for (int i = 0; i < u->n; i++)
            if (!e.wait[i]) heap_push(&h, i);
        while (h.n) {
            int a = heap_pop(&h);
            u->order[done++] = a;
            for (int i = e.head[a]; i >= 0; i = e.next[i])
                if (--e.wait[e.to[i]] == 0) heap_push(&h, e.to[i]);
        }
    }
    gv_free(e.head), gv_free(e.wait), gv_free(e.from), gv_free(e.to), gv_free(e.next);
    gv_free(key), gv_free(heap), gv_free(wait);
    return s;
}

void gv_units_clear(gv_units *u)
{
    gv_free(u->of_node);
    gv_free(u->fused);
    gv_free(u->adaptor);
    gv_free(u->root);
    gv_free(u->order);
}

static void classify(struct fuse *f)
{
    const gv_graph *g = f->g;
    for (int k = 0; k < g->n_node; k++) {
        const gv_node *n = g->node[k];
        f->ew[k] = has_kernel(n, g);
        f->size[k] = n->nout ? gv_shape_size(&n->type[0].shape) : 0;
        int64_t r, p;
        f->u->adaptor[k] = n->op == &gv_op_broadcast &&
            gv_broadcast_pattern(n, gv_graph_type(g, n->in[0]), &r, &p);
        for (int o = 0; o < n->nout; o++)
            f->u->root[n->first + o] =
                is_view(n) && o == 0 ? f->u->root[n->in[0]] : n->first + o;
    }
    for (int k = 0; k < g->n_node; k++) {
        const gv_node *n = g->node[k];
        if (is_view(n)) continue;
        for (int i = 0; i < n->nin; i++)
            if (!f->ew[k]) f->used_plain[g->val_node[f->u->root[n->in[i]]]] = true;
    }
    for (int i = 0; i < f->p->nout; i++)
        f->used_plain[g->val_node[f->u->root[f->p->out[i]]]] = true;
}

gv_status gv_fuse(const gv_program *p, gv_units *u)
{
    const gv_graph *g = p->g;
    size_t n = (size_t)g->n_node + 1;
    struct fuse f = { .p = p, .g = g, .u = u };
    memset(u, 0, sizeof *u);
    u->of_node = gv_alloc(n * sizeof *u->of_node);
    u->fused = gv_alloc_zero(n);
    u->adaptor = gv_alloc_zero(n);
    u->root = gv_alloc(((size_t)g->n_val + 1) * sizeof *u->root);
    u->order = gv_alloc(n * sizeof *u->order);
    f.stage = gv_alloc(n * sizeof *f.stage);
    f.parent = gv_alloc(n * sizeof *f.parent);
    f.size = gv_alloc(n * sizeof *f.size);
    f.ew = gv_alloc_zero(n);
    f.used_plain = gv_alloc_zero(n);
    int *tmp = gv_alloc(2 * n * sizeof *tmp);
    gv_status s = GV_ERR_MEMORY;
    if (u->of_node && u->fused && u->adaptor && u->root && u->order && f.stage &&
        f.parent && f.size && f.ew && f.used_plain && tmp) {
        classify(&f);
        first_stages(&f);
        sink(&f, tmp);
        join_neighbours(&f, tmp);
        number_units(&f, tmp, tmp + n);
        s = order_units(&f);
    }
    gv_free(f.stage), gv_free(f.parent), gv_free(f.size), gv_free(f.ew);
    gv_free(f.used_plain), gv_free(tmp);
    return s;
}
