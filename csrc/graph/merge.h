/* Pairs of nodes that read the same data and are run as one.
 *
 * A node of op `one` and a node of op `two` whose inputs agree where the rule says so
 * become a node of op `both`, unless one of them needs the other. Plans are made so;
 * graphs that are differentiated or batched never hold `both`, which therefore needs no
 * such rules. It has
 *     inputs      those of one, then those of two that are its own
 *     attributes  those of one; those of two are the first of them
 *     outputs     those of one, then those of two, with the same bits. */
#ifndef GV_GRAPH_MERGE_H
#define GV_GRAPH_MERGE_H

#include "graph/op.h"

enum { GV_MERGE_IN = 8 }; /* most inputs of an op of a rule */

typedef struct gv_merge {
    const gv_op *one, *two, *both;
    int same[GV_MERGE_IN]; /* by input of two: the input of one it must be; -1: own */
} gv_merge;

/* The rules (ops/table.c). */
extern const gv_merge gv_merge_table[];
extern const int gv_merge_count;

/* partner[k]: the node to be merged with node k, or -1. */
gv_status gv_merge_find(const gv_graph *g, int *partner, bool *any) GV_MUST;
/* The rule by which a node of op one and one of op two fit; NULL: none. */
const gv_merge *gv_merge_rule(const gv_node *one, const gv_node *two);
/* Emit the merged node; in: inputs of one, then of two. Returns its first output. */
gv_val gv_merge_emit(gv_graph *g, const gv_merge *rule, const gv_node *one,
                     const gv_node *two, const gv_val *in);

#endif
