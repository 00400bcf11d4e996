/* FFTW plans by shape, cached. Private to kernels/fft*.c. */
#ifndef GV_KERNELS_FFT_PLAN_H
#define GV_KERNELS_FFT_PLAN_H

#include "tensor/tensor.h"

typedef enum gv_fft_kind {
    GV_FFT_FORWARD,
    GV_FFT_BACKWARD,
    GV_FFT_R2C,
    GV_FFT_C2R
} gv_fft_kind;

/* `lines` one-dimensional transforms; strides in elements of their side. */
typedef struct gv_fft_shape {
    gv_fft_kind kind;
    bool single; /* float, not double */
    int64_t n, lines;
    int64_t in_step, in_line, out_step, out_line;
} gv_fft_shape;

/* Run; plans at first use. Thread-safe. */
gv_status gv_fft_execute(const gv_fft_shape *shape, void *in, void *out) GV_MUST;

void gv_fft_count_add(int64_t n);

#endif
