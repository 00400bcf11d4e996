/* Random operators: pure functions of a key, an int64 pair in the last axis. Batched
 * keys (B, 2) give batched results (B, ...shape); there is no derivative. */
#include "base/parallel.h"
#include "graph/emit.h"
#include "kernels/random.h"
#include "ops/ops.h"
#include "ops/rank.h"

static gv_status check_key(const gv_infer *inf)
{
    const gv_type *t = &inf->in[0];
    char text[160];
    if (t->dtype == GV_I64 && t->shape.ndim >= 1 &&
        t->shape.dim[t->shape.ndim - 1] == 2)
        return GV_OK;
    return gv_fail(GV_ERR_TYPE,
                   "%s: a key is int64[..., 2], got %s; make one with "
                   "gv.random.key(seed)",
                   inf->op->name, gv_type_format(t, text, sizeof text));
}

/* --- values --- */

/* attributes: shape (length and values), dtype */
static gv_status values_infer(gv_infer *inf)
{
    GV_TRY(check_key(inf));
    const int64_t *slot = inf->attr;
    gv_ints shape = gv_ints_take(&slot);
    gv_dtype dtype = (gv_dtype)*slot;
    for (int k = 0; k < shape.n; k++)
        if (shape.v[k] < 0)
            return gv_fail(GV_ERR_VALUE, "%s: shape entry %d is %lld", inf->op->name, k,
                           (long long)shape.v[k]);
    if (!gv_random_offers((gv_random_kind)inf->op->aux, dtype))
        return gv_fail(GV_ERR_TYPE, "%s: dtype %s is not offered (offered: %s)",
                       inf->op->name, gv_dtype_name(dtype),
                       inf->op->aux == GV_RANDOM_BITS ? "int32, int64"
                                                      : "float32, float64");
    inf->out[0].dtype = dtype;
    return gv_shape_replace_core(&inf->in[0].shape, 1, shape.n, shape.v,
                                 &inf->out[0].shape);
}

enum { chunk = 8192 }; /* a whole number of tiles */

typedef struct job {
    gv_random_kind kind;
    gv_dtype dtype;
    const int64_t *key;
    int64_t each, chunks; /* values and chunks per key */
    char *out;
} job;

static void fill_chunk(void *ctx, int64_t index)
{
    const job *j = ctx;
    int64_t lane = index / j->chunks, from = index % j->chunks * chunk;
    int64_t n = j->each - from < chunk ? j->each - from : chunk;
    char *out = j->out + (size_t)(lane * j->each + from) * gv_dtype_size(j->dtype);
    gv_random_fill(j->kind, j->dtype, j->key + 2 * lane, from, n, out);
}

static gv_status values_forward(const gv_call *call)
{
    int64_t total = gv_shape_size(&call->out_type[0].shape);
    int64_t keys = gv_batch_count(&call->in_type[0], 1);
    if (total == 0) return GV_OK;
    job j = { .kind = (gv_random_kind)call->op->aux,
              .dtype = call->out_type[0].dtype,
              .key = call->in[0],
              .each = total / keys,
              .out = call->out[0] };
    j.chunks = (j.each + chunk - 1) / chunk;
    if (total <= 2 * chunk)
        for (int64_t k = 0; k < keys * j.chunks; k++) fill_chunk(&j, k);
    else
        gv_parallel_for(keys * j.chunks, fill_chunk, &j);
    return GV_OK;
}

#define VALUES(op_name, op_kind, op_doc, op_samples)                    \
    const gv_op gv_op_##op_name = { .name = #op_name,                   \
                                    .signature = "key(2) -> y(...)",    \
                                    .doc = op_doc,                      \
                                    .attrs = "shape:ints, dtype:dtype", \
                                    .samples = op_samples,              \
                                    .flags = GV_NODIFF | GV_RANDOM,     \
                                    .infer = values_infer,              \
                                    .forward = values_forward,          \
                                    .nin = 1,                           \
                                    .aux = op_kind }

VALUES(random_bits, GV_RANDOM_BITS, "Random bits: int32 or int64 of any value.",
       "k[2] | shape=(3,) dtype=int64; k[2] | shape=(7,5) dtype=int32; k[2] | "
       "shape=(0,) dtype=int64; "
       "k[2] | shape=() dtype=int64");
VALUES(random_uniform, GV_RANDOM_UNIFORM, "Uniform random numbers in [0, 1).",
       "k[2] | shape=(3,) dtype=float64; k[2] | shape=(7,5) dtype=float32; "
       "k[2] | shape=(0,) dtype=float64; k[2] | shape=() dtype=float64");
VALUES(random_normal, GV_RANDOM_NORMAL, "Standard normal random numbers.",
       "k[2] | shape=(3,) dtype=float64; k[2] | shape=(7,5) dtype=float32; "
       "k[2] | shape=(0,) dtype=float64; k[2] | shape=() dtype=float64");

/* --- keys --- */

static gv_status fold_in_infer(gv_infer *inf)
{
    GV_TRY(check_key(inf));
    gv_shape batch = inf->in[0].shape;
    batch.dim[--batch.ndim] = 0;
    char text[160];
    if (inf->in[1].dtype != GV_I64)
        return gv_fail(GV_ERR_TYPE,
                       "random_fold_in: the number has dtype %s, int64 needed",
                       gv_dtype_name(inf->in[1].dtype));
    if (!gv_shape_equal(&inf->in[1].shape, &batch))
        return gv_fail(GV_ERR_VALUE,
                       "random_fold_in: one number per key is needed, got %s",
                       gv_type_format(&inf->in[1], text, sizeof text));
    inf->out[0] = inf->in[0];
    return GV_OK;
}
static gv_status fold_in_forward(const gv_call *call)
{
    int64_t keys = gv_batch_count(&call->in_type[0], 1);
    const int64_t *key = call->in[0], *number = call->in[1];
    int64_t *out = call->out[0];
    for (int64_t k = 0; k < keys; k++)
        gv_random_fold_in(key + 2 * k, call->attr[0], number[k], out + 2 * k);
    return GV_OK;
}
const gv_op gv_op_random_fold_in = {
    .name = "random_fold_in",
    .signature = "key(2), i() -> key(2)",
    .doc = "A new key from a key and a number; other tags, other keys.",
    .attrs = "tag:int",
    .samples = "k[2] i{0,99}[] | tag=0; k[4,2] i{0,99}[4] | tag=1; "
               "k[0,2] i{0,99}[0] | tag=2",
    .flags = GV_NODIFF | GV_RANDOM | GV_INPLACE,
    .infer = fold_in_infer,
    .forward = fold_in_forward,
    .nin = 2,
};
