/* SPDX-License-Identifier: MIT */
#include "common.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define ALIGNMENT (2u << 20)

bool complain(const char *format, ...) {
  va_list arguments;
  fflush(stdout);
  fputs("gmap-snapfuzz: ", stderr);
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  return false;
}

uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t ns_of(struct timeval t) { return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_usec * 1000u; }

uint64_t cpu_ns(void) {
  struct rusage self, children;
  getrusage(RUSAGE_SELF, &self);
  getrusage(RUSAGE_CHILDREN, &children);
  return ns_of(self.ru_utime) + ns_of(self.ru_stime) + ns_of(children.ru_utime) + ns_of(children.ru_stime);
}

void *map_memory(size_t size) {
  size_t whole = size + ALIGNMENT;
  char *raw = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) return complain("mapping %zu MiB: %s", size >> 20, strerror(errno)), NULL;
  char *start = raw + (ALIGNMENT - (uintptr_t)raw % ALIGNMENT) % ALIGNMENT;
  if (start > raw) munmap(raw, (size_t)(start - raw));
  munmap(start + size, (size_t)(raw + whole - (start + size)));
  return start;
}
