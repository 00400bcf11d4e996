/* Facts about the element-wise codes and the choice of the kernel for this CPU. */
#include "kernels/ew.h"

#include <string.h>

#include "base/cpu.h"
#include "kernels/ew_tables.h"

static const struct {
    int nin;
    gv_ew_result result;
    const char *dtypes;
} info[GV_EW_N] = {
#define ENTRY(code, nin, result, dtypes) \
    [GV_EW_##code] = { nin, GV_EW_R_##result, dtypes },
    GV_EW_LIST(ENTRY)
#undef ENTRY
};

static const char letter[GV_N_DTYPE] = { 'B', 'I', 'I', 'F', 'F', 'C', 'C', 'Q', 'Q' };

int gv_ew_nin(gv_ew_code code) { return info[code].nin; }
gv_ew_result gv_ew_result_of(gv_ew_code code) { return info[code].result; }
const char *gv_ew_dtypes(gv_ew_code code) { return info[code].dtypes; }

bool gv_ew_takes(gv_ew_code code, gv_dtype dtype)
{
    return (unsigned)dtype < GV_N_DTYPE &&
        strchr(info[code].dtypes, letter[dtype]) != NULL;
}

/* Families by level; AVX levels fall back to nothing: each offers everything. */
static const gv_ew_family *const families[] = { GV_EW_FAMILIES };
static const gv_ew_cast_table *const casts[] = { &gv_ew_cast_base,
#ifdef GV_EW_X86
                                                 &gv_ew_cast_avx2, &gv_ew_cast_avx512
#endif
};

enum { n_families = 5 };

gv_ew_kernel gv_ew_get(gv_ew_code code, gv_dtype dtype, gv_dtype out)
{
    int level = (int)gv_simd_level();
    if ((unsigned)code >= GV_EW_N || (unsigned)dtype >= GV_N_DTYPE) return NULL;
    if (code == GV_EW_CAST)
        return (unsigned)out < GV_N_DTYPE ? (*casts[level])[dtype][out] : NULL;
    for (int f = 0; f < n_families; f++) {
        gv_ew_kernel kernel = (*families[level * n_families + f])[code][dtype];
        if (kernel != NULL) return kernel;
    }
    return NULL;
}
