/* Symbols on the modes of a box; see spectrum.h. */
#include "sim/pm/spectrum.h"

#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "kernels/ew.h"
#include "sim/pm/spectrum_table.h"

enum { chunk = 64, batch = 512, parts_max = 64, task_modes = 1 << 14 };

static const gv_pm_symbol_loops *loops(void)
{
    switch (gv_simd_level()) {
    case GV_SIMD_AVX512: return &gv_pm_symbol_loops_avx512;
    case GV_SIMD_AVX2: return &gv_pm_symbol_loops_avx2;
    default: return &gv_pm_symbol_loops_base;
    }
}

size_t gv_pm_symbol_scratch(const int64_t dim[3])
{
    return (size_t)(4 * (dim[0] + dim[1] + dim[2])) * sizeof(double);
}

static void prepare_axis(gv_pm_symbol *s, int d)
{
    int64_t n = s->dim[d];
    double cell = s->box[d] / (double)n, base = 2 * M_PI / s->box[d];
    for (int64_t i = 0; i < n; i++) {
        double k = base * (double)(i <= n / 2 ? i : i - n), w = k * cell;
        double half = 2 / cell * sin(w / 2);
        double slope = s->stencil ? (8 * sin(w) - sin(2 * w)) / (6 * cell) : k;
        if (2 * i == n && s->order[d] % 2 == 1) slope = 0;
        s->table[d][0][i] = s->laplace ? half * half : k * k;
        s->table[d][1][i] = k * k;
        s->table[d][2][i] = s->order[d] == 0 ? 1
            : s->order[d] == 1               ? slope
                                             : slope * slope;
        s->table[d][3][i] = w * w;
    }
}

void gv_pm_symbol_prepare(gv_pm_symbol *s, void *scratch)
{
    double *at = scratch;
    s->quarter = (s->order[0] + s->order[1] + s->order[2]) % 4;
    for (int d = 0; d < 3; d++) {
        for (int t = 0; t < 4; t++, at += s->dim[d]) s->table[d][t] = at;
        prepare_axis(s, d);
    }
}

/* --- factors ------------------------------------------------------------------------*/

/* What of the columns from `from` on does not depend on x. */
typedef struct columns {
    int64_t n;
    double K2[chunk], kk[chunk], slope[chunk], Q2[chunk], Q4[chunk];
} columns;

static void take_columns(const gv_pm_symbol *s, const gv_fft_modes *at, int64_t from,
                         columns *c)
{
    c->n = at->width - from < chunk ? at->width - from : chunk;
    for (int64_t l = 0; l < c->n; l++) {
        int64_t y = at->y + (from + l) * at->dy, z = at->z + (from + l) * at->dz;
        c->K2[l] = s->table[1][0][y] + s->table[2][0][z];
        c->kk[l] = s->table[1][1][y] + s->table[2][1][z];
        c->slope[l] = s->scale * s->table[1][2][y] * s->table[2][2][z];
        double u = s->table[1][3][y], v = s->table[2][3][z];
        c->Q2[l] = u + v;
        c->Q4[l] = u * u + v * v;
    }
}

/* Is there a C to multiply with? */
static bool restores(const gv_pm_symbol *s) { return s->axis != 0 || s->cross != 0; }

/* C times (-1/(K2 of x + K2))^inverse times slopes */
static void fill_row(const gv_pm_symbol *s, const columns *c, int64_t x, double *value)
{
    double K2 = s->table[0][0][x], slope = s->table[0][2][x];
    for (int64_t l = 0; l < c->n; l++) value[l] = slope * c->slope[l];
    for (int k = 0; k < s->inverse; k++)
        for (int64_t l = 0; l < c->n; l++) value[l] *= -1 / (K2 + c->K2[l]);
    if (s->inverse > 0 && x == 0)
        for (int64_t l = 0; l < c->n; l++)
            if (K2 + c->K2[l] == 0) value[l] = 0;
    if (restores(s))
        loops()->restore_f64(s, 1, c->n, s->table[0][3] + x, c->Q2, c->Q4, c->n, value);
}

/* The common case, -scale C/K2 without slopes, in the factors' own precision. */
static bool is_inverse(const gv_pm_symbol *s, const double *nodes)
{
    return nodes == NULL && s->inverse == 1 &&
        s->order[0] + s->order[1] + s->order[2] == 0;
}

static void fill_inverse(const gv_pm_symbol *s, const columns *c,
                         const gv_fft_modes *at, void *factor, int64_t from)
{
    const double *own = s->table[0][0] + at->x;
    float *single = (float *)factor + from;
    double *wide = (double *)factor + from;
    bool narrow = s->real == GV_F32;
    if (narrow)
        loops()->inverse_f32(at->nx, c->n, own, c->K2, -s->scale, at->stride, single);
    else
        loops()->inverse_f64(at->nx, c->n, own, c->K2, -s->scale, at->stride, wide);
    for (int64_t l = 0; at->x == 0 && l < c->n; l++)
        if (c->K2[l] == 0) {
            if (narrow)
                single[l] = 0;
            else
                wide[l] = 0;
        }
    if (!restores(s)) return;
    own = s->table[0][3] + at->x;
    if (narrow)
        loops()->restore_f32(s, at->nx, c->n, own, c->Q2, c->Q4, at->stride, single);
    else
        loops()->restore_f64(s, at->nx, c->n, own, c->Q2, c->Q4, at->stride, wide);
}

/* Rows r .. r + rows - 1 of the modes, rows * c->n <= batch. */
static void fill_rows(const gv_pm_symbol *s, const double *nodes, const columns *c,
                      int64_t x, int64_t rows, double *value)
{
    double kk[batch], log_kk[batch];
    for (int64_t r = 0; r < rows; r++) fill_row(s, c, x + r, value + r * c->n);
    if (nodes == NULL) return;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t l = 0; l < c->n; l++)
            kk[r * c->n + l] = s->table[0][1][x + r] + c->kk[l];
    const void *in[1] = { kk };
    gv_ew_get(GV_EW_LOG, GV_F64, GV_F64)(rows * c->n, in, log_kk);
    loops()->cubics(s, nodes, rows * c->n, kk, log_kk, value);
}

static void put_row(gv_dtype real, int64_t n, const double *value, void *factor,
                    int64_t to)
{
    for (int64_t l = 0; l < n; l++)
        if (real == GV_F32)
            ((float *)factor)[to + l] = (float)value[l];
        else
            ((double *)factor)[to + l] = value[l];
}

void gv_pm_symbol_fill(const gv_pm_symbol *s, const double *nodes,
                       const gv_fft_modes *at, void *factor)
{
    columns c;
    double value[batch];
    for (int64_t from = 0; from < at->width; from += chunk) {
        take_columns(s, at, from, &c);
        if (is_inverse(s, nodes)) {
            fill_inverse(s, &c, at, factor, from);
            continue;
        }
        int64_t group = batch / c.n;
        for (int64_t r = 0; r < at->nx; r += group) {
            int64_t rows = at->nx - r < group ? at->nx - r : group;
            fill_rows(s, nodes, &c, at->x + r, rows, value);
            for (int64_t i = 0; i < rows; i++)
                put_row(s->real, c.n, value + i * c.n, factor,
                        (r + i) * at->stride + from);
        }
    }
}

/* --- application --------------------------------------------------------------------*/

typedef struct apply_job {
    const gv_pm_symbol *s;
    const double *nodes;
    const void *in, *g;
    void *out;
    int64_t half, rows, group; /* rows (x, y) in all and per task */
    /* pull */
    bool pairs;
    double *part;
} apply_job;

/* out = i^quarter f in */
#define TURN(T)                                                                   \
    static void turn_##T(int quarter, int64_t n, const T *f, const T *in, T *out) \
    {                                                                             \
        T sign = quarter >= 2 ? -1 : 1;                                           \
        for (int64_t l = 0; l < n; l++) {                                         \
            T re = sign * f[l] * in[2 * l], im = sign * f[l] * in[2 * l + 1];     \
            out[2 * l] = quarter % 2 == 0 ? re : -im;                             \
            out[2 * l + 1] = quarter % 2 == 0 ? im : re;                          \
        }                                                                         \
    }
TURN(float)
TURN(double)

static gv_fft_modes modes_of(const apply_job *j, int64_t row, int64_t z)
{
    gv_fft_modes at = { .x = row / j->s->dim[1],
                        .nx = 1,
                        .y = row % j->s->dim[1],
                        .z = z,
                        .dz = 1,
                        .stride = chunk };
    at.width = j->half - z < chunk ? j->half - z : chunk;
    return at;
}

static void apply_rows(void *ctx, int64_t task)
{
    const apply_job *j = ctx;
    double factor[chunk];
    int64_t end = (task + 1) * j->group < j->rows ? (task + 1) * j->group : j->rows;
    for (int64_t row = task * j->group; row < end; row++)
        for (int64_t z = 0; z < j->half; z += chunk) {
            gv_fft_modes at = modes_of(j, row, z);
            int64_t from = 2 * (row * j->half + z);
            gv_pm_symbol_fill(j->s, j->nodes, &at, factor);
            if (j->s->real == GV_F32)
                turn_float(j->s->quarter, at.width, (const float *)factor,
                           (const float *)j->in + from, (float *)j->out + from);
            else
                turn_double(j->s->quarter, at.width, factor,
                            (const double *)j->in + from, (double *)j->out + from);
        }
}

static apply_job job_of(const gv_pm_symbol *s)
{
    apply_job j = { .s = s, .half = s->dim[2] / 2 + 1, .rows = s->dim[0] * s->dim[1] };
    j.group = task_modes / j.half + 1;
    return j;
}

void gv_pm_symbol_apply(const gv_pm_symbol *s, const double *nodes, const void *in,
                        void *out)
{
    apply_job j = job_of(s);
    j.nodes = nodes;
    j.in = in;
    j.out = out;
    gv_parallel_for((j.rows + j.group - 1) / j.group, apply_rows, &j);
}

/* --- transpose with respect to the table --------------------------------------------*/

/* value[l] *= Re(conj(g) i^quarter f) of n modes */
#define PAIRS(T)                                                                   \
    static void pairs_##T(int quarter, int64_t n, const T *f, const T *g,          \
                          double *value)                                           \
    {                                                                              \
        double sign = quarter == 1 || quarter == 2 ? -1 : 1;                       \
        for (int64_t l = 0; l < n; l++) {                                          \
            double fr = (double)f[2 * l], fi = (double)f[2 * l + 1];               \
            double gr = (double)g[2 * l], gi = (double)g[2 * l + 1];               \
            value[l] *=                                                            \
                sign * (quarter % 2 == 0 ? gr * fr + gi * fi : gr * fi - gi * fr); \
        }                                                                          \
    }
PAIRS(float)
PAIRS(double)

/* Of modes z .. z + n - 1, those that stand for a conjugate pair count twice. */
static void count_pairs(int64_t z, int64_t n, int64_t real, double *value)
{
    for (int64_t l = 0; l < n; l++)
        if (z + l > 0 && 2 * (z + l) < real) value[l] *= 2;
}

/* One of a fixed number of parts, each with sums of its own. */
static void pull_rows(void *ctx, int64_t task)
{
    const apply_job *j = ctx;
    const gv_pm_symbol *s = j->s;
    double value[chunk], kk[chunk], log_kk[chunk];
    double *sums = j->part + task * 4 * s->nodes;
    const void *log_in[1] = { kk };
    gv_ew_kernel log_of = gv_ew_get(GV_EW_LOG, GV_F64, GV_F64);
    int64_t end = (task + 1) * j->group < j->rows ? (task + 1) * j->group : j->rows;
    columns c;
    memset(sums, 0, (size_t)(4 * s->nodes) * sizeof *sums);
    for (int64_t row = task * j->group; row < end; row++)
        for (int64_t z = 0; z < j->half; z += chunk) {
            gv_fft_modes at = modes_of(j, row, z);
            int64_t from = 2 * (row * j->half + z);
            take_columns(s, &at, 0, &c);
            fill_row(s, &c, at.x, value);
            if (s->real == GV_F32)
                pairs_float(s->quarter, c.n, (const float *)j->in + from,
                            (const float *)j->g + from, value);
            else
                pairs_double(s->quarter, c.n, (const double *)j->in + from,
                             (const double *)j->g + from, value);
            if (j->pairs) count_pairs(z, c.n, s->dim[2], value);
            for (int64_t l = 0; l < c.n; l++) kk[l] = s->table[0][1][at.x] + c.kk[l];
            log_of(c.n, log_in, log_kk);
            loops()->moments(s, c.n, kk, log_kk, value, sums);
        }
}

static int64_t parts_of(const gv_pm_symbol *s)
{
    int64_t rows = s->dim[0] * s->dim[1];
    return rows < parts_max ? rows : parts_max;
}

size_t gv_pm_symbol_pull_scratch(const gv_pm_symbol *s)
{
    return (size_t)(parts_of(s) * 4 * s->nodes) * sizeof(double);
}

/* The Lagrange weights of four nodes at t, summed: polynomials of the moments. */
static void spread_moments(const double m[4], double to[4])
{
    to[0] += m[0] - (11 * m[1] - 6 * m[2] + m[3]) / 6;
    to[1] += (6 * m[1] - 5 * m[2] + m[3]) / 2;
    to[2] += (4 * m[2] - 3 * m[1] - m[3]) / 2;
    to[3] += (2 * m[1] - 3 * m[2] + m[3]) / 6;
}

void gv_pm_symbol_pull(const gv_pm_symbol *s, bool pairs, const void *f, const void *g,
                       double *to, void *scratch)
{
    apply_job j = job_of(s);
    int64_t parts = parts_of(s);
    j.in = f;
    j.g = g;
    j.pairs = pairs;
    j.part = scratch;
    j.group = (j.rows + parts - 1) / parts;
    parts = (j.rows + j.group - 1) / j.group;
    gv_parallel_for(parts, pull_rows, &j);
    memset(to, 0, (size_t)s->nodes * sizeof *to);
    for (int64_t cell = 0; cell + 4 <= s->nodes; cell++) {
        double m[4] = { 0 };
        for (int64_t p = 0; p < parts; p++)
            for (int k = 0; k < 4; k++) m[k] += j.part[4 * (p * s->nodes + cell) + k];
        spread_moments(m, to + cell);
    }
}
