/* Symbols: what multiplies the modes of a field in a periodic box.
 *
 *   m(k) = scale T(|k|) C(k) (-1/K2)^inverse prod_d D_d^order_d
 *
 * k in h/Mpc, mode numbers in (-n/2, n/2]; K2 = k^2, or with `laplace` the symbol of the
 * three-point second difference, sum_d (2/cell sin(k_d cell/2))^2. D_d = i k_d, or with
 * `stencil` the symbol of the four-point first difference, i (8 sin w - sin 2w)/(6 cell)
 * with w = k_d cell; an odd order is zero at an even axis's Nyquist frequency, where it
 * has no sign. The mode k = 0 is multiplied by 0 when `inverse` or a table is in use.
 *
 * C restores what painting and reading take from long waves, with w_d = k_d cell_d,
 * Q2 = sum w^2 and Q4 = sum w^4:
 *   C = 1 + x + x^2/2,  x = [axis Q2 + cross (Q2 - Q4/Q2)] / 6 / (1 + (Q2 ratio^2/pi^2)^4)
 * The clouds' window squared is 1 - Q2/6 to lowest order (axis 1, cross 0); on a lattice
 * its images change that by a term that vanishes along the axes (cross). ratio is the
 * particles' spacing in cells, so that C goes back to 1 beyond their Nyquist frequency.
 *
 * T: cubic (four-point Lagrange) interpolation in ln|k| of values at the nodes
 * ln|k| = lnk0 + j dlnk; the first and the last cubic go on beyond the nodes. */
#ifndef GV_SIM_PM_SPECTRUM_H
#define GV_SIM_PM_SPECTRUM_H

#include "kernels/fft.h"

typedef struct gv_pm_symbol {
    gv_dtype real;  /* F32 or F64: of the factors */
    int64_t dim[3]; /* of the real mesh */
    double box[3];  /* Mpc/h */
    int order[3];   /* 0, 1, 2 */
    int inverse;
    bool stencil, laplace;
    double scale, lnk0, dlnk;
    double axis, cross, ratio; /* of C; axis = cross = 0: C = 1 */
    int64_t nodes;             /* 0: no table */
    /* made by gv_pm_symbol_prepare */
    double *table[3][4]; /* per axis: K2, k^2, the real part of D^order, w^2 */
    int quarter;         /* m = i^quarter times the real factor */
} gv_pm_symbol;

/* The largest inverse power, and the fewest nodes of a table. */
enum { GV_PM_INVERSE_MAX = 4, GV_PM_NODES_MIN = 4 };

/* Bytes for the tables of gv_pm_symbol_prepare. */
size_t gv_pm_symbol_scratch(const int64_t dim[3]);
void gv_pm_symbol_prepare(gv_pm_symbol *s, void *scratch);

/* Real factors of modes; any x in 0 .. dim[0] - 1. nodes: values of T (NULL: none). */
void gv_pm_symbol_fill(const gv_pm_symbol *s, const double *nodes,
                       const gv_fft_modes *at, void *factor);

/* out = m * in on half spectra (X, Y, Z/2 + 1); in == out is allowed. */
void gv_pm_symbol_apply(const gv_pm_symbol *s, const double *nodes, const void *in,
                        void *out);

/* to[j] = sum over modes of weight dT(|k|)/dT_j Re(conj(g) m' f) with m' = m without
 * T; weight 1, or with `pairs` 2 for modes that stand for a conjugate pair. */
size_t gv_pm_symbol_pull_scratch(const gv_pm_symbol *s);
void gv_pm_symbol_pull(const gv_pm_symbol *s, bool pairs, const void *f, const void *g,
                       double *to, void *scratch);

#endif
