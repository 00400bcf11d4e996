/* Where buffers lie: lifetimes, reuse in place, offsets in the arena and the slab.
 *
 * Blocks are placed largest first at the lowest offset that is free for all of their
 * life. Large results may share one slab whose room is lent to temporaries that die
 * before the results are written. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "graph/program.h"

#define ALIGN(x) (((size_t)(x) + 63) & ~(size_t)63)

struct arena {
    gv_program *p;
    int *merged; /* per buffer: the buffer that it continues in place */
};

static void find_lifetimes(gv_program *p)
{
    for (int b = 0; b < p->n_buffer; b++)
        p->buffer[b].first = INT32_MAX, p->buffer[b].last = -1;
    for (int i = 0; i < p->n_instr; i++) {
        const gv_instr *in = &p->instr[i];
        for (int k = 0; k < in->nin; k++) p->buffer[in->in[k]].last = i;
        for (int k = 0; k < in->nout; k++) {
            gv_buffer *b = &p->buffer[in->out[k]];
            if (i < b->first) b->first = i;
            if (i > b->last) b->last = i;
        }
    }
}

/* May store s of the pass overwrite operand o? Its last reader must not come after
 * the step that writes, and no other operand may show the same buffer. */
bool gv_fused_may_overwrite(const gv_fused *f, int o, int s)
{
    if (!f->operand[o].full || f->operand[o].item != f->store_item[s]) return false;
    for (int i = 0; i < f->n_operand; i++)
        if (i != o && f->operand[i].buffer == f->operand[o].buffer) return false;
    int last = -1, write = -1;
    for (int k = 0; k < f->n_step; k++) {
        for (int i = 0; i < f->step[k].nin; i++)
            if (f->step[k].in[i] == o) last = k;
        if (f->step[k].out == f->n_operand + s) write = k;
    }
    return last <= write;
}

static int merged_root(const int *merged, int b)
{
    while (merged[b] != b) b = merged[b];
    return b;
}

static bool try_merge(struct arena *pl, int from, int to, int i)
{
    gv_buffer *a = &pl->p->buffer[from], *b = &pl->p->buffer[to];
    bool free_room = a->place == GV_IN_ARENA || a->lent;
    if (from == to || !free_room || b->place != GV_IN_ARENA) return false;
    if (a->last != i || b->first != i || a->bytes != b->bytes) return false;
    a->last = -2; /* taken */
    b->place = a->place;
    b->index = a->index;
    b->lent = a->lent;
    pl->merged[to] = from;
    return true;
}

static void merge_in_place(struct arena *pl)
{
    gv_program *p = pl->p;
    for (int b = 0; b < p->n_buffer; b++) pl->merged[b] = b;
    if (p->options & GV_PLAN_DEBUG) return;
    for (int i = 0; i < p->n_instr; i++) {
        gv_instr *in = &p->instr[i];
        if (in->kind == GV_RUN_FUSED && in->fused->n_step <= 512) {
            for (int s = 0; s < in->nout; s++)
                for (int o = 0; o < in->nin; o++)
                    if (gv_fused_may_overwrite(in->fused, o, s) &&
                        try_merge(pl, in->in[o], in->out[s], i))
                        break;
        } else if (in->kind == GV_RUN_OP && in->nin > 0) {
            const gv_op *op = in->node->op;
            int n = op->carries ? op->carries(in->node) : (op->flags & GV_INPLACE) != 0;
            for (int k = 0; k < n; k++) {
                bool twice = false;
                for (int j = 0; j < in->nin; j++)
                    twice |= j != k && in->in[j] == in->in[k];
                if (!twice) try_merge(pl, in->in[k], in->out[k], i);
            }
        }
    }
}

struct block {
    size_t bytes, offset;
    int first, last, buffer; /* buffer -1 - i: scratch of instruction i */
    bool fixed;              /* a result in the slab, placed before all others */
};

enum { SLAB_LEAST = 16384 }; /* smaller results stay on their own */

static int by_size(const void *a, const void *b)
{
    const struct block *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    if (x->first != y->first) return x->first - y->first;
    return x->buffer - y->buffer;
}

static int by_begin(const void *a, const void *b)
{
    const struct block *x = a, *y = b;
    return x->first != y->first ? x->first - y->first : by_size(a, b);
}

static int by_end(const void *a, const void *b)
{
    const struct block *x = a, *y = b;
    return x->last != y->last ? y->last - x->last : by_size(a, b);
}

static int by_life(const void *a, const void *b)
{
    const struct block *x = a, *y = b;
    int m = x->last - x->first, n = y->last - y->first;
    return m != n ? n - m : by_size(a, b);
}

/* Lowest room for block i that no placed block of overlapping life touches and that
 * does not straddle the end of the slab; scratch lies beyond it. */
static size_t lowest_room(const struct block *blk, int i, size_t slab)
{
    size_t at = blk[i].buffer < 0 ? slab : 0, bytes = blk[i].bytes;
    bool moved = true;
    while (moved) {
        moved = false;
        if (at < slab && at + bytes > slab) at = slab;
        for (int j = 0; j < i; j++) {
            if (blk[j].last < blk[i].first || blk[j].first > blk[i].last) continue;
            if (at < blk[j].offset + blk[j].bytes && blk[j].offset < at + bytes) {
                at = blk[j].offset + blk[j].bytes;
                moved = true;
            }
        }
    }
    return at;
}

/* Place blocks [from, n) in their order; returns the end. */
static size_t place_from(struct block *blk, int from, int n, size_t slab)
{
    size_t end = slab;
    for (int i = 0; i < n; i++) {
        if (i >= from) blk[i].offset = lowest_room(blk, i, slab);
        if (blk[i].offset + blk[i].bytes > end) end = blk[i].offset + blk[i].bytes;
    }
    return end;
}

enum {
    ARENA_LARGE = 1 << 24, /* bytes: worth a search */
    SEARCH_MOST = 64,      /* blocks in a search */
    SEARCH_TRIES = 24      /* per first order */
};

/* The block that ends highest goes first next time. */
static void promote_top(struct block *blk, int from, int n)
{
    int top = from;
    for (int i = from; i < n; i++)
        if (blk[i].offset + blk[i].bytes > blk[top].offset + blk[top].bytes) top = i;
    struct block b = blk[top];
    memmove(blk + from + 1, blk + from, (size_t)(top - from) * sizeof b);
    blk[from] = b;
}

/* What lives at once: no placement ends below that. */
static size_t most_alive(const struct block *blk, int from, int n)
{
    size_t most = 0;
    for (int i = from; i < n; i++) {
        size_t sum = 0;
        for (int j = from; j < n; j++)
            if (blk[j].first <= blk[i].first && blk[i].first <= blk[j].last)
                sum += blk[j].bytes;
        if (sum > most) most = sum;
    }
    return most;
}

/* Find a good order for the large blocks [from, n); keep has room for all n. */
static void search_order(struct block *blk, int from, int n, size_t slab,
                         struct block *keep)
{
    static int (*const first[])(const void *, const void *) = { by_size, by_begin,
                                                                by_end, by_life };
    size_t least = SIZE_MAX, bound = most_alive(blk, from, n);
    for (int k = 0; k < 4 && least > bound; k++) {
        qsort(blk + from, (size_t)(n - from), sizeof *blk, first[k]);
        for (int tries = 0; tries < SEARCH_TRIES && least > bound; tries++) {
            size_t end = place_from(blk, from, n, slab);
            if (end < least) {
                least = end;
                memcpy(keep, blk, (size_t)n * sizeof *blk);
            }
            promote_top(blk, from, n);
        }
    }
    memcpy(blk, keep, (size_t)n * sizeof *blk);
}

/* Place all; returns the end. The first n_fixed blocks are results, packed from 0.
 * Largest first; for large arenas the order of the large blocks is searched for. */
static gv_status place_blocks(struct block *blk, int n, int n_fixed, size_t slab,
                              size_t *end)
{
    qsort(blk + n_fixed, (size_t)(n - n_fixed), sizeof *blk, by_size);
    *end = place_from(blk, n_fixed, n, slab);
    if (*end - slab < ARENA_LARGE || n == n_fixed) return GV_OK;
    int large = n_fixed;
    while (large < n && large < n_fixed + SEARCH_MOST &&
           blk[large].bytes >= blk[n_fixed].bytes / 256)
        large++;
    struct block *keep = gv_alloc((size_t)(n + large) * sizeof *keep);
    if (!keep) return GV_ERR_MEMORY;
    memcpy(keep, blk, (size_t)n * sizeof *blk);
    search_order(blk, n_fixed, large, slab, keep + n);
    size_t found = place_from(blk, large, n, slab);
    if (found < *end)
        *end = found;
    else
        memcpy(blk, keep, (size_t)n * sizeof *blk);
    gv_free(keep);
    return GV_OK;
}

/* Results large enough for the slab, in the order they are written: early ones last,
 * so that the room of late ones is lent longest in one piece. */
static int slab_blocks(const gv_program *p, struct block *blk, size_t *slab)
{
    int n = 0;
    *slab = 0;
    if (!(p->options & GV_PLAN_SLAB)) return 0;
    for (int b = 0; b < p->n_buffer; b++) {
        const gv_buffer *f = &p->buffer[b];
        if (f->place != GV_IN_OUTPUT || f->bytes < SLAB_LEAST || f->first >= p->n_instr)
            continue;
        int i = n++;
        for (; i > 0 && blk[i - 1].first < f->first; i--) blk[i] = blk[i - 1];
        blk[i] = (struct block){ ALIGN(f->bytes), 0, f->first, p->n_instr, b, true };
    }
    for (int i = 0; i < n; i++) {
        blk[i].offset = *slab;
        *slab += blk[i].bytes;
    }
    return n;
}

static int temporary_blocks(struct arena *pl, struct block *blk, int *of)
{
    gv_program *p = pl->p;
    int n = 0;
    for (int b = 0; b < p->n_buffer; b++) {
        gv_buffer *f = &p->buffer[b];
        of[b] = -1;
        if (f->place != GV_IN_ARENA || pl->merged[b] != b || f->first == INT32_MAX)
            continue;
        of[b] = n;
        blk[n++] = (struct block){
            ALIGN(f->bytes ? f->bytes : 1), 0, f->first, f->first, b, false
        };
    }
    for (int b = 0; b < p->n_buffer; b++) {
        int r = merged_root(pl->merged, b);
        if (of[r] < 0) continue;
        if (p->buffer[b].last > blk[of[r]].last) blk[of[r]].last = p->buffer[b].last;
        if (p->buffer[b].first != INT32_MAX && p->buffer[b].first > blk[of[r]].last)
            blk[of[r]].last = p->buffer[b].first;
    }
    for (int i = 0; i < p->n_instr; i++)
        if (p->instr[i].scratch)
            blk[n++] =
                (struct block){ ALIGN(p->instr[i].scratch), 0, i, i, -1 - i, false };
    return n;
}

static void keep_offsets(struct arena *pl, const struct block *blk, int n, size_t slab)
{
    gv_program *p = pl->p;
    for (int i = 0; i < n; i++) {
        if (blk[i].buffer < 0) {
            p->instr[-1 - blk[i].buffer].scratch_offset = blk[i].offset - slab;
        } else if (blk[i].fixed) {
            p->slab_at[p->buffer[blk[i].buffer].index] = (int64_t)blk[i].offset;
        } else {
            gv_buffer *f = &p->buffer[blk[i].buffer];
            f->in_slab = blk[i].offset < slab;
            f->offset = f->in_slab ? blk[i].offset : blk[i].offset - slab;
        }
    }
    for (int b = 0; b < p->n_buffer; b++) {
        const gv_buffer *r = &p->buffer[merged_root(pl->merged, b)];
        p->buffer[b].offset = r->offset;
        p->buffer[b].in_slab = r->in_slab;
    }
}

static gv_status assign_arena(struct arena *pl)
{
    gv_program *p = pl->p;
    size_t room = (size_t)(p->n_buffer + p->n_instr + p->nout + 1), slab;
    struct block *blk = gv_alloc(room * sizeof *blk),
                 *plain = gv_alloc(room * sizeof *plain);
    int *of = gv_alloc(((size_t)p->n_buffer + 1) * sizeof *of);
    p->slab_at = gv_alloc(((size_t)p->nout + 1) * sizeof *p->slab_at);
    gv_status s = blk && plain && of && p->slab_at ? GV_OK : GV_ERR_MEMORY;
    if (s == GV_OK) {
        for (int i = 0; i < p->nout; i++) p->slab_at[i] = -1;
        int n_plain = temporary_blocks(pl, plain, of);
        int n_fixed = slab_blocks(p, blk, &slab), n = n_fixed + n_plain;
        memcpy(blk + n_fixed, plain, (size_t)n_plain * sizeof *plain);
        size_t arena, shared = 0;
        s = place_blocks(plain, n_plain, 0, 0, &arena);
        if (s == GV_OK && n_fixed) s = place_blocks(blk, n, n_fixed, slab, &shared);
        if (s == GV_OK && n_fixed && shared - slab < arena - arena / 256) {
            p->slab = slab;
            p->arena = shared - slab;
            keep_offsets(pl, blk, n, slab);
        } else if (s == GV_OK) {
            p->arena = arena;
            keep_offsets(pl, plain, n_plain, 0);
        }
    }
    gv_free(blk);
    gv_free(plain);
    gv_free(of);
    return s;
}

gv_status gv_place_buffers(gv_program *p)
{
    struct arena pl = { .p = p };
    pl.merged = gv_alloc(((size_t)p->n_buffer + 1) * sizeof *pl.merged);
    if (!pl.merged) return GV_ERR_MEMORY;
    find_lifetimes(p);
    gv_status s = gv_carry_slots(p);
    if (s == GV_OK) merge_in_place(&pl);
    if (s == GV_OK) s = assign_arena(&pl);
    gv_free(pl.merged);
    return s;
}
