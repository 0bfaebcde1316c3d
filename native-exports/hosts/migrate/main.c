/* SPDX-License-Identifier: MIT
 * gmap-migrate: live migration of a running guest between two processes, with libgmapnative. */
#include <signal.h>
#include <stdlib.h>

#include "dest.h"
#include "options.h"
#include "run.h"

int main(int argc, char **argv) {
  struct options options;
  switch (options_parse(argc, argv, &options)) {
    case PARSED_HELP: options_help(); return EXIT_SUCCESS;
    case PARSED_BAD: return EXIT_USAGE;
    case PARSED_RUN: break;
  }
  signal(SIGPIPE, SIG_IGN); /* a peer that is gone is an error of the write, not a signal */
  switch (options.mode) {
    case MODE_LISTEN: return destination_run(&options);
    case MODE_CONNECT: return run_source(&options);
    default: return run_demo(&options);
  }
}
