/* The four-point derivative of a mesh (the transpose of its read-out's derivative, up to
 * the sign). One task makes a few planes. */
#include "base/parallel.h"
#include "sim/pm/paint.h"

typedef struct stencil_job {
    int64_t n[3], planes;
    int d;
    bool add;
    double factor;
    const void *in;
    void *out;
} stencil_job;

static inline int64_t around(int64_t i, int64_t n) { return (i % n + n) % n; }

/* out (+)= [8 (b - a) - (d - c)] factor along rows of n elements */
#define DEFINE_STENCIL(R)                                                              \
    static void rows_##R(int64_t n, R factor, bool add, const R *a, const R *b,        \
                         const R *c, const R *d, R *restrict out)                      \
    {                                                                                  \
        if (add)                                                                       \
            for (int64_t k = 0; k < n; k++)                                            \
                out[k] += (8 * (b[k] - a[k]) - (d[k] - c[k])) * factor;                \
        else                                                                           \
            for (int64_t k = 0; k < n; k++)                                            \
                out[k] = (8 * (b[k] - a[k]) - (d[k] - c[k])) * factor;                 \
    }                                                                                  \
    static void along_##R(int64_t n, R factor, bool add, const R *in, R *restrict out) \
    {                                                                                  \
        for (int64_t k = 0; k < n; k += k == 1 && n > 4 ? n - 3 : 1) {                 \
            R v = 8 * (in[around(k + 1, n)] - in[around(k - 1, n)]) -                  \
                (in[around(k + 2, n)] - in[around(k - 2, n)]);                         \
            out[k] = (add ? out[k] : 0) + v * factor;                                  \
        }                                                                              \
        if (n > 4) rows_##R(n - 4, factor, add, in + 1, in + 3, in, in + 4, out + 2);  \
    }                                                                                  \
    static void task_##R(void *ctx, int64_t index)                                     \
    {                                                                                  \
        const stencil_job *j = ctx;                                                    \
        const int64_t *n = j->n;                                                       \
        const R *in = j->in;                                                           \
        R *out = j->out, factor = (R)j->factor;                                        \
        int64_t x1 = (index + 1) * j->planes < n[0] ? (index + 1) * j->planes : n[0];  \
        for (int64_t x = index * j->planes; x < x1; x++)                               \
            for (int64_t y = 0; y < n[1]; y++) {                                       \
                const R *row[5]; /* offsets -2 .. 2 */                                 \
                for (int o = -2; o <= 2; o++) {                                        \
                    int64_t p = j->d == 0 ? around(x + o, n[0]) : x;                   \
                    int64_t q = j->d == 1 ? around(y + o, n[1]) : y;                   \
                    row[o + 2] = in + (p * n[1] + q) * n[2];                           \
                }                                                                      \
                R *to = out + (x * n[1] + y) * n[2];                                   \
                if (j->d == 2)                                                         \
                    along_##R(n[2], factor, j->add, row[2], to);                       \
                else                                                                   \
                    rows_##R(n[2], factor, j->add, row[1], row[3], row[0], row[4],     \
                             to);                                                      \
            }                                                                          \
    }

DEFINE_STENCIL(float)
DEFINE_STENCIL(double)

void gv_pm_stencil(gv_dtype dtype, const gv_pm_grid *grid, int d, double factor,
                   bool add, const void *in, void *mesh)
{
    const int64_t *n = grid->mesh;
    int64_t planes = (1 << 15) / (n[1] * n[2]) + 1;
    stencil_job j = { { n[0], n[1], n[2] }, planes, d, add, factor, in, mesh };
    gv_parallel_for((n[0] + planes - 1) / planes,
                    dtype == GV_F32 ? task_float : task_double, &j);
}
