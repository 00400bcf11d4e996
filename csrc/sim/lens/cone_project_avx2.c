/* Projection of lattice blocks for AVX2 with FMA. */
#if defined(__x86_64__)
#pragma GCC target("avx2,fma")
#endif
#define CONE_PROJECTS gv_cone_projects_avx2
#include "sim/lens/cone_project.inc"
