/* Inner loops of the norms (kernels/norm.inc), one table per instruction set and dtype,
 * and the two walks over them.
 *
 * Pointers are to elements of the dtype unless double is said. Numbers that come as
 * double are rounded to the dtype once. `relu` gates g where (x - mean) scale + bias is
 * not positive. */
#ifndef GV_KERNELS_NORM_TABLE_H
#define GV_KERNELS_NORM_TABLE_H

#include "kernels/norm.h"

typedef struct gv_norm_coefficients {
    double mean, scale, bias; /* of y = (x - mean) scale + bias */
    double slope, offset;     /* of g_x = scale g - offset - (x - mean) slope */
} gv_norm_coefficients;

typedef struct gv_norm_table {
    double (*total)(const void *x, int64_t n);
    /* sums += sum (x - shift), sum (x - shift)^2 over n values */
    void (*moments)(const void *x, int64_t n, double shift, double *sums);
    void (*affine)(const void *x, int64_t n, const gv_norm_coefficients *k, bool relu,
                   void *y);
    /* sums += sum g, sum g (x - mean) */
    void (*sums)(const void *x, const void *g, int64_t n, const gv_norm_coefficients *k,
                 bool relu, double *sums);
    void (*pull)(const void *x, const void *g, int64_t n, const gv_norm_coefficients *k,
                 bool relu, void *g_x);
    /* The same for `cols` columns of rows `ld` apart, one set of numbers a column: k
     * holds arrays of the dtype in the order of gv_norm_coefficients. */
    void (*col_moments)(const void *x, int64_t rows, int64_t ld, int64_t cols,
                        const double *shift, double *sum, double *square);
    void (*col_affine)(const void *x, int64_t rows, int64_t ld, int64_t cols,
                       const void *const *k, bool relu, void *y);
    void (*col_sums)(const void *x, const void *g, int64_t rows, int64_t ld,
                     int64_t cols, const void *const *k, bool relu, double *sum,
                     double *square);
    void (*col_pull)(const void *x, const void *g, int64_t rows, int64_t ld,
                     int64_t cols, const void *const *k, bool relu, void *g_x);
    /* One set of n values with a weight and a bias each: y = w xh + b, xh = (x - mean)
     * scale. */
    void (*row_affine)(const void *x, int64_t n, const gv_norm_coefficients *k,
                       const void *w, const void *b, bool relu, void *y);
    /* sums(rows, 2) = sum w g, sum w g xh of up to four sets with the same weights, ld
     * apart, k(rows); g_w += g xh, g_b += g */
    void (*row_sums)(const void *x, const void *g, int rows, int64_t ld, int64_t n,
                     const gv_norm_coefficients *k, const void *w, const void *b,
                     bool relu, double *sums, double *g_w, double *g_b);
    /* g_x = scale (w g - offset - xh slope) */
    void (*row_pull)(const void *x, const void *g, int64_t n,
                     const gv_norm_coefficients *k, const void *w, const void *b,
                     bool relu, void *g_x);
} gv_norm_table;

extern const gv_norm_table gv_norm_f32_base, gv_norm_f32_avx2, gv_norm_f32_avx512;
extern const gv_norm_table gv_norm_f64_base, gv_norm_f64_avx2, gv_norm_f64_avx512;

/* A run over one lane; pointers as in norm.h, mean and var in or out. */
typedef struct gv_norm_job {
    const gv_norm_table *table;
    const gv_norm *p;
    size_t item;
    const char *x, *weight, *bias, *g;
    char *y, *mean, *var; /* y is g_x in the reverse sweep */
    char *g_weight, *g_bias, *scratch;
} gv_norm_job;

static inline double gv_norm_get(const void *a, int64_t i, size_t item)
{
    return item == 4 ? (double)((const float *)a)[i] : ((const double *)a)[i];
}

static inline void gv_norm_set(void *a, int64_t i, size_t item, double v)
{
    if (item == 4)
        ((float *)a)[i] = (float)v;
    else
        ((double *)a)[i] = v;
}

/* How many values the first mean is taken of: any few do in single precision. */
static inline int64_t gv_norm_head(const gv_norm *p)
{
    return p->dtype == GV_F32 ? 16 : 1024;
}

/* Below this many places, values are walked by columns or with a weight each. */
enum { GV_NORM_PLACES = 64 };

/* Statistics over the entries: by planes and by columns. */
size_t gv_norm_planes_scratch(const gv_norm *p);
void gv_norm_planes(const gv_norm_job *w);
void gv_norm_planes_bwd(const gv_norm_job *w);
size_t gv_norm_columns_scratch(const gv_norm *p);
void gv_norm_columns(const gv_norm_job *w);
void gv_norm_columns_bwd(const gv_norm_job *w);
/* Statistics of each entry. */
size_t gv_norm_groups_scratch(const gv_norm *p);
void gv_norm_groups(const gv_norm_job *w);
void gv_norm_groups_bwd(const gv_norm_job *w);

#endif
