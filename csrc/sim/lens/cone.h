/* The light cone: particles of a repeated box painted on convergence maps.
 *
 * Frame. Map row n_1 goes with component 1 and map column n_0 with component 0 of a
 * replica's frame (replica.h), the line of sight with component 2. The observer stands
 * at (L_0/2, L_1/2, 0). Lengths are comoving Mpc/h, angles radians.
 *
 * A particle's undisplaced lattice image in replica j is at y (0 <= y_a < L_a) and has
 * the distance d_q = j L_2 + y_2. It belongs to the slice lo <= d_q < hi, whatever its
 * displacement: each image belongs to one of several adjoining slices. With p the
 * momentum and T(chi) the time table, its displacement on the light cone is
 *
 *     u = x + F p (+ extra),   F = rate (T(d_q) - centre)                         (1)
 *
 * (target time minus centre: F is one number for a lattice plane across the line of
 * sight), turned into the replica's frame; then
 *
 *     d = d_q + u_2 (not wrapped),   r_a = y_a + u_a - L_a/2 wrapped into [-L_a/2, L_a/2)
 *     n_a = (r_a/d) (N_a/f_a) + (N_a - 1)/2,   a = 0, 1                           (2)
 *     kappa_s[i, k] += W(n_1 - i) W(n_0 - k) w_s,   w_s = lens_s(d)/d             (3)
 *
 * for 0 < d < reach_s, W the linear (CIC) window, f_a the field and N_a its pixels; what
 * falls outside the map is dropped. Tables have nodes at chi = j h, four-point Lagrange
 * interpolation, in the first and last cell with the four nodes at that end.
 *
 * Adjoint. With g_s(i, k) the cotangent of kappa_s and brackets the window sums over
 * pixels [g] = sum W W g, [g]_a with W of axis a replaced by its derivative:
 *
 *     b_a = sum_s w_s [g_s]_a,   g_u_a = b_a (N_a/f_a)/d,  a = 0, 1
 *     g_u_2 = sum_s [g_s] (lens_s'(d) - w_s)/d - sum_a b_a (n_a - (N_a - 1)/2)/d  (4)
 *
 * turned back into the frame of the box it is g_x, F times it g_p; per plane
 * g_F = sum g_u . p gives g_rate = sum g_F (T - centre), g_centre = -rate sum g_F and
 * g_T(d_q) = rate g_F; the lens tables get [g_s]/d with the node weights of d.
 * Positions in q and T are physical units throughout, whatever the quanta. */
#ifndef GV_SIM_CONE_H
#define GV_SIM_CONE_H

#include "sim/pm/pm.h"

typedef struct gv_cone {
    gv_dtype state;    /* GV_Q32 or GV_Q64: of x and p, (3, N) */
    gv_pm_grid grid;   /* N = product of grid.lattice */
    const void *x, *p; /* in quanta of unit[0] mesh cells and of unit[1] Mpc/h */
    const void *extra; /* (3, N) real [Mpc/h], or NULL */
    double unit[2];
    double rate, centre, lo, hi, h;
    int64_t n_time;     /* nodes of each table, at least 4 */
    const double *time; /* (n_time) */
    int64_t n_source;
    const double *lens;  /* (n_source, n_time) */
    const double *reach; /* (n_source) [Mpc/h] */
    int64_t rows, cols;  /* of a map */
    double field[2];     /* columns, rows [rad] */
    int64_t seed;
} gv_cone;

/* Tangents, or room for cotangents, of what the maps depend on. */
typedef struct gv_cone_tangent {
    const void *x, *p, *extra; /* extra NULL where the cone's is */
    double rate, centre;
    const double *time, *lens;
} gv_cone_tangent;

typedef struct gv_cone_cotangent {
    void *x, *p; /* (3, N) real, Mpc/h; extra's is that of x */
    double rate, centre;
    double *time, *lens;
} gv_cone_cotangent;

typedef struct gv_cone_census {
    int64_t painted;  /* images inside the map and the largest reach */
    int64_t visited;  /* images in the slice */
    int64_t replicas; /* boxes that the slice meets */
} gv_cone_census;

/* Bytes of scratch, multiples of 64. */
size_t gv_cone_paint_scratch(const int64_t lattice[3], bool push);
size_t gv_cone_pull_scratch(const int64_t lattice[3], int64_t n_source, int64_t n_time);
size_t gv_cone_count_scratch(const int64_t lattice[3]);

/* Maps (n_source, rows, cols) of the state's real type. paint adds to kappa, push
 * overwrites d_kappa, pull overwrites all of its cotangents. */
gv_status gv_cone_paint(const gv_cone *cone, void *kappa, void *scratch) GV_MUST;
gv_status gv_cone_push(const gv_cone *cone, const gv_cone_tangent *d, void *d_kappa,
                       void *scratch) GV_MUST;
gv_status gv_cone_pull(const gv_cone *cone, const void *g_kappa, gv_cone_cotangent *g,
                       void *scratch) GV_MUST;
gv_status gv_cone_count(const gv_cone *cone, gv_cone_census *census,
                        void *scratch) GV_MUST;

#endif
