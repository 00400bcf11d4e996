/* Derivatives of the digamma function, any order.
 *
 *   psi_n(x) = (-1)^(n+1) [ sum_{k<K} n!/(x+k)^(n+1) + tail(x + K) ]
 *   tail(y)  = (n-1)!/y^n + n!/(2 y^(n+1)) + sum_j B_2j (2j+n-1)!/((2j)! y^(2j+n))
 *
 * with K such that y >= 10 + n (Abramowitz & Stegun 6.4.6 and 6.4.11); n = 0 has
 * -log y in place of (n-1)!/y^n. Relative error some 1e-15 for x > 0 (for n = 0
 * relative to the larger of |psi| and 1). Negative x use the same recurrence down to
 * -10000 and are NaN below. */
#include <math.h>

#include "kernels/ew.h"

/* B_2j / (2j)! */
static const double bernoulli[] = {
    8.33333333333333333e-02,  -1.38888888888888889e-03, 3.30687830687830688e-05,
    -8.26719576719576720e-07, 2.08767569878680990e-08,  -5.28419013868749318e-10,
    1.33825365306846788e-11,  -3.38968029632258287e-13, 8.58606205627784456e-15,
    -2.17486869855806187e-16, 5.50900282836022952e-18,  -1.39544646858125233e-19,
};

static double power(double y, int n)
{
    double result = 1;
    for (; n > 0; n >>= 1, y *= y)
        if (n & 1) result *= y;
    return result;
}

static double polygamma(int n, double x)
{
    if (isnan(x) || x < -1e4) return NAN;
    if (isinf(x)) return n == 0 ? x : 0;
    double head = 0, factorial = 1; /* (n-1)!, 1 for n = 0 */
    for (int k = 2; k < n; k++) factorial *= k;
    double top = n > 0 ? factorial * n : 1; /* n! */
    double y = x;
    if (x <= 0 && x == floor(x)) return n % 2 ? INFINITY : NAN;
    for (; y < 10 + n; y += 1) head += 1 / power(y, n + 1);
    double z = 1 / (y * y), scale = power(1 / y, n);
    double term = top * scale * z * (n + 1), tail = 0; /* (n+1)!/y^(n+2) */
    for (int j = 1; j <= 12; j++) {
        tail += bernoulli[j - 1] * term;
        term *= z * (2 * j + n) * (2 * j + n + 1);
    }
    tail += 0.5 * top * scale / y + (n == 0 ? -log(y) : factorial * scale);
    double sum = head * top + tail;
    return n % 2 ? sum : -sum;
}

void gv_ew_polygamma(int order, gv_dtype dtype, int64_t n, const void *x, void *out)
{
    if (dtype == GV_F32) {
        const float *a = x;
        float *r = out;
        for (int64_t i = 0; i < n; i++) r[i] = (float)polygamma(order, a[i]);
    } else {
        const double *a = x;
        double *r = out;
        for (int64_t i = 0; i < n; i++) r[i] = polygamma(order, a[i]);
    }
}
