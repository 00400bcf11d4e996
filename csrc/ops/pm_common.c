/* Checks shared by the particle-mesh operators; see pm_common.h. */
#include "ops/pm_common.h"

#include <math.h>

const int64_t *gv_pm_grid_take(const int64_t *attr, gv_pm_grid *grid)
{
    gv_ints lattice = gv_ints_take(&attr), mesh = gv_ints_take(&attr);
    for (int d = 0; d < 3; d++) {
        grid->lattice[d] = lattice.v[d];
        grid->mesh[d] = mesh.v[d];
        grid->box[d] = gv_attr_float(*attr++);
    }
    return attr;
}

/* --- attributes -----------------------------------------------------------------------*/

static gv_status check_axes(const char *op, const char *name, const int64_t *n)
{
    for (int d = 0; d < 3; d++)
        if (n[d] < 1 || n[d] > (1 << 20))
            return gv_fail(GV_ERR_VALUE,
                           "%s: %s is (%lld, %lld, %lld); each axis needs 1 to 2^20 "
                           "points",
                           op, name, (long long)n[0], (long long)n[1], (long long)n[2]);
    return GV_OK;
}

gv_status gv_pm_check_mesh_box(const char *op, const gv_pm_grid *grid)
{
    const int64_t *m = grid->mesh;
    GV_TRY(check_axes(op, "mesh", m));
    if (m[0] * m[1] * m[2] > INT32_MAX) /* cells are numbered in 32 bits */
        return gv_fail(GV_ERR_VALUE,
                       "%s: a mesh of (%lld, %lld, %lld) has more than 2^31 - 1 cells; "
                       "take a coarser one",
                       op, (long long)m[0], (long long)m[1], (long long)m[2]);
    for (int d = 0; d < 3; d++)
        if (!isfinite(grid->box[d]) || grid->box[d] <= 0)
            return gv_fail(
                GV_ERR_VALUE,
                "%s: the box is (%g, %g, %g) Mpc/h; its sides must be finite "
                "and positive",
                op, grid->box[0], grid->box[1], grid->box[2]);
    return GV_OK;
}

gv_status gv_pm_check_grid(const gv_infer *inf, gv_pm_grid *grid)
{
    const int64_t *attr = inf->attr;
    gv_ints lattice = gv_ints_take(&attr), mesh;
    if (lattice.n == 3) mesh = gv_ints_take(&attr);
    if (lattice.n != 3 || mesh.n != 3)
        return gv_fail(GV_ERR_VALUE, "%s: %s needs three numbers, not %d",
                       inf->op->name, lattice.n != 3 ? "lattice" : "mesh",
                       lattice.n != 3 ? lattice.n : mesh.n);
    gv_pm_grid_take(inf->attr, grid);
    GV_TRY(check_axes(inf->op->name, "lattice", grid->lattice));
    return gv_pm_check_mesh_box(inf->op->name, grid);
}

/* --- inputs ---------------------------------------------------------------------------*/

static gv_status misfit(const gv_infer *inf, int i, const char *what,
                        const gv_type *want)
{
    char is[96], should[96];
    return gv_fail(
        want->dtype == inf->in[i].dtype ? GV_ERR_VALUE : GV_ERR_TYPE,
        "%s: %s (input %d) is %s, but %s goes with the positions and the mesh",
        inf->op->name, what, i, gv_type_format(&inf->in[i], is, sizeof is),
        gv_type_format(want, should, sizeof should));
}

static gv_status check_type(const gv_infer *inf, int i, const char *what,
                            const gv_type *want)
{
    const gv_type *is = &inf->in[i];
    if (is->dtype == want->dtype && gv_shape_equal(&is->shape, &want->shape))
        return GV_OK;
    return misfit(inf, i, what, want);
}

gv_status gv_pm_check_x(const gv_infer *inf, int x, const gv_pm_grid *grid)
{
    const gv_type *t = &inf->in[x];
    char text[96];
    bool fixed = gv_dtype_is_fixed(t->dtype);
    gv_type_format(t, text, sizeof text);
    if (!fixed && !gv_dtype_is_float(t->dtype))
        return gv_fail(
            GV_ERR_TYPE,
            "%s: positions (input %d) are q32, q64, float32 or float64, not %s",
            inf->op->name, x, text);
    if (t->shape.ndim < 2 || gv_dim_back(t, fixed ? 2 : 1) != 3)
        return gv_fail(GV_ERR_VALUE, "%s: positions (input %d) have shape %s, not %s",
                       inf->op->name, x, fixed ? "(3, N)" : "(N, 3)", text);
    int64_t n = gv_pm_count(t);
    const int64_t *l = grid->lattice;
    if (fixed && n != l[0] * l[1] * l[2])
        return gv_fail(GV_ERR_VALUE,
                       "%s: a lattice of (%lld, %lld, %lld) has %lld particles, but "
                       "the positions (input %d) are %s",
                       inf->op->name, (long long)l[0], (long long)l[1], (long long)l[2],
                       (long long)(l[0] * l[1] * l[2]), x, text);
    if (n == 0)
        return gv_fail(GV_ERR_VALUE, "%s: there are no particles (%s)", inf->op->name,
                       text);
    return GV_OK;
}

gv_status gv_pm_check_unit(const gv_infer *inf, int unit, int x)
{
    gv_type want = inf->in[x];
    want.dtype = GV_F64;
    GV_TRY(
        gv_shape_replace_core(&inf->in[x].shape, 2, 1, (int64_t[]){ 2 }, &want.shape));
    return check_type(inf, unit, "unit", &want);
}

gv_status gv_pm_check_vector(const gv_infer *inf, int v, int x)
{
    gv_type want = gv_pm_vector_type(&inf->in[x]);
    return check_type(inf, v, "the vector", &want);
}

gv_status gv_pm_check_field(const gv_infer *inf, int mesh, int x,
                            const gv_pm_grid *grid)
{
    gv_type want;
    GV_TRY(gv_pm_field_type(&inf->in[x], grid, &want));
    return check_type(inf, mesh, "the mesh", &want);
}

gv_status gv_pm_check_scalar(const gv_infer *inf, int scalar, int x)
{
    gv_type want = inf->in[x];
    want.dtype = GV_F64;
    GV_TRY(gv_shape_replace_core(&inf->in[x].shape, 2, 0, NULL, &want.shape));
    return check_type(inf, scalar, "the factor", &want);
}

/* --- types ----------------------------------------------------------------------------*/

int64_t gv_pm_count(const gv_type *x)
{
    return gv_dim_back(x, gv_dtype_is_fixed(x->dtype) ? 1 : 2);
}

gv_type gv_pm_vector_type(const gv_type *x)
{
    return gv_type_with(x, gv_pm_real(x->dtype));
}

gv_status gv_pm_field_type(const gv_type *x, const gv_pm_grid *grid, gv_type *out)
{
    *out = gv_type_with(x, gv_pm_real(x->dtype));
    return gv_shape_replace_core(&x->shape, 2, 3, grid->mesh, &out->shape);
}

/* --- kernels --------------------------------------------------------------------------*/

gv_pm_where gv_pm_where_of(const gv_call *call, int x, int unit, int64_t b)
{
    const gv_type *t = &call->in_type[x];
    gv_pm_where w = { .dtype = t->dtype, .n = gv_pm_count(t) };
    w.x = (const char *)call->in[x] + (size_t)(3 * w.n * b) * gv_dtype_size(t->dtype);
    w.unit = ((const double *)call->in[unit])[2 * b];
    gv_pm_grid_take(call->attr, &w.grid);
    return w;
}

gv_status gv_pm_lost(const gv_call *call, const gv_pm_where *where)
{
    int64_t i = gv_pm_find_lost(where);
    double p[3] = { 0, 0, 0 };
    for (int d = 0; d < 3 && i >= 0; d++)
        p[d] = where->dtype == GV_F32 ? (double)((const float *)where->x)[3 * i + d]
                                      : ((const double *)where->x)[3 * i + d];
    return gv_fail(
        GV_ERR_VALUE,
        "%s: particle %lld is at (%g, %g, %g) Mpc/h; positions must be finite "
        "and within 2^51 cells of the origin",
        call->op->name, (long long)i, p[0], p[1], p[2]);
}
