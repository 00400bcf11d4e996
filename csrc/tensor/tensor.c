/* Element types and shapes: tables and checked arithmetic. */
#include "tensor/tensor.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    size_t size;
    gv_dtype cotangent, real, complex;
} info[GV_N_DTYPE] = {
    [GV_BOOL] = { "bool", 1, GV_BOOL, GV_BOOL, GV_BOOL },
    [GV_I32] = { "int32", 4, GV_I32, GV_I32, GV_I32 },
    [GV_I64] = { "int64", 8, GV_I64, GV_I64, GV_I64 },
    [GV_F32] = { "float32", 4, GV_F32, GV_F32, GV_C64 },
    [GV_F64] = { "float64", 8, GV_F64, GV_F64, GV_C128 },
    [GV_C64] = { "complex64", 8, GV_C64, GV_F32, GV_C64 },
    [GV_C128] = { "complex128", 16, GV_C128, GV_F64, GV_C128 },
    [GV_Q32] = { "q32", 4, GV_F32, GV_Q32, GV_Q32 },
    [GV_Q64] = { "q64", 8, GV_F64, GV_Q64, GV_Q64 },
};

static bool is_known(gv_dtype d) { return (unsigned)d < GV_N_DTYPE; }

size_t gv_dtype_size(gv_dtype d) { return is_known(d) ? info[d].size : 0; }
const char *gv_dtype_name(gv_dtype d) { return is_known(d) ? info[d].name : "?"; }
gv_dtype gv_dtype_cotangent(gv_dtype d) { return is_known(d) ? info[d].cotangent : d; }
gv_dtype gv_dtype_real(gv_dtype d) { return is_known(d) ? info[d].real : d; }
gv_dtype gv_dtype_complex(gv_dtype d) { return is_known(d) ? info[d].complex : d; }

gv_shape gv_shape_make(int ndim, const int64_t *dim)
{
    gv_shape shape = { 0 };
    shape.ndim = ndim < 0 ? 0 : ndim > GV_MAX_DIM ? GV_MAX_DIM : ndim;
    for (int k = 0; k < shape.ndim; k++) shape.dim[k] = dim[k];
    return shape;
}

bool gv_shape_equal(const gv_shape *a, const gv_shape *b)
{
    if (a->ndim != b->ndim) return false;
    for (int k = 0; k < a->ndim; k++)
        if (a->dim[k] != b->dim[k]) return false;
    return true;
}

int64_t gv_shape_span(const gv_shape *shape, int from, int to)
{
    int64_t n = 1;
    for (int k = from; k < to; k++) n *= shape->dim[k];
    return n;
}

int64_t gv_shape_size(const gv_shape *shape)
{
    return gv_shape_span(shape, 0, shape->ndim);
}

gv_status gv_shape_replace_core(const gv_shape *shape, int core, int n,
                                const int64_t *dim, gv_shape *out)
{
    int lead = shape->ndim - core;
    if (core < 0 || lead < 0)
        return gv_fail(GV_ERR_VALUE, "%d dimensions given, at least %d needed",
                       shape->ndim, core);
    if (n < 0 || lead + n > GV_MAX_DIM)
        return gv_fail(GV_ERR_VALUE, "a result of %d dimensions; the limit is %d",
                       lead + n, GV_MAX_DIM);
    gv_shape made = { 0 };
    made.ndim = lead + n;
    for (int k = 0; k < lead; k++) made.dim[k] = shape->dim[k];
    for (int k = 0; k < n; k++) made.dim[lead + k] = dim[k];
    *out = made;
    return GV_OK;
}

gv_status gv_type_bytes(const gv_type *type, size_t *bytes)
{
    int64_t n = (int64_t)gv_dtype_size(type->dtype);
    bool empty = false, over = false;
    for (int k = 0; k < type->shape.ndim; k++) {
        int64_t d = type->shape.dim[k];
        if (d < 0)
            return gv_fail(GV_ERR_VALUE, "axis %d has length %lld", k, (long long)d);
        if (d == 0)
            empty = true;
        else
            over |= __builtin_mul_overflow(n, d, &n);
    }
    if (empty)
        n = 0;
    else if (over || n > INT64_MAX / 4) {
        char text[256];
        return gv_fail(GV_ERR_VALUE, "%s has more bytes than can be addressed",
                       gv_type_format(type, text, sizeof text));
    }
    *bytes = (size_t)n;
    return GV_OK;
}

const char *gv_type_format(const gv_type *type, char *buf, size_t size)
{
    size_t used = 0;
    if (size == 0) return buf;
    used += (size_t)snprintf(buf, size, "%s[", gv_dtype_name(type->dtype));
    for (int k = 0; k < type->shape.ndim && used < size; k++)
        used += (size_t)snprintf(buf + used, size - used, "%s%lld", k ? "," : "",
                                 (long long)type->shape.dim[k]);
    if (used < size) snprintf(buf + used, size - used, "]");
    return buf;
}
