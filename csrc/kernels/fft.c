/* Multi-dimensional transforms as passes over axes.
 *
 * The last two axes are transformed plane by plane while the plane is in cache, unless
 * there are few large planes; every other axis is a pass over tiles of columns. Real
 * lines and columns of lengths 2^a 3^b 5^c run in SIMD lanes, the rest through FFTW. */
#include "kernels/fft.h"

#include <stdatomic.h>

#include "base/parallel.h"
#include "kernels/fft_lanes.h"
#include "kernels/fft_plan.h"

enum { task_items = 1 << 15, column_tile = 64, few_planes = 8, few_items = 1 << 11 };

static _Atomic int64_t executed;

int64_t gv_fft_count(void) { return atomic_load(&executed); }
void gv_fft_count_add(int64_t n) { atomic_fetch_add(&executed, n); }
void gv_fft_count_reset(void) { atomic_store(&executed, 0); }

/* What a pass knows; sizes in elements of the respective side. */
typedef struct fft_job {
    gv_fft_kind lines; /* of the last axis */
    bool inverse, single, weighted;
    size_t in_item, out_item;
    int64_t n, rows;              /* last axis (real length), the one before (or 1) */
    int64_t in_line, out_line;    /* elements per line */
    int64_t planes, group;        /* planes (or lines when rows is 1) and per task */
    int64_t length, inner, tiles; /* column passes: (outer, length, inner) */
    char *in, *out;
    const gv_fft_lanes *lanes;              /* NULL: FFTW throughout */
    const gv_fft_line *line, *row, *column; /* last axis, the one before, a pass */
    _Atomic int status;
} fft_job;

static void note(fft_job *j, gv_status s)
{
    if (s != GV_OK) atomic_store(&j->status, (int)s);
}

/* Multiply the coefficients of pairs by factor on `lines` half spectra of a last axis n. */
static void weigh(const fft_job *j, int64_t lines, void *data, double factor)
{
    int64_t half = j->n / 2 + 1, end = (j->n + 1) / 2;
    for (int64_t i = 0; i < lines; i++)
        for (int64_t k = 2 * (i * half + 1); k < 2 * (i * half + end); k++)
            if (j->single)
                ((float *)data)[k] *= (float)factor;
            else
                ((double *)data)[k] *= factor;
}

/* Whole groups of lanes, and the rest if it is worth it; returns the lines done. */
static int64_t lanes_of_lines(const fft_job *j, int64_t lines, char *in, char *out)
{
    if (j->line == NULL) return 0;
    int64_t width = j->lanes->lanes, done = 0;
    size_t real = j->single ? sizeof(float) : sizeof(double);
    bool back = j->lines == GV_FFT_C2R;
    int64_t in_row = back ? 2 * j->in_line : j->in_line;
    int64_t out_row = back ? j->out_line : 2 * j->out_line;
    for (; lines - done > width / 2; done += width) {
        int64_t rows = lines - done < width ? lines - done : width;
        (back ? j->lanes->real_backward : j->lanes->real_forward)(
            j->line, rows, in + (size_t)(done * in_row) * real, in_row,
            out + (size_t)(done * out_row) * real, out_row);
    }
    return done < lines ? done : lines;
}

static void fftw_of_lines(fft_job *j, int64_t lines, char *in, char *out)
{
    gv_fft_shape s = { .kind = j->lines,
                       .single = j->single,
                       .n = j->n,
                       .lines = lines,
                       .in_step = 1,
                       .in_line = j->in_line,
                       .out_step = 1,
                       .out_line = j->out_line };
    if (lines > 0) note(j, gv_fft_execute(&s, in, out));
}

static void transform_lines(fft_job *j, int64_t lines, char *in, char *out)
{
    if (j->lines == GV_FFT_C2R && j->weighted) weigh(j, lines, in, 0.5);
    int64_t done = lanes_of_lines(j, lines, in, out);
    fftw_of_lines(j, lines - done, in + (size_t)(done * j->in_line) * j->in_item,
                  out + (size_t)(done * j->out_line) * j->out_item);
    if (j->lines == GV_FFT_R2C && j->weighted) weigh(j, lines, out, 2.0);
}

/* Along the middle axis of (length, inner), columns 0..width-1, in place. */
static void transform_columns(fft_job *j, const gv_fft_line *line, int64_t length,
                              int64_t inner, int64_t width, char *data)
{
    size_t item = 2 * (j->single ? sizeof(float) : sizeof(double));
    while (line != NULL && width >= j->lanes->lanes) {
        j->lanes->columns(line, j->inverse, data, inner * (int64_t)item);
        data += (size_t)j->lanes->lanes * item;
        width -= j->lanes->lanes;
    }
    if (width == 0) return;
    gv_fft_shape s = { .kind = j->inverse ? GV_FFT_BACKWARD : GV_FFT_FORWARD,
                       .single = j->single,
                       .n = length,
                       .lines = width,
                       .in_step = inner,
                       .in_line = 1,
                       .out_step = inner,
                       .out_line = 1 };
    note(j, gv_fft_execute(&s, data, data));
}

/* Task: `group` planes of rows x lines. Real input: lines first; real output: last. */
static void plane_task(void *ctx, int64_t task)
{
    fft_job *j = ctx;
    int64_t p = task * j->group,
            count = j->planes - p < j->group ? j->planes - p : j->group;
    char *in = j->in + (size_t)(p * j->rows * j->in_line) * j->in_item;
    char *out = j->out + (size_t)(p * j->rows * j->out_line) * j->out_item;
    if (j->rows == 1) {
        transform_lines(j, count, in, out);
        return;
    }
    for (int64_t k = 0; k < count; k++) {
        char *from = in + (size_t)(k * j->rows * j->in_line) * j->in_item;
        char *to = out + (size_t)(k * j->rows * j->out_line) * j->out_item;
        if (j->lines == GV_FFT_C2R) {
            transform_columns(j, j->row, j->rows, j->in_line, j->in_line, from);
            transform_lines(j, j->rows, from, to);
        } else {
            transform_lines(j, j->rows, from, to);
            transform_columns(j, j->row, j->rows, j->out_line, j->out_line, to);
        }
    }
}

/* The line of a column pass, if lanes can take it. */
static gv_status find_line(const fft_job *j, int64_t length, int64_t inner,
                           const gv_fft_line **line)
{
    *line = NULL;
    if (j->lanes == NULL || length < 2 || inner < j->lanes->lanes) return GV_OK;
    return gv_fft_line_get(j->single, length, line);
}

/* What the last two axes take. */
static gv_status find_lines(fft_job *j)
{
    if (j->planes * j->rows * j->n < few_items) return GV_OK;
    j->lanes = gv_fft_lanes_get(j->single);
    bool real = j->lines == GV_FFT_R2C || j->lines == GV_FFT_C2R;
    int64_t inner = j->lines == GV_FFT_C2R ? j->in_line : j->out_line;
    if (j->lanes != NULL && real && j->n % 2 == 0 && j->n >= 8 &&
        j->n <= GV_FFT_LANES_MAX)
        GV_TRY(gv_fft_line_get(j->single, j->n / 2, &j->line));
    return find_line(j, j->rows, inner, &j->row);
}

static void run_planes(fft_job *j)
{
    int64_t work = j->rows * j->n;
    j->group = work < task_items ? task_items / work : 1;
    gv_parallel_for((j->planes + j->group - 1) / j->group, plane_task, j);
}

/* Task: a tile of columns of one outer index, in place in `data`. */
static void column_task(void *ctx, int64_t task)
{
    fft_job *j = ctx;
    size_t item = j->lines == GV_FFT_C2R ? j->in_item : j->out_item;
    char *data = j->lines == GV_FFT_C2R ? j->in : j->out;
    int64_t o = task / j->tiles, from = task % j->tiles * column_tile;
    int64_t width = j->inner - from < column_tile ? j->inner - from : column_tile;
    data += (size_t)(o * j->length * j->inner + from) * item;
    transform_columns(j, j->column, j->length, j->inner, width, data);
}

static gv_status run_columns(fft_job *j, int64_t outer, int64_t length, int64_t inner)
{
    j->length = length;
    j->inner = inner;
    j->tiles = (inner + column_tile - 1) / column_tile;
    GV_TRY(find_line(j, length, inner, &j->column));
    gv_parallel_for(outer * j->tiles, column_task, j);
    return GV_OK;
}

static gv_status run(fft_job *j, int naxes, const int64_t *dim, int64_t batch)
{
    int64_t entry = 1, outer = batch, inner;
    for (int k = 0; k < naxes; k++) {
        if (dim[k] < 1 || dim[k] > INT32_MAX)
            return gv_fail(GV_ERR_VALUE,
                           "fft: an axis of length %lld cannot be "
                           "transformed",
                           (long long)dim[k]);
        entry *= dim[k];
    }
    if (batch == 0) return GV_OK;
    gv_fft_count_add(batch);
    j->n = dim[naxes - 1];
    j->rows = naxes > 1 ? dim[naxes - 2] : 1;
    int64_t half = j->n / 2 + 1;
    j->in_line = j->lines == GV_FFT_C2R ? half : j->n;
    j->out_line = j->lines == GV_FFT_R2C ? half : j->n;
    j->planes = batch * (entry / (j->rows * j->n));
    bool real_out = j->lines == GV_FFT_C2R;
    int first = naxes - 3; /* the axes from here on down are passes of their own */
    if (j->planes < few_planes && j->rows * j->n > task_items) {
        j->planes *= j->rows;
        j->rows = 1;
        first = naxes - 2;
    }
    GV_TRY(find_lines(j));
    if (!real_out) run_planes(j);
    inner = j->rows * (real_out ? j->in_line : j->out_line);
    for (int k = first; k >= 0; k--) {
        outer = batch;
        for (int i = 0; i < k; i++) outer *= dim[i];
        GV_TRY(run_columns(j, outer, dim[k], inner));
        inner *= dim[k];
    }
    if (real_out) run_planes(j);
    return (gv_status)atomic_load(&j->status);
}

gv_status gv_fft_c2c(gv_dtype dtype, bool inverse, int naxes, const int64_t *dim,
                     int64_t batch, const void *in, void *out)
{
    size_t item = gv_dtype_size(dtype);
    fft_job j = { .lines = inverse ? GV_FFT_BACKWARD : GV_FFT_FORWARD,
                  .inverse = inverse,
                  .single = dtype == GV_C64,
                  .in_item = item,
                  .out_item = item,
                  .in = (char *)(uintptr_t)in,
                  .out = out };
    return run(&j, naxes, dim, batch);
}

gv_status gv_fft_r2c(gv_dtype dtype, bool weighted, int naxes, const int64_t *dim,
                     int64_t batch, const void *in, void *out)
{
    size_t item = gv_dtype_size(dtype);
    fft_job j = { .lines = GV_FFT_R2C,
                  .single = dtype == GV_F32,
                  .weighted = weighted,
                  .in_item = item,
                  .out_item = 2 * item,
                  .in = (char *)(uintptr_t)in,
                  .out = out };
    return run(&j, naxes, dim, batch);
}

gv_status gv_fft_c2r(gv_dtype dtype, bool weighted, int naxes, const int64_t *dim,
                     int64_t batch, void *in, void *out)
{
    size_t item = gv_dtype_size(dtype);
    fft_job j = { .lines = GV_FFT_C2R,
                  .inverse = true,
                  .single = dtype == GV_F32,
                  .weighted = weighted,
                  .in_item = 2 * item,
                  .out_item = item,
                  .in = in,
                  .out = out };
    return run(&j, naxes, dim, batch);
}
