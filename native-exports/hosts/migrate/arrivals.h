/* SPDX-License-Identifier: MIT
 * Postcopy at the destination: pages arrive while the guest runs, those that somebody waits for are asked for, a connection that
 * breaks is taken up again. */
#ifndef ARRIVALS_H
#define ARRIVALS_H

#include "guest.h"

struct arrivals;

struct arrivals_config {
  struct machine *machine;
  struct stream *stream;
  const char *address;     /* where a source that was lost finds us again */
  uint64_t session;
  uint64_t retry_s;        /* how long it may take */
  uint64_t timeout_s;      /* how long a silent source is waited for before that */
  bool stops;              /* the guest's accesses are plain: the kernel stops them */
};

/* After machine_expect. Two threads are started, which alone use the stream until arrivals_end. NULL after one line. */
struct arrivals *arrivals_begin(const struct arrivals_config *config);
/* The guest that runs on them: it pauses while there is no source. */
void arrivals_serve(struct arrivals *arrivals, struct guest *guest);
/* A vCPU (0, 1, ...) that found a page missing waits for it, in no section. False: it will never come. */
bool arrivals_wait(struct arrivals *arrivals, uint32_t cpu, uint64_t guest_addr);
/* Waits until every page is there. False, told: some never will be. */
bool arrivals_all(struct arrivals *arrivals);
/* After arrivals_all, or where the guest was never started: joins the threads; blocked may be NULL. */
bool arrivals_end(struct arrivals *arrivals, struct blocked *blocked);

#endif
