/* Programs: planned graphs that the VM runs.
 *
 *   canon.c   copies the live part of a graph in a canonical order: replaced values
 *             followed, aliases dropped, simplified, common sub-expressions merged
 *   merge.c   finds pairs of nodes that one pass over the same data can do
 *   fuse.c    groups element-wise nodes into single passes over memory
 *   carry.c   updates a loop's carries where they lie
 *   plan.c    buffers and instructions
 *   arena.c   lifetimes, reuse in place, offsets
 *   vm.c      runs instructions; dump.c prints them
 *
 * A program is immutable and may be shared; each run uses an exec (workspace) of its
 * own. Everything is allocated when planning, nothing during a run except the arena. */
#ifndef GV_GRAPH_PROGRAM_H
#define GV_GRAPH_PROGRAM_H

#include <pthread.h>

#include "graph/graph.h"

enum {
    GV_PLAN_DEBUG = 1, /* node by node, nothing in place, NaN checks */
    GV_PLAN_SLAB = 2   /* the caller can provide a slab for large results */
};

typedef enum gv_place { GV_IN_ARENA, GV_IN_INPUT, GV_IN_OUTPUT, GV_IN_CONST } gv_place;

typedef struct gv_buffer {
    gv_place place;
    int index;     /* of the input or output */
    size_t offset; /* in the arena, or in the slab of results */
    bool in_slab;  /* GV_IN_ARENA, but lent room of results not yet written */
    bool lent;     /* GV_IN_INPUT, but nobody needs the input afterwards */
    size_t bytes;
    const void *data; /* constants */
    int first, last;  /* instructions that write first and read last */
} gv_buffer;

/* How an operand of a fused pass is read at element i: buffer[(i / repeat) % period]. */
typedef struct gv_operand {
    int buffer;
    int64_t repeat, period;
    bool full; /* plain: element i */
    uint32_t item;
} gv_operand;

typedef struct gv_step {
    gv_ew_fn fn;
    int nin;
    int in[3]; /* registers */
    int out;
    const gv_node *node;
} gv_step;

/* Registers: [0, n_operand) are operands, then n_store outputs, then temporaries. */
typedef struct gv_fused {
    int64_t n;     /* elements */
    int64_t block; /* elements per block */
    int64_t chunk; /* elements per task; n when serial */
    int n_operand, n_store, n_temp, n_step, n_fill;
    uint32_t reg_bytes; /* of one temporary */
    gv_operand *operand;
    int *store; /* buffers */
    uint32_t *store_item;
    gv_step *step;
    double cost; /* estimated ns per element */
} gv_fused;

typedef enum gv_kind { GV_RUN_OP, GV_RUN_FUSED, GV_RUN_COPY } gv_kind;

typedef struct gv_instr {
    gv_kind kind;
    const gv_node *node; /* of the canonical graph */
    gv_fused *fused;
    int nin, nout;
    int *in, *out;          /* buffers */
    const gv_type *in_type; /* (nin) */
    size_t scratch;         /* bytes */
    size_t scratch_offset;  /* in the arena */
    int copy_input;         /* DESTROYS: input 0 is copied to scratch first */
    size_t own_scratch;     /* the op's own part of scratch; sub-arenas follow */
    int n_sub, first_sub;
} gv_instr;

typedef struct gv_exec gv_exec;

/* How the body of a loop hands a carry on. */
typedef enum gv_carry {
    GV_CARRY_APART,  /* input and output need memory of their own */
    GV_CARRY_SHARED, /* the output may be given the input's memory */
    GV_CARRY_KEPT    /* unchanged: the output is not written */
} gv_carry;

typedef struct gv_program {
    gv_graph *g; /* canonical */
    int nin, nout;
    gv_val *in, *out;
    gv_type *in_type, *out_type;
    int n_buffer, n_instr, n_sub;
    gv_buffer *buffer;
    int *val_buffer; /* of each value, -1 none */
    gv_instr *instr;
    struct gv_program **sub; /* all sub-programs */
    size_t arena, out_bytes;
    /* Large results may share one slab, so that temporaries can use its room until
     * the results are written. 0: none. slab_at[i]: place of result i, -1 outside. */
    size_t slab;
    int64_t *slab_at;
    int n_carry;    /* loop bodies: leading inputs that come back as outputs */
    uint8_t *carry; /* gv_carry of each */
    bool *lent;     /* per input: may be written over; NULL: none */
    unsigned options;
    uint64_t hash[2];
    int refs;
    int64_t used; /* cache: time of last use */
    pthread_mutex_t lock;
    gv_exec *idle;
} gv_program;

struct gv_exec {
    const gv_program *p;
    void **ptr; /* of each buffer */
    char *arena;
    char *own_arena;
    gv_exec **sub;
    gv_exec *next;
};
struct gv_sub {
    gv_exec *exec;
};

gv_status gv_program_new(const gv_graph *g, int nin, const gv_val *in, int nout,
                         const gv_val *out, unsigned options, gv_program **p) GV_MUST;
/* The same through the cache of planned programs (keyed by the canonical graph). */
gv_status gv_program_get(const gv_graph *g, int nin, const gv_val *in, int nout,
                         const gv_val *out, unsigned options, gv_program **p) GV_MUST;
/* A function that an instruction runs: the body of a loop that updates its n_carry
 * carries in place, or one that may write over the inputs with lent[i] (NULL: none). */
gv_status gv_program_sub(const gv_func *f, int n_carry, const bool *lent,
                         unsigned options, gv_program **p) GV_MUST;
void gv_program_cache_clear(void);
gv_program *gv_program_ref(gv_program *p);
void gv_program_unref(gv_program *p);
/* Results with slab_at[i] >= 0 must lie at that place of one block of p->slab bytes. */
gv_status gv_program_run(gv_program *p, const void *const *in,
                         void *const *out) GV_MUST;
/* A step that is run many times: its first n_carry inputs come back as its first outputs
 * and are updated where they lie. Not cached. */
gv_status gv_program_loop(const gv_graph *g, int nin, const gv_val *in, int nout,
                          const gv_val *out, int n_carry, unsigned options,
                          gv_program **p) GV_MUST;
/* Steps from, ..., to - 1 of a loop; *at: the step that comes next. in: the carries
 * (overwritten), n_x arrays of which step t reads entry t, then what all steps read. y:
 * arrays of which step t writes entry t. Ends early, after a whole step, when `seconds`
 * have passed (0: never). After an error the carries hold no state. */
gv_status gv_program_repeat(gv_program *p, int n_x, void *const *in, void *const *y,
                            int64_t from, int64_t to, double seconds,
                            int64_t *at) GV_MUST;
/* Peak bytes of a run beside its inputs: arena plus outputs. */
size_t gv_program_peak(const gv_program *p);
/* A table as text; caller frees with gv_free. */
char *gv_program_dump(const gv_program *p);

/* Loop ops: run sub-program k of the call. */
gv_status gv_sub_run(const gv_call *call, int k, const void *const *in,
                     void *const *out) GV_MUST;

/* What the sub-program 0 of a loop does with carry i. */
gv_carry gv_sub_carry(const gv_call *call, int i);

/* Called at most every 50 ms during a run; non-zero status stops it. Set by pymod. */
extern gv_status (*gv_poll_hook)(void);
/* Tests: fill the arena with NaN before each run, so that reading what nobody wrote shows. */
extern bool gv_poison_arena;

/* --- between the planner's files ------------------------------------------------ */
gv_status gv_canonical(const gv_graph *g, int nin, const gv_val *in, int nout,
                       const gv_val *out, gv_program *p) GV_MUST;
gv_status gv_plan(gv_program *p) GV_MUST; /* of a canonical graph */
gv_status gv_place_buffers(gv_program *p) GV_MUST;
/* Unit of every node (-1: none needed), number of units; unit u holds its nodes in
 * ascending order. root[v]: the value whose memory v shows (through views). */
typedef struct gv_units {
    int n;
    int *of_node;
    bool *fused;   /* per unit */
    bool *adaptor; /* per node: broadcast read in place by fused passes */
    gv_val *root;  /* per value */
    int *order;    /* units in execution order */
} gv_units;
gv_status gv_fuse(const gv_program *p, gv_units *u) GV_MUST;
/* Precedence of units: lists by unit they start from. */
typedef struct gv_edges {
    int *head; /* per unit */
    int *wait; /* per unit: edges that lead to it */
    int *from, *to, *next;
    int n, cap;
} gv_edges;
gv_status gv_edge_add(gv_edges *e, int from, int to) GV_MUST;
gv_status gv_carry_order(const gv_program *p, const gv_units *u, gv_edges *e) GV_MUST;
gv_status gv_carry_slots(gv_program *p) GV_MUST;
/* May store s of the pass be written over operand o? */
bool gv_fused_may_overwrite(const gv_fused *f, int o, int s);
void gv_units_clear(gv_units *u);
/* Broadcast as (i / repeat) % period; false when it is not of that form. */
bool gv_broadcast_pattern(const gv_node *node, const gv_type *from, int64_t *repeat,
                          int64_t *period);
void gv_fused_run(const gv_fused *f, void **ptr, char *scratch);
size_t gv_fused_scratch(const gv_fused *f);
void gv_exec_free(gv_exec *e);

#endif
