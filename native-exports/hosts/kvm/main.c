/* SPDX-License-Identifier: MIT
 * gmap-kvm: a virtual machine monitor on KVM with libgmapnative. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "actions.h"
#include "dest.h"

#define EXIT_SKIPPED 77

/* Nothing here is wrong, but the machine lacks what it takes. */
static int skip(const struct settings *settings, const char *why) {
  printf("skipped: %s\n", why);
  if (settings->options.json) printf("{\"status\":\"skipped\",\"verified\":null}\n");
  return EXIT_SKIPPED;
}

int main(int argc, char **argv) {
  struct settings settings;
  switch (settings_parse(argc, argv, &settings)) {
    case PARSED_HELP: settings_help(); return EXIT_SUCCESS;
    case PARSED_BAD: return EXIT_USAGE;
    case PARSED_RUN: break;
  }
  const char *missing = vm_missing();
  if (missing) return skip(&settings, missing);
  if (settings.action != ACTION_LISTEN && !machine_kernel_can_track())
    return skip(&settings, "this kernel has no asynchronous userfaultfd write-protect (Linux 6.7 has)");
  signal(SIGPIPE, SIG_IGN); /* a peer that is gone is an error of the write, not a signal */
  switch (settings.action) {
    case ACTION_COMPARE: return compare_stopped(&settings);
    case ACTION_RUN: return compare_running(&settings);
    case ACTION_LISTEN: return destination_run(&settings.options);
    default: return migrate(&settings);
  }
}
