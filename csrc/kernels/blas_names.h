/* The BLAS and LAPACK symbols the library calls, and the one place that maps them.
 *
 * GV_BLAS_PREFIX (scipy_ for the scipy-openblas32 package) is put in front of every
 * symbol; without it the plain names are used, so any CBLAS + LAPACK with 32-bit
 * integers will do. Fortran character lengths are passed as trailing size_t. */
#ifndef GV_KERNELS_BLAS_NAMES_H
#define GV_KERNELS_BLAS_NAMES_H

#include <stddef.h>

#ifdef GV_BLAS_PREFIX
#define GV_PASTE_(a, b) a##b
#define GV_PASTE(a, b) GV_PASTE_(a, b)
#define GV_CBLAS(name) GV_PASTE(GV_BLAS_PREFIX, cblas_##name)
#define GV_LAPACK(name) GV_PASTE(GV_BLAS_PREFIX, name##_)
#define GV_OPENBLAS(name) GV_PASTE(GV_BLAS_PREFIX, openblas_##name)
#else
#define GV_CBLAS(name) cblas_##name
#define GV_LAPACK(name) name##_
#define GV_OPENBLAS(name) openblas_##name
#endif

/* The numbers of the CBLAS interface. */
enum {
    GV_CBLAS_ROWS = 101,
    GV_CBLAS_PLAIN = 111,
    GV_CBLAS_TRANS = 112,
    GV_CBLAS_ADJOINT = 113,
    GV_CBLAS_UPPER = 121,
    GV_CBLAS_LOWER = 122,
    GV_CBLAS_NON_UNIT = 131,
    GV_CBLAS_UNIT = 132,
    GV_CBLAS_LEFT = 141,
    GV_CBLAS_RIGHT = 142
};

#define GV_DECLARE_REAL(s, T)                                                          \
    void GV_CBLAS(s##gemm)(int, int, int, int, int, int, T, const T *, int, const T *, \
                           int, T, T *, int);                                          \
    void GV_CBLAS(s##gemv)(int, int, int, int, T, const T *, int, const T *, int, T,   \
                           T *, int);                                                  \
    void GV_CBLAS(s##trsm)(int, int, int, int, int, int, int, T, const T *, int, T *,  \
                           int);                                                       \
    void GV_LAPACK(s##syevd)(const char *, const char *, const int *, T *,             \
                             const int *, T *, T *, const int *, int *, const int *,   \
                             int *, size_t, size_t);                                   \
    void GV_LAPACK(s##gesdd)(const char *, const int *, const int *, T *, const int *, \
                             T *, T *, const int *, T *, const int *, T *,             \
                             const int *, int *, int *, size_t);                       \
    void GV_LAPACK(s##geev)(const char *, const char *, const int *, T *, const int *, \
                            T *, T *, T *, const int *, T *, const int *, T *,         \
                            const int *, int *, size_t, size_t);                       \
    void GV_LAPACK(s##orgqr)(const int *, const int *, const int *, T *, const int *,  \
                             const T *, T *, const int *, int *);

#define GV_DECLARE_COMPLEX(s, T)                                                      \
    void GV_CBLAS(s##gemm)(int, int, int, int, int, int, const void *, const void *,  \
                           int, const void *, int, const void *, void *, int);        \
    void GV_CBLAS(s##gemv)(int, int, int, int, const void *, const void *, int,       \
                           const void *, int, const void *, void *, int);             \
    void GV_CBLAS(s##trsm)(int, int, int, int, int, int, int, const void *,           \
                           const void *, int, void *, int);                           \
    void GV_LAPACK(s##heevd)(const char *, const char *, const int *, void *,         \
                             const int *, T *, void *, const int *, T *, const int *, \
                             int *, const int *, int *, size_t, size_t);              \
    void GV_LAPACK(s##gesdd)(const char *, const int *, const int *, void *,          \
                             const int *, T *, void *, const int *, void *,           \
                             const int *, void *, const int *, T *, int *, int *,     \
                             size_t);                                                 \
    void GV_LAPACK(s##geev)(const char *, const char *, const int *, void *,          \
                            const int *, void *, void *, const int *, void *,         \
                            const int *, void *, const int *, T *, int *, size_t,     \
                            size_t);                                                  \
    void GV_LAPACK(s##ungqr)(const int *, const int *, const int *, void *,           \
                             const int *, const void *, void *, const int *, int *);

#define GV_DECLARE_ANY(s)                                                           \
    void GV_LAPACK(s##potrf)(const char *, const int *, void *, const int *, int *, \
                             size_t);                                               \
    void GV_LAPACK(s##getrf)(const int *, const int *, void *, const int *, int *,  \
                             int *);                                                \
    void GV_LAPACK(s##geqrf)(const int *, const int *, void *, const int *, void *, \
                             void *, const int *, int *);

GV_DECLARE_REAL(s, float)
GV_DECLARE_REAL(d, double)
GV_DECLARE_COMPLEX(c, float)
GV_DECLARE_COMPLEX(z, double)
GV_DECLARE_ANY(s)
GV_DECLARE_ANY(d)
GV_DECLARE_ANY(c)
GV_DECLARE_ANY(z)

/* OpenBLAS only; weak, so that another library links. */
void GV_OPENBLAS(set_num_threads)(int) __attribute__((weak));
int GV_OPENBLAS(get_parallel)(void) __attribute__((weak));
char *GV_OPENBLAS(get_corename)(void) __attribute__((weak));
char *GV_OPENBLAS(get_config)(void) __attribute__((weak));

#endif
