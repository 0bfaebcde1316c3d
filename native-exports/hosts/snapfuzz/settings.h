/* SPDX-License-Identifier: MIT
 * What the command line says. */
#ifndef SETTINGS_H
#define SETTINGS_H

#include "common.h"

enum action { ACTION_RUN, ACTION_VERIFY, ACTION_COMPARE, ACTION_REPLAY };
enum mistake { MISTAKE_NONE, MISTAKE_SKIP, MISTAKE_ALIAS };
enum parsed { PARSED_RUN, PARSED_HELP, PARSED_BAD };

struct settings {
  enum action action;
  const char *replay; /* the file */
  const char *json;   /* a file, - for stdout, or NULL */
  const char *out;    /* where crashes and hangs are saved */
  uint64_t memory, seed, runs;
  uint64_t check_every, probe_every, engine_every; /* of verify, in runs */
  enum mistake mistake;
  uint64_t mistake_at, crash_at, hang_at; /* the number of the run, from 1; 0: none */
  uint32_t hang_s, repeats;
};

enum parsed settings_parse(int argc, char **argv, struct settings *settings); /* complains itself */
void settings_help(void);

#endif
