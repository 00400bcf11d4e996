/* Instruction set detection. The level is found once; GV_SIMD may lower it. */
#include "base/cpu.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <strings.h>

static const char *const names[] = { "base", "avx2", "avx512" };

static atomic_int level_now = -1;

static gv_simd level_of_cpu(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return GV_SIMD_BASE;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return GV_SIMD_AVX512;
    return GV_SIMD_AVX2;
#else
    return GV_SIMD_BASE;
#endif
}

static gv_simd level_at_start(void)
{
    gv_simd best = level_of_cpu();
    const char *wish = getenv("GV_SIMD");
    if (wish != NULL)
        for (int k = 0; k < (int)best; k++)
            if (strcasecmp(wish, names[k]) == 0) return (gv_simd)k;
    return best;
}

gv_simd gv_simd_level(void)
{
    int level = atomic_load_explicit(&level_now, memory_order_relaxed);
    if (level < 0) {
        level = (int)level_at_start();
        atomic_store_explicit(&level_now, level, memory_order_relaxed);
    }
    return (gv_simd)level;
}

gv_simd gv_simd_set(gv_simd level)
{
    gv_simd best = level_of_cpu();
    if (level > best) level = best;
    if ((int)level < 0) level = GV_SIMD_BASE;
    atomic_store_explicit(&level_now, (int)level, memory_order_relaxed);
    return level;
}

const char *gv_simd_name(gv_simd level)
{
    return (unsigned)level < 3 ? names[level] : "?";
}
