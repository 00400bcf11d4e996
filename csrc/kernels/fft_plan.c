/* The cache of FFTW plans: a table behind one mutex, least recently used plans leave.
 * A plan fits arrays of the same alignment, so alignment is part of its key. */
#include "kernels/fft_plan.h"

#include <fftw3.h>
#include <pthread.h>
#include <string.h>

#include "kernels/fft.h"

enum { capacity = 512 };

typedef struct plan_key {
    gv_fft_shape shape;
    int64_t in_place, in_align, out_align;
} plan_key;

typedef struct plan_entry {
    plan_key key;
    void *plan; /* fftw_plan or fftwf_plan; NULL: free slot */
    int users;
    uint64_t used;
} plan_entry;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static plan_entry table[capacity];
static uint64_t clock_ticks;

static plan_key key_of(const gv_fft_shape *s, void *in, void *out)
{
    plan_key k;
    memset(&k, 0, sizeof k); /* padding takes part in comparisons */
    k.shape.kind = s->kind;
    k.shape.single = s->single;
    k.shape.n = s->n;
    k.shape.lines = s->lines;
    k.shape.in_step = s->in_step;
    k.shape.in_line = s->in_line;
    k.shape.out_step = s->out_step;
    k.shape.out_line = s->out_line;
    k.in_place = in == out;
    k.in_align = s->single ? fftwf_alignment_of(in) : fftw_alignment_of(in);
    k.out_align = s->single ? fftwf_alignment_of(out) : fftw_alignment_of(out);
    return k;
}

static uint64_t hash_of(const plan_key *k)
{
    const unsigned char *p = (const unsigned char *)k;
    uint64_t h = 1469598103934665603u;
    for (size_t i = 0; i < sizeof *k; i++) h = (h ^ p[i]) * 1099511628211u;
    return h ^ h >> 29;
}

static void destroy(plan_entry *e)
{
    if (e->key.shape.single)
        fftwf_destroy_plan(e->plan);
    else
        fftw_destroy_plan(e->plan);
    e->plan = NULL;
}

/* FFTW_ESTIMATE does not touch the arrays. */
#define MAKE_PLAN(PRE, R)                                                             \
    static void *make_##PRE(const gv_fft_shape *s, void *in, void *out)               \
    {                                                                                 \
        int n = (int)s->n, lines = (int)s->lines, half = n / 2 + 1;                   \
        int is = (int)s->in_step, il = (int)s->in_line;                               \
        int os = (int)s->out_step, ol = (int)s->out_line;                             \
        switch (s->kind) {                                                            \
        case GV_FFT_R2C:                                                              \
            return PRE##_plan_many_dft_r2c(1, &n, lines, in, &n, is, il, out, &half,  \
                                           os, ol, FFTW_ESTIMATE);                    \
        case GV_FFT_C2R:                                                              \
            return PRE##_plan_many_dft_c2r(1, &n, lines, in, &half, is, il, out, &n,  \
                                           os, ol,                                    \
                                           FFTW_ESTIMATE | FFTW_DESTROY_INPUT);       \
        default:                                                                      \
            return PRE##_plan_many_dft(1, &n, lines, in, &n, is, il, out, &n, os, ol, \
                                       s->kind == GV_FFT_FORWARD ? FFTW_FORWARD       \
                                                                 : FFTW_BACKWARD,     \
                                       FFTW_ESTIMATE);                                \
        }                                                                             \
    }

MAKE_PLAN(fftw, double)
MAKE_PLAN(fftwf, float)

/* The slot that holds the key, or the one to fill: free, else least recently used. */
static plan_entry *find_slot(const plan_key *key)
{
    enum { ways = 16 };
    plan_entry *set = table + hash_of(key) % (capacity / ways) * ways, *best = NULL;
    for (int k = 0; k < ways; k++) {
        plan_entry *e = set + k;
        if (e->plan != NULL && memcmp(&e->key, key, sizeof *key) == 0) return e;
        if (e->users > 0) continue;
        if (best == NULL || (e->plan == NULL && best->plan != NULL) ||
            (best->plan != NULL && e->used < best->used))
            best = e;
    }
    return best;
}

/* A plan for the key, in the table or, when all slots it may use are busy, in `spare`;
 * NULL when FFTW makes none. */
static plan_entry *acquire(const plan_key *key, void *in, void *out, plan_entry *spare)
{
    pthread_mutex_lock(&mutex);
    plan_entry *e = find_slot(key);
    if (e == NULL) e = spare;
    if (e->plan == NULL || memcmp(&e->key, key, sizeof *key) != 0) {
        const gv_fft_shape *s = &key->shape;
        if (e->plan != NULL) destroy(e);
        e->key = *key;
        e->plan = s->single ? make_fftwf(s, in, out) : make_fftw(s, in, out);
        if (e->plan == NULL) e = NULL;
    }
    if (e != NULL) {
        e->users++;
        e->used = ++clock_ticks;
    }
    pthread_mutex_unlock(&mutex);
    return e;
}

static void release(plan_entry *e, const plan_entry *spare)
{
    pthread_mutex_lock(&mutex);
    e->users--;
    if (e == spare) destroy(e);
    pthread_mutex_unlock(&mutex);
}

static void run_plan(const plan_entry *e, void *in, void *out)
{
    const gv_fft_shape *s = &e->key.shape;
    if (s->single) {
        if (s->kind == GV_FFT_R2C)
            fftwf_execute_dft_r2c(e->plan, in, out);
        else if (s->kind == GV_FFT_C2R)
            fftwf_execute_dft_c2r(e->plan, in, out);
        else
            fftwf_execute_dft(e->plan, in, out);
    } else {
        if (s->kind == GV_FFT_R2C)
            fftw_execute_dft_r2c(e->plan, in, out);
        else if (s->kind == GV_FFT_C2R)
            fftw_execute_dft_c2r(e->plan, in, out);
        else
            fftw_execute_dft(e->plan, in, out);
    }
}

gv_status gv_fft_execute(const gv_fft_shape *shape, void *in, void *out)
{
    plan_key key = key_of(shape, in, out);
    plan_entry spare = { .plan = NULL };
    plan_entry *e = acquire(&key, in, out, &spare);
    if (e == NULL)
        return gv_fail(GV_ERR_MEMORY, "fft: no plan for %lld lines of %lld",
                       (long long)shape->lines, (long long)shape->n);
    run_plan(e, in, out);
    release(e, &spare);
    return GV_OK;
}

const char *gv_fft_version(void) { return fftw_version; }
