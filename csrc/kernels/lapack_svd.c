/* Singular values (divide and conquer) and QR factors, both reduced. */
#include <math.h>
#include <string.h>

#include "kernels/blas_names.h"
#include "kernels/lapack_batch.h"

/* --- singular values ---------------------------------------------------------------------*/

typedef struct svd_work {
    void *a, *s, *u, *vt, *work, *rwork;
    int *iwork;
    int lwork;
    size_t bytes;
} svd_work;

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static svd_work svd_carve(gv_dtype dtype, int64_t m, int64_t n, char *scratch)
{
    bool complex = gv_dtype_is_complex(dtype);
    int64_t r = smaller(m, n), big = m + n - r;
    size_t item = gv_dtype_size(dtype), real = gv_dtype_size(gv_dtype_real(dtype));
    svd_work s = { .lwork = (int)(5 * r * r + 10 * r + big + 64 * (m + n)) };
    int64_t rwork = complex ? 5 * r * r + 5 * r + 2 * big * r + 2 * r * r + r : 1;
    uintptr_t at = (uintptr_t)scratch;
    s.a = gv_lapack_carve(&at, m * n, item);
    s.s = gv_lapack_carve(&at, r, real);
    s.u = gv_lapack_carve(&at, m * r, item);
    s.vt = gv_lapack_carve(&at, r * n, item);
    s.work = gv_lapack_carve(&at, s.lwork, item);
    s.rwork = gv_lapack_carve(&at, rwork, real);
    s.iwork = gv_lapack_carve(&at, 8 * r, sizeof(int));
    s.bytes = at - (uintptr_t)scratch;
    return s;
}

size_t gv_lapack_svd_scratch(gv_dtype dtype, int64_t m, int64_t n, int64_t batch)
{
    return gv_lapack_scratch_total(svd_carve(dtype, m, n, NULL).bytes, batch);
}

static int svd_entry(const gv_lapack_job *j, int64_t e, char *scratch)
{
    size_t item = gv_dtype_size(j->dtype),
           real = gv_dtype_size(gv_dtype_real(j->dtype));
    svd_work s = svd_carve(j->dtype, j->m, j->n, scratch);
    int m = (int)j->m, n = (int)j->n, r = (int)smaller(m, n), info = 0;
    char *u = j->x + (size_t)(e * m * r) * item,
         *vh = j->z + (size_t)(e * r * n) * item;
    gv_lapack_transpose(j->dtype, m, n, j->a + (size_t)(e * m * n) * item, s.a);
    switch (j->dtype) {
    case GV_F32:
        GV_LAPACK(sgesdd)
        ("S", &m, &n, s.a, &m, s.s, s.u, &m, s.vt, &r, s.work, &s.lwork, s.iwork, &info,
         1);
        break;
    case GV_F64:
        GV_LAPACK(dgesdd)
        ("S", &m, &n, s.a, &m, s.s, s.u, &m, s.vt, &r, s.work, &s.lwork, s.iwork, &info,
         1);
        break;
    case GV_C64:
        GV_LAPACK(cgesdd)
        ("S", &m, &n, s.a, &m, s.s, s.u, &m, s.vt, &r, s.work, &s.lwork, s.rwork,
         s.iwork, &info, 1);
        break;
    default:
        GV_LAPACK(zgesdd)
        ("S", &m, &n, s.a, &m, s.s, s.u, &m, s.vt, &r, s.work, &s.lwork, s.rwork,
         s.iwork, &info, 1);
    }
    if (info != 0) return info;
    memcpy(j->y + (size_t)(e * r) * real, s.s, (size_t)r * real);
    gv_lapack_transpose(j->dtype, r, m, s.u, u);
    gv_lapack_transpose(j->dtype, n, r, s.vt, vh);
    gv_lapack_turn(j->dtype, m, r, u, n, vh);
    return 0;
}

gv_status gv_lapack_svd(gv_dtype dtype, int64_t m, int64_t n, int64_t batch,
                        const void *a, void *u, void *s, void *vh, void *scratch)
{
    gv_lapack_job j = { .dtype = dtype,
                        .m = m,
                        .n = n,
                        .batch = batch,
                        .a = a,
                        .x = u,
                        .y = s,
                        .z = vh,
                        .scratch = scratch,
                        .per_task = svd_carve(dtype, m, n, NULL).bytes,
                        .entry = svd_entry };
    if (m * n == 0 || gv_lapack_run(&j)) return GV_OK;
    char where[48];
    gv_lapack_where(&j, where, sizeof where);
    if (j.code < 0)
        return gv_fail(GV_ERR_LINALG, "svd: the matrix%s contains NaN or infinity",
                       where);
    return gv_fail(GV_ERR_LINALG, "svd: no convergence for the matrix%s", where);
}

/* --- QR --------------------------------------------------------------------------------*/

typedef struct qr_work {
    void *a, *tau, *work;
    int lwork;
    size_t bytes;
} qr_work;

static qr_work qr_carve(gv_dtype dtype, int64_t m, int64_t n, char *scratch)
{
    int64_t r = smaller(m, n);
    size_t item = gv_dtype_size(dtype);
    qr_work s = { .lwork = (int)(64 * n + 1) };
    uintptr_t at = (uintptr_t)scratch;
    s.a = gv_lapack_carve(&at, m * n, item);
    s.tau = gv_lapack_carve(&at, r, item);
    s.work = gv_lapack_carve(&at, s.lwork, item);
    s.bytes = at - (uintptr_t)scratch;
    return s;
}

size_t gv_lapack_qr_scratch(gv_dtype dtype, int64_t m, int64_t n, int64_t batch)
{
    return gv_lapack_scratch_total(qr_carve(dtype, m, n, NULL).bytes, batch);
}

/* The upper triangle of the factors (column order, m rows) into r(rows, n). */
static void copy_upper(size_t item, int64_t m, int64_t rows, int64_t n, const char *a,
                       char *r)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < n; k++) {
            char *to = r + (size_t)(i * n + k) * item;
            if (k < i)
                memset(to, 0, item);
            else
                memcpy(to, a + (size_t)(k * m + i) * item, item);
        }
}

static int qr_entry(const gv_lapack_job *j, int64_t e, char *scratch)
{
    size_t item = gv_dtype_size(j->dtype);
    qr_work s = qr_carve(j->dtype, j->m, j->n, scratch);
    int m = (int)j->m, n = (int)j->n, r = (int)smaller(m, n), info = 0;
    gv_lapack_transpose(j->dtype, m, n, j->a + (size_t)(e * m * n) * item, s.a);
    switch (j->dtype) {
    case GV_F32:
        GV_LAPACK(sgeqrf)(&m, &n, s.a, &m, s.tau, s.work, &s.lwork, &info);
        break;
    case GV_F64:
        GV_LAPACK(dgeqrf)(&m, &n, s.a, &m, s.tau, s.work, &s.lwork, &info);
        break;
    case GV_C64:
        GV_LAPACK(cgeqrf)(&m, &n, s.a, &m, s.tau, s.work, &s.lwork, &info);
        break;
    default: GV_LAPACK(zgeqrf)(&m, &n, s.a, &m, s.tau, s.work, &s.lwork, &info); break;
    }
    copy_upper(item, m, r, n, s.a, j->y + (size_t)(e * r * n) * item);
    switch (j->dtype) {
    case GV_F32:
        GV_LAPACK(sorgqr)(&m, &r, &r, s.a, &m, s.tau, s.work, &s.lwork, &info);
        break;
    case GV_F64:
        GV_LAPACK(dorgqr)(&m, &r, &r, s.a, &m, s.tau, s.work, &s.lwork, &info);
        break;
    case GV_C64:
        GV_LAPACK(cungqr)(&m, &r, &r, s.a, &m, s.tau, s.work, &s.lwork, &info);
        break;
    default:
        GV_LAPACK(zungqr)(&m, &r, &r, s.a, &m, s.tau, s.work, &s.lwork, &info);
        break;
    }
    gv_lapack_transpose(j->dtype, r, m, s.a, j->x + (size_t)(e * m * r) * item);
    return info;
}

gv_status gv_lapack_qr(gv_dtype dtype, int64_t m, int64_t n, int64_t batch,
                       const void *a, void *q, void *r, void *scratch)
{
    gv_lapack_job j = { .dtype = dtype,
                        .m = m,
                        .n = n,
                        .batch = batch,
                        .a = a,
                        .x = q,
                        .y = r,
                        .scratch = scratch,
                        .per_task = qr_carve(dtype, m, n, NULL).bytes,
                        .entry = qr_entry };
    char where[48];
    if (m * n == 0 || gv_lapack_run(&j)) return GV_OK;
    return gv_fail(GV_ERR_LINALG, "qr: failed for the matrix%s",
                   gv_lapack_where(&j, where, sizeof where));
}
