/* Functions of functions: what the derivatives of call, cond, scan and while share.
 *
 * A gv_lab is a scratch graph into which a function has been inlined; transforms are
 * applied there and the result is closed into a new function. */
#ifndef GV_OPS_FUNCS_H
#define GV_OPS_FUNCS_H

#include "graph/graph.h"

typedef struct gv_lab {
    gv_graph *g;
    int nin, nout;
    gv_val *in, *out; /* placeholders and results of the inlined function */
} gv_lab;

gv_status gv_lab_open(const gv_func *f, gv_lab *lab) GV_MUST;
void gv_lab_close(gv_lab *lab);
/* A placeholder shaped like v with the cotangent dtype. */
gv_val gv_lab_cotangent(gv_lab *lab, gv_val v);
/* Close (ins -> outs); everything needed is copied in. */
gv_status gv_lab_func(const gv_lab *lab, int nin, const gv_val *in, int nout,
                      const gv_val *out, gv_func **f) GV_MUST;
static inline bool gv_lab_diff(const gv_lab *lab, gv_val v)
{
    return gv_dtype_is_diff(gv_graph_type(lab->g, v)->dtype);
}

/* (in..., cotangents of the outputs with has_g) -> cotangents of inputs with want. */
gv_status gv_func_vjp(const gv_func *f, const bool *has_g, const bool *want,
                      gv_func **out) GV_MUST;
/* (in..., tangents of inputs with has_d) -> outputs if primal, tangents of all
 * differentiable outputs. */
gv_status gv_func_jvp(const gv_func *f, const bool *has_d, bool primal,
                      gv_func **out) GV_MUST;
/* Inputs with batched[] get a leading axis n; every output gets one where b_out wants
 * it (b_out[k] on entry: force; on exit: is batched). */
gv_status gv_func_batch(const gv_func *f, int64_t n, const bool *batched, bool *b_out,
                        gv_func **out) GV_MUST;

#endif
