/* The thread pool.
 *
 * One pool, one job at a time; a caller that finds the pool busy runs its loop
 * itself. Workers enter a job by raising `inside` and then checking that it is
 * `open`; the owner closes the job and waits until nobody is inside, so job fields
 * are never rewritten under a worker. Idle workers spin for some microseconds, then
 * sleep on a condition variable. Both "raise a flag, then look at the other's flag"
 * pairs (inside/open, sleepers/generation) rely on sequentially consistent atomics. */
#define _GNU_SOURCE
#include "base/parallel.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { max_workers = 255, spins = 4000 };

static struct pool {
    pthread_mutex_t mutex;
    pthread_cond_t wake, done;
    int started;         /* workers that exist (owner only) */
    atomic_bool busy;    /* a caller owns the pool */
    atomic_bool open;    /* the job may be entered */
    atomic_bool waiting; /* the owner sleeps on done */
    atomic_int inside;   /* workers in the job */
    atomic_int sleepers; /* workers asleep on wake */
    atomic_uint generation;
    /* the job */
    gv_task task;
    void *ctx;
    int64_t n, chunk;
    int team;
    int cpu; /* where the owner opened it, -1 unknown */
    _Alignas(64) atomic_llong next;
    char message[512]; /* first failure message of a worker; under mutex */
} pool = { .mutex = PTHREAD_MUTEX_INITIALIZER,
           .wake = PTHREAD_COND_INITIALIZER,
           .done = PTHREAD_COND_INITIALIZER };

static atomic_int threads_wanted;
static _Thread_local bool in_task;

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* --- how many threads --- */

static int read_number(const char *path)
{
    FILE *file = fopen(path, "r");
    int value = -1;
    if (file == NULL) return -1;
    if (fscanf(file, "%d", &value) != 1) value = -1;
    fclose(file);
    return value;
}

/* CPUs granted by the control group, rounded up; 0 when unlimited. */
static int quota_cpus(void)
{
    long quota = 0, period = 0;
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (file == NULL) return 0;
    int got = fscanf(file, "%ld %ld", &quota, &period);
    fclose(file);
    return got == 2 && quota > 0 && period > 0 ? (int)((quota + period - 1) / period)
                                               : 0;
}

/* Distinct cores among the CPUs this process may use. */
static int usable_cores(void)
{
#ifdef __linux__
    cpu_set_t set;
    int64_t seen[1024];
    int n_seen = 0;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    for (int cpu = 0; cpu < CPU_SETSIZE && n_seen < 1024; cpu++) {
        char path[96];
        if (!CPU_ISSET(cpu, &set)) continue;
        const char *base = "/sys/devices/system/cpu/cpu%d/topology/%s";
        snprintf(path, sizeof path, base, cpu, "core_id");
        int core = read_number(path);
        snprintf(path, sizeof path, base, cpu, "physical_package_id");
        int package = read_number(path);
        int64_t id = core < 0 ? -1 - cpu : (int64_t)(package + 1) << 32 | core;
        int k = 0;
        while (k < n_seen && seen[k] != id) k++;
        if (k == n_seen) seen[n_seen++] = id;
    }
    int quota = quota_cpus();
    return quota > 0 && quota < n_seen ? quota : n_seen;
#else
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
#endif
}

static int threads_default(void)
{
    static const char *const variables[] = { "GV_NUM_THREADS", "OMP_NUM_THREADS" };
    for (int k = 0; k < 2; k++) {
        const char *text = getenv(variables[k]);
        int n = text != NULL ? atoi(text) : 0;
        if (n >= 1) return n;
    }
    return usable_cores();
}

static int clamp_threads(int n)
{
    if (n < 1) return 1;
    return n > max_workers + 1 ? max_workers + 1 : n;
}

int gv_threads_get(void)
{
    int n = atomic_load_explicit(&threads_wanted, memory_order_relaxed);
    if (n == 0) {
        n = clamp_threads(threads_default());
        atomic_store_explicit(&threads_wanted, n, memory_order_relaxed);
    }
    return n;
}

void gv_threads_set(int n)
{
    atomic_store_explicit(&threads_wanted, clamp_threads(n), memory_order_relaxed);
}

bool gv_in_parallel(void) { return in_task; }

/* --- work --- */

static void run_chunks(void)
{
    int64_t n = pool.n, chunk = pool.chunk;
    in_task = true;
    for (;;) {
        int64_t from =
            atomic_fetch_add_explicit(&pool.next, chunk, memory_order_relaxed);
        if (from >= n) break;
        int64_t to = from + chunk < n ? from + chunk : n;
        for (int64_t i = from; i < to; i++) pool.task(pool.ctx, i);
    }
    in_task = false;
}

/* A task that failed in a worker left its message in the worker's buffer. */
static void keep_message(void)
{
    if (gv_fail_message()[0] == '\0') return;
    pthread_mutex_lock(&pool.mutex);
    if (pool.message[0] == '\0')
        snprintf(pool.message, sizeof pool.message, "%s", gv_fail_message());
    pthread_mutex_unlock(&pool.mutex);
    gv_fail_clear();
}

/* Where another library's idle thread spins on the second processor, the kernel may
 * wake a worker on the owner's and leave both there. Step aside: forbid that processor
 * for a moment, which moves the worker, and allow it again. */
static void leave_owner(void)
{
#if defined(__linux__)
    cpu_set_t all, others;
    if (pool.cpu < 0 || sched_getcpu() != pool.cpu) return;
    if (sched_getaffinity(0, sizeof all, &all) != 0 || CPU_COUNT(&all) < 2) return;
    others = all;
    CPU_CLR(pool.cpu, &others);
    if (sched_setaffinity(0, sizeof others, &others) == 0)
        (void)sched_setaffinity(0, sizeof all, &all);
#endif
}

static void join_job(int rank)
{
    atomic_fetch_add(&pool.inside, 1);
    if (atomic_load(&pool.open) && rank < pool.team) {
        leave_owner();
        run_chunks();
        keep_message();
    }
    if (atomic_fetch_sub(&pool.inside, 1) == 1 && atomic_load(&pool.waiting)) {
        pthread_mutex_lock(&pool.mutex);
        pthread_cond_signal(&pool.done);
        pthread_mutex_unlock(&pool.mutex);
    }
}

static void wait_for_job(unsigned seen)
{
    for (int k = 0; k < spins; k++) {
        if (atomic_load(&pool.generation) != seen) return;
        relax();
    }
    pthread_mutex_lock(&pool.mutex);
    atomic_fetch_add(&pool.sleepers, 1);
    while (atomic_load(&pool.generation) == seen)
        pthread_cond_wait(&pool.wake, &pool.mutex);
    atomic_fetch_sub(&pool.sleepers, 1);
    pthread_mutex_unlock(&pool.mutex);
}

static void *worker(void *rank)
{
    unsigned seen = 0; /* workers start with a job waiting: join at once */
    for (;;) {
        unsigned now = atomic_load(&pool.generation);
        if (now == seen) {
            wait_for_job(seen);
            continue;
        }
        seen = now;
        join_job((int)(intptr_t)rank);
    }
    return NULL;
}

/* --- starting --- */

/* In a forked child no worker exists: forget them and whatever they held. */
static void forget_workers(void)
{
    pthread_mutex_init(&pool.mutex, NULL);
    pthread_cond_init(&pool.wake, NULL);
    pthread_cond_init(&pool.done, NULL);
    pool.started = 0;
    atomic_store(&pool.open, false);
    atomic_store(&pool.waiting, false);
    atomic_store(&pool.inside, 0);
    atomic_store(&pool.sleepers, 0);
    atomic_store(&pool.busy, false);
    pool.message[0] = '\0';
}

static void register_fork(void) { pthread_atfork(NULL, NULL, forget_workers); }

static void start_workers(int team)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (pool.started >= team - 1) return;
    pthread_once(&once, register_fork);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals belong to the caller */
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    while (pool.started < team - 1) {
        pthread_t id;
        if (pthread_create(&id, &attr, worker, (void *)(intptr_t)(pool.started + 1)))
            break; /* fewer workers do the same work */
        pool.started++;
    }
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void open_job(int64_t n, gv_task task, void *ctx, int team)
{
    pool.task = task;
    pool.ctx = ctx;
    pool.n = n;
    pool.team = team;
#if defined(__linux__)
    pool.cpu = sched_getcpu();
#else
    pool.cpu = -1;
#endif
    pool.chunk = n / ((int64_t)team * 16) > 1 ? n / ((int64_t)team * 16) : 1;
    atomic_store(&pool.next, 0);
    atomic_store(&pool.open, true);
    if (atomic_fetch_add(&pool.generation, 1) + 1 == 0)
        atomic_fetch_add(&pool.generation, 1); /* 0 means "never seen a job" */
    if (atomic_load(&pool.sleepers) > 0) {
        pthread_mutex_lock(&pool.mutex);
        pthread_cond_broadcast(&pool.wake);
        pthread_mutex_unlock(&pool.mutex);
    }
    start_workers(team);
}

static void close_job(void)
{
    atomic_store(&pool.open, false);
    for (int k = 0; k < spins && atomic_load(&pool.inside) > 0; k++) relax();
    if (atomic_load(&pool.inside) > 0) {
        pthread_mutex_lock(&pool.mutex);
        atomic_store(&pool.waiting, true);
        while (atomic_load(&pool.inside) > 0)
            pthread_cond_wait(&pool.done, &pool.mutex);
        atomic_store(&pool.waiting, false);
        pthread_mutex_unlock(&pool.mutex);
    }
    if (pool.message[0] != '\0') {
        gv_fail(GV_ERR_RUNTIME, "%s", pool.message);
        pool.message[0] = '\0';
    }
}

void gv_parallel_for(int64_t n, gv_task task, void *ctx)
{
    int team = gv_threads_get();
    if (team > n) team = (int)n;
    bool alone = in_task || team <= 1 || atomic_exchange(&pool.busy, true);
    if (alone) {
        bool outer = in_task;
        in_task = true;
        for (int64_t i = 0; i < n; i++) task(ctx, i);
        in_task = outer;
        return;
    }
    open_job(n, task, ctx, team);
    run_chunks();
    close_job();
    atomic_store(&pool.busy, false);
}
