/* Every operator of the library by name: one declaration per line of oplist.def. */
#ifndef GV_OPS_OPS_H
#define GV_OPS_OPS_H

#include "graph/op.h"

#define GV_OP(name) extern const gv_op gv_op_##name;
#include "ops/oplist.def"
#undef GV_OP

#endif
