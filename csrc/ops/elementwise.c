/* The shared parts of the element-wise families. */
#include "ops/elementwise.h"

#include "base/parallel.h"

static gv_status check_shapes(const gv_infer *inf, const char *name)
{
    for (int k = 1; k < inf->nin; k++) {
        if (gv_shape_equal(&inf->in[0].shape, &inf->in[k].shape)) continue;
        char a[160], b[160];
        return gv_fail(
            GV_ERR_VALUE,
            "%s: inputs 0 and %d have different shapes, %s and %s; broadcast "
            "them to one shape first",
            name, k, gv_type_format(&inf->in[0], a, sizeof a),
            gv_type_format(&inf->in[k], b, sizeof b));
    }
    return GV_OK;
}

static gv_status check_dtypes(const gv_infer *inf, const char *name, int first)
{
    gv_dtype d = inf->in[first].dtype;
    for (int k = first + 1; k < inf->nin; k++)
        if (inf->in[k].dtype != d)
            return gv_fail(
                GV_ERR_TYPE,
                "%s: inputs %d and %d have different dtypes, %s and %s; cast "
                "one of them first",
                name, first, k, gv_dtype_name(d), gv_dtype_name(inf->in[k].dtype));
    if (gv_ew_takes((gv_ew_code)inf->op->aux, d)) return GV_OK;
    const char *letters = gv_ew_dtypes((gv_ew_code)inf->op->aux);
    char list[96];
    size_t used = 0;
    list[0] = '\0';
    for (; *letters != '\0'; letters++) {
        const char *kind = *letters == 'B' ? "bool"
            : *letters == 'I'              ? "integer"
            : *letters == 'F'              ? "float"
            : *letters == 'C'              ? "complex"
                                           : "fixed-point";
        for (const char *p = used > 0 ? ", " : ""; *p; p++) list[used++] = *p;
        for (const char *p = kind; *p; p++) list[used++] = *p;
        list[used] = '\0';
    }
    return gv_fail(GV_ERR_TYPE, "%s: dtype %s is not offered (offered: %s); cast first",
                   name, gv_dtype_name(d), list);
}

gv_status gv_elementwise_infer(gv_infer *inf)
{
    const char *name = inf->op->name;
    gv_ew_code code = (gv_ew_code)inf->op->aux;
    if (inf->nin != gv_ew_nin(code))
        return gv_fail(GV_ERR_VALUE, "%s: %d inputs given, %d needed", name, inf->nin,
                       gv_ew_nin(code));
    GV_TRY(check_shapes(inf, name));
    int first = code == GV_EW_WHERE ? 1 : 0;
    if (first == 1 && inf->in[0].dtype != GV_BOOL)
        return gv_fail(GV_ERR_TYPE, "%s: the condition has dtype %s, bool needed", name,
                       gv_dtype_name(inf->in[0].dtype));
    GV_TRY(check_dtypes(inf, name, first));
    gv_dtype d = inf->in[first].dtype;
    switch (gv_ew_result_of(code)) {
    case GV_EW_R_SAME: break;
    case GV_EW_R_BOOL: d = GV_BOOL; break;
    case GV_EW_R_REAL: d = gv_dtype_real(d); break;
    case GV_EW_R_COMPLEX: d = gv_dtype_complex(d); break;
    case GV_EW_R_ANY:
        if (inf->nattr != 1 || inf->attr[0] < 0 || inf->attr[0] >= GV_N_DTYPE ||
            !gv_ew_takes(code, (gv_dtype)inf->attr[0]))
            return gv_fail(GV_ERR_TYPE, "%s: the dtype asked for is not offered", name);
        d = (gv_dtype)inf->attr[0];
    }
    inf->out[0] = gv_type_with(&inf->in[first], d);
    return GV_OK;
}

gv_ew_fn gv_elementwise_kernel(const gv_op *op, const gv_dtype *in, gv_dtype out)
{
    return gv_ew_get((gv_ew_code)op->aux, in[gv_ew_nin((gv_ew_code)op->aux) - 1], out);
}

/* --- running --- */

enum { block = 16384, max_inputs = 8 };

typedef struct job {
    gv_ew_fn kernel;
    int nin;
    int64_t n;
    const char *in[max_inputs];
    char *out;
    const size_t *size;
} job;

static void run_block(void *ctx, int64_t index)
{
    const job *j = ctx;
    int64_t from = index * block;
    const void *in[max_inputs];
    for (int k = 0; k < j->nin; k++) in[k] = j->in[k] + (size_t)from * j->size[k];
    j->kernel(j->n - from < block ? j->n - from : block, in,
              j->out + (size_t)from * j->size[j->nin]);
}

void gv_elementwise_run(gv_ew_fn kernel, int nin, int64_t n, const void *const *in,
                        void *out, const size_t *size, double cost)
{
    if (cost <= 0) cost = 0.1;
    if ((double)n * (cost < 0.3 ? 0.3 : cost) < 50e3) { /* less than 50 us */
        kernel(n, in, out);
        return;
    }
    job j = { .kernel = kernel, .nin = nin, .n = n, .out = out, .size = size };
    for (int k = 0; k < nin; k++) j.in[k] = in[k];
    gv_parallel_for((n + block - 1) / block, run_block, &j);
}

gv_status gv_elementwise_forward(const gv_call *call)
{
    gv_dtype in[max_inputs];
    size_t size[max_inputs + 1];
    for (int k = 0; k < call->nin; k++) {
        in[k] = call->in_type[k].dtype;
        size[k] = gv_dtype_size(in[k]);
    }
    size[call->nin] = gv_dtype_size(call->out_type[0].dtype);
    gv_ew_fn kernel = call->op->ew(call->op, in, call->out_type[0].dtype);
    if (kernel == NULL)
        return gv_fail(GV_ERR_RUNTIME, "%s: no kernel for %s", call->op->name,
                       gv_dtype_name(in[call->nin - 1]));
    gv_elementwise_run(kernel, call->nin, gv_shape_size(&call->out_type[0].shape),
                       call->in, call->out[0], size, call->op->flops);
    return GV_OK;
}
