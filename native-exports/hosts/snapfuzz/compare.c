/* SPDX-License-Identifier: MIT */
#include "compare.h"

#include <gmap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "json.h"
#include "mutate.h"
#include "ways.h"

#define REPEATS_MOST 99u
#define SMALL (1u << 20)

/* Of one way: microseconds a run, of each turn. */
struct figures {
  double total[REPEATS_MOST], parse[REPEATS_MOST], cpu[REPEATS_MOST], pages[REPEATS_MOST];
};

struct summary {
  double total, parse, restore, cpu, pages;
};

/* Inputs as a fuzzer has them after some time, of a run of the fuzzer on a small memory, copied back as a whole. */
static bool make_inputs(struct plan *plan, uint64_t seed) {
  struct way small = {.name = "inputs"};
  static struct corpus corpus;
  plan->inputs = calloc(plan->count, sizeof *plan->inputs);
  plan->expected = calloc(plan->count, sizeof *plan->expected);
  if (!plan->inputs || !plan->expected) return complain("out of memory");
  if (!open_plain(&small, SMALL)) return false;
  corpus_begin(&corpus, seed);
  uint32_t before = plan->count * 20 < 20000 ? plan->count * 20 : 20000;
  for (uint32_t i = 0; i < before + plan->count; i++) {
    static struct input first;
    struct input *input = i < before ? &first : &plan->inputs[i - before];
    struct result result;
    struct trace trace;
    corpus_mutate(&corpus, input);
    target_run(small.target, input, &result, &trace);
    corpus_learn(&corpus, input, &result, &trace);
    memcpy(small.memory, small.copy, SMALL);
  }
  close_plain(&small);
  return true;
}

/* The fork server is forked before the library starts: it has neither its threads nor its memory. */
static enum opened open_all(const struct plan *plan) {
  struct way *server = &ways[1];
  enum opened opened = server->open(server, plan);
  if (opened == OPENED && gmap_runtime_init() != 0) return complain("the library does not start"), OPENED_NOT;
  for (int i = 0; i < WAYS && opened == OPENED; i++)
    if (&ways[i] != server) opened = ways[i].open(&ways[i], plan);
  return opened;
}

static void progress(const char *what, uint32_t turn, uint32_t turns) {
  if (isatty(STDERR_FILENO)) fprintf(stderr, "\rturn %u of %u: %s\x1b[K", turn, turns, what);
}

/* Turn about, each repetition begun by another one; the first is not counted: it warms caches, and says what results are right. */
static bool measure(struct plan *plan, uint32_t repeats, struct figures *all) {
  for (uint32_t r = 0; r <= repeats; r++) {
    for (uint32_t i = 0; i < WAYS; i++) {
      uint32_t which = r ? (r + i) % WAYS : i;
      struct way *way = &ways[which];
      struct turn turn;
      progress(way->name, r, repeats);
      if (!way->turn(way, plan, &turn)) return false;
      plan->known = true;
      if (!r) continue;
      double runs = turn.runs;
      all[which].total[r - 1] = (double)turn.total_ns / runs / 1e3;
      all[which].parse[r - 1] = (double)turn.parse_ns / runs / 1e3;
      all[which].cpu[r - 1] = (double)turn.cpu_ns / runs / 1e3;
      all[which].pages[r - 1] = (double)turn.pages / runs;
    }
  }
  if (isatty(STDERR_FILENO)) fputs("\r\x1b[K", stderr);
  return true;
}

static int by_value(const void *a, const void *b) {
  double left = *(const double *)a, right = *(const double *)b;
  return (left > right) - (left < right);
}

static double median(double *values, uint32_t count) {
  qsort(values, count, sizeof *values, by_value);
  return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

static struct summary summary_of(const struct figures *figures, uint32_t count) {
  static struct figures sorted;
  double restore[REPEATS_MOST];
  sorted = *figures;
  for (uint32_t i = 0; i < count; i++) restore[i] = figures->total[i] - figures->parse[i];
  return (struct summary){median(sorted.total, count), median(sorted.parse, count), median(restore, count),
                          median(sorted.cpu, count), median(sorted.pages, count)};
}

static void print(const struct plan *plan, const struct settings *s, const struct summary *all) {
  printf("%zu MiB, half of it in use; %u inputs a turn, medians of %u turns of each, taken in turns\n\n", plan->memory >> 20,
         plan->count, s->repeats);
  printf("put back by              runs/s    us/run  parse us  restore us    cpu us    pages  runs/s beside the snapshot's\n");
  for (int i = 0; i < WAYS; i++) {
    const struct summary *m = &all[i];
    char pages[24] = "-";
    if (ways[i].counts) snprintf(pages, sizeof pages, "%.1f", m->pages);
    printf("%-20s %10.0f %9.1f %9.1f %11.1f %9.1f %8s %8.3f\n", ways[i].name, 1e6 / m->total, m->total, m->parse, m->restore,
           m->cpu, pages, all[0].total / m->total);
  }
  printf("\nevery result of every way is the same\n");
}

static bool write_json(const struct plan *plan, const struct settings *s, const struct summary *all) {
  struct json json;
  if (!json_open(&json, s->json)) return false;
  json_begin(&json, NULL, '{');
  json_text(&json, "action", "compare");
  json_count(&json, "memory", plan->memory);
  json_count(&json, "seed", s->seed);
  json_count(&json, "inputs", plan->count);
  json_count(&json, "repeats", s->repeats);
  json_begin(&json, "ways", '[');
  for (int i = 0; i < WAYS; i++) {
    json_begin(&json, NULL, '{');
    json_text(&json, "way", ways[i].key);
    json_real(&json, "runs_per_second", 1e6 / all[i].total);
    json_real(&json, "us_per_run", all[i].total);
    json_real(&json, "parse_us", all[i].parse);
    json_real(&json, "restore_us", all[i].restore);
    json_real(&json, "cpu_us", all[i].cpu);
    if (ways[i].counts) json_real(&json, "pages", all[i].pages);
    json_real(&json, "ratio", all[0].total / all[i].total);
    json_end(&json, '}');
  }
  json_end(&json, ']');
  json_end(&json, '}');
  return json_close(&json, s->json);
}

int compare(const struct settings *settings) {
  static struct figures figures[WAYS];
  struct summary summaries[WAYS];
  struct plan plan = {.memory = settings->memory, .count = (uint32_t)settings->runs};
  enum opened opened = make_inputs(&plan, settings->seed) ? open_all(&plan) : OPENED_NOT;
  bool good = opened == OPENED && measure(&plan, settings->repeats, figures);
  if (good) {
    for (int i = 0; i < WAYS; i++) summaries[i] = summary_of(&figures[i], settings->repeats);
    print(&plan, settings, summaries);
    good = write_json(&plan, settings, summaries);
  }
  for (int i = 0; i < WAYS; i++) ways[i].close(&ways[i]);
  free(plan.inputs);
  free(plan.expected);
  return opened == OPENED_SKIPPED ? EXIT_SKIPPED : good ? EXIT_SUCCESS : EXIT_FAILED;
}
