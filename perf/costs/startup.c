// What the library costs before it does anything: its file, a process's first call, a thread's first call, and address space beside
// the arena. Each round is a process of its own, this program again (`gmap-costs --first-call`), which prints its figures.
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "costs.h"

#define THREADS 21
#define ARENA (64ull << 20)

enum { FIRST_CALL_MS, ATTACH_US, RESERVED_MIB, FIGURES };

static double address_space_mib(void) {
  char line[256];
  double kib = 0;
  FILE *status = fopen("/proc/self/status", "r");
  while (status && fgets(line, sizeof line, status))
    if (sscanf(line, "VmSize: %lf", &kib) == 1) break;
  if (status) fclose(status);
  return kib / 1024;
}

// A thread's first call beside its second, in us.
static void *attach(void *extra) {
  double begin = now_ns(), first, second;
  gmap_abi_version();
  first = now_ns();
  gmap_abi_version();
  second = now_ns();
  *(double *)extra = (first - begin - (second - first)) / 1e3;
  return extra;
}

static int ascending(const void *a, const void *b) {
  double one = *(const double *)a, other = *(const double *)b;
  return (one > other) - (one < other);
}

int first_call(void) {
  double before = address_space_mib(), begin = now_ns(), called, attached[THREADS], reserved;
  gmap_engine_config config = {.struct_size = sizeof config, .arena_bytes = ARENA};
  uint64_t engine;
  CHECK(gmap_runtime_init());
  called = (now_ns() - begin) / 1e6;
  CHECK(gmap_engine_create(&config, &engine));
  reserved = address_space_mib() - before - (double)(ARENA >> 20);
  for (int i = 0; i < THREADS; i++) { // stacks of their own come and go, and are not in the figure above
    pthread_t thread;
    if (pthread_create(&thread, NULL, attach, attached + i) != 0) return 1;
    pthread_join(thread, NULL);
  }
  qsort(attached, THREADS, sizeof *attached, ascending);
  printf("%.6f %.6f %.6f\n", called, attached[THREADS / 2], reserved);
  CHECK(gmap_engine_destroy(engine));
  return 0;
}

static int run_once(int round, figures *of) {
  double found[FIGURES];
  FILE *child = popen("exec /proc/$PPID/exe --first-call", "r");
  int read = child ? fscanf(child, "%lf %lf %lf", found, found + 1, found + 2) : 0;
  if (!child || pclose(child) != 0 || read != FIGURES) return -1;
  for (int i = 0; i < FIGURES; i++) put(of + i, round, found[i]);
  return 0;
}

void startup(void) {
  static figures of[FIGURES], size;
  Dl_info library;
  struct stat file;
  report_progress("starting");
  for (int round = -1; round < rounds; round++)
    if (run_once(round, of) != 0) {
      report_missing("start-up", "this program could not be run again");
      return;
    }
  report_row("start-up: a process's first call", of + FIRST_CALL_MS, "ms", "nothing", NULL, (goal){AT_MOST, 2});
  report_row("start-up: a thread's first call, beside its second", of + ATTACH_US, "us", "nothing", NULL, (goal){AT_MOST, 3});
  report_row("start-up: address space reserved beside the arena", of + RESERVED_MIB, "MiB", "nothing", NULL, (goal){AT_MOST, 512});
  if (!dladdr((void *)(uintptr_t)&gmap_features, &library) || stat(library.dli_fname, &file) != 0) return;
  for (int round = 0; round < rounds; round++) put(&size, round, (double)file.st_size / 1e6);
  report_row("start-up: the library's file, stripped", &size, "MB", "nothing", NULL, (goal){AT_MOST, 1.2});
}
