/* Counter-based random numbers: value = f(key, index).
 *
 * Philox4x32-10 (Salmon, Moraes, Dror & Shaw, SC'11). A key is two int64: the first is
 * the cipher's key, the second the upper half of its counter (the stream); the lower
 * half counts blocks of 128 bits. Any range of indices may be asked for in any order;
 * the bits do not depend on threads, and uniform numbers and raw bits not on the SIMD
 * level (normal ones may differ there in the last bit).
 *
 * Layout: eight consecutive blocks make a tile of 32 values of 32 bits or 16 of 64
 * bits. Value v of a 32-bit tile is word 2 (v / 16) + v % 2 of block (v % 16) / 2;
 * value v of a 64-bit tile is the pair of words 2 (v / 8), 2 (v / 8) + 1 of block v % 8
 * (low word first).
 *
 * uniform: multiples of 2^-24 (float) or 2^-53 (double) in [0, 1).
 * normal:  Box-Muller; the first half of a tile gives radii, the second half angles, of
 *          the pair (v, v + half). Largest magnitude 6.7 (float), 8.6 (double).
 * bits:    the raw words, int32 or int64. */
#ifndef GV_KERNELS_RANDOM_H
#define GV_KERNELS_RANDOM_H

#include "tensor/tensor.h"

typedef enum gv_random_kind {
    GV_RANDOM_BITS,
    GV_RANDOM_UNIFORM,
    GV_RANDOM_NORMAL,
    GV_RANDOM_N_KIND
} gv_random_kind;

/* One block: ten rounds on counter[4] under key[2]. */
void gv_random_block(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* Whether the kind comes in this dtype: bits in I32, I64; the others in F32, F64. */
bool gv_random_offers(gv_random_kind kind, gv_dtype dtype);

/* Values first .. first + n - 1 of the key's sequence (first >= 0). */
void gv_random_fill(gv_random_kind kind, gv_dtype dtype, const int64_t key[2],
                    int64_t first, int64_t n, void *out);

/* A new key from an old one and a number; other tags give other keys. */
void gv_random_fold_in(const int64_t key[2], int64_t tag, int64_t number,
                       int64_t out[2]);

#endif
