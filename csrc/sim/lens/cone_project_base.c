/* Projection of lattice blocks for any processor. */
#define CONE_PROJECTS gv_cone_projects_base
#include "sim/lens/cone_project.inc"
