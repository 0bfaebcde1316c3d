/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <errno.h>
#include <gmap.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "json.h"
#include "machine.h"
#include "mutate.h"
#include "watch.h"

#define ERRORS 64u

struct fuzz {
  const struct settings *settings;
  struct machine machine;
  struct target *target;
  struct corpus *corpus;
  struct check check;
  struct input input;
  struct trace trace;
  uint64_t run, kept, pages, events, began, told;
  uint64_t errors[ERRORS];
};

static enum opened fuzz_open(struct fuzz *f, const struct settings *settings) {
  *f = (struct fuzz){.settings = settings};
  if (gmap_runtime_init() != 0) return complain("the library does not start"), OPENED_NOT;
  enum opened opened = machine_open(&f->machine, settings->memory, settings->mistake == MISTAKE_ALIAS);
  if (opened != OPENED) return opened;
  f->target = target_create(f->machine.memory, f->machine.size);
  f->corpus = malloc(sizeof *f->corpus);
  if (!f->target || !f->corpus) return OPENED_NOT;
  corpus_begin(f->corpus, settings->seed);
  if (!watch_begin(settings->out, settings->hang_s) || !machine_take(&f->machine)) return OPENED_NOT;
  bool checks = settings->action != ACTION_VERIFY || check_open(&f->check, &f->machine, f->target, settings);
  return checks ? OPENED : OPENED_NOT;
}

static void fuzz_close(struct fuzz *f) {
  check_close(&f->check);
  free(f->corpus);
  machine_close(&f->machine);
}

static double seconds_since(uint64_t then) { return (double)(now_ns() - then) / 1e9; }

/* On a terminal one line that is written over, else a line now and then. */
static void progress(struct fuzz *f) {
  bool terminal = isatty(STDERR_FILENO);
  if (seconds_since(f->told) < (terminal ? 1 : 10)) return;
  f->told = now_ns();
  fprintf(stderr, "%s%llu of %llu runs, %.0f a second, corpus %u, %u features%s", terminal ? "\r" : "", (unsigned long long)f->run,
          (unsigned long long)f->settings->runs, (double)f->run / seconds_since(f->began), f->corpus->count, f->corpus->features,
          terminal ? "\x1b[K" : "\n");
  fflush(stderr);
}

static bool one_run(struct fuzz *f) {
  const struct settings *s = f->settings;
  bool verifies = s->action == ACTION_VERIFY;
  struct result result;
  uint64_t pages;
  corpus_mutate(f->corpus, &f->input);
  if (f->run == s->crash_at || f->run == s->hang_at) target_plant(f->run == s->crash_at ? PLANT_CRASH : PLANT_HANG);
  watch_run(f->target, &f->input, &result, &f->trace, f->run);
  f->kept += corpus_learn(f->corpus, &f->input, &result, &f->trace);
  f->events += result.events;
  f->errors[result.error % ERRORS]++;
  if (verifies) check_before_restore(&f->check, f->run);
  if (!machine_restore(&f->machine, &pages)) return false;
  f->pages += pages;
  return !verifies || check_after_restore(&f->check, f->run);
}

/* The most frequent ends of a run. */
static void print_ends(const struct fuzz *f) {
  uint64_t left[ERRORS];
  memcpy(left, f->errors, sizeof left);
  for (unsigned n = 0; n < 6; n++) {
    uint32_t most = 0;
    for (uint32_t i = 1; i < ERRORS; i++) most = left[i] > left[most] ? i : most;
    if (!left[most]) return;
    printf("  %6.2f %%  %s\n", 100.0 * (double)left[most] / (double)f->run, target_error(most));
    left[most] = 0;
  }
}

static void print(const struct fuzz *f, double seconds) {
  printf("%llu runs in %.1f s: %.0f a second. %.0f MiB, %.1f of them in use before the first run\n", (unsigned long long)f->run,
         seconds, (double)f->run / seconds, (double)f->machine.size / MIB, (double)target_used(f->target) / MIB);
  printf("a run: %.1f events of the parser, %.1f pages put back\n", (double)f->events / (double)f->run,
         (double)f->pages / (double)f->run);
  printf("corpus %u inputs (%llu kept), %u features; how the runs ended:\n", f->corpus->count, (unsigned long long)f->kept,
         f->corpus->features);
  print_ends(f);
}

static bool write_json(const struct fuzz *f, double seconds, bool good) {
  struct json json;
  if (!json_open(&json, f->settings->json)) return false;
  json_begin(&json, NULL, '{');
  json_text(&json, "action", f->settings->action == ACTION_VERIFY ? "verify" : "run");
  json_count(&json, "memory", f->machine.size);
  json_count(&json, "seed", f->settings->seed);
  json_count(&json, "runs", f->run);
  json_real(&json, "seconds", seconds);
  json_real(&json, "runs_per_second", (double)f->run / seconds);
  json_real(&json, "pages_per_run", (double)f->pages / (double)f->run);
  json_count(&json, "well_formed", f->errors[0]);
  json_count(&json, "corpus", f->corpus->count);
  json_count(&json, "features", f->corpus->features);
  if (f->settings->action == ACTION_VERIFY) {
    json_truth(&json, "verified", good);
    check_json(&f->check, &json);
  }
  json_end(&json, '}');
  return json_close(&json, f->settings->json);
}

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal) {
  (void)signal;
  interrupted = 1;
}

/* An interrupt ends it after the run that is under way, with all that is told at the end. */
static bool loop(struct fuzz *f) {
  bool good = true;
  signal(SIGINT, on_interrupt);
  for (f->began = f->told = now_ns(); good && !interrupted && f->run < f->settings->runs;) {
    f->run++;
    good = one_run(f);
    if (f->run % 64 == 0) progress(f);
  }
  double seconds = seconds_since(f->began);
  if (isatty(STDERR_FILENO)) fputs("\r\x1b[K", stderr);
  print(f, seconds);
  if (f->settings->action == ACTION_VERIFY) check_print(&f->check, good);
  return write_json(f, seconds, good) && good;
}

int fuzz_run(const struct settings *settings) {
  static struct fuzz f;
  enum opened opened = fuzz_open(&f, settings);
  bool good = opened == OPENED && loop(&f);
  fuzz_close(&f);
  return opened == OPENED_SKIPPED ? EXIT_SKIPPED : good ? EXIT_SUCCESS : EXIT_FAILED;
}

static bool read_input(const char *path, struct input *input) {
  FILE *file = fopen(path, "rb");
  if (!file) return complain("%s: %s", path, strerror(errno));
  input->length = (uint32_t)fread(input->bytes, 1, INPUT_MOST, file);
  bool whole = !ferror(file) && fgetc(file) == EOF;
  fclose(file);
  return whole || complain("%s: longer than %u bytes, or not to be read", path, INPUT_MOST);
}

/* Plain memory, no handlers: what happens is the debugger's to see. */
int fuzz_replay(const struct settings *settings) {
  static struct input input;
  struct result result;
  void *memory = map_memory(settings->memory);
  if (!memory || !read_input(settings->replay, &input)) return EXIT_FAILED;
  struct target *target = target_create(memory, settings->memory);
  if (!target) return EXIT_FAILED;
  target_run(target, &input, &result, NULL);
  printf("%s; %u events, depth %u, %u external entities; digest %016llx\n", target_error(result.error), result.events, result.depth,
         result.nested, (unsigned long long)result.digest);
  return EXIT_SUCCESS;
}
