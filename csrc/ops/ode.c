/* Paths of small systems of differential equations (sim/ode/ode.h), without derivative. */
#include <math.h>

#include "ops/ops.h"
#include "ops/rank.h"
#include "sim/ode/ode.h"

enum { SYSTEM, POINTS, SPAN, RTOL, MAX_STEPS };

static gv_status path_infer(gv_infer *inf)
{
    const int64_t *a = inf->attr;
    char text[96];
    if (a[SYSTEM] < 0 || a[SYSTEM] >= GV_ODE_SYSTEMS)
        return gv_fail(GV_ERR_VALUE, "ode_path: no system %lld; there are %d",
                       (long long)a[SYSTEM], (int)GV_ODE_SYSTEMS);
    double span = gv_attr_float(a[SPAN]), rtol = gv_attr_float(a[RTOL]);
    if (a[POINTS] < 1 || !(span > 0) || isinf(span) || !(rtol >= 1e-14 && rtol < 1) ||
        a[MAX_STEPS] < 1)
        return gv_fail(
            GV_ERR_VALUE,
            "ode_path: points=%lld, span=%g, rtol=%g, max_steps=%lld; points, "
            "span and steps are positive, rtol is in [1e-14, 1)",
            (long long)a[POINTS], span, rtol, (long long)a[MAX_STEPS]);
    int64_t core[2] = { GV_ODE_STATES, gv_ode_parameters((gv_ode_system)a[SYSTEM]) };
    for (int i = 0; i < 2; i++) {
        GV_TRY(gv_check_rank(inf, i, 1));
        if (inf->in[i].dtype != GV_F64)
            return gv_fail(GV_ERR_TYPE, "ode_path: input %d is %s; float64 is needed",
                           i, gv_dtype_name(inf->in[i].dtype));
        if (gv_dim_back(&inf->in[i], 1) != core[i])
            return gv_fail(
                GV_ERR_VALUE, "ode_path: input %d is %s; %lld columns are needed", i,
                gv_type_format(&inf->in[i], text, sizeof text), (long long)core[i]);
    }
    GV_TRY(gv_check_batch(inf, 0, 1, 1, 1));
    gv_type *out = &inf->out[0];
    *out = inf->in[0];
    if (out->shape.ndim + 1 > GV_MAX_DIM)
        return gv_fail(GV_ERR_VALUE, "ode_path: %s has too many axes",
                       gv_type_format(out, text, sizeof text));
    out->shape.dim[out->shape.ndim - 1] = a[POINTS];
    out->shape.dim[out->shape.ndim++] = GV_ODE_STATES;
    return GV_OK;
}

static gv_status path_forward(const gv_call *call)
{
    const int64_t *a = call->attr;
    gv_ode_paths((gv_ode_system)a[SYSTEM], gv_batch_count(&call->in_type[0], 1),
                 a[POINTS], gv_attr_float(a[SPAN]), gv_attr_float(a[RTOL]),
                 a[MAX_STEPS], call->in[0], call->in[1], call->out[0]);
    return GV_OK;
}

const gv_op gv_op_ode_path = {
    .name = "ode_path",
    .signature = "y(s), p(k) -> path(t,s)",
    .doc = "States at times 0, span, 2 span, ..; system 0: SIR, p = (beta, gamma, N), "
           "1: Lotka-Volterra; NaN where it fails; no derivative.",
    .attrs = "system:int, points:int, span:float, rtol:float, max_steps:int",
    .samples =
        "w{0.5,1.5}[2]! w{0.2,0.9}[3]! | system=0 points=5 span=2 rtol=1e-13 "
        "max_steps=10000; "
        "w{0.5,1.5}[3,2]! w{0.2,1.5}[3,4]! | system=1 points=4 span=1.5 rtol=1e-13 "
        "max_steps=10000; "
        "w{0.5,1.5}[2,2,2]! w{0.2,1.5}[2,2,4]! | system=1 points=1 span=1 rtol=1e-3 "
        "max_steps=1; "
        "w{0.5,1.5}[0,2]! w{0.2,0.9}[0,3]! | system=0 points=2 span=2 rtol=1e-6 "
        "max_steps=100",
    .flags = GV_NODIFF,
    .infer = path_infer,
    .forward = path_forward,
    .nin = 2,
};
