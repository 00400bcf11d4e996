/* Reading meshes at the particles.
 *
 * W is the cloud-in-cell window, dW_e its derivative along axis e [h/Mpc], D_d the
 * four-point difference [8 (+1 - -1) - (+2 - -2)] / (12 cell_d) along axis d, sums run
 * over the cells c around particle i:
 *
 *     value      out(f, i) = scale sum_c W mesh(f, c), W derived by deriv[] (0 or 1)
 *     slope      out_d(i)  = scale sum_c dW_d mesh(c)
 *     force      out_d(i)  = -sum_c W (D_d mesh)(c)
 *     force_dot  out_d(i)  = -sum_e v_e(i) sum_c dW_e (D_d mesh)(c)
 *     tidal      out_e(i)  = -scale sum_d v_d(i) sum_c dW_e (D_d mesh)(c),
 *                dot       = -sum_i sum_d v_d(i) sum_c W (D_d mesh)(c), no scale
 *     kick       p1_d(i)   = p_d(i) + rint(-kick sum_c W (D_d mesh)(c)), fixed point
 *     kick_tidal both of these
 *
 * No derivative mesh is ever stored: the 56 mesh values around a particle are read as 28
 * pairs of neighbours along z, several particles side by side, and differenced in
 * registers. Particles within reach of the mesh's faces are read from small wrapped
 * copies of their surroundings; the arithmetic is the same. */
#ifndef GV_SIM_PM_READ_H
#define GV_SIM_PM_READ_H

#include "sim/pm/locate.h"

typedef enum gv_pm_read_kind {
    GV_PM_VALUE,
    GV_PM_SLOPE,
    GV_PM_FORCE,
    GV_PM_FORCE_DOT,
    GV_PM_TIDAL,
    GV_PM_KICK,
    GV_PM_KICK_TIDAL
} gv_pm_read_kind;

typedef struct gv_pm_read {
    gv_pm_read_kind kind;
    const void *mesh;
    int64_t fields; /* value: meshes one behind the other */
    int deriv[3];   /* value */
    double scale;
    const void
        *v;      /* force_dot, tidal: vectors in the layout of the particles; or NULL */
    void *out;   /* value: (fields, N); otherwise in the layout of the particles */
    double *dot; /* tidal */
    const void *p; /* kick: (3, N) fixed point */
    void *p1;      /* may be p */
    double kick;
} gv_pm_read;

/* Scratch for gv_pm_read_all (64-byte aligned). */
size_t gv_pm_read_bytes(gv_dtype where, const gv_pm_grid *grid, int64_t n);

/* GV_ERR_VALUE: a position that is not finite, a unit that is no power of two, a momentum
 * that leaves the range of its type. The bits do not depend on the number of threads. */
gv_status gv_pm_read_all(const gv_pm_where *where, const gv_pm_read *read,
                         void *scratch) GV_MUST;

#endif
