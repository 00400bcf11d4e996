/* General square systems by LU factors with row interchanges.
 *
 * LAPACK factors what it sees as A^T = P L U (column order); read in row order its result
 * is A = G H P^T with G = U^T lower and H = L^T unit upper. So A x = b is G, then H, then
 * P; the transposed system runs through P^T, H^T, G^T. */
#include <math.h>
#include <string.h>

#include "kernels/blas_call.h"
#include "kernels/blas_names.h"
#include "kernels/lapack_batch.h"

typedef struct lu {
    char *factor;
    int *swap;
    int info; /* 0, or the pivot (from 1) that is exactly zero */
} lu;

static size_t lu_bytes(gv_dtype dtype, int64_t n)
{
    uintptr_t at = 0;
    gv_lapack_carve(&at, n * n, gv_dtype_size(dtype));
    gv_lapack_carve(&at, n, sizeof(int));
    return at;
}

size_t gv_lapack_lu_scratch(gv_dtype dtype, int64_t n, int64_t batch)
{
    return gv_lapack_scratch_total(lu_bytes(dtype, n), batch);
}

static lu factorise(const gv_lapack_job *j, int64_t e, char *scratch)
{
    size_t item = gv_dtype_size(j->dtype), bytes = (size_t)(j->n * j->n) * item;
    lu f = { .info = 0 };
    int n = (int)j->n;
    uintptr_t at = (uintptr_t)scratch;
    f.factor = gv_lapack_carve(&at, j->n * j->n, item);
    f.swap = gv_lapack_carve(&at, j->n, sizeof(int));
    if (n == 0) return f;
    memcpy(f.factor, j->a + (size_t)e * bytes, bytes);
    switch (j->dtype) {
    case GV_F32: GV_LAPACK(sgetrf)(&n, &n, f.factor, &n, f.swap, &f.info); break;
    case GV_F64: GV_LAPACK(dgetrf)(&n, &n, f.factor, &n, f.swap, &f.info); break;
    case GV_C64: GV_LAPACK(cgetrf)(&n, &n, f.factor, &n, f.swap, &f.info); break;
    default: GV_LAPACK(zgetrf)(&n, &n, f.factor, &n, f.swap, &f.info); break;
    }
    return f;
}

/* --- solve -----------------------------------------------------------------------------*/

static void swap_rows(char *a, char *b, size_t bytes)
{
    char part[256];
    for (size_t at = 0; at < bytes && a != b; at += sizeof part) {
        size_t n = bytes - at < sizeof part ? bytes - at : sizeof part;
        memcpy(part, a + at, n);
        memcpy(a + at, b + at, n);
        memcpy(b + at, part, n);
    }
}

/* x = P x (forward false) or P^T x (forward true) */
static void permute(const lu *f, bool forward, int64_t n, char *x, size_t row)
{
    for (int64_t k = 0; k < n; k++) {
        int64_t i = forward ? k : n - 1 - k;
        swap_rows(x + (size_t)i * row, x + (size_t)(f->swap[i] - 1) * row, row);
    }
}

static void set_identity(gv_dtype dtype, int64_t n, char *x)
{
    size_t item = gv_dtype_size(dtype);
    memset(x, 0, (size_t)(n * n) * item);
    for (int64_t i = 0; i < n; i++) {
        char *d = x + (size_t)(i * n + i) * item;
        if (gv_dtype_real(dtype) == GV_F32)
            *(float *)d = 1;
        else
            *(double *)d = 1;
    }
}

static int solve_entry(const gv_lapack_job *j, int64_t e, char *scratch)
{
    size_t item = gv_dtype_size(j->dtype), row = (size_t)j->k * item;
    char *x = j->x + (size_t)e * (size_t)j->n * row;
    lu f = factorise(j, e, scratch);
    if (f.info != 0) return f.info;
    if (j->flag) set_identity(j->dtype, j->n, x);
    if (j->trans == GV_PLAIN) {
        gv_lapack_trisolve(j->dtype, true, GV_PLAIN, false, j->n, j->k, 1, f.factor, x);
        gv_lapack_trisolve(j->dtype, false, GV_PLAIN, true, j->n, j->k, 1, f.factor, x);
        permute(&f, false, j->n, x, row);
    } else {
        permute(&f, true, j->n, x, row);
        gv_lapack_trisolve(j->dtype, false, j->trans, true, j->n, j->k, 1, f.factor, x);
        gv_lapack_trisolve(j->dtype, true, j->trans, false, j->n, j->k, 1, f.factor, x);
    }
    return 0;
}

gv_status gv_lapack_solve(gv_dtype dtype, gv_trans trans, bool inverse, int64_t n,
                          int64_t k, int64_t batch, const void *a, void *x,
                          void *scratch)
{
    gv_lapack_job j = { .dtype = dtype,
                        .flag = inverse,
                        .trans = trans,
                        .n = n,
                        .k = k,
                        .batch = batch,
                        .a = a,
                        .x = x,
                        .scratch = scratch,
                        .per_task = lu_bytes(dtype, n),
                        .entry = solve_entry };
    char where[48];
    if (n * k == 0 || gv_lapack_run(&j)) return GV_OK;
    return gv_fail(GV_ERR_LINALG, "%s: the matrix%s is singular (pivot %d is zero)",
                   inverse ? "inv" : "solve", gv_lapack_where(&j, where, sizeof where),
                   j.code);
}

/* --- slogdet ---------------------------------------------------------------------------*/

/* Multiply the phase (re, im) by that of element i and add the log of its modulus. */
static void take_pivot(gv_dtype dtype, const void *a, int64_t i, double *re, double *im,
                       double *sum)
{
    double x, y = 0;
    switch (dtype) {
    case GV_F32: x = (double)((const float *)a)[i]; break;
    case GV_F64: x = ((const double *)a)[i]; break;
    case GV_C64:
        x = (double)((const float *)a)[2 * i];
        y = (double)((const float *)a)[2 * i + 1];
        break;
    default: x = ((const double *)a)[2 * i]; y = ((const double *)a)[2 * i + 1];
    }
    double r = y == 0 ? fabs(x) : hypot(x, y);
    *sum += log(r);
    x /= r;
    y /= r;
    double t = *re * x - *im * y;
    *im = *re * y + *im * x;
    *re = t;
}

static int slogdet_entry(const gv_lapack_job *j, int64_t e, char *scratch)
{
    lu f = factorise(j, e, scratch);
    double re = 1, im = 0, sum = 0;
    for (int64_t i = 0; i < j->n; i++) {
        take_pivot(j->dtype, f.factor, i * j->n + i, &re, &im, &sum);
        if (f.swap[i] != i + 1) re = -re, im = -im;
    }
    if (f.info != 0) re = 0, im = 0, sum = -INFINITY;
    switch (j->dtype) {
    case GV_F32: ((float *)j->x)[e] = (float)re; break;
    case GV_F64: ((double *)j->x)[e] = re; break;
    case GV_C64:
        ((float *)j->x)[2 * e] = (float)re;
        ((float *)j->x)[2 * e + 1] = (float)im;
        break;
    default: ((double *)j->x)[2 * e] = re; ((double *)j->x)[2 * e + 1] = im;
    }
    if (gv_dtype_real(j->dtype) == GV_F32)
        ((float *)j->y)[e] = (float)sum;
    else
        ((double *)j->y)[e] = sum;
    return 0;
}

void gv_lapack_slogdet(gv_dtype dtype, int64_t n, int64_t batch, const void *a,
                       void *sign, void *logabs, void *scratch)
{
    gv_lapack_job j = { .dtype = dtype,
                        .n = n,
                        .batch = batch,
                        .a = a,
                        .x = sign,
                        .y = logabs,
                        .scratch = scratch,
                        .per_task = lu_bytes(dtype, n),
                        .entry = slogdet_entry };
    gv_lapack_run(&j);
}
