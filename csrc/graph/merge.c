/* Which nodes are merged: see merge.h. */
#include "graph/merge.h"

#include <string.h>

#include "base/alloc.h"
#include "graph/graph.h"

struct search {
    const gv_graph *g;
    int *partner;
    int *stack;
    uint8_t *seen;
};

const gv_merge *gv_merge_rule(const gv_node *one, const gv_node *two)
{
    for (int r = 0; r < gv_merge_count; r++) {
        const gv_merge *m = &gv_merge_table[r];
        if (one->op != m->one || two->op != m->two || two->nattr > one->nattr ||
            memcmp(one->attr, two->attr, (size_t)two->nattr * sizeof *two->attr) != 0)
            continue;
        bool fit = true;
        for (int i = 0; i < two->nin; i++)
            fit &= m->same[i] < 0 || two->in[i] == one->in[m->same[i]];
        if (fit) return m;
    }
    return NULL;
}

/* Push what node k reads, and what the node it is merged with reads. */
static void push_inputs(struct search *s, int k, int *top)
{
    for (int half = 0; half < 2 && k >= 0; half++, k = s->partner[k]) {
        const gv_node *n = s->g->node[k];
        s->seen[k] = 1;
        for (int i = 0; i < n->nin; i++) {
            int j = s->g->val_node[n->in[i]];
            if (!s->seen[j]) s->stack[(*top)++] = j;
            s->seen[j] = 1;
        }
    }
}

/* Does neither of a and b need the other, by way of any node, merged ones included? */
static bool independent(struct search *s, int a, int b)
{
    int ends[2] = { a, b }, top = 0;
    memset(s->seen, 0, (size_t)s->g->n_node);
    for (int e = 0; e < 2; e++) {
        const gv_node *n = s->g->node[ends[e]];
        for (int i = 0; i < n->nin; i++) {
            int j = s->g->val_node[n->in[i]];
            if (!s->seen[j]) s->stack[top++] = j;
            s->seen[j] = 1;
        }
    }
    while (top) {
        int k = s->stack[--top];
        if (k == a || k == b) return false;
        push_inputs(s, k, &top);
    }
    return true;
}

static bool begins_rule(const gv_op *op)
{
    for (int r = 0; r < gv_merge_count; r++)
        if (gv_merge_table[r].one == op) return true;
    return false;
}

gv_status gv_merge_find(const gv_graph *g, int *partner, bool *any)
{
    size_t n = (size_t)g->n_node + 1;
    struct search s = { .g = g, .partner = partner };
    s.stack = gv_alloc(n * sizeof *s.stack);
    s.seen = gv_alloc(n);
    gv_status status = s.stack && s.seen ? GV_OK : GV_ERR_MEMORY;
    *any = false;
    for (int k = 0; k < g->n_node; k++) partner[k] = -1;
    for (int a = 0; a < g->n_node && status == GV_OK; a++) {
        if (!begins_rule(g->node[a]->op)) continue;
        for (int b = 0; b < g->n_node && partner[a] < 0; b++) {
            if (b == a || partner[b] >= 0 || !gv_merge_rule(g->node[a], g->node[b]) ||
                !independent(&s, a, b))
                continue;
            partner[a] = b;
            partner[b] = a;
            *any = true;
        }
    }
    gv_free(s.stack);
    gv_free(s.seen);
    return status;
}

gv_val gv_merge_emit(gv_graph *g, const gv_merge *rule, const gv_node *one,
                     const gv_node *two, const gv_val *in)
{
    gv_val all[2 * GV_MERGE_IN];
    int n = one->nin;
    memcpy(all, in, (size_t)n * sizeof *in);
    for (int i = 0; i < two->nin; i++)
        if (rule->same[i] < 0) all[n++] = in[one->nin + i];
    return gv_emit(g, rule->both, n, all, one->nattr, one->attr);
}
