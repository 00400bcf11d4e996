/* Set-up of locators: tables of undisplaced lattice positions in cells and quanta. */
#include "sim/pm/locate.h"

#include <math.h>

gv_status gv_pm_shift(double unit, gv_dtype dtype, int *shift)
{
    int most = dtype == GV_Q64 ? 62 : 30, exponent;
    *shift = 0;
    if (isfinite(unit) && unit > 0 && frexp(unit, &exponent) == 0.5)
        *shift = 1 - exponent;
    if (*shift >= 1 && *shift <= most) return GV_OK;
    return gv_fail(
        GV_ERR_VALUE,
        "unit[0], the quantum of displacements in mesh cells, must be a power "
        "of two from 2^-%d to 2^-1 for %s; it is %g",
        most, gv_dtype_name(dtype), unit);
}

static size_t padded(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

size_t gv_pm_locator_bytes(gv_dtype dtype, const gv_pm_grid *grid)
{
    size_t bytes = 0;
    if (!gv_dtype_is_fixed(dtype)) return 0;
    for (int d = 0; d < 3; d++) {
        size_t n = (size_t)grid->lattice[d];
        bytes += padded(n * sizeof(int32_t)) + padded(n * gv_dtype_size(dtype));
    }
    return bytes;
}

/* round((remainder / lattice + 1/2) 2^shift) as whole cells and quanta */
static void split(int64_t remainder, int64_t lattice, int shift, int64_t *cell,
                  int64_t *quanta)
{
    int64_t r = 2 * remainder + lattice, whole = 2 * lattice, q = 0;
    *cell = r / whole;
    r %= whole;
    for (int k = 0; k < shift; k++) { /* long division, one bit at a time */
        bool bit = r >= whole - r;
        r = bit ? r - (whole - r) : 2 * r;
        q = 2 * q + bit;
    }
    q += r >= whole - r;
    *cell += q >> shift;
    *quanta = q & (((int64_t)1 << shift) - 1);
}

static void fill_tables(gv_pm_locator *l, char *at)
{
    const gv_pm_grid *grid = &l->where.grid;
    for (int d = 0; d < 3; d++) {
        int64_t lattice = grid->lattice[d], mesh = grid->mesh[d];
        int32_t *cell = (int32_t *)at;
        at += padded((size_t)lattice * sizeof *cell);
        int32_t *q32 = (int32_t *)at;
        int64_t *q64 = (int64_t *)at;
        at += padded((size_t)lattice * gv_dtype_size(l->where.dtype));
        for (int64_t i = 0; i < lattice; i++) {
            int64_t whole = i * mesh / lattice, more, quanta;
            split(i * mesh % lattice, lattice, l->shift, &more, &quanta);
            cell[i] = (int32_t)((whole + more) % mesh);
            if (l->where.dtype == GV_Q32)
                q32[i] = (int32_t)quanta;
            else
                q64[i] = quanta;
        }
        l->cell[d] = cell;
        l->quanta32[d] = q32;
        l->quanta64[d] = q64;
    }
}

gv_status gv_pm_locator_set(const gv_pm_where *where, void *scratch,
                            gv_pm_locator *locator)
{
    const gv_pm_grid *grid = &where->grid;
    *locator = (gv_pm_locator){ .where = *where };
    for (int d = 0; d < 3; d++) {
        locator->per_cell[d] = (double)grid->mesh[d] / grid->box[d];
        locator->inverse[d] = 1 / (double)grid->mesh[d];
    }
    if (gv_dtype_is_fixed(where->dtype)) {
        GV_TRY(gv_pm_shift(where->unit, where->dtype, &locator->shift));
        locator->row = grid->lattice[2];
        locator->rows = grid->lattice[0] * grid->lattice[1];
        fill_tables(locator, scratch);
    } else {
        locator->row = GV_PM_RUN;
        locator->rows = (where->n + GV_PM_RUN - 1) / GV_PM_RUN;
    }
    return GV_OK;
}

int64_t gv_pm_find_lost(const gv_pm_where *where)
{
    for (int64_t i = 0; i < 3 * where->n; i++) {
        double x = where->dtype == GV_F32 ? (double)((const float *)where->x)[i]
                                          : ((const double *)where->x)[i];
        int d = (int)(i % 3);
        double per_cell = (double)where->grid.mesh[d] / where->grid.box[d];
        if (!(fabs(x * per_cell) < GV_PM_FAR)) return i / 3;
    }
    return -1;
}
