/* SPDX-License-Identifier: MIT */
#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attempts.h"

static void announce(const struct run_plan *plan) {
  const struct options *o = plan->options;
  printf("== %s guest, %llu MiB, %s%s, tracked by %s\n", guest_kind_name(plan->guest),
         (unsigned long long)(o->memory >> 20), plan->kernel_tracked ? "1 MB leaves" : "policy ",
         plan->kernel_tracked ? "" : policy_name(plan->policy),
         plan->kernel_tracked ? "the kernel (userfaultfd, asynchronous write-protect)" : "the tables");
  if (o->link) printf("   the link is held to %.0f MiB/s (--link)", (double)o->link / MIB);
  else printf("   the link is as fast as the socket");
  printf(", at most %llu ms of downtime are wanted\n", (unsigned long long)o->downtime_ms);
  fflush(stdout);
}

static int prepare(const struct run_plan *plan, struct machine *machine, struct guest *guest, struct source *source) {
  if (guest_create(guest, machine, plan->guest, plan->options) != DONE) return FAILED;
  if (plan->guest != GUEST_SQLITE && !*plan->answer) {
    uint64_t begin = now_ns();
    if (reference_answer(&guest->header, plan->answer) != DONE) return FAILED;
    printf("   the known answer after %llu steps of %llu threads: %016llx (a plain C run of %.1f s)\n",
           (unsigned long long)guest->header.steps, (unsigned long long)guest->header.threads,
           (unsigned long long)*plan->answer, (double)(now_ns() - begin) / 1e9);
    fflush(stdout);
  }
  source->answer = plan->guest != GUEST_SQLITE ? *plan->answer : 0;
  if (plan->kernel_tracked && machine_attach(machine) != DONE) return FAILED;
  return source_open(source);
}

void run_migration(const struct run_plan *plan, struct run_result *result) {
  struct machine machine;
  struct guest guest;
  *result = (struct run_result){.guest = plan->guest, .policy = plan->policy, .kernel_tracked = plan->kernel_tracked,
                                .memory = plan->options->memory};
  struct source source = {.options = plan->options, .machine = &machine, .guest = &guest, .result = result,
                          .kernel_tracked = plan->kernel_tracked};
  announce(plan);
  if (machine_create(&machine, plan->options->memory, plan->policy) != DONE) {
    snprintf(result->text, sizeof result->text, "no machine");
    return;
  }
  if (plan->options->watch) source.watch = watch_start(&machine, guest_kind_name(plan->guest));
  if (prepare(plan, &machine, &guest, &source) == DONE && guest_start(&guest) == DONE)
    attempts_migrate(&source, plan->options->mode == MODE_DEMO);
  else snprintf(result->text, sizeof result->text, "the guest cannot be started");
  guest_destroy(&guest);
  source_close(&source);
  watch_stop(source.watch);
  machine_destroy(&machine);
  if (result->status != RUN_VERIFIED && !*result->text) snprintf(result->text, sizeof result->text, "failed");
  report_run(result);
}

int run_source(const struct options *options) {
  enum guest_kind guest = (enum guest_kind)options->guests;
  uint64_t answer = 0;
  struct run_result result;
  struct run_plan plan = {.options = options, .guest = guest, .policy = options->policy, .answer = &answer,
                          .kernel_tracked = options->backing == BACKING_USERFAULTFD || guest == GUEST_SQLITE};
  run_migration(&plan, &result);
  if (options->json) report_json(&result, 1, options);
  return result.status == RUN_VERIFIED ? EXIT_SUCCESS : EXIT_FAILED;
}
