/* Multiplication of a real mesh by an even, real symbol in Fourier space.
 *
 * Planes go to half spectra (last axis, then the middle one) in the scratch; blocks of
 * columns along the first axis are transformed, multiplied and transformed back while
 * they are in cache; planes come back. Lengths 2^a 3^b 5^c run in SIMD lanes
 * (fft_lanes.h), others through FFTW. */
#include <stdatomic.h>

#include "base/parallel.h"
#include "kernels/fft.h"
#include "kernels/fft_lanes.h"
#include "kernels/fft_plan.h"

enum { tile_columns = 64, tile_rows = 32 };

typedef struct convolve_job {
    bool single;
    size_t real; /* bytes of a real number */
    int64_t dim[3], half, plane;
    int64_t tiles; /* of columns per row (x, y) */
    const char *in;
    char *out, *spectrum;
    gv_fft_symbol symbol;
    const void *ctx;
    _Atomic int status;
} convolve_job;

static void note(convolve_job *j, gv_status s)
{
    if (s != GV_OK) atomic_store(&j->status, (int)s);
}

/* n points `step` apart, `lines` neighbouring lines, in place. */
static void run_columns(convolve_job *j, bool inverse, int64_t n, int64_t step,
                        int64_t lines, char *data)
{
    gv_fft_shape s = { .kind = inverse ? GV_FFT_BACKWARD : GV_FFT_FORWARD,
                       .single = j->single,
                       .n = n,
                       .lines = lines,
                       .in_step = step,
                       .in_line = 1,
                       .out_step = step,
                       .out_line = 1 };
    note(j, gv_fft_execute(&s, data, data));
}

static void run_lines(convolve_job *j, bool inverse, char *in, char *out)
{
    gv_fft_shape s = { .kind = inverse ? GV_FFT_C2R : GV_FFT_R2C,
                       .single = j->single,
                       .n = j->dim[2],
                       .lines = j->dim[1],
                       .in_step = 1,
                       .in_line = inverse ? j->half : j->dim[2],
                       .out_step = 1,
                       .out_line = inverse ? j->dim[2] : j->half };
    note(j, gv_fft_execute(&s, in, out));
}

static void forward_plane(void *ctx, int64_t x)
{
    convolve_job *j = ctx;
    char *to = j->spectrum + (size_t)(x * j->plane) * 2 * j->real;
    const char *from = j->in + (size_t)(x * j->dim[1] * j->dim[2]) * j->real;
    run_lines(j, false, (char *)(uintptr_t)from, to);
    run_columns(j, false, j->dim[1], j->half, j->half, to);
}

static void backward_plane(void *ctx, int64_t x)
{
    convolve_job *j = ctx;
    char *from = j->spectrum + (size_t)(x * j->plane) * 2 * j->real;
    run_columns(j, true, j->dim[1], j->half, j->half, from);
    run_lines(j, true, from, j->out + (size_t)(x * j->dim[1] * j->dim[2]) * j->real);
}

#define MULTIPLY(T, at, z, factor)                         \
    for (int64_t l = 0; l < (at)->width; l++) {            \
        ((T *)(z))[2 * l] *= ((const T *)(factor))[l];     \
        ((T *)(z))[2 * l + 1] *= ((const T *)(factor))[l]; \
    }

static void multiply_row(const convolve_job *j, const gv_fft_modes *at, char *z,
                         const void *factor)
{
    if (j->single)
        MULTIPLY(float, at, z, factor)
    else
        MULTIPLY(double, at, z, factor)
}

/* Rows x and -x have the same factors. */
static void multiply_tile(const convolve_job *j, gv_fft_modes *at, char *data)
{
    double factor[tile_rows * tile_columns];
    size_t row = (size_t)j->plane * 2 * j->real;
    for (int64_t x = 0; x <= j->dim[0] / 2; x += tile_rows) {
        at->x = x;
        at->nx = j->dim[0] / 2 + 1 - x < tile_rows ? j->dim[0] / 2 + 1 - x : tile_rows;
        j->symbol(j->ctx, at, factor);
        for (int64_t r = 0; r < at->nx; r++) {
            const char *f = (char *)factor + (size_t)(r * at->stride) * j->real;
            int64_t mirror = (j->dim[0] - x - r) % j->dim[0];
            multiply_row(j, at, data + (size_t)(x + r) * row, f);
            if (mirror != x + r) multiply_row(j, at, data + (size_t)mirror * row, f);
        }
    }
}

static void column_block(void *ctx, int64_t task)
{
    convolve_job *j = ctx;
    int64_t y = task / j->tiles, t = task % j->tiles;
    int64_t z = t * j->half / j->tiles, end = (t + 1) * j->half / j->tiles;
    char *data = j->spectrum + (size_t)(y * j->half + z) * 2 * j->real;
    gv_fft_modes at = {
        .y = y, .z = z, .dz = 1, .width = end - z, .stride = tile_columns
    };
    run_columns(j, false, j->dim[0], j->plane, at.width, data);
    multiply_tile(j, &at, data);
    run_columns(j, true, j->dim[0], j->plane, at.width, data);
}

/* Complex numbers from plane to plane: an odd number of cache lines. */
static int64_t plane_of(gv_dtype dtype, const int64_t dim[3])
{
    int64_t line = 32 / (int64_t)gv_dtype_size(dtype); /* complex numbers */
    return ((dim[1] * (dim[2] / 2 + 1) + line - 1) / line | 1) * line;
}

/* --- lanes ----------------------------------------------------------------------------*/

typedef struct lanes_job {
    gv_fft_sweep sweep;
    const gv_fft_lanes *lanes;
    int64_t blocks, group; /* column blocks, in all and per task */
} lanes_job;

/* Strides, in bytes, for vectors of `bytes` bytes; odd multiples of a block keep
 * neighbouring planes and groups in different cache sets. Returns the blocks. */
static int64_t lay_out(int bytes, size_t real, const int64_t dim[3], gv_fft_sweep *s)
{
    int64_t lanes = bytes / (int64_t)real, block = 2 * bytes;
    s->groups = (dim[2] / 2 + lanes - 1) / lanes;
    s->run = (dim[1] | 1) * block;
    int64_t behind = (dim[1] + lanes - 1) / lanes;
    s->plane = ((s->groups * s->run / block + behind) | 1) * block;
    return s->groups * dim[1] + behind;
}

static void lanes_forward(void *ctx, int64_t x)
{
    const lanes_job *j = ctx;
    j->lanes->forward(&j->sweep, x);
}

static void lanes_multiply(void *ctx, int64_t task)
{
    const lanes_job *j = ctx;
    int64_t end = (task + 1) * j->group;
    if (end > j->blocks) end = j->blocks;
    for (int64_t b = task * j->group; b < end; b++) j->lanes->multiply(&j->sweep, b);
}

static void lanes_backward(void *ctx, int64_t x)
{
    const lanes_job *j = ctx;
    j->lanes->backward(&j->sweep, x);
}

/* Fill in what the lanes need; lanes NULL when they do not offer the lengths. */
static gv_status plan_lanes(bool single, const int64_t dim[3], lanes_job *j)
{
    gv_fft_sweep *s = &j->sweep;
    j->lanes = NULL;
    const gv_fft_lanes *lanes = gv_fft_lanes_get(single);
    if (lanes == NULL || dim[0] < 4 || dim[1] < 4 || dim[2] < 8 || dim[2] % 2 != 0 ||
        dim[2] > GV_FFT_LANES_MAX)
        return GV_OK;
    GV_TRY(gv_fft_line_get(single, dim[0], &s->x));
    GV_TRY(gv_fft_line_get(single, dim[1], &s->y));
    GV_TRY(gv_fft_line_get(single, dim[2] / 2, &s->z));
    if (s->x == NULL || s->y == NULL || s->z == NULL) return GV_OK;
    size_t real = single ? sizeof(float) : sizeof(double);
    for (int k = 0; k < 3; k++) s->dim[k] = dim[k];
    j->lanes = lanes;
    j->blocks = lay_out(lanes->lanes * (int)real, real, dim, s);
    j->group = 8;
    return GV_OK;
}

static void run_lanes(lanes_job *j)
{
    const int64_t *dim = j->sweep.dim;
    gv_parallel_for(dim[0], lanes_forward, j);
    gv_parallel_for((j->blocks + j->group - 1) / j->group, lanes_multiply, j);
    gv_parallel_for(dim[0], lanes_backward, j);
}

/* --- entry ----------------------------------------------------------------------------*/

size_t gv_fft_convolve_scratch(gv_dtype dtype, const int64_t dim[3])
{
    size_t real = gv_dtype_size(dtype);
    size_t size = (size_t)(dim[0] * plane_of(dtype, dim)) * 2 * real;
    for (int bytes = 32; bytes <= 64; bytes *= 2) {
        gv_fft_sweep s;
        lay_out(bytes, real, dim, &s);
        if ((size_t)(dim[0] * s.plane) > size) size = (size_t)(dim[0] * s.plane);
    }
    return size;
}

static gv_status run_fftw(gv_dtype dtype, const int64_t dim[3], const void *in,
                          void *out, void *scratch, gv_fft_symbol symbol,
                          const void *ctx)
{
    convolve_job j = { .single = dtype == GV_F32,
                       .real = gv_dtype_size(dtype),
                       .dim = { dim[0], dim[1], dim[2] },
                       .half = dim[2] / 2 + 1,
                       .plane = plane_of(dtype, dim),
                       .in = in,
                       .out = out,
                       .spectrum = scratch,
                       .symbol = symbol,
                       .ctx = ctx };
    j.tiles = (j.half + tile_columns - 1) / tile_columns;
    gv_parallel_for(dim[0], forward_plane, &j);
    gv_parallel_for(dim[1] * j.tiles, column_block, &j);
    gv_parallel_for(dim[0], backward_plane, &j);
    return (gv_status)atomic_load(&j.status);
}

gv_status gv_fft_convolve(gv_dtype dtype, const int64_t dim[3], const void *in,
                          void *out, void *scratch, gv_fft_symbol symbol,
                          const void *ctx)
{
    lanes_job j = { 0 };
    for (int k = 0; k < 3; k++)
        if (dim[k] < 1 || dim[k] > INT32_MAX)
            return gv_fail(GV_ERR_VALUE,
                           "fft: an axis of length %lld cannot be transformed",
                           (long long)dim[k]);
    GV_TRY(plan_lanes(dtype == GV_F32, dim, &j));
    gv_fft_count_add(2);
    if (j.lanes == NULL) return run_fftw(dtype, dim, in, out, scratch, symbol, ctx);
    j.sweep.in = in;
    j.sweep.out = out;
    j.sweep.spectrum = scratch;
    j.sweep.symbol = symbol;
    j.sweep.ctx = ctx;
    run_lanes(&j);
    return GV_OK;
}
