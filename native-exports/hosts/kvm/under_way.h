/* SPDX-License-Identifier: MIT
 * Stores that are under way: a page is opened for a store before the store happens, and a vCPU that is stopped in between has
 * its page in one log already. It is the first thing that the vCPU does when it goes on; so there is never more than one such
 * page a vCPU, and each of them is in both logs before its vCPU has come further. */
#ifndef UNDER_WAY_H
#define UNDER_WAY_H

#include "session.h"

struct under_way {
  struct {
    uint64_t page, rings[GUEST_CPUS]; /* how often each vCPU had rung the doorbell */
  } stores[GUEST_CPUS];
  unsigned n;
};

/* Right after both harvests. False: more pages than vCPUs; so this one is something else. */
bool under_way_add(struct under_way *u, const struct session *session, uint64_t page);

/* Before those of this round are added: takes those off that are in both logs now. Returns how many had to be and are not
 * (they are taken off, too), the first of them in *page. rings: of each vCPU, before the harvests. */
unsigned under_way_arrived(struct under_way *u, const uint64_t *one, const uint64_t *other, const uint64_t rings[GUEST_CPUS],
                           uint64_t *page);

#endif
