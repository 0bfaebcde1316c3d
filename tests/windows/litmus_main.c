/* SPDX-License-Identifier: MIT
 *
 * litmus_main.c - main.c and crash.c of tests/GmapNative.Litmus for Windows: no fork, so the program calls itself for each test. */
#include "../GmapNative.Litmus/litmus.h"

#include <malloc.h>
#include <process.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

static result outcome;
static const char *running;

/* What Windows' C library has under another name, or not at all. */
void *aligned_alloc(size_t alignment, size_t size) { return _aligned_malloc(size, alignment); }

int pause(void) {
  Sleep(INFINITE);
  return -1;
}

/* A walk through a freed table ends the process, and is told by its status. */
void catch_crashes(world *w) { demand(w, gmap_runtime_init(), "gmap_runtime_init"); }

void litmus_end(int code) {
  const char *word = code == EXIT_PASS ? "passed" : code == EXIT_VIOLATION ? "VIOLATION" : code == EXIT_UNSUPPORTED ? "unsupported"
      : "inconclusive";
  printf("%-22s %12llu %9llu %9llu  %s\n", running, (unsigned long long)outcome.stores, (unsigned long long)outcome.harvests,
         (unsigned long long)outcome.pages, word);
  if (outcome.text[0]) printf("    %s\n", outcome.text);
  fflush(stdout);
  ExitProcess((UINT)code);
}

int main(int argc, char **argv) {
  options o;
  unsigned i;
  int answer = parse_options(argc, argv, &o), bad = 0;
  const char *child = getenv("GMAP_LITMUS_CHILD");
  if (answer >= 0) return answer;
  for (i = 0; i < program_count; i++) {
    char name[64];
    intptr_t status;
    if (!is_chosen(&o, programs[i].name)) continue;
    running = programs[i].name;
    if (child && strcmp(child, running) != 0) continue;
    if (child) run_trial(&programs[i], &o, &outcome);
    snprintf(name, sizeof name, "GMAP_LITMUS_CHILD=%s", running);
    _putenv(name);
    status = _spawnv(_P_WAIT, argv[0], (const char *const *)argv);
    if (status != EXIT_PASS && status != EXIT_INCONCLUSIVE) {
      printf("%-22s ended with status %lld\n", running, (long long)status);
      bad++;
    }
  }
  fflush(stdout);
  return bad ? EXIT_VIOLATION : EXIT_PASS;
}
