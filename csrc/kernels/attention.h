/* Self-attention of several heads on rows that hold queries, keys and values.
 *
 * qkv is (t, 3, heads, e) for each of `batch` entries, mask (t) is added to the scores of
 * every key (0, or -inf for a key that does not count). Per head
 *
 *   P = softmax(q k' / sqrt(e) + mask) by rows, y = P v,
 *
 * a row without keys being zero; y is (t, heads, e). With g the cotangent of y and
 * dS = P (g v' - <P, g v'> by rows) / sqrt(e): g_v = P' g, g_q = dS k, g_k = dS' q; P is
 * computed anew. Scores exist for a block of at most 128 rows at a time. */
#ifndef GV_KERNELS_ATTENTION_H
#define GV_KERNELS_ATTENTION_H

#include "tensor/tensor.h"

typedef struct gv_attention {
    gv_dtype dtype; /* float32 or float64 */
    int64_t batch, t, heads, e;
} gv_attention;

/* Bytes of scratch of either direction. */
size_t gv_attention_scratch(const gv_attention *p);
void gv_attention_forward(const gv_attention *p, const void *qkv, const void *mask,
                          void *y, void *scratch);
void gv_attention_backward(const gv_attention *p, const void *qkv, const void *mask,
                           const void *g, void *g_qkv, void *scratch);

#endif
