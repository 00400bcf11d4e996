/* Shared by the operators of linear layers. */
#ifndef GV_OPS_LINEAR_H
#define GV_OPS_LINEAR_H

#include "graph/op.h"

/* Attributes of linear and linear_back, and what linear_back is to make. */
enum { GV_LINEAR_ACT, GV_LINEAR_X_INNER, GV_LINEAR_Y_INNER, GV_LINEAR_WANT };
enum { GV_WANT_X = 1, GV_WANT_W = 2, GV_WANT_B = 4 };

/* adam_update of a weight whose gradient is made by linear_back (graph/absorb.h). */
bool gv_linear_absorb(gv_graph *g, const gv_node *user, const gv_node *maker,
                      int output);

#endif
