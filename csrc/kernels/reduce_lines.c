/* Work along one axis: position of extrema, running sums, softmax and its relatives.
 *
 * Arrays are (outer, n, inner); a task takes one outer index and a tile of the inner
 * axis, or several outer indices when they are short. */
#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "kernels/ew.h"
#include "kernels/reduce.h"
#include "kernels/reduce_table.h"

enum { task_items = 1 << 15, inner_tile = 256, block = 1024 };

typedef struct line_job {
    gv_dtype dtype;
    bool flag; /* maximum, reverse, zero_empty */
    int64_t outer, n, inner, tiles, group;
    const char *x;
    char *out;
    gv_ew_kernel exp;
    gv_reduce_panel panel; /* of the extremum looked for */
} line_job;

static void run_lines(line_job *r, gv_task task)
{
    if (r->outer == 0 || r->inner == 0) return;
    r->tiles = (r->inner + inner_tile - 1) / inner_tile;
    int64_t width = r->inner < inner_tile ? r->inner : inner_tile;
    r->group = r->tiles > 1 ? 1 : task_items / (r->n * width + 1) + 1;
    gv_parallel_for((r->outer + r->group - 1) / r->group * r->tiles, task, r);
}

/* The outer indices o0..o1-1 and inner indices j0..j1-1 of a task. */
typedef struct line_range {
    int64_t o0, o1, j0, j1;
} line_range;

static line_range range_of(const line_job *r, int64_t task)
{
    line_range s;
    s.o0 = task / r->tiles * r->group;
    s.o1 = s.o0 + r->group < r->outer ? s.o0 + r->group : r->outer;
    s.j0 = task % r->tiles * inner_tile;
    s.j1 = s.j0 + inner_tile < r->inner ? s.j0 + inner_tile : r->inner;
    return s;
}

/* --- argmax, argmin ------------------------------------------------------------------*/

/* Along contiguous lines the extremum is found first, then its place;
 * else rows are compared with the best of each column. */
#define DEFINE_ARG(T)                                                               \
    static int64_t find_##T(const T *x, int64_t n, T best)                          \
    {                                                                               \
        int64_t i = 0;                                                              \
        for (; i + 32 <= n; i += 32) {                                              \
            int hit = 0;                                                            \
            for (int k = 0; k < 32; k++) {                                          \
                T v = x[i + k];                                                     \
                hit |= (v == best) | ((v != v) & (best != best));                   \
            }                                                                       \
            if (hit) break;                                                         \
        }                                                                           \
        while (i < n - 1 && !(x[i] == best || (x[i] != x[i] && best != best))) i++; \
        return i;                                                                   \
    }                                                                               \
    static void arg_columns_##T(const line_job *r, const T *x, int64_t width,       \
                                int64_t *at)                                        \
    {                                                                               \
        T best[inner_tile];                                                         \
        bool maximum = r->flag;                                                     \
        for (int64_t j = 0; j < width; j++) best[j] = x[j], at[j] = 0;              \
        for (int64_t i = 1; i < r->n; i++) {                                        \
            x += r->inner;                                                          \
            for (int64_t j = 0; j < width; j++) {                                   \
                T v = x[j], b = best[j];                                            \
                bool better = maximum ? v > b : v < b, lost = (v != v) & (b == b);  \
                int64_t now = better ? i : at[j];                                   \
                T top = better ? v : b;                                             \
                at[j] = lost ? i : now;                                             \
                best[j] = lost ? v : top;                                           \
            }                                                                       \
        }                                                                           \
    }                                                                               \
    static void arg_##T(const line_job *r, line_range s)                            \
    {                                                                               \
        for (int64_t o = s.o0; o < s.o1; o++) {                                     \
            const T *x = (const T *)r->x + o * r->n * r->inner + s.j0;              \
            int64_t *at = (int64_t *)r->out + o * r->inner + s.j0;                  \
            if (r->inner == 1) {                                                    \
                T best;                                                             \
                r->panel.lines(x, 1, r->n, &best);                                  \
                *at = find_##T(x, r->n, best);                                      \
            } else                                                                  \
                arg_columns_##T(r, x, s.j1 - s.j0, at);                             \
        }                                                                           \
    }

DEFINE_ARG(uint8_t)
DEFINE_ARG(int32_t)
DEFINE_ARG(int64_t)
DEFINE_ARG(float)
DEFINE_ARG(double)

static void arg_task(void *ctx, int64_t task)
{
    const line_job *r = ctx;
    line_range s = range_of(r, task);
    switch (r->dtype) {
    case GV_BOOL: arg_uint8_t(r, s); break;
    case GV_I32: arg_int32_t(r, s); break;
    case GV_I64: arg_int64_t(r, s); break;
    case GV_F32: arg_float(r, s); break;
    default: arg_double(r, s); break;
    }
}

void gv_reduce_arg(bool maximum, gv_dtype dtype, int64_t outer, int64_t n,
                   int64_t inner, const void *x, int64_t *out)
{
    line_job r = { .dtype = dtype,
                   .flag = maximum,
                   .outer = outer,
                   .n = n,
                   .inner = inner,
                   .x = x,
                   .out = (char *)out };
    r.panel = gv_reduce_panel_of(maximum ? GV_REDUCE_MAX : GV_REDUCE_MIN, dtype);
    run_lines(&r, arg_task);
}

/* --- cumsum ---------------------------------------------------------------------------*/

/* T element, A accumulator */
#define DEFINE_CUMSUM(T, A)                                                 \
    static void cumsum_##T(const line_job *r, line_range s)                 \
    {                                                                       \
        int64_t step = r->flag ? -r->inner : r->inner, width = s.j1 - s.j0; \
        A sum[inner_tile];                                                  \
        for (int64_t o = s.o0; o < s.o1; o++) {                             \
            int64_t first = r->flag ? r->n - 1 : 0;                         \
            int64_t at = (o * r->n + first) * r->inner + s.j0;              \
            const T *x = (const T *)r->x + at;                              \
            T *y = (T *)r->out + at;                                        \
            for (int64_t j = 0; j < width; j++) sum[j] = 0;                 \
            for (int64_t i = 0; i < r->n; i++, x += step, y += step)        \
                for (int64_t j = 0; j < width; j++) {                       \
                    sum[j] += (A)x[j];                                      \
                    y[j] = (T)sum[j];                                       \
                }                                                           \
        }                                                                   \
    }

DEFINE_CUMSUM(int32_t, uint32_t)
DEFINE_CUMSUM(int64_t, uint64_t)
DEFINE_CUMSUM(float, double)
DEFINE_CUMSUM(double, double)

static void cumsum_task(void *ctx, int64_t task)
{
    const line_job *r = ctx;
    line_range s = range_of(r, task);
    switch (r->dtype) {
    case GV_I32: cumsum_int32_t(r, s); break;
    case GV_I64: cumsum_int64_t(r, s); break;
    case GV_F32: cumsum_float(r, s); break;
    default: cumsum_double(r, s); break;
    }
}

void gv_reduce_cumsum(gv_dtype dtype, bool reverse, int64_t outer, int64_t n,
                      int64_t inner, const void *x, void *out)
{
    if (gv_dtype_is_complex(dtype)) inner *= 2;
    line_job r = { .dtype = gv_dtype_real(dtype),
                   .flag = reverse,
                   .outer = outer,
                   .n = n,
                   .inner = inner,
                   .x = x,
                   .out = out };
    run_lines(&r, cumsum_task);
}

/* --- softmax family ----------------------------------------------------------------------*/

/* exp_sum: y = exp(x - shift) in blocks (y may be NULL), returns the sum in double.
 * A line of NaN-free -inf only has shift -inf, replaced by 0. */
#define DEFINE_SOFTMAX(T)                                                              \
    static T line_max_##T(const T *x, int64_t n)                                       \
    {                                                                                  \
        T m[8];                                                                        \
        for (int k = 0; k < 8; k++) m[k] = (T) - INFINITY;                             \
        int64_t i = 0;                                                                 \
        for (; i + 8 <= n; i += 8)                                                     \
            for (int k = 0; k < 8; k++) {                                              \
                T v = x[i + k];                                                        \
                m[k] = v > m[k] ? v : m[k];                                            \
                m[k] = v != v ? v : m[k];                                              \
            }                                                                          \
        for (; i < n; i++) m[0] = x[i] > m[0] || x[i] != x[i] ? x[i] : m[0];           \
        for (int k = 1; k < 8; k++) m[0] = m[k] > m[0] || m[k] != m[k] ? m[k] : m[0];  \
        return m[0];                                                                   \
    }                                                                                  \
    static double exp_sum_##T(const line_job *r, const T *x, int64_t n, T shift, T *y) \
    {                                                                                  \
        T buffer[block];                                                               \
        double sum[8] = { 0 };                                                         \
        for (int64_t i0 = 0; i0 < n; i0 += block) {                                    \
            int64_t k = n - i0 < block ? n - i0 : block, i = 0;                        \
            T *e = y != NULL ? y + i0 : buffer;                                        \
            for (i = 0; i < k; i++) e[i] = x[i0 + i] - shift;                          \
            const void *in[1] = { e };                                                 \
            r->exp(k, in, e);                                                          \
            for (i = 0; i + 8 <= k; i += 8)                                            \
                for (int l = 0; l < 8; l++) sum[l] += (double)e[i + l];                \
            for (; i < k; i++) sum[0] += (double)e[i];                                 \
        }                                                                              \
        for (int l = 4; l > 0; l /= 2)                                                 \
            for (int k = 0; k < l; k++) sum[k] += sum[k + l];                          \
        return sum[0];                                                                 \
    }                                                                                  \
    static void lse_line_##T(const line_job *r, const T *x, T *out)                    \
    {                                                                                  \
        T m = line_max_##T(x, r->n);                                                   \
        T shift = isinf(m) ? 0 : m;                                                    \
        *out =                                                                         \
            isinf(m) ? m : (T)(log(exp_sum_##T(r, x, r->n, shift, NULL)) + (double)m); \
    }                                                                                  \
    static void softmax_line_##T(const line_job *r, const T *x, T *y)                  \
    {                                                                                  \
        T m = line_max_##T(x, r->n);                                                   \
        if (r->flag && m == (T) - INFINITY) {                                          \
            memset(y, 0, (size_t)r->n * sizeof *y);                                    \
            return;                                                                    \
        }                                                                              \
        T scale = (T)(1 / exp_sum_##T(r, x, r->n, m, y));                              \
        for (int64_t i = 0; i < r->n; i++) y[i] *= scale;                              \
    }                                                                                  \
    static void log_softmax_line_##T(const line_job *r, const T *x, T *y)              \
    {                                                                                  \
        T m = line_max_##T(x, r->n);                                                   \
        T rest = (T)log(exp_sum_##T(r, x, r->n, m, NULL));                             \
        for (int64_t i = 0; i < r->n; i++) y[i] = x[i] - m - rest;                     \
    }                                                                                  \
    static void lse_##T(void *ctx, int64_t task)                                       \
    {                                                                                  \
        const line_job *r = ctx;                                                       \
        line_range s = range_of(r, task);                                              \
        for (int64_t o = s.o0; o < s.o1; o++)                                          \
            lse_line_##T(r, (const T *)r->x + o * r->n, (T *)r->out + o);              \
    }                                                                                  \
    static void softmax_##T(void *ctx, int64_t task)                                   \
    {                                                                                  \
        const line_job *r = ctx;                                                       \
        line_range s = range_of(r, task);                                              \
        for (int64_t o = s.o0; o < s.o1; o++)                                          \
            softmax_line_##T(r, (const T *)r->x + o * r->n, (T *)r->out + o * r->n);   \
    }                                                                                  \
    static void log_softmax_##T(void *ctx, int64_t task)                               \
    {                                                                                  \
        const line_job *r = ctx;                                                       \
        line_range s = range_of(r, task);                                              \
        for (int64_t o = s.o0; o < s.o1; o++)                                          \
            log_softmax_line_##T(r, (const T *)r->x + o * r->n,                        \
                                 (T *)r->out + o * r->n);                              \
    }

DEFINE_SOFTMAX(float)
DEFINE_SOFTMAX(double)

static line_job softmax_job(gv_dtype dtype, bool flag, int64_t lines, int64_t n,
                            const void *x, void *out)
{
    line_job r = { .dtype = dtype,
                   .flag = flag,
                   .outer = lines,
                   .n = n,
                   .inner = 1,
                   .x = x,
                   .out = out,
                   .exp = gv_ew_get(GV_EW_EXP, dtype, dtype) };
    return r;
}

void gv_reduce_logsumexp(gv_dtype dtype, int64_t lines, int64_t n, const void *x,
                         void *out)
{
    line_job r = softmax_job(dtype, false, lines, n, x, out);
    run_lines(&r, dtype == GV_F32 ? lse_float : lse_double);
}

void gv_reduce_softmax(gv_dtype dtype, bool zero_empty, int64_t lines, int64_t n,
                       const void *x, void *out)
{
    line_job r = softmax_job(dtype, zero_empty, lines, n, x, out);
    run_lines(&r, dtype == GV_F32 ? softmax_float : softmax_double);
}

void gv_reduce_log_softmax(gv_dtype dtype, int64_t lines, int64_t n, const void *x,
                           void *out)
{
    line_job r = softmax_job(dtype, false, lines, n, x, out);
    run_lines(&r, dtype == GV_F32 ? log_softmax_float : log_softmax_double);
}
