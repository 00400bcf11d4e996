/* Status codes and the error stack.
 *
 * Every function that can fail returns a gv_status. The first failure calls
 * gv_fail(), which stores a message in a buffer of the calling thread; callers
 * on the way out may add a line of context (op, shapes, the user's line) with
 * gv_fail_context(). pymod turns code and message into a Python exception. */
#ifndef GV_BASE_STATUS_H
#define GV_BASE_STATUS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum gv_status {
    GV_OK = 0,
    GV_ERR_VALUE,     /* ValueError: a shape, range or setting is wrong */
    GV_ERR_TYPE,      /* TypeError: a dtype or kind is wrong */
    GV_ERR_MEMORY,    /* MemoryError */
    GV_ERR_LINALG,    /* LinAlgError: not positive definite, singular, ... */
    GV_ERR_FLOAT,     /* FloatingPointError: NaN found in debug mode */
    GV_ERR_OS,        /* OSError */
    GV_ERR_INTERRUPT, /* KeyboardInterrupt */
    GV_ERR_RUNTIME,   /* RuntimeError: a broken promise inside the library */
    GV_ERR_PYTHON     /* a Python exception is already set (external nodes) */
} gv_status;

#define GV_MUST __attribute__((warn_unused_result))
#define GV_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* Store the message, return the code. */
gv_status gv_fail(gv_status code, const char *format, ...) GV_PRINTF(2, 3);
/* Append a line of context to the stored message. */
void gv_fail_context(const char *format, ...) GV_PRINTF(1, 2);
/* The message of this thread's last failure ("" when none). */
const char *gv_fail_message(void);
void gv_fail_clear(void);

/* Return from the calling function when the expression fails. */
#define GV_TRY(expression)                    \
    do {                                      \
        gv_status status_ = (expression);     \
        if (status_ != GV_OK) return status_; \
    } while (0)

#endif
