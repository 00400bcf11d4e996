/* Keys, and the way from any range of indices to whole tiles. */
#include "kernels/random.h"

#include <string.h>

#include "base/cpu.h"
#include "kernels/random_table.h"

void gv_random_block(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c[4], k[2] = { key[0], key[1] };
    memcpy(c, counter, sizeof c);
    for (int round = 0; round < 10; round++) {
        uint64_t p = (uint64_t)0xD2511F53 * c[0], q = (uint64_t)0xCD9E8D57 * c[2];
        c[0] = (uint32_t)(q >> 32) ^ c[1] ^ k[0];
        c[1] = (uint32_t)q;
        c[2] = (uint32_t)(p >> 32) ^ c[3] ^ k[1];
        c[3] = (uint32_t)p;
        k[0] += 0x9E3779B9;
        k[1] += 0xBB67AE85;
    }
    memcpy(out, c, sizeof c);
}

/* --- keys --- */

void gv_random_fold_in(const int64_t key[2], int64_t tag, int64_t number,
                       int64_t out[2])
{
    /* another cipher key than that of the values, so that no block is used twice */
    uint64_t k =
        (uint64_t)key[0] ^ (0x6a09e667f3bcc908 + (uint64_t)tag * 0x9e3779b97f4a7c15);
    uint64_t i = (uint64_t)number, stream = (uint64_t)key[1];
    uint32_t counter[4] = { (uint32_t)i, (uint32_t)(i >> 32), (uint32_t)stream,
                            (uint32_t)(stream >> 32) };
    uint32_t word[4];
    gv_random_block(counter, (uint32_t[]){ (uint32_t)k, (uint32_t)(k >> 32) }, word);
    out[0] = (int64_t)((uint64_t)word[1] << 32 | word[0]);
    out[1] = (int64_t)((uint64_t)word[3] << 32 | word[2]);
}

/* --- values --- */

bool gv_random_offers(gv_random_kind kind, gv_dtype dtype)
{
    if (kind == GV_RANDOM_BITS) return dtype == GV_I32 || dtype == GV_I64;
    return (unsigned)kind < GV_RANDOM_N_KIND && gv_dtype_is_float(dtype);
}

static const gv_random_table *const tables[] = { &gv_random_base,
#ifdef GV_RANDOM_X86
                                                 &gv_random_avx2, &gv_random_avx512
#endif
};

void gv_random_fill(gv_random_kind kind, gv_dtype dtype, const int64_t key[2],
                    int64_t first, int64_t n, void *out)
{
    size_t size = gv_dtype_size(dtype);
    int64_t per = size == 8 ? 16 : 32, end = first + n;
    gv_random_tiles tiles = (*tables[gv_simd_level()])[kind][size == 8];
    char *r = out;
    _Alignas(64) char buffer[128];
    while (first < end) {
        int64_t tile = first / per, skip = first % per;
        if (skip == 0 && end - first >= per) {
            int64_t whole = (end - first) / per;
            tiles(key, tile, whole, r);
            first += whole * per;
            r += (size_t)(whole * per) * size;
            continue;
        }
        int64_t take = per - skip < end - first ? per - skip : end - first;
        tiles(key, tile, 1, buffer);
        memcpy(r, buffer + (size_t)skip * size, (size_t)take * size);
        first += take;
        r += (size_t)take * size;
    }
}
