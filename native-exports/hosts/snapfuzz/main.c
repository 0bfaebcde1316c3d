/* SPDX-License-Identifier: MIT
 * gmap-snapfuzz: fuzzes a real parser from a snapshot, with libgmapnative. */
#include <stdlib.h>

#include "compare.h"
#include "fuzz.h"
#include "settings.h"

int main(int argc, char **argv) {
  struct settings settings;
  switch (settings_parse(argc, argv, &settings)) {
    case PARSED_HELP: settings_help(); return EXIT_SUCCESS;
    case PARSED_BAD: return EXIT_USAGE;
    case PARSED_RUN: break;
  }
  switch (settings.action) {
    case ACTION_COMPARE: return compare(&settings);
    case ACTION_REPLAY: return fuzz_replay(&settings);
    default: return fuzz_run(&settings);
  }
}
