/* Which nodes take in others: see absorb.h. */
#include "graph/absorb.h"

#include "base/alloc.h"
#include "graph/graph.h"

static const gv_absorb *rule_of(const gv_op *op)
{
    for (int r = 0; r < gv_absorb_count; r++)
        if (gv_absorb_table[r].user == op) return &gv_absorb_table[r];
    return NULL;
}

/* How often each value is read or returned. */
static void count_uses(const gv_graph *g, int nout, const gv_val *out, int *uses)
{
    for (int k = 0; k < g->n_node; k++)
        for (int i = 0; i < g->node[k]->nin; i++) uses[g->node[k]->in[i]]++;
    for (int i = 0; i < nout; i++) uses[out[i]]++;
}

gv_status gv_absorb_all(gv_graph *g, int nout, const gv_val *out, bool *any)
{
    int n = g->n_node;
    int *uses = NULL;
    *any = false;
    for (int k = 0; k < n; k++) {
        const gv_node *user = g->node[k];
        const gv_absorb *rule = rule_of(user->op);
        if (!rule) continue;
        if (!uses) {
            uses = gv_alloc_zero(((size_t)g->n_val + 1) * sizeof *uses);
            if (!uses) return GV_ERR_MEMORY;
            count_uses(g, nout, out, uses);
        }
        gv_val v = user->in[rule->input];
        const gv_node *maker = gv_graph_node(g, v);
        while (uses[v] == 1 && (maker->op->flags & GV_VIEW) && maker->nin == 1) {
            v = maker->in[0];
            maker = gv_graph_node(g, v);
        }
        if (uses[v] == 1 && rule->absorb(g, user, maker, v - maker->first)) *any = true;
    }
    gv_free(uses);
    return gv_graph_status(g);
}
