/* Checks for the C tests: count, report the first failures, exit status at the end. */
#ifndef GV_TESTS_CHECK_H
#define GV_TESTS_CHECK_H

#include <stdio.h>

static long check_count, check_failures;

#define CHECK(condition)                                                   \
    do {                                                                   \
        check_count++;                                                     \
        if (!(condition) && check_failures++ < 20)                         \
            printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
    } while (0)

/* The same with a printf-style note of the values involved. */
#define CHECK_NOTE(condition, ...)                                         \
    do {                                                                   \
        check_count++;                                                     \
        if (!(condition) && check_failures++ < 20) {                       \
            printf("%s:%d: failed: %s: ", __FILE__, __LINE__, #condition); \
            printf(__VA_ARGS__);                                           \
            printf("\n");                                                  \
        }                                                                  \
    } while (0)

static inline int check_done(const char *name)
{
    printf("%s: %ld checks, %ld failures\n", name, check_count, check_failures);
    return check_failures > 0 || check_count == 0;
}

#endif
