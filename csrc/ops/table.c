/* The operator table and the look-up by name. */
#include <stdatomic.h>
#include <string.h>

#include "graph/absorb.h"
#include "graph/merge.h"
#include "ops/linear.h"
#include "ops/ops.h"

const gv_op *const gv_op_table[] = {
#define GV_OP(name) &gv_op_##name,
#include "ops/oplist.def"
#undef GV_OP
};

enum { n_ops = sizeof gv_op_table / sizeof *gv_op_table, n_slots = 2048 };

const int gv_op_count = n_ops;

const gv_merge gv_merge_table[] = {
    /* the inverse of a step and its derivative read phi, x and unit */
    { &gv_op_pm_kick, &gv_op_pm_tidal, &gv_op_pm_kick_tidal, { 1, 2, 3, -1, -1 } },
};
const int gv_merge_count = sizeof gv_merge_table / sizeof *gv_merge_table;

const gv_absorb gv_absorb_table[] = {
    /* the gradient of a large weight is used up by Adam as it is made */
    { &gv_op_adam_update, 3, gv_linear_absorb },
};
const int gv_absorb_count = sizeof gv_absorb_table / sizeof *gv_absorb_table;

/* Open addressing; a slot holds index + 1. Filling twice writes the same values. */
static atomic_short slots[n_slots];
static atomic_bool filled;

_Static_assert(n_ops * 2 < n_slots, "enlarge the look-up table of operators");

static unsigned hash_of(const char *text)
{
    uint32_t h = 2166136261u;
    for (; *text != '\0'; text++) h = (h ^ (unsigned char)*text) * 16777619u;
    return (h ^ h >> 15) % n_slots;
}

static void fill(void)
{
    for (int k = 0; k < n_ops; k++) {
        unsigned at = hash_of(gv_op_table[k]->name);
        int held;
        while ((held = atomic_load(&slots[at])) != 0 && held != k + 1)
            at = (at + 1) % n_slots;
        atomic_store(&slots[at], (short)(k + 1));
    }
    atomic_store(&filled, true);
}

const gv_op *gv_op_find(const char *name)
{
    if (!atomic_load(&filled)) fill();
    for (unsigned at = hash_of(name);; at = (at + 1) % n_slots) {
        int held = atomic_load(&slots[at]);
        if (held == 0) return NULL;
        if (strcmp(gv_op_table[held - 1]->name, name) == 0)
            return gv_op_table[held - 1];
    }
}
