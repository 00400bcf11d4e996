/* Optimiser updates for any processor. */
#define GV_ADAM(type) gv_adam_##type##_base
#include "kernels/optim.inc"
