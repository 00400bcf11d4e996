/* Replicas: the box as the light cone repeats it, turned and shifted.
 *
 * Replica j fills distances [j L_2, (j + 1) L_2) from the observer, line of sight along
 * component 2 of the replica's frame. A point x of the box lies there at
 *
 *     y_a = (sign_a x_perm(a) + shift_a) mod L_a,     a = 0, 1, 2,
 *
 * and a vector v (displacement, momentum) is sign_a v_perm(a). (perm, sign) is one of the
 * signed axis permutations that map the box and its particle lattice onto themselves: 48
 * for a cube; axes of equal side but unequal numbers of lattice points are not
 * exchanged. Shifts are uniform in [0, L_a), multiples of 2^-32 L_a.
 *
 * All are functions of (seed, j) alone: one Philox block with the seed as key and
 * (j, stream) as counter; words 0..2 give the shifts, word 3 the symmetry. A negative
 * seed means the box as it is: identity, no shift. */
#ifndef GV_SIM_REPLICA_H
#define GV_SIM_REPLICA_H

#include <stdint.h>

typedef struct gv_replica {
    int perm[3]; /* axis of the box that becomes axis a of the replica */
    int sign[3]; /* +1 or -1 */
    double shift[3];
} gv_replica;

gv_replica gv_replica_make(const double box[3], const int64_t lattice[3], int64_t seed,
                           int64_t j);

#endif
