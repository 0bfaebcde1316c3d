/* SPDX-License-Identifier: MIT
 * What a person sees, and the JSON object. */
#ifndef REPORT_H
#define REPORT_H

#include <stdio.h>

#include "options.h"

enum run_status { RUN_FAILED, RUN_VERIFIED, RUN_SKIPPED };

struct round {
  uint32_t number;      /* 1: the first pass */
  bool last;            /* the guest stands still */
  uint64_t pages, runs; /* that were reported dirty, and how many stretches they make */
  uint64_t zero_pages;  /* of them, sent as markers */
  uint64_t bytes;       /* on the wire */
  uint64_t bytes_at_1m; /* the same round if only 1 MB were known: every page of those segments that is not zero */
  uint64_t ns;
  uint64_t writes;      /* by the guest in that time */
  uint64_t splits;      /* since the migration began */
  uint64_t table_bytes, huge_bytes;
  uint32_t throttle;    /* percent */
};

struct run_result {
  enum run_status status;
  enum guest_kind guest;
  uint32_t policy;
  bool kernel_tracked;
  uint64_t memory;
  uint32_t rounds, attempts, throttle;
  uint64_t pages_sent, zero_pages, bytes_sent; /* of the last attempt */
  uint64_t pages_resent, bytes_resent, bytes_resent_at_1m;
  uint64_t leaves_split, table_bytes;
  uint64_t guest_writes; /* while it migrated */
  bool postcopy;
  uint64_t pages_after, pages_urgent, pages_forgotten; /* postcopy: sent after the start; waited for; given back here */
  uint64_t pages_twice, reconnects;
  uint32_t vcpus;
  double blocked_all_ms, blocked_ms[16]; /* of the destination's vCPUs */
  double stop_ms, last_round_ms, resume_ms; /* what the downtime is made of */
  double total_ms;
  char text[256]; /* the destination's verdict, or why the run was skipped */
};

static inline double report_downtime(const struct run_result *result) {
  return result->stop_ms + result->last_round_ms + result->resume_ms;
}

void report_progress(uint64_t done, uint64_t total, double bytes_per_second);
void report_progress_end(void);
void report_columns(bool kernel_tracked);
void report_round(const struct round *round, bool kernel_tracked);
void report_run(const struct run_result *result);
void report_comparison(const struct run_result *results, unsigned n);
bool report_all_verified(const struct run_result *results, unsigned n);
/* Of a JSON object, each after a comma; nothing if there was no postcopy. */
void report_postcopy_members(const struct run_result *result);
void report_json(const struct run_result *results, unsigned n, const struct options *options);

#endif
