/* Which way the box is turned in each replica. */
#include "sim/lens/replica.h"

#include <stdbool.h>

#include "kernels/random.h"

enum { STREAM = 0x636f6e65 }; /* apart from other uses of the same seed */

static const int orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
                                  { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };

static bool keeps(const int order[3], const double box[3], const int64_t lattice[3])
{
    for (int a = 0; a < 3; a++)
        if (box[order[a]] != box[a] || lattice[order[a]] != lattice[a]) return false;
    return true;
}

gv_replica gv_replica_make(const double box[3], const int64_t lattice[3], int64_t seed,
                           int64_t j)
{
    gv_replica r = { { 0, 1, 2 }, { 1, 1, 1 }, { 0, 0, 0 } };
    if (seed < 0) return r;
    uint64_t s = (uint64_t)seed, n = (uint64_t)j;
    uint32_t counter[4] = { (uint32_t)n, (uint32_t)(n >> 32), STREAM, 0 };
    uint32_t key[2] = { (uint32_t)s, (uint32_t)(s >> 32) }, word[4];
    gv_random_block(counter, key, word);
    int fit[6], fits = 0;
    for (int k = 0; k < 6; k++)
        if (keeps(orders[k], box, lattice)) fit[fits++] = k;
    /* 8 fits equally likely choices, to 2^-26 */
    int pick = (int)((uint64_t)word[3] * (uint64_t)(8 * fits) >> 32);
    for (int a = 0; a < 3; a++) {
        r.perm[a] = orders[fit[pick / 8]][a];
        r.sign[a] = pick >> a & 1 ? -1 : 1;
        r.shift[a] = (double)word[a] * 0x1p-32 * box[a];
    }
    return r;
}
