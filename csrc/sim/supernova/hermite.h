/* Cubic Hermite tables on equal steps: reading, derivatives and the transpose.
 *
 * Node j = 0..m-1 stands at x0 + j h with value v_j and slope s_j. In the cell of x,
 * with t = (x - x_j)/h, the interpolant is
 *
 *     y = v_j (1 + 2t)(1-t)^2 + v_j+1 t^2 (3 - 2t) + h s_j t (1-t)^2 + h s_j+1 t^2 (t-1)
 *
 * of error h^4/384 max|y''''|. Outside the table the cubic of the end cell goes on.
 * order 0..3 gives the derivative of that order in x. */
#ifndef GV_SIM_HERMITE_H
#define GV_SIM_HERMITE_H

#include "base/status.h"

typedef struct gv_hermite {
    double x0, h;
    int64_t m; /* nodes, at least 2 */
    int order;
} gv_hermite;

void gv_hermite_read(const gv_hermite *t, const double *v, const double *s, int64_t n,
                     const double *x, double *y);
/* g_v, g_s (m): the transpose of the above in (v, s), applied to g (n). */
size_t gv_hermite_push_scratch(int64_t m, int64_t n);
void gv_hermite_push(const gv_hermite *t, int64_t n, const double *g, const double *x,
                     double *g_v, double *g_s, void *scratch);

#endif
