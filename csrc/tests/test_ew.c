/* Element-wise kernels at every SIMD level, in both precisions: errors in ulp against
 * the C library's long double, special values, tails, alignment, aliasing, integers. */
#include "base/cpu.h"
#include "kernels/ew.h"
#include "tests/check.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { most = 4000 };

static uint64_t state = 88172645463325252u;
static double uniform(double low, double high)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return low + (high - low) * ((double)(state >> 11) * 0x1p-53);
}
/* Magnitudes between low and high, evenly in the logarithm, both signs if low < 0 */
static double spread(double low, double high)
{
    double x = exp(uniform(log(fabs(low)), log(high)));
    return low < 0 && uniform(0, 1) < 0.5 ? -x : x;
}

typedef long double real;
typedef real (*oracle1)(real);
typedef real (*oracle2)(real, real);

static real sigmoid_of(real x) { return 1 / (1 + expl(-x)); }
static real softplus_of(real x) { return fmaxl(x, 0) + log1pl(expl(-fabsl(x))); }
static real logaddexp_of(real a, real b)
{
    return a == b ? a + logl(2) : fmaxl(a, b) + log1pl(expl(-fabsl(a - b)));
}
static real logaddexp2_of(real a, real b)
{
    return fmaxl(a, b) + log1pl(exp2l(-fabsl(a - b))) / logl(2);
}
static real half_root(void) { return sqrtl(0.5L); }
static real log_ndtr_of(real x)
{
    if (x > 0) return log1pl(-0.5L * erfcl(x * half_root()));
    return logl(0.5L * erfcl(-x * half_root()));
}
static real erfcx_of(real x)
{
    if (x < 25) return expl(x * x) * erfcl(x);
    real z = 0.5L / (x * x), y = x * sqrtl(acosl(-1)); /* asymptotic series */
    return (1 - z * (1 - 3 * z * (1 - 5 * z * (1 - 7 * z)))) / y;
}

/* --- accuracy --- */
/* Largest errors allowed, in ulp of float and double; range and kind of the arguments:
 * 'u' uniform, 'l' logarithmic; what float cannot hold becomes infinite or zero. */
static const struct {
    const char *name;
    gv_ew_code code;
    oracle1 oracle;
    char kind;
    double low, high;
    double limit_s, limit_d;
} one[] = {
    { "exp", GV_EW_EXP, expl, 'u', -1, 1, 1.5, 1.5 },
    { "exp", GV_EW_EXP, expl, 'u', -87, 88, 1.5, 1.5 },
    { "exp", GV_EW_EXP, expl, 'u', -745, 709, 1.5, 1.5 },
    { "exp2", GV_EW_EXP2, exp2l, 'u', -126, 127, 1.5, 2 },
    { "exp2", GV_EW_EXP2, exp2l, 'u', -1074, 1023, 1.5, 2 },
    { "expm1", GV_EW_EXPM1, expm1l, 'u', -2, 2, 2, 3 },
    { "expm1", GV_EW_EXPM1, expm1l, 'l', -1e-30, 80, 2, 3 },
    { "log", GV_EW_LOG, logl, 'u', 0.5, 2, 1.2, 1.2 },
    { "log", GV_EW_LOG, logl, 'l', 1e-37, 1e38, 1.2, 1.2 },
    { "log", GV_EW_LOG, logl, 'l', 1e-320, 1e308, 1.2, 1.2 },
    { "log2", GV_EW_LOG2, log2l, 'l', 1e-37, 1e38, 2, 2 },
    { "log10", GV_EW_LOG10, log10l, 'l', 1e-37, 1e38, 2, 2 },
    { "log1p", GV_EW_LOG1P, log1pl, 'u', -0.99, 3, 2, 2 },
    { "log1p", GV_EW_LOG1P, log1pl, 'l', 1e-37, 1e38, 2, 2 },
    { "sin", GV_EW_SIN, sinl, 'u', -100, 100, 2.5, 2 },
    { "sin", GV_EW_SIN, sinl, 'u', -11000, 11000, 2.5, 2 },
    { "sin", GV_EW_SIN, sinl, 'l', -1e-20, 1e18, 2.5, 2 },
    { "cos", GV_EW_COS, cosl, 'u', -100, 100, 2.5, 2 },
    { "cos", GV_EW_COS, cosl, 'u', -11000, 11000, 2.5, 2 },
    { "cos", GV_EW_COS, cosl, 'l', -1e-20, 1e18, 2.5, 2 },
    { "tan", GV_EW_TAN, tanl, 'u', -100, 100, 3.5, 3 },
    { "tan", GV_EW_TAN, tanl, 'l', -1e-20, 1e18, 3.5, 3 },
    { "arcsin", GV_EW_ARCSIN, asinl, 'u', -1, 1, 2.5, 2.5 },
    { "arccos", GV_EW_ARCCOS, acosl, 'u', -1, 1, 1.5, 1.5 },
    { "arctan", GV_EW_ARCTAN, atanl, 'u', -5, 5, 2.5, 2.5 },
    { "arctan", GV_EW_ARCTAN, atanl, 'l', -1e-20, 1e30, 2.5, 2.5 },
    { "sinh", GV_EW_SINH, sinhl, 'u', -3, 3, 3, 3 },
    { "sinh", GV_EW_SINH, sinhl, 'u', -709, 709, 3, 3 },
    { "cosh", GV_EW_COSH, coshl, 'u', -709, 709, 3, 3 },
    { "tanh", GV_EW_TANH, tanhl, 'u', -3, 3, 3, 3 },
    { "tanh", GV_EW_TANH, tanhl, 'l', -1e-30, 50, 3, 3 },
    { "arcsinh", GV_EW_ARCSINH, asinhl, 'l', -1e-20, 1e37, 2.5, 2.5 },
    { "arccosh", GV_EW_ARCCOSH, acoshl, 'u', 1, 3, 2.5, 2.5 },
    { "arccosh", GV_EW_ARCCOSH, acoshl, 'l', 1, 1e37, 2.5, 2.5 },
    { "arctanh", GV_EW_ARCTANH, atanhl, 'u', -1, 1, 2.5, 2.5 },
    { "sqrt", GV_EW_SQRT, sqrtl, 'l', 1e-37, 1e38, 0.501, 0.501 },
    { "sigmoid", GV_EW_SIGMOID, sigmoid_of, 'u', -87, 88, 3, 3 },
    { "softplus", GV_EW_SOFTPLUS, softplus_of, 'u', -87, 88, 2.5, 2.5 },
    { "erf", GV_EW_ERF, erfl, 'u', -5, 5, 1.5, 1.5 },
    { "erf", GV_EW_ERF, erfl, 'l', -1e-30, 3, 1.5, 1.5 },
    { "erfc", GV_EW_ERFC, erfcl, 'u', -5, 9, 0.6, 5 },
    { "erfc", GV_EW_ERFC, erfcl, 'u', 0, 26, 0.6, 5 },
    { "erfcx", GV_EW_ERFCX, erfcx_of, 'u', -5, 20, 0.6, 5 },
    { "erfcx", GV_EW_ERFCX, erfcx_of, 'l', 100, 1e6, 0.6, 5 },
    { "log_ndtr", GV_EW_LOG_NDTR, log_ndtr_of, 'u', -12, 8, 0.6, 6 },
    { "gammaln", GV_EW_GAMMALN, lgammal, 'u', 0.01, 3, 0.6, 9 },
    { "gammaln", GV_EW_GAMMALN, lgammal, 'l', 2.5, 1e6, 0.6, 6 },
};

static const struct {
    const char *name;
    gv_ew_code code;
    oracle2 oracle;
    char kind;
    double low_a, high_a, low_b, high_b;
    double limit_s, limit_d;
} two[] = {
    { "pow", GV_EW_POW, powl, 'u', 0.01, 100, -18, 18, 0.6, 1.5 },
    { "pow", GV_EW_POW, powl, 'u', 0.9, 1.1, -500, 500, 0.6, 1.5 },
    { "arctan2", GV_EW_ARCTAN2, atan2l, 'u', -1, 1, -1, 1, 2.5, 2.5 },
    { "arctan2", GV_EW_ARCTAN2, atan2l, 'l', -1e-15, 1e15, -1e-15, 1e15, 2.5, 2.5 },
    { "hypot", GV_EW_HYPOT, hypotl, 'l', -1e-30, 1e37, -1e-30, 1e37, 1.5, 1.5 },
    { "logaddexp", GV_EW_LOGADDEXP, logaddexp_of, 'u', 0, 80, 0, 80, 2.5, 2.5 },
    { "logaddexp2", GV_EW_LOGADDEXP2, logaddexp2_of, 'u', 0, 80, 0, 80, 2.5, 2.5 },
};

/* |got - want| in units of the last place of want */
static double ulps(double got, real want, bool single)
{
    int digits = single ? FLT_MANT_DIG : DBL_MANT_DIG, exponent;
    int least = single ? FLT_MIN_EXP : DBL_MIN_EXP;
    (void)frexpl(want, &exponent);
    if (exponent < least) exponent = least;
    double top = single ? (double)FLT_MAX : DBL_MAX;
    if (isinf(got))
        return fabsl(want) > 0.999L * top && (got > 0) == (want > 0) ? 0 : 1e30;
    return (double)fabsl(ldexpl((real)got - want, digits - exponent));
}

static double get(const void *x, int i, bool single)
{
    return single ? (double)((const float *)x)[i] : ((const double *)x)[i];
}
static void put(void *x, int i, double v, bool single)
{
    if (single)
        ((float *)x)[i] = (float)v;
    else
        ((double *)x)[i] = v;
}
static double draw(char kind, double low, double high)
{
    return kind == 'u' ? uniform(low, high) : spread(low, high);
}

static void test_accuracy(bool single)
{
    static double a[most], b[most], r[most];
    gv_dtype d = single ? GV_F32 : GV_F64;
    double slack = LDBL_MANT_DIG > DBL_MANT_DIG ? 0 : 1;
    for (size_t k = 0; k < sizeof one / sizeof *one; k++) {
        double worst = 0, where = 0;
        for (int i = 0; i < most; i++)
            put(a, i, draw(one[k].kind, one[k].low, one[k].high), single);
        gv_ew_get(one[k].code, d, d)(most, (const void *[]){ a }, r);
        for (int i = 0; i < most; i++) {
            double x = get(a, i, single), got = get(r, i, single);
            real want = one[k].oracle(x);
            double e = isnan(want) != isnan(got) ? 1e30
                : isnan(got)                     ? 0
                                                 : ulps(got, want, single);
            if (isinf(want)) e = (real)got == want ? 0 : 1e30;
            if (e > worst) worst = e, where = x;
        }
        CHECK_NOTE(worst <= (single ? one[k].limit_s : one[k].limit_d) + slack,
                   "%s %s %s: %.2f ulp at %.17g", gv_simd_name(gv_simd_level()),
                   one[k].name, gv_dtype_name(d), worst, where);
    }
    for (size_t k = 0; k < sizeof two / sizeof *two; k++) {
        double worst = 0;
        for (int i = 0; i < most; i++) {
            put(a, i, draw(two[k].kind, two[k].low_a, two[k].high_a), single);
            put(b, i, draw(two[k].kind, two[k].low_b, two[k].high_b), single);
        }
        gv_ew_get(two[k].code, d, d)(most, (const void *[]){ a, b }, r);
        for (int i = 0; i < most; i++) {
            real want = two[k].oracle(get(a, i, single), get(b, i, single));
            worst = fmax(worst, ulps(get(r, i, single), want, single));
        }
        CHECK_NOTE(worst <= (single ? two[k].limit_s : two[k].limit_d) + slack,
                   "%s %s %s: %.2f ulp", gv_simd_name(gv_simd_level()), two[k].name,
                   gv_dtype_name(d), worst);
    }
}

/* --- values known exactly or by identities --- */
static double value_of(gv_ew_code code, gv_dtype d, double x)
{
    double in, out;
    put(&in, 0, x, d == GV_F32);
    gv_ew_get(code, d, d)(1, (const void *[]){ &in }, &out);
    return get(&out, 0, d == GV_F32);
}

static void test_known(gv_dtype d)
{
    double eps = d == GV_F32 ? (double)FLT_EPSILON : DBL_EPSILON;
    double pi = acos(-1), gamma = 0.57721566490153286061;
    CHECK(fabs(value_of(GV_EW_DIGAMMA, d, 1) + gamma) < 4 * eps);
    CHECK(fabs(value_of(GV_EW_DIGAMMA, d, 0.5) + gamma + 2 * log(2)) < 8 * eps);
    CHECK(fabs(value_of(GV_EW_DIGAMMA, d, 0.25) + gamma + pi / 2 + 3 * log(2)) <
          16 * eps);
    CHECK(fabs(value_of(GV_EW_DIGAMMA, d, -0.5) - 0.03648997397857652056) < 8 * eps);
    CHECK(fabs(value_of(GV_EW_NDTRI, d, 0.5)) == 0);
    CHECK(isinf(value_of(GV_EW_NDTRI, d, 0)) && isnan(value_of(GV_EW_NDTRI, d, -0.1)));
    for (int i = 0; i < 500; i++) {
        double x = spread(0.01, 1e4), p = uniform(0, 1);
        if (d == GV_F32) x = (float)x, p = (float)p;
        double step = value_of(GV_EW_DIGAMMA, d, x + 1) - value_of(GV_EW_DIGAMMA, d, x);
        double size = 1 / x + 2 * fabs(log(x)) + 2;
        if (d == GV_F64 || (float)(x + 1) == (float)x + 1)
            CHECK_NOTE(fabs(step - 1 / x) < 8 * eps * size, "x = %.17g", x);
        /* p = Phi(z): error of z times density */
        double z = value_of(GV_EW_NDTRI, d, p);
        real back = 0.5L * erfcl(-(real)z * half_root());
        double density = exp(-z * z / 2) / sqrt(2 * pi);
        CHECK_NOTE(fabsl(back - p) < 6 * eps * (fabs(z) * density + p * 0.2),
                   "p = %.17g", p);
    }
    float in[] = { 1, 2, 0.5f }, out[3];
    double wide[] = { 1, 2, 0.5 }, got[3];
    for (int order = 0; order < 4; order++) {
        static const double want[][3] = {
            { -0.57721566490153286061, 0.42278433509846713939,
              -1.96351002602142347944 },
            { 1.64493406684822643647, 0.64493406684822643647, 4.93480220054467930942 },
            { -2.40411380631918857080, -0.40411380631918857080,
              -16.8287966442343199956 },
            { 6.49393940226682914910, 0.49393940226682914910, 97.4090910340024372365 },
        };
        gv_ew_polygamma(order, GV_F64, 3, wide, got);
        gv_ew_polygamma(order, GV_F32, 3, in, out);
        for (int i = 0; i < 3; i++) {
            CHECK(fabs(got[i] - want[order][i]) <
                  1e-14 * fmax(1, fabs(want[order][i])));
            CHECK(fabs((double)out[i] - want[order][i]) < 2e-7 * fabs(want[order][i]));
        }
    }
}

typedef double (*scalar1)(double);
typedef double (*scalar2)(double, double);
static bool alike(double x, double y) /* same class and sign, and equal if not finite */
{
    if (isnan(x) || isnan(y)) return isnan(x) && isnan(y);
    return signbit(x) == signbit(y) && isinf(x) == isinf(y) && (x == 0) == (y == 0);
}

/* Infinities, NaN, zeros: same class and sign of result as the C library. */
static void test_special(gv_dtype d)
{
    static const struct {
        gv_ew_code code;
        scalar1 f;
    } unary[] = {
        { GV_EW_EXP, exp },        { GV_EW_EXP2, exp2 },     { GV_EW_EXPM1, expm1 },
        { GV_EW_LOG, log },        { GV_EW_LOG2, log2 },     { GV_EW_LOG10, log10 },
        { GV_EW_LOG1P, log1p },    { GV_EW_SIN, sin },       { GV_EW_COS, cos },
        { GV_EW_TAN, tan },        { GV_EW_ARCSIN, asin },   { GV_EW_ARCCOS, acos },
        { GV_EW_ARCTAN, atan },    { GV_EW_SINH, sinh },     { GV_EW_COSH, cosh },
        { GV_EW_TANH, tanh },      { GV_EW_ARCSINH, asinh }, { GV_EW_ARCCOSH, acosh },
        { GV_EW_ARCTANH, atanh },  { GV_EW_ERF, erf },       { GV_EW_ERFC, erfc },
        { GV_EW_GAMMALN, lgamma }, { GV_EW_FLOOR, floor },   { GV_EW_CEIL, ceil },
        { GV_EW_TRUNC, trunc },    { GV_EW_RINT, rint },     { GV_EW_SQRT, sqrt },
        { GV_EW_ABS, fabs }
    };
    static const struct {
        gv_ew_code code;
        scalar2 f;
    } binary[] = { { GV_EW_POW, pow },
                   { GV_EW_ARCTAN2, atan2 },
                   { GV_EW_HYPOT, hypot },
                   { GV_EW_FMAX, fmax },
                   { GV_EW_FMIN, fmin } };
    static const double points[] = { 0.0, -0.0, 1,   -1,   0.5,  -0.5,  2,     -2,
                                     3,   -3,   100, -100, 1e30, -1e30, 1e-30, -1e-30 };
    enum { n_points = 16, n = n_points + 3 };
    double x[n];
    memcpy(x, points, sizeof points);
    x[n_points] = INFINITY;
    x[n_points + 1] = -INFINITY;
    x[n_points + 2] = NAN;
    for (size_t k = 0; k < sizeof unary / sizeof *unary; k++)
        for (int i = 0; i < n; i++) {
            double want = unary[k].f(d == GV_F32 ? (double)(float)x[i] : x[i]);
            double got = value_of(unary[k].code, d, x[i]);
            if (d == GV_F32 && fabs(want) < 1e-44) continue; /* rounds to zero */
            if (d == GV_F32 && fabs(want) > 3.5e38 && !isinf(want))
                want = want > 0 ? INFINITY : -INFINITY;
            CHECK_NOTE(alike(got, want), "code %d %s x %g: %g, not %g",
                       (int)unary[k].code, gv_dtype_name(d), x[i], got, want);
        }
    for (size_t k = 0; k < sizeof binary / sizeof *binary; k++)
        for (int i = 0; i < n * n; i++) {
            double a = x[i / n], b = x[i % n], in[2], got;
            put(&in[0], 0, a, d == GV_F32);
            put(&in[1], 0, b, d == GV_F32);
            gv_ew_get(binary[k].code, d, d)(1, (const void *[]){ &in[0], &in[1] },
                                            &got);
            double want =
                binary[k].f(get(&in[0], 0, d == GV_F32), get(&in[1], 0, d == GV_F32));
            got = get(&got, 0, d == GV_F32);
            if (d == GV_F32) want = (float)want;
            if (a == b || (a == 0 && b == 0))
                continue; /* sign of zero is free in fmax */
            CHECK_NOTE(alike(got, want), "code %d %s (%g, %g): %g, not %g",
                       (int)binary[k].code, gv_dtype_name(d), a, b, got, want);
        }
}

/* --- any length, alignment and aliasing: the same bits --- */
static void fill(gv_dtype d, unsigned char *p, int n)
{
    size_t size = gv_dtype_size(d);
    for (int i = 0; i < n; i++) {
        double v = uniform(0.1, 0.9), w = uniform(0.1, 0.9);
        int64_t whole = (int64_t)uniform(1, 9);
        int32_t narrow = (int32_t)whole;
        float fv[] = { (float)v, (float)w };
        double dv[] = { v, w };
        const void *from = d == GV_BOOL  ? (const void *)"\1"
            : d == GV_I32 || d == GV_Q32 ? (const void *)&narrow
            : d == GV_I64 || d == GV_Q64 ? (const void *)&whole
            : size == 4 || d == GV_C64   ? (const void *)fv
                                         : (const void *)dv;
        memcpy(p + (size_t)i * size, from, size);
        if (d == GV_BOOL) p[i] = v > 0.5;
    }
}

static size_t out_size(gv_ew_code code, gv_dtype d)
{
    switch (gv_ew_result_of(code)) {
    case GV_EW_R_BOOL: return 1;
    case GV_EW_R_REAL: return gv_dtype_size(gv_dtype_real(d));
    case GV_EW_R_COMPLEX: return gv_dtype_size(gv_dtype_complex(d));
    default: return gv_dtype_size(d);
    }
}

static void test_shapes(gv_ew_code code, gv_dtype d)
{
    enum { n = 150, room = (n + 2) * 16 };
    static unsigned char in[3][room + 64], whole[room], part[room + 64];
    gv_ew_kernel kernel = gv_ew_get(code, d, d);
    int nin = gv_ew_nin(code);
    size_t size = gv_dtype_size(d), osize = out_size(code, d);
    CHECK_NOTE(kernel != NULL, "code %d %s", (int)code, gv_dtype_name(d));
    if (kernel == NULL) return;
    const void *from[3];
    for (int k = 0; k < nin; k++) {
        bool condition = code == GV_EW_WHERE && k == 0;
        fill(condition ? GV_BOOL : d, in[k], n);
        from[k] = in[k];
    }
    kernel(n, from, whole);
    bool same = true;
    for (int m = 0; m <= 70; m++) { /* every length, from an odd place */
        int skip = m % 7;
        const void *shifted[3];
        for (int k = 0; k < nin; k++)
            shifted[k] =
                in[k] + (size_t)skip * (code == GV_EW_WHERE && k == 0 ? 1 : size);
        unsigned char *out = part + osize;
        memset(part, 0xee, sizeof part);
        kernel(m, shifted, out);
        same &= memcmp(out, whole + (size_t)skip * osize, (size_t)m * osize) == 0;
        for (size_t i = 0; i < osize; i++)
            same &= part[i] == 0xee && out[(size_t)m * osize + i] == 0xee;
    }
    CHECK_NOTE(same, "code %d %s: lengths", (int)code, gv_dtype_name(d));
    for (int k = 0; k < nin && osize == size; k++) { /* the output is input k */
        if (code == GV_EW_WHERE && k == 0) continue;
        memcpy(part, in[k], n * size);
        from[k] = part;
        kernel(n, from, part);
        CHECK_NOTE(memcmp(part, whole, n * size) == 0, "code %d %s: in place",
                   (int)code, gv_dtype_name(d));
        from[k] = in[k];
    }
}

/* --- integers, comparisons, casts --- */
static void test_integers(void)
{
    int64_t a[] = { 7, -7, 7, -7, INT64_MIN, 5, 0, INT64_MAX, 3 };
    int64_t b[] = { 3, 3, -3, -3, -1, 0, 5, 2, -2 }, r[9];
    const void *in[] = { a, b };
    static const int64_t mod[] = { 1, 2, -2, -1, 0, 0, 0, 1, -1 };
    static const int64_t quotient[] = {
        2, -3, -3, 2, INT64_MIN, 0, 0, INT64_MAX / 2, -2
    };
    gv_ew_get(GV_EW_MOD, GV_I64, GV_I64)(9, in, r);
    CHECK(memcmp(r, mod, sizeof r) == 0);
    gv_ew_get(GV_EW_FLOOR_DIVIDE, GV_I64, GV_I64)(9, in, r);
    CHECK(memcmp(r, quotient, sizeof r) == 0);
    int32_t base[] = { 2, -3, 1, -1, -1, 5, 0 }, power[] = { 10, 3, -4, -3, -4, -1, 0 };
    static const int32_t want[] = { 1024, -27, 1, -1, 1, 0, 1 };
    int32_t p[7];
    gv_ew_get(GV_EW_POW, GV_I32, GV_I32)(7, (const void *[]){ base, power }, p);
    CHECK(memcmp(p, want, sizeof p) == 0);
    int64_t big[] = { INT64_MAX, INT64_MIN };
    gv_ew_get(GV_EW_ADD, GV_Q64,
              GV_Q64)(2, (const void *[]){ big, (int64_t[]){ 1, -1 } }, r);
    CHECK(r[0] == INT64_MIN && r[1] == INT64_MAX); /* wraps around */
}

static void test_casts(void)
{
    double x[] = { 0, -0.0, 1.75, -2.5, 1e9, NAN };
    double z[] = { 1.5, 2, 0, 3, 0, 0 };
    unsigned char t[6];
    int32_t i[5];
    float f[12];
    gv_ew_get(GV_EW_CAST, GV_F64, GV_BOOL)(6, (const void *[]){ x }, t);
    CHECK(!t[0] && !t[1] && t[2] == 1 && t[3] == 1 && t[5] == 1);
    gv_ew_get(GV_EW_CAST, GV_F64, GV_I32)(5, (const void *[]){ x }, i);
    CHECK(i[0] == 0 && i[2] == 1 && i[3] == -2 && i[4] == 1000000000);
    gv_ew_get(GV_EW_CAST, GV_F64, GV_C64)(6, (const void *[]){ x }, f);
    CHECK(f[4] == 1.75f && f[5] == 0 && isnan(f[10]));
    gv_ew_get(GV_EW_CAST, GV_C128, GV_F32)(3, (const void *[]){ z }, f);
    CHECK(f[0] == 1.5f && f[1] == 0 && f[2] == 0);
    gv_ew_get(GV_EW_CAST, GV_C128, GV_BOOL)(3, (const void *[]){ z }, t);
    CHECK(t[0] == 1 && t[1] == 1 && t[2] == 0);
    CHECK(gv_ew_get(GV_EW_CAST, GV_Q32, GV_F32) == NULL);
    CHECK(gv_ew_get(GV_EW_SIN, GV_I64, GV_I64) == NULL);
}

/* Valgrind computes long double in double: no oracle for float64 then. */
static bool oracle_is_wider(void)
{
    volatile real one_ = 1, tiny = 0x1p-60L;
    volatile real sum = one_ + tiny;
    return LDBL_MANT_DIG <= DBL_MANT_DIG || sum - one_ != 0;
}

int main(void)
{
    gv_simd best = gv_simd_level();
    bool judge_double = oracle_is_wider();
    if (!judge_double)
        printf("test_ew: long double is emulated, float64 ulps skipped\n");
    for (int level = 0; level <= (int)best; level++) {
        gv_simd_set((gv_simd)level);
        test_accuracy(true);
        if (judge_double) test_accuracy(false);
        test_known(GV_F32);
        test_known(GV_F64);
        test_special(GV_F32);
        test_special(GV_F64);
        test_integers();
        test_casts();
        for (int code = 0; code < GV_EW_N; code++)
            for (int d = 0; d < GV_N_DTYPE; d++)
                if (gv_ew_takes((gv_ew_code)code, (gv_dtype)d))
                    test_shapes((gv_ew_code)code, (gv_dtype)d);
    }
    return check_done("test_ew");
}
