/* SPDX-License-Identifier: GPL-2.0-or-later
 * The thread that harvests in intervals, writes them down, and takes pictures when asked. */
#ifndef REPORTER_H
#define REPORTER_H

#include "tracker.h"

struct settings {
  uint64_t ram;        /* bytes */
  uint64_t interval_ms;
  uint64_t drop;       /* leave out each of so many pages of a picture */
  const char *memory;  /* QEMU's memory-backend-file, or NULL */
  const char *out;     /* JSON, a line an interval; NULL: none */
  const char *control; /* a UNIX socket to listen at; NULL: none */
  const char *picture; /* the file that a picture goes to */
  enum feed feed;
  uint32_t policy;     /* GMAP_SPLIT_* */
  int remember;        /* a vcpu skips pages that it has handed over lately */
  int live;            /* a line on stderr an interval */
  const char *target;  /* QEMU's name of the guest's architecture */
};

/* Returns 0, or -1 after a line on stderr. */
int reporter_start(const struct settings *settings, struct tracker *tracker);

/* The last interval and the sum of all; ends the thread. */
void reporter_stop(void);

#endif
