/* Discrete Fourier transforms of the trailing axes, unnormalised: own ones in SIMD lanes
 * for the common lengths (fft_lanes.h), FFTW for all others; its only user.
 *
 * Forward: X_k = sum_j x_j exp(-2 pi i jk/n); inverse: the same with +i. Half spectra hold
 * k = 0..n/2 of the last axis. Plans are estimated (never measured), so results repeat
 * from run to run; they are kept in a bounded cache. FFTW runs serially over lines and
 * planes cut by problem size; the threads are ours. */
#ifndef GV_KERNELS_FFT_H
#define GV_KERNELS_FFT_H

#include "tensor/tensor.h"

/* dim: the naxes transformed lengths; batch: entries in front. in == out is allowed. */
gv_status gv_fft_c2c(gv_dtype dtype, bool inverse, int naxes, const int64_t *dim,
                     int64_t batch, const void *in, void *out) GV_MUST;
/* dtype: of the real side; dim: the real lengths. weighted: coefficients that stand for a
 * conjugate pair are doubled afterwards. */
gv_status gv_fft_r2c(gv_dtype dtype, bool weighted, int naxes, const int64_t *dim,
                     int64_t batch, const void *in, void *out) GV_MUST;
/* Overwrites its input. weighted: coefficients that stand for a pair are halved first.
 * Imaginary parts that a Hermitian spectrum would not have are ignored. */
gv_status gv_fft_c2r(gv_dtype dtype, bool weighted, int naxes, const int64_t *dim,
                     int64_t batch, void *in, void *out) GV_MUST;

/* Modes at which a symbol is wanted: rows x .. x + nx - 1 of the first axis, none beyond
 * dim[0] / 2 (symbols are even in x), and columns l = 0 .. width - 1 at (y + l dy,
 * z + l dz), 0 <= z <= dim[2] / 2. Entry (r, l) goes to factor[r * stride + l]. */
typedef struct gv_fft_modes {
    int64_t x, nx, y, z, width, stride;
    int dy, dz;
} gv_fft_modes;
/* Writes real factors of the mesh's dtype; called by several threads at once. */
typedef void (*gv_fft_symbol)(const void *ctx, const gv_fft_modes *at, void *factor);

/* out = C2R(symbol * R2C(in)), unnormalised, for one real mesh of dim[3]; in == out is
 * allowed. The passes of the first axis, there and back, happen while a block of columns
 * is in cache. Counts as two transforms. */
size_t gv_fft_convolve_scratch(gv_dtype dtype, const int64_t dim[3]);
gv_status gv_fft_convolve(gv_dtype dtype, const int64_t dim[3], const void *in,
                          void *out, void *scratch, gv_fft_symbol symbol,
                          const void *ctx) GV_MUST;

/* Transforms (entries of a batch) executed since the last reset. */
int64_t gv_fft_count(void);
void gv_fft_count_reset(void);
const char *gv_fft_version(void);

#endif
