/* Shared by the ops on rows of fixed-point numbers. */
#ifndef GV_OPS_FIXED_ROWS_H
#define GV_OPS_FIXED_ROWS_H

#include "graph/emit.h"

/* One number per batch entry, spread over its rows (r, n) and cast to the cotangent's
 * dtype of `like`. */
gv_val gv_emit_over_rows(gv_graph *g, gv_val s, const gv_type *like);

#endif
