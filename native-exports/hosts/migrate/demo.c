/* SPDX-License-Identifier: MIT
 * The demo: which runs, one after the other. */
#include <stdio.h>
#include <stdlib.h>

#include "machine.h"
#include "run.h"

#define MOST_RUNS 3

/* The sqlite guest needs the kernel; where that is not demanded, its absence is told and not a failure. */
static bool skip_sqlite(const struct options *options, struct run_result *result) {
  const char *why = "this kernel has no asynchronous userfaultfd write-protect (Linux 6.7 has)";
  if (options->backing == BACKING_USERFAULTFD) return false;
  if (options->backing == BACKING_AUTO && machine_kernel_can_track()) return false;
  if (options->backing == BACKING_NONE) why = "--backing none: only the kernel can track SQLite's plain stores";
  *result = (struct run_result){.status = RUN_SKIPPED, .guest = GUEST_SQLITE, .policy = options->policy,
                                .kernel_tracked = true};
  snprintf(result->text, sizeof result->text, "%s", why);
  printf("== sqlite guest\n");
  report_run(result);
  return true;
}

int run_demo(const struct options *options) {
  struct run_result results[MOST_RUNS];
  unsigned n = 0;
  uint64_t answer = 0, begin = now_ns();
  bool kernel = options->backing == BACKING_USERFAULTFD;
  struct run_plan plan = {.options = options, .guest = GUEST_THREADS, .policy = options->policy, .answer = &answer,
                          .kernel_tracked = kernel};
  if (options->guests & GUEST_THREADS) run_migration(&plan, &results[n++]);
  if (options->guests & GUEST_SQLITE) {
    plan.guest = GUEST_SQLITE;
    plan.kernel_tracked = true;
    if (!skip_sqlite(options, &results[n])) run_migration(&plan, &results[n]);
    n++;
  }
  if (options->guests & GUEST_NESTED) {
    plan.guest = GUEST_NESTED;
    plan.kernel_tracked = false;
    run_migration(&plan, &results[n++]);
  }
  /* The 1 MB figures of the first run are computed; this one sends them. */
  if ((options->guests & GUEST_THREADS) && !options->policy_given && !kernel) {
    plan = (struct run_plan){.options = options, .guest = GUEST_THREADS, .policy = GMAP_SPLIT_NEVER, .answer = &answer};
    run_migration(&plan, &results[n++]);
  }
  report_comparison(results, n);
  bool verified = report_all_verified(results, n);
  bool skipped = n == 1 && results[0].status == RUN_SKIPPED;
  const char *verdict = verified ? "verified" : skipped ? "nothing was run" : "NOT verified";
  printf("%s in %.1f s\n", verdict, (double)(now_ns() - begin) / 1e9);
  if (options->json) report_json(results, n, options);
  return verified ? EXIT_SUCCESS : EXIT_FAILED;
}
