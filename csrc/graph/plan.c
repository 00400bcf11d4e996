/* From units to a program: buffers and instructions. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "graph/program.h"

extern const gv_op gv_op_input, gv_op_const;

#define ALIGN(x) (((size_t)(x) + 63) & ~(size_t)63)

struct plan {
    gv_program *p;
    const gv_graph *g;
    gv_units u;
    int *first_of, *next_of; /* nodes of each unit, ascending */
    bool *outside;           /* per value: read by another unit or returned */
    int *last_read;          /* per value: position of the last unit that reads it */
    int *last_step;          /* per value: last step of its own unit that reads it */
    int cap_buffer, cap_sub;
};

/* The root value that input i of node k reads, and through which broadcast. */
static gv_val source(const struct plan *pl, int k, int i, bool fused,
                     const gv_node **through)
{
    gv_val r = pl->u.root[pl->g->node[k]->in[i]];
    int j = pl->g->val_node[r];
    *through = NULL;
    if (pl->u.adaptor[j] && fused) {
        *through = pl->g->node[j];
        return pl->u.root[pl->g->node[j]->in[0]];
    }
    return r;
}

static gv_status new_buffer(struct plan *pl, gv_buffer b, int *index)
{
    gv_program *p = pl->p;
    if (p->n_buffer == pl->cap_buffer) {
        int cap = pl->cap_buffer ? 2 * pl->cap_buffer : 32;
        gv_buffer *more = gv_realloc(p->buffer, (size_t)pl->cap_buffer * sizeof *more,
                                     (size_t)cap * sizeof *more);
        if (!more) return GV_ERR_MEMORY;
        p->buffer = more;
        pl->cap_buffer = cap;
    }
    p->buffer[p->n_buffer] = b;
    *index = p->n_buffer++;
    return GV_OK;
}

static gv_status value_buffer(struct plan *pl, gv_val v)
{
    gv_program *p = pl->p;
    if (p->val_buffer[v] >= 0) return GV_OK;
    const gv_node *n = gv_graph_node(pl->g, v);
    gv_buffer b = { .place = GV_IN_ARENA, .first = INT32_MAX, .last = -1 };
    GV_TRY(gv_type_bytes(gv_graph_type(pl->g, v), &b.bytes));
    if (n->op == &gv_op_const) {
        b.place = GV_IN_CONST;
        b.data = gv_const_data(n);
    }
    return new_buffer(pl, b, &p->val_buffer[v]);
}

static void list_units(struct plan *pl)
{
    for (int u = 0; u < pl->u.n; u++) pl->first_of[u] = -1;
    for (int k = pl->g->n_node - 1; k >= 0; k--) {
        int u = pl->u.of_node[k];
        if (u < 0) continue;
        pl->next_of[k] = pl->first_of[u];
        pl->first_of[u] = k;
    }
}

static void find_last_reads(struct plan *pl)
{
    const gv_node *through;
    for (int i = 0; i < pl->u.n; i++) {
        int unit = pl->u.order[i];
        for (int k = pl->first_of[unit]; k >= 0; k = pl->next_of[k])
            for (int j = 0; j < pl->g->node[k]->nin; j++)
                pl->last_read[source(pl, k, j, pl->u.fused[unit], &through)] = i;
    }
    for (int i = 0; i < pl->p->nout; i++)
        pl->last_read[pl->u.root[pl->p->out[i]]] = INT32_MAX;
}

static void find_outside(struct plan *pl)
{
    const gv_graph *g = pl->g;
    const gv_node *through;
    for (int k = 0; k < g->n_node; k++) {
        int a = pl->u.of_node[k];
        if (a < 0) continue;
        for (int i = 0; i < g->node[k]->nin; i++) {
            gv_val r = source(pl, k, i, pl->u.fused[a], &through);
            if (pl->u.of_node[g->val_node[r]] != a || through) pl->outside[r] = true;
        }
    }
    for (int i = 0; i < pl->p->nout; i++) pl->outside[pl->u.root[pl->p->out[i]]] = true;
}

/* Inputs and outputs of the program get their places; copies are made at the end
 * for results that cannot be written where they are wanted. */
static gv_status place_ends(struct plan *pl, int *copies)
{
    gv_program *p = pl->p;
    for (int i = 0; i < p->nin; i++) {
        GV_TRY(value_buffer(pl, p->in[i]));
        gv_buffer *b = &p->buffer[p->val_buffer[p->in[i]]];
        b->place = GV_IN_INPUT;
        b->index = i;
        b->lent = p->lent && p->lent[i];
    }
    for (int i = 0; i < p->nout; i++) {
        gv_val r = pl->u.root[p->out[i]];
        GV_TRY(value_buffer(pl, r));
        gv_buffer *b = &p->buffer[p->val_buffer[r]];
        copies[i] = -1;
        if (i < p->n_carry && r == p->in[i] && !(p->options & GV_PLAN_DEBUG)) {
            p->carry[i] = GV_CARRY_KEPT;
            continue;
        }
        if (b->place == GV_IN_ARENA) {
            b->place = GV_IN_OUTPUT;
            b->index = i;
        } else {
            gv_buffer out = { .place = GV_IN_OUTPUT, .index = i, .bytes = b->bytes };
            GV_TRY(new_buffer(pl, out, &copies[i]));
        }
    }
    return GV_OK;
}

/* --- instructions --------------------------------------------------------------- */
static gv_status add_subs(struct plan *pl, gv_instr *in, const gv_node *n,
                          const bool *lent)
{
    gv_program *p = pl->p;
    in->first_sub = p->n_sub;
    bool calls = n->op->flags & GV_CALLS;
    in->n_sub = calls || n->op->carries ? 1 : n->nfunc; /* the others are not run */
    for (int k = 0; k < in->n_sub; k++) {
        if (p->n_sub == pl->cap_sub) {
            int cap = pl->cap_sub ? 2 * pl->cap_sub : 4;
            gv_program **more = gv_realloc(p->sub, (size_t)pl->cap_sub * sizeof *more,
                                           (size_t)cap * sizeof *more);
            if (!more) return GV_ERR_MEMORY;
            p->sub = more;
            pl->cap_sub = cap;
        }
        int n_carry = n->op->carries ? n->op->carries(n) : 0;
        gv_program **sub = &p->sub[p->n_sub];
        GV_TRY(gv_program_sub(n->func[k], n_carry, calls ? lent : NULL,
                              p->options & ~(unsigned)GV_PLAN_SLAB, sub));
        p->n_sub++;
        for (int i = 0; i < n_carry; i++) {
            size_t bytes;
            if ((*sub)->carry[i] != GV_CARRY_APART) continue;
            GV_TRY(gv_type_bytes(&(*sub)->in_type[i], &bytes));
            in->own_scratch = in->scratch += ALIGN(bytes);
        }
        in->scratch = ALIGN(in->scratch) + (*sub)->arena;
    }
    return GV_OK;
}

/* lent[i]: input i of the node, in unit number `at`, is read there for the last time
 * and by no other input of it. */
static void find_lent(const struct plan *pl, const gv_instr *in, int k, int at,
                      bool *lent)
{
    const gv_node *n = pl->g->node[k];
    const gv_node *through;
    for (int i = 0; i < n->nin; i++) {
        const gv_buffer *b = &pl->p->buffer[in->in[i]];
        lent[i] = (b->place == GV_IN_ARENA || b->lent) &&
            pl->last_read[source(pl, k, i, false, &through)] == at;
        for (int j = 0; j < n->nin; j++) lent[i] &= j == i || in->in[j] != in->in[i];
    }
}

static gv_status op_instr(struct plan *pl, gv_instr *in, int k, int at)
{
    const gv_node *n = pl->g->node[k];
    const gv_node *through;
    gv_program *p = pl->p;
    in->kind = GV_RUN_OP;
    in->node = n;
    in->nin = n->nin;
    in->nout = n->nout;
    in->in = gv_alloc(((size_t)n->nin + 1) * sizeof *in->in);
    in->out = gv_alloc(((size_t)n->nout + 1) * sizeof *in->out);
    gv_type *types = gv_alloc(((size_t)n->nin + 1) * sizeof *types);
    in->in_type = types;
    if (!in->in || !in->out || !types) return GV_ERR_MEMORY;
    for (int i = 0; i < n->nin; i++) {
        gv_val r = source(pl, k, i, false, &through);
        GV_TRY(value_buffer(pl, r));
        in->in[i] = p->val_buffer[r];
        types[i] = *gv_graph_type(pl->g, n->in[i]);
    }
    for (int o = 0; o < n->nout; o++) {
        GV_TRY(value_buffer(pl, n->first + o));
        in->out[o] = p->val_buffer[n->first + o];
    }
    in->own_scratch = in->scratch = ALIGN(n->scratch);
    if (n->nfunc) {
        bool *lent = gv_alloc_zero((size_t)n->nin + 1);
        if (!lent) return GV_ERR_MEMORY;
        if (n->op->flags & GV_CALLS) find_lent(pl, in, k, at, lent);
        gv_status s = add_subs(pl, in, n, lent);
        gv_free(lent);
        GV_TRY(s);
    }
    if (n->op->flags & GV_DESTROYS) {
        in->copy_input = 1;
        in->scratch += ALIGN(p->buffer[in->in[0]].bytes);
    }
    return GV_OK;
}

static int find_operand(gv_fused *f, gv_operand want)
{
    for (int i = 0; i < f->n_operand; i++)
        if (f->operand[i].buffer == want.buffer &&
            f->operand[i].repeat == want.repeat && f->operand[i].period == want.period)
            return i;
    f->operand[f->n_operand] = want;
    return f->n_operand++;
}

struct regs {
    int *of_node;   /* register of the node's value (operands are found by buffer) */
    int *free_list; /* free temporaries */
    int n_free;
};

static gv_status fused_operands(struct plan *pl, gv_fused *f, int unit)
{
    const gv_graph *g = pl->g;
    const gv_node *through;
    int s = 0;
    for (int k = pl->first_of[unit]; k >= 0; k = pl->next_of[k], s++) {
        const gv_node *n = g->node[k];
        gv_dtype d[3];
        gv_step *step = &f->step[s];
        step->nin = n->nin;
        step->node = n;
        f->cost += n->op->flops > 0 ? n->op->flops : 0.1;
        for (int i = 0; i < n->nin; i++) {
            d[i] = gv_graph_type(g, n->in[i])->dtype;
            gv_val r = source(pl, k, i, true, &through);
            if (!through && pl->u.of_node[g->val_node[r]] == unit) {
                step->in[i] = -1 - g->val_node[r]; /* resolved later */
                pl->last_step[r] = s;
                continue;
            }
            GV_TRY(value_buffer(pl, r));
            gv_operand want = { .buffer = pl->p->val_buffer[r],
                                .repeat = 1,
                                .period = f->n,
                                .item = (uint32_t)gv_dtype_size(d[i]) };
            if (through)
                gv_broadcast_pattern(through, gv_graph_type(g, through->in[0]),
                                     &want.repeat, &want.period);
            want.full = want.repeat == 1 && want.period == f->n;
            step->in[i] = find_operand(f, want);
        }
        step->fn = n->op->ew(n->op, d, n->type[0].dtype);
        if (pl->outside[n->first]) {
            GV_TRY(value_buffer(pl, n->first));
            f->store[f->n_store] = pl->p->val_buffer[n->first];
            f->store_item[f->n_store] = (uint32_t)gv_dtype_size(n->type[0].dtype);
            step->out = -1 - f->n_store++;
        } else {
            step->out = INT32_MAX;
        }
    }
    return GV_OK;
}

static void fused_registers(struct plan *pl, gv_fused *f, struct regs *r)
{
    int base = f->n_operand + f->n_store;
    for (int s = 0; s < f->n_step; s++) {
        gv_step *step = &f->step[s];
        int dying[3], n_dying = 0;
        for (int i = 0; i < step->nin; i++) {
            if (step->in[i] >= 0) continue;
            int j = -1 - step->in[i];
            step->in[i] = r->of_node[j];
            gv_val v = pl->g->node[j]->first;
            if (step->in[i] >= base && pl->last_step[v] == s) {
                bool twice = false;
                for (int q = 0; q < n_dying; q++) twice |= dying[q] == step->in[i];
                if (!twice) dying[n_dying++] = step->in[i];
            }
        }
        /* a dying input's register may take the output: kernels allow out == in, when
         * all elements have one size (a widening cast would overrun what it reads) */
        size_t item = gv_dtype_size(step->node->type[0].dtype);
        bool one_size = true;
        for (int i = 0; i < step->nin; i++)
            one_size &=
                gv_dtype_size(gv_graph_type(pl->g, step->node->in[i])->dtype) == item;
        while (one_size && n_dying) r->free_list[r->n_free++] = dying[--n_dying] - base;
        if (step->out == INT32_MAX) {
            int t = r->n_free ? r->free_list[--r->n_free] : f->n_temp++;
            step->out = base + t;
        } else {
            step->out = f->n_operand + (-1 - step->out);
        }
        while (n_dying) r->free_list[r->n_free++] = dying[--n_dying] - base;
        r->of_node[pl->g->val_node[step->node->first]] = step->out;
    }
}

static void fused_blocks(gv_fused *f, uint32_t item)
{
    for (int i = 0; i < f->n_operand; i++) f->n_fill += !f->operand[i].full;
    int streams = f->n_operand + f->n_store + f->n_temp;
    int64_t block =
        32768 / ((int64_t)item * (streams > 2 ? streams : 2)) & ~(int64_t)63;
    if (block < 128) block = 128;
    if (block > 4096) block = 4096;
    if (block > f->n) block = f->n > 0 ? f->n : 1;
    f->block = block;
    f->reg_bytes = (uint32_t)ALIGN((size_t)block * item);
    f->chunk = f->n;
    if ((double)f->n * (f->cost + 0.1) >
        40e3) { /* worth more than one thread: > 40 us */
        int64_t chunk = f->n / 64;
        int64_t least = (int64_t)(10e3 / (f->cost + 0.1));
        if (chunk < least) chunk = least;
        f->chunk = (chunk + block - 1) / block * block;
    }
}

static gv_status fused_instr(struct plan *pl, gv_instr *in, int unit, struct regs *r)
{
    int n_step = 0, n_in = 0;
    for (int k = pl->first_of[unit]; k >= 0; k = pl->next_of[k]) {
        n_step++;
        n_in += pl->g->node[k]->nin;
    }
    const gv_node *head = pl->g->node[pl->first_of[unit]];
    gv_fused *f = gv_alloc_zero(sizeof *f);
    if (!f) return GV_ERR_MEMORY;
    in->kind = GV_RUN_FUSED;
    in->fused = f;
    in->node = head;
    f->n = gv_shape_size(&head->type[0].shape);
    f->n_step = n_step;
    f->step = gv_alloc_zero((size_t)n_step * sizeof *f->step);
    f->operand = gv_alloc(((size_t)n_in + 1) * sizeof *f->operand);
    f->store = gv_alloc(((size_t)n_step + 1) * sizeof *f->store);
    f->store_item = gv_alloc(((size_t)n_step + 1) * sizeof *f->store_item);
    if (!f->step || !f->operand || !f->store || !f->store_item) return GV_ERR_MEMORY;
    GV_TRY(fused_operands(pl, f, unit));
    r->n_free = 0;
    fused_registers(pl, f, r);
    uint32_t item = 1;
    for (int s = 0; s < n_step; s++) {
        uint32_t b = (uint32_t)gv_dtype_size(f->step[s].node->type[0].dtype);
        if (b > item) item = b;
    }
    for (int i = 0; i < f->n_operand; i++)
        if (f->operand[i].item > item) item = f->operand[i].item;
    fused_blocks(f, item);
    if (f->chunk >= f->n) in->scratch = gv_fused_scratch(f);
    in->nin = f->n_operand;
    in->nout = f->n_store;
    in->in = gv_alloc(((size_t)f->n_operand + 1) * sizeof *in->in);
    in->out = gv_alloc(((size_t)f->n_store + 1) * sizeof *in->out);
    if (!in->in || !in->out) return GV_ERR_MEMORY;
    for (int i = 0; i < f->n_operand; i++) in->in[i] = f->operand[i].buffer;
    for (int i = 0; i < f->n_store; i++) in->out[i] = f->store[i];
    return GV_OK;
}

static gv_status copy_instr(gv_instr *in, int from, int to)
{
    in->kind = GV_RUN_COPY;
    in->nin = in->nout = 1;
    in->in = gv_alloc(sizeof *in->in);
    in->out = gv_alloc(sizeof *in->out);
    if (!in->in || !in->out) return GV_ERR_MEMORY;
    in->in[0] = from;
    in->out[0] = to;
    return GV_OK;
}

/* Copies of results that cannot be made in place: those of carries run first, before
 * the carry is overwritten. */
static gv_status copy_results(struct plan *pl, const int *copies, bool carries)
{
    gv_program *p = pl->p;
    for (int i = 0; i < p->nout; i++) {
        if (copies[i] < 0) continue;
        int from = p->val_buffer[pl->u.root[p->out[i]]];
        const gv_buffer *b = &p->buffer[from];
        if ((b->place == GV_IN_INPUT && b->index < p->n_carry) == carries)
            GV_TRY(copy_instr(&p->instr[p->n_instr++], from, copies[i]));
    }
    return GV_OK;
}

static gv_status make_instructions(struct plan *pl, const int *copies)
{
    gv_program *p = pl->p;
    size_t most = (size_t)pl->u.n + (size_t)p->nout + 1;
    p->instr = gv_alloc_zero(most * sizeof *p->instr);
    struct regs r = { .of_node = gv_alloc(((size_t)pl->g->n_node + 1) * sizeof(int)),
                      .free_list =
                          gv_alloc(((size_t)pl->g->n_node + 1) * sizeof(int)) };
    gv_status s = p->instr && r.of_node && r.free_list ? GV_OK : GV_ERR_MEMORY;
    if (s == GV_OK) s = copy_results(pl, copies, true);
    for (int i = 0; s == GV_OK && i < pl->u.n; i++) {
        int unit = pl->u.order[i];
        gv_instr *in = &p->instr[p->n_instr++];
        s = pl->u.fused[unit] ? fused_instr(pl, in, unit, &r)
                              : op_instr(pl, in, pl->first_of[unit], i);
    }
    if (s == GV_OK) s = copy_results(pl, copies, false);
    gv_free(r.of_node);
    gv_free(r.free_list);
    return s;
}

static gv_status plan_all(struct plan *pl, int *copies)
{
    gv_program *p = pl->p;
    for (int v = 0; v < pl->g->n_val; v++) p->val_buffer[v] = -1;
    list_units(pl);
    find_outside(pl);
    find_last_reads(pl);
    GV_TRY(place_ends(pl, copies));
    GV_TRY(make_instructions(pl, copies));
    GV_TRY(gv_place_buffers(p));
    for (int i = 0; i < p->nout; i++) {
        size_t bytes;
        GV_TRY(gv_type_bytes(&p->out_type[i], &bytes));
        p->out_bytes += bytes;
    }
    return GV_OK;
}

gv_status gv_plan(gv_program *p)
{
    struct plan pl = { .p = p, .g = p->g };
    gv_status s = gv_fuse(p, &pl.u);
    size_t n = (size_t)p->g->n_node + 1, m = (size_t)p->g->n_val + 1;
    int *copies = gv_alloc(((size_t)p->nout + 1) * sizeof *copies);
    pl.first_of = gv_alloc(n * sizeof(int));
    pl.next_of = gv_alloc(n * sizeof(int));
    pl.outside = gv_alloc_zero(m);
    pl.last_step = gv_alloc_zero(m * sizeof(int));
    pl.last_read = gv_alloc_zero(m * sizeof(int));
    p->val_buffer = gv_alloc(m * sizeof *p->val_buffer);
    if (s == GV_OK &&
        !(copies && pl.first_of && pl.next_of && pl.outside && pl.last_step &&
          pl.last_read && p->val_buffer))
        s = GV_ERR_MEMORY;
    if (s == GV_OK) s = plan_all(&pl, copies);
    gv_units_clear(&pl.u);
    gv_free(copies), gv_free(pl.first_of), gv_free(pl.next_of);
    gv_free(pl.outside), gv_free(pl.last_step);
    gv_free(pl.last_read);
    return s;
}
