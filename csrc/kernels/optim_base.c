/* Optimiser updates for any processor. */
#define GV_ADAM(type) gv_adam_##type##_base
#define GV_SQUARES(type) gv_squares_##type##_base
#include "kernels/optim.inc"
