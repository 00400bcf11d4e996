/* Single modes of a periodic box: Gaussian noise keyed by mode, sums over bins of |k|.
 *
 * Mode numbers lie in (-n/2, n/2]; half spectra hold z = 0 .. n/2. The conjugate of mode
 * m is -m, with n/2 for -n/2 (a Nyquist frequency is its own negative). */
#ifndef GV_SIM_PM_MODES_H
#define GV_SIM_PM_MODES_H

#include "tensor/tensor.h"

/* Largest axis of noise: mode numbers take 21 bits. */
enum { GV_PM_NOISE_MAX = 1 << 20 };

/* Complex, unit variance, Hermitian: half spectrum (X, Y, Z/2 + 1), complex128. A mode's
 * number is a function of the key and the three mode numbers alone; those of a pair are
 * drawn at the larger by (z, y, x). Self-conjugate modes are real; k = 0 is 0. */
void gv_pm_noise(const int64_t key[2], const int64_t dim[3], double *out);

/* Bins [(i - 1/2) f, (i + 1/2) f), i = 1 .. n, of width f = 2 pi / longest side (sides of
 * axes of length 1 do not count). */
typedef struct gv_pm_bins {
    int64_t dim[3]; /* real lengths */
    double box[3];
    int64_t n;
} gv_pm_bins;

/* to[i - 1] = sum over stored modes in bin i of a times 1, or 2 where the mode stands
 * for a conjugate pair. a: F32 or F64 (X, Y, Z/2 + 1). */
size_t gv_pm_bins_scratch(const gv_pm_bins *b);
void gv_pm_bins_sum(const gv_pm_bins *b, gv_dtype dtype, const void *a, double *to,
                    void *scratch);
/* The transpose: each mode gets its bin's value times 1 or 2, or 0 outside. */
void gv_pm_bins_spread(const gv_pm_bins *b, const double *from, gv_dtype dtype,
                       void *a);

#endif
