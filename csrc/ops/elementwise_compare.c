/* Comparisons, logic and tests (results are bool, no derivative), and selection. */
#include "ops/elementwise.h"

#define SIG2 "a(), b() -> c()"
#define SIG1 "x() -> y()"
#define ORDERED "r[3] r[3]; i{-3,3}[7,5] i{-3,3}[7,5]; r[0] r[0]; r[] r[]"
#define EQUAL "x[3] x[3]; i{-3,3}[7,5] i{-3,3}[7,5]; b[4] b[4]; r[0] r[0]; r[] r[]"
#define LOGIC "b[3] b[3]; i{-1,1}[7,5] i{-1,1}[7,5]; r[0] r[0]; b[] b[]"

#define TEST(name, code, signature, doc, samples) \
    GV_ELEMENTWISE(name, code, signature, doc, samples, GV_NODIFF | GV_CHEAP, )

TEST(eq, EQ, SIG2, "a == b.", EQUAL);
TEST(ne, NE, SIG2, "a != b.", EQUAL);
TEST(lt, LT, SIG2, "a < b.", ORDERED);
TEST(le, LE, SIG2, "a <= b.", ORDERED);
TEST(gt, GT, SIG2, "a > b.", ORDERED);
TEST(ge, GE, SIG2, "a >= b.", ORDERED);
TEST(logical_and, LOGICAL_AND, SIG2, "Both are non-zero.", LOGIC);
TEST(logical_or, LOGICAL_OR, SIG2, "One or both are non-zero.", LOGIC);
TEST(logical_xor, LOGICAL_XOR, SIG2, "Exactly one is non-zero.", LOGIC);
TEST(logical_not, LOGICAL_NOT, SIG1, "x is zero.", "b[3]; i{-1,1}[7,5]; r[0]; b[]");
TEST(isfinite, ISFINITE, SIG1, "Neither infinite nor NaN.", "x[3]; x[7,5]; r[0]; r[]");
TEST(isnan, ISNAN, SIG1, "x is NaN.", "x[3]; x[7,5]; r[0]; r[]");
TEST(isinf, ISINF, SIG1, "x is infinite.", "x[3]; x[7,5]; r[0]; r[]");

GV_VJP(where_vjp)
{
    gv_val zero = gv_emit_full(g, gv_graph_type(g, g_out[0]), 0);
    if (gv_wanted(g_in[0])) g_in[0] = GV_NONE;
    if (gv_wanted(g_in[1])) g_in[1] = E3(where, node->in[0], g_out[0], zero);
    if (gv_wanted(g_in[2])) g_in[2] = E3(where, node->in[0], zero, g_out[0]);
    return GV_OK;
}
GV_ELEMENTWISE(where, WHERE, "cond(), a(), b() -> c()", "a where cond is true, else b.",
               "b[3] x[3] x[3]; b[7,5] x[7,5] x[7,5]; b[0] r[0] r[0]; b[] r[] r[]",
               GV_LINEAR | GV_CHEAP, .vjp = where_vjp);
