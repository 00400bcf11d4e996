/* Stable ascending sort of lines with the original positions: bottom-up merge sort of
 * (value, position) pairs, runs of 16 by insertion; NaN counts as larger than all. */
#include <string.h>

#include "base/parallel.h"
#include "kernels/reduce.h"

enum { run_length = 16, task_items = 1 << 14, most_tasks = 64 };

typedef struct sort_job {
    gv_dtype dtype;
    int64_t lines, n, per_task;
    const char *x;
    char *values;
    int64_t *index;
    char *scratch;
} sort_job;

#define DEFINE_SORT(T)                                                            \
    typedef struct pair_##T {                                                     \
        T v;                                                                      \
        int64_t at;                                                               \
    } pair_##T;                                                                   \
    static inline bool less_##T(T a, T b) { return a < b || (b != b && a == a); } \
    static void insertion_##T(pair_##T *p, int64_t n)                             \
    {                                                                             \
        for (int64_t i = 1; i < n; i++) {                                         \
            pair_##T key = p[i];                                                  \
            int64_t k = i;                                                        \
            for (; k > 0 && less_##T(key.v, p[k - 1].v); k--) p[k] = p[k - 1];    \
            p[k] = key;                                                           \
        }                                                                         \
    }                                                                             \
    static void merge_##T(const pair_##T *a, int64_t na, const pair_##T *b,       \
                          int64_t nb, pair_##T *to)                               \
    {                                                                             \
        int64_t i = 0, k = 0;                                                     \
        while (i < na && k < nb) {                                                \
            bool second = less_##T(b[k].v, a[i].v);                               \
            *to++ = second ? b[k] : a[i];                                         \
            k += second;                                                          \
            i += !second;                                                         \
        }                                                                         \
        memcpy(to, a + i, (size_t)(na - i) * sizeof *to);                         \
        memcpy(to + (na - i), b + k, (size_t)(nb - k) * sizeof *to);              \
    }                                                                             \
    static void sort_line_##T(const sort_job *s, int64_t line, void *scratch)     \
    {                                                                             \
        int64_t n = s->n;                                                         \
        const T *x = (const T *)s->x + line * n;                                  \
        pair_##T *from = scratch, *to = from + n;                                 \
        for (int64_t i = 0; i < n; i++) from[i].v = x[i], from[i].at = i;         \
        for (int64_t i = 0; i < n; i += run_length)                               \
            insertion_##T(from + i, n - i < run_length ? n - i : run_length);     \
        for (int64_t w = run_length; w < n; w *= 2) {                             \
            for (int64_t i = 0; i < n; i += 2 * w) {                              \
                int64_t na = n - i < w ? n - i : w;                               \
                int64_t nb = n - i - na < w ? n - i - na : w;                     \
                merge_##T(from + i, na, from + i + na, nb, to + i);               \
            }                                                                     \
            pair_##T *swap = from;                                                \
            from = to;                                                            \
            to = swap;                                                            \
        }                                                                         \
        if (s->values != NULL)                                                    \
            for (int64_t i = 0; i < n; i++)                                       \
                ((T *)s->values)[line * n + i] = from[i].v;                       \
        if (s->index != NULL)                                                     \
            for (int64_t i = 0; i < n; i++) s->index[line * n + i] = from[i].at;  \
    }

DEFINE_SORT(uint8_t)
DEFINE_SORT(int32_t)
DEFINE_SORT(int64_t)
DEFINE_SORT(float)
DEFINE_SORT(double)

static int64_t lines_per_task(int64_t lines, int64_t n)
{
    int64_t few = 1 + task_items / (n + 1),
            many = (lines + most_tasks - 1) / most_tasks;
    return few > many ? few : many;
}

static size_t line_scratch(int64_t n) { return 2 * (size_t)n * sizeof(pair_double); }

static void sort_task(void *ctx, int64_t task)
{
    const sort_job *s = ctx;
    char *scratch = s->scratch + (size_t)task * line_scratch(s->n);
    int64_t i = task * s->per_task;
    int64_t end = i + s->per_task < s->lines ? i + s->per_task : s->lines;
    for (; i < end; i++) switch (s->dtype) {
        case GV_BOOL: sort_line_uint8_t(s, i, scratch); break;
        case GV_I32: sort_line_int32_t(s, i, scratch); break;
        case GV_I64: sort_line_int64_t(s, i, scratch); break;
        case GV_F32: sort_line_float(s, i, scratch); break;
        default: sort_line_double(s, i, scratch); break;
        }
}

size_t gv_reduce_sort_scratch(int64_t lines, int64_t n)
{
    int64_t per_task = lines_per_task(lines, n);
    return (size_t)((lines + per_task - 1) / per_task) * line_scratch(n);
}

void gv_reduce_sort(gv_dtype dtype, int64_t lines, int64_t n, const void *x,
                    void *values, int64_t *index, void *scratch)
{
    sort_job s = {
        dtype, lines, n, lines_per_task(lines, n), x, values, index, scratch
    };
    if (lines * n == 0) return;
    gv_parallel_for((lines + s.per_task - 1) / s.per_task, sort_task, &s);
}
