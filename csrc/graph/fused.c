/* One fused element-wise pass: blocks of elements through all steps while they are
 * in cache. Chunks (tasks) are cut by problem size only. */
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "graph/program.h"

size_t gv_fused_scratch(const gv_fused *f)
{
    size_t regs = (size_t)(f->n_operand + f->n_store + f->n_temp) * sizeof(void *);
    return ((regs + 63) & ~(size_t)63) + (size_t)(f->n_temp + f->n_fill) * f->reg_bytes;
}

static void repeat_value(char *to, const char *from, uint32_t item, int64_t n)
{
    if (item == 4) {
        uint32_t v;
        memcpy(&v, from, 4);
        for (int64_t i = 0; i < n; i++) ((uint32_t *)(void *)to)[i] = v;
    } else if (item == 8) {
        uint64_t v;
        memcpy(&v, from, 8);
        for (int64_t i = 0; i < n; i++) ((uint64_t *)(void *)to)[i] = v;
    } else if (item == 1) {
        memset(to, *from, (size_t)n);
    } else {
        for (int64_t i = 0; i < n; i++) memcpy(to + i * item, from, item);
    }
}

/* Expand elements [start, start + m) of buffer[(i / repeat) % period]. */
static const void *expand(const gv_operand *o, const char *data, char *fill,
                          int64_t start, int64_t m)
{
    size_t item = o->item;
    if (o->repeat == 1) {
        int64_t at = start % o->period;
        if (at + m <= o->period) return data + (size_t)at * item;
        for (int64_t done = 0; done < m;) {
            int64_t run = o->period - at;
            if (run > m - done) run = m - done;
            memcpy(fill + (size_t)done * item, data + (size_t)at * item,
                   (size_t)run * item);
            done += run;
            at = 0;
        }
        return fill;
    }
    for (int64_t done = 0; done < m;) {
        int64_t i = start + done;
        int64_t run = o->repeat - i % o->repeat;
        if (run > m - done) run = m - done;
        repeat_value(fill + (size_t)done * item,
                     data + (size_t)(i / o->repeat % o->period) * item, o->item, run);
        done += run;
    }
    return fill;
}

struct pass {
    const gv_fused *f;
    void **ptr;
};

static void run_range(const gv_fused *f, void **ptr, char *scratch, int64_t from,
                      int64_t to)
{
    void **reg = (void **)(void *)scratch;
    int base = f->n_operand + f->n_store;
    char *temp =
        scratch + (((size_t)(base + f->n_temp) * sizeof(void *) + 63) & ~(size_t)63);
    char *fill = temp + (size_t)f->n_temp * f->reg_bytes;
    for (int t = 0; t < f->n_temp; t++) reg[base + t] = temp + (size_t)t * f->reg_bytes;
    int64_t block = f->block < to - from ? f->block : to - from;
    for (int o = 0; o < f->n_operand; o++) { /* scalars: filled once */
        const gv_operand *x = &f->operand[o];
        if (x->full) {
            reg[o] = (char *)ptr[x->buffer] + (size_t)from * x->item;
        } else {
            reg[o] = fill;
            fill += f->reg_bytes;
            if (x->period == 1) repeat_value(reg[o], ptr[x->buffer], x->item, block);
        }
    }
    for (int s = 0; s < f->n_store; s++)
        reg[f->n_operand + s] =
            (char *)ptr[f->store[s]] + (size_t)from * f->store_item[s];
    char *fill0 = temp + (size_t)f->n_temp * f->reg_bytes;
    for (int64_t at = from; at < to; at += block) {
        int64_t m = to - at < block ? to - at : block;
        fill = fill0;
        for (int o = 0; o < f->n_operand; o++) {
            const gv_operand *x = &f->operand[o];
            if (x->full) continue;
            if (x->period != 1)
                reg[o] = (void *)(uintptr_t)expand(x, ptr[x->buffer], fill, at, m);
            fill += f->reg_bytes;
        }
        for (const gv_step *s = f->step, *end = s + f->n_step; s < end; s++) {
            const void *in[3];
            for (int i = 0; i < s->nin; i++) in[i] = reg[s->in[i]];
            s->fn(m, in, reg[s->out]);
        }
        for (int o = 0; o < f->n_operand; o++)
            if (f->operand[o].full)
                reg[o] = (char *)reg[o] + (size_t)m * f->operand[o].item;
        for (int s = 0; s < f->n_store; s++)
            reg[f->n_operand + s] =
                (char *)reg[f->n_operand + s] + (size_t)m * f->store_item[s];
    }
}

static void run_chunk(void *ctx, int64_t index)
{
    const struct pass *p = ctx;
    const gv_fused *f = p->f;
    int64_t from = index * f->chunk;
    int64_t to = from + f->chunk < f->n ? from + f->chunk : f->n;
    char scratch[gv_fused_scratch(f) +
                 64]; /* bounded: chunked passes have few registers */
    char *aligned = (char *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63);
    run_range(f, p->ptr, aligned, from, to);
}

void gv_fused_run(const gv_fused *f, void **ptr, char *scratch)
{
    if (f->n <= 0) return;
    if (f->chunk >= f->n) {
        run_range(f, ptr, scratch, 0, f->n);
        return;
    }
    struct pass p = { f, ptr };
    gv_parallel_for((f->n + f->chunk - 1) / f->chunk, run_chunk, &p);
}
