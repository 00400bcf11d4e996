/* Data movement against plain index loops, at one and two threads. */
#include "base/parallel.h"
#include "kernels/move.h"
#include "tests/check.h"

#include <stdlib.h>
#include <string.h>

static unsigned char *bytes_upto(size_t n)
{
    unsigned char *p = malloc(n + 1);
    for (size_t i = 0; i < n; i++) p[i] = (unsigned char)(i * 37 + i / 251);
    return p;
}

/* dst[index] = src[index] element by element, last axis fastest. */
static void copy_plain(size_t item, int ndim, const int64_t *dim, const char *src,
                       const int64_t *ss, char *dst, const int64_t *ds)
{
    int64_t total = 1;
    for (int k = 0; k < ndim; k++) total *= dim[k];
    for (int64_t n = 0; n < total; n++) {
        int64_t rest = n, s = 0, d = 0;
        for (int k = ndim - 1; k >= 0; k--) {
            s += rest % dim[k] * ss[k];
            d += rest % dim[k] * ds[k];
            rest /= dim[k];
        }
        memcpy(dst + d, src + s, item);
    }
}

/* A permuted, reversed or broadcast copy of a random shape. */
static void test_copies(void)
{
    static const size_t items[] = { 1, 4, 8, 16 };
    srand(1);
    for (int round = 0; round < 400; round++) {
        size_t item = items[round % 4];
        int ndim = rand() % 5, perm[5];
        int64_t dim[5], from[5], ss[5], ds[5], origin = 0, size = (int64_t)item;
        for (int k = 0; k < ndim; k++) {
            dim[k] = round % 50 == 0 ? 1 + rand() % 30 : rand() % 9;
            perm[k] = k;
        }
        for (int k = ndim - 1; k > 0; k--) {
            int other = rand() % (k + 1), held = perm[k];
            perm[k] = perm[other];
            perm[other] = held;
        }
        for (int k = ndim - 1; k >= 0; k--) { /* source axes in permuted order */
            from[perm[k]] = size;
            size *= dim[perm[k]] > 0 ? dim[perm[k]] : 1;
        }
        int64_t bytes = (int64_t)item;
        for (int k = ndim - 1; k >= 0; k--) {
            int kind = rand() % 6;
            ss[k] = kind == 0 ? 0 : from[k];
            if (kind == 1 && dim[k] > 0) {
                origin += (dim[k] - 1) * from[k];
                ss[k] = -from[k];
            }
            ds[k] = bytes;
            bytes *= dim[k];
        }
        unsigned char *src = bytes_upto((size_t)size);
        char *one = calloc((size_t)bytes + 1, 1), *two = calloc((size_t)bytes + 1, 1);
        copy_plain(item, ndim, dim, (char *)src + origin, ss, one, ds);
        gv_move_copy(item, ndim, dim, src + origin, ss, two, ds);
        CHECK_NOTE(memcmp(one, two, (size_t)bytes) == 0, "round %d", round);
        free(src);
        free(one);
        free(two);
    }
}

static void test_large_transposes(void)
{
    static const int64_t shapes[][2] = {
        { 1000, 777 }, { 3, 50000 }, { 50000, 3 }, { 512, 512 }
    };
    for (size_t s = 0; s < 4; s++)
        for (size_t item = 1; item <= 16; item *= 2) {
            int64_t m = shapes[s][0], n = shapes[s][1], it = (int64_t)item;
            int64_t dim[2] = { n, m }, ss[2] = { it, n * it }, ds[2] = { m * it, it };
            size_t bytes = (size_t)(m * n) * item;
            unsigned char *x = bytes_upto(bytes), *y = malloc(bytes),
                          *z = malloc(bytes);
            gv_threads_set(1);
            gv_move_copy(item, 2, dim, x, ss, y, ds);
            gv_threads_set(2);
            gv_move_copy(item, 2, dim, x, ss, z, ds);
            CHECK(memcmp(y, z, bytes) == 0);
            bool good = true;
            for (int64_t i = 0; i < n; i += 7)
                for (int64_t j = 0; j < m; j++)
                    good &= memcmp(y + (size_t)(i * m + j) * item,
                                   x + (size_t)(j * n + i) * item, item) == 0;
            CHECK_NOTE(good, "%lld x %lld items of %zu", (long long)m, (long long)n,
                       item);
            free(x);
            free(y);
            free(z);
        }
}

static void test_gather(void)
{
    enum { batch = 3, n = 50, k = 2000, m = 7 };
    double *x = malloc(sizeof(double) * batch * n * m),
           *sum = malloc(sizeof *x * batch * n * m);
    double *y = malloc(sizeof *x * batch * k * m),
           *one = malloc(sizeof *x * batch * n * m);
    int64_t *index = malloc(sizeof *index * batch * k);
    for (int i = 0; i < batch * n * m; i++) x[i] = i * 0.25;
    for (int i = 0; i < batch * k; i++) index[i] = (int64_t)i * 31 % n;
    gv_move_take(batch, n, k, m * sizeof *x, x, index, y);
    bool good = true;
    for (int i = 0; i < batch * k; i++)
        for (int j = 0; j < m; j++)
            good &= y[i * m + j] == x[(i / k * n + index[i]) * m + j];
    CHECK(good);
    memcpy(sum, x, sizeof *x * batch * n * m);
    for (int i = 0; i < batch * k; i++)
        for (int j = 0; j < m; j++) sum[(i / k * n + index[i]) * m + j] += y[i * m + j];
    for (int threads = 1; threads <= 2; threads++) {
        gv_threads_set(threads);
        memcpy(one, x, sizeof *x * batch * n * m);
        gv_move_scatter_add(GV_F64, batch, n, k, m, one, index, y);
        CHECK(memcmp(one, sum, sizeof *x * batch * n * m) == 0);
    }
    CHECK(gv_move_find_bad(index, batch * k, n) == -1);
    index[77] = n;
    CHECK(gv_move_find_bad(index, batch * k, n) == 77);
    index[5] = -1;
    CHECK(gv_move_find_bad(index, batch * k, n) == 5);
    free(x);
    free(sum);
    free(y);
    free(one);
    free(index);
}

static void test_triangles(void)
{
    enum { m = 5, n = 7 };
    float x[2 * m * n], y[2 * m * n];
    for (int i = 0; i < 2 * m * n; i++) x[i] = (float)i + 1;
    for (int lower = 0; lower < 2; lower++)
        for (int64_t k = -7; k <= 8; k++) {
            gv_move_triangle(sizeof *x, lower, k, 2, m, n, x, y);
            bool good = true;
            for (int e = 0; e < 2; e++)
                for (int i = 0; i < m; i++)
                    for (int j = 0; j < n; j++) {
                        int at = (e * m + i) * n + j;
                        bool kept = lower ? j - i <= k : j - i >= k;
                        good &= y[at] == (kept ? x[at] : 0);
                    }
            CHECK_NOTE(good, "lower %d k %lld", lower, (long long)k);
        }
}

int main(void)
{
    for (int threads = 1; threads <= 2; threads++) {
        gv_threads_set(threads);
        test_copies();
        test_triangles();
    }
    test_large_transposes();
    test_gather();
    return check_done("move");
}
