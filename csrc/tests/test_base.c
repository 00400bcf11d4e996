/* Base and tensor layers: messages, allocator, thread pool, types. */
#define _GNU_SOURCE
#include "base/alloc.h"
#include "base/cpu.h"
#include "base/parallel.h"
#include "tensor/tensor.h"
#include "tests/check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- status --- */

static gv_status fails_inside(void)
{
    return gv_fail(GV_ERR_VALUE, "axis %d is %s", 3, "odd");
}

static gv_status tries(void)
{
    GV_TRY(fails_inside());
    return GV_OK;
}

static void test_status(void)
{
    CHECK(tries() == GV_ERR_VALUE);
    CHECK(strcmp(gv_fail_message(), "axis 3 is odd") == 0);
    gv_fail_context("while %s", "testing");
    CHECK(strcmp(gv_fail_message(), "axis 3 is odd\nwhile testing") == 0);
    gv_fail(GV_ERR_TYPE, "again: %s", gv_fail_message());
    CHECK(strncmp(gv_fail_message(), "again: axis", 11) == 0);
    for (int k = 0; k < 1000; k++)
        gv_fail_context("a long line of context number %d", k);
    CHECK(strlen(gv_fail_message()) < 5000);
    gv_fail_clear();
    CHECK(gv_fail_message()[0] == '\0');
}

/* --- allocator --- */

static void test_blocks(void)
{
    gv_alloc_stats before = gv_alloc_get_stats();
    size_t sizes[] = {
        0, 1, 63, 64, 65, 4096, 1 << 20, (4 << 20) - 1, 4 << 20, 9 << 20
    };
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        unsigned char *p = gv_alloc(sizes[k]);
        unsigned char *z = gv_alloc_zero(sizes[k]);
        uintptr_t align = sizes[k] >= 4 << 20 ? 2 << 20 : 64;
        CHECK(p != NULL && (uintptr_t)p % align == 0);
        CHECK(z != NULL && (uintptr_t)z % align == 0);
        bool zero = true;
        for (size_t i = 0; i < sizes[k]; i++) zero &= z[i] == 0;
        CHECK(zero);
        memset(p, 0xa5, sizes[k]);
        p = gv_realloc(p, sizes[k], 3 * sizes[k] + 1);
        bool kept = p != NULL;
        for (size_t i = 0; kept && i < sizes[k]; i++) kept = p[i] == 0xa5;
        CHECK(kept);
        gv_free(p);
        gv_free(z);
    }
    gv_free(NULL);
    gv_alloc_stats after = gv_alloc_get_stats();
    CHECK(after.live_blocks == before.live_blocks);
    CHECK(after.live_bytes == before.live_bytes);
    CHECK(after.total_blocks > before.total_blocks);
    CHECK(after.peak_bytes >= 9 << 20);
    gv_alloc_reset_peak();
    CHECK(gv_alloc_get_stats().peak_bytes == after.live_bytes);
}

static void test_failure(void)
{
    gv_alloc_fail_after(2);
    void *first = gv_alloc(10), *second = gv_alloc(10), *third = gv_alloc(10);
    CHECK(first != NULL && second == NULL && third != NULL);
    CHECK(strstr(gv_fail_message(), "out of memory") != NULL);
    gv_alloc_fail_after(1);
    CHECK(gv_realloc(first, 10, 1000) == NULL); /* the old block stays */
    memset(first, 1, 10);
    gv_alloc_fail_after(1);
    CHECK(gv_pool_get(100) == NULL);
    gv_alloc_fail_after(1);
    CHECK(gv_pool_get(1 << 20) == NULL);
    gv_alloc_fail_after(0);
    CHECK(gv_alloc(SIZE_MAX - 5) == NULL);
    gv_free(first);
    gv_free(third);
    gv_fail_clear();
}

static void test_pool(void)
{
    gv_alloc_stats before = gv_alloc_get_stats();
    void *a = gv_pool_get(1 << 20);
    gv_pool_put(a, 1 << 20);
    void *b = gv_pool_get((1 << 20) - 1000);
    CHECK(a == b); /* reused */
    void *c = gv_pool_get(1 << 20);
    CHECK(c != b);
    gv_pool_put(b, (1 << 20) - 1000);
    gv_pool_put(c, 1 << 20);
    void *d = gv_pool_get(1 << 18);
    CHECK(d != b && d != c); /* would waste too much */
    gv_pool_put(d, 1 << 18);
    for (int k = 0; k < 300; k++) gv_pool_put(gv_alloc(40000 + 64 * (size_t)k), 40000);
    gv_pool_trim();
    gv_alloc_stats after = gv_alloc_get_stats();
    CHECK(after.live_blocks == before.live_blocks);
    CHECK(after.live_bytes == before.live_bytes);
}

/* --- threads --- */

typedef struct sums {
    atomic_int hits[1000];
    atomic_int nested, serial;
} sums;

static void nested_task(void *ctx, int64_t i)
{
    sums *s = ctx;
    (void)i;
    if (gv_in_parallel()) atomic_fetch_add(&s->serial, 1);
}

static void count_task(void *ctx, int64_t i)
{
    sums *s = ctx;
    atomic_fetch_add(&s->hits[i], 1);
    if (i % 100 == 0) {
        gv_parallel_for(3, nested_task, s);
        atomic_fetch_add(&s->nested, 1);
    }
}

static bool loop_is_right(int64_t n)
{
    static sums s; /* large for a stack */
    bool right = true;
    memset(&s, 0, sizeof s);
    gv_parallel_for(n, count_task, &s);
    for (int64_t i = 0; i < 1000; i++) right &= s.hits[i] == (i < n);
    return right && s.serial == 3 * s.nested && s.nested == (n + 99) / 100;
}

static void failing_task(void *ctx, int64_t i)
{
    if (i == 57) *(gv_status *)ctx = gv_fail(GV_ERR_VALUE, "task %d", (int)i);
}

static void *loops(void *result)
{
    bool right = true;
    for (int k = 0; k < 200; k++) {
        atomic_int sum = 0;
        sums *s = calloc(1, sizeof *s);
        gv_parallel_for(k, count_task, s);
        for (int i = 0; i < 1000; i++) atomic_fetch_add(&sum, s->hits[i]);
        right &= sum == k;
        free(s);
    }
    *(bool *)result = right;
    return NULL;
}

static void test_parallel(void)
{
    CHECK(gv_threads_get() >= 1);
    for (int threads = 1; threads <= 5; threads++) {
        gv_threads_set(threads);
        CHECK(gv_threads_get() == threads);
        for (int k = 0; k < 200; k++) CHECK(loop_is_right(k % 7 * 100 + k));
        CHECK(loop_is_right(0));
        CHECK(loop_is_right(1));
        usleep(3000); /* let the workers fall asleep */
        CHECK(loop_is_right(1000));
        gv_status status = GV_OK;
        gv_parallel_for(100, failing_task, &status);
        CHECK(status == GV_ERR_VALUE && strcmp(gv_fail_message(), "task 57") == 0);
        gv_fail_clear();
    }
    CHECK(!gv_in_parallel());
}

static void test_callers(void)
{
    pthread_t id[3];
    bool right[3];
    gv_threads_set(3);
    for (int k = 0; k < 3; k++)
        CHECK(pthread_create(&id[k], NULL, loops, &right[k]) == 0);
    for (int k = 0; k < 3; k++) {
        pthread_join(id[k], NULL);
        CHECK(right[k]);
    }
}

static void test_fork(void)
{
    gv_threads_set(2);
    CHECK(loop_is_right(1000));
    pid_t child = fork();
    if (child == 0) {
        bool right = true;
        for (int k = 0; k < 50; k++) right &= loop_is_right(1000);
        void *p = gv_pool_get(1 << 20);
        gv_pool_put(p, 1 << 20);
        _exit(right ? 0 : 1);
    }
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(loop_is_right(1000));
}

/* --- types --- */

static void test_types(void)
{
    int64_t dim[] = { 2, 3, 4 };
    gv_type t = { GV_F64, gv_shape_make(3, dim) };
    char text[64];
    size_t bytes = 0;
    gv_shape other;
    CHECK(gv_shape_size(&t.shape) == 24 && gv_shape_span(&t.shape, 1, 3) == 12);
    CHECK(gv_type_bytes(&t, &bytes) == GV_OK && bytes == 192);
    CHECK(strcmp(gv_type_format(&t, text, sizeof text), "float64[2,3,4]") == 0);
    CHECK(strcmp(gv_type_format(&t, text, 5), "floa") == 0);
    CHECK(gv_shape_replace_core(&t.shape, 1, 2, (int64_t[]){ 7, 8 }, &other) == GV_OK);
    CHECK(other.ndim == 4 && other.dim[2] == 7 && other.dim[3] == 8 &&
          other.dim[4] == 0);
    CHECK(gv_shape_replace_core(&t.shape, 4, 0, NULL, &other) == GV_ERR_VALUE);
    CHECK(!gv_shape_equal(&t.shape, &other) && gv_shape_equal(&t.shape, &t.shape));
    int64_t big[] = { INT64_MAX / 2, INT64_MAX / 2, 1 },
            none[] = { INT64_MAX, 0, INT64_MAX };
    gv_type huge = { GV_F32, gv_shape_make(3, big) },
            empty = { GV_F32, gv_shape_make(3, none) };
    CHECK(gv_type_bytes(&huge, &bytes) == GV_ERR_VALUE);
    CHECK(gv_type_bytes(&empty, &bytes) == GV_OK && bytes == 0);
    CHECK(gv_dtype_cotangent(GV_Q32) == GV_F32 && gv_dtype_cotangent(GV_C64) == GV_C64);
    CHECK(gv_dtype_real(GV_C128) == GV_F64 && gv_dtype_complex(GV_F32) == GV_C64);
    CHECK(!gv_dtype_is_diff(GV_I64) && gv_dtype_is_diff(GV_Q64) &&
          gv_dtype_is_diff(GV_F32));
    gv_fail_clear();
}

static void test_cpu(void)
{
    gv_simd best = gv_simd_level();
    for (int k = 0; k <= (int)best; k++) CHECK(gv_simd_set((gv_simd)k) == (gv_simd)k);
    CHECK(gv_simd_set(GV_SIMD_AVX512) >= best);
    CHECK(strcmp(gv_simd_name(GV_SIMD_AVX2), "avx2") == 0);
}

int main(void)
{
    test_status();
    test_blocks();
    test_failure();
    test_pool();
    test_parallel();
    test_callers();
    test_fork();
    test_types();
    test_cpu();
    return check_done("test_base");
}
