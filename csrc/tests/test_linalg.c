/* Matrix products and factorisations: residuals against plain loops in double complex,
 * f32 to c128, every instruction set, bitwise at one and two threads. */
#include "base/cpu.h"
#include "base/parallel.h"
#include "kernels/blas.h"
#include "kernels/lapack.h"
#include "tests/check.h"

#include <complex.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef double complex cplx;

static const gv_dtype types[4] = { GV_F32, GV_F64, GV_C64, GV_C128 };

static double eps_of(gv_dtype d)
{
    return gv_dtype_real(d) == GV_F32 ? 1.2e-7 : 2.3e-16;
}

static cplx get(gv_dtype d, const void *x, int64_t i)
{
    const float *f = x;
    const double *g = x;
    switch (d) {
    case GV_F32: return f[i];
    case GV_F64: return g[i];
    case GV_C64: return f[2 * i] + I * f[2 * i + 1];
    default: return g[2 * i] + I * g[2 * i + 1];
    }
}

static void put(gv_dtype d, void *x, int64_t i, cplx v)
{
    switch (d) {
    case GV_F32: ((float *)x)[i] = (float)creal(v); break;
    case GV_F64: ((double *)x)[i] = creal(v); break;
    case GV_C64: ((float complex *)x)[i] = (float complex)v; break;
    default: ((cplx *)x)[i] = v;
    }
}

static double uniform(void) { return (double)rand() / RAND_MAX - 0.5; }

static void *make(gv_dtype d, int64_t n)
{
    void *x = malloc((size_t)(n + 1) * gv_dtype_size(d));
    for (int64_t i = 0; i < n; i++) put(d, x, i, uniform() + I * uniform());
    return x;
}

static void *room(gv_dtype d, int64_t n)
{
    return malloc((size_t)(n + 1) * gv_dtype_size(d));
}

/* Element (i, j) of op(x), stored with `cols` columns. */
static cplx element(gv_dtype d, gv_trans t, const void *x, int64_t cols, int64_t i,
                    int64_t j)
{
    cplx v = t == GV_PLAIN ? get(d, x, i * cols + j) : get(d, x, j * cols + i);
    return t == GV_ADJOINT ? conj(v) : v;
}

/* --- products -------------------------------------------------------------------------*/

static void check_product(gv_dtype d, gv_trans ta, gv_trans tb, int64_t m, int64_t n,
                          int64_t k, int64_t batch)
{
    void *a = make(d, batch * m * k), *b = make(d, batch * k * n);
    void *one = room(d, batch * m * n), *two = room(d, batch * m * n);
    void *scratch = malloc(gv_blas_gemm_scratch(d, ta, tb, m, n, k, batch) + 1);
    gv_threads_set(1);
    CHECK(gv_blas_matmul(d, ta, tb, m, n, k, batch, a, b, one, scratch) == GV_OK);
    gv_threads_set(2);
    CHECK(gv_blas_matmul(d, ta, tb, m, n, k, batch, a, b, two, scratch) == GV_OK);
    size_t item = gv_dtype_size(d);
    CHECK(memcmp(one, two, (size_t)(batch * m * n) * item) == 0);
    double worst = 0;
    for (int64_t p = 0; p < 40 && m * n * batch > 0; p++) { /* spot checks */
        int64_t at = rand() % (m * n * batch), e = at / (m * n), i = at / n % m,
                j = at % n;
        const char *ae = (char *)a + (size_t)(e * m * k) * item;
        const char *be = (char *)b + (size_t)(e * k * n) * item;
        cplx sum = 0;
        for (int64_t l = 0; l < k; l++)
            sum += element(d, ta, ae, ta ? m : k, i, l) *
                element(d, tb, be, tb ? k : n, l, j);
        worst = fmax(worst, cabs(sum - get(d, one, at)));
    }
    /* a chain of k terms whose partial sums wander as sqrt(k) */
    CHECK_NOTE(worst <= eps_of(d) * (4 * sqrt((double)k + 1) + 0.3 * (double)k),
               "dtype %d ta %d tb %d: %lld %lld %lld %lld: %g", d, ta, tb, (long long)m,
               (long long)n, (long long)k, (long long)batch, worst);
    free(a);
    free(b);
    free(one);
    free(two);
    free(scratch);
}

static void test_products(void)
{
    static const int64_t shapes[][4] = { { 1, 1, 1, 1 },       { 2, 3, 4, 1 },
                                         { 25, 25, 25, 9 },    { 13, 31, 7, 3 },
                                         { 1, 70, 33, 2 },     { 70, 1, 33, 2 },
                                         { 64, 64, 64, 2 },    { 200, 150, 100, 2 },
                                         { 130, 520, 530, 1 }, { 5, 7, 9001, 1 },
                                         { 3, 1, 20000, 1 },   { 4, 5, 0, 2 },
                                         { 0, 5, 3, 1 },       { 600, 500, 400, 1 } };
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int t = 0; t < 4; t++)
            for (int ta = 0; ta < 3; ta++)
                for (int tb = 0; tb < 3; tb++) {
                    const int64_t *n = shapes[s];
                    if (n[0] * n[1] * n[2] > 1000000 && ta != tb) continue;
                    check_product(types[t], (gv_trans)ta, (gv_trans)tb, n[0], n[1],
                                  n[2], n[3]);
                }
}

static void test_integers(void)
{
    int64_t a[6] = { 1, 2, 3, 4, 5, 6 }, b[6] = { 7, 8, 9, 10, 11, 12 }, c[4];
    CHECK(gv_blas_matmul(GV_I64, GV_PLAIN, GV_PLAIN, 2, 2, 3, 1, a, b, c, NULL) ==
          GV_OK);
    CHECK(c[0] == 58 && c[1] == 64 && c[2] == 139 && c[3] == 154);
    CHECK(gv_blas_matmul(GV_I64, GV_PLAIN, GV_TRANSPOSED, 2, 2, 3, 1, a, b, c, NULL) ==
          GV_OK);
    CHECK(c[0] == 50 && c[1] == 68 && c[2] == 122 && c[3] == 167);
}

/* --- factors --------------------------------------------------------------------------*/

/* Largest |x - sum_l op(a)_il op(b)_lj| over one entry; x (m, n). */
static double residual(gv_dtype d, gv_trans ta, gv_trans tb, int64_t m, int64_t n,
                       int64_t k, const void *a, const void *b, const void *x)
{
    double worst = 0;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            cplx sum = 0;
            for (int64_t l = 0; l < k; l++)
                sum += element(d, ta, a, ta ? m : k, i, l) *
                    element(d, tb, b, tb ? k : n, l, j);
            worst = fmax(worst, cabs(sum - get(d, x, i * n + j)));
        }
    return worst;
}

/* Well-conditioned Hermitian positive definite matrices. */
static void *make_spd(gv_dtype d, int64_t n, int64_t batch)
{
    void *a = make(d, batch * n * n);
    for (int64_t e = 0; e < batch; e++)
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j <= i; j++) {
                int64_t at = (e * n + i) * n + j, mirror = (e * n + j) * n + i;
                cplx v = i == j ? (double)n : get(d, a, at);
                put(d, a, at, v);
                put(d, a, mirror, conj(v));
            }
    return a;
}

static void check_cholesky(gv_dtype d, int64_t n, int64_t batch, int64_t k)
{
    size_t item = gv_dtype_size(d);
    void *a = make_spd(d, n, batch), *l = room(d, batch * n * n),
         *m = room(d, batch * n * n);
    gv_threads_set(1);
    CHECK(gv_lapack_cholesky(d, n, batch, a, l) == GV_OK);
    gv_threads_set(2);
    CHECK(gv_lapack_cholesky(d, n, batch, a, m) == GV_OK);
    CHECK(memcmp(l, m, (size_t)(batch * n * n) * item) == 0);
    double bound = 60 * eps_of(d) * (double)n;
    for (int64_t e = 0; e < batch; e += 1 + batch / 3) {
        size_t at = (size_t)(e * n * n) * item;
        char *le = (char *)l + at;
        CHECK(n > 300 ||
              residual(d, GV_PLAIN, GV_ADJOINT, n, n, n, le, le, (char *)a + at) <=
                  bound);
        CHECK(n < 2 || get(d, le, n - 1) == 0);
    }
    for (int trans = 0; trans < 3; trans++) { /* op(L) x = b, then op(L) x against b */
        void *b = make(d, batch * n * k), *x = room(d, batch * n * k),
             *y = room(d, batch * n * k);
        memcpy(x, b, (size_t)(batch * n * k) * item);
        memcpy(y, b, (size_t)(batch * n * k) * item);
        gv_threads_set(1);
        gv_lapack_trisolve(d, true, (gv_trans)trans, false, n, k, batch, l, x);
        gv_threads_set(2);
        gv_lapack_trisolve(d, true, (gv_trans)trans, false, n, k, batch, l, y);
        CHECK(memcmp(x, y, (size_t)(batch * n * k) * item) == 0);
        int64_t e = batch - 1;
        char *xe = (char *)x + (size_t)(e * n * k) * item,
             *be = (char *)b + (size_t)(e * n * k) * item;
        CHECK(residual(d, (gv_trans)trans, GV_PLAIN, n, k, n,
                       (char *)l + (size_t)(e * n * n) * item, xe, be) <= bound);
        free(b);
        free(x);
        free(y);
    }
    free(a);
    free(l);
    free(m);
}

static void test_cholesky(void)
{
    for (int t = 0; t < 4; t++) {
        check_cholesky(types[t], 1, 1, 1);
        check_cholesky(types[t], 5, 37, 3);
        check_cholesky(types[t], 25, 21, 6);
        check_cholesky(types[t], 32, 5, 32);
        check_cholesky(types[t], 60, 3, 2);
    }
    check_cholesky(GV_F64, 530, 1, 2);
    check_cholesky(GV_F32, 800, 1, 1);
}

static void test_not_positive(void)
{
    for (int t = 0; t < 4; t++)
        for (int64_t n = 3; n <= 40; n += 37) {
            enum { batch = 6 };
            gv_dtype d = types[t];
            void *a = make_spd(d, n, batch), *l = room(d, batch * n * n);
            put(d, a, (4 * n + 2) * n + 2, -1.0);
            CHECK(gv_lapack_cholesky(d, n, batch, a, l) == GV_ERR_LINALG);
            CHECK(strstr(gv_fail_message(), "batch entry 4") != NULL);
            CHECK(strstr(gv_fail_message(), "pivot 3") != NULL);
            CHECK(strstr(gv_fail_message(), "to its diagonal would do") != NULL);
            put(d, a, (1 * n + 1) * n + 0, NAN);
            CHECK(gv_lapack_cholesky(d, n, batch, a, l) == GV_ERR_LINALG);
            CHECK(strstr(gv_fail_message(), "entry 1) contains NaN") != NULL);
            free(a);
            free(l);
        }
}

static void test_solve(void)
{
    for (int t = 0; t < 4; t++)
        for (int trans = 0; trans < 3; trans++) {
            enum { n = 17, k = 3, batch = 4 };
            gv_dtype d = types[t];
            size_t item = gv_dtype_size(d);
            void *a = make(d, batch * n * n), *b = make(d, batch * n * k);
            void *x = room(d, batch * n * k), *inv = room(d, batch * n * n);
            void *scratch = malloc(gv_lapack_lu_scratch(d, n, batch) + 64);
            for (int i = 0; i < batch * n; i++) put(d, a, i * n + i % n, 3 + I);
            memcpy(x, b, batch * n * k * item);
            CHECK(gv_lapack_solve(d, (gv_trans)trans, false, n, k, batch, a, x,
                                  scratch) == GV_OK);
            CHECK(gv_lapack_solve(d, GV_PLAIN, true, n, n, batch, a, inv, scratch) ==
                  GV_OK);
            void *eye = make(d, n * n);
            for (int i = 0; i < n * n; i++) put(d, eye, i, i % (n + 1) == 0);
            for (int e = 0; e < batch; e++) {
                char *ae = (char *)a + (size_t)(e * n * n) * item;
                size_t at = (size_t)(e * n * k) * item;
                CHECK(residual(d, (gv_trans)trans, GV_PLAIN, n, k, n, ae,
                               (char *)x + at, (char *)b + at) < 100 * eps_of(d));
                CHECK(residual(d, GV_PLAIN, GV_PLAIN, n, n, n, ae,
                               (char *)inv + (size_t)(e * n * n) * item,
                               eye) < 100 * eps_of(d));
            }
            memset((char *)a + 2 * n * n * item, 0,
                   n * item); /* entry 2: a row of zeros */
            CHECK(gv_lapack_solve(d, GV_PLAIN, false, n, k, batch, a, x, scratch) ==
                  GV_ERR_LINALG);
            CHECK(strstr(gv_fail_message(), "batch entry 2) is singular") != NULL);
            free(a);
            free(b);
            free(x);
            free(inv);
            free(eye);
            free(scratch);
        }
}

static void test_slogdet(void)
{
    double a[4] = { 1, 2, 3, 4 }, sign, log_modulus, scratch[64];
    gv_lapack_slogdet(GV_F64, 2, 1, a, &sign, &log_modulus, scratch);
    CHECK(sign == -1 && fabs(log_modulus - log(2)) < 1e-15);
    cplx z[4] = { 1, 0, 0, 2 * I }, phase;
    gv_lapack_slogdet(GV_C128, 2, 1, z, &phase, &log_modulus, scratch);
    CHECK(cabs(phase - I) < 1e-15 && fabs(log_modulus - log(2)) < 1e-15);
    memset(a, 0, sizeof a);
    gv_lapack_slogdet(GV_F64, 2, 1, a, &sign, &log_modulus, scratch);
    CHECK(sign == 0 && log_modulus == -INFINITY);
}

/* --- spectra --------------------------------------------------------------------------*/

/* The columns of a(m, n) times the real numbers w. */
static void *scaled(gv_dtype d, int64_t m, int64_t n, const void *a, const void *w)
{
    void *x = room(d, m * n);
    for (int64_t i = 0; i < m * n; i++)
        put(d, x, i, get(d, a, i) * get(gv_dtype_real(d), w, i % n));
    return x;
}

static void test_eigh(void)
{
    for (int t = 0; t < 4; t++) {
        enum { n = 12, batch = 5 };
        gv_dtype d = types[t];
        size_t item = gv_dtype_size(d);
        void *a = make_spd(d, n, batch), *w = room(d, batch * n),
             *v = room(d, batch * n * n);
        void *mask = room(d, batch * n * n);
        void *scratch = malloc(gv_lapack_eigh_scratch(d, n, batch) + 64);
        CHECK(gv_lapack_eigh(d, n, batch, a, w, v, scratch) == GV_OK);
        gv_lapack_pivot_mask(d, n, n, batch, v, mask);
        for (int e = 0; e < batch; e++) {
            char *ve = (char *)v + (size_t)(e * n * n) * item;
            char *we = (char *)w + (size_t)(e * n) * gv_dtype_size(gv_dtype_real(d));
            void *vw = scaled(d, n, n, ve, we);
            CHECK(residual(d, GV_PLAIN, GV_ADJOINT, n, n, n, vw, ve,
                           (char *)a + (size_t)(e * n * n) * item) <
                  200 * eps_of(d) * n);
            free(vw);
            for (int i = 0; i < n * n && gv_dtype_is_complex(d); i++)
                if (creal(get(gv_dtype_real(d), mask, e * n * n + i)) == 1)
                    CHECK(cimag(get(d, ve, i)) == 0 && creal(get(d, ve, i)) > 0);
        }
        free(a);
        free(w);
        free(v);
        free(mask);
        free(scratch);
    }
}

static void test_eig(void)
{
    for (int t = 0; t < 4; t++) {
        enum { n = 9, batch = 4 };
        gv_dtype d = types[t], out = gv_dtype_complex(d);
        void *a = make(d, batch * n * n), *w = room(out, batch * n);
        void *v = room(out, batch * n * n);
        void *scratch = malloc(gv_lapack_eig_scratch(d, n, batch) + 64);
        CHECK(gv_lapack_eig(d, n, batch, a, w, v, scratch) == GV_OK);
        double worst = 0;
        for (int e = 0; e < batch; e++)
            for (int i = 0; i < n; i++)
                for (int j = 0; j < n; j++) { /* (A v - w v)_ij */
                    cplx sum =
                        -get(out, v, (e * n + i) * n + j) * get(out, w, e * n + j);
                    for (int l = 0; l < n; l++)
                        sum += get(d, a, (e * n + i) * n + l) *
                            get(out, v, (e * n + l) * n + j);
                    worst = fmax(worst, cabs(sum));
                }
        CHECK_NOTE(worst < 200 * eps_of(d), "%g", worst);
        put(d, a, 2 * n * n, NAN);
        CHECK(gv_lapack_eig(d, n, batch, a, w, v, scratch) == GV_ERR_LINALG);
        CHECK(strstr(gv_fail_message(), "batch entry 2) contains NaN") != NULL);
        free(a);
        free(w);
        free(v);
        free(scratch);
    }
}

static void check_svd_qr(gv_dtype d, int64_t m, int64_t n, int64_t batch)
{
    int64_t r = m < n ? m : n, e = batch - 1;
    size_t item = gv_dtype_size(d);
    void *a = make(d, batch * m * n), *u = room(d, batch * m * r),
         *s = room(d, batch * r);
    void *vh = room(d, batch * r * n);
    size_t size = gv_lapack_svd_scratch(d, m, n, batch),
           other = gv_lapack_qr_scratch(d, m, n, batch);
    void *scratch = malloc((size > other ? size : other) + 64);
    char *ae = (char *)a + (size_t)(e * m * n) * item,
         *ue = (char *)u + (size_t)(e * m * r) * item;
    char *re = (char *)vh + (size_t)(e * r * n) * item;
    CHECK(gv_lapack_svd(d, m, n, batch, a, u, s, vh, scratch) == GV_OK);
    void *us = scaled(d, m, r, ue,
                      (char *)s + (size_t)(e * r) * gv_dtype_size(gv_dtype_real(d)));
    CHECK(residual(d, GV_PLAIN, GV_PLAIN, m, n, r, us, re, ae) < 200 * eps_of(d));
    CHECK(gv_lapack_qr(d, m, n, batch, a, u, vh, scratch) == GV_OK);
    CHECK(residual(d, GV_PLAIN, GV_PLAIN, m, n, r, ue, re, ae) < 200 * eps_of(d));
    void *eye = room(d, r * r);
    for (int64_t i = 0; i < r * r; i++) put(d, eye, i, i % (r + 1) == 0);
    CHECK(residual(d, GV_ADJOINT, GV_PLAIN, r, r, m, ue, ue, eye) < 100 * eps_of(d));
    free(a);
    free(u);
    free(s);
    free(vh);
    free(us);
    free(eye);
    free(scratch);
}

int main(void)
{
    srand(3);
    gv_simd best = gv_simd_level();
    for (gv_simd level = GV_SIMD_BASE; level <= best; level++) {
        gv_simd_set(level);
        test_products();
        test_cholesky();
        test_not_positive();
    }
    test_integers();
    test_solve();
    test_slogdet();
    test_eigh();
    test_eig();
    for (int t = 0; t < 4; t++) {
        check_svd_qr(types[t], 1, 1, 1);
        check_svd_qr(types[t], 7, 4, 3);
        check_svd_qr(types[t], 4, 7, 3);
        check_svd_qr(types[t], 40, 3, 2);
        check_svd_qr(types[t], 3, 40, 2);
    }
    CHECK(gv_blas_core()[0] != '\0' && gv_blas_config()[0] != '\0');
    return check_done("linalg");
}
