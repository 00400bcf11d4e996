/* Random numbers: published vectors of Philox4x32-10 (Random123's kat_vectors), the
 * layout of tiles, random access, equality between SIMD levels, moments. */
#include "base/cpu.h"
#include "kernels/random.h"
#include "tests/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void test_known_answers(void)
{
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } known[] = {
        { { 0, 0, 0, 0 },
          { 0, 0 },
          { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
          { 0xffffffff, 0xffffffff },
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
          { 0xa4093822, 0x299f31d0 },
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    for (int k = 0; k < 3; k++) {
        uint32_t out[4];
        gv_random_block(known[k].counter, known[k].key, out);
        CHECK(memcmp(out, known[k].out, sizeof out) == 0);
    }
}

static uint32_t word_of(const int64_t key[2], int64_t block, int word)
{
    uint64_t k = (uint64_t)key[0], s = (uint64_t)key[1], b = (uint64_t)block;
    uint32_t counter[] = { (uint32_t)b, (uint32_t)(b >> 32), (uint32_t)s,
                           (uint32_t)(s >> 32) };
    uint32_t out[4];
    gv_random_block(counter, (uint32_t[]){ (uint32_t)k, (uint32_t)(k >> 32) }, out);
    return out[word];
}

/* The layout that random.h states, and the maps to [0, 1). */
static void test_layout(void)
{
    const int64_t key[] = { 0x123456789abcdef, -77 };
    enum { n = 200 };
    int64_t first = ((int64_t)1 << 33) * 8 + 5; /* the block number needs both words */
    int32_t bits[n];
    int64_t wide[n];
    float u[n];
    double v[n];
    gv_random_fill(GV_RANDOM_BITS, GV_I32, key, first, n, bits);
    gv_random_fill(GV_RANDOM_BITS, GV_I64, key, first, n, wide);
    gv_random_fill(GV_RANDOM_UNIFORM, GV_F32, key, first, n, u);
    gv_random_fill(GV_RANDOM_UNIFORM, GV_F64, key, first, n, v);
    for (int i = 0; i < n; i++) {
        int64_t a = first + i, at = a % 32, at_wide = a % 16;
        uint32_t w =
            word_of(key, a / 32 * 8 + at % 16 / 2, (int)(2 * (at / 16) + at % 2));
        int64_t block = a / 16 * 8 + at_wide % 8;
        int half = 2 * (int)(at_wide / 8);
        uint64_t x =
            (uint64_t)word_of(key, block, half + 1) << 32 | word_of(key, block, half);
        CHECK((uint32_t)bits[i] == w);
        CHECK((uint64_t)wide[i] == x);
        CHECK(u[i] == (float)(w >> 8) / 16777216.0f);
        CHECK(v[i] == (double)(x >> 11) / 9007199254740992.0);
    }
}

static const struct {
    gv_random_kind kind;
    gv_dtype dtype;
} cases[] = { { GV_RANDOM_BITS, GV_I32 },    { GV_RANDOM_BITS, GV_I64 },
              { GV_RANDOM_UNIFORM, GV_F32 }, { GV_RANDOM_UNIFORM, GV_F64 },
              { GV_RANDOM_NORMAL, GV_F32 },  { GV_RANDOM_NORMAL, GV_F64 } };
enum { n_cases = 6 };

/* Any cut of the sequence gives the same bytes. */
static void test_access(void)
{
    const int64_t key[] = { 42, 7 };
    enum { n = 500 };
    for (int c = 0; c < n_cases; c++) {
        size_t size = gv_dtype_size(cases[c].dtype);
        CHECK(gv_random_offers(cases[c].kind, cases[c].dtype));
        char whole[n * 8], part[n * 8];
        gv_random_fill(cases[c].kind, cases[c].dtype, key, 0, n, whole);
        for (int from = 0; from < n; from += 37) {
            int take = n - from < 61 ? n - from : 61;
            gv_random_fill(cases[c].kind, cases[c].dtype, key, from, take, part);
            CHECK(memcmp(part, whole + (size_t)from * size, (size_t)take * size) == 0);
        }
    }
    CHECK(!gv_random_offers(GV_RANDOM_NORMAL, GV_I32));
    CHECK(!gv_random_offers(GV_RANDOM_BITS, GV_F64));
}

static void test_levels(gv_simd best)
{
    const int64_t key[] = { -3, 11 };
    enum { n = 4096 };
    char *a = malloc(n * 8), *b = malloc(n * 8);
    for (int c = 0; c < n_cases; c++)
        for (int level = 1; level <= (int)best; level++) {
            size_t size = gv_dtype_size(cases[c].dtype);
            gv_simd_set(GV_SIMD_BASE);
            gv_random_fill(cases[c].kind, cases[c].dtype, key, 0, n, a);
            gv_simd_set((gv_simd)level);
            gv_random_fill(cases[c].kind, cases[c].dtype, key, 0, n, b);
            if (cases[c].kind != GV_RANDOM_NORMAL) {
                CHECK(memcmp(a, b, n * size) == 0);
                continue;
            }
            double worst = 0; /* error of radius times trigonometric factor: 6 eps */
            for (int i = 0; i < n; i++)
                worst = fmax(worst,
                             cases[c].dtype == GV_F32
                                 ? fabs((double)((float *)a)[i] - ((float *)b)[i])
                                 : fabs(((double *)a)[i] - ((double *)b)[i]));
            CHECK_NOTE(worst < (cases[c].dtype == GV_F32 ? 3e-6 : 5e-15), "%g", worst);
        }
    free(a);
    free(b);
}

/* Box-Muller from the words, in long double. */
static void test_normal(void)
{
    const int64_t key[] = { 5, 6 };
    int64_t bits[16];
    double z[16];
    gv_random_fill(GV_RANDOM_BITS, GV_I64, key, 160, 16, bits);
    gv_random_fill(GV_RANDOM_NORMAL, GV_F64, key, 160, 16, z);
    for (int i = 0; i < 8; i++) {
        long double u = ((long double)((uint64_t)bits[i] >> 11) + 0.5L) / 0x1p53L;
        long double t = (long double)((uint64_t)bits[8 + i] >> 11) / 0x1p52L - 1;
        long double r = sqrtl(-2 * logl(u)), angle = acosl(-1) * t;
        CHECK(fabsl(z[i] - r * cosl(angle)) < 4e-15L);
        CHECK(fabsl(z[8 + i] - r * sinl(angle)) < 4e-15L);
    }
}

/* Sample moments of n numbers against 5 standard errors. */
static void check_moments(gv_random_kind kind, gv_dtype dtype)
{
    enum { n = 1 << 20 };
    const int64_t key[] = { 2026, 0 };
    void *x = malloc(n * 8);
    double sum = 0, square = 0, fourth = 0, next = 0, before = 0, low = 9, high = -9;
    gv_random_fill(kind, dtype, key, 0, n, x);
    double shift = kind == GV_RANDOM_UNIFORM ? 0.5 : 0;
    for (int i = 0; i < n; i++) {
        double raw = dtype == GV_F32 ? (double)((float *)x)[i] : ((double *)x)[i];
        double v = raw - shift;
        low = fmin(low, raw);
        high = fmax(high, raw);
        sum += v;
        square += v * v;
        fourth += v * v * v * v;
        next += v * before;
        before = v;
    }
    double m = n, s = kind == GV_RANDOM_UNIFORM ? 1.0 / 12 : 1;
    double k4 = kind == GV_RANDOM_UNIFORM ? 1.0 / 80 : 3;
    double k8 = kind == GV_RANDOM_UNIFORM ? 1.0 / 2304 : 105;
    CHECK(fabs(sum / m) < 5 * sqrt(s / m));
    CHECK(fabs(square / m - s) < 5 * sqrt((k4 - s * s) / m));
    CHECK(fabs(fourth / m - k4) < 5 * sqrt((k8 - k4 * k4) / m));
    CHECK(fabs(next / m) < 5 * s / sqrt(m));
    if (kind == GV_RANDOM_UNIFORM)
        CHECK(low >= 0 && low < 1e-4 && high < 1 && high > 0.9999);
    else
        CHECK(low < -4 && low > -7 && high > 4 && high < 7);
    free(x);
}

static void test_fold_in(void)
{
    const int64_t key[] = { 1, 2 };
    int64_t out[4000][2], same[2];
    bool differ = true;
    for (int i = 0; i < 4000; i++) gv_random_fold_in(key, i % 4, i / 4 - 500, out[i]);
    for (int i = 0; i < 4000; i++)
        for (int j = 0; j < i; j++) differ &= out[i][0] != out[j][0];
    CHECK(differ);
    memcpy(same, key, sizeof same);
    gv_random_fold_in(same, 1, 3, same); /* in place */
    CHECK(same[0] == out[(3 + 500) * 4 + 1][0] && same[1] == out[(3 + 500) * 4 + 1][1]);
}

int main(void)
{
    gv_simd best = gv_simd_level();
    test_known_answers();
    for (int level = 0; level <= (int)best; level++) {
        gv_simd_set((gv_simd)level);
        test_layout();
        test_access();
        test_normal();
        check_moments(GV_RANDOM_UNIFORM, GV_F32);
        check_moments(GV_RANDOM_UNIFORM, GV_F64);
        check_moments(GV_RANDOM_NORMAL, GV_F32);
        check_moments(GV_RANDOM_NORMAL, GV_F64);
    }
    test_levels(best);
    test_fold_in();
    return check_done("test_random");
}
