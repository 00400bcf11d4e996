/* Spline windows of any order, one particle at a time; cloud in cell goes to read.c. */
#include "sim/pm/gather.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/parallel.h"
#include "sim/pm/read.h"

enum { chunk = 4096, widest = 4 };

struct job {
    const gv_pm_where *where;
    int kind, orders[3];
    int64_t fields;
    const void *mesh;
    void *out;
    atomic_bool lost;
};

size_t gv_pm_gather_bytes(const gv_pm_where *where)
{
    return gv_pm_read_bytes(where->dtype, &where->grid, where->n);
}

/* Weights w(order) of the n-th derivative of the spline at position u [cells]; w[k]
 * belongs to the cell that is returned minus k. The spline of order m on the knots
 * 0..m obeys (m - 1) N_m(x) = x N_{m-1}(x) + (m - x) N_{m-1}(x - 1) and
 * N_m'(x) = N_{m-1}(x) - N_{m-1}(x - 1). */
static int64_t weights(int order, int n, double u, double *w)
{
    double s = u + 0.5 * order, whole = floor(s), f = s - whole;
    memset(w, 0, widest * sizeof *w);
    w[0] = 1;
    for (int m = 2; m <= order - n; m++)
        for (int k = m - 1; k >= 0; k--) {
            double before = k > 0 ? w[k - 1] : 0;
            w[k] = ((f + k) * w[k] + (m - f - k) * before) / (m - 1);
        }
    for (int m = order - n + 1; m <= order; m++)
        for (int k = m - 1; k > 0; k--) w[k] -= w[k - 1];
    return (int64_t)whole;
}

static int64_t wrapped(int64_t c, int64_t n)
{
    int64_t r = c % n;
    return r < 0 ? r + n : r;
}

/* Cells and weights of particle i along the axes; false when it has no place. */
static bool place(const struct job *j, int64_t i, double (*w)[widest],
                  int64_t (*at)[widest])
{
    const gv_pm_grid *grid = &j->where->grid;
    bool fine = true;
    for (int d = 0; d < 3; d++) {
        int64_t n = grid->mesh[d];
        double x = j->where->dtype == GV_F32
            ? (double)((const float *)j->where->x)[3 * i + d]
            : ((const double *)j->where->x)[3 * i + d];
        double per_cell = (double)n / grid->box[d], u = x * per_cell;
        bool here = fabs(u) < GV_PM_FAR;
        int64_t first = weights(j->kind + 2, j->orders[d], here ? u : 0, w[d]);
        fine = fine && here;
        for (int k = 0; k < j->kind + 2; k++) at[d][k] = wrapped(first - k, n);
        for (int k = 0; k < j->orders[d]; k++)
            for (int l = 0; l < widest; l++) w[d][l] *= per_cell;
    }
    return fine;
}

#define DEFINE_SUM(NAME, R)                                                  \
    static double NAME(const R *mesh, const int64_t *n, int width,           \
                       const double(*w)[widest], const int64_t(*at)[widest]) \
    {                                                                        \
        double sum = 0;                                                      \
        for (int x = 0; x < width; x++)                                      \
            for (int y = 0; y < width; y++) {                                \
                const R *row = mesh + (at[0][x] * n[1] + at[1][y]) * n[2];   \
                double line = 0;                                             \
                for (int z = 0; z < width; z++)                              \
                    line += w[2][z] * (double)row[at[2][z]];                 \
                sum += w[0][x] * w[1][y] * line;                             \
            }                                                                \
        return sum;                                                          \
    }

DEFINE_SUM(sum_s, float)
DEFINE_SUM(sum_d, double)

static void do_chunk(void *ctx, int64_t index)
{
    struct job *j = ctx;
    const int64_t *n = j->where->grid.mesh;
    int64_t from = index * chunk, count = j->where->n, cells = n[0] * n[1] * n[2];
    int64_t to = from + chunk < count ? from + chunk : count;
    for (int64_t i = from; i < to; i++) {
        double w[3][widest];
        int64_t at[3][widest];
        if (!place(j, i, w, at)) atomic_store(&j->lost, true);
        for (int64_t f = 0; f < j->fields; f++) {
            if (j->where->dtype == GV_F32)
                ((float *)j->out)[f * count + i] = (float)sum_s(
                    (const float *)j->mesh + f * cells, n, j->kind + 2, w, at);
            else
                ((double *)j->out)[f * count + i] =
                    sum_d((const double *)j->mesh + f * cells, n, j->kind + 2, w, at);
        }
    }
}

gv_status gv_pm_gather(const gv_pm_where *where, int kind, const int *orders,
                       int64_t fields, const void *mesh, void *out, void *scratch,
                       bool *lost)
{
    struct job j = {
        .where = where, .kind = kind, .fields = fields, .mesh = mesh, .out = out
    };
    bool zero = false;
    for (int d = 0; d < 3; d++) {
        j.orders[d] = orders[d];
        zero = zero || orders[d] >= kind + 2;
    }
    *lost = false;
    if (zero) {
        memset(out, 0, (size_t)(fields * where->n) * gv_dtype_size(where->dtype));
        *lost = gv_pm_find_lost(where) >= 0;
        return GV_OK;
    }
    if (kind == 0) {
        gv_pm_read read = { .kind = GV_PM_VALUE,
                            .mesh = mesh,
                            .fields = fields,
                            .deriv = { orders[0], orders[1], orders[2] },
                            .scale = 1,
                            .out = out };
        return gv_pm_read_all(where, &read, scratch);
    }
    gv_parallel_for((where->n + chunk - 1) / chunk, do_chunk, &j);
    *lost = atomic_load(&j.lost);
    return GV_OK;
}
