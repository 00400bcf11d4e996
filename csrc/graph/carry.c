/* Carries of a loop's body that are updated where they lie.
 *
 * The body takes its carries as the first inputs and returns them as the first outputs.
 * Result i may be written over carry i when nothing reads the carry afterwards: either
 * by a chain of instructions that each overwrite what they read (carry -> half step ->
 * result), or because the carry is dead before the result is begun. Before units are
 * ordered, edges are added so that readers run ahead of what overwrites; once they are
 * ordered, lifetimes decide. A carry that cannot be shared is held twice by the loop. */
#include <string.h>

#include "base/alloc.h"
#include "graph/program.h"

/* --- order ------------------------------------------------------------------------ */
gv_status gv_edge_add(gv_edges *e, int from, int to)
{
    if (e->n == e->cap) {
        int cap = e->cap ? 2 * e->cap : 64;
        size_t old = (size_t)e->cap * sizeof(int), more = (size_t)cap * sizeof(int);
        int *list[3] = { e->from, e->to, e->next };
        for (int k = 0; k < 3; k++) {
            int *longer = gv_realloc(list[k], old, more);
            if (!longer) return GV_ERR_MEMORY;
            *(k == 0 ? &e->from : k == 1 ? &e->to : &e->next) = longer;
        }
        e->cap = cap;
    }
    e->from[e->n] = from;
    e->to[e->n] = to;
    e->next[e->n] = e->head[from];
    e->head[from] = e->n++;
    e->wait[to]++;
    return GV_OK;
}

static void edge_drop(gv_edges *e)
{
    int last = --e->n;
    e->head[e->from[last]] = e->next[last];
    e->wait[e->to[last]]--;
}

struct ways {
    const gv_program *p;
    const gv_graph *g;
    const gv_units *u;
    gv_edges *e;
    int *first, *next, *reader;  /* per value: units that read it */
    int *unit_first, *unit_next; /* per unit: its nodes */
    int *seen_val, *seen_unit;   /* number of the search that saw it last */
    int search, *stack;
    bool *returned; /* per value */
    gv_val *over;   /* the way found: value overwritten, by which unit */
    int *by, n_way;
    gv_val goal;
};

/* The value that input i of node k reads; through a broadcast: GV_NONE, and *plain. */
static gv_val read_value(const struct ways *c, int k, int i, bool *plain)
{
    const gv_units *u = c->u;
    gv_val r = u->root[c->g->node[k]->in[i]];
    int j = c->g->val_node[r];
    *plain = !(u->adaptor[j] && u->fused[u->of_node[k]]);
    return *plain ? r : u->root[c->g->node[j]->in[0]];
}

static void list_readers(struct ways *c)
{
    int n = 0;
    bool plain;
    for (int v = 0; v < c->g->n_val; v++) c->first[v] = -1;
    for (int a = 0; a < c->u->n; a++) c->unit_first[a] = -1;
    for (int k = 0; k < c->g->n_node; k++) {
        int a = c->u->of_node[k];
        if (a < 0) continue;
        c->unit_next[k] = c->unit_first[a];
        c->unit_first[a] = k;
        for (int i = 0; i < c->g->node[k]->nin; i++) {
            gv_val v = read_value(c, k, i, &plain);
            c->reader[n] = a;
            c->next[n] = c->first[v];
            c->first[v] = n++;
        }
    }
}

static bool same_bytes(const gv_graph *g, gv_val a, gv_val b)
{
    const gv_type *s = gv_graph_type(g, a), *t = gv_graph_type(g, b);
    return gv_dtype_size(s->dtype) == gv_dtype_size(t->dtype) &&
        gv_shape_size(&s->shape) == gv_shape_size(&t->shape);
}

static bool find_way(struct ways *c, gv_val w);

/* May the unit of w write it over v, and does a way lead from there to the goal? */
static bool way_over(struct ways *c, gv_val v, gv_val w, bool last)
{
    if (!same_bytes(c->g, v, w) || (last ? v != c->goal : v == c->goal)) return false;
    if (!last && (c->returned[v] || !find_way(c, v))) return false;
    c->over[c->n_way] = v;
    c->by[c->n_way++] = c->u->of_node[c->g->val_node[w]];
    return true;
}

static bool way_through(struct ways *c, gv_val w, bool last)
{
    int k = c->g->val_node[w], unit = c->u->of_node[k];
    const gv_node *n = c->g->node[k];
    bool plain;
    if (!c->u->fused[unit]) {
        int o = w - n->first, nc = n->op->carries ? n->op->carries(n) : 0;
        if (o < nc || (o == 0 && n->nin > 0 && (n->op->flags & GV_INPLACE)))
            return way_over(c, read_value(c, k, o, &plain), w, last);
        return false;
    }
    for (int j = c->unit_first[unit]; j >= 0; j = c->unit_next[j])
        for (int i = 0; i < c->g->node[j]->nin; i++) {
            gv_val v = read_value(c, j, i, &plain);
            if (plain && c->u->of_node[c->g->val_node[v]] != unit &&
                way_over(c, v, w, last))
                return true;
        }
    return false;
}

/* A chain of overwriting units from the goal (a carry) to w. */
static bool find_way(struct ways *c, gv_val w)
{
    if (c->seen_val[w] == c->search || c->u->of_node[c->g->val_node[w]] < 0)
        return false;
    c->seen_val[w] = c->search;
    return way_through(c, w, true) || way_through(c, w, false);
}

/* Let all that read v run before the unit that overwrites it; false: they cannot. */
static gv_status order_readers(struct ways *c, gv_val v, int unit, bool *can)
{
    const gv_edges *e = c->e;
    int top = 0, search = ++c->search;
    c->stack[top++] = unit;
    c->seen_unit[unit] = search;
    while (top) {
        for (int i = e->head[c->stack[--top]], next; i >= 0; i = next) {
            next = e->next[i];
            if (c->seen_unit[e->to[i]] == search) continue;
            c->seen_unit[e->to[i]] = search;
            c->stack[top++] = e->to[i];
        }
    }
    for (int i = c->first[v]; i >= 0; i = c->next[i])
        if (c->reader[i] != unit && c->seen_unit[c->reader[i]] == search) *can = false;
    for (int i = c->first[v]; *can && i >= 0; i = c->next[i])
        if (c->reader[i] != unit) GV_TRY(gv_edge_add(c->e, c->reader[i], unit));
    return GV_OK;
}

static gv_status order_carry(struct ways *c, gv_val from, gv_val to)
{
    int unit = c->u->of_node[c->g->val_node[to]], start = c->e->n;
    if (unit < 0) return GV_OK;
    c->goal = from;
    c->n_way = 0;
    c->search++;
    bool can = find_way(c, to);
    for (int i = 0; can && i < c->n_way; i++)
        GV_TRY(order_readers(c, c->over[i], c->by[i], &can));
    if (can) return GV_OK;
    while (c->e->n > start) edge_drop(c->e);
    can = true; /* no chain: the carry may still be dead when the result is begun */
    return order_readers(c, from, unit, &can);
}

gv_status gv_carry_order(const gv_program *p, const gv_units *u, gv_edges *e)
{
    if (p->n_carry == 0 || (p->options & GV_PLAN_DEBUG)) return GV_OK;
    const gv_graph *g = p->g;
    size_t n_in = 1, nv = (size_t)g->n_val + 1, nn = (size_t)g->n_node + 1;
    for (int k = 0; k < g->n_node; k++) n_in += (size_t)g->node[k]->nin;
    struct ways c = { .p = p, .g = g, .u = u, .e = e };
    int *room = gv_alloc_zero((4 * nv + 2 * n_in + 4 * nn) * sizeof *room);
    c.returned = gv_alloc_zero(nv);
    if (!room || !c.returned) {
        gv_free(room);
        gv_free(c.returned);
        return GV_ERR_MEMORY;
    }
    c.first = room, c.seen_val = c.first + nv, c.over = c.seen_val + nv;
    c.by = c.over + nv, c.next = c.by + nv, c.reader = c.next + n_in;
    c.unit_first = c.reader + n_in, c.unit_next = c.unit_first + nn;
    c.seen_unit = c.unit_next + nn, c.stack = c.seen_unit + nn;
    list_readers(&c);
    for (int o = 0; o < p->nout; o++) c.returned[u->root[p->out[o]]] = true;
    gv_status s = GV_OK;
    for (int i = 0; s == GV_OK && i < p->n_carry; i++) {
        gv_val to = u->root[p->out[i]];
        if (to != p->in[i]) s = order_carry(&c, p->in[i], to);
    }
    gv_free(room);
    gv_free(c.returned);
    return s;
}

/* --- memory ------------------------------------------------------------------------- */
/* Buffers that instruction i may write its output b over, one after the other: number
 * `at` on, -1 at the end. */
static int overwritten(const gv_program *p, int i, int b, int *at)
{
    const gv_instr *in = &p->instr[i];
    if (in->kind == GV_RUN_FUSED) {
        if (in->fused->n_step > 512) return -1;
        int s = 0;
        while (in->out[s] != b) s++;
        while (*at < in->nin) {
            int o = (*at)++;
            if (gv_fused_may_overwrite(in->fused, o, s)) return in->in[o];
        }
        return -1;
    }
    if (in->kind != GV_RUN_OP || *at > 0) return -1;
    int k = 0, nc = in->node->op->carries ? in->node->op->carries(in->node) : 0;
    while (in->out[k] != b) k++;
    bool may = k < nc || (k == 0 && in->nin > 0 && (in->node->op->flags & GV_INPLACE));
    for (int j = 0; may && j < in->nin; j++) may = j == k || in->in[j] != in->in[k];
    *at = 1;
    return may ? in->in[k] : -1;
}

/* Buffers from b back to the carry's, each dead where the next is written; the chain
 * without its ends is put in list. */
static bool find_chain(const gv_program *p, int b, int carry, int *list, int *n,
                       bool *seen)
{
    const gv_buffer *to = &p->buffer[b];
    int i = to->first, at = 0, c;
    while ((c = overwritten(p, i, b, &at)) >= 0) {
        const gv_buffer *from = &p->buffer[c];
        if (from->last != i || from->bytes != to->bytes) continue;
        if (c == carry) return true;
        if (seen[c] || from->place != GV_IN_ARENA || from->first == INT32_MAX) continue;
        seen[c] = true;
        int depth = (*n)++;
        list[depth] = c;
        if (find_chain(p, c, carry, list, n, seen)) return true;
        *n = depth;
    }
    return false;
}

gv_status gv_carry_slots(gv_program *p)
{
    if (p->options & GV_PLAN_DEBUG) return GV_OK;
    int *list = gv_alloc(((size_t)p->n_buffer + 1) * sizeof *list);
    bool *seen = gv_alloc(((size_t)p->n_buffer + 1) * sizeof *seen);
    gv_status s = list && seen ? GV_OK : GV_ERR_MEMORY;
    for (int i = 0; s == GV_OK && i < p->n_carry; i++) {
        if (p->carry[i] == GV_CARRY_KEPT) continue;
        int carry = p->val_buffer[p->in[i]], b = 0, n = 0;
        while (p->buffer[b].place != GV_IN_OUTPUT || p->buffer[b].index != i) b++;
        memset(seen, 0, (size_t)p->n_buffer * sizeof *seen);
        if (find_chain(p, b, carry, list, &n, seen)) {
            for (int k = 0; k < n; k++) {
                p->buffer[list[k]].place = GV_IN_OUTPUT;
                p->buffer[list[k]].index = i;
            }
            p->carry[i] = GV_CARRY_SHARED;
        } else if (p->buffer[carry].last < p->buffer[b].first) {
            p->carry[i] = GV_CARRY_SHARED;
        }
    }
    gv_free(list);
    gv_free(seen);
    return s;
}
