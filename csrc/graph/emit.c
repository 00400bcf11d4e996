/* Emission helpers: constants, casts, broadcasts and small simplifications. */
#include "graph/emit.h"

#include <string.h>

#include "base/alloc.h"
#include "graph/graph.h"

extern const gv_op gv_op_input, gv_op_const;

bool gv_node_is_input(const gv_node *node) { return node->op == &gv_op_input; }
bool gv_node_is_const(const gv_node *node) { return node->op == &gv_op_const; }
const void *gv_const_data(const gv_node *node)
{
    return node->attr + 2 + node->attr[1];
}

gv_val gv_emit_const(gv_graph *g, const gv_type *type, const void *data)
{
    size_t bytes;
    gv_status s = gv_type_bytes(type, &bytes);
    if (s != GV_OK) return gv_graph_break(g, s);
    int head = 2 + type->shape.ndim;
    size_t n = (size_t)head + (bytes + 7) / 8;
    int64_t few[64], *attr = few;
    if (n > 64 && !(attr = gv_alloc(n * sizeof *attr)))
        return gv_graph_break(g, GV_ERR_MEMORY);
    attr[n - 1] = 0;
    attr[0] = type->dtype;
    attr[1] = type->shape.ndim;
    for (int i = 0; i < type->shape.ndim; i++) attr[2 + i] = type->shape.dim[i];
    if (bytes) memcpy(attr + head, data, bytes);
    if (bytes % 8) memset((char *)(attr + head) + bytes, 0, 8 - bytes % 8);
    gv_val v = gv_emit(g, &gv_op_const, 0, NULL, (int)n, attr);
    if (attr != few) gv_free(attr);
    return v;
}

gv_val gv_emit_scalar(gv_graph *g, gv_dtype d, double value)
{
    union {
        uint8_t b;
        int32_t i;
        int64_t l;
        float f[2];
        double d[2];
    } u = { .d = { 0.0, 0.0 } };
    switch (d) {
    case GV_BOOL: u.b = value != 0; break;
    case GV_I32:
    case GV_Q32: u.i = (int32_t)value; break;
    case GV_I64:
    case GV_Q64: u.l = (int64_t)value; break;
    case GV_F32:
    case GV_C64: u.f[0] = (float)value; break;
    case GV_F64:
    case GV_C128: u.d[0] = value; break;
    default: break;
    }
    gv_type t = { .dtype = d };
    return gv_emit_const(g, &t, &u);
}

gv_val gv_emit_full(gv_graph *g, const gv_type *type, double value)
{
    return gv_emit_broadcast(g, gv_emit_scalar(g, type->dtype, value), &type->shape);
}

gv_val gv_emit_zeros_like(gv_graph *g, gv_val v)
{
    if (v == GV_NONE || g->status != GV_OK) return GV_NONE;
    gv_type t = *gv_graph_type(g, v);
    t.dtype = gv_dtype_cotangent(t.dtype);
    return gv_emit_full(g, &t, 0.0);
}

static bool const_value(const gv_node *n, double *value)
{
    if (n->attr[1] != 0) return false;
    const void *p = gv_const_data(n);
    switch ((gv_dtype)n->attr[0]) {
    case GV_BOOL: *value = *(const uint8_t *)p; return true;
    case GV_I32: *value = *(const int32_t *)p; return true;
    case GV_I64: *value = (double)*(const int64_t *)p; return true;
    case GV_F32: *value = *(const float *)p; return true;
    case GV_F64: *value = *(const double *)p; return true;
    case GV_C64: *value = ((const float *)p)[0]; return ((const float *)p)[1] == 0;
    case GV_C128: *value = ((const double *)p)[0]; return ((const double *)p)[1] == 0;
    default: return false;
    }
}

bool gv_graph_uniform(const gv_graph *g, gv_val v, double *value)
{
    const gv_node *n = gv_graph_node(g, v);
    while (n->op == &gv_op_broadcast || n->op == &gv_op_reshape)
        n = gv_graph_node(g, n->in[0]);
    return gv_node_is_const(n) && const_value(n, value);
}

gv_val gv_emit_scale(gv_graph *g, gv_val v, double factor)
{
    if (v == GV_NONE || g->status != GV_OK) return GV_NONE;
    if (factor == 1.0) return v;
    return gv_emit_2(g, &gv_op_mul, v, gv_emit_full(g, gv_graph_type(g, v), factor));
}

gv_val gv_emit_shift(gv_graph *g, gv_val v, double term)
{
    if (v == GV_NONE || g->status != GV_OK) return GV_NONE;
    return gv_emit_2(g, &gv_op_add, v, gv_emit_full(g, gv_graph_type(g, v), term));
}

gv_val gv_emit_cast(gv_graph *g, gv_val v, gv_dtype d)
{
    if (v == GV_NONE || g->status != GV_OK) return GV_NONE;
    if (gv_graph_type(g, v)->dtype == d) return v;
    int64_t attr = d;
    return gv_emit(g, &gv_op_cast, 1, &v, 1, &attr);
}

static bool is_zero(const gv_graph *g, gv_val v)
{
    double x;
    return gv_graph_uniform(g, v, &x) && x == 0.0;
}

gv_val gv_emit_sum2(gv_graph *g, gv_val a, gv_val b)
{
    if (g->status != GV_OK) return GV_NONE;
    if (a == GV_NONE) return b;
    if (b == GV_NONE) return a;
    if (is_zero(g, a)) return b;
    if (is_zero(g, b)) return a;
    return gv_emit_2(g, &gv_op_add, a, b);
}

gv_val gv_emit_conj(gv_graph *g, gv_val v)
{
    if (v == GV_NONE || g->status != GV_OK) return GV_NONE;
    if (!gv_dtype_is_complex(gv_graph_type(g, v)->dtype)) return v;
    const gv_node *n = gv_graph_node(g, v);
    if (n->op == &gv_op_conj) return n->in[0];
    return gv_emit_1(g, &gv_op_conj, v);
}

gv_val gv_emit_reshape(gv_graph *g, gv_val v, const gv_shape *shape)
{
    if (v == GV_NONE || g->status != GV_OK) return GV_NONE;
    const gv_shape *from = &gv_graph_type(g, v)->shape;
    if (gv_shape_equal(from, shape)) return v;
    int64_t attr[2 + GV_MAX_DIM] = { from->ndim, shape->ndim };
    for (int i = 0; i < shape->ndim; i++) attr[2 + i] = shape->dim[i];
    return gv_emit(g, &gv_op_reshape, 1, &v, 2 + shape->ndim, attr);
}

gv_val gv_emit_broadcast(gv_graph *g, gv_val v, const gv_shape *shape)
{
    if (v == GV_NONE || g->status != GV_OK) return GV_NONE;
    const gv_shape *from = &gv_graph_type(g, v)->shape;
    if (gv_shape_equal(from, shape)) return v;
    int64_t attr[2 + GV_MAX_DIM] = { from->ndim, shape->ndim };
    for (int i = 0; i < shape->ndim; i++) attr[2 + i] = shape->dim[i];
    return gv_emit(g, &gv_op_broadcast, 1, &v, 2 + shape->ndim, attr);
}

gv_val gv_emit_lead(gv_graph *g, gv_val v, int64_t n)
{
    if (v == GV_NONE || g->status != GV_OK) return GV_NONE;
    gv_shape s = gv_graph_type(g, v)->shape;
    if (s.ndim >= GV_MAX_DIM)
        return gv_graph_break(g,
                              gv_fail(GV_ERR_VALUE, "more than %d axes", GV_MAX_DIM));
    for (int i = s.ndim; i > 0; i--) s.dim[i] = s.dim[i - 1];
    s.dim[0] = n;
    s.ndim++;
    return gv_emit_broadcast(g, v, &s);
}

gv_val gv_emit_swap_last(gv_graph *g, gv_val v)
{
    int64_t attr[3] = { 2, 1, 0 };
    return gv_emit(g, &gv_op_transpose, 1, &v, 3, attr);
}
