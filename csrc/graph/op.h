/* The operator contract.
 *
 * An operator is one `const gv_op gv_op_foo` in csrc/ops/ plus one line
 * GV_OP(foo) in csrc/ops/oplist.def. The table entry is its documentation, its
 * shape rule, its kernel and its derivative; the Python wrapper, the docs row
 * and the generic tests are made from it.
 *
 * Ranks. Every op has fixed core ranks and takes any number of equal leading
 * batch axes in front; its attributes address axes from the end (negative), or
 * describe the trailing core axes only, so that adding a batch axis leaves them
 * valid. NumPy's rank rules (broadcasting, 1-D matmul) are resolved by the
 * Python wrappers into explicit broadcast and reshape nodes.
 *
 * Derivatives are emitted as graph nodes. The inner product is
 * Re sum conj(a) b over the array as stored; the cotangent of a value has the
 * value's shape and gv_dtype_cotangent(dtype). */
#ifndef GV_GRAPH_OP_H
#define GV_GRAPH_OP_H

#include "tensor/tensor.h"

typedef struct gv_graph gv_graph;
typedef struct gv_func gv_func;
typedef struct gv_op gv_op;
typedef struct gv_node gv_node;

/* A value of a graph (an output of a node). GV_NONE: no value / zero cotangent. */
typedef int32_t gv_val;
#define GV_NONE ((gv_val) - 1)

enum gv_op_flags {
    GV_LINEAR = 1 << 0,      /* jointly linear in all differentiable inputs */
    GV_BILINEAR = 1 << 1,    /* linear in each of exactly two inputs (0 and 1) */
    GV_NODIFF = 1 << 2,      /* no derivative with respect to any input (zero) */
    GV_ELEMENTWISE = 1 << 3, /* all inputs and the output have one shape; has .ew */
    GV_INPLACE = 1 << 4,     /* output 0 may share memory with input 0 (same bytes) */
    GV_DESTROYS =
        1 << 5, /* forward overwrites input 0; the planner hands it a copy if need be */
    GV_RANDOM = 1 << 6, /* documentation: output is a function of a key input */
    GV_CHEAP = 1 << 7,  /* cheaper to recompute than to keep */
    GV_NONDET = 1 << 8, /* last bits may depend on the number of threads */
    GV_VIEW = 1 << 9, /* output 0 has the bytes of input 0 unchanged (reshape, alias) */
    GV_UNIQUE = 1 << 10,   /* never hash-consed */
    GV_STATEFUL = 1 << 11, /* calls out (external): serial */
    GV_CALLS = 1 << 13, /* runs its first function, on its inputs and outputs, once */
    GV_UNDO = 1 << 12   /* steps input 0 exactly, forth or back by the last attribute,
                         sign (+1, -1): a step back right after the same step forth (or
                         the other way round) is input 0 itself, and is planned so */
};

/* --- shape inference ------------------------------------------------------ */
typedef struct gv_infer {
    const gv_op *op;
    int nin;
    const gv_type *in;
    int nattr;
    const int64_t *attr;
    int nfunc;
    gv_func *const *func;
    /* filled by the op */
    int nout;       /* preset to 1 */
    gv_type *out;   /* room for 4; ops with more call gv_infer_reserve */
    size_t scratch; /* bytes of scratch that forward needs; preset to 0 */
    gv_type small[4];
} gv_infer;
gv_status gv_infer_reserve(gv_infer *inf, int nout) GV_MUST;

/* --- execution -------------------------------------------------------------*/
typedef struct gv_call {
    const gv_op *op;
    int nin, nout, nattr;
    const void *const *in;   /* data of each input, contiguous */
    void *const *out;        /* data of each output, uninitialised */
    const gv_type *in_type;  /* (nin) */
    const gv_type *out_type; /* (nout) */
    const int64_t *attr;
    void *scratch;      /* 64-byte aligned, as many bytes as infer asked for */
    struct gv_sub *sub; /* planned sub-programs, one per func (loop ops) */
    struct gv_exec *exec;
} gv_call;

/* One block of an element-wise op: n elements, every input contiguous.
 * out may be equal to an input. */
typedef void (*gv_ew_fn)(int64_t n, const void *const *in, void *out);

struct gv_op {
    const char *name;
    const char
        *signature;    /* gufunc-like with shape letters: "a(m,k), b(k,n) -> c(m,n)" */
    const char *doc;   /* one line: what it computes, units or convention */
    const char *attrs; /* "axis:int, shape:ints, scale:float" or "" */
    const char *samples; /* test cases, see tests/ops/samples.py; at least three */
    unsigned flags;
    gv_status (*infer)(gv_infer *inf);
    gv_status (*forward)(const gv_call *call);
    /* Emit cotangents. g_out[k] is GV_NONE where the output's cotangent is zero.
     * On entry g_in[i] is 0 where wanted and GV_NONE where not; leave GV_NONE or set
     * a value for each wanted input (GV_NONE: zero). */
    gv_status (*vjp)(gv_graph *g, const gv_node *node, const gv_val *g_out,
                     gv_val *g_in);
    /* Emit tangents; d_in[i] is GV_NONE where zero. NULL: derived from LINEAR,
     * BILINEAR, ELEMENTWISE + vjp, or by transposing vjp. */
    gv_status (*jvp)(gv_graph *g, const gv_node *node, const gv_val *d_in,
                     gv_val *d_out);
    /* Emit the node with one more leading axis of length n. in[i] already has that
     * axis where batched[i]. NULL: unbatched inputs are broadcast and the node is
     * emitted again with the same attributes. Set out[k] for all outputs (batched). */
    gv_status (*batch)(gv_graph *g, const gv_node *node, int64_t n, const gv_val *in,
                       const bool *batched, gv_val *out);
    /* Element-wise ops: the block kernel for these dtypes at the SIMD level in force,
     * NULL when the combination is not offered. */
    gv_ew_fn (*ew)(const gv_op *op, const gv_dtype *in, gv_dtype out);
    /* How many leading inputs come back as the outputs of the same number; an output may
     * have the memory of its input. Of loops the only function that is run takes and
     * returns them first; it is planned to update them (gv_sub_carry); the others get room
     * after the scratch asked for. NULL: none. */
    int (*carries)(const gv_node *node);
    int nin; /* fixed number of inputs, or -1 */
    int aux; /* free for the family (index into its kernel table) */
    double
        flops; /* element-wise: rough cost per element in ns, for block scheduling (0: 0.1) */
};

/* The table (built from oplist.def in ops/table.c). */
extern const gv_op *const gv_op_table[];
extern const int gv_op_count;
const gv_op *gv_op_find(const char *name);

/* --- nodes ------------------------------------------------------------------*/
struct gv_node {
    const gv_op *op;
    int nin, nout, nattr, nfunc;
    int line;     /* index of the user's source line, -1 unknown */
    gv_val first; /* first output value; outputs are consecutive */
    const gv_val *in;
    const int64_t *attr;
    gv_func *const *func;
    const gv_type *type; /* (nout) */
    uint64_t hash;
    size_t scratch;
};
static inline gv_val gv_node_out(const gv_node *node, int k) { return node->first + k; }

/* Attribute readers. Scalars take one slot; "ints" takes a length and its values. */
static inline double gv_attr_float(int64_t slot)
{
    union {
        int64_t i;
        double d;
    } u = { slot };
    return u.d;
}
static inline int64_t gv_attr_from_float(double d)
{
    union {
        double d;
        int64_t i;
    } u = { d };
    return u.i;
}

#endif
