/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "reporter.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "vcpus.h"

static struct {
  const struct settings *settings;
  struct tracker *tracker;
  pthread_t thread;
  FILE *out;
  int listener, peer, quit, on_terminal;
  uint64_t vcpu, begin_ms, last_ms, dirty_pages, dirty_segments, splits, harvest_ns, pictures;
} self = {.listener = -1, .peer = -1, .quit = -1};

static uint64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

struct number {
  const char *name;
  uint64_t value;
};

static void print_numbers(FILE *out, const struct number *numbers, size_t count) {
  for (size_t i = 0; i < count; i++)
    fprintf(out, "%s\"%s\":%llu", i ? "," : "", numbers[i].name, (unsigned long long)numbers[i].value);
}

static void print_curve(FILE *out, const char *name, const uint64_t *counts, int points) {
  fprintf(out, ",\"%s\":{", name);
  for (int i = 0; i < points; i++) fprintf(out, "%s\"%u\":%llu", i ? "," : "", 1u << i, (unsigned long long)counts[i]);
  fputc('}', out);
}

static void print_counts(FILE *out) {
  struct counts sum;
  vcpus_count(&sum);
  const struct number numbers[] = {
      {"stores", sum.stores}, {"io", sum.io}, {"outside", sum.outside}, {"across", sum.across}, {"lowcore", sum.lowcore},
      {"handed", sum.handed}, {"batches", sum.batches}, {"lost", sum.lost}};
  print_numbers(out, numbers, sizeof numbers / sizeof *numbers);
}

static void print_json(const struct interval *interval, uint64_t now) {
  if (!self.out) return;
  const struct number numbers[] = {
      {"interval", interval->number}, {"ms", now - self.begin_ms}, {"length_ms", now - self.last_ms},
      {"dirty_pages", interval->dirty_pages}, {"runs", interval->runs}, {"dirty_segments", interval->dirty_segments},
      {"bytes_4k", interval->dirty_pages * GMAP_PAGE_SIZE}, {"bytes_1m", interval->dirty_segments * GMAP_SEGMENT_SIZE},
      {"splits", interval->splits}, {"leaves", interval->leaves}, {"harvest_ns", interval->harvest_ns}};
  fputc('{', self.out);
  print_numbers(self.out, numbers, sizeof numbers / sizeof *numbers);
  fputc(',', self.out);
  print_counts(self.out);
  print_curve(self.out, "written_pages", interval->written_pages, interval->points);
  print_curve(self.out, "written_segments", interval->written_segments, interval->points);
  fputs("}\n", self.out);
  fflush(self.out);
}

/* One line that is written over where stderr is a terminal. */
static void print_live(const struct interval *interval, uint64_t now) {
  if (!self.settings->live) return;
  int last = interval->points - 1, middle = last / 2;
  fprintf(stderr, "%sgmap %6.1f s | %7llu pages %8.1f MiB | at 1 MB %6llu MiB | %4llu splits, %4llu leaves left | "
          "written in 1:%llu %u:%llu %u:%llu intervals%s",
          self.on_terminal ? "\r" : "", (double)(now - self.begin_ms) / 1000, (unsigned long long)interval->dirty_pages,
          (double)interval->dirty_pages / 256, (unsigned long long)interval->dirty_segments, (unsigned long long)interval->splits,
          (unsigned long long)interval->leaves, (unsigned long long)interval->written_pages[0], 1u << middle,
          (unsigned long long)interval->written_pages[middle], 1u << last, (unsigned long long)interval->written_pages[last],
          self.on_terminal ? "\x1b[K" : "\n");
}

static void end_interval(void) {
  struct interval interval;
  uint64_t now = now_ms();
  vcpus_flush(self.tracker, self.vcpu);
  if (tracker_harvest(self.tracker, &interval)) return;
  print_json(&interval, now);
  print_live(&interval, now);
  self.last_ms = now;
  self.dirty_pages += interval.dirty_pages;
  self.dirty_segments += interval.dirty_segments;
  self.splits += interval.splits;
  self.harvest_ns += interval.harvest_ns;
}

/* Whoever asks has stopped the guest: every store has been counted, and is in a ring or in the tables. */
static void take_picture(void) {
  char answer[64];
  vcpus_flush(self.tracker, self.vcpu);
  int64_t pages = self.settings->picture ? tracker_picture(self.tracker, self.settings->picture, self.settings->drop) : -1;
  struct counts counts;
  vcpus_count(&counts);
  int length = snprintf(answer, sizeof answer, "%lld %llu\n", (long long)pages, (unsigned long long)counts.lost);
  if (send(self.peer, answer, (size_t)length, MSG_NOSIGNAL) < 0) perror("gmap-qemu-plugin: control");
  self.pictures++;
}

static void serve_peer(void) {
  char words[64];
  ssize_t length = read(self.peer, words, sizeof words);
  if (length <= 0) {
    close(self.peer);
    self.peer = -1;
  }
  for (ssize_t i = 0; i < length; i++)
    if (words[i] == 'p') take_picture(); /* each p is one */
}

static void *report(void *unused) {
  (void)unused;
  uint64_t period = self.settings->interval_ms, next = self.begin_ms + period;
  for (;;) {
    struct pollfd polled[] = {{self.quit, POLLIN, 0}, {self.listener, POLLIN, 0}, {self.peer, POLLIN, 0}};
    uint64_t now = now_ms();
    poll(polled, 3, next > now ? (int)(next - now) : 0); /* a descriptor of -1 is passed over */
    if (polled[0].revents) break;
    if (polled[1].revents && self.peer < 0) self.peer = accept(self.listener, NULL, NULL);
    if (polled[2].revents) serve_peer();
    if (now_ms() < next) continue;
    end_interval();
    for (now = now_ms(); next <= now;) next += period;
  }
  end_interval();
  return NULL;
}

static int listen_at(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(address.sun_path, path);
  unlink(path);
  self.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (self.listener < 0 || bind(self.listener, (struct sockaddr *)&address, sizeof address)) return -1;
  return listen(self.listener, 1);
}

/* All signals are QEMU's threads' business, but for the faults and the one by which the library's runtime stops threads. */
static int start_thread(void) {
  sigset_t all, before;
  sigfillset(&all);
  sigdelset(&all, SIGSEGV);
  sigdelset(&all, SIGBUS);
  sigdelset(&all, SIGFPE);
  sigdelset(&all, SIGILL);
  sigdelset(&all, SIGRTMIN);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&self.thread, NULL, report, NULL);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return error;
}

int reporter_start(const struct settings *settings, struct tracker *tracker) {
  self.settings = settings;
  self.tracker = tracker;
  self.begin_ms = self.last_ms = now_ms();
  self.on_terminal = isatty(STDERR_FILENO);
  self.quit = eventfd(0, EFD_CLOEXEC);
  if (settings->out && !(self.out = fopen(settings->out, "w"))) {
    perror(settings->out);
    return -1;
  }
  if (settings->control && listen_at(settings->control)) {
    perror(settings->control);
    return -1;
  }
  struct gmap_view *view;
  if (tracker_thread(tracker, &self.vcpu, &view)) return -1;
  if (self.quit < 0 || start_thread()) {
    perror("gmap-qemu-plugin: a thread");
    return -1;
  }
  return 0;
}

void reporter_stop(void) {
  uint64_t one = 1;
  if (write(self.quit, &one, sizeof one) != sizeof one) return;
  pthread_join(self.thread, NULL);
  if (self.settings->live && self.on_terminal) fputc('\n', stderr);
  if (!self.out) return;
  fprintf(self.out, "{\"sum\":true,\"target\":\"%s\",", self.settings->target);
  const struct number numbers[] = {
      {"ms", now_ms() - self.begin_ms}, {"intervals", self.tracker->interval}, {"dirty_pages", self.dirty_pages},
      {"dirty_segments", self.dirty_segments}, {"splits", self.splits}, {"harvest_ns", self.harvest_ns},
      {"pictures", self.pictures}};
  print_numbers(self.out, numbers, sizeof numbers / sizeof *numbers);
  fputc(',', self.out);
  print_counts(self.out);
  fputs("}\n", self.out);
  fclose(self.out);
  self.out = NULL;
}
