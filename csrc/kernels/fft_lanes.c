/* Lengths and twiddles of the lane transforms, and the choice of instruction set. */
#include "kernels/fft_lanes.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cpu.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static gv_fft_line *lines[2][GV_FFT_LANES_MAX + 1];

const gv_fft_lanes *gv_fft_lanes_get(bool single)
{
#if defined(__x86_64__)
    switch (gv_simd_level()) {
    case GV_SIMD_AVX512:
        return single ? &gv_fft_lanes_f32_avx512 : &gv_fft_lanes_f64_avx512;
    case GV_SIMD_AVX2: return single ? &gv_fft_lanes_f32_avx2 : &gv_fft_lanes_f64_avx2;
    default: return NULL;
    }
#else
    (void)single;
    return NULL;
#endif
}

/* Radices 5 and 3 first, then 8 and 4: passes with large spans have many twiddles. */
static bool factorise(int64_t n, gv_fft_line *l)
{
    int twos = 0;
    int64_t rest = n;
    l->passes = 0;
    for (; rest % 5 == 0; rest /= 5) l->radix[l->passes++] = 5;
    for (; rest % 3 == 0; rest /= 3) l->radix[l->passes++] = 3;
    for (; rest % 2 == 0; rest /= 2) twos++;
    if (rest != 1) return false;
    int fours = twos % 3 == 2 ? 1 : twos % 3 == 1 && twos > 1 ? 2 : 0;
    for (int k = 0; k < (twos - 2 * fours) / 3; k++) l->radix[l->passes++] = 8;
    for (int k = 0; k < fours; k++) l->radix[l->passes++] = 4;
    if (twos == 1) l->radix[l->passes++] = 2;
    return true;
}

/* exp(-2 pi i k/n) into entry `at` */
static void put_root(bool single, void *w, int64_t at, int64_t k, int64_t n)
{
    double angle = -2 * M_PI * (double)(k % n) / (double)n;
    if (single) {
        ((float *)w)[2 * at] = (float)cos(angle);
        ((float *)w)[2 * at + 1] = (float)sin(angle);
    } else {
        ((double *)w)[2 * at] = cos(angle);
        ((double *)w)[2 * at + 1] = sin(angle);
    }
}

static void fill_line(bool single, gv_fft_line *l, char *room)
{
    size_t pair = 2 * (single ? sizeof(float) : sizeof(double));
    int64_t span = l->n;
    int32_t *place = (int32_t *)(void *)room, *natural = place + l->n;
    room += 2 * (size_t)(l->n + l->n % 2) * sizeof *place;
    for (int p = 0; p < l->passes; p++) {
        int r = l->radix[p];
        span /= r;
        l->span[p] = (int)span;
        l->twiddle[p] = room;
        for (int64_t j = 0; j < span; j++)
            for (int q = 1; q < r; q++)
                put_root(single, room, j * (r - 1) + q - 1, j * q, r * span);
        room += (size_t)(span * (r - 1)) * pair;
    }
    for (int64_t k = 0; k <= l->n / 2; k++) put_root(single, room, k, k, 2 * l->n);
    l->root = room;
    for (int64_t k = 0; k < l->n; k++) {
        int64_t rest = k, at = 0;
        for (int p = 0; p < l->passes; p++) {
            at += rest % l->radix[p] * l->span[p];
            rest /= l->radix[p];
        }
        place[k] = (int32_t)at;
        natural[at] = (int32_t)k;
    }
    l->place = place;
    l->natural = natural;
}

static gv_fft_line *make_line(bool single, int64_t n, const gv_fft_line *shape)
{
    /* place, natural; the passes have fewer than 2n twiddles in all; n/2 + 1 roots */
    size_t size = sizeof(gv_fft_line) + 2 * (size_t)(n + 1) * sizeof(int32_t) +
        (size_t)(3 * n + 8) * 2 * sizeof(double);
    gv_fft_line *l = gv_alloc(size);
    if (l == NULL) return NULL;
    *l = *shape;
    l->n = n;
    fill_line(single, l, (char *)(l + 1));
    return l;
}

gv_status gv_fft_line_get(bool single, int64_t n, const gv_fft_line **line)
{
    gv_fft_line shape;
    *line = NULL;
    if (n < 1 || n > GV_FFT_LANES_MAX || !factorise(n, &shape)) return GV_OK;
    pthread_mutex_lock(&mutex);
    gv_fft_line **at = &lines[single][n];
    if (*at == NULL) *at = make_line(single, n, &shape);
    *line = *at;
    pthread_mutex_unlock(&mutex);
    return *line == NULL ? GV_ERR_MEMORY : GV_OK;
}
