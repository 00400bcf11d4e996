/* Row loops of the attention for any processor. */
#define ATTENTION_TABLE gv_attention_base
#include "kernels/attention.inc"
