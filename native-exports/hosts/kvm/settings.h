/* SPDX-License-Identifier: MIT
 * The command line. */
#ifndef SETTINGS_H
#define SETTINGS_H

#include "options.h"
#include "vm.h"

enum action { ACTION_COMPARE, ACTION_RUN, ACTION_MIGRATE, ACTION_LISTEN, ACTION_CONNECT };

struct settings {
  enum action action;
  struct options options; /* of the migration; memory, seed, json and drop_page of all actions */
  uint32_t rounds;
  uint64_t round_us; /* how long the vCPUs run in a round, about */
  enum vm_log log;
  bool invent_page;
};

enum parsed settings_parse(int argc, char **argv, struct settings *settings);
void settings_help(void);
const char *log_name(enum vm_log log);

#endif
