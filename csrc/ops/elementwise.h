/* What the element-wise families share: shape rule, kernel look-up, a forward that
 * cuts long arrays into blocks, and short names for emitting derivatives.
 *
 * All inputs have one shape (the Python wrappers broadcast); the result has it too.
 * An op of these families is one table entry: its kernels and dtypes come from its
 * gv_ew_code (in `aux`). */
#ifndef GV_OPS_ELEMENTWISE_H
#define GV_OPS_ELEMENTWISE_H

#include "graph/emit.h"
#include "kernels/ew.h"
#include "ops/ops.h"

gv_status gv_elementwise_infer(gv_infer *inf) GV_MUST;
gv_status gv_elementwise_forward(const gv_call *call) GV_MUST;
gv_ew_fn gv_elementwise_kernel(const gv_op *op, const gv_dtype *in, gv_dtype out);

/* Run a kernel over n elements in parallel blocks; size[k] bytes per element of each
 * input, then of the output. cost: ns per element. */
void gv_elementwise_run(gv_ew_fn kernel, int nin, int64_t n, const void *const *in,
                        void *out, const size_t *size, double cost);

/* An entry of the table; more members (vjp, doc of attributes) may follow. */
#define GV_ELEMENTWISE(op_name, code, op_signature, op_doc, op_samples, op_flags, ...) \
    const gv_op gv_op_##op_name = { .name = #op_name,                                  \
                                    .signature = op_signature,                         \
                                    .doc = op_doc,                                     \
                                    .attrs = "",                                       \
                                    .samples = op_samples,                             \
                                    .flags = GV_ELEMENTWISE | (op_flags),              \
                                    .infer = gv_elementwise_infer,                     \
                                    .forward = gv_elementwise_forward,                 \
                                    .ew = gv_elementwise_kernel,                       \
                                    .aux = GV_EW_##code,                               \
                                    .nin = GV_EW_NIN_##code,                           \
                                    __VA_ARGS__ }

/* The head of every vjp rule: fixed arguments, short names. */
#define GV_VJP(name)                                                             \
    static gv_status name(gv_graph *g, const gv_node *node, const gv_val *g_out, \
                          gv_val *g_in)

static inline bool gv_wanted(gv_val v) { return v != GV_NONE; }

#define E1(op, a) gv_emit_1(g, &gv_op_##op, a)
#define E2(op, a, b) gv_emit_2(g, &gv_op_##op, a, b)
#define E3(op, a, b, c) gv_emit_3(g, &gv_op_##op, a, b, c)

#endif
