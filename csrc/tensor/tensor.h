/* Element types, shapes and overflow-checked sizes.
 *
 * Tensors of the engine are contiguous, C order; a gv_type (dtype and shape)
 * beside a data pointer is all there is. */
#ifndef GV_TENSOR_TENSOR_H
#define GV_TENSOR_TENSOR_H

#include "base/status.h"

#define GV_MAX_DIM 16

typedef enum gv_dtype {
    GV_BOOL = 0, /* one byte, 0 or 1 */
    GV_I32,
    GV_I64,
    GV_F32,
    GV_F64,
    GV_C64,  /* two float */
    GV_C128, /* two double */
    GV_Q32,  /* fixed point: int32 times a scale known to the code; cotangent F32 */
    GV_Q64,  /* fixed point: int64; cotangent F64 */
    GV_N_DTYPE
} gv_dtype;

typedef struct gv_shape {
    int ndim;
    int64_t dim[GV_MAX_DIM]; /* entries beyond ndim are 0 */
} gv_shape;

typedef struct gv_type {
    gv_dtype dtype;
    gv_shape shape;
} gv_type;

size_t gv_dtype_size(gv_dtype dtype);
const char *gv_dtype_name(gv_dtype dtype); /* "bool", "int32", ..., "q32" */
static inline bool gv_dtype_is_float(gv_dtype d) { return d == GV_F32 || d == GV_F64; }
static inline bool gv_dtype_is_complex(gv_dtype d)
{
    return d == GV_C64 || d == GV_C128;
}
static inline bool gv_dtype_is_fixed(gv_dtype d) { return d == GV_Q32 || d == GV_Q64; }
/* Has a cotangent: float, complex or fixed point. */
static inline bool gv_dtype_is_diff(gv_dtype d) { return d >= GV_F32; }
/* The dtype of cotangents and tangents: itself, F32 for Q32, F64 for Q64. */
gv_dtype gv_dtype_cotangent(gv_dtype dtype);
gv_dtype gv_dtype_real(gv_dtype dtype);    /* C64 -> F32, C128 -> F64, else itself */
gv_dtype gv_dtype_complex(gv_dtype dtype); /* F32 -> C64, F64 -> C128, else itself */

gv_shape gv_shape_make(int ndim, const int64_t *dim);
bool gv_shape_equal(const gv_shape *a, const gv_shape *b);
/* Number of elements of axes [from, to). */
int64_t gv_shape_span(const gv_shape *shape, int from, int to);
int64_t gv_shape_size(const gv_shape *shape); /* all elements (1 for ndim 0) */
/* Append / replace: shape with the last `core` axes replaced by n new ones. */
gv_status gv_shape_replace_core(const gv_shape *shape, int core, int n,
                                const int64_t *dim, gv_shape *out) GV_MUST;
/* elements * itemsize with overflow check */
gv_status gv_type_bytes(const gv_type *type, size_t *bytes) GV_MUST;
static inline gv_type gv_type_with(const gv_type *t, gv_dtype d)
{
    gv_type r = *t;
    r.dtype = d;
    return r;
}
/* "float64[3,4]" into buf (always terminated); returns buf. */
const char *gv_type_format(const gv_type *type, char *buf, size_t size);

#endif
