/* SPDX-License-Identifier: MIT */
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
#define FATAL (sizeof fatal / sizeof *fatal)

static struct sigaction before[FATAL];
static char folder[PATH_MAX - 64];
static const struct input *volatile running; /* NULL: the target does not run */
static volatile uint64_t run;
static volatile uint32_t ticks, ticks_most; /* since the run began */

/* From here on only what a signal handler may call. */

static char *put_text(char *at, const char *text) {
  while (*text) *at++ = *text++;
  return at;
}

static char *put_number(char *at, uint64_t number) {
  char digits[24], *digit = digits + sizeof digits;
  do *--digit = (char)('0' + number % 10);
  while (number /= 10);
  while (digit < digits + sizeof digits) *at++ = *digit++;
  return at;
}

static void say(const char *text, size_t length) {
  while (length > 0) {
    ssize_t written = write(STDERR_FILENO, text, length);
    if (written <= 0) return;
    text += written;
    length -= (size_t)written;
  }
}

static void save(const char *path, const struct input *input) {
  int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  if (file < 0) return;
  const uint8_t *at = input->bytes;
  for (size_t left = input->length; left > 0;) {
    ssize_t written = write(file, at, left);
    if (written <= 0) break;
    at += written;
    left -= (size_t)written;
  }
  close(file);
}

_Noreturn static void report(const char *what, int signal) {
  static char path[PATH_MAX], line[PATH_MAX + 128];
  char *at = put_text(put_text(put_text(path, folder), "/"), what);
  at = put_number(put_text(at, "-"), run);
  if (signal) at = put_number(put_text(at, "-"), (uint64_t)signal);
  *at = 0;
  save(path, running);
  at = put_text(put_text(put_text(line, "gmap-snapfuzz: "), what), " in run ");
  at = put_number(at, run);
  if (signal) at = put_number(put_text(at, ", signal "), (uint64_t)signal);
  at = put_text(put_text(put_text(at, ": the input is in "), path), "\n");
  say(line, (size_t)(at - line));
  _exit(EXIT_FAILED);
}

/* What is not the target's goes where it went before; a fault then happens again if nobody took care of it. */
static void hand_on(const struct sigaction *action, int signal, siginfo_t *info, void *context) {
  if (action->sa_flags & SA_SIGINFO) action->sa_sigaction(signal, info, context);
  else if (action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN) action->sa_handler(signal);
  else sigaction(signal, action, NULL);
}

static void on_fatal(int signal, siginfo_t *info, void *context) {
  int kept = errno;
  if (running) report("crash", signal);
  for (size_t i = 0; i < FATAL; i++)
    if (fatal[i] == signal) hand_on(&before[i], signal, info, context);
  errno = kept;
}

static void on_tick(int signal) {
  (void)signal;
  if (running && ++ticks > ticks_most) report("hang", 0);
}

/* To here. */

/* A run may have used up the stack: the handler needs another one. */
static bool other_stack(void) {
  stack_t stack;
  if (sigaltstack(NULL, &stack) != 0) return false;
  if (!(stack.ss_flags & SS_DISABLE)) return true;
  stack = (stack_t){.ss_size = 64u << 10};
  stack.ss_sp = malloc(stack.ss_size); /* for as long as the program runs */
  return stack.ss_sp && sigaltstack(&stack, NULL) == 0;
}

bool watch_begin(const char *into, uint32_t seconds) {
  if (strlen(into) >= sizeof folder) return complain("--out: the path is too long");
  strcpy(folder, into);
  ticks_most = seconds;
  bool good = other_stack();
  struct sigaction action = {.sa_sigaction = on_fatal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  for (size_t i = 0; i < FATAL; i++) good &= sigaction(fatal[i], &action, &before[i]) == 0;
  struct sigaction tick = {.sa_handler = on_tick, .sa_flags = SA_RESTART | SA_ONSTACK};
  struct itimerval second = {.it_interval = {.tv_sec = 1}, .it_value = {.tv_sec = 1}};
  good &= sigaction(SIGALRM, &tick, NULL) == 0 && setitimer(ITIMER_REAL, &second, NULL) == 0;
  return good || complain("signal handlers: %s", strerror(errno));
}

void watch_run(struct target *target, const struct input *input, struct result *result, struct trace *trace, uint64_t number) {
  run = number;
  ticks = 0;
  running = input;
  target_run(target, input, result, trace);
  running = NULL;
}
