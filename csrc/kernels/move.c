/* Strided copies by canonical form: unit axes dropped, axes sorted by the destination
 * and merged where both sides allow; what remains is a loop over two-dimensional
 * panels, each copied by runs, filled, transposed in tiles, or element by element. */
#include "kernels/move.h"

#include <string.h>

#include "base/parallel.h"

enum { task_items = 1 << 16, tile = 32, run_bytes = 1 << 20, bring_most = 1024 };

typedef uint8_t u8;
typedef uint16_t u16 __attribute__((aligned(1), may_alias));
typedef uint32_t u32 __attribute__((aligned(1), may_alias));
typedef uint64_t u64 __attribute__((aligned(1), may_alias));
typedef struct __attribute__((may_alias)) {
    u64 a, b;
} u128;

typedef struct panel {
    int64_t rows, cols;                 /* cols: innermost of the destination */
    int64_t s_row, s_col, d_row, d_col; /* byte strides */
} panel;

typedef struct copy_plan {
    size_t item;
    int ndim; /* outer axes */
    int64_t dim[GV_MAX_DIM], ss[GV_MAX_DIM], ds[GV_MAX_DIM];
    panel p;
    int64_t row_tile, col_tile, n_row, n_col, outer, group;
    bool transpose;
    const char *src;
    char *dst;
} copy_plan;

/* --- panels ---------------------------------------------------------------------*/

#define DEFINE_PANELS(T)                                                               \
    static void strided_##T(const panel *p, const char *src, char *dst)                \
    {                                                                                  \
        for (int64_t i = 0; i < p->rows; i++) {                                        \
            const char *s = src + i * p->s_row;                                        \
            char *d = dst + i * p->d_row;                                              \
            if (p->s_col == (int64_t)sizeof(T) && p->d_col == (int64_t)sizeof(T)) {    \
                for (int64_t j = 0; j < p->cols; j++) ((T *)d)[j] = ((const T *)s)[j]; \
            } else if (p->s_col == 0 && p->d_col == (int64_t)sizeof(T)) {              \
                T value = *(const T *)s;                                               \
                for (int64_t j = 0; j < p->cols; j++) ((T *)d)[j] = value;             \
            } else {                                                                   \
                for (int64_t j = 0; j < p->cols; j++)                                  \
                    *(T *)(d + j * p->d_col) = *(const T *)(s + j * p->s_col);         \
            }                                                                          \
        }                                                                              \
    }                                                                                  \
    static void transpose_##T(const panel *p, const char *src, char *dst)              \
    {                                                                                  \
        for (int64_t i0 = 0; i0 < p->rows; i0 += tile)                                 \
            for (int64_t j0 = 0; j0 < p->cols; j0 += tile) {                           \
                int64_t ni = p->rows - i0 < tile ? p->rows - i0 : tile;                \
                int64_t nj = p->cols - j0 < tile ? p->cols - j0 : tile;                \
                T block[tile][tile];                                                   \
                for (int64_t j = 0; j < nj; j++) {                                     \
                    const T *s = (const T *)(src + (j0 + j) * p->s_col) + i0;          \
                    for (int64_t i = 0; i < ni; i++) block[j][i] = s[i];               \
                }                                                                      \
                for (int64_t i = 0; i < ni; i++) {                                     \
                    T *d = (T *)(dst + (i0 + i) * p->d_row) + j0;                      \
                    for (int64_t j = 0; j < nj; j++) d[j] = block[j][i];               \
                }                                                                      \
            }                                                                          \
    }

DEFINE_PANELS(u8)
DEFINE_PANELS(u16)
DEFINE_PANELS(u32)
DEFINE_PANELS(u64)
DEFINE_PANELS(u128)

static void copy_panel(const copy_plan *c, const panel *p, const char *src, char *dst)
{
    size_t run = (size_t)p->cols * c->item;
    if (!c->transpose && p->s_col == (int64_t)c->item && p->d_col == (int64_t)c->item &&
        run >= 128) {
        for (int64_t i = 0; i < p->rows; i++)
            memcpy(dst + i * p->d_row, src + i * p->s_row, run);
        return;
    }
    switch (c->item) {
    case 1: (c->transpose ? transpose_u8 : strided_u8)(p, src, dst); break;
    case 2: (c->transpose ? transpose_u16 : strided_u16)(p, src, dst); break;
    case 4: (c->transpose ? transpose_u32 : strided_u32)(p, src, dst); break;
    case 8: (c->transpose ? transpose_u64 : strided_u64)(p, src, dst); break;
    default: (c->transpose ? transpose_u128 : strided_u128)(p, src, dst); break;
    }
}

/* Task: tile (row, col) of `group` consecutive outer indices. */
static void copy_task(void *ctx, int64_t index)
{
    const copy_plan *c = ctx;
    int64_t col = index % c->n_col, row = index / c->n_col % c->n_row;
    int64_t o = index / (c->n_col * c->n_row) * c->group;
    int64_t end = o + c->group < c->outer ? o + c->group : c->outer;
    panel p = c->p;
    int64_t i0 = row * c->row_tile, j0 = col * c->col_tile;
    p.rows = p.rows - i0 < c->row_tile ? p.rows - i0 : c->row_tile;
    p.cols = p.cols - j0 < c->col_tile ? p.cols - j0 : c->col_tile;
    const char *src = c->src + i0 * p.s_row + j0 * p.s_col;
    char *dst = c->dst + i0 * p.d_row + j0 * p.d_col;
    int64_t at[GV_MAX_DIM], rest = o;
    for (int k = c->ndim - 1; k >= 0; k--) {
        at[k] = rest % c->dim[k];
        rest /= c->dim[k];
        src += at[k] * c->ss[k];
        dst += at[k] * c->ds[k];
    }
    for (;;) {
        copy_panel(c, &p, src, dst);
        if (++o >= end) return;
        for (int k = c->ndim - 1; k >= 0; k--) {
            src += c->ss[k];
            dst += c->ds[k];
            if (++at[k] < c->dim[k]) break;
            src -= c->dim[k] * c->ss[k];
            dst -= c->dim[k] * c->ds[k];
            at[k] = 0;
        }
    }
}

/* --- canonical form ----------------------------------------------------------------*/

static int64_t magnitude(int64_t x) { return x < 0 ? -x : x; }

static void remove_axis(copy_plan *c, int k)
{
    c->ndim--;
    for (; k < c->ndim; k++) {
        c->dim[k] = c->dim[k + 1];
        c->ss[k] = c->ss[k + 1];
        c->ds[k] = c->ds[k + 1];
    }
}

static void sort_and_merge(copy_plan *c)
{
    for (int i = 1; i < c->ndim; i++) /* by destination stride, largest first */
        for (int k = i; k > 0 && magnitude(c->ds[k]) > magnitude(c->ds[k - 1]); k--) {
            int64_t d = c->dim[k], s = c->ss[k], t = c->ds[k];
            c->dim[k] = c->dim[k - 1], c->ss[k] = c->ss[k - 1], c->ds[k] = c->ds[k - 1];
            c->dim[k - 1] = d, c->ss[k - 1] = s, c->ds[k - 1] = t;
        }
    for (int k = c->ndim - 2; k >= 0; k--)
        if (c->ss[k] == c->ss[k + 1] * c->dim[k + 1] &&
            c->ds[k] == c->ds[k + 1] * c->dim[k + 1]) {
            c->dim[k + 1] *= c->dim[k];
            remove_axis(c, k);
        }
    while (c->ndim > 0) { /* short runs become larger items */
        int k = c->ndim - 1;
        size_t run = c->item * (size_t)c->dim[k];
        bool joined = c->ss[k] == (int64_t)c->item && c->ds[k] == (int64_t)c->item;
        if (!joined || (run != 2 && run != 4 && run != 8 && run != 16)) break;
        c->item = run;
        remove_axis(c, k);
    }
}

static void take_panel(copy_plan *c)
{
    panel p = { 1, 1, 0, 0, 0, 0 };
    if (c->ndim > 0) {
        int k = c->ndim - 1;
        p.cols = c->dim[k], p.s_col = c->ss[k], p.d_col = c->ds[k];
        remove_axis(c, k);
    }
    int r = c->ndim - 1;
    c->transpose = false;
    if (p.s_col != (int64_t)c->item && p.d_col == (int64_t)c->item && p.cols > 3)
        for (int k = 0; k < c->ndim; k++)
            if (c->ss[k] == (int64_t)c->item && c->dim[k] > 3)
                r = k, c->transpose = true;
    if (r >= 0) {
        p.rows = c->dim[r], p.s_row = c->ss[r], p.d_row = c->ds[r];
        remove_axis(c, r);
    }
    c->p = p;
}

void gv_move_copy(size_t item, int ndim, const int64_t *dim, const void *src,
                  const int64_t *src_stride, void *dst, const int64_t *dst_stride)
{
    copy_plan c = { .item = item, .src = src, .dst = dst };
    for (int k = 0; k < ndim; k++) {
        if (dim[k] == 0) return;
        if (dim[k] == 1) continue;
        c.dim[c.ndim] = dim[k];
        c.ss[c.ndim] = src_stride[k];
        c.ds[c.ndim++] = dst_stride[k];
    }
    sort_and_merge(&c);
    take_panel(&c);
    const panel *p = &c.p;
    if (c.transpose) {
        c.row_tile = p->rows < 256 ? p->rows : 256;
        c.col_tile = p->cols < 256 ? p->cols : 256;
    } else {
        c.col_tile = p->cols < task_items ? p->cols : task_items;
        int64_t rows = task_items / c.col_tile;
        c.row_tile = p->rows < rows ? p->rows : rows;
    }
    c.n_row = (p->rows + c.row_tile - 1) / c.row_tile;
    c.n_col = (p->cols + c.col_tile - 1) / c.col_tile;
    c.outer = 1;
    for (int k = 0; k < c.ndim; k++) c.outer *= c.dim[k];
    c.group = task_items / (c.row_tile * c.col_tile);
    if (c.group < 1) c.group = 1;
    int64_t groups = (c.outer + c.group - 1) / c.group;
    gv_parallel_for(groups * c.n_row * c.n_col, copy_task, &c);
}

void gv_move_strides(const gv_shape *shape, size_t item, int64_t *stride)
{
    int64_t s = (int64_t)item;
    for (int k = shape->ndim - 1; k >= 0; k--) {
        stride[k] = s;
        s *= shape->dim[k];
    }
}

/* --- contiguous ------------------------------------------------------------------*/

typedef struct bytes_job {
    char *dst;
    const char *src; /* NULL: fill with zero */
    size_t bytes;
} bytes_job;

static void bytes_task(void *ctx, int64_t index)
{
    const bytes_job *b = ctx;
    size_t at = (size_t)index * run_bytes;
    size_t n = b->bytes - at < run_bytes ? b->bytes - at : run_bytes;
    if (b->src != NULL)
        memcpy(b->dst + at, b->src + at, n);
    else
        memset(b->dst + at, 0, n);
}

void gv_move_bytes(void *dst, const void *src, size_t bytes)
{
    bytes_job b = { dst, src, bytes };
    if (bytes == 0 || dst == src) return;
    gv_parallel_for((int64_t)((bytes + run_bytes - 1) / run_bytes), bytes_task, &b);
}

void gv_move_zero(void *dst, size_t bytes)
{
    bytes_job b = { dst, NULL, bytes };
    gv_parallel_for((int64_t)((bytes + run_bytes - 1) / run_bytes), bytes_task, &b);
}

/* --- gather and scatter ------------------------------------------------------------*/

int64_t gv_move_find_bad(const int64_t *index, int64_t k, int64_t n)
{
    uint64_t limit = (uint64_t)n;
    bool bad = false;
    for (int64_t i = 0; i < k; i++) bad |= (uint64_t)index[i] >= limit;
    if (!bad) return -1;
    int64_t i = 0;
    while ((uint64_t)index[i] < limit) i++;
    return i;
}

typedef struct take_job {
    int64_t n, k, per_task, total;
    size_t row;
    const char *x;
    const int64_t *index;
    char *out;
} take_job;

/* Rows lie anywhere: the first lines of one that comes soon are asked for early. */
static inline void bring_row(const char *row, size_t bytes)
{
    for (size_t b = 0; b < bytes && b < bring_most; b += 64)
        __builtin_prefetch(row + b);
}

static void take_task(void *ctx, int64_t task)
{
    const take_job *t = ctx;
    int64_t i = task * t->per_task;
    int64_t end = i + t->per_task < t->total ? i + t->per_task : t->total;
    size_t row = t->row;
    int64_t ahead = row < bring_most / 8 ? 8 : 2;
    while (i < end) { /* rows of one entry of the batch */
        int64_t entry = i / t->k, stop = (entry + 1) * t->k;
        const char *x = t->x + (size_t)(entry * t->n) * row;
        if (stop > end) stop = end;
        for (; i < stop; i++) {
            const char *s = x + (size_t)t->index[i] * row;
            char *d = t->out + (size_t)i * row;
            if (i + ahead < stop) bring_row(x + (size_t)t->index[i + ahead] * row, row);
            switch (row) {
            case 4: *(u32 *)d = *(const u32 *)s; break;
            case 8: *(u64 *)d = *(const u64 *)s; break;
            case 16: *(u128 *)d = *(const u128 *)s; break;
            default: memcpy(d, s, row);
            }
        }
    }
}

void gv_move_take(int64_t batch, int64_t n, int64_t k, size_t row, const void *x,
                  const int64_t *index, void *out)
{
    take_job t = { .n = n,
                   .k = k,
                   .total = batch * k,
                   .row = row,
                   .x = x,
                   .index = index,
                   .out = out };
    if (t.total == 0 || row == 0) return;
    t.per_task = 1 + (1 << 17) / (int64_t)(row + 16);
    gv_parallel_for((t.total + t.per_task - 1) / t.per_task, take_task, &t);
}

typedef struct scatter_job {
    gv_dtype dtype;
    int64_t n, k, m, tile, tiles;
    char *x;
    const int64_t *index;
    const char *v;
} scatter_job;

#define SCATTER(T)                                            \
    do {                                                      \
        T *x = (T *)s->x + b * s->n * s->m;                   \
        const T *v = (const T *)s->v + b * s->k * s->m;       \
        for (int64_t i = 0; i < s->k; i++) {                  \
            T *d = x + index[i] * s->m;                       \
            const T *a = v + i * s->m;                        \
            for (int64_t j = from; j < to; j++) d[j] += a[j]; \
        }                                                     \
    } while (0)

static void scatter_task(void *ctx, int64_t task)
{
    const scatter_job *s = ctx;
    int64_t b = task / s->tiles, from = task % s->tiles * s->tile;
    int64_t to = from + s->tile < s->m ? from + s->tile : s->m;
    const int64_t *index = s->index + b * s->k;
    switch (s->dtype) {
    case GV_F32: SCATTER(float); break;
    case GV_F64: SCATTER(double); break;
    case GV_I32:
    case GV_Q32: SCATTER(uint32_t); break;
    default: SCATTER(uint64_t); break;
    }
}

void gv_move_scatter_add(gv_dtype dtype, int64_t batch, int64_t n, int64_t k, int64_t m,
                         void *x, const int64_t *index, const void *v)
{
    if (gv_dtype_is_complex(dtype)) {
        dtype = gv_dtype_real(dtype);
        m *= 2;
    }
    if (batch * k * m == 0) return;
    scatter_job s = {
        .dtype = dtype, .n = n, .k = k, .m = m, .x = x, .index = index, .v = v
    };
    s.tile = k * m > task_items ? (m < 256 ? m : 256) : m;
    s.tiles = (m + s.tile - 1) / s.tile;
    gv_parallel_for(batch * s.tiles, scatter_task, &s);
}

/* --- triangles ---------------------------------------------------------------------*/

typedef struct tri_job {
    size_t item;
    bool lower;
    int64_t k, rows, m, n, per_task;
    const char *x;
    char *out;
} tri_job;

static void tri_task(void *ctx, int64_t task)
{
    const tri_job *t = ctx;
    int64_t i = task * t->per_task;
    int64_t end = i + t->per_task < t->rows ? i + t->per_task : t->rows;
    for (; i < end; i++) {
        int64_t cut = i % t->m + t->k + (t->lower ? 1 : 0); /* columns before the cut */
        if (cut < 0) cut = 0;
        if (cut > t->n) cut = t->n;
        size_t head = (size_t)cut * t->item, row = (size_t)t->n * t->item;
        const char *s = t->x + (size_t)i * row;
        char *d = t->out + (size_t)i * row;
        if (t->lower) {
            if (d != s) memcpy(d, s, head);
            memset(d + head, 0, row - head);
        } else {
            memset(d, 0, head);
            if (d != s) memcpy(d + head, s + head, row - head);
        }
    }
}

void gv_move_triangle(size_t item, bool lower, int64_t k, int64_t batch, int64_t m,
                      int64_t n, const void *x, void *out)
{
    tri_job t = { item, lower, k, batch * m, m, n, 1, x, out };
    if (t.rows * n == 0) return;
    t.per_task = 1 + task_items / n;
    gv_parallel_for((t.rows + t.per_task - 1) / t.per_task, tri_task, &t);
}
