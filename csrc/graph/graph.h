/* The graph: hash-consed nodes in topological order, and closed functions.
 *
 * A graph only grows. Values are numbered in order of creation, so an input always
 * has a smaller number than its users. `replace` maps outputs of a node to those of
 * a richer equivalent (a scan that also returns residuals); it is followed when a
 * program is planned, where order is established anew. */
#ifndef GV_GRAPH_GRAPH_H
#define GV_GRAPH_GRAPH_H

#include "graph/emit.h"

struct gv_graph {
    gv_node **node;
    int n_node, cap_node;
    int32_t *val_node; /* producing node of each value */
    gv_val *replace;   /* GV_NONE: itself */
    int n_val, cap_val;
    int32_t *table; /* open addressing, node index or -1 */
    int cap_table;
    gv_status status;
    char **lines;
    int n_line, cap_line, line;
};

gv_graph *gv_graph_new(void); /* NULL: out of memory */
void gv_graph_free(gv_graph *g);
gv_val gv_graph_input(gv_graph *g, const gv_type *type);
/* The line is interned; NULL: unknown. */
gv_status gv_graph_set_line(gv_graph *g, const char *line) GV_MUST;
const char *gv_graph_line(const gv_graph *g, const gv_node *node); /* "" unknown */
void gv_graph_replace(gv_graph *g, gv_val old, gv_val better);
gv_val gv_graph_resolve(const gv_graph *g, gv_val v);
/* Clear a sticky error so that the graph may be used further. */
void gv_graph_recover(gv_graph *g);

/* Constants keep their bytes as attributes: attr = dtype, ndim, dims..., data. */
bool gv_node_is_input(const gv_node *node);
bool gv_node_is_const(const gv_node *node);
const void *gv_const_data(const gv_node *node);
/* True when v is a constant whose elements are all equal; its real value. */
bool gv_graph_uniform(const gv_graph *g, gv_val v, double *value);

/* --- transforms: graph -> graph, in the same graph --------------------------- */
/* on_path[i] for every value: depends on one of the n values and is differentiable
 * (diff true) or just depends on them. Caller frees. NULL: memory. */
bool *gv_graph_depends(const gv_graph *g, int n, const gv_val *on, bool diff);
/* The values that out depend on, themselves included; the search does not go below
 * values with stop[v] (may be NULL). Caller frees. NULL: memory. */
bool *gv_graph_needed(const gv_graph *g, int nout, const gv_val *out, const bool *stop);
gv_status gv_graph_vjp(gv_graph *g, int n_out, const gv_val *out, const gv_val *g_out,
                       int n_wrt, const gv_val *wrt, gv_val *g_wrt) GV_MUST;
gv_status gv_graph_jvp(gv_graph *g, int n_out, const gv_val *out, int n_wrt,
                       const gv_val *wrt, const gv_val *d_wrt, gv_val *d_out) GV_MUST;
gv_status gv_graph_batch(gv_graph *g, int n_out, const gv_val *out, int n_in,
                         const gv_val *in, const gv_val *with, int64_t n, gv_val *b_out,
                         bool *b_flag) GV_MUST;
gv_status gv_graph_substitute(gv_graph *g, int n_out, const gv_val *out, int n_in,
                              const gv_val *in, const gv_val *with,
                              gv_val *s_out) GV_MUST;

/* --- functions ---------------------------------------------------------------- */
/* An immutable closed graph with inputs and outputs; reference counted. */
struct gv_func {
    gv_graph *g;
    int nin, nout;
    gv_val *in, *out;
    uint64_t hash;
    int refs;
};
/* Close the slice between in and out. Values it needs besides: those in `captured`
 * first (given, n_captured_given of them), then others, found and appended; the
 * function's inputs are in + captured. *captured is allocated (gv_free). With
 * n_given < 0 nothing may be captured: all that is needed is copied in. */
gv_status gv_func_close(const gv_graph *g, int nin, const gv_val *in, int nout,
                        const gv_val *out, int n_given, const gv_val *given,
                        gv_func **func, int *n_captured, gv_val **captured) GV_MUST;
gv_func *gv_func_ref(gv_func *f);
void gv_func_unref(gv_func *f);
static inline const gv_type *gv_func_in_type(const gv_func *f, int i)
{
    return gv_graph_type(f->g, f->in[i]);
}
static inline const gv_type *gv_func_out_type(const gv_func *f, int i)
{
    return gv_graph_type(f->g, f->out[i]);
}
/* Emit the body into g with these inputs; outs (nout). */
gv_status gv_func_inline(gv_graph *g, const gv_func *f, const gv_val *in,
                         gv_val *out) GV_MUST;

#endif
