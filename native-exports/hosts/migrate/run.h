/* SPDX-License-Identifier: MIT
 * One run: a guest is made, started, and migrated; the demo is several of them. */
#ifndef RUN_H
#define RUN_H

#include "report.h"

struct run_plan {
  const struct options *options;
  enum guest_kind guest;
  uint32_t policy;
  bool kernel_tracked;
  /* The final answer of a threads guest like this one; 0: not known yet, and then filled in. */
  uint64_t *answer;
};

/* Fills the result. */
void run_migration(const struct run_plan *plan, struct run_result *result);
/* The exit statuses of the program. */
int run_source(const struct options *options);
int run_demo(const struct options *options);

#endif
