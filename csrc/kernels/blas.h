/* Matrix products, batched, in row-major order; the state of the BLAS library.
 *
 * Work is cut by problem size only, so the bits do not depend on the number of threads;
 * the BLAS itself runs serially. */
#ifndef GV_KERNELS_BLAS_H
#define GV_KERNELS_BLAS_H

#include "kernels/gemm.h"
#include "tensor/tensor.h"

/* What stands for an operand X: X itself, its transpose, its conjugate transpose. */
typedef enum gv_trans { GV_PLAIN = 0, GV_TRANSPOSED = 1, GV_ADJOINT = 2 } gv_trans;

/* c(m, n) = op(a)(m, k) op(b)(k, n) for each of `batch` entries. dtypes: i32, i64, f32,
 * f64, c64, c128. GV_ERR_VALUE when a dimension exceeds the BLAS's integers. */
gv_status gv_blas_matmul(gv_dtype dtype, gv_trans ta, gv_trans tb, int64_t m, int64_t n,
                         int64_t k, int64_t batch, const void *a, const void *b,
                         void *c, void *scratch) GV_MUST;
/* The same without working memory: large products go to the BLAS. */
gv_status gv_blas_gemm(gv_dtype dtype, gv_trans ta, gv_trans tb, int64_t m, int64_t n,
                       int64_t k, int64_t batch, const void *a, const void *b,
                       void *c) GV_MUST;
/* Bytes of working memory that gv_blas_matmul needs. */
size_t gv_blas_gemm_scratch(gv_dtype dtype, gv_trans ta, gv_trans tb, int64_t m,
                            int64_t n, int64_t k, int64_t batch);

/* Name of the core the BLAS runs on and its build line ("unknown" when it has none). */
const char *gv_blas_core(void);
const char *gv_blas_config(void);
/* False when the BLAS fell back to a generic core although the CPU has AVX2. */
bool gv_blas_core_is_sane(void);
/* Leave threading to us; called before the first use, harmless to repeat. */
void gv_blas_setup(void);

/* A product as gv_gemm_run does it; by the library where our kernels have no wide vectors
 * to use, the product is large and its operands are whole matrices. */
void gv_blas_run(const gv_gemm *g, const void *a, const void *b, void *c,
                 void *scratch);

#endif
