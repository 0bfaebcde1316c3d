/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gmap.h"

#define BAR 40u

uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int complain(const char *format, ...) {
  char line[512];
  va_list list;
  va_start(list, format);
  vsnprintf(line, sizeof line, format, list);
  va_end(list);
  for (char *c = line; *c; c++)
    if (*c == '\n') *c = ' ';
  fflush(stdout);
  fprintf(stderr, "%s: %s\n", program_invocation_short_name, line); /* one call, one line, also from two threads */
  return FAILED;
}

static uint64_t bar_shown_ns;

void report_progress(uint64_t done, uint64_t total, double bytes_per_second) {
  char bar[BAR + 1];
  uint64_t now = now_ns();
  if (!isatty(STDOUT_FILENO) || now - bar_shown_ns < 50000000) return;
  bar_shown_ns = now;
  unsigned filled = total ? (unsigned)(done * BAR / total) : BAR;
  for (unsigned i = 0; i < BAR; i++) bar[i] = i < filled ? '#' : '.';
  bar[BAR] = 0;
  printf("\r  [%s] %3u %%  %.0f MiB/s ", bar, total ? (unsigned)(done * 100 / total) : 100, bytes_per_second / MIB);
  fflush(stdout);
}

void report_progress_end(void) {
  if (!isatty(STDOUT_FILENO) || !bar_shown_ns) return;
  bar_shown_ns = 0;
  printf("\r%*s\r", (int)BAR + 30, "");
}

void report_columns(bool kernel_tracked) {
  printf("  %-5s %12s %8s %10s %13s %9s %9s %13s %11s %13s %9s\n", "round", "dirty pages", "runs", "sent MiB",
         "at 1 MB MiB", "ms", "writes/s", kernel_tracked ? "tracked by" : "leaves split", "tables KiB", "AnonHuge MiB",
         "throttle");
}

void report_round(const struct round *r, bool kernel_tracked) {
  char split[24] = "the kernel";
  double seconds = (double)r->ns / 1e9;
  if (!kernel_tracked) snprintf(split, sizeof split, "%llu", (unsigned long long)r->splits);
  printf("  %4u%c %12llu %8llu %10.1f %13.1f %9.1f %9.0f %13s %11.0f %13.0f %7u %%\n", r->number, r->last ? '*' : ' ',
         (unsigned long long)r->pages, (unsigned long long)r->runs, (double)r->bytes / MIB,
         (double)r->bytes_at_1m / MIB, seconds * 1000, seconds > 0 ? (double)r->writes / seconds : 0, split,
         (double)r->table_bytes / 1024, (double)r->huge_bytes / MIB, r->throttle);
  fflush(stdout);
}

static double ratio(uint64_t more, uint64_t less) { return less ? (double)more / (double)less : 0; }

static const char *status_name(enum run_status status) {
  return status == RUN_VERIFIED ? "verified" : status == RUN_SKIPPED ? "skipped" : "FAILED";
}

static void tell_resent(const struct run_result *r) {
  double sent = (double)r->bytes_resent / MIB, at_1m = (double)r->bytes_resent_at_1m / MIB;
  if (r->policy == GMAP_SPLIT_NEVER && !r->kernel_tracked)
    printf("  re-sent after the first pass: %.1f MiB, because only the 1 MB is known\n", sent);
  else
    printf("  re-sent after the first pass: %.1f MiB at 4 KB; the same rounds at 1 MB: %.1f MiB, %.1f times as much\n",
           sent, at_1m, ratio(r->bytes_resent_at_1m, r->bytes_resent));
}

static void tell_postcopy(const struct run_result *r) {
  printf("  postcopy: %llu pages while the guest ran there, %llu requests overtook the others, %llu pages given back here, "
         "%llu new connections\n", (unsigned long long)r->pages_after, (unsigned long long)r->pages_urgent,
         (unsigned long long)r->pages_forgotten, (unsigned long long)r->reconnects);
  if (r->guest != GUEST_THREADS) {
    printf("  blocktime: some page was waited for in %.1f ms (the kernel stops who waits, and does not say which vCPU)\n",
           r->blocked_all_ms);
    return;
  }
  printf("  blocktime: %.1f ms with every vCPU waiting;", r->blocked_all_ms);
  for (uint32_t i = 0; i < r->vcpus; i++) printf(" vCPU %u %.1f", i, r->blocked_ms[i]);
  printf(" ms\n");
}

void report_postcopy_members(const struct run_result *r) {
  if (!r->postcopy) return;
  printf(",\"postcopy_pages\":%llu,\"postcopy_requests\":%llu,\"postcopy_given_back\":%llu,\"postcopy_connections\":%llu",
         (unsigned long long)r->pages_after, (unsigned long long)r->pages_urgent, (unsigned long long)r->pages_forgotten,
         (unsigned long long)r->reconnects);
  printf(",\"blocktime_ms\":%.3f,\"blocktime_ms_of\":[", r->blocked_all_ms);
  for (uint32_t i = 0; i < r->vcpus; i++) printf("%s%.3f", i ? "," : "", r->blocked_ms[i]);
  putchar(']');
}

void report_run(const struct run_result *r) {
  if (r->rounds) {
    tell_resent(r);
    printf("  total %.1f MiB in %.1f s (%llu pages, %llu of them zero and sent as markers)\n",
           (double)r->bytes_sent / MIB, r->total_ms / 1000, (unsigned long long)r->pages_sent,
           (unsigned long long)r->zero_pages);
    printf("  downtime %.1f ms: stop %.1f, last round %.1f, first step at the destination %.1f\n", report_downtime(r),
           r->stop_ms, r->last_round_ms, r->resume_ms);
  }
  if (r->postcopy) tell_postcopy(r);
  printf("  %s%s%s\n\n", status_name(r->status), *r->text ? ": " : "", r->text);
  fflush(stdout);
}

static void comparison_row(const struct run_result *r) {
  printf("%-8s %-12s %-7s", guest_kind_name(r->guest), r->kernel_tracked ? "the kernel" : "the tables",
         r->kernel_tracked ? "-" : policy_name(r->policy));
  if (r->status == RUN_SKIPPED) {
    printf(" %7s %12s %13s %7s %10s %12s %9s  skipped\n", "-", "-", "-", "-", "-", "-", "-");
    return;
  }
  printf(" %7u %12.1f %13.1f %7.1f %10.1f %12.1f %7u %%  %s\n", r->rounds, (double)r->bytes_resent / MIB,
         (double)r->bytes_resent_at_1m / MIB, ratio(r->bytes_resent_at_1m, r->bytes_resent),
         (double)r->bytes_sent / MIB,
         report_downtime(r), r->throttle, status_name(r->status));
}

void report_comparison(const struct run_result *results, unsigned n) {
  const struct run_result *first = &results[0], *last = &results[n - 1];
  printf("%-8s %-12s %-7s %7s %12s %13s %7s %10s %12s %9s  verdict\n", "guest", "tracked by", "policy", "rounds",
         "re-sent MiB", "same at 1 MB", "ratio", "total MiB", "downtime ms", "throttle");
  for (unsigned i = 0; i < n; i++) comparison_row(&results[i]);
  if (n > 1 && last->policy == GMAP_SPLIT_NEVER && last->guest == first->guest && last->policy != first->policy &&
      last->rounds && first->rounds)
    printf("run, not only computed: known by 1 MB, the same guest had %.1f MiB re-sent, not %.1f: %.1f times as much\n",
           (double)last->bytes_resent / MIB, (double)first->bytes_resent / MIB,
           ratio(last->bytes_resent, first->bytes_resent));
}

bool report_all_verified(const struct run_result *results, unsigned n) {
  bool any = false;
  for (unsigned i = 0; i < n; i++) {
    if (results[i].status == RUN_FAILED) return false;
    any = any || results[i].status == RUN_VERIFIED;
  }
  return any;
}
