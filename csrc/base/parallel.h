/* One thread budget and one parallel loop.
 *
 * gv_parallel_for runs task(ctx, i) for i = 0..n-1 on up to gv_threads_get()
 * threads. Work is cut by problem size, never by team size, so results do not
 * depend on the number of threads; the order in which tasks run is free. The
 * calling thread takes part; a nested call runs serially. Workers start lazily,
 * spin briefly, then sleep; after fork() the child starts its own. */
#ifndef GV_BASE_PARALLEL_H
#define GV_BASE_PARALLEL_H

#include "base/status.h"

typedef void (*gv_task)(void *ctx, int64_t index);

void gv_parallel_for(int64_t n, gv_task task, void *ctx);
void gv_threads_set(int n); /* n >= 1 */
int gv_threads_get(void);   /* default: physical cores, or OMP_NUM_THREADS */
/* True inside a task: a gv_parallel_for called from there runs serially. */
bool gv_in_parallel(void);

#endif
