/* Graph layer: interning, derivatives, functions, loops, plans, failing allocations. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "graph/program.h"
#include "tests/check.h"

extern const gv_op gv_op_sin, gv_op_cos, gv_op_tanh, gv_op_exp, gv_op_reduce_sum,
    gv_op_scan, gv_op_sub, gv_op_matmul;

static gv_type vec(int64_t n)
{
    gv_type t = { .dtype = GV_F64, .shape = { .ndim = 1, .dim = { n } } };
    return t;
}

static gv_val total(gv_graph *g, gv_val v)
{
    int64_t axes[2] = { 1, -1 };
    return gv_emit(g, &gv_op_reduce_sum, 1, &v, 2, axes);
}

/* sum(sin(x) * x) and its gradient; 0: fine, else the status. */
static gv_status build(gv_graph *g, int64_t n, gv_val *x, gv_val *out)
{
    gv_type t = vec(n);
    *x = gv_graph_input(g, &t);
    gv_val y = gv_emit_2(g, &gv_op_mul, gv_emit_1(g, &gv_op_sin, *x), *x);
    out[0] = total(g, y);
    gv_val one = gv_emit_scalar(g, GV_F64, 1.0);
    GV_TRY(gv_graph_status(g));
    return gv_graph_vjp(g, 1, out, &one, 1, x, out + 1);
}

static void test_interning(void)
{
    gv_graph *g = gv_graph_new();
    gv_type t = vec(3);
    gv_val x = gv_graph_input(g, &t), y = gv_graph_input(g, &t);
    CHECK(x != y && x > 0);
    CHECK(gv_emit_1(g, &gv_op_sin, x) == gv_emit_1(g, &gv_op_sin, x));
    CHECK(gv_emit_1(g, &gv_op_sin, x) != gv_emit_1(g, &gv_op_sin, y));
    CHECK(gv_emit_1(g, &gv_op_alias, x) != gv_emit_1(g, &gv_op_alias, x));
    CHECK(gv_emit_scalar(g, GV_F64, 2.0) == gv_emit_scalar(g, GV_F64, 2.0));
    CHECK(gv_emit_scalar(g, GV_F64, 2.0) != gv_emit_scalar(g, GV_F32, 2.0));
    CHECK(gv_emit_sum2(g, GV_NONE, x) == x);
    CHECK(gv_emit_sum2(g, x, gv_emit_zeros_like(g, x)) == x);
    gv_type other = vec(4);
    gv_val z = gv_graph_input(g, &other);
    CHECK(gv_emit_2(g, &gv_op_add, x, z) == GV_NONE);
    CHECK(gv_graph_status(g) == GV_ERR_VALUE);
    CHECK(strstr(gv_fail_message(), "add(") != NULL);
    CHECK(gv_emit_1(g, &gv_op_sin, x) == GV_NONE); /* sticky */
    gv_graph_recover(g);
    CHECK(gv_emit_1(g, &gv_op_sin, x) != GV_NONE);
    gv_graph_free(g);
}

static void test_gradient(void)
{
    enum { N = 1000 };
    double x[N], value, grad[N];
    for (int i = 0; i < N; i++) x[i] = 0.01 * i - 3;
    gv_graph *g = gv_graph_new();
    gv_val in, out[2];
    CHECK(build(g, N, &in, out) == GV_OK);
    gv_program *p = NULL;
    CHECK(gv_program_new(g, 1, &in, 2, out, 0, &p) == GV_OK);
    gv_graph_free(g); /* a program owns all it needs */
    const void *ins[] = { x };
    void *outs[] = { &value, grad };
    CHECK(gv_program_run(p, ins, outs) == GV_OK);
    double want = 0;
    for (int i = 0; i < N; i++) want += sin(x[i]) * x[i];
    CHECK(fabs(value - want) < 1e-12 * N);
    for (int i = 0; i < N; i++)
        CHECK(fabs(grad[i] - (sin(x[i]) + x[i] * cos(x[i]))) < 1e-14);
    CHECK(p->n_instr == 2); /* one pass and the sum */
    gv_program_unref(p);
}

/* A fused plan, a node-by-node plan, 1 and 2 threads: the same bits. */
static void test_same_bits(void)
{
    enum { N = 300000 };
    double *x = gv_alloc(N * sizeof *x), *a = gv_alloc((N + 1) * sizeof *a),
           *b = gv_alloc((N + 1) * sizeof *b);
    for (int i = 0; i < N; i++) x[i] = 1e-4 * i - 10;
    gv_graph *g = gv_graph_new();
    gv_val in, out[2];
    CHECK(build(g, N, &in, out) == GV_OK);
    gv_program *fused = NULL, *plain = NULL;
    CHECK(gv_program_new(g, 1, &in, 2, out, 0, &fused) == GV_OK);
    CHECK(gv_program_new(g, 1, &in, 2, out, GV_PLAN_DEBUG, &plain) == GV_OK);
    const void *ins[] = { x };
    void *to_a[] = { a, a + 1 }, *to_b[] = { b, b + 1 };
    gv_threads_set(1);
    gv_poison_arena = true; /* nothing may be read before it is written */
    CHECK(gv_program_run(fused, ins, to_a) == GV_OK);
    gv_poison_arena = false;
    CHECK(gv_program_run(plain, ins, to_b) == GV_OK);
    CHECK(memcmp(a, b, (N + 1) * sizeof *a) == 0);
    gv_threads_set(2);
    CHECK(gv_program_run(fused, ins, to_b) == GV_OK);
    CHECK(memcmp(a, b, (N + 1) * sizeof *a) == 0);
    CHECK(gv_program_peak(fused) < gv_program_peak(plain));
    gv_program_unref(fused);
    gv_program_unref(plain);
    gv_graph_free(g);
    gv_free(x), gv_free(a), gv_free(b);
}

/* Results never share memory with inputs or each other, even when they are equal. */
static void test_results_apart(void)
{
    gv_graph *g = gv_graph_new();
    gv_type t = vec(2);
    gv_val x = gv_graph_input(g, &t), y = gv_emit_1(g, &gv_op_exp, x);
    gv_val out[] = { x, y, y };
    gv_program *p = NULL;
    CHECK(gv_program_new(g, 1, &x, 3, out, 0, &p) == GV_OK);
    double in[2] = { 0, 1 }, r[3][2] = { { 0 } };
    const void *ins[] = { in };
    void *outs[] = { r[0], r[1], r[2] };
    CHECK(gv_program_run(p, ins, outs) == GV_OK);
    CHECK(r[0][0] == 0 && r[0][1] == 1 && r[1][0] == 1 && r[2][0] == 1 &&
          r[1][1] == r[2][1]);
    gv_program_unref(p);
    gv_val other = gv_graph_input(g, &t);
    CHECK(gv_program_new(g, 1, &other, 1, &y, 0, &p) ==
          GV_ERR_VALUE); /* x is unbound */
    gv_graph_free(g);
}

/* c' = sin(c) + x, y = c: value, gradient, against the loop written out. */
static gv_status build_scan(gv_graph *g, int64_t steps, gv_val *in, gv_val *out)
{
    gv_type s = { .dtype = GV_F64 }, v = vec(steps);
    gv_val c = gv_graph_input(g, &s), x = gv_graph_input(g, &s);
    gv_val body[2] = { gv_emit_2(g, &gv_op_add, gv_emit_1(g, &gv_op_sin, c), x), c };
    gv_val args[2] = { c, x }, *captured = NULL;
    int n = 0;
    gv_func *f = NULL;
    GV_TRY(gv_graph_status(g));
    GV_TRY(gv_func_close(g, 2, args, 2, body, 0, NULL, &f, &n, &captured));
    gv_free(captured);
    in[0] = gv_graph_input(g, &s);
    in[1] = gv_graph_input(g, &v);
    int64_t attr[6] = { 1, 1, steps, 0, 0, 0 };
    gv_val r = gv_emit_func(g, &gv_op_scan, 2, in, 6, attr, 1, &f);
    gv_func_unref(f);
    GV_TRY(gv_graph_status(g));
    out[0] = gv_emit_2(g, &gv_op_add, r, total(g, r + 1));
    gv_val one = gv_emit_scalar(g, GV_F64, 1.0);
    GV_TRY(gv_graph_status(g));
    return gv_graph_vjp(g, 1, out, &one, 2, in, out + 1);
}

static double loop(double c, const double *x, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        sum += c;
        c = sin(c) + x[i];
    }
    return c + sum;
}

static void test_scan(void)
{
    for (int steps = 0; steps < 6; steps++) {
        gv_graph *g = gv_graph_new();
        gv_val in[2], out[3];
        gv_program *p = NULL;
        CHECK(build_scan(g, steps, in, out) == GV_OK);
        int n_out = out[2] == GV_NONE ? 2 : 3; /* nothing flows to x in no steps */
        CHECK(gv_program_new(g, 2, in, n_out, out, 0, &p) == GV_OK);
        double c = 0.3, x[6] = { 0.1, -0.2, 0.3, 0.4, -0.5, 0.6 }, value, gc, gx[6];
        const void *ins[] = { &c, x };
        void *outs[] = { &value, &gc, gx };
        CHECK(gv_program_run(p, ins, outs) == GV_OK);
        CHECK_NOTE(fabs(value - loop(c, x, steps)) < 1e-14, "%g", value);
        double h = 1e-5;
        CHECK(fabs(gc - (loop(c + h, x, steps) - loop(c - h, x, steps)) / (2 * h)) <
              1e-8);
        for (int i = 0; i < steps && n_out == 3; i++) {
            double up[6], down[6];
            memcpy(up, x, sizeof up), memcpy(down, x, sizeof down);
            up[i] += h, down[i] -= h;
            CHECK(fabs(gx[i] - (loop(c, up, steps) - loop(c, down, steps)) / (2 * h)) <
                  1e-8);
        }
        gv_program_unref(p);
        gv_graph_free(g);
    }
}

/* Every allocation fails in turn: an error, nothing leaked, nothing broken. */
static void test_failing_allocations(void)
{
    gv_program_cache_clear();
    int64_t live = gv_alloc_get_stats().live_blocks;
    bool done = false;
    int failures = 0;
    for (int64_t k = 1; !done && k < 5000; k++) {
        gv_alloc_fail_after(k);
        gv_status s = GV_ERR_MEMORY;
        gv_graph *g = gv_graph_new();
        gv_program *p = NULL;
        gv_val in[2], out[3];
        if (g) s = build_scan(g, 4, in, out);
        if (s == GV_OK) s = gv_program_new(g, 2, in, 3, out, 0, &p);
        if (s == GV_OK) {
            double c = 0.3, x[4] = { 1, 2, 3, 4 }, r[6];
            const void *ins[] = { &c, x };
            void *outs[] = { r, r + 1, r + 2 };
            s = gv_program_run(p, ins, outs);
        }
        gv_alloc_fail_after(0);
        CHECK(s == GV_OK || s == GV_ERR_MEMORY);
        failures += s != GV_OK;
        done = s == GV_OK;
        gv_program_unref(p);
        gv_graph_free(g);
        CHECK_NOTE(gv_alloc_get_stats().live_blocks == live, "allocation %d leaks",
                   (int)k);
    }
    CHECK(done && failures > 50);
    gv_fail_clear();
}

/* h = tanh(h w) twenty times: activations are kept once, results lend their room. */
static void test_planned_peak(void)
{
    enum { LAYERS = 20, WIDTH = 64, BATCH = 64 };
    gv_type t = { .dtype = GV_F32, .shape = { .ndim = 2, .dim = { BATCH, WIDTH } } };
    gv_type u = { .dtype = GV_F32, .shape = { .ndim = 2, .dim = { WIDTH, WIDTH } } };
    gv_graph *g = gv_graph_new();
    gv_val in[LAYERS + 1], grad[LAYERS], h = in[LAYERS] = gv_graph_input(g, &t);
    int64_t plain[2] = { 0, 0 }, axes[3] = { 2, -2, -1 };
    for (int l = 0; l < LAYERS; l++) {
        gv_val ab[2] = { h, in[l] = gv_graph_input(g, &u) };
        h = gv_emit_1(g, &gv_op_tanh, gv_emit(g, &gv_op_matmul, 2, ab, 2, plain));
    }
    gv_val square = gv_emit_2(g, &gv_op_mul, h, h);
    gv_val loss = gv_emit(g, &gv_op_reduce_sum, 1, &square, 3, axes);
    gv_val one = gv_emit_scalar(g, GV_F32, 1.0);
    CHECK(gv_graph_status(g) == GV_OK);
    CHECK(gv_graph_vjp(g, 1, &loss, &one, LAYERS, in, grad) == GV_OK);
    gv_program *p = NULL, *apart = NULL;
    CHECK(gv_program_new(g, LAYERS + 1, in, LAYERS, grad, GV_PLAN_SLAB, &p) == GV_OK);
    CHECK(gv_program_new(g, LAYERS + 1, in, LAYERS, grad, 0, &apart) == GV_OK);
    size_t one_layer = (size_t)BATCH * WIDTH * 4;
    /* results and activations trade places: a few layers more than either alone */
    CHECK_NOTE(gv_program_peak(p) <= (LAYERS + 3) * one_layer + 8192, "%zu",
               gv_program_peak(p));
    CHECK(gv_program_peak(apart) > (2 * LAYERS - 1) * one_layer);
    gv_program_unref(p);
    gv_program_unref(apart);
    gv_graph_free(g);
}

int main(void)
{
    test_interning();
    test_gradient();
    test_same_bits();
    test_results_apart();
    test_scan();
    test_failing_allocations();
    test_planned_peak();
    return check_done("graph");
}
