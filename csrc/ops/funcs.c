/* Derivatives and batching of closed functions. */
#include "ops/funcs.h"

#include <string.h>

#include "base/alloc.h"

gv_status gv_lab_open(const gv_func *f, gv_lab *lab)
{
    memset(lab, 0, sizeof *lab);
    lab->g = gv_graph_new();
    lab->nin = f->nin;
    lab->nout = f->nout;
    lab->in = gv_alloc(((size_t)f->nin + 1) * sizeof *lab->in);
    lab->out = gv_alloc(((size_t)f->nout + 1) * sizeof *lab->out);
    gv_status s = lab->g && lab->in && lab->out ? GV_OK : GV_ERR_MEMORY;
    for (int i = 0; s == GV_OK && i < f->nin; i++)
        lab->in[i] = gv_graph_input(lab->g, gv_func_in_type(f, i));
    if (s == GV_OK) s = gv_graph_status(lab->g);
    if (s == GV_OK) s = gv_func_inline(lab->g, f, lab->in, lab->out);
    if (s != GV_OK) gv_lab_close(lab);
    return s;
}

void gv_lab_close(gv_lab *lab)
{
    gv_graph_free(lab->g);
    gv_free(lab->in);
    gv_free(lab->out);
    memset(lab, 0, sizeof *lab);
}

gv_val gv_lab_cotangent(gv_lab *lab, gv_val v)
{
    gv_type t = *gv_graph_type(lab->g, v);
    t.dtype = gv_dtype_cotangent(t.dtype);
    return gv_graph_input(lab->g, &t);
}

gv_status gv_lab_func(const gv_lab *lab, int nin, const gv_val *in, int nout,
                      const gv_val *out, gv_func **f)
{
    int n;
    gv_val *captured = NULL;
    gv_status s = gv_func_close(lab->g, nin, in, nout, out, -1, NULL, f, &n, &captured);
    gv_free(captured);
    return s;
}

static gv_status func_vjp(gv_lab *lab, const bool *has_g, const bool *want,
                          gv_val *work, gv_func **out)
{
    int nin = lab->nin, n = nin, m = 0;
    gv_val *in = work, *g_out = in + nin + lab->nout, *wrt = g_out + lab->nout,
           *g_wrt = wrt + nin;
    memcpy(in, lab->in, (size_t)nin * sizeof *in);
    for (int o = 0; o < lab->nout; o++) {
        g_out[o] = GV_NONE;
        if (!has_g[o]) continue;
        g_out[o] = gv_lab_cotangent(lab, lab->out[o]);
        in[n++] = g_out[o];
    }
    GV_TRY(gv_graph_status(lab->g));
    for (int i = 0; i < nin; i++)
        if (want[i]) wrt[m++] = lab->in[i];
    GV_TRY(gv_graph_vjp(lab->g, lab->nout, lab->out, g_out, m, wrt, g_wrt));
    for (int i = 0; i < m; i++)
        if (g_wrt[i] == GV_NONE) g_wrt[i] = gv_emit_zeros_like(lab->g, wrt[i]);
    GV_TRY(gv_graph_status(lab->g));
    return gv_lab_func(lab, n, in, m, g_wrt, out);
}

gv_status gv_func_vjp(const gv_func *f, const bool *has_g, const bool *want,
                      gv_func **out)
{
    gv_lab lab;
    GV_TRY(gv_lab_open(f, &lab));
    gv_val *work = gv_alloc((size_t)(3 * f->nin + 2 * f->nout + 1) * sizeof *work);
    gv_status s = work ? func_vjp(&lab, has_g, want, work, out) : GV_ERR_MEMORY;
    gv_free(work);
    gv_lab_close(&lab);
    return s;
}

static gv_status func_jvp(gv_lab *lab, const bool *has_d, bool primal, gv_val *work,
                          gv_func **out)
{
    int nin = lab->nin, nout = lab->nout, n = nin, m = 0;
    gv_val *in = work, *wrt = in + 2 * nin, *d = wrt + nin, *d_out = d + nin,
           *outs = d_out + nout;
    memcpy(in, lab->in, (size_t)nin * sizeof *in);
    for (int i = 0; i < nin; i++) {
        if (!has_d[i]) continue;
        wrt[m] = lab->in[i];
        d[m] = gv_lab_cotangent(lab, lab->in[i]);
        in[n++] = d[m++];
    }
    GV_TRY(gv_graph_status(lab->g));
    GV_TRY(gv_graph_jvp(lab->g, nout, lab->out, m, wrt, d, d_out));
    int k = 0;
    if (primal)
        for (int o = 0; o < nout; o++) outs[k++] = lab->out[o];
    for (int o = 0; o < nout; o++) {
        if (!gv_lab_diff(lab, lab->out[o])) continue;
        outs[k++] =
            d_out[o] != GV_NONE ? d_out[o] : gv_emit_zeros_like(lab->g, lab->out[o]);
    }
    GV_TRY(gv_graph_status(lab->g));
    return gv_lab_func(lab, n, in, k, outs, out);
}

gv_status gv_func_jvp(const gv_func *f, const bool *has_d, bool primal, gv_func **out)
{
    gv_lab lab;
    GV_TRY(gv_lab_open(f, &lab));
    gv_val *work = gv_alloc((size_t)(4 * f->nin + 3 * f->nout + 1) * sizeof *work);
    gv_status s = work ? func_jvp(&lab, has_d, primal, work, out) : GV_ERR_MEMORY;
    gv_free(work);
    gv_lab_close(&lab);
    return s;
}

static gv_status func_batch(gv_lab *lab, int64_t n, const bool *batched, bool *b_out,
                            gv_val *work, bool *flag, gv_func **out)
{
    int nin = lab->nin, m = 0;
    gv_val *in = work, *from = in + nin, *with = from + nin, *outs = with + nin;
    for (int i = 0; i < nin; i++) {
        in[i] = lab->in[i];
        if (!batched[i]) continue;
        gv_type t = *gv_graph_type(lab->g, lab->in[i]);
        if (t.shape.ndim >= GV_MAX_DIM)
            return gv_fail(GV_ERR_VALUE, "more than %d axes", GV_MAX_DIM);
        for (int k = t.shape.ndim; k > 0; k--) t.shape.dim[k] = t.shape.dim[k - 1];
        t.shape.dim[0] = n;
        t.shape.ndim++;
        in[i] = gv_graph_input(lab->g, &t);
        from[m] = lab->in[i];
        with[m++] = in[i];
    }
    GV_TRY(gv_graph_status(lab->g));
    GV_TRY(gv_graph_batch(lab->g, lab->nout, lab->out, m, from, with, n, outs, flag));
    for (int o = 0; o < lab->nout; o++) {
        if (b_out[o] && !flag[o]) outs[o] = gv_emit_lead(lab->g, outs[o], n);
        b_out[o] |= flag[o];
    }
    GV_TRY(gv_graph_status(lab->g));
    return gv_lab_func(lab, nin, in, lab->nout, outs, out);
}

gv_status gv_func_batch(const gv_func *f, int64_t n, const bool *batched, bool *b_out,
                        gv_func **out)
{
    gv_lab lab;
    GV_TRY(gv_lab_open(f, &lab));
    gv_val *work = gv_alloc((size_t)(3 * f->nin + f->nout + 1) * sizeof *work);
    bool *flag = gv_alloc_zero((size_t)f->nout + 1);
    gv_status s = work && flag ? func_batch(&lab, n, batched, b_out, work, flag, out)
                               : GV_ERR_MEMORY;
    gv_free(work);
    gv_free(flag);
    gv_lab_close(&lab);
    return s;
}
