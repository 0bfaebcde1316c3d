/* SPDX-License-Identifier: MIT
 * The command line. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "common.h"

enum mode { MODE_DEMO, MODE_LISTEN, MODE_CONNECT };
enum guest_kind { GUEST_THREADS = 1, GUEST_SQLITE = 2, GUEST_NESTED = 4, GUEST_KVM = 8 };
enum backing { BACKING_AUTO, BACKING_USERFAULTFD, BACKING_NONE };

struct options {
  enum mode mode;
  const char *address; /* --listen, --connect */
  const char *image;
  const char *tables; /* --tables: how the files' names begin */
  uint32_t guests; /* GUEST_* bits */
  uint32_t threads;
  uint32_t policy; /* GMAP_SPLIT_* */
  uint32_t max_rounds;
  uint32_t fail_first_at; /* 0: not */
  enum backing backing;
  bool postcopy;
  uint32_t postcopy_rounds; /* of pre-copy before it */
  uint64_t break_at;        /* 0: not; pages of postcopy after which the connection is broken once */
  bool policy_given, rate_given, tcp, json, drop_page, watch;
  uint64_t memory, rate, downtime_ms, seed, link, steps, rows;
  uint64_t retry_s;  /* how long to look for another destination after one died; postcopy: for the same peer again */
  uint64_t timeout_s; /* how long a silent peer is waited for */
  uint64_t accept_s; /* --listen: how long to wait for a source; 0: for ever */
};

enum parsed { PARSED_RUN, PARSED_HELP, PARSED_BAD };

/* PARSED_BAD: one line has been printed. */
enum parsed options_parse(int argc, char **argv, struct options *options);
void options_help(void);

/* The guest's writes a second: what was asked for, or the default of its kind. */
uint64_t options_rate(const struct options *options, enum guest_kind kind);
/* How many steps the threads guest makes in all. */
uint64_t options_steps(const struct options *options);

const char *guest_kind_name(uint32_t kind);
const char *policy_name(uint32_t policy);

#endif
