/* The choice between the ways, the choice of instruction set, and the loop over
 * blocks. */
#include "kernels/conv.h"

#include <stdatomic.h>
#include <string.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "kernels/conv_table.h"

const gv_conv_kernels *gv_conv_kernels_get(gv_dtype dtype)
{
    int which = dtype == GV_F64;
    switch (gv_simd_level()) {
    case GV_SIMD_AVX512: return &gv_conv_avx512[which];
    case GV_SIMD_AVX2: return &gv_conv_avx2[which];
    default: return &gv_conv_base[which];
    }
}

int gv_conv_width(const gv_conv_kernels *kernels, int m, int64_t n, int64_t terms,
                  int64_t *cost)
{
    enum { latency = 4, few_terms = 16 };
    int most = kernels->rows > 6 ? (m <= 4       ? 6
                                        : m <= 6 ? 4
                                                 : 2)
                                 : (m <= 2       ? 6
                                        : m == 3 ? 4
                                                 : 2);
    int best = 0;
    for (int w = most; w >= 2; w -= 2) {
        int64_t rest = n % (w * kernels->lanes), c = n - rest;
        if (rest > 0) c += rest > kernels->lanes ? w * kernels->lanes : kernels->lanes;
        if (terms > few_terms && m * w < latency) c = c * latency / (m * w);
        if (best > 0 && c >= *cost) continue;
        best = w;
        *cost = c;
    }
    return best;
}

/* --- blocks ---------------------------------------------------------------------------*/

typedef struct loop {
    gv_conv_block run;
    void *ctx;
    size_t memory;
    char *scratch;
    int64_t blocks;
    atomic_llong next;
} loop;

static void worker(void *ctx, int64_t index)
{
    loop *l = ctx;
    for (;;) {
        int64_t block = atomic_fetch_add(&l->next, 1);
        if (block >= l->blocks) return;
        l->run(l->ctx, block, l->scratch + (size_t)index * l->memory);
    }
}

int64_t gv_conv_workers(int64_t blocks)
{
    return gv_conv_least(blocks, GV_CONV_WORKERS);
}

void gv_conv_for(int64_t blocks, gv_conv_block run, void *ctx, size_t memory,
                 void *scratch)
{
    loop l = {
        .run = run, .ctx = ctx, .memory = memory, .scratch = scratch, .blocks = blocks
    };
    atomic_init(&l.next, 0);
    gv_parallel_for(gv_conv_workers(blocks), worker, &l);
}

/* --- choice ---------------------------------------------------------------------------*/

bool gv_conv_has_winograd(const gv_conv *c)
{
    int threes = 0;
    for (int a = 0; a < 3; a++) {
        if (c->stride[a] != 1 || c->dilation[a] != 1) return false;
        if (c->kernel[a] == 3)
            threes++;
        else if (c->kernel[a] != 1 || threes > 0)
            return false; /* threes come last */
    }
    return c->dtype == GV_F32 && threes > 0;
}

bool gv_conv_uses_winograd(const gv_conv *c, gv_conv_pass pass)
{
    if (c->method == GV_CONV_DIRECT || !gv_conv_has_winograd(c)) return false;
    if (c->method == GV_CONV_WINOGRAD) return true;
    /* few channels do not fill the products, few points the tiles: where the two ways
     * take the same time */
    int64_t k = c->c_in / c->groups, m = c->c_out / c->groups;
    int64_t result = pass == GV_CONV_DATA ? k : m,
            least = pass == GV_CONV_WEIGHT ? 64 : 128;
    return result >= 8 && k >= 4 && k * m >= least &&
        c->batch * gv_conv_points(c->out) >= 64;
}

gv_status gv_conv_scratch(const gv_conv *c, gv_conv_pass pass, size_t *bytes)
{
    *bytes = 0;
    if (c->batch * gv_conv_points(c->in) * gv_conv_points(c->out) == 0) return GV_OK;
    if (!gv_conv_uses_winograd(c, pass)) return gv_conv_direct_scratch(c, pass, bytes);
    *bytes = gv_conv_winograd_scratch(c, pass);
    return GV_OK;
}

static void gather(const gv_conv *c, gv_conv_pass pass, const void *x, const void *w,
                   const void *bias, void *y, void *scratch)
{
    if (c->batch == 0) return;
    if (gv_conv_uses_winograd(c, pass))
        gv_conv_winograd_gather(c, pass, x, w, bias, y, scratch);
    else
        gv_conv_direct_gather(c, pass, x, w, bias, y, scratch);
}

void gv_conv_forward(const gv_conv *c, const void *x, const void *w, const void *bias,
                     void *y, void *scratch)
{
    gather(c, GV_CONV_FORWARD, x, w, bias, y, scratch);
}

void gv_conv_data(const gv_conv *c, const void *g, const void *w, const void *bias,
                  void *gx, void *scratch)
{
    gather(c, GV_CONV_DATA, g, w, bias, gx, scratch);
}

void gv_conv_weight(const gv_conv *c, const void *x, const void *g, void *gw,
                    void *scratch)
{
    if (c->batch == 0)
        memset(gw, 0,
               (size_t)(c->c_out * (c->c_in / c->groups) * gv_conv_points(c->kernel)) *
                   gv_dtype_size(c->dtype));
    else if (gv_conv_uses_winograd(c, GV_CONV_WEIGHT))
        gv_conv_winograd_weight(c, x, g, gw, scratch);
    else
        gv_conv_direct_weight(c, x, g, gw, scratch);
}
