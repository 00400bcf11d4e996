/* BLAS calls by dtype. */
#include "kernels/blas_call.h"

#include "kernels/blas_names.h"

static int name_of(gv_trans t)
{
    static const int name[] = { GV_CBLAS_PLAIN, GV_CBLAS_TRANS, GV_CBLAS_ADJOINT };
    return name[t];
}

void gv_call_gemm(gv_dtype dtype, gv_trans ta, gv_trans tb, int64_t m, int64_t n,
                  int64_t k, double alpha, const void *a, int64_t lda, const void *b,
                  int64_t ldb, double beta, void *c, int64_t ldc)
{
    int ra = name_of(ta), rb = name_of(tb), mi = (int)m, ni = (int)n, ki = (int)k;
    int la = (int)lda, lb = (int)ldb, lc = (int)ldc;
    float cx[2] = { (float)alpha, 0 }, cy[2] = { (float)beta, 0 };
    double zx[2] = { alpha, 0 }, zy[2] = { beta, 0 };
    switch (dtype) {
    case GV_F32:
        GV_CBLAS(sgemm)
        (GV_CBLAS_ROWS, ra, rb, mi, ni, ki, cx[0], a, la, b, lb, cy[0], c, lc);
        break;
    case GV_F64:
        GV_CBLAS(dgemm)
        (GV_CBLAS_ROWS, ra, rb, mi, ni, ki, alpha, a, la, b, lb, beta, c, lc);
        break;
    case GV_C64:
        GV_CBLAS(cgemm)(GV_CBLAS_ROWS, ra, rb, mi, ni, ki, cx, a, la, b, lb, cy, c, lc);
        break;
    default:
        GV_CBLAS(zgemm)(GV_CBLAS_ROWS, ra, rb, mi, ni, ki, zx, a, la, b, lb, zy, c, lc);
    }
}

void gv_call_trsm(gv_dtype dtype, bool left, bool lower, gv_trans trans, bool unit,
                  int64_t m, int64_t n, const void *a, int64_t lda, void *b,
                  int64_t ldb)
{
    static const float c1[2] = { 1, 0 };
    static const double z1[2] = { 1, 0 };
    int side = left ? GV_CBLAS_LEFT : GV_CBLAS_RIGHT, tr = name_of(trans);
    int up = lower ? GV_CBLAS_LOWER : GV_CBLAS_UPPER, mi = (int)m, ni = (int)n;
    int diag = unit ? GV_CBLAS_UNIT : GV_CBLAS_NON_UNIT, la = (int)lda, lb = (int)ldb;
    switch (dtype) {
    case GV_F32:
        GV_CBLAS(strsm)(GV_CBLAS_ROWS, side, up, tr, diag, mi, ni, 1, a, la, b, lb);
        break;
    case GV_F64:
        GV_CBLAS(dtrsm)(GV_CBLAS_ROWS, side, up, tr, diag, mi, ni, 1, a, la, b, lb);
        break;
    case GV_C64:
        GV_CBLAS(ctrsm)(GV_CBLAS_ROWS, side, up, tr, diag, mi, ni, c1, a, la, b, lb);
        break;
    default:
        GV_CBLAS(ztrsm)(GV_CBLAS_ROWS, side, up, tr, diag, mi, ni, z1, a, la, b, lb);
    }
}

int gv_call_potrf(gv_dtype dtype, int64_t n, void *a, int64_t lda)
{
    /* In column order the stored lower triangle is the upper one of the conjugate, whose
     * factor U has U^T = L: no conjugation is needed. */
    int ni = (int)n, la = (int)lda, info = 0;
    switch (dtype) {
    case GV_F32: GV_LAPACK(spotrf)("U", &ni, a, &la, &info, 1); break;
    case GV_F64: GV_LAPACK(dpotrf)("U", &ni, a, &la, &info, 1); break;
    case GV_C64: GV_LAPACK(cpotrf)("U", &ni, a, &la, &info, 1); break;
    default: GV_LAPACK(zpotrf)("U", &ni, a, &la, &info, 1); break;
    }
    return info;
}
