/* Building graphs from C: what vjp, jvp and batch rules call.
 *
 * Emitters return a value. Failure is sticky: the graph remembers the first error,
 * later emitters return GV_NONE at once, and the driver checks gv_graph_status()
 * after each rule; rules may therefore be written as plain expressions. An emitter
 * that is handed GV_NONE as an operand returns GV_NONE, except gv_emit_sum2 and
 * those documented otherwise. */
#ifndef GV_GRAPH_EMIT_H
#define GV_GRAPH_EMIT_H

#include "graph/op.h"

gv_status gv_graph_status(const gv_graph *g) GV_MUST;
const gv_type *gv_graph_type(const gv_graph *g, gv_val v);
const gv_node *gv_graph_node(const gv_graph *g, gv_val v); /* producer of v */
int gv_graph_out_index(const gv_graph *g, gv_val v);       /* which output v is */
/* Makes the error sticky (message by gv_fail) and returns GV_NONE. */
gv_val gv_graph_break(gv_graph *g, gv_status status);

/* The general form; returns the first output (others follow it: +1, +2, ...). */
gv_val gv_emit(gv_graph *g, const gv_op *op, int nin, const gv_val *in, int nattr,
               const int64_t *attr);
gv_val gv_emit_func(gv_graph *g, const gv_op *op, int nin, const gv_val *in, int nattr,
                    const int64_t *attr, int nfunc, gv_func *const *func);
gv_val gv_emit_1(gv_graph *g, const gv_op *op, gv_val a);
gv_val gv_emit_2(gv_graph *g, const gv_op *op, gv_val a, gv_val b);
gv_val gv_emit_3(gv_graph *g, const gv_op *op, gv_val a, gv_val b, gv_val c);
/* Same op and attributes as node, other inputs. */
gv_val gv_emit_like(gv_graph *g, const gv_node *node, const gv_val *in);

/* Constants: a rank-0 constant of dtype d, or one broadcast to the type given. */
gv_val gv_emit_scalar(gv_graph *g, gv_dtype d, double value);
gv_val gv_emit_full(gv_graph *g, const gv_type *type, double value);
gv_val gv_emit_const(gv_graph *g, const gv_type *type, const void *data); /* copies */
gv_val gv_emit_zeros_like(gv_graph *g, gv_val v); /* cotangent dtype of v */
/* value * scalar, value + scalar, with the scalar broadcast and in v's dtype */
gv_val gv_emit_scale(gv_graph *g, gv_val v, double factor);
gv_val gv_emit_shift(gv_graph *g, gv_val v, double term);
gv_val gv_emit_cast(gv_graph *g, gv_val v, gv_dtype d); /* v itself if it has it */
/* a + b where either may be GV_NONE (zero). */
gv_val gv_emit_sum2(gv_graph *g, gv_val a, gv_val b);
/* conj for complex values, v itself otherwise. */
gv_val gv_emit_conj(gv_graph *g, gv_val v);
/* Add leading axis of length n by broadcasting. */
gv_val gv_emit_lead(gv_graph *g, gv_val v, int64_t n);
gv_val gv_emit_reshape(gv_graph *g, gv_val v, const gv_shape *shape);
gv_val gv_emit_broadcast(gv_graph *g, gv_val v,
                         const gv_shape *shape); /* NumPy's rule */
gv_val gv_emit_swap_last(gv_graph *g, gv_val v); /* swap the last two axes */

/* Operators that the graph layer itself emits; defined in ops/. */
extern const gv_op gv_op_add, gv_op_mul, gv_op_conj, gv_op_cast, gv_op_broadcast,
    gv_op_reshape, gv_op_transpose, gv_op_alias;

#endif
