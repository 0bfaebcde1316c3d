/* SPDX-License-Identifier: MIT
 *
 * main.c - each test in a process of its own: one that dies or hangs is a violation, and the others run. */
#include "litmus.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 60.0 /* seconds beyond the test's own: longer is a hang */

/* Waits for a child; kills it when its time is over. */
static int await(pid_t child, double seconds, int *status) {
  const struct timespec tick = {0, 2000000};
  uint64_t end = nanoseconds() + (uint64_t)(seconds * 1e9);
  for (;;) {
    if (waitpid(child, status, WNOHANG) == child) return 1;
    if (nanoseconds() > end) break;
    nanosleep(&tick, NULL);
  }
  kill(child, SIGKILL);
  waitpid(child, status, 0);
  return 0;
}

static void judge(result *r, int in_time, int status) {
  if (!in_time) {
    r->code = EXIT_VIOLATION;
    snprintf(r->text, sizeof r->text, "did not end: a thread waits for ever");
  } else if (WIFSIGNALED(status)) {
    r->code = EXIT_VIOLATION;
    snprintf(r->text, sizeof r->text, "died by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
  } else if (WEXITSTATUS(status) != r->code || (r->code == EXIT_VIOLATION && r->text[0] == 0)) {
    r->code = EXIT_VIOLATION; /* a sanitizer, or a runtime that gives up */
    snprintf(r->text, sizeof r->text, "ended with status %d", WEXITSTATUS(status));
  }
}

static const char *word_for(int32_t code) {
  switch (code) {
    case EXIT_PASS: return "passed";
    case EXIT_VIOLATION: return "VIOLATION";
    case EXIT_UNSUPPORTED: return "unsupported";
    default: return "inconclusive";
  }
}

static void print_string(const char *text) {
  putchar('"');
  for (; *text; text++) {
    if (*text == '"' || *text == '\\') putchar('\\');
    putchar((unsigned char)*text < ' ' ? ' ' : *text);
  }
  putchar('"');
}

static void print_json(const program *p, const options *o, const result *r) {
  printf("{\"test\": \"%s\", \"result\": \"%s\", \"seed\": %llu, \"milliseconds\": %llu, \"stores\": %llu, "
         "\"harvests\": %llu, \"pages\": %llu, \"reads\": %llu, \"operations\": %llu, "
         "\"splits\": %llu, \"collapses\": %llu, \"unmapped\": %llu, \"text\": ",
         p->name, word_for(r->code), (unsigned long long)o->seed, (unsigned long long)r->milliseconds,
         (unsigned long long)r->stores, (unsigned long long)r->harvests, (unsigned long long)r->pages,
         (unsigned long long)r->reads, (unsigned long long)r->operations, (unsigned long long)r->splits,
         (unsigned long long)r->collapses, (unsigned long long)r->unmapped);
  print_string(r->text);
  puts("}");
}

static void print_row(const program *p, const options *o, const result *r) {
  printf("%-22s %12llu %9llu %9llu %10llu %9llu  %s\n", p->name, (unsigned long long)r->stores,
         (unsigned long long)r->harvests, (unsigned long long)r->pages, (unsigned long long)r->reads,
         (unsigned long long)r->operations, word_for(r->code));
  if (r->text[0])
    printf("    %s\n    after %llu ms; again: --only %s --seed %llu\n", r->text, (unsigned long long)r->milliseconds,
           p->name, (unsigned long long)o->seed);
}

static int32_t try_one(const program *p, const options *o, result *r) {
  int status = 0, in_time;
  pid_t child;
  memset(r, 0, sizeof *r);
  r->code = EXIT_INCONCLUSIVE;
  fflush(stdout);
  child = fork(); /* nobody has called the library yet: the child may */
  if (child == 0) run_trial(p, o, r);
  if (child < 0) snprintf(r->text, sizeof r->text, "no process could be made");
  else {
    in_time = await(child, o->seconds + PATIENCE, &status);
    judge(r, in_time, status);
  }
  (o->json ? print_json : print_row)(p, o, r);
  fflush(stdout);
  return r->code;
}

static void list(void) {
  unsigned i;
  for (i = 0; i < program_count; i++) puts(programs[i].name);
}

/* A violation outweighs everything, then what could not be told. */
static int32_t worse(int32_t a, int32_t b) {
  static const int weight[] = {0, 3, 2, 1};
  return weight[b] > weight[a] ? b : a;
}

int main(int argc, char **argv) {
  options o;
  result *r;
  int32_t code = EXIT_PASS;
  unsigned i;
  int answer = parse_options(argc, argv, &o);
  if (answer >= 0) return answer;
  if (o.list) {
    list();
    return EXIT_PASS;
  }
  r = (result *)mmap(NULL, sizeof *r, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (r == MAP_FAILED) return EXIT_INCONCLUSIVE;
  if (!o.json) printf("%-22s %12s %9s %9s %10s %9s  seed %llu\n", "test", "stores", "harvests", "pages", "loads",
                      "changes", (unsigned long long)o.seed);
  for (i = 0; i < program_count; i++)
    if (is_chosen(&o, programs[i].name)) code = worse(code, try_one(&programs[i], &o, r));
  return code;
}
