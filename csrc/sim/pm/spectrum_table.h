/* Inner loops of spectrum.c, one table per instruction set. */
#ifndef GV_SIM_PM_SPECTRUM_TABLE_H
#define GV_SIM_PM_SPECTRUM_TABLE_H

#include "sim/pm/spectrum.h"

typedef struct gv_pm_symbol_loops {
    /* factor[r * stride + l] = scale/(own[r] + across[l]); 0/0 is left to the caller */
    void (*inverse_f32)(int64_t rows, int64_t n, const double *own,
                        const double *across, double scale, int64_t stride,
                        float *factor);
    void (*inverse_f64)(int64_t rows, int64_t n, const double *own,
                        const double *across, double scale, int64_t stride,
                        double *factor);
    /* factor[r * stride + l] *= C, with w^2 of the rows and the sums of w^2 and w^4 of
     * the columns */
    void (*restore_f32)(const gv_pm_symbol *s, int64_t rows, int64_t n,
                        const double *own, const double *Q2, const double *Q4,
                        int64_t stride, float *factor);
    void (*restore_f64)(const gv_pm_symbol *s, int64_t rows, int64_t n,
                        const double *own, const double *Q2, const double *Q4,
                        int64_t stride, double *factor);
    /* value[i] *= T(ln k) with kk = k^2 and its logarithm; 0 where kk is 0 */
    void (*cubics)(const gv_pm_symbol *s, const double *nodes, int64_t n,
                   const double *kk, const double *log_kk, double *value);
    /* Sums for the transpose: with t the distance of ln k from the first node of its
     * cubic, in steps, sums[4 cell + p] += value[i] t^p; nothing where kk is 0 */
    void (*moments)(const gv_pm_symbol *s, int64_t n, const double *kk,
                    const double *log_kk, const double *value, double *sums);
} gv_pm_symbol_loops;

extern const gv_pm_symbol_loops gv_pm_symbol_loops_base, gv_pm_symbol_loops_avx2,
    gv_pm_symbol_loops_avx512;

#endif
