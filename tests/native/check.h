/* SPDX-License-Identifier: MIT
 *
 * check.h - what every native test host reports with. Exit status 0: passed; 77: skipped, the facility named on
 * stderr; 1: at least one check failed, each told as file:line. A failed check does not stop the host. */
#ifndef CHECK_H
#define CHECK_H

#include "gmap.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SKIPPED 77

static int check_failures;
static int check_count;

#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
static inline void check_failed(const char *file, int line, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "%s:%d: ", file, line);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  if (++check_failures >= 100) {
    fprintf(stderr, "too many failures, stopping\n");
    exit(1);
  }
}

static inline int check_true(int holds, const char *file, int line, const char *text) {
  check_count++;
  if (!holds) check_failed(file, line, "does not hold: %s", text);
  return holds;
}

static inline int check_equal(uint64_t actual, uint64_t expected, const char *file, int line, const char *text) {
  check_count++;
  if (actual == expected) return 1;
  check_failed(file, line, "%s is 0x%llx (%lld), expected 0x%llx (%lld)", text, (unsigned long long)actual,
               (long long)actual, (unsigned long long)expected, (long long)expected);
  return 0;
}

static inline int check_status(int32_t actual, int32_t expected, const char *file, int line, const char *text) {
  check_count++;
  if (actual == expected) return 1;
  check_failed(file, line, "%s answers %d (%s), expected %d (%s)", text, (int)actual, gmap_strerror(actual),
               (int)expected, gmap_strerror(expected));
  return 0;
}

#define CHECK(holds) check_true((holds) ? 1 : 0, __FILE__, __LINE__, #holds)
#define CHECK_EQUAL(actual, expected) check_equal((uint64_t)(actual), (uint64_t)(expected), __FILE__, __LINE__, #actual)
#define CHECK_STATUS(call, expected) check_status((call), (expected), __FILE__, __LINE__, #call)
#define CHECK_OK(call) check_status((call), 0, __FILE__, __LINE__, #call)

/* For what the rest of the host cannot go on without. */
#define REQUIRE(holds) \
  do { \
    if (!CHECK(holds)) exit(1); \
  } while (0)
#define REQUIRE_OK(call) \
  do { \
    if (!CHECK_OK(call)) exit(1); \
  } while (0)

#if defined(__GNUC__)
__attribute__((noreturn))
#endif
static inline void skip(const char *facility) {
  fprintf(stderr, "skipped: %s\n", facility);
  exit(SKIPPED);
}

/* The last line of main. */
static inline int check_done(const char *host) {
  printf("%s: %d checks, %d failed\n", host, check_count, check_failures);
  return check_failures != 0;
}

#endif /* CHECK_H */
