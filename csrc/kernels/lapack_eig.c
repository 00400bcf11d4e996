/* Eigenvalues and eigenvectors; the phase convention of complex vectors. */
#include <math.h>
#include <string.h>

#include "kernels/blas_names.h"
#include "kernels/lapack_batch.h"

/* --- phase -----------------------------------------------------------------------------*/

/* Row of the pivot of column j of v(m, n): first modulus within 1 % of the largest. */
#define DEFINE_PHASE(T)                                                                   \
    static int64_t pivot_##T(int64_t m, int64_t n, int64_t step, const T *v)              \
    {                                                                                     \
        double best = 0;                                                                  \
        for (int pass = 0; pass < 2; pass++)                                              \
            for (int64_t i = 0; i < m; i++) {                                             \
                double re = (double)v[i * n * step];                                      \
                double im = step == 2 ? (double)v[i * n * step + 1] : 0;                  \
                double r = re * re + im * im;                                             \
                if (pass == 1 && r >= 0.98 * best) return i;                              \
                if (r > best) best = r;                                                   \
            }                                                                             \
        return 0;                                                                         \
    }                                                                                     \
    static void mask_##T(int64_t m, int64_t n, int64_t step, const T *v, T *mask)         \
    {                                                                                     \
        memset(mask, 0, (size_t)(m * n) * sizeof *mask);                                  \
        for (int64_t j = 0; j < n && m > 0; j++)                                          \
            mask[pivot_##T(m, n, step, v + j * step) * n + j] = 1;                        \
    }                                                                                     \
    /* Complex: turn column j of v(m, n) so that its pivot is real and positive, and    \
     * row j of u(n, k), if any, the other way. */ \
    static void turn_##T(int64_t m, int64_t n, T *v, int64_t k, T *u)                     \
    {                                                                                     \
        for (int64_t j = 0; j < n && m > 0; j++) {                                        \
            int64_t p = pivot_##T(m, n, 2, v + 2 * j);                                    \
            double re = (double)v[2 * (p * n + j)],                                       \
                   im = (double)v[2 * (p * n + j) + 1];                                   \
            double r = hypot(re, im);                                                     \
            if (r == 0) continue;                                                         \
            re /= r, im /= r;                                                             \
            for (int64_t i = 0; i < m; i++) {                                             \
                T *z = v + 2 * (i * n + j);                                               \
                double a = (double)z[0], b = (double)z[1];                                \
                z[0] = (T)(a * re + b * im);                                              \
                z[1] = i == p ? 0 : (T)(b * re - a * im);                                 \
            }                                                                             \
            for (int64_t i = 0; i < k; i++) {                                             \
                T *z = u + 2 * (j * k + i);                                               \
                double a = (double)z[0], b = (double)z[1];                                \
                z[0] = (T)(a * re - b * im);                                              \
                z[1] = (T)(b * re + a * im);                                              \
            }                                                                             \
        }                                                                                 \
    }

DEFINE_PHASE(float)
DEFINE_PHASE(double)

void gv_lapack_pivot_mask(gv_dtype dtype, int64_t m, int64_t n, int64_t batch,
                          const void *v, void *mask)
{
    int64_t step = gv_dtype_is_complex(dtype) ? 2 : 1, size = m * n;
    for (int64_t e = 0; e < batch; e++)
        if (gv_dtype_real(dtype) == GV_F32)
            mask_float(m, n, step, (const float *)v + e * size * step,
                       (float *)mask + e * size);
        else
            mask_double(m, n, step, (const double *)v + e * size * step,
                        (double *)mask + e * size);
}

void gv_lapack_turn(gv_dtype dtype, int64_t m, int64_t n, void *v, int64_t k, void *u)
{
    if (dtype == GV_C64) turn_float(m, n, v, k, u);
    if (dtype == GV_C128) turn_double(m, n, v, k, u);
}

/* --- Hermitian -------------------------------------------------------------------------*/

typedef struct eigh_work {
    void *a, *w, *work, *rwork;
    int *iwork;
    int lwork, lrwork, liwork;
    size_t bytes;
} eigh_work;

static eigh_work eigh_carve(gv_dtype dtype, int64_t n, char *scratch)
{
    bool complex = gv_dtype_is_complex(dtype);
    size_t item = gv_dtype_size(dtype), real = gv_dtype_size(gv_dtype_real(dtype));
    eigh_work s = { .lwork = (int)(complex ? 2 * n + n * n : 1 + 6 * n + 2 * n * n),
                    .lrwork = (int)(complex ? 1 + 5 * n + 2 * n * n : 1),
                    .liwork = (int)(3 + 5 * n) };
    uintptr_t at = (uintptr_t)scratch;
    s.a = gv_lapack_carve(&at, n * n, item);
    s.w = gv_lapack_carve(&at, n, real);
    s.work = gv_lapack_carve(&at, s.lwork, item);
    s.rwork = gv_lapack_carve(&at, s.lrwork, real);
    s.iwork = gv_lapack_carve(&at, s.liwork, sizeof(int));
    s.bytes = at - (uintptr_t)scratch;
    return s;
}

size_t gv_lapack_eigh_scratch(gv_dtype dtype, int64_t n, int64_t batch)
{
    return gv_lapack_scratch_total(eigh_carve(dtype, n, NULL).bytes, batch);
}

static int eigh_entry(const gv_lapack_job *j, int64_t e, char *scratch)
{
    size_t item = gv_dtype_size(j->dtype),
           real = gv_dtype_size(gv_dtype_real(j->dtype));
    size_t bytes = (size_t)(j->n * j->n) * item;
    eigh_work s = eigh_carve(j->dtype, j->n, scratch);
    int n = (int)j->n, info = 0;
    char *v = j->y + (size_t)e * bytes;
    gv_lapack_transpose(j->dtype, n, n, j->a + (size_t)e * bytes, s.a);
    switch (j->dtype) {
    case GV_F32:
        GV_LAPACK(ssyevd)
        ("V", "L", &n, s.a, &n, s.w, s.work, &s.lwork, s.iwork, &s.liwork, &info, 1, 1);
        break;
    case GV_F64:
        GV_LAPACK(dsyevd)
        ("V", "L", &n, s.a, &n, s.w, s.work, &s.lwork, s.iwork, &s.liwork, &info, 1, 1);
        break;
    case GV_C64:
        GV_LAPACK(cheevd)
        ("V", "L", &n, s.a, &n, s.w, s.work, &s.lwork, s.rwork, &s.lrwork, s.iwork,
         &s.liwork, &info, 1, 1);
        break;
    default:
        GV_LAPACK(zheevd)
        ("V", "L", &n, s.a, &n, s.w, s.work, &s.lwork, s.rwork, &s.lrwork, s.iwork,
         &s.liwork, &info, 1, 1);
    }
    memcpy(j->x + (size_t)(e * j->n) * real, s.w, (size_t)j->n * real);
    gv_lapack_transpose(j->dtype, n, n, s.a, v);
    gv_lapack_turn(j->dtype, n, n, v, 0, NULL);
    return info;
}

static gv_status no_convergence(const gv_lapack_job *j, const char *name, int64_t items)
{
    char where[48];
    size_t bytes = (size_t)items * gv_dtype_size(j->dtype);
    gv_lapack_where(j, where, sizeof where);
    if (!gv_lapack_is_finite(j->dtype, items,
                             j->a + (size_t)atomic_load(&j->bad) * bytes))
        return gv_fail(GV_ERR_LINALG, "%s: the matrix%s contains NaN or infinity", name,
                       where);
    return gv_fail(GV_ERR_LINALG, "%s: no convergence for the matrix%s", name, where);
}

gv_status gv_lapack_eigh(gv_dtype dtype, int64_t n, int64_t batch, const void *a,
                         void *w, void *v, void *scratch)
{
    gv_lapack_job j = { .dtype = dtype,
                        .n = n,
                        .batch = batch,
                        .a = a,
                        .x = w,
                        .y = v,
                        .scratch = scratch,
                        .per_task = eigh_carve(dtype, n, NULL).bytes,
                        .entry = eigh_entry };
    if (n == 0 || gv_lapack_run(&j)) return GV_OK;
    return no_convergence(&j, "eigh", n * n);
}

/* --- general ---------------------------------------------------------------------------*/

typedef struct eig_work {
    void *a, *w, *wi, *vr, *work, *rwork;
    int lwork;
    size_t bytes;
} eig_work;

static eig_work eig_carve(gv_dtype dtype, int64_t n, char *scratch)
{
    size_t item = gv_dtype_size(dtype), real = gv_dtype_size(gv_dtype_real(dtype));
    eig_work s = { .lwork = (int)(66 * n + 1) };
    uintptr_t at = (uintptr_t)scratch;
    s.a = gv_lapack_carve(&at, n * n, item);
    s.w = gv_lapack_carve(&at, n, item);
    s.wi = gv_lapack_carve(&at, n, item);
    s.vr = gv_lapack_carve(&at, n * n, item);
    s.work = gv_lapack_carve(&at, s.lwork, item);
    s.rwork = gv_lapack_carve(&at, 2 * n, real);
    s.bytes = at - (uintptr_t)scratch;
    return s;
}

size_t gv_lapack_eig_scratch(gv_dtype dtype, int64_t n, int64_t batch)
{
    return gv_lapack_scratch_total(eig_carve(dtype, n, NULL).bytes, batch);
}

/* LAPACK's packed real vectors (column order) to complex ones in row order: columns k
 * and k + 1 of a conjugate pair (positive imaginary part first) hold the real and the
 * imaginary part of the first. */
#define DEFINE_UNPACK(T)                                                           \
    static void unpack_##T(int64_t n, const T *wr, const T *wi, const T *vr, T *w, \
                           T *v)                                                   \
    {                                                                              \
        for (int64_t k = 0; k < n; k++) {                                          \
            const T *re = vr + (wi[k] < 0 ? k - 1 : k) * n;                        \
            T sign = wi[k] < 0 ? -1 : 1;                                           \
            w[2 * k] = wr[k];                                                      \
            w[2 * k + 1] = wi[k];                                                  \
            for (int64_t i = 0; i < n; i++) {                                      \
                v[2 * (i * n + k)] = re[i];                                        \
                v[2 * (i * n + k) + 1] = wi[k] == 0 ? 0 : sign * re[n + i];        \
            }                                                                      \
        }                                                                          \
    }

DEFINE_UNPACK(float)
DEFINE_UNPACK(double)

static int eig_entry(const gv_lapack_job *j, int64_t e, char *scratch)
{
    gv_dtype dtype = j->dtype, out = gv_dtype_complex(dtype);
    size_t bytes = (size_t)(j->n * j->n) * gv_dtype_size(dtype);
    eig_work s = eig_carve(dtype, j->n, scratch);
    int n = (int)j->n, info = 0, one = 1;
    char *w = j->x + (size_t)(e * j->n) * gv_dtype_size(out);
    char *v = j->y + (size_t)(e * j->n * j->n) * gv_dtype_size(out);
    if (!gv_lapack_is_finite(dtype, j->n * j->n, j->a + (size_t)e * bytes)) return -1;
    gv_lapack_transpose(dtype, n, n, j->a + (size_t)e * bytes, s.a);
    switch (dtype) {
    case GV_F32:
        GV_LAPACK(sgeev)
        ("N", "V", &n, s.a, &n, s.w, s.wi, NULL, &one, s.vr, &n, s.work, &s.lwork,
         &info, 1, 1);
        unpack_float(n, s.w, s.wi, s.vr, (float *)w, (float *)v);
        break;
    case GV_F64:
        GV_LAPACK(dgeev)
        ("N", "V", &n, s.a, &n, s.w, s.wi, NULL, &one, s.vr, &n, s.work, &s.lwork,
         &info, 1, 1);
        unpack_double(n, s.w, s.wi, s.vr, (double *)w, (double *)v);
        break;
    case GV_C64:
        GV_LAPACK(cgeev)
        ("N", "V", &n, s.a, &n, w, NULL, &one, s.vr, &n, s.work, &s.lwork, s.rwork,
         &info, 1, 1);
        break;
    default:
        GV_LAPACK(zgeev)
        ("N", "V", &n, s.a, &n, w, NULL, &one, s.vr, &n, s.work, &s.lwork, s.rwork,
         &info, 1, 1);
    }
    if (dtype == out) gv_lapack_transpose(dtype, n, n, s.vr, v);
    gv_lapack_turn(out, n, n, v, 0, NULL);
    return info;
}

gv_status gv_lapack_eig(gv_dtype dtype, int64_t n, int64_t batch, const void *a,
                        void *w, void *v, void *scratch)
{
    gv_lapack_job j = { .dtype = dtype,
                        .n = n,
                        .batch = batch,
                        .a = a,
                        .x = w,
                        .y = v,
                        .scratch = scratch,
                        .per_task = eig_carve(dtype, n, NULL).bytes,
                        .entry = eig_entry };
    if (n == 0 || gv_lapack_run(&j)) return GV_OK;
    return no_convergence(&j, "eig", n * n);
}
