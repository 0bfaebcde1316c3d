#include "borrowed.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "sqlite_rows.h"

static struct rows rows;

// What sqlite_rows.c has of the rest of gmap-migrate.
int complain(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  return FAILED;
}

uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

bool guest_alive(struct stream *alive, uint64_t *last_ns) {
  (void)alive;
  (void)last_ns;
  return true;
}

void database_open(uint8_t *memory, uint64_t size) {
  struct guest_header header = {.seed = 1, .rows = size / PAGE / 10 * 8, .database = size};
  if (rows_open(&rows, &header, memory, 0) != DONE || rows_build(&rows) != DONE) exit(1);
}

void database_transaction(void) {
  if (rows_transaction(&rows) != DONE) exit(1);
}

void database_close(void) {
  if (rows.db) rows_close(&rows);
}
