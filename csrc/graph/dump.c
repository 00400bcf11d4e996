/* A program as a table: what runs, on what, where it lies. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "graph/program.h"

struct text {
    char *s;
    size_t n, cap;
    bool bad;
};

static void GV_PRINTF(2, 3) add(struct text *t, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int need = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    if (need < 0 || t->bad) return;
    if (t->n + (size_t)need + 1 > t->cap) {
        size_t cap = 2 * (t->n + (size_t)need + 128);
        char *s = gv_realloc(t->s, t->cap, cap);
        if (!s) {
            t->bad = true;
            return;
        }
        t->s = s;
        t->cap = cap;
    }
    va_start(ap, format);
    vsnprintf(t->s + t->n, t->cap - t->n, format, ap);
    va_end(ap);
    t->n += (size_t)need;
}

static void add_buffer(struct text *t, const gv_program *p, int b)
{
    const gv_buffer *f = &p->buffer[b];
    switch (f->place) {
    case GV_IN_INPUT: add(t, " in%d", f->index); break;
    case GV_IN_OUTPUT: add(t, " out%d", f->index); break;
    case GV_IN_CONST: add(t, " const"); break;
    default: add(t, " @%zu", f->offset);
    }
}

static void add_program(struct text *t, const gv_program *p, int indent)
{
    char buf[160];
    for (int i = 0; i < p->n_instr; i++) {
        const gv_instr *in = &p->instr[i];
        add(t, "%*s%3d ", indent, "", i);
        if (in->kind == GV_RUN_COPY) {
            add(t, "copy");
        } else if (in->kind == GV_RUN_OP) {
            add(t, "%s", in->node->op->name);
        } else {
            add(t, "fused[");
            int most = in->fused->n_step < 12 ? in->fused->n_step : 12;
            for (int k = 0; k < most; k++)
                add(t, "%s%s", k ? " " : "", in->fused->step[k].node->op->name);
            if (most < in->fused->n_step) add(t, " ... %d", in->fused->n_step);
            add(t, "]");
        }
        for (int k = 0; k < in->nin; k++) add_buffer(t, p, in->in[k]);
        add(t, " ->");
        for (int k = 0; k < in->nout; k++) add_buffer(t, p, in->out[k]);
        if (in->node)
            add(t, "  %s", gv_type_format(&in->node->type[0], buf, sizeof buf));
        add(t, "\n");
        for (int k = 0; k < in->n_sub; k++)
            add_program(t, p->sub[in->first_sub + k], indent + 4);
    }
}

char *gv_program_dump(const gv_program *p)
{
    struct text t = { 0 };
    add(&t, "peak %zu bytes: arena %zu, results %zu; %d instructions\n",
        gv_program_peak(p), p->arena, p->out_bytes, p->n_instr);
    add_program(&t, p, 0);
    if (t.bad) {
        gv_free(t.s);
        return NULL;
    }
    return t.s;
}
