/* Element-wise block kernels.
 *
 * A kernel computes n elements from contiguous inputs; pointers need only be aligned
 * to their element, n may be anything from 0, and the output may be one of the inputs.
 * Every kernel exists for three instruction sets, chosen at run time by
 * gv_simd_level(): plain vectors (SSE4 or what the compiler offers), AVX2 with FMA,
 * AVX-512. Results of different levels may differ in the last bit.
 *
 * GV_EW_LIST: X(CODE, inputs, result, dtypes)
 *   result  SAME dtype as the inputs, BOOL, REAL (complex becomes real), COMPLEX (two
 *           reals become one complex), ANY (the cast)
 *   dtypes  of the inputs: B bool, I int32 and int64, F float32 and float64,
 *           C complex64 and complex128, Q fixed point
 *
 * Largest error found, in units of the last place, float / double, over all levels
 * (some 10^6 arguments each, against 80-bit or 40-digit values):
 *
 *   exp      1.1 / 1.1   exp2     1.2 / 1.4   expm1    1.7 / 2.4   log      0.9 / 0.9
 *   log2     1.7 / 1.7   log10    1.9 / 1.7   log1p    1.5 / 1.3   sin, cos 2.3 / 1.6
 *   tan      3.1 / 2.5   arcsin   2.3 / 2.1   arccos   1.1 / 1.1   arctan   1.9 / 1.8
 *   sinh     2.2 / 2.7   cosh     2.2 / 2.4   tanh     2.4 / 2.6   arcsinh  1.8 / 1.7
 *   arccosh  1.9 / 2.0   arctanh  2.1 / 2.0   sigmoid  2.3 / 2.3   softplus 1.8 / 1.6
 *   pow      0.5 / 1.3   arctan2  2.0 / 1.7   hypot    1.2 / 1.2   erf      1.1 / 1.1
 *   erfc     0.5 / 3.1   erfcx    0.5 / 2.6   log_ndtr 0.5 / 4.2   ndtri    0.5 / 3.5
 *   gammaln  0.5 / 6     digamma  0.5 / 3.2 (double, x < 0: 6, of the larger of |y|, 1)
 *
 * gammaln loses relative accuracy near its zeros at negative x; logaddexp and
 * logaddexp2 are accurate relative to the larger of |a|, |b| and |y|. */
#ifndef GV_KERNELS_EW_H
#define GV_KERNELS_EW_H

#include "tensor/tensor.h"

typedef void (*gv_ew_kernel)(int64_t n, const void *const *in, void *out);

/* clang-format off */
#define GV_EW_LIST(X)                          \
    X(ADD, 2, SAME, "IFCQ")                    \
    X(SUB, 2, SAME, "IFCQ")                    \
    X(MUL, 2, SAME, "IFC")                     \
    X(DIV, 2, SAME, "FC")                      \
    X(POW, 2, SAME, "IFC")                     \
    X(MOD, 2, SAME, "IF")                      \
    X(FLOOR_DIVIDE, 2, SAME, "IF")             \
    X(MAXIMUM, 2, SAME, "BIF")                 \
    X(MINIMUM, 2, SAME, "BIF")                 \
    X(FMAX, 2, SAME, "F")                      \
    X(FMIN, 2, SAME, "F")                      \
    X(WINS, 2, SAME, "F")                      \
    X(GATE, 2, SAME, "F")                      \
    X(ARCTAN2, 2, SAME, "F")                   \
    X(HYPOT, 2, SAME, "F")                     \
    X(LOGADDEXP, 2, SAME, "F")                 \
    X(LOGADDEXP2, 2, SAME, "F")                \
    X(EQ, 2, BOOL, "BIFCQ")                    \
    X(NE, 2, BOOL, "BIFCQ")                    \
    X(LT, 2, BOOL, "BIFQ")                     \
    X(LE, 2, BOOL, "BIFQ")                     \
    X(GT, 2, BOOL, "BIFQ")                     \
    X(GE, 2, BOOL, "BIFQ")                     \
    X(LOGICAL_AND, 2, BOOL, "BIFC")            \
    X(LOGICAL_OR, 2, BOOL, "BIFC")             \
    X(LOGICAL_XOR, 2, BOOL, "BIFC")            \
    X(LOGICAL_NOT, 1, BOOL, "BIFC")            \
    X(ISFINITE, 1, BOOL, "FC")                 \
    X(ISNAN, 1, BOOL, "FC")                    \
    X(ISINF, 1, BOOL, "FC")                    \
    X(NEG, 1, SAME, "IFCQ")                    \
    X(ABS, 1, REAL, "IFC")                     \
    X(SIGN, 1, SAME, "IFC")                    \
    X(SQUARE, 1, SAME, "IFC")                  \
    X(RECIPROCAL, 1, SAME, "FC")               \
    X(SQRT, 1, SAME, "FC")                     \
    X(FLOOR, 1, SAME, "F")                     \
    X(CEIL, 1, SAME, "F")                      \
    X(TRUNC, 1, SAME, "F")                     \
    X(RINT, 1, SAME, "FC")                     \
    X(EXP, 1, SAME, "FC")                      \
    X(EXP2, 1, SAME, "FC")                     \
    X(EXPM1, 1, SAME, "FC")                    \
    X(LOG, 1, SAME, "FC")                      \
    X(LOG2, 1, SAME, "FC")                     \
    X(LOG10, 1, SAME, "FC")                    \
    X(LOG1P, 1, SAME, "FC")                    \
    X(SIN, 1, SAME, "FC")                      \
    X(COS, 1, SAME, "FC")                      \
    X(TAN, 1, SAME, "FC")                      \
    X(ARCSIN, 1, SAME, "FC")                   \
    X(ARCCOS, 1, SAME, "FC")                   \
    X(ARCTAN, 1, SAME, "FC")                   \
    X(SINH, 1, SAME, "FC")                     \
    X(COSH, 1, SAME, "FC")                     \
    X(TANH, 1, SAME, "FC")                     \
    X(ARCSINH, 1, SAME, "FC")                  \
    X(ARCCOSH, 1, SAME, "FC")                  \
    X(ARCTANH, 1, SAME, "FC")                  \
    X(ERF, 1, SAME, "F")                       \
    X(ERFC, 1, SAME, "F")                      \
    X(ERFCX, 1, SAME, "F")                     \
    X(LOG_NDTR, 1, SAME, "F")                  \
    X(NDTRI, 1, SAME, "F")                     \
    X(GAMMALN, 1, SAME, "F")                   \
    X(DIGAMMA, 1, SAME, "F")                   \
    X(RELU, 1, SAME, "F")                      \
    X(SIGMOID, 1, SAME, "F")                   \
    X(SOFTPLUS, 1, SAME, "F")                  \
    X(CONJ, 1, SAME, "IFC")                    \
    X(REAL, 1, REAL, "C")                      \
    X(IMAG, 1, REAL, "C")                      \
    X(COMPLEX, 2, COMPLEX, "F")                \
    X(CAST, 1, ANY, "BIFC")                    \
    X(WHERE, 3, SAME, "BIFCQ")
/* clang-format on */

typedef enum gv_ew_code {
#define GV_EW_ENUM(code, nin, result, dtypes) GV_EW_##code,
    GV_EW_LIST(GV_EW_ENUM)
#undef GV_EW_ENUM
        GV_EW_N
} gv_ew_code;

/* GV_EW_NIN_ADD = 2, ...: number of inputs as a constant */
enum {
#define GV_EW_ENUM(code, nin, result, dtypes) GV_EW_NIN_##code = nin,
    GV_EW_LIST(GV_EW_ENUM)
#undef GV_EW_ENUM
};

typedef enum gv_ew_result {
    GV_EW_R_SAME,
    GV_EW_R_BOOL,
    GV_EW_R_REAL,
    GV_EW_R_COMPLEX,
    GV_EW_R_ANY
} gv_ew_result;

/* Number of inputs, and whether the op takes this dtype (for WHERE: of a and b). */
int gv_ew_nin(gv_ew_code code);
bool gv_ew_takes(gv_ew_code code, gv_dtype dtype);
/* Letters of the accepted dtypes, for messages. */
const char *gv_ew_dtypes(gv_ew_code code);
gv_ew_result gv_ew_result_of(gv_ew_code code);

/* The kernel at the level in force; NULL when the dtypes are not offered. `dtype` is
 * that of the inputs (of the last one for WHERE); `out` matters for CAST only. */
gv_ew_kernel gv_ew_get(gv_ew_code code, gv_dtype dtype, gv_dtype out);

/* polygamma(order, x), the order-th derivative of digamma (order >= 0); f32 or f64. */
void gv_ew_polygamma(int order, gv_dtype dtype, int64_t n, const void *x, void *out);

#endif
