/* Noise by mode and sums over bins; see modes.h. */
#include "sim/pm/modes.h"

#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "kernels/random.h"

enum { parts_max = 64, task_modes = 1 << 13 };

static int64_t number_of(int64_t i, int64_t n) { return i <= n / 2 ? i : i - n; }

static int64_t conjugate_of(int64_t m, int64_t n) { return 2 * m == n ? m : -m; }

/* --- noise --------------------------------------------------------------------------*/

typedef struct noise_job {
    int64_t key[2], dim[3], rows, group;
    double *out;
} noise_job;

/* Two independent standard normal numbers, by Box and Muller from one random block. The
 * top bit of the counter keeps clear of the counters of ordinary draws. */
static void draw(const int64_t key[2], const int64_t m[3], double *a, double *b)
{
    uint64_t at = (uint64_t)1 << 63;
    for (int d = 0; d < 3; d++) at |= (uint64_t)(m[d] + GV_PM_NOISE_MAX) << 21 * d;
    uint64_t cipher = (uint64_t)key[0], stream = (uint64_t)key[1];
    uint32_t counter[4] = { (uint32_t)at, (uint32_t)(at >> 32), (uint32_t)stream,
                            (uint32_t)(stream >> 32) };
    uint32_t cipher_words[2] = { (uint32_t)cipher, (uint32_t)(cipher >> 32) }, w[4];
    gv_random_block(counter, cipher_words, w);
    double u = (double)((w[0] | (uint64_t)w[1] << 32) >> 11) + 0.5;
    double t = (double)((w[2] | (uint64_t)w[3] << 32) >> 11);
    double radius = sqrt(-2 * log(u * 0x1p-53)), angle = 2 * M_PI * (t * 0x1p-53);
    *a = radius * cos(angle);
    *b = radius * sin(angle);
}

/* Sign of m - p in the order of z, y, x. */
static int order_of(const int64_t m[3], const int64_t p[3])
{
    for (int d = 2; d >= 0; d--)
        if (m[d] != p[d]) return m[d] > p[d] ? 1 : -1;
    return 0;
}

static void make_mode(const noise_job *j, const int64_t m[3], double z[2])
{
    int64_t p[3];
    for (int d = 0; d < 3; d++) p[d] = conjugate_of(m[d], j->dim[d]);
    int order = order_of(m, p);
    draw(j->key, order >= 0 ? m : p, &z[0], &z[1]);
    if (order == 0) {
        z[1] = 0;
        if (m[0] == 0 && m[1] == 0 && m[2] == 0) z[0] = 0;
        return;
    }
    z[0] *= M_SQRT1_2;
    z[1] *= order > 0 ? M_SQRT1_2 : -M_SQRT1_2;
}

static void noise_rows(void *ctx, int64_t task)
{
    const noise_job *j = ctx;
    int64_t half = j->dim[2] / 2 + 1, end = (task + 1) * j->group;
    if (end > j->rows) end = j->rows;
    for (int64_t row = task * j->group; row < end; row++) {
        int64_t m[3] = { number_of(row / j->dim[1], j->dim[0]),
                         number_of(row % j->dim[1], j->dim[1]), 0 };
        for (int64_t z = 0; z < half; z++) {
            m[2] = z;
            make_mode(j, m, j->out + 2 * (row * half + z));
        }
    }
}

void gv_pm_noise(const int64_t key[2], const int64_t dim[3], double *out)
{
    noise_job j = { .key = { key[0], key[1] }, .rows = dim[0] * dim[1], .out = out };
    memcpy(j.dim, dim, sizeof j.dim);
    j.group = task_modes / (dim[2] / 2 + 1) + 1;
    gv_parallel_for((j.rows + j.group - 1) / j.group, noise_rows, &j);
}

/* --- bins ---------------------------------------------------------------------------*/

typedef struct bins_job {
    const gv_pm_bins *b;
    double step[3]; /* longest side / side: k in units of the bin width */
    int64_t half, rows, group;
    bool single;
    const void *in;
    const double *from;
    double *part;
    void *out;
} bins_job;

static bins_job job_of(const gv_pm_bins *b, gv_dtype dtype)
{
    bins_job j = { .b = b, .half = b->dim[2] / 2 + 1, .rows = b->dim[0] * b->dim[1] };
    double longest = 0;
    for (int d = 0; d < 3; d++)
        if (b->dim[d] > 1 && b->box[d] > longest) longest = b->box[d];
    for (int d = 0; d < 3; d++) j.step[d] = longest / b->box[d];
    j.single = dtype == GV_F32;
    return j;
}

/* Bins are told apart exactly for boxes whose sides are in simple ratios: no pi here. */
static int64_t bin_of(const bins_job *j, double across, int64_t z)
{
    double k = (double)z * j->step[2];
    return (int64_t)(sqrt(across + k * k) + 0.5);
}

static double across_of(const bins_job *j, int64_t row)
{
    double x = j->step[0] * (double)number_of(row / j->b->dim[1], j->b->dim[0]);
    double y = j->step[1] * (double)number_of(row % j->b->dim[1], j->b->dim[1]);
    return x * x + y * y;
}

static double weight_of(const bins_job *j, int64_t z)
{
    return z > 0 && 2 * z < j->b->dim[2] ? 2 : 1;
}

static int64_t end_of(const bins_job *j, int64_t task)
{
    return (task + 1) * j->group < j->rows ? (task + 1) * j->group : j->rows;
}

static void sum_rows(void *ctx, int64_t task)
{
    const bins_job *j = ctx;
    double *to = j->part + task * j->b->n;
    memset(to, 0, (size_t)j->b->n * sizeof *to);
    for (int64_t row = task * j->group; row < end_of(j, task); row++) {
        double across = across_of(j, row);
        for (int64_t z = 0; z < j->half; z++) {
            int64_t i = row * j->half + z, bin = bin_of(j, across, z);
            if (bin < 1 || bin > j->b->n) continue;
            double v = j->single ? (double)((const float *)j->in)[i]
                                 : ((const double *)j->in)[i];
            to[bin - 1] += weight_of(j, z) * v;
        }
    }
}

static int64_t parts_of(const gv_pm_bins *b)
{
    int64_t rows = b->dim[0] * b->dim[1];
    return rows < parts_max ? rows : parts_max;
}

size_t gv_pm_bins_scratch(const gv_pm_bins *b)
{
    return (size_t)(parts_of(b) * b->n) * sizeof(double);
}

void gv_pm_bins_sum(const gv_pm_bins *b, gv_dtype dtype, const void *a, double *to,
                    void *scratch)
{
    bins_job j = job_of(b, dtype);
    int64_t parts = parts_of(b);
    j.in = a;
    j.part = scratch;
    j.group = (j.rows + parts - 1) / parts;
    parts = (j.rows + j.group - 1) / j.group;
    gv_parallel_for(parts, sum_rows, &j);
    memset(to, 0, (size_t)b->n * sizeof *to);
    for (int64_t p = 0; p < parts; p++)
        for (int64_t k = 0; k < b->n; k++) to[k] += j.part[p * b->n + k];
}

static void spread_rows(void *ctx, int64_t task)
{
    const bins_job *j = ctx;
    for (int64_t row = task * j->group; row < end_of(j, task); row++) {
        double across = across_of(j, row);
        for (int64_t z = 0; z < j->half; z++) {
            int64_t i = row * j->half + z, bin = bin_of(j, across, z);
            bool inside = bin >= 1 && bin <= j->b->n;
            double v = inside ? weight_of(j, z) * j->from[bin - 1] : 0;
            if (j->single)
                ((float *)j->out)[i] = (float)v;
            else
                ((double *)j->out)[i] = v;
        }
    }
}

void gv_pm_bins_spread(const gv_pm_bins *b, const double *from, gv_dtype dtype, void *a)
{
    bins_job j = job_of(b, dtype);
    j.from = from;
    j.out = a;
    j.group = task_modes / j.half + 1;
    gv_parallel_for((j.rows + j.group - 1) / j.group, spread_rows, &j);
}
