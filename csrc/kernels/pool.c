/* Pooling and resampling: threads and choice of kernels (kernels/pool.h). */
#include "kernels/pool.h"

#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "kernels/pool_table.h"

enum { task_items = 16384 };

typedef struct job {
    const gv_pool *p;
    gv_pool_plane plane;
    int64_t group;
    size_t a, b, out; /* bytes of one plane */
    const char *from, *with;
    char *to;
} job;

static gv_pool_plane plane_of(gv_pool_kind kind, gv_dtype dtype)
{
    int wide = dtype == GV_F64;
    switch (gv_simd_level()) {
    case GV_SIMD_AVX512: return gv_pool_avx512[wide][kind];
    case GV_SIMD_AVX2: return gv_pool_avx2[wide][kind];
    default: return gv_pool_base[wide][kind];
    }
}

static void plane_task(void *ctx, int64_t task)
{
    const job *j = ctx;
    int64_t end = (task + 1) * j->group;
    if (end > j->p->planes) end = j->p->planes;
    for (int64_t i = task * j->group; i < end; i++) {
        size_t k = (size_t)i;
        const char *with = j->with != NULL ? j->with + k * j->b : NULL;
        j->plane(j->p, j->from + k * j->a, with, j->to + k * j->out);
    }
}

void gv_pool_run(const gv_pool *p, gv_pool_kind kind, const void *a, const void *b,
                 void *out)
{
    size_t item = gv_dtype_size(p->dtype);
    size_t in = item * (size_t)(p->in[0] * p->in[1] * p->in[2]);
    size_t to = item * (size_t)(p->out[0] * p->out[1] * p->out[2]);
    bool widens = kind == GV_POOL_MAX_BACK || kind == GV_POOL_SPREAD;
    job j = { .p = p, .plane = plane_of(kind, p->dtype), .from = a, .with = b };
    j.to = out;
    j.a = kind == GV_POOL_SPREAD ? to : in;
    j.b = kind == GV_POOL_MAX_BACK ? to : in;
    j.out = widens ? in : to;
    int64_t items = (int64_t)((in + to) / item);
    j.group = items > 0 && items < task_items ? task_items / items : 1;
    gv_parallel_for((p->planes + j.group - 1) / j.group, plane_task, &j);
}

/* --- resampling ------------------------------------------------------------------*/

typedef struct resample {
    gv_dtype dtype;
    int64_t n, size, m, group, lanes;
    bool corners, adjoint;
    const char *from;
    char *to;
} resample;

/* The lower of the two source places of j, and the weight of the upper. */
static int64_t place(const resample *r, int64_t j, double *t)
{
    double at;
    if (r->corners)
        at = r->size > 1 ? (double)j * (double)(r->n - 1) / (double)(r->size - 1) : 0;
    else
        at = ((double)j + 0.5) * (double)r->n / (double)r->size - 0.5;
    double last = (double)(r->n - 1);
    at = at < 0 ? 0 : at > last ? last : at;
    int64_t i = (int64_t)at;
    if (i == r->n - 1 && i > 0) i--;
    *t = at - (double)i;
    return i;
}

#define DEFINE_RESAMPLE(NAME, REAL)                                                    \
    static void NAME(const resample *r, int64_t lane)                                  \
    {                                                                                  \
        int64_t n = r->n, m = r->m, size = r->size;                                    \
        const REAL *from = (const REAL *)r->from + lane * (r->adjoint ? size : n) * m; \
        REAL *to = (REAL *)r->to + lane * (r->adjoint ? n : size) * m;                 \
        if (r->adjoint) memset(to, 0, (size_t)(n * m) * sizeof(REAL));                 \
        for (int64_t j = 0; j < size; j++) {                                           \
            double t;                                                                  \
            int64_t i = place(r, j, &t), next = n > 1 ? m : 0;                         \
            REAL high = (REAL)t, low = (REAL)(1 - t);                                  \
            if (r->adjoint) {                                                          \
                const REAL *restrict g = from + j * m;                                 \
                REAL *restrict a = to + i * m;                                         \
                for (int64_t k = 0; k < m; k++) a[k] += low * g[k];                    \
                for (int64_t k = 0; k < m; k++) a[next + k] += high * g[k];            \
            } else {                                                                   \
                const REAL *restrict a = from + i * m;                                 \
                REAL *restrict y = to + j * m;                                         \
                for (int64_t k = 0; k < m; k++)                                        \
                    y[k] = low * a[k] + high * a[next + k];                            \
            }                                                                          \
        }                                                                              \
    }

DEFINE_RESAMPLE(lane_f32, float)
DEFINE_RESAMPLE(lane_f64, double)

static void lanes_task(void *ctx, int64_t task)
{
    const resample *r = ctx;
    int64_t end = (task + 1) * r->group;
    if (end > r->lanes) end = r->lanes;
    for (int64_t k = task * r->group; k < end; k++)
        if (r->dtype == GV_F32)
            lane_f32(r, k);
        else
            lane_f64(r, k);
}

void gv_pool_resample(gv_dtype dtype, int64_t lanes, int64_t n, int64_t size, int64_t m,
                      bool corners, bool adjoint, const void *from, void *to)
{
    resample r = { .dtype = dtype, .n = n, .size = size, .m = m, .lanes = lanes };
    r.corners = corners;
    r.adjoint = adjoint;
    r.from = from;
    r.to = to;
    int64_t items = (n + size) * m;
    r.group = items > 0 && items < task_items ? task_items / items : 1;
    gv_parallel_for((lanes + r.group - 1) / r.group, lanes_task, &r);
}
