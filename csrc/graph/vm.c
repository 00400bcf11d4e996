/* Programs: making, sharing, running. */
#include "base/alloc.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/parallel.h"
#include "graph/program.h"

gv_status (*gv_poll_hook)(void) = NULL;
bool gv_poison_arena = false;

#define KEEP_ARENA ((size_t)1 << 20) /* larger arenas go back to the pool after a run */

static gv_program *program_make(unsigned options)
{
    gv_program *p = gv_alloc_zero(sizeof *p);
    if (!p) return NULL;
    p->refs = 1;
    p->options = options;
    pthread_mutex_init(&p->lock, NULL);
    return p;
}

gv_status gv_program_new(const gv_graph *g, int nin, const gv_val *in, int nout,
                         const gv_val *out, unsigned options, gv_program **program)
{
    gv_program *p = program_make(options);
    if (!p) return GV_ERR_MEMORY;
    gv_status s = gv_canonical(g, nin, in, nout, out, p);
    if (s == GV_OK) s = gv_plan(p);
    if (s != GV_OK) {
        gv_program_unref(p);
        return s;
    }
    *program = p;
    return GV_OK;
}

gv_status gv_program_sub(const gv_func *f, int n_carry, const bool *lent,
                         unsigned options, gv_program **program)
{
    gv_program *p = program_make(options);
    if (!p) return GV_ERR_MEMORY;
    p->n_carry = n_carry;
    p->carry = gv_alloc_zero((size_t)n_carry + 1);
    p->lent = gv_alloc_zero((size_t)f->nin + 1);
    gv_status s = p->carry && p->lent ? GV_OK : GV_ERR_MEMORY;
    if (s == GV_OK && lent) memcpy(p->lent, lent, (size_t)f->nin);
    if (s == GV_OK) s = gv_canonical(f->g, f->nin, f->in, f->nout, f->out, p);
    if (s == GV_OK) s = gv_plan(p);
    if (s != GV_OK) {
        gv_program_unref(p);
        return s;
    }
    *program = p;
    return GV_OK;
}

/* --- cache ------------------------------------------------------------------------ */
enum { CACHE = 512 };
static gv_program *cached[CACHE];
static int64_t cache_clock;
static pthread_mutex_t cache_lock = PTHREAD_MUTEX_INITIALIZER;

static gv_program *cache_find(const gv_program *like)
{
    for (int i = 0; i < CACHE && cached[i]; i++)
        if (cached[i]->hash[0] == like->hash[0] &&
            cached[i]->hash[1] == like->hash[1]) {
            cached[i]->used = ++cache_clock;
            return gv_program_ref(cached[i]);
        }
    return NULL;
}

static void cache_put(gv_program *p)
{
    int oldest = 0;
    for (int i = 0; i < CACHE; i++) {
        if (!cached[i]) {
            oldest = i;
            break;
        }
        if (cached[i]->used < cached[oldest]->used) oldest = i;
    }
    gv_program_unref(cached[oldest]);
    p->used = ++cache_clock;
    cached[oldest] = gv_program_ref(p);
}

void gv_program_cache_clear(void)
{
    pthread_mutex_lock(&cache_lock);
    for (int i = 0; i < CACHE; i++) {
        gv_program_unref(cached[i]);
        cached[i] = NULL;
    }
    pthread_mutex_unlock(&cache_lock);
}

gv_status gv_program_get(const gv_graph *g, int nin, const gv_val *in, int nout,
                         const gv_val *out, unsigned options, gv_program **program)
{
    gv_program *p = program_make(options);
    if (!p) return GV_ERR_MEMORY;
    gv_status s = gv_canonical(g, nin, in, nout, out, p);
    gv_program *known = NULL;
    if (s == GV_OK) {
        pthread_mutex_lock(&cache_lock);
        known = cache_find(p);
        pthread_mutex_unlock(&cache_lock);
    }
    if (known || s != GV_OK) {
        gv_program_unref(p);
        *program = known;
        return s;
    }
    s = gv_plan(p);
    if (s != GV_OK) {
        gv_program_unref(p);
        return s;
    }
    pthread_mutex_lock(&cache_lock);
    cache_put(p);
    pthread_mutex_unlock(&cache_lock);
    *program = p;
    return GV_OK;
}

gv_program *gv_program_ref(gv_program *p)
{
    __atomic_add_fetch(&p->refs, 1, __ATOMIC_RELAXED);
    return p;
}

static void free_instr(gv_instr *in)
{
    if (in->fused) {
        gv_free(in->fused->operand);
        gv_free(in->fused->store);
        gv_free(in->fused->store_item);
        gv_free(in->fused->step);
        gv_free(in->fused);
    }
    gv_free(in->in);
    gv_free(in->out);
    gv_free((void *)(uintptr_t)in->in_type);
}

void gv_program_unref(gv_program *p)
{
    if (!p || __atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
    while (p->idle) {
        gv_exec *next = p->idle->next;
        gv_exec_free(p->idle);
        p->idle = next;
    }
    for (int i = 0; i < p->n_instr; i++) free_instr(&p->instr[i]);
    for (int i = 0; i < p->n_sub; i++) gv_program_unref(p->sub[i]);
    gv_free(p->instr);
    gv_free(p->sub);
    gv_free(p->buffer);
    gv_free(p->val_buffer);
    gv_free(p->in);
    gv_free(p->out);
    gv_free(p->in_type);
    gv_free(p->out_type);
    gv_free(p->slab_at);
    gv_free(p->carry);
    gv_free(p->lent);
    gv_graph_free(p->g);
    pthread_mutex_destroy(&p->lock);
    gv_free(p);
}

size_t gv_program_peak(const gv_program *p) { return p->arena + p->out_bytes; }

/* --- workspace -------------------------------------------------------------------- */
void gv_exec_free(gv_exec *e)
{
    if (!e) return;
    for (int i = 0; e->sub && i < e->p->n_sub; i++) gv_exec_free(e->sub[i]);
    gv_free(e->sub);
    gv_free(e->ptr);
    gv_free(e->own_arena);
    gv_free(e);
}

static gv_exec *exec_new(const gv_program *p)
{
    gv_exec *e = gv_alloc_zero(sizeof *e);
    if (!e) return NULL;
    e->p = p;
    e->ptr = gv_alloc_zero(((size_t)p->n_buffer + 1) * sizeof *e->ptr);
    e->sub = gv_alloc_zero(((size_t)p->n_sub + 1) * sizeof *e->sub);
    bool ok = e->ptr && e->sub;
    for (int i = 0; ok && i < p->n_sub; i++)
        ok = (e->sub[i] = exec_new(p->sub[i])) != NULL;
    if (!ok) {
        gv_exec_free(e);
        return NULL;
    }
    for (int b = 0; b < p->n_buffer; b++)
        if (p->buffer[b].place == GV_IN_CONST)
            e->ptr[b] = (void *)(uintptr_t)p->buffer[b].data;
    return e;
}

static void set_arena(gv_exec *e, char *arena)
{
    if (e->arena == arena) return;
    e->arena = arena;
    const gv_program *p = e->p;
    for (int b = 0; b < p->n_buffer; b++)
        if (p->buffer[b].place == GV_IN_ARENA && !p->buffer[b].in_slab)
            e->ptr[b] = arena + p->buffer[b].offset;
}

static void set_ends(gv_exec *e, const void *const *in, void *const *out)
{
    const gv_program *p = e->p;
    for (int b = 0; b < p->n_buffer; b++) {
        const gv_buffer *f = &p->buffer[b];
        if (f->place == GV_IN_INPUT) e->ptr[b] = (void *)(uintptr_t)in[f->index];
        if (f->place == GV_IN_OUTPUT) e->ptr[b] = out[f->index];
    }
    if (!p->slab) return;
    char *slab = NULL;
    for (int i = 0; i < p->nout && !slab; i++)
        if (p->slab_at[i] >= 0) slab = (char *)out[i] - p->slab_at[i];
    for (int b = 0; b < p->n_buffer; b++)
        if (p->buffer[b].in_slab) e->ptr[b] = slab + p->buffer[b].offset;
}

/* --- running ---------------------------------------------------------------------- */
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static _Thread_local double next_poll;
static _Thread_local int until_clock;

static gv_status poll_now(void)
{
    until_clock = 64;
    if (!gv_poll_hook) return GV_OK;
    double t = now();
    if (t < next_poll) return GV_OK;
    next_poll = t + 0.05;
    return gv_poll_hook();
}

static void name_call(const gv_program *p, const gv_instr *in)
{
    char buf[160], all[400] = "";
    size_t used = 0;
    for (int i = 0; i < in->nin && in->in_type && used < sizeof all - 1; i++)
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "",
                                 gv_type_format(&in->in_type[i], buf, sizeof buf));
    gv_fail_context("in %s(%s)", in->node->op->name, all);
    if (in->node->line >= 0) gv_fail_context("at %s", gv_graph_line(p->g, in->node));
}

static gv_status run_op(gv_exec *e, const gv_instr *in)
{
    const void *few_in[12];
    void *few_out[4];
    struct gv_sub few_sub[4];
    const void **ip = few_in;
    void **op = few_out;
    void *heap = NULL;
    if (in->nin > 12 || in->nout > 4) {
        heap = gv_alloc((size_t)(in->nin + in->nout) * sizeof(void *));
        if (!heap) return GV_ERR_MEMORY;
        ip = heap;
        op = (void **)heap + in->nin;
    }
    for (int i = 0; i < in->nin; i++) ip[i] = e->ptr[in->in[i]];
    for (int i = 0; i < in->nout; i++) op[i] = e->ptr[in->out[i]];
    char *scratch = e->arena + in->scratch_offset;
    gv_call call = { .op = in->node->op,
                     .nin = in->nin,
                     .nout = in->nout,
                     .nattr = in->node->nattr,
                     .in = ip,
                     .out = op,
                     .in_type = in->in_type,
                     .out_type = in->node->type,
                     .attr = in->node->attr,
                     .scratch = scratch,
                     .exec = e };
    char *at = scratch + in->own_scratch;
    for (int k = 0; k < in->n_sub; k++) {
        gv_exec *sub = e->sub[in->first_sub + k];
        at = scratch + (((size_t)(at - scratch) + 63) & ~(size_t)63);
        set_arena(sub, at);
        at += sub->p->arena;
        few_sub[k].exec = sub;
    }
    call.sub = few_sub;
    if (in->copy_input) {
        size_t bytes = e->p->buffer[in->in[0]].bytes;
        at = scratch + in->scratch - ((bytes + 63) & ~(size_t)63);
        memcpy(at, ip[0], bytes);
        ip[0] = at;
    }
    gv_status s = in->node->op->forward(&call);
    if (s != GV_OK && s != GV_ERR_INTERRUPT) name_call(e->p, in);
    gv_free(heap);
    return s;
}

static bool has_nan(const void *data, gv_dtype d, int64_t n)
{
    if (d == GV_C64 || d == GV_C128) n *= 2;
    if (d == GV_F32 || d == GV_C64) {
        const float *x = data;
        for (int64_t i = 0; i < n; i++)
            if (isnan(x[i])) return true;
    } else if (d == GV_F64 || d == GV_C128) {
        const double *x = data;
        for (int64_t i = 0; i < n; i++)
            if (isnan(x[i])) return true;
    }
    return false;
}

/* Debug mode: a NaN that was not in the inputs is an error at the node that made it. */
static gv_status check_nan(const gv_exec *e, const gv_instr *in)
{
    const gv_node *n = in->node;
    if (!n) return GV_OK;
    const gv_program *p = e->p;
    for (int o = 0; o < n->nout; o++) {
        int b = p->val_buffer[n->first + o];
        if (b < 0 ||
            !has_nan(e->ptr[b], n->type[o].dtype, gv_shape_size(&n->type[o].shape)))
            continue;
        for (int i = 0; i < n->nin; i++) {
            const gv_type *t = gv_graph_type(p->g, n->in[i]);
            int c = p->val_buffer[n->in[i]];
            if (c >= 0 && has_nan(e->ptr[c], t->dtype, gv_shape_size(&t->shape)))
                return GV_OK;
        }
        char buf[160];
        const char *line = gv_graph_line(p->g, n);
        return gv_fail(GV_ERR_FLOAT, "NaN made by %s -> %s%s%s", n->op->name,
                       gv_type_format(&n->type[o], buf, sizeof buf),
                       *line ? " at " : "", line);
    }
    return GV_OK;
}

static gv_status run_instr(gv_exec *e)
{
    const gv_program *p = e->p;
    for (int i = 0; i < p->n_instr; i++) {
        const gv_instr *in = &p->instr[i];
        switch (in->kind) {
        case GV_RUN_FUSED:
            gv_fused_run(in->fused, e->ptr, e->arena + in->scratch_offset);
            break;
        case GV_RUN_COPY:
            memcpy(e->ptr[in->out[0]], e->ptr[in->in[0]], p->buffer[in->out[0]].bytes);
            break;
        default: GV_TRY(run_op(e, in));
        }
        if (p->options & GV_PLAN_DEBUG) GV_TRY(check_nan(e, in));
        if (--until_clock <= 0)
            GV_TRY(poll_now());
        else if (in->kind != GV_RUN_COPY &&
                 in->node->scratch + p->buffer[in->nout ? in->out[0] : 0].bytes > 65536)
            GV_TRY(poll_now());
    }
    return GV_OK;
}

gv_status gv_sub_run(const gv_call *call, int k, const void *const *in,
                     void *const *out)
{
    gv_exec *e = call->sub[k].exec;
    set_ends(e, in, out);
    return run_instr(e);
}

gv_carry gv_sub_carry(const gv_call *call, int i)
{
    return (gv_carry)call->sub[0].exec->p->carry[i];
}

static gv_exec *take_exec(gv_program *p)
{
    pthread_mutex_lock(&p->lock);
    gv_exec *e = p->idle;
    if (e) p->idle = e->next;
    pthread_mutex_unlock(&p->lock);
    return e ? e : exec_new(p);
}

static void give_exec(gv_program *p, gv_exec *e)
{
    pthread_mutex_lock(&p->lock);
    e->next = p->idle;
    p->idle = e;
    pthread_mutex_unlock(&p->lock);
}

/* An exec with its arena in place; *pooled is what to give back. */
static gv_exec *open_run(gv_program *p, char **pooled)
{
    gv_exec *e = take_exec(p);
    if (!e) return NULL;
    *pooled = NULL;
    if (p->arena > KEEP_ARENA) {
        *pooled = gv_pool_get(p->arena);
    } else if (!e->own_arena) {
        e->own_arena = gv_alloc(p->arena + 64);
    }
    char *arena = p->arena > KEEP_ARENA ? *pooled : e->own_arena;
    if (!arena) {
        give_exec(p, e);
        return NULL;
    }
    if (gv_poison_arena) memset(arena, 0xff, p->arena);
    set_arena(e, arena);
    until_clock = 64;
    return e;
}

static void close_run(gv_program *p, gv_exec *e, char *pooled)
{
    if (pooled) gv_pool_put(pooled, p->arena);
    give_exec(p, e);
}

gv_status gv_program_run(gv_program *p, const void *const *in, void *const *out)
{
    char *pooled;
    gv_exec *e = open_run(p, &pooled);
    if (!e) return GV_ERR_MEMORY;
    set_ends(e, in, out);
    gv_status s = run_instr(e);
    close_run(p, e, pooled);
    return s;
}

/* --- running many times ----------------------------------------------------------- */
gv_status gv_program_loop(const gv_graph *g, int nin, const gv_val *in, int nout,
                          const gv_val *out, int n_carry, unsigned options,
                          gv_program **program)
{
    gv_program *p = program_make(options & ~(unsigned)GV_PLAN_SLAB);
    if (!p) return GV_ERR_MEMORY;
    p->n_carry = n_carry;
    p->carry = gv_alloc_zero((size_t)n_carry + 1);
    gv_status s = p->carry ? gv_canonical(g, nin, in, nout, out, p) : GV_ERR_MEMORY;
    if (s == GV_OK) s = gv_plan(p);
    if (s != GV_OK) {
        gv_program_unref(p);
        return s;
    }
    *program = p;
    return GV_OK;
}

struct repeat {
    const gv_program *p;
    int n_x;
    void *const *in, *const *y;
    void **now, **out; /* of the step at hand */
    void **other;      /* where each carry goes next */
    size_t *x_stride, *y_stride;
    char *spare; /* for carries that the step cannot update where they lie */
    char *pooled;
    gv_exec *e;
};

static gv_status repeat_open(struct repeat *r, gv_program *p)
{
    int nc = p->n_carry;
    size_t room = 0, bytes, n = (size_t)(p->nin + p->nout + nc + 1);
    r->now = gv_alloc_zero(n * sizeof *r->now);
    r->x_stride = gv_alloc_zero((size_t)(r->n_x + p->nout + 1) * sizeof(size_t));
    if (!r->now || !r->x_stride) return GV_ERR_MEMORY;
    r->out = r->now + p->nin, r->other = r->out + p->nout;
    r->y_stride = r->x_stride + r->n_x;
    for (int i = 0; i < p->nin; i++) r->now[i] = r->in[i];
    for (int i = 0; i < r->n_x; i++)
        GV_TRY(gv_type_bytes(&p->in_type[nc + i], &r->x_stride[i]));
    for (int o = nc; o < p->nout; o++)
        GV_TRY(gv_type_bytes(&p->out_type[o], &r->y_stride[o]));
    for (int pass = 0; pass < 2; pass++) {
        size_t at = 0;
        for (int i = 0; i < nc; i++) {
            GV_TRY(gv_type_bytes(&p->in_type[i], &bytes));
            bool apart = p->carry[i] == GV_CARRY_APART;
            r->other[i] = apart && pass ? r->spare + at : r->in[i];
            if (apart) at += (bytes + 63) & ~(size_t)63;
        }
        room = at;
        if (!pass && room && !(r->spare = gv_alloc(room))) return GV_ERR_MEMORY;
    }
    r->e = open_run(p, &r->pooled);
    return r->e ? GV_OK : GV_ERR_MEMORY;
}

static gv_status repeat_step(struct repeat *r, size_t t)
{
    const gv_program *p = r->p;
    int nc = p->n_carry;
    for (int i = 0; i < r->n_x; i++)
        r->now[nc + i] = (char *)r->in[nc + i] + t * r->x_stride[i];
    for (int i = 0; i < nc; i++) r->out[i] = r->other[i];
    for (int o = nc; o < p->nout; o++)
        r->out[o] = (char *)r->y[o - nc] + t * r->y_stride[o];
    set_ends(r->e, (const void *const *)r->now, r->out);
    GV_TRY(run_instr(r->e));
    for (int i = 0; i < nc; i++) {
        r->other[i] = r->now[i];
        r->now[i] = r->out[i];
    }
    return GV_OK;
}

/* The last step may have left a carry in the spare room. */
static gv_status repeat_settle(struct repeat *r)
{
    for (int i = 0; i < r->p->n_carry; i++) {
        size_t bytes;
        if (r->now[i] == r->in[i]) continue;
        GV_TRY(gv_type_bytes(&r->p->in_type[i], &bytes));
        memcpy(r->in[i], r->now[i], bytes);
    }
    return GV_OK;
}

static double exact_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

gv_status gv_program_repeat(gv_program *p, int n_x, void *const *in, void *const *y,
                            int64_t from, int64_t to, double seconds, int64_t *at)
{
    struct repeat r = { .p = p, .n_x = n_x, .in = in, .y = y };
    gv_status s = repeat_open(&r, p);
    double end = exact_now() + seconds;
    *at = from;
    while (s == GV_OK && *at < to) {
        s = repeat_step(&r, (size_t)(*at)++);
        if (seconds > 0 && exact_now() > end) break;
    }
    if (s == GV_OK) s = repeat_settle(&r);
    if (r.e) close_run(p, r.e, r.pooled);
    gv_free(r.spare);
    gv_free(r.x_stride);
    gv_free(r.now);
    return s;
}
