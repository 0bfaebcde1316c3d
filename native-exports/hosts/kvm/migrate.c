/* SPDX-License-Identifier: MIT
 * The source's side: a virtual machine that runs, and is migrated by gmap-migrate's protocol. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actions.h"
#include "attempts.h"
#include "vmguest.h"

struct run {
  const struct settings *settings;
  struct machine machine;
  struct guest guest;
  struct source source;
  struct run_result result;
};

static int prepare(struct run *run) {
  const struct options *options = &run->settings->options;
  uint64_t begin = now_ns(), answer;
  if (machine_create(&run->machine, options->memory, GMAP_SPLIT_LAZY) != DONE) return FAILED;
  if (guest_create(&run->guest, &run->machine, GUEST_KVM, options) != DONE) return FAILED;
  if (vmguest_answer(&run->guest.header, &answer) != DONE) return FAILED;
  printf("   the known answer after %llu steps of each of %u vCPUs: %016llx (a plain C run of %.1f s)\n",
         (unsigned long long)options->steps, GUEST_CPUS, (unsigned long long)answer, (double)(now_ns() - begin) / 1e9);
  fflush(stdout);
  run->source = (struct source){.options = options, .machine = &run->machine, .guest = &run->guest, .result = &run->result,
                                .kernel_tracked = true, .answer = answer};
  if (machine_attach(&run->machine) != DONE || source_open(&run->source) != DONE) return FAILED;
  return guest_start(&run->guest);
}

static void report(const struct run *run) {
  const struct run_result *r = &run->result;
  bool verified = r->status == RUN_VERIFIED;
  report_run(r);
  if (!run->settings->options.json) return;
  printf("{\"status\":\"%s\",\"verified\":%s,\"memory\":%llu,\"attempts\":%u,\"rounds\":%u,\"pages_sent\":%llu,"
         "\"pages_resent\":%llu,\"steps_at_source\":%llu,\"downtime_ms\":%.3f,\"total_ms\":%.1f",
         verified ? "verified" : "failed", verified ? "true" : "false", (unsigned long long)r->memory, r->attempts, r->rounds,
         (unsigned long long)r->pages_sent, (unsigned long long)r->pages_resent,
         (unsigned long long)atomic_load(&run->guest.writes), report_downtime(r), r->total_ms);
  report_postcopy_members(r);
  printf("}\n");
}

int migrate(const struct settings *settings) {
  struct run run = {.settings = settings,
                    .result = {.guest = GUEST_KVM, .kernel_tracked = true, .memory = settings->options.memory}};
  printf("== kvm guest, %llu MiB, %u vCPUs, tracked by the kernel (userfaultfd, asynchronous write-protect)\n",
         (unsigned long long)(settings->options.memory >> 20), GUEST_CPUS);
  fflush(stdout);
  if (prepare(&run) == DONE) attempts_migrate(&run.source, settings->action == ACTION_MIGRATE);
  else snprintf(run.result.text, sizeof run.result.text, "the guest cannot be started");
  if (run.guest.ops) guest_destroy(&run.guest);
  source_close(&run.source);
  if (run.machine.memory) machine_destroy(&run.machine);
  report(&run);
  return run.result.status == RUN_VERIFIED ? EXIT_SUCCESS : EXIT_FAILED;
}
