/* What the linear-algebra operators share: shape checks and short emitters. */
#ifndef GV_OPS_LINALG_H
#define GV_OPS_LINALG_H

#include "kernels/lapack.h"
#include "ops/ops.h"
#include "ops/rank.h"

enum { GV_LINALG_MAX = 20000 }; /* LAPACK's 32-bit sizes of working memory */

/* Input i: float or complex, at least two axes, of moderate size; square on request. */
gv_status gv_linalg_check(const gv_infer *inf, int i, bool square) GV_MUST;

/* op(a) op(b) */
gv_val gv_linalg_mm(gv_graph *g, gv_val a, gv_val b, gv_trans ta, gv_trans tb);
/* a^H */
gv_val gv_linalg_adjoint(gv_graph *g, gv_val a);
/* a - b, a * b */
gv_val gv_linalg_sub(gv_graph *g, gv_val a, gv_val b);
gv_val gv_linalg_mul(gv_graph *g, gv_val a, gv_val b);
/* (a + a^H) / 2 */
gv_val gv_linalg_hermitian(gv_graph *g, gv_val a);
gv_val gv_linalg_tri(gv_graph *g, gv_val a, bool lower, int64_t k);
/* Identity of the shape and dtype of a(..., n, n). */
gv_val gv_linalg_eye(gv_graph *g, gv_val a);
/* The vector v(..., n) as rows of a matrix like m(..., k, n), or as columns of one like
 * m(..., n, k), in the dtype of m. */
gv_val gv_linalg_rows(gv_graph *g, gv_val v, gv_val m);
gv_val gv_linalg_cols(gv_graph *g, gv_val v, gv_val m);
/* The scalar v(...) repeated like m(..., n, k), in the dtype of m. */
gv_val gv_linalg_fill(gv_graph *g, gv_val v, gv_val m);
/* The diagonal matrix of v(..., n). */
gv_val gv_linalg_diag(gv_graph *g, gv_val v);
/* Sum over the last axis (1) or over the rows (2) of a matrix. */
gv_val gv_linalg_sum(gv_graph *g, gv_val m, int back);
/* op(a)^-1 b for triangular a */
gv_val gv_linalg_trisolve(gv_graph *g, gv_val a, gv_val b, bool lower, gv_trans trans,
                          bool unit);
bool gv_linalg_is_complex(const gv_graph *g, gv_val v);

#endif
