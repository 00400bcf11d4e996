/* Helpers shared by the shape rules and derivative rules of the operators.
 *
 * An operator has fixed core ranks; all axes in front of them are batch axes, equal
 * among its inputs. Attributes of kind "ints" are packed as a length and its values. */
#ifndef GV_OPS_RANK_H
#define GV_OPS_RANK_H

#include <string.h>

#include "graph/emit.h"

typedef struct gv_ints {
    int n;
    const int64_t *v;
} gv_ints;

/* Read an "ints" attribute at *p and step over it. */
static inline gv_ints gv_ints_take(const int64_t **p)
{
    gv_ints r = { (int)(*p)[0], *p + 1 };
    *p += 1 + r.n;
    return r;
}

/* Append an "ints" attribute at *p. */
static inline void gv_ints_put(int64_t **p, int n, const int64_t *v)
{
    *(*p)++ = n;
    for (int k = 0; k < n; k++) *(*p)++ = v[k];
}

/* The dimension `back` axes from the end (1: the last). */
static inline int64_t gv_dim_back(const gv_type *t, int back)
{
    return t->shape.dim[t->shape.ndim - back];
}

static inline int64_t gv_min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t gv_max_i64(int64_t a, int64_t b) { return a > b ? a : b; }

/* Number of batch entries in front of `core` trailing axes. */
static inline int64_t gv_batch_count(const gv_type *t, int core)
{
    return gv_shape_span(&t->shape, 0, t->shape.ndim - core);
}

/* GV_ERR_VALUE unless input i has at least `core` axes. */
static inline gv_status gv_check_rank(const gv_infer *inf, int i, int core)
{
    if (inf->in[i].shape.ndim >= core) return GV_OK;
    char text[96];
    return gv_fail(GV_ERR_VALUE, "%s: input %d needs at least %d axes, got %s",
                   inf->op->name, i, core,
                   gv_type_format(&inf->in[i], text, sizeof text));
}

/* GV_ERR_VALUE unless inputs a and b have the same batch axes in front of their cores. */
static inline gv_status gv_check_batch(const gv_infer *inf, int a, int core_a, int b,
                                       int core_b)
{
    const gv_shape *s = &inf->in[a].shape, *t = &inf->in[b].shape;
    int n = s->ndim - core_a;
    bool same = n == t->ndim - core_b;
    for (int k = 0; same && k < n; k++) same = s->dim[k] == t->dim[k];
    if (same) return GV_OK;
    char one[96], two[96];
    return gv_fail(GV_ERR_VALUE, "%s: batch axes differ: %s and %s", inf->op->name,
                   gv_type_format(&inf->in[a], one, sizeof one),
                   gv_type_format(&inf->in[b], two, sizeof two));
}

/* GV_ERR_TYPE unless inputs a and b have one dtype. */
static inline gv_status gv_check_same_dtype(const gv_infer *inf, int a, int b)
{
    if (inf->in[a].dtype == inf->in[b].dtype) return GV_OK;
    return gv_fail(GV_ERR_TYPE, "%s: dtypes differ: %s and %s", inf->op->name,
                   gv_dtype_name(inf->in[a].dtype), gv_dtype_name(inf->in[b].dtype));
}

/* Position of a negative axis; GV_ERR_VALUE when there is none. */
static inline gv_status gv_check_axis(const gv_infer *inf, int64_t axis, int *position)
{
    int ndim = inf->in[0].shape.ndim;
    if (axis < 0 && axis >= -ndim) {
        *position = ndim + (int)axis;
        return GV_OK;
    }
    return gv_fail(GV_ERR_VALUE, "%s: axis %lld is not one of -%d..-1", inf->op->name,
                   (long long)axis, ndim);
}

/* The type that input k of the node has. */
static inline const gv_type *gv_in_type(const gv_graph *g, const gv_node *node, int k)
{
    return gv_graph_type(g, node->in[k]);
}

#endif
