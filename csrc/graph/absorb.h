/* Nodes that take in the node which makes one of their inputs.
 *
 * Where an input of a node of op `user` is made for it alone (perhaps by way of views),
 * `absorb` may write both as one: it emits nodes in the graph of a plan and lets them
 * stand for old values (gv_graph_replace). Graphs that are differentiated or batched
 * never hold such nodes, which need no rules for that. */
#ifndef GV_GRAPH_ABSORB_H
#define GV_GRAPH_ABSORB_H

#include "graph/op.h"

typedef struct gv_absorb {
    const gv_op *user;
    int input; /* which one */
    /* output: of maker, what the input is made of; false: they do not fit. Errors are
     * sticky in the graph. */
    bool (*absorb)(gv_graph *g, const gv_node *user, const gv_node *maker, int output);
} gv_absorb;

/* The rules (ops/table.c). */
extern const gv_absorb gv_absorb_table[];
extern const int gv_absorb_count;

/* Apply the rules to all nodes of a graph with these results. */
gv_status gv_absorb_all(gv_graph *g, int nout, const gv_val *out, bool *any) GV_MUST;

#endif
