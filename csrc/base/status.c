/* The error message of each thread: one bounded buffer, never allocated, so that a
 * failure can always be reported, shortage of memory included. */
#include "base/status.h"

#include <stdio.h>
#include <string.h>

enum { message_size = 4096 };

static _Thread_local char message[message_size];

gv_status gv_fail(gv_status code, const char *format, ...)
{
    char text[message_size]; /* an argument may be the old message */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(message, text, sizeof text);
    return code;
}

void gv_fail_context(const char *format, ...)
{
    size_t used = strlen(message);
    if (used + 2 >= sizeof message) return;
    if (used > 0) message[used++] = '\n';
    va_list args;
    va_start(args, format);
    vsnprintf(message + used, sizeof message - used, format, args);
    va_end(args);
}

const char *gv_fail_message(void) { return message; }

void gv_fail_clear(void) { message[0] = '\0'; }
